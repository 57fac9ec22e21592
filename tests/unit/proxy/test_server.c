#include "server_setting.h"

/* ---- Requests ---- */

static stub ups[4];

static void connect_up(setting *s, const t2_server_request *request) {
  stub *u = &ups[s->requests - 1];
  stub_init(u);
  assert_true((request->h1 != NULL) != (request->h2 != NULL));
  assert_non_null(request->transport);
  t2_exchange_connect(request->exchange, &u->leg, request->head, request->end, NULL, 0);
}

static void open_up(setting *s) {
  s->on_request = connect_up;
  assert_int_equal(open_server(s), 0);
}

static stub *up(setting *s, size_t i) {
  RUN_UNTIL(&s->tl, s->requests > i);
  return &ups[i];
}

static int tear_down_ups(void **state) {
  setting *s = *state;
  size_t n = s->requests;
  int err = tear_down(state);
  for (size_t i = 0; i < n && i < T2_COUNT_OF(ups); i++)
    stub_fini(&ups[i]);
  return err;
}

static void test_requests_of_all_connections_come_to_one_callback(void **state) {
  setting *s = *state;
  raw other;
  open_up(s);
  assert_int_equal(strncmp(t2_server_address(s->server), "127.0.0.1:", 10), 0);
  send_first(s, GET);
  raw_connect(&other, &s->tl, s->port);
  raw_send(&other, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  up(s, 1);
  assert_int_equal(t2_server_connections(s->server), 2);
  stub_answer(&ups[0], 200, 0, true);
  stub_answer(&ups[1], 200, 0, true);
  RUN_UNTIL(&s->tl, raw_got(&s->peer, " 200 ") && raw_got(&other, " 200 "));
  raw_fini(&other, &s->tl);
  RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 1);
}

static void test_what_cannot_be_listened_on_is_said(void **state) {
  setting *s = *state;
  char detail[128] = "", address[64];
  t2_server *second;
  open_up(s);
  snprintf(address, sizeof(address), "%s", t2_server_address(s->server));
  s->options.listener.address = address;
  assert_int_equal(
      t2_server_new(&second, &s->proxy, &s->options, on_server_request, s, detail, sizeof(detail)),
      T2_ERR_CONFLICT);
  assert_null(second);
  assert_non_null(strstr(detail, address));
}

/* ---- By HTTP/2 ---- */

typedef struct h2_client {
  t2_dial *dial;
  t2_h2_conn *h2;
  stub down;
  bool going, closed, ready;
  setting *s;
} h2_client;

static void on_client_going(t2_h2_conn *h2, void *user) {
  (void)h2;
  ((h2_client *)user)->going = true;
}

static void on_client_capacity(t2_h2_conn *h2, void *user) {
  (void)h2;
  ((h2_client *)user)->ready = true;
}

static void on_client_close(t2_h2_conn *h2, int err, const char *detail, void *user) {
  (void)h2, (void)err, (void)detail;
  ((h2_client *)user)->closed = true;
}

static void on_client_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  static const t2_h2_conn_ops ops = {
      .on_going = on_client_going, .on_capacity = on_client_capacity, .on_close = on_client_close};
  h2_client *client = user;
  t2_h2_conn_options options;
  (void)dial, (void)detail;
  assert_int_equal(err, 0);
  assert_true(t2_str_eq(t2_conn_alpn(conn), T2_STR("h2")));
  t2_h2_conn_options_init(&options, false);
  assert_int_equal(t2_h2_conn_new(&client->h2, &client->s->proxy, conn, &options, &ops, client), 0);
}

static void ask(h2_client *client) {
  t2_head head = test_request("GET", "/h2");
  t2_exchange *exchange = t2_exchange_new(&client->s->proxy, &client->down.leg, &head);
  t2_exchange_connect(exchange, t2_h2_conn_leg(client->h2), &head, true, NULL, 0);
}

static void test_alpn_decides_for_http2(void **state) {
  static const char *const alpn[] = {"h2", "http/1.1", NULL};
  setting *s = *state;
  h2_client client = {.s = s};
  t2_tls *tls = test_client_tls(s->tl.loop, alpn);
  stub_init(&client.down);
  s->options.listener.tls = test_server_tls(s->tl.loop, alpn);
  open_up(s);
  t2_dial_options dial = {
      .host = T2_STR("127.0.0.1"), .port = s->port, .tls = tls, .server_name = T2_STR(NAME)};
  assert_int_equal(t2_dial_start(&client.dial, s->tl.loop, &dial, on_client_dialled, &client), 0);
  RUN_UNTIL(&s->tl, client.ready);
  ask(&client);
  stub *u = up(s, 0);
  assert_string_equal(stub_log(u), "head GET /h2.");
  t2_server_drain(s->server);
  RUN_UNTIL(&s->tl, client.going);
  assert_false(s->drained);
  stub_answer(u, 200, 0, true);
  RUN_UNTIL(&s->tl, client.closed && s->drained);
  assert_int_equal(client.down.status, 200);
  stub_fini(&client.down);
  t2_tls_unref(tls);
  t2_tls_unref(s->options.listener.tls);
}

/* In the clear its first bytes tell, however they are cut. */
static void test_prior_knowledge_decides_in_the_clear(void **state) {
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  setting *s = *state;
  open_up(s);
  for (size_t cut = 1; cut < 4; cut++) {
    raw_fini(&s->peer, &s->tl);
    raw_connect(&s->peer, &s->tl, s->port);
    raw_send_bytes(&s->peer, preface, cut * 6);
    run_ms(s, 3);
    raw_send(&s->peer, preface + cut * 6);
    raw_h2_frame(&s->peer, FRAME_SETTINGS, 0, 0, NULL, 0);
    raw_h2_request(&s->peer, 1, true);
    stub *u = up(s, cut - 1);
    assert_string_equal(stub_log(u), "head GET /.");
    stub_answer(u, 200, 0, true);
    RUN_UNTIL(&s->tl, raw_h2_count(&s->peer, FRAME_HEADERS, 0) == 1);
  }
  send_first(s, "P");
  run_ms(s, 3);
  raw_send(&s->peer, "OST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  assert_string_equal(stub_log(up(s, 3)), "head POST /a.");
  stub_answer(&ups[3], 200, 0, true);
  RUN_UNTIL(&s->tl, raw_got(&s->peer, " 200 "));
}

static void test_connection_that_says_nothing_is_closed(void **state) {
  setting *s = *state;
  s->options.h1.header_timeout_ms = 20;
  open_up(s);
  send_first(s, "P");
  RUN_UNTIL(&s->tl, raw_ended(&s->peer) && t2_server_connections(s->server) == 0);
  assert_int_equal(s->requests, 0);
}

/* ---- Draining ---- */

static void on_probe(uv_connect_t *connecting, int status) {
  *(int *)connecting->data = status ? status : 1;
}

static bool is_refused(setting *s) {
  struct sockaddr_in address;
  uv_connect_t connecting;
  uv_tcp_t tcp;
  int outcome = 0;
  uv_tcp_init(&s->tl.uv, &tcp);
  connecting.data = &outcome;
  uv_ip4_addr("127.0.0.1", s->port, &address);
  uv_tcp_connect(&connecting, &tcp, (struct sockaddr *)&address, on_probe);
  RUN_UNTIL(&s->tl, outcome);
  uv_close((uv_handle_t *)&tcp, NULL);
  RUN_UNTIL(&s->tl, !uv_is_active((uv_handle_t *)&tcp));
  test_loop_turn(&s->tl, test_deadline());
  return outcome == UV_ECONNREFUSED;
}

static void test_drain_ends_what_is_idle_and_waits_for_what_is_not(void **state) {
  setting *s = *state;
  raw idle;
  open_up(s);
  raw_connect(&idle, &s->tl, s->port);
  raw_send(&idle, GET);
  stub_answer(up(s, 0), 200, 0, true);
  RUN_UNTIL(&s->tl, raw_got(&idle, " 200 "));
  send_first(s, GET);
  stub *u = up(s, 1);
  t2_server_drain(s->server);
  assert_string_equal(t2_server_address(s->server), "");
  RUN_UNTIL(&s->tl, idle.eof);
  raw_fini(&idle, &s->tl);
  assert_true(is_refused(s));
  RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 1);
  assert_false(s->drained || raw_ended(&s->peer));
  t2_server_drain(s->server); /* once more changes nothing */
  stub_answer(u, 200, 0, true);
  RUN_UNTIL(&s->tl, s->peer.eof);
  raw_close(&s->peer);
  RUN_UNTIL(&s->tl, s->drained);
}

static void test_drain_without_connections_is_done_at_once(void **state) {
  setting *s = *state;
  open_up(s);
  t2_server_drain(s->server);
  assert_true(s->drained);
}

static void test_server_may_be_closed_when_it_is_drained(void **state) {
  setting *s = *state;
  open_up(s);
  s->close_when_drained = true;
  send_first(s, GET);
  stub *u = up(s, 0);
  t2_server_drain(s->server);
  stub_answer(u, 200, 0, true);
  RUN_UNTIL(&s->tl, s->peer.eof);
  raw_close(&s->peer);
  RUN_UNTIL(&s->tl, s->closed);
}

/* ---- Closing ---- */

static void test_close_fails_what_is_under_way(void **state) {
  setting *s = *state;
  open_up(s);
  send_first(s, GET);
  stub *u = up(s, 0);
  close_server(s);
  RUN_UNTIL(&s->tl, s->closed && raw_ended(&s->peer));
  assert_true(u->closed && u->err == T2_ERR_CANCELLED);
  assert_false(s->drained);
}

static void test_close_while_draining(void **state) {
  setting *s = *state;
  open_up(s);
  send_first(s, GET);
  up(s, 0);
  t2_server_drain(s->server);
  close_server(s);
  RUN_UNTIL(&s->tl, s->closed);
  assert_false(s->drained);
}

#define up_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_ups)

int main(void) {
  const struct CMUnitTest tests[] = {
      up_test(test_requests_of_all_connections_come_to_one_callback),
      up_test(test_what_cannot_be_listened_on_is_said),
      up_test(test_alpn_decides_for_http2),
      up_test(test_prior_knowledge_decides_in_the_clear),
      up_test(test_connection_that_says_nothing_is_closed),
      up_test(test_drain_ends_what_is_idle_and_waits_for_what_is_not),
      up_test(test_drain_without_connections_is_done_at_once),
      up_test(test_server_may_be_closed_when_it_is_drained),
      up_test(test_close_fails_what_is_under_way),
      up_test(test_close_while_draining),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
