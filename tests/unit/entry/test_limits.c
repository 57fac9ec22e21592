#include "../net/fixture.h"

#include <entry/limits.h>
#include <tunnel2/error.h>

typedef struct setting {
  t2_test_mem mem;
  test_loop tl;
  t2_entry_bounds bounds;
  t2_entry_limits *limits;
} setting;

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(test_loop_open(&s->tl, &s->mem.hook, NULL));
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  t2_free(&s->mem.hook, s->limits);
  test_loop_close(&s->tl);
  assert_int_equal(s->mem.live, 0);
  free(s);
  return 0;
}

static int admit(setting *s, size_t active, uint64_t *wait_ms) {
  *wait_ms = 0;
  return t2_entry_limits_admit(&s->bounds, &s->limits, s->tl.loop, active, wait_ms);
}

static void test_without_bounds_nothing_is_kept(void **state) {
  setting *s = *state;
  uint64_t wait;
  assert_int_equal(admit(s, 1000000, &wait), 0);
  assert_null(s->limits);
  assert_null(t2_entry_limits_up(s->limits));
  assert_null(t2_entry_limits_down(s->limits));
}

static void test_as_many_at_once_as_may_be(void **state) {
  setting *s = *state;
  uint64_t wait;
  s->bounds.exchanges = 3;
  assert_int_equal(admit(s, 2, &wait), 0);
  assert_int_equal(admit(s, 3, &wait), T2_ERR_UNAVAILABLE);
  assert_int_equal(s->bounds.over_exchanges, 1);
  assert_null(s->limits);
}

static void test_so_many_a_second_and_then_when(void **state) {
  setting *s = *state;
  uint64_t wait;
  s->bounds.requests_per_second = 2;
  assert_int_equal(admit(s, 0, &wait), 0);
  assert_int_equal(admit(s, 0, &wait), 0);
  assert_int_equal(admit(s, 0, &wait), T2_ERR_LIMIT);
  assert_int_equal(wait, 500);
  assert_int_equal(s->bounds.over_requests, 1);
  assert_null(t2_entry_limits_up(s->limits));
}

static void test_content_beyond_the_rate_is_paid_for_by_later_requests(void **state) {
  setting *s = *state;
  uint64_t wait;
  s->bounds.bytes_from_clients = 1000;
  assert_int_equal(admit(s, 0, &wait), 0);
  assert_null(t2_entry_limits_up(s->limits));
  t2_pace *down = t2_entry_limits_down(s->limits);
  t2_limit_charge(&down->limit, 1900, t2_loop_now(s->tl.loop));
  assert_int_equal(admit(s, 0, &wait), 0); /* less than a second of it */
  t2_limit_charge(&down->limit, 2000, t2_loop_now(s->tl.loop));
  assert_int_equal(admit(s, 0, &wait), T2_ERR_LIMIT);
  assert_int_equal(wait, 2901);
  assert_int_equal(s->bounds.over_bytes, 1);
}

static void test_no_memory_is_said(void **state) {
  setting *s = *state;
  uint64_t wait;
  s->bounds.bytes_to_clients = 1;
  s->mem.fail_at = s->mem.count + 1;
  assert_int_equal(admit(s, 0, &wait), T2_ERR_NOMEM);
  s->mem.fail_at = 0;
  assert_int_equal(admit(s, 0, &wait), 0);
  assert_non_null(t2_entry_limits_up(s->limits));
}

static void test_other_bounds_hold_for_those_that_are_there(void **state) {
  setting *s = *state;
  uint64_t wait;
  s->bounds.requests_per_second = 1;
  s->bounds.bytes_from_clients = 1000;
  assert_int_equal(admit(s, 0, &wait), 0);
  assert_int_equal(admit(s, 0, &wait), T2_ERR_LIMIT);
  s->bounds.requests_per_second = 0;
  s->bounds.bytes_from_clients = 0;
  s->bounds.bytes_to_clients = 1000;
  t2_entry_limits_follow(s->limits, &s->bounds, s->tl.loop);
  for (int i = 0; i < 100; i++)
    assert_int_equal(admit(s, 0, &wait), 0);
  assert_null(t2_entry_limits_down(s->limits));
  assert_non_null(t2_entry_limits_up(s->limits));
  s->bounds.requests_per_second = 2;
  t2_entry_limits_follow(s->limits, &s->bounds, s->tl.loop);
  assert_int_equal(admit(s, 0, &wait), 0);
  assert_int_equal(admit(s, 0, &wait), 0);
  assert_int_equal(admit(s, 0, &wait), T2_ERR_LIMIT);
}

#define limits_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      limits_test(test_without_bounds_nothing_is_kept),
      limits_test(test_as_many_at_once_as_may_be),
      limits_test(test_so_many_a_second_and_then_when),
      limits_test(test_content_beyond_the_rate_is_paid_for_by_later_requests),
      limits_test(test_no_memory_is_said),
      limits_test(test_other_bounds_hold_for_those_that_are_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
