#include <t2_test_mem.h>

#include <base/mem.h>
#include <tunnel2/error.h>

static void test_every_error_has_a_name_and_a_phrase(void **state) {
  for (int err = T2_OK; err >= T2_ERR_UNSUPPORTED; err--) {
    assert_string_not_equal(t2_error_name(err), "UNKNOWN");
    assert_string_not_equal(t2_strerror(err), "unknown error");
    assert_true(strlen(t2_strerror(err)) > 0);
  }
  assert_string_equal(t2_error_name(T2_ERR_REFUSED), "REFUSED");
  assert_string_equal(t2_strerror(T2_ERR_REFUSED), "connection refused");
}

static void test_a_number_that_is_no_error_is_unknown(void **state) {
  const int foreign[] = {1, T2_ERR_UNSUPPORTED - 1, INT32_MIN, INT32_MAX};

  for (size_t i = 0; i < T2_COUNT_OF(foreign); i++) {
    assert_string_equal(t2_error_name(foreign[i]), "UNKNOWN");
    assert_string_equal(t2_strerror(foreign[i]), "unknown error");
  }
}

static void use_all_calls(const t2_allocator *hook) {
  char *a = t2_alloc(hook, 0);
  char *b = t2_calloc(hook, 3, 5);
  char *c = t2_realloc(hook, NULL, 4);

  assert_non_null(a);
  for (size_t i = 0; i < 15; i++)
    assert_int_equal(b[i], 0);
  memcpy(c, "abc", 4);
  c = t2_realloc(hook, c, 4096);
  assert_string_equal(c, "abc");
  c = t2_realloc(hook, c, 0);
  assert_int_equal(c[0], 'a');
  t2_free(hook, a);
  t2_free(hook, b);
  t2_free(hook, c);
  t2_free(hook, NULL);
}

static void test_the_hook_gets_every_call_and_never_size_zero(void **state) {
  t2_test_mem mem;

  t2_test_mem_init(&mem);
  use_all_calls(&mem.hook);
  assert_int_equal(mem.count, 5);
  t2_test_mem_check(&mem);
}

static void test_without_a_hook_libc_serves(void **state) {
  use_all_calls(NULL);
}

static void test_calloc_refuses_a_product_that_overflows(void **state) {
  t2_test_mem mem;

  t2_test_mem_init(&mem);
  assert_null(t2_calloc(&mem.hook, SIZE_MAX / 2, 3));
  assert_null(t2_calloc(NULL, SIZE_MAX / 2, 3));
  assert_int_equal(mem.count, 0);
}

static void test_strings_are_copied_and_ended(void **state) {
  char *copy = t2_strdup(NULL, "uplink");
  assert_string_equal(copy, "uplink");
  t2_free(NULL, copy);

  copy = t2_strndup(NULL, "uplink", 2);
  assert_string_equal(copy, "up");
  t2_free(NULL, copy);

  copy = t2_strndup(NULL, "up", 100);
  assert_string_equal(copy, "up");
  t2_free(NULL, copy);

  copy = t2_strndup(NULL, NULL, 0);
  assert_string_equal(copy, "");
  t2_free(NULL, copy);
  assert_null(t2_strdup(NULL, NULL));
}

static void copy_strings(t2_test_mem *mem, void *user) {
  char *a = t2_strdup(&mem->hook, "a");
  char *b = t2_strndup(&mem->hook, "bc", 1);

  assert_true(mem->failed == (!a || !b));
  t2_free(&mem->hook, a);
  t2_free(&mem->hook, b);
}

static void test_a_failed_copy_is_null(void **state) {
  assert_int_equal(t2_test_mem_fail_each(copy_strings, NULL), 2);
}

static void test_a_failed_resize_leaves_the_block(void **state) {
  t2_test_mem mem;

  t2_test_mem_init(&mem);
  char *block = t2_alloc(&mem.hook, 8);
  memcpy(block, "content", 8);
  t2_test_mem_fail(&mem, 1, false);
  assert_null(t2_realloc(&mem.hook, block, 16));
  assert_string_equal(block, "content");
  t2_free(&mem.hook, block);
  t2_test_mem_check(&mem);
}

static void test_comparison_sees_every_byte(void **state) {
  uint8_t a[33], b[33];

  memset(a, 7, sizeof(a));
  memcpy(b, a, sizeof(b));
  assert_int_equal(t2_memcmp_ct(a, b, sizeof(a)), 0);
  assert_int_equal(t2_memcmp_ct(NULL, NULL, 0), 0);
  for (size_t i = 0; i < sizeof(a); i++) {
    b[i] ^= 0x80;
    assert_int_not_equal(t2_memcmp_ct(a, b, sizeof(a)), 0);
    b[i] ^= 0x80;
  }
}

static void test_memzero_clears(void **state) {
  uint8_t key[16];

  memset(key, 1, sizeof(key));
  t2_memzero(key, 15);
  for (size_t i = 0; i < 15; i++)
    assert_int_equal(key[i], 0);
  assert_int_equal(key[15], 1);
  t2_memzero(NULL, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_error_has_a_name_and_a_phrase),
      cmocka_unit_test(test_a_number_that_is_no_error_is_unknown),
      cmocka_unit_test(test_the_hook_gets_every_call_and_never_size_zero),
      cmocka_unit_test(test_without_a_hook_libc_serves),
      cmocka_unit_test(test_calloc_refuses_a_product_that_overflows),
      cmocka_unit_test(test_strings_are_copied_and_ended),
      cmocka_unit_test(test_a_failed_copy_is_null),
      cmocka_unit_test(test_a_failed_resize_leaves_the_block),
      cmocka_unit_test(test_comparison_sees_every_byte),
      cmocka_unit_test(test_memzero_clears),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
