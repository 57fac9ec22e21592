#include "fixture.h"

#include <base/file.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/certificate.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tunnel2/error.h>
#include <unistd.h>

extern char **environ;

/* ---- The loop ---- */

static void on_tick(uv_timer_t *timer) {
  (void)timer;
}

bool test_loop_open(test_loop *tl, const t2_allocator *mem, const t2_log *log) {
  signal(SIGPIPE, SIG_IGN); /* as every program has to */
  assert_int_equal(uv_loop_init(&tl->uv), 0);
  if (t2_loop_new(&tl->loop, &tl->uv, mem, log)) {
    assert_int_equal(uv_loop_close(&tl->uv), 0);
    return false;
  }
  uv_timer_init(&tl->uv, &tl->tick);
  uv_timer_start(&tl->tick, on_tick, 5, 5);
  uv_unref((uv_handle_t *)&tl->tick);
  return true;
}

static void on_loop_close(t2_loop *loop, void *user) {
  (void)loop;
  *(bool *)user = true;
}

void test_loop_close(test_loop *tl) {
  bool closed = false;

  t2_loop_close(tl->loop, on_loop_close, &closed);
  RUN_UNTIL(tl, closed);
  uv_close((uv_handle_t *)&tl->tick, NULL);
  uv_run(&tl->uv, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&tl->uv), 0);
}

void test_loop_turn(test_loop *tl, uint64_t deadline) {
  bool alive = uv_run(&tl->uv, UV_RUN_ONCE) != 0;

  if (!alive) uv_run(&tl->uv, UV_RUN_NOWAIT);
  if (t2_clock_mono_ms() > deadline) fail_msg("what was waited for did not come");
}

uint64_t test_deadline(void) {
  return t2_clock_mono_ms() + DEADLINE_MS;
}

/* ---- Certificates ---- */

static char dir[64];

const char *test_file(const char *name) {
  static char paths[4][192];
  static unsigned next;
  char *path = paths[next++ % 4];

  snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
  return path;
}

static void write_buf(const char *name, const t2_buf *buf) {
  assert_int_equal(t2_file_write(test_file(name), t2_buf_head(buf), t2_buf_len(buf), 0600), 0);
}

void test_file_write(const char *name, const char *text) {
  assert_int_equal(t2_file_write(test_file(name), text, strlen(text), 0600), 0);
}

static void issue(t2_buf *ca, t2_buf *ca_key, unsigned days, const char *cert_name, const char *key_name) {
  static const char *const names[] = {NAME, "*.wild.test", "127.0.0.1", "::1"};
  t2_buf cert, key;

  t2_buf_init(&cert, NULL);
  t2_buf_init(&key, NULL);
  assert_int_equal(
      t2_certificate_issue(NULL, t2_buf_cstr(ca), t2_buf_cstr(ca_key), names, 4, days, &cert, &key), 0);
  write_buf(cert_name, &cert);
  write_buf(key_name, &key);
  t2_buf_fini(&cert);
  t2_buf_fini(&key);
}

static void make_ca(t2_buf *ca, t2_buf *key, const char *name) {
  t2_buf_init(ca, NULL);
  t2_buf_init(key, NULL);
  assert_int_equal(t2_certificate_make_ca(NULL, "Test CA", 30, ca, key), 0);
  write_buf(name, ca);
}

int test_files_make(void **state) {
  t2_buf ca, key, other, other_key;

  (void)state;
  snprintf(dir, sizeof(dir), "/tmp/t2-net-XXXXXX");
  if (!mkdtemp(dir)) return -1;
  make_ca(&ca, &key, "ca.pem");
  make_ca(&other, &other_key, "other-ca.pem");
  issue(&ca, &key, 30, "server.pem", "server-key.pem");
  issue(&ca, &key, 0, "expired.pem", "expired-key.pem");
  t2_buf_fini(&ca);
  t2_buf_fini(&key);
  t2_buf_fini(&other);
  t2_buf_fini(&other_key);
  return 0;
}

int test_files_remove(void **state) {
  DIR *d = opendir(dir);

  (void)state;
  if (!d) return -1;
  for (struct dirent *entry; (entry = readdir(d));)
    if (entry->d_name[0] != '.') unlink(test_file(entry->d_name));
  closedir(d);
  return rmdir(dir);
}

t2_tls *test_server_tls(t2_loop *loop, const char *const *alpn) {
  char detail[256] = "";
  t2_tls *tls;

  if (t2_tls_server_new(&tls, loop, test_file("server.pem"), test_file("server-key.pem"), alpn, detail,
                        sizeof(detail)))
    fail_msg("%s", detail);
  return tls;
}

t2_tls *test_client_tls(t2_loop *loop, const char *const *alpn) {
  char detail[256] = "";
  t2_tls *tls;

  if (t2_tls_client_new(&tls, loop, test_file("ca.pem"), alpn, detail, sizeof(detail)))
    fail_msg("%s", detail);
  return tls;
}

/* ---- Connections ---- */

static void peer_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  test_peer *peer = user;

  t2_buf_append(&peer->in, bytes, n);
  peer->data_calls++;
  if (peer->in_max && t2_buf_len(&peer->in) >= peer->in_max) t2_conn_read_stop(conn);
}

static void peer_eof(t2_conn *conn, void *user) {
  (void)conn;
  ((test_peer *)user)->eof = true;
}

static void peer_written(t2_conn *conn, void *user) {
  (void)conn;
  ((test_peer *)user)->written_calls++;
}

static void peer_close(t2_conn *conn, int err, void *user) {
  test_peer *peer = user;

  assert_false(peer->closed);
  snprintf(peer->detail, sizeof(peer->detail), "%s", t2_conn_detail(conn));
  peer->closed = true;
  peer->err = err;
  peer->conn = NULL;
}

const t2_conn_ops test_peer_ops = {
    .on_data = peer_data, .on_eof = peer_eof, .on_written = peer_written, .on_close = peer_close};
const t2_conn_ops test_peer_ops_no_eof = {
    .on_data = peer_data, .on_written = peer_written, .on_close = peer_close};

void test_peer_send(test_peer *peer, const char *text) {
  t2_buf_append_c(t2_conn_out(peer->conn), text);
  t2_conn_wake(peer->conn);
}

bool test_peer_got(const test_peer *peer, const char *text) {
  size_t n = strlen(text);

  return t2_buf_len(&peer->in) == n && memcmp(t2_buf_head(&peer->in), text, n) == 0;
}

static void pair_accept(t2_listener *listener, t2_conn *conn, void *user) {
  test_pair *pair = user;

  (void)listener;
  assert_null(pair->server.conn);
  pair->server.conn = conn;
  t2_conn_set_ops(conn, &test_peer_ops, &pair->server);
}

static void pair_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  test_pair *pair = user;

  (void)dial, (void)detail;
  pair->dialled = true;
  pair->dial_err = err;
  pair->client.conn = conn;
  if (conn) t2_conn_set_ops(conn, &test_peer_ops, &pair->client);
}

static bool pair_tls(test_pair *pair) {
  t2_loop *loop = pair->tl->loop;

  return t2_tls_server_new(&pair->server_tls, loop, test_file("server.pem"), test_file("server-key.pem"),
                           NULL, NULL, 0) == 0 &&
         t2_tls_client_new(&pair->client_tls, loop, test_file("ca.pem"), NULL, NULL, 0) == 0;
}

bool test_pair_try(test_pair *pair, test_loop *tl, bool tls) {
  t2_listener_options listen = {.address = "127.0.0.1:0"};
  t2_dial_options dial = {.host = T2_STR("127.0.0.1"), .server_name = T2_STR(NAME)};
  t2_dial *attempt;

  memset(pair, 0, sizeof(*pair));
  pair->tl = tl;
  t2_buf_init(&pair->server.in, NULL);
  t2_buf_init(&pair->client.in, NULL);
  if (tls && !pair_tls(pair)) return false;
  listen.tls = pair->server_tls;
  if (t2_listener_new(&pair->listener, tl->loop, &listen, pair_accept, pair, NULL, 0)) return false;
  dial.tls = pair->client_tls;
  dial.port = t2_listener_port(pair->listener);
  if (t2_dial_start(&attempt, tl->loop, &dial, pair_dialled, pair)) return false;
  RUN_UNTIL(tl, pair->dialled);
  if (pair->dial_err) return false;
  RUN_UNTIL(tl, pair->server.conn || pair->client.closed || pair->client.eof);
  return pair->server.conn != NULL;
}

void test_pair_open(test_pair *pair, test_loop *tl, bool tls) {
  assert_true(test_pair_try(pair, tl, tls));
}

static void pair_listener_closed(void *user) {
  ((test_pair *)user)->listener_closed = true;
}

void test_pair_close(test_pair *pair) {
  if (pair->listener)
    t2_listener_close(pair->listener, pair_listener_closed, pair);
  else
    pair->listener_closed = true;
  if (pair->server.conn) t2_conn_close(pair->server.conn, T2_ERR_CANCELLED);
  if (pair->client.conn) t2_conn_close(pair->client.conn, T2_ERR_CANCELLED);
  RUN_UNTIL(pair->tl, pair->listener_closed && !pair->server.conn && !pair->client.conn);
  if (pair->server_tls) t2_tls_unref(pair->server_tls);
  if (pair->client_tls) t2_tls_unref(pair->client_tls);
  t2_buf_fini(&pair->server.in);
  t2_buf_fini(&pair->client.in);
}

/* ---- Other programs ---- */

static pid_t start(const char *const *argv, int out_fd) {
  posix_spawn_file_actions_t actions;
  pid_t pid;

  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
  int err = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  return err ? -1 : pid;
}

int test_run(const char *const *argv, char *out, size_t size) {
  int fds[2], status = 0;
  size_t n = 0;
  char drop[256];

  if (pipe2(fds, O_CLOEXEC)) return -1;
  pid_t pid = start(argv, fds[1]);
  close(fds[1]);
  for (ssize_t got = 1; pid > 0 && got > 0;) {
    size_t room = size - 1 - n;
    got = room ? read(fds[0], out + n, room) : read(fds[0], drop, sizeof(drop));
    if (got > 0 && room) n += (size_t)got;
  }
  out[n] = '\0';
  close(fds[0]);
  if (pid <= 0 || waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

typedef struct beside {
  uv_work_t work;
  const char *const *argv;
  char *out;
  size_t size;
  int status;
  bool done;
} beside;

static void on_work(uv_work_t *work) {
  beside *b = work->data;
  b->status = test_run(b->argv, b->out, b->size);
}

static void on_work_done(uv_work_t *work, int status) {
  (void)status;
  ((beside *)work->data)->done = true;
}

int test_run_beside(test_loop *tl, const char *const *argv, char *out, size_t size) {
  beside b = {.argv = argv, .out = out, .size = size};

  b.work.data = &b;
  assert_int_equal(uv_queue_work(&tl->uv, &b.work, on_work, on_work_done), 0);
  RUN_UNTIL(tl, b.done);
  return b.status;
}
