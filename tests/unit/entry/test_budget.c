#include <t2_test_mem.h>

#include <entry/budget.h>

#define NOW 1000000

static unsigned take_all(t2_budget *budget, uint64_t now_ms) {
  unsigned n = 0;
  while (t2_budget_take(budget, now_ms))
    n++;
  return n;
}

static void test_session_begins_with_some(void **state) {
  t2_budget budget = {0};
  (void)state;
  assert_int_equal(take_all(&budget, NOW), T2_BUDGET_FIRST);
  assert_false(t2_budget_take(&budget, NOW));
}

static void test_one_of_five_requests_may_be_asked_again(void **state) {
  t2_budget budget = {0};
  (void)state;
  take_all(&budget, NOW);
  for (int i = 0; i < 4; i++)
    t2_budget_earn(&budget);
  assert_false(t2_budget_take(&budget, NOW));
  t2_budget_earn(&budget);
  assert_int_equal(take_all(&budget, NOW), 1);
  for (int i = 0; i < 503; i++)
    t2_budget_earn(&budget);
  assert_int_equal(take_all(&budget, NOW), 100);
  for (int i = 0; i < 2; i++) /* with the three that were left over */
    t2_budget_earn(&budget);
  assert_int_equal(take_all(&budget, NOW), 1);
}

static void test_time_gives_ten_a_second(void **state) {
  t2_budget budget = {0};
  unsigned taken = 0;
  (void)state;
  take_all(&budget, NOW);
  assert_int_equal(take_all(&budget, NOW + 99), 0);
  assert_int_equal(take_all(&budget, NOW + 100), 1);
  for (uint64_t at = 107; at <= 2100; at += 7) /* however often it is looked at */
    taken += take_all(&budget, NOW + at);
  assert_in_range(taken, 19, 20);
}

static void test_what_is_saved_is_bounded(void **state) {
  t2_budget budget = {0};
  (void)state;
  take_all(&budget, NOW);
  for (int i = 0; i < 1000000; i++)
    t2_budget_earn(&budget);
  assert_int_equal(take_all(&budget, NOW + 86400000), T2_BUDGET_MAX);
  assert_false(t2_budget_take(&budget, NOW + 86400000));
}

static void test_clock_that_stands_still_gives_nothing(void **state) {
  t2_budget budget = {0};
  (void)state;
  take_all(&budget, NOW);
  assert_false(t2_budget_take(&budget, NOW - 5000));
  assert_false(t2_budget_take(&budget, NOW));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_session_begins_with_some),
      cmocka_unit_test(test_one_of_five_requests_may_be_asked_again),
      cmocka_unit_test(test_time_gives_ten_a_second),
      cmocka_unit_test(test_what_is_saved_is_bounded),
      cmocka_unit_test(test_clock_that_stands_still_gives_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
