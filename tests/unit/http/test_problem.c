#include <t2_test_mem.h>

#include <http/problem.h>
#include <stdio.h>
#include <tunnel2/error.h>

typedef struct fixture {
  t2_head head;
  t2_buf scratch, body;
} fixture;

static void begin(fixture *f) {
  t2_head_init(&f->head, NULL);
  t2_buf_init(&f->scratch, NULL);
  t2_buf_init(&f->body, NULL);
}

static void end(fixture *f) {
  t2_head_fini(&f->head);
  t2_buf_fini(&f->scratch);
  t2_buf_fini(&f->body);
}

static void write_problem(fixture *f, const t2_problem *problem, const char *detail, const char *by,
                          const char *id) {
  assert_int_equal(
      t2_problem_write(problem, detail, t2_str_c(by), t2_str_c(id), &f->head, &f->scratch, &f->body), 0);
}

static void expect(const fixture *f, const char *name, const char *value) {
  const t2_field *field = t2_fields_get(&f->head.fields, t2_str_c(name));
  if (!value) {
    assert_null(field);
    return;
  }
  char text[512] = {0};
  assert_non_null(field);
  assert_true(field->value.n < sizeof(text));
  memcpy(text, field->value.p, field->value.n);
  assert_string_equal(text, value);
}

static void test_which_problem_an_error_is(void **state) {
  const struct {
    int error;
    t2_problem_at at;
    int status;
    const char *proxy_error;
  } cases[] = {
      {T2_ERR_NOT_FOUND, T2_AT_ROUTE, 404, "destination_not_found"},
      {T2_ERR_UNAVAILABLE, T2_AT_ROUTE, 503, "destination_unavailable"},
      {T2_ERR_UNAVAILABLE, T2_AT_UPLINK, 503, "destination_unavailable"},
      {T2_ERR_CLOSED, T2_AT_UPLINK, 502, "connection_terminated"},
      {T2_ERR_REFUSED, T2_AT_ORIGIN, 502, "connection_refused"},
      {T2_ERR_TIMEOUT, T2_AT_ORIGIN, 504, "http_response_timeout"},
      {T2_ERR_TIMEOUT, T2_AT_DIAL, 504, "connection_timeout"},
      {T2_ERR_REFUSED, T2_AT_DIAL, 502, "connection_refused"},
      {T2_ERR_RESOLVE, T2_AT_ORIGIN, 502, "dns_error"},
      {T2_ERR_UNREACHABLE, T2_AT_ORIGIN, 502, "destination_ip_unroutable"},
      {T2_ERR_CLOSED, T2_AT_ORIGIN, 502, "connection_terminated"},
      {T2_ERR_TLS, T2_AT_ORIGIN, 502, "tls_protocol_error"},
      {T2_ERR_CERTIFICATE, T2_AT_ORIGIN, 502, "tls_certificate_error"},
      {T2_ERR_PROTOCOL, T2_AT_ORIGIN, 502, "http_protocol_error"},
      {T2_ERR_LIMIT, T2_AT_ORIGIN, 503, "connection_limit_reached"},
      {T2_ERR_INVALID, T2_AT_ORIGIN, 400, "http_request_error"},
      {T2_ERR_INVALID, T2_AT_LOCAL, 400, NULL},
      {T2_ERR_NOT_FOUND, T2_AT_LOCAL, 404, NULL},
      {T2_ERR_NOMEM, T2_AT_LOCAL, 503, "proxy_internal_error"},
      {T2_ERR_NOMEM, T2_AT_ORIGIN, 503, "proxy_internal_error"},
      {T2_ERR_EXPIRED, T2_AT_ORIGIN, 500, "proxy_internal_error"},
      {-9999, T2_AT_DIAL, 500, "proxy_internal_error"},
      {0, T2_AT_ROUTE, 500, "proxy_internal_error"},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    const t2_problem *problem = t2_problem_of(cases[i].error, cases[i].at);
    assert_int_equal(problem->status, cases[i].status);
    if (cases[i].proxy_error)
      assert_string_equal(problem->proxy_error, cases[i].proxy_error);
    else
      assert_null(problem->proxy_error);
  }
}

static void test_every_error_is_some_problem_everywhere(void **state) {
  const t2_problem_at at[] = {T2_AT_ROUTE, T2_AT_UPLINK, T2_AT_ORIGIN, T2_AT_LOCAL, T2_AT_DIAL};
  for (int error = T2_ERR_UNSUPPORTED - 1; error <= 1; error++)
    for (size_t i = 0; i < T2_COUNT_OF(at); i++) {
      const t2_problem *problem = t2_problem_of(error, at[i]);
      assert_in_range(problem->status, 400, 599);
      assert_non_null(problem->type);
      assert_non_null(problem->title);
    }
}

static void test_the_problem_of_a_status(void **state) {
  const int known[] = {400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415,
                       417, 426, 429, 431, 500, 501, 502, 503, 504, 505};
  for (size_t i = 0; i < T2_COUNT_OF(known); i++) {
    const t2_problem *problem = t2_problem_of_status(known[i]);
    assert_int_equal(problem->status, known[i]);
    assert_string_equal(problem->title, t2_status_phrase(known[i]));
  }
  assert_int_equal(t2_problem_of_status(499)->status, 400);
  assert_int_equal(t2_problem_of_status(599)->status, 500);
  assert_int_equal(t2_problem_of_status(0)->status, 500);
}

static void test_the_whole_document(void **state) {
  fixture f;
  begin(&f);
  t2_buf_append_c(&f.body, "<");
  write_problem(&f, t2_problem_of(T2_ERR_UNAVAILABLE, T2_AT_ROUTE), "no client", "entry-1", "id-1");
  const char *document =
      "{\"type\":\"urn:tunnel2:problem:session-unavailable\",\"title\":\"The session has no client "
      "now\",\"status\":503,\"detail\":\"no client\",\"instance\":\"urn:request:id-1\"}\n";
  assert_string_equal(t2_buf_cstr(&f.body) + 1, document);
  assert_int_equal(f.head.status, 503);
  assert_int_equal(f.head.content_length, strlen(document));
  expect(&f, "content-type", "application/problem+json");
  expect(&f, "cache-control", "no-store");
  expect(&f, "retry-after", "1");
  expect(&f, "x-request-id", "id-1");
  expect(&f, "proxy-status", "entry-1; error=destination_unavailable; details=\"no client\"");
  end(&f);
}

static void test_what_is_not_there_is_left_out(void **state) {
  fixture f;
  begin(&f);
  write_problem(&f, t2_problem_of_status(404), NULL, "entry-1", NULL);
  assert_string_equal(
      t2_buf_cstr(&f.body),
      "{\"type\":\"urn:tunnel2:problem:not-found\",\"title\":\"Not Found\",\"status\":404}\n");
  expect(&f, "retry-after", NULL);
  expect(&f, "x-request-id", NULL);
  expect(&f, "proxy-status", NULL);
  end(&f);
}

static void test_a_head_used_before_is_emptied(void **state) {
  fixture f;
  begin(&f);
  assert_int_equal(t2_fields_add(&f.head.fields, T2_STR("x"), T2_STR("y")), 0);
  f.head.protocol = T2_STR("ws");
  write_problem(&f, t2_problem_of_status(400), NULL, "e", NULL);
  assert_int_equal(f.head.fields.n, 2);
  assert_int_equal(f.head.protocol.n, 0);
  end(&f);
}

/* detail as a JSON string, and as a structured-field string. */
static void expect_detail(const char *detail, const char *json, const char *field) {
  char whole[256], status[256];
  fixture f;
  begin(&f);
  write_problem(&f, t2_problem_of(T2_ERR_REFUSED, T2_AT_ORIGIN), detail, "e", NULL);
  snprintf(whole, sizeof(whole), "\"detail\":\"%s\"}\n", json);
  snprintf(status, sizeof(status), "e; error=connection_refused; details=\"%s\"", field);
  const char *found = strstr(t2_buf_cstr(&f.body), "\"detail\"");
  assert_non_null(found);
  assert_string_equal(found, whole);
  expect(&f, "proxy-status", status);
  end(&f);
}

static void test_detail_may_be_any_bytes(void **state) {
  expect_detail("a \"b\" \\c", "a \\\"b\\\" \\\\c", "a \\\"b\\\" \\\\c");
  expect_detail("a\r\n\tb\x01\x7f", "a\\u000d\\u000a\\u0009b\\u0001\\u007f", "a???b??");
  expect_detail("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                "caf?? ??? ????");
#define FFFD "\xef\xbf\xbd"
  expect_detail("a\xff"
                "b\x80",
                "a" FFFD "b" FFFD, "a?b?");
  expect_detail("\xc0\xaf", FFFD FFFD, "??");                     /* overlong */
  expect_detail("\xe0\x80\xaf", FFFD FFFD FFFD, "???");           /* overlong */
  expect_detail("\xed\xa0\x80", FFFD FFFD FFFD, "???");           /* a surrogate */
  expect_detail("\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD, "????"); /* past U+10FFFF */
  expect_detail("\xe2\x82", FFFD FFFD, "??");                     /* cut off */
  expect_detail("\xe2\x82x", FFFD FFFD "x", "??x");
}

static void test_a_name_that_is_no_token_is_a_string(void **state) {
  fixture f;
  begin(&f);
  write_problem(&f, t2_problem_of(T2_ERR_REFUSED, T2_AT_ORIGIN), NULL, "1 \"x\"\n", NULL);
  expect(&f, "proxy-status", "\"1 \\\"x\\\"?\"; error=connection_refused");
  write_problem(&f, t2_problem_of(T2_ERR_REFUSED, T2_AT_ORIGIN), NULL, "e:1/x", NULL);
  expect(&f, "proxy-status", "e:1/x; error=connection_refused");
  write_problem(&f, t2_problem_of(T2_ERR_REFUSED, T2_AT_ORIGIN), NULL, "", NULL);
  expect(&f, "proxy-status", "\"\"; error=connection_refused");
  end(&f);
}

static void write_in(t2_test_mem *mem, void *user) {
  t2_head head;
  t2_buf scratch, body;
  t2_head_init(&head, &mem->hook);
  t2_buf_init(&scratch, &mem->hook);
  t2_buf_init(&body, &mem->hook);
  int err = t2_problem_write(t2_problem_of(T2_ERR_UNAVAILABLE, T2_AT_ROUTE), user, T2_STR("e"), T2_STR("id"),
                             &head, &scratch, &body);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  t2_head_fini(&head);
  t2_buf_fini(&scratch);
  t2_buf_fini(&body);
}

static void test_missing_memory_is_told(void **state) {
  char detail[1000];
  memset(detail, '"', sizeof(detail));
  detail[sizeof(detail) - 1] = 0;
  assert_true(t2_test_mem_fail_each(write_in, detail) >= 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_which_problem_an_error_is),
      cmocka_unit_test(test_every_error_is_some_problem_everywhere),
      cmocka_unit_test(test_the_problem_of_a_status),
      cmocka_unit_test(test_the_whole_document),
      cmocka_unit_test(test_what_is_not_there_is_left_out),
      cmocka_unit_test(test_a_head_used_before_is_emptied),
      cmocka_unit_test(test_detail_may_be_any_bytes),
      cmocka_unit_test(test_a_name_that_is_no_token_is_a_string),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
