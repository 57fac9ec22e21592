#include "fixture.h"

#include <arpa/inet.h>
#include <base/file.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <tunnel2/error.h>
#include <unistd.h>

enum { PEERS = 16 };

static test_loop tl;
static t2_listener *listener;
static t2_tls *tls;
static test_peer peers[PEERS];
static size_t accepted;
static bool listener_closed;
static unsigned warnings;

static void on_log(t2_log_level level, const char *component, const char *message, const t2_log_pair *pairs,
                   size_t pair_count, void *user) {
  (void)component, (void)message, (void)pairs, (void)pair_count, (void)user;
  if (level == T2_LOG_WARN) warnings++;
}

static int open_loop(void **state) {
  const t2_log log = {.cb = on_log, .level = T2_LOG_DEBUG};
  memset(peers, 0, sizeof(peers));
  for (size_t i = 0; i < PEERS; i++)
    t2_buf_init(&peers[i].in, NULL);
  accepted = 0;
  warnings = 0;
  tls = NULL;
  listener = NULL;
  listener_closed = true;
  return test_loop_open(&tl, NULL, &log) ? 0 : -1;
}

static size_t open_peers(void) {
  size_t n = 0;
  for (size_t i = 0; i < PEERS; i++)
    n += peers[i].conn != NULL;
  return n;
}

static void on_listener_close(void *user) {
  (void)user;
  listener_closed = true;
}

static int close_all(void **state) {
  if (listener) t2_listener_close(listener, on_listener_close, NULL);
  for (size_t i = 0; i < PEERS; i++)
    if (peers[i].conn) t2_conn_close(peers[i].conn, 0);
  RUN_UNTIL(&tl, listener_closed && open_peers() == 0);
  for (size_t i = 0; i < PEERS; i++)
    t2_buf_fini(&peers[i].in);
  if (tls) t2_tls_unref(tls);
  test_loop_close(&tl);
  return 0;
}

static void on_accept(t2_listener *l, t2_conn *conn, void *user) {
  (void)user;
  assert_ptr_equal(l, listener);
  assert_true(accepted < PEERS);
  test_peer *peer = &peers[accepted++];
  peer->conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops_no_eof, peer);
}

static int try_listen(const t2_listener_options *options, char *detail, size_t size) {
  int err = t2_listener_new(&listener, tl.loop, options, on_accept, NULL, detail, size);
  listener_closed = err != 0;
  return err;
}

static void start_listening(t2_listener_options options) {
  char detail[256] = "";
  if (!options.address) options.address = "127.0.0.1:0";
  if (try_listen(&options, detail, sizeof(detail))) fail_msg("%s", detail);
}

static void listen_with_tls(uint64_t timeout_ms) {
  tls = test_server_tls(tl.loop, NULL);
  start_listening((t2_listener_options){.tls = tls, .handshake_timeout_ms = timeout_ms});
}

/* A plain socket, connected. */
static int plug(void) {
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons(t2_listener_port(listener)),
                           .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
  return fd;
}

/* Has the socket's peer closed it? What comes before is thrown away. */
static bool unplugged(int fd) {
  char drop[256];
  ssize_t n = recv(fd, drop, sizeof(drop), MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void turns(unsigned n) {
  uint64_t deadline = test_deadline();
  while (n--)
    test_loop_turn(&tl, deadline);
}

/* ---- Addresses ---- */

static void test_address_says_the_real_port(void **state) {
  char text[64];
  start_listening((t2_listener_options){0});
  assert_true(t2_listener_port(listener) > 0);
  snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)t2_listener_port(listener));
  assert_string_equal(t2_listener_address(listener), text);
}

static void test_localhost_is_the_ipv4_loopback(void **state) {
  start_listening((t2_listener_options){.address = "localhost:0"});
  assert_int_equal(strncmp(t2_listener_address(listener), "127.0.0.1:", 10), 0);
}

static void test_ipv6_is_listened_on(void **state) {
  start_listening((t2_listener_options){.address = "[::1]:0"});
  assert_int_equal(strncmp(t2_listener_address(listener), "[::1]:", 6), 0);
}

static void test_ipv6_for_all_takes_ipv4_too(void **state) {
  start_listening((t2_listener_options){.address = "[::]:0"});
  int fd = plug();
  RUN_UNTIL(&tl, accepted == 1);
  assert_true(t2_str_eq(t2_conn_peer_host(peers[0].conn), T2_STR("127.0.0.1")));
  close(fd);
}

static void test_what_is_no_address_is_refused_with_a_sentence(void **state) {
  const char *const texts[] = {NULL,        "",      "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:65536",
                               "a.test:80", "::1:80"};
  for (size_t i = 0; i < T2_COUNT_OF(texts); i++) {
    t2_listener_options options = {.address = texts[i]};
    char detail[256] = "";
    assert_int_equal(try_listen(&options, detail, sizeof(detail)), T2_ERR_INVALID);
    assert_non_null(strstr(detail, "is not an address to listen on"));
    assert_null(listener);
  }
}

static void test_address_in_use_is_named(void **state) {
  char detail[256], address[64];
  t2_listener *second;
  start_listening((t2_listener_options){0});
  snprintf(address, sizeof(address), "%s", t2_listener_address(listener));
  t2_listener_options options = {.address = address};
  int err = t2_listener_new(&second, tl.loop, &options, on_accept, NULL, detail, sizeof(detail));
  assert_int_equal(err, T2_ERR_CONFLICT);
  assert_null(second);
  assert_non_null(strstr(detail, address));
  assert_non_null(strstr(detail, "in use"));
}

static void test_reuse_port_lets_two_listen(void **state) {
  char address[64];
  t2_listener *second;
  start_listening((t2_listener_options){.reuse_port = true});
  snprintf(address, sizeof(address), "%s", t2_listener_address(listener));
  t2_listener_options options = {.address = address, .reuse_port = true};
  assert_int_equal(t2_listener_new(&second, tl.loop, &options, on_accept, NULL, NULL, 0), 0);
  t2_listener_close(second, NULL, NULL);
}

static void test_address_is_free_again_at_once(void **state) {
  char address[64];
  for (int i = 0; i < 3; i++) {
    start_listening((t2_listener_options){.address = i ? address : "127.0.0.1:0"});
    snprintf(address, sizeof(address), "%s", t2_listener_address(listener));
    if (i == 2) return;
    t2_listener_close(listener, NULL, NULL);
  }
}

/* ---- Accepting ---- */

static void test_connections_past_the_bound_wait(void **state) {
  int fds[5];
  start_listening((t2_listener_options){.connections_max = 2});
  for (int i = 0; i < 5; i++)
    fds[i] = plug();
  RUN_UNTIL(&tl, accepted == 2);
  turns(20);
  assert_int_equal(accepted, 2);
  for (size_t i = 0; i < 3; i++) {
    t2_conn_close(peers[i].conn, 0);
    RUN_UNTIL(&tl, accepted == 3 + i);
    assert_int_equal(open_peers(), 2);
  }
  for (int i = 0; i < 5; i++)
    close(fds[i]);
}

static void test_handshakes_count_for_the_bound(void **state) {
  tls = test_server_tls(tl.loop, NULL);
  start_listening((t2_listener_options){.connections_max = 1, .tls = tls, .handshake_timeout_ms = 60});
  int silent = plug(), second = plug();
  assert_int_equal(send(second, "GET /\r\n", 7, 0), 7);
  turns(5);
  assert_false(unplugged(second));
  RUN_UNTIL(&tl, unplugged(silent));
  RUN_UNTIL(&tl, unplugged(second));
  close(silent);
  close(second);
}

static void test_connections_handed_over_outlive_the_listener(void **state) {
  start_listening((t2_listener_options){.connections_max = 1});
  int fd = plug();
  RUN_UNTIL(&tl, accepted == 1);
  t2_listener_close(listener, on_listener_close, NULL);
  listener = NULL;
  RUN_UNTIL(&tl, listener_closed);
  assert_int_equal(send(fd, "alive", 5, 0), 5);
  RUN_UNTIL(&tl, test_peer_got(&peers[0], "alive"));
  t2_conn_close(peers[0].conn, 0);
  RUN_UNTIL(&tl, !peers[0].conn);
  close(fd);
}

static void close_at_once(t2_listener *l, t2_conn *conn, void *user) {
  (void)user;
  accepted++;
  t2_conn_close(conn, 0);
  if (accepted == 2) {
    t2_listener_close(l, on_listener_close, NULL);
    listener = NULL;
  }
}

static void test_callee_may_close_the_connection_and_the_listener(void **state) {
  t2_listener_options options = {.address = "127.0.0.1:0"};
  int fds[4];
  assert_int_equal(t2_listener_new(&listener, tl.loop, &options, close_at_once, NULL, NULL, 0), 0);
  listener_closed = false;
  for (int i = 0; i < 4; i++)
    fds[i] = plug();
  RUN_UNTIL(&tl, listener_closed);
  assert_int_equal(accepted, 2);
  for (int i = 0; i < 4; i++) {
    RUN_UNTIL(&tl, unplugged(fds[i]));
    close(fds[i]);
  }
}

static void test_without_descriptors_it_pauses_and_goes_on(void **state) {
  struct rlimit all, few;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
  start_listening((t2_listener_options){0});
  int first = plug(), second = plug();
  turns(1); /* the loop's own descriptors are open now, and perhaps the connections accepted */
  size_t before = accepted;
  int third = plug();
  few = all;
  few.rlim_cur = (rlim_t)third + 1;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  /* Descriptors below the limit may be free: they are used up. */
  int hole[64], holes = 0;
  while (holes < 64 && (hole[holes] = dup(first)) >= 0)
    holes++;
  uint64_t start = t2_clock_mono_ms();
  unsigned spins = 0;
  while (t2_clock_mono_ms() - start < 250) {
    turns(1);
    spins++;
  }
  assert_int_equal(accepted, before);
  assert_int_equal(warnings, 1);
  assert_true(spins < 200);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
  RUN_UNTIL(&tl, accepted == 3);
  while (holes)
    close(hole[--holes]);
  close(first);
  close(second);
  close(third);
}

/* ---- TLS ---- */

static void test_what_is_no_tls_is_closed_and_others_go_on(void **state) {
  listen_with_tls(0);
  int fd = plug();
  assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
  RUN_UNTIL(&tl, unplugged(fd));
  close(fd);
  assert_int_equal(accepted, 0);

  int again = plug();
  turns(5);
  assert_false(unplugged(again));
  close(again);
}

static void test_handshake_that_takes_too_long_is_dropped(void **state) {
  listen_with_tls(50);
  int fd = plug();
  uint64_t start = t2_clock_mono_ms();
  RUN_UNTIL(&tl, unplugged(fd));
  assert_true(t2_clock_mono_ms() - start >= 40);
  close(fd);
}

static void test_closing_drops_handshakes(void **state) {
  listen_with_tls(0);
  int fd = plug();
  turns(5);
  t2_listener_close(listener, on_listener_close, NULL);
  listener = NULL;
  RUN_UNTIL(&tl, listener_closed && unplugged(fd));
  close(fd);
}

static void test_curl_meets_a_server(void **state) {
  char url[96], out[8192];
  listen_with_tls(0);
  snprintf(url, sizeof(url), "https://%s/", t2_listener_address(listener));
  /* It verified the address, asked, and got no answer within the time it may take here: what counts is that
   * it did not fail on TLS. */
  const char *const argv[] = {
      "curl", "--silent", "--show-error", "--max-time", "0.5", "--cacert", test_file("ca.pem"), url, NULL};
  int status = test_run_beside(&tl, argv, out, sizeof(out));
  assert_int_equal(status, 28);
  assert_int_equal(accepted, 1);
  assert_non_null(memmem(t2_buf_head(&peers[0].in), t2_buf_len(&peers[0].in), "GET / HTTP/1.1\r\n", 16));
}

/* ---- A proxy in front ---- */

static void send_text(int fd, const char *text) {
  assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static void test_peer_is_who_the_proxy_says(void **state) {
  start_listening((t2_listener_options){.proxy_header_ms = 5000});
  int fd = plug();
  send_text(fd, "PROXY TCP4 192.0.2.1 192.0.2.2 4660 80\r\nand what is behind it");
  RUN_UNTIL(&tl, accepted == 1 && test_peer_got(&peers[0], "and what is behind it"));
  assert_true(t2_str_eq(t2_conn_peer(peers[0].conn), T2_STR("192.0.2.1:4660")));
  send_text(fd, ", and later");
  RUN_UNTIL(&tl, test_peer_got(&peers[0], "and what is behind it, and later"));
  close(fd);
}

static void test_header_may_come_in_pieces(void **state) {
  const char *text = "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\nx";
  start_listening((t2_listener_options){.proxy_header_ms = 5000});
  int fd = plug();
  for (const char *c = text; *c; c++) {
    if (*c != 'x') assert_int_equal(accepted, 0);
    assert_int_equal(send(fd, c, 1, 0), 1);
    turns(2);
  }
  RUN_UNTIL(&tl, accepted == 1 && test_peer_got(&peers[0], "x"));
  assert_true(t2_str_eq(t2_conn_peer_host(peers[0].conn), T2_STR("2001:db8::1")));
  close(fd);
}

static void test_unknown_keeps_the_real_peer(void **state) {
  start_listening((t2_listener_options){.proxy_header_ms = 5000});
  int fd = plug();
  send_text(fd, "PROXY UNKNOWN\r\n");
  RUN_UNTIL(&tl, accepted == 1);
  assert_true(t2_str_eq(t2_conn_peer_host(peers[0].conn), T2_STR("127.0.0.1")));
  close(fd);
}

static void test_without_a_header_it_is_closed(void **state) {
  start_listening((t2_listener_options){.proxy_header_ms = 50, .connections_max = 3});
  int wrong = plug(), silent = plug(), gone = plug();
  send_text(wrong, "GET / HTTP/1.1\r\n\r\n");
  send_text(gone, "PROXY TCP4");
  shutdown(gone, SHUT_WR);
  RUN_UNTIL(&tl, unplugged(wrong));
  RUN_UNTIL(&tl, unplugged(silent));
  RUN_UNTIL(&tl, unplugged(gone));
  assert_int_equal(accepted, 0);
  int next = plug(); /* there is room for it again */
  send_text(next, "PROXY UNKNOWN\r\n");
  RUN_UNTIL(&tl, accepted == 1);
  close(wrong);
  close(silent);
  close(gone);
  close(next);
}

static void test_tls_is_behind_the_header(void **state) {
  char url[96], out[8192];
  tls = test_server_tls(tl.loop, NULL);
  start_listening((t2_listener_options){.tls = tls, .proxy_header_ms = 5000});
  snprintf(url, sizeof(url), "https://%s/", t2_listener_address(listener));
  const char *const argv[] = {"curl",     "--silent",          "--max-time", "0.5", "--haproxy-protocol",
                              "--cacert", test_file("ca.pem"), url,          NULL};
  assert_int_equal(test_run_beside(&tl, argv, out, sizeof(out)), 28);
  assert_int_equal(accepted, 1);
  assert_non_null(memmem(t2_buf_head(&peers[0].in), t2_buf_len(&peers[0].in), "GET / HTTP/1.1\r\n", 16));
}

static void test_closing_drops_those_that_wait_for_a_header(void **state) {
  start_listening((t2_listener_options){.proxy_header_ms = 5000});
  int fd = plug();
  send_text(fd, "PROXY TCP4");
  turns(5);
  t2_listener_close(listener, on_listener_close, NULL);
  listener = NULL;
  RUN_UNTIL(&tl, listener_closed && unplugged(fd));
  close(fd);
}

/* ---- Memory ---- */

static void ignore(t2_listener *l, t2_conn *conn, void *user) {
  (void)l;
  (*(size_t *)user)++;
  t2_conn_close(conn, 0);
}

static void listen_and_accept(t2_test_mem *mem, void *user) {
  test_loop other;
  size_t n = 0;
  t2_listener_options options = {.address = "127.0.0.1:0", .proxy_header_ms = user ? 5000 : 0};
  if (!test_loop_open(&other, &mem->hook, NULL)) return;
  int err = t2_listener_new(&listener, other.loop, &options, ignore, &n, NULL, 0);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) {
    int fd = plug();
    if (user) send_text(fd, "PROXY UNKNOWN\r\n");
    RUN_UNTIL(&other, n || unplugged(fd));
    close(fd);
    t2_listener_close(listener, NULL, NULL);
  }
  test_loop_close(&other);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(listen_and_accept, NULL);
  t2_test_mem_fail_each(listen_and_accept, &tl);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_all)

/* ---- One after another on the same socket ---- */

static void test_inherited_socket_is_listened_on(void **state) {
  char address[24], detail[200];
  start_listening((t2_listener_options){0});
  uint16_t port = t2_listener_port(listener);
  snprintf(address, sizeof(address), "fd:%d", dup(t2_listener_socket(listener)));
  t2_listener_close(listener, on_listener_close, NULL);
  RUN_UNTIL(&tl, listener_closed);
  listener = NULL;
  start_listening((t2_listener_options){.address = address});
  assert_int_equal(t2_listener_port(listener), port);
  int fd = plug();
  RUN_UNTIL(&tl, accepted == 1);
  close(fd);
  t2_listener *other;
  for (const char *const *wrong = (const char *const[]){"fd:", "fd:x", "fd:-1", "fd:99999", "fd:0", NULL};
       *wrong; wrong++)
    assert_int_equal(t2_listener_new(&other, tl.loop, &(t2_listener_options){.address = *wrong}, on_accept,
                                     NULL, detail, sizeof(detail)),
                     T2_ERR_INVALID);
}

static void test_held_connections_wait(void **state) {
  start_listening((t2_listener_options){.held = true});
  int fd = plug();
  turns(5);
  assert_int_equal(accepted, 0);
  t2_listener_hold(listener, false);
  RUN_UNTIL(&tl, accepted == 1);
  close(fd);
}

static void on_opened(void *user) {
  ++*(unsigned *)user;
}

static void test_stop_accepts_what_waits_and_no_more(void **state) {
  unsigned opened = 0;
  start_listening((t2_listener_options){0});
  int fd = plug();
  t2_listener_stop(listener, 1000, on_opened, &opened);
  assert_int_equal(accepted, 1);
  assert_int_equal(opened, 1);
  assert_int_equal(t2_listener_socket(listener), -1);
  turns(3);
  close(fd);
}

static void test_stop_lets_handshakes_finish_for_a_time(void **state) {
  unsigned opened = 0;
  listen_with_tls(0);
  int fd = plug();
  turns(3);
  t2_listener_stop(listener, 50, on_opened, &opened);
  assert_int_equal(opened, 0);
  RUN_UNTIL(&tl, unplugged(fd));
  RUN_UNTIL(&tl, opened == 1);
  assert_int_equal(accepted, 0);
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(test_address_says_the_real_port),
      ON_LOOP(test_localhost_is_the_ipv4_loopback),
      ON_LOOP(test_ipv6_is_listened_on),
      ON_LOOP(test_ipv6_for_all_takes_ipv4_too),
      ON_LOOP(test_what_is_no_address_is_refused_with_a_sentence),
      ON_LOOP(test_address_in_use_is_named),
      ON_LOOP(test_reuse_port_lets_two_listen),
      ON_LOOP(test_address_is_free_again_at_once),
      ON_LOOP(test_connections_past_the_bound_wait),
      ON_LOOP(test_handshakes_count_for_the_bound),
      ON_LOOP(test_connections_handed_over_outlive_the_listener),
      ON_LOOP(test_callee_may_close_the_connection_and_the_listener),
      ON_LOOP(test_without_descriptors_it_pauses_and_goes_on),
      ON_LOOP(test_what_is_no_tls_is_closed_and_others_go_on),
      ON_LOOP(test_handshake_that_takes_too_long_is_dropped),
      ON_LOOP(test_closing_drops_handshakes),
      ON_LOOP(test_curl_meets_a_server),
      ON_LOOP(test_peer_is_who_the_proxy_says),
      ON_LOOP(test_header_may_come_in_pieces),
      ON_LOOP(test_unknown_keeps_the_real_peer),
      ON_LOOP(test_without_a_header_it_is_closed),
      ON_LOOP(test_tls_is_behind_the_header),
      ON_LOOP(test_closing_drops_those_that_wait_for_a_header),
      ON_LOOP(test_inherited_socket_is_listened_on),
      ON_LOOP(test_held_connections_wait),
      ON_LOOP(test_stop_accepts_what_waits_and_no_more),
      ON_LOOP(test_stop_lets_handshakes_finish_for_a_time),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
