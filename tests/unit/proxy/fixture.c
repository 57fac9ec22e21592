#include "fixture.h"

/* ---- Legs ---- */

static stub *stub_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, stub, leg);
}

static void log_fields(t2_buf *buf, const char *format, const t2_fields *fields) {
  for (size_t i = 0; fields && i < fields->n; i++)
    t2_buf_printf(buf, format, T2_STR_ARG(fields->list[i].name), T2_STR_ARG(fields->list[i].value));
}

static int stub_on_head(t2_leg *leg, const t2_head *head, bool end) {
  stub *s = stub_of(leg);
  assert_false(s->closed);
  if (head->status)
    t2_buf_printf(&s->log, "head %d%c", head->status, end ? '.' : ';');
  else
    t2_buf_printf(&s->log, "head %.*s %.*s%c", T2_STR_ARG(head->method), T2_STR_ARG(head->path),
                  end ? '.' : ';');
  if (head->status >= 200 || head->status == 101) s->status = head->status;
  s->length = head->content_length;
  t2_buf_reset(&s->fields);
  log_fields(&s->fields, "%.*s: %.*s\n", &head->fields);
  if (s->on_head) s->on_head(s);
  return s->head_err;
}

static int stub_on_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  stub *s = stub_of(leg);
  assert_false(s->closed);
  t2_buf_printf(&s->log, "data %zu;", n);
  t2_buf_append(&s->body, bytes, n);
  s->held += n;
  if (s->held > s->held_most) s->held_most = s->held;
  if (!s->hold) stub_consume(s, n);
  if (s->on_data) s->on_data(s);
  return s->data_err;
}

static int stub_on_end(t2_leg *leg, const t2_fields *trailers) {
  stub *s = stub_of(leg);
  assert_false(s->closed);
  t2_buf_append_c(&s->log, "end");
  log_fields(&s->log, " %.*s=%.*s", trailers);
  t2_buf_append_c(&s->log, ";");
  if (s->on_end) s->on_end(s);
  return s->end_err;
}

static void stub_on_consumed(t2_leg *leg, size_t n) {
  stub *s = stub_of(leg);
  assert_false(s->closed);
  s->consumed += n;
}

static void stub_on_closed(t2_leg *leg, int err) {
  stub *s = stub_of(leg);
  assert_false(s->closed);
  assert_null(leg->exchange);
  s->closed = true;
  s->err = err;
  t2_buf_printf(&s->log, "closed %s;", t2_error_name(err));
  if (s->on_closed) s->on_closed(s);
}

#define STUB_OPS(where)                                                                                      \
  {                                                                                                          \
    .name = "stub", .at = (where), .head = stub_on_head, .data = stub_on_data, .end = stub_on_end,           \
    .consumed = stub_on_consumed, .closed = stub_on_closed                                                   \
  }

const t2_leg_ops stub_ops = STUB_OPS(T2_AT_ORIGIN);
const t2_leg_ops stub_uplink_ops = STUB_OPS(T2_AT_UPLINK);

void stub_init(stub *s) {
  *s = (stub){.leg = {.ops = &stub_ops}};
  t2_buf_init(&s->log, NULL);
  t2_buf_init(&s->body, NULL);
  t2_buf_init(&s->fields, NULL);
}

void stub_fini(stub *s) {
  assert_null(s->leg.exchange);
  t2_buf_fini(&s->log);
  t2_buf_fini(&s->body);
  t2_buf_fini(&s->fields);
}

void stub_reset(stub *s) {
  assert_null(s->leg.exchange);
  t2_buf_reset(&s->log);
  t2_buf_reset(&s->body);
  t2_buf_reset(&s->fields);
  s->closed = s->ended = false;
  s->status = s->err = 0;
  s->held = s->held_most = s->consumed = 0;
}

const char *stub_log(stub *s) {
  return t2_buf_cstr(&s->log);
}

bool stub_said(stub *s, const char *part) {
  return strstr(stub_log(s), part) != NULL;
}

bool stub_has_field(stub *s, const char *line) {
  const char *text = t2_buf_cstr(&s->fields);
  return text && strstr(text, line);
}

void stub_answer(stub *s, int status, int64_t length, bool end) {
  t2_head head;
  t2_head_init(&head, NULL);
  head.status = status;
  head.content_length = length;
  head.version_minor = 1;
  if (end && (status >= 200 || status == 101)) s->ended = true;
  t2_exchange_head(&s->leg, &head, end);
  t2_head_fini(&head);
}

void stub_give(stub *s, const char *text) {
  if (!s->ended) t2_exchange_data(&s->leg, (const uint8_t *)text, strlen(text));
}

void stub_give_bytes(stub *s, size_t n) {
  static const uint8_t zeros[16384];
  for (size_t piece; n; n -= piece) {
    piece = n < sizeof(zeros) ? n : sizeof(zeros);
    t2_exchange_data(&s->leg, zeros, piece);
  }
}

void stub_end(stub *s) {
  if (s->ended) return;
  s->ended = true;
  t2_exchange_end(&s->leg, NULL);
}

void stub_fail(stub *s, int err, t2_problem_at at) {
  t2_exchange_fail(&s->leg, err, at, "because of the test");
}

void stub_consume(stub *s, size_t n) {
  assert_true(n <= s->held);
  s->held -= n;
  t2_exchange_consumed(&s->leg, n);
}

uint16_t test_port(const char *address) {
  t2_str host;
  uint16_t port = 0;
  assert_int_equal(t2_str_hostport(t2_str_c(address), &host, &port), 0);
  return port;
}

t2_head test_request(const char *method, const char *path) {
  return (t2_head){.method = t2_str_c(method),
                   .scheme = T2_STR("https"),
                   .authority = T2_STR("service.example"),
                   .path = t2_str_c(path),
                   .content_length = -1,
                   .version_minor = 1};
}

/* ---- Raw peers ---- */

static void on_raw_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  raw *r = handle->data;
  (void)suggested;
  *buf = uv_buf_init((char *)t2_buf_reserve(&r->in, 65536), 65536);
}

static void on_raw_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  raw *r = stream->data;
  (void)buf;
  if (n > 0) {
    t2_buf_commit(&r->in, (size_t)n);
  } else if (n < 0) {
    r->eof = n == UV_EOF;
    r->reset = n != UV_EOF;
    uv_read_stop(stream);
  }
}

static void on_raw_connect(uv_connect_t *connecting, int status) {
  raw *r = connecting->data;
  if (status == UV_ECANCELED) return;
  assert_int_equal(status, 0);
  r->connected = true;
  raw_read_start(r);
}

void raw_connect(raw *r, test_loop *tl, uint16_t port) {
  struct sockaddr_in address;
  *r = (raw){.used = true, .open = true};
  t2_buf_init(&r->in, NULL);
  uv_tcp_init(&tl->uv, &r->tcp);
  uv_tcp_nodelay(&r->tcp, 1);
  r->tcp.data = r->connecting.data = r;
  uv_ip4_addr("127.0.0.1", port, &address);
  assert_int_equal(uv_tcp_connect(&r->connecting, &r->tcp, (struct sockaddr *)&address, on_raw_connect), 0);
}

typedef struct sending {
  uv_write_t request;
  t2_buf bytes;
} sending;

static void on_sent(uv_write_t *request, int status) {
  sending *s = T2_CONTAINER_OF(request, sending, request);
  (void)status;
  t2_buf_fini(&s->bytes);
  free(s);
}

void raw_send_bytes(raw *r, const void *bytes, size_t n) {
  sending *s = calloc(1, sizeof(*s));
  t2_buf_init(&s->bytes, NULL);
  t2_buf_append(&s->bytes, bytes, n);
  uv_buf_t buf = uv_buf_init((char *)t2_buf_head(&s->bytes), (unsigned)n);
  assert_int_equal(uv_write(&s->request, (uv_stream_t *)&r->tcp, &buf, 1, on_sent), 0);
}

void raw_send(raw *r, const char *text) {
  raw_send_bytes(r, text, strlen(text));
}

void raw_send_zeros(raw *r, size_t n) {
  uint8_t *zeros = calloc(1, n);
  raw_send_bytes(r, zeros, n);
  free(zeros);
}

void raw_read_stop(raw *r) {
  uv_read_stop((uv_stream_t *)&r->tcp);
}

void raw_read_start(raw *r) {
  uv_read_start((uv_stream_t *)&r->tcp, on_raw_alloc, on_raw_read);
}

static void on_shut(uv_shutdown_t *request, int status) {
  (void)status;
  free(request);
}

void raw_shutdown(raw *r) {
  assert_int_equal(uv_shutdown(malloc(sizeof(uv_shutdown_t)), (uv_stream_t *)&r->tcp, on_shut), 0);
}

static void on_raw_close(uv_handle_t *handle) {
  ((raw *)handle->data)->open = false;
}

void raw_reset(raw *r) {
  uv_tcp_close_reset(&r->tcp, on_raw_close);
}

void raw_close(raw *r) {
  if (r->open && !uv_is_closing((uv_handle_t *)&r->tcp)) uv_close((uv_handle_t *)&r->tcp, on_raw_close);
}

void raw_fini(raw *r, test_loop *tl) {
  if (!r->used) return;
  raw_close(r);
  RUN_UNTIL(tl, !r->open);
  t2_buf_fini(&r->in);
  r->used = false;
}

const char *raw_text(raw *r) {
  return t2_buf_cstr(&r->in);
}

bool raw_got(raw *r, const char *part) {
  return strstr(raw_text(r), part) != NULL;
}

size_t raw_count(raw *r, const char *part) {
  size_t n = 0;
  for (const char *at = raw_text(r); (at = strstr(at, part)); at += strlen(part))
    n++;
  return n;
}

bool raw_ended(const raw *r) {
  return r->eof || r->reset;
}

/* ---- Frames ---- */

void raw_h2_frame(raw *r, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n) {
  uint8_t frame[256] = {
      (uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
      (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
  assert_true(n <= sizeof(frame) - 9);
  if (n) memcpy(frame + 9, payload, n);
  raw_send_bytes(r, frame, 9 + n);
}

void raw_h2_preface(raw *r) {
  raw_send(r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  raw_h2_frame(r, FRAME_SETTINGS, 0, 0, NULL, 0);
}

/* Static table entries (RFC 7541, A): 2 GET, 3 POST, 4 "/", 6 http, 1 :authority. */
void raw_h2_request(raw *r, uint32_t stream, bool end) {
  uint8_t head[] = {end ? 0x82 : 0x83, 0x84, 0x86, 0x01, 1, 'h'};
  raw_h2_frame(r, FRAME_HEADERS, end ? 0x5 : 0x4, stream, head, sizeof(head));
}

uint32_t read_u32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const uint8_t *find_frame(raw *r, uint8_t type, size_t i, size_t skip, size_t *count) {
  const uint8_t *p = t2_buf_head(&r->in);
  size_t n = t2_buf_len(&r->in);
  *count = 0;
  for (size_t at = skip; at + 9 <= n;) {
    size_t length = read_u32(p + at) >> 8;
    if (at + 9 + length > n) break;
    bool ack = (p[at + 3] == FRAME_SETTINGS || p[at + 3] == FRAME_PING) && p[at + 4] & 1;
    if (p[at + 3] == type && !ack && (*count)++ == i) return p + at + 9;
    at += 9 + length;
  }
  return NULL;
}

size_t raw_h2_count(raw *r, uint8_t type, size_t skip) {
  size_t n;
  find_frame(r, type, SIZE_MAX, skip, &n);
  return n;
}

const uint8_t *raw_h2_payload(raw *r, uint8_t type, size_t i, size_t skip) {
  size_t n;
  return find_frame(r, type, i, skip, &n);
}

/* ---- Two ends ---- */

static void on_end_going(t2_h2_conn *h2, void *user) {
  (void)h2;
  ((h2_end *)user)->going = true;
}

static void on_end_capacity(t2_h2_conn *h2, void *user) {
  (void)h2;
  ((h2_end *)user)->capacities++;
}

static void on_end_close(t2_h2_conn *h2, int err, const char *detail, void *user) {
  h2_end *end = user;
  assert_non_null(detail);
  assert_ptr_equal(t2_h2_conn_user(h2), user);
  assert_false(end->closed);
  end->closed = true;
  end->err = err;
  end->h2 = NULL;
}

void h2_pair_init(h2_pair *pair, test_loop *tl, t2_proxy *proxy) {
  *pair = (h2_pair){.tl = tl};
  t2_h2_conn_options_init(&pair->server.options, true);
  t2_h2_conn_options_init(&pair->client.options, false);
  pair->server.proxy = pair->client.proxy = proxy;
  pair->server.ops = pair->client.ops =
      (t2_h2_conn_ops){.on_going = on_end_going, .on_capacity = on_end_capacity, .on_close = on_end_close};
}

static void open_end(h2_pair *pair, h2_end *end, t2_conn *conn) {
  if (t2_h2_conn_new(&end->h2, end->proxy, conn, &end->options, &end->ops, end)) pair->failed = true;
  end->opened = true;
}

static void on_pair_accept(t2_listener *listener, t2_conn *conn, void *user) {
  h2_pair *pair = user;
  (void)listener;
  open_end(pair, &pair->server, conn);
}

static void on_pair_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  h2_pair *pair = user;
  (void)dial, (void)detail;
  if (err)
    pair->failed = true;
  else
    open_end(pair, &pair->client, conn);
}

bool h2_pair_listen(h2_pair *pair) {
  t2_listener_options listen = {.address = "127.0.0.1:0"};
  return t2_listener_new(&pair->listener, pair->tl->loop, &listen, on_pair_accept, pair, NULL, 0) == 0;
}

/* Past the settings, which say how many streams there may be. An end that could not be set up closes the
 * other one. */
bool h2_pair_open(h2_pair *pair) {
  t2_dial_options dial = {.host = T2_STR("127.0.0.1")};
  t2_dial *attempt;
  if (!h2_pair_listen(pair)) return false;
  dial.port = t2_listener_port(pair->listener);
  if (t2_dial_start(&attempt, pair->tl->loop, &dial, on_pair_dialled, pair)) return false;
  RUN_UNTIL(pair->tl, pair->failed || pair->client.closed || pair->server.closed ||
                          (pair->server.opened && pair->client.opened && pair->client.capacities));
  return pair->server.h2 && pair->client.h2;
}

static void on_pair_listener_close(void *user) {
  ((h2_pair *)user)->listener_closed = true;
}

void h2_pair_close(h2_pair *pair) {
  if (!pair->listener) return;
  t2_listener_close(pair->listener, on_pair_listener_close, pair);
  if (pair->server.h2) t2_h2_conn_close(pair->server.h2, T2_ERR_CANCELLED);
  if (pair->client.h2) t2_h2_conn_close(pair->client.h2, T2_ERR_CANCELLED);
  RUN_UNTIL(pair->tl, pair->listener_closed && !pair->server.h2 && !pair->client.h2);
}
