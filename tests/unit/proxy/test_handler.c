#include "handler_setting.h"

static char big[3 * T2_LEG_WINDOW];

static void send_hi(handled *h) {
  assert_int_equal(t2_response_send(h->request, 200, "text/plain", NULL, 0, "hi", 2), 0);
}

static void start_200(handled *h) {
  assert_int_equal(t2_response_start(h->request, 200, NULL, 0, -1), 0);
}

/* ---- What is asked ---- */

static void test_request_is_known_by_its_parts(void **state) {
  handled *h = *state;
  t2_head head = test_request("POST", "/p?q");
  size_t count;
  head.scheme = T2_STR("https");
  head.authority = T2_STR("example.com:8443");
  head.content_length = 7;
  t2_fields_add(&head.fields, T2_STR("x-mine"), T2_STR("1"));
  t2_fields_add(&head.fields, T2_STR("forwarded"), T2_STR("for=192.0.2.1;proto=https"));
  t2_fields_add(&head.fields, T2_STR("x-mine"), T2_STR("2"));
  assert_true(ask_with(h, &head, false, 0));
  t2_fields_fini(&head.fields);
  t2_request *r = h->request;
  assert_string_equal(t2_request_method(r), "POST");
  assert_string_equal(t2_request_path(r), "/p?q");
  assert_string_equal(t2_request_scheme(r), "https");
  assert_string_equal(t2_request_authority(r), "example.com:8443");
  assert_string_equal(t2_request_remote(r), "192.0.2.1");
  assert_null(t2_request_protocol(r));
  assert_string_equal(t2_request_id(r), h->s.exchange->request_id);
  assert_int_equal(t2_request_content_length(r), 7);
  assert_string_equal(t2_request_field(r, "X-Mine"), "1");
  assert_null(t2_request_field(r, "x-other"));
  assert_string_equal(t2_request_fields(r, &count)[2].value, "2");
  assert_int_equal(count, 3);
  assert_null(t2_request_user(r));
  t2_request_set_user(r, h);
  assert_ptr_equal(t2_request_user(r), h);
}

static void test_content_and_trailers(void **state) {
  handled *h = *state;
  t2_fields trailers;
  ask(h, "POST", false);
  stub_give(&h->s.down, "hello");
  assert_int_equal(h->s.down.consumed, 5);
  t2_fields_init(&trailers, NULL);
  t2_fields_add(&trailers, T2_STR("x"), T2_STR("1"));
  t2_exchange_end(&h->s.down.leg, &trailers);
  t2_fields_fini(&trailers);
  send_hi(h);
  expect_both(h, "POST /a;data 5;end x=1;close OK;", "head 200;data 2;end;closed OK;");
  assert_int_equal(h->idles, 1);
}

static void test_content_is_consumed_later(void **state) {
  handled *h = *state;
  h->handlers.ops.consume_later = true;
  ask(h, "POST", false);
  stub_give_bytes(&h->s.down, 1000);
  assert_int_equal(h->s.down.consumed, 0);
  t2_request_consume(h->request, 400);
  assert_int_equal(h->s.down.consumed, 400);
  t2_request_consume(h->request, 10000); /* more than was given */
  assert_int_equal(h->s.down.consumed, 1000);
  t2_request_consume(h->request, 1);
  assert_int_equal(h->s.down.consumed, 1000);
}

/* ---- Answers ---- */

static void test_answer_at_once(void **state) {
  handled *h = *state;
  h->on_request = send_hi;
  ask(h, "GET", true);
  expect_both(h, "GET /a;close OK;", "head 200;data 2;end;closed OK;");
  assert_true(stub_has_field(&h->s.down, "content-type: text/plain\n"));
  assert_int_equal(h->s.down.length, 2);
}

static void test_answer_later(void **state) {
  handled *h = *state;
  ask(h, "GET", true);
  expect_both(h, "GET /a;end;", "");
  send_hi(h);
  expect_both(h, "GET /a;end;close OK;", "head 200;data 2;end;closed OK;");
}

static void test_answer_before_the_request_is_whole_is_an_answer(void **state) {
  handled *h = *state;
  h->on_request = send_hi;
  ask(h, "POST", false);
  expect_both(h, "POST /a;close OK;", "head 200;data 2;end;closed OK;");
}

static void test_nothing_is_told_from_inside_of_a_call(void **state) {
  handled *h = *state;
  ask(h, "GET", true);
  send_hi(h);
  assert_string_equal(t2_buf_cstr(&h->log), "GET /a;end;");
  assert_int_equal(t2_response_send(h->request, 200, NULL, NULL, 0, "", 0), T2_ERR_CLOSED);
  assert_int_equal(t2_response_write(h->request, "x", 1), T2_ERR_CLOSED);
  assert_int_equal(t2_response_end(h->request, NULL, 0), T2_ERR_CLOSED);
}

static void test_writer_is_stopped_by_a_reader_that_stops(void **state) {
  handled *h = *state;
  h->s.down.hold = true;
  ask(h, "GET", true);
  start_200(h);
  assert_int_equal(t2_response_room(h->request), T2_LEG_WINDOW);
  assert_int_equal(t2_response_write(h->request, big, sizeof(big)), T2_LEG_WINDOW);
  assert_int_equal(t2_response_room(h->request), 0);
  assert_int_equal(t2_response_write(h->request, big, 1), 0);
  turn(h);
  assert_null(strstr(t2_buf_cstr(&h->log), "writable"));
  stub_consume(&h->s.down, 100);
  turn(h);
  assert_non_null(strstr(t2_buf_cstr(&h->log), "end;writable;"));
  assert_int_equal(t2_response_room(h->request), 100);
  assert_int_equal(t2_response_write(h->request, big, 100), 100);
  stub_consume(&h->s.down, 50);
  turn(h);
  assert_string_equal(t2_buf_cstr(&h->log), "GET /a;end;writable;"); /* it was not waited for */
  assert_int_equal(t2_response_end(h->request, NULL, 0), 0);
}

static void test_large_answer_in_one_call_goes_as_it_is_read(void **state) {
  handled *h = *state;
  h->s.down.hold = true;
  ask(h, "GET", true);
  assert_int_equal(t2_response_send(h->request, 200, NULL, NULL, 0, big, sizeof(big)), 0);
  assert_int_equal(t2_response_end(h->request, NULL, 0), T2_ERR_STATE);
  assert_int_equal(t2_response_write(h->request, "x", 1), T2_ERR_INVALID);
  while (!h->s.down.closed) {
    assert_true(h->s.down.held <= T2_LEG_WINDOW);
    if (h->s.down.held) stub_consume(&h->s.down, h->s.down.held);
    turn(h);
  }
  assert_int_equal(t2_buf_len(&h->s.down.body), sizeof(big));
  assert_int_equal(h->s.down.err, 0);
  turn(h);
  assert_int_equal(h->err, 0);
}

static void test_interim_answers_and_trailers(void **state) {
  handled *h = *state;
  const t2_http_field link = {"Link", "</a>"}, sum = {"X-Sum", "7"};
  ask(h, "GET", true);
  assert_int_equal(t2_response_interim(h->request, 103, &link, 1), 0);
  assert_true(stub_has_field(&h->s.down, "link: </a>\n"));
  assert_int_equal(t2_response_interim(h->request, 101, NULL, 0), T2_ERR_INVALID);
  assert_int_equal(t2_response_interim(h->request, 200, NULL, 0), T2_ERR_INVALID);
  assert_int_equal(t2_response_interim(h->request, 99, NULL, 0), T2_ERR_INVALID);
  start_200(h);
  assert_int_equal(t2_response_interim(h->request, 103, &link, 1), T2_ERR_STATE);
  assert_int_equal(t2_response_write(h->request, "hi", 2), 2);
  assert_int_equal(t2_response_end(h->request, &sum, 1), 0);
  expect_both(h, "GET /a;end;close OK;", "head 103;head 200;data 2;end x-sum=7;closed OK;");
}

static void test_who_waits_to_send_content_is_told_to(void **state) {
  handled *h = *state;
  t2_head head = test_request("POST", "/a");
  t2_fields_add(&head.fields, T2_STR("expect"), T2_STR("100-continue"));
  assert_true(ask_with(h, &head, false, 0));
  t2_fields_fini(&head.fields);
  expect_both(h, "POST /a;", "head 100;");
}

static void test_fields_of_one_hop_are_not_the_handlers(void **state) {
  handled *h = *state;
  const t2_http_field fields[] = {{"Connection", "close"},
                                  {"Transfer-Encoding", "chunked"},
                                  {"Keep-Alive", "timeout=5"},
                                  {"Upgrade", "h2c"},
                                  {"TE", "trailers"},
                                  {"Proxy-Connection", "close"},
                                  {"X-Mine", "  with spaces\t"},
                                  {"Content-Length", "5"}};
  ask(h, "GET", true);
  assert_int_equal(t2_response_start(h->request, 200, fields, T2_COUNT_OF(fields), -1), 0);
  assert_string_equal(t2_buf_cstr(&h->s.down.fields), "x-mine: with spaces\n");
  assert_int_equal(h->s.down.length, 5);
  assert_int_equal(t2_response_write(h->request, "hello", 5), 5);
  assert_int_equal(t2_response_end(h->request, NULL, 0), 0);
}

static void expect_empty(void **state, const char *method, int status, int64_t length) {
  handled *h = *state;
  ask(h, method, true);
  assert_int_equal(t2_response_start(h->request, status, NULL, 0, 5), 0);
  assert_int_equal(t2_response_write(h->request, "hello, and more", 15), 15);
  assert_int_equal(t2_response_end(h->request, NULL, 0), 0);
  turn(h);
  assert_int_equal(h->s.down.length, length);
  assert_true(h->s.down.closed && h->err == 0 && t2_buf_len(&h->s.down.body) == 0);
  again(&h->s);
}

static void test_answers_that_have_no_content(void **state) {
  expect_empty(state, "HEAD", 200, 5);
  expect_empty(state, "GET", 304, 5);
  expect_empty(state, "GET", 204, -1);
  handled *h = *state;
  ask(h, "HEAD", true);
  assert_int_equal(t2_response_send(h->request, 200, NULL, NULL, 0, big, sizeof(big)), 0);
  turn(h);
  assert_int_equal(h->s.down.length, sizeof(big));
  assert_int_equal(t2_buf_len(&h->s.down.body), 0);
}

static void test_content_that_is_not_as_long_as_was_said(void **state) {
  handled *h = *state;
  ask(h, "GET", true);
  assert_int_equal(t2_response_start(h->request, 200, NULL, 0, 5), 0);
  assert_int_equal(t2_response_write(h->request, "hello!", 6), T2_ERR_INVALID);
  assert_int_equal(t2_response_write(h->request, "hell", 4), 4);
  assert_int_equal(t2_response_write(h->request, "o!", 2), T2_ERR_INVALID);
  assert_int_equal(t2_response_end(h->request, NULL, 0), T2_ERR_INVALID);
  expect_both(h, "GET /a;end;close PROTOCOL;", "head 200;data 4;closed PROTOCOL;");
}

static void test_what_http_does_not_have_is_refused_and_can_be_said_right(void **state) {
  handled *h = *state;
  const t2_http_field bad[] = {{"a b", "1"},
                               {"", "1"},
                               {"a", "1\r\nb: 2"},
                               {"a", "\x01"},
                               {"a\xff", "1"},
                               {NULL, "1"},
                               {"a", NULL},
                               {"Content-Length", "-1"},
                               {"a:", "1"},
                               {"a\n", "1"},
                               {"Content-Length", "1, 1"},
                               {"Content-Length", ""}};
  const t2_http_field six = {"content-length", "6"};
  ask(h, "GET", true);
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_response_start(h->request, 200, &bad[i], 1, -1), T2_ERR_INVALID);
  assert_int_equal(t2_response_start(h->request, 200, &six, 1, 5), T2_ERR_INVALID);
  const int statuses[] = {-1, 0, 99, 100, 101, 199, 600, 1000};
  for (size_t i = 0; i < T2_COUNT_OF(statuses); i++)
    assert_int_equal(t2_response_start(h->request, statuses[i], NULL, 0, -1), T2_ERR_INVALID);
  assert_int_equal(t2_response_send(h->request, 200, "text\n", NULL, 0, "hi", 2), T2_ERR_INVALID);
  expect_both(h, "GET /a;end;", "");
  start_200(h);
  assert_int_equal(t2_response_end(h->request, &bad[2], 1), T2_ERR_INVALID);
  assert_int_equal(t2_response_end(h->request, NULL, 0), 0);
  expect_both(h, "GET /a;end;close OK;", "head 200;end;closed OK;");
}

static void test_calls_out_of_order(void **state) {
  handled *h = *state;
  ask(h, "GET", false);
  assert_int_equal(t2_response_write(h->request, "x", 1), T2_ERR_STATE);
  assert_int_equal(t2_response_end(h->request, NULL, 0), T2_ERR_STATE);
  assert_int_equal(t2_response_room(h->request), 0);
  start_200(h);
  assert_int_equal(t2_response_start(h->request, 200, NULL, 0, -1), T2_ERR_STATE);
  assert_int_equal(t2_response_send(h->request, 200, NULL, NULL, 0, "x", 1), T2_ERR_STATE);
}

/* ---- When it goes wrong ---- */

static void test_answer_that_cannot_be_passed_on_is_none(void **state) {
  handled *h = *state;
  h->s.down.end_err = T2_ERR_NOMEM;
  ask(h, "GET", true);
  send_hi(h);
  expect_both(h, "GET /a;end;close NOMEM;", "head 200;data 2;end;closed NOMEM;");
  again(&h->s);
  h->s.down.head_err = T2_ERR_NOMEM;
  ask(h, "HEAD", true);
  send_hi(h);
  turn(h);
  assert_int_equal(h->err, T2_ERR_NOMEM);
}

static void test_giving_up_before_the_head_is_a_problem(void **state) {
  handled *h = *state;
  ask(h, "GET", true);
  t2_response_abort(h->request, T2_ERR_UNAVAILABLE);
  t2_response_abort(h->request, T2_ERR_INVALID); /* it is over */
  expect_both(h, "GET /a;end;close UNAVAILABLE;", stub_log(&h->s.down));
  assert_true(h->s.down.status >= 502 && h->s.down.err == 0);
}

static void test_giving_up_after_the_head_is_seen(void **state) {
  handled *h = *state;
  ask(h, "GET", true);
  start_200(h);
  t2_response_abort(h->request, 0);
  expect_both(h, "GET /a;end;close CANCELLED;", "head 200;closed CANCELLED;");
}

static void test_asker_that_is_gone(void **state) {
  handled *h = *state;
  ask(h, "POST", false);
  start_200(h);
  stub_fail(&h->s.down, T2_ERR_CLOSED, T2_AT_ROUTE);
  assert_int_equal(t2_response_write(h->request, "x", 1), T2_ERR_CLOSED);
  assert_int_equal(t2_response_end(h->request, NULL, 0), T2_ERR_CLOSED);
  assert_int_equal(t2_response_room(h->request), 0);
  t2_request_consume(h->request, 1);
  expect_both(h, "POST /a;close CLOSED;", "head 200;");
}

static void go(handled *h) {
  if (h->s.down.leg.exchange) stub_fail(&h->s.down, T2_ERR_CANCELLED, T2_AT_ROUTE);
}

static void test_asker_that_goes_during_a_callback(void **state) {
  handled *h = *state;
  h->on_request = go;
  ask(h, "GET", true);
  turn(h);
  assert_string_equal(t2_buf_cstr(&h->log), "GET /a;close CANCELLED;");
  again(&h->s);
  h->on_request = NULL;
  h->on_data = go;
  ask(h, "POST", false);
  stub_give(&h->s.down, "x");
  turn(h);
  again(&h->s);
  h->on_end = go;
  ask(h, "GET", true);
  turn(h);
  assert_int_equal(h->err, T2_ERR_CANCELLED);
}

static void test_handler_that_never_answers(void **state) {
  handled *h = *state;
  t2_head head = test_request("GET", "/a");
  assert_true(ask_with(h, &head, true, 20));
  RUN_UNTIL(&h->s.tl, !h->request);
  assert_int_equal(h->err, T2_ERR_TIMEOUT);
  assert_int_equal(h->s.down.status, 504);
}

/* ---- Tunnels ---- */

static bool ask_upgrade(handled *h) {
  t2_head head = test_request("GET", "/a");
  head.protocol = T2_STR("chat/1");
  return ask_with(h, &head, false, 0);
}

static void test_upgrade_that_is_accepted(void **state) {
  handled *h = *state;
  assert_true(ask_upgrade(h));
  assert_string_equal(t2_request_protocol(h->request), "chat/1");
  assert_int_equal(t2_response_start(h->request, 101, NULL, 0, -1), 0);
  assert_int_equal(t2_response_write(h->request, "hi", 2), 2);
  stub_give(&h->s.down, "hello");
  stub_end(&h->s.down);
  assert_int_equal(t2_response_write(h->request, "after it", 8), 8);
  assert_int_equal(t2_response_end(h->request, NULL, 0), 0);
  expect_both(h, "GET /a;data 5;end;close OK;", "head 101;data 2;data 8;end;closed OK;");
}

static void test_tunnel_that_this_side_ends_first(void **state) {
  handled *h = *state;
  assert_true(ask_upgrade(h));
  assert_int_equal(t2_response_start(h->request, 101, NULL, 0, -1), 0);
  assert_int_equal(t2_response_end(h->request, NULL, 0), 0);
  stub_give(&h->s.down, "still");
  stub_end(&h->s.down);
  expect_both(h, "GET /a;data 5;end;close OK;", "head 101;end;closed OK;");
}

static void test_upgrade_that_is_refused(void **state) {
  handled *h = *state;
  assert_true(ask_upgrade(h));
  assert_int_equal(t2_response_send(h->request, 101, NULL, NULL, 0, "x", 1), T2_ERR_INVALID);
  send_hi(h);
  expect_both(h, "GET /a;close OK;", "head 200;data 2;end;closed OK;");
}

static void test_connection_of_a_tcp_session(void **state) {
  handled *h = *state;
  t2_head head = test_request("CONNECT", "");
  assert_true(ask_with(h, &head, false, 0));
  assert_int_equal(t2_response_start(h->request, 200, NULL, 0, -1), 0);
  stub_give(&h->s.down, "hello");
  assert_int_equal(t2_response_write(h->request, "hello", 5), 5);
  assert_int_equal(t2_response_end(h->request, NULL, 0), 0);
  stub_end(&h->s.down);
  expect_both(h, "CONNECT ;data 5;end;close OK;", "head 200;data 5;end;closed OK;");
}

/* ---- Memory ---- */

static void answer_in_parts(handled *h) {
  const t2_http_field field = {"X-Mine", "1"};
  int err = t2_response_start(h->request, 200, &field, 1, -1);
  if (err == 0) err = t2_response_write(h->request, "hi", 2) < 0 ? T2_ERR_NOMEM : 0;
  if (err == 0) err = t2_response_end(h->request, &field, 1);
  if (err) t2_response_abort(h->request, err);
}

static void answer_big(handled *h) {
  int err = t2_response_send(h->request, 200, "text/plain", NULL, 0, big, sizeof(big));
  if (err) t2_response_abort(h->request, err);
}

static void ask_and_answer(t2_test_mem *mem, void *user) {
  t2_head head = test_request("POST", "/a");
  t2_fields trailers;
  handled h;
  if (!handled_open(&h, &mem->hook)) return;
  h.on_end = (void (*)(handled *))(uintptr_t)user;
  t2_fields_init(&trailers, NULL);
  t2_fields_add(&trailers, T2_STR("x"), T2_STR("1"));
  if (ask_with(&h, &head, false, 0)) {
    stub_give(&h.s.down, "hello");
    t2_exchange_end(&h.s.down.leg, &trailers);
    RUN_UNTIL(&h.s.tl, h.s.down.closed && !h.request);
    if (h.s.down.status == 200 && h.s.down.err == 0) assert_true(stub_said(&h.s.down, "end"));
    if (!mem->failed) assert_int_equal(h.err, 0);
  }
  t2_fields_fini(&trailers);
  handled_close(&h);
}

static void answer_small_where_big_fails(handled *h) {
  int err = t2_response_send(h->request, 200, NULL, NULL, 0, big, sizeof(big));
  if (err == T2_ERR_NOMEM) err = t2_response_send(h->request, 500, NULL, NULL, 0, big, T2_LEG_WINDOW + 1);
  if (err) t2_response_abort(h->request, err);
}

static void test_each_allocation_may_fail(void **state) {
  t2_test_mem_fail_each(ask_and_answer, (void *)(uintptr_t)answer_small_where_big_fails);
  t2_test_mem_fail_each(ask_and_answer, (void *)(uintptr_t)answer_in_parts);
  t2_test_mem_fail_each(ask_and_answer, (void *)(uintptr_t)answer_big);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      handler_test(test_request_is_known_by_its_parts),
      handler_test(test_content_and_trailers),
      handler_test(test_content_is_consumed_later),
      handler_test(test_answer_at_once),
      handler_test(test_answer_later),
      handler_test(test_answer_before_the_request_is_whole_is_an_answer),
      handler_test(test_nothing_is_told_from_inside_of_a_call),
      handler_test(test_writer_is_stopped_by_a_reader_that_stops),
      handler_test(test_large_answer_in_one_call_goes_as_it_is_read),
      handler_test(test_interim_answers_and_trailers),
      handler_test(test_who_waits_to_send_content_is_told_to),
      handler_test(test_fields_of_one_hop_are_not_the_handlers),
      handler_test(test_answers_that_have_no_content),
      handler_test(test_content_that_is_not_as_long_as_was_said),
      handler_test(test_what_http_does_not_have_is_refused_and_can_be_said_right),
      handler_test(test_calls_out_of_order),
      handler_test(test_answer_that_cannot_be_passed_on_is_none),
      handler_test(test_giving_up_before_the_head_is_a_problem),
      handler_test(test_giving_up_after_the_head_is_seen),
      handler_test(test_asker_that_is_gone),
      handler_test(test_asker_that_goes_during_a_callback),
      handler_test(test_handler_that_never_answers),
      handler_test(test_upgrade_that_is_accepted),
      handler_test(test_tunnel_that_this_side_ends_first),
      handler_test(test_upgrade_that_is_refused),
      handler_test(test_connection_of_a_tcp_session),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
