#include <t2_test_mem.h>

#include <net/accepts.h>
#include <stdio.h>
#include <tunnel2/error.h>

typedef struct setting {
  t2_test_mem mem;
  t2_accepts accepts;
} setting;

static int set_up(void **state) {
  static setting s;
  t2_test_mem_init(&s.mem);
  t2_accepts_init(&s.accepts, &s.mem.hook);
  *state = &s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  t2_accepts_fini(&s->accepts);
  assert_int_equal(s->mem.live, 0);
  return 0;
}

static int enter(setting *s, const char *host, bool tls, uint64_t now_ms, t2_accepts_address **out) {
  return t2_accepts_enter(&s->accepts, t2_str_c(host), tls, now_ms, out);
}

static void test_without_a_bound_nothing_is_kept(void **state) {
  setting *s = *state;
  t2_accepts_address *address;
  assert_int_equal(enter(s, "192.0.2.1", true, 0, &address), 0);
  assert_null(address);
  assert_int_equal(s->mem.count, 0);
}

static void test_an_address_has_as_many_connections_as_it_may(void **state) {
  setting *s = *state;
  t2_accepts_address *a, *b, *c, *other;
  s->accepts.connections_max = 2;
  assert_int_equal(enter(s, "192.0.2.1", false, 0, &a), 0);
  assert_int_equal(enter(s, "192.0.2.1", true, 0, &b), 0);
  assert_int_equal(enter(s, "192.0.2.1", false, 0, &c), T2_ERR_LIMIT);
  assert_int_equal(s->accepts.refused_address, 1);
  assert_int_equal(enter(s, "192.0.2.2", false, 0, &other), 0);
  t2_accepts_leave(a, 0);
  assert_int_equal(enter(s, "192.0.2.1", false, 0, &c), 0);
  t2_accepts_leave(b, 0);
  t2_accepts_leave(c, 0);
  t2_accepts_leave(other, 0);
}

static void test_v6_counts_by_its_64_bits_and_v4_within_it_as_v4(void **state) {
  setting *s = *state;
  t2_accepts_address *a, *b, *none;
  s->accepts.connections_max = 1;
  assert_int_equal(enter(s, "2001:db8:0:1::1", false, 0, &a), 0);
  assert_int_equal(enter(s, "2001:db8:0:1:ffff::2", false, 0, &none), T2_ERR_LIMIT);
  assert_int_equal(enter(s, "2001:db8:0:2::1", false, 0, &b), 0);
  t2_accepts_leave(a, 0);
  t2_accepts_leave(b, 0);
}

static void test_handshakes_have_a_rate_that_outlives_their_connections(void **state) {
  setting *s = *state;
  t2_accepts_address *address;
  s->accepts.handshakes_per_second = 3;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(enter(s, "192.0.2.1", true, 10, &address), 0);
    t2_accepts_leave(address, 10);
  }
  assert_int_equal(enter(s, "192.0.2.1", true, 11, &address), T2_ERR_LIMIT);
  assert_int_equal(enter(s, "192.0.2.1", false, 11, &address), 0);
  assert_null(address);
  assert_int_equal(s->accepts.refused_handshakes, 1);
  assert_int_equal(enter(s, "192.0.2.1", true, 344, &address), 0);
  t2_accepts_leave(address, 344);
}

static void test_who_is_idle_for_a_second_is_forgotten(void **state) {
  setting *s = *state;
  t2_accepts_address *address;
  s->accepts.handshakes_per_second = 1;
  for (unsigned i = 0; i < 200; i++) {
    char host[32];
    snprintf(host, sizeof(host), "192.0.2.%u", i);
    assert_int_equal(enter(s, host, true, 5, &address), 0);
    t2_accepts_leave(address, 5);
  }
  assert_int_equal(s->accepts.idle_count, 200);
  assert_int_equal(enter(s, "192.0.2.250", true, 5 + T2_ACCEPTS_IDLE_MS, &address), 0);
  assert_int_equal(s->accepts.idle_count, 0);
  assert_int_equal(s->accepts.addresses.count, 1);
  t2_accepts_leave(address, 5 + T2_ACCEPTS_IDLE_MS);
}

static bool is_proxy(t2_str host, void *user) {
  (void)user;
  return t2_str_eq(host, T2_STR("10.0.0.1"));
}

static void test_a_trusted_proxy_has_no_bound(void **state) {
  setting *s = *state;
  t2_accepts_address *address;
  s->accepts.connections_max = 1;
  s->accepts.exempt = is_proxy;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(enter(s, "10.0.0.1", true, 0, &address), 0);
    assert_null(address);
  }
  assert_int_equal(enter(s, "unix", true, 0, &address), 0);
  assert_null(address);
}

static void come_and_go(t2_test_mem *mem, void *user) {
  t2_accepts accepts;
  t2_accepts_address *address;
  (void)user;
  t2_accepts_init(&accepts, &mem->hook);
  accepts.connections_max = 1;
  int err = t2_accepts_enter(&accepts, T2_STR("192.0.2.1"), false, 0, &address);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  if (err == 0) t2_accepts_leave(address, 0);
  t2_accepts_fini(&accepts);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(come_and_go, NULL) > 1);
}

#define accepts_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      accepts_test(test_without_a_bound_nothing_is_kept),
      accepts_test(test_an_address_has_as_many_connections_as_it_may),
      accepts_test(test_v6_counts_by_its_64_bits_and_v4_within_it_as_v4),
      accepts_test(test_handshakes_have_a_rate_that_outlives_their_connections),
      accepts_test(test_who_is_idle_for_a_second_is_forgotten),
      accepts_test(test_a_trusted_proxy_has_no_bound),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
