#include <t2_test_mem.h>

#include <base/mem.h>
#include <http/http_date.h>
#include <time.h>
#include <tunnel2/error.h>

static void assert_date(int64_t seconds, const char *text) {
  char written[T2_HTTP_DATE_LEN + 1];
  int64_t read;
  t2_http_date_write(seconds, written);
  assert_string_equal(written, text);
  assert_int_equal(t2_http_date_parse(t2_str_c(text), &read), 0);
  assert_int_equal(read, seconds);
}

static void test_dates_of_the_standards(void **state) {
  assert_date(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
  assert_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
  assert_date(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
  assert_date(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
  assert_date(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* Against the C library, through leap years and the ends of months. */
static void test_every_day_of_a_century_is_written_and_read(void **state) {
  for (int64_t day = 0; day < 36600; day++) {
    int64_t seconds = day * 86400 + day % 86400, read;
    char written[T2_HTTP_DATE_LEN + 1], expected[64];
    time_t t = (time_t)seconds;
    struct tm tm;
    t2_http_date_write(seconds, written);
    assert_non_null(gmtime_r(&t, &tm));
    strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    assert_string_equal(written, expected);
    assert_int_equal(t2_http_date_parse(t2_str_c(written), &read), 0);
    assert_int_equal(read, seconds);
  }
}

static void test_times_out_of_range_are_cut(void **state) {
  char written[T2_HTTP_DATE_LEN + 1];
  t2_http_date_write(INT64_MIN, written);
  assert_string_equal(written, "Thu, 01 Jan 1970 00:00:00 GMT");
  t2_http_date_write(INT64_MAX, written);
  assert_string_equal(written, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void test_what_is_no_date_is_refused(void **state) {
  const char *const texts[] = {
      "",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
      "Sun, 06 Nov 1994 08:49:37 CET",
      "Sun, 06 Nov 1994 08:49:37 GMT ",
      "Sun, 00 Nov 1994 08:49:37 GMT",
      "Sun, 32 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nox 1994 08:49:37 GMT",
      "Sun, 06 Nov 1969 08:49:37 GMT",
      "Sun, 06 Nov 1994 24:49:37 GMT",
      "Sun, 06 Nov 1994 08:60:37 GMT",
      "Sun, 06 Nov 1994 08:49:61 GMT",
      "Sun, +6 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 08:49:-7 GMT",
  };
  for (size_t i = 0; i < T2_COUNT_OF(texts); i++) {
    int64_t seconds;
    if (t2_http_date_parse(t2_str_c(texts[i]), &seconds) != T2_ERR_INVALID) fail_msg("%s", texts[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dates_of_the_standards),
      cmocka_unit_test(test_every_day_of_a_century_is_written_and_read),
      cmocka_unit_test(test_times_out_of_range_are_cut),
      cmocka_unit_test(test_what_is_no_date_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
