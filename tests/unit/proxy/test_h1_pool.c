#include <t2_test_mem.h>

#include <net/loop.h>
#include <proxy/h1_pool.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <uv.h>

#define DEADLINE_MS 10000
#define PEERS_MAX   8

/* ---- An origin that does what the test says: raw TCP on the same loop ---- */

typedef struct origin origin;

typedef struct peer {
  origin *owner;
  uv_tcp_t tcp;
  t2_buf in;
  bool open, eof, reset;
} peer;

struct origin {
  uv_tcp_t listener;
  uint16_t port;
  peer peers[PEERS_MAX];
  size_t accepted;
  bool deaf; /* does not read */
};

static void on_peer_closed(uv_handle_t *handle) {
  peer *p = handle->data;
  p->open = false;
}

static void peer_close(peer *p) {
  if (p->open && !uv_is_closing((uv_handle_t *)&p->tcp)) uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
}

static void on_peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  peer *p = handle->data;
  (void)suggested;
  *buf = uv_buf_init((char *)t2_buf_reserve(&p->in, 65536), 65536);
}

static void on_peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  peer *p = stream->data;
  (void)buf;
  if (n > 0) {
    t2_buf_commit(&p->in, (size_t)n);
  } else if (n < 0) {
    p->eof = n == UV_EOF;
    p->reset = n != UV_EOF;
    uv_read_stop(stream);
  }
}

static void peer_listen(peer *p) {
  uv_read_start((uv_stream_t *)&p->tcp, on_peer_alloc, on_peer_read);
}

static void on_connection(uv_stream_t *server, int status) {
  origin *o = server->data;
  assert_int_equal(status, 0);
  assert_true(o->accepted < PEERS_MAX);
  peer *p = &o->peers[o->accepted++];
  p->owner = o;
  t2_buf_init(&p->in, NULL);
  uv_tcp_init(server->loop, &p->tcp);
  p->tcp.data = p;
  p->open = true;
  assert_int_equal(uv_accept(server, (uv_stream_t *)&p->tcp), 0);
  if (!o->deaf) peer_listen(p);
}

static void origin_open(origin *o, uv_loop_t *uv) {
  struct sockaddr_in address;
  struct sockaddr_storage bound;
  int n = sizeof(bound);
  *o = (origin){0};
  uv_tcp_init(uv, &o->listener);
  o->listener.data = o;
  uv_ip4_addr("127.0.0.1", 0, &address);
  assert_int_equal(uv_tcp_bind(&o->listener, (struct sockaddr *)&address, 0), 0);
  assert_int_equal(uv_listen((uv_stream_t *)&o->listener, 16, on_connection), 0);
  assert_int_equal(uv_tcp_getsockname(&o->listener, (struct sockaddr *)&bound, &n), 0);
  o->port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

static void origin_close(origin *o) {
  for (size_t i = 0; i < o->accepted; i++) {
    peer_close(&o->peers[i]);
    t2_buf_fini(&o->peers[i].in);
  }
  if (!uv_is_closing((uv_handle_t *)&o->listener)) uv_close((uv_handle_t *)&o->listener, NULL);
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

static void peer_send_bytes(peer *p, const void *bytes, size_t n) {
  sending *s = calloc(1, sizeof(*s));
  t2_buf_init(&s->bytes, NULL);
  t2_buf_append(&s->bytes, bytes, n);
  uv_buf_t buf = uv_buf_init((char *)t2_buf_head(&s->bytes), (unsigned)n);
  assert_int_equal(uv_write(&s->request, (uv_stream_t *)&p->tcp, &buf, 1, on_sent), 0);
}

static void peer_send(peer *p, const char *text) {
  peer_send_bytes(p, text, strlen(text));
}

static void on_shut(uv_shutdown_t *request, int status) {
  (void)status;
  free(request);
}

/* FIN; reading goes on. */
static void peer_shutdown(peer *p) {
  assert_int_equal(uv_shutdown(malloc(sizeof(uv_shutdown_t)), (uv_stream_t *)&p->tcp, on_shut), 0);
}

static void peer_reset(peer *p) {
  uv_tcp_close_reset(&p->tcp, on_peer_closed);
}

/* ---- Who asks: a downstream leg that keeps what it is told ---- */

typedef struct asker {
  t2_leg leg;
  int heads, status, interim;
  int64_t content_length;
  bool ended, closed, hold;
  int err;
  size_t held;     /* bytes not reported as consumed (with hold) */
  size_t consumed; /* of the request's content, by the other side */
  t2_buf body, trailers;
} asker;

static int asker_head(t2_leg *leg, const t2_head *head, bool end) {
  asker *a = T2_CONTAINER_OF(leg, asker, leg);
  a->heads++;
  if (head->status < 200 && head->status != 101) {
    a->interim = head->status;
    return 0;
  }
  a->status = head->status;
  a->content_length = head->content_length;
  a->ended = end;
  return 0;
}

static int asker_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  asker *a = T2_CONTAINER_OF(leg, asker, leg);
  t2_buf_append(&a->body, bytes, n);
  if (a->hold) {
    a->held += n;
    assert_true(a->held <= T2_LEG_WINDOW);
  } else {
    t2_exchange_consumed(leg, n);
  }
  return 0;
}

static int asker_end(t2_leg *leg, const t2_fields *trailers) {
  asker *a = T2_CONTAINER_OF(leg, asker, leg);
  a->ended = true;
  for (size_t i = 0; trailers && i < trailers->n; i++)
    t2_buf_printf(&a->trailers, "%.*s=%.*s;", T2_STR_ARG(trailers->list[i].name),
                  T2_STR_ARG(trailers->list[i].value));
  return 0;
}

static void asker_consumed(t2_leg *leg, size_t n) {
  T2_CONTAINER_OF(leg, asker, leg)->consumed += n;
}

static void asker_closed(t2_leg *leg, int err) {
  asker *a = T2_CONTAINER_OF(leg, asker, leg);
  assert_false(a->closed);
  a->closed = true;
  a->err = err;
}

static const t2_leg_ops asker_ops = {
    .name = "asker",
    .at = T2_AT_LOCAL,
    .head = asker_head,
    .data = asker_data,
    .end = asker_end,
    .consumed = asker_consumed,
    .closed = asker_closed,
};

/* ---- The setting ---- */

typedef struct setting {
  uv_loop_t uv;
  t2_test_mem mem;
  t2_loop *loop;
  t2_proxy proxy;
  origin origin;
  t2_h1_pool_options options;
  t2_h1_pool *pool;
  asker askers[4];
} setting;

static void open_pool(setting *s) {
  if (s->pool) t2_h1_pool_close(s->pool);
  assert_int_equal(t2_h1_pool_new(&s->pool, s->loop, &s->options), 0);
}

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  uv_loop_init(&s->uv);
  assert_int_equal(t2_loop_new(&s->loop, &s->uv, &s->mem.hook, NULL), 0);
  t2_proxy_init(&s->proxy, s->loop, "test");
  origin_open(&s->origin, &s->uv);
  t2_h1_pool_options_init(&s->options);
  s->options.host = T2_STR("127.0.0.1");
  s->options.port = s->origin.port;
  open_pool(s);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  t2_h1_pool_close(s->pool);
  origin_close(&s->origin);
  for (size_t i = 0; i < T2_COUNT_OF(s->askers); i++) {
    t2_buf_fini(&s->askers[i].body);
    t2_buf_fini(&s->askers[i].trailers);
  }
  assert_int_equal(s->proxy.active, 0);
  t2_proxy_fini(&s->proxy);
  t2_loop_close(s->loop, NULL, NULL);
  uv_run(&s->uv, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&s->uv), 0);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

static void on_tick(uv_timer_t *timer) {
  (void)timer;
}

/* Runs the loop until the condition holds; the timer wakes it, so that the deadline counts even when nothing
 * happens. */
#define run_until(s, condition)                                                                              \
  do {                                                                                                       \
    uv_timer_t tick;                                                                                         \
    uv_timer_init(&(s)->uv, &tick);                                                                          \
    uv_timer_start(&tick, on_tick, 10, 10);                                                                  \
    uint64_t end = uv_now(&(s)->uv) + DEADLINE_MS;                                                           \
    while (!(condition)) {                                                                                   \
      if (uv_now(&(s)->uv) > end) fail_msg("never: %s", #condition);                                         \
      uv_run(&(s)->uv, UV_RUN_ONCE);                                                                         \
    }                                                                                                        \
    uv_close((uv_handle_t *)&tick, NULL);                                                                    \
    uv_run(&(s)->uv, UV_RUN_NOWAIT);                                                                         \
  } while (0)

/* A few turns, for what must not happen. */
static void run_a_while(setting *s) {
  for (int i = 0; i < 20; i++)
    uv_run(&s->uv, UV_RUN_NOWAIT);
}

static asker *begin(setting *s, asker *a, const t2_head *head, bool end, uint64_t timeout_ms) {
  t2_buf_fini(&a->body);
  t2_buf_fini(&a->trailers);
  *a = (asker){.leg = {.ops = &asker_ops}, .hold = a->hold};
  t2_buf_init(&a->body, NULL);
  t2_buf_init(&a->trailers, NULL);
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &a->leg, head);
  assert_non_null(exchange);
  t2_exchange_connect(exchange, t2_h1_pool_leg(s->pool), head, end, NULL, timeout_ms);
  return a;
}

static t2_head plain_head(const char *method, const char *path) {
  return (t2_head){.method = t2_str_c(method),
                   .scheme = T2_STR("http"),
                   .authority = T2_STR("public.example"),
                   .path = t2_str_c(path),
                   .content_length = -1,
                   .version_minor = 1};
}

static asker *ask(setting *s, size_t i, const char *method, const char *path) {
  t2_head head = plain_head(method, path);
  return begin(s, &s->askers[i], &head, true, 0);
}

static void give(asker *a, const char *text) {
  t2_exchange_data(&a->leg, (const uint8_t *)text, strlen(text));
}

static peer *peer_of(setting *s, size_t i) {
  run_until(s, s->origin.accepted > i);
  return &s->origin.peers[i];
}

static bool received(peer *p, const char *part) {
  const char *text = t2_buf_cstr(&p->in);
  return text && strstr(text, part);
}

/* Waits for a whole request head, and forgets it. */
static void take_head(setting *s, peer *p) {
  run_until(s, received(p, "\r\n\r\n"));
  t2_buf_reset(&p->in);
}

static bool body_is(const asker *a, const char *text) {
  return t2_str_eq(t2_str_of((const char *)t2_buf_head(&a->body), t2_buf_len(&a->body)), t2_str_c(text));
}

/* One exchange, so that a connection is pooled. */
static peer *warm_up(setting *s) {
  asker *a = ask(s, 0, "GET", "/warm");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  run_until(s, a->closed);
  assert_int_equal(t2_h1_pool_idle(s->pool), 1);
  return p;
}

static void expect_problem(setting *s, asker *a, int status) {
  run_until(s, a->closed);
  assert_int_equal(a->status, status);
  assert_int_equal(a->err, 0);
  assert_int_equal(t2_h1_pool_active(s->pool), 0);
}

/* ---- Requests ---- */

static void test_request_is_written_and_answered(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/a?b");
  peer *p = peer_of(s, 0);
  run_until(s, received(p, "\r\n\r\n"));
  assert_true(received(p, "GET /a?b HTTP/1.1\r\n"));
  assert_true(received(p, "public.example\r\n"));
  assert_false(received(p, "hunked"));
  peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  run_until(s, a->closed);
  assert_int_equal(a->status, 200);
  assert_int_equal(a->content_length, 5);
  assert_true(a->ended && a->err == 0 && body_is(a, "hello"));
  assert_int_equal(t2_h1_pool_idle(s->pool), 1);
  assert_int_equal(t2_h1_pool_active(s->pool), 0);
}

static void test_host_header_replaces_the_authority(void **state) {
  setting *s = *state;
  s->options.host_header = T2_STR("inner.example:81");
  open_pool(s);
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  run_until(s, received(p, "\r\n\r\n"));
  assert_true(received(p, "inner.example:81\r\n"));
  assert_false(received(p, "public.example"));
  t2_exchange_fail(&a->leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
}

static void test_content_of_known_length(void **state) {
  setting *s = *state;
  t2_head head = plain_head("POST", "/");
  head.content_length = 10;
  asker *a = begin(s, &s->askers[0], &head, false, 0);
  give(a, "early"); /* while the connection is being dialled */
  peer *p = peer_of(s, 0);
  run_until(s, received(p, "\r\n\r\nearly"));
  assert_true(received(p, "ontent-") && received(p, "10\r\n"));
  give(a, "later");
  t2_exchange_end(&a->leg, NULL);
  run_until(s, received(p, "earlylater") && a->consumed == 10);
  peer_send(p, "HTTP/1.1 204 No Content\r\n\r\n");
  run_until(s, a->closed);
  assert_int_equal(a->status, 204);
  assert_int_equal(t2_h1_pool_idle(s->pool), 1);
}

static void test_content_of_unknown_length_is_chunked_with_trailers(void **state) {
  setting *s = *state;
  t2_head head = plain_head("PUT", "/");
  asker *a = begin(s, &s->askers[0], &head, false, 0);
  t2_fields trailers;
  t2_fields_init(&trailers, NULL);
  t2_fields_add(&trailers, T2_STR("x-sum"), T2_STR("7"));
  give(a, "abc");
  peer *p = peer_of(s, 0);
  run_until(s, received(p, "\r\n\r\n3\r\nabc\r\n"));
  give(a, "0123456789abcdef");
  t2_exchange_end(&a->leg, &trailers);
  t2_fields_fini(&trailers);
  run_until(s, received(p, "10\r\n0123456789abcdef\r\n0\r\n"));
  run_until(s, received(p, "sum: 7\r\n\r\n"));
  assert_int_equal(a->consumed, 19);
  peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  run_until(s, a->closed);
  assert_int_equal(t2_h1_pool_idle(s->pool), 1);
}

static void test_empty_content_is_said_for_methods_that_have_some(void **state) {
  setting *s = *state;
  ask(s, 0, "POST", "/");
  peer *p = peer_of(s, 0);
  run_until(s, received(p, "\r\n\r\n"));
  assert_true(received(p, "ength: 0\r\n"));
  t2_exchange_fail(&s->askers[0].leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
}

static void test_content_other_than_announced_is_never_sent(void **state) {
  setting *s = *state;
  t2_head head = plain_head("POST", "/");
  head.content_length = 4;
  asker *a = begin(s, &s->askers[0], &head, false, 0);
  give(a, "12345");
  expect_problem(s, a, 502);
  a = begin(s, &s->askers[1], &head, false, 0);
  give(a, "123");
  t2_exchange_end(&a->leg, NULL);
  expect_problem(s, a, 502);
  run_a_while(s);
  for (size_t i = 0; i < s->origin.accepted; i++)
    assert_false(received(&s->origin.peers[i], "123"));
}

/* ---- Responses ---- */

static void test_chunked_answer_with_trailers_and_interim_heads(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
  run_until(s, a->interim == 103);
  peer_send(
      p,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n");
  run_until(s, a->closed);
  assert_int_equal(a->heads, 2);
  assert_true(a->ended && body_is(a, "abcdefg"));
  assert_string_equal(t2_buf_cstr(&a->trailers), "x-sum=7;");
  assert_int_equal(t2_h1_pool_idle(s->pool), 1);
}

static void test_answers_without_content(void **state) {
  const char *cases[][2] = {{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
                            {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"},
                            {"GET", "HTTP/1.1 204 No Content\r\n\r\n"},
                            {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}};
  setting *s = *state;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    asker *a = ask(s, 0, cases[i][0], "/");
    peer *p = peer_of(s, 0);
    take_head(s, p);
    peer_send(p, cases[i][1]);
    run_until(s, a->closed);
    assert_true(a->ended && a->err == 0 && t2_buf_len(&a->body) == 0);
    assert_int_equal(t2_h1_pool_idle(s->pool), 1);
  }
  assert_int_equal(t2_h1_pool_dials(s->pool), 1);
}

static void test_answer_until_close_ends_whole_and_is_not_pooled(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p, "HTTP/1.0 200 OK\r\n\r\nall of it");
  run_until(s, t2_buf_len(&a->body) == 9);
  assert_false(a->ended);
  peer_close(p);
  run_until(s, a->closed);
  assert_true(a->ended && a->err == 0 && body_is(a, "all of it"));
  assert_int_equal(t2_h1_pool_idle(s->pool), 0);
}

static void test_cut_answer_is_no_whole_answer(void **state) {
  const char *cases[] = {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
                         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n"};
  setting *s = *state;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    asker *a = ask(s, 0, "GET", "/");
    peer *p = peer_of(s, i);
    take_head(s, p);
    peer_send(p, cases[i]);
    run_until(s, t2_buf_len(&a->body) == 9);
    peer_close(p);
    run_until(s, a->closed);
    assert_int_equal(a->err, T2_ERR_CLOSED);
    assert_false(a->ended);
  }
}

static void test_reset_inside_an_answer_until_close_is_a_cut(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p, "HTTP/1.0 200 OK\r\n\r\npart");
  run_until(s, t2_buf_len(&a->body) == 4);
  peer_reset(p);
  run_until(s, a->closed);
  assert_false(a->ended);
  assert_int_not_equal(a->err, 0);
}

static void test_what_is_no_http_is_502(void **state) {
  const char *cases[] = {"SSH-2.0-x\r\n\r\n",
                         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                         "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"};
  setting *s = *state;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    asker *a = ask(s, 0, "GET", "/");
    peer *p = peer_of(s, i);
    take_head(s, p);
    peer_send(p, cases[i]);
    expect_problem(s, a, 502);
  }
}

static void test_endless_interim_heads_are_502(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  for (int i = 0; i < 33; i++)
    peer_send(p, "HTTP/1.1 102 Processing\r\n\r\n");
  expect_problem(s, a, 502);
  assert_int_equal(a->heads, 33); /* 32 and the problem */
}

static void test_origin_that_closes_without_an_answer_is_502(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_close(p);
  expect_problem(s, a, 502);
  assert_int_equal(t2_h1_pool_dials(s->pool), 1);
}

static void test_nobody_there_is_502(void **state) {
  setting *s = *state;
  uv_close((uv_handle_t *)&s->origin.listener, NULL);
  run_a_while(s);
  t2_head head = plain_head("POST", "/");
  asker *a = begin(s, &s->askers[0], &head, false, 0);
  give(a, "content that waits for a connection");
  expect_problem(s, a, 502);
}

static void test_no_answer_in_time_is_504_and_the_connection_is_given_up(void **state) {
  setting *s = *state;
  t2_head head = plain_head("GET", "/");
  asker *a = begin(s, &s->askers[0], &head, true, 30);
  peer *p = peer_of(s, 0);
  expect_problem(s, a, 504);
  run_until(s, p->eof || p->reset);
}

static void test_asker_that_goes_away_ends_the_request(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  t2_exchange_fail(&a->leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
  run_until(s, p->eof || p->reset);
  assert_int_equal(t2_h1_pool_active(s->pool), 0);
  a = ask(s, 0, "GET", "/"); /* and while dialling */
  t2_exchange_fail(&a->leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
  assert_int_equal(t2_h1_pool_active(s->pool), 0);
  run_a_while(s);
}

static void test_answer_before_the_end_of_the_request_passes_and_ends_the_connection(void **state) {
  setting *s = *state;
  t2_head head = plain_head("POST", "/");
  head.content_length = 1000;
  asker *a = begin(s, &s->askers[0], &head, false, 0);
  give(a, "part");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
  run_until(s, a->closed);
  assert_true(a->status == 413 && body_is(a, "no") && a->err == 0);
  run_until(s, p->eof || p->reset);
  assert_int_equal(t2_h1_pool_idle(s->pool), 0);
}

/* ---- The pool ---- */

static void test_connection_is_used_again(void **state) {
  setting *s = *state;
  peer *p = warm_up(s);
  for (int i = 0; i < 10; i++) {
    asker *a = ask(s, 0, "GET", "/again");
    assert_int_equal(t2_h1_pool_idle(s->pool), 0);
    take_head(s, p);
    peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    run_until(s, a->closed);
    assert_true(body_is(a, "ok"));
  }
  assert_int_equal(t2_h1_pool_dials(s->pool), 1);
  assert_int_equal(s->origin.accepted, 1);
}

static void test_steady_state_allocates_nothing(void **state) {
  setting *s = *state;
  peer *p = warm_up(s);
  size_t before = 0;
  for (int i = 0; i < 20; i++) {
    asker *a = ask(s, 0, "GET", "/again");
    take_head(s, p);
    peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    run_until(s, a->closed);
    if (i == 4) before = s->mem.count;
  }
  assert_int_equal(s->mem.count, before);
}

static void test_used_last_is_used_next_and_the_surplus_is_closed(void **state) {
  setting *s = *state;
  s->options.idle_max = 2;
  open_pool(s);
  for (size_t i = 0; i < 3; i++) {
    ask(s, i, "GET", "/");
    take_head(s, peer_of(s, i));
  }
  assert_int_equal(t2_h1_pool_active(s->pool), 3);
  for (size_t i = 0; i < 3; i++) {
    peer_send(&s->origin.peers[i], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(s, s->askers[i].closed);
  }
  run_until(s, s->origin.peers[0].eof || s->origin.peers[0].reset);
  assert_int_equal(t2_h1_pool_idle(s->pool), 2);
  ask(s, 0, "GET", "/last");
  run_until(s, received(&s->origin.peers[2], "/last"));
  t2_exchange_fail(&s->askers[0].leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
}

static void test_idle_connection_is_closed_after_its_time(void **state) {
  setting *s = *state;
  s->options.idle_timeout_ms = 30;
  open_pool(s);
  peer *p = warm_up(s);
  run_until(s, p->eof);
  assert_int_equal(t2_h1_pool_idle(s->pool), 0);
}

static void test_end_of_an_idle_connection_is_noticed(void **state) {
  setting *s = *state;
  peer_close(warm_up(s));
  run_until(s, t2_h1_pool_idle(s->pool) == 0);
  ask(s, 0, "POST", "/");
  take_head(s, peer_of(s, 1));
  peer_send(&s->origin.peers[1], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  run_until(s, s->askers[0].closed);
  assert_int_equal(s->askers[0].status, 200);
}

static void test_byte_on_an_idle_connection_closes_it(void **state) {
  setting *s = *state;
  peer *p = warm_up(s);
  peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  run_until(s, t2_h1_pool_idle(s->pool) == 0);
  run_until(s, p->eof || p->reset);
}

static void test_bytes_behind_an_answer_are_no_answer_to_the_next_request(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  run_until(s, a->closed);
  assert_true(body_is(a, "ok"));
  assert_int_equal(t2_h1_pool_idle(s->pool), 0);
  run_until(s, p->eof || p->reset);
}

static void test_connection_close_is_obeyed(void **state) {
  setting *s = *state;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  run_until(s, a->closed);
  assert_true(body_is(a, "ok") && a->err == 0);
  assert_int_equal(t2_h1_pool_idle(s->pool), 0);
  run_until(s, p->eof);
}

/* ---- Stale connections ---- */

static void test_safe_request_on_a_stale_connection_is_sent_once_more(void **state) {
  const char *methods[] = {"GET", "HEAD", "OPTIONS"};
  setting *s = *state;
  for (size_t i = 0; i < T2_COUNT_OF(methods); i++) {
    peer *old = i ? &s->origin.peers[s->origin.accepted - 1] : warm_up(s);
    asker *a = ask(s, 0, methods[i], "/retried");
    take_head(s, old);
    if (i == 1)
      peer_reset(old);
    else
      peer_close(old);
    peer *fresh = peer_of(s, s->origin.accepted);
    run_until(s, received(fresh, "/retried HTTP/1.1\r\n") && received(fresh, "\r\n\r\n"));
    t2_buf_reset(&fresh->in);
    peer_send(fresh, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(s, a->closed);
    assert_int_equal(a->status, 200);
    assert_int_equal(t2_h1_pool_idle(s->pool), 1);
  }
}

static void test_retry_is_not_retried(void **state) {
  setting *s = *state;
  peer *old = warm_up(s);
  asker *a = ask(s, 0, "GET", "/");
  take_head(s, old);
  peer_close(old);
  peer *fresh = peer_of(s, 1);
  take_head(s, fresh);
  peer_close(fresh);
  expect_problem(s, a, 502);
  assert_int_equal(t2_h1_pool_dials(s->pool), 2);
}

static void test_unsafe_request_is_not_repeated(void **state) {
  const char *methods[] = {"POST", "PUT", "DELETE"};
  setting *s = *state;
  for (size_t i = 0; i < T2_COUNT_OF(methods); i++) {
    ask(s, 0, "GET", "/warm");
    peer *p = peer_of(s, i);
    take_head(s, p);
    peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    run_until(s, s->askers[0].closed);
    asker *a = ask(s, 0, methods[i], "/");
    take_head(s, p);
    peer_close(p);
    expect_problem(s, a, 502);
    assert_int_equal(t2_h1_pool_dials(s->pool), i + 1);
  }
}

static void test_request_with_content_is_not_repeated(void **state) {
  setting *s = *state;
  peer *p = warm_up(s);
  t2_head head = plain_head("GET", "/");
  asker *a = begin(s, &s->askers[0], &head, false, 0);
  give(a, "content of a GET");
  take_head(s, p);
  peer_close(p);
  expect_problem(s, a, 502);
  assert_int_equal(t2_h1_pool_dials(s->pool), 1);
}

static void test_request_is_not_repeated_after_a_byte_of_an_answer(void **state) {
  setting *s = *state;
  peer *p = warm_up(s);
  asker *a = ask(s, 0, "GET", "/");
  take_head(s, p);
  peer_send(p, "H");
  run_a_while(s);
  peer_close(p);
  expect_problem(s, a, 502);
  assert_int_equal(t2_h1_pool_dials(s->pool), 1);
}

/* ---- Back-pressure ---- */

static void test_asker_that_is_slow_stops_the_reading(void **state) {
  enum { SIZE = 4 * 1024 * 1024 };
  setting *s = *state;
  s->askers[0].hold = true;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  char head[128];
  uint8_t *content = malloc(SIZE);
  for (size_t i = 0; i < SIZE; i++)
    content[i] = (uint8_t)(i * 31 >> 3);
  take_head(s, p);
  snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
  peer_send(p, head);
  peer_send_bytes(p, content, SIZE);
  run_until(s, a->held == T2_LEG_WINDOW); /* asker_data fails past that */
  run_a_while(s);
  size_t step = 1;
  while (!a->closed) {
    size_t n = a->held < step ? a->held : step;
    a->held -= n;
    t2_exchange_consumed(&a->leg, n);
    step = step * 3 % 100003;
    run_until(s, a->held || a->closed);
  }
  assert_int_equal(a->err, 0);
  assert_int_equal(t2_buf_len(&a->body), SIZE);
  assert_memory_equal(t2_buf_head(&a->body), content, SIZE);
  assert_int_equal(t2_h1_pool_idle(s->pool), 1);
  free(content);
}

/* Smaller and larger again while content waits: it goes on in any case. */
static void test_window_that_changes_leaves_nothing_behind(void **state) {
  enum { SIZE = 1024 * 1024 };
  setting *s = *state;
  t2_pressure *pressure = &s->loop->pressure;
  size_t elsewhere = 0;
  s->askers[0].hold = true;
  t2_pressure_note(pressure, &elsewhere, (size_t)8 << 20);
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  uint8_t *content = calloc(1, SIZE);
  char head[128];
  take_head(s, p);
  snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
  peer_send(p, head);
  peer_send_bytes(p, content, SIZE);
  run_until(s, a->held == 8 * 1024);
  run_a_while(s);
  assert_int_equal(a->held, 8 * 1024);
  for (unsigned turn = 0; !a->closed; turn++) {
    size_t n = a->held > 1000 ? a->held - turn % 1000 : a->held;
    t2_pressure_note(pressure, &elsewhere, turn % 3 ? 0 : (size_t)8 << 20);
    a->held -= n;
    t2_exchange_consumed(&a->leg, n);
    run_until(s, a->held > 1000 || a->closed || t2_buf_len(&a->body) == SIZE);
  }
  t2_pressure_note(pressure, &elsewhere, 0);
  assert_int_equal(t2_buf_len(&a->body), SIZE);
  free(content);
}

static void test_end_that_waits_behind_the_window_is_not_lost(void **state) {
  setting *s = *state;
  s->askers[0].hold = true;
  asker *a = ask(s, 0, "GET", "/");
  peer *p = peer_of(s, 0);
  t2_buf text;
  t2_buf_init(&text, NULL);
  t2_buf_printf(&text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", T2_LEG_WINDOW);
  memset(t2_buf_reserve(&text, T2_LEG_WINDOW), 'x', T2_LEG_WINDOW);
  t2_buf_commit(&text, T2_LEG_WINDOW);
  take_head(s, p);
  peer_send_bytes(p, t2_buf_head(&text), t2_buf_len(&text));
  t2_buf_fini(&text);
  run_until(s, a->held == T2_LEG_WINDOW);
  run_a_while(s);
  if (!a->closed) t2_exchange_consumed(&a->leg, T2_LEG_WINDOW);
  run_until(s, a->closed);
  assert_true(a->ended && a->err == 0);
}

static void test_origin_that_is_slow_is_waited_for(void **state) {
  enum { PIECE = 64 * 1024, PIECES = 256 };
  setting *s = *state;
  s->origin.deaf = true;
  t2_head head = plain_head("POST", "/");
  head.content_length = PIECE * PIECES;
  asker *a = begin(s, &s->askers[0], &head, false, 0);
  uint8_t *piece = malloc(PIECE);
  memset(piece, 'x', PIECE);
  size_t given = 0;
  peer *p = peer_of(s, 0);
  for (int i = 0; i < 200 && given < PIECE * PIECES; i++) {
    while (given < PIECE * PIECES && given - a->consumed < T2_LEG_WINDOW) {
      t2_exchange_data(&a->leg, piece, PIECE);
      given += PIECE;
    }
    run_a_while(s);
  }
  /* What sockets hold has been consumed, what they don't has not. */
  assert_true(a->consumed > 0 && given < PIECE * PIECES);
  assert_true(given - a->consumed >= T2_LEG_WINDOW);
  peer_listen(p);
  while (given < PIECE * PIECES) {
    run_until(s, given - a->consumed < T2_LEG_WINDOW);
    t2_exchange_data(&a->leg, piece, PIECE);
    given += PIECE;
  }
  t2_exchange_end(&a->leg, NULL);
  run_until(s, a->consumed == given && t2_buf_len(&p->in) > given);
  free(piece);
  peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  run_until(s, a->closed);
  assert_int_equal(t2_h1_pool_idle(s->pool), 1);
}

/* ---- Tunnels ---- */

static asker *ask_upgrade(setting *s) {
  t2_head head = plain_head("GET", "/");
  head.protocol = T2_STR("chat");
  return begin(s, &s->askers[0], &head, false, 0);
}

static void test_upgrade_makes_a_tunnel_whose_directions_end_apart(void **state) {
  setting *s = *state;
  asker *a = ask_upgrade(s);
  peer *p = peer_of(s, 0);
  give(a, "early");
  run_until(s, received(p, "\r\n\r\n"));
  assert_true(received(p, "pgrade: chat\r\n"));
  run_a_while(s);
  assert_false(received(p, "early")); /* not before the origin has agreed */
  t2_buf_reset(&p->in);
  peer_send(p, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nfirst");
  run_until(s, received(p, "early") && body_is(a, "first"));
  assert_int_equal(a->status, 101);
  t2_exchange_end(&a->leg, NULL);
  run_until(s, p->eof);
  assert_false(a->ended);
  peer_send(p, " last");
  run_until(s, body_is(a, "first last"));
  peer_shutdown(p);
  run_until(s, a->closed);
  assert_true(a->ended && a->err == 0);
  assert_int_equal(a->consumed, 5);
  assert_int_equal(t2_h1_pool_idle(s->pool), 0);
}

static void test_origin_may_end_a_tunnel_first(void **state) {
  setting *s = *state;
  asker *a = ask_upgrade(s);
  peer *p = peer_of(s, 0);
  take_head(s, p);
  peer_send(p, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
  peer_shutdown(p);
  run_until(s, a->ended);
  assert_false(a->closed);
  give(a, "still there");
  t2_exchange_end(&a->leg, NULL);
  assert_true(a->closed && a->err == 0);
  run_until(s, received(p, "still there") && p->eof);
}

static void test_declined_upgrade_is_an_ordinary_answer(void **state) {
  setting *s = *state;
  asker *a = ask_upgrade(s);
  peer *p = peer_of(s, 0);
  give(a, "GET /smuggled HTTP/1.1\r\n\r\n");
  take_head(s, p);
  peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
  run_until(s, a->closed);
  assert_true(a->status == 200 && body_is(a, "no"));
  run_until(s, p->eof || p->reset);
  assert_false(received(p, "smuggled"));
  assert_int_equal(t2_h1_pool_idle(s->pool), 0);
}

/* ---- Closing, and missing memory ---- */

static void test_closing_the_pool_fails_what_is_under_way(void **state) {
  setting *s = *state;
  peer *p = warm_up(s);
  asker *a = ask(s, 0, "GET", "/");
  take_head(s, p);
  t2_h1_pool_close(s->pool);
  assert_true(a->closed);
  assert_true(a->status >= 500);
  s->pool = NULL;
  open_pool(s);
  run_until(s, p->eof || p->reset);
}

/* Two exchanges on one connection, with whatever comes of them. */
static void exchange_with(t2_test_mem *mem, void *user) {
  setting *s = user;
  (void)user;
  t2_loop *loop;
  t2_h1_pool *pool = NULL;
  if (t2_loop_new(&loop, &s->uv, &mem->hook, NULL)) return;
  t2_proxy own = s->proxy;
  t2_proxy_init(&s->proxy, loop, "test");
  if (t2_h1_pool_new(&pool, loop, &s->options) == 0) {
    t2_h1_pool *kept = s->pool;
    s->pool = pool;
    for (int i = 0; i < 2; i++) {
      t2_head head = plain_head("GET", "/");
      asker *a = &s->askers[0];
      *a = (asker){.leg = {.ops = &asker_ops}};
      t2_exchange *exchange = t2_exchange_new(&s->proxy, &a->leg, &head);
      if (!exchange) break;
      t2_exchange_connect(exchange, t2_h1_pool_leg(pool), &head, true, NULL, 1000);
      size_t answered = 0;
      run_until(s, ({
                  size_t n = s->origin.accepted;
                  peer *p = n ? &s->origin.peers[n - 1] : NULL;
                  if (p && p->open && received(p, "\r\n\r\n") && !answered++) {
                    t2_buf_reset(&p->in);
                    peer_send(p, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                  }
                  a->closed;
                }));
      assert_true(a->status == 200 || mem->failed);
      t2_buf_fini(&a->body);
    }
    t2_h1_pool_close(pool);
    s->pool = kept;
  }
  assert_int_equal(s->proxy.active, 0);
  t2_proxy_fini(&s->proxy);
  t2_loop_close(loop, NULL, NULL);
  s->proxy = own;
  size_t live = s->mem.live;
  run_until(s, mem->live == 0);
  assert_int_equal(s->mem.live, live);
  for (size_t i = 0; i < s->origin.accepted; i++) {
    peer_close(&s->origin.peers[i]);
    t2_buf_fini(&s->origin.peers[i].in);
  }
  for (size_t i = 0; i < s->origin.accepted; i++)
    run_until(s, !s->origin.peers[i].open);
  s->origin.accepted = 0;
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  assert_true(t2_test_mem_fail_each(exchange_with, *state) > 0);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      pool_test(test_request_is_written_and_answered),
      pool_test(test_host_header_replaces_the_authority),
      pool_test(test_content_of_known_length),
      pool_test(test_content_of_unknown_length_is_chunked_with_trailers),
      pool_test(test_empty_content_is_said_for_methods_that_have_some),
      pool_test(test_content_other_than_announced_is_never_sent),
      pool_test(test_chunked_answer_with_trailers_and_interim_heads),
      pool_test(test_answers_without_content),
      pool_test(test_answer_until_close_ends_whole_and_is_not_pooled),
      pool_test(test_cut_answer_is_no_whole_answer),
      pool_test(test_reset_inside_an_answer_until_close_is_a_cut),
      pool_test(test_what_is_no_http_is_502),
      pool_test(test_endless_interim_heads_are_502),
      pool_test(test_origin_that_closes_without_an_answer_is_502),
      pool_test(test_nobody_there_is_502),
      pool_test(test_no_answer_in_time_is_504_and_the_connection_is_given_up),
      pool_test(test_asker_that_goes_away_ends_the_request),
      pool_test(test_answer_before_the_end_of_the_request_passes_and_ends_the_connection),
      pool_test(test_connection_is_used_again),
      pool_test(test_steady_state_allocates_nothing),
      pool_test(test_used_last_is_used_next_and_the_surplus_is_closed),
      pool_test(test_idle_connection_is_closed_after_its_time),
      pool_test(test_end_of_an_idle_connection_is_noticed),
      pool_test(test_byte_on_an_idle_connection_closes_it),
      pool_test(test_bytes_behind_an_answer_are_no_answer_to_the_next_request),
      pool_test(test_connection_close_is_obeyed),
      pool_test(test_safe_request_on_a_stale_connection_is_sent_once_more),
      pool_test(test_retry_is_not_retried),
      pool_test(test_unsafe_request_is_not_repeated),
      pool_test(test_request_with_content_is_not_repeated),
      pool_test(test_request_is_not_repeated_after_a_byte_of_an_answer),
      pool_test(test_asker_that_is_slow_stops_the_reading),
      pool_test(test_window_that_changes_leaves_nothing_behind),
      pool_test(test_end_that_waits_behind_the_window_is_not_lost),
      pool_test(test_origin_that_is_slow_is_waited_for),
      pool_test(test_upgrade_makes_a_tunnel_whose_directions_end_apart),
      pool_test(test_origin_may_end_a_tunnel_first),
      pool_test(test_declined_upgrade_is_an_ordinary_answer),
      pool_test(test_closing_the_pool_fails_what_is_under_way),
      pool_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
