#include <t2_test_mem.h>

#include <client/edits.h>
#include <tunnel2/error.h>

static int check(const char *const *add, size_t add_n, const char *const *remove, size_t remove_n,
                 const char *words) {
  t2_client_options options = {.add_headers = add,
                               .add_header_count = add_n,
                               .remove_headers = remove,
                               .remove_header_count = remove_n};
  char detail[256] = "";
  int err = t2_edits_check(&options, detail, sizeof(detail));
  if (words && !strstr(detail, words)) fail_msg("\"%s\" (\"%s\" awaited)", detail, words);
  return err;
}

static void test_what_is_no_field_is_refused(void **state) {
  const struct {
    const char *line, *words;
  } cases[] = {
      {"", "Name: value"},
      {"name", "Name: value"},
      {": value", "no name"},
      {"na me: value", "name"},
      {":path: /", "no name"},
      {"name: a\nb", "value"},
      {"name: a\rb", "value"},
      {"Host: a", "cannot be added"},
      {"CONTENT-LENGTH: 1", "cannot be added"},
      {"te: trailers", "cannot be added"},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_int_equal(check(&cases[i].line, 1, NULL, 0, cases[i].words), T2_ERR_INVALID);
  const char *const names[] = {
      "", "a b", "a:", "connection", "Transfer-Encoding", "upgrade", "proxy-connection"};
  for (size_t i = 0; i < T2_COUNT_OF(names); i++)
    assert_int_equal(check(NULL, 0, &names[i], 1, NULL), T2_ERR_INVALID);
}

static void test_counts_are_bounded(void **state) {
  const char *lines[T2_CLIENT_HEADERS_MAX + 1], *names[T2_CLIENT_HEADERS_MAX + 1];
  for (size_t i = 0; i < T2_COUNT_OF(lines); i++) {
    lines[i] = "a: b";
    names[i] = "c";
  }
  assert_int_equal(check(lines, T2_CLIENT_HEADERS_MAX, names, T2_CLIENT_HEADERS_MAX, NULL), 0);
  assert_int_equal(check(lines, T2_CLIENT_HEADERS_MAX + 1, NULL, 0, "more than"), T2_ERR_INVALID);
  assert_int_equal(check(NULL, 0, names, T2_CLIENT_HEADERS_MAX + 1, "more than"), T2_ERR_INVALID);
}

static const char *const added[] = {"X-One: 1", "x-two:\t a b ", "X-TWO: again", "x-empty:"};
static const char *const removed[] = {"Cookie", "x-gone"};
static const t2_client_options edited = {
    .add_headers = added, .add_header_count = 4, .remove_headers = removed, .remove_header_count = 2};

static void apply(t2_test_mem *mem, void *user) {
  t2_edits edits;
  t2_head head;
  const char *const before[] = {"a", "1", "cookie", "x", "x-one",  "forged",
                                "b", "2", "x-gone", "y", "cookie", "z"};
  const char *const after[] = {"a",     "1",   "b",     "2",     "x-one",   "1",
                               "x-two", "a b", "x-two", "again", "x-empty", ""};
  (void)user;
  t2_head_init(&head, &mem->hook);
  int err = t2_edits_init(&edits, &mem->hook, &edited);
  for (size_t i = 0; err == 0 && i < T2_COUNT_OF(before); i += 2)
    err = t2_fields_add(&head.fields, t2_str_c(before[i]), t2_str_c(before[i + 1]));
  if (err == 0) err = t2_edits_apply(&edits, &head);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) assert_int_equal(head.fields.n, T2_COUNT_OF(after) / 2);
  for (size_t i = 0; err == 0 && i < T2_COUNT_OF(after); i += 2) {
    assert_true(t2_str_eq(head.fields.list[i / 2].name, t2_str_c(after[i])));
    assert_true(t2_str_eq(head.fields.list[i / 2].value, t2_str_c(after[i + 1])));
  }
  t2_head_fini(&head);
  t2_edits_fini(&edits);
}

static void test_fields_are_put_in_the_place_of_others(void **state) {
  t2_test_mem mem;
  assert_int_equal(check(added, 4, removed, 2, NULL), 0);
  t2_test_mem_init(&mem);
  apply(&mem, NULL);
  t2_test_mem_check(&mem);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(apply, NULL);
}

static void test_nothing_to_do_is_nothing_done(void **state) {
  const t2_client_options none = {0};
  t2_edits edits;
  t2_head head;
  t2_head_init(&head, NULL);
  assert_int_equal(t2_edits_check(&none, NULL, 0), 0);
  assert_int_equal(t2_edits_init(&edits, NULL, &none), 0);
  assert_int_equal(t2_fields_add(&head.fields, T2_STR("a"), T2_STR("b")), 0);
  assert_int_equal(t2_edits_apply(&edits, &head), 0);
  assert_int_equal(head.fields.n, 1);
  t2_edits_fini(&edits);
  t2_head_fini(&head);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_no_field_is_refused),
      cmocka_unit_test(test_counts_are_bounded),
      cmocka_unit_test(test_fields_are_put_in_the_place_of_others),
      cmocka_unit_test(test_missing_memory_is_told),
      cmocka_unit_test(test_nothing_to_do_is_nothing_done),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
