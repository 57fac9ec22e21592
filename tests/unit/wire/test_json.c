#include <t2_test_mem.h>

#include <base/mem.h>
#include <tunnel2/error.h>
#include <wire/json.h>

static void test_an_object_is_read(void **state) {
  const char *good[] = {"{}", " {\"a\":1}\r\n\t", "{\"a\":{\"b\":[]}}", "{\"\xc3\xa9\":\"\\u00e9\"}"};

  for (size_t i = 0; i < T2_COUNT_OF(good); i++) {
    json_t *object = t2_json_object(t2_str_c(good[i]));
    assert_non_null(object);
    json_decref(object);
  }
}

static void test_anything_else_is_none(void **state) {
  const t2_str bad[] = {
      T2_STR(""),
      T2_STR_NULL,
      T2_STR(" "),
      T2_STR("[]"),
      T2_STR("null"),
      T2_STR("1"),
      T2_STR("\"a\""),
      T2_STR("{"),
      T2_STR("{\"a\":1"),
      T2_STR("{}{}"),
      T2_STR("{} x"),
      T2_STR("{\"a\":1,}"),
      T2_STR("{a:1}"),
      T2_STR("{'a':1}"),
      T2_STR("// c\n{}"),
      T2_STR("\xef\xbb\xbf{}"),
      T2_STR("{\"a\":\"\xff\"}"),
      T2_STR("{\"a\":\"\xc0\x80\"}"),
      T2_STR("{\"a\":01}"),
      T2_STR("{\"a\":NaN}"),
      T2_STR("{\"a\":\"line\nbreak\"}"),
      T2_STR("{\"a\":99999999999999999999}"),
  };

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_null(t2_json_object(bad[i]));
}

static void test_a_name_that_stands_twice_is_refused(void **state) {
  assert_null(t2_json_object(T2_STR("{\"a\":1,\"a\":1}")));
  assert_null(t2_json_object(T2_STR("{\"a\":1,\"\\u0061\":2}")));
  assert_null(t2_json_object(T2_STR("{\"b\":{\"a\":1,\"a\":1}}")));
}

static void test_nul_is_refused_in_every_spelling(void **state) {
  assert_null(t2_json_object(T2_STR("{\"a\":\"x\\u0000y\"}")));
  assert_null(t2_json_object(T2_STR("{\"a\\u0000\":1}")));
  assert_null(t2_json_object(T2_STR("{\"a\":\"x\0y\"}")));
  assert_null(t2_json_object(T2_STR("{\"a\":1}\0")));
  assert_null(t2_json_object(T2_STR("\0{\"a\":1}")));
}

static void test_nesting_without_end_is_refused_not_followed(void **state) {
  enum { DEPTH = 100000 };
  char *text = malloc(DEPTH + 5);

  memcpy(text, "{\"a\":", 5);
  memset(text + 5, '[', DEPTH);
  assert_null(t2_json_object(t2_str_of(text, DEPTH + 5)));
  free(text);
}

static void test_text_members(void **state) {
  json_t *object = t2_json_object(T2_STR("{\"t\":\"text\",\"e\":\"\",\"n\":1,\"z\":null}"));
  t2_str value = T2_STR("before");

  assert_int_equal(t2_json_text(object, "none", &value), 0);
  assert_true(t2_str_eq(value, T2_STR("before")));
  assert_int_equal(t2_json_text(object, "n", &value), T2_ERR_INVALID);
  assert_int_equal(t2_json_text(object, "z", &value), T2_ERR_INVALID);
  assert_int_equal(t2_json_text(object, "t", &value), 1);
  assert_true(t2_str_eq(value, T2_STR("text")));
  assert_int_equal(t2_json_text(object, "e", &value), 1);
  assert_int_equal(value.n, 0);
  json_decref(object);
}

static void test_integer_members_within_their_bounds(void **state) {
  json_t *object = t2_json_object(T2_STR("{\"i\":10,\"m\":-10,\"r\":10.0,\"e\":1e1,\"s\":\"10\",\"b\":true,"
                                         "\"big\":9223372036854775807}"));
  const char *no_integer[] = {"r", "e", "s", "b"};
  int64_t value = 4711;

  assert_int_equal(t2_json_integer(object, "none", 0, 100, &value), 0);
  for (size_t i = 0; i < T2_COUNT_OF(no_integer); i++)
    assert_int_equal(t2_json_integer(object, no_integer[i], 0, 100, &value), T2_ERR_INVALID);
  assert_int_equal(t2_json_integer(object, "i", 11, 100, &value), T2_ERR_INVALID);
  assert_int_equal(t2_json_integer(object, "i", 0, 9, &value), T2_ERR_INVALID);
  assert_int_equal(t2_json_integer(object, "m", 0, 9, &value), T2_ERR_INVALID);
  assert_int_equal(value, 4711);
  assert_int_equal(t2_json_integer(object, "i", 10, 10, &value), 1);
  assert_int_equal(value, 10);
  assert_int_equal(t2_json_integer(object, "m", -10, 0, &value), 1);
  assert_int_equal(value, -10);
  assert_int_equal(t2_json_integer(object, "big", 0, INT64_MAX, &value), 1);
  assert_true(value == INT64_MAX);
  json_decref(object);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_object_is_read),
      cmocka_unit_test(test_anything_else_is_none),
      cmocka_unit_test(test_a_name_that_stands_twice_is_refused),
      cmocka_unit_test(test_nul_is_refused_in_every_spelling),
      cmocka_unit_test(test_nesting_without_end_is_refused_not_followed),
      cmocka_unit_test(test_text_members),
      cmocka_unit_test(test_integer_members_within_their_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
