#include <t2_test_mem.h>

#include <client/state.h>

static int check(t2_client_options *o, const char *origin, char *detail, size_t size) {
  o->origin = origin;
  *detail = '\0';
  return t2_client_udp_check(o, detail, size);
}

static void test_targets_that_are_taken(void **state) {
  const char *good[] = {"53", ":53", "localhost:53", "[::1]:53", "udp://dns.example:53", "udp://53"};
  t2_client_options o = {.kind = T2_CLIENT_UDP, .remote_port = 65535};
  char detail[256];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    assert_int_equal(check(&o, good[i], detail, sizeof(detail)), 0);
}

static void test_targets_that_are_none(void **state) {
  const char *bad[] = {NULL,         "",          "0",          "65536",     "host",     "udp://",
                       "udp://host", "tcp://h:1", "http://h:1", "https://h", "files:/x", "unix:/run/s",
                       "h:1/"};
  t2_client_options o = {.kind = T2_CLIENT_UDP};
  char detail[256];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    assert_int_equal(check(&o, bad[i], detail, sizeof(detail)), T2_ERR_INVALID);
    assert_non_null(strstr(detail, "is no UDP target"));
  }
}

static void test_options_of_others_are_refused(void **state) {
  const char *const lines[] = {"/a=80"};
  const t2_client_options udp = {.kind = T2_CLIENT_UDP};
  t2_client_options o;
  char detail[256];
  (void)state;
  o = udp, o.proxy_protocol = true;
  assert_int_equal(check(&o, "53", detail, sizeof(detail)), T2_ERR_INVALID);
  assert_non_null(strstr(detail, "for TCP and TLS sessions"));
  o = udp, o.routes = lines, o.route_count = 1;
  assert_int_equal(check(&o, "53", detail, sizeof(detail)), T2_ERR_INVALID);
  o = udp, o.add_headers = lines, o.add_header_count = 1;
  assert_int_equal(check(&o, "53", detail, sizeof(detail)), T2_ERR_INVALID);
  o = udp, o.host_header = "h";
  assert_int_equal(check(&o, "53", detail, sizeof(detail)), T2_ERR_INVALID);
  o = udp, o.rewrite_prefix = true;
  assert_int_equal(check(&o, "53", detail, sizeof(detail)), T2_ERR_INVALID);
  o = udp, o.origin_ca_file = "ca.pem";
  assert_int_equal(check(&o, "53", detail, sizeof(detail)), T2_ERR_INVALID);
  o = udp, o.origin_insecure = true;
  assert_int_equal(check(&o, "53", detail, sizeof(detail)), T2_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_targets_that_are_taken),
      cmocka_unit_test(test_targets_that_are_none),
      cmocka_unit_test(test_options_of_others_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
