#include <t2_test_mem.h>

#include <client/scale.h>

/* Looks for so long, as a bundle does, which has `n` uplinks that are all up: how many it has in the end. */
static unsigned run(t2_scale *scale, unsigned n, size_t active, uint64_t *now, uint64_t ms) {
  for (uint64_t end = *now + ms; *now < end; *now += T2_SCALE_LOOK_MS)
    n = t2_scale_look(scale, n, n, active, *now);
  return n;
}

static void test_a_number_that_is_fixed_stays_whatever_the_load(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  (void)state;
  t2_scale_init(&scale, 3, 3, 1000);
  assert_false(t2_scale_moves(&scale));
  assert_int_equal(run(&scale, 3, 5000, &now, 60000), 3);
  assert_int_equal(run(&scale, 3, 0, &now, 60000), 3);
  assert_int_equal(t2_scale_look(&scale, 1, 1, 0, now), 3);
}

static void test_busy_ones_get_another(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  (void)state;
  t2_scale_init(&scale, 1, 16, 1000);
  assert_true(t2_scale_moves(&scale));
  assert_int_equal(run(&scale, 1, T2_SCALE_STREAMS - 1, &now, 60000), 1);
  assert_int_equal(run(&scale, 1, T2_SCALE_STREAMS, &now, T2_SCALE_BUSY_MS), 1);
  assert_int_equal(t2_scale_look(&scale, 1, 1, T2_SCALE_STREAMS, now), 2);
}

/* The next one comes no sooner than the first did, and with what two of them can have. */
static void test_they_come_one_by_one_as_far_as_they_are_needed(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  (void)state;
  t2_scale_init(&scale, 1, 16, 1000);
  unsigned n = run(&scale, 1, 4 * T2_SCALE_STREAMS - 1, &now, T2_SCALE_BUSY_MS + T2_SCALE_LOOK_MS);
  assert_int_equal(n, 2);
  assert_int_equal(run(&scale, n, 4 * T2_SCALE_STREAMS - 1, &now, 60000), 4);
}

static void test_there_are_never_more_than_the_most(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  (void)state;
  t2_scale_init(&scale, 1, T2_SCALE_MAX, 1000);
  assert_int_equal(run(&scale, 1, 100000, &now, 600000), T2_SCALE_MAX);
}

static void test_a_moment_of_load_is_none(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  unsigned n = 1;
  (void)state;
  t2_scale_init(&scale, 1, 16, 1000);
  for (int i = 0; i < 100; i++) {
    n = run(&scale, n, 1000, &now, T2_SCALE_BUSY_MS);
    n = run(&scale, n, 10, &now, T2_SCALE_LOOK_MS);
  }
  assert_int_equal(n, 1);
}

static void test_small_uplinks_are_busy_with_what_they_may_have(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  (void)state;
  t2_scale_init(&scale, 1, 16, 10);
  assert_int_equal(run(&scale, 1, 6, &now, 60000), 1);
  assert_int_equal(run(&scale, 1, 7, &now, T2_SCALE_BUSY_MS + T2_SCALE_LOOK_MS), 2);
  t2_scale_init(&scale, 1, 16, 1);
  assert_int_equal(run(&scale, 1, 0, &now, 60000), 1);
}

static void test_quiet_ones_go_one_by_one_down_to_the_least(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  (void)state;
  t2_scale_init(&scale, 2, 16, 1000);
  assert_int_equal(run(&scale, 4, 0, &now, T2_SCALE_QUIET_MS), 4);
  assert_int_equal(run(&scale, 4, 0, &now, T2_SCALE_LOOK_MS), 3);
  assert_int_equal(run(&scale, 3, 0, &now, T2_SCALE_QUIET_MS - T2_SCALE_LOOK_MS), 3);
  assert_int_equal(run(&scale, 3, 0, &now, 600000), 2);
}

/* A load for which there were two does not make them come and go. */
static void test_a_steady_load_ends_with_a_steady_number(void **state) {
  (void)state;
  for (size_t active = 0; active < 20 * T2_SCALE_STREAMS; active += 13) {
    t2_scale scale;
    uint64_t now = 1000;
    t2_scale_init(&scale, 1, 16, 1000);
    unsigned n = run(&scale, 1, active, &now, 120000);
    for (int i = 0; i < 200; i++)
      assert_int_equal(run(&scale, n, active, &now, T2_SCALE_LOOK_MS), n);
    n = run(&scale, 16, active, &now, 600000);
    for (int i = 0; i < 200; i++)
      assert_int_equal(run(&scale, n, active, &now, T2_SCALE_LOOK_MS), n);
  }
}

static void test_nothing_is_concluded_while_one_is_not_up(void **state) {
  t2_scale scale;
  (void)state;
  t2_scale_init(&scale, 1, 16, 1000);
  for (uint64_t now = 0; now < 60000; now += T2_SCALE_LOOK_MS) {
    assert_int_equal(t2_scale_look(&scale, 2, 1, 1000, now), 2);
    assert_int_equal(t2_scale_look(&scale, 2, 1, 0, now), 2);
  }
}

static void test_an_entry_that_takes_no_more_is_asked_again_later(void **state) {
  t2_scale scale;
  uint64_t now = 1000;
  (void)state;
  t2_scale_init(&scale, 4, 4, 1000);
  t2_scale_refused(&scale, 3, now);
  t2_scale_refused(&scale, 2, now);
  assert_true(t2_scale_moves(&scale));
  assert_int_equal(run(&scale, 2, 0, &now, T2_SCALE_REFUSED_MS), 2);
  assert_int_equal(t2_scale_look(&scale, 2, 2, 0, now), 4);
  assert_false(t2_scale_moves(&scale));
  t2_scale_refused(&scale, 1, now);
  t2_scale_renewed(&scale);
  assert_int_equal(t2_scale_look(&scale, 1, 1, 0, now), 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_number_that_is_fixed_stays_whatever_the_load),
      cmocka_unit_test(test_busy_ones_get_another),
      cmocka_unit_test(test_they_come_one_by_one_as_far_as_they_are_needed),
      cmocka_unit_test(test_there_are_never_more_than_the_most),
      cmocka_unit_test(test_a_moment_of_load_is_none),
      cmocka_unit_test(test_small_uplinks_are_busy_with_what_they_may_have),
      cmocka_unit_test(test_quiet_ones_go_one_by_one_down_to_the_least),
      cmocka_unit_test(test_a_steady_load_ends_with_a_steady_number),
      cmocka_unit_test(test_nothing_is_concluded_while_one_is_not_up),
      cmocka_unit_test(test_an_entry_that_takes_no_more_is_asked_again_later),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
