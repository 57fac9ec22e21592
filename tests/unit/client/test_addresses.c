#include <t2_test_mem.h>

#include <client/addresses.h>

static t2_client_addresses found;
static const t2_terms names = {.hostnames = {"a.example", "www.b.example"}, .hostname_count = 2};

static size_t read(t2_kind kind, const char *told) {
  t2_client_addresses_read(&found, kind, &names, t2_str_c(told));
  return found.n;
}

static void test_a_port_of_ones_own_is_as_it_was_told(void **state) {
  (void)state;
  assert_int_equal(read(T2_KIND_TCP, "tcp://gate.example:20022"), 1);
  assert_string_equal(found.urls[0], "tcp://gate.example:20022");
  assert_int_equal(read(T2_KIND_UDP, "udp://[::1]:53"), 1);
  assert_string_equal(found.urls[0], "udp://[::1]:53");
}

static void test_a_shared_port_is_each_names(void **state) {
  (void)state;
  assert_int_equal(read(T2_KIND_TLS, "tls://gate.example:443"), 2);
  assert_string_equal(found.urls[0], "tls://a.example:443");
  assert_string_equal(found.urls[1], "tls://www.b.example:443");
  assert_int_equal(read(T2_KIND_TLS, "tls://[2001:db8::1]:65535"), 2);
  assert_string_equal(found.urls[1], "tls://www.b.example:65535");
}

static void test_what_is_none_is_none(void **state) {
  const char *const bad[] = {"",           "tls://",         "tls://h",    "tls://h:0x1", "tls://h:65536",
                             "tls:/h:443", "tcp://h:443",    "tls//h:443", "tls://a b:1", "tls",
                             "tls:",       "http://tls://h", "tls://h:",   "tls://h/:443"};
  char longest[T2_CLIENT_ADDRESS_MAX + 1];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(read(T2_KIND_TLS, bad[i]), 0);
  assert_int_equal(read(T2_KIND_HTTP, "http://h:1"), 0);
  assert_int_equal(read(T2_KIND_TCP, "udp://h:1"), 0);
  memset(longest, 'h', sizeof(longest));
  memcpy(longest, "tcp://", 6);
  longest[T2_CLIENT_ADDRESS_MAX - 1] = '\0';
  assert_int_equal(read(T2_KIND_TCP, longest), 1);
  assert_string_equal(found.urls[0], longest);
  longest[T2_CLIENT_ADDRESS_MAX - 1] = 'h';
  longest[T2_CLIENT_ADDRESS_MAX] = '\0';
  assert_int_equal(read(T2_KIND_TCP, longest), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_port_of_ones_own_is_as_it_was_told),
      cmocka_unit_test(test_a_shared_port_is_each_names),
      cmocka_unit_test(test_what_is_none_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
