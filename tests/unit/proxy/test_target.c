#include <t2_test_mem.h>

#include <proxy/target.h>
#include <tunnel2/error.h>

typedef struct accepted {
  const char *text, *host;
  unsigned port;
  const char *authority;
} accepted;

static void expect(int (*parse)(t2_str, t2_target *, char *, size_t), const accepted *c) {
  char detail[256] = "";
  t2_target target;
  int err = parse(t2_str_c(c->text), &target, detail, sizeof(detail));
  if (err) fail_msg("%s: %s", c->text, detail);
  assert_true(t2_str_eq(target.host, t2_str_c(c->host)));
  assert_int_equal(target.port, c->port);
  assert_true(t2_str_eq(target.authority, t2_str_c(c->authority)));
}

static void test_origins(void **state) {
  const accepted cases[] = {
      {"8080", "localhost", 8080, ""},
      {":8080", "localhost", 8080, ""},
      {"1", "localhost", 1, ""},
      {"65535", "localhost", 65535, ""},
      {"web:80", "web", 80, "web:80"},
      {"127.0.0.1:3000", "127.0.0.1", 3000, "127.0.0.1:3000"},
      {"[::1]:3000", "::1", 3000, "[::1]:3000"},
      {"my_service.internal:1", "my_service.internal", 1, "my_service.internal:1"},
      {"http://web", "web", 80, "web"},
      {"http://web/", "web", 80, "web"},
      {"HTTP://web:8080/", "web", 8080, "web:8080"},
      {"http://[::1]", "::1", 80, "[::1]"},
      {"http://[fe80::1%eth0]:81/", "fe80::1%eth0", 81, "[fe80::1%eth0]:81"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect(t2_target_parse, &cases[i]);
}

static void test_servers(void **state) {
  const accepted cases[] = {
      {"https://127.0.0.1:12002", "127.0.0.1", 12002, "127.0.0.1:12002"},
      {"https://control.example", "control.example", 443, "control.example"},
      {"https://control.example/", "control.example", 443, "control.example"},
      {"https://[2001:db8::1]:1/", "2001:db8::1", 1, "[2001:db8::1]:1"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect(t2_target_parse_https, &cases[i]);
}

typedef struct refused {
  const char *text;
  int err;
  const char *word; /* that the sentence has */
} refused;

static void expect_refusal(int (*parse)(t2_str, t2_target *, char *, size_t), const refused *c) {
  char detail[256] = "";
  t2_target target;
  int err = parse(t2_str_c(c->text), &target, detail, sizeof(detail));
  if (err != c->err || !strstr(detail, c->word)) fail_msg("\"%s\": %d, %s", c->text, err, detail);
}

static void test_refused_origins_say_what_is_taken(void **state) {
  const refused cases[] = {
      {"", T2_ERR_INVALID, "empty"},
      {"0", T2_ERR_INVALID, "1 to 65535"},
      {"65536", T2_ERR_INVALID, "1 to 65535"},
      {"99999999999999999999999", T2_ERR_INVALID, "1 to 65535"},
      {"host", T2_ERR_INVALID, "port is missing"},
      {"host:0", T2_ERR_INVALID, "1 to 65535"},
      {"host:", T2_ERR_INVALID, "PORT, HOST:PORT or http://HOST:PORT"},
      {"host:80:90", T2_ERR_INVALID, "host"},
      {"::1:80", T2_ERR_INVALID, "host"},
      {"ho st:80", T2_ERR_INVALID, "host"},
      {"host:80/path", T2_ERR_INVALID, "path"},
      {"http://", T2_ERR_INVALID, "host"},
      {"http://:80", T2_ERR_INVALID, "host"},
      {"http://host/path", T2_ERR_INVALID, "path"},
      {"http://host?query", T2_ERR_INVALID, "path"},
      {"http://user@host", T2_ERR_INVALID, "user"},
      {"http://[::1", T2_ERR_INVALID, "host"},
      {"http://host]", T2_ERR_INVALID, "host"},
      {"https://host", T2_ERR_UNSUPPORTED, "http://HOST:PORT"},
      {"ftp://host", T2_ERR_UNSUPPORTED, "clear HTTP/1.1"},
      {"h2c://host:80", T2_ERR_UNSUPPORTED, "clear HTTP/1.1"},
      {"unix:/run/app.sock", T2_ERR_UNSUPPORTED, "TCP"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect_refusal(t2_target_parse, &cases[i]);
}

static void test_refused_servers_say_what_is_taken(void **state) {
  const refused cases[] = {
      {"nonsense", T2_ERR_INVALID, "https://HOST:PORT"}, {"", T2_ERR_INVALID, "no URL"},
      {"http://host", T2_ERR_UNSUPPORTED, "https"},      {"https://", T2_ERR_INVALID, "host"},
      {"https://host/v1", T2_ERR_INVALID, "path"},       {"https://host:70000", T2_ERR_INVALID, "port"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect_refusal(t2_target_parse_https, &cases[i]);
}

static void test_length_is_bounded(void **state) {
  char text[T2_TARGET_MAX + 8], detail[256];
  t2_target target;
  memset(text, 'a', sizeof(text));
  assert_int_equal(t2_target_parse(t2_str_of(text, T2_TARGET_MAX + 1), &target, detail, sizeof(detail)),
                   T2_ERR_INVALID);
  assert_non_null(strstr(detail, "long"));
  memcpy(text, "https://", 8);
  assert_int_equal(t2_target_parse_https(t2_str_of(text, T2_TARGET_MAX + 1), &target, NULL, 0),
                   T2_ERR_INVALID);
  /* The longest name of the DNS is taken, one character more is not. */
  memcpy(text + 253, ":80", 3);
  memset(text, 'a', 253);
  assert_int_equal(t2_target_parse(t2_str_of(text, 256), &target, NULL, 0), 0);
  memset(text, 'a', 254);
  memcpy(text + 254, ":80", 3);
  assert_int_equal(t2_target_parse(t2_str_of(text, 257), &target, NULL, 0), T2_ERR_INVALID);
}

static void test_control_bytes_are_no_host(void **state) {
  t2_target target;
  assert_int_equal(t2_target_parse(T2_STR("a\0b:80"), &target, NULL, 0), T2_ERR_INVALID);
  assert_int_equal(t2_target_parse(T2_STR("a\r\nb:80"), &target, NULL, 0), T2_ERR_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_origins),
      cmocka_unit_test(test_servers),
      cmocka_unit_test(test_refused_origins_say_what_is_taken),
      cmocka_unit_test(test_refused_servers_say_what_is_taken),
      cmocka_unit_test(test_length_is_bounded),
      cmocka_unit_test(test_control_bytes_are_no_host),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
