#include <t2_test_mem.h>

#include <client/verdict.h>

static void test_so_many_failures_in_a_row_and_it_is_out(void **state) {
  t2_verdict v;
  (void)state;
  t2_verdict_init(&v, 3, 2, 5);
  for (int i = 0; i < 100; i++) {
    assert_false(t2_verdict_checked(&v, false));
    assert_false(t2_verdict_checked(&v, false));
    assert_false(t2_verdict_checked(&v, true));
  }
  assert_false(t2_verdict_checked(&v, false));
  assert_false(t2_verdict_checked(&v, false));
  assert_false(v.out);
  assert_true(t2_verdict_checked(&v, false));
  assert_true(v.out);
  assert_false(t2_verdict_checked(&v, false));
}

static void test_so_many_passes_in_a_row_and_it_is_back(void **state) {
  t2_verdict v;
  (void)state;
  t2_verdict_init(&v, 1, 2, 5);
  assert_true(t2_verdict_checked(&v, false));
  assert_false(t2_verdict_checked(&v, true));
  assert_false(t2_verdict_checked(&v, false));
  assert_false(t2_verdict_checked(&v, true));
  assert_true(v.out);
  assert_true(t2_verdict_checked(&v, true));
  assert_false(v.out);
}

static void test_connections_that_fail_count_when_they_are_in_a_row(void **state) {
  t2_verdict v;
  (void)state;
  t2_verdict_init(&v, 3, 1, 5);
  for (int i = 0; i < 4; i++)
    assert_false(t2_verdict_connected(&v, false));
  assert_false(t2_verdict_connected(&v, true));
  for (int i = 0; i < 4; i++)
    assert_false(t2_verdict_connected(&v, false));
  assert_true(t2_verdict_connected(&v, false));
  assert_true(v.out);
}

/* Those that are still under way say nothing new: only a check brings it back. */
static void test_connections_do_not_count_while_it_is_out(void **state) {
  t2_verdict v;
  (void)state;
  t2_verdict_init(&v, 3, 1, 2);
  assert_false(t2_verdict_connected(&v, false));
  assert_true(t2_verdict_connected(&v, false));
  assert_false(t2_verdict_connected(&v, true));
  assert_false(t2_verdict_connected(&v, false));
  assert_true(v.out);
  assert_true(t2_verdict_checked(&v, true));
  assert_false(t2_verdict_connected(&v, false)); /* and then they count anew */
  assert_false(v.out);
}

static void test_connections_need_not_count(void **state) {
  t2_verdict v;
  (void)state;
  t2_verdict_init(&v, 3, 1, 0);
  for (int i = 0; i < 1000; i++)
    assert_false(t2_verdict_connected(&v, false));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_so_many_failures_in_a_row_and_it_is_out),
      cmocka_unit_test(test_so_many_passes_in_a_row_and_it_is_back),
      cmocka_unit_test(test_connections_that_fail_count_when_they_are_in_a_row),
      cmocka_unit_test(test_connections_do_not_count_while_it_is_out),
      cmocka_unit_test(test_connections_need_not_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
