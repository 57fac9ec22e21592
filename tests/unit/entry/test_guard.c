#include <t2_test_mem.h>

#include <base/base64.h>
#include <base/mem.h>
#include <entry/guard.h>
#include <tunnel2/error.h>

#define RIGHT "Basic dXNlcjpwYXNz" /* user:pass */
#define WRONG "Basic dXNlcjpwYXNZ" /* user:pasY */

typedef struct asked {
  t2_guard guard;
  t2_fields fields;
  uint64_t now_ms;
} asked;

static int setup(void **state) {
  asked *a = calloc(1, sizeof(*a));
  t2_fields_init(&a->fields, NULL);
  a->now_ms = 1000;
  *state = a;
  return 0;
}

static int teardown(void **state) {
  asked *a = *state;
  t2_fields_fini(&a->fields);
  free(a);
  return 0;
}

static void set(asked *a, const char *credentials, const char *allow, int64_t issued_at) {
  t2_terms terms = {.allow_count = allow ? 1 : 0};
  if (allow) assert_int_equal(t2_prefix_parse(&terms.allow[0], t2_str_c(allow)), 0);
  if (credentials) assert_int_equal(t2_password_make(&terms.password, t2_str_c(credentials)), 0);
  t2_guard_set(&a->guard, &terms, issued_at);
}

static int check(asked *a, const char *authorization) {
  t2_fields_reset(&a->fields);
  if (authorization)
    assert_int_equal(t2_fields_add(&a->fields, T2_STR("authorization"), t2_str_c(authorization)), 0);
  a->now_ms += T2_GUARD_PAUSE_MS;
  return t2_guard_check(&a->guard, T2_STR("192.0.2.1"), &a->fields, a->now_ms);
}

static void test_addresses(void **state) {
  asked *a = *state;
  set(a, NULL, "192.0.2.0/24", 1);
  assert_int_equal(check(a, NULL), 0);
  assert_int_equal(t2_guard_check(&a->guard, T2_STR("192.0.3.1"), &a->fields, 0), T2_ERR_FORBIDDEN);
  assert_int_equal(t2_guard_check(&a->guard, T2_STR("unknown"), &a->fields, 0), T2_ERR_FORBIDDEN);
  assert_true(t2_guard_admits(&a->guard, T2_STR("192.0.2.255")));
  assert_false(t2_guard_admits(&a->guard, T2_STR("::1")));
}

static void test_user_and_password(void **state) {
  const char *wrong[] = {NULL,
                         "",
                         "Basic",
                         "Basic ",
                         "Basic !",
                         WRONG,
                         "Bearer dXNlcjpwYXNz",
                         "Basic dXNlcjpwYXNz dXNlcjpwYXNz",
                         "Basic dXNlcjpwYXNz===",
                         "Basic dXNlcg==",
                         "Basic dXNlcjpwYXNzAA=="};
  asked *a = *state;
  set(a, "user:pass", NULL, 1);
  for (int known = 0; known < 2; known++) {
    for (size_t i = 0; i < T2_COUNT_OF(wrong); i++)
      assert_int_equal(check(a, wrong[i]), T2_ERR_AUTH);
    assert_int_equal(check(a, RIGHT), 0);
    assert_int_equal(check(a, "bAsIc  dXNlcjpwYXNz"), 0);
    assert_true(a->guard.known);
  }
}

static void test_two_fields_are_refused(void **state) {
  asked *a = *state;
  set(a, "user:pass", NULL, 1);
  assert_int_equal(check(a, RIGHT), 0);
  assert_int_equal(t2_fields_add(&a->fields, T2_STR("authorization"), T2_STR(RIGHT)), 0);
  assert_int_equal(t2_guard_check(&a->guard, T2_STR("::1"), &a->fields, a->now_ms), T2_ERR_AUTH);
}

static void test_credentials_at_the_bound(void **state) {
  char text[T2_CREDENTIALS_MAX + 1], field[512] = "Basic ";
  asked *a = *state;
  t2_buf out;
  memset(text, 'x', T2_CREDENTIALS_MAX);
  text[T2_CREDENTIALS_MAX] = '\0';
  text[1] = ':';
  set(a, text, NULL, 1);
  t2_buf_init(&out, NULL);
  assert_int_equal(t2_base64url_encode(&out, text, T2_CREDENTIALS_MAX), 0);
  strcat(field, t2_buf_cstr(&out));
  assert_int_equal(check(a, field), 0);
  strcat(field, "eHh4");
  assert_int_equal(check(a, field), T2_ERR_AUTH);
  strcat(field, "eHh4eHh4eHh4eHh4eHh4eHh4");
  assert_int_equal(check(a, field), T2_ERR_AUTH);
  t2_buf_fini(&out);
}

static void test_wrong_passwords_are_worked_on_one_at_a_time(void **state) {
  asked *a = *state;
  set(a, "user:pass", NULL, 1);
  assert_int_equal(check(a, WRONG), T2_ERR_AUTH);
  assert_int_equal(t2_guard_check(&a->guard, T2_STR("::1"), &a->fields, a->now_ms), T2_ERR_LIMIT);
  assert_int_equal(t2_guard_check(&a->guard, T2_STR("::1"), &a->fields, a->now_ms + T2_GUARD_PAUSE_MS - 1),
                   T2_ERR_LIMIT);
  assert_int_equal(check(a, RIGHT), 0);
  for (int i = 0; i < 3; i++) /* no work any more */
    assert_int_equal(t2_guard_check(&a->guard, T2_STR("::1"), &a->fields, a->now_ms), 0);
}

static void test_newer_terms_count_and_older_do_not(void **state) {
  asked *a = *state;
  set(a, "user:pass", NULL, 10);
  assert_int_equal(check(a, RIGHT), 0);
  t2_guard_set(&a->guard, &(t2_terms){.allow_count = 0}, 9);
  assert_int_equal(check(a, NULL), T2_ERR_AUTH);
  t2_terms same = a->guard.terms;
  t2_guard_set(&a->guard, &same, 11);
  assert_true(a->guard.known);
  set(a, "user:other", NULL, 11);
  assert_false(a->guard.known);
  assert_int_equal(check(a, RIGHT), T2_ERR_AUTH);
  t2_guard_set(&a->guard, &(t2_terms){.allow_count = 0}, 12);
  assert_int_equal(check(a, NULL), 0);
}

/* ---- Who asks ---- */

static void test_asker_is_the_last_that_is_no_proxy(void **state) {
  const struct {
    const char *peer, *first, *second, *asker;
  } cases[] = {
      {"192.0.2.1", NULL, NULL, "192.0.2.1"},
      {"192.0.2.1", "203.0.113.1", NULL, "192.0.2.1"},
      {"10.0.0.1", NULL, NULL, "10.0.0.1"},
      {"10.0.0.1", "203.0.113.1", NULL, "203.0.113.1"},
      {"10.0.0.1", "6.6.6.6, 203.0.113.1", NULL, "203.0.113.1"},
      {"10.0.0.1", "6.6.6.6, 203.0.113.1 ,, 10.0.0.2", NULL, "203.0.113.1"},
      {"10.0.0.1", "6.6.6.6", "203.0.113.1", "203.0.113.1"},
      {"10.0.0.1", "203.0.113.1", "10.0.0.2, 10.0.0.3", "203.0.113.1"},
      {"10.0.0.1", "10.0.0.3", "10.0.0.2", "10.0.0.3"},
      {"10.0.0.1", "203.0.113.1, unknown", NULL, "unknown"},
      {"10.0.0.1", "", ",", "10.0.0.1"},
  };
  asked *a = *state;
  t2_prefix trusted;
  assert_int_equal(t2_prefix_parse(&trusted, T2_STR("10.0.0.0/8")), 0);
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    t2_fields_reset(&a->fields);
    if (cases[i].first) t2_fields_add(&a->fields, T2_STR("x-forwarded-for"), t2_str_c(cases[i].first));
    t2_fields_add(&a->fields, T2_STR("accept"), T2_STR("*/*"));
    if (cases[i].second) t2_fields_add(&a->fields, T2_STR("x-forwarded-for"), t2_str_c(cases[i].second));
    t2_str asker = t2_guard_asker(&trusted, 1, t2_str_c(cases[i].peer), &a->fields);
    if (!t2_str_eq(asker, t2_str_c(cases[i].asker))) print_error("case %zu: %.*s\n", i, T2_STR_ARG(asker));
    assert_true(t2_str_eq(asker, t2_str_c(cases[i].asker)));
  }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH(test_addresses),
      WITH(test_user_and_password),
      WITH(test_two_fields_are_refused),
      WITH(test_credentials_at_the_bound),
      WITH(test_wrong_passwords_are_worked_on_one_at_a_time),
      WITH(test_newer_terms_count_and_older_do_not),
      WITH(test_asker_is_the_last_that_is_no_proxy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
