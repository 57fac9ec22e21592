/* What all connections of one object share on one uv_loop_t: memory, log, timers, read memory, and the flush.
 *
 * Writes are gathered: whoever appends output to a connection wakes it (t2_conn_wake), which puts it on the
 * loop's dirty list. The list is flushed in the check phase (after all of a turn's reads) and in the prepare
 * phase (before the loop may block), so a connection makes one write call in a turn whatever the number of
 * messages. Objects are never freed while a callback may still be on the stack above them: t2_loop_reap frees
 * after the flush. All calls on the loop's thread.
 *
 * libuv writes without MSG_NOSIGNAL: a program has to ignore SIGPIPE.
 */
#ifndef T2_NET_LOOP_H
#define T2_NET_LOOP_H

#include <base/list.h>
#include <base/log.h>
#include <base/pressure.h>
#include <base/wheel.h>
#include <net/spare.h>
#include <net/toil.h>
#include <stdint.h>
#include <uv.h>

#define T2_LOOP_SLAB (64 * 1024) /* bytes one read call may bring */

typedef struct t2_loop t2_loop;
typedef void (*t2_loop_close_cb)(t2_loop *loop, void *user);

struct t2_loop {
  uv_loop_t *uv;
  const t2_allocator *mem;
  t2_log log;
  t2_wheel wheel;
  uint64_t timer_at; /* when the uv timer fires, UINT64_MAX: it is stopped */
  t2_list dirty;     /* t2_flushable */
  t2_list reap;      /* t2_reapable */
  t2_list parting;   /* t2_parting */
  t2_spares spares;
  t2_toils toils;       /* handshakes, and what else is dear: a bounded time of each turn */
  t2_pressure pressure; /* of what waits in the output of connections and of streams on them */
  uint8_t *slab;  /* T2_LOOP_SLAB bytes every read goes to; its content is handled before the next read */
  uint8_t *plain; /* T2_LOOP_SLAB bytes TLS reads decrypt to */
  uint64_t turn;  /* counts the turns of the loop, from 1 */
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle; /* runs while something is dirty or to reap: the loop neither blocks nor ends then */
  uv_timer_t timer;
  unsigned handles; /* uv handles and requests still open */
  bool closing;
  t2_loop_close_cb on_close;
  void *user;
};

/* mem may be NULL (libc's); log is copied, may be NULL (silent). The loop's own handles do not keep uv_run
 * going (they are unreferenced), except the wheel's timer while a timer runs. 0 or T2_ERR_NOMEM. */
int t2_loop_new(t2_loop **out, uv_loop_t *uv, const t2_allocator *mem, const t2_log *log);
/* Everything on it must be closed already, or be closing or parting. Frees the loop after all handles have
 * closed, then calls cb (may be NULL), which must not use the loop any more. */
void t2_loop_close(t2_loop *loop, t2_loop_close_cb cb, void *user);
/* For each uv handle or request that lives on the loop: it is not freed before the last is released. */
void t2_loop_hold(t2_loop *loop);
void t2_loop_release(t2_loop *loop);

static inline uint64_t t2_loop_now(const t2_loop *loop) {
  return uv_now(loop->uv);
}

/* Timers on the loop's wheel. */
void t2_loop_timer_start(t2_loop *loop, t2_timer *timer, uint64_t delay_ms);
void t2_loop_timer_stop(t2_loop *loop, t2_timer *timer);

/* Embedded in what has work to do at the flush. */
typedef struct t2_flushable {
  t2_list node;
  void (*flush)(struct t2_flushable *self);
} t2_flushable;
void t2_flushable_init(t2_flushable *flushable, void (*flush)(t2_flushable *self));
/* Calls flush(self) once in this turn's flush; from within the flush in its next round. */
void t2_loop_wake(t2_loop *loop, t2_flushable *flushable);
/* Takes it off the list again. */
void t2_loop_calm(t2_flushable *flushable);

/* Calls toil->work in a turn that has time for it: after the flush, when traffic had its turn. As
 * t2_toils_wait. */
void t2_loop_toil(t2_loop *loop, t2_toil *toil, bool begun);

/* Embedded in what is freed later. */
typedef struct t2_reapable {
  t2_list node;
  void (*free)(struct t2_reapable *self);
} t2_reapable;
/* Calls free_fn(self) at the end of the turn's flush, once. */
void t2_loop_reap(t2_loop *loop, t2_reapable *self, void (*free_fn)(t2_reapable *self));

/* Embedded in what takes leave of its peer by itself, with no owner left: when the loop closes it is ended at
 * once. */
typedef struct t2_parting {
  t2_list node;
  void (*end)(struct t2_parting *self);
} t2_parting;
void t2_loop_part(t2_loop *loop, t2_parting *self, void (*end)(t2_parting *self));

/* The error for a libuv status (UV_ECONNREFUSED is T2_ERR_REFUSED, UV_EAI_* T2_ERR_RESOLVE, UV_ETIMEDOUT
 * T2_ERR_TIMEOUT, UV_EHOSTUNREACH and UV_ENETUNREACH T2_ERR_UNREACHABLE, UV_ENOMEM, UV_EADDRINUSE
 * T2_ERR_CONFLICT, ECONNRESET/EPIPE/EOF T2_ERR_CLOSED, ...). */
int t2_error_of_uv(int status);

#endif
