#include <t2_test_mem.h>

#include <base/base64.h>
#include <base/mem.h>
#include <tunnel2/error.h>

/* RFC 4648, 10, without the padding; and the two digits base64url has of its own. */
static const struct {
  const char *bytes, *text;
} examples[] = {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
                {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"}};

static void test_the_rfc_examples_both_ways(void **state) {
  uint8_t bytes[16];
  size_t n;
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  for (size_t i = 0; i < T2_COUNT_OF(examples); i++) {
    t2_buf_reset(&buf);
    assert_int_equal(t2_base64url_encode(&buf, examples[i].bytes, strlen(examples[i].bytes)), 0);
    assert_string_equal(t2_buf_cstr(&buf), examples[i].text);
    assert_int_equal(t2_base64url_decode(t2_str_c(examples[i].text), bytes, sizeof(bytes), &n), 0);
    assert_int_equal(n, strlen(examples[i].bytes));
    assert_memory_equal(bytes, examples[i].bytes, n);
  }
  t2_buf_fini(&buf);
}

static void test_every_length_comes_back(void **state) {
  uint8_t bytes[256], back[256];
  size_t n;
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  for (size_t i = 0; i < sizeof(bytes); i++)
    bytes[i] = (uint8_t)(i * 167 + 13);
  for (size_t len = 0; len <= sizeof(bytes); len++) {
    t2_buf_reset(&buf);
    assert_int_equal(t2_base64url_encode(&buf, bytes, len), 0);
    t2_str text = t2_str_of((char *)t2_buf_head(&buf), t2_buf_len(&buf));
    assert_int_equal(t2_base64url_decode(text, back, len, &n), 0);
    assert_int_equal(n, len);
    assert_memory_equal(back, bytes, len);
    if (len) assert_int_equal(t2_base64url_decode(text, back, len - 1, &n), T2_ERR_LIMIT);
  }
  t2_buf_fini(&buf);
}

static void test_any_other_spelling_is_refused(void **state) {
  const char *bad[] = {"Z",    "Zm9vY", "Zg==",  "Zm8=",   "Zm9v=",   "Zh",   "Zm9",
                       "Zm+v", "Zm/v",  "Zm 9v", "Zm9v\n", "Zm9\x80", "Zm.v", "Zm\x7fv"};
  uint8_t bytes[16];
  size_t n;

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_base64url_decode(t2_str_c(bad[i]), bytes, sizeof(bytes), &n), T2_ERR_INVALID);
  assert_int_equal(t2_base64url_decode(T2_STR("Zm\0v"), bytes, sizeof(bytes), &n), T2_ERR_INVALID);
}

static void encode_once(t2_test_mem *mem, void *user) {
  t2_buf buf;

  t2_buf_init(&buf, &mem->hook);
  int rc = t2_base64url_encode(&buf, "abc", 3);
  assert_int_equal(rc, mem->failed ? T2_ERR_NOMEM : 0);
  t2_buf_fini(&buf);
}

static void test_encoding_without_memory_says_so(void **state) {
  assert_int_equal(t2_test_mem_fail_each(encode_once, NULL), 1);
}

static void test_hex_both_ways(void **state) {
  const uint8_t bytes[] = {0x00, 0x7f, 0xa0, 0xff};
  uint8_t back[4];
  char text[9];

  t2_hex_encode(bytes, sizeof(bytes), text);
  assert_string_equal(text, "007fa0ff");
  assert_int_equal(t2_hex_decode(t2_str_c(text), back, sizeof(back)), 0);
  assert_memory_equal(back, bytes, sizeof(bytes));
  t2_hex_encode(NULL, 0, text);
  assert_string_equal(text, "");
  assert_int_equal(t2_hex_decode(T2_STR_NULL, back, 0), 0);
}

static void test_hex_of_another_length_or_spelling_is_refused(void **state) {
  const char *bad[] = {"",         "007fa0f",  "007fa0ff0", "007fa0ff00",
                       "007FA0FF", "007fa0fg", "0x7fa0ff",  "007fa0f "};
  uint8_t back[4];

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_hex_decode(t2_str_c(bad[i]), back, sizeof(back)), T2_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_rfc_examples_both_ways),
      cmocka_unit_test(test_every_length_comes_back),
      cmocka_unit_test(test_any_other_spelling_is_refused),
      cmocka_unit_test(test_encoding_without_memory_says_so),
      cmocka_unit_test(test_hex_both_ways),
      cmocka_unit_test(test_hex_of_another_length_or_spelling_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
