#include <base/options.h>
#include <http/ws.h>
#include <proxy/handler.h>
#include <proxy/ws_handshake.h>
#include <stdio.h>
#include <string.h>
#include <tunnel2/websocket.h>

#define VERSION    "13"
#define QUEUE_KEEP ((size_t)16 * 1024) /* memory that stays when nothing waits */

/*   OPEN ──t2_websocket_close──▶ CLOSING ──the peer's close──▶ OVER ──what waits is sent──▶ the answer ends
 *    └──────the peer's close, a failure, the end without one─────▲ */
typedef enum ws_state { OPEN, CLOSING, OVER } ws_state;

/* The owner of a request's callbacks from its acceptance on; freed with it. */
struct t2_websocket {
  t2_request *request;
  t2_websocket_options options;
  void *user;
  const char *protocol; /* chosen, or NULL */
  ws_state state;
  t2_ws_reader reader;
  t2_buf queue; /* of what is sent that which the request had no room for */
  t2_buf input; /* that came while paused: at most T2_REQUEST_WINDOW */
  bool paused, input_ended;
  bool starved; /* on_writable is to come */
  bool ended;   /* so has the answer */
  /* The last ping, where it could not be answered at once (RFC 6455, 5.5.3: it is enough to answer that
   * one): who pings and does not read makes nothing grow. */
  uint8_t pong[T2_WS_CONTROL_MAX];
  size_t pong_len;
  bool pong_waits;
  unsigned code; /* what on_close says; 0: nothing yet */
  char reason[T2_WS_REASON_MAX + 1];
  t2_flushable resumed;
  t2_timer timer; /* of the close */
  char chosen[];
};

static t2_loop *loop_of(const t2_websocket *ws) {
  return ws->request->handlers->proxy->loop;
}

/* ---- Sending ---- */

/* As much as there is room for; the rest is queued, for which there is memory. */
static int put_part(t2_websocket *ws, const void *bytes, size_t n) {
  int64_t taken = 0;
  if (t2_buf_len(&ws->queue) == 0) taken = t2_response_write(ws->request, bytes, n);
  if (taken < 0) return (int)taken;
  if ((size_t)taken == n) return 0;
  return t2_buf_append(&ws->queue, (const char *)bytes + taken, n - (size_t)taken);
}

/* All of a frame or nothing of it: the memory is there before anything is sent. */
static int put_frame(t2_websocket *ws, const uint8_t *head, size_t head_len, const void *bytes, size_t n) {
  size_t room = t2_buf_len(&ws->queue) ? 0 : t2_response_room(ws->request);
  if (head_len + n > room && !t2_buf_reserve(&ws->queue, head_len + n - room)) {
    ws->queue.failed = false; /* what waits still does */
    return T2_ERR_NOMEM;
  }
  int err = put_part(ws, head, head_len);
  return err || n == 0 ? err : put_part(ws, bytes, n);
}

static int put(t2_websocket *ws, t2_ws_opcode opcode, const void *bytes, size_t n) {
  uint8_t head[T2_WS_HEAD_MAX];
  return put_frame(ws, head, t2_ws_head(head, opcode, true, n), bytes, n);
}

static int put_close(t2_websocket *ws, unsigned code, const char *reason) {
  uint8_t frame[T2_WS_HEAD_MAX + T2_WS_CONTROL_MAX];
  return put_frame(ws, frame, t2_ws_close(frame, code, t2_str_c(reason)), NULL, 0);
}

static void answer_ping(t2_websocket *ws) {
  if (ws->state != OPEN || !ws->pong_waits || t2_buf_len(&ws->queue)) return;
  ws->pong_waits = false;
  (void)put(ws, T2_WS_OP_PONG, ws->pong, ws->pong_len);
}

static void end_when_sent(t2_websocket *ws) {
  if (ws->state != OVER || ws->ended || t2_buf_len(&ws->queue)) return;
  ws->ended = true;
  (void)t2_response_end(ws->request, NULL, 0);
}

static void on_request_writable(t2_request *request, void *user) {
  t2_websocket *ws = user;
  if (t2_buf_len(&ws->queue)) {
    int64_t taken = t2_response_write(request, t2_buf_head(&ws->queue), t2_buf_len(&ws->queue));
    if (taken > 0) t2_buf_consume(&ws->queue, (size_t)taken);
    if (taken < 0 || t2_buf_len(&ws->queue)) return;
    t2_buf_shrink(&ws->queue, QUEUE_KEEP);
  }
  answer_ping(ws);
  end_when_sent(ws);
  if (!ws->starved || ws->state != OPEN) return;
  ws->starved = false;
  if (ws->options.on_writable) ws->options.on_writable(ws, ws->user);
}

/* ---- The end ---- */

static void say_why(t2_websocket *ws, unsigned code, const char *reason, size_t n) {
  ws->code = code;
  snprintf(ws->reason, sizeof(ws->reason), "%.*s", (int)n, n ? reason : "");
}

/* Nothing comes or goes any more; the peer has to take what waits, and to end its side, in time. */
static void finish(t2_websocket *ws) {
  ws->state = OVER;
  t2_loop_timer_start(loop_of(ws), &ws->timer, ws->options.close_timeout_ms);
  end_when_sent(ws);
}

static void on_peer_close(t2_websocket *ws) {
  const t2_ws_reader *reader = &ws->reader;
  say_why(ws, reader->code, (const char *)reader->content, reader->content_len);
  if (ws->state == OPEN) (void)put_close(ws, reader->code, NULL);
  finish(ws);
}

static void fail(t2_websocket *ws, unsigned code, const char *why) {
  say_why(ws, code, why, strlen(why));
  if (ws->state == OPEN) (void)put_close(ws, code, why);
  finish(ws);
}

static void on_timer(t2_timer *timer) {
  t2_websocket *ws = T2_CONTAINER_OF(timer, t2_websocket, timer);
  t2_response_abort(ws->request, T2_ERR_TIMEOUT);
}

static void free_websocket(t2_websocket *ws) {
  t2_loop *loop = loop_of(ws);
  t2_loop_timer_stop(loop, &ws->timer);
  t2_loop_calm(&ws->resumed);
  t2_ws_reader_fini(&ws->reader);
  t2_buf_fini(&ws->queue);
  t2_buf_fini(&ws->input);
  t2_free(loop->mem, ws);
}

static void on_request_close(t2_request *request, int err, void *user) {
  t2_websocket *ws = user;
  const char *reason = ws->code ? ws->reason : t2_strerror(err ? err : T2_ERR_CLOSED);
  unsigned code = ws->code ? ws->code : T2_WS_ABNORMAL;
  ws->state = OVER;
  if (ws->options.on_close) ws->options.on_close(ws, code, reason, ws->user);
  free_websocket(ws);
}

/* ---- Reading ---- */

static bool reads(const t2_websocket *ws) {
  return !ws->request->over && (!ws->paused || ws->state != OPEN);
}

static void on_ping(t2_websocket *ws) {
  ws->pong_len = ws->reader.content_len;
  memcpy(ws->pong, ws->reader.content, ws->pong_len);
  ws->pong_waits = true;
  answer_ping(ws);
}

static void act_on(t2_websocket *ws, t2_ws_event event) {
  const t2_ws_reader *reader = &ws->reader;
  const t2_websocket_options *o = &ws->options;
  bool open = ws->state == OPEN;
  switch (event) {
  case T2_WS_MORE:
    break;
  case T2_WS_TEXT:
  case T2_WS_BINARY:
    if (open && o->on_message)
      o->on_message(ws, event == T2_WS_TEXT, reader->content, reader->content_len, ws->user);
    break;
  case T2_WS_PING:
    on_ping(ws);
    break;
  case T2_WS_PONG:
    if (open && o->on_pong) o->on_pong(ws, reader->content, reader->content_len, ws->user);
    break;
  case T2_WS_CLOSE:
    on_peer_close(ws);
    break;
  case T2_WS_FAILED:
    fail(ws, reader->code, reader->why);
    break;
  }
}

/* How many of the bytes are done with: all, unless a callback pauses. */
static size_t read_bytes(t2_websocket *ws, const uint8_t *bytes, size_t n) {
  size_t at = 0;
  while (at < n && reads(ws) && ws->state != OVER) {
    size_t taken;
    t2_ws_event event = t2_ws_read(&ws->reader, bytes + at, n - at, &taken);
    at += taken;
    act_on(ws, event);
  }
  return ws->state == OVER ? n : at;
}

static void on_request_data(t2_request *request, const uint8_t *bytes, size_t n, void *user) {
  t2_websocket *ws = user;
  size_t taken = t2_buf_len(&ws->input) == 0 ? read_bytes(ws, bytes, n) : 0;
  if (taken < n && t2_buf_append(&ws->input, bytes + taken, n - taken)) {
    taken = n;
    fail(ws, T2_WS_INTERNAL_ERROR, "there is no memory for what came");
  }
  t2_request_consume(request, taken);
}

static void see_end(t2_websocket *ws) {
  static const char why[] = "it ended without a close";
  if (!ws->input_ended || t2_buf_len(&ws->input) || ws->state == OVER) return;
  say_why(ws, T2_WS_ABNORMAL, why, sizeof(why) - 1);
  finish(ws);
}

static void on_request_end(t2_request *request, void *user) {
  t2_websocket *ws = user;
  ws->input_ended = true;
  see_end(ws);
}

static void on_resumed(t2_flushable *flushable) {
  t2_websocket *ws = T2_CONTAINER_OF(flushable, t2_websocket, resumed);
  size_t taken = read_bytes(ws, t2_buf_head(&ws->input), t2_buf_len(&ws->input));
  t2_buf_consume(&ws->input, taken);
  if (t2_buf_len(&ws->input) == 0) t2_buf_shrink(&ws->input, 0);
  t2_request_consume(ws->request, taken);
  see_end(ws);
}

static const t2_handler request_ops = {
    .size = sizeof(request_ops),
    .on_data = on_request_data,
    .on_end = on_request_end,
    .on_writable = on_request_writable,
    .on_close = on_request_close,
    .consume_later = true,
};

/* ---- The handshake ---- */

void t2_websocket_options_init(t2_websocket_options *options) {
  *options = (t2_websocket_options){.size = sizeof(*options),
                                    .message_max = (size_t)1024 * 1024,
                                    .queue_max = (size_t)1024 * 1024,
                                    .close_timeout_ms = 5000};
}

static int read_options(t2_websocket_options *out, const t2_websocket_options *given) {
  t2_websocket_options_init(out);
  return given ? t2_options_read(out, sizeof(*out), given) : 0;
}

bool t2_websocket_asked(const t2_request *request) {
  const char *protocol = t2_request_protocol(request);
  const char *version = t2_request_field(request, "sec-websocket-version");
  return protocol && t2_ws_is(t2_str_c(protocol)) && version && strcmp(version, VERSION) == 0;
}

static bool is_offered(const t2_request *request, t2_str protocol) {
  size_t count;
  const t2_http_field *fields = t2_request_fields(request, &count);
  for (size_t i = 0; i < count; i++) {
    t2_str list = t2_str_c(fields[i].value), offered;
    if (strcmp(fields[i].name, "sec-websocket-protocol") != 0) continue;
    while (t2_str_next(&list, ',', &offered))
      if (t2_str_eq(offered, protocol)) return true;
  }
  return false;
}

static const char *choose(const t2_request *request, const t2_websocket_options *options) {
  for (size_t i = 0; i < options->protocol_count; i++)
    if (is_offered(request, t2_str_c(options->protocols[i]))) return options->protocols[i];
  return NULL;
}

/* The request's callbacks are the WebSocket's before the peer can have said anything. */
static int answer(t2_websocket *ws, const t2_websocket_options *options) {
  t2_request *request = ws->request;
  const t2_allocator *mem = loop_of(ws)->mem;
  const t2_handler *ops = request->ops;
  void *user = request->ops_user;
  size_t n = options->field_count;
  t2_http_field *fields = t2_calloc(mem, n + 1, sizeof(*fields));
  if (!fields) return T2_ERR_NOMEM;
  if (n) memcpy(fields, options->fields, n * sizeof(*fields));
  if (ws->protocol) fields[n++] = (t2_http_field){"sec-websocket-protocol", ws->protocol};
  t2_request_take_over(request, &request_ops, ws);
  int err = t2_response_start(request, 101, fields, n, -1);
  if (err) t2_request_take_over(request, ops, user);
  t2_free(mem, fields);
  ws->options.protocols = NULL; /* the caller's */
  ws->options.fields = NULL;
  return err;
}

int t2_websocket_accept(t2_websocket **out, t2_request *request, const t2_websocket_options *given,
                        void *user) {
  t2_loop *loop = request->handlers->proxy->loop;
  t2_websocket_options options;
  *out = NULL;
  if (!t2_websocket_asked(request)) return T2_ERR_UNSUPPORTED;
  if (read_options(&options, given)) return T2_ERR_INVALID;
  const char *protocol = choose(request, &options);
  size_t n = protocol ? strlen(protocol) + 1 : 0;
  t2_websocket *ws = t2_alloc(loop->mem, sizeof(*ws) + n);
  if (!ws) return T2_ERR_NOMEM;
  *ws = (t2_websocket){.request = request, .options = options, .user = user};
  if (protocol) ws->protocol = memcpy(ws->chosen, protocol, n);
  t2_ws_reader_init(&ws->reader, loop->mem, options.message_max);
  t2_buf_init(&ws->queue, loop->mem);
  t2_buf_init(&ws->input, loop->mem);
  t2_flushable_init(&ws->resumed, on_resumed);
  t2_timer_init(&ws->timer, on_timer);
  int err = answer(ws, &options);
  if (err) {
    free_websocket(ws);
    return err;
  }
  *out = ws;
  return 0;
}

/* ---- What a program asks of it ---- */

/* One that would make too much wait, where something does already. */
static int may_send(t2_websocket *ws, size_t n) {
  size_t waiting = t2_buf_len(&ws->queue);
  if (ws->state != OPEN || ws->request->over) return T2_ERR_CLOSED;
  if (waiting == 0 || (waiting < ws->options.queue_max && n <= ws->options.queue_max - waiting)) return 0;
  ws->starved = true;
  return T2_ERR_AGAIN;
}

int t2_websocket_send(t2_websocket *ws, bool text, const void *bytes, size_t n) {
  t2_utf8 utf8 = {0};
  int err = may_send(ws, n);
  if (err) return err;
  if (text && (!t2_utf8_check(&utf8, bytes, n) || !t2_utf8_is_whole(&utf8))) return T2_ERR_INVALID;
  return put(ws, text ? T2_WS_OP_TEXT : T2_WS_OP_BINARY, bytes, n);
}

int t2_websocket_ping(t2_websocket *ws, const void *bytes, size_t n) {
  if (n > T2_WS_CONTROL_MAX) return T2_ERR_INVALID;
  int err = may_send(ws, n);
  return err ? err : put(ws, T2_WS_OP_PING, bytes, n);
}

size_t t2_websocket_waiting(const t2_websocket *ws) {
  return t2_buf_len(&ws->queue);
}

void t2_websocket_pause(t2_websocket *ws, bool pause) {
  bool resumes = ws->paused && !pause;
  ws->paused = pause;
  if (resumes && !ws->request->over) t2_loop_wake(loop_of(ws), &ws->resumed);
}

int t2_websocket_close(t2_websocket *ws, unsigned code, const char *reason) {
  if (ws->state != OPEN || ws->request->over) return T2_ERR_CLOSED;
  if (code && !t2_ws_code_valid(code)) return T2_ERR_INVALID;
  int err = put_close(ws, code ? code : T2_WS_NO_CODE, reason);
  if (err) return err;
  t2_websocket_pause(ws, false);
  ws->state = CLOSING;
  t2_loop_timer_start(loop_of(ws), &ws->timer, ws->options.close_timeout_ms);
  return 0;
}

const char *t2_websocket_protocol(const t2_websocket *ws) {
  return ws->protocol;
}

t2_request *t2_websocket_request(const t2_websocket *ws) {
  return ws->request;
}
