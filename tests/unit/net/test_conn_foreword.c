/* Connections that are passed on by their TLS hello. The PROXY protocol's header is in test_listener.c. */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/client_hello.h>

static test_loop tl;
static t2_listener *listener;
static t2_tls *tls;
static test_peer accepted, passed; /* by TLS or in the clear; as it came */
static unsigned accepted_count, passed_count;
static bool listener_closed;
static int passed_err;
static char passed_name[256];

static int open_loop(void **state) {
  accepted = passed = (test_peer){0};
  t2_buf_init(&accepted.in, NULL);
  t2_buf_init(&passed.in, NULL);
  accepted_count = passed_count = 0;
  tls = NULL;
  listener = NULL;
  listener_closed = true;
  return test_loop_open(&tl, NULL, NULL) ? 0 : -1;
}

static void on_listener_close(void *user) {
  (void)user;
  listener_closed = true;
}

static int close_all(void **state) {
  if (listener) t2_listener_close(listener, on_listener_close, NULL);
  if (accepted.conn) t2_conn_close(accepted.conn, 0);
  if (passed.conn) t2_conn_close(passed.conn, 0);
  RUN_UNTIL(&tl, listener_closed && !accepted.conn && !passed.conn);
  t2_buf_fini(&accepted.in);
  t2_buf_fini(&passed.in);
  if (tls) t2_tls_unref(tls);
  test_loop_close(&tl);
  return 0;
}

static void on_accept(t2_listener *l, t2_conn *conn, void *user) {
  (void)l, (void)user;
  accepted_count++;
  assert_true(t2_conn_is_tls(conn));
  accepted.conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops_no_eof, &accepted);
}

/* ---- What is passed on: one name, or everything ---- */

static bool wants_one(int err, t2_str server_name, void *user) {
  (void)user;
  return err == 0 && t2_str_eq(server_name, T2_STR("passed.test"));
}

static bool wants_all(int err, t2_str server_name, void *user) {
  (void)err, (void)server_name, (void)user;
  return true;
}

static void take(t2_conn *conn, int err, t2_str server_name, void *user) {
  (void)user;
  passed_count++;
  passed_err = err;
  snprintf(passed_name, sizeof(passed_name), "%.*s", T2_STR_ARG(server_name));
  passed.conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops, &passed);
}

/* As an entry does, which reads when it knows where to. */
static void take_and_wait(t2_conn *conn, int err, t2_str server_name, void *user) {
  take(conn, err, server_name, user);
  t2_conn_read_stop(conn);
}

static void drop(t2_conn *conn, int err, t2_str server_name, void *user) {
  (void)err, (void)server_name, (void)user;
  passed_count++;
  t2_conn_reset(conn, T2_ERR_UNAVAILABLE);
}

static const t2_pass_ops one = {wants_one, take}, all = {wants_all, take},
                         waiting = {wants_all, take_and_wait}, dropping = {wants_all, drop};

static void start_listening(t2_listener_options options) {
  char detail[256] = "";
  options.address = "127.0.0.1:0";
  if (!options.hello_ms) options.hello_ms = 10000;
  if (t2_listener_new(&listener, tl.loop, &options, on_accept, NULL, detail, sizeof(detail)))
    fail_msg("%s", detail);
  listener_closed = false;
}

static int plug(void) {
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons(t2_listener_port(listener)),
                           .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
  return fd;
}

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

/* A hello for passed.test, without more than it needs. */
static const char hello[] = "\x16\x03\x01\0\x43\x01\0\0\x3f\x03\x03"
                            "0123456789abcdef0123456789abcdef"
                            "\0\0\x02\x13\x01\x01\0\0\x14\0\0\0\x10\0\x0e\0\0\x0b"
                            "Passed.TEST";

static void send_hello(int fd) {
  assert_int_equal(send(fd, hello, sizeof(hello) - 1, 0), sizeof(hello) - 1);
}

static bool passed_on(const char *behind) {
  size_t n = sizeof(hello) - 1;
  return t2_buf_len(&passed.in) == n + strlen(behind) && memcmp(t2_buf_head(&passed.in), hello, n) == 0 &&
         memcmp(t2_buf_head(&passed.in) + n, behind, strlen(behind)) == 0;
}

/* ---- The tests ---- */

static void test_what_was_read_is_passed_on_first_and_whole(void **state) {
  start_listening((t2_listener_options){.pass = &all});
  int fd = plug();
  for (size_t i = 0; i < sizeof(hello) - 1; i++) {
    assert_int_equal(passed_count, 0);
    assert_int_equal(send(fd, hello + i, 1, 0), 1);
    turns(2);
  }
  RUN_UNTIL(&tl, passed_count && passed_on(""));
  assert_int_equal(passed_err, 0);
  assert_string_equal(passed_name, "passed.test");
  assert_false(t2_conn_is_tls(passed.conn));
  assert_int_equal(send(fd, "and more", 8, 0), 8);
  RUN_UNTIL(&tl, passed_on("and more"));
  shutdown(fd, SHUT_WR);
  RUN_UNTIL(&tl, passed.eof);
  test_peer_send(&passed, "an answer");
  char got[16] = "";
  RUN_UNTIL(&tl, recv(fd, got, sizeof(got), MSG_DONTWAIT) == 9);
  assert_string_equal(got, "an answer");
  assert_int_equal(accepted_count, 0);
  close(fd);
}

static void test_it_waits_until_its_user_reads(void **state) {
  start_listening((t2_listener_options){.pass = &waiting});
  int fd = plug();
  send_hello(fd);
  assert_int_equal(send(fd, "more", 4, 0), 4);
  shutdown(fd, SHUT_WR);
  RUN_UNTIL(&tl, passed_count);
  turns(5);
  assert_int_equal(t2_buf_len(&passed.in), 0);
  assert_false(passed.eof);
  t2_conn_read_start(passed.conn);
  RUN_UNTIL(&tl, passed.eof);
  assert_true(passed_on("more"));
  close(fd);
}

static void test_what_is_left_unread_goes_with_the_connection(void **state) {
  start_listening((t2_listener_options){.pass = &waiting});
  int fd = plug();
  send_hello(fd);
  RUN_UNTIL(&tl, passed_count);
  t2_conn_finish(passed.conn, 5000);
  shutdown(fd, SHUT_WR);
  RUN_UNTIL(&tl, !passed.conn);
  assert_int_equal(t2_buf_len(&passed.in), 0);
  close(fd);
}

static void test_its_user_may_drop_it_at_once(void **state) {
  start_listening((t2_listener_options){.pass = &dropping});
  int fd = plug();
  send_hello(fd);
  RUN_UNTIL(&tl, unplugged(fd));
  assert_int_equal(passed_count, 1);
  close(fd);
}

/* curl's status 28: it verified the certificate, asked, and got no answer within its time. */
static void ask_terminated(const char *proxy) {
  char url[96], to[64], out[8192];
  snprintf(url, sizeof(url), "https://" NAME ":%u/", (unsigned)t2_listener_port(listener));
  snprintf(to, sizeof(to), NAME ":%u:127.0.0.1", (unsigned)t2_listener_port(listener));
  const char *const argv[] = {"curl",      "--silent", "--max-time", "0.5", "--cacert", test_file("ca.pem"),
                              "--resolve", to,         url,          proxy, NULL};
  assert_int_equal(test_run_beside(&tl, argv, out, sizeof(out)), 28);
  assert_int_equal(accepted_count, 1);
  assert_non_null(memmem(t2_buf_head(&accepted.in), t2_buf_len(&accepted.in), "GET / HTTP/1.1\r\n", 16));
  assert_int_equal(passed_count, 0);
}

static void test_other_names_are_terminated(void **state) {
  tls = test_server_tls(tl.loop, NULL);
  start_listening((t2_listener_options){.tls = tls, .pass = &one});
  ask_terminated(NULL);
  int fd = plug();
  send_hello(fd);
  RUN_UNTIL(&tl, passed_count && passed_on(""));
  close(fd);
}

static void test_a_proxy_may_be_in_front(void **state) {
  tls = test_server_tls(tl.loop, NULL);
  start_listening((t2_listener_options){.tls = tls, .pass = &one, .proxy_header_ms = 5000});
  ask_terminated("--haproxy-protocol");
  int fd = plug();
  assert_int_equal(send(fd, "PROXY TCP4 192.0.2.1 192.0.2.2 4660 80\r\n", 40, 0), 40);
  send_hello(fd);
  RUN_UNTIL(&tl, passed_count && passed_on(""));
  assert_true(t2_str_eq(t2_conn_peer(passed.conn), T2_STR("192.0.2.1:4660")));
  close(fd);
}

static void test_what_is_no_tls_is_told(void **state) {
  start_listening((t2_listener_options){.pass = &all});
  int fd = plug();
  assert_int_equal(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
  RUN_UNTIL(&tl, passed_count);
  assert_int_equal(passed_err, T2_ERR_PROTOCOL);
  assert_string_equal(passed_name, "");
  close(fd);
}

static void test_a_hello_is_read_up_to_its_bound(void **state) {
  static uint8_t record[T2_CLIENT_HELLO_MAX + 100] = {0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xf7, 3, 3};
  const uint8_t padding[] = {1, 0, 0, 206, 0, 21, 0, 202};
  record[44] = 0x3f; /* of cipher suites */
  memcpy(record + 46 + 0x3f00, padding, sizeof(padding));
  start_listening((t2_listener_options){.pass = &all});
  int fd = plug();
  assert_int_equal(send(fd, record, T2_CLIENT_HELLO_MAX - 1, 0), T2_CLIENT_HELLO_MAX - 1);
  turns(10);
  assert_int_equal(passed_count, 0);
  assert_int_equal(send(fd, record + T2_CLIENT_HELLO_MAX - 1, 1, 0), 1);
  RUN_UNTIL(&tl, passed_count);
  assert_int_equal(passed_err, 0);
  RUN_UNTIL(&tl, t2_buf_len(&passed.in) == T2_CLIENT_HELLO_MAX);
  t2_conn_close(passed.conn, 0);
  RUN_UNTIL(&tl, !passed.conn);
  passed.closed = false;
  record[8]++; /* of another: too long by what it says of itself */
  int other = plug();
  assert_int_equal(send(other, record, 9, 0), 9);
  RUN_UNTIL(&tl, passed_count == 2);
  assert_int_equal(passed_err, T2_ERR_LIMIT);
  close(fd);
  close(other);
}

static void test_without_a_hello_it_is_closed(void **state) {
  start_listening((t2_listener_options){.pass = &all, .hello_ms = 50, .connections_max = 2});
  int silent = plug(), gone = plug();
  assert_int_equal(send(silent, hello, 20, 0), 20);
  assert_int_equal(send(gone, hello, 20, 0), 20);
  shutdown(gone, SHUT_WR);
  RUN_UNTIL(&tl, unplugged(gone));
  RUN_UNTIL(&tl, unplugged(silent));
  assert_int_equal(passed_count, 0);
  int next = plug(); /* there is room for it again */
  send_hello(next);
  RUN_UNTIL(&tl, passed_count);
  close(silent);
  close(gone);
  close(next);
}

static void test_closing_drops_those_that_wait_for_a_hello(void **state) {
  start_listening((t2_listener_options){.pass = &all});
  int fd = plug();
  assert_int_equal(send(fd, hello, 20, 0), 20);
  turns(5);
  t2_listener_close(listener, on_listener_close, NULL);
  listener = NULL;
  RUN_UNTIL(&tl, listener_closed && unplugged(fd));
  close(fd);
}

/* ---- Memory ---- */

static void pass_with_little_memory(t2_test_mem *mem, void *user) {
  test_loop other;
  t2_listener_options options = {.address = "127.0.0.1:0", .pass = &dropping, .hello_ms = 5000};
  (void)user;
  passed_count = 0;
  if (!test_loop_open(&other, &mem->hook, NULL)) return;
  int err = t2_listener_new(&listener, other.loop, &options, on_accept, NULL, NULL, 0);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) {
    int fd = plug();
    send_hello(fd);
    RUN_UNTIL(&other, passed_count || unplugged(fd));
    close(fd);
    t2_listener_close(listener, NULL, NULL);
  }
  test_loop_close(&other);
}

static void test_missing_memory_closes_it(void **state) {
  t2_test_mem_fail_each(pass_with_little_memory, NULL);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_all)

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(test_what_was_read_is_passed_on_first_and_whole),
      ON_LOOP(test_it_waits_until_its_user_reads),
      ON_LOOP(test_what_is_left_unread_goes_with_the_connection),
      ON_LOOP(test_its_user_may_drop_it_at_once),
      ON_LOOP(test_other_names_are_terminated),
      ON_LOOP(test_a_proxy_may_be_in_front),
      ON_LOOP(test_what_is_no_tls_is_told),
      ON_LOOP(test_a_hello_is_read_up_to_its_bound),
      ON_LOOP(test_without_a_hello_it_is_closed),
      ON_LOOP(test_closing_drops_those_that_wait_for_a_hello),
      cmocka_unit_test(test_missing_memory_closes_it),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
