#include <proxy/answer.h>
#include <proxy/h1_server.h>
#include <proxy/trickle.h>
#include <proxy/ws_handshake.h>
#include <tunnel2/error.h>

#define HELD_MAX        (16 * 1024) /* bytes of later requests taken in while one is being answered */
#define DRAIN_LINGER_MS 200         /* of an idle connection, to which nothing is said any more */
#define LINGER_MS       2000
#define DISCARD_MAX     (64 * 1024) /* bytes of unwanted content that are read to keep a connection */

struct t2_h1_server {
  t2_leg leg;
  t2_proxy *proxy;
  t2_conn *conn; /* NULL once it was handed over */
  const t2_h1_server_options *options;
  t2_h1_server_ops ops;
  void *user;
  t2_h1_parser *parser;
  t2_buf held; /* input that waits: pipelined requests, or content beyond the window */
  t2_timer timer;
  t2_trickle trickle; /* of the request's content, until its answer begins */
  size_t given;       /* content given to the exchange and not yet consumed */
  size_t unacked;     /* response content in the output, not yet reported as consumed */
  size_t input_left;  /* during on_request: bytes that came behind the request's head */
  t2_h1_framing framing;
  bool busy;          /* an exchange is under way */
  bool request_ended; /* ... and its request has been read whole */
  bool tunnel;        /* ... and it has become a tunnel */
  bool headed;        /* ... and its response head was written */
  bool http10;
  bool discardable; /* ... and the rest of its content may be read to keep the connection */
  bool discarding;  /* that is being done: the exchange is over */
  bool close_after; /* this response is the connection's last */
  bool draining;
  bool stalled;                          /* parsing stopped for want of room or a free exchange */
  bool timing_head;                      /* the timer runs for a head that has begun */
  bool ending;                           /* nothing more is read or answered */
  char websocket_key[T2_WS_KEY_LEN + 1]; /* of an upgrade; "": none */
  t2_reapable reapable;
};

void t2_h1_server_options_init(t2_h1_server_options *options) {
  *options = (t2_h1_server_options){.header_timeout_ms = 30000,
                                    .keep_alive_timeout_ms = 120000,
                                    .body_timeout_ms = 60000,
                                    .body_rate_min = 240,
                                    .drain_grace_ms = 5000};
  t2_h1_limits_init(&options->limits);
}

/* ---- Timeouts: one timer, for what is being waited for ---- */

/* Until something of it moves; and where it is awaited, before its answer begins, also in all. */
static uint64_t time_for_content(t2_h1_server *server, bool awaited) {
  const t2_h1_server_options *o = server->options;
  if (server->request_ended) return o->body_timeout_ms;
  uint64_t now = t2_loop_now(server->proxy->loop);
  t2_trickle_await(&server->trickle, awaited, now);
  if (server->headed || !awaited) return o->body_timeout_ms;
  uint64_t left = t2_trickle_left(&server->trickle, o->body_timeout_ms, o->body_rate_min, now);
  return left < o->body_timeout_ms ? left : o->body_timeout_ms;
}

static void stop_waiting(t2_h1_server *server) {
  t2_loop_timer_stop(server->proxy->loop, &server->timer);
  if (!server->request_ended) t2_trickle_await(&server->trickle, false, t2_loop_now(server->proxy->loop));
}

/* Content is waited for only while there is room for it: a slow upstream is not the client's fault. A head's
 * time runs from its first byte, whatever comes after it. */
static void arm(t2_h1_server *server) {
  t2_loop *loop = server->proxy->loop;
  const t2_h1_server_options *o = server->options;
  bool partial = !server->ending && !server->busy && !t2_h1_idle(server->parser);
  if (partial && server->timing_head) return;
  server->timing_head = partial;
  if (server->ending || server->tunnel) {
    t2_loop_timer_stop(loop, &server->timer);
  } else if (server->busy) {
    bool awaited = !server->request_ended && server->given < t2_leg_window(loop);
    /* Once it has begun to answer, upstream has as long to take content. */
    bool untaken = !server->request_ended && server->headed;
    bool waiting = awaited || untaken || t2_conn_pending(server->conn) > 0;
    if (waiting && o->body_timeout_ms)
      t2_loop_timer_start(loop, &server->timer, time_for_content(server, awaited));
    else
      stop_waiting(server);
  } else {
    uint64_t most = partial ? o->header_timeout_ms : o->keep_alive_timeout_ms;
    bool hurried = server->draining && o->drain_grace_ms < most;
    t2_loop_timer_start(loop, &server->timer, hurried ? o->drain_grace_ms : most);
  }
}

static void finish_connection(t2_h1_server *server, uint64_t linger_ms) {
  if (server->ending) return;
  server->ending = true;
  arm(server);
  t2_conn_finish(server->conn, linger_ms);
}

static void end_connection(t2_h1_server *server) {
  finish_connection(server, LINGER_MS);
}

/* An answer that no exchange stands behind: to what is no request. */
static void answer_error(t2_h1_server *server, int status, const char *detail) {
  t2_proxy *proxy = server->proxy;
  const t2_log *log = &proxy->loop->log;
  char id[T2_REQUEST_ID_LEN + 1];
  t2_proxy_request_id(proxy, id);
  const t2_log_pair pair = {"request_id", id};
  if (t2_log_enabled(log, T2_LOG_DEBUG))
    t2_log_write(log, T2_LOG_DEBUG, "proxy", &pair, 1, "what %.*s sent is answered %d: %s",
                 T2_STR_ARG(t2_conn_peer(server->conn)), status, detail ? detail : "");
  if (t2_answer_problem(proxy, t2_problem_of_status(status), detail, t2_str_c(id)) == 0) {
    t2_buf *out = t2_conn_out(server->conn);
    (void)t2_h1_write_response(out, &proxy->problem_scratch, T2_H1_FRAMING_LENGTH, true, false);
    t2_buf_append(out, t2_buf_head(&proxy->problem_body), t2_buf_len(&proxy->problem_body));
    t2_conn_wake(server->conn);
  }
  end_connection(server);
}

static void on_timer(t2_timer *timer) {
  t2_h1_server *server = T2_CONTAINER_OF(timer, t2_h1_server, timer);
  if (server->discarding) {
    end_connection(server);
  } else if (server->busy && (server->headed || server->request_ended)) {
    server->proxy->late_content++;
    t2_h1_server_close(server, T2_ERR_TIMEOUT);
    t2_exchange_fail(&server->leg, T2_ERR_TIMEOUT, T2_AT_LOCAL, NULL);
  } else if (server->busy) {
    server->proxy->late_content++;
    server->busy = false;
    t2_exchange_fail(&server->leg, T2_ERR_TIMEOUT, T2_AT_LOCAL, NULL);
    answer_error(server, 408, "the request's content stopped coming");
  } else if (!t2_h1_idle(server->parser)) {
    server->proxy->late_heads++;
    answer_error(server, 408, "the request's head did not come in time");
  } else {
    server->proxy->late_idle++;
    finish_connection(server, server->draining ? DRAIN_LINGER_MS : LINGER_MS);
  }
}

/* ---- The leg: responses out ---- */

static t2_h1_server *server_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_h1_server, leg);
}

static int write_head(t2_h1_server *server, const t2_head *head, t2_h1_framing framing) {
  bool close = server->close_after && head->status >= 200;
  int err = t2_h1_write_response(t2_conn_out(server->conn), head, framing, close, server->http10 && !close);
  t2_conn_wake(server->conn);
  return err;
}

/* The acceptance of a WebSocket that was granted by HTTP/2 does not answer the key. */
static int write_tunnel_head(t2_h1_server *server, const t2_head *head) {
  char accept[T2_WS_ACCEPT_LEN + 1];
  t2_head accepted;
  bool unanswered = server->websocket_key[0] && head->status == 101 && t2_ws_is(head->protocol) &&
                    !t2_fields_get(&head->fields, T2_STR("sec-websocket-accept"));
  if (!unanswered) return write_head(server, head, T2_H1_FRAMING_NONE);
  t2_ws_accept(t2_str_c(server->websocket_key), accept);
  int err = t2_head_with(head, T2_STR("sec-websocket-accept"), t2_str_c(accept), server->proxy->loop->mem,
                         &accepted);
  if (err) return err;
  err = write_head(server, &accepted, T2_H1_FRAMING_NONE);
  t2_fields_fini(&accepted.fields);
  return err;
}

static int interim_head(t2_h1_server *server, const t2_head *head) {
  if (server->http10) return 0; /* RFC 9110, 15.2 */
  return write_head(server, head, T2_H1_FRAMING_NONE);
}

static bool status_has_content(int status) {
  return status >= 200 && status != 204 && status != 304;
}

static int leg_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_h1_server *server = server_of(leg);
  const t2_exchange *exchange = leg->exchange;
  if (head->status < 200 && head->status != 101) return interim_head(server, head);
  server->headed = true;
  if (exchange->tunnel) {
    server->tunnel = true;
    server->close_after = true;
    server->framing = T2_H1_FRAMING_NONE;
    t2_h1_tunnel(server->parser);
    return write_tunnel_head(server, head);
  }
  bool unread = !server->request_ended && !server->discardable && (end || head->status >= 300);
  if (server->draining || unread) server->close_after = true;
  t2_head plain = *head;
  if (exchange->head_request || !status_has_content(head->status)) {
    server->framing = T2_H1_FRAMING_NONE;
  } else if (end || head->content_length >= 0) {
    server->framing = T2_H1_FRAMING_LENGTH;
    if (end) plain.content_length = 0;
  } else if (server->http10) {
    server->framing = T2_H1_FRAMING_CLOSE;
    server->close_after = true;
  } else {
    server->framing = T2_H1_FRAMING_CHUNKED;
  }
  return write_head(server, &plain, server->framing);
}

static int leg_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  t2_h1_server *server = server_of(leg);
  t2_buf *out = t2_conn_out(server->conn);
  if (server->framing == T2_H1_FRAMING_NONE && !server->tunnel) {
    t2_exchange_consumed(leg, n);
    return 0;
  }
  if (server->framing == T2_H1_FRAMING_CHUNKED)
    t2_h1_write_chunk(out, bytes, n);
  else
    t2_buf_append(out, bytes, n);
  if (out->failed) return T2_ERR_NOMEM;
  server->unacked += n;
  t2_conn_wake(server->conn);
  return 0;
}

static int leg_end(t2_leg *leg, const t2_fields *trailers) {
  t2_h1_server *server = server_of(leg);
  if (server->framing == T2_H1_FRAMING_CHUNKED) t2_h1_write_last_chunk(t2_conn_out(server->conn), trailers);
  if (server->tunnel) t2_conn_shutdown(server->conn);
  t2_conn_wake(server->conn);
  return 0;
}

/* The account of what the far leg has taken lets more input in; that happens in the flush, never from here.
 */
static void leg_consumed(t2_leg *leg, size_t n) {
  t2_h1_server *server = server_of(leg);
  server->given -= n < server->given ? n : server->given;
  bool waits = server->stalled || (server->conn && !t2_conn_reading(server->conn));
  if (waits && server->given < t2_leg_window(server->proxy->loop)) t2_conn_wake(server->conn);
}

static void next_request(t2_h1_server *server) {
  server->busy = server->discarding = false;
  server->unacked = server->given = 0;
  if (server->close_after) {
    end_connection(server);
    return;
  }
  arm(server);
  if (t2_buf_len(&server->held)) t2_conn_wake(server->conn);
}

static void leg_closed(t2_leg *leg, int err) {
  t2_h1_server *server = server_of(leg);
  if (server->ending) return;
  if (!server->request_ended && !server->discardable) server->close_after = true;
  if (err == 0 && !server->request_ended && !server->close_after) {
    server->discarding = true;
    server->given = 0; /* what is passed over needs no window */
    t2_conn_wake(server->conn);
    return;
  }
  if (err == 0) {
    next_request(server);
    return;
  }
  /* Cut short. A length or a missing last chunk shows it; where only the end of the connection would tell, a
   * reset does. */
  server->busy = false;
  bool visible = server->framing == T2_H1_FRAMING_LENGTH || server->framing == T2_H1_FRAMING_CHUNKED;
  if (server->headed && visible) {
    end_connection(server);
  } else {
    server->ending = true;
    arm(server);
    t2_conn_reset(server->conn, err);
  }
}

static const t2_leg_ops leg_ops = {
    .name = "h1 server",
    .at = T2_AT_LOCAL,
    .head = leg_head,
    .data = leg_data,
    .end = leg_end,
    .consumed = leg_consumed,
    .closed = leg_closed,
};

/* ---- Requests in ---- */

static void note_websocket_key(t2_h1_server *server, const t2_head *head) {
  server->websocket_key[0] = '\0';
  if (head->protocol.n == 0) return;
  const t2_field *key = t2_fields_get(&head->fields, T2_STR("sec-websocket-key"));
  if (!key || key->value.n != T2_WS_KEY_LEN) return;
  memcpy(server->websocket_key, key->value.p, key->value.n);
  server->websocket_key[key->value.n] = '\0';
}

static void on_request_head(t2_h1_server *server, const t2_h1_event *event) {
  t2_head *head = event->head;
  server->busy = true;
  server->request_ended = event->end;
  server->tunnel = server->headed = server->discarding = false;
  /* Whoever waits for a 100 has been told by the answer not to send the content. */
  server->discardable = head->content_length >= 0 && head->content_length <= DISCARD_MAX &&
                        !t2_fields_get(&head->fields, T2_STR("expect"));
  server->http10 = head->version_minor == 0;
  server->close_after = !t2_h1_keep_alive(server->parser);
  server->given = server->unacked = 0;
  server->trickle = (t2_trickle){0};
  if (head->scheme.n == 0) head->scheme = t2_conn_is_tls(server->conn) ? T2_STR("https") : T2_STR("http");
  note_websocket_key(server, head);
  t2_exchange *exchange = t2_exchange_new(server->proxy, &server->leg, head);
  if (!exchange) {
    server->busy = false;
    answer_error(server, 503, "out of memory");
    return;
  }
  server->ops.on_request(server, exchange, head, event->end, server->user);
}

static void on_bad_request(t2_h1_server *server, const t2_h1_event *event) {
  bool headed = server->busy && server->headed;
  if (headed) t2_h1_server_close(server, T2_ERR_PROTOCOL);
  server->busy = false;
  t2_exchange_fail(&server->leg, T2_ERR_PROTOCOL, T2_AT_LOCAL, event->detail);
  if (!headed) answer_error(server, event->status, event->detail);
}

static bool wants_input(const t2_h1_server *server) {
  if (server->ending || !server->conn) return false;
  if (!server->busy) return true;
  if (server->request_ended && !server->tunnel) return false;
  return server->given < t2_leg_window(server->proxy->loop);
}

static void on_event(t2_h1_server *server, const t2_h1_event *event, size_t input_left) {
  switch (event->type) {
  case T2_H1_NONE:
    break;
  case T2_H1_HEAD:
    server->input_left = input_left;
    on_request_head(server, event);
    break;
  case T2_H1_DATA:
    if (server->discarding) break;
    server->given += event->data.n;
    server->trickle.bytes += event->data.n;
    t2_exchange_data(&server->leg, (const uint8_t *)event->data.p, event->data.n);
    break;
  case T2_H1_END:
    server->request_ended = true;
    if (server->discarding)
      next_request(server);
    else
      t2_exchange_end(&server->leg, event->trailers);
    break;
  case T2_H1_ERROR:
    on_bad_request(server, event);
    break;
  }
}

/* Parses as much of the input as can be acted on now; returns how much that was. */
static size_t process(t2_h1_server *server, uint8_t *bytes, size_t n) {
  size_t at = 0;
  t2_h1_event event = {.type = T2_H1_NONE};
  server->stalled = false;
  do {
    if (!wants_input(server)) {
      /* The parser may have one more event without taking another byte: the end of the content. */
      server->stalled = true;
      break;
    }
    size_t window = t2_leg_window(server->proxy->loop);
    size_t rest = n - at, room = window > server->given ? window - server->given : window;
    at += t2_h1_parse(server->parser, bytes + at, rest < room ? rest : room, &event);
    on_event(server, &event, n - at);
  } while (event.type != T2_H1_NONE || at < n);
  return server->ending || !server->conn ? n : at;
}

static void update_reading(t2_h1_server *server) {
  if (server->ending || !server->conn) return;
  if (server->given >= t2_leg_window(server->proxy->loop) || t2_buf_len(&server->held) >= HELD_MAX)
    t2_conn_read_stop(server->conn);
  else
    t2_conn_read_start(server->conn);
}

static void on_conn_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  t2_h1_server *server = user;
  if (server->ending) return;
  size_t taken = t2_buf_len(&server->held) ? 0 : process(server, bytes, n);
  if (!server->conn || server->ending) return;
  if (taken < n && t2_buf_append(&server->held, bytes + taken, n - taken)) {
    t2_h1_server_close(server, T2_ERR_NOMEM);
    return;
  }
  if (taken == 0 && wants_input(server)) t2_conn_wake(conn);
  update_reading(server);
  arm(server);
}

static void on_conn_flush(t2_conn *conn, void *user) {
  t2_h1_server *server = user;
  (void)conn;
  uint8_t none = 0;
  size_t n = t2_buf_len(&server->held);
  /* A client that takes nothing at all of an answer makes no progress from its start on. */
  if (server->busy && !t2_timer_running(&server->timer)) arm(server);
  if (!wants_input(server) || (n == 0 && !server->stalled)) return;
  size_t taken = process(server, n ? t2_buf_head(&server->held) : &none, n);
  if (!server->conn || server->ending) return;
  t2_buf_consume(&server->held, taken);
  t2_buf_shrink(&server->held, 0);
  update_reading(server);
  arm(server);
}

static void on_conn_written(t2_conn *conn, void *user) {
  t2_h1_server *server = user;
  if (server->ending || !server->busy) return;
  size_t pending = t2_conn_pending(conn), left = server->unacked < pending ? server->unacked : pending;
  size_t sent = server->unacked - left;
  server->unacked = left;
  arm(server);
  t2_exchange_consumed(&server->leg, sent);
}

static void give_up(t2_h1_server *server) {
  server->busy = false;
  server->ending = true;
  t2_exchange_fail(&server->leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
  arm(server);
  t2_conn_close(server->conn, T2_ERR_CANCELLED);
}

/* FIN from a client that waits for an answer cannot be told from one that has gone, so its request is given
 * up; within a tunnel it ends one direction. */
static void on_conn_eof(t2_conn *conn, void *user) {
  t2_h1_server *server = user;
  (void)conn;
  if (server->ending) return;
  if (server->busy && server->tunnel) {
    server->request_ended = true;
    t2_exchange_end(&server->leg, NULL);
    return;
  }
  if (server->busy && !server->discarding)
    give_up(server);
  else
    end_connection(server);
}

/* As FIN above, of a client whose content is not read because upstream does not take it. What waits behind a
 * whole request may be the next one. */
static void on_conn_hangup(t2_conn *conn, bool reset, void *user) {
  t2_h1_server *server = user;
  (void)conn;
  if (server->ending || !server->busy) return;
  if (reset || (!server->tunnel && !server->request_ended)) give_up(server);
}

static void free_server(t2_reapable *reapable) {
  t2_h1_server *server = T2_CONTAINER_OF(reapable, t2_h1_server, reapable);
  t2_h1_parser_free(server->parser);
  t2_buf_fini(&server->held);
  t2_free(server->proxy->loop->mem, server);
}

static void retire(t2_h1_server *server) {
  server->ending = true;
  t2_loop_timer_stop(server->proxy->loop, &server->timer);
  /* In this order: what frees the proxy after on_close is freed after this. */
  t2_loop_reap(server->proxy->loop, &server->reapable, free_server);
  if (server->ops.on_close) server->ops.on_close(server, server->user);
}

static void on_conn_close(t2_conn *conn, int err, void *user) {
  t2_h1_server *server = user;
  (void)conn;
  server->ending = true;
  if (server->leg.exchange)
    t2_exchange_fail(&server->leg, err ? T2_ERR_CANCELLED : T2_ERR_CLOSED, T2_AT_LOCAL, NULL);
  retire(server);
}

static const t2_conn_ops conn_ops = {
    .on_data = on_conn_data,
    .on_eof = on_conn_eof,
    .on_hangup = on_conn_hangup,
    .on_flush = on_conn_flush,
    .on_written = on_conn_written,
    .on_close = on_conn_close,
};

/* ---- Calls ---- */

int t2_h1_server_new(t2_h1_server **out, t2_proxy *proxy, t2_conn *conn, const t2_h1_server_options *options,
                     const t2_h1_server_ops *ops, void *user) {
  const t2_allocator *mem = proxy->loop->mem;
  *out = NULL;
  t2_h1_server *server = t2_calloc(mem, 1, sizeof(*server));
  t2_h1_parser *parser = t2_h1_parser_new(mem, false, &options->limits);
  if (!server || !parser) {
    t2_free(mem, server);
    t2_h1_parser_free(parser);
    t2_conn_close(conn, T2_ERR_NOMEM);
    return T2_ERR_NOMEM;
  }
  server->leg.ops = &leg_ops;
  server->proxy = proxy;
  server->conn = conn;
  server->options = options;
  server->ops = *ops;
  server->user = user;
  server->parser = parser;
  t2_buf_init(&server->held, mem);
  t2_timer_init(&server->timer, on_timer);
  t2_conn_set_ops(conn, &conn_ops, server);
  /* A connection that never says anything has no longer than a head may take. */
  t2_loop_timer_start(proxy->loop, &server->timer, options->header_timeout_ms);
  *out = server;
  return 0;
}

void t2_h1_server_feed(t2_h1_server *server, uint8_t *bytes, size_t n) {
  on_conn_data(server->conn, bytes, n, server);
}

/* A head that has begun has no longer than one that has not. */
void t2_h1_server_drain(t2_h1_server *server) {
  server->draining = true;
  server->timing_head = false;
  if (!server->busy) arm(server);
}

void t2_h1_server_close(t2_h1_server *server, int err) {
  bool open_ended = server->tunnel || server->framing == T2_H1_FRAMING_CLOSE;
  bool cut = server->busy && server->headed && open_ended && !server->ending;
  server->ending = true;
  t2_loop_timer_stop(server->proxy->loop, &server->timer);
  if (!server->conn) return;
  /* An orderly end would make such an answer look whole. */
  if (cut)
    t2_conn_reset(server->conn, err);
  else
    t2_conn_close(server->conn, err);
}

t2_conn *t2_h1_server_transport(const t2_h1_server *server) {
  return server->conn;
}

t2_conn *t2_h1_server_upgrade(t2_h1_server *server, const t2_head *head) {
  if (server->input_left || t2_buf_len(&server->held) || !server->request_ended) return NULL;
  if (write_head(server, head, T2_H1_FRAMING_NONE)) return NULL;
  t2_conn *conn = server->conn;
  server->busy = false;
  server->conn = NULL;
  t2_conn_disown(conn); /* until whoever takes it over sets its own ops; who cannot may just close it */
  t2_exchange_fail(&server->leg, 0, T2_AT_LOCAL, NULL);
  retire(server);
  return conn;
}
