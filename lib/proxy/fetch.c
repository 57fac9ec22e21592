#include <proxy/fetch.h>
#include <tunnel2/error.h>

struct t2_fetch {
  t2_leg leg;
  t2_proxy *proxy;
  t2_exchange *exchange; /* as long as leg.exchange is set */
  t2_head *head;         /* of the response; a copy */
  t2_buf body;
  size_t body_max;
  t2_timer timer; /* the deadline; then, at 0, brings the outcome from outside of any other call */
  int err;
  bool over;
  t2_fetch_cb cb;
  void *user;
  t2_reapable reapable;
};

static t2_fetch *fetch_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_fetch, leg);
}

static void free_fetch(t2_reapable *reapable) {
  t2_fetch *fetch = T2_CONTAINER_OF(reapable, t2_fetch, reapable);
  t2_head_free_copy(fetch->head, fetch->proxy->loop->mem);
  t2_buf_fini(&fetch->body);
  t2_free(fetch->proxy->loop->mem, fetch);
}

static void deliver(t2_fetch *fetch) {
  bool whole = fetch->err == 0 && fetch->head;
  int err = whole ? 0 : fetch->err ? fetch->err : T2_ERR_CLOSED;
  t2_str body = t2_str_of((const char *)t2_buf_head(&fetch->body), t2_buf_len(&fetch->body));
  fetch->cb(fetch, err, whole ? fetch->head->status : 0, whole ? fetch->head : NULL,
            whole ? body : T2_STR_NULL, fetch->user);
  t2_loop_reap(fetch->proxy->loop, &fetch->reapable, free_fetch);
}

static void conclude(t2_fetch *fetch, int err) {
  if (fetch->over) return;
  fetch->over = true;
  fetch->err = err;
  t2_loop_timer_start(fetch->proxy->loop, &fetch->timer, 0);
}

static void on_timer(t2_timer *timer) {
  t2_fetch *fetch = T2_CONTAINER_OF(timer, t2_fetch, timer);
  if (!fetch->over) {
    fetch->over = true;
    fetch->err = T2_ERR_TIMEOUT;
    t2_exchange_fail(&fetch->leg, T2_ERR_TIMEOUT, T2_AT_LOCAL, NULL);
  }
  deliver(fetch);
}

static int fetch_head(t2_leg *leg, const t2_head *head, bool end) {
  (void)end;
  t2_fetch *fetch = fetch_of(leg);
  if (head->status < 200) return 0;
  fetch->head = t2_head_copy(head, fetch->proxy->loop->mem);
  return fetch->head ? 0 : T2_ERR_NOMEM;
}

static int fetch_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  t2_fetch *fetch = fetch_of(leg);
  t2_exchange_consumed(leg, n);
  if (n > fetch->body_max - t2_buf_len(&fetch->body)) return T2_ERR_LIMIT;
  return t2_buf_append(&fetch->body, bytes, n);
}

static int fetch_end(t2_leg *leg, const t2_fields *trailers) {
  (void)leg;
  (void)trailers;
  return 0;
}

static void fetch_consumed(t2_leg *leg, size_t n) {
  (void)leg;
  (void)n;
}

/* A problem that this side's own exchange made up is no answer of the server's: the exchange remembers the
 * error. */
static void fetch_closed(t2_leg *leg, int err) {
  t2_fetch *fetch = fetch_of(leg);
  int why = fetch->exchange->error;
  conclude(fetch, why ? why : err);
}

static const t2_leg_ops fetch_ops = {
    .name = "fetch",
    .at = T2_AT_LOCAL,
    .head = fetch_head,
    .data = fetch_data,
    .end = fetch_end,
    .consumed = fetch_consumed,
    .closed = fetch_closed,
};

int t2_fetch_start(t2_fetch **out, t2_h2_conn *h2_conn, const t2_head *head, t2_str body, size_t body_max,
                   uint64_t timeout_ms, t2_fetch_cb cb, void *user) {
  t2_leg *up = t2_h2_conn_leg(h2_conn);
  *out = NULL;
  if (!up) return T2_ERR_UNAVAILABLE;
  return t2_fetch_start_on(out, t2_h2_conn_proxy(h2_conn), up, head, body, body_max, timeout_ms, cb, user);
}

int t2_fetch_start_on(t2_fetch **out, t2_proxy *proxy, t2_leg *up, const t2_head *head, t2_str body,
                      size_t body_max, uint64_t timeout_ms, t2_fetch_cb cb, void *user) {
  *out = NULL;
  t2_fetch *fetch = t2_calloc(proxy->loop->mem, 1, sizeof(*fetch));
  if (!fetch) return T2_ERR_NOMEM;
  fetch->leg.ops = &fetch_ops;
  fetch->proxy = proxy;
  fetch->body_max = body_max;
  fetch->cb = cb;
  fetch->user = user;
  t2_buf_init(&fetch->body, proxy->loop->mem);
  t2_timer_init(&fetch->timer, on_timer);
  fetch->exchange = t2_exchange_new(proxy, &fetch->leg, head);
  if (!fetch->exchange) {
    t2_free(proxy->loop->mem, fetch);
    return T2_ERR_NOMEM;
  }
  t2_loop_timer_start(proxy->loop, &fetch->timer, timeout_ms);
  *out = fetch;
  t2_exchange_connect(fetch->exchange, up, head, body.n == 0, NULL, 0);
  if (body.n) {
    t2_exchange_data(&fetch->leg, (const uint8_t *)body.p, body.n);
    t2_exchange_end(&fetch->leg, NULL);
  }
  return 0;
}

void t2_fetch_cancel(t2_fetch *fetch) {
  t2_loop_timer_stop(fetch->proxy->loop, &fetch->timer);
  fetch->over = true;
  if (fetch->leg.exchange) t2_exchange_fail(&fetch->leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
  t2_loop_reap(fetch->proxy->loop, &fetch->reapable, free_fetch);
}
