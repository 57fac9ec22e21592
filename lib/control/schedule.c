#include <base/file.h>
#include <control/persist.h>
#include <control/state.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define TICK_MS        250
#define SWEEP_TICKS    40  /* how often what can't matter any more is looked for */
#define LAPSES_MAX     256 /* in one tick */
#define SAVE_PAUSE_MIN 100 /* ms between two savings */
#define SAVE_PAUSE_MAX 1000
#define SAVE_SHARE     20 /* saving takes at most one in so many of the loop's milliseconds */
#define ROTATION_RETRY 60 /* seconds */

int64_t t2_control_key_life(const t2_control *control) {
  return (int64_t)control->options.ticket_seconds + T2_TICKET_LEEWAY_SECONDS;
}

static t2_moment now_of(const t2_control *control) {
  return t2_channels_now(&control->channels);
}

/* ---- Saving ---- */

static void note_saved(t2_control *control, const char *file, int err) {
  if (err && !control->save_failed)
    t2_log_at(&control->loop->log, ERROR, "control", "%s can't be written: %s", file, t2_strerror(err));
  control->save_failed = err != 0;
}

void t2_control_save(t2_control *control) {
  uint64_t begun = t2_clock_mono_ms();

  if (control->keys_dirty) {
    int err = t2_keyring_save(&control->keyring, control->keys_file);
    control->keys_dirty = err != 0;
    note_saved(control, control->keys_file, err);
  }
  if (control->store.dirty)
    note_saved(control, control->sessions_file, t2_persist_save(&control->store, control->sessions_file));
  uint64_t pause = (t2_clock_mono_ms() - begun) * SAVE_SHARE;
  if (pause < SAVE_PAUSE_MIN) pause = SAVE_PAUSE_MIN;
  if (pause > SAVE_PAUSE_MAX) pause = SAVE_PAUSE_MAX;
  control->save_pause_ms = pause;
  control->saved_ms = t2_clock_mono_ms();
  t2_loop_timer_stop(control->loop, &control->save);
  /* What could not be written is tried again. */
  if (control->store.dirty || control->keys_dirty)
    t2_loop_timer_start(control->loop, &control->save, SAVE_PAUSE_MAX);
}

void t2_control_touched(t2_control *control) {
  uint64_t passed = t2_clock_mono_ms() - control->saved_ms;

  if (!control->store.dirty && !control->keys_dirty) return;
  if (t2_timer_running(&control->save)) return;
  if (passed >= control->save_pause_ms)
    t2_control_save(control);
  else
    t2_loop_timer_start(control->loop, &control->save, control->save_pause_ms - passed);
}

static void on_save(t2_timer *timer) {
  t2_control_save(T2_CONTAINER_OF(timer, t2_control, save));
}

/* ---- Keys ---- */

int t2_control_rotate(t2_control *control) {
  int err = t2_keyring_rotate(&control->keyring, now_of(control).wall, t2_control_key_life(control));

  if (err) return err;
  control->keys_dirty = true;
  t2_control_save(control); /* before a ticket is signed with it */
  t2_log_at(&control->loop->log, INFO, "control", "key %s signs tickets from now on",
            control->keyring.keys.list[0].kid);
  t2_channels_keys_changed(&control->channels);
  return 0;
}

static void rotate_if_due(t2_control *control, int64_t now) {
  unsigned period = control->options.key_rotation_seconds;

  /* The clock was set back. */
  if (control->keyring.created[0] > now + T2_TICKET_LEEWAY_SECONDS) control->keyring.created[0] = now;
  if (control->rotation_retry_at > now + ROTATION_RETRY) control->rotation_retry_at = now;
  if (period == 0 || now - control->keyring.created[0] < period || now < control->rotation_retry_at) return;
  int err = t2_control_rotate(control);
  if (err == 0) return;
  control->rotation_retry_at = now + ROTATION_RETRY;
  t2_log_at(&control->loop->log, WARN, "control", "there is no new key yet: %s", t2_strerror(err));
}

static void trim_keys(t2_control *control, int64_t now) {
  if (!t2_keyring_trim(&control->keyring, now)) return;
  control->keys_dirty = true;
  t2_channels_keys_gone(&control->channels);
}

/* ---- Leases ---- */

static void end_sessions(t2_control *control, t2_moment now) {
  char id[T2_SESSION_ID_MAX + 1], owner[T2_OWNER_MAX + 1];
  t2_session *session;

  for (unsigned i = 0; i < LAPSES_MAX && !control->closing; i++) {
    if (!(session = t2_store_lapsed(&control->store, now))) break;
    snprintf(id, sizeof(id), "%s", session->id);
    snprintf(owner, sizeof(owner), "%s", session->owner->name);
    t2_log_at(&control->loop->log, INFO, "control", "the lease of session %s is over", session->id);
    t2_channels_release_session(&control->channels, session, NULL);
    t2_store_lapse(&control->store, session);
    t2_control_tell(control, T2_CONTROL_SESSION_ENDED, id, owner, "its lease is over");
  }
}

static void end_entries(t2_control *control, t2_moment now) {
  char id[T2_ENTRY_ID_MAX + 1], owner[T2_OWNER_MAX + 1];
  t2_store_entry *entry;

  while (!control->closing && (entry = t2_store_entry_lapsed(&control->store, now))) {
    snprintf(id, sizeof(id), "%s", entry->id);
    snprintf(owner, sizeof(owner), "%s", entry->owner);
    t2_log_at(&control->loop->log, WARN, "control", "the lease of entry %s is over", entry->id);
    t2_channels_release_entry(&control->channels, entry);
    t2_store_entry_remove(&control->store, entry);
    t2_channels_entries_changed(&control->channels);
    t2_control_tell(control, T2_CONTROL_ENTRY_ENDED, id, owner, "its lease is over");
  }
}

static void on_tick(t2_timer *timer) {
  t2_control *control = T2_CONTAINER_OF(timer, t2_control, tick);
  t2_moment now = now_of(control);

  end_sessions(control, now);
  end_entries(control, now);
  if (control->closing) return;
  rotate_if_due(control, now.wall);
  if (++control->ticks % SWEEP_TICKS == 0) {
    t2_store_sweep(&control->store, now);
    trim_keys(control, now.wall);
  }
  t2_control_touched(control);
  t2_loop_timer_start(control->loop, &control->tick, TICK_MS);
}

void t2_control_init_schedule(t2_control *control) {
  t2_timer_init(&control->tick, on_tick);
  t2_timer_init(&control->save, on_save);
}

void t2_control_start_schedule(t2_control *control) {
  t2_loop_timer_start(control->loop, &control->tick, TICK_MS);
}

void t2_control_stop_schedule(t2_control *control) {
  t2_loop_timer_stop(control->loop, &control->tick);
  t2_loop_timer_stop(control->loop, &control->save);
}
