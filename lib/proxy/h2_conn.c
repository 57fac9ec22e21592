#include <proxy/h2_conn.h>
#include <tunnel2/error.h>

/* DRAIN_NOTICE: GOAWAY without a last stream was sent, with a PING behind it; its answer proves that every
 * request sent before the notice was read has arrived (RFC 9113, 6.8). DRAIN_LAST: GOAWAY with the last
 * stream; the connection ends with the last of them. */
typedef enum drain_state { DRAIN_NONE, DRAIN_NOTICE, DRAIN_LAST } drain_state;

struct t2_h2_conn {
  t2_proxy *proxy;
  t2_conn *conn;
  t2_h2 *h2;
  t2_h2_conn_options options;
  t2_h2_conn_ops ops;
  void *user;
  t2_leg opener; /* client: stands in for the stream that its `head` opens */
  t2_timer timer;
  uint64_t last_read_ms;
  uint64_t last_stream_ms;
  drain_state drain;
  unsigned pings; /* not answered yet */
  bool closing;
  int error;
  t2_reapable reapable;
};

/* A stream and the leg on it. */
typedef struct h2_leg {
  t2_h2_stream stream;
  t2_leg leg;
  t2_h2_conn *owner;
} h2_leg;

void t2_h2_conn_options_init(t2_h2_conn_options *options, bool server) {
  *options = (t2_h2_conn_options){.ping_interval_ms = 15000, .ping_timeout_ms = 30000, .at = T2_AT_UPLINK};
  t2_h2_options_init(&options->h2);
  options->h2.server = server;
  options->h2.stream_size = sizeof(h2_leg);
}

void t2_h2_conn_options_init_uplink(t2_h2_conn_options *options, bool server) {
  t2_h2_conn_options_init(options, server);
  options->h2.field_section_max = 128 * 1024;
  options->h2.field_max = 192;
  options->h2.stream_window = 2 * T2_LEG_WINDOW; /* what one stalled stream may hold */
}

/* ---- The leg ---- */

static h2_leg *leg_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, h2_leg, leg);
}

static int stream_head(t2_leg *leg, const t2_head *head, bool end) {
  return t2_h2_respond(&leg_of(leg)->stream, head, end);
}

static int stream_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  return t2_h2_stream_data(&leg_of(leg)->stream, bytes, n);
}

static int stream_end(t2_leg *leg, const t2_fields *trailers) {
  return t2_h2_stream_end(&leg_of(leg)->stream, trailers);
}

static void stream_consumed(t2_leg *leg, size_t n) {
  t2_h2_stream_consume(&leg_of(leg)->stream, n);
}

static void stream_closed(t2_leg *leg, int err) {
  t2_h2_stream *stream = &leg_of(leg)->stream;
  if (err == 0)
    t2_h2_stream_abandon(stream); /* does nothing when the peer has ended too */
  else
    t2_h2_stream_reset(stream, leg->upstream ? T2_H2_CANCEL : T2_H2_INTERNAL_ERROR);
}

#define STREAM_OPS(where)                                                                                    \
  {                                                                                                          \
    .name = "h2 stream", .at = (where), .head = stream_head, .data = stream_data, .end = stream_end,         \
    .consumed = stream_consumed, .closed = stream_closed                                                     \
  }

/* One table for each place a failure can be named after. */
static const t2_leg_ops stream_ops[] = {
    [T2_AT_ROUTE] = STREAM_OPS(T2_AT_ROUTE),
    [T2_AT_UPLINK] = STREAM_OPS(T2_AT_UPLINK),
    [T2_AT_ORIGIN] = STREAM_OPS(T2_AT_ORIGIN),
    [T2_AT_LOCAL] = STREAM_OPS(T2_AT_LOCAL),
};

static void init_leg(t2_h2_conn *h2_conn, h2_leg *leg) {
  leg->leg.ops = &stream_ops[h2_conn->options.at];
  leg->owner = h2_conn;
}

/* The opener's head: opens the stream and puts the stream's own leg in its place. */
static int open_stream(t2_leg *opener, const t2_head *head, bool end) {
  t2_h2_conn *h2_conn = T2_CONTAINER_OF(opener, t2_h2_conn, opener);
  t2_h2_stream *stream;
  if (h2_conn->closing) return T2_ERR_CLOSED;
  int err = t2_h2_request(h2_conn->h2, head, end, &stream);
  if (err) return err == T2_ERR_LIMIT || err == T2_ERR_CLOSED ? T2_ERR_UNAVAILABLE : err;
  h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
  init_leg(h2_conn, leg);
  leg->leg.upstream = true;
  leg->leg.exchange = opener->exchange;
  leg->leg.exchange->up = &leg->leg;
  opener->exchange = NULL;
  return 0;
}

static void opener_closed(t2_leg *opener, int err) {
  (void)opener;
  (void)err;
}

static const t2_leg_ops opener_ops[] = {
    [T2_AT_ROUTE] = {.name = "h2 opener", .at = T2_AT_ROUTE, .head = open_stream, .closed = opener_closed},
    [T2_AT_UPLINK] = {.name = "h2 opener", .at = T2_AT_UPLINK, .head = open_stream, .closed = opener_closed},
    [T2_AT_ORIGIN] = {.name = "h2 opener", .at = T2_AT_ORIGIN, .head = open_stream, .closed = opener_closed},
    [T2_AT_LOCAL] = {.name = "h2 opener", .at = T2_AT_LOCAL, .head = open_stream, .closed = opener_closed},
};

/* ---- Events of the HTTP/2 connection ---- */

static void on_request(t2_h2_conn *h2_conn, h2_leg *leg, t2_head *head, bool end) {
  init_leg(h2_conn, leg);
  h2_conn->last_stream_ms = t2_loop_now(h2_conn->proxy->loop);
  bool wanted = h2_conn->ops.on_request && !h2_conn->closing;
  t2_exchange *exchange = wanted ? t2_exchange_new(h2_conn->proxy, &leg->leg, head) : NULL;
  if (!exchange) {
    t2_h2_stream_reset(&leg->stream, T2_H2_REFUSED_STREAM);
    return;
  }
  h2_conn->ops.on_request(h2_conn, exchange, head, end, h2_conn->user);
}

static void on_head(t2_h2_stream *stream, t2_head *head, bool end, void *user) {
  t2_h2_conn *h2_conn = user;
  h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
  if (h2_conn->options.h2.server)
    on_request(h2_conn, leg, head, end);
  else
    t2_exchange_head(&leg->leg, head, end);
}

static void on_stream_data(t2_h2_stream *stream, const uint8_t *bytes, size_t n, void *user) {
  (void)user;
  h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
  if (leg->leg.exchange)
    t2_exchange_data(&leg->leg, bytes, n);
  else
    t2_h2_stream_consume(stream, n);
}

static void on_stream_end(t2_h2_stream *stream, const t2_fields *trailers, void *user) {
  (void)user;
  t2_exchange_end(&T2_CONTAINER_OF(stream, h2_leg, stream)->leg, trailers);
}

static void on_sent(t2_h2_stream *stream, size_t n, void *user) {
  (void)user;
  t2_exchange_consumed(&T2_CONTAINER_OF(stream, h2_leg, stream)->leg, n);
}

static int error_of_close(const t2_h2_conn *h2_conn, uint32_t code, bool unprocessed) {
  if (h2_conn->error) return h2_conn->error == T2_ERR_CANCELLED ? T2_ERR_CLOSED : h2_conn->error;
  if (unprocessed) return T2_ERR_UNAVAILABLE;
  return code == T2_H2_CANCEL && h2_conn->options.h2.server ? T2_ERR_CANCELLED : T2_ERR_CLOSED;
}

static void on_stream_close(t2_h2_stream *stream, uint32_t code, bool unprocessed, void *user) {
  t2_h2_conn *h2_conn = user;
  h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
  if (leg->leg.exchange)
    t2_exchange_fail(&leg->leg, error_of_close(h2_conn, code, unprocessed), h2_conn->options.at, NULL);
  h2_conn->last_stream_ms = t2_loop_now(h2_conn->proxy->loop);
  if (h2_conn->closing) return;
  if (h2_conn->ops.on_capacity) h2_conn->ops.on_capacity(h2_conn, h2_conn->user);
  if (h2_conn->drain) t2_conn_wake(h2_conn->conn);
}

static void on_settings(t2_h2 *h2, void *user) {
  (void)h2;
  t2_h2_conn *h2_conn = user;
  if (h2_conn->ops.on_capacity) h2_conn->ops.on_capacity(h2_conn, h2_conn->user);
}

static void on_goaway(t2_h2 *h2, uint32_t code, void *user) {
  (void)h2;
  (void)code;
  t2_h2_conn *h2_conn = user;
  if (h2_conn->ops.on_going) h2_conn->ops.on_going(h2_conn, h2_conn->user);
}

static void ping(t2_h2_conn *h2_conn) {
  if (t2_h2_ping(h2_conn->h2) == 0) h2_conn->pings++;
}

static void drain_last(t2_h2_conn *h2_conn) {
  h2_conn->drain = DRAIN_LAST;
  t2_h2_drain(h2_conn->h2, true);
}

/* The answer to a PING that was sent before the notice says nothing about what was sent before the notice was
 * read: the last one counts. */
static void on_pong(t2_h2 *h2, void *user) {
  (void)h2;
  t2_h2_conn *h2_conn = user;
  if (h2_conn->pings) h2_conn->pings--;
  if (h2_conn->drain == DRAIN_NOTICE && h2_conn->pings == 0) drain_last(h2_conn);
}

static void on_wake(t2_h2 *h2, void *user) {
  (void)h2;
  t2_h2_conn *h2_conn = user;
  if (h2_conn->conn && !h2_conn->closing) t2_conn_wake(h2_conn->conn);
}

static const t2_h2_callbacks h2_callbacks = {
    .on_head = on_head,
    .on_data = on_stream_data,
    .on_end = on_stream_end,
    .on_sent = on_sent,
    .on_stream_close = on_stream_close,
    .on_settings = on_settings,
    .on_goaway = on_goaway,
    .on_pong = on_pong,
    .wake = on_wake,
};

/* ---- Events of the transport ---- */

/* Sends what is left (a GOAWAY mostly) and closes. */
static void part(t2_h2_conn *h2_conn, int err) {
  if (h2_conn->closing) return;
  h2_conn->closing = true;
  h2_conn->error = err;
  t2_h2_flush(h2_conn->h2, t2_conn_out(h2_conn->conn), SIZE_MAX);
  t2_conn_finish(h2_conn->conn, 1000);
}

/* Requests of this turn become frames before a GOAWAY that has just come is read: they are then among those
 * the peer still takes (RFC 9113, 6.8), as the order of the bytes says. */
static void flush_requests(t2_h2_conn *h2_conn) {
  if (h2_conn->options.h2.server || !t2_h2_wants_write(h2_conn->h2)) return;
  if (t2_h2_flush(h2_conn->h2, t2_conn_out(h2_conn->conn), T2_CONN_HIGH_WATER))
    t2_h2_conn_close(h2_conn, T2_ERR_NOMEM);
  else
    t2_conn_wake(h2_conn->conn);
}

void t2_h2_conn_feed(t2_h2_conn *h2_conn, const uint8_t *bytes, size_t n) {
  if (h2_conn->closing) return;
  flush_requests(h2_conn);
  if (h2_conn->closing) return;
  h2_conn->last_read_ms = t2_loop_now(h2_conn->proxy->loop);
  int err = t2_h2_feed(h2_conn->h2, bytes, n);
  if (err) part(h2_conn, err);
}

static void on_conn_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  (void)conn;
  t2_h2_conn_feed(user, bytes, n);
}

/* A GOAWAY was sent or has come, and all streams are done. */
static bool parted(const t2_h2_conn *h2_conn) {
  bool going = h2_conn->drain || t2_h2_peer_going(h2_conn->h2);
  return going && t2_h2_stream_count(h2_conn->h2) == 0;
}

static void on_conn_flush(t2_conn *conn, void *user) {
  t2_h2_conn *h2_conn = user;
  if (h2_conn->closing) return;
  if (t2_h2_flush(h2_conn->h2, t2_conn_out(conn), T2_CONN_HIGH_WATER)) {
    t2_h2_conn_close(h2_conn, T2_ERR_NOMEM);
    return;
  }
  bool drained = h2_conn->drain == DRAIN_LAST && t2_h2_stream_count(h2_conn->h2) == 0;
  if (t2_h2_over(h2_conn->h2))
    part(h2_conn, parted(h2_conn) ? 0 : T2_ERR_PROTOCOL); /* nghttp2 gave up, for what the peer did */
  else if (drained && !t2_h2_wants_write(h2_conn->h2))
    part(h2_conn, 0);
}

static void on_conn_written(t2_conn *conn, void *user) {
  t2_h2_conn *h2_conn = user;
  if (!h2_conn->closing && t2_h2_wants_write(h2_conn->h2) && t2_conn_pending(conn) < T2_CONN_HIGH_WATER)
    t2_conn_wake(conn);
}

static void free_h2_conn(t2_reapable *reapable) {
  t2_h2_conn *h2_conn = T2_CONTAINER_OF(reapable, t2_h2_conn, reapable);
  t2_free(h2_conn->proxy->loop->mem, h2_conn);
}

static void on_conn_close(t2_conn *conn, int err, void *user) {
  t2_h2_conn *h2_conn = user;
  h2_conn->closing = true;
  if (err == T2_ERR_CLOSED && parted(h2_conn)) err = 0;
  if (h2_conn->error == 0) h2_conn->error = err;
  int outcome = h2_conn->error;
  if (h2_conn->error == 0) h2_conn->error = T2_ERR_CLOSED;
  t2_loop_timer_stop(h2_conn->proxy->loop, &h2_conn->timer);
  t2_h2_free(h2_conn->h2);
  h2_conn->h2 = NULL;
  /* In this order: what frees the proxy after on_close is freed after this. */
  t2_loop_reap(h2_conn->proxy->loop, &h2_conn->reapable, free_h2_conn);
  if (h2_conn->ops.on_close) h2_conn->ops.on_close(h2_conn, outcome, t2_conn_detail(conn), h2_conn->user);
}

static const t2_conn_ops conn_ops = {
    .on_data = on_conn_data,
    .on_flush = on_conn_flush,
    .on_written = on_conn_written,
    .on_close = on_conn_close,
};

/* ---- Liveness ---- */

static void start_timer(t2_h2_conn *h2_conn) {
  uint64_t ping_ms = h2_conn->options.ping_interval_ms, idle_ms = h2_conn->options.idle_timeout_ms;
  uint64_t period = ping_ms && (!idle_ms || ping_ms < idle_ms) ? ping_ms : idle_ms;
  if (period) t2_loop_timer_start(h2_conn->proxy->loop, &h2_conn->timer, period);
}

static void on_timer(t2_timer *timer) {
  t2_h2_conn *h2_conn = T2_CONTAINER_OF(timer, t2_h2_conn, timer);
  t2_loop *loop = h2_conn->proxy->loop;
  uint64_t now = t2_loop_now(loop), silent = now - h2_conn->last_read_ms;
  const t2_h2_conn_options *o = &h2_conn->options;
  if (h2_conn->closing) return;
  if (o->ping_interval_ms && o->ping_timeout_ms && silent >= o->ping_timeout_ms) {
    t2_h2_conn_close(h2_conn, T2_ERR_TIMEOUT);
    return;
  }
  if (o->idle_timeout_ms && t2_h2_stream_count(h2_conn->h2) == 0 &&
      now - h2_conn->last_stream_ms >= o->idle_timeout_ms) {
    h2_conn->drain = DRAIN_LAST;
    t2_h2_terminate(h2_conn->h2, T2_H2_NO_ERROR);
  } else if (o->ping_interval_ms && silent >= o->ping_interval_ms) {
    ping(h2_conn);
  }
  start_timer(h2_conn);
}

/* ---- Calls ---- */

int t2_h2_conn_new(t2_h2_conn **out, t2_proxy *proxy, t2_conn *conn, const t2_h2_conn_options *options,
                   const t2_h2_conn_ops *ops, void *user) {
  *out = NULL;
  t2_h2_conn *h2_conn = t2_calloc(proxy->loop->mem, 1, sizeof(*h2_conn));
  if (!h2_conn) {
    t2_conn_close(conn, T2_ERR_NOMEM);
    return T2_ERR_NOMEM;
  }
  h2_conn->proxy = proxy;
  h2_conn->options = *options;
  h2_conn->options.h2.stream_size = sizeof(h2_leg);
  h2_conn->ops = *ops;
  h2_conn->user = user;
  h2_conn->opener.ops = &opener_ops[options->at];
  h2_conn->last_read_ms = h2_conn->last_stream_ms = t2_loop_now(proxy->loop);
  t2_timer_init(&h2_conn->timer, on_timer);
  int err = t2_h2_new(&h2_conn->h2, proxy->loop->mem, &h2_conn->options.h2, &h2_callbacks, h2_conn);
  if (err) {
    t2_free(proxy->loop->mem, h2_conn);
    t2_conn_close(conn, err);
    return err;
  }
  h2_conn->conn = conn;
  t2_conn_set_ops(conn, &conn_ops, h2_conn);
  t2_conn_wake(conn);
  start_timer(h2_conn);
  *out = h2_conn;
  return 0;
}

t2_leg *t2_h2_conn_leg(t2_h2_conn *h2_conn) {
  return t2_h2_conn_capacity(h2_conn) ? &h2_conn->opener : NULL;
}

size_t t2_h2_conn_capacity(const t2_h2_conn *h2_conn) {
  return h2_conn->closing || h2_conn->drain ? 0 : t2_h2_capacity(h2_conn->h2);
}

size_t t2_h2_conn_active(const t2_h2_conn *h2_conn) {
  return h2_conn->h2 ? t2_h2_stream_count(h2_conn->h2) : 0;
}

void t2_h2_conn_drain(t2_h2_conn *h2_conn) {
  if (h2_conn->closing || h2_conn->drain) return;
  if (h2_conn->options.h2.server) {
    h2_conn->drain = DRAIN_NOTICE;
    t2_h2_drain(h2_conn->h2, false);
    ping(h2_conn);
    if (h2_conn->pings == 0) drain_last(h2_conn);
  } else {
    drain_last(h2_conn);
  }
}

void t2_h2_conn_close(t2_h2_conn *h2_conn, int err) {
  if (h2_conn->closing && h2_conn->error) return;
  h2_conn->closing = true;
  h2_conn->error = err;
  t2_conn_close(h2_conn->conn, err);
}

t2_conn *t2_h2_conn_transport(const t2_h2_conn *h2_conn) {
  return h2_conn->conn;
}

void *t2_h2_conn_user(const t2_h2_conn *h2_conn) {
  return h2_conn->user;
}

t2_proxy *t2_h2_conn_proxy(const t2_h2_conn *h2_conn) {
  return h2_conn->proxy;
}

t2_h2_conn *t2_h2_conn_of_leg(const t2_leg *leg) {
  for (size_t i = 0; i < T2_COUNT_OF(stream_ops); i++)
    if (leg->ops == &stream_ops[i]) return T2_CONTAINER_OF((t2_leg *)(uintptr_t)leg, h2_leg, leg)->owner;
  return NULL;
}
