#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <tunnel2/error.h>

/* Loops in threads of their own share nothing: run under ThreadSanitizer. */

enum { THREADS = 2, ROUNDS = 12, BYTES = 200 * 1000 };

typedef struct thread {
  pthread_t id;
  char *cert, *key, *ca; /* paths, made before the threads start */
  unsigned rounds;       /* that ended well */
} thread;

/* One connection at a time: the client sends BYTES, the server sends them back. */
typedef struct side {
  uv_loop_t uv;
  t2_loop *loop;
  t2_listener *listener;
  t2_tls *server_tls, *client_tls;
  t2_conn *client;
  size_t sent, got;
  unsigned rounds;
  bool failed;
} side;

static void start_round(side *s);

static void server_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  (void)user;
  t2_buf_append(t2_conn_out(conn), bytes, n);
  t2_conn_wake(conn);
}

static void server_eof(t2_conn *conn, void *user) {
  (void)user;
  t2_conn_finish(conn, 1000);
}

static void server_close(t2_conn *conn, int err, void *user) {
  (void)conn;
  if (err) ((side *)user)->failed = true;
}

static const t2_conn_ops server_ops = {
    .on_data = server_data, .on_eof = server_eof, .on_close = server_close};

static void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  (void)listener;
  t2_conn_set_ops(conn, &server_ops, user);
}

static void end(side *s) {
  t2_listener_close(s->listener, NULL, NULL);
  t2_tls_unref(s->server_tls);
  t2_tls_unref(s->client_tls);
  t2_loop_close(s->loop, NULL, NULL);
}

static void client_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  side *s = user;
  for (size_t i = 0; i < n; i++)
    if (bytes[i] != test_pattern(s->got + i)) s->failed = true;
  s->got += n;
  if (s->got == BYTES) t2_conn_shutdown(conn);
}

/* Ends the round when the server has ended its side too. */
static void client_eof(t2_conn *conn, void *user) {
  (void)user;
  t2_conn_close(conn, 0);
}

static void client_flush(t2_conn *conn, void *user) {
  side *s = user;
  while (s->sent < BYTES && t2_conn_pending(conn) < T2_CONN_HIGH_WATER)
    t2_buf_append_byte(t2_conn_out(conn), test_pattern(s->sent++));
}

static void client_written(t2_conn *conn, void *user) {
  if (((side *)user)->sent < BYTES) t2_conn_wake(conn);
}

static void client_close(t2_conn *conn, int err, void *user) {
  side *s = user;
  (void)conn;
  if (err || s->got != BYTES) s->failed = true;
  if (!s->failed && ++s->rounds < ROUNDS)
    start_round(s);
  else
    end(s);
}

static const t2_conn_ops client_ops = {.on_data = client_data,
                                       .on_eof = client_eof,
                                       .on_flush = client_flush,
                                       .on_written = client_written,
                                       .on_close = client_close};

static void on_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  side *s = user;
  (void)dial, (void)detail;
  if (err) {
    s->failed = true;
    end(s);
    return;
  }
  t2_conn_set_ops(conn, &client_ops, s);
  t2_conn_wake(conn);
}

/* By name and by address in turn. */
static void start_round(side *s) {
  t2_dial_options options = {.host = s->rounds % 2 ? T2_STR("127.0.0.1") : T2_STR("localhost"),
                             .port = t2_listener_port(s->listener),
                             .tls = s->client_tls,
                             .server_name = T2_STR(NAME)};
  t2_dial *dial;
  s->sent = s->got = 0;
  if (t2_dial_start(&dial, s->loop, &options, on_dialled, s) == 0) return;
  s->failed = true;
  end(s);
}

static bool open_side(side *s, const thread *t) {
  t2_listener_options options = {.address = "127.0.0.1:0"};
  memset(s, 0, sizeof(*s));
  if (uv_loop_init(&s->uv) || t2_loop_new(&s->loop, &s->uv, NULL, NULL)) return false;
  if (t2_tls_server_new(&s->server_tls, s->loop, t->cert, t->key, NULL, NULL, 0)) return false;
  if (t2_tls_client_new(&s->client_tls, s->loop, t->ca, NULL, NULL, 0)) return false;
  options.tls = s->server_tls;
  return t2_listener_new(&s->listener, s->loop, &options, on_accept, s, NULL, 0) == 0;
}

static void *run_thread(void *arg) {
  thread *t = arg;
  side s;
  if (!open_side(&s, t)) return NULL;
  start_round(&s);
  uv_run(&s.uv, UV_RUN_DEFAULT);
  if (uv_loop_close(&s.uv) == 0 && !s.failed) t->rounds = s.rounds;
  return NULL;
}

static void test_loops_in_threads_share_nothing(void **state) {
  thread threads[THREADS] = {{.rounds = 0}};
  for (int i = 0; i < THREADS; i++) {
    threads[i].cert = t2_strdup(NULL, test_file("server.pem"));
    threads[i].key = t2_strdup(NULL, test_file("server-key.pem"));
    threads[i].ca = t2_strdup(NULL, test_file("ca.pem"));
  }
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i].id, NULL, run_thread, &threads[i]), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i].id, NULL), 0);
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(threads[i].rounds, ROUNDS);
    t2_free(NULL, threads[i].cert);
    t2_free(NULL, threads[i].key);
    t2_free(NULL, threads[i].ca);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_loops_in_threads_share_nothing),
  };
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
