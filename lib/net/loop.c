#include <assert.h>
#include <net/loop.h>
#include <tunnel2/error.h>

/* Flushing one connection often wakes another; after so many rounds the rest waits for reads in between. */
#define FLUSH_ROUNDS 4
#define OWN_HANDLES  4
#define NEVER        UINT64_MAX

/* ---- The flush ---- */

static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

/* The idle handle keeps the loop from blocking or ending before the next flush. */
static void schedule(t2_loop *loop) {
  if (!loop->closing) uv_idle_start(&loop->idle, on_idle);
}

void t2_flushable_init(t2_flushable *flushable, void (*flush)(t2_flushable *self)) {
  t2_list_init(&flushable->node);
  flushable->flush = flush;
}

void t2_loop_wake(t2_loop *loop, t2_flushable *flushable) {
  if (t2_list_linked(&flushable->node)) return;
  t2_list_push_back(&loop->dirty, &flushable->node);
  schedule(loop);
}

void t2_loop_calm(t2_flushable *flushable) {
  t2_list_remove(&flushable->node);
}

void t2_loop_toil(t2_loop *loop, t2_toil *toil, bool begun) {
  t2_toils_wait(&loop->toils, toil, begun);
  schedule(loop);
}

void t2_loop_reap(t2_loop *loop, t2_reapable *self, void (*free_fn)(t2_reapable *self)) {
  self->free = free_fn;
  t2_list_push_back(&loop->reap, &self->node);
  schedule(loop);
}

static void flush_round(t2_loop *loop) {
  t2_list batch;

  t2_list_move(&batch, &loop->dirty);
  while (!t2_list_empty(&batch)) {
    t2_flushable *flushable = T2_LIST_ENTRY(batch.next, t2_flushable, node);
    t2_list_remove(&flushable->node);
    flushable->flush(flushable);
  }
}

static void reap_all(t2_loop *loop) {
  while (!t2_list_empty(&loop->reap)) {
    t2_reapable *reapable = T2_LIST_ENTRY(loop->reap.next, t2_reapable, node);
    t2_list_remove(&reapable->node);
    reapable->free(reapable);
  }
}

static void flush(t2_loop *loop) {
  for (unsigned round = 0; round < FLUSH_ROUNDS && !t2_list_empty(&loop->dirty); round++)
    flush_round(loop);
  reap_all(loop);
  if (t2_list_empty(&loop->dirty) && !t2_toils_waiting(&loop->toils)) uv_idle_stop(&loop->idle);
}

static void on_prepare(uv_prepare_t *prepare) {
  flush(prepare->data);
}

static void on_check(uv_check_t *check) {
  t2_loop *loop = check->data;

  loop->turn++;
  flush(loop);
  t2_toils_turn(&loop->toils);
}

/* ---- Timers ---- */

static void on_timer(uv_timer_t *timer);

/* Sets the uv timer to when the wheel wants to be looked at. */
static void arm(t2_loop *loop) {
  uint64_t now = t2_loop_now(loop);
  int64_t next = t2_wheel_next(&loop->wheel, now);

  loop->timer_at = NEVER;
  if (loop->closing) return;
  if (next < 0) {
    uv_timer_stop(&loop->timer);
    return;
  }
  loop->timer_at = now + (uint64_t)next;
  uv_timer_start(&loop->timer, on_timer, (uint64_t)next, 0);
}

static void on_timer(uv_timer_t *timer) {
  t2_loop *loop = timer->data;

  loop->timer_at = 0; /* timers started meanwhile need not set it: it is set below */
  t2_wheel_advance(&loop->wheel, t2_loop_now(loop));
  arm(loop);
}

void t2_loop_timer_start(t2_loop *loop, t2_timer *timer, uint64_t delay_ms) {
  t2_wheel_start(&loop->wheel, timer, t2_loop_now(loop), delay_ms);
  if (timer->deadline < loop->timer_at) arm(loop);
}

void t2_loop_timer_stop(t2_loop *loop, t2_timer *timer) {
  t2_wheel_stop(&loop->wheel, timer);
  /* Without this it would keep uv_run going. A timer that is left running too early fires nothing. */
  if (loop->wheel.count == 0 && loop->timer_at != 0) arm(loop);
}

/* ---- Life ---- */

static void free_loop(t2_loop *loop) {
  const t2_allocator *mem = loop->mem;

  t2_spares_fini(&loop->spares);
  t2_free(mem, loop->slab);
  t2_free(mem, loop->plain);
  t2_free(mem, loop);
}

static void start_handles(t2_loop *loop) {
  uv_prepare_init(loop->uv, &loop->prepare);
  uv_check_init(loop->uv, &loop->check);
  uv_idle_init(loop->uv, &loop->idle);
  uv_timer_init(loop->uv, &loop->timer);
  loop->prepare.data = loop->check.data = loop->idle.data = loop->timer.data = loop;
  uv_prepare_start(&loop->prepare, on_prepare);
  uv_check_start(&loop->check, on_check);
  uv_unref((uv_handle_t *)&loop->prepare);
  uv_unref((uv_handle_t *)&loop->check);
  loop->handles = OWN_HANDLES;
}

int t2_loop_new(t2_loop **out, uv_loop_t *uv, const t2_allocator *mem, const t2_log *log) {
  t2_loop *loop = t2_calloc(mem, 1, sizeof(*loop));

  *out = NULL;
  if (!loop) return T2_ERR_NOMEM;
  loop->uv = uv;
  loop->mem = mem;
  if (log) loop->log = *log;
  loop->turn = 1;
  loop->timer_at = NEVER;
  t2_list_init(&loop->dirty);
  t2_list_init(&loop->reap);
  t2_list_init(&loop->parting);
  t2_wheel_init(&loop->wheel, uv_now(uv));
  t2_spares_init(&loop->spares, mem);
  t2_toils_init(&loop->toils);
  t2_pressure_init(&loop->pressure);
  loop->slab = t2_alloc(mem, T2_LOOP_SLAB);
  loop->plain = t2_alloc(mem, T2_LOOP_SLAB);
  if (!loop->slab || !loop->plain) {
    free_loop(loop);
    return T2_ERR_NOMEM;
  }
  start_handles(loop);
  *out = loop;
  return 0;
}

void t2_loop_hold(t2_loop *loop) {
  loop->handles++;
}

void t2_loop_release(t2_loop *loop) {
  loop->handles--;
  if (loop->handles || !loop->closing) return;
  /* What is freed here may have been the owner of a handle, or hand in more to free: the loop itself goes
   * last. */
  reap_all(loop);
  if (loop->handles) return;
  assert(loop->pressure.held == 0);
  t2_loop_close_cb cb = loop->on_close;
  void *user = loop->user;
  free_loop(loop);
  if (cb) cb(loop, user);
}

static void on_handle_close(uv_handle_t *handle) {
  t2_loop_release(handle->data);
}

void t2_loop_part(t2_loop *loop, t2_parting *self, void (*end)(t2_parting *self)) {
  self->end = end;
  t2_list_push_back(&loop->parting, &self->node);
}

void t2_loop_close(t2_loop *loop, t2_loop_close_cb cb, void *user) {
  if (loop->closing) return;
  T2_LIST_FOREACH(node, next, &loop->parting) {
    t2_parting *parting = T2_LIST_ENTRY(node, t2_parting, node);
    t2_list_remove(node);
    parting->end(parting);
  }
  loop->closing = true;
  loop->on_close = cb;
  loop->user = user;
  uv_close((uv_handle_t *)&loop->prepare, on_handle_close);
  uv_close((uv_handle_t *)&loop->check, on_handle_close);
  uv_close((uv_handle_t *)&loop->idle, on_handle_close);
  uv_close((uv_handle_t *)&loop->timer, on_handle_close);
}

/* ---- Errors ---- */

int t2_error_of_uv(int status) {
  switch (status) {
  case 0:
    return 0;
  case UV_ENOMEM:
    return T2_ERR_NOMEM;
  case UV_EINVAL:
    return T2_ERR_INVALID;
  case UV_ECONNREFUSED:
  case UV_ENOENT: /* of a unix socket */
    return T2_ERR_REFUSED;
  case UV_ETIMEDOUT:
    return T2_ERR_TIMEOUT;
  case UV_EHOSTUNREACH:
  case UV_ENETUNREACH:
  case UV_ENETDOWN:
  case UV_EADDRNOTAVAIL:
    return T2_ERR_UNREACHABLE;
  case UV_EADDRINUSE:
    return T2_ERR_CONFLICT;
  case UV_EOF:
  case UV_ECONNRESET:
  case UV_ECONNABORTED:
  case UV_EPIPE:
  case UV_ENOTCONN:
    return T2_ERR_CLOSED;
  case UV_EMFILE:
  case UV_ENFILE:
    return T2_ERR_LIMIT;
  case UV_EACCES:
  case UV_EPERM:
    return T2_ERR_FORBIDDEN;
  case UV_ECANCELED:
    return T2_ERR_CANCELLED;
  default:
    return status <= UV_EAI_ADDRFAMILY && status >= UV_EAI_PROTOCOL ? T2_ERR_RESOLVE : T2_ERR_IO;
  }
}
