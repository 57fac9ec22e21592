#include "fixture.h"

#include <net/conn_internal.h>

/* As the others of the connection: both in the clear and over TLS. The server does not read. */

static test_loop tl;
static test_pair pair;
static unsigned hangups, resets;

static void on_hangup(t2_conn *conn, bool reset, void *user) {
  (void)conn, (void)user;
  hangups++;
  resets += reset;
}

static t2_conn_ops watching;

static int open_pair(bool tls) {
  hangups = resets = 0;
  assert_true(test_loop_open(&tl, NULL, NULL));
  test_pair_open(&pair, &tl, tls);
  watching = test_peer_ops;
  watching.on_hangup = on_hangup;
  t2_conn_set_ops(pair.server.conn, &watching, &pair.server);
  return 0;
}

static int open_clear(void **state) {
  return open_pair(false);
}

static int open_tls(void **state) {
  return open_pair(true);
}

static int close_all(void **state) {
  test_pair_close(&pair);
  test_loop_close(&tl);
  return 0;
}

/* What comes next is not read, and shows that it is not. */
static void stop_and_send(void) {
  t2_conn_read_stop(pair.server.conn);
  test_peer_send(&pair.client, "not read");
  RUN_UNTIL(&tl, !pair.server.conn->uv_reading);
}

static void test_end_of_a_peer_that_is_not_read_is_told(void **state) {
  stop_and_send();
  t2_conn_shutdown(pair.client.conn);
  RUN_UNTIL(&tl, hangups > 1); /* and again */
  assert_int_equal(resets, 0);
  assert_false(pair.server.eof);
  t2_conn_read_start(pair.server.conn);
  RUN_UNTIL(&tl, pair.server.eof);
  assert_true(test_peer_got(&pair.server, "not read"));
}

static void test_reset_by_a_peer_that_is_not_read_is_told(void **state) {
  stop_and_send();
  t2_conn_reset(pair.client.conn, 0);
  RUN_UNTIL(&tl, resets > 0);
  assert_false(pair.server.closed);
}

static void test_peer_that_is_there_is_left_alone(void **state) {
  stop_and_send();
  uint64_t begun = t2_loop_now(tl.loop);
  RUN_UNTIL(&tl, t2_loop_now(tl.loop) - begun > 5 * T2_CONN_WATCH_MS / 2);
  assert_true(t2_timer_running(&pair.server.conn->timer));
  t2_conn_read_start(pair.server.conn);
  RUN_UNTIL(&tl, test_peer_got(&pair.server, "not read"));
  RUN_UNTIL(&tl, !t2_timer_running(&pair.server.conn->timer));
  assert_int_equal(hangups, 0);
}

/* Both have sent FIN, which poll(2) calls a hang-up: nothing is told but that the peer has. */
static void test_own_end_is_no_reset(void **state) {
  stop_and_send();
  t2_conn_shutdown(pair.server.conn);
  RUN_UNTIL(&tl, pair.client.eof);
  t2_conn_shutdown(pair.client.conn);
  RUN_UNTIL(&tl, hangups > 0);
  assert_int_equal(resets, 0);
}

#define BOTH(test)                                                                                           \
  cmocka_unit_test_setup_teardown(test, open_clear, close_all),                                              \
      cmocka_unit_test_setup_teardown(test, open_tls, close_all)

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH(test_end_of_a_peer_that_is_not_read_is_told),
      BOTH(test_reset_by_a_peer_that_is_not_read_is_told),
      BOTH(test_peer_that_is_there_is_left_alone),
      BOTH(test_own_end_is_no_reset),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
