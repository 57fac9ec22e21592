#include <t2_test_mem.h>

#include <base/mem.h>
#include <tunnel2/error.h>
#include <wire/prefix.h>

static t2_prefix prefix(const char *text) {
  t2_prefix p;
  if (t2_prefix_parse(&p, t2_str_c(text))) print_error("no prefix: %s\n", text);
  assert_int_equal(t2_prefix_parse(&p, t2_str_c(text)), 0);
  return p;
}

static void test_addresses_at_the_bounds(void **state) {
  const struct {
    const char *prefix, *host;
    bool in;
  } cases[] = {
      {"192.0.2.0/24", "192.0.2.0", true},
      {"192.0.2.0/24", "192.0.2.255", true},
      {"192.0.2.0/24", "192.0.3.0", false},
      {"192.0.2.0/24", "192.0.1.255", false},
      {"192.0.2.128/25", "192.0.2.127", false},
      {"192.0.2.128/25", "192.0.2.128", true},
      {"192.0.2.4/31", "192.0.2.5", true},
      {"192.0.2.4/31", "192.0.2.6", false},
      {"192.0.2.1", "192.0.2.1", true},
      {"192.0.2.1/32", "192.0.2.0", false},
      {"0.0.0.0/0", "255.255.255.255", true},
      {"0.0.0.0/0", "::1", false},
      {"::/0", "192.0.2.1", true},
      {"2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
      {"2001:db8::/32", "2001:db9::", false},
      {"2001:db8::/33", "2001:db8:7fff::", true},
      {"2001:db8::/33", "2001:db8:8000::", false},
      {"::1", "::1", true},
      {"::1/128", "::", false},
      {"127.0.0.1", "::ffff:127.0.0.1", true},
      {"::ffff:192.0.2.0/120", "192.0.2.7", true},
      {"::ffff:192.0.2.0/120", "192.0.3.7", false},
      {"::/0", "unix", false},
      {"1::8", "1:0:0:0:0:0:0:8", true},
      {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", true},
      {"1:2:3:4:5:6:0.7.0.8", "1:2:3:4:5:6:7:8", true},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8", true},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", true},
      {"::ABCD", "::abcd", true},
      {"::0001", "::1", true},
      {"::/0", "", false},
      {"::/0", "fe80::1%eth0", false},
  };
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    t2_prefix p = prefix(cases[i].prefix);
    if (t2_prefixes_have(&p, 1, t2_str_c(cases[i].host)) != cases[i].in)
      print_error("%s in %s\n", cases[i].host, cases[i].prefix);
    assert_int_equal(t2_prefixes_have(&p, 1, t2_str_c(cases[i].host)), cases[i].in);
  }
}

static void test_what_is_no_prefix(void **state) {
  const char *texts[] = {"",
                         "/",
                         "/8",
                         "a",
                         "localhost",
                         "192.0.2",
                         "192.0.2.0/",
                         "192.0.2.0/33",
                         "192.0.2.0/-1",
                         "192.0.2.0/+8",
                         "192.0.2.0/024",
                         "192.0.2.0/24/24",
                         "192.0.2.0/24 ",
                         " 192.0.2.0/24",
                         "192.0.2.1/24",
                         "192.0.2.0/22",
                         "0.0.0.1/0",
                         "::/129",
                         "::1/127",
                         "2001:db8::/28",
                         "[::1]",
                         "[::1]/128",
                         "fe80::1%eth0",
                         "::ffff:0.0.0.0/95",
                         "1:2:3:4:5:6:7:8:9",
                         "1:2:3:4:5:6:7",
                         "1:2:3:4:5:6:7:",
                         ":1:2:3:4:5:6:7",
                         "1::2::3",
                         ":::",
                         ":",
                         "1:2:3:4:5:6:7::8:9",
                         "1:2:3:4:5:6:7:8::",
                         "12345::",
                         "::g",
                         "::1.2.3",
                         "::1.2.3.4:5",
                         "1.2.3.4::",
                         "1.2.3.4.5",
                         "1..2.3",
                         "256.0.0.1",
                         "01.2.3.4",
                         "1.2.3.4.",
                         ".1.2.3.4",
                         "1:2:3:4:5:6:7:1.2.3.4",
                         "0000:0000:0000:0000:0000:ffff:255.255.255.2555"};
  t2_prefix p;
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(texts); i++) {
    if (t2_prefix_parse(&p, t2_str_c(texts[i])) == 0) print_error("taken: %s\n", texts[i]);
    assert_int_equal(t2_prefix_parse(&p, t2_str_c(texts[i])), T2_ERR_INVALID);
  }
  assert_int_equal(t2_prefix_parse(&p, t2_str_of("::1\0", 4)), T2_ERR_INVALID);
}

static void test_text_is_read_back(void **state) {
  const char *const texts[][2] = {
      {"192.0.2.0/24", "192.0.2.0/24"},
      {"192.0.2.1", "192.0.2.1/32"},
      {"0.0.0.0/0", "0.0.0.0/0"},
      {"2001:DB8:0::/32", "2001:db8:0:0:0:0:0:0/32"},
      {"::/0", "0:0:0:0:0:0:0:0/0"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"}};
  char text[T2_PREFIX_TEXT];
  t2_prefix p;
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(texts); i++) {
    p = prefix(texts[i][0]);
    t2_prefix_format(&p, text);
    assert_string_equal(text, texts[i][1]);
  }
}

static void test_any_of_a_list_counts(void **state) {
  t2_prefix list[] = {prefix("10.0.0.0/8"), prefix("::1")};
  (void)state;
  assert_true(t2_prefixes_have(list, 2, T2_STR("10.1.2.3")));
  assert_true(t2_prefixes_have(list, 2, T2_STR("::1")));
  assert_false(t2_prefixes_have(list, 2, T2_STR("11.0.0.0")));
  assert_false(t2_prefixes_have(list, 0, T2_STR("10.1.2.3")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_addresses_at_the_bounds),
      cmocka_unit_test(test_what_is_no_prefix),
      cmocka_unit_test(test_text_is_read_back),
      cmocka_unit_test(test_any_of_a_list_counts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
