#include <t2_test_mem.h>

#include <http/mend.h>
#include <tunnel2/error.h>

static const t2_mend how = {.prefix = {"/session/id", 11},
                            .authority = {"public.example:80", 17},
                            .own = {{"localhost:3000", 14}, {"app.internal", 12}}};

static void assert_field(const char *name, const char *given, const char *expected) {
  t2_head in, out;
  t2_buf scratch;
  t2_head_init(&in, NULL);
  t2_head_init(&out, NULL);
  t2_buf_init(&scratch, NULL);
  in.status = 302;
  in.content_length = 5;
  assert_int_equal(t2_fields_add(&in.fields, T2_STR("x-before"), T2_STR("kept")), 0);
  assert_int_equal(t2_fields_add_sound(&in.fields, t2_str_c(name), t2_str_c(given)), 0);
  assert_int_equal(t2_mend_response(&in, &how, &out, &scratch), 0);
  assert_int_equal(out.status, 302);
  assert_int_equal(out.content_length, 5);
  assert_int_equal(out.fields.n, 2);
  assert_true(t2_str_eq(out.fields.list[0].value, T2_STR("kept")));
  t2_str value = out.fields.list[1].value;
  if (!t2_str_eq(value, t2_str_c(expected)))
    fail_msg("%s: %.*s (\"%s\" awaited)", given, T2_STR_ARG(value), expected);
  assert_int_equal(out.fields.list[1].sensitive, in.fields.list[1].sensitive);
  /* What was written anew nobody has looked at. */
  if (strcmp(given, expected)) assert_false(out.fields.list[1].sound_value);
  t2_head_fini(&in);
  t2_head_fini(&out);
  t2_buf_fini(&scratch);
}

static void test_locations(void **state) {
  const char *const cases[][2] = {
      {"/", "/session/id/"},
      {"/a/b?c#d", "/session/id/a/b?c#d"},
      {"/session/idea", "/session/id/session/idea"},
      {"/session/id", "/session/id"},
      {"/session/id/x", "/session/id/x"},
      {"/session/id?x", "/session/id?x"},
      {"a", "a"},
      {"../a", "../a"},
      {"?a", "?a"},
      {"#a", "#a"},
      {"", ""},
      {"//elsewhere/a", "//elsewhere/a"},
      {"http://public.example:80/a", "http://public.example:80/session/id/a"},
      {"https://PUBLIC.example:80", "https://PUBLIC.example:80/session/id/"},
      {"http://public.example:80?a", "http://public.example:80/session/id/?a"},
      {"http://public.example:80/session/id/a", "http://public.example:80/session/id/a"},
      {"http://public.example/a", "http://public.example/a"},
      {"http://localhost:3000/a", "/session/id/a"},
      {"https://app.internal", "/session/id/"},
      {"HTTP://app.internal/a", "/session/id/a"},
      {"http://elsewhere/a", "http://elsewhere/a"},
      {"ftp://app.internal/a", "ftp://app.internal/a"},
      {"mailto:a@b", "mailto:a@b"},
      {"http:", "http:"},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_field("location", cases[i][0], cases[i][1]);
}

static void test_cookies(void **state) {
  const char *const cases[][2] = {
      {"a=b", "a=b"},
      {"a=b; Path=/", "a=b; Path=/session/id"},
      {"a=b;path=/x;Secure", "a=b; Path=/session/id/x;Secure"},
      {"a=b; PATH = /x ; HttpOnly", "a=b; Path=/session/id/x; HttpOnly"},
      {"a=b; Path=/session/id/x", "a=b; Path=/session/id/x"},
      {"a=b; Path=", "a=b; Path="},
      {"a=b; Path", "a=b; Path"},
      {"a=b; Path=x", "a=b; Path=x"},
      {"Path=/; Secure", "Path=/; Secure"}, /* the cookie's name */
      {"a=/b; Domain=x; Path=/c; Path=/d", "a=/b; Domain=x; Path=/session/id/c; Path=/session/id/d"},
      {";path=/;path=/;path=/;path=/",
       "; Path=/session/id; Path=/session/id; Path=/session/id; Path=/session/id"},
      {"", ""},
      {";", ";"},
      {"a=b;", "a=b;"},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_field("set-cookie", cases[i][0], cases[i][1]);
}

static void test_other_fields_are_left_alone(void **state) {
  assert_field("content-location", "/a", "/a");
  assert_field("link", "</a>", "</a>");
}

static void assert_prefix(const char *first, const char *second, const char *expected) {
  t2_head head;
  t2_head_init(&head, NULL);
  if (first) assert_int_equal(t2_fields_add(&head.fields, T2_STR("x-forwarded-prefix"), t2_str_c(first)), 0);
  if (second)
    assert_int_equal(t2_fields_add(&head.fields, T2_STR("x-forwarded-prefix"), t2_str_c(second)), 0);
  t2_str prefix = t2_mend_prefix(&head);
  if (!t2_str_eq(prefix, t2_str_c(expected))) fail_msg("%s: %.*s", first, T2_STR_ARG(prefix));
  t2_head_fini(&head);
}

static void test_the_nearest_prefix_counts(void **state) {
  assert_prefix(NULL, NULL, "");
  assert_prefix("/session/id", NULL, "/session/id");
  assert_prefix("/session/id/", NULL, "/session/id");
  assert_prefix("/outer, /session/id", NULL, "/session/id");
  assert_prefix("/outer", "/session/id", "/session/id");
}

static void test_prefixes_that_are_none_do_not_count(void **state) {
  char longest[T2_MEND_PREFIX_MAX + 2];
  memset(longest, 'a', sizeof(longest));
  longest[0] = '/';
  longest[T2_MEND_PREFIX_MAX] = '\0';
  assert_prefix(longest, NULL, longest);
  longest[T2_MEND_PREFIX_MAX] = 'a';
  longest[T2_MEND_PREFIX_MAX + 1] = '\0';
  assert_prefix(longest, NULL, "");
  const char *const cases[] = {"", "/", "session", "/a?b", "/a b", "//", "/a;b"};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_prefix(cases[i], NULL, "");
}

static void mend(t2_test_mem *mem, void *user) {
  t2_head in, out;
  t2_buf scratch;
  (void)user;
  t2_head_init(&in, NULL);
  t2_head_init(&out, &mem->hook);
  t2_buf_init(&scratch, &mem->hook);
  assert_int_equal(t2_fields_add(&in.fields, T2_STR("location"), T2_STR("/a")), 0);
  int err = t2_mend_response(&in, &how, &out, &scratch);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  t2_head_fini(&in);
  t2_head_fini(&out);
  t2_buf_fini(&scratch);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(mend, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_locations),
      cmocka_unit_test(test_cookies),
      cmocka_unit_test(test_other_fields_are_left_alone),
      cmocka_unit_test(test_the_nearest_prefix_counts),
      cmocka_unit_test(test_prefixes_that_are_none_do_not_count),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
