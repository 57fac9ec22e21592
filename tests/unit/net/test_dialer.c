#include "fixture.h"

#include <arpa/inet.h>
#include <base/file.h>
#include <net/conn_internal.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>

static test_loop tl;

typedef struct call {
  unsigned calls;
  int err;
  char detail[256];
  test_peer peer;
} call;

static call done;
static test_peer accepted;
static t2_listener *listener;

static int open_loop(void **state) {
  memset(&done, 0, sizeof(done));
  memset(&accepted, 0, sizeof(accepted));
  t2_buf_init(&done.peer.in, NULL);
  t2_buf_init(&accepted.in, NULL);
  listener = NULL;
  return test_loop_open(&tl, NULL, NULL) ? 0 : -1;
}

static int close_all(void **state) {
  if (listener) t2_listener_close(listener, NULL, NULL);
  if (done.peer.conn) t2_conn_close(done.peer.conn, 0);
  if (accepted.conn) t2_conn_close(accepted.conn, 0);
  RUN_UNTIL(&tl, !done.peer.conn && !accepted.conn);
  t2_buf_fini(&done.peer.in);
  t2_buf_fini(&accepted.in);
  test_loop_close(&tl);
  return 0;
}

static void on_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  call *c = user;
  (void)dial;
  c->calls++;
  c->err = err;
  snprintf(c->detail, sizeof(c->detail), "%s", detail);
  assert_true((conn == NULL) == (err != 0));
  c->peer.conn = conn;
  if (conn) t2_conn_set_ops(conn, &test_peer_ops, &c->peer);
}

static void on_accept(t2_listener *l, t2_conn *conn, void *user) {
  (void)l, (void)user;
  if (accepted.conn) {
    t2_conn_close(conn, 0);
    return;
  }
  accepted.conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops, &accepted);
}

static uint16_t listen_on(const char *address, t2_tls *tls) {
  t2_listener_options options = {.address = address, .tls = tls};
  char detail[256];
  if (t2_listener_new(&listener, tl.loop, &options, on_accept, NULL, detail, sizeof(detail)))
    fail_msg("%s", detail);
  return t2_listener_port(listener);
}

static t2_dial *start(t2_dial_options options) {
  t2_dial *dial;
  assert_int_equal(t2_dial_start(&dial, tl.loop, &options, on_dialled, &done), 0);
  assert_int_equal(done.calls, 0);
  return dial;
}

static int dial_and_wait(t2_dial_options options) {
  start(options);
  RUN_UNTIL(&tl, done.calls);
  return done.err;
}

static void assert_detail(const char *words) {
  if (!strstr(done.detail, words)) fail_msg("\"%s\" is not in \"%s\"", words, done.detail);
}

/* A bound socket of the loopback; with a full backlog nothing that connects gets an answer. */
static int bound_socket(uint16_t *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  *port = ntohs(address.sin_port);
  return fd;
}

typedef struct deaf {
  int fd, plugs[4];
  uint16_t port;
} deaf;

static void make_deaf(deaf *d) {
  d->fd = bound_socket(&d->port);
  assert_int_equal(listen(d->fd, 0), 0);
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(d->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  for (int i = 0; i < 4; i++) {
    d->plugs[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(d->plugs[i], (struct sockaddr *)&to, sizeof(to));
  }
}

static void free_deaf(deaf *d) {
  close(d->fd);
  for (int i = 0; i < 4; i++)
    close(d->plugs[i]);
}

/* ---- Addresses and names ---- */

static void test_literal_addresses_are_connected_to(void **state) {
  uint16_t port = listen_on("[::1]:0", NULL);
  assert_int_equal(dial_and_wait((t2_dial_options){.host = T2_STR("::1"), .port = port}), 0);
  assert_string_equal(done.detail, "");
  assert_true(t2_str_eq(t2_conn_peer(done.peer.conn), t2_str_c(t2_listener_address(listener))));
  test_peer_send(&done.peer, "hello");
  RUN_UNTIL(&tl, test_peer_got(&accepted, "hello"));
}

static void test_localhost_needs_no_name_server(void **state) {
  uint16_t port = listen_on("127.0.0.1:0", NULL);
  const char *const names[] = {"localhost", "LOCALHOST", "some-session.localhost"};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(dial_and_wait((t2_dial_options){.host = t2_str_c(names[i]), .port = port}), 0);
    t2_conn_close(done.peer.conn, 0);
    RUN_UNTIL(&tl, !done.peer.conn);
    done.calls = 0;
    done.peer.closed = false;
  }
}

static void test_refusal_is_told_with_the_address(void **state) {
  char words[64];
  uint16_t port;
  int fd = bound_socket(&port); /* bound, but nobody listens */
  assert_int_equal(dial_and_wait((t2_dial_options){.host = T2_STR("127.0.0.1"), .port = port}),
                   T2_ERR_REFUSED);
  snprintf(words, sizeof(words), "127.0.0.1:%u: connection refused", (unsigned)port);
  assert_string_equal(done.detail, words);
  close(fd);
}

static void test_name_that_does_not_resolve_is_told(void **state) {
  /* No label may be so long, so no name server is asked. */
  t2_str name = T2_STR("0123456789012345678901234567890123456789012345678901234567890123456789.invalid");
  assert_int_equal(dial_and_wait((t2_dial_options){.host = name, .port = 1}), T2_ERR_RESOLVE);
  assert_detail("does not resolve");
  assert_detail("0123456789.invalid");
}

static void test_options_that_cannot_work_are_refused_at_once(void **state) {
  char longest[300];
  memset(longest, 'a', sizeof(longest));
  longest[sizeof(longest) - 1] = '\0';
  const t2_dial_options cases[] = {
      {.port = 1},
      {.host = T2_STR("localhost")},
      {.host = {longest, 255}, .port = 1},
      {.host = T2_STR("a\0b"), .port = 1},
      {.unix_path = ""},
      {.unix_path = longest},
  };
  t2_dial *dial = NULL;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    assert_int_equal(t2_dial_start(&dial, tl.loop, &cases[i], on_dialled, &done), T2_ERR_INVALID);
    assert_null(dial);
  }
  uv_run(&tl.uv, UV_RUN_NOWAIT);
  assert_int_equal(done.calls, 0);
}

static void test_unix_path_that_is_missing_is_refused(void **state) {
  assert_int_equal(dial_and_wait((t2_dial_options){.unix_path = test_file("no-socket")}), T2_ERR_REFUSED);
  assert_detail("no-socket: ");
}

/* ---- Happy Eyeballs ---- */

static void test_second_family_is_tried_at_once_when_the_first_refuses(void **state) {
  uint16_t port = listen_on("[::1]:0", NULL);
  uint64_t start_ms = t2_clock_mono_ms();
  assert_int_equal(dial_and_wait((t2_dial_options){.host = T2_STR("localhost"), .port = port}), 0);
  assert_true(t2_clock_mono_ms() - start_ms < 200);
  assert_true(t2_str_eq(t2_conn_peer_host(done.peer.conn), T2_STR("::1")));
}

static void test_second_family_is_tried_after_250_ms_without_an_answer(void **state) {
  char address[32];
  deaf d;
  make_deaf(&d);
  snprintf(address, sizeof(address), "[::1]:%u", (unsigned)d.port);
  listen_on(address, NULL);
  uint64_t start_ms = t2_clock_mono_ms();
  assert_int_equal(dial_and_wait((t2_dial_options){.host = T2_STR("localhost"), .port = d.port}), 0);
  assert_true(t2_clock_mono_ms() - start_ms >= 240);
  assert_true(t2_str_eq(t2_conn_peer_host(done.peer.conn), T2_STR("::1")));
  free_deaf(&d);
}

static void test_last_failure_is_told_when_all_fail(void **state) {
  uint16_t port;
  int fd = bound_socket(&port);
  assert_int_equal(dial_and_wait((t2_dial_options){.host = T2_STR("localhost"), .port = port}),
                   T2_ERR_REFUSED);
  assert_detail("[::1]:");
  close(fd);
}

/* ---- The timeout, and giving up ---- */

static void test_timeout_covers_connecting(void **state) {
  deaf d;
  make_deaf(&d);
  t2_dial_options options = {.host = T2_STR("127.0.0.1"), .port = d.port, .timeout_ms = 50};
  assert_int_equal(dial_and_wait(options), T2_ERR_TIMEOUT);
  assert_string_equal(done.detail, "127.0.0.1: connecting took longer than 50 ms");
  free_deaf(&d);
}

static void test_timeout_covers_the_handshake(void **state) {
  t2_tls *tls = test_client_tls(tl.loop, NULL);
  uint16_t port = listen_on("127.0.0.1:0", NULL); /* takes the hello, says nothing */
  t2_dial_options options = {.host = T2_STR("127.0.0.1"), .port = port, .tls = tls, .timeout_ms = 50};
  assert_int_equal(dial_and_wait(options), T2_ERR_TIMEOUT);
  assert_detail("the TLS handshake took longer than 50 ms");
  t2_tls_unref(tls);
}

static void test_cancelled_attempts_never_call_back(void **state) {
  t2_tls *tls = test_client_tls(tl.loop, NULL);
  uint16_t port;
  int fd = bound_socket(&port); /* connections wait in its backlog, and nobody answers */
  assert_int_equal(listen(fd, 64), 0);
  const t2_dial_options cases[] = {
      {.host = T2_STR("127.0.0.1"), .port = port},
      {.host = T2_STR("127.0.0.1"), .port = port, .tls = tls},
      {.host = T2_STR("localhost"), .port = port, .tls = tls},
      {.host = T2_STR("does-not-matter.invalid"), .port = port},
      {.unix_path = "/nowhere"},
  };
  for (unsigned turns = 0; turns < 4; turns++) {
    for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
      if (turns && i != 1 && i != 2) continue; /* the others may be done by then */
      t2_dial *dial = start(cases[i]);
      for (unsigned t = 0; t < turns; t++)
        uv_run(&tl.uv, UV_RUN_NOWAIT);
      t2_dial_cancel(dial);
    }
  }
  for (int i = 0; i < 20; i++)
    uv_run(&tl.uv, UV_RUN_NOWAIT);
  assert_int_equal(done.calls, 0);
  t2_tls_unref(tls);
  close(fd);
}

/* ---- TLS ---- */

static void dial_tls(const char *host, const char *server_name, const char *ca, int want) {
  t2_tls *server = test_server_tls(tl.loop, NULL), *client;
  assert_int_equal(t2_tls_client_new(&client, tl.loop, test_file(ca), NULL, NULL, 0), 0);
  uint16_t port = listen_on("127.0.0.1:0", server);
  t2_dial_options options = {
      .host = t2_str_c(host), .port = port, .tls = client, .server_name = t2_str_c(server_name)};
  assert_int_equal(dial_and_wait(options), want);
  t2_tls_unref(server);
  t2_tls_unref(client);
}

static void test_address_is_verified_by_itself(void **state) {
  dial_tls("127.0.0.1", "", "ca.pem", 0);
  assert_true(t2_conn_is_tls(done.peer.conn));
}

static void test_server_name_is_verified_in_place_of_the_host(void **state) {
  dial_tls("localhost", NAME, "ca.pem", 0);
}

static void test_host_is_verified_by_default(void **state) {
  dial_tls("localhost", "", "ca.pem", T2_ERR_CERTIFICATE);
  assert_detail("127.0.0.1:");
  assert_detail("certificate is not for the name localhost");
}

static void test_authority_that_is_not_known_is_told(void **state) {
  dial_tls("127.0.0.1", "", "other-ca.pem", T2_ERR_CERTIFICATE);
  assert_detail("certificate is not signed by a trusted authority");
}

static void test_name_that_cannot_be_verified_is_invalid(void **state) {
  dial_tls("127.0.0.1", "no name at all", "ca.pem", T2_ERR_INVALID);
}

static void test_server_that_closes_in_the_handshake_is_told(void **state) {
  t2_tls *tls = test_client_tls(tl.loop, NULL);
  uint16_t port = listen_on("127.0.0.1:0", NULL);
  start((t2_dial_options){.host = T2_STR("127.0.0.1"), .port = port, .tls = tls});
  RUN_UNTIL(&tl, t2_buf_len(&accepted.in));
  t2_conn_shutdown(accepted.conn);
  RUN_UNTIL(&tl, done.calls);
  assert_int_equal(done.err, T2_ERR_CLOSED);
  assert_detail("the peer closed the connection within the TLS handshake");
  t2_tls_unref(tls);
}

static void on_process_close(uv_handle_t *handle) {
  *(bool *)handle->data = true;
}

static void test_openssl_s_server_is_resumed(void **state) {
  uint16_t port;
  char text[8];
  close(bound_socket(&port));
  snprintf(text, sizeof(text), "%u", (unsigned)port);
  const char *const argv[] = {"timeout",  "20",
                              "openssl",  "s_server",
                              "-accept",  text,
                              "-cert",    test_file("server.pem"),
                              "-key",     test_file("server-key.pem"),
                              "-naccept", "2",
                              "-quiet",   NULL};
  uv_process_t process;
  bool closed = false;
  uv_process_options_t spawn = {.file = argv[0], .args = (char **)argv};
  t2_tls *tls = test_client_tls(tl.loop, NULL);
  t2_dial_options options = {.host = T2_STR("127.0.0.1"), .port = port, .tls = tls};
  assert_int_equal(uv_spawn(&tl.uv, &process, &spawn), 0);
  for (int i = 0; i < 2; i++) {
    for (done.err = T2_ERR_REFUSED; done.err == T2_ERR_REFUSED;) { /* until it listens */
      done.calls = 0;
      dial_and_wait(options);
    }
    assert_int_equal(done.err, 0);
    assert_int_equal(t2_tls_stream_resumed(done.peer.conn->tls), i == 1);
    t2_conn_shutdown(done.peer.conn);
    RUN_UNTIL(&tl, done.peer.eof || done.peer.closed);
    if (done.peer.conn) t2_conn_close(done.peer.conn, 0);
    RUN_UNTIL(&tl, done.peer.closed);
    done.peer.closed = done.peer.eof = false;
  }
  process.data = &closed;
  uv_process_kill(&process, SIGTERM);
  uv_close((uv_handle_t *)&process, on_process_close);
  RUN_UNTIL(&tl, closed);
  t2_tls_unref(tls);
}

/* ---- Memory ---- */

static void connect_both_ways(t2_test_mem *mem, void *user) {
  test_loop other;
  t2_dial *dial;
  t2_dial_options options = *(const t2_dial_options *)user;
  call c = {0};
  t2_buf_init(&c.peer.in, NULL);
  if (!test_loop_open(&other, &mem->hook, NULL)) return;
  int err = t2_dial_start(&dial, other.loop, &options, on_dialled, &c);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) {
    RUN_UNTIL(&other, c.calls);
    assert_int_equal(c.calls, 1);
    if (c.peer.conn) t2_conn_close(c.peer.conn, 0);
    assert_true(c.err == 0 || mem->failed);
    RUN_UNTIL(&other, !c.peer.conn);
  }
  test_loop_close(&other);
  t2_buf_fini(&c.peer.in);
}

static void test_missing_memory_is_told(void **state) {
  t2_dial_options options = {.host = T2_STR("localhost")};
  int fd = bound_socket(&options.port);
  assert_int_equal(listen(fd, 64), 0);
  t2_test_mem_fail_each(connect_both_ways, &options);
  close(fd);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_all)

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(test_literal_addresses_are_connected_to),
      ON_LOOP(test_localhost_needs_no_name_server),
      ON_LOOP(test_refusal_is_told_with_the_address),
      ON_LOOP(test_name_that_does_not_resolve_is_told),
      ON_LOOP(test_options_that_cannot_work_are_refused_at_once),
      ON_LOOP(test_unix_path_that_is_missing_is_refused),
      ON_LOOP(test_second_family_is_tried_at_once_when_the_first_refuses),
      ON_LOOP(test_second_family_is_tried_after_250_ms_without_an_answer),
      ON_LOOP(test_last_failure_is_told_when_all_fail),
      ON_LOOP(test_timeout_covers_connecting),
      ON_LOOP(test_timeout_covers_the_handshake),
      ON_LOOP(test_cancelled_attempts_never_call_back),
      ON_LOOP(test_address_is_verified_by_itself),
      ON_LOOP(test_server_name_is_verified_in_place_of_the_host),
      ON_LOOP(test_host_is_verified_by_default),
      ON_LOOP(test_authority_that_is_not_known_is_told),
      ON_LOOP(test_name_that_cannot_be_verified_is_invalid),
      ON_LOOP(test_server_that_closes_in_the_handshake_is_told),
      ON_LOOP(test_openssl_s_server_is_resumed),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
