#include <t2_test_mem.h>

#include <base/limit.h>

static void test_a_seconds_worth_may_be_taken_at_once_and_no_more(void **state) {
  t2_limit limit;
  (void)state;
  t2_limit_init(&limit, 5, 1000);
  for (int i = 0; i < 5; i++)
    assert_true(t2_limit_take(&limit, 1, 1000));
  assert_false(t2_limit_take(&limit, 1, 1000));
  assert_int_equal(t2_limit_wait_ms(&limit, 1000), 200);
  assert_false(t2_limit_take(&limit, 1, 1199));
  assert_true(t2_limit_take(&limit, 1, 1200));
  assert_false(t2_limit_take(&limit, 1, 1200));
}

static void test_it_is_never_more_than_full(void **state) {
  t2_limit limit;
  (void)state;
  t2_limit_init(&limit, 3, 0);
  assert_int_equal(t2_limit_left(&limit, UINT64_MAX / 2), 3);
  t2_limit_init(&limit, T2_LIMIT_RATE_MAX + 1, 0);
  t2_limit_charge(&limit, UINT64_MAX, 0);
  assert_int_equal(t2_limit_left(&limit, 30000), 0);
  assert_int_equal(t2_limit_left(&limit, 62000), T2_LIMIT_RATE_MAX);
}

static void test_one_a_second_is_counted_by_the_millisecond(void **state) {
  t2_limit limit;
  unsigned taken = 0;
  (void)state;
  t2_limit_init(&limit, 1, 0);
  for (uint64_t now = 0; now <= 10000; now++)
    taken += t2_limit_take(&limit, 1, now);
  assert_int_equal(taken, 11);
}

static void test_what_is_used_beyond_it_is_paid_back_by_waiting(void **state) {
  t2_limit limit;
  (void)state;
  t2_limit_init(&limit, 1000, 0);
  t2_limit_charge(&limit, 3000, 0);
  assert_int_equal(t2_limit_left(&limit, 0), 0);
  assert_int_equal(t2_limit_wait_ms(&limit, 0), 2001);
  assert_int_equal(t2_limit_wait_ms(&limit, 2000), 1);
  assert_int_equal(t2_limit_left(&limit, 2001), 1);
}

static void test_a_debt_has_a_bound(void **state) {
  t2_limit limit;
  (void)state;
  t2_limit_init(&limit, 10, 0);
  t2_limit_charge(&limit, UINT64_MAX, 0);
  t2_limit_charge(&limit, UINT64_MAX, 0);
  assert_true(t2_limit_wait_ms(&limit, 0) <= T2_LIMIT_DEBT_MAX * 1000 + 100);
  assert_int_equal(t2_limit_left(&limit, (T2_LIMIT_DEBT_MAX + 1) * 1000), 10);
}

static void test_a_clock_that_goes_back_gives_nothing(void **state) {
  t2_limit limit;
  (void)state;
  t2_limit_init(&limit, 2, 5000);
  assert_true(t2_limit_take(&limit, 2, 5000));
  assert_false(t2_limit_take(&limit, 1, 1000));
  assert_false(t2_limit_take(&limit, 1, 5001));
  assert_true(t2_limit_take(&limit, 1, 5500));
}

static void test_none_bounds_nothing(void **state) {
  t2_limit limit;
  (void)state;
  t2_limit_init(&limit, 0, 0);
  t2_limit_charge(&limit, UINT64_MAX, 0);
  assert_true(t2_limit_take(&limit, UINT64_MAX, 0));
  assert_int_equal(t2_limit_wait_ms(&limit, 0), 0);
}

static void test_another_rate_holds_at_once_and_forgives_no_debt(void **state) {
  t2_limit limit;
  (void)state;
  t2_limit_init(&limit, 10, 0);
  t2_limit_charge(&limit, 20, 0);
  t2_limit_set_rate(&limit, 1000, 0); /* ten are owed */
  assert_int_equal(t2_limit_left(&limit, 0), 0);
  assert_int_equal(t2_limit_wait_ms(&limit, 0), 11);
  assert_int_equal(t2_limit_left(&limit, 1010), 1000);
  t2_limit_set_rate(&limit, 2, 1010);
  assert_int_equal(t2_limit_left(&limit, 1010), 2);
  t2_limit_set_rate(&limit, 0, 1010);
  assert_true(t2_limit_take(&limit, UINT64_MAX, 1010));
  t2_limit_set_rate(&limit, 3, 1010); /* nothing was counted before: it is full */
  assert_int_equal(t2_limit_left(&limit, 1010), 3);
  t2_limit_set_rate(&limit, 1000, 1010);
  t2_limit_charge(&limit, UINT64_MAX, 1010);
  t2_limit_set_rate(&limit, 1, 1010);
  assert_true(t2_limit_wait_ms(&limit, 1010) <= T2_LIMIT_DEBT_MAX * 1000 + 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_seconds_worth_may_be_taken_at_once_and_no_more),
      cmocka_unit_test(test_it_is_never_more_than_full),
      cmocka_unit_test(test_one_a_second_is_counted_by_the_millisecond),
      cmocka_unit_test(test_what_is_used_beyond_it_is_paid_back_by_waiting),
      cmocka_unit_test(test_a_debt_has_a_bound),
      cmocka_unit_test(test_a_clock_that_goes_back_gives_nothing),
      cmocka_unit_test(test_none_bounds_nothing),
      cmocka_unit_test(test_another_rate_holds_at_once_and_forgives_no_debt),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
