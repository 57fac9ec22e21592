#include <t2_test_mem.h>

#include <proxy/park.h>

static void test_it_returns_in_the_second_half_of_its_time(void **state) {
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < 500; i++) {
    t2_park park = {0};
    assert_true(t2_park_begin(&park, 5000, 60, 180));
    uint64_t left = t2_park_left(&park, 5000);
    assert_in_range(left, 30000, 60000);
    if (left < least) least = left;
    if (left > most) most = left;
  }
  assert_true(most - least > 20000); /* spread by jitter */
}

static void test_what_makes_no_sense_is_not_done(void **state) {
  const struct {
    uint64_t seconds, lease;
  } bad[] = {{0, 180},
             {T2_PARK_SECONDS_MAX + 1, 86400},
             {UINT64_MAX, UINT64_MAX},
             {60, 0},
             {60, 60},
             {60, 86401},
             {60, UINT64_MAX}};
  t2_park park = {0};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    assert_false(t2_park_begin(&park, 5000, bad[i].seconds, bad[i].lease));
  assert_int_equal(park.return_ms, 0);
  assert_true(t2_park_begin(&park, 5000, 1, 2));
  assert_true(t2_park_begin(&park, 5000, T2_PARK_SECONDS_MAX, 86400));
}

static void test_it_hurries_when_it_is_needed(void **state) {
  t2_park park = {0};
  assert_true(t2_park_begin(&park, 5000, 60, 180));
  t2_park_hurry(&park, 6000, 0);
  assert_int_equal(t2_park_left(&park, 6000), 0);
  assert_int_equal(t2_park_left(&park, 7000), 0);
}

static void test_it_does_not_return_more_than_once_a_second_whatever_is_needed(void **state) {
  t2_park park = {0};
  assert_true(t2_park_begin(&park, 5000, 60, 180));
  t2_park_return(&park, 5100);
  assert_true(t2_park_begin(&park, 5200, 60, 180)); /* a control plane that parks at once */
  t2_park_hurry(&park, 5200, 0);
  assert_int_equal(t2_park_left(&park, 5200), T2_PARK_PAUSE_MS - 100);
  assert_true(t2_park_begin(&park, 5300, 1, 10)); /* and one that wants it back at once */
  assert_in_range(t2_park_left(&park, 5300), 800, 1000);
}

static void test_it_calms_down_unless_it_was_needed_at_once(void **state) {
  t2_park park = {0};
  assert_true(t2_park_begin(&park, 5000, 60, 180));
  t2_park_hurry(&park, 5000, 5000);
  assert_in_range(t2_park_left(&park, 5000), 0, 5000);
  t2_park_calm(&park);
  assert_int_equal(park.return_ms, park.due_ms);
  t2_park_hurry(&park, 5000, 0);
  t2_park_calm(&park);
  assert_int_equal(t2_park_left(&park, 5000), 0);
}

static void test_hurry_never_makes_it_later(void **state) {
  t2_park park = {0};
  assert_true(t2_park_begin(&park, 5000, 1, 10));
  uint64_t due = park.return_ms;
  t2_park_hurry(&park, 5990, 5000);
  assert_true(park.return_ms <= due);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_it_returns_in_the_second_half_of_its_time),
      cmocka_unit_test(test_what_makes_no_sense_is_not_done),
      cmocka_unit_test(test_it_hurries_when_it_is_needed),
      cmocka_unit_test(test_it_does_not_return_more_than_once_a_second_whatever_is_needed),
      cmocka_unit_test(test_it_calms_down_unless_it_was_needed_at_once),
      cmocka_unit_test(test_hurry_never_makes_it_later),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
