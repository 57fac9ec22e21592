/* What the tests of this layer share: a loop that is run until something holds, certificates in a directory
 * of their own, and other programs as peers. */
#ifndef T2_NET_TEST_FIXTURE_H
#define T2_NET_TEST_FIXTURE_H

#include <t2_test_mem.h>

#include <net/conn.h>
#include <net/dialer.h>
#include <net/listener.h>

#define DEADLINE_MS 20000 /* a test that waits longer has failed */

/* ---- The loop ---- */

typedef struct test_loop {
  uv_loop_t uv;
  t2_loop *loop;
  uv_timer_t tick; /* so that a turn never blocks for long */
} test_loop;

/* False when there was no memory for the t2_loop: nothing is left then. */
bool test_loop_open(test_loop *tl, const t2_allocator *mem, const t2_log *log);
/* Everything on it must be closing: runs until it has closed, and checks that nothing is left. */
void test_loop_close(test_loop *tl);
/* One turn. Fails the test when `deadline` (of t2_clock_mono_ms) has passed. */
void test_loop_turn(test_loop *tl, uint64_t deadline);
uint64_t test_deadline(void);

/* Runs the loop until the condition holds; fails the test after DEADLINE_MS. */
#define RUN_UNTIL(tl, condition)                                                                             \
  do {                                                                                                       \
    uint64_t deadline_ = test_deadline();                                                                    \
    while (!(condition))                                                                                     \
      test_loop_turn((tl), deadline_);                                                                       \
  } while (0)

/* ---- Certificates ---- */

#define NAME "server.test" /* the server certificate is for it, *.wild.test, 127.0.0.1 and ::1 */

/* Group setup and teardown: a directory with the files below. */
int test_files_make(void **state);
int test_files_remove(void **state);
/* The path of "ca.pem", "other-ca.pem", "server.pem", "server-key.pem", "expired.pem", "expired-key.pem" or
 * of a new file; valid until the fourth call after it. */
const char *test_file(const char *name);
void test_file_write(const char *name, const char *text);

t2_tls *test_server_tls(t2_loop *loop, const char *const *alpn);
t2_tls *test_client_tls(t2_loop *loop, const char *const *alpn);

/* ---- Bytes ---- */

/* The byte at this place of a stream that is easy to check. */
static inline uint8_t test_pattern(size_t at) {
  return (uint8_t)(at * 31 + (at >> 8) * 7);
}

/* ---- Connections ---- */

/* One end of a connection, which remembers what happened to it. */
typedef struct test_peer {
  t2_conn *conn; /* NULL once it is closed */
  t2_buf in;     /* what came */
  size_t in_max; /* past that it stops reading; 0: never */
  bool eof, closed;
  int err; /* of on_close */
  unsigned data_calls, written_calls;
  char detail[256];
} test_peer;

/* on_data, on_eof, on_written and on_close: what fills a test_peer, the user. */
extern const t2_conn_ops test_peer_ops;
/* The same without on_eof. */
extern const t2_conn_ops test_peer_ops_no_eof;
void test_peer_send(test_peer *peer, const char *text);
bool test_peer_got(const test_peer *peer, const char *text);

/* Two ends over a real socket, by a listener and a dialer. */
typedef struct test_pair {
  test_loop *tl;
  t2_listener *listener;
  t2_tls *server_tls, *client_tls;
  test_peer server, client;
  bool dialled, listener_closed;
  int dial_err;
} test_pair;

void test_pair_open(test_pair *pair, test_loop *tl, bool tls);
/* Like it, but anything may fail for want of memory: false then. Close it all the same. */
bool test_pair_try(test_pair *pair, test_loop *tl, bool tls);
/* Closes what is still open, and waits for it. */
void test_pair_close(test_pair *pair);

/* ---- Other programs ---- */

/* Runs the program (found in PATH) with its input from /dev/null and its output in `out` (NUL-terminated,
 * cut). Its exit status, or -1 when it could not be started. argv ends with NULL. */
int test_run(const char *const *argv, char *out, size_t size);
/* The same in another thread while the loop runs. */
int test_run_beside(test_loop *tl, const char *const *argv, char *out, size_t size);

#endif
