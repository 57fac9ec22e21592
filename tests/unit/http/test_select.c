#include <t2_test_mem.h>

#include <http/select.h>

#define DATE   "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"

static const t2_representation what = {{"\"tag\"", 5}, 784111777, 1000};

/* Fields as "name: value" in pairs, NULL at the end. */
static t2_selection ask(const char *method, const char *const *fields) {
  t2_head head;
  t2_head_init(&head, NULL);
  head.method = t2_str_c(method);
  for (size_t i = 0; fields[i]; i += 2)
    assert_int_equal(t2_fields_add(&head.fields, t2_str_c(fields[i]), t2_str_c(fields[i + 1])), 0);
  t2_selection selection = t2_select(&head, &what);
  t2_head_fini(&head);
  return selection;
}

static void assert_status(int status, const char *const *fields) {
  t2_selection selection = ask("GET", fields);
  if (selection.status != status) fail_msg("%s: %s: %d", fields[0], fields[1], selection.status);
}

#define STATUS(status, ...) assert_status(status, (const char *const[]){__VA_ARGS__, NULL})

static void test_nothing_asked_is_the_whole(void **state) {
  t2_selection selection = ask("GET", (const char *const[]){NULL});
  assert_int_equal(selection.status, 200);
  assert_int_equal(selection.offset, 0);
  assert_int_equal(selection.length, 1000);
}

static void test_tags_that_are_known_are_304(void **state) {
  STATUS(304, "if-none-match", "\"tag\"");
  STATUS(304, "if-none-match", "W/\"tag\"");
  STATUS(304, "if-none-match", "\"a\", \"b\" , \"tag\"");
  STATUS(304, "if-none-match", "*");
  STATUS(304, "if-none-match", "\"a\"", "if-none-match", "\"tag\"");
  STATUS(200, "if-none-match", "\"other\"");
  STATUS(200, "if-none-match", "tag");
  STATUS(200, "if-none-match", "");
}

static void test_dates_count_where_there_are_no_tags(void **state) {
  STATUS(304, "if-modified-since", DATE);
  STATUS(304, "if-modified-since", AFTER);
  STATUS(200, "if-modified-since", BEFORE);
  STATUS(200, "if-modified-since", "yesterday");
  STATUS(200, "if-none-match", "\"other\"", "if-modified-since", DATE);
  STATUS(304, "if-none-match", "\"tag\"", "if-modified-since", BEFORE);
}

static void test_preconditions_that_do_not_hold_are_412(void **state) {
  STATUS(200, "if-match", "\"tag\"");
  STATUS(200, "if-match", "*");
  STATUS(412, "if-match", "W/\"tag\"");
  STATUS(412, "if-match", "\"other\"");
  STATUS(200, "if-unmodified-since", DATE);
  STATUS(412, "if-unmodified-since", BEFORE);
  STATUS(200, "if-unmodified-since", "never");
  STATUS(200, "if-match", "\"tag\"", "if-unmodified-since", BEFORE);
  STATUS(412, "if-match", "\"other\"", "if-none-match", "\"tag\"");
}

static void assert_range(const char *value, uint64_t offset, uint64_t length) {
  t2_selection selection = ask("GET", (const char *const[]){"range", value, NULL});
  if (selection.status != 206 || selection.offset != offset || selection.length != length)
    fail_msg("%s: %d, %llu, %llu", value, selection.status, (unsigned long long)selection.offset,
             (unsigned long long)selection.length);
}

static void test_ranges(void **state) {
  assert_range("bytes=0-0", 0, 1);
  assert_range("bytes=0-999", 0, 1000);
  assert_range("bytes=0-1000", 0, 1000);
  assert_range("bytes=999-", 999, 1);
  assert_range("bytes=999-999999999999999999", 999, 1);
  assert_range("bytes=-1", 999, 1);
  assert_range("bytes=-1000", 0, 1000);
  assert_range("bytes=-1001", 0, 1000);
  assert_range("BYTES= 5-6 ", 5, 2);
}

static void test_ranges_of_nothing_are_416(void **state) {
  STATUS(416, "range", "bytes=1000-");
  STATUS(416, "range", "bytes=1000-2000");
  STATUS(416, "range", "bytes=-0");
}

static void test_what_is_no_single_range_is_passed_over(void **state) {
  const char *const values[] = {"bytes=0-1,3-4",
                                "bytes=",
                                "bytes=-",
                                "bytes=5-4",
                                "bytes=a-5",
                                "bytes=5-a",
                                "bytes=--5",
                                "bytes=1-2-3",
                                "bits=0-1",
                                "bytes 0-1",
                                "bytes=+1-2",
                                "bytes=9999999999999999999-",
                                ""};
  for (size_t i = 0; i < T2_COUNT_OF(values); i++)
    STATUS(200, "range", values[i]);
  STATUS(200, "range", "bytes=0-1", "range", "bytes=0-1");
}

static void test_ranges_are_for_get(void **state) {
  t2_selection selection = ask("HEAD", (const char *const[]){"range", "bytes=0-1", NULL});
  assert_int_equal(selection.status, 200);
  assert_int_equal(selection.length, 1000);
}

static void test_ranges_count_if_what_they_are_of_is_still_there(void **state) {
  STATUS(206, "range", "bytes=0-1", "if-range", "\"tag\"");
  STATUS(200, "range", "bytes=0-1", "if-range", "\"other\"");
  STATUS(200, "range", "bytes=0-1", "if-range", "W/\"tag\"");
  STATUS(206, "range", "bytes=0-1", "if-range", DATE);
  STATUS(200, "range", "bytes=0-1", "if-range", AFTER);
  STATUS(200, "range", "bytes=1000-", "if-range", "\"other\"");
}

static void test_conditions_come_before_ranges(void **state) {
  STATUS(304, "range", "bytes=0-1", "if-none-match", "\"tag\"");
  STATUS(412, "range", "bytes=2000-", "if-match", "\"other\"");
}

static void test_nothing_of_nothing(void **state) {
  const t2_representation empty = {{"\"tag\"", 5}, 0, 0};
  t2_head head;
  t2_head_init(&head, NULL);
  head.method = T2_STR("GET");
  assert_int_equal(t2_select(&head, &empty).status, 200);
  assert_int_equal(t2_fields_add(&head.fields, T2_STR("range"), T2_STR("bytes=-5")), 0);
  assert_int_equal(t2_select(&head, &empty).status, 416);
  t2_head_fini(&head);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_asked_is_the_whole),
      cmocka_unit_test(test_tags_that_are_known_are_304),
      cmocka_unit_test(test_dates_count_where_there_are_no_tags),
      cmocka_unit_test(test_preconditions_that_do_not_hold_are_412),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_ranges_of_nothing_are_416),
      cmocka_unit_test(test_what_is_no_single_range_is_passed_over),
      cmocka_unit_test(test_ranges_are_for_get),
      cmocka_unit_test(test_ranges_count_if_what_they_are_of_is_still_there),
      cmocka_unit_test(test_conditions_come_before_ranges),
      cmocka_unit_test(test_nothing_of_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
