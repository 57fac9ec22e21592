#include <t2_test_mem.h>

#include <proxy/target.h>
#include <tunnel2/error.h>

typedef struct accepted {
  const char *text, *host;
  unsigned port;
  const char *authority;
  t2_target_kind kind;
} accepted;

static void expect(int (*parse)(t2_str, t2_target *, char *, size_t), const accepted *c) {
  char detail[256] = "";
  t2_target target;
  int err = parse(t2_str_c(c->text), &target, detail, sizeof(detail));
  if (err) fail_msg("%s: %s", c->text, detail);
  assert_true(t2_str_eq(target.host, t2_str_c(c->host)));
  assert_int_equal(target.port, c->port);
  assert_true(t2_str_eq(target.authority, t2_str_c(c->authority)));
  assert_int_equal(target.kind, c->kind);
}

static void test_origins(void **state) {
  const accepted cases[] = {
      {"8080", "localhost", 8080, "", T2_TARGET_HTTP},
      {":8080", "localhost", 8080, "", T2_TARGET_HTTP},
      {"1", "localhost", 1, "", T2_TARGET_HTTP},
      {"65535", "localhost", 65535, "", T2_TARGET_HTTP},
      {"web:80", "web", 80, "web:80", T2_TARGET_HTTP},
      {"127.0.0.1:3000", "127.0.0.1", 3000, "127.0.0.1:3000", T2_TARGET_HTTP},
      {"[::1]:3000", "::1", 3000, "[::1]:3000", T2_TARGET_HTTP},
      {"my_service.internal:1", "my_service.internal", 1, "my_service.internal:1", T2_TARGET_HTTP},
      {"http://web", "web", 80, "web", T2_TARGET_HTTP},
      {"http://web/", "web", 80, "web", T2_TARGET_HTTP},
      {"HTTP://web:8080/", "web", 8080, "web:8080", T2_TARGET_HTTP},
      {"http://[::1]", "::1", 80, "[::1]", T2_TARGET_HTTP},
      {"http://[fe80::1%eth0]:81/", "fe80::1%eth0", 81, "[fe80::1%eth0]:81", T2_TARGET_HTTP},
      {"https://web", "web", 443, "web", T2_TARGET_HTTPS},
      {"https://web:8443/", "web", 8443, "web:8443", T2_TARGET_HTTPS},
      {"h2c://grpc:50051", "grpc", 50051, "grpc:50051", T2_TARGET_H2C},
      {"H2C://grpc", "grpc", 80, "grpc", T2_TARGET_H2C},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect(t2_target_parse, &cases[i]);
}

static void test_servers(void **state) {
  const accepted cases[] = {
      {"https://127.0.0.1:12002", "127.0.0.1", 12002, "127.0.0.1:12002", T2_TARGET_HTTPS},
      {"https://control.example", "control.example", 443, "control.example", T2_TARGET_HTTPS},
      {"https://control.example/", "control.example", 443, "control.example", T2_TARGET_HTTPS},
      {"https://[2001:db8::1]:1/", "2001:db8::1", 1, "[2001:db8::1]:1", T2_TARGET_HTTPS},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    expect(t2_target_parse_https, &cases[i]);
}

static void test_paths(void **state) {
  const struct {
    const char *text, *path;
    t2_target_kind kind;
  } cases[] = {
      {"unix:/run/app.sock", "/run/app.sock", T2_TARGET_UNIX},
      {"unix:///run/app.sock", "/run/app.sock", T2_TARGET_UNIX},
      {"unix:app.sock", "app.sock", T2_TARGET_UNIX},
      {"files:/srv/www", "/srv/www", T2_TARGET_FILES},
      {"files:.", ".", T2_TARGET_FILES},
      {"files:a b?#", "a b?#", T2_TARGET_FILES},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    t2_target target;
    assert_int_equal(t2_target_parse(t2_str_c(cases[i].text), &target, NULL, 0), 0);
    assert_int_equal(target.kind, cases[i].kind);
    assert_true(t2_str_eq(target.path, t2_str_c(cases[i].path)));
    assert_int_equal(target.host.n, 0);
  }
}

static void test_length_of_a_path_is_bounded(void **state) {
  static char text[T2_TARGET_PATH_MAX + 16];
  t2_target target;
  memset(text, 'a', sizeof(text));
  memcpy(text, "unix:", 5);
  assert_int_equal(t2_target_parse(t2_str_of(text, 5 + 107), &target, NULL, 0), 0);
  assert_int_equal(t2_target_parse(t2_str_of(text, 5 + 108), &target, NULL, 0), T2_ERR_INVALID);
  memcpy(text, "files:", 6);
  assert_int_equal(t2_target_parse(t2_str_of(text, 6 + T2_TARGET_PATH_MAX), &target, NULL, 0), 0);
  assert_int_equal(t2_target_parse(t2_str_of(text, 7 + T2_TARGET_PATH_MAX), &target, NULL, 0),
                   T2_ERR_INVALID);
  assert_int_equal(t2_target_parse(T2_STR("unix:/a\0b"), &target, NULL, 0), T2_ERR_INVALID);
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
      {"host:", T2_ERR_INVALID, "PORT, HOST:PORT, http://HOST:PORT"},
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
      {"https://host/path", T2_ERR_INVALID, "path"},
      {"h2c://user@host", T2_ERR_INVALID, "user"},
      {"ftp://host", T2_ERR_UNSUPPORTED, "h2c://HOST:PORT"},
      {"h2://host", T2_ERR_UNSUPPORTED, "scheme"},
      {"unix:", T2_ERR_INVALID, "missing"},
      {"unix://host/run", T2_ERR_INVALID, "path"},
      {"files:", T2_ERR_INVALID, "missing"},
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
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_length_of_a_path_is_bounded),
      cmocka_unit_test(test_refused_origins_say_what_is_taken),
      cmocka_unit_test(test_refused_servers_say_what_is_taken),
      cmocka_unit_test(test_length_is_bounded),
      cmocka_unit_test(test_control_bytes_are_no_host),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
