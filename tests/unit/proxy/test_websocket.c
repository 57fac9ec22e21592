#include "handler_setting.h"

#include <http/ws.h>
#include <tunnel2/websocket.h>

/* ---- A WebSocket that writes down what it is told, in the log of the handler ---- */

typedef struct socketed {
  t2_websocket *ws;
  t2_websocket_options options;
  void (*on_message)(handled *h, t2_websocket *ws);
  unsigned code;
} socketed;

static socketed sock;

static void on_message(t2_websocket *ws, bool text, const uint8_t *bytes, size_t n, void *user) {
  handled *h = user;
  assert_ptr_equal(sock.ws, ws);
  t2_buf_printf(&h->log, "%s %zu;", text ? "text" : "binary", n);
  if (sock.on_message) sock.on_message(h, ws);
}

static void on_pong(t2_websocket *ws, const uint8_t *bytes, size_t n, void *user) {
  t2_buf_printf(&((handled *)user)->log, "pong %zu;", n);
}

static void on_writable(t2_websocket *ws, void *user) {
  t2_buf_append_c(&((handled *)user)->log, "writable;");
}

static void on_close(t2_websocket *ws, unsigned code, const char *reason, void *user) {
  handled *h = user;
  t2_buf_printf(&h->log, "close %u %s;", code, reason);
  sock.ws = NULL;
  sock.code = code;
  h->request = NULL;
}

static void accept_it(handled *h) {
  int err = t2_websocket_accept(&sock.ws, h->request, &sock.options, h);
  if (err) t2_response_abort(h->request, err);
}

static bool ask_websocket(handled *h, const char *protocols) {
  t2_head head = test_request("GET", "/ws");
  head.protocol = T2_STR("WebSocket");
  t2_fields_add(&head.fields, T2_STR("sec-websocket-version"), T2_STR("13"));
  if (protocols) t2_fields_add(&head.fields, T2_STR("sec-websocket-protocol"), t2_str_c(protocols));
  bool asked = ask_with(h, &head, false, 0);
  t2_fields_fini(&head.fields);
  return asked;
}

static void set_options(void) {
  memset(&sock, 0, sizeof(sock));
  t2_websocket_options_init(&sock.options);
  sock.options.on_message = on_message;
  sock.options.on_pong = on_pong;
  sock.options.on_writable = on_writable;
  sock.options.on_close = on_close;
  sock.options.message_max = 1000;
  sock.options.queue_max = 10000;
  sock.options.close_timeout_ms = 30;
}

static handled *open_socket(void **state) {
  handled *h = *state;
  set_options();
  h->on_request = accept_it;
  assert_true(ask_websocket(h, NULL));
  assert_non_null(sock.ws);
  return h;
}

/* A client's frame, with a mask of zeros. */
static void give_frame(handled *h, uint8_t first, const void *content, size_t n) {
  uint8_t frame[2048], head[T2_WS_HEAD_MAX];
  size_t at = t2_ws_head(head, T2_WS_OP_TEXT, true, n);
  memcpy(frame, head, at);
  frame[0] = first;
  frame[1] |= 0x80;
  memset(frame + at, 0, 4);
  if (n) memcpy(frame + at + 4, content, n);
  t2_exchange_data(&h->s.down.leg, frame, at + 4 + n);
}

static void give_text(handled *h, const char *text) {
  give_frame(h, 0x81, text, strlen(text));
}

static void expect_log(handled *h, const char *log) {
  assert_string_equal(t2_buf_cstr(&h->log), log);
}

static void expect_body(handled *h, const char *bytes, size_t n) {
  assert_int_equal(t2_buf_len(&h->s.down.body), n);
  assert_memory_equal(t2_buf_head(&h->s.down.body), bytes, n);
}

/* ---- The handshake ---- */

static void test_first_protocol_of_ours_that_is_offered(void **state) {
  static const char *const ours[] = {"v3", "v2", "v1"};
  handled *h = *state;
  set_options();
  sock.options.protocols = ours;
  sock.options.protocol_count = 3;
  h->on_request = accept_it;
  assert_true(ask_websocket(h, "v1, V3, v2"));
  assert_true(stub_has_field(&h->s.down, "sec-websocket-protocol: v2\n"));
  assert_string_equal(t2_websocket_protocol(sock.ws), "v2");
  stub_fail(&h->s.down, T2_ERR_CLOSED, T2_AT_ROUTE);
  RUN_UNTIL(&h->s.tl, !sock.ws);
  again(&h->s);
  assert_true(ask_websocket(h, "v4"));
  assert_null(t2_websocket_protocol(sock.ws));
  assert_int_equal(h->s.down.status, 101);
}

static void test_request_that_is_none_stays_the_handlers(void **state) {
  handled *h = *state;
  t2_websocket *ws;
  ask(h, "GET", true);
  assert_false(t2_websocket_asked(h->request));
  assert_int_equal(t2_websocket_accept(&ws, h->request, NULL, NULL), T2_ERR_UNSUPPORTED);
  assert_null(ws);
  assert_int_equal(t2_response_send(h->request, 426, NULL, NULL, 0, "", 0), 0);
  expect_both(h, "GET /a;end;close OK;", "head 426.closed OK;");
}

static void accept_badly(handled *h) {
  const t2_http_field bad = {"a b", "1"};
  sock.options.fields = &bad;
  sock.options.field_count = 1;
  assert_int_equal(t2_websocket_accept(&sock.ws, h->request, &sock.options, h), T2_ERR_INVALID);
  sock.options.field_count = 0;
  assert_int_equal(t2_response_start(h->request, 101, NULL, 0, -1), 0);
  assert_int_equal(t2_websocket_accept(&sock.ws, h->request, &sock.options, h), T2_ERR_STATE);
}

static void test_accept_that_fails_leaves_the_request_to_the_handler(void **state) {
  handled *h = *state;
  set_options();
  h->on_request = accept_badly;
  assert_true(ask_websocket(h, NULL));
  stub_give(&h->s.down, "x");
  expect_both(h, "GET /ws;data 1;", "head 101;");
}

/* ---- Messages ---- */

static void echo_hi(handled *h, t2_websocket *ws) {
  assert_int_equal(t2_websocket_send(ws, true, "hi", 2), 0);
}

static void test_messages_both_ways(void **state) {
  handled *h = open_socket(state);
  sock.on_message = echo_hi;
  give_text(h, "hello");
  give_frame(h, 0x02, "ab", 2);
  give_frame(h, 0x89, "?", 1);
  give_frame(h, 0x80, "c", 1);
  give_frame(h, 0x8a, "", 0);
  expect_log(h, "GET /ws;text 5;binary 3;pong 0;");
  expect_body(h, "\x81\x02hi\x8a\x01?\x81\x02hi", 11);
  assert_int_equal(h->s.down.consumed, 11 + 8 + 7 + 7 + 6);
  assert_int_equal(t2_websocket_send(sock.ws, true, "\xff", 1), T2_ERR_INVALID);
  assert_int_equal(t2_websocket_ping(sock.ws, h, 126), T2_ERR_INVALID);
  assert_int_equal(t2_websocket_ping(sock.ws, NULL, 0), 0);
}

static void test_what_waits_has_a_bound(void **state) {
  static char bytes[T2_LEG_WINDOW + 1000];
  handled *h = open_socket(state);
  h->s.down.hold = true;
  assert_int_equal(t2_websocket_send(sock.ws, false, bytes, sizeof(bytes)), 0);
  assert_int_equal(t2_websocket_waiting(sock.ws), 1000 + 10); /* its head is among it */
  assert_int_equal(t2_websocket_send(sock.ws, false, bytes, 10000), T2_ERR_AGAIN);
  assert_int_equal(t2_websocket_send(sock.ws, false, bytes, 8000), 0);
  assert_int_equal(t2_websocket_send(sock.ws, false, bytes, 1000), T2_ERR_AGAIN);
  turn(h);
  expect_log(h, "GET /ws;");
  stub_consume(&h->s.down, 100);
  turn(h);
  expect_log(h, "GET /ws;");
  stub_consume(&h->s.down, 20000);
  turn(h);
  expect_log(h, "GET /ws;writable;");
  assert_int_equal(t2_websocket_waiting(sock.ws), 0);
  assert_int_equal(t2_buf_len(&h->s.down.body), sizeof(bytes) + 10 + 8000 + 4);
}

static void test_pings_while_nothing_is_read_are_answered_by_one_pong(void **state) {
  static char bytes[T2_LEG_WINDOW];
  handled *h = open_socket(state);
  h->s.down.hold = true;
  assert_int_equal(t2_websocket_send(sock.ws, false, bytes, sizeof(bytes)), 0);
  size_t waiting = t2_websocket_waiting(sock.ws);
  for (int i = 0; i < 100; i++)
    give_frame(h, 0x89, "first", 5);
  give_frame(h, 0x89, "last", 4);
  assert_int_equal(t2_websocket_waiting(sock.ws), waiting);
  stub_consume(&h->s.down, T2_LEG_WINDOW);
  turn(h);
  size_t n = t2_buf_len(&h->s.down.body);
  assert_int_equal(n, sizeof(bytes) + 10 + 6);
  assert_memory_equal(t2_buf_head(&h->s.down.body) + n - 6, "\x8a\x04last", 6);
}

/* ---- Pausing ---- */

static void pause_it(handled *h, t2_websocket *ws) {
  t2_websocket_pause(ws, true);
}

static void test_paused_socket_reads_nothing_until_it_goes_on(void **state) {
  handled *h = open_socket(state);
  sock.on_message = pause_it;
  give_text(h, "a");
  give_text(h, "bb");
  give_text(h, "ccc");
  give_frame(h, 0x88, "\x03\xe8", 2);
  stub_end(&h->s.down);
  turn(h);
  expect_log(h, "GET /ws;text 1;");
  assert_int_equal(h->s.down.consumed, 7);
  t2_websocket_pause(sock.ws, false);
  expect_log(h, "GET /ws;text 1;");
  turn(h);
  expect_log(h, "GET /ws;text 1;text 2;");
  assert_int_equal(h->s.down.consumed, 7 + 8);
  sock.on_message = NULL;
  t2_websocket_pause(sock.ws, false);
  expect_both(h, "GET /ws;text 1;text 2;text 3;close 1000 ;", "head 101;data 4;end;closed OK;");
}

static void test_closing_goes_on_reading(void **state) {
  handled *h = open_socket(state);
  sock.on_message = pause_it;
  give_text(h, "a");
  give_text(h, "dropped");
  give_frame(h, 0x88, "\x0f\xa0", 2);
  assert_int_equal(t2_websocket_close(sock.ws, 4000, "bye"), 0);
  assert_int_equal(t2_websocket_close(sock.ws, 4000, "bye"), T2_ERR_CLOSED);
  assert_int_equal(t2_websocket_send(sock.ws, true, "x", 1), T2_ERR_CLOSED);
  turn(h);
  stub_end(&h->s.down);
  expect_both(h, "GET /ws;text 1;close 4000 ;", "head 101;data 7;end;closed OK;");
}

static void test_pause_and_the_asker_gone(void **state) {
  handled *h = open_socket(state);
  sock.on_message = pause_it;
  give_text(h, "a");
  give_text(h, "b");
  t2_websocket_pause(sock.ws, false);
  stub_fail(&h->s.down, T2_ERR_CLOSED, T2_AT_ROUTE);
  turn(h);
  turn(h);
  assert_null(sock.ws);
  assert_int_equal(sock.code, 1006);
}

/* ---- The end ---- */

static void test_close_by_the_peer(void **state) {
  handled *h = open_socket(state);
  give_frame(h, 0x88,
             "\x0f\xa0"
             "bye",
             5);
  give_text(h, "after it");
  expect_body(h, "\x88\x02\x0f\xa0", 4);
  turn(h);
  assert_non_null(sock.ws); /* until the peer's side ends */
  stub_end(&h->s.down);
  expect_both(h, "GET /ws;close 4000 bye;", "head 101;data 4;end;closed OK;");
}

static void test_peer_that_does_not_end_after_its_close_is_cut(void **state) {
  handled *h = open_socket(state);
  give_frame(h, 0x88, "", 0);
  RUN_UNTIL(&h->s.tl, !sock.ws);
  assert_int_equal(sock.code, 1005);
  expect_body(h, "\x88\x00", 2);
  assert_true(h->s.down.closed);
}

static void test_close_that_is_not_answered_is_cut(void **state) {
  handled *h = open_socket(state);
  assert_int_equal(t2_websocket_close(sock.ws, 1006, NULL), T2_ERR_INVALID);
  assert_int_equal(t2_websocket_close(sock.ws, 0, NULL), 0);
  expect_body(h, "\x88\x00", 2);
  RUN_UNTIL(&h->s.tl, !sock.ws);
  assert_int_equal(sock.code, 1006);
  assert_int_equal(h->s.down.err, T2_ERR_TIMEOUT);
}

static void test_close_waits_for_what_was_sent(void **state) {
  static char bytes[T2_LEG_WINDOW];
  handled *h = open_socket(state);
  h->s.down.hold = true;
  assert_int_equal(t2_websocket_send(sock.ws, false, bytes, sizeof(bytes)), 0);
  give_frame(h, 0x88, "\x03\xe8", 2);
  stub_end(&h->s.down);
  turn(h);
  assert_false(stub_said(&h->s.down, "end"));
  stub_consume(&h->s.down, 1000);
  turn(h);
  turn(h);
  size_t n = t2_buf_len(&h->s.down.body);
  assert_memory_equal(t2_buf_head(&h->s.down.body) + n - 4, "\x88\x02\x03\xe8", 4);
  assert_int_equal(sock.code, 1000);
}

static void test_end_without_a_close(void **state) {
  handled *h = open_socket(state);
  stub_end(&h->s.down);
  expect_both(h, "GET /ws;close 1006 it ended without a close;", "head 101;end;closed OK;");
}

static void test_failures_are_told_to_both(void **state) {
  handled *h = open_socket(state);
  give_text(h, "\xff");
  give_text(h, "x");
  stub_end(&h->s.down);
  expect_both(h, "GET /ws;close 1007 a text is not UTF-8;", "head 101;data 23;end;closed OK;");
  expect_body(h,
              "\x88\x15\x03\xef"
              "a text is not UTF-8",
              23);
}

static void cut(handled *h, t2_websocket *ws) {
  t2_response_abort(t2_websocket_request(ws), T2_ERR_CANCELLED);
  assert_int_equal(t2_websocket_send(ws, true, "x", 1), T2_ERR_CLOSED);
  assert_int_equal(t2_websocket_close(ws, 1000, NULL), T2_ERR_CLOSED);
}

static void test_cut_from_inside_of_a_callback(void **state) {
  handled *h = open_socket(state);
  sock.on_message = cut;
  give_frame(h, 0x81, "x\x81\x80mask", 1); /* and nothing after it is read */
  expect_both(h, "GET /ws;text 1;close 1006 cancelled;", "head 101;closed CANCELLED;");
}

static void hang_up(handled *h, t2_websocket *ws) {
  stub_fail(&h->s.down, T2_ERR_CLOSED, T2_AT_ROUTE);
  assert_int_equal(t2_websocket_send(ws, true, "x", 1), T2_ERR_CLOSED);
  t2_websocket_pause(ws, true);
  t2_websocket_pause(ws, false);
}

static void test_asker_that_goes_during_a_callback(void **state) {
  handled *h = open_socket(state);
  sock.on_message = hang_up;
  give_frame(h, 0x81, "x", 1);
  assert_non_null(sock.ws);
  expect_both(h, "GET /ws;text 1;close 1006 closed by the peer;", stub_log(&h->s.down));
}

/* ---- Memory ---- */

static void converse(t2_test_mem *mem, void *user) {
  static char bytes[T2_LEG_WINDOW];
  static const char *const ours[] = {"v1"};
  handled h;
  if (!handled_open(&h, &mem->hook)) return;
  set_options();
  sock.options.protocols = ours;
  sock.options.protocol_count = 1;
  h.on_request = accept_it;
  if (ask_websocket(&h, "v1") && sock.ws) {
    h.s.down.hold = true;
    int err = t2_websocket_send(sock.ws, false, bytes, sizeof(bytes));
    if (err) assert_int_equal(err, T2_ERR_NOMEM);
    if (err) assert_int_equal(t2_buf_len(&h.s.down.body), 0); /* whole or not at all */
    sock.on_message = pause_it;
    give_text(&h, "hello");
    if (h.s.down.leg.exchange) give_text(&h, "hello");
    t2_websocket_pause(sock.ws, false);
    turn(&h);
    if (h.s.down.leg.exchange) stub_consume(&h.s.down, h.s.down.held);
    turn(&h);
    if (sock.ws) (void)t2_websocket_close(sock.ws, 1000, "bye");
  }
  handled_close(&h);
  assert_null(sock.ws);
}

static void test_each_allocation_may_fail(void **state) {
  t2_test_mem_fail_each(converse, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      handler_test(test_first_protocol_of_ours_that_is_offered),
      handler_test(test_request_that_is_none_stays_the_handlers),
      handler_test(test_accept_that_fails_leaves_the_request_to_the_handler),
      handler_test(test_messages_both_ways),
      handler_test(test_what_waits_has_a_bound),
      handler_test(test_pings_while_nothing_is_read_are_answered_by_one_pong),
      handler_test(test_paused_socket_reads_nothing_until_it_goes_on),
      handler_test(test_closing_goes_on_reading),
      handler_test(test_pause_and_the_asker_gone),
      handler_test(test_close_by_the_peer),
      handler_test(test_peer_that_does_not_end_after_its_close_is_cut),
      handler_test(test_close_that_is_not_answered_is_cut),
      handler_test(test_close_waits_for_what_was_sent),
      handler_test(test_end_without_a_close),
      handler_test(test_failures_are_told_to_both),
      handler_test(test_cut_from_inside_of_a_callback),
      handler_test(test_asker_that_goes_during_a_callback),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
