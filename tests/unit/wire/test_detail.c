#include <t2_test_mem.h>

#include <tunnel2/error.h>
#include <wire/detail.h>

static void test_the_sentence_is_written_and_the_error_handed_on(void **state) {
  char detail[64] = "before";

  assert_int_equal(t2_detail(detail, sizeof(detail), T2_ERR_AUTH, "line %d: %s", 3, "no"), T2_ERR_AUTH);
  assert_string_equal(detail, "line 3: no");
  assert_int_equal(t2_detail(detail, sizeof(detail), 0, "fine"), 0);
  assert_string_equal(detail, "fine");
}

static void test_it_is_cut_to_fit_and_terminated(void **state) {
  char detail[8];

  memset(detail, 'x', sizeof(detail));
  t2_detail(detail, 5, T2_ERR_IO, "123456789");
  assert_string_equal(detail, "1234");
  assert_memory_equal(detail + 5, "xxx", 3);
  t2_detail(detail, 1, T2_ERR_IO, "123456789");
  assert_string_equal(detail, "");
}

static void test_no_room_at_all_is_fine(void **state) {
  char detail[2] = "y";

  assert_int_equal(t2_detail(NULL, 0, T2_ERR_IO, "unused %d", 1), T2_ERR_IO);
  assert_int_equal(t2_detail(detail, 0, T2_ERR_IO, "unused"), T2_ERR_IO);
  assert_string_equal(detail, "y");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_sentence_is_written_and_the_error_handed_on),
      cmocka_unit_test(test_it_is_cut_to_fit_and_terminated),
      cmocka_unit_test(test_no_room_at_all_is_fine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
