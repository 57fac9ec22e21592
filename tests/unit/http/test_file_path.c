#include <t2_test_mem.h>

#include <base/mem.h>
#include <http/file_path.h>
#include <tunnel2/error.h>

static void test_paths_are_decoded(void **state) {
  const char *const cases[][2] = {
      {"", "."},         {"/", "."},           {"//", "."},       {"/a", "a"},       {"/a/b", "a/b"},
      {"/a/", "a"},      {"//a///b//", "a/b"}, {"/a%20b", "a b"}, {"/%41%7a", "Az"}, {"/a+b", "a+b"},
      {"/a.b", "a.b"},   {"/a..b", "a..b"},    {"/a%2eb", "a.b"}, {"/a%25", "a%"},   {"/%C3%A9", "\xc3\xa9"},
      {"/a\\b", "a\\b"},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    char path[T2_FILE_PATH_MAX];
    assert_int_equal(t2_file_path(t2_str_c(cases[i][0]), path), 0);
    assert_string_equal(path, cases[i][1]);
  }
}

static void test_paths_of_no_file_are_refused(void **state) {
  const char *const cases[] = {"/.",      "/..",       "/a/..",  "/a/../b", "/.a",   "/a/.b/c", "/%2e",
                               "/%2E%2e", "/%2e%2e/a", "/a%2fb", "/a%2F",   "/a%00", "/%00",    "/%",
                               "/%2",     "/%2g",      "/%g2",   "/a%",     "/...",  "/.%2e"};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    char path[T2_FILE_PATH_MAX];
    if (t2_file_path(t2_str_c(cases[i]), path) != T2_ERR_NOT_FOUND) fail_msg("%s: %s", cases[i], path);
  }
}

static void test_length_is_bounded(void **state) {
  char text[T2_FILE_PATH_MAX + 16], path[T2_FILE_PATH_MAX];
  memset(text, 'a', sizeof(text));
  text[0] = '/';
  assert_int_equal(t2_file_path(t2_str_of(text, T2_FILE_PATH_MAX - 1), path), 0);
  assert_int_equal(strlen(path), T2_FILE_PATH_MAX - 2);
  assert_int_equal(t2_file_path(t2_str_of(text, T2_FILE_PATH_MAX), path), T2_ERR_NOT_FOUND);
  for (size_t i = 2; i < sizeof(text); i += 2)
    text[i] = '/';
  for (size_t n = 0; n < sizeof(text); n++)
    if (t2_file_path(t2_str_of(text, n), path) == 0) assert_true(strlen(path) < T2_FILE_PATH_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_paths_are_decoded),
      cmocka_unit_test(test_paths_of_no_file_are_refused),
      cmocka_unit_test(test_length_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
