#include "fixture.h"

#include <fcntl.h>
#include <tunnel2/error.h>
#include <unistd.h>

/* A listener that accepts, and one without a socket that it deals to. */

enum { PEERS = 6 };

typedef struct table {
  test_loop tl;
  t2_listener *dealer, *player;
  unsigned room;    /* connections that may be taken elsewhere */
  bool to_player;   /* or all are the dealer's own */
  atomic_uint load; /* of the player */
  test_peer peers[PEERS];
  unsigned accepted[2]; /* of the dealer, and of the player */
  unsigned n, closed;
  uv_tcp_t askers[PEERS];
  uv_connect_t asking[PEERS];
} table;

static bool has_room(void *user) {
  return ((table *)user)->room > 0;
}

static bool take(int fd, const t2_address *peer, void *user) {
  table *t = user;
  t->room--;
  if (!t->to_player) return false;
  atomic_fetch_add(&t->load, 1);
  t2_listener_feed(t->player, fd, peer);
  return true;
}

static const t2_deal_ops ops = {has_room, take};

static void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  table *t = user;
  test_peer *peer = &t->peers[t->n++];
  t->accepted[listener == t->player]++;
  peer->conn = conn;
  t2_buf_init(&peer->in, NULL);
  t2_conn_set_ops(conn, &test_peer_ops_no_eof, peer);
}

static void on_close(void *user) {
  ((table *)user)->closed++;
}

static void open_table(table *t) {
  memset(t, 0, sizeof(*t));
  assert_true(test_loop_open(&t->tl, NULL, NULL));
  t2_listener_options player = {.fed = true, .load = &t->load};
  t2_listener_options dealer = {.address = "127.0.0.1:0", .deal = &ops, .deal_user = t};
  assert_int_equal(t2_listener_new(&t->player, t->tl.loop, &player, on_accept, t, NULL, 0), 0);
  assert_int_equal(t2_listener_new(&t->dealer, t->tl.loop, &dealer, on_accept, t, NULL, 0), 0);
  assert_int_equal(t2_listener_socket(t->player), -1);
}

static void on_connect(uv_connect_t *request, int status) {
  (void)request;
  assert_int_equal(status, 0);
}

static void ask(table *t, unsigned from, unsigned to) {
  struct sockaddr_in address;
  uv_ip4_addr("127.0.0.1", t2_listener_port(t->dealer), &address);
  for (unsigned i = from; i < to; i++) {
    uv_tcp_init(&t->tl.uv, &t->askers[i]);
    uv_tcp_connect(&t->asking[i], &t->askers[i], (struct sockaddr *)&address, on_connect);
  }
}

static void close_table(table *t, unsigned asked) {
  t2_listener_close(t->dealer, on_close, t);
  t2_listener_close(t->player, on_close, t);
  for (unsigned i = 0; i < asked; i++)
    uv_close((uv_handle_t *)&t->askers[i], NULL);
  for (unsigned i = 0; i < t->n; i++)
    if (t->peers[i].conn) t2_conn_close(t->peers[i].conn, 0);
  RUN_UNTIL(&t->tl, t->closed == 2);
  for (unsigned i = 0; i < t->n; i++) {
    RUN_UNTIL(&t->tl, t->peers[i].closed);
    t2_buf_fini(&t->peers[i].in);
  }
  test_loop_close(&t->tl);
}

static void test_what_is_taken_is_the_other_listeners(void **state) {
  table t;
  open_table(&t);
  t.room = PEERS;
  t.to_player = true;
  ask(&t, 0, 3);
  RUN_UNTIL(&t.tl, t.n == 3);
  t.to_player = false;
  ask(&t, 3, PEERS);
  RUN_UNTIL(&t.tl, t.n == PEERS);
  assert_int_equal(t.accepted[0], 3);
  assert_int_equal(t.accepted[1], 3);
  assert_int_equal(atomic_load(&t.load), 3);
  assert_int_equal(t2_conn_peer(t.peers[0].conn).n > 10, true); /* it knows who it is from */
  t2_conn_close(t.peers[0].conn, 0);
  RUN_UNTIL(&t.tl, atomic_load(&t.load) == 2);
  close_table(&t, PEERS);
}

static void test_without_room_they_wait_in_the_systems_queue(void **state) {
  table t;
  open_table(&t);
  t.to_player = true;
  t.room = 1;
  ask(&t, 0, 3);
  RUN_UNTIL(&t.tl, t.n == 1);
  for (int i = 0; i < 5; i++)
    test_loop_turn(&t.tl, test_deadline());
  assert_int_equal(t.n, 1);
  t.room = 2;
  RUN_UNTIL(&t.tl, t.n == 3);
  close_table(&t, 3);
}

static void test_a_stop_deals_what_waits(void **state) {
  table t;
  open_table(&t);
  t.to_player = true;
  t.room = 3;
  t2_listener_hold(t.dealer, true);
  ask(&t, 0, 3);
  for (int i = 0; i < 5; i++)
    test_loop_turn(&t.tl, test_deadline());
  assert_int_equal(t.n, 0);
  t2_listener_hold(t.dealer, false);
  t2_listener_stop(t.dealer, 0, NULL, NULL);
  assert_int_equal(t.accepted[1], 3);
  t2_listener_stop(t.player, 0, NULL, NULL);
  close_table(&t, 3);
}

static void test_one_that_has_stopped_takes_none(void **state) {
  table t;
  open_table(&t);
  t2_address nobody = {.in6 = {0}};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  t2_listener_stop(t.player, 0, NULL, NULL);
  atomic_store(&t.load, 1);
  t2_listener_feed(t.player, fd, &nobody);
  assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
  assert_int_equal(atomic_load(&t.load), 0);
  close_table(&t, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_taken_is_the_other_listeners),
      cmocka_unit_test(test_without_room_they_wait_in_the_systems_queue),
      cmocka_unit_test(test_a_stop_deals_what_waits),
      cmocka_unit_test(test_one_that_has_stopped_takes_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
