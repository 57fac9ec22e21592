#include <t2_test_mem.h>

#include <http/fields.h>
#include <stdio.h>
#include <tunnel2/error.h>

static void add(t2_fields *fields, const char *name, const char *value) {
  assert_int_equal(t2_fields_add(fields, t2_str_c(name), t2_str_c(value)), 0);
}

static void test_fields_keep_their_order(void **state) {
  t2_fields fields;
  char names[100][16];
  t2_fields_init(&fields, NULL);
  for (int i = 0; i < 100; i++) {
    snprintf(names[i], sizeof(names[i]), "n%d", i);
    add(&fields, names[i], "v");
  }
  assert_int_equal(fields.n, 100);
  for (size_t i = 0; i < 100; i++)
    assert_true(t2_str_eq(fields.list[i].name, t2_str_c(names[i])));
  const t2_field *list = fields.list;
  t2_fields_reset(&fields);
  assert_int_equal(fields.n, 0);
  add(&fields, "a", "b");
  assert_ptr_equal(fields.list, list);
  t2_fields_fini(&fields);
  assert_null(fields.list);
}

static void test_lookup_by_name(void **state) {
  t2_fields fields;
  t2_fields_init(&fields, NULL);
  assert_null(t2_fields_get(&fields, T2_STR("a")));
  add(&fields, "a", "1");
  add(&fields, "b", "2");
  add(&fields, "a", "3");
  assert_true(t2_str_eq(t2_fields_get(&fields, T2_STR("a"))->value, T2_STR("1")));
  assert_int_equal(t2_fields_count(&fields, T2_STR("a")), 2);
  assert_int_equal(t2_fields_count(&fields, T2_STR("c")), 0);
  assert_null(t2_fields_get(&fields, T2_STR("A")));
  t2_fields_fini(&fields);
}

static void test_tokens_are_found_in_all_fields_of_the_name(void **state) {
  t2_fields fields;
  t2_fields_init(&fields, NULL);
  add(&fields, "x", "close-not");
  add(&fields, "te", "gzip;q=1");
  add(&fields, "te", " ,, deflate\t, Trailers ");
  assert_true(t2_fields_has_token(&fields, T2_STR("te"), T2_STR("trailers")));
  assert_true(t2_fields_has_token(&fields, T2_STR("te"), T2_STR("DEFLATE")));
  assert_false(t2_fields_has_token(&fields, T2_STR("te"), T2_STR("gzip")));
  assert_false(t2_fields_has_token(&fields, T2_STR("te"), T2_STR("trailer")));
  assert_false(t2_fields_has_token(&fields, T2_STR("x"), T2_STR("close")));
  assert_false(t2_fields_has_token(&fields, T2_STR("y"), T2_STR("close")));
  t2_fields_fini(&fields);
}

static void test_secrets_are_marked_by_name(void **state) {
  const struct {
    const char *name;
    bool secret;
  } cases[] = {{"authorization", true}, {"proxy-authorization", true},
               {"cookie", true},        {"set-cookie", true},
               {"accept", false},       {"cookies", false},
               {"cookie2", false},      {"", false}};
  t2_fields fields;
  t2_fields_init(&fields, NULL);
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    add(&fields, cases[i].name, "v");
    assert_int_equal(fields.list[i].sensitive, cases[i].secret);
  }
  t2_fields_fini(&fields);
}

/* ---- Characters, against the grammar byte by byte ---- */

static bool in(const char *set, int c) {
  return c && strchr(set, c);
}

static bool is_alnum(int c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static void test_tokens_are_tchars_and_not_empty(void **state) {
  assert_false(t2_is_token(T2_STR_NULL));
  assert_false(t2_is_token(T2_STR("")));
  for (int c = 0; c < 256; c++) {
    char text[3] = {'a', (char)c, 'a'};
    bool tchar = is_alnum(c) || in("!#$%&'*+-.^_`|~", c);
    assert_int_equal(t2_is_token(t2_str_of(text, 3)), tchar);
  }
}

static void test_values_have_no_control_bytes(void **state) {
  assert_true(t2_is_field_value(T2_STR_NULL));
  assert_false(t2_is_field_value(T2_STR(" a")));
  assert_false(t2_is_field_value(T2_STR("a\t")));
  for (int c = 0; c < 256; c++) {
    bool good = c == '\t' || (c >= 0x20 && c != 0x7f);
    for (size_t at = 1; at < 19; at++) { /* within words of eight, between and behind them */
      char text[20];
      memset(text, 'x', sizeof(text));
      text[at] = (char)c;
      assert_int_equal(t2_is_field_value(t2_str_of(text, 20)), good);
    }
  }
}

static void test_authority_is_a_host_with_an_optional_port(void **state) {
  const char *good[] = {"a",         "a.b-c_d~e",     "127.0.0.1:80",     "a:",    "a:65535",      "[::1]",
                        "[::1]:443", "[2001:db8::1]", "[::ffff:1.2.3.4]", "a%20b", "a!$&'()*+,;=", "[v1.a:b]",
                        "[vF.x]:1",  "[::1]:"};
  const char *bad[] = {
      "",       ":80",     "a:b",          "a:65536",
      "a:-1",   "a:1:2",   "a b",          "a/b",
      "u@a",    "a?b",     "a#b",          "a\\b",
      "[",      "[]",      "[a]",          "[::1",
      "[::1]a", "[::1]:x", "::1",          "[1:2]x",
      "a%",     "a%2",     "a%2g",         "\xc3\xa9",
      "a\n",    "a\x7f",   "[::1%25eth0]", "[v.a]",
      "[v1.]",  "[vg.a]",  "[v1]",         "[:::::::::::::::::::::::::::::::::::::::::::::::]"};
  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    if (!t2_is_authority(t2_str_c(good[i]))) fail_msg("refused: %s", good[i]);
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    if (t2_is_authority(t2_str_c(bad[i]))) fail_msg("accepted: %s", bad[i]);
  assert_false(t2_is_authority(t2_str_of("a\0b", 3)));
}

static void test_origin_form_has_no_space_fragment_or_control_byte(void **state) {
  assert_false(t2_is_origin_form(T2_STR("")));
  assert_false(t2_is_origin_form(T2_STR("a")));
  assert_false(t2_is_origin_form(T2_STR("*")));
  for (int c = 0; c < 256; c++) {
    char text[3] = {'/', (char)c, '/'};
    assert_int_equal(t2_is_origin_form(t2_str_of(text, 3)), c > 0x20 && c < 0x7f && c != '#');
  }
}

/* ---- Heads ---- */

static void test_a_head_begins_without_a_length(void **state) {
  t2_head head;
  t2_head_init(&head, NULL);
  add(&head.fields, "a", "b");
  const t2_field *list = head.fields.list;
  head.method = T2_STR("GET");
  head.status = 200;
  head.content_length = 5;
  head.version_minor = 0;
  t2_head_reset(&head);
  assert_int_equal(head.content_length, -1);
  assert_int_equal(head.version_minor, 1);
  assert_int_equal(head.status, 0);
  assert_int_equal(head.method.n, 0);
  assert_int_equal(head.fields.n, 0);
  assert_ptr_equal(head.fields.list, list);
  t2_head_fini(&head);
}

static void view_a_head(t2_test_mem *mem, void *user) {
  t2_head head, more, less;
  t2_head_init(&head, &mem->hook);
  if (t2_fields_add(&head.fields, T2_STR("a"), T2_STR("1")) ||
      t2_fields_add(&head.fields, T2_STR("b"), T2_STR("2")) ||
      t2_fields_add(&head.fields, T2_STR("a"), T2_STR("3"))) {
    t2_head_fini(&head);
    return;
  }
  head.fields.list[1].sensitive = true;
  if (t2_head_with(&head, T2_STR("c"), T2_STR("4"), &mem->hook, &more) == 0) {
    assert_int_equal(more.fields.n, 4);
    assert_true(more.fields.list[1].sensitive);
    t2_fields_fini(&more.fields);
  }
  if (t2_head_without(&head, T2_STR("a"), &mem->hook, &less) == 0) {
    assert_int_equal(less.fields.n, 1);
    assert_true(less.fields.list[0].sensitive);
    t2_fields_fini(&less.fields);
  }
  assert_int_equal(head.fields.n, 3);
  t2_head_fini(&head);
}

static void test_views_with_a_field_more_or_less_leave_the_head_alone(void **state) {
  assert_true(t2_test_mem_fail_each(view_a_head, NULL) > 0);
}

static void copy_a_head(t2_test_mem *mem, void *user) {
  t2_head head;
  char text[] = "POST"
                "https"
                "a:1"
                "/p"
                "ws"
                "name"
                "value";
  t2_head_init(&head, &mem->hook);
  head.method = t2_str_of(text, 4);
  head.scheme = t2_str_of(text + 4, 5);
  head.authority = t2_str_of(text + 9, 3);
  head.path = t2_str_of(text + 12, 2);
  head.protocol = t2_str_of(text + 14, 2);
  head.content_length = 7;
  if (t2_fields_add(&head.fields, t2_str_of(text + 16, 4), t2_str_of(text + 20, 5)) == 0) {
    head.fields.list[0].sensitive = true;
    t2_head *copy = t2_head_copy(&head, &mem->hook);
    memset(text, 'x', sizeof(text));
    if (copy) {
      assert_true(t2_str_eq(copy->method, T2_STR("POST")));
      assert_true(t2_str_eq(copy->scheme, T2_STR("https")));
      assert_true(t2_str_eq(copy->authority, T2_STR("a:1")));
      assert_true(t2_str_eq(copy->path, T2_STR("/p")));
      assert_true(t2_str_eq(copy->protocol, T2_STR("ws")));
      assert_int_equal(copy->content_length, 7);
      assert_int_equal(copy->fields.n, 1);
      assert_true(t2_str_eq(copy->fields.list[0].name, T2_STR("name")));
      assert_true(t2_str_eq(copy->fields.list[0].value, T2_STR("value")));
      assert_true(copy->fields.list[0].sensitive);
    } else {
      assert_true(mem->failed);
    }
    t2_head_free_copy(copy, &mem->hook);
  } else {
    assert_true(mem->failed);
  }
  t2_head_fini(&head);
}

static void test_a_copy_stands_on_its_own(void **state) {
  assert_int_equal(t2_test_mem_fail_each(copy_a_head, NULL), 2);
}

/* ---- Methods and status codes ---- */

static void test_methods(void **state) {
  const struct {
    const char *method;
    bool safe, idempotent;
  } cases[] = {{"GET", true, true},    {"HEAD", true, true},    {"OPTIONS", true, true},
               {"TRACE", true, true},  {"PUT", false, true},    {"DELETE", false, true},
               {"POST", false, false}, {"PATCH", false, false}, {"CONNECT", false, false},
               {"get", false, false},  {"", false, false}};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    assert_int_equal(t2_method_is_safe(t2_str_c(cases[i].method)), cases[i].safe);
    assert_int_equal(t2_method_is_idempotent(t2_str_c(cases[i].method)), cases[i].idempotent);
  }
}

static void test_status_phrases(void **state) {
  assert_string_equal(t2_status_phrase(100), "Continue");
  assert_string_equal(t2_status_phrase(200), "OK");
  assert_string_equal(t2_status_phrase(226), "IM Used");
  assert_string_equal(t2_status_phrase(308), "Permanent Redirect");
  assert_string_equal(t2_status_phrase(404), "Not Found");
  assert_string_equal(t2_status_phrase(421), "Misdirected Request");
  assert_string_equal(t2_status_phrase(429), "Too Many Requests");
  assert_string_equal(t2_status_phrase(431), "Request Header Fields Too Large");
  assert_string_equal(t2_status_phrase(451), "Unavailable For Legal Reasons");
  assert_string_equal(t2_status_phrase(505), "HTTP Version Not Supported");
  const int none[] = {-1, 0, 99, 199, 306, 418, 452, 599, 600, 10000};
  for (size_t i = 0; i < T2_COUNT_OF(none); i++)
    assert_string_equal(t2_status_phrase(none[i]), "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fields_keep_their_order),
      cmocka_unit_test(test_lookup_by_name),
      cmocka_unit_test(test_tokens_are_found_in_all_fields_of_the_name),
      cmocka_unit_test(test_secrets_are_marked_by_name),
      cmocka_unit_test(test_tokens_are_tchars_and_not_empty),
      cmocka_unit_test(test_values_have_no_control_bytes),
      cmocka_unit_test(test_authority_is_a_host_with_an_optional_port),
      cmocka_unit_test(test_origin_form_has_no_space_fragment_or_control_byte),
      cmocka_unit_test(test_a_head_begins_without_a_length),
      cmocka_unit_test(test_views_with_a_field_more_or_less_leave_the_head_alone),
      cmocka_unit_test(test_a_copy_stands_on_its_own),
      cmocka_unit_test(test_methods),
      cmocka_unit_test(test_status_phrases),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
