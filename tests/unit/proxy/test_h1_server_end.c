#include "h1_setting.h"

/* How connections end: timeouts, refused content, draining, hand-over, missing memory. */

/* ---- Timeouts ---- */

static void test_connection_that_says_nothing_is_closed(void **state) {
  setting *s = *state;
  s->options.header_timeout_ms = 20;
  raw_connect(&s->peer, &s->tl, s->port);
  expect_end(s);
  assert_string_equal(raw_text(&s->peer), "");
}

/* However often another byte comes. */
static void test_head_has_one_time_from_its_first_byte(void **state) {
  setting *s = *state;
  s->options.header_timeout_ms = 60;
  raw_connect(&s->peer, &s->tl, s->port);
  raw_send(&s->peer, "GET / HTTP/1.1\r\nX: ");
  uint64_t begun = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, ({
    if (!raw_ended(&s->peer)) raw_send(&s->peer, "x");
    raw_got(&s->peer, "HTTP/1.1 408 ");
  }));
  assert_true(uv_now(&s->tl.uv) - begun < 2000);
}

static void test_time_between_requests_is_its_own(void **state) {
  setting *s = *state;
  s->options.keep_alive_timeout_ms = 20;
  send_first(s, GET);
  stub_answer(up(s, 0), 200, 0, true);
  expect_end(s);
  assert_int_equal(raw_count(&s->peer, "HTTP/1.1 "), 1);
}

/* Neither the time between requests nor none at all. */
static void test_pipelined_head_that_does_not_end_has_the_time_of_a_head(void **state) {
  setting *s = *state;
  s->options.header_timeout_ms = 60;
  send_first(s, GET "GET / HTT");
  stub_answer(up(s, 0), 200, 0, true);
  expect(s, "HTTP/1.1 408 ");
}

static void test_content_that_stops_coming_is_408(void **state) {
  setting *s = *state;
  s->options.body_timeout_ms = 30;
  send_first(s, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
  expect(s, "HTTP/1.1 408 ");
  assert_string_equal(stub_log(&s->ups[0]), "head POST /;data 3;closed TIMEOUT;");
  expect_end(s);
}

static void test_content_that_stops_after_the_answers_head_cuts_it(void **state) {
  setting *s = *state;
  s->options.body_timeout_ms = 30;
  send_first(s, "POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\nabc");
  stub_answer(up(s, 0), 200, -1, false);
  expect_end(s);
  assert_true(s->peer.reset);
  assert_int_equal(s->ups[0].err, T2_ERR_TIMEOUT);
}

static void test_upstream_that_is_slow_is_not_the_clients_fault(void **state) {
  setting *s = *state;
  s->options.body_timeout_ms = 30;
  s->ups[0].hold = true;
  send_first(s, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n");
  stub *u = up(s, 0);
  raw_send_zeros(&s->peer, 150000);
  RUN_UNTIL(&s->tl, u->held == T2_LEG_WINDOW);
  run_ms(s, 100);
  assert_false(u->closed || raw_ended(&s->peer));
  stub_consume(u, u->held); /* now it is the client that is waited for */
  expect(s, "HTTP/1.1 408 ");
}

static void test_client_that_takes_nothing_is_given_up(void **state) {
  setting *s = *state;
  s->options.body_timeout_ms = 50;
  send_first(s, GET);
  stub *u = up(s, 0);
  raw_read_stop(&s->peer);
  stub_answer(u, 200, -1, false);
  stub_give_bytes(u, 16 * 1024 * 1024);
  RUN_UNTIL(&s->tl, u->closed && !s->server);
  assert_int_equal(u->err, T2_ERR_TIMEOUT);
}

/* ---- Refused content ---- */

static void refuse(setting *s, t2_exchange *exchange, t2_head *head, bool end) {
  (void)s, (void)head, (void)end;
  t2_exchange_refuse(exchange, t2_problem_of_status(403), NULL);
}

#define POST_OF(length) "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"

static void test_refused_content_is_read_up_to_its_bound(void **state) {
  setting *s = *state;
  s->on_request = refuse;
  send_first(s, POST_OF("65536"));
  expect(s, "HTTP/1.1 403 ");
  assert_false(raw_got(&s->peer, "connection: close"));
  raw_send_zeros(&s->peer, 30000);
  run_a_while(s);
  raw_send_zeros(&s->peer, 35536);
  s->on_request = NULL;
  raw_send(&s->peer, GET);
  stub_answer(up(s, 1), 200, 0, true);
  expect(s, "HTTP/1.1 200 ");
}

static void test_refused_content_past_the_bound_ends_the_connection(void **state) {
  setting *s = *state;
  s->on_request = refuse;
  const char *cases[] = {POST_OF("65537"), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                         "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
                         "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    send_first(s, cases[i]);
    expect(s, "HTTP/1.1 403 ");
    expect_end(s);
    assert_true(raw_got(&s->peer, "connection: close\r\n") && s->peer.eof);
    raw_close(&s->peer);
    RUN_UNTIL(&s->tl, !s->server);
  }
}

/* The client that sends all before it reads gets the answer, not a reset. */
static void test_answer_before_the_end_of_a_large_request_arrives(void **state) {
  setting *s = *state;
  s->on_request = refuse;
  send_first(s, POST_OF("3000000"));
  raw_read_stop(&s->peer);
  raw_send_zeros(&s->peer, 3000000);
  run_ms(s, 30);
  raw_read_start(&s->peer);
  expect_end(s);
  assert_true(s->peer.eof && raw_got(&s->peer, "HTTP/1.1 403 "));
}

static void test_refused_content_that_does_not_come_ends_in_order(void **state) {
  setting *s = *state;
  s->on_request = refuse;
  s->options.body_timeout_ms = 30;
  send_first(s, POST_OF("10") "abc");
  expect_end(s);
  assert_true(s->peer.eof && raw_got(&s->peer, "HTTP/1.1 403 "));
  assert_int_equal(raw_count(&s->peer, "HTTP/1.1 "), 1);
}

static void test_end_within_refused_content_still_gets_the_answer(void **state) {
  setting *s = *state;
  s->on_request = refuse;
  send_first(s, POST_OF("10") "abc");
  raw_shutdown(&s->peer);
  expect_end(s);
  assert_true(s->peer.eof && raw_got(&s->peer, "HTTP/1.1 403 "));
  RUN_UNTIL(&s->tl, !s->server);
}

/* Refused from the middle of its content, and the next request comes in the same piece. */
static void answer_now(stub *u) {
  stub_answer(u, 200, 0, true);
}

static void test_rest_of_content_is_passed_over_before_the_next_request(void **state) {
  setting *s = *state;
  s->ups[0].on_data = answer_now;
  send_first(s, POST_OF("6") "abc");
  expect(s, "HTTP/1.1 200 ");
  assert_int_equal(s->ups[0].err, T2_ERR_CANCELLED);
  raw_send(&s->peer, "def" GET);
  assert_string_equal(stub_log(up(s, 1)), "head GET /a.");
  stub_answer(&s->ups[1], 200, 0, true);
}

/* ---- Draining ---- */

static void test_drain_ends_an_idle_connection(void **state) {
  setting *s = *state;
  send_first(s, GET);
  stub_answer(up(s, 0), 200, 0, true);
  expect(s, " 200 ");
  t2_h1_server_drain(s->server);
  expect_end(s);
  assert_true(s->peer.eof);
  raw_close(&s->peer);
  RUN_UNTIL(&s->tl, !s->server);
}

static void test_drain_answers_what_comes_to_an_idle_connection(void **state) {
  setting *s = *state;
  send_first(s, GET);
  stub_answer(up(s, 0), 200, 0, true);
  expect(s, " 200 ");
  t2_h1_server_drain(s->server);
  run_a_while(s);
  assert_false(raw_ended(&s->peer));
  raw_send(&s->peer, GET);
  stub_answer(up(s, 1), 200, 0, true);
  expect_end(s);
  assert_true(raw_got(&s->peer, "connection: close\r\n"));
  assert_int_equal(s->requests, 2);
}

static void test_drain_lets_the_answer_under_way_finish(void **state) {
  setting *s = *state;
  send_first(s, GET GET);
  stub *u = up(s, 0);
  t2_h1_server_drain(s->server);
  run_a_while(s);
  assert_false(raw_ended(&s->peer));
  stub_answer(u, 200, 2, false);
  stub_give(u, "ok");
  stub_end(u);
  expect_end(s);
  assert_true(raw_got(&s->peer, "connection: close\r\n") && raw_got(&s->peer, "\r\n\r\nok"));
  assert_int_equal(s->requests, 1);
}

/* The answer has not said that it is the last one: the client may send one more request. */
static void test_drain_after_the_answers_head_ends_with_the_next(void **state) {
  setting *s = *state;
  send_first(s, GET);
  stub *u = up(s, 0);
  stub_answer(u, 200, -1, false);
  expect(s, " 200 ");
  t2_h1_server_drain(s->server);
  stub_end(u);
  run_a_while(s);
  assert_false(raw_ended(&s->peer));
  assert_true(raw_got(&s->peer, "\r\n0\r\n\r\n"));
  raw_send(&s->peer, GET);
  stub_answer(up(s, 1), 200, 0, true);
  expect_end(s);
  assert_true(s->peer.eof && raw_got(&s->peer, "connection: close\r\n"));
}

static void test_drain_answers_a_request_that_has_begun(void **state) {
  setting *s = *state;
  send_first(s, "GET /a HT");
  RUN_UNTIL(&s->tl, s->server && t2_conn_bytes_read(t2_h1_server_transport(s->server)) == 9);
  t2_h1_server_drain(s->server);
  raw_send(&s->peer, "TP/1.1\r\nHost: h\r\n\r\n");
  stub_answer(up(s, 0), 200, 0, true);
  expect_end(s);
  assert_true(raw_got(&s->peer, "connection: close\r\n"));
}

/* ---- Hand-over ---- */

#define UPGRADE "GET /up HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: ptth\r\n\r\n"

static void take_over(setting *s, t2_exchange *exchange, t2_head *head, bool end) {
  t2_head answer;
  assert_true(end && t2_str_eq(head->protocol, T2_STR("ptth")));
  t2_head_init(&answer, NULL);
  answer.status = 101;
  answer.protocol = T2_STR("ptth");
  t2_h1_server *server = s->server;
  s->taken = t2_h1_server_upgrade(server, &answer);
  t2_head_fini(&answer);
  if (!s->taken) t2_exchange_refuse(exchange, t2_problem_of_status(400), NULL);
}

static void test_upgrade_hands_the_connection_over(void **state) {
  setting *s = *state;
  s->on_request = take_over;
  t2_buf_init(&s->taken_peer.in, NULL);
  send_first(s, UPGRADE);
  RUN_UNTIL(&s->tl, s->requests == 1);
  assert_true(s->taken && s->closes == 1);
  assert_int_equal(s->proxy.active, 0);
  s->taken_peer.conn = s->taken;
  t2_conn_set_ops(s->taken, &test_peer_ops, &s->taken_peer);
  expect(s, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ptth\r\n\r\n");
  raw_send(&s->peer, "anything");
  RUN_UNTIL(&s->tl, test_peer_got(&s->taken_peer, "anything"));
  test_peer_send(&s->taken_peer, "else");
  expect(s, "\r\n\r\nelse");
}

static void take_and_close(setting *s, t2_exchange *exchange, t2_head *head, bool end) {
  take_over(s, exchange, head, end);
  t2_conn_close(s->taken, T2_ERR_NOMEM);
  s->taken = NULL;
}

static void test_connection_handed_over_may_just_be_closed(void **state) {
  setting *s = *state;
  s->on_request = take_and_close;
  send_first(s, UPGRADE);
  expect_end(s);
  assert_int_equal(s->closes, 1);
}

static void test_upgrade_is_refused_to_who_sends_more(void **state) {
  setting *s = *state;
  s->on_request = take_over;
  send_first(s, UPGRADE "x");
  expect(s, "HTTP/1.1 400 ");
  assert_null(s->taken);
  assert_non_null(s->server);
}

/* ---- Memory ---- */

/* Two requests, the second in pieces, with whatever comes of them. */
static void life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_setting(s, &mem->hook)) {
    if (s->listener) {
      s->ups[0].on_end = s->ups[1].on_head = answer_now;
      send_first(s, POST_OF("5") "hel");
      RUN_UNTIL(&s->tl, raw_ended(&s->peer) || (s->server && s->proxy.active));
      if (!raw_ended(&s->peer)) raw_send(&s->peer, "loGET / HTTP/1.1\r\nHos");
      RUN_UNTIL(&s->tl, raw_ended(&s->peer) || raw_count(&s->peer, "HTTP/1.1 ") == 1);
      if (!raw_ended(&s->peer)) raw_send(&s->peer, "t: h\r\n\r\n");
      RUN_UNTIL(&s->tl, raw_ended(&s->peer) || raw_count(&s->peer, "HTTP/1.1 ") == 2);
      assert_true(mem->failed || raw_count(&s->peer, "HTTP/1.1 200 ") == 2);
    }
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(life, NULL) > 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h1_test(test_connection_that_says_nothing_is_closed),
      h1_test(test_head_has_one_time_from_its_first_byte),
      h1_test(test_time_between_requests_is_its_own),
      h1_test(test_pipelined_head_that_does_not_end_has_the_time_of_a_head),
      h1_test(test_content_that_stops_coming_is_408),
      h1_test(test_content_that_stops_after_the_answers_head_cuts_it),
      h1_test(test_upstream_that_is_slow_is_not_the_clients_fault),
      h1_test(test_client_that_takes_nothing_is_given_up),
      h1_test(test_refused_content_is_read_up_to_its_bound),
      h1_test(test_refused_content_past_the_bound_ends_the_connection),
      h1_test(test_answer_before_the_end_of_a_large_request_arrives),
      h1_test(test_refused_content_that_does_not_come_ends_in_order),
      h1_test(test_end_within_refused_content_still_gets_the_answer),
      h1_test(test_rest_of_content_is_passed_over_before_the_next_request),
      h1_test(test_drain_ends_an_idle_connection),
      h1_test(test_drain_lets_the_answer_under_way_finish),
      h1_test(test_drain_answers_what_comes_to_an_idle_connection),
      h1_test(test_drain_after_the_answers_head_ends_with_the_next),
      h1_test(test_drain_answers_a_request_that_has_begun),
      h1_test(test_upgrade_hands_the_connection_over),
      h1_test(test_connection_handed_over_may_just_be_closed),
      h1_test(test_upgrade_is_refused_to_who_sends_more),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
