#include <entry/state.h>
#include <string.h>

static t2_entry_member *part_of(void *worker) {
  return ((const t2_worker *)worker)->part;
}

static void say(t2_entry_member *member, t2_mail *mail) {
  t2_crew_send(t2_crew_worker(member->worker->crew, 0), mail);
}

/* ---- What it says ---- */

void t2_entry_member_emit(t2_entry *entry, const t2_entry_event *event) {
  if (event->type == T2_ENTRY_ENDED) say(entry->member, &entry->member->say_ended);
}

void t2_entry_member_drained(t2_entry *entry) {
  say(entry->member, &entry->member->say_drained);
}

/* ---- What it is told ---- */

static void on_start(t2_mail *mail, void *worker) {
  t2_entry *entry = part_of(worker)->entry;
  (void)mail;
  if (entry->state != T2_ENTRY_STATE_NEW) return;
  entry->state = T2_ENTRY_STATE_RUNNING;
  t2_entry_open_anteroom(entry);
}

static void on_drain(t2_mail *mail, void *worker) {
  (void)mail;
  t2_entry_drain(part_of(worker)->entry, part_of(worker)->drain_ms);
}

static void on_part(t2_mail *mail, void *worker) {
  (void)mail;
  t2_entry_part(part_of(worker)->entry);
}

static void on_end(t2_mail *mail, void *worker) {
  (void)mail;
  t2_entry_end(part_of(worker)->entry, 0, NULL);
}

/* From here on it opens no bridge. */
static void on_halt(t2_mail *mail, void *worker) {
  t2_entry_member *member = part_of(worker);
  (void)mail;
  member->entry->state = T2_ENTRY_STATE_ENDED;
  t2_entry_close_all(member->entry);
  t2_bridges_close(&member->bridges);
  say(member, &member->say_halted);
}

static void on_turn_closed(uv_handle_t *handle) {
  t2_crew_leave(((t2_entry_member *)handle->data)->worker);
}

static void on_closed(void *user) {
  t2_entry_member *member = user;
  member->entry = NULL;
  uv_close((uv_handle_t *)&member->turn, on_turn_closed);
}

static void on_close(t2_mail *mail, void *worker) {
  t2_entry_member *member = part_of(worker);
  (void)mail;
  uv_prepare_stop(&member->turn);
  t2_entry_close(member->entry, on_closed, member);
}

/* The first worker has read the same files, and said what was wrong with them. */
static void on_reload(t2_mail *mail, void *worker) {
  t2_entry_member *member = part_of(worker);
  char detail[256];
  (void)mail;
  atomic_store(&member->reloading, false);
  if (member->entry) (void)t2_entry_reload(member->entry, detail, sizeof(detail));
}

void t2_entry_member_mails(t2_entry_member *member) {
  member->start.open = on_start;
  member->drain.open = on_drain;
  member->part.open = on_part;
  member->end.open = on_end;
  member->halt.open = on_halt;
  member->close.open = on_close;
  member->reload.open = on_reload;
}

/* ---- Life ---- */

static void on_turn(uv_prepare_t *turn) {
  t2_entry_member *member = turn->data;
  t2_entry_stats stats = {.size = sizeof(stats)};
  uint64_t now[T2_ENTRY_FIGURES];
  t2_entry_count(member->entry, &stats);
  t2_entry_figures_of(now, &stats);
  for (size_t i = 0; i < T2_ENTRY_FIGURES; i++)
    atomic_store_explicit(&member->figures[i], now[i], memory_order_relaxed);
}

/* The prepare handle comes before the loop's, so that it is called behind it (libuv calls the newest first):
 * when all is written. */
int t2_entry_member_open(t2_entry_member *member, const t2_entry_options *options, char *detail,
                         size_t size) {
  uv_loop_t *uv = t2_worker_loop(member->worker);
  member->worker->part = member;
  uv_prepare_init(uv, &member->turn);
  member->turn.data = member;
  uv_prepare_start(&member->turn, on_turn);
  uv_unref((uv_handle_t *)&member->turn);
  int err = t2_entry_make_member(member, uv, options, detail, size);
  if (err) uv_close((uv_handle_t *)&member->turn, NULL);
  return err;
}
