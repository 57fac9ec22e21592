#include <t2_test_mem.h>

#include <client/media_type.h>

static void assert_type(const char *name, const char *type) {
  assert_string_equal(t2_media_type(t2_str_c(name)), type);
}

static void test_the_end_of_a_name_says_it(void **state) {
  assert_type("index.html", "text/html; charset=utf-8");
  assert_type("a/b/INDEX.HTML", "text/html; charset=utf-8");
  assert_type("app.min.js", "text/javascript; charset=utf-8");
  assert_type("x.wasm", "application/wasm");
  assert_type(".png", "image/png");
}

static void test_what_nobody_knows_is_bytes(void **state) {
  const char *const names[] = {"", "README", "a.", "a.unknownend", "html", "a.html/b", "a.htmlx"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    assert_type(names[i], "application/octet-stream");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_end_of_a_name_says_it),
      cmocka_unit_test(test_what_nobody_knows_is_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
