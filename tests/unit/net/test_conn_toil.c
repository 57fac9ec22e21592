/* Connections whose handshakes wait for a turn of the loop with time for them. */
#include "fixture.h"

#include <tunnel2/error.h>

enum { MANY = 12 };

static test_loop tl;
static t2_listener *listener;
static t2_tls *server_tls, *client_tls;
static test_peer servers[MANY], clients[MANY];
static size_t accepted, dialled, failed;
static bool listener_closed;

static int open_loop(void **state) {
  (void)state;
  memset(servers, 0, sizeof(servers));
  memset(clients, 0, sizeof(clients));
  for (size_t i = 0; i < MANY; i++) {
    t2_buf_init(&servers[i].in, NULL);
    t2_buf_init(&clients[i].in, NULL);
  }
  accepted = dialled = failed = 0;
  listener_closed = false;
  if (!test_loop_open(&tl, NULL, NULL)) return -1;
  server_tls = test_server_tls(tl.loop, NULL);
  client_tls = test_client_tls(tl.loop, NULL);
  return 0;
}

static size_t open_peers(void) {
  size_t n = 0;
  for (size_t i = 0; i < MANY; i++)
    n += (servers[i].conn != NULL) + (clients[i].conn != NULL);
  return n;
}

static void on_listener_close(void *user) {
  (void)user;
  listener_closed = true;
}

static int close_all(void **state) {
  (void)state;
  t2_listener_close(listener, on_listener_close, NULL);
  for (size_t i = 0; i < MANY; i++) {
    if (servers[i].conn) t2_conn_close(servers[i].conn, 0);
    if (clients[i].conn) t2_conn_close(clients[i].conn, 0);
  }
  RUN_UNTIL(&tl, listener_closed && open_peers() == 0 && dialled + failed == MANY);
  for (size_t i = 0; i < MANY; i++) {
    t2_buf_fini(&servers[i].in);
    t2_buf_fini(&clients[i].in);
  }
  t2_tls_unref(server_tls);
  t2_tls_unref(client_tls);
  test_loop_close(&tl);
  return 0;
}

static void on_accept(t2_listener *l, t2_conn *conn, void *user) {
  (void)l, (void)user;
  test_peer *peer = &servers[accepted++];
  peer->conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops, peer);
}

static void on_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  (void)dial, (void)detail, (void)user;
  if (err) {
    failed++;
    return;
  }
  test_peer *peer = &clients[dialled++];
  peer->conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops, peer);
}

static void listen_and_dial(uint64_t timeout_ms) {
  t2_listener_options listen = {
      .address = "127.0.0.1:0", .tls = server_tls, .handshake_timeout_ms = timeout_ms};
  t2_dial_options options = {.host = T2_STR("127.0.0.1"), .server_name = T2_STR(NAME), .tls = client_tls};
  t2_dial *dial;
  assert_int_equal(t2_listener_new(&listener, tl.loop, &listen, on_accept, NULL, NULL, 0), 0);
  options.port = t2_listener_port(listener);
  for (int i = 0; i < MANY; i++)
    assert_int_equal(t2_dial_start(&dial, tl.loop, &options, on_dialled, NULL), 0);
}

/* The client says "ping", and is answered "pong": true when that has been once more. */
static bool ping(test_pair *pair) {
  if (test_peer_got(&pair->server, "ping")) {
    t2_buf_reset(&pair->server.in);
    test_peer_send(&pair->server, "pong");
  }
  if (!test_peer_got(&pair->client, "pong")) return false;
  t2_buf_reset(&pair->client.in);
  test_peer_send(&pair->client, "ping");
  return true;
}

static void test_of_many_handshakes_a_turn_does_few_and_traffic_goes_on(void **state) {
  (void)state;
  test_pair pair;
  unsigned pings = 0;
  test_pair_open(&pair, &tl, true);
  test_peer_send(&pair.client, "ping");
  RUN_UNTIL(&tl, ping(&pair));
  tl.loop->toils.budget_ns = 1; /* one piece, which passes it */
  listen_and_dial(0);
  uint64_t deadline = test_deadline();
  while (accepted < MANY || dialled < MANY) {
    size_t before = accepted + dialled;
    test_loop_turn(&tl, deadline);
    /* One within the reads, that is of the turn before, and one behind them. */
    assert_true(accepted + dialled - before <= 2);
    pings += ping(&pair);
  }
  /* Each end has two pieces at the least, and a round of pings is two turns. */
  assert_true(pings >= MANY);
  assert_false(t2_toils_waiting(&tl.loop->toils));
  test_pair_close(&pair);
}

static void test_who_waits_for_too_long_is_closed_and_costs_nothing(void **state) {
  (void)state;
  tl.loop->toils.budget_ns = 0;
  listen_and_dial(20);
  RUN_UNTIL(&tl, failed == MANY);
  assert_false(t2_toils_waiting(&tl.loop->toils));
  assert_int_equal(accepted, 0);
}

static void test_who_waits_goes_with_the_listener(void **state) {
  (void)state;
  tl.loop->toils.budget_ns = 0;
  listen_and_dial(0);
  RUN_UNTIL(&tl, t2_toils_waiting(&tl.loop->toils));
}

static void test_the_first_bytes_wait_too_and_the_end_behind_them(void **state) {
  (void)state;
  listen_and_dial(0);
  RUN_UNTIL(&tl, accepted == MANY && dialled == MANY);
  tl.loop->toils.budget_ns = 0;
  for (int i = 0; i < MANY; i++) {
    test_peer_send(&clients[i], "hello");
    t2_conn_finish(clients[i].conn, 1000);
  }
  RUN_UNTIL(&tl, t2_toils_waiting(&tl.loop->toils));
  uint64_t deadline = test_deadline();
  for (int i = 0; i < 20; i++)
    test_loop_turn(&tl, deadline);
  for (int i = 0; i < MANY; i++)
    assert_int_equal(t2_buf_len(&servers[i].in), 0);
  tl.loop->toils.budget_ns = T2_TOIL_TURN_NS;
  for (int i = 0; i < MANY; i++) {
    RUN_UNTIL(&tl, servers[i].eof);
    assert_true(test_peer_got(&servers[i], "hello"));
  }
}

static void test_who_is_finished_while_its_bytes_wait_ends_in_order(void **state) {
  (void)state;
  listen_and_dial(0);
  RUN_UNTIL(&tl, accepted == MANY && dialled == MANY);
  tl.loop->toils.budget_ns = 0;
  for (int i = 0; i < MANY; i++)
    test_peer_send(&clients[i], "hello");
  RUN_UNTIL(&tl, t2_toils_waiting(&tl.loop->toils));
  for (int i = 0; i < MANY; i++)
    t2_conn_finish(servers[i].conn, 5000);
  tl.loop->toils.budget_ns = T2_TOIL_TURN_NS;
  for (int i = 0; i < MANY; i++) {
    RUN_UNTIL(&tl, clients[i].eof);
    t2_conn_finish(clients[i].conn, 5000);
  }
  RUN_UNTIL(&tl, open_peers() == 0);
  for (int i = 0; i < MANY; i++)
    assert_int_equal(servers[i].err, 0);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_all)

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(test_of_many_handshakes_a_turn_does_few_and_traffic_goes_on),
      ON_LOOP(test_who_waits_for_too_long_is_closed_and_costs_nothing),
      ON_LOOP(test_who_waits_goes_with_the_listener),
      ON_LOOP(test_the_first_bytes_wait_too_and_the_end_behind_them),
      ON_LOOP(test_who_is_finished_while_its_bytes_wait_ends_in_order),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
