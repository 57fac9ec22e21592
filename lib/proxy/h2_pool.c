#include <proxy/dial_failure.h>
#include <proxy/h2_pool.h>
#include <proxy/queue.h>
#include <proxy/ws_handshake.h>
#include <tunnel2/error.h>

#define REDIAL_MS 1000 /* after a failure, while there are connections that serve */

/* gRPC servers count PINGs that come more often than every 5 minutes as abuse. */
#define PING_INTERVAL_MS (310 * 1000)
#define PING_TIMEOUT_MS  (330 * 1000)

typedef struct pool_conn {
  t2_list node;
  t2_h2_pool *pool;
  t2_dial *dial;  /* DIALLING */
  t2_h2_conn *h2; /* after that, until its on_close */
  bool up;        /* its SETTINGS have come */
  bool going;     /* it takes no more requests */
} pool_conn;

struct t2_h2_pool {
  t2_proxy *proxy;
  t2_loop *loop;
  t2_leg opener; /* stands in for the stream that its `head` opens, or for the place in the queue */
  t2_leg giver;  /* the same for what comes out of the queue: it is not put in again */
  t2_h2_pool_options options;
  t2_dial_options dial;
  t2_h2_pool_ops ops;
  void *user;
  char *host, *unix_path, *host_header;
  t2_list conns; /* the one opened last comes last */
  size_t conn_count;
  pool_conn *opening; /* of these the one that is DIALLING or SETTLING */
  t2_queue queue;
  t2_flushable dispatcher;
  t2_timer timer; /* `opening` is SETTLING; or else: a dial has failed, and requests wait */
  uint64_t dial_after_ms;
  uint64_t dials;
  void (*told)(int err, void *user); /* of dials; NULL: nobody */
  void *told_user;
  bool failing;     /* the last dial failed, and that was logged */
  bool no_upgrades; /* the connection opened last takes no extended CONNECT */
  bool closing;
  t2_reapable reapable;
};

void t2_h2_pool_options_init(t2_h2_pool_options *options) {
  *options = (t2_h2_pool_options){.connect_timeout_ms = 5000,
                                  .idle_timeout_ms = 60000,
                                  .connections_max = 16,
                                  .waiting_max = 1024,
                                  .keep_max = 64 * 1024};
}

/* ---- The leg ---- */

static t2_leg *pick(t2_h2_pool *pool) {
  T2_LIST_FOREACH(node, next, &pool->conns) {
    const pool_conn *conn = T2_LIST_ENTRY(node, pool_conn, node);
    t2_leg *leg = conn->up && !conn->going ? t2_h2_conn_leg(conn->h2) : NULL;
    if (leg) return leg;
  }
  return NULL;
}

static int enqueue(t2_h2_pool *pool, t2_leg *from, const t2_head *head, bool end) {
  int err = t2_queue_put(&pool->queue, from, head, end, NULL);
  if (err == 0) t2_loop_wake(pool->loop, &pool->dispatcher);
  return err;
}

static int step_aside(t2_leg *from, t2_leg *to, const t2_head *head, bool end) {
  to->exchange = from->exchange;
  to->upstream = true;
  to->exchange->up = to;
  from->exchange = NULL;
  return to->ops->head(to, head, end);
}

static int ask_http1(t2_h2_pool *pool, t2_leg *from, const t2_head *head, bool end) {
  if (!pool->ops.http1_leg) return T2_ERR_UNSUPPORTED;
  return step_aside(from, pool->ops.http1_leg(pool, pool->user), head, end);
}

/* Its name has one spelling here, and it needs no key (RFC 8441, 5). */
static int open_websocket(t2_h2_pool *pool, t2_leg *from, t2_leg *to, const t2_head *head, bool end) {
  t2_head keyless;
  int err = t2_head_without(head, T2_STR("sec-websocket-key"), pool->loop->mem, &keyless);
  if (err) return err;
  keyless.protocol = T2_STR("websocket");
  err = step_aside(from, to, &keyless, end);
  t2_fields_fini(&keyless.fields);
  return err;
}

/* Opens a stream on the connection whose leg `to` is, for the exchange that `from` stands in. */
static int open_stream(t2_h2_pool *pool, t2_leg *from, t2_leg *to, const t2_head *head, bool end) {
  bool upgrade = from->exchange->upgrade;
  t2_head plain = *head;
  if (upgrade && !t2_h2_conn_leg_upgrades(to)) return ask_http1(pool, from, head, end);
  plain.scheme = pool->dial.tls ? T2_STR("https") : T2_STR("http");
  if (pool->options.host_header.n) plain.authority = pool->options.host_header;
  bool websocket = upgrade && t2_ws_is(head->protocol);
  return websocket ? open_websocket(pool, from, to, &plain, end) : step_aside(from, to, &plain, end);
}

/* What has been learnt holds while there is no connection to ask again. */
static bool needs_http1(const t2_h2_pool *pool, const t2_exchange *exchange) {
  return exchange->upgrade && pool->no_upgrades && pool->conn_count == 0 && pool->ops.http1_leg;
}

/* A request that comes from within a connection's callbacks, for the second time, waits until they are over.
 */
static int opener_head(t2_leg *opener, const t2_head *head, bool end) {
  t2_h2_pool *pool = T2_CONTAINER_OF(opener, t2_h2_pool, opener);
  if (pool->closing) return T2_ERR_CANCELLED;
  if (needs_http1(pool, opener->exchange)) return ask_http1(pool, opener, head, end);
  bool queue = pool->queue.count || opener->exchange->repeated;
  t2_leg *to = queue ? NULL : pick(pool);
  return to ? open_stream(pool, opener, to, head, end) : enqueue(pool, opener, head, end);
}

static int giver_head(t2_leg *giver, const t2_head *head, bool end) {
  t2_h2_pool *pool = T2_CONTAINER_OF(giver, t2_h2_pool, giver);
  t2_leg *to = pick(pool);
  return to ? open_stream(pool, giver, to, head, end) : T2_ERR_UNAVAILABLE;
}

static void stand_in_closed(t2_leg *leg, int err) {
  (void)leg;
  (void)err;
}

static const t2_leg_ops opener_ops = {
    .name = "h2 pool", .at = T2_AT_ORIGIN, .head = opener_head, .closed = stand_in_closed};
static const t2_leg_ops giver_ops = {
    .name = "h2 pool", .at = T2_AT_ORIGIN, .head = giver_head, .closed = stand_in_closed};

/* ---- Connections ---- */

static void say_dialled(t2_h2_pool *pool, int err, const char *detail) {
  if (err && !pool->failing)
    t2_log_at(&pool->loop->log, WARN, "proxy", "origin: %s", detail && *detail ? detail : t2_strerror(err));
  else if (!err && pool->failing)
    t2_log_at(&pool->loop->log, INFO, "proxy", "origin: connected again");
  pool->failing = err != 0;
  if (pool->told) pool->told(err, pool->told_user);
}

static size_t serving(const t2_h2_pool *pool) {
  size_t n = 0;
  T2_LIST_FOREACH(node, next, &pool->conns) {
    const pool_conn *conn = T2_LIST_ENTRY(node, pool_conn, node);
    if (!conn->going) n++;
  }
  return n;
}

static void free_pool(t2_reapable *reapable) {
  t2_h2_pool *pool = T2_CONTAINER_OF(reapable, t2_h2_pool, reapable);
  const t2_allocator *mem = pool->loop->mem;
  if (pool->dial.tls) t2_tls_unref(pool->dial.tls);
  t2_free(mem, pool->host);
  t2_free(mem, pool->unix_path);
  t2_free(mem, pool->host_header);
  t2_free(mem, pool);
}

static void gone(t2_h2_pool *pool) {
  t2_loop_calm(&pool->dispatcher);
  t2_queue_fini(&pool->queue);
  t2_loop_timer_stop(pool->loop, &pool->timer);
  pool->ops.on_gone(pool, pool->user);
  t2_loop_reap(pool->loop, &pool->reapable, free_pool);
}

static void remove_conn(pool_conn *conn) {
  t2_h2_pool *pool = conn->pool;
  if (pool->opening == conn) {
    pool->opening = NULL;
    t2_loop_timer_stop(pool->loop, &pool->timer);
  }
  t2_list_remove(&conn->node);
  pool->conn_count--;
  t2_free(pool->loop->mem, conn);
}

/* There will be no connection for what waits, unless others make room. */
static void opening_failed(t2_h2_pool *pool, int err, t2_problem_at at, const char *detail) {
  say_dialled(pool, err, detail);
  pool->dial_after_ms = t2_loop_now(pool->loop) + REDIAL_MS;
  if (serving(pool) == 0)
    t2_queue_fail(&pool->queue, err, at, t2_dial_failure(err));
  else if (pool->queue.count)
    t2_loop_timer_start(pool->loop, &pool->timer, REDIAL_MS);
}

static void on_capacity(t2_h2_conn *h2, void *user) {
  pool_conn *conn = user;
  t2_h2_pool *pool = conn->pool;
  if (pool->opening == conn) {
    conn->up = true;
    pool->no_upgrades = !t2_h2_conn_upgrades(h2);
    pool->opening = NULL;
    t2_loop_timer_stop(pool->loop, &pool->timer);
    say_dialled(pool, 0, NULL);
  }
  if (pool->queue.count) t2_loop_wake(pool->loop, &pool->dispatcher);
}

static void on_going(t2_h2_conn *h2, void *user) {
  pool_conn *conn = user;
  (void)h2;
  conn->going = true;
}

static void on_unprocessed(t2_h2_conn *h2, t2_leg *leg, const t2_held *request, void *user) {
  t2_h2_pool *pool = ((pool_conn *)user)->pool;
  (void)h2;
  if (!pool->closing) t2_exchange_hand_over(leg, &pool->opener, request, true);
}

static void on_h2_close(t2_h2_conn *h2, int err, const char *detail, void *user) {
  pool_conn *conn = user;
  t2_h2_pool *pool = conn->pool;
  bool opening = pool->opening == conn;
  (void)h2;
  remove_conn(conn);
  if (pool->closing) {
    if (pool->conn_count == 0) gone(pool);
    return;
  }
  if (opening) opening_failed(pool, err ? err : T2_ERR_CLOSED, T2_AT_ORIGIN, detail);
  if (pool->queue.count) t2_loop_wake(pool->loop, &pool->dispatcher);
}

static const t2_h2_conn_ops h2_ops = {
    .on_capacity = on_capacity,
    .on_going = on_going,
    .on_unprocessed = on_unprocessed,
    .on_close = on_h2_close,
};

static void on_timer(t2_timer *timer) {
  t2_h2_pool *pool = T2_CONTAINER_OF(timer, t2_h2_pool, timer);
  if (!pool->opening)
    t2_loop_wake(pool->loop, &pool->dispatcher);
  else if (pool->opening->h2)
    t2_h2_conn_close(pool->opening->h2, T2_ERR_TIMEOUT);
}

static int settle(pool_conn *conn, t2_conn *transport) {
  t2_h2_pool *pool = conn->pool;
  t2_h2_conn_options options;
  t2_h2_conn_options_init_uplink(&options, false);
  options.uplink = false;
  options.h2.connection_window = 8 * options.h2.stream_window;
  options.at = T2_AT_ORIGIN;
  options.ping_interval_ms = PING_INTERVAL_MS;
  options.ping_timeout_ms = PING_TIMEOUT_MS;
  options.idle_timeout_ms = pool->options.idle_timeout_ms;
  options.keep_max = pool->options.keep_max;
  t2_loop_timer_start(pool->loop, &pool->timer, pool->options.connect_timeout_ms);
  return t2_h2_conn_new(&conn->h2, pool->proxy, transport, &options, &h2_ops, conn);
}

/* The origin speaks TLS, but not HTTP/2. */
static void turn_to_http1(t2_h2_pool *pool, t2_conn *transport) {
  if (!pool->ops.on_http1) {
    t2_conn_close(transport, T2_ERR_PROTOCOL);
    opening_failed(pool, T2_ERR_PROTOCOL, T2_AT_ORIGIN, "the origin does not speak HTTP/2");
    return;
  }
  say_dialled(pool, 0, NULL);
  pool->ops.on_http1(pool, transport, pool->user);
  for (size_t n = pool->queue.count; n && t2_queue_first(&pool->queue); n--)
    t2_queue_hand_over(t2_queue_first(&pool->queue), pool->ops.http1_leg(pool, pool->user));
}

static void on_dialled(t2_dial *dial, int err, t2_conn *transport, const char *detail, void *user) {
  pool_conn *conn = user;
  t2_h2_pool *pool = conn->pool;
  (void)dial;
  pool->dials++;
  conn->dial = NULL;
  if (err == 0 && pool->dial.tls && !t2_str_eq(t2_conn_alpn(transport), T2_STR("h2"))) {
    remove_conn(conn);
    turn_to_http1(pool, transport);
    return;
  }
  t2_problem_at at = err ? T2_AT_DIAL : T2_AT_ORIGIN;
  if (err == 0) err = settle(conn, transport);
  if (err == 0) return;
  remove_conn(conn);
  opening_failed(pool, err, at, detail);
}

static void open_one(t2_h2_pool *pool) {
  pool_conn *conn = t2_calloc(pool->loop->mem, 1, sizeof(*conn));
  int err = T2_ERR_NOMEM;
  if (conn) {
    conn->pool = pool;
    err = t2_dial_start(&conn->dial, pool->loop, &pool->dial, on_dialled, conn);
  }
  if (err) {
    t2_free(pool->loop->mem, conn);
    opening_failed(pool, err, T2_AT_DIAL, NULL);
    return;
  }
  pool->opening = conn;
  t2_list_push_back(&pool->conns, &conn->node);
  pool->conn_count++;
}

/* Connections that are going, with streams that last, do not keep others from being opened; but there is an
 * end to that too. */
static bool may_open(const t2_h2_pool *pool) {
  size_t n = serving(pool);
  if (pool->opening || n >= pool->options.connections_max) return false;
  if (pool->conn_count >= 4 * pool->options.connections_max) return false;
  return n == 0 || t2_loop_now(pool->loop) >= pool->dial_after_ms;
}

static void dispatch(t2_flushable *flushable) {
  t2_h2_pool *pool = T2_CONTAINER_OF(flushable, t2_h2_pool, dispatcher);
  while (!pool->closing && t2_queue_first(&pool->queue) && pick(pool))
    t2_queue_hand_over(t2_queue_first(&pool->queue), &pool->giver);
  if (!pool->closing && t2_queue_first(&pool->queue) && may_open(pool)) open_one(pool);
}

/* ---- Calls ---- */

static bool copy_names(t2_h2_pool *pool, const t2_h2_pool_options *options) {
  const t2_allocator *mem = pool->loop->mem;
  pool->host = t2_strndup(mem, options->host.p ? options->host.p : "", options->host.n);
  pool->host_header =
      t2_strndup(mem, options->host_header.p ? options->host_header.p : "", options->host_header.n);
  pool->unix_path = options->unix_path ? t2_strdup(mem, options->unix_path) : NULL;
  return pool->host && pool->host_header && (pool->unix_path || !options->unix_path);
}

static void init_pool(t2_h2_pool *pool, t2_proxy *proxy, const t2_h2_pool_ops *ops, void *user) {
  pool->proxy = proxy;
  pool->loop = proxy->loop;
  pool->ops = *ops;
  pool->user = user;
  pool->opener.ops = &opener_ops;
  pool->giver.ops = &giver_ops;
  t2_list_init(&pool->conns);
  t2_flushable_init(&pool->dispatcher, dispatch);
  t2_timer_init(&pool->timer, on_timer);
}

int t2_h2_pool_new(t2_h2_pool **out, t2_proxy *proxy, const t2_h2_pool_options *options,
                   const t2_h2_pool_ops *ops, void *user) {
  *out = NULL;
  if (options->host.n == 0 && !options->unix_path) return T2_ERR_INVALID;
  t2_h2_pool *pool = t2_calloc(proxy->loop->mem, 1, sizeof(*pool));
  if (!pool) return T2_ERR_NOMEM;
  init_pool(pool, proxy, ops, user);
  if (!copy_names(pool, options)) {
    free_pool(&pool->reapable);
    return T2_ERR_NOMEM;
  }
  pool->options = *options;
  t2_queue_init(&pool->queue, pool->loop,
                &(t2_queue_options){.at = T2_AT_ORIGIN, .max = options->waiting_max});
  pool->options.host_header = t2_str_c(pool->host_header);
  pool->dial = (t2_dial_options){.host = t2_str_c(pool->host),
                                 .port = options->port,
                                 .unix_path = pool->unix_path,
                                 .tls = options->tls ? t2_tls_ref(options->tls) : NULL,
                                 .timeout_ms = options->connect_timeout_ms};
  *out = pool;
  return 0;
}

t2_leg *t2_h2_pool_leg(t2_h2_pool *pool) {
  return &pool->opener;
}

size_t t2_h2_pool_connections(const t2_h2_pool *pool) {
  return pool->conn_count;
}

size_t t2_h2_pool_waiting(const t2_h2_pool *pool) {
  return pool->queue.count;
}

void t2_h2_pool_on_dialled(t2_h2_pool *pool, void (*told)(int err, void *user), void *user) {
  pool->told = told;
  pool->told_user = user;
}

uint64_t t2_h2_pool_dials(const t2_h2_pool *pool) {
  return pool->dials;
}

void t2_h2_pool_close(t2_h2_pool *pool) {
  if (pool->closing) return;
  pool->closing = true;
  t2_queue_fail(&pool->queue, T2_ERR_CANCELLED, T2_AT_ORIGIN, NULL);
  T2_LIST_FOREACH(node, next, &pool->conns) {
    pool_conn *conn = T2_LIST_ENTRY(node, pool_conn, node);
    if (conn->h2) {
      t2_h2_conn_close(conn->h2, T2_ERR_CANCELLED);
    } else {
      t2_dial_cancel(conn->dial);
      remove_conn(conn);
    }
  }
  if (pool->conn_count == 0) gone(pool);
}
