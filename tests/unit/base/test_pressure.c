#include <base/pressure.h>
#include <setjmp.h>
#include <stdarg.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#define MIB ((size_t)1024 * 1024)

static void levels_follow_what_is_held(void **state) {
  (void)state;
  static const struct {
    size_t held;
    t2_pressure_level level;
  } steps[] = {
      {0, T2_PRESSURE_EASY},        {4 * MIB - 1, T2_PRESSURE_EASY},  {4 * MIB, T2_PRESSURE_TIGHT},
      {2 * MIB, T2_PRESSURE_TIGHT}, {2 * MIB - 1, T2_PRESSURE_EASY},  {8 * MIB, T2_PRESSURE_SHORT},
      {4 * MIB, T2_PRESSURE_SHORT}, {4 * MIB - 1, T2_PRESSURE_TIGHT}, {100 * MIB, T2_PRESSURE_SHORT},
      {0, T2_PRESSURE_EASY},
  };
  t2_pressure pressure;
  size_t mine = 0;
  t2_pressure_init(&pressure);
  for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
    t2_pressure_note(&pressure, &mine, steps[i].held);
    assert_int_equal(pressure.held, steps[i].held);
    assert_int_equal(pressure.level, steps[i].level);
  }
}

static void what_several_hold_is_added_up(void **state) {
  (void)state;
  t2_pressure pressure;
  size_t one = 0, two = 0;
  t2_pressure_init(&pressure);
  t2_pressure_note(&pressure, &one, 3 * MIB);
  t2_pressure_note(&pressure, &two, 1 * MIB);
  assert_int_equal(pressure.level, T2_PRESSURE_TIGHT);
  t2_pressure_note(&pressure, &one, 0);
  assert_int_equal(pressure.held, 1 * MIB);
  assert_int_equal(pressure.level, T2_PRESSURE_EASY);
}

/* A leg reads only what it may give, and an HTTP/2 stream holds no more than twice that. */
static void the_more_is_held_the_less_each_may_hold(void **state) {
  (void)state;
  t2_pressure pressure;
  size_t mine = 0;
  size_t last_window = SIZE_MAX, last_read = SIZE_MAX;
  uint32_t last_stream = UINT32_MAX;
  t2_pressure_init(&pressure);
  for (size_t held = 0; held <= 8 * MIB; held += 4 * MIB) {
    t2_pressure_note(&pressure, &mine, held);
    assert_true(pressure.leg_window < last_window && pressure.read_max < last_read);
    assert_true(pressure.stream_window < last_stream && pressure.read_max <= pressure.leg_window);
    last_window = pressure.leg_window, last_read = pressure.read_max, last_stream = pressure.stream_window;
  }
  assert_true(1000 * last_stream <= 16 * MIB);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(levels_follow_what_is_held),
      cmocka_unit_test(what_several_hold_is_added_up),
      cmocka_unit_test(the_more_is_held_the_less_each_may_hold),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
