#include "h1_setting.h"

/* ---- Answers ---- */

static void test_answer_of_known_length_keeps_the_connection(void **state) {
  setting *s = *state;
  send_first(s, GET);
  stub *u = up(s, 0);
  assert_string_equal(stub_log(u), "head GET /a.");
  stub_answer(u, 200, 5, false);
  stub_give(u, "hello");
  stub_end(u);
  assert_true(u->closed && u->err == 0);
  expect(s, "\r\n\r\nhello");
  assert_true(raw_got(&s->peer, "HTTP/1.1 200 OK\r\n") && raw_got(&s->peer, "content-length: 5\r\n"));
  assert_false(raw_got(&s->peer, "connection:"));
  raw_send(&s->peer, GET);
  stub_answer(up(s, 1), 204, -1, true);
  expect(s, "HTTP/1.1 204 ");
}

static void test_answer_of_unknown_length_is_chunked(void **state) {
  setting *s = *state;
  t2_fields trailers;
  t2_fields_init(&trailers, NULL);
  t2_fields_add(&trailers, T2_STR("x-sum"), T2_STR("7"));
  send_first(s, GET);
  stub *u = up(s, 0);
  stub_answer(u, 200, -1, false);
  stub_give(u, "abc");
  expect(s, "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
  t2_exchange_end(&u->leg, &trailers);
  t2_fields_fini(&trailers);
  expect(s, "0\r\nx-sum: 7\r\n\r\n");
  assert_non_null(s->server);
}

static void test_empty_answer_says_so(void **state) {
  setting *s = *state;
  send_first(s, GET);
  stub_answer(up(s, 0), 200, -1, true);
  expect(s, "content-length: 0\r\n\r\n");
}

static void test_answers_without_content(void **state) {
  setting *s = *state;
  send_first(s, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" GET GET);
  stub_answer(up(s, 0), 200, 1000, true);
  expect(s, "content-length: 1000\r\n\r\n");
  stub *u = up(s, 1);
  stub_answer(u, 304, 77, false);
  stub_give(u, "nothing of this"); /* whoever gives it is wrong, and yet gets on */
  stub_end(u);
  assert_int_equal(u->consumed, 15);
  u = up(s, 2);
  stub_answer(u, 200, 2, false);
  stub_give(u, "ok");
  stub_end(u);
  expect(s, "\r\n\r\nok");
  assert_false(raw_got(&s->peer, "nothing") || raw_got(&s->peer, "chunked"));
}

static void test_interim_heads_pass_but_not_to_http_10(void **state) {
  setting *s = *state;
  send_first(s, GET);
  stub_answer(up(s, 0), 103, -1, false);
  expect(s, "HTTP/1.1 103 Early Hints\r\n\r\n");
  stub_answer(&s->ups[0], 200, 0, true);
  expect(s, "HTTP/1.1 200 OK");
  RUN_UNTIL(&s->tl, s->server);
  raw_close(&s->peer);
  RUN_UNTIL(&s->tl, !s->server);
  send_first(s, "GET / HTTP/1.0\r\n\r\n");
  stub_answer(up(s, 1), 103, -1, false);
  stub_answer(&s->ups[1], 200, 0, true);
  expect_end(s);
  assert_int_equal(raw_count(&s->peer, "HTTP/1.1 "), 1);
}

/* ---- Requests ---- */

static void test_pipelined_requests_are_answered_one_by_one(void **state) {
  setting *s = *state;
  send_first(s, GET "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                    "GET /c HTTP/1.1\r\nHost: h\r\n\r\n");
  up(s, 0);
  run_a_while(s);
  assert_int_equal(s->requests, 1);
  stub_answer(&s->ups[0], 200, 0, true);
  assert_string_equal(stub_log(up(s, 1)), "head POST /b;data 3;end;");
  run_a_while(s);
  assert_int_equal(s->requests, 2);
  stub_answer(&s->ups[1], 201, 0, true);
  assert_string_equal(stub_log(up(s, 2)), "head GET /c.");
  stub_answer(&s->ups[2], 202, 0, true);
  expect(s, " 202 ");
  const char *text = raw_text(&s->peer);
  assert_true(strstr(text, " 200 ") < strstr(text, " 201 ") && strstr(text, " 201 ") < strstr(text, " 202 "));
}

static void test_chunked_request_with_trailers_in_pieces(void **state) {
  setting *s = *state;
  const char *text = "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
  raw_connect(&s->peer, &s->tl, s->port);
  for (; *text; text++) {
    size_t before = s->server ? t2_conn_bytes_read(t2_h1_server_transport(s->server)) : 0;
    raw_send_bytes(&s->peer, text, 1);
    RUN_UNTIL(&s->tl, s->server && t2_conn_bytes_read(t2_h1_server_transport(s->server)) > before);
  }
  assert_string_equal(stub_log(&s->ups[0]), "head PUT /p;data 1;data 1;data 1;end x-sum=7;");
  stub_answer(&s->ups[0], 200, 0, true);
  expect(s, " 200 ");
}

static void test_connection_close_is_obeyed_and_repeated(void **state) {
  setting *s = *state;
  send_first(s, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET);
  stub_answer(up(s, 0), 200, 0, true);
  expect_end(s);
  assert_true(raw_got(&s->peer, "connection: close\r\n"));
  assert_int_equal(s->requests, 1);
  raw_close(&s->peer);
  RUN_UNTIL(&s->tl, s->closes == 1);
}

static void test_http_10_closes_unless_asked_not_to(void **state) {
  setting *s = *state;
  send_first(s, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  stub_answer(up(s, 0), 200, 0, true);
  expect(s, "connection: keep-alive\r\n");
  raw_send(&s->peer, "GET / HTTP/1.0\r\n\r\n");
  stub *u = up(s, 1);
  stub_answer(u, 200, -1, false);
  stub_give(u, "all of it");
  stub_end(u);
  expect_end(s);
  assert_true(raw_got(&s->peer, "connection: close\r\n\r\nall of it"));
  assert_false(raw_got(&s->peer, "chunked"));
  assert_true(s->peer.eof);
}

/* ---- What is malformed, or given up ---- */

static void test_what_is_no_request_is_answered_and_ends(void **state) {
  setting *s = *state;
  const char *cases[][2] = {
      {"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 "},
      {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 "},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "HTTP/1.1 400 "},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    send_first(s, cases[i][0]);
    expect_end(s);
    assert_true(raw_got(&s->peer, cases[i][1]) && raw_got(&s->peer, "connection: close\r\n"));
    assert_true(raw_got(&s->peer, "application/problem+json"));
    raw_close(&s->peer);
    RUN_UNTIL(&s->tl, !s->server);
  }
  assert_int_equal(s->requests, 0);
}

#define CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static void test_malformed_content_before_the_answer_is_400(void **state) {
  setting *s = *state;
  send_first(s, CHUNKED "3\r\nabc\r\nno number\r\n");
  expect_end(s);
  assert_true(raw_got(&s->peer, "HTTP/1.1 400 "));
  assert_string_equal(stub_log(&s->ups[0]), "head POST /;data 3;closed PROTOCOL;");
}

static void test_malformed_content_within_the_answer_cuts_it(void **state) {
  setting *s = *state;
  send_first(s, CHUNKED);
  stub *u = up(s, 0);
  stub_answer(u, 200, -1, false);
  stub_give(u, "abc");
  expect(s, "3\r\nabc\r\n");
  raw_send(&s->peer, "no number\r\n");
  expect_end(s);
  assert_int_equal(raw_count(&s->peer, "HTTP/1.1 "), 1);
  assert_false(raw_got(&s->peer, "\r\n0\r\n"));
  assert_int_equal(u->err, T2_ERR_PROTOCOL);
}

static void test_cut_answers_look_cut(void **state) {
  setting *s = *state;
  const struct {
    const char *request;
    int64_t length;
    bool reset; /* only so it is seen */
  } cases[] = {{GET, 10, false}, {GET, -1, false}, {"GET / HTTP/1.0\r\n\r\n", -1, true}};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    send_first(s, cases[i].request);
    stub *u = up(s, i);
    stub_answer(u, 200, cases[i].length, false);
    stub_give(u, "abc");
    expect(s, "abc");
    stub_fail(u, T2_ERR_CLOSED, T2_AT_ORIGIN);
    expect_end(s);
    assert_int_equal(s->peer.reset, cases[i].reset);
    assert_false(raw_got(&s->peer, "\r\n0\r\n"));
    raw_close(&s->peer);
    RUN_UNTIL(&s->tl, !s->server);
  }
}

static void test_closing_cuts_an_open_ended_answer_by_a_reset(void **state) {
  setting *s = *state;
  send_first(s, "GET / HTTP/1.0\r\n\r\n");
  stub *u = up(s, 0);
  stub_answer(u, 200, -1, false);
  stub_give(u, "abc");
  expect(s, "abc");
  t2_h1_server_close(s->server, T2_ERR_CANCELLED);
  expect_end(s);
  assert_true(s->peer.reset && u->closed);
}

static void test_client_that_goes_away_cancels_its_request(void **state) {
  setting *s = *state;
  send_first(s, GET);
  up(s, 0);
  raw_shutdown(&s->peer);
  RUN_UNTIL(&s->tl, s->ups[0].closed);
  assert_int_equal(s->ups[0].err, T2_ERR_CANCELLED);
  RUN_UNTIL(&s->tl, !s->server);
  send_first(s, GET);
  up(s, 1);
  raw_reset(&s->peer);
  RUN_UNTIL(&s->tl, s->ups[1].closed && !s->server);
  assert_int_equal(s->ups[1].err, T2_ERR_CANCELLED);
}

/* ---- Windows ---- */

static void test_request_content_is_taken_up_to_the_window_exactly(void **state) {
  setting *s = *state;
  s->ups[0].hold = true;
  send_first(s, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  stub *u = up(s, 0);
  raw_send_zeros(&s->peer, 1000000);
  RUN_UNTIL(&s->tl, u->held == T2_LEG_WINDOW);
  run_a_while(s);
  assert_int_equal(u->held, T2_LEG_WINDOW);
  stub_consume(u, 1);
  RUN_UNTIL(&s->tl, u->held == T2_LEG_WINDOW);
  stub_consume(u, u->held);
  RUN_UNTIL(&s->tl, u->held == T2_LEG_WINDOW);
  assert_int_equal(u->held_most, T2_LEG_WINDOW);
  u->hold = false;
  stub_consume(u, u->held);
  RUN_UNTIL(&s->tl, stub_said(u, ";end;"));
  assert_int_equal(t2_buf_len(&u->body), 1000000);
  stub_answer(u, 200, 0, true);
  expect(s, " 200 ");
}

/* Smaller and larger again while content waits: it goes on in any case, and within the smaller one. */
static void test_window_that_changes_leaves_nothing_behind(void **state) {
  setting *s = *state;
  t2_pressure *pressure = &s->tl.loop->pressure;
  size_t elsewhere = 0;
  s->ups[0].hold = true;
  send_first(s, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  stub *u = up(s, 0);
  t2_pressure_note(pressure, &elsewhere, (size_t)8 << 20);
  raw_send_zeros(&s->peer, 1000000);
  RUN_UNTIL(&s->tl, u->held == pressure->leg_window);
  run_a_while(s);
  assert_int_equal(u->held, 8 * 1024);
  for (unsigned i = 0; !stub_said(u, ";end;"); i++) {
    t2_pressure_note(pressure, &elsewhere, i % 3 ? 0 : (size_t)8 << 20);
    stub_consume(u, u->held > 1000 ? u->held - i % 1000 : u->held);
    RUN_UNTIL(&s->tl, u->held > 1000 || stub_said(u, ";end;"));
  }
  t2_pressure_note(pressure, &elsewhere, 0);
  assert_true(u->held_most <= T2_LEG_WINDOW);
  stub_answer(u, 200, 0, true);
  expect(s, " 200 ");
}

static void test_end_that_waits_behind_a_full_window_is_not_lost(void **state) {
  setting *s = *state;
  char request[128];
  s->ups[0].hold = true;
  snprintf(request, sizeof(request), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
           T2_LEG_WINDOW);
  send_first(s, request);
  stub *u = up(s, 0);
  raw_send_zeros(&s->peer, T2_LEG_WINDOW);
  RUN_UNTIL(&s->tl, u->held == T2_LEG_WINDOW);
  run_a_while(s);
  assert_false(stub_said(u, "end"));
  stub_consume(u, u->held);
  RUN_UNTIL(&s->tl, stub_said(u, ";end;"));
  stub_answer(u, 200, 0, true);
  expect(s, " 200 ");
}

/* All of it is reported in the end, and not before the socket has taken it. */
static void test_answer_is_reported_as_it_leaves(void **state) {
  setting *s = *state;
  const size_t total = 16 * 1024 * 1024;
  send_first(s, GET);
  stub *u = up(s, 0);
  raw_read_stop(&s->peer);
  stub_answer(u, 200, -1, false);
  stub_give_bytes(u, total);
  run_ms(s, 50);
  assert_true(u->consumed < total);
  raw_read_start(&s->peer);
  RUN_UNTIL(&s->tl, (t2_buf_reset(&s->peer.in), u->consumed == total));
  stub_end(u);
}

static void test_pipelined_input_is_bounded(void **state) {
  setting *s = *state;
  send_first(s, GET);
  up(s, 0);
  for (int i = 0; i < 64; i++)
    raw_send_zeros(&s->peer, 65536);
  run_ms(s, 50);
  assert_false(t2_conn_reading(t2_h1_server_transport(s->server)));
  assert_true(t2_conn_bytes_read(t2_h1_server_transport(s->server)) < 2 * T2_LOOP_SLAB + 16384);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h1_test(test_answer_of_known_length_keeps_the_connection),
      h1_test(test_answer_of_unknown_length_is_chunked),
      h1_test(test_empty_answer_says_so),
      h1_test(test_answers_without_content),
      h1_test(test_interim_heads_pass_but_not_to_http_10),
      h1_test(test_pipelined_requests_are_answered_one_by_one),
      h1_test(test_chunked_request_with_trailers_in_pieces),
      h1_test(test_connection_close_is_obeyed_and_repeated),
      h1_test(test_http_10_closes_unless_asked_not_to),
      h1_test(test_what_is_no_request_is_answered_and_ends),
      h1_test(test_malformed_content_before_the_answer_is_400),
      h1_test(test_malformed_content_within_the_answer_cuts_it),
      h1_test(test_cut_answers_look_cut),
      h1_test(test_closing_cuts_an_open_ended_answer_by_a_reset),
      h1_test(test_client_that_goes_away_cancels_its_request),
      h1_test(test_request_content_is_taken_up_to_the_window_exactly),
      h1_test(test_window_that_changes_leaves_nothing_behind),
      h1_test(test_end_that_waits_behind_a_full_window_is_not_lost),
      h1_test(test_answer_is_reported_as_it_leaves),
      h1_test(test_pipelined_input_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
