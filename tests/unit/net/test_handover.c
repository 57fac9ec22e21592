#include "fixture.h"

#include <fcntl.h>
#include <net/handover.h>
#include <net/listener_socket.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tunnel2/error.h>
#include <unistd.h>

/* NOLINTBEGIN(concurrency-mt-unsafe): the other thread does not touch the environment */

/* The one that runs is on the loop; the next one, whose calls wait, in a thread of its own. */
static test_loop tl;
static t2_handover *handover;
static t2_handover_set given, taken;
static char path[256], log_text[128];
static unsigned asked, attached, serving, abandoned;
static size_t sessions;

static void on_take(t2_handover *h, void *user) {
  asked++;
  if (user) assert_int_equal(t2_handover_give(h, &given, 7), 0);
}
static void on_attached(t2_handover *h, void *user) {
  attached++;
}
static void on_serving(t2_handover *h, void *user) {
  serving++;
}
static void on_abandoned(t2_handover *h, void *user) {
  abandoned++;
}
static const t2_handover_ops ops = {on_take, on_attached, on_serving, on_abandoned};

static int setup(void **state) {
  const t2_log log = {0};
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof(path), "%s/t2-%ld.handover", folder ? folder : "/tmp", (long)getpid());
  handover = NULL;
  asked = attached = serving = abandoned = 0;
  sessions = 0;
  t2_handover_set_init(&given, NULL);
  t2_handover_set_init(&taken, NULL);
  return test_loop_open(&tl, NULL, &log) ? 0 : -1;
}

static int teardown(void **state) {
  if (handover) t2_handover_close(handover);
  t2_handover_set_fini(&given);
  t2_handover_set_fini(&taken);
  test_loop_close(&tl);
  assert_int_not_equal(access(path, F_OK), 0);
  return 0;
}

static void start(bool answers) {
  const t2_log log = {0};
  char detail[200] = "";
  if (t2_handover_listen(&handover, &tl.uv, NULL, &log, path, &ops, answers ? &tl : NULL, detail,
                         sizeof(detail)))
    fail_msg("%s", detail);
}

/* A listening socket on a free port. */
static int make_listener(void) {
  t2_listener_socket_state opened;
  const t2_listener_options options = {.address = "127.0.0.1:0"};
  assert_int_equal(t2_listener_socket_open(&opened, &options, log_text, sizeof(log_text)), 0);
  return opened.fd;
}

typedef struct next_one {
  pthread_t thread;
  uint64_t timeout_ms;
  int err, conn;
  bool done;
  char detail[200];
} next_one;

static void *take(void *user) {
  next_one *n = user;
  n->err = t2_handover_take(&taken, path, n->timeout_ms, &n->conn, &sessions, n->detail, sizeof(n->detail));
  __atomic_store_n(&n->done, true, __ATOMIC_RELEASE);
  return NULL;
}

static void take_beside(next_one *n, uint64_t timeout_ms) {
  *n = (next_one){.timeout_ms = timeout_ms, .conn = -1};
  assert_int_equal(pthread_create(&n->thread, NULL, take, n), 0);
  RUN_UNTIL(&tl, __atomic_load_n(&n->done, __ATOMIC_ACQUIRE));
  pthread_join(n->thread, NULL);
}

static void test_sockets_go_over_and_what_waits_in_them_stays(void **state) {
  next_one n;
  struct sockaddr_in address;
  socklen_t size = sizeof(address);
  assert_int_equal(t2_handover_set_add(&given, "public", make_listener()), 0);
  assert_int_equal(t2_handover_set_add(&given, "tcp-20000", make_listener()), 0);
  assert_int_equal(getsockname(given.list[0].fd, (struct sockaddr *)&address, &size), 0);
  int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(waiting, (struct sockaddr *)&address, size), 0);
  start(true);
  take_beside(&n, 5000);
  assert_int_equal(n.err, 0);
  assert_int_equal(sessions, 7);
  assert_int_equal(taken.n, 2);
  t2_handover_set_fini(&given);
  int fd = t2_handover_set_take(&taken, "public");
  assert_true(fd >= 0 && t2_handover_set_take(&taken, "public") == -1);
  int accepted = accept(fd, NULL, NULL);
  assert_true(accepted >= 0);
  assert_int_equal(t2_handover_say(n.conn, T2_HANDOVER_ATTACHED), 0);
  RUN_UNTIL(&tl, attached);
  assert_int_equal(t2_handover_say(n.conn, T2_HANDOVER_SERVING), 0);
  RUN_UNTIL(&tl, serving);
  assert_int_equal(abandoned, 0);
  close(accepted), close(fd), close(waiting), close(n.conn);
}

static void test_as_many_as_may_be(void **state) {
  next_one n;
  int fd = make_listener();
  for (unsigned i = 0; i < T2_HANDOVER_SOCKETS_MAX / 8; i++)
    assert_int_equal(t2_handover_set_add_copy(&given, "udp-1", fd), 0);
  close(fd);
  start(true);
  take_beside(&n, 5000);
  assert_int_equal(n.err, 0);
  assert_int_equal(taken.n, T2_HANDOVER_SOCKETS_MAX / 8);
  close(n.conn);
  RUN_UNTIL(&tl, abandoned);
}

static void test_set_is_bounded(void **state) {
  given.n = given.cap = T2_HANDOVER_SOCKETS_MAX; /* of nothing */
  assert_int_equal(t2_handover_set_add(&given, "a", dup(0)), T2_ERR_LIMIT);
  given.n = given.cap = 0;
  assert_int_equal(t2_handover_set_add(&given, "", dup(0)), T2_ERR_INVALID);
  assert_int_equal(t2_handover_set_add(&given, "a b", dup(0)), T2_ERR_INVALID);
  assert_int_equal(t2_handover_set_add(&given, "a2345678901234567890123456789012", dup(0)), T2_ERR_INVALID);
  assert_int_equal(t2_handover_set_add(&given, "a234567890123456789012345678901", dup(0)), 0);
}

static void test_nobody_is_there(void **state) {
  int conn;
  char detail[200];
  assert_int_equal(t2_handover_take(&taken, path, 100, &conn, &sessions, detail, sizeof(detail)),
                   T2_ERR_NOT_FOUND);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  struct sockaddr_un stale = {.sun_family = AF_UNIX};
  snprintf(stale.sun_path, sizeof(stale.sun_path), "%.100s", path);
  assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof(stale)), 0);
  close(fd); /* the file of one that was killed */
  assert_int_equal(t2_handover_take(&taken, path, 100, &conn, &sessions, detail, sizeof(detail)),
                   T2_ERR_NOT_FOUND);
  start(true);
}

static void test_silence_is_bounded_for_the_next_one(void **state) {
  next_one n;
  start(false);
  take_beside(&n, 200);
  assert_int_equal(n.err, T2_ERR_TIMEOUT);
  assert_non_null(strstr(n.detail, "does not answer"));
  assert_int_equal(n.conn, -1);
  RUN_UNTIL(&tl, abandoned);
  assert_int_equal(asked, 1);
}

static void test_next_one_that_goes_is_noticed(void **state) {
  next_one n;
  start(true);
  take_beside(&n, 5000);
  assert_int_equal(n.err, 0);
  assert_int_equal(t2_handover_say(n.conn, T2_HANDOVER_ATTACHED), 0);
  RUN_UNTIL(&tl, attached);
  close(n.conn);
  RUN_UNTIL(&tl, abandoned);
  take_beside(&n, 5000); /* and another may try */
  assert_int_equal(n.err, 0);
  close(n.conn);
  RUN_UNTIL(&tl, abandoned == 2);
  assert_int_equal(serving, 0);
}

static void test_words_out_of_order_end_it(void **state) {
  next_one n;
  start(true);
  take_beside(&n, 5000);
  assert_int_equal(t2_handover_say(n.conn, T2_HANDOVER_SERVING), 0);
  RUN_UNTIL(&tl, abandoned);
  assert_int_equal(attached + serving, 0);
  close(n.conn);
}

static void test_file_is_its_owners_and_the_followers_stays(void **state) {
  struct stat made;
  start(true);
  assert_int_equal(stat(path, &made), 0);
  assert_int_equal(made.st_mode & 07777, 0600);
  t2_handover *old = handover;
  start(true);
  t2_handover_close(old);
  assert_int_equal(access(path, F_OK), 0);
}

static void test_path_may_be_too_long(void **state) {
  char longest[200], detail[300];
  const t2_log log = {0};
  memset(longest, 'x', sizeof(longest) - 1);
  longest[sizeof(longest) - 1] = '\0';
  assert_int_equal(
      t2_handover_listen(&handover, &tl.uv, NULL, &log, longest, &ops, NULL, detail, sizeof(detail)),
      T2_ERR_LIMIT);
}

static void test_sockets_of_the_environment(void **state) {
  char pid[24];
  snprintf(pid, sizeof(pid), "%ld", (long)getpid() + 1);
  setenv("LISTEN_PID", pid, 1);
  setenv("LISTEN_FDS", "2", 1);
  assert_int_equal(t2_handover_set_from_environment(&taken), 0);
  assert_int_equal(taken.n, 0); /* they are another's */
  int first = open("/dev/null", O_RDONLY | O_CLOEXEC), at = 3, kept[2];
  for (int i = 0; i < 2; i++) {
    kept[i] = dup(at + i); /* whatever the test has there */
    assert_int_equal(dup2(first, at + i), at + i);
  }
  snprintf(pid, sizeof(pid), "%ld", (long)getpid());
  setenv("LISTEN_PID", pid, 1);
  setenv("LISTEN_FDNAMES", "public:T2 Unit.socket", 1);
  assert_int_equal(t2_handover_set_from_environment(&taken), 0);
  assert_int_equal(taken.n, 2);
  assert_string_equal(taken.list[0].name, "public");
  assert_string_equal(taken.list[1].name, "unknown");
  assert_null(getenv("LISTEN_FDS"));
  t2_handover_set_fini(&taken);
  for (int i = 0; i < 2; i++) {
    if (kept[i] < 0) continue;
    assert_int_equal(dup3(kept[i], at + i, O_CLOEXEC), at + i);
    close(kept[i]);
  }
  if (first > 4) close(first);
}

#define handover_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      handover_test(test_sockets_go_over_and_what_waits_in_them_stays),
      handover_test(test_as_many_as_may_be),
      handover_test(test_set_is_bounded),
      handover_test(test_nobody_is_there),
      handover_test(test_silence_is_bounded_for_the_next_one),
      handover_test(test_next_one_that_goes_is_noticed),
      handover_test(test_words_out_of_order_end_it),
      handover_test(test_file_is_its_owners_and_the_followers_stays),
      handover_test(test_path_may_be_too_long),
      handover_test(test_sockets_of_the_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(concurrency-mt-unsafe) */
