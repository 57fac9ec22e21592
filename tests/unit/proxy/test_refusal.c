#include <t2_test_mem.h>

#include <proxy/refusal.h>
#include <tunnel2/error.h>

static void test_detail_of_a_problem_is_fit_for_a_log(void **state) {
  char out[16];
  t2_refusal_detail(T2_STR("{\"detail\":\"why\",\"title\":\"what\"}"), out, sizeof(out));
  assert_string_equal(out, "why");
  t2_refusal_detail(T2_STR("{\"title\":\"what\"}"), out, sizeof(out));
  assert_string_equal(out, "what");
  t2_refusal_detail(T2_STR("{\"detail\":\"a\\nb\\u001b[31m\"}"), out, sizeof(out));
  assert_string_equal(out, "ab[31m");
  t2_refusal_detail(T2_STR("{\"detail\":\"0123456789abcdef\"}"), out, sizeof(out));
  assert_string_equal(out, "0123456789abcde");
  t2_refusal_detail(T2_STR("<html>"), out, sizeof(out));
  assert_string_equal(out, "");
}

static uint64_t retry_after(const char *value) {
  t2_field field = {.name = T2_STR("retry-after"), .value = t2_str_c(value)};
  t2_head head = {.fields = {.list = &field, .n = 1, .cap = 1}};
  return t2_refusal_retry_after_ms(&head);
}

static void test_retry_after_is_bounded_and_dates_are_passed_over(void **state) {
  t2_head none = {0};
  assert_int_equal(t2_refusal_retry_after_ms(&none), 0);
  assert_int_equal(retry_after("0"), 0);
  assert_int_equal(retry_after("7"), 7000);
  assert_int_equal(retry_after("60"), 60000);
  assert_int_equal(retry_after("61"), 60000);
  assert_int_equal(retry_after("4294967296"), 0);
  assert_int_equal(retry_after("-1"), 0);
  assert_int_equal(retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), 0);
}

static void test_statuses_have_errors(void **state) {
  const struct {
    int status, err;
  } cases[] = {
      {401, T2_ERR_AUTH},    {403, T2_ERR_FORBIDDEN},   {404, T2_ERR_NOT_FOUND},   {409, T2_ERR_CONFLICT},
      {400, T2_ERR_INVALID}, {503, T2_ERR_UNAVAILABLE}, {429, T2_ERR_UNAVAILABLE}, {500, T2_ERR_PROTOCOL},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    assert_int_equal(t2_refusal_error(cases[i].status), cases[i].err);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_detail_of_a_problem_is_fit_for_a_log),
      cmocka_unit_test(test_retry_after_is_bounded_and_dates_are_passed_over),
      cmocka_unit_test(test_statuses_have_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
