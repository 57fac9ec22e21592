#include <t2_test_mem.h>

#include <net/address.h>
#include <tunnel2/error.h>

static void test_literals_are_told_from_names(void **state) {
  const struct {
    const char *text;
    bool literal;
  } cases[] = {
      {"127.0.0.1", true},   {"::1", true},        {"2001:db8::1", true}, {"::ffff:1.2.3.4", true},
      {"fe80::1%lo", true},  {"localhost", false}, {"[::1]", false},      {"1.2.3", false},
      {"1.2.3.4.5", false},  {"256.0.0.1", false}, {"", false},           {"::1::", false},
      {"127.0.0.1 ", false}, {"a.test", false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    if (t2_address_is_literal(t2_str_c(cases[i].text)) != cases[i].literal) fail_msg("%s", cases[i].text);
}

static void test_embedded_nul_and_long_text_are_no_address(void **state) {
  t2_address address;
  char longest[200];
  memset(longest, '1', sizeof(longest));
  assert_int_equal(t2_address_parse(&address, t2_str_of("::1\0x", 5), 1), T2_ERR_INVALID);
  assert_int_equal(t2_address_parse(&address, t2_str_of(longest, sizeof(longest)), 1), T2_ERR_INVALID);
}

static void test_text_and_back(void **state) {
  const char *const cases[][3] = {
      {"192.0.2.1", "192.0.2.1:80", "192.0.2.1"},
      {"2001:DB8::1", "[2001:db8::1]:80", "2001:db8::1"},
      {"::ffff:192.0.2.1", "192.0.2.1:80", "192.0.2.1"}, /* IPv4 on a socket for both */
      {"::", "[::]:80", "::"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char text[T2_ADDRESS_TEXT];
    t2_address address;
    assert_int_equal(t2_address_parse(&address, t2_str_c(cases[i][0]), 80), 0);
    assert_int_equal(t2_address_port(&address), 80);
    t2_str host = t2_address_format(&address, text);
    assert_string_equal(text, cases[i][1]);
    assert_true(t2_str_eq(host, t2_str_c(cases[i][2])));
  }
}

static void test_longest_address_fits(void **state) {
  char text[T2_ADDRESS_TEXT];
  t2_address address;
  t2_str longest = T2_STR("fe80:1111:2222:3333:4444:5555:6666:7777");
  assert_int_equal(t2_address_parse(&address, longest, 65535), 0);
  assert_true(t2_str_eq(t2_address_format(&address, text), longest));
  assert_string_equal(text, "[fe80:1111:2222:3333:4444:5555:6666:7777]:65535");
}

static void test_system_structures_are_copied_by_family(void **state) {
  t2_address from, to;
  assert_int_equal(t2_address_parse(&from, T2_STR("::1"), 7), 0);
  assert_true(t2_address_from(&to, &from.any));
  assert_memory_equal(&to.in6, &from.in6, sizeof(from.in6));
  assert_int_equal(t2_address_size(&to), sizeof(struct sockaddr_in6));
  assert_int_equal(t2_address_parse(&from, T2_STR("127.0.0.1"), 7), 0);
  assert_true(t2_address_from(&to, &from.any));
  assert_int_equal(t2_address_size(&to), sizeof(struct sockaddr_in));
  from.any.sa_family = AF_UNIX;
  assert_false(t2_address_from(&to, &from.any));
}

static bool is_private(const char *text) {
  t2_address address;
  assert_int_equal(t2_address_parse(&address, t2_str_c(text), 1), 0);
  return t2_address_is_private(&address);
}

static void test_networks_of_ones_own_are_told_from_the_public_one(void **state) {
  const char *const own[] = {"127.0.0.1",       "127.255.255.255", "10.0.0.0",        "10.255.255.255",
                             "172.16.0.0",      "172.31.255.255",  "192.168.0.0",     "192.168.255.255",
                             "169.254.0.1",     "100.64.0.0",      "100.127.255.255", "::1",
                             "fe80::1",         "febf::1",         "fc00::",          "fdff:ffff::1",
                             "::ffff:10.0.0.1", "::ffff:127.0.0.1"};
  const char *const others[] = {
      "0.0.0.0",         "8.8.8.8",        "9.255.255.255", "11.0.0.0",    "126.0.0.1",
      "128.0.0.1",       "172.15.255.255", "172.32.0.0",    "192.167.0.1", "192.169.0.1",
      "169.253.255.255", "100.63.255.255", "100.128.0.0",   "192.0.2.1",   "::",
      "2001:db8::1",     "fbff::1",        "fe00::1",       "fec0::1",     "ff02::1",
      "::10.0.0.1",      "::ffff:8.8.8.8"};
  t2_address none = {.any = {.sa_family = AF_UNIX}};
  for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
    assert_true(is_private(own[i]));
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
    assert_false(is_private(others[i]));
  assert_false(t2_address_is_private(&none));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_literals_are_told_from_names),
      cmocka_unit_test(test_embedded_nul_and_long_text_are_no_address),
      cmocka_unit_test(test_text_and_back),
      cmocka_unit_test(test_longest_address_fits),
      cmocka_unit_test(test_system_structures_are_copied_by_family),
      cmocka_unit_test(test_networks_of_ones_own_are_told_from_the_public_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
