#include "exchange_setting.h"

/* ---- What passes ---- */

static void test_request_and_response_pass_in_order(void **state) {
  setting *s = *state;
  post(s);
  stub_give(&s->down, "hello");
  stub_end(&s->down);
  stub_answer(&s->up, 200, -1, false);
  stub_give(&s->up, "yes");
  expect(s, "head POST /a;data 5;end;", "head 200;data 3;");
  stub_end(&s->up);
  expect_over(s, "head POST /a;data 5;end;closed OK;", "head 200;data 3;end;closed OK;");
  assert_int_equal(s->last.status, 200);
  assert_int_equal(s->last.error, 0);
  assert_string_equal(s->last.method, "POST");
  assert_int_equal(s->proxy.total, 1);
  assert_int_equal(s->idles, 1);
}

static void test_heads_that_end_are_the_end(void **state) {
  setting *s = *state;
  get(s);
  stub_answer(&s->up, 204, -1, true);
  expect_over(s, "head GET /a.closed OK;", "head 204.closed OK;");
}

static void test_trailers_pass_both_ways(void **state) {
  setting *s = *state;
  t2_fields trailers;
  t2_fields_init(&trailers, NULL);
  t2_fields_add(&trailers, T2_STR("x"), T2_STR("1"));
  post(s);
  t2_exchange_end(&s->down.leg, &trailers);
  stub_answer(&s->up, 200, -1, false);
  t2_exchange_end(&s->up.leg, &trailers);
  t2_fields_fini(&trailers);
  expect_over(s, "head POST /a;end x=1;closed OK;", "head 200;end x=1;closed OK;");
}

static void test_interim_heads_pass_and_decide_nothing(void **state) {
  setting *s = *state;
  post(s);
  stub_answer(&s->up, 100, -1, false);
  stub_answer(&s->up, 103, -1, true); /* it is no end */
  assert_false(s->exchange->response_headed);
  stub_end(&s->down);
  stub_answer(&s->up, 200, -1, true);
  stub_answer(&s->up, 500, -1, true); /* nobody listens any more */
  expect_over(s, "head POST /a;end;closed OK;", "head 100;head 103;head 200.closed OK;");
}

static void test_second_final_head_is_passed_over(void **state) {
  setting *s = *state;
  get(s);
  stub_answer(&s->up, 200, -1, false);
  stub_answer(&s->up, 500, -1, false);
  stub_end(&s->up);
  expect_over(s, "head GET /a.closed OK;", "head 200;end;closed OK;");
}

static void test_response_that_ends_first_ends_the_exchange(void **state) {
  setting *s = *state;
  post(s);
  stub_give(&s->down, "a");
  stub_answer(&s->up, 413, -1, false);
  stub_give(&s->down, "b"); /* it still goes on */
  stub_end(&s->up);
  stub_give(&s->down, "c");
  stub_end(&s->down);
  expect_over(s, "head POST /a;data 1;data 1;closed CANCELLED;", "head 413;end;closed OK;");
  assert_int_equal(s->last.error, 0);
}

static void test_bytes_are_counted_and_reported_to_who_gave_them(void **state) {
  setting *s = *state;
  s->up.hold = true;
  post(s);
  stub_give(&s->down, "0123456789");
  assert_int_equal(s->down.consumed, 0);
  stub_consume(&s->up, 4);
  assert_int_equal(s->down.consumed, 4);
  stub_consume(&s->up, 6);
  assert_int_equal(s->down.consumed, 10);
  stub_end(&s->down);
  stub_answer(&s->up, 200, -1, false);
  stub_give(&s->up, "abc");
  stub_give(&s->up, "");
  assert_int_equal(s->up.consumed, 3);
  assert_int_equal(s->exchange->request_bytes, 10);
  stub_end(&s->up);
  assert_int_equal(s->last.response_bytes, 3);
  assert_int_equal(s->proxy.bytes_up, 10);
  assert_int_equal(s->proxy.bytes_down, 3);
  t2_exchange_consumed(&s->up.leg, 5); /* too late */
}

/* ---- Tunnels ---- */

static void test_what_makes_a_tunnel(void **state) {
  setting *s = *state;
  const struct {
    const char *method, *protocol;
    int status;
    bool tunnel;
  } cases[] = {
      {"CONNECT", "", 200, true},
      {"CONNECT", "", 204, true},
      {"CONNECT", "", 404, false},
      {"CONNECT", "", 101, false},
      {"GET", "websocket", 101, true},
      {"GET", "websocket", 200, false},
      {"GET", "websocket", 400, false},
      {"CONNECT", "connect-udp", 101, true},
      {"CONNECT", "connect-udp", 200, false},
      {"GET", "", 101, false},
      {"GET", "", 200, false},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    again(s);
    t2_head head = test_request(cases[i].method, "/a");
    head.protocol = t2_str_c(cases[i].protocol);
    join(s, &head, false, 0);
    stub_answer(&s->up, cases[i].status, -1, false);
    assert_int_equal(s->exchange->tunnel, cases[i].tunnel);
    stub_end(&s->up);
    assert_int_equal(s->exchange != NULL, cases[i].tunnel);
    if (s->exchange) stub_end(&s->down);
    assert_null(s->exchange);
    assert_int_equal(s->down.err, 0);
    assert_int_equal(s->up.err, cases[i].tunnel ? 0 : T2_ERR_CANCELLED);
  }
}

static void test_directions_of_a_tunnel_end_apart(void **state) {
  setting *s = *state;
  t2_head head = test_request("CONNECT", "");
  join(s, &head, false, 0);
  stub_answer(&s->up, 200, -1, false);
  stub_end(&s->down);
  stub_give(&s->up, "more");
  stub_end(&s->up);
  expect_over(s, "head CONNECT ;end;closed OK;", "head 200;data 4;end;closed OK;");
  again(s);
  join(s, &head, false, 0);
  stub_answer(&s->up, 200, -1, false);
  stub_end(&s->up);
  stub_give(&s->down, "more");
  stub_end(&s->down);
  expect_over(s, "head CONNECT ;data 4;end;closed OK;", "head 200;end;closed OK;");
}

static void test_declined_upgrade_is_an_ordinary_request(void **state) {
  setting *s = *state;
  t2_head head = test_request("GET", "/a");
  head.protocol = T2_STR("websocket");
  assert_true(begin(s, &head));
  assert_true(s->exchange->upgrade && s->exchange->connect);
  t2_exchange_decline_upgrade(s->exchange, &head);
  assert_int_equal(head.protocol.n, 0);
  assert_false(s->exchange->upgrade || s->exchange->connect);
  t2_exchange_connect(s->exchange, &s->up.leg, &head, true, NULL, 0);
  stub_answer(&s->up, 200, -1, true);
  expect_over(s, "head GET /a.closed OK;", "head 200.closed OK;");
}

/* ---- Failures ---- */

static void test_failure_before_the_head_is_a_problem(void **state) {
  setting *s = *state;
  post(s);
  stub_fail(&s->up, T2_ERR_REFUSED, T2_AT_ORIGIN);
  assert_int_equal(s->down.status, 502);
  assert_int_equal((int64_t)t2_buf_len(&s->down.body), s->down.length);
  assert_true(stub_has_field(&s->down, "content-type: application/problem+json\n"));
  assert_true(stub_has_field(&s->down, "proxy-status: entry-1; error=connection_refused"));
  assert_non_null(strstr(t2_buf_cstr(&s->down.body), "because of the test"));
  assert_true(stub_said(&s->down, "end;closed OK;"));
  assert_string_equal(stub_log(&s->up), "head POST /a;"); /* who failed is not told */
  assert_int_equal(s->last.error, T2_ERR_REFUSED);
  assert_int_equal(s->last.status, 502);
}

static void test_problem_to_head_has_no_content(void **state) {
  setting *s = *state;
  t2_head head = test_request("HEAD", "/");
  join(s, &head, true, 0);
  stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_ORIGIN);
  expect_over(s, "head HEAD /.", "head 502.closed OK;");
  assert_true(s->down.length > 0);
}

static void test_failure_after_the_head_cuts_the_answer(void **state) {
  setting *s = *state;
  get(s);
  stub_answer(&s->up, 200, 10, false);
  stub_give(&s->up, "abc");
  stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_ORIGIN);
  expect_over(s, "head GET /a.", "head 200;data 3;closed CLOSED;");
  assert_int_equal(s->last.error, T2_ERR_CLOSED);
}

static void test_failure_after_an_interim_head_is_a_problem(void **state) {
  setting *s = *state;
  get(s);
  stub_answer(&s->up, 103, -1, false);
  stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_UPLINK);
  assert_true(s->down.status >= 500 && s->down.err == 0);
}

static void test_asker_that_fails_ends_the_other_side(void **state) {
  setting *s = *state;
  post(s);
  stub_fail(&s->down, T2_ERR_CANCELLED, T2_AT_LOCAL);
  expect_over(s, "head POST /a;closed CANCELLED;", "");
  again(s);
  get(s);
  stub_answer(&s->up, 200, -1, false);
  stub_fail(&s->down, T2_ERR_TIMEOUT, T2_AT_LOCAL);
  expect_over(s, "head GET /a.closed TIMEOUT;", "head 200;");
}

static void test_error_of_an_upstream_operation_is_its_failure(void **state) {
  setting *s = *state;
  s->up.leg.ops = &stub_uplink_ops;
  s->up.head_err = T2_ERR_UNAVAILABLE;
  post(s);
  assert_int_equal(s->down.status, 503);
  assert_true(stub_has_field(&s->down, "retry-after: 1\n"));
  assert_string_equal(stub_log(&s->up), "head POST /a;closed UNAVAILABLE;");
  s->up.head_err = 0;
  s->up.leg.ops = &stub_ops;
  again(s);
  s->up.data_err = T2_ERR_NOMEM;
  post(s);
  stub_give(&s->down, "a");
  assert_int_equal(s->down.status, 503);
  assert_string_equal(stub_log(&s->up), "head POST /a;data 1;closed NOMEM;");
  s->up.data_err = 0;
  again(s);
  s->up.end_err = T2_ERR_PROTOCOL;
  post(s);
  stub_end(&s->down);
  assert_int_equal(s->down.status, 502);
  again(s);
  post(s);
  stub_answer(&s->up, 200, -1, false);
  stub_end(&s->down); /* after the head nothing can be said */
  expect_over(s, "head POST /a;end;closed PROTOCOL;", "head 200;closed PROTOCOL;");
}

static void test_error_of_a_downstream_operation_ends_both(void **state) {
  setting *s = *state;
  s->down.head_err = T2_ERR_NOMEM;
  get(s);
  stub_answer(&s->up, 200, -1, true);
  expect_over(s, "head GET /a.closed NOMEM;", "head 200.closed NOMEM;");
  s->down.head_err = 0;
  again(s);
  s->down.data_err = T2_ERR_NOMEM;
  get(s);
  stub_answer(&s->up, 200, -1, false);
  stub_give(&s->up, "a");
  stub_give(&s->up, "b");
  expect_over(s, "head GET /a.closed NOMEM;", "head 200;data 1;closed NOMEM;");
  s->down.data_err = 0;
  again(s);
  s->down.end_err = T2_ERR_LIMIT;
  get(s);
  stub_answer(&s->up, 200, -1, false);
  stub_end(&s->up);
  expect_over(s, "head GET /a.closed LIMIT;", "head 200;end;closed LIMIT;");
  again(s);
  s->down.data_err = T2_ERR_NOMEM; /* of a problem */
  get(s);
  stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_ORIGIN);
  assert_true(stub_said(&s->down, ";closed NOMEM;"));
}

static void test_refusals_end_the_exchange(void **state) {
  setting *s = *state;
  t2_head head = test_request("POST", "/a");
  assert_true(begin(s, &head));
  t2_exchange_refuse_with(s->exchange, t2_problem_of_status(405), "no", T2_STR("allow"), T2_STR("GET"));
  assert_null(s->exchange);
  assert_int_equal(s->down.status, 405);
  assert_true(stub_has_field(&s->down, "allow: GET\n"));
  assert_int_equal(s->last.error, 0);
  again(s);
  assert_true(begin(s, &head));
  t2_exchange_refuse(s->exchange, t2_problem_of_status(403), NULL);
  assert_int_equal(s->down.status, 403);
  assert_false(stub_has_field(&s->down, "allow"));
}

/* ---- Time ---- */

static void test_no_answer_in_time_is_504(void **state) {
  setting *s = *state;
  t2_head head = test_request("GET", "/a");
  join(s, &head, true, 20);
  stub_answer(&s->up, 103, -1, false); /* does not stop the clock */
  RUN_UNTIL(&s->tl, !s->exchange);
  assert_int_equal(s->down.status, 504);
  assert_true(stub_has_field(&s->down, "error=http_response_timeout"));
  assert_string_equal(stub_log(&s->up), "head GET /a.closed TIMEOUT;");
}

static void test_time_runs_from_the_last_of_the_request(void **state) {
  setting *s = *state;
  t2_head head = test_request("POST", "/a");
  join(s, &head, false, 1000);
  t2_timer *timer = &s->exchange->timer;
  uint64_t first = timer->deadline;
  uint64_t begun = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= begun + 30);
  stub_give(&s->down, "a");
  uint64_t second = timer->deadline;
  assert_true(second >= first + 30);
  begun = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= begun + 30);
  stub_end(&s->down);
  assert_true(timer->deadline >= second + 30);
  stub_answer(&s->up, 200, -1, false);
  assert_false(t2_timer_running(timer));
  stub_end(&s->up);
}

static void test_time_stops_with_the_head_though_the_request_goes_on(void **state) {
  setting *s = *state;
  t2_head head = test_request("POST", "/a");
  join(s, &head, false, 20);
  stub_answer(&s->up, 200, -1, false);
  stub_give(&s->down, "a");
  stub_end(&s->down);
  assert_false(t2_timer_running(&s->exchange->timer));
  stub_end(&s->up);
}

/* ---- Heads ---- */

static void test_forwarding_rules_apply_where_they_are_asked_for(void **state) {
  setting *s = *state;
  t2_head head = test_request("GET", "/a");
  t2_forward how = {.peer = T2_STR("192.0.2.1"), .by = T2_STR("entry-1")};
  s->proxy.via = true;
  assert_true(begin(s, &head));
  t2_exchange_connect(s->exchange, &s->up.leg, &head, true, &how, 0);
  assert_true(stub_has_field(&s->up, "via: 1.1 entry-1\n"));
  assert_true(stub_has_field(&s->up, "x-forwarded-for: 192.0.2.1\n"));
  char id[sizeof("x-request-id: \n") + T2_REQUEST_ID_MAX];
  snprintf(id, sizeof(id), "x-request-id: %s\n", s->exchange->request_id);
  assert_int_equal(strlen(s->exchange->request_id), 32);
  assert_true(stub_has_field(&s->up, id));
  stub_answer(&s->up, 200, -1, true);
  assert_true(stub_has_field(&s->down, "via: 1.1 entry-1\n"));
  s->proxy.via = false;
  again(s);
  get(s);
  stub_answer(&s->up, 200, -1, true);
  assert_false(stub_has_field(&s->up, "via") || stub_has_field(&s->down, "via"));
}

static void test_request_id_is_the_one_given_or_a_new_one(void **state) {
  setting *s = *state;
  char first[T2_REQUEST_ID_MAX + 1];
  t2_head head = test_request("GET", "/a");
  join(s, &head, true, 0);
  memcpy(first, s->exchange->request_id, sizeof(first));
  stub_answer(&s->up, 200, -1, true);
  again(s);
  join(s, &head, true, 0);
  assert_string_not_equal(first, s->exchange->request_id);
  stub_answer(&s->up, 200, -1, true);
  again(s);
  t2_head_init(&head, NULL);
  head.method = T2_STR("A-METHOD-THAT-IS-LONG");
  t2_fields_add(&head.fields, T2_STR("x-request-id"), T2_STR("mine"));
  join(s, &head, true, 0);
  assert_string_equal(s->exchange->request_id, "mine");
  assert_string_equal(s->exchange->method, "A-METHOD-THAT-I");
  stub_answer(&s->up, 200, -1, true);
  t2_head_fini(&head);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      exchange_test(test_request_and_response_pass_in_order),
      exchange_test(test_heads_that_end_are_the_end),
      exchange_test(test_trailers_pass_both_ways),
      exchange_test(test_interim_heads_pass_and_decide_nothing),
      exchange_test(test_second_final_head_is_passed_over),
      exchange_test(test_response_that_ends_first_ends_the_exchange),
      exchange_test(test_bytes_are_counted_and_reported_to_who_gave_them),
      exchange_test(test_what_makes_a_tunnel),
      exchange_test(test_directions_of_a_tunnel_end_apart),
      exchange_test(test_declined_upgrade_is_an_ordinary_request),
      exchange_test(test_failure_before_the_head_is_a_problem),
      exchange_test(test_problem_to_head_has_no_content),
      exchange_test(test_failure_after_the_head_cuts_the_answer),
      exchange_test(test_failure_after_an_interim_head_is_a_problem),
      exchange_test(test_asker_that_fails_ends_the_other_side),
      exchange_test(test_error_of_an_upstream_operation_is_its_failure),
      exchange_test(test_error_of_a_downstream_operation_ends_both),
      exchange_test(test_refusals_end_the_exchange),
      exchange_test(test_no_answer_in_time_is_504),
      exchange_test(test_time_runs_from_the_last_of_the_request),
      exchange_test(test_time_stops_with_the_head_though_the_request_goes_on),
      exchange_test(test_forwarding_rules_apply_where_they_are_asked_for),
      exchange_test(test_request_id_is_the_one_given_or_a_new_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
