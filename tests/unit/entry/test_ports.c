#include <net/fixture.h>

#include <arpa/inet.h>
#include <entry/ports.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define SESSIONS 4
#define RANGE    3

/* Sessions that are not in a table: a port looks at none. */
typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_entry_ports ports;
  t2_entry_session sessions[SESSIONS];
  uint16_t first;
  unsigned connections, sweeps, datagrams, closes;
  const t2_entry_session *last;
  int taken; /* a socket of another program; 0: none */
  char detail[160];
} setting;

static void on_connection(t2_entry_session *session, t2_conn *conn, void *user) {
  setting *s = user;
  s->connections++;
  s->last = session;
  t2_conn_close(conn, 0);
}

static void on_sweep(void *user) {
  ((setting *)user)->sweeps++;
}

static void on_datagram(t2_entry_session *session, t2_udp *udp, const t2_address *from, const uint8_t *bytes,
                        size_t n, void *user) {
  setting *s = user;
  s->datagrams++;
  s->last = session;
  assert_int_equal(t2_udp_send(udp, from, bytes, n), 0);
}

static void on_close(t2_entry_session *session, void *user) {
  setting *s = user;
  s->closes++;
  s->last = session;
}

static const t2_entry_ports_ops ops = {
    .on_connection = on_connection, .on_datagram = on_datagram, .on_close = on_close, .on_sweep = on_sweep};

static int try_listen(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  const int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0) return fd;
  close(fd);
  return 0;
}

/* RANGE ports in a row that are free, below those that the system gives out. */
static uint16_t free_range(void) {
  for (unsigned at = 20000 + (unsigned)getpid() % 8000; at < 32000; at += RANGE) {
    int fds[RANGE];
    size_t n = 0;
    while (n < RANGE && (fds[n] = try_listen((uint16_t)(at + n))))
      n++;
    bool all = n == RANGE;
    while (n)
      close(fds[--n]);
    if (all) return (uint16_t)at;
  }
  fail_msg("no %d ports are free", RANGE);
  return 0;
}

static bool open_setting(setting *s, const t2_allocator *mem, uint16_t first, uint16_t last) {
  t2_entry_ports_options options = {.host = "127.0.0.1", .first = first, .last = last, .connections_max = 10};
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  s->first = first;
  t2_entry_ports_init(&s->ports, s->tl.loop, &options, &ops, s);
  for (size_t i = 0; i < SESSIONS; i++)
    snprintf(s->sessions[i].id, sizeof(s->sessions[i].id), "session-%zu", i);
  return true;
}

static void close_setting(setting *s) {
  t2_entry_ports_close_all(&s->ports);
  assert_int_equal(s->ports.count, 0);
  t2_entry_ports_fini(&s->ports);
  if (s->taken) close(s->taken);
  test_loop_close(&s->tl);
}

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  uint16_t first = free_range();
  t2_test_mem_init(&s->mem);
  assert_true(open_setting(s, &s->mem.hook, first, (uint16_t)(first + RANGE - 1)));
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  close_setting(s);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

/* As an uplink of session i does that has just been attached. */
static int open_for(setting *s, size_t i, uint16_t asked) {
  s->sessions[i].uplink_count++;
  int err = t2_entry_ports_open(&s->ports, &s->sessions[i], asked, s->detail, sizeof(s->detail));
  if (err) s->sessions[i].uplink_count--;
  return err;
}

static uint16_t port_of(const setting *s, size_t i) {
  return t2_entry_port_number(&s->sessions[i]);
}

/* Its last uplink has gone, so long ago. */
static void leave(setting *s, size_t i, uint64_t ms) {
  s->sessions[i].uplink_count = 0;
  s->sessions[i].left_ms = t2_loop_now(s->tl.loop) - ms;
}

static bool connects(setting *s, uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  unsigned before = s->connections;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool connected = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
  if (connected) RUN_UNTIL(&s->tl, s->connections > before);
  close(fd);
  return connected;
}

static void test_connections_are_the_ports_sessions(void **state) {
  setting *s = *state;
  assert_int_equal(open_for(s, 0, 0), 0);
  assert_int_equal(open_for(s, 1, 0), 0);
  assert_int_not_equal(port_of(s, 0), port_of(s, 1));
  for (size_t i = 0; i < 2; i++) {
    assert_in_range(port_of(s, i), s->first, s->first + RANGE - 1);
    assert_true(connects(s, port_of(s, i)));
    assert_ptr_equal(s->last, &s->sessions[i]);
  }
}

static void test_datagrams_are_the_ports_sessions(void **state) {
  setting *s = *state;
  char bytes[8];
  s->ports.options.udp = true;
  assert_int_equal(open_for(s, 0, 0), 0);
  assert_int_equal(open_for(s, 1, 0), 0);
  assert_int_equal(open_for(s, 2, (uint16_t)(s->first + RANGE)), T2_ERR_CONFLICT);
  assert_non_null(strstr(s->detail, "UDP sessions"));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port_of(s, 1))};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(sendto(fd, "hello", 5, 0, (struct sockaddr *)&address, sizeof(address)), 5);
  RUN_UNTIL(&s->tl, s->datagrams == 1);
  assert_ptr_equal(s->last, &s->sessions[1]);
  assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), 5);
  close(fd);
  t2_entry_port_close(&s->sessions[0]);
  assert_int_equal(s->closes, 1);
  assert_ptr_equal(s->last, &s->sessions[0]);
  assert_int_equal(open_for(s, 2, 0), 0);
}

static void test_port_follows_from_the_sessions_id(void **state) {
  setting *s = *state;
  assert_int_equal(open_for(s, 0, 0), 0);
  uint16_t first = port_of(s, 0);
  t2_entry_port_close(&s->sessions[0]);
  assert_int_equal(port_of(s, 0), 0);
  assert_false(connects(s, first));
  assert_int_equal(open_for(s, 0, 0), 0);
  assert_int_equal(port_of(s, 0), first);
}

static void test_further_uplinks_find_the_port_open(void **state) {
  setting *s = *state;
  assert_int_equal(open_for(s, 0, (uint16_t)(s->first + 1)), 0);
  assert_int_equal(open_for(s, 0, 0), 0);
  assert_int_equal(open_for(s, 0, (uint16_t)(s->first + 1)), 0);
  assert_int_equal(port_of(s, 0), s->first + 1);
  assert_int_equal(s->ports.count, 1);
  assert_int_equal(open_for(s, 0, s->first), T2_ERR_CONFLICT);
  assert_non_null(strstr(s->detail, "in use"));
  assert_int_equal(port_of(s, 0), s->first + 1);
}

static void test_session_without_others_may_move(void **state) {
  setting *s = *state;
  assert_int_equal(open_for(s, 0, s->first), 0);
  leave(s, 0, 0);
  s->sessions[0].active = 1;
  assert_int_equal(open_for(s, 0, (uint16_t)(s->first + 2)), T2_ERR_CONFLICT);
  s->sessions[0].active = 0;
  assert_int_equal(open_for(s, 0, (uint16_t)(s->first + 2)), 0);
  assert_int_equal(port_of(s, 0), s->first + 2);
  assert_int_equal(s->ports.count, 1);
  assert_false(connects(s, s->first));
}

static void test_only_ports_of_the_range_are_had(void **state) {
  setting *s = *state;
  assert_int_equal(open_for(s, 0, (uint16_t)(s->first - 1)), T2_ERR_CONFLICT);
  assert_int_equal(open_for(s, 0, (uint16_t)(s->first + RANGE)), T2_ERR_CONFLICT);
  assert_non_null(strstr(s->detail, "is none of"));
  assert_int_equal(open_for(s, 0, s->first), 0);
  assert_int_equal(open_for(s, 1, (uint16_t)(s->first + RANGE - 1)), 0);
}

static void test_without_a_range_there_are_none(void **state) {
  setting *s = *state;
  s->ports.options.first = s->ports.options.last = 0;
  assert_int_equal(open_for(s, 0, 0), T2_ERR_CONFLICT);
  assert_non_null(strstr(s->detail, "no ports"));
}

static void test_port_of_another_session_is_refused(void **state) {
  setting *s = *state;
  assert_int_equal(open_for(s, 0, s->first), 0);
  leave(s, 0, T2_ENTRY_PORT_GRACE_MS - 1);
  assert_int_equal(open_for(s, 1, s->first), T2_ERR_CONFLICT);
  assert_int_equal(port_of(s, 0), s->first);
}

static void test_abandoned_port_goes_to_who_asks_for_it(void **state) {
  setting *s = *state;
  assert_int_equal(open_for(s, 0, s->first), 0);
  leave(s, 0, T2_ENTRY_PORT_GRACE_MS);
  assert_int_equal(open_for(s, 1, s->first), 0);
  assert_int_equal(port_of(s, 0), 0);
  assert_true(connects(s, s->first));
  assert_ptr_equal(s->last, &s->sessions[1]);
}

static void test_when_none_is_free_the_one_left_longest_goes(void **state) {
  setting *s = *state;
  for (size_t i = 0; i < RANGE; i++)
    assert_int_equal(open_for(s, i, 0), 0);
  assert_int_equal(open_for(s, 3, 0), T2_ERR_UNAVAILABLE);
  assert_string_equal(s->detail, "no port for the session is free here");
  leave(s, 0, T2_ENTRY_PORT_GRACE_MS + 1);
  leave(s, 1, T2_ENTRY_PORT_GRACE_MS + 2);
  uint16_t oldest = port_of(s, 1);
  assert_int_equal(open_for(s, 3, 0), 0);
  assert_int_equal(port_of(s, 3), oldest);
  assert_int_equal(port_of(s, 1), 0);
  assert_int_not_equal(port_of(s, 0), 0);
}

static void test_ports_that_others_have_are_passed_over(void **state) {
  setting *s = *state;
  s->taken = try_listen(s->first);
  assert_int_not_equal(s->taken, 0);
  assert_int_equal(open_for(s, 0, s->first), T2_ERR_CONFLICT);
  assert_non_null(strstr(s->detail, "not to be had"));
  assert_int_equal(open_for(s, 0, 0), 0);
  assert_int_equal(open_for(s, 1, 0), 0);
  assert_int_equal(open_for(s, 2, 0), T2_ERR_UNAVAILABLE);
}

static void test_sweep_runs_while_ports_are_open(void **state) {
  setting *s = *state;
  assert_false(t2_timer_running(&s->ports.sweep));
  assert_int_equal(open_for(s, 0, 0), 0);
  assert_true(t2_timer_running(&s->ports.sweep));
  s->ports.sweep.cb(&s->ports.sweep);
  assert_int_equal(s->sweeps, 1);
  t2_entry_port_close(&s->sessions[0]);
  t2_entry_port_close(&s->sessions[0]);
  assert_false(t2_timer_running(&s->ports.sweep));
}

static void open_and_close(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  uint16_t first = *(uint16_t *)user;
  if (open_setting(s, &mem->hook, first, (uint16_t)(first + RANGE - 1))) {
    int err = open_for(s, 0, 0);
    assert_true(err == 0 || mem->failed);
    if (err) assert_int_equal(port_of(s, 0), 0);
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  uint16_t first = free_range();
  (void)state;
  assert_true(t2_test_mem_fail_each(open_and_close, &first) > 5);
}

int main(void) {
#define ports_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      ports_test(test_connections_are_the_ports_sessions),
      ports_test(test_datagrams_are_the_ports_sessions),
      ports_test(test_port_follows_from_the_sessions_id),
      ports_test(test_further_uplinks_find_the_port_open),
      ports_test(test_session_without_others_may_move),
      ports_test(test_only_ports_of_the_range_are_had),
      ports_test(test_without_a_range_there_are_none),
      ports_test(test_port_of_another_session_is_refused),
      ports_test(test_abandoned_port_goes_to_who_asks_for_it),
      ports_test(test_when_none_is_free_the_one_left_longest_goes),
      ports_test(test_ports_that_others_have_are_passed_over),
      ports_test(test_sweep_runs_while_ports_are_open),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
