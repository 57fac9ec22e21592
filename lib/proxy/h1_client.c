#include <proxy/dial_failure.h>
#include <proxy/h1_client.h>
#include <proxy/ws_handshake.h>
#include <tunnel2/error.h>

#define LINGER_MS 2000
#define INTERIM_MAX                                                                                          \
  32 /* 1xx heads before a final one: they are outside of the account that bounds content                    \
      */
#define KEEP_BYTES (16 * 1024) /* of each buffer, while idle */

static t2_h1_client *client_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_h1_client, leg);
}

/* ---- The end ---- */

/* err 0: what is in the output is still sent. */
static void drop_connection(t2_h1_client *client, int err) {
  t2_conn *conn = client->conn;
  if (!conn) return;
  client->conn = NULL;
  t2_conn_disown(conn);
  if (err)
    t2_conn_reset(conn, err);
  else
    t2_conn_finish(conn, LINGER_MS);
}

static void free_client(t2_reapable *reapable) {
  t2_h1_client *client = T2_CONTAINER_OF(reapable, t2_h1_client, reapable);
  t2_h1_parser_free(client->parser);
  t2_buf_fini(&client->request);
  t2_buf_fini(&client->held);
  t2_free(client->loop->mem, client);
}

/* Of content in `request`. */
static void set_waiting(t2_h1_client *client, size_t n) {
  t2_pressure_note(&client->loop->pressure, &client->waiting, n);
}

static void retire(t2_h1_client *client, int err) {
  if (client->state == T2_H1_CLIENT_GONE) return;
  client->ops.on_gone(client, client->user);
  client->state = T2_H1_CLIENT_GONE;
  set_waiting(client, 0);
  t2_loop_timer_stop(client->loop, &client->timer);
  if (client->dial) t2_dial_cancel(client->dial);
  client->dial = NULL;
  drop_connection(client, err);
  t2_loop_reap(client->loop, &client->reapable, free_client);
}

/* detail goes to the public: it names no address. */
static void fail_at(t2_h1_client *client, int err, t2_problem_at at, const char *detail) {
  retire(client, err);
  t2_exchange_fail(&client->leg, err, at, detail);
}

static void fail(t2_h1_client *client, int err, const char *detail) {
  fail_at(client, err, T2_AT_ORIGIN, detail);
}

static void on_timer(t2_timer *timer) {
  retire(T2_CONTAINER_OF(timer, t2_h1_client, timer), 0);
}

/* ---- Idle ---- */

/* The exchange is over and nothing came behind it: the connection is good for another one. */
static void settle(t2_h1_client *client) {
  if (client->state != T2_H1_CLIENT_DONE || client->processing) return;
  if (t2_buf_len(&client->held) || client->eof || !t2_h1_idle(client->parser)) {
    retire(client, client->eof ? 0 : T2_ERR_PROTOCOL);
    return;
  }
  client->state = T2_H1_CLIENT_IDLE;
  t2_buf_reset(&client->request);
  t2_buf_shrink(&client->request, KEEP_BYTES);
  t2_buf_shrink(&client->held, KEEP_BYTES);
  t2_conn_read_start(client->conn);
  t2_loop_timer_start(client->loop, &client->timer, client->options->idle_timeout_ms);
  client->ops.on_idle(client, client->user);
}

/* ---- The request ---- */

static const t2_conn_ops conn_ops;

/* Of a request for a tunnel only the head: what follows is no HTTP to an origin that declines. */
static int send_request(t2_h1_client *client) {
  size_t n = client->connect ? client->opening : t2_buf_len(&client->request);
  int err = t2_buf_append(t2_conn_out(client->conn), t2_buf_head(&client->request), n);
  if (err) return err;
  if (!client->replayable) t2_buf_consume(&client->request, n);
  if (!client->connect) {
    client->unacked += client->waiting;
    set_waiting(client, 0);
  }
  t2_conn_wake(client->conn);
  return 0;
}

static void on_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  t2_h1_client *client = user;
  client->dial = NULL;
  client->ops.on_dialled(client, err, detail, client->user);
  if (err) {
    fail_at(client, err, T2_AT_DIAL, t2_dial_failure(err));
    return;
  }
  client->state = T2_H1_CLIENT_BUSY;
  client->conn = conn;
  t2_conn_set_ops(conn, &conn_ops, client);
  err = send_request(client);
  if (err) fail(client, err, NULL);
}

static int start_dial(t2_h1_client *client) {
  client->state = T2_H1_CLIENT_DIALLING;
  return t2_dial_start(&client->dial, client->loop, &client->options->dial, on_dialled, client);
}

/* RFC 9110, 8.6: a method that usually has content says so when it has none. */
static bool says_empty(const t2_head *head) {
  return head->content_length == 0 || t2_str_eq(head->method, T2_STR("POST")) ||
         t2_str_eq(head->method, T2_STR("PUT")) || t2_str_eq(head->method, T2_STR("PATCH"));
}

/* A WebSocket that comes by HTTP/2 has no key. */
static int write_request(t2_h1_client *client, const t2_head *head) {
  char key[T2_WS_KEY_LEN + 1];
  t2_head keyed;
  client->accept[0] = '\0';
  bool keyless = client->upgrade && t2_ws_is(head->protocol) &&
                 !t2_fields_get(&head->fields, T2_STR("sec-websocket-key"));
  if (!keyless) return t2_h1_write_request(&client->request, head, client->framing);
  t2_ws_key(key);
  t2_ws_accept(t2_str_c(key), client->accept);
  int err = t2_head_with(head, T2_STR("sec-websocket-key"), t2_str_c(key), client->loop->mem, &keyed);
  if (err) return err;
  err = t2_h1_write_request(&client->request, &keyed, client->framing);
  t2_fields_fini(&keyed.fields);
  return err;
}

static int frame_request(t2_h1_client *client, t2_head *head, bool end) {
  if (end) {
    if (head->content_length > 0) return T2_ERR_PROTOCOL;
    client->framing = says_empty(head) ? T2_H1_FRAMING_LENGTH : T2_H1_FRAMING_NONE;
    head->content_length = 0;
  } else if (client->connect) {
    client->framing = T2_H1_FRAMING_NONE;
  } else {
    client->framing = head->content_length >= 0 ? T2_H1_FRAMING_LENGTH : T2_H1_FRAMING_CHUNKED;
  }
  client->length_left = client->framing == T2_H1_FRAMING_LENGTH ? (uint64_t)head->content_length : 0;
  if (client->options->host_header.n) head->authority = client->options->host_header;
  int err = write_request(client, head);
  client->opening = t2_buf_len(&client->request);
  return err;
}

static int leg_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_h1_client *client = client_of(leg);
  t2_head plain = *head;
  t2_buf_reset(&client->request);
  client->unacked = client->given = 0;
  set_waiting(client, 0);
  client->interim = 0;
  client->connect = !end && leg->exchange->connect;
  client->upgrade = !end && leg->exchange->upgrade;
  client->tunnel = client->response_ended = client->stalled = false;
  client->request_ended = end;
  client->replayable = client->state == T2_H1_CLIENT_IDLE && end && t2_method_is_safe(head->method);
  int err = frame_request(client, &plain, end);
  if (err) return err;
  /* An extended CONNECT is asked as a GET (RFC 8441, 5). */
  t2_h1_expect_response(client->parser, client->upgrade ? T2_STR("GET") : head->method);
  if (client->state == T2_H1_CLIENT_NEW) return start_dial(client);
  t2_loop_timer_stop(client->loop, &client->timer);
  client->state = T2_H1_CLIENT_BUSY;
  return send_request(client);
}

/* Where content goes now: to the connection, or to wait for one, or for the tunnel to be granted. */
static t2_buf *sink(t2_h1_client *client) {
  bool open = client->state == T2_H1_CLIENT_BUSY && (!client->connect || client->tunnel);
  return open ? t2_conn_out(client->conn) : &client->request;
}

static int leg_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  t2_h1_client *client = client_of(leg);
  t2_buf *out = sink(client);
  if (client->framing == T2_H1_FRAMING_LENGTH) {
    if (n > client->length_left) return T2_ERR_PROTOCOL;
    client->length_left -= n;
  }
  if (client->framing == T2_H1_FRAMING_CHUNKED)
    t2_h1_write_chunk(out, bytes, n);
  else
    t2_buf_append(out, bytes, n);
  if (out->failed) return T2_ERR_NOMEM;
  if (out == &client->request) {
    set_waiting(client, client->waiting + n);
  } else {
    client->unacked += n;
    t2_conn_wake(client->conn);
  }
  return 0;
}

static int leg_end(t2_leg *leg, const t2_fields *trailers) {
  t2_h1_client *client = client_of(leg);
  t2_buf *out = sink(client);
  client->request_ended = true;
  if (client->framing == T2_H1_FRAMING_LENGTH && client->length_left) return T2_ERR_PROTOCOL;
  if (client->framing == T2_H1_FRAMING_CHUNKED) t2_h1_write_last_chunk(out, trailers);
  if (out->failed) return T2_ERR_NOMEM;
  if (client->tunnel) t2_conn_shutdown(client->conn);
  if (out != &client->request) t2_conn_wake(client->conn);
  return 0;
}

/* More input is let in by the flush, never from here: the caller may be inside of what it would call. */
static void leg_consumed(t2_leg *leg, size_t n) {
  t2_h1_client *client = client_of(leg);
  client->given -= n < client->given ? n : client->given;
  if (client->stalled && client->conn && client->given < t2_leg_window(client->loop))
    t2_conn_wake(client->conn);
}

/* A request that is not all with the kernel when its answer is complete is one that the origin does not read.
 */
static bool can_be_kept(const t2_h1_client *client) {
  return client->response_ended && client->request_ended && !client->tunnel && !client->eof &&
         t2_h1_keep_alive(client->parser) && t2_conn_pending(client->conn) == 0;
}

static void leg_closed(t2_leg *leg, int err) {
  t2_h1_client *client = client_of(leg);
  if (client->state != T2_H1_CLIENT_BUSY || err) {
    retire(client, err ? err : T2_ERR_CANCELLED);
  } else if (can_be_kept(client)) {
    client->state = T2_H1_CLIENT_DONE;
    settle(client);
  } else {
    bool unread = !client->tunnel && t2_conn_pending(client->conn) > 0;
    retire(client, unread ? T2_ERR_CANCELLED : 0);
  }
}

static const t2_leg_ops leg_ops = {
    .name = "h1 client",
    .at = T2_AT_ORIGIN,
    .head = leg_head,
    .data = leg_data,
    .end = leg_end,
    .consumed = leg_consumed,
    .closed = leg_closed,
};

/* ---- The response ---- */

/* What was given early goes out now. */
static int open_tunnel(t2_h1_client *client) {
  client->tunnel = true;
  int err =
      t2_buf_append(t2_conn_out(client->conn), t2_buf_head(&client->request), t2_buf_len(&client->request));
  t2_buf_reset(&client->request);
  client->unacked += client->waiting;
  set_waiting(client, 0);
  if (client->request_ended) t2_conn_shutdown(client->conn);
  t2_conn_wake(client->conn);
  return err;
}

/* A key that was made here is nobody else's, and neither is what answers it. False: that does not. */
static bool check_acceptance(const t2_h1_client *client, t2_head *head) {
  if (head->status != 101 || !client->accept[0]) return true;
  bool good = t2_ws_is_accepted(&head->fields, client->accept);
  t2_fields_remove(&head->fields, T2_STR("sec-websocket-accept"));
  return good;
}

static void on_response_head(t2_h1_client *client, const t2_h1_event *event) {
  t2_head *head = event->head;
  if (head->status < 200 && head->status != 101) {
    if (++client->interim > INTERIM_MAX)
      fail(client, T2_ERR_PROTOCOL, "the origin sent interim responses without end");
    else
      t2_exchange_head(&client->leg, head, false);
    return;
  }
  if (head->status == 101 && !client->upgrade) {
    fail(client, T2_ERR_PROTOCOL, "the origin switched protocols without being asked to");
    return;
  }
  if (!check_acceptance(client, head)) {
    fail(client, T2_ERR_PROTOCOL, "the origin accepted another WebSocket than it was asked for");
    return;
  }
  bool accepted = client->upgrade ? head->status == 101 : client->connect && head->status / 100 == 2;
  if (accepted) {
    int err = open_tunnel(client);
    if (err) {
      fail(client, err, NULL);
      return;
    }
  }
  client->response_ended = event->end;
  t2_exchange_head(&client->leg, head, event->end);
}

static void on_event(t2_h1_client *client, const t2_h1_event *event) {
  switch (event->type) {
  case T2_H1_NONE:
    break;
  case T2_H1_HEAD:
    on_response_head(client, event);
    break;
  case T2_H1_DATA:
    client->given += event->data.n;
    t2_exchange_data(&client->leg, (const uint8_t *)event->data.p, event->data.n);
    break;
  case T2_H1_END:
    client->response_ended = true;
    t2_exchange_end(&client->leg, event->trailers);
    break;
  case T2_H1_ERROR:
    t2_log_at(&client->loop->log, WARN, "proxy", "malformed response of the origin: %s", event->detail);
    fail(client, event->status == 500 ? T2_ERR_NOMEM : T2_ERR_PROTOCOL,
         "the origin's response was malformed");
    break;
  }
}

/* Parses what the window has room for; returns how much that was. */
static size_t process(t2_h1_client *client, uint8_t *bytes, size_t n) {
  size_t at = 0;
  t2_h1_event event = {.type = T2_H1_NONE};
  client->processing = true;
  client->stalled = false;
  do {
    size_t window = t2_leg_window(client->loop);
    if (client->given >= window) {
      client->stalled = true;
      break;
    }
    size_t rest = n - at, room = window - client->given;
    at += t2_h1_parse(client->parser, bytes + at, rest < room ? rest : room, &event);
    on_event(client, &event);
  } while (client->state == T2_H1_CLIENT_BUSY && (event.type != T2_H1_NONE || at < n));
  client->processing = false;
  return at;
}

/* ---- Events of the connection ---- */

/* The connection ended before the exchange did. Without a byte of an answer on a connection that was kept, it
 * was stale. */
static void on_lost(t2_h1_client *client, int err, const char *detail) {
  if (client->state != T2_H1_CLIENT_BUSY) {
    retire(client, 0);
    return;
  }
  if (!client->replayable) {
    fail(client, err, detail);
    return;
  }
  client->replayable = client->eof = false;
  drop_connection(client, T2_ERR_CLOSED);
  err = start_dial(client);
  if (err) fail(client, err, NULL);
}

static void on_end_of_input(t2_h1_client *client) {
  t2_h1_event event;
  if (client->tunnel) {
    if (client->response_ended) return;
    client->response_ended = true;
    t2_exchange_end(&client->leg, NULL);
    return;
  }
  if (client->replayable) {
    on_lost(client, T2_ERR_CLOSED, NULL);
    return;
  }
  t2_h1_eof(client->parser, &event);
  if (event.type == T2_H1_END) {
    client->response_ended = true;
    t2_exchange_end(&client->leg, event.trailers);
  } else {
    on_lost(client, T2_ERR_CLOSED,
            event.type == T2_H1_NONE ? "the origin closed the connection without an answer"
                                     : "the origin closed the connection inside its answer");
  }
}

/* Looks at what the input has led to. */
static void after_input(t2_h1_client *client) {
  settle(client);
  if (client->state != T2_H1_CLIENT_BUSY) return;
  if (client->stalled) {
    t2_conn_read_stop(client->conn);
    if (client->given < t2_leg_window(client->loop)) t2_conn_wake(client->conn);
    return;
  }
  t2_conn_read_start(client->conn);
  if (client->eof) on_end_of_input(client);
}

static void on_conn_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  t2_h1_client *client = user;
  if (client->state == T2_H1_CLIENT_IDLE) {
    t2_log_at(&client->loop->log, DEBUG, "proxy", "the origin sent bytes that nobody asked for");
    retire(client, T2_ERR_PROTOCOL);
    return;
  }
  if (client->replayable) {
    client->replayable = false;
    t2_buf_reset(&client->request);
  }
  size_t taken = client->stalled ? 0 : process(client, bytes, n);
  if (client->state == T2_H1_CLIENT_GONE) return;
  if (taken < n && t2_buf_append(&client->held, bytes + taken, n - taken)) {
    fail(client, T2_ERR_NOMEM, NULL);
    return;
  }
  after_input(client);
}

static void on_conn_flush(t2_conn *conn, void *user) {
  t2_h1_client *client = user;
  uint8_t none = 0;
  if (!client->stalled || client->state != T2_H1_CLIENT_BUSY || client->given >= t2_leg_window(client->loop))
    return;
  size_t n = t2_buf_len(&client->held);
  size_t taken = process(client, n ? t2_buf_head(&client->held) : &none, n);
  if (client->state == T2_H1_CLIENT_GONE) return;
  t2_buf_consume(&client->held, taken);
  after_input(client);
}

static void on_conn_written(t2_conn *conn, void *user) {
  t2_h1_client *client = user;
  size_t pending = t2_conn_pending(conn), left = client->unacked < pending ? client->unacked : pending;
  size_t sent = client->unacked - left;
  client->unacked = left;
  t2_exchange_consumed(&client->leg, sent);
}

static void on_conn_eof(t2_conn *conn, void *user) {
  t2_h1_client *client = user;
  client->eof = true;
  if (client->state == T2_H1_CLIENT_IDLE)
    retire(client, 0);
  else if (!client->stalled)
    on_end_of_input(client);
}

static void on_conn_close(t2_conn *conn, int err, void *user) {
  t2_h1_client *client = user;
  client->conn = NULL;
  on_lost(client, err ? err : T2_ERR_CLOSED, "the connection to the origin broke");
}

static const t2_conn_ops conn_ops = {
    .on_data = on_conn_data,
    .on_eof = on_conn_eof,
    .on_flush = on_conn_flush,
    .on_written = on_conn_written,
    .on_close = on_conn_close,
};

/* ---- Calls ---- */

t2_h1_client *t2_h1_client_new(t2_loop *loop, const t2_h1_client_options *options,
                               const t2_h1_client_ops *ops, void *user) {
  t2_h1_client *client = t2_calloc(loop->mem, 1, sizeof(*client));
  if (!client) return NULL;
  client->parser = t2_h1_parser_new(loop->mem, true, &options->limits);
  if (!client->parser) {
    t2_free(loop->mem, client);
    return NULL;
  }
  t2_list_init(&client->node);
  client->leg.ops = &leg_ops;
  client->loop = loop;
  client->options = options;
  client->ops = *ops;
  client->user = user;
  t2_buf_init(&client->request, loop->mem);
  t2_buf_init(&client->held, loop->mem);
  t2_timer_init(&client->timer, on_timer);
  return client;
}

void t2_h1_client_adopt(t2_h1_client *client, t2_conn *conn) {
  client->state = T2_H1_CLIENT_DONE;
  client->conn = conn;
  t2_conn_set_ops(conn, &conn_ops, client);
  settle(client);
}

void t2_h1_client_close(t2_h1_client *client, int err) {
  if (client->state == T2_H1_CLIENT_GONE) return;
  fail(client, err, NULL);
}
