#include "fixture.h"

#include <base/file.h>
#include <net/conn_internal.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>
#include <tunnel2/error.h>
#include <unistd.h>

/* Most promises are the same in the clear and over TLS: such tests run as both. */

static test_loop tl;
static test_pair pair;
static bool with_tls;

static int open_pair(bool tls) {
  with_tls = tls;
  assert_true(test_loop_open(&tl, NULL, NULL));
  test_pair_open(&pair, &tl, tls);
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

/* ---- Data ---- */

static void test_bytes_go_both_ways(void **state) {
  test_peer_send(&pair.client, "ping");
  RUN_UNTIL(&tl, test_peer_got(&pair.server, "ping"));
  test_peer_send(&pair.server, "pong");
  RUN_UNTIL(&tl, test_peer_got(&pair.client, "pong"));
  assert_int_equal(t2_conn_pending(pair.client.conn), 0);
  assert_true(pair.client.written_calls > 0);
  assert_int_equal(t2_conn_is_tls(pair.client.conn), with_tls);
  assert_ptr_equal(t2_conn_loop(pair.client.conn), tl.loop);
}

static void test_peers_are_named(void **state) {
  t2_str host = t2_conn_peer_host(pair.client.conn), peer = t2_conn_peer(pair.client.conn);
  assert_true(t2_str_eq(host, T2_STR("127.0.0.1")));
  assert_true(t2_str_eq(peer, t2_str_c(t2_listener_address(pair.listener))));
  assert_true(t2_str_eq(t2_conn_peer_host(pair.server.conn), T2_STR("127.0.0.1")));
  assert_string_equal(t2_conn_detail(pair.client.conn), "");
}

static void test_writes_of_a_turn_are_one(void **state) {
  uint64_t before = t2_conn_bytes_written(pair.client.conn);
  for (int i = 0; i < 100; i++)
    test_peer_send(&pair.client, "0123456789");
  assert_int_equal(t2_conn_pending(pair.client.conn), 1000);
  RUN_UNTIL(&tl, t2_buf_len(&pair.server.in) == 1000);
  assert_int_equal(pair.client.written_calls, 1);
  assert_int_equal(pair.server.data_calls, 1);
  uint64_t wrote = t2_conn_bytes_written(pair.client.conn) - before;
  assert_true(with_tls ? wrote > 1000 && wrote <= 1064 : wrote == 1000); /* one record */
  assert_int_equal(t2_conn_bytes_read(pair.server.conn) >= wrote, true);
}

static const t2_conn_ops *client_ops_with_flush;

static void append_at_flush(t2_conn *conn, void *user) {
  test_peer *peer = user;
  if (t2_buf_len(t2_conn_out(conn)) == 0) return;
  t2_buf_append_c(t2_conn_out(conn), " and more");
  assert_int_equal(peer->written_calls, 0);
}

static void test_what_the_flush_appends_goes_out_with_the_rest(void **state) {
  t2_conn_ops ops = test_peer_ops;
  ops.on_flush = append_at_flush;
  client_ops_with_flush = &ops;
  t2_conn_set_ops(pair.client.conn, client_ops_with_flush, &pair.client);
  test_peer_send(&pair.client, "this");
  RUN_UNTIL(&tl, test_peer_got(&pair.server, "this and more"));
  assert_int_equal(pair.client.written_calls, 1);
  t2_conn_set_ops(pair.client.conn, &test_peer_ops, &pair.client);
}

/* Without memory the buffer has failed, which the connection sees when it is woken. */
static void send_pattern(test_peer *peer, size_t n) {
  t2_buf *out = t2_conn_out(peer->conn);
  uint8_t *at = t2_buf_reserve(out, n);
  for (size_t i = 0; at && i < n; i++)
    at[i] = test_pattern(i);
  if (at) t2_buf_commit(out, n);
  t2_conn_wake(peer->conn);
}

static void assert_pattern(const test_peer *peer, size_t n) {
  assert_int_equal(t2_buf_len(&peer->in), n);
  for (size_t i = 0; i < n; i++)
    if (t2_buf_head(&peer->in)[i] != test_pattern(i)) fail_msg("byte %zu is wrong", i);
}

#define MUCH (32 * 1024 * 1024) /* more than two sockets' buffers hold */

static void test_much_arrives_in_order(void **state) {
  send_pattern(&pair.client, MUCH);
  RUN_UNTIL(&tl, t2_buf_len(&pair.server.in) >= MUCH);
  assert_pattern(&pair.server, MUCH);
}

/* Runs until the client's pending output has not changed for many turns. */
static size_t settle(void) {
  uint64_t deadline = test_deadline();
  size_t pending = t2_conn_pending(pair.client.conn);
  for (unsigned still = 0; still < 50; still++) {
    test_loop_turn(&tl, deadline);
    if (t2_conn_pending(pair.client.conn) != pending) still = 0;
    pending = t2_conn_pending(pair.client.conn);
  }
  return pending;
}

static void test_reader_that_stops_holds_the_writer_back(void **state) {
  pair.server.in_max = 1;
  send_pattern(&pair.client, MUCH);
  size_t pending = settle();
  assert_true(pending > MUCH / 4);
  assert_true(t2_buf_len(&pair.server.in) <= 2 * T2_LOOP_SLAB);
  assert_false(t2_conn_reading(pair.server.conn));

  pair.server.in_max = 0;
  t2_conn_read_start(pair.server.conn);
  assert_true(t2_conn_reading(pair.server.conn));
  RUN_UNTIL(&tl, t2_buf_len(&pair.server.in) >= MUCH);
  assert_pattern(&pair.server, MUCH);
  assert_int_equal(t2_conn_pending(pair.client.conn), 0);
}

static void test_reader_that_stops_and_starts_at_each_call_loses_nothing(void **state) {
  enum { N = 1024 * 1024 };
  pair.server.in_max = 1;
  send_pattern(&pair.client, N);
  while (t2_buf_len(&pair.server.in) < N) {
    unsigned calls = pair.server.data_calls;
    RUN_UNTIL(&tl, pair.server.data_calls > calls);
    t2_conn_read_start(pair.server.conn);
  }
  assert_pattern(&pair.server, N);
}

static void switch_ops(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  (void)bytes, (void)n;
  t2_conn_set_ops(conn, &test_peer_ops, user);
}

static void test_ops_may_be_changed_while_data_comes(void **state) {
  static const t2_conn_ops ops = {.on_data = switch_ops};
  t2_conn_set_ops(pair.server.conn, &ops, &pair.server);
  test_peer_send(&pair.client, "one");
  uint64_t read = t2_conn_bytes_read(pair.server.conn);
  RUN_UNTIL(&tl, t2_conn_bytes_read(pair.server.conn) > read);
  test_peer_send(&pair.client, "two");
  RUN_UNTIL(&tl, test_peer_got(&pair.server, "two"));
}

/* ---- The end ---- */

static void test_shutdown_leaves_the_other_direction_open(void **state) {
  test_peer_send(&pair.client, "question");
  t2_conn_shutdown(pair.client.conn);
  RUN_UNTIL(&tl, pair.server.eof);
  assert_true(test_peer_got(&pair.server, "question"));
  test_peer_send(&pair.server, "answer");
  t2_conn_shutdown(pair.server.conn);
  RUN_UNTIL(&tl, pair.client.eof);
  assert_true(test_peer_got(&pair.client, "answer"));
  assert_false(pair.client.closed || pair.server.closed);
}

static void test_end_waits_for_a_reader_that_has_stopped(void **state) {
  t2_conn_shutdown(pair.server.conn);
  RUN_UNTIL(&tl, pair.client.eof);
  pair.server.in_max = 1;
  send_pattern(&pair.client, 3 * 16384 + 1);
  t2_conn_shutdown(pair.client.conn);
  settle();
  assert_true(pair.server.data_calls > 0);
  assert_false(pair.server.eof || pair.server.closed);
  while (!pair.server.eof) {
    unsigned calls = pair.server.data_calls;
    t2_conn_read_start(pair.server.conn);
    RUN_UNTIL(&tl, pair.server.data_calls > calls || pair.server.eof);
  }
  assert_false(pair.server.closed);
  assert_pattern(&pair.server, 3 * 16384 + 1);
}

static void test_output_after_shutdown_is_dropped(void **state) {
  t2_conn_shutdown(pair.client.conn);
  RUN_UNTIL(&tl, pair.server.eof);
  test_peer_send(&pair.client, "too late");
  settle();
  assert_int_equal(t2_conn_pending(pair.client.conn), 0);
  assert_int_equal(t2_buf_len(&pair.server.in), 0);
}

static void test_eof_without_a_callback_closes(void **state) {
  t2_conn_set_ops(pair.server.conn, &test_peer_ops_no_eof, &pair.server);
  t2_conn_shutdown(pair.client.conn);
  RUN_UNTIL(&tl, pair.server.closed);
  assert_int_equal(pair.server.err, T2_ERR_CLOSED);
  assert_string_equal(pair.server.detail, "the peer closed the connection");
}

static void test_finish_delivers_the_last_answer(void **state) {
  test_peer_send(&pair.client, "request, and more that nobody reads");
  RUN_UNTIL(&tl, t2_buf_len(&pair.server.in) > 0);
  send_pattern(&pair.server, 1024 * 1024);
  t2_conn_finish(pair.server.conn, 5000);
  test_peer_send(&pair.client, "still sending");
  RUN_UNTIL(&tl, pair.client.eof);
  assert_pattern(&pair.client, 1024 * 1024);
  assert_false(pair.server.closed);
  t2_conn_close(pair.client.conn, 0);
  RUN_UNTIL(&tl, pair.server.closed);
  assert_int_equal(pair.server.err, 0);
  assert_true(test_peer_got(&pair.server, "request, and more that nobody reads"));
}

static void test_finish_waits_for_the_linger_and_no_longer(void **state) {
  t2_conn_finish(pair.server.conn, 50);
  uint64_t start = t2_clock_mono_ms();
  RUN_UNTIL(&tl, pair.server.closed);
  assert_int_equal(pair.server.err, 0);
  assert_true(t2_clock_mono_ms() - start >= 40);
  assert_true(pair.client.eof);
}

static void test_finish_does_not_wait_for_one_who_takes_nothing(void **state) {
  pair.client.in_max = 1;
  send_pattern(&pair.server, MUCH);
  t2_conn_finish(pair.server.conn, 100);
  RUN_UNTIL(&tl, pair.server.closed);
  assert_int_equal(pair.server.err, T2_ERR_TIMEOUT);
}

static void test_finish_after_both_have_ended_closes_at_once(void **state) {
  t2_conn_shutdown(pair.client.conn);
  RUN_UNTIL(&tl, pair.server.eof);
  t2_conn_shutdown(pair.server.conn);
  RUN_UNTIL(&tl, pair.client.eof);
  t2_conn_finish(pair.client.conn, 60000);
  RUN_UNTIL(&tl, pair.client.closed);
  assert_int_equal(pair.client.err, 0);
}

static void test_loop_that_closes_waits_for_no_linger(void **state) {
  t2_conn_finish(pair.server.conn, 60000);
  RUN_UNTIL(&tl, pair.client.eof);
  t2_conn_close(pair.client.conn, 0);
  t2_listener_close(pair.listener, NULL, NULL);
  pair.listener = NULL;
  test_loop_close(&tl);
  assert_int_equal(pair.server.err, T2_ERR_CANCELLED);
  test_pair_close(&pair);
}

static int option_of(t2_conn *conn, int level, int name) {
  uv_os_fd_t fd;
  int value = 0;
  socklen_t n = sizeof(value);
  assert_int_equal(uv_fileno(&conn->uv.handle, &fd), 0);
  assert_int_equal(getsockopt(fd, level, name, &value, &n), 0);
  return value;
}

static void test_what_many_share_waits_here_and_not_in_the_kernel(void **state) {
  (void)state;
  t2_conn *conn = pair.client.conn;
  t2_conn_share(conn);
  assert_int_equal(option_of(conn, IPPROTO_TCP, TCP_NOTSENT_LOWAT), T2_CONN_UNSENT_MAX);
  assert_true(option_of(conn, SOL_SOCKET, SO_RCVBUF) <= 256 * 1024); /* the loopback is near */
}

static void test_reset_is_seen(void **state) {
  test_peer_send(&pair.client, "half an ans");
  RUN_UNTIL(&tl, t2_buf_len(&pair.server.in) > 0);
  t2_conn_reset(pair.client.conn, T2_ERR_CANCELLED);
  RUN_UNTIL(&tl, pair.server.closed && pair.client.closed);
  assert_int_equal(pair.client.err, T2_ERR_CANCELLED);
  assert_int_equal(pair.server.err, T2_ERR_CLOSED);
  assert_non_null(strstr(pair.server.detail, "reset"));
}

static void test_close_in_a_callback_is_the_last_of_it(void **state) {
  t2_conn_close(pair.client.conn, T2_ERR_STATE);
  t2_conn_close(pair.client.conn, T2_ERR_NOMEM); /* does nothing */
  t2_conn_wake(pair.client.conn);
  t2_conn_read_start(pair.client.conn);
  t2_conn_shutdown(pair.client.conn);
  t2_conn_finish(pair.client.conn, 1);
  assert_true(t2_conn_closing(pair.client.conn));
  assert_false(pair.client.closed);
  RUN_UNTIL(&tl, pair.client.closed);
  assert_int_equal(pair.client.err, T2_ERR_STATE);
}

static void close_now(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  (void)bytes, (void)n;
  ((test_peer *)user)->data_calls++;
  t2_conn_close(conn, T2_ERR_PROTOCOL);
}

static void test_nothing_is_read_after_close(void **state) {
  t2_conn_ops ops = test_peer_ops;
  ops.on_data = close_now;
  t2_conn_set_ops(pair.server.conn, &ops, &pair.server);
  send_pattern(&pair.client, 1024 * 1024);
  RUN_UNTIL(&tl, pair.server.closed);
  assert_int_equal(pair.server.data_calls, 1);
  assert_int_equal(pair.server.err, T2_ERR_PROTOCOL);
}

static void test_output_without_memory_closes(void **state) {
  t2_conn_out(pair.client.conn)->failed = true;
  t2_conn_wake(pair.client.conn);
  RUN_UNTIL(&tl, pair.client.closed);
  assert_int_equal(pair.client.err, T2_ERR_NOMEM);
}

static void test_peer_that_is_gone_is_told_while_writing(void **state) {
  t2_conn_set_ops(pair.client.conn, &test_peer_ops_no_eof, &pair.client);
  t2_conn_reset(pair.server.conn, 0);
  for (uint64_t deadline = test_deadline(); !pair.client.closed;) {
    test_peer_send(&pair.client, "anybody there?");
    test_loop_turn(&tl, deadline);
  }
  assert_int_equal(pair.client.err, T2_ERR_CLOSED);
}

/* ---- TLS alone ---- */

static void test_end_without_close_notify_is_an_error(void **state) {
  test_peer_send(&pair.client, "cut");
  RUN_UNTIL(&tl, test_peer_got(&pair.server, "cut"));
  t2_conn_close(pair.client.conn, 0);
  RUN_UNTIL(&tl, pair.server.closed);
  assert_false(pair.server.eof);
  assert_int_equal(pair.server.err, T2_ERR_CLOSED);
  assert_string_equal(pair.server.detail, "the peer closed the connection without close_notify");
}

/* ---- Unix sockets ---- */

static void on_unix_accept(uv_stream_t *server, int status) {
  uv_pipe_t *accepted = server->data;
  assert_int_equal(status, 0);
  assert_int_equal(uv_accept(server, (uv_stream_t *)accepted), 0);
  uv_buf_t hello = uv_buf_init((char *)"hello", 5);
  assert_int_equal(uv_try_write((uv_stream_t *)accepted, &hello, 1), 5);
}

static void on_unix_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  (void)dial, (void)detail;
  assert_int_equal(err, 0);
  ((test_peer *)user)->conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops, user);
}

static void test_unix_socket_is_a_connection_too(void **state) {
  uv_pipe_t server, accepted;
  test_peer peer = {0};
  t2_dial_options options = {.unix_path = test_file("socket")};
  t2_dial *dial;
  assert_true(test_loop_open(&tl, NULL, NULL));
  uv_pipe_init(&tl.uv, &server, 0);
  uv_pipe_init(&tl.uv, &accepted, 0);
  server.data = &accepted;
  assert_int_equal(uv_pipe_bind(&server, options.unix_path), 0);
  assert_int_equal(uv_listen((uv_stream_t *)&server, 1, on_unix_accept), 0);
  t2_buf_init(&peer.in, NULL);
  assert_int_equal(t2_dial_start(&dial, tl.loop, &options, on_unix_dialled, &peer), 0);
  RUN_UNTIL(&tl, test_peer_got(&peer, "hello"));
  assert_true(t2_str_eq(t2_conn_peer_host(peer.conn), T2_STR("unix")));
  uv_close((uv_handle_t *)&accepted, NULL);
  RUN_UNTIL(&tl, peer.eof);
  t2_conn_reset(peer.conn, 0);
  RUN_UNTIL(&tl, peer.closed);
  uv_close((uv_handle_t *)&server, NULL);
  t2_buf_fini(&peer.in);
  test_loop_close(&tl);
}

/* ---- Memory ---- */

static void whole_life(t2_test_mem *mem, void *user) {
  test_loop loop;
  test_pair p;
  if (!test_loop_open(&loop, &mem->hook, NULL)) return;
  bool opened = test_pair_try(&p, &loop, *(bool *)user);
  assert_true(opened || mem->failed);
  if (opened) {
    send_pattern(&p.client, 4096);
    send_pattern(&p.server, 300 * 1024);
    RUN_UNTIL(&loop,
              p.server.closed || p.client.closed || p.client.eof || t2_buf_len(&p.client.in) >= 300 * 1024);
    if (p.server.conn) t2_conn_finish(p.server.conn, 1000);
    RUN_UNTIL(&loop, p.server.closed || p.client.closed || p.client.eof);
    assert_true(mem->failed || p.client.eof);
  }
  test_pair_close(&p);
  test_loop_close(&loop);
}

static void test_each_missing_allocation_closes_cleanly(void **state) {
  bool tls = false;
  t2_test_mem_fail_each(whole_life, &tls);
  tls = true;
  t2_test_mem_fail_each(whole_life, &tls);
}

#define BOTH(test) CLEAR(test), TLS(test)
#define CLEAR(test)                                                                                          \
  { #test " (clear)", test, open_clear, close_all, NULL }
#define TLS(test)                                                                                            \
  { #test " (TLS)", test, open_tls, close_all, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH(test_bytes_go_both_ways),
      BOTH(test_peers_are_named),
      BOTH(test_writes_of_a_turn_are_one),
      BOTH(test_what_the_flush_appends_goes_out_with_the_rest),
      BOTH(test_much_arrives_in_order),
      BOTH(test_reader_that_stops_holds_the_writer_back),
      BOTH(test_reader_that_stops_and_starts_at_each_call_loses_nothing),
      BOTH(test_ops_may_be_changed_while_data_comes),
      BOTH(test_shutdown_leaves_the_other_direction_open),
      BOTH(test_end_waits_for_a_reader_that_has_stopped),
      BOTH(test_output_after_shutdown_is_dropped),
      BOTH(test_eof_without_a_callback_closes),
      BOTH(test_finish_delivers_the_last_answer),
      BOTH(test_finish_waits_for_the_linger_and_no_longer),
      BOTH(test_finish_does_not_wait_for_one_who_takes_nothing),
      BOTH(test_finish_after_both_have_ended_closes_at_once),
      {"test_loop_that_closes_waits_for_no_linger", test_loop_that_closes_waits_for_no_linger, open_clear,
       NULL, NULL},
      BOTH(test_what_many_share_waits_here_and_not_in_the_kernel),
      BOTH(test_reset_is_seen),
      BOTH(test_close_in_a_callback_is_the_last_of_it),
      BOTH(test_nothing_is_read_after_close),
      BOTH(test_output_without_memory_closes),
      BOTH(test_peer_that_is_gone_is_told_while_writing),
      TLS(test_end_without_close_notify_is_an_error),
      cmocka_unit_test(test_unix_socket_is_a_connection_too),
      cmocka_unit_test(test_each_missing_allocation_closes_cleanly),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
