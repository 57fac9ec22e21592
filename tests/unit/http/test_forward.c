#include <t2_test_mem.h>

#include <http/forward.h>
#include <tunnel2/error.h>

typedef struct fixture {
  t2_head in, out;
  t2_buf scratch;
  t2_forward how;
} fixture;

static void begin(fixture *f) {
  t2_head_init(&f->in, NULL);
  t2_head_init(&f->out, NULL);
  t2_buf_init(&f->scratch, NULL);
  f->in.method = T2_STR("GET");
  f->in.scheme = T2_STR("http");
  f->in.authority = T2_STR("a.example");
  f->in.path = T2_STR("/p");
  f->how = (t2_forward){.peer = T2_STR("192.0.2.1"), .by = T2_STR("entry-1"), .request_id = T2_STR("id-1")};
}

static void end(fixture *f) {
  t2_head_fini(&f->in);
  t2_head_fini(&f->out);
  t2_buf_fini(&f->scratch);
}

static void add(fixture *f, const char *name, const char *value) {
  assert_int_equal(t2_fields_add(&f->in.fields, t2_str_c(name), t2_str_c(value)), 0);
}

static void forward(fixture *f) {
  assert_int_equal(t2_forward_request(&f->in, &f->how, &f->out, &f->scratch), 0);
}

/* out has that many fields of the name, and the last of them that value. */
static void expect(const fixture *f, const char *name, size_t count, const char *value) {
  const t2_field *last = NULL;
  for (size_t i = 0; i < f->out.fields.n; i++)
    if (t2_str_eq(f->out.fields.list[i].name, t2_str_c(name))) last = &f->out.fields.list[i];
  assert_int_equal(t2_fields_count(&f->out.fields, t2_str_c(name)), count);
  if (!last) return;
  char text[1024] = {0};
  assert_true(last->value.n < sizeof(text));
  memcpy(text, last->value.p, last->value.n);
  assert_string_equal(text, value);
}

static void test_control_data_passes(void **state) {
  fixture f;
  begin(&f);
  f.in.content_length = 5;
  f.in.protocol = T2_STR("ws");
  f.in.version_minor = 0;
  forward(&f);
  assert_true(t2_str_eq(f.out.method, T2_STR("GET")));
  assert_true(t2_str_eq(f.out.scheme, T2_STR("http")));
  assert_true(t2_str_eq(f.out.authority, T2_STR("a.example")));
  assert_true(t2_str_eq(f.out.path, T2_STR("/p")));
  assert_true(t2_str_eq(f.out.protocol, T2_STR("ws")));
  assert_int_equal(f.out.content_length, 5);
  assert_int_equal(f.out.version_minor, 0);
  end(&f);
}

static void test_what_is_of_the_connection_does_not_pass(void **state) {
  const char *hop[] = {
      "connection", "keep-alive",         "proxy-connection",    "transfer-encoding",
      "upgrade",    "proxy-authenticate", "proxy-authorization", "proxy-authentication-info"};
  fixture f;
  begin(&f);
  for (size_t i = 0; i < T2_COUNT_OF(hop); i++)
    add(&f, hop[i], "v");
  add(&f, "te", "gzip");
  add(&f, "x-kept", "1");
  add(&f, "cookie", "c");
  add(&f, "trailer", "t");
  add(&f, "user-agent", "u");
  f.in.fields.list[f.in.fields.n - 1].sensitive = true;
  forward(&f);
  for (size_t i = 0; i < T2_COUNT_OF(hop); i++)
    expect(&f, hop[i], 0, NULL);
  expect(&f, "te", 0, NULL);
  expect(&f, "x-kept", 1, "1");
  expect(&f, "cookie", 1, "c");
  expect(&f, "trailer", 1, "t");
  expect(&f, "user-agent", 1, "u");
  assert_true(t2_fields_get(&f.out.fields, T2_STR("user-agent"))->sensitive);
  end(&f);
}

static void test_te_trailers_passes(void **state) {
  fixture f;
  begin(&f);
  add(&f, "te", "Trailers");
  forward(&f);
  expect(&f, "te", 1, "Trailers");
  end(&f);
}

static void test_forwarding_fields_of_an_ipv4_peer(void **state) {
  fixture f;
  begin(&f);
  f.how.prefix = T2_STR("/session/main");
  forward(&f);
  expect(&f, "forwarded", 1, "for=192.0.2.1;host=a.example;proto=http");
  expect(&f, "x-forwarded-for", 1, "192.0.2.1");
  expect(&f, "x-forwarded-proto", 1, "http");
  expect(&f, "x-forwarded-host", 1, "a.example");
  expect(&f, "x-forwarded-prefix", 1, "/session/main");
  expect(&f, "via", 1, "1.1 entry-1");
  expect(&f, "x-request-id", 1, "id-1");
  end(&f);
}

static void test_forwarded_quotes_what_is_no_token(void **state) {
  fixture f;
  begin(&f);
  f.how.peer = T2_STR("2001:db8::1");
  f.in.scheme = T2_STR("HTTPS");
  f.in.authority = T2_STR("[::1]:80");
  f.in.version_minor = 0;
  forward(&f);
  expect(&f, "forwarded", 1, "for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=https");
  expect(&f, "x-forwarded-for", 1, "2001:db8::1");
  expect(&f, "x-forwarded-proto", 1, "https");
  expect(&f, "x-forwarded-prefix", 0, NULL);
  expect(&f, "via", 1, "1.0 entry-1");
  end(&f);
}

static void test_via_names_the_version_that_it_came_by(void **state) {
  for (int response = 0; response < 2; response++) {
    fixture f;
    begin(&f);
    f.in.http2 = true;
    if (response)
      assert_int_equal(t2_forward_response(&f.in, f.how.by, &f.out, &f.scratch), 0);
    else
      forward(&f);
    expect(&f, "via", 1, "2 entry-1");
    end(&f);
  }
}

static void test_values_from_outside_break_no_field(void **state) {
  fixture f;
  begin(&f);
  f.in.scheme = T2_STR("https;for=6.6.6.6");
  f.in.authority = T2_STR("a\"b\\c\r\nx");
  f.how.by = T2_STR("my entry, 2");
  forward(&f);
  expect(&f, "forwarded", 1, "for=192.0.2.1;host=\"a\\\"b\\\\c??x\";proto=http");
  expect(&f, "via", 1, "1.1 my-entry--2");
  end(&f);
}

static void test_nobody_known_is_unknown(void **state) {
  fixture f;
  begin(&f);
  f.how.peer = f.in.authority = f.how.by = T2_STR_NULL;
  forward(&f);
  expect(&f, "forwarded", 1, "for=unknown;proto=http");
  expect(&f, "x-forwarded-for", 0, NULL);
  expect(&f, "x-forwarded-host", 0, NULL);
  expect(&f, "via", 1, "1.1 -");
  end(&f);
}

static void add_forwarding(fixture *f) {
  add(f, "forwarded", "for=6.6.6.6");
  add(f, "x-forwarded-for", "6.6.6.6");
  add(f, "x-forwarded-for", "");
  add(f, "x-forwarded-for", "7.7.7.7, 8.8.8.8");
  add(f, "x-forwarded-proto", "https");
  add(f, "x-forwarded-host", "outer.example");
  add(f, "x-forwarded-prefix", "/outer");
  add(f, "x-forwarded-port", "99");
  add(f, "via", "1.1 outer");
}

static void test_forged_forwarding_fields_are_dropped(void **state) {
  fixture f;
  begin(&f);
  add_forwarding(&f);
  forward(&f);
  expect(&f, "forwarded", 1, "for=192.0.2.1;host=a.example;proto=http");
  expect(&f, "x-forwarded-for", 1, "192.0.2.1");
  expect(&f, "x-forwarded-proto", 1, "http");
  expect(&f, "x-forwarded-host", 1, "a.example");
  expect(&f, "x-forwarded-prefix", 0, NULL);
  expect(&f, "x-forwarded-port", 0, NULL);
  expect(&f, "via", 2, "1.1 entry-1");
  end(&f);
}

static void test_a_trusted_peer_is_appended_to(void **state) {
  fixture f;
  begin(&f);
  add_forwarding(&f);
  f.how.trust_peer = true;
  f.how.prefix = T2_STR("/session/main");
  forward(&f);
  expect(&f, "forwarded", 2, "for=192.0.2.1;host=a.example;proto=http");
  expect(&f, "x-forwarded-for", 1, "6.6.6.6, 7.7.7.7, 8.8.8.8, 192.0.2.1");
  expect(&f, "x-forwarded-proto", 1, "https");
  expect(&f, "x-forwarded-host", 1, "outer.example");
  expect(&f, "x-forwarded-prefix", 1, "/outer, /session/main");
  expect(&f, "x-forwarded-port", 1, "99");
  expect(&f, "via", 2, "1.1 entry-1");
  end(&f);
}

static void test_what_a_trusted_peer_says_in_x_forwarded_for_alone_is_where_forwarded_begins(void **state) {
  fixture f;
  begin(&f);
  add(&f, "x-forwarded-for", "6.6.6.6, 2001:db8::1");
  add(&f, "x-forwarded-for", "[2001:db8::2]:99, 7.7.7.7:80, \"");
  f.how.trust_peer = true;
  forward(&f);
  expect(&f, "forwarded", 1,
         "for=6.6.6.6, for=\"[2001:db8::1]\", for=\"[2001:db8::2]:99\", for=\"7.7.7.7:80\", for=\"\\\"\", "
         "for=192.0.2.1;host=a.example;proto=http");
  f.how.trust_peer = false;
  forward(&f);
  expect(&f, "forwarded", 1, "for=192.0.2.1;host=a.example;proto=http");
  end(&f);
}

static void test_the_request_id_is_one(void **state) {
  fixture f;
  begin(&f);
  add(&f, "x-request-id", "mine");
  add(&f, "x-request-id", "and mine");
  forward(&f);
  expect(&f, "x-request-id", 1, "id-1");
  f.how.request_id = T2_STR_NULL;
  forward(&f);
  expect(&f, "x-request-id", 1, "mine");
  end(&f);
}

static void test_which_request_id_is_acceptable(void **state) {
  char longest[T2_REQUEST_ID_MAX + 2];
  memset(longest, 'x', sizeof(longest));
  const struct {
    t2_str given;
    bool good;
  } cases[] = {{T2_STR("a"), true},
               {T2_STR("0123-!~\"{}"), true},
               {t2_str_of(longest, T2_REQUEST_ID_MAX), true},
               {t2_str_of(longest, T2_REQUEST_ID_MAX + 1), false},
               {T2_STR(""), false},
               {T2_STR("a b"), false},
               {T2_STR("a\tb"), false},
               {T2_STR("\xc3\xa9"), false},
               {T2_STR("a\x7f"), false}};
  fixture f;
  begin(&f);
  assert_int_equal(t2_forward_request_id(&f.in).n, 0);
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    t2_fields_reset(&f.in.fields);
    assert_int_equal(t2_fields_add(&f.in.fields, T2_STR("x-request-id"), cases[i].given), 0);
    assert_int_equal(t2_forward_request_id(&f.in).n, cases[i].good ? cases[i].given.n : 0);
  }
  end(&f);
}

static void test_a_response_gets_via_alone(void **state) {
  fixture f;
  begin(&f);
  f.in.status = 200;
  add(&f, "keep-alive", "1");
  add(&f, "proxy-authenticate", "x");
  add(&f, "set-cookie", "a");
  add(&f, "set-cookie", "b");
  add(&f, "x-forwarded-for", "1");
  add(&f, "x-request-id", "i");
  add(&f, "via", "1.0 origin");
  assert_int_equal(t2_forward_response(&f.in, T2_STR("entry-1"), &f.out, &f.scratch), 0);
  assert_int_equal(f.out.status, 200);
  assert_int_equal(f.out.fields.n, 6);
  expect(&f, "set-cookie", 2, "b");
  expect(&f, "x-forwarded-for", 1, "1");
  expect(&f, "x-request-id", 1, "i");
  expect(&f, "via", 2, "1.1 entry-1");
  end(&f);
}

/* The text is never moved while it is pointed to, however long its parts are. */
static void test_long_values_stay_where_they_are(void **state) {
  char longest[9000];
  t2_test_mem mem;
  fixture f;
  memset(longest, '"', sizeof(longest));
  for (size_t n = 1; n < sizeof(longest); n += n / 2 + 1) {
    t2_test_mem_init(&mem);
    begin(&f);
    t2_buf_init(&f.scratch, &mem.hook);
    f.in.authority = f.how.by = f.how.prefix = f.how.peer = t2_str_of(longest, n);
    f.how.trust_peer = true;
    assert_int_equal(t2_fields_add(&f.in.fields, T2_STR("x-forwarded-for"), t2_str_of(longest, n)), 0);
    forward(&f);
    assert_int_equal(mem.count, 1);
    const t2_field *list = t2_fields_get(&f.out.fields, T2_STR("x-forwarded-for"));
    assert_int_equal(list->value.n, 2 * n + 2);
    forward(&f);
    assert_int_equal(mem.count, 1);
    end(&f);
    t2_test_mem_check(&mem);
  }
}

static void forward_both_ways(t2_test_mem *mem, void *user) {
  fixture f;
  begin(&f);
  add_forwarding(&f);
  t2_head_init(&f.out, &mem->hook);
  t2_buf_init(&f.scratch, &mem->hook);
  int err = t2_forward_request(&f.in, &f.how, &f.out, &f.scratch);
  if (err == 0) err = t2_forward_response(&f.in, f.how.by, &f.out, &f.scratch);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  end(&f);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(forward_both_ways, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_control_data_passes),
      cmocka_unit_test(test_what_is_of_the_connection_does_not_pass),
      cmocka_unit_test(test_te_trailers_passes),
      cmocka_unit_test(test_forwarding_fields_of_an_ipv4_peer),
      cmocka_unit_test(test_forwarded_quotes_what_is_no_token),
      cmocka_unit_test(test_via_names_the_version_that_it_came_by),
      cmocka_unit_test(test_values_from_outside_break_no_field),
      cmocka_unit_test(test_nobody_known_is_unknown),
      cmocka_unit_test(test_forged_forwarding_fields_are_dropped),
      cmocka_unit_test(test_a_trusted_peer_is_appended_to),
      cmocka_unit_test(test_what_a_trusted_peer_says_in_x_forwarded_for_alone_is_where_forwarded_begins),
      cmocka_unit_test(test_the_request_id_is_one),
      cmocka_unit_test(test_which_request_id_is_acceptable),
      cmocka_unit_test(test_a_response_gets_via_alone),
      cmocka_unit_test(test_long_values_stay_where_they_are),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
