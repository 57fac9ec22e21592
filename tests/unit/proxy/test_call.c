#include "server_setting.h"

#define BODY_MAX 10

/* The call that waits for its reply. */
static t2_call *waiting_of(setting *s, t2_call *set) {
  static t2_call *waiting;
  (void)s;
  if (set) waiting = set;
  return waiting;
}

/* Says what came. */
static void echo(t2_call *call, void *user) {
  t2_fields extra;
  char text[64];
  t2_str body = t2_call_body(call);
  int n = snprintf(text, sizeof(text), "%.*s of %zu:%.*s", T2_STR_ARG(t2_call_head(call)->method), body.n,
                   T2_STR_ARG(body));
  (void)user;
  t2_fields_init(&extra, NULL);
  t2_fields_add(&extra, T2_STR("x-extra"), T2_STR("1"));
  t2_call_reply(call, 200, "text/plain", &extra, text, (size_t)n);
  t2_fields_fini(&extra);
}

static void begin_echo(setting *s, const t2_server_request *request) {
  (void)s;
  t2_call_begin(request, BODY_MAX, echo, s);
}

static void wait(t2_call *call, void *user) {
  waiting_of(user, call);
}

static void begin_wait(setting *s, const t2_server_request *request) {
  t2_call_begin(request, BODY_MAX, wait, s);
}

static void open_echo(setting *s) {
  s->on_request = begin_echo;
  assert_int_equal(open_server(s), 0);
}

/* ---- Replies ---- */

static void test_request_is_handed_over_whole_and_answered(void **state) {
  setting *s = *state;
  open_echo(s);
  send_first(s, POST_OF("5") "hel");
  run_ms(s, 5);
  raw_send(&s->peer, "lo");
  expect(s, "\r\n\r\nPOST of 5:hello");
  assert_true(raw_got(&s->peer, "content-type: text/plain\r\n"));
  assert_true(raw_got(&s->peer, "cache-control: no-store\r\n"));
  assert_true(raw_got(&s->peer, "x-extra: 1\r\n"));
  raw_send(&s->peer, POST_CHUNKED "3\r\nabc\r\n0\r\n\r\n");
  expect(s, "POST of 3:abc");
  raw_send(&s->peer, GET);
  expect(s, "GET of 0:");
}

static void test_head_is_answered_without_content(void **state) {
  setting *s = *state;
  open_echo(s);
  send_first(s, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n" GET);
  expect(s, "GET of 0:");
  assert_true(raw_got(&s->peer, "content-length: 10\r\n")); /* "HEAD of 0:" */
  assert_false(raw_got(&s->peer, "HEAD of"));
}

static void say_nothing(t2_call *call, void *user) {
  (void)user;
  t2_call_reply(call, 204, NULL, NULL, NULL, 0);
}

static void begin_nothing(setting *s, const t2_server_request *request) {
  (void)s;
  t2_call_begin(request, 0, say_nothing, s);
}

static void test_reply_without_content(void **state) {
  setting *s = *state;
  s->on_request = begin_nothing;
  assert_int_equal(open_server(s), 0);
  send_first(s, GET GET);
  RUN_UNTIL(&s->tl, raw_count(&s->peer, "HTTP/1.1 204 ") == 2);
  assert_false(raw_got(&s->peer, "content-length"));
}

static void test_reply_may_come_later(void **state) {
  setting *s = *state;
  s->on_request = begin_wait;
  assert_int_equal(open_server(s), 0);
  send_first(s, GET);
  RUN_UNTIL(&s->tl, s->requests == 1);
  run_ms(s, 5);
  t2_call *call = waiting_of(s, NULL);
  assert_false(t2_call_gone(call));
  assert_string_equal(raw_text(&s->peer), "");
  t2_call_problem_with(call, t2_problem_of_status(405), "not here", T2_STR("allow"), T2_STR("PUT"));
  expect(s, "not here");
  assert_true(raw_got(&s->peer, "HTTP/1.1 405 ") && raw_got(&s->peer, "allow: PUT\r\n"));
}

static void test_reply_to_who_has_gone_goes_nowhere(void **state) {
  setting *s = *state;
  s->on_request = begin_wait;
  assert_int_equal(open_server(s), 0);
  for (int i = 0; i < 2; i++) {
    send_first(s, POST_OF("2") "ab");
    RUN_UNTIL(&s->tl, s->requests == (size_t)i + 1 && t2_call_head(waiting_of(s, NULL)));
    raw_close(&s->peer);
    RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 0);
    t2_call *call = waiting_of(s, NULL);
    assert_true(t2_call_gone(call));
    assert_true(t2_str_eq(t2_call_body(call), T2_STR("ab"))); /* it is still there */
    if (i == 0)
      t2_call_reply(call, 200, NULL, NULL, "x", 1);
    else
      t2_call_problem(call, t2_problem_of_status(404), NULL);
  }
}

/* ---- Bounds ---- */

static void test_content_is_taken_up_to_its_bound(void **state) {
  setting *s = *state;
  open_echo(s);
  send_first(s, POST_OF("10") "0123456789" POST_CHUNKED "a\r\n0123456789\r\n0\r\n\r\n");
  RUN_UNTIL(&s->tl, raw_count(&s->peer, "POST of 10:0123456789") == 2);
  raw_send(&s->peer, POST_OF("11") "0123456789a");
  expect(s, "HTTP/1.1 413 ");
  raw_send(&s->peer, POST_CHUNKED "6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n");
  RUN_UNTIL(&s->tl, raw_count(&s->peer, "HTTP/1.1 413 ") == 2);
  raw_send(&s->peer, GET); /* what was thrown away has kept the connection */
  expect(s, "GET of 0:");
}

static void test_content_that_is_far_too_large_is_not_waited_for(void **state) {
  setting *s = *state;
  open_echo(s);
  send_first(s, POST_OF("4194305"));
  expect(s, "HTTP/1.1 413 ");
  RUN_UNTIL(&s->tl, s->peer.eof);
  send_first(s, POST_OF("4194304"));
  raw_send_zeros(&s->peer, 4194303);
  run_ms(s, 30);
  assert_false(raw_got(&s->peer, "HTTP/1.1 "));
  raw_send_zeros(&s->peer, 1);
  expect(s, "HTTP/1.1 413 ");
}

static void test_content_without_end_is_refused_in_the_end(void **state) {
  setting *s = *state;
  open_echo(s);
  send_first(s, POST_CHUNKED "1000000\r\n");
  raw_send_zeros(&s->peer, 4194304);
  run_ms(s, 30);
  assert_false(raw_got(&s->peer, "HTTP/1.1 "));
  raw_send_zeros(&s->peer, 1);
  expect(s, "HTTP/1.1 413 ");
  RUN_UNTIL(&s->tl, s->peer.eof);
}

#define EXPECT_OF(length)                                                                                    \
  "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\nExpect: 100-continue\r\n\r\n"

static void test_who_waits_for_a_100_gets_it_or_the_refusal(void **state) {
  setting *s = *state;
  open_echo(s);
  send_first(s, EXPECT_OF("3"));
  expect(s, "HTTP/1.1 100 Continue\r\n\r\n");
  raw_send(&s->peer, "abc");
  expect(s, "POST of 3:abc");
  send_first(s, EXPECT_OF("11"));
  expect(s, "HTTP/1.1 413 ");
  assert_false(raw_got(&s->peer, " 100 "));
}

/* ---- Refusals ---- */

static void refuse(setting *s, const t2_server_request *request) {
  (void)s;
  t2_call_refuse(request, t2_problem_of_status(401), "a token is needed", T2_STR("www-authenticate"),
                 T2_STR("Bearer"));
}

static void test_refusal_waits_for_content_of_known_length(void **state) {
  setting *s = *state;
  s->on_request = refuse;
  assert_int_equal(open_server(s), 0);
  send_first(s, POST_OF("6") "abc");
  run_ms(s, 10);
  assert_string_equal(raw_text(&s->peer), "");
  raw_send(&s->peer, "def");
  expect(s, "a token is needed");
  assert_true(raw_got(&s->peer, "HTTP/1.1 401 ") && raw_got(&s->peer, "www-authenticate: Bearer\r\n"));
  raw_send(&s->peer, GET EXPECT_OF("5"));
  RUN_UNTIL(&s->tl, raw_count(&s->peer, "HTTP/1.1 401 ") == 3);
}

static void test_who_goes_while_refused_content_comes_leaves_nothing(void **state) {
  setting *s = *state;
  s->on_request = refuse;
  assert_int_equal(open_server(s), 0);
  send_first(s, POST_OF("6") "abc");
  RUN_UNTIL(&s->tl, s->requests == 1);
  raw_reset(&s->peer);
  RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 0);
}

/* ---- Memory ---- */

static void life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_loop(s, &mem->hook)) {
    s->on_request = begin_echo;
    if (open_server(s) == 0) {
      send_first(s, POST_OF("5") "hello" POST_OF("11") "0123456789a");
      RUN_UNTIL(&s->tl, raw_ended(&s->peer) || raw_count(&s->peer, "HTTP/1.1 ") == 2);
      assert_true(mem->failed || (raw_got(&s->peer, "POST of 5") && raw_got(&s->peer, " 413 ")));
    }
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(life, NULL) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      server_test(test_request_is_handed_over_whole_and_answered),
      server_test(test_head_is_answered_without_content),
      server_test(test_reply_without_content),
      server_test(test_reply_may_come_later),
      server_test(test_reply_to_who_has_gone_goes_nowhere),
      server_test(test_content_is_taken_up_to_its_bound),
      server_test(test_content_that_is_far_too_large_is_not_waited_for),
      server_test(test_content_without_end_is_refused_in_the_end),
      server_test(test_who_waits_for_a_100_gets_it_or_the_refusal),
      server_test(test_refusal_waits_for_content_of_known_length),
      server_test(test_who_goes_while_refused_content_comes_leaves_nothing),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
