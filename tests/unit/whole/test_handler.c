#include <t2_test_mem.h>

#include "asker.h"
#include <signal.h>
#include <stdio.h>

/* Requests from a public connection to a handler, and back. */

#define GET(path, more)  "GET /session/main" path " HTTP/1.1\r\nHost: a.test\r\n" more "\r\n"
#define POST(path, more) "POST /session/main" path " HTTP/1.1\r\nHost: a.test\r\n" more "\r\n"
#define CHUNKED          "Transfer-Encoding: chunked\r\n"
#define MIB              ((size_t)1024 * 1024)

/* A site whose client's handler does what the test says; what it was told is in `log`. */
typedef struct scene {
  t2_test_mem mem;
  site s;
  t2_handler ops;
  t2_request *request; /* the last one; NULL once it is over */
  t2_buf log;
  size_t data, written; /* bytes */
  unsigned closes, writables;
  int err; /* of the last on_close */
  bool ended;
  void (*on_request)(struct scene *c), (*on_data)(struct scene *c), (*on_end)(struct scene *c),
      (*on_writable)(struct scene *c), (*on_close)(struct scene *c);
} scene;

static void act(scene *c, void (*callback)(scene *c)) {
  if (callback) callback(c);
}

static void on_request(t2_request *request, void *user) {
  scene *c = user;
  c->request = request;
  c->data = c->written = 0;
  c->ended = false;
  t2_buf_printf(&c->log, "%s %s;", t2_request_method(request), t2_request_path(request));
  act(c, c->on_request);
}

static void on_data(t2_request *request, const uint8_t *bytes, size_t n, void *user) {
  scene *c = user;
  (void)request;
  (void)bytes;
  c->data += n;
  act(c, c->on_data);
}

static void on_end(t2_request *request, void *user) {
  scene *c = user;
  size_t count;
  const t2_http_field *trailers = t2_request_trailers(request, &count);
  c->ended = true;
  for (size_t i = 0; i < count; i++)
    t2_buf_printf(&c->log, "%s=%s;", trailers[i].name, trailers[i].value);
  act(c, c->on_end);
}

static void on_writable(t2_request *request, void *user) {
  scene *c = user;
  (void)request;
  c->writables++;
  act(c, c->on_writable);
}

static void on_close(t2_request *request, int err, void *user) {
  scene *c = user;
  (void)request;
  c->closes++;
  c->err = err;
  act(c, c->on_close);
  c->request = NULL;
}

static void open_kind(scene *c, t2_client_kind kind, bool consume_later, uint64_t response_timeout_ms) {
  memset(c, 0, sizeof(*c));
  t2_test_mem_init(&c->mem);
  t2_buf_init(&c->log, NULL);
  t2_handler_init(&c->ops);
  c->ops.on_request = on_request;
  c->ops.on_data = on_data;
  c->ops.on_end = on_end;
  c->ops.on_writable = on_writable;
  c->ops.on_close = on_close;
  c->ops.consume_later = consume_later;
  site_options options = {
      .handler = &c->ops, .handler_user = c, .kind = kind, .response_timeout_ms = response_timeout_ms};
  site_start_with(&c->s, &c->mem.hook, &options);
}

static void open_scene(scene *c) {
  open_kind(c, T2_CLIENT_HTTP, false, 0);
}

static void close_scene(scene *c) {
  site_stop(&c->s);
  assert_null(c->request);
  t2_test_mem_check(&c->mem);
  t2_buf_fini(&c->log);
}

static void send_hi(scene *c) {
  (void)t2_response_send(c->request, 200, "text/plain", NULL, 0, "hi", 2);
}

static void start_200(scene *c) {
  assert_int_equal(t2_response_start(c->request, 200, NULL, 0, -1), 0);
}

static bool logged(scene *c, const char *part) {
  return strstr(t2_buf_cstr(&c->log), part) != NULL;
}

/* ---- What is asked ---- */

static void check_parts(scene *c) {
  const t2_request *r = c->request;
  assert_string_equal(t2_request_path(r), "/p/q?a=b");
  assert_string_equal(t2_request_authority(r), "a.test");
  assert_string_equal(t2_request_scheme(r), "http");
  assert_string_equal(t2_request_remote(r), "127.0.0.1");
  assert_string_equal(t2_request_field(r, "X-Mine"), "1");
  assert_string_equal(t2_request_id(r), "abc-123");
  assert_null(t2_request_field(r, "Host"));
  assert_null(t2_request_protocol(r));
  assert_int_equal(t2_request_content_length(r), 0);
  send_hi(c);
}

static void test_request_as_the_handler_sees_it(void **state) {
  scene c;
  open_scene(&c);
  c.on_request = check_parts;
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/p/q?a=b", "X-Mine: 1\r\nX-Request-Id: abc-123\r\n"));
  assert_true(asker_gets(a, "\r\n\r\nhi"));
  assert_non_null(strstr(asker_text(a), "HTTP/1.1 200 "));
  SITE_UNTIL(&c.s, c.closes == 1);
  assert_int_equal(c.err, 0);
  asker_close(a);
  close_scene(&c);
}

static void test_content_and_trailers_of_a_request(void **state) {
  scene c;
  open_scene(&c);
  c.on_end = send_hi;
  asker *a = asker_open(&c.s);
  asker_send(a, POST("/", CHUNKED "Trailer: X-Sum\r\n") "5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n");
  assert_true(asker_gets(a, "\r\n\r\nhi"));
  assert_int_equal(c.data, 5);
  assert_true(logged(&c, "POST /;x-sum=7;"));
  asker_close(a);
  close_scene(&c);
}

/* ---- Answers ---- */

static void test_answer_later_and_the_connection_goes_on(void **state) {
  scene c;
  open_scene(&c);
  asker *a = asker_open(&c.s);
  for (unsigned i = 1; i <= 3; i++) {
    asker_send(a, GET("/", ""));
    SITE_UNTIL(&c.s, c.request);
    for (int turns = 0; turns < 5; turns++)
      uv_run(&c.s.loop, UV_RUN_NOWAIT);
    send_hi(&c);
    SITE_UNTIL(&c.s, c.closes == i);
  }
  assert_true(asker_gets(a, "hi"));
  asker_close(a);
  close_scene(&c);
}

static void test_interim_answer_and_trailers(void **state) {
  const t2_http_field link = {"Link", "</a>"}, sum = {"X-Sum", "7"};
  scene c;
  open_scene(&c);
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/", "TE: trailers\r\n"));
  SITE_UNTIL(&c.s, c.request);
  assert_int_equal(t2_response_interim(c.request, 103, &link, 1), 0);
  assert_true(asker_gets(a, "HTTP/1.1 103 "));
  start_200(&c);
  assert_int_equal(t2_response_write(c.request, "hi", 2), 2);
  assert_int_equal(t2_response_end(c.request, &sum, 1), 0);
  assert_true(asker_gets(a, "x-sum: 7\r\n\r\n"));
  assert_true(asker_gets(a, "link: </a>\r\n"));
  asker_close(a);
  close_scene(&c);
}

static void answer_by_path(scene *c) {
  const char *path = t2_request_path(c->request);
  int status = path[1] ? (int)strtoul(path + 1, NULL, 10) : 200;
  assert_int_equal(t2_response_send(c->request, status, "text/plain", NULL, 0, "hello", 5), 0);
}

static void test_answers_that_have_no_content(void **state) {
  scene c;
  open_scene(&c);
  c.on_request = answer_by_path;
  asker *a = asker_open(&c.s);
  asker_send(a, "HEAD /session/main/ HTTP/1.1\r\nHost: a\r\n\r\n" GET("/204", "") GET("/304", "")
                    GET("/404", ""));
  assert_true(asker_gets(a, "hello"));
  assert_null(strstr(strstr(asker_text(a), "hello") + 1, "hello"));
  assert_non_null(strstr(asker_text(a), "HTTP/1.1 204 "));
  assert_non_null(strstr(asker_text(a), "HTTP/1.1 304 "));
  assert_int_equal(c.closes, 4);
  asker_close(a);
  close_scene(&c);
}

/* ---- Back-pressure ---- */

static const char zeros[65536];

static void write_more(scene *c) {
  int64_t n;
  while (c->written < 12 * MIB && (n = t2_response_write(c->request, zeros, sizeof(zeros))) > 0)
    c->written += (size_t)n;
  if (c->written >= 12 * MIB) (void)t2_response_end(c->request, NULL, 0);
}

static void start_writing(scene *c) {
  start_200(c);
  write_more(c);
}

/* Until nothing has moved for some turns, each of which waits a little. */
static void settle(scene *c, const size_t *amount) {
  size_t before = SIZE_MAX;
  for (int same = 0; same < 20; same = *amount == before ? same + 1 : 0) {
    before = *amount;
    uv_sleep(2);
    uv_run(&c->s.loop, UV_RUN_NOWAIT);
  }
}

static void test_reader_that_stops_stops_the_writer(void **state) {
  scene c;
  open_scene(&c);
  c.on_request = start_writing;
  c.on_writable = write_more;
  asker *a = asker_open(&c.s);
  asker_read(a, false);
  asker_send(a, GET("/", ""));
  SITE_UNTIL(&c.s, c.written);
  settle(&c, &c.written);
  assert_true(c.written < 10 * MIB); /* legs, and what the kernel keeps for sockets */
  assert_true(c.mem.live_bytes < 4 * MIB);
  asker_read(a, true);
  SITE_UNTIL(&c.s, c.closes);
  assert_int_equal(c.err, 0);
  assert_true(c.writables > 0);
  assert_true(asker_gets(a, "0\r\n\r\n"));
  asker_close(a);
  close_scene(&c);
}

static void test_content_that_is_not_consumed_stops_who_sends_it(void **state) {
  scene c;
  open_kind(&c, T2_CLIENT_HTTP, true, 0);
  asker *a = asker_open(&c.s);
  asker_send(a, POST("/", "Content-Length: 8388608\r\n"));
  asker_send_bytes(a, NULL, 8 * MIB);
  SITE_UNTIL(&c.s, c.data);
  settle(&c, &c.data);
  assert_true(c.data <= T2_REQUEST_WINDOW);
  for (size_t consumed = 0; !c.ended;) {
    assert_true(c.data - consumed <= T2_REQUEST_WINDOW);
    if (c.data > consumed) t2_request_consume(c.request, c.data - consumed);
    consumed = c.data;
    uv_run(&c.s.loop, UV_RUN_ONCE);
  }
  assert_int_equal(c.data, 8 * MIB);
  send_hi(&c);
  assert_true(asker_gets(a, "hi"));
  asker_close(a);
  close_scene(&c);
}

/* ---- When it goes wrong ---- */

static void start_with_five(scene *c) {
  assert_int_equal(t2_response_start(c->request, 200, NULL, 0, 5), 0);
  assert_int_equal(t2_response_write(c->request, "hello!", 6), T2_ERR_INVALID);
  assert_int_equal(t2_response_write(c->request, "hell", 4), 4);
}

static void test_content_that_is_too_short_is_cut_visibly(void **state) {
  scene c;
  open_scene(&c);
  c.on_request = start_with_five;
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/", ""));
  assert_true(asker_gets(a, "hell"));
  assert_int_equal(t2_response_end(c.request, NULL, 0), T2_ERR_INVALID);
  asker_ends(a); /* before the fifth byte */
  assert_null(strstr(asker_text(a), "hello"));
  assert_int_equal(c.err, T2_ERR_PROTOCOL);
  asker_close(a);
  close_scene(&c);
}

static void give_up(scene *c) {
  t2_response_abort(c->request, T2_ERR_UNAVAILABLE);
}

static void test_giving_up(void **state) {
  scene c;
  open_scene(&c);
  c.on_request = give_up;
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/", ""));
  assert_true(asker_gets(a, "HTTP/1.1 50"));
  assert_true(asker_gets(a, "application/problem+json"));
  c.on_request = start_200;
  asker_close(a);
  a = asker_open(&c.s);
  asker_send(a, GET("/", ""));
  assert_true(asker_gets(a, "HTTP/1.1 200 "));
  give_up(&c);
  asker_ends(a);
  assert_null(strstr(asker_text(a), "0\r\n\r\n"));
  assert_int_equal(c.closes, 2);
  assert_int_equal(c.err, T2_ERR_UNAVAILABLE);
  asker_close(a);
  close_scene(&c);
}

static void test_asker_that_is_gone(void **state) {
  scene c;
  open_scene(&c);
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/", ""));
  SITE_UNTIL(&c.s, c.request);
  asker_close(a);
  SITE_UNTIL(&c.s, c.closes);
  assert_true(c.err == T2_ERR_CANCELLED || c.err == T2_ERR_CLOSED);
  a = asker_open(&c.s); /* in the middle of its request */
  asker_send(a, POST("/", "Content-Length: 10\r\n") "hello");
  SITE_UNTIL(&c.s, c.data == 5);
  start_200(&c);
  asker_close(a);
  SITE_UNTIL(&c.s, c.closes == 2);
  assert_true(c.err == T2_ERR_CANCELLED || c.err == T2_ERR_CLOSED);
  close_scene(&c);
}

static void test_handler_that_never_answers(void **state) {
  scene c;
  open_kind(&c, T2_CLIENT_HTTP, false, 50);
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/", ""));
  assert_true(asker_gets(a, "HTTP/1.1 504 "));
  SITE_UNTIL(&c.s, c.closes);
  assert_int_equal(c.err, T2_ERR_TIMEOUT);
  asker_close(a);
  close_scene(&c);
}

/* ---- Tunnels ---- */

static void accept_upgrade(scene *c) {
  assert_string_equal(t2_request_protocol(c->request), "chat/1");
  assert_int_equal(t2_response_start(c->request, 101, NULL, 0, -1), 0);
}

static void test_upgrade(void **state) {
  scene c;
  open_scene(&c);
  c.on_request = accept_upgrade;
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/", "Connection: upgrade\r\nUpgrade: chat/1\r\n"));
  assert_true(asker_gets(a, "HTTP/1.1 101 "));
  assert_int_equal(t2_response_write(c.request, "from the origin", 15), 15);
  assert_true(asker_gets(a, "from the origin"));
  asker_send(a, "hello");
  asker_end(a);
  SITE_UNTIL(&c.s, c.ended);
  assert_int_equal(c.data, 5);
  assert_int_equal(t2_response_write(c.request, "after it", 8), 8);
  assert_int_equal(t2_response_end(c.request, NULL, 0), 0);
  assert_true(asker_gets(a, "after it") && asker_ends(a));
  SITE_UNTIL(&c.s, c.closes);
  assert_int_equal(c.err, 0);
  asker_close(a);
  c.on_request = send_hi; /* which refuses it */
  a = asker_open(&c.s);
  asker_send(a, GET("/", "Connection: upgrade\r\nUpgrade: chat/1\r\n"));
  assert_true(asker_gets(a, "HTTP/1.1 200 ") && asker_gets(a, "hi"));
  asker_close(a);
  close_scene(&c);
}

static void echo(scene *c) {
  assert_int_equal(t2_response_write(c->request, "echo", 4), 4);
}

static void end_too(scene *c) {
  assert_int_equal(t2_response_end(c->request, NULL, 0), 0);
}

static void test_connections_of_a_tcp_session(void **state) {
  scene c;
  open_kind(&c, T2_CLIENT_TCP, false, 0);
  c.on_request = start_200;
  c.on_data = echo;
  asker *a = asker_open(&c.s);
  asker_send(a, "hello");
  assert_true(asker_gets(a, "echo"));
  assert_true(logged(&c, "CONNECT ;"));
  assert_int_equal(strncmp(t2_request_remote(c.request), "127.0.0.1:", 10), 0);
  c.on_end = end_too;
  asker_end(a); /* this side first */
  assert_true(asker_ends(a));
  SITE_UNTIL(&c.s, c.closes == 1);
  assert_int_equal(c.err, 0);
  asker_close(a);
  c.on_end = c.on_data = NULL;
  a = asker_open(&c.s);
  SITE_UNTIL(&c.s, c.request);
  end_too(&c); /* the other side first */
  assert_true(asker_ends(a));
  asker_send(a, "still");
  asker_end(a);
  SITE_UNTIL(&c.s, c.closes == 2);
  assert_int_equal(c.data, 5);
  assert_int_equal(c.err, 0);
  asker_close(a);
  c.on_request = give_up; /* refused */
  a = asker_open(&c.s);
  asker_ends(a);
  SITE_UNTIL(&c.s, c.closes == 3);
  asker_close(a);
  close_scene(&c);
}

/* ---- The client closed meanwhile ---- */

static void close_it(scene *c) {
  site_close_client(&c->s);
}

static void close_within(size_t callback) {
  scene c;
  open_scene(&c);
  c.on_request = start_writing;
  void (**all[])(scene *) = {&c.on_request, &c.on_data, &c.on_end, &c.on_writable, &c.on_close};
  if (callback == 4) c.on_request = send_hi;
  *all[callback] = close_it;
  asker *a = asker_open(&c.s);
  asker_send(a, POST("/", "Content-Length: 5\r\n") "hello");
  SITE_UNTIL(&c.s, c.s.client_closed);
  SITE_UNTIL(&c.s, c.closes == 1);
  asker_close(a);
  close_scene(&c);
}

static void test_client_closed_from_inside_of_each_callback(void **state) {
  for (size_t callback = 0; callback < 5; callback++)
    close_within(callback);
}

static void test_client_closed_with_requests_open(void **state) {
  scene c;
  open_scene(&c);
  asker *a = asker_open(&c.s);
  asker_send(a, GET("/", ""));
  SITE_UNTIL(&c.s, c.request);
  asker *b = asker_open(&c.s);
  asker_send(b, GET("/", ""));
  for (int i = 0; i < 100; i++)
    uv_run(&c.s.loop, UV_RUN_NOWAIT);
  site_close_client(&c.s);
  SITE_UNTIL(&c.s, c.closes == 2);
  asker_close(a);
  asker_close(b);
  close_scene(&c);
}

/* ---- Memory ---- */

static void answer_life(scene *c) {
  const t2_http_field field = {"X-Mine", "1"};
  int err = t2_response_send(c->request, 200, "text/plain", &field, 1, "hello from the handler", 22);
  if (err) t2_response_abort(c->request, err);
}

/* As in test_request_life.c. */
static void fail_each(scene *c, const char *content) {
  for (size_t n = 1;; n++) {
    site_heal(&c->s);
    t2_test_mem_fail(&c->mem, n, false);
    answer got = site_ask(&c->s, "/life", content);
    bool failed = c->mem.failed;
    t2_test_mem_fail(&c->mem, 0, false);
    if (got.status == 200) assert_true(!got.whole || got.size == 22);
    if (got.status != 0 && got.status != 200) assert_true(got.status >= 500 && got.status <= 504);
    assert_false(c->s.client_ended);
    SITE_UNTIL(&c->s, !c->request); /* each is told its end */
    if (failed) continue;
    assert_int_equal(got.status, 200);
    print_message("%zu allocations\n", n - 1);
    return;
  }
}

static void test_each_allocation_of_a_request_may_fail(void **state) {
  scene c;
  open_scene(&c);
  c.on_end = answer_life;
  fail_each(&c, NULL);
  fail_each(&c, "some content");
  close_scene(&c);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_as_the_handler_sees_it),
      cmocka_unit_test(test_content_and_trailers_of_a_request),
      cmocka_unit_test(test_answer_later_and_the_connection_goes_on),
      cmocka_unit_test(test_interim_answer_and_trailers),
      cmocka_unit_test(test_answers_that_have_no_content),
      cmocka_unit_test(test_reader_that_stops_stops_the_writer),
      cmocka_unit_test(test_content_that_is_not_consumed_stops_who_sends_it),
      cmocka_unit_test(test_content_that_is_too_short_is_cut_visibly),
      cmocka_unit_test(test_giving_up),
      cmocka_unit_test(test_asker_that_is_gone),
      cmocka_unit_test(test_handler_that_never_answers),
      cmocka_unit_test(test_upgrade),
      cmocka_unit_test(test_connections_of_a_tcp_session),
      cmocka_unit_test(test_client_closed_from_inside_of_each_callback),
      cmocka_unit_test(test_client_closed_with_requests_open),
      cmocka_unit_test(test_each_allocation_of_a_request_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
