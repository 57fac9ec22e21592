#include "fixture.h"

#include <arpa/inet.h>
#include <proxy/datagram_queue.h>
#include <proxy/udp_leg.h>
#include <unistd.h>
#include <wire/datagram.h>

/* A leg and the stub at its other side. */
typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy;
  t2_udp_legs legs;
  t2_exchange *exchange;
  stub stub;
  /* downstream */
  t2_leg *leg;
  t2_buf back; /* "5:hello;" for each datagram */
  unsigned gone;
  bool was_open;
  /* upstream */
  t2_udp_leg_options options;
  int origin; /* a socket */
} setting;

static void on_done(t2_exchange *exchange, void *user) {
  (void)exchange;
  ((setting *)user)->exchange = NULL;
}

static void begin(setting *s, t2_leg *down, t2_leg *up) {
  t2_head head = test_request("CONNECT", "/.well-known/masque/udp/192.0.2.1/53/");
  head.protocol = T2_UDP_PROTOCOL;
  s->exchange = t2_exchange_new(&s->proxy, down, &head);
  if (!s->exchange) return;
  s->exchange->on_done = on_done;
  s->exchange->user = s;
  t2_exchange_connect(s->exchange, up, &head, false, NULL, 0);
}

static int plain_socket(uint16_t *port) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  *port = ntohs(address.sin_port);
  return fd;
}

static bool open_setting(setting *s, const t2_allocator *mem) {
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  stub_init(&s->stub);
  t2_buf_init(&s->back, NULL);
  t2_udp_legs_init(&s->legs, s->tl.loop);
  s->options.host = T2_STR("127.0.0.1");
  s->origin = plain_socket(&s->options.port);
  return true;
}

static void close_setting(setting *s) {
  t2_udp_legs_close(&s->legs);
  assert_int_equal(s->legs.count, 0);
  assert_int_equal(s->legs.held, 0);
  assert_null(s->exchange);
  assert_int_equal(s->proxy.active, 0);
  stub_fini(&s->stub);
  t2_buf_fini(&s->back);
  t2_proxy_fini(&s->proxy);
  close(s->origin);
  test_loop_close(&s->tl);
}

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(open_setting(s, &s->mem.hook));
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

static void run_a_while(setting *s) {
  for (int i = 0; i < 5; i++)
    test_loop_turn(&s->tl, test_deadline());
}

/* ---- Downstream ---- */

static void on_back(const uint8_t *bytes, size_t n, void *user) {
  t2_buf_printf(&((setting *)user)->back, "%zu:%.*s;", n, n > 20 ? 0 : (int)n, (const char *)bytes);
}

static void on_gone(bool opened, void *user) {
  setting *s = user;
  s->leg = NULL;
  s->gone++;
  s->was_open = opened;
}

static const t2_udp_leg_ops leg_ops = {.on_datagram = on_back, .on_gone = on_gone};

static bool accept_one(setting *s) {
  s->leg = t2_udp_leg_accepted(&s->legs, &leg_ops, s);
  if (!s->leg) return false;
  begin(s, s->leg, &s->stub.leg);
  if (!s->exchange && s->leg) {
    t2_udp_leg_end(s->leg);
    s->leg = NULL;
  }
  return s->exchange != NULL;
}

static void accept_tunnel(setting *s) {
  assert_true(accept_one(s));
  stub_answer(&s->stub, 101, -1, false);
}

static void say(setting *s, size_t n) {
  static const uint8_t zeros[T2_DATAGRAM_MAX + 1];
  t2_udp_leg_datagram(s->leg, zeros, n);
}

static void test_datagrams_wait_until_it_is_a_tunnel(void **state) {
  setting *s = *state;
  assert_true(accept_one(s));
  say(s, 5);
  say(s, 0);
  run_a_while(s);
  assert_string_equal(stub_log(&s->stub), "head CONNECT /.well-known/masque/udp/192.0.2.1/53/;");
  t2_buf_reset(&s->stub.log);
  stub_answer(&s->stub, 101, -1, false);
  run_a_while(s);
  assert_string_equal(stub_log(&s->stub), "data 3;data 5;data 3;");
  assert_memory_equal(t2_buf_head(&s->stub.body), "\0\6\0\0\0\0\0\0\0\1\0", 11);
  say(s, 1);
  assert_string_equal(stub_log(&s->stub), "data 3;data 5;data 3;data 3;data 1;");
}

static void test_capsules_become_datagrams(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\6\0hello\x21\1x\0\1\0\0\3\0a", 18);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"b", 1);
  assert_string_equal(t2_buf_cstr(&s->back), "5:hello;0:;2:ab;");
  assert_int_equal(s->stub.consumed, 19);
}

static void test_a_bad_capsule_ends_it(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\x80\1\0\0", 5);
  assert_true(s->stub.closed);
  assert_int_equal(s->stub.err, T2_ERR_LIMIT);
  assert_int_equal(s->gone, 1);
}

static void test_what_has_come_in_part_has_a_bound(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  s->legs.partial += T2_UDP_HELD_MAX - 3; /* others' */
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\6\0", 3);
  assert_int_equal(s->legs.partial, T2_UDP_HELD_MAX);
  assert_false(s->stub.closed);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"hello\0\6\0", 8);
  assert_false(s->stub.closed);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"x", 1);
  assert_int_equal(s->stub.err, T2_ERR_LIMIT);
  assert_int_equal(s->legs.partial, T2_UDP_HELD_MAX - 3);
}

static void test_what_is_not_consumed_has_a_bound(void **state) {
  setting *s = *state;
  s->stub.hold = true;
  accept_tunnel(s);
  for (int i = 0; i < 1000; i++)
    say(s, 1200);
  assert_true(s->stub.held <= T2_LEG_WINDOW && s->stub.held > T2_LEG_WINDOW - 2000);
  assert_true(s->legs.held <= T2_LEG_WINDOW + T2_DATAGRAM_QUEUE_MAX);
  size_t given = s->stub.held / (1200 + 4), kept = T2_DATAGRAM_QUEUE_MAX / (1200 + T2_DATAGRAM_COST);
  assert_int_equal(s->legs.dropped, 1000 - given - kept);
  stub_consume(&s->stub, s->stub.held);
  run_a_while(s);
  stub_consume(&s->stub, s->stub.held);
  run_a_while(s);
  assert_int_equal(t2_buf_len(&s->stub.body), (given + kept) * (1200 + 4));
}

static void test_what_all_hold_has_a_bound(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  s->legs.held += T2_UDP_HELD_MAX - 106; /* by others */
  say(s, 100);
  assert_int_equal(s->legs.dropped, 0);
  say(s, 101);
  assert_int_equal(s->legs.dropped, 1);
  say(s, 100);
  assert_int_equal(s->legs.dropped, 1);
  s->legs.held -= T2_UDP_HELD_MAX - 106;
}

static void test_too_long_a_datagram_is_dropped(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  say(s, T2_DATAGRAM_MAX + 1);
  assert_int_equal(s->legs.dropped, 1);
  say(s, T2_DATAGRAM_MAX);
  assert_int_equal(s->legs.dropped, 1);
}

static void test_a_refusal_ends_it_unopened(void **state) {
  setting *s = *state;
  assert_true(accept_one(s));
  say(s, 5);
  stub_answer(&s->stub, 502, 5, false);
  stub_give(&s->stub, "sorry");
  stub_end(&s->stub);
  assert_int_equal(s->gone, 1);
  assert_false(s->was_open);
  assert_int_equal(s->legs.dropped, 1);
}

static void test_an_idle_flow_ends_in_order(void **state) {
  setting *s = *state;
  s->legs.idle_ms = 50;
  accept_tunnel(s);
  RUN_UNTIL(&s->tl, s->gone == 1);
  assert_true(s->was_open);
  assert_true(stub_said(&s->stub, "end;") && !s->stub.closed);
  assert_int_equal(s->legs.count, 0);
  stub_end(&s->stub);
  assert_true(s->stub.closed);
  assert_int_equal(s->stub.err, 0);
}

static void test_the_other_sides_end_is_that_of_both(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  stub_end(&s->stub);
  assert_true(s->stub.closed);
  assert_int_equal(s->stub.err, 0);
  assert_int_equal(s->gone, 1);
}

static void test_letting_go_tells_nobody(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  t2_udp_leg_end(s->leg);
  assert_true(stub_said(&s->stub, "end;"));
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\2\0x", 4);
  assert_string_equal(t2_buf_cstr(&s->back), "");
  t2_udp_legs_close(&s->legs);
  assert_true(s->stub.closed);
  assert_int_equal(s->gone, 0);
}

/* ---- Upstream ---- */

static bool dial(setting *s) {
  t2_leg *leg = t2_udp_leg_dialling(&s->legs, &s->options);
  if (!leg) return false;
  begin(s, &s->stub.leg, leg);
  if (!s->exchange && !leg->exchange && !s->stub.closed) t2_udp_leg_end(leg);
  return s->exchange != NULL;
}

/* What the origin has received, or -1; and then who it is from. */
static ssize_t origin_got(const setting *s, char *bytes, size_t size, struct sockaddr_in *from) {
  socklen_t n = sizeof(*from);
  return recvfrom(s->origin, bytes, size, MSG_DONTWAIT, (struct sockaddr *)from, &n);
}

static void test_a_socket_is_the_tunnels_acceptance(void **state) {
  setting *s = *state;
  struct sockaddr_in from;
  char bytes[100];
  ssize_t n = -1;
  assert_true(dial(s));
  assert_int_equal(s->stub.status, 101);
  assert_true(stub_has_field(&s->stub, "capsule-protocol: ?1"));
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\6\0hello", 8);
  RUN_UNTIL(&s->tl, (n = origin_got(s, bytes, sizeof(bytes), &from)) >= 0);
  assert_int_equal(n, 5);
  assert_memory_equal(bytes, "hello", 5);
  assert_int_equal(sendto(s->origin, "yo", 2, 0, (struct sockaddr *)&from, sizeof(from)), 2);
  RUN_UNTIL(&s->tl, t2_buf_len(&s->stub.body) == 5);
  assert_memory_equal(t2_buf_head(&s->stub.body), "\0\3\0yo", 5);
  stub_end(&s->stub);
  assert_true(s->stub.closed);
  assert_int_equal(s->stub.err, 0);
}

static void test_a_name_is_resolved_once(void **state) {
  setting *s = *state;
  s->options.host = T2_STR("localhost");
  assert_true(dial(s));
  assert_int_equal(s->stub.status, 0);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\2\0x", 4); /* too early */
  assert_int_equal(s->legs.dropped, 1);
  RUN_UNTIL(&s->tl, s->stub.status == 101);
  stub_end(&s->stub);
  stub_reset(&s->stub);
  assert_true(dial(s));
  assert_int_equal(s->stub.status, 101);
  stub_fail(&s->stub, T2_ERR_CANCELLED, T2_AT_LOCAL);
}

static void test_giving_up_while_it_resolves_leaves_nothing(void **state) {
  setting *s = *state;
  s->options.host = T2_STR("localhost");
  assert_true(dial(s));
  stub_fail(&s->stub, T2_ERR_CANCELLED, T2_AT_LOCAL);
  assert_int_equal(s->legs.count, 0);
}

static void test_nobody_there_is_no_end(void **state) {
  setting *s = *state;
  assert_true(dial(s));
  shutdown(s->origin, SHUT_RDWR);
  close(s->origin);
  s->origin = plain_socket(&(uint16_t){0});
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\2\0x", 4);
  RUN_UNTIL(&s->tl, s->legs.failing);
  assert_false(s->stub.closed);
}

/* 127.0.0.2 is "localhost"'s ::1, at which nobody listens. */
static void two_addresses(setting *s) {
  s->options.host = T2_STR("two.invalid");
  s->legs.address_count = 2;
  s->legs.address_at = 0;
  s->legs.resolved_ms = t2_loop_now(s->tl.loop);
  assert_int_equal(t2_address_parse(&s->legs.addresses[0], T2_STR("127.0.0.2"), s->options.port), 0);
  assert_int_equal(t2_address_parse(&s->legs.addresses[1], T2_STR("127.0.0.1"), s->options.port), 0);
}

static void test_the_next_address_is_tried_where_nobody_is(void **state) {
  setting *s = *state;
  struct sockaddr_in from;
  char bytes[100];
  ssize_t n = -1;
  two_addresses(s);
  assert_true(dial(s));
  assert_int_equal(s->stub.status, 101);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\6\0hello", 8);
  RUN_UNTIL(&s->tl, (n = origin_got(s, bytes, sizeof(bytes), &from)) >= 0);
  assert_int_equal(n, 5);
  assert_int_equal(s->legs.address_at, 1); /* where new flows begin */
  assert_false(s->legs.failing);
  assert_int_not_equal(s->legs.held, 0);
  assert_int_equal(sendto(s->origin, "yo", 2, 0, (struct sockaddr *)&from, sizeof(from)), 2);
  RUN_UNTIL(&s->tl, t2_buf_len(&s->stub.body) == 5);
  stub_end(&s->stub);
  assert_true(s->stub.closed);
}

static void test_addresses_are_tried_once_for_each_datagram(void **state) {
  setting *s = *state;
  struct sockaddr_in from;
  char bytes[100];
  ssize_t n = -1;
  two_addresses(s);
  assert_int_equal(t2_address_parse(&s->legs.addresses[1], T2_STR("127.0.0.3"), s->options.port), 0);
  assert_true(dial(s));
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\2\0x", 4);
  RUN_UNTIL(&s->tl, s->legs.failing);
  assert_int_equal(s->legs.held, 0);
  assert_false(s->stub.closed);
  assert_int_equal(t2_address_parse(&s->legs.addresses[0], T2_STR("127.0.0.1"), s->options.port), 0);
  t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\2\0y", 4); /* the origin has come */
  RUN_UNTIL(&s->tl, (n = origin_got(s, bytes, sizeof(bytes), &from)) >= 0);
  assert_int_equal(bytes[0], 'y');
  stub_end(&s->stub);
}

/* ---- Memory ---- */

static void downstream_life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_setting(s, &mem->hook)) {
    if (accept_one(s)) {
      say(s, 1000);
      stub_answer(&s->stub, 101, -1, false);
      run_a_while(s);
      if (s->exchange) t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\3\0a", 4);
      if (s->exchange) t2_exchange_data(&s->stub.leg, (const uint8_t *)"b", 1);
      assert_true(mem->failed || strcmp(t2_buf_cstr(&s->back), "2:ab;") == 0);
    }
    close_setting(s);
  }
  free(s);
}

static void upstream_life(t2_test_mem *mem, void *host) {
  setting *s = calloc(1, sizeof(*s));
  if (open_setting(s, &mem->hook)) {
    s->options.host = t2_str_c(host);
    if (dial(s)) RUN_UNTIL(&s->tl, s->stub.status || !s->exchange);
    assert_true(mem->failed || s->stub.status == 101);
    close_setting(s);
  }
  free(s);
}

static void moving_life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_setting(s, &mem->hook)) {
    two_addresses(s);
    if (dial(s) && s->stub.status == 101) {
      t2_exchange_data(&s->stub.leg, (const uint8_t *)"\0\2\0x", 4);
      RUN_UNTIL(&s->tl, s->legs.failing || s->legs.address_at == 1);
      assert_true(mem->failed || !s->legs.failing);
    }
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  char address[] = "127.0.0.1", name[] = "localhost";
  assert_true(t2_test_mem_fail_each(downstream_life, NULL) > 3);
  assert_true(t2_test_mem_fail_each(upstream_life, address) > 3);
  assert_true(t2_test_mem_fail_each(upstream_life, name) > 3);
  assert_true(t2_test_mem_fail_each(moving_life, NULL) > 5);
}

int main(void) {
#define udp_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      udp_test(test_datagrams_wait_until_it_is_a_tunnel),
      udp_test(test_capsules_become_datagrams),
      udp_test(test_a_bad_capsule_ends_it),
      udp_test(test_what_has_come_in_part_has_a_bound),
      udp_test(test_what_is_not_consumed_has_a_bound),
      udp_test(test_what_all_hold_has_a_bound),
      udp_test(test_too_long_a_datagram_is_dropped),
      udp_test(test_a_refusal_ends_it_unopened),
      udp_test(test_an_idle_flow_ends_in_order),
      udp_test(test_the_other_sides_end_is_that_of_both),
      udp_test(test_letting_go_tells_nobody),
      udp_test(test_a_socket_is_the_tunnels_acceptance),
      udp_test(test_a_name_is_resolved_once),
      udp_test(test_giving_up_while_it_resolves_leaves_nothing),
      udp_test(test_nobody_there_is_no_end),
      udp_test(test_the_next_address_is_tried_where_nobody_is),
      udp_test(test_addresses_are_tried_once_for_each_datagram),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
