#include <t2_test_mem.h>

#include <client/state.h>

static int check(t2_client_options *o, const char *origin, char *detail, size_t size) {
  o->origin = origin;
  *detail = '\0';
  return t2_client_tcp_check(o, detail, size);
}

static void test_targets_that_are_taken(void **state) {
  const char *good[] = {"22",         ":22",        "localhost:22", "[::1]:22", "tcp://db.example:5432",
                        "tcp://5432", "unix:/run/s"};
  t2_client_options o = {.kind = T2_CLIENT_TCP, .remote_port = 65535, .proxy_protocol = true};
  char detail[256];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    assert_int_equal(check(&o, good[i], detail, sizeof(detail)), 0);
}

static void test_targets_that_are_none(void **state) {
  const char *bad[] = {NULL,       "",           "0",           "65536",     "host",
                       "tcp://",   "tcp://host", "http://h:80", "h2c://h:1", "https://h",
                       "files:/x", "udp://h:1",  "unix:"};
  t2_client_options o = {.kind = T2_CLIENT_TCP};
  char detail[256];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    assert_int_equal(check(&o, bad[i], detail, sizeof(detail)), T2_ERR_INVALID);
    assert_non_null(strstr(detail, "is no TCP target"));
  }
}

static void test_each_kind_has_its_options(void **state) {
  const char *const lines[] = {"/a=80"};
  t2_client_options http = {.kind = T2_CLIENT_HTTP}, tcp = {.kind = T2_CLIENT_TCP}, o;
  char detail[256];
  (void)state;
  assert_int_equal(check(&http, NULL, detail, sizeof(detail)), 0);
  o = http, o.remote_port = 22;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = http, o.proxy_protocol = true;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.routes = lines, o.route_count = 1;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.add_headers = lines, o.add_header_count = 1;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.remove_headers = lines, o.remove_header_count = 1;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.host_header = "h";
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.rewrite_prefix = true;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.origin_ca_file = "ca.pem";
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.origin_insecure = true;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tcp, o.kind = (t2_client_kind)7;
  assert_int_equal(check(&o, "80", detail, sizeof(detail)), T2_ERR_INVALID);
}

static void test_tls_is_as_tcp_with_names_and_without_a_port(void **state) {
  const char *good[] = {"443", "localhost:8443", "tls://db.example:443", "unix:/run/s"};
  const char *bad[] = {"tcp://h:1", "https://h", "tls://", "host"}, *names[] = {"a.example"};
  const t2_client_options tls = {.kind = T2_CLIENT_TLS, .hostnames = names, .hostname_count = 1};
  t2_client_options o = tls;
  char detail[256];
  (void)state;
  o.proxy_protocol = true;
  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    assert_int_equal(check(&o, good[i], detail, sizeof(detail)), 0);
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    assert_int_equal(check(&o, bad[i], detail, sizeof(detail)), T2_ERR_INVALID);
    assert_non_null(strstr(detail, "is no TLS target"));
  }
  o = tls, o.remote_port = 443;
  assert_int_equal(check(&o, "443", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tls, o.hostname_count = 0;
  assert_int_equal(check(&o, "443", detail, sizeof(detail)), T2_ERR_INVALID);
  o = tls, o.host_header = "h";
  assert_int_equal(check(&o, "443", detail, sizeof(detail)), T2_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_targets_that_are_taken),
      cmocka_unit_test(test_targets_that_are_none),
      cmocka_unit_test(test_each_kind_has_its_options),
      cmocka_unit_test(test_tls_is_as_tcp_with_names_and_without_a_port),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
