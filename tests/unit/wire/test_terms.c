#include <t2_test_mem.h>

#include <base/mem.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/json.h>
#include <wire/terms.h>

#define SALT "000102030405060708090a0b0c0d0e0f"
#define HASH SALT SALT

static const char *read_text(const char *text, t2_terms *terms) {
  json_t *object = t2_json_object(t2_str_c(text));
  assert_non_null(object);
  const char *wrong = t2_terms_read(object, "t2_", terms);
  json_decref(object);
  return wrong;
}

static void test_a_password_is_known_again(void **state) {
  t2_password a, b;
  (void)state;
  assert_int_equal(t2_password_make(&a, T2_STR("user:secret:word")), 0);
  assert_int_equal(t2_password_make(&b, T2_STR("user:secret:word")), 0);
  assert_memory_not_equal(a.salt, b.salt, sizeof(a.salt));
  assert_memory_not_equal(a.hash, b.hash, sizeof(a.hash));
  assert_int_equal(t2_password_check(&a, T2_STR("user:secret:word")), 0);
  assert_int_equal(t2_password_check(&a, T2_STR("user:secret:worD")), T2_ERR_AUTH);
  assert_int_equal(t2_password_check(&a, T2_STR("user:")), T2_ERR_AUTH);
  assert_int_equal(t2_password_check(&a, T2_STR_NULL), T2_ERR_AUTH);
}

static void test_credentials_have_a_user_and_a_bound(void **state) {
  char text[T2_CREDENTIALS_MAX + 2];
  t2_password p;
  (void)state;
  memset(text, 'x', sizeof(text));
  memcpy(text, "u:", 2);
  assert_int_equal(t2_password_make(&p, t2_str_of(text, T2_CREDENTIALS_MAX)), 0);
  assert_int_equal(t2_password_make(&p, t2_str_of(text, T2_CREDENTIALS_MAX + 1)), T2_ERR_INVALID);
  assert_int_equal(t2_password_make(&p, T2_STR("u:")), 0);
  assert_int_equal(t2_password_make(&p, T2_STR(":p")), T2_ERR_INVALID);
  assert_int_equal(t2_password_make(&p, T2_STR("up")), T2_ERR_INVALID);
  assert_int_equal(t2_password_make(&p, T2_STR("")), T2_ERR_INVALID);
  assert_int_equal(t2_password_make(&p, T2_STR("u:p\n")), T2_ERR_INVALID);
}

static void test_terms_are_read_back(void **state) {
  t2_terms terms = {.allow_count = T2_TERMS_PREFIXES_MAX}, again;
  t2_buf out;
  (void)state;
  for (size_t i = 0; i < T2_TERMS_PREFIXES_MAX; i++)
    assert_int_equal(t2_prefix_parse(&terms.allow[i], i % 2 ? T2_STR("10.0.0.0/8") : T2_STR("2001:db8::/32")),
                     0);
  assert_int_equal(t2_password_make(&terms.password, T2_STR("u:p")), 0);
  for (size_t i = 0; i < T2_TERMS_HOSTNAMES_MAX; i++)
    snprintf(terms.hostnames[i], sizeof(terms.hostnames[i]), "h%zu.example", i);
  terms.hostname_count = T2_TERMS_HOSTNAMES_MAX;
  t2_buf_init(&out, NULL);
  t2_buf_append_c(&out, "{\"x\":1");
  t2_terms_write(&terms, "t2_", &out);
  t2_buf_append_c(&out, "}");
  assert_null(read_text(t2_buf_cstr(&out), &again));
  assert_true(t2_terms_equal(&terms, &again));
  assert_false(t2_terms_empty(&again));
  again.allow[3].bits--;
  assert_false(t2_terms_equal(&terms, &again));
  t2_buf_reset(&out);
  t2_terms_write(&(t2_terms){.allow_count = 0}, "t2_", &out);
  assert_int_equal(t2_buf_len(&out), 0);
  t2_buf_fini(&out);
  assert_null(read_text("{}", &again));
  assert_true(t2_terms_empty(&again));
}

static void test_names_at_the_bounds(void **state) {
  const char *good[] = {"a.b", "www.example.com", "1.2.x", "xn--nxasmq6b.example", "a-b.c-d"};
  const char *bad[] = {"",     "a",      ".",     "a.",    ".a.b",  "a..b",          "-a.b",
                       "a-.b", "a.b-",   "a.-b",  "A.b",   "a_b.c", "*.example.com", "1.2.3.4",
                       "a.1",  "a.b:80", "a.b\"", "[::1]", "a .b.c"};
  char name[T2_HOSTNAME_MAX + 2];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    assert_true(t2_hostname_valid(t2_str_c(good[i])));
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    if (t2_hostname_valid(t2_str_c(bad[i]))) print_error("taken: %s\n", bad[i]);
    assert_false(t2_hostname_valid(t2_str_c(bad[i])));
  }
  memset(name, 'x', sizeof(name));
  name[63] = '.';
  assert_true(t2_hostname_valid(t2_str_of(name, T2_HOSTNAME_MAX)));
  assert_false(t2_hostname_valid(t2_str_of(name, T2_HOSTNAME_MAX + 1)));
  name[63] = 'x';
  name[64] = '.';
  assert_false(t2_hostname_valid(t2_str_of(name, 70)));
}

static void test_what_is_malformed_is_named(void **state) {
  const char *allow[] = {"[]",
                         "{}",
                         "null",
                         "\"10.0.0.0/8\"",
                         "[1]",
                         "[\"x\"]",
                         "[\"10.0.0.1/8\"]",
                         "[\"10.0.0.0/8\",null]",
                         "[\"::1\",\"::1\",\"::1\",\"::1\",\"::1\",\"::1\",\"::1\",\"::1\",\"::1\",\"::1\","
                         "\"::1\",\"::1\",\"::1\",\"::1\",\"::1\",\"::1\",\"::1\"]"};
  const char *basic[] = {"1",
                         "null",
                         "\"\"",
                         "\"..\"",
                         "\"10000\"",
                         "\"10000." SALT "\"",
                         "\"999." SALT "." HASH "\"",
                         "\"20001." SALT "." HASH "\"",
                         "\"010000." SALT "." HASH "\"",
                         "\"10000." SALT "0." HASH "\"",
                         "\"10000." SALT "." HASH "0\"",
                         "\"10000." SALT "." SALT "\"",
                         "\"10000." SALT "." HASH ".\""};
  char text[512];
  t2_terms terms;
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(allow); i++) {
    snprintf(text, sizeof(text), "{\"t2_allow\":%s}", allow[i]);
    assert_string_equal(read_text(text, &terms), "allow");
  }
  assert_string_equal(read_text("{\"t2_hostnames\":[]}", &terms), "hostnames");
  assert_string_equal(read_text("{\"t2_hostnames\":[\"a\"]}", &terms), "hostnames");
  assert_string_equal(read_text("{\"t2_hostnames\":\"a.b\"}", &terms), "hostnames");
  assert_null(read_text("{\"t2_hostnames\":[\"a.b\",\"c.d\"]}", &terms));
  assert_int_equal(terms.hostname_count, 2);
  for (size_t i = 0; i < T2_COUNT_OF(basic); i++) {
    snprintf(text, sizeof(text), "{\"t2_basic_auth\":%s}", basic[i]);
    const char *wrong = read_text(text, &terms);
    if (!wrong) print_error("taken: %s\n", text);
    assert_string_equal(wrong, "basic_auth");
  }
  const char *sticky[] = {"1",           "null",           "\"\"",           "\"id\"",
                          "\"cookie:\"", "\"cookie:a b\"", "\"cookie:a=b\"", "\"header:x;y\"",
                          "\"query:x\"", "[\"cookie:id\"]"};
  for (size_t i = 0; i < T2_COUNT_OF(sticky); i++) {
    snprintf(text, sizeof(text), "{\"t2_sticky\":%s}", sticky[i]);
    const char *wrong = read_text(text, &terms);
    if (!wrong) print_error("taken: %s\n", text);
    assert_string_equal(wrong, "sticky");
  }
  assert_null(read_text("{\"t2_basic_auth\":\"1000." SALT "." HASH "\"}", &terms));
  assert_null(read_text("{\"t2_basic_auth\":\"20000." SALT "." HASH "\"}", &terms));
}

static void test_what_requests_are_told_by_has_a_bound(void **state) {
  char name[T2_STICKY_NAME_MAX + 1];
  t2_terms terms = {0}, again;
  t2_buf out;
  (void)state;
  memset(name, 'X', sizeof(name));
  assert_true(t2_terms_set_sticky(&terms, T2_STICKY_COOKIE, t2_str_of(name, T2_STICKY_NAME_MAX)));
  assert_false(t2_terms_set_sticky(&terms, T2_STICKY_COOKIE, t2_str_of(name, T2_STICKY_NAME_MAX + 1)));
  assert_int_equal(terms.sticky_name[0], 'X');
  assert_true(t2_terms_set_sticky(&terms, T2_STICKY_HEADER, T2_STR("X-User")));
  assert_string_equal(terms.sticky_name, "x-user");
  assert_false(t2_terms_empty(&terms));
  t2_buf_init(&out, NULL);
  t2_buf_append_c(&out, "{\"x\":1");
  t2_terms_write(&terms, "t2_", &out);
  t2_buf_append_c(&out, "}");
  assert_string_equal(t2_buf_cstr(&out), "{\"x\":1,\"t2_sticky\":\"header:x-user\"}");
  assert_null(read_text(t2_buf_cstr(&out), &again));
  assert_true(t2_terms_equal(&terms, &again));
  again.sticky = T2_STICKY_COOKIE;
  assert_false(t2_terms_equal(&terms, &again));
  t2_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_password_is_known_again),
      cmocka_unit_test(test_credentials_have_a_user_and_a_bound),
      cmocka_unit_test(test_terms_are_read_back),
      cmocka_unit_test(test_names_at_the_bounds),
      cmocka_unit_test(test_what_is_malformed_is_named),
      cmocka_unit_test(test_what_requests_are_told_by_has_a_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
