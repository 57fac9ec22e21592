#include <t2_test_mem.h>

#include <proxy/trickle.h>

#define GRACE 1000
#define RATE  100

static void test_what_never_comes_has_the_grace_and_no_more(void **state) {
  t2_trickle t = {0};
  (void)state;
  t2_trickle_await(&t, true, 5000);
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 5000), GRACE);
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 5999), 1);
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 6000), 0);
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 60000), 0);
}

static void test_bytes_earn_time_at_the_rate(void **state) {
  t2_trickle t = {0};
  (void)state;
  t2_trickle_await(&t, true, 0);
  t.bytes = RATE;
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 1999), 1);
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 2000), 0);
  t.bytes++;
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 2000), 10);
}

static void test_time_in_which_nobody_waits_does_not_count(void **state) {
  t2_trickle t = {0};
  (void)state;
  t2_trickle_await(&t, true, 0);
  t2_trickle_await(&t, false, 400);
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 90000), 600);
  t2_trickle_await(&t, true, 90000);
  t2_trickle_await(&t, true, 90100);
  assert_int_equal(t2_trickle_left(&t, GRACE, RATE, 90100), 500);
}

static void test_no_rate_is_no_bound_and_much_does_not_overflow(void **state) {
  t2_trickle t = {.bytes = UINT64_MAX};
  (void)state;
  assert_int_equal(t2_trickle_left(&t, GRACE, 0, 1 << 30), UINT64_MAX);
  assert_true(t2_trickle_left(&t, UINT64_MAX, 1, 0) > 0);
  assert_true(t2_trickle_left(&t, GRACE, 1, 0) > UINT64_MAX / 1001);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_never_comes_has_the_grace_and_no_more),
      cmocka_unit_test(test_bytes_earn_time_at_the_rate),
      cmocka_unit_test(test_time_in_which_nobody_waits_does_not_count),
      cmocka_unit_test(test_no_rate_is_no_bound_and_much_does_not_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
