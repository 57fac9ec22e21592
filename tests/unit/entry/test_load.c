#include <t2_test_mem.h>

#include <base/mem.h>
#include <entry/load.h>

static t2_load load(size_t room, size_t active, uint32_t weight, bool silent) {
  return (t2_load){.room = room, .active = active, .weight = weight, .silent = silent};
}

static bool prefers(t2_load a, t2_load b) {
  return t2_load_prefers(&a, &b);
}

static void test_the_less_busy_one_takes_it(void **state) {
  (void)state;
  assert_true(prefers(load(9, 5, 100, false), load(9, 4, 100, false)));
  assert_false(prefers(load(9, 4, 100, false), load(9, 5, 100, false)));
  assert_false(prefers(load(9, 4, 100, false), load(9, 4, 100, false)));
  assert_false(prefers(load(9, 0, 100, false), load(9, 0, 1000, false)));
}

static void test_what_is_under_way_counts_by_weight(void **state) {
  (void)state;
  assert_true(prefers(load(9, 2, 100, false), load(9, 5, 300, false)));
  assert_false(prefers(load(9, 2, 100, false), load(9, 6, 300, false)));
  assert_false(prefers(load(9, 2, 100, false), load(9, 7, 300, false)));
  assert_true(prefers(load(9, SIZE_MAX >> 16, 1, false), load(9, SIZE_MAX >> 16, 1000, false)));
}

static void test_one_without_room_is_not_taken(void **state) {
  (void)state;
  assert_true(prefers(load(0, 0, 1000, false), load(1, 900, 1, false)));
  assert_true(prefers(load(0, 0, 100, false), load(1, 9, 100, true)));
  assert_false(prefers(load(1, 9, 100, true), load(0, 0, 100, false)));
  assert_false(prefers(load(0, 9, 100, false), load(0, 0, 100, false)));
}

static void test_one_that_does_not_answer_is_the_last_choice(void **state) {
  t2_load silent = load(9, 0, 100, true), full = load(0, 0, 100, false), good = load(1, 9, 100, false);
  (void)state;
  assert_true(t2_load_prefers(&silent, &good));
  assert_false(t2_load_prefers(&good, &silent));
  assert_true(prefers(load(9, 5, 100, true), load(9, 4, 100, true)));
  assert_true(t2_load_is_good(&good));
  assert_false(t2_load_is_good(&silent));
  assert_false(t2_load_is_good(&full));
}

static void test_weight_is_a_number_within_bounds(void **state) {
  static const struct {
    const char *text;
    uint32_t weight;
  } cases[] = {{"1", 1},      {"100", 100}, {"1000", 1000}, {"", 100},     {"0", 100},
               {"1001", 100}, {"-1", 100},  {"1.5", 100},   {"many", 100}, {"99999999999999999999999", 100}};
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_int_equal(t2_load_weight(t2_str_c(cases[i].text)), cases[i].weight);
  assert_int_equal(t2_load_weight(T2_STR_NULL), T2_LOAD_WEIGHT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_less_busy_one_takes_it),
      cmocka_unit_test(test_what_is_under_way_counts_by_weight),
      cmocka_unit_test(test_one_without_room_is_not_taken),
      cmocka_unit_test(test_one_that_does_not_answer_is_the_last_choice),
      cmocka_unit_test(test_weight_is_a_number_within_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
