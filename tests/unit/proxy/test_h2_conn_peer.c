#include "h2_setting.h"

/* Peers that send the frames the test says. Towards a server the raw peer is the client; towards a client it
 * is the server, and what it gets begins with the preface. */

#define PREFACE 24

static h2_end *end_of(setting *s) {
  return &s->pair.server;
}

static void expect_frames(setting *s, uint8_t type, size_t n, size_t skip) {
  RUN_UNTIL(&s->tl, raw_h2_count(&s->peer, type, skip) >= n);
}

static void pong(setting *s, size_t i, size_t skip) {
  raw_h2_frame(&s->peer, FRAME_PING, 1, 0, raw_h2_payload(&s->peer, FRAME_PING, i, skip), 8);
}

static void goaway(setting *s, uint32_t last) {
  uint8_t payload[8] = {(uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last};
  raw_h2_frame(&s->peer, FRAME_GOAWAY, 0, 0, payload, sizeof(payload));
}

static void reset_stream(setting *s, uint32_t id, uint32_t code) {
  uint8_t payload[4] = {0, 0, 0, (uint8_t)code};
  raw_h2_frame(&s->peer, FRAME_RST, 0, id, payload, sizeof(payload));
}

static void expect_closed(setting *s, int err) {
  RUN_UNTIL(&s->tl, raw_ended(&s->peer));
  raw_close(&s->peer);
  RUN_UNTIL(&s->tl, end_of(s)->closed);
  assert_int_equal(end_of(s)->err, err);
}

/* ---- Draining ---- */

static void test_drain_is_a_notice_a_ping_and_the_last_word(void **state) {
  setting *s = *state;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  up(s, 0);
  t2_h2_conn_drain(end_of(s)->h2);
  expect_frames(s, FRAME_PING, 1, 0);
  assert_int_equal(raw_h2_count(&s->peer, FRAME_GOAWAY, 0), 1);
  assert_int_equal(read_u32(raw_h2_payload(&s->peer, FRAME_GOAWAY, 0, 0)), INT32_MAX);
  /* nghttp2 would send it first */
  assert_true(raw_h2_payload(&s->peer, FRAME_GOAWAY, 0, 0) < raw_h2_payload(&s->peer, FRAME_PING, 0, 0));
  raw_h2_request(&s->peer, 3, true); /* it has not read the notice yet */
  up(s, 1);
  run_ms(s, 10);
  assert_int_equal(raw_h2_count(&s->peer, FRAME_GOAWAY, 0), 1);
  pong(s, 0, 0);
  expect_frames(s, FRAME_GOAWAY, 2, 0);
  assert_int_equal(read_u32(raw_h2_payload(&s->peer, FRAME_GOAWAY, 1, 0)), 3);
  stub_answer(&s->ups[0], 200, -1, true);
  run_ms(s, 10);
  assert_false(raw_ended(&s->peer));
  stub_answer(&s->ups[1], 200, -1, true);
  expect_closed(s, 0);
  assert_int_equal(raw_h2_count(&s->peer, FRAME_HEADERS, 0), 2);
}

static void test_answer_to_an_earlier_ping_is_not_that_to_the_drains(void **state) {
  setting *s = *state;
  end_of(s)->options.ping_interval_ms = 20;
  end_of(s)->options.ping_timeout_ms = 0;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  up(s, 0);
  expect_frames(s, FRAME_PING, 1, 0);
  t2_h2_conn_drain(end_of(s)->h2);
  size_t pings = raw_h2_count(&s->peer, FRAME_PING, 0);
  expect_frames(s, FRAME_GOAWAY, 1, 0);
  pong(s, 0, 0);
  raw_h2_request(&s->peer, 3, true);
  up(s, 1);
  assert_int_equal(raw_h2_count(&s->peer, FRAME_GOAWAY, 0), 1);
  expect_frames(s, FRAME_PING, pings + 1, 0);
  for (size_t i = 1; raw_h2_count(&s->peer, FRAME_GOAWAY, 0) < 2; i++) {
    RUN_UNTIL(&s->tl,
              raw_h2_count(&s->peer, FRAME_PING, 0) > i || raw_h2_count(&s->peer, FRAME_GOAWAY, 0) == 2);
    if (raw_h2_count(&s->peer, FRAME_PING, 0) > i) pong(s, i, 0);
  }
  stub_answer(&s->ups[0], 200, -1, true);
  stub_answer(&s->ups[1], 200, -1, true);
  expect_closed(s, 0);
}

static void test_request_after_the_last_word_is_not_taken(void **state) {
  setting *s = *state;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  up(s, 0);
  t2_h2_conn_drain(end_of(s)->h2);
  expect_frames(s, FRAME_PING, 1, 0);
  pong(s, 0, 0);
  expect_frames(s, FRAME_GOAWAY, 2, 0);
  raw_h2_request(&s->peer, 3, true);
  run_ms(s, 10);
  assert_int_equal(s->requests, 1);
  stub_answer(&s->ups[0], 200, -1, true);
  expect_closed(s, 0);
}

/* ---- Liveness ---- */

static void test_silent_peer_is_pinged_and_then_given_up(void **state) {
  setting *s = *state;
  end_of(s)->options.ping_interval_ms = 30;
  end_of(s)->options.ping_timeout_ms = 70;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  up(s, 0);
  expect_frames(s, FRAME_PING, 1, 0);
  RUN_UNTIL(&s->tl, end_of(s)->closed);
  assert_int_equal(end_of(s)->err, T2_ERR_TIMEOUT);
  assert_int_equal(s->ups[0].err, T2_ERR_TIMEOUT);
}

static void test_peer_that_answers_pings_is_kept(void **state) {
  setting *s = *state;
  end_of(s)->options.ping_interval_ms = 20;
  end_of(s)->options.ping_timeout_ms = 500;
  open_raw(s, false);
  for (size_t i = 0; i < 5; i++) {
    expect_frames(s, FRAME_PING, i + 1, 0);
    pong(s, i, 0);
  }
  assert_false(end_of(s)->closed);
}

/* However the timer falls between its answers. */
static void test_timeout_of_twice_the_interval_is_enough_for_a_peer_that_answers(void **state) {
  setting *s = *state;
  end_of(s)->options.ping_interval_ms = 200;
  end_of(s)->options.ping_timeout_ms = 400;
  open_raw(s, false);
  for (size_t i = 0; i < 8; i++) {
    expect_frames(s, FRAME_PING, i + 1, 0);
    pong(s, i, 0);
    assert_false(end_of(s)->closed);
  }
}

/* Shorter than the interval of pings, which may be none at all. */
static void test_idle_connection_is_closed_in_order(void **state) {
  setting *s = *state;
  end_of(s)->options.idle_timeout_ms = 30;
  open_raw(s, false);
  expect_frames(s, FRAME_GOAWAY, 1, 0);
  assert_int_equal(read_u32(raw_h2_payload(&s->peer, FRAME_GOAWAY, 0, 0) + 4), T2_H2_NO_ERROR);
  expect_closed(s, 0);
}

static void no_window(setting *s) {
  raw_h2_frame(&s->peer, FRAME_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6); /* SETTINGS_INITIAL_WINDOW_SIZE */
}

static void test_stream_that_the_peer_takes_nothing_of_is_reset(void **state) {
  setting *s = *state;
  end_of(s)->options.stuck_timeout_ms = 40;
  open_raw(s, false);
  no_window(s);
  raw_h2_request(&s->peer, 1, true);
  raw_h2_request(&s->peer, 3, true);
  stub_answer(up(s, 0), 200, -1, false);
  stub_answer(up(s, 1), 200, -1, false); /* nothing waits there */
  stub_give(&s->ups[0], "content");
  expect_frames(s, FRAME_RST, 1, 0);
  assert_int_equal(read_u32(raw_h2_payload(&s->peer, FRAME_RST, 0, 0)), T2_H2_CANCEL);
  assert_true(s->ups[0].closed);
  run_ms(s, 150);
  assert_false(s->ups[1].closed);
  assert_int_equal(raw_h2_count(&s->peer, FRAME_RST, 0), 1);
}

static void test_peer_that_reads_nothing_at_all_is_closed(void **state) {
  setting *s = *state;
  end_of(s)->options.stuck_timeout_ms = 60;
  open_raw(s, false);
  raw_h2_frame(&s->peer, FRAME_SETTINGS, 0, 0, "\0\4\x7f\xff\xff\xff", 6);
  raw_h2_frame(&s->peer, FRAME_WINDOW_UPDATE, 0, 0, "\x7f\0\0\0", 4);
  raw_h2_request(&s->peer, 1, true);
  stub_answer(up(s, 0), 200, -1, false);
  raw_read_stop(&s->peer);
  stub_give_bytes(&s->ups[0], 32 << 20); /* more than the sockets hold */
  for (int i = 0; i < 1000 && !end_of(s)->closed; i++) {
    raw_h2_frame(&s->peer, FRAME_PING, 1, 0, "12345678", 8); /* it speaks all the while */
    run_ms(s, 10);
  }
  assert_true(end_of(s)->closed);
  assert_int_equal(end_of(s)->err, T2_ERR_TIMEOUT);
}

static void test_stream_that_moves_on_now_and_then_is_kept(void **state) {
  setting *s = *state;
  const uint8_t one[4] = {0, 0, 0, 1};
  end_of(s)->options.stuck_timeout_ms = 400;
  open_raw(s, false);
  no_window(s);
  raw_h2_request(&s->peer, 1, true);
  stub_answer(up(s, 0), 200, -1, false);
  stub_give(&s->ups[0], "content");
  for (int i = 0; i < 6; i++) {
    run_ms(s, 150);
    raw_h2_frame(&s->peer, FRAME_WINDOW_UPDATE, 0, 1, one, sizeof(one));
  }
  assert_false(s->ups[0].closed);
}

static void test_without_pings_silence_is_no_failure(void **state) {
  setting *s = *state;
  end_of(s)->options.ping_interval_ms = 0;
  end_of(s)->options.ping_timeout_ms = 10;
  end_of(s)->options.idle_timeout_ms = 60;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  up(s, 0);
  run_ms(s, 150); /* a stream that is open is not idle either */
  assert_false(end_of(s)->closed);
  stub_answer(&s->ups[0], 200, -1, true);
  expect_closed(s, 0);
}

/* ---- What a client of ours makes of its peer ---- */

static stub *ask_raw(setting *s, size_t i) {
  return ask(s, end_of(s), i, "GET", true);
}

static void test_goaway_before_a_request_is_acted_on_makes_it_unavailable(void **state) {
  setting *s = *state;
  open_raw(s, true);
  stub *first = ask_raw(s, 0), *second = ask_raw(s, 1);
  expect_frames(s, FRAME_HEADERS, 2, PREFACE);
  goaway(s, 1);
  RUN_UNTIL(&s->tl, second->closed);
  assert_true(end_of(s)->going);
  assert_int_equal(second->status, 503);
  assert_true(stub_has_field(second, "retry-after: 1\n"));
  assert_false(first->closed);
  assert_int_equal(t2_h2_conn_capacity(end_of(s)->h2), 0);
  assert_null(t2_h2_conn_leg(end_of(s)->h2));
  const uint8_t ok[] = {0x88};
  raw_h2_frame(&s->peer, FRAME_HEADERS, 0x5, 1, ok, sizeof(ok));
  RUN_UNTIL(&s->tl, first->closed);
  assert_int_equal(first->status, 200);
  expect_closed(s, 0);
}

/* The notice lets it in: the request of this turn comes before it on the wire. */
static void test_request_of_the_turn_in_which_the_notice_comes_is_sent(void **state) {
  setting *s = *state;
  open_raw(s, true);
  t2_conn *conn = t2_h2_conn_transport(end_of(s)->h2);
  uint64_t before = t2_conn_bytes_read(conn);
  goaway(s, INT32_MAX);
  stub *down = ask_raw(s, 0);
  RUN_UNTIL(&s->tl, t2_conn_bytes_read(conn) > before && end_of(s)->going);
  expect_frames(s, FRAME_HEADERS, 1, PREFACE);
  const uint8_t ok[] = {0x88};
  raw_h2_frame(&s->peer, FRAME_HEADERS, 0x5, 1, ok, sizeof(ok));
  RUN_UNTIL(&s->tl, down->closed);
  assert_int_equal(down->status, 200);
  expect_closed(s, 0);
}

static void test_stream_resets_by_their_code(void **state) {
  setting *s = *state;
  open_raw(s, true);
  stub *refused = ask_raw(s, 0), *cancelled = ask_raw(s, 1);
  expect_frames(s, FRAME_HEADERS, 2, PREFACE);
  reset_stream(s, 1, T2_H2_REFUSED_STREAM);
  reset_stream(s, 3, T2_H2_CANCEL);
  RUN_UNTIL(&s->tl, refused->closed && cancelled->closed);
  assert_int_equal(refused->status, 503);
  assert_int_equal(cancelled->status, 502);
  assert_true(stub_has_field(cancelled, "error=connection_terminated"));
  assert_false(end_of(s)->closed);
}

static void test_interim_heads_without_end_are_an_error(void **state) {
  setting *s = *state;
  const uint8_t hints[] = {0x08, 3, '1', '0', '3'}; /* :status 103, not indexed (RFC 7541, 6.2.2) */
  open_raw(s, true);
  stub *down = ask_raw(s, 0);
  expect_frames(s, FRAME_HEADERS, 1, PREFACE);
  for (int i = 0; i < 32; i++)
    raw_h2_frame(&s->peer, FRAME_HEADERS, 0x4, 1, hints, sizeof(hints));
  run_ms(s, 10);
  assert_false(down->closed);
  raw_h2_frame(&s->peer, FRAME_HEADERS, 0x4, 1, hints, sizeof(hints));
  RUN_UNTIL(&s->tl, down->closed);
  assert_int_equal(down->status, 502);
  expect_frames(s, FRAME_RST, 1, PREFACE);
  assert_false(end_of(s)->closed);
}

/* A request that is not answered within 30 ms, by a peer that says nothing meanwhile. */
static void time_out(setting *s, size_t i) {
  run_ms(s, 10);
  t2_head head = test_request("GET", "/a");
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &s->downs[i].leg, &head);
  assert_non_null(exchange);
  t2_exchange_connect(exchange, t2_h2_conn_leg(end_of(s)->h2), &head, true, NULL, 30);
  RUN_UNTIL(&s->tl, s->downs[i].closed);
  assert_int_equal(s->downs[i].status, 504);
}

/* It is not worth the next one's time. */
static void test_peer_that_was_silent_through_a_timeout_gets_no_more(void **state) {
  setting *s = *state;
  open_raw(s, true);
  RUN_UNTIL(&s->tl, end_of(s)->capacities == 1);
  time_out(s, 0);
  assert_null(t2_h2_conn_leg(end_of(s)->h2));
}

/* It may have had nothing to say. */
static void test_uplink_that_was_silent_through_a_timeout_is_asked_first(void **state) {
  setting *s = *state;
  end_of(s)->options.uplink = true;
  open_raw(s, true);
  RUN_UNTIL(&s->tl, end_of(s)->capacities == 1);
  for (size_t i = 0; i < 2; i++) {
    time_out(s, i);
    expect_frames(s, FRAME_PING, i + 1, PREFACE);
    assert_non_null(t2_h2_conn_leg(end_of(s)->h2));
    pong(s, i, PREFACE);
    run_ms(s, 10);
  }
  time_out(s, 2);
  time_out(s, 3); /* the PING was not answered */
  assert_null(t2_h2_conn_leg(end_of(s)->h2));
}

static void test_peer_that_allows_no_stream_has_no_capacity(void **state) {
  setting *s = *state;
  const uint8_t none[] = {0, 3, 0, 0, 0, 0};
  open_raw(s, true);
  RUN_UNTIL(&s->tl, end_of(s)->capacities == 1);
  assert_int_not_equal(t2_h2_conn_capacity(end_of(s)->h2), 0);
  raw_h2_frame(&s->peer, FRAME_SETTINGS, 0, 0, none, sizeof(none));
  RUN_UNTIL(&s->tl, end_of(s)->capacities == 2);
  assert_int_equal(t2_h2_conn_capacity(end_of(s)->h2), 0);
  assert_null(t2_h2_conn_leg(end_of(s)->h2));
}

static void test_bytes_of_before_are_fed_in(void **state) {
  setting *s = *state;
  const uint8_t limit[] = {0, 0, 6, FRAME_SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 7};
  end_of(s)->options.h2.server = false;
  end_of(s)->ops.on_request = NULL;
  assert_true(h2_pair_listen(&s->pair));
  raw_connect(&s->peer, &s->tl, t2_listener_port(s->pair.listener));
  RUN_UNTIL(&s->tl, end_of(s)->h2);
  t2_h2_conn_feed(end_of(s)->h2, limit, sizeof(limit));
  assert_int_equal(t2_h2_conn_capacity(end_of(s)->h2), 7);
}

/* ---- What a server of ours makes of its peer ---- */

static void test_cancel_and_other_resets_reach_the_leg(void **state) {
  setting *s = *state;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  raw_h2_request(&s->peer, 3, true);
  up(s, 1);
  reset_stream(s, 1, T2_H2_CANCEL);
  reset_stream(s, 3, T2_H2_INTERNAL_ERROR);
  RUN_UNTIL(&s->tl, s->ups[0].closed && s->ups[1].closed);
  assert_int_equal(s->ups[0].err, T2_ERR_CANCELLED);
  assert_int_equal(s->ups[1].err, T2_ERR_CLOSED);
}

static void test_unwanted_content_is_passed_over_and_the_stream_reset_without_blame(void **state) {
  setting *s = *state;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, false);
  stub_answer(up(s, 0), 403, -1, true);
  expect_frames(s, FRAME_RST, 1, 0);
  assert_int_equal(read_u32(raw_h2_payload(&s->peer, FRAME_RST, 0, 0)), T2_H2_NO_ERROR);
  assert_int_equal(raw_h2_count(&s->peer, FRAME_HEADERS, 0), 1);
}

static void test_who_takes_no_requests_refuses_them(void **state) {
  setting *s = *state;
  end_of(s)->ops.on_request = NULL;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  expect_frames(s, FRAME_RST, 1, 0);
  assert_int_equal(read_u32(raw_h2_payload(&s->peer, FRAME_RST, 0, 0)), T2_H2_REFUSED_STREAM);
}

static void test_peer_that_breaks_the_protocol_is_told_and_closed(void **state) {
  setting *s = *state;
  open_raw(s, false);
  raw_h2_request(&s->peer, 1, true);
  up(s, 0);
  raw_h2_frame(&s->peer, FRAME_DATA, 0, 0, "x", 1);
  expect_frames(s, FRAME_GOAWAY, 1, 0);
  assert_int_equal(read_u32(raw_h2_payload(&s->peer, FRAME_GOAWAY, 0, 0) + 4), T2_H2_PROTOCOL_ERROR);
  expect_closed(s, T2_ERR_PROTOCOL);
  assert_int_equal(s->ups[0].err, T2_ERR_PROTOCOL);
}

static void test_peer_that_does_too_much_is_told_closed_and_counted(void **state) {
  setting *s = *state;
  open_raw(s, false);
  for (uint64_t i = 0; i <= t2_h2_guard_burst(T2_H2_PINGS); i++)
    raw_h2_frame(&s->peer, FRAME_PING, 0, 0, "12345678", 8);
  RUN_UNTIL(&s->tl, end_of(s)->closed);
  assert_int_equal(end_of(s)->err, T2_ERR_PROTOCOL);
  expect_frames(s, FRAME_GOAWAY, 1, 0);
  assert_int_equal(raw_h2_payload(&s->peer, FRAME_GOAWAY, 0, 0)[7], T2_H2_ENHANCE_YOUR_CALM);
  assert_int_equal(s->proxy.given_up, 1);
}

static void test_what_is_no_http2_is_closed(void **state) {
  setting *s = *state;
  assert_true(h2_pair_listen(&s->pair));
  raw_connect(&s->peer, &s->tl, t2_listener_port(s->pair.listener));
  raw_send(&s->peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  expect_closed(s, T2_ERR_PROTOCOL);
}

static void close_at_once(setting *s, t2_exchange *exchange, t2_head *head, bool end) {
  t2_h2_conn_close(end_of(s)->h2, T2_ERR_CANCELLED);
  t2_exchange_connect(exchange, &s->ups[0].leg, head, end, NULL, 0);
}

static void test_requests_behind_a_close_do_not_come(void **state) {
  setting *s = *state;
  s->on_request = close_at_once;
  open_raw(s, false);
  for (uint32_t id = 1; id < 9; id += 2)
    raw_h2_request(&s->peer, id, true);
  RUN_UNTIL(&s->tl, end_of(s)->closed);
  assert_int_equal(end_of(s)->err, T2_ERR_CANCELLED);
  assert_int_equal(s->requests, 1);
  assert_int_equal(s->ups[0].err, T2_ERR_CLOSED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h2_test(test_drain_is_a_notice_a_ping_and_the_last_word),
      h2_test(test_answer_to_an_earlier_ping_is_not_that_to_the_drains),
      h2_test(test_request_after_the_last_word_is_not_taken),
      h2_test(test_silent_peer_is_pinged_and_then_given_up),
      h2_test(test_peer_that_answers_pings_is_kept),
      h2_test(test_timeout_of_twice_the_interval_is_enough_for_a_peer_that_answers),
      h2_test(test_idle_connection_is_closed_in_order),
      h2_test(test_stream_that_the_peer_takes_nothing_of_is_reset),
      h2_test(test_stream_that_moves_on_now_and_then_is_kept),
      h2_test(test_peer_that_reads_nothing_at_all_is_closed),
      h2_test(test_without_pings_silence_is_no_failure),
      h2_test(test_goaway_before_a_request_is_acted_on_makes_it_unavailable),
      h2_test(test_request_of_the_turn_in_which_the_notice_comes_is_sent),
      h2_test(test_stream_resets_by_their_code),
      h2_test(test_interim_heads_without_end_are_an_error),
      h2_test(test_peer_that_was_silent_through_a_timeout_gets_no_more),
      h2_test(test_uplink_that_was_silent_through_a_timeout_is_asked_first),
      h2_test(test_peer_that_allows_no_stream_has_no_capacity),
      h2_test(test_bytes_of_before_are_fed_in),
      h2_test(test_cancel_and_other_resets_reach_the_leg),
      h2_test(test_unwanted_content_is_passed_over_and_the_stream_reset_without_blame),
      h2_test(test_who_takes_no_requests_refuses_them),
      h2_test(test_peer_that_breaks_the_protocol_is_told_and_closed),
      h2_test(test_peer_that_does_too_much_is_told_closed_and_counted),
      h2_test(test_what_is_no_http2_is_closed),
      h2_test(test_requests_behind_a_close_do_not_come),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
