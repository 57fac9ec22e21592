#include <t2_test_mem.h>

#include <http/ptth.h>
#include <tunnel2/error.h>

static bool has(const t2_head *head, const char *name, const char *value) {
  const t2_field *field = t2_fields_get(&head->fields, t2_str_c(name));
  return field && t2_str_eq(field->value, t2_str_c(value));
}

static void test_request_is_accepted_by_the_other_side(void **state) {
  t2_head head;
  const char *detail = "";
  t2_head_init(&head, NULL);
  assert_int_equal(t2_ptth_request(&head, T2_STR("entry.example"), T2_STR("Bearer t")), 0);
  assert_true(t2_str_eq(head.method, T2_STR("GET")));
  assert_true(t2_str_eq(head.authority, T2_STR("entry.example")));
  assert_true(t2_str_eq(head.path, T2_STR("/.well-known/tunnel2/uplink")));
  assert_true(t2_str_eq(head.protocol, T2_STR("ptth")));
  assert_true(has(&head, "alpn", "h2"));
  assert_true(has(&head, "authorization", "Bearer t"));
  assert_true(t2_fields_get(&head.fields, T2_STR("authorization"))->sensitive);
  assert_true(t2_ptth_is_path(&head));
  assert_int_equal(t2_ptth_check_request(&head, &detail), 0);
  assert_null(detail);
  t2_head_fini(&head);
}

static void test_acceptance_is_accepted_by_the_other_side(void **state) {
  t2_head head;
  t2_head_init(&head, NULL);
  assert_int_equal(t2_ptth_accept(&head), 0);
  assert_int_equal(head.status, 101);
  assert_true(t2_str_eq(head.protocol, T2_STR("ptth")));
  assert_true(has(&head, "alpn", "h2"));
  assert_int_equal(t2_ptth_check_response(&head), 0);
  t2_head_fini(&head);
}

static void test_path_is_compared_whole_without_the_query(void **state) {
  const struct {
    const char *path;
    bool is;
  } cases[] = {
      {"/.well-known/tunnel2/uplink", true},     {"/.well-known/tunnel2/uplink?x=1", true},
      {"/.well-known/tunnel2/uplink/", false},   {"/.well-known/tunnel2/uplin", false},
      {"/.well-known/tunnel2/uplinks", false},   {"/.well-known/Tunnel2/uplink", false},
      {"/.well-known/tunnel2/uplink%20", false}, {"", false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    t2_head head = {.path = t2_str_c(cases[i].path)};
    assert_int_equal(t2_ptth_is_path(&head), cases[i].is);
  }
}

typedef struct asked {
  const char *method, *protocol, *alpn;
  uint8_t minor;
  bool good;
} asked;

static void test_requests_that_ask_for_something_else_are_refused(void **state) {
  const asked cases[] = {
      {"GET", "ptth", "h2", 1, true},
      {"GET", "PTTH", "h2", 1, true},
      {"GET", "foo, ptth", "h3, H2", 1, true},
      {"POST", "ptth", "h2", 1, false},
      {"GET", "", "h2", 1, false},
      {"GET", "websocket", "h2", 1, false},
      {"GET", "ptth2", "h2", 1, false},
      {"GET", "ptth", "h3", 1, false},
      {"GET", "ptth", NULL, 1, false},
      {"GET", "ptth", "h2", 0, false},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const asked *c = &cases[i];
    const char *detail = NULL;
    t2_head head;
    t2_head_init(&head, NULL);
    head.method = t2_str_c(c->method);
    head.protocol = t2_str_c(c->protocol);
    head.version_minor = c->minor;
    if (c->alpn) assert_int_equal(t2_fields_add(&head.fields, T2_STR("alpn"), t2_str_c(c->alpn)), 0);
    assert_int_equal(t2_ptth_check_request(&head, &detail), c->good ? 0 : T2_ERR_INVALID);
    assert_true((detail == NULL) == c->good);
    t2_head_fini(&head);
  }
}

static void test_what_a_refusal_means(void **state) {
  const int cases[][2] = {
      {401, T2_ERR_AUTH},        {403, T2_ERR_FORBIDDEN},   {404, T2_ERR_NOT_FOUND}, {409, T2_ERR_CONFLICT},
      {429, T2_ERR_UNAVAILABLE}, {503, T2_ERR_UNAVAILABLE}, {500, T2_ERR_PROTOCOL},  {200, T2_ERR_PROTOCOL},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    t2_head head = {.status = cases[i][0]};
    assert_int_equal(t2_ptth_check_response(&head), cases[i][1]);
  }
}

static void test_switching_to_something_else_is_no_acceptance(void **state) {
  t2_head head;
  t2_head_init(&head, NULL);
  head.status = 101;
  assert_int_equal(t2_ptth_check_response(&head), T2_ERR_PROTOCOL);
  head.protocol = T2_STR("websocket");
  assert_int_equal(t2_ptth_check_response(&head), T2_ERR_PROTOCOL);
  head.protocol = T2_STR("PTTH");
  assert_int_equal(t2_ptth_check_response(&head), 0);
  assert_int_equal(t2_fields_add(&head.fields, T2_STR("alpn"), T2_STR("h3")), 0);
  assert_int_equal(t2_ptth_check_response(&head), T2_ERR_PROTOCOL);
  t2_head_fini(&head);
}

static void request_and_accept(t2_test_mem *mem, void *user) {
  t2_head head;
  t2_head_init(&head, &mem->hook);
  int err = t2_ptth_request(&head, T2_STR("a"), T2_STR("Bearer t"));
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  t2_head_fini(&head);
  t2_head_init(&head, &mem->hook);
  err = t2_ptth_accept(&head);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  t2_head_fini(&head);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(request_and_accept, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_is_accepted_by_the_other_side),
      cmocka_unit_test(test_acceptance_is_accepted_by_the_other_side),
      cmocka_unit_test(test_path_is_compared_whole_without_the_query),
      cmocka_unit_test(test_requests_that_ask_for_something_else_are_refused),
      cmocka_unit_test(test_what_a_refusal_means),
      cmocka_unit_test(test_switching_to_something_else_is_no_acceptance),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
