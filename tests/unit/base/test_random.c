#include <t2_test_mem.h>

#include <base/random.h>

static void test_bytes_fill_all_that_was_asked(void **state) {
  uint8_t seen[64] = {0}, bytes[66];

  /* Each place is non-zero at least once in 16 draws, but with a chance of 2^-122. */
  for (int draw = 0; draw < 16; draw++) {
    memset(bytes, 0, sizeof(bytes));
    t2_random_bytes(bytes + 1, 64);
    assert_int_equal(bytes[0] | bytes[65], 0);
    for (size_t i = 0; i < sizeof(seen); i++)
      seen[i] |= bytes[i + 1];
  }
  for (size_t i = 0; i < sizeof(seen); i++)
    assert_int_not_equal(seen[i], 0);
  t2_random_bytes(bytes, 0);
}

static void test_below_stays_below_and_reaches_every_value(void **state) {
  unsigned seen[7] = {0};

  for (int i = 0; i < 7000; i++) {
    uint64_t value = t2_random_below(7);
    assert_true(value < 7);
    seen[value]++;
  }
  for (size_t i = 0; i < 7; i++)
    assert_in_range(seen[i], 700, 1300);
  assert_true(t2_random_below(1) == 0);
  assert_true(t2_random_below(UINT64_MAX) < UINT64_MAX);
}

static void test_uuids_are_version_4_and_differ(void **state) {
  char a[T2_UUID_LEN + 1], b[T2_UUID_LEN + 1];

  t2_uuid(a);
  t2_uuid(b);
  assert_int_equal(strlen(a), T2_UUID_LEN);
  assert_string_not_equal(a, b);
  for (int i = 0; i < T2_UUID_LEN; i++) {
    if (i == 8 || i == 13 || i == 18 || i == 23)
      assert_int_equal(a[i], '-');
    else
      assert_non_null(strchr("0123456789abcdef", a[i]));
  }
  assert_int_equal(a[14], '4');
  assert_non_null(strchr("89ab", a[19]));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bytes_fill_all_that_was_asked),
      cmocka_unit_test(test_below_stays_below_and_reaches_every_value),
      cmocka_unit_test(test_uuids_are_version_4_and_differ),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
