#include <t2_test_mem.h>

#include <http/utf8.h>
#include <string.h>

/* Is the text whole and right, cut into pieces of that size? */
static bool right(const char *text, size_t n, size_t piece) {
  t2_utf8 state = {0};
  for (size_t at = 0; at < n; at += piece)
    if (!t2_utf8_check(&state, (const uint8_t *)text + at, n - at < piece ? n - at : piece)) return false;
  return t2_utf8_is_whole(&state);
}

static void assert_right(const char *text, bool expected) {
  for (size_t piece = 1; piece <= 9; piece++)
    assert_int_equal(right(text, strlen(text), piece), expected);
}

static void test_the_first_and_the_last_of_each_length(void **state) {
  const char *const good[] = {"",
                              "a",
                              "\x7f",
                              "\xc2\x80",
                              "\xdf\xbf",
                              "\xe0\xa0\x80",
                              "\xed\x9f\xbf",
                              "\xee\x80\x80",
                              "\xef\xbf\xbf",
                              "\xf0\x90\x80\x80",
                              "\xf4\x8f\xbf\xbf",
                              "twelve ASCII, then \xe2\x82\xac and twelve more"};
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
    assert_right(good[i], true);
}

static void test_what_is_no_character_is_refused(void **state) {
  const char *const bad[] = {"\x80",
                             "\xbf",
                             "\xc0\x80",
                             "\xc1\xbf",
                             "\xe0\x9f\xbf",
                             "\xed\xa0\x80",
                             "\xf0\x8f\xbf\xbf",
                             "\xf4\x90\x80\x80",
                             "\xf5\x80",
                             "\xff",
                             "\xc2\x41",
                             "\xe2\x82\x41",
                             "\xe2\x82\xc0",
                             "\xf0\x90\x80",
                             "\xe2",
                             "plain ASCII\xc3"};
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    assert_right(bad[i], false);
}

/* Against what the definition of UTF-8 says of every code point. */
static void test_every_code_point(void **state) {
  for (uint32_t c = 0; c < 0x110400; c++) {
    uint8_t out[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1;)
      out[i] = (uint8_t)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
    out[0] = (uint8_t)(first[n] | c >> 6 * (n - 1));
    bool good = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
    assert_int_equal(right((const char *)out, n, n), good);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_first_and_the_last_of_each_length),
      cmocka_unit_test(test_what_is_no_character_is_refused),
      cmocka_unit_test(test_every_code_point),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
