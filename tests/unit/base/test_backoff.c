#include <t2_test_mem.h>

#include <base/backoff.h>

static void test_bound_doubles_up_to_the_last(void **state) {
  const uint64_t bounds[] = {200, 400, 800, 1600, 3200, 5000, 5000, 5000};
  t2_backoff backoff;
  t2_backoff_init(&backoff, 200, 5000, 5000);
  for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
    assert_int_equal(t2_backoff_bound(&backoff), bounds[i]);
    assert_true(t2_backoff_next(&backoff, 0) <= bounds[i]);
  }
}

static void test_jitter_covers_the_whole_range(void **state) {
  t2_backoff backoff;
  uint64_t least = UINT64_MAX, most = 0;
  t2_backoff_init(&backoff, 1000, 1000, 0);
  for (int i = 0; i < 2000; i++) {
    uint64_t delay = t2_backoff_next(&backoff, 0);
    if (delay < least) least = delay;
    if (delay > most) most = delay;
  }
  /* A chance of 0.9^2000 each to fail by bad luck. */
  assert_true(least < 100);
  assert_true(most > 900 && most <= 1000);
}

static void test_knocking_is_soon_spread_and_no_failure(void **state) {
  t2_backoff backoff;
  uint64_t least = UINT64_MAX, most = 0;
  t2_backoff_init(&backoff, 100, 32000, 0);
  for (int i = 0; i < 2000; i++) {
    uint64_t delay = t2_backoff_knock(&backoff, 500);
    if (delay < least) least = delay;
    if (delay > most) most = delay;
  }
  assert_true(least >= 250 && least < 275);
  assert_true(most > 475 && most <= 500);
  assert_int_equal(t2_backoff_bound(&backoff), 100);
}

static void test_knocking_keeps_to_the_last_delay(void **state) {
  t2_backoff backoff;
  t2_backoff_init(&backoff, 5, 20, 0);
  for (int i = 0; i < 200; i++)
    assert_true(t2_backoff_knock(&backoff, 500) <= 20);
}

static void test_stable_connection_begins_anew(void **state) {
  t2_backoff backoff;
  t2_backoff_init(&backoff, 100, 10000, 5000);
  for (int i = 0; i < 4; i++)
    (void)t2_backoff_next(&backoff, 0);
  assert_int_equal(t2_backoff_bound(&backoff), 1600);
  t2_backoff_up(&backoff, 1000);
  (void)t2_backoff_next(&backoff, 5999); /* one millisecond too short */
  assert_int_equal(t2_backoff_bound(&backoff), 3200);
  t2_backoff_up(&backoff, 10000);
  assert_true(t2_backoff_next(&backoff, 15000) <= 100);
  assert_int_equal(t2_backoff_bound(&backoff), 200);
}

static void test_failed_attempts_are_not_stable_by_their_time(void **state) {
  t2_backoff backoff;
  t2_backoff_init(&backoff, 100, 10000, 5000);
  t2_backoff_up(&backoff, 0);
  (void)t2_backoff_next(&backoff, 6000);
  assert_int_equal(t2_backoff_bound(&backoff), 200);
  (void)t2_backoff_next(&backoff, 60000);
  assert_int_equal(t2_backoff_bound(&backoff), 400);
}

static void test_extreme_options_are_made_usable(void **state) {
  t2_backoff backoff;
  t2_backoff_init(&backoff, 0, 0, 0);
  assert_int_equal(t2_backoff_bound(&backoff), 1);
  t2_backoff_init(&backoff, 300, 200, 0);
  assert_int_equal(t2_backoff_bound(&backoff), 300);
  (void)t2_backoff_next(&backoff, 0);
  assert_int_equal(t2_backoff_bound(&backoff), 300);
  t2_backoff_init(&backoff, 1, UINT64_MAX, 0);
  for (int i = 0; i < 200; i++)
    (void)t2_backoff_next(&backoff, 0);
  assert_true(t2_backoff_bound(&backoff) == UINT64_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bound_doubles_up_to_the_last),
      cmocka_unit_test(test_jitter_covers_the_whole_range),
      cmocka_unit_test(test_knocking_is_soon_spread_and_no_failure),
      cmocka_unit_test(test_knocking_keeps_to_the_last_delay),
      cmocka_unit_test(test_stable_connection_begins_anew),
      cmocka_unit_test(test_failed_attempts_are_not_stable_by_their_time),
      cmocka_unit_test(test_extreme_options_are_made_usable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
