#include <proxy/h2_conn_internal.h>
#include <tunnel2/error.h>
#include <tunnel2/request.h>

#define INTERIM_MAX 32 /* 1xx heads before a final one */

void t2_h2_conn_options_init(t2_h2_conn_options *options, bool server) {
  *options = (t2_h2_conn_options){.ping_interval_ms = 15000,
                                  .ping_timeout_ms = 30000,
                                  .settle_timeout_ms = 30000,
                                  .repeats_max = 1,
                                  .at = T2_AT_UPLINK};
  t2_h2_options_init(&options->h2);
  options->h2.server = server;
  options->h2.stream_size = sizeof(h2_leg);
}

void t2_h2_conn_options_init_uplink(t2_h2_conn_options *options, bool server) {
  t2_h2_conn_options_init(options, server);
  options->h2.field_section_max = 128 * 1024;
  options->h2.field_max = 192;
  options->h2.extended_connect = true;
  options->uplink = true;
  options->h2.stream_window = T2_REQUEST_WINDOW; /* what one stalled stream may hold */
  /* An entry gives up streams for all of the public, which it has bounded already; a client speaks for
   * itself, and for whatever its origin does. */
  options->h2.patience = server ? 1000 : 20;
}

/* ---- The leg ---- */

static h2_leg *leg_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, h2_leg, leg);
}

/* A 2xx that grants no upgrade. */
static int decline(h2_leg *leg, const t2_head *head, bool end) {
  const t2_h2_conn *h2_conn = leg->owner;
  t2_head marked;
  if (!h2_conn->options.uplink) return T2_ERR_PROTOCOL; /* there is no way to say it */
  int err = t2_head_with(head, T2_STR(T2_H2_DECLINED), T2_STR("?1"), h2_conn->proxy->loop->mem, &marked);
  if (err) return err;
  err = t2_h2_respond(&leg->stream, &marked, end);
  t2_fields_fini(&marked.fields);
  return err;
}

static int stream_head(t2_leg *leg, const t2_head *head, bool end) {
  if (leg->exchange->upgrade && head->status / 100 == 2) return decline(leg_of(leg), head, end);
  return t2_h2_respond(&leg_of(leg)->stream, head, end);
}

static int stream_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  if (leg_of(leg)->keeps) t2_h2_leg_keep_data(leg_of(leg), bytes, n);
  return t2_h2_stream_data(&leg_of(leg)->stream, bytes, n);
}

static int stream_end(t2_leg *leg, const t2_fields *trailers) {
  h2_leg *h2 = leg_of(leg);
  if (h2->keeps && t2_held_end(&h2->kept, trailers)) t2_h2_leg_drop_kept(h2);
  return t2_h2_stream_end(&leg_of(leg)->stream, trailers);
}

static void stream_consumed(t2_leg *leg, size_t n) {
  t2_h2_stream_consume(&leg_of(leg)->stream, n);
}

/* A peer from which nothing at all has come while a request ran into its timeout gets no more of them. On an
 * uplink it may just have had nothing to say, to one slow request: it is asked first. */
static void doubt(t2_h2_conn *h2_conn) {
  if (h2_conn->closing) return;
  if (h2_conn->options.uplink && !h2_conn->asked_ms)
    t2_h2_conn_ask(h2_conn);
  else
    t2_h2_conn_drain(h2_conn);
}

static void stream_closed(t2_leg *leg, int err) {
  t2_h2_stream *stream = &leg_of(leg)->stream;
  t2_h2_conn *h2_conn = leg_of(leg)->owner;
  if (err == T2_ERR_TIMEOUT && leg->upstream && h2_conn->last_read_ms <= leg_of(leg)->opened_ms)
    doubt(h2_conn);
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
  leg->opened_ms = t2_loop_now(h2_conn->proxy->loop);
  leg->opened_at = t2_conn_bytes_offered(h2_conn->conn);
  if (h2_conn->options.keep_max && opener->exchange->repeated < h2_conn->options.repeats_max)
    t2_h2_leg_keep(leg, head, end);
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

/* Takes the mark off. */
static bool was_declined(const t2_h2_conn *h2_conn, t2_head *head) {
  if (!h2_conn->options.uplink) return false;
  size_t kept = 0, n = head->fields.n;
  for (size_t i = 0; i < n; i++)
    if (!t2_str_eq(head->fields.list[i].name, T2_STR(T2_H2_DECLINED)))
      head->fields.list[kept++] = head->fields.list[i];
  head->fields.n = kept;
  return kept < n;
}

/* What accepts an upgrade is a 2xx here, and a 101 to everybody else. */
static void on_upgraded(h2_leg *leg, t2_head *head, bool end) {
  head->status = 101;
  head->protocol = t2_str_c(leg->leg.exchange->protocol);
  head->content_length = -1;
  /* It could only be that of a key which a server of HTTP/2 has no business with (RFC 8441, 5). */
  if (!leg->owner->options.uplink) t2_fields_remove(&head->fields, T2_STR("sec-websocket-accept"));
  t2_exchange_head(&leg->leg, head, false);
  if (end) t2_exchange_end(&leg->leg, NULL);
}

static void on_response(t2_h2_conn *h2_conn, h2_leg *leg, t2_head *head, bool end) {
  h2_conn->answered = true;
  t2_h2_leg_drop_kept(leg);
  if (head->status < 200 && ++leg->interim > INTERIM_MAX) {
    t2_h2_stream_reset(&leg->stream, T2_H2_ENHANCE_YOUR_CALM);
    t2_exchange_fail(&leg->leg, T2_ERR_PROTOCOL, h2_conn->options.at, "interim responses came without end");
  } else if (leg->leg.exchange && leg->leg.exchange->upgrade && head->status / 100 == 2 &&
             !was_declined(h2_conn, head)) {
    on_upgraded(leg, head, end);
  } else {
    t2_exchange_head(&leg->leg, head, end);
  }
}

static void on_head(t2_h2_stream *stream, t2_head *head, bool end, void *user) {
  t2_h2_conn *h2_conn = user;
  h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
  if (h2_conn->options.h2.server)
    on_request(h2_conn, leg, head, end);
  else
    on_response(h2_conn, leg, head, end);
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
  h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
  leg->stuck_ms = 0;
  t2_exchange_consumed(&leg->leg, n);
}

/* An uplink that does not answer is given up for all that is on it: that is no request's own slowness. */
static int error_of_loss(const t2_h2_conn *h2_conn) {
  bool stalled = h2_conn->error == T2_ERR_TIMEOUT && h2_conn->options.uplink;
  return h2_conn->error == T2_ERR_CANCELLED || stalled ? T2_ERR_CLOSED : h2_conn->error;
}

static int error_of_close(const t2_h2_conn *h2_conn, uint32_t code, bool unprocessed) {
  if (h2_conn->error) return error_of_loss(h2_conn);
  if (unprocessed) return T2_ERR_UNAVAILABLE;
  bool alone = !h2_conn->closing && code != T2_H2_NO_ERROR; /* the stream, not the connection */
  if (alone && !h2_conn->options.h2.server && h2_conn->options.at == T2_AT_UPLINK) return T2_ERR_CANCELLED;
  return code == T2_H2_CANCEL && h2_conn->options.h2.server ? T2_ERR_CANCELLED : T2_ERR_CLOSED;
}

static void on_stream_close(t2_h2_stream *stream, uint32_t code, bool unprocessed, void *user) {
  t2_h2_conn *h2_conn = user;
  h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
  if (t2_h2_leg_can_be_repeated(leg, unprocessed))
    h2_conn->ops.on_unprocessed(h2_conn, &leg->leg, &leg->kept, h2_conn->user);
  t2_h2_leg_drop_kept(leg);
  if (leg->leg.exchange)
    t2_exchange_fail(&leg->leg, error_of_close(h2_conn, code, unprocessed), h2_conn->options.at, NULL);
  h2_conn->last_stream_ms = t2_loop_now(h2_conn->proxy->loop);
  if (h2_conn->closing) return;
  if (h2_conn->ops.on_capacity) h2_conn->ops.on_capacity(h2_conn, h2_conn->user);
  /* It may have been the last one: the flush looks. */
  if (h2_conn->drain || t2_h2_peer_going(h2_conn->h2)) t2_conn_wake(h2_conn->conn);
}

static void on_settled(t2_h2 *h2, void *user) {
  t2_h2_conn *h2_conn = user;
  if (t2_h2_settled(h2)) h2_conn->told_ms = 0;
  if (!h2_conn->closing && h2_conn->ops.on_settled) h2_conn->ops.on_settled(h2_conn, h2_conn->user);
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
  if (!h2_conn->closing) t2_conn_wake(h2_conn->conn);
  if (h2_conn->ops.on_going) h2_conn->ops.on_going(h2_conn, h2_conn->user);
}

static void on_reattach(t2_h2 *h2, void *user) {
  (void)h2;
  t2_h2_conn *h2_conn = user;
  if (h2_conn->options.uplink && h2_conn->ops.on_going) h2_conn->ops.on_going(h2_conn, h2_conn->user);
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
  if (h2_conn->noticed && h2_conn->drain == DRAIN_NOTICE && h2_conn->pings == 0) drain_last(h2_conn);
}

static void on_wake(t2_h2 *h2, void *user) {
  (void)h2;
  t2_h2_conn *h2_conn = user;
  if (h2_conn->conn && !h2_conn->closing) t2_conn_wake(h2_conn->conn);
}

static uint64_t clock_us(void *user) {
  (void)user;
  return uv_hrtime() / 1000 + 1;
}

static const t2_h2_callbacks h2_callbacks = {
    .on_head = on_head,
    .on_data = on_stream_data,
    .on_end = on_stream_end,
    .on_sent = on_sent,
    .on_stream_close = on_stream_close,
    .on_settings = on_settings,
    .on_settled = on_settled,
    .on_goaway = on_goaway,
    .on_pong = on_pong,
    .clock_us = clock_us,
    .on_reattach = on_reattach,
    .wake = on_wake,
};

/* ---- Events of the transport ---- */

/* Sends what is left (a GOAWAY mostly) and closes. */
static void part(t2_h2_conn *h2_conn, int err) {
  if (h2_conn->closing) return;
  t2_h2_abuse abuse = t2_h2_gave_up_for(h2_conn->h2);
  if (abuse != T2_H2_ABUSES) {
    h2_conn->proxy->given_up++;
    t2_log_at(&h2_conn->proxy->loop->log, INFO, "net", "HTTP/2 with %.*s is ended: too much of %s",
              T2_STR_ARG(t2_conn_peer(h2_conn->conn)), t2_h2_abuse_name(abuse));
  }
  h2_conn->closing = true;
  h2_conn->error = err;
  t2_h2_flush(h2_conn->h2, t2_conn_out(h2_conn->conn), SIZE_MAX);
  t2_conn_finish(h2_conn->conn, 1000);
}

/* Requests of this turn become frames before a GOAWAY that has just come is read: they are then among those
 * the peer still takes (RFC 9113, 6.8), as the order of the bytes says. */
static void flush_requests(t2_h2_conn *h2_conn) {
  if (h2_conn->options.h2.server || !t2_h2_wants_write(h2_conn->h2)) return;
  if (t2_h2_flush(h2_conn->h2, t2_conn_out(h2_conn->conn), T2_CONN_UNSENT_MAX))
    t2_h2_conn_close(h2_conn, T2_ERR_NOMEM);
  else
    t2_conn_wake(h2_conn->conn);
}

void t2_h2_conn_feed(t2_h2_conn *h2_conn, const uint8_t *bytes, size_t n) {
  if (h2_conn->closing) return;
  flush_requests(h2_conn);
  if (h2_conn->closing) return;
  h2_conn->last_read_ms = t2_loop_now(h2_conn->proxy->loop);
  h2_conn->asked_ms = 0;
  t2_h2_tick(h2_conn->h2, h2_conn->last_read_ms);
  int err = t2_h2_feed(h2_conn->h2, bytes, n);
  if (err)
    part(h2_conn, err);
  else if (t2_h2_conn_wanted_window(h2_conn) != h2_conn->window || h2_conn->told_ms)
    t2_h2_conn_fit_window(h2_conn);
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

/* nghttp2 sends a PING before everything else, so that of the drain is made when the notice is among what was
 * written: with room for a frame, a GOAWAY comes before all content. */
static void follow_notice(t2_h2_conn *h2_conn, bool had_room) {
  if (h2_conn->drain != DRAIN_NOTICE || h2_conn->noticed || !had_room) return;
  h2_conn->noticed = true;
  t2_h2_conn_ping(h2_conn);
  if (h2_conn->pings == 0) drain_last(h2_conn);
}

static void on_conn_flush(t2_conn *conn, void *user) {
  t2_h2_conn *h2_conn = user;
  if (h2_conn->closing) return;
  t2_buf *out = t2_conn_out(conn);
  bool had_room = t2_buf_len(out) == 0;
  if (t2_h2_flush(h2_conn->h2, out, T2_CONN_UNSENT_MAX)) {
    t2_h2_conn_close(h2_conn, T2_ERR_NOMEM);
    return;
  }
  t2_h2_conn_note_waiting(h2_conn);
  follow_notice(h2_conn, had_room || t2_buf_len(out) < T2_CONN_UNSENT_MAX);
  bool drained = h2_conn->drain == DRAIN_LAST && t2_h2_stream_count(h2_conn->h2) == 0;
  if (t2_h2_over(h2_conn->h2))
    part(h2_conn, parted(h2_conn) ? 0 : T2_ERR_PROTOCOL); /* nghttp2 gave up, for what the peer did */
  else if (drained && !t2_h2_wants_write(h2_conn->h2))
    part(h2_conn, 0);
}

static void on_conn_written(t2_conn *conn, void *user) {
  t2_h2_conn *h2_conn = user;
  if (!h2_conn->closing && t2_h2_wants_write(h2_conn->h2) && t2_conn_pending(conn) < T2_CONN_UNSENT_MAX)
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
  t2_h2_conn_note_waiting(h2_conn);
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
  h2_conn->window = options->h2.stream_window;
  h2_conn->last_read_ms = h2_conn->last_stream_ms = h2_conn->written_ms = t2_loop_now(proxy->loop);
  t2_timer_init(&h2_conn->timer, t2_h2_conn_on_timer);
  int err = t2_h2_new(&h2_conn->h2, proxy->loop->mem, &h2_conn->options.h2, &h2_callbacks, h2_conn);
  if (err) {
    t2_free(proxy->loop->mem, h2_conn);
    t2_conn_close(conn, err);
    return err;
  }
  h2_conn->conn = conn;
  t2_conn_set_ops(conn, &conn_ops, h2_conn);
  t2_conn_read_amply(conn);
  t2_conn_share(conn);
  t2_conn_wake(conn);
  t2_h2_conn_start_timer(h2_conn);
  *out = h2_conn;
  return 0;
}

t2_leg *t2_h2_conn_leg(t2_h2_conn *h2_conn) {
  return t2_h2_conn_capacity(h2_conn) ? &h2_conn->opener : NULL;
}

bool t2_h2_conn_leg_upgrades(const t2_leg *leg) {
  return t2_h2_conn_upgrades(T2_CONTAINER_OF((t2_leg *)(uintptr_t)leg, t2_h2_conn, opener));
}

bool t2_h2_conn_upgrades(const t2_h2_conn *h2_conn) {
  return t2_h2_peer_extended_connect(h2_conn->h2);
}

size_t t2_h2_conn_capacity(const t2_h2_conn *h2_conn) {
  return h2_conn->closing || h2_conn->drain ? 0 : t2_h2_capacity(h2_conn->h2);
}

bool t2_h2_conn_is_silent(const t2_h2_conn *h2_conn) {
  return h2_conn->asked_ms != 0;
}

size_t t2_h2_conn_active(const t2_h2_conn *h2_conn) {
  return h2_conn->h2 ? t2_h2_stream_count(h2_conn->h2) : 0;
}

void t2_h2_conn_drain(t2_h2_conn *h2_conn) {
  if (h2_conn->closing || h2_conn->drain) return;
  if (h2_conn->options.h2.server) {
    h2_conn->drain = DRAIN_NOTICE;
    t2_h2_drain(h2_conn->h2, false);
  } else {
    drain_last(h2_conn);
  }
}

void t2_h2_conn_reattach(t2_h2_conn *h2_conn) {
  if (!h2_conn->closing) (void)t2_h2_reattach(h2_conn->h2); /* without memory: it sees the end of this one */
}

void t2_h2_conn_close(t2_h2_conn *h2_conn, int err) {
  if (!h2_conn->h2) return;
  if (!h2_conn->closing) h2_conn->error = err;
  h2_conn->closing = true;
  t2_conn_close(h2_conn->conn, err); /* also one that is taking leave */
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
