#include <t2_test_mem.h>

#include <entry/route.h>
#include <stdio.h>
#include <tunnel2/error.h>

typedef struct address {
  const char *authority, *path;
  const char *session; /* NULL: of none */
  const char *origin_path, *prefix;
} address;

static void check(const address *a, t2_str domain) {
  t2_head head = {.authority = t2_str_c(a->authority), .path = t2_str_c(a->path)};
  t2_route route;
  t2_buf text;
  t2_buf_init(&text, NULL);
  int err = t2_route_find(&head, domain, &route, &text);
  if (!a->session) {
    if (err != T2_ERR_NOT_FOUND) print_error("found: %s %s\n", a->authority, a->path);
    assert_int_equal(err, T2_ERR_NOT_FOUND);
  } else {
    assert_int_equal(err, 0);
    assert_string_equal(route.session, a->session);
    assert_true(t2_str_eq(route.path, t2_str_c(a->origin_path)));
    assert_true(t2_str_eq(route.prefix, t2_str_c(a->prefix)));
  }
  t2_buf_fini(&text);
}

static void test_addresses_by_path(void **state) {
  const address cases[] = {
      {"h", "/session/main/", "main", "/", "/session/main"},
      {"h", "/session/main", "main", "/", "/session/main"},
      {"h", "/session/main?q=1", "main", "/?q=1", "/session/main"},
      {"h", "/session/main/a/b?c", "main", "/a/b?c", "/session/main"},
      {"h", "/session/main//x", "main", "//x", "/session/main"},
      {"h", "/session/main/session/other/", "main", "/session/other/", "/session/main"},
      {"h", "/session/00000000-0000-4000-8000-000000000000/", "00000000-0000-4000-8000-000000000000", "/",
       "/session/00000000-0000-4000-8000-000000000000"},
      {"h", "/", NULL, NULL, NULL},
      {"h", "", NULL, NULL, NULL},
      {"h", "*", NULL, NULL, NULL},
      {"h", "/session", NULL, NULL, NULL},
      {"h", "/session/", NULL, NULL, NULL},
      {"h", "/session/ab/", NULL, NULL, NULL},
      {"h", "/session//main/", NULL, NULL, NULL},
      {"h", "/session/NOT!valid/", NULL, NULL, NULL},
      {"h", "/session/main%2f", NULL, NULL, NULL},
      {"h", "/session/../session/main/", NULL, NULL, NULL},
      {"h", "/Session/main/", NULL, NULL, NULL},
      {"h", "/sessions/main/", NULL, NULL, NULL},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    check(&cases[i], T2_STR("localhost"));
}

static void test_addresses_by_name(void **state) {
  const address cases[] = {
      {"main.localhost", "/", "main", "/", ""},
      {"main.localhost:12000", "/p?q", "main", "/p?q", ""},
      {"MAIN.LocalHost", "/", "main", "/", ""},
      {"main.localhost.", "/", "main", "/", ""},
      {"main.localhost", "*", "main", "*", ""},
      /* A name is the application's whole address: also what looks like another's address by path. */
      {"main.localhost", "/session/other/", "main", "/session/other/", ""},
      {"other.example", "/session/main/", "main", "/", "/session/main"},
      {"localhost", "/", NULL, NULL, NULL},
      {".localhost", "/", NULL, NULL, NULL},
      {"ab.localhost", "/", NULL, NULL, NULL},
      {"a.b.localhost", "/", NULL, NULL, NULL},
      {"mainlocalhost", "/", NULL, NULL, NULL},
      {"main.localhos", "/", NULL, NULL, NULL},
      {"main.localhost.example", "/", NULL, NULL, NULL},
      {"-main.localhost", "/", NULL, NULL, NULL},
      {"[::1]:80", "/", NULL, NULL, NULL},
      {"", "/", NULL, NULL, NULL},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    check(&cases[i], T2_STR("localhost"));
}

static void test_names_are_bounded_exactly(void **state) {
  char label[80], host[100], path[100];
  for (size_t n = T2_SESSION_ID_MAX; n <= T2_SESSION_ID_MAX + 1; n++) {
    memset(label, 'x', n);
    label[n] = '\0';
    snprintf(host, sizeof(host), "%s.localhost", label);
    snprintf(path, sizeof(path), "/session/%s/", label);
    t2_head by_name = {.authority = t2_str_c(host), .path = T2_STR("/")};
    t2_head by_path = {.authority = T2_STR("h"), .path = t2_str_c(path)};
    t2_route route;
    int expected = n > T2_SESSION_ID_MAX ? T2_ERR_NOT_FOUND : 0;
    assert_int_equal(t2_route_find(&by_name, T2_STR("localhost"), &route, NULL), expected);
    assert_int_equal(t2_route_find(&by_path, T2_STR("localhost"), &route, NULL), expected);
  }
}

static void test_without_a_domain_there_are_no_names(void **state) {
  check(&(address){"main.localhost", "/", NULL, NULL, NULL}, T2_STR_NULL);
  check(&(address){"main.", "/", NULL, NULL, NULL}, T2_STR_NULL);
  check(&(address){"main.localhost", "/session/main/", "main", "/", "/session/main"}, T2_STR_NULL);
}

static void find_with_query(t2_test_mem *mem, void *user) {
  t2_head head = {.authority = T2_STR("h"), .path = T2_STR("/session/main?q")};
  t2_route route;
  t2_buf text;
  t2_buf_init(&text, &mem->hook);
  int err = t2_route_find(&head, T2_STR("localhost"), &route, &text);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  t2_buf_fini(&text);
}

static void test_each_failure(void **state) {
  assert_int_equal(t2_test_mem_fail_each(find_with_query, NULL), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_addresses_by_path),
      cmocka_unit_test(test_addresses_by_name),
      cmocka_unit_test(test_names_are_bounded_exactly),
      cmocka_unit_test(test_without_a_domain_there_are_no_names),
      cmocka_unit_test(test_each_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
