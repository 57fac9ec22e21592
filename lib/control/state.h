/* What the parts of the object t2_control share: control.c (its life), schedule.c (what happens by time) and
 * the API. Included by these alone. */
#ifndef T2_CONTROL_STATE_H
#define T2_CONTROL_STATE_H

#include <control/channels.h>
#include <control/keyring.h>
#include <net/tls.h>
#include <proxy/server.h>
#include <tunnel2/control.h>

/*   NEW ──start──▶ RUNNING ──drain──▶ DRAINING ──all answered, or out of time──▶ ENDED */
typedef enum t2_control_state {
  T2_CONTROL_STATE_NEW,
  T2_CONTROL_STATE_RUNNING,
  T2_CONTROL_STATE_DRAINING,
  T2_CONTROL_STATE_ENDED
} t2_control_state;

struct t2_control {
  t2_control_options options;
  char *keys_file, *sessions_file; /* in state_dir */
  char *tokens_file;
  char *address; /* with the real port */
  t2_control_state state;
  bool closing;
  t2_loop *loop;
  t2_proxy proxy;
  t2_tls *tls;
  t2_server *server;
  t2_tokens tokens;
  int lock; /* of the state directory; -1: none */
  t2_keyring keyring;
  t2_store store;
  t2_channels channels;
  /* schedule.c's */
  t2_timer tick;
  unsigned ticks;
  t2_timer save;
  uint64_t saved_ms;         /* when the last saving ended */
  uint64_t save_pause_ms;    /* how long it is left alone after it */
  bool save_failed;          /* it has been said */
  bool keys_dirty;           /* keys.pem is not what the keyring is */
  int64_t rotation_retry_at; /* wall seconds; after a failure */
  /* control.c's */
  t2_timer drain;
  uint64_t drain_deadline_ms, drain_idle_ms;
  t2_control_close_cb on_close;
  void *close_user;
};

/* ---- control.c ---- */

/* An event of a session or entry. Last in whatever does it: the callback may close the control plane. */
void t2_control_tell(t2_control *control, t2_control_event_type type, const char *id, const char *owner,
                     const char *reason);

/* ---- schedule.c ---- */

void t2_control_init_schedule(t2_control *control);
/* Leases, rotation and the like go by their time from now on. */
void t2_control_start_schedule(t2_control *control);
void t2_control_stop_schedule(t2_control *control);
/* Sees to it that what has changed is on disk: at once when nothing was saved shortly before, else soon. */
void t2_control_touched(t2_control *control);
/* Writes what has changed, now. */
void t2_control_save(t2_control *control);
/* A new key signs from now on, and all are told: 0, T2_ERR_LIMIT, T2_ERR_NOMEM. */
int t2_control_rotate(t2_control *control);
/* The seconds a key is needed after its last ticket. */
int64_t t2_control_key_life(const t2_control *control);

#endif
