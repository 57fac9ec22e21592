#include <t2_test_mem.h>

#include <entry/sticky.h>

static t2_terms terms_of(t2_sticky by, const char *name) {
  t2_terms terms = {0};
  assert_true(t2_terms_set_sticky(&terms, by, t2_str_c(name)));
  return terms;
}

static void has_value(const t2_terms *terms, const char *name, const char *text, const char *value) {
  t2_fields fields;
  t2_fields_init(&fields, NULL);
  assert_int_equal(t2_fields_add(&fields, T2_STR("accept"), T2_STR("id=wrong")), 0);
  assert_int_equal(t2_fields_add(&fields, t2_str_c(name), t2_str_c(text)), 0);
  t2_str found = t2_sticky_value(terms, &fields);
  if (!t2_str_eq(found, t2_str_c(value))) print_error("of \"%s\": \"%.*s\"\n", text, T2_STR_ARG(found));
  assert_true(t2_str_eq(found, t2_str_c(value)));
  t2_fields_fini(&fields);
}

static void test_a_cookie_is_found_by_its_name(void **state) {
  static const char *cases[][2] = {{"id=1", "1"},     {"a=b; id=1; c=d", "1"},
                                   {"a=b;id=1", "1"}, {"id=1; id=2", "1"},
                                   {"id=a=b", "a=b"}, {"id=", ""},
                                   {"id", ""},        {"ID=1", ""},
                                   {"xid=1", ""},     {"idx=1", ""},
                                   {"a=id=1", ""},    {"", ""},
                                   {";;;", ""},       {"id =1", ""},
                                   {" id=1 ", "1"},   {"id=\"quoted\"", "\"quoted\""}};
  t2_terms terms = terms_of(T2_STICKY_COOKIE, "id");
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    has_value(&terms, "cookie", cases[i][0], cases[i][1]);
  has_value(&terms, "set-cookie", "id=1", "");
}

static void test_a_cookie_field_that_was_split_is_looked_through(void **state) {
  t2_terms terms = terms_of(T2_STICKY_COOKIE, "id");
  t2_fields fields;
  (void)state;
  t2_fields_init(&fields, NULL);
  assert_int_equal(t2_fields_add(&fields, T2_STR("cookie"), T2_STR("a=1")), 0);
  assert_int_equal(t2_fields_add(&fields, T2_STR("cookie"), T2_STR("id=2")), 0);
  assert_true(t2_str_eq(t2_sticky_value(&terms, &fields), T2_STR("2")));
  t2_fields_fini(&fields);
}

static void test_a_field_is_found_in_whatever_case_it_was_named(void **state) {
  t2_terms terms = terms_of(T2_STICKY_HEADER, "X-User"), none = {0};
  (void)state;
  has_value(&terms, "x-user", "ann", "ann");
  has_value(&terms, "cookie", "X-User=ann", "");
  has_value(&none, "x-user", "ann", "");
}

#define CLIENTS 5
#define VALUES  1000

static size_t best(uint64_t value, const uint64_t *clients, size_t n) {
  size_t at = 0;
  for (size_t i = 1; i < n; i++)
    if (t2_sticky_fit(value, clients[i]) > t2_sticky_fit(value, clients[at])) at = i;
  return at;
}

static void test_only_values_of_who_goes_or_comes_move(void **state) {
  static const char *names[CLIENTS] = {"a", "b", "c", "d", "e"};
  uint64_t clients[CLIENTS];
  unsigned had[CLIENTS] = {0};
  (void)state;
  for (size_t i = 0; i < CLIENTS; i++)
    clients[i] = t2_sticky_hash(t2_str_c(names[i]));
  for (unsigned i = 0; i < VALUES; i++) {
    uint64_t value = t2_sticky_hash(t2_str_of((const char *)&i, sizeof(i)));
    size_t all = best(value, clients, CLIENTS), fewer = best(value, clients, CLIENTS - 1);
    had[all]++;
    if (all != CLIENTS - 1) assert_int_equal(fewer, all);
  }
  for (size_t i = 0; i < CLIENTS; i++)
    assert_in_range(had[i], VALUES / CLIENTS * 3 / 4, VALUES / CLIENTS * 5 / 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_cookie_is_found_by_its_name),
      cmocka_unit_test(test_a_cookie_field_that_was_split_is_looked_through),
      cmocka_unit_test(test_a_field_is_found_in_whatever_case_it_was_named),
      cmocka_unit_test(test_only_values_of_who_goes_or_comes_move),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
