#include <t2_test_mem.h>

#include <base/mem.h>
#include <base/str.h>
#include <tunnel2/error.h>

#define assert_str(s, text) assert_true(t2_str_eq((s), t2_str_c(text)))

static void test_equality_is_of_bytes_and_folds_only_ascii(void **state) {
  assert_true(t2_str_eq(T2_STR("a\0b"), T2_STR("a\0b")));
  assert_false(t2_str_eq(T2_STR("a\0b"), T2_STR("a\0c")));
  assert_true(t2_str_eq(T2_STR_NULL, T2_STR("")));
  assert_false(t2_str_eq(T2_STR("Host"), T2_STR("host")));
  assert_true(t2_str_eq_nocase(T2_STR("Host-9"), T2_STR("hOST-9")));
  assert_false(t2_str_eq_nocase(T2_STR("hos"), T2_STR("host")));
  /* '@' and '`', '[' and '{' differ by the case bit but are no letters. */
  assert_false(t2_str_eq_nocase(T2_STR("@"), T2_STR("`")));
  assert_false(t2_str_eq_nocase(T2_STR("["), T2_STR("{")));
  assert_false(t2_str_eq_nocase(T2_STR("\xc4"), T2_STR("\xe4")));
}

static void test_prefix_and_suffix(void **state) {
  assert_true(t2_str_starts(T2_STR("/session/x"), T2_STR("/session/")));
  assert_false(t2_str_starts(T2_STR("/sess"), T2_STR("/session/")));
  assert_true(t2_str_starts(T2_STR_NULL, T2_STR_NULL));
  assert_true(t2_str_ends(T2_STR("a.localhost"), T2_STR(".localhost")));
  assert_false(t2_str_ends(T2_STR("localhost"), T2_STR(".localhost")));
  assert_true(t2_str_ends(T2_STR("x"), T2_STR_NULL));
}

static void test_find_gives_the_first_and_rfind_the_last(void **state) {
  assert_int_equal(t2_str_find(T2_STR("a:b:c"), ':'), 1);
  assert_int_equal(t2_str_rfind(T2_STR("a:b:c"), ':'), 3);
  assert_int_equal(t2_str_find(T2_STR("abc"), ':'), -1);
  assert_int_equal(t2_str_rfind(T2_STR_NULL, ':'), -1);
  assert_int_equal(t2_str_find(T2_STR_NULL, ':'), -1);
}

static void test_trim_takes_spaces_and_tabs_only(void **state) {
  assert_str(t2_str_trim(T2_STR(" \t a b\t ")), "a b");
  assert_str(t2_str_trim(T2_STR(" \t ")), "");
  assert_str(t2_str_trim(T2_STR("\r\na\r\n")), "\r\na\r\n");
  assert_str(t2_str_trim(T2_STR_NULL), "");
}

static void test_list_elements_come_trimmed_and_empty_ones_are_skipped(void **state) {
  t2_str rest = T2_STR(", keep-alive ,,\tupgrade,  ,x"), element;

  assert_true(t2_str_next(&rest, ',', &element));
  assert_str(element, "keep-alive");
  assert_true(t2_str_next(&rest, ',', &element));
  assert_str(element, "upgrade");
  assert_true(t2_str_next(&rest, ',', &element));
  assert_str(element, "x");
  assert_false(t2_str_next(&rest, ',', &element));
  rest = T2_STR(" , ,");
  assert_false(t2_str_next(&rest, ',', &element));
  rest = T2_STR_NULL;
  assert_false(t2_str_next(&rest, ',', &element));
}

static void test_numbers_are_digits_up_to_the_bound(void **state) {
  const char *bad[] = {
      "", "-1", "+1", " 1", "1 ", "0x10", "1.0", "18446744073709551616", "99999999999999999999999"};
  uint64_t value = 42;

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_str_u64(t2_str_c(bad[i]), UINT64_MAX, &value), T2_ERR_INVALID);
  assert_int_equal(value, 42);
  assert_int_equal(t2_str_u64(T2_STR("18446744073709551615"), UINT64_MAX, &value), 0);
  assert_true(value == UINT64_MAX);
  assert_int_equal(t2_str_u64(T2_STR("65535"), 65535, &value), 0);
  assert_int_equal(t2_str_u64(T2_STR("65536"), 65535, &value), T2_ERR_INVALID);
  assert_int_equal(t2_str_u64(T2_STR("0"), 0, &value), 0);
  assert_int_equal(value, 0);
}

static void test_host_and_port_are_split(void **state) {
  static const struct {
    const char *text, *host;
    uint16_t port;
  } good[] = {{"127.0.0.1:12000", "127.0.0.1", 12000},
              {"[::1]:80", "::1", 80},
              {"[fe80::1%eth0]:65535", "fe80::1%eth0", 65535},
              {":0", "", 0},
              {"entry.example.com:443", "entry.example.com", 443}};
  t2_str host;
  uint16_t port;

  for (size_t i = 0; i < T2_COUNT_OF(good); i++) {
    assert_int_equal(t2_str_hostport(t2_str_c(good[i].text), &host, &port), 0);
    assert_str(host, good[i].host);
    assert_int_equal(port, good[i].port);
  }
}

static void test_what_is_no_host_and_port_is_refused(void **state) {
  const char *bad[] = {"",          "host",       "host:",     "host:65536",   "host:-1",   "host:8x",
                       "::1:80",    "a:b:80",     "[::1]",     "[]:80",        "[::1:80",   "::1]:80",
                       "[::1]80",   "[[::1]]:80", "h ost:80",  "user@host:80", "host/x:80", "host?x:80",
                       "host#x:80", "host\\x:80", "ho\tst:80", "[a/b]:80"};
  t2_str host;
  uint16_t port;

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_str_hostport(t2_str_c(bad[i]), &host, &port), T2_ERR_INVALID);
  assert_int_equal(t2_str_hostport(T2_STR("ho\0st:80"), &host, &port), T2_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equality_is_of_bytes_and_folds_only_ascii),
      cmocka_unit_test(test_prefix_and_suffix),
      cmocka_unit_test(test_find_gives_the_first_and_rfind_the_last),
      cmocka_unit_test(test_trim_takes_spaces_and_tabs_only),
      cmocka_unit_test(test_list_elements_come_trimmed_and_empty_ones_are_skipped),
      cmocka_unit_test(test_numbers_are_digits_up_to_the_bound),
      cmocka_unit_test(test_host_and_port_are_split),
      cmocka_unit_test(test_what_is_no_host_and_port_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
