#include "h2_setting.h"

/* Both ends are ours here; test_h2_conn_peer.c has peers that do as they like. */

/* ---- Requests ---- */

static void test_request_and_response_pass_with_content_and_trailers(void **state) {
  setting *s = *state;
  t2_fields trailers;
  t2_fields_init(&trailers, NULL);
  t2_fields_add(&trailers, T2_STR("x-sum"), T2_STR("7"));
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "POST", false);
  stub_give(down, "hello");
  stub *u = up(s, 0);
  RUN_UNTIL(&s->tl, stub_said(u, "data 5;"));
  assert_int_equal(down->consumed, 5);
  stub_end(down);
  RUN_UNTIL(&s->tl, stub_said(u, "end;"));
  stub_answer(u, 103, -1, false);
  stub_answer(u, 200, -1, false);
  stub_give(u, "yes");
  t2_exchange_end(&u->leg, &trailers);
  t2_fields_fini(&trailers);
  RUN_UNTIL(&s->tl, down->closed);
  assert_string_equal(stub_log(down), "head 103;head 200;data 3;end x-sum=7;closed OK;");
  assert_string_equal(stub_log(u), "head POST /a;data 5;end;closed OK;");
  RUN_UNTIL(&s->tl, t2_h2_conn_active(s->pair.client.h2) == 0 && t2_h2_conn_active(s->pair.server.h2) == 0);
}

static void test_heads_alone(void **state) {
  setting *s = *state;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  stub_answer(up(s, 0), 204, -1, true);
  RUN_UNTIL(&s->tl, down->closed);
  assert_string_equal(stub_log(down), "head 204.closed OK;");
  assert_string_equal(stub_log(&s->ups[0]), "head GET /a.closed OK;");
}

static void test_content_stays_within_the_stream_window(void **state) {
  setting *s = *state;
  s->pair.server.options.h2.stream_window = 100000;
  s->ups[0].hold = true;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "POST", false);
  stub_give_bytes(down, 300000);
  stub_end(down);
  stub *u = up(s, 0);
  RUN_UNTIL(&s->tl, u->held == 100000);
  run_ms(s, 20);
  assert_int_equal(u->held, 100000);
  assert_int_equal(down->consumed, 100000);
  stub_consume(u, 100000);
  RUN_UNTIL(&s->tl, u->held == 100000);
  u->hold = false;
  stub_consume(u, 100000);
  RUN_UNTIL(&s->tl, stub_said(u, ";end;"));
  assert_int_equal(u->held_most, 100000);
  assert_int_equal(down->consumed, 300000);
  stub_answer(u, 200, -1, true);
  RUN_UNTIL(&s->tl, down->closed);
}

static void test_response_before_the_end_of_the_request_ends_it(void **state) {
  setting *s = *state;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "POST", false);
  stub *u = up(s, 0);
  stub_answer(u, 413, -1, false);
  stub_give(u, "too large");
  stub_end(u);
  assert_int_equal(u->err, T2_ERR_CANCELLED);
  RUN_UNTIL(&s->tl, down->closed);
  assert_string_equal(stub_log(down), "head 413;data 9;end;closed OK;");
  RUN_UNTIL(&s->tl, t2_h2_conn_active(s->pair.client.h2) == 0 && t2_h2_conn_active(s->pair.server.h2) == 0);
}

/* ---- Given up ---- */

static void test_asker_that_cancels_cancels_the_stream(void **state) {
  setting *s = *state;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  stub *u = up(s, 0);
  stub_fail(down, T2_ERR_CANCELLED, T2_AT_LOCAL);
  RUN_UNTIL(&s->tl, u->closed);
  assert_int_equal(u->err, T2_ERR_CANCELLED);
  assert_non_null(s->pair.client.h2);
}

static void test_request_cancelled_in_its_turn_is_never_sent(void **state) {
  setting *s = *state;
  open_pair(s);
  stub_fail(ask(s, &s->pair.client, 0, "GET", true), T2_ERR_CANCELLED, T2_AT_LOCAL);
  stub *down = ask(s, &s->pair.client, 1, "GET", true);
  stub_answer(up(s, 0), 200, -1, true);
  RUN_UNTIL(&s->tl, down->closed);
  assert_int_equal(s->requests, 1);
  assert_int_equal(t2_h2_conn_active(s->pair.client.h2), 0);
}

static void test_answer_that_is_cut_is_a_reset_stream(void **state) {
  setting *s = *state;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  stub *u = up(s, 0);
  stub_answer(u, 200, 10, false);
  stub_give(u, "abc");
  RUN_UNTIL(&s->tl, stub_said(down, "data 3;"));
  stub_fail(u, T2_ERR_CLOSED, T2_AT_ORIGIN);
  RUN_UNTIL(&s->tl, down->closed);
  assert_int_equal(down->err, T2_ERR_CANCELLED); /* the peer's stream is lost, the peer is not */
}

/* ---- Capacity ---- */

static void test_capacity_is_what_the_peer_allows(void **state) {
  setting *s = *state;
  s->pair.server.options.h2.concurrent_max = 2;
  open_pair(s);
  h2_end *client = &s->pair.client;
  assert_int_equal(t2_h2_conn_capacity(client->h2), 2);
  ask(s, client, 0, "GET", true);
  ask(s, client, 1, "GET", true);
  assert_int_equal(t2_h2_conn_capacity(client->h2), 0);
  assert_null(t2_h2_conn_leg(client->h2));
  assert_int_equal(t2_h2_conn_active(client->h2), 2);
  up(s, 1);
  unsigned before = client->capacities;
  stub_answer(&s->ups[1], 200, -1, true);
  RUN_UNTIL(&s->tl, client->capacities > before);
  RUN_UNTIL(&s->tl, t2_h2_conn_capacity(client->h2) == 1);
  stub_answer(&s->ups[0], 200, -1, true);
  RUN_UNTIL(&s->tl, t2_h2_conn_capacity(client->h2) == 2);
}

/* Two legs taken for the last place: the second finds none when it opens. */
static void test_request_past_the_capacity_is_unavailable(void **state) {
  setting *s = *state;
  s->pair.server.options.h2.concurrent_max = 1;
  open_pair(s);
  t2_leg *leg = t2_h2_conn_leg(s->pair.client.h2);
  ask(s, &s->pair.client, 0, "GET", true);
  t2_head head = test_request("GET", "/b");
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &s->downs[1].leg, &head);
  t2_exchange_connect(exchange, leg, &head, true, NULL, 0);
  assert_true(s->downs[1].closed);
  assert_int_equal(s->downs[1].status, 503);
  stub_answer(up(s, 0), 200, -1, true);
  RUN_UNTIL(&s->tl, s->downs[0].closed);
}

/* ---- Draining ---- */

static void expect_both_closed(setting *s, int server_err, int client_err) {
  RUN_UNTIL(&s->tl, s->pair.server.closed && s->pair.client.closed);
  assert_int_equal(s->pair.server.err, server_err);
  assert_int_equal(s->pair.client.err, client_err);
}

static void test_drain_of_an_idle_connection_closes_it_in_order(void **state) {
  setting *s = *state;
  open_pair(s);
  t2_h2_conn_drain(s->pair.server.h2);
  t2_h2_conn_drain(s->pair.server.h2);
  expect_both_closed(s, 0, 0);
  assert_true(s->pair.client.going);
}

static void test_client_drains_too(void **state) {
  setting *s = *state;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  stub *u = up(s, 0);
  t2_h2_conn_drain(s->pair.client.h2);
  assert_int_equal(t2_h2_conn_capacity(s->pair.client.h2), 0);
  run_ms(s, 10);
  assert_false(s->pair.client.closed);
  stub_answer(u, 200, -1, true);
  expect_both_closed(s, 0, 0);
  assert_string_equal(stub_log(down), "head 200.closed OK;");
}

static void test_drain_lets_requests_under_way_finish(void **state) {
  setting *s = *state;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "POST", false);
  stub *u = up(s, 0);
  t2_h2_conn_drain(s->pair.server.h2);
  RUN_UNTIL(&s->tl, s->pair.client.going);
  assert_null(t2_h2_conn_leg(s->pair.client.h2));
  run_ms(s, 10);
  stub_give(down, "more");
  stub_end(down);
  RUN_UNTIL(&s->tl, stub_said(u, "data 4;end;"));
  stub_answer(u, 200, -1, false);
  stub_give(u, "ok");
  assert_false(s->pair.server.closed);
  stub_end(u);
  expect_both_closed(s, 0, 0);
  assert_string_equal(stub_log(down), "head 200;data 2;end;closed OK;");
}

/* What crosses the notice on its way is served: so nothing is lost when a client of the tunnel restarts. */
static void test_request_that_crosses_the_drain_notice_is_served(void **state) {
  setting *s = *state;
  open_pair(s);
  t2_h2_conn_drain(s->pair.server.h2);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  stub_answer(up(s, 0), 200, -1, true);
  expect_both_closed(s, 0, 0);
  assert_string_equal(stub_log(down), "head 200.closed OK;");
}

/* ---- Closing ---- */

static void test_closing_fails_what_is_under_way(void **state) {
  setting *s = *state;
  open_pair(s);
  stub *first = ask(s, &s->pair.client, 0, "GET", true), *second = ask(s, &s->pair.client, 1, "GET", true);
  stub *u = up(s, 1);
  stub_answer(u, 200, -1, false);
  RUN_UNTIL(&s->tl, second->status == 200);
  t2_h2_conn_close(s->pair.client.h2, T2_ERR_TIMEOUT);
  assert_null(t2_h2_conn_leg(s->pair.client.h2));
  expect_both_closed(s, T2_ERR_CLOSED, T2_ERR_TIMEOUT);
  assert_true(first->closed && second->closed && s->ups[0].closed && u->closed);
  assert_true(first->status >= 500 && first->err == 0);
  assert_int_equal(second->err, T2_ERR_TIMEOUT);
}

static void test_closing_while_draining(void **state) {
  setting *s = *state;
  open_pair(s);
  ask(s, &s->pair.client, 0, "GET", true);
  up(s, 0);
  t2_h2_conn_drain(s->pair.server.h2);
  RUN_UNTIL(&s->tl, s->pair.client.going);
  t2_h2_conn_close(s->pair.server.h2, T2_ERR_CANCELLED);
  t2_h2_conn_close(s->pair.server.h2, T2_ERR_TIMEOUT); /* the first counts */
  expect_both_closed(s, T2_ERR_CANCELLED, T2_ERR_CLOSED);
}

/* ---- Memory ---- */

static void answer_now(stub *u) {
  stub_answer(u, 200, -1, false);
  stub_give(u, "yes");
  stub_end(u);
}

static void life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_setting(s, &mem->hook)) {
    s->ups[0].on_end = answer_now;
    if (h2_pair_open(&s->pair)) {
      t2_head head = test_request("POST", "/a");
      stub *down = &s->downs[0];
      t2_leg *leg = t2_h2_conn_leg(s->pair.client.h2);
      t2_exchange *exchange = leg ? t2_exchange_new(&s->proxy, &down->leg, &head) : NULL;
      if (exchange) {
        t2_exchange_connect(exchange, leg, &head, false, NULL, 50);
        stub_give(down, "hello");
        stub_end(down);
        RUN_UNTIL(&s->tl, down->closed);
        assert_true(mem->failed || (down->err == 0 && down->status == 200));
      }
      if (s->pair.server.h2 && !mem->failed) {
        t2_h2_conn_drain(s->pair.server.h2);
        RUN_UNTIL(&s->tl, s->pair.server.closed && s->pair.client.closed);
      }
    }
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(life, NULL) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h2_test(test_request_and_response_pass_with_content_and_trailers),
      h2_test(test_heads_alone),
      h2_test(test_content_stays_within_the_stream_window),
      h2_test(test_response_before_the_end_of_the_request_ends_it),
      h2_test(test_asker_that_cancels_cancels_the_stream),
      h2_test(test_request_cancelled_in_its_turn_is_never_sent),
      h2_test(test_answer_that_is_cut_is_a_reset_stream),
      h2_test(test_capacity_is_what_the_peer_allows),
      h2_test(test_request_past_the_capacity_is_unavailable),
      h2_test(test_drain_of_an_idle_connection_closes_it_in_order),
      h2_test(test_client_drains_too),
      h2_test(test_drain_lets_requests_under_way_finish),
      h2_test(test_request_that_crosses_the_drain_notice_is_served),
      h2_test(test_closing_fails_what_is_under_way),
      h2_test(test_closing_while_draining),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
