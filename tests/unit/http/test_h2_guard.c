#include <t2_test_mem.h>

#include <http/h2_guard.h>

static uint64_t count_until_refused(t2_h2_guard *guard, t2_h2_abuse abuse) {
  uint64_t n = 0;
  while (t2_h2_guard_count(guard, abuse))
    n++;
  return n;
}

static void test_burst_passes_and_one_more_does_not(void **state) {
  for (unsigned i = 0; i < T2_H2_ABUSES; i++) {
    t2_h2_guard guard;
    t2_h2_guard_init(&guard, 1);
    assert_int_equal(count_until_refused(&guard, i), t2_h2_guard_burst(i));
    assert_int_equal(guard.counts[i], t2_h2_guard_burst(i) + 1);
    assert_true(t2_h2_abuse_name(i)[0]);
  }
}

static void test_patience_multiplies(void **state) {
  t2_h2_guard guard;
  t2_h2_guard_init(&guard, 3);
  assert_int_equal(count_until_refused(&guard, T2_H2_PINGS), 3 * t2_h2_guard_burst(T2_H2_PINGS));
  t2_h2_guard_init(&guard, 0); /* as 1 */
  assert_int_equal(count_until_refused(&guard, T2_H2_PINGS), t2_h2_guard_burst(T2_H2_PINGS));
}

static void test_time_empties_at_the_rate(void **state) {
  const unsigned steps[] = {100, 250, 1000, 333};
  for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
    t2_h2_guard guard;
    uint64_t now = 5000000;
    t2_h2_guard_init(&guard, 1);
    t2_h2_guard_tick(&guard, now);
    count_until_refused(&guard, T2_H2_SETTINGS);
    guard.levels[T2_H2_SETTINGS] = t2_h2_guard_burst(T2_H2_SETTINGS) * 1000;
    for (unsigned past = 0; past + steps[i] <= 3000; past += steps[i])
      t2_h2_guard_tick(&guard, now += steps[i]);
    uint64_t allowed = (now - 5000000) * t2_h2_guard_rate(T2_H2_SETTINGS) / 1000;
    assert_int_equal(count_until_refused(&guard, T2_H2_SETTINGS), allowed);
  }
}

static void test_clock_may_jump(void **state) {
  t2_h2_guard guard;
  t2_h2_guard_init(&guard, UINT32_MAX);
  t2_h2_guard_tick(&guard, UINT64_MAX);
  t2_h2_guard_count(&guard, T2_H2_RESETS);
  t2_h2_guard_tick(&guard, 0); /* it never does; nothing is gained by it */
  assert_int_equal(guard.levels[T2_H2_RESETS], 1000);
}

static void test_work_pays(void **state) {
  t2_h2_guard guard;
  t2_h2_guard_init(&guard, 1);
  for (int i = 0; i < 100000; i++) {
    assert_true(t2_h2_guard_count(&guard, T2_H2_PINGS));
    t2_h2_guard_credit(&guard, T2_H2_PINGS, 1);
  }
  t2_h2_guard_credit(&guard, T2_H2_PINGS, 1000000); /* and is not saved */
  assert_int_equal(count_until_refused(&guard, T2_H2_PINGS), t2_h2_guard_burst(T2_H2_PINGS));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_burst_passes_and_one_more_does_not),
      cmocka_unit_test(test_patience_multiplies),
      cmocka_unit_test(test_time_empties_at_the_rate),
      cmocka_unit_test(test_clock_may_jump),
      cmocka_unit_test(test_work_pays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
