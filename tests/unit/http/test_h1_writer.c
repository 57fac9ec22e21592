#include <t2_test_mem.h>

#include <http/h1.h>
#include <tunnel2/error.h>

typedef struct fixture {
  t2_head head;
  t2_buf out;
} fixture;

static void begin(fixture *f) {
  t2_head_init(&f->head, NULL);
  t2_buf_init(&f->out, NULL);
}

static void end(fixture *f) {
  t2_head_fini(&f->head);
  t2_buf_fini(&f->out);
}

static void add(fixture *f, const char *name, const char *value) {
  assert_int_equal(t2_fields_add(&f->head.fields, t2_str_c(name), t2_str_c(value)), 0);
}

static void begin_request(fixture *f, const char *method, const char *path) {
  begin(f);
  f->head.method = t2_str_c(method);
  f->head.path = t2_str_c(path);
  f->head.authority = T2_STR("a.example");
}

static void expect(fixture *f, const char *text) {
  assert_string_equal(t2_buf_cstr(&f->out), text);
  end(f);
}

static void write_request(fixture *f, t2_h1_framing framing) {
  assert_int_equal(t2_h1_write_request(&f->out, &f->head, framing), 0);
}

static void write_response(fixture *f, t2_h1_framing framing) {
  assert_int_equal(t2_h1_write_response(&f->out, &f->head, framing, false, false), 0);
}

/* ---- Requests ---- */

static void test_request_with_fields(void **state) {
  fixture f;
  begin_request(&f, "GET", "/p?q");
  add(&f, "x-a", "1");
  add(&f, "X-B", "\xe9\t2");
  add(&f, "empty", "");
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "GET /p?q HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\nx-b: \xe9\t2\r\nempty: \r\n\r\n");
}

static void test_request_framing(void **state) {
  fixture f;
  begin_request(&f, "POST", "/");
  f.head.content_length = 12;
  write_request(&f, T2_H1_FRAMING_LENGTH);
  expect(&f, "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 12\r\n\r\n");
  begin_request(&f, "POST", "/");
  write_request(&f, T2_H1_FRAMING_CHUNKED);
  expect(&f, "POST / HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n");
  begin_request(&f, "GET", "/");
  f.head.content_length = 12;
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n");
}

static void test_targets(void **state) {
  fixture f;
  begin_request(&f, "OPTIONS", "*");
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "OPTIONS * HTTP/1.1\r\nhost: a.example\r\n\r\n");
  begin_request(&f, "CONNECT", "");
  f.head.authority = T2_STR("b:443");
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
  begin_request(&f, "GET", "/");
  f.head.authority = T2_STR_NULL;
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "GET / HTTP/1.1\r\nhost: \r\n\r\n");
}

static void test_upgrade_is_asked_for(void **state) {
  fixture f;
  begin_request(&f, "GET", "/ws");
  f.head.protocol = T2_STR("websocket");
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "GET /ws HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  begin_request(&f, "CONNECT", "/ws"); /* of HTTP/2, RFC 8441 */
  f.head.protocol = T2_STR("websocket");
  add(&f, "te", "trailers");
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "GET /ws HTTP/1.1\r\nhost: a.example\r\nte: trailers\r\nconnection: upgrade, te\r\n"
             "upgrade: websocket\r\n\r\n");
}

static void test_te_is_named_in_connection(void **state) {
  fixture f;
  begin_request(&f, "GET", "/");
  add(&f, "te", "trailers");
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "GET / HTTP/1.1\r\nhost: a.example\r\nte: trailers\r\nconnection: te\r\n\r\n");
}

static void test_cookies_are_one_line(void **state) {
  fixture f;
  begin_request(&f, "GET", "/");
  add(&f, "cookie", "a=1");
  add(&f, "x", "y");
  add(&f, "cookie", "b=2");
  add(&f, "Cookie", "c=3");
  write_request(&f, T2_H1_FRAMING_NONE);
  expect(&f, "GET / HTTP/1.1\r\nhost: a.example\r\ncookie: a=1; b=2; c=3\r\nx: y\r\n\r\n");
}

static void test_framing_fields_among_the_fields_are_left_out(void **state) {
  fixture f;
  begin_request(&f, "GET", "/");
  const char *names[] = {"Host",       "content-length", "Transfer-Encoding", "Connection",
                         "keep-alive", "Upgrade",        "Proxy-Connection"};
  for (size_t i = 0; i < T2_COUNT_OF(names); i++)
    add(&f, names[i], "7");
  add(&f, "x", "y");
  write_request(&f, T2_H1_FRAMING_NONE);
  assert_string_equal(t2_buf_cstr(&f.out), "GET / HTTP/1.1\r\nhost: a.example\r\nx: y\r\n\r\n");
  t2_buf_reset(&f.out);
  f.head.status = 200;
  write_response(&f, T2_H1_FRAMING_CHUNKED);
  expect(&f, "HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n");
}

/* ---- What would split the message ---- */

static void refuse(fixture *f, bool response) {
  t2_buf_append_c(&f->out, "before");
  int err = response ? t2_h1_write_response(&f->out, &f->head, T2_H1_FRAMING_NONE, false, false)
                     : t2_h1_write_request(&f->out, &f->head, T2_H1_FRAMING_NONE);
  assert_int_equal(err, T2_ERR_INVALID);
  assert_true(f->out.failed);
  assert_int_equal(t2_buf_len(&f->out), strlen("before"));
  end(f);
}

static void test_values_that_would_split_the_head_are_refused(void **state) {
  const t2_str values[] = {T2_STR("a\r\nb: c"), T2_STR("\n"), T2_STR("abcdefgh\rijklmnop"), T2_STR("a\0"),
                           T2_STR("\x7f")};
  for (size_t i = 0; i < T2_COUNT_OF(values); i++)
    for (int response = 0; response < 2; response++) {
      const char *names[] = {"x", "cookie"};
      for (size_t k = 0; k < T2_COUNT_OF(names); k++) {
        fixture f;
        begin_request(&f, "GET", "/");
        f.head.status = response ? 200 : 0;
        assert_int_equal(t2_fields_add(&f.head.fields, t2_str_c(names[k]), values[i]), 0);
        refuse(&f, response);
      }
    }
}

static void test_the_second_cookie_is_looked_at_too(void **state) {
  fixture f;
  begin_request(&f, "GET", "/");
  add(&f, "cookie", "a");
  add(&f, "cookie", "b\n");
  refuse(&f, false);
}

static void test_names_that_are_no_tokens_are_refused(void **state) {
  const char *names[] = {"", "a b", "a:", ":path", "a\r\nb", "\xe9", "a\t"};
  for (size_t i = 0; i < T2_COUNT_OF(names); i++) {
    fixture f;
    begin_request(&f, "GET", "/");
    add(&f, names[i], "v");
    refuse(&f, false);
    begin(&f);
    f.head.status = 200;
    add(&f, names[i], "v");
    refuse(&f, true);
  }
}

static void test_control_data_that_would_split_the_line_is_refused(void **state) {
  const struct {
    const char *method, *path, *authority, *protocol;
  } cases[] = {
      {"", "/", "a", ""},
      {"G T", "/", "a", ""},
      {"GET\r\n", "/", "a", ""},
      {"GET", "", "a", ""},
      {"GET", "x", "a", ""},
      {"GET", "/ x", "a", ""},
      {"GET", "/\r\nx: y", "a", ""},
      {"GET", "/#x", "a", ""},
      {"GET", "/\xc3\xa9", "a", ""},
      {"GET", "*", "a", ""},
      {"GET", "/", "a b", ""},
      {"GET", "/", "a\r\n", ""},
      {"GET", "/", "u@a", ""},
      {"CONNECT", "", "", ""},
      {"CONNECT", "", "a b", ""},
      {"GET", "/", "a", "x\r\ny"},
      {"CONNECT", "*", "a", "ws"},
      {"GET", "http://a/", "a", ""},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    fixture f;
    begin_request(&f, cases[i].method, cases[i].path);
    f.head.authority = t2_str_c(cases[i].authority);
    f.head.protocol = t2_str_c(cases[i].protocol);
    refuse(&f, false);
  }
}

static void test_a_status_out_of_range_is_refused(void **state) {
  const int cases[] = {-1, 0, 99, 1000, 65536};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    fixture f;
    begin(&f);
    f.head.status = cases[i];
    refuse(&f, true);
  }
}

static void test_a_length_that_is_not_known_is_refused(void **state) {
  fixture f;
  begin(&f);
  f.head.status = 200;
  assert_int_equal(t2_h1_write_response(&f.out, &f.head, T2_H1_FRAMING_LENGTH, false, false), T2_ERR_INVALID);
  end(&f);
}

/* ---- Responses ---- */

static void test_response_framing(void **state) {
  fixture f;
  begin(&f);
  f.head.status = 404;
  f.head.content_length = INT64_MAX;
  add(&f, "x", "y");
  write_response(&f, T2_H1_FRAMING_LENGTH);
  expect(&f, "HTTP/1.1 404 Not Found\r\nx: y\r\ncontent-length: 9223372036854775807\r\n\r\n");
  begin(&f);
  f.head.status = 299;
  write_response(&f, T2_H1_FRAMING_CHUNKED);
  expect(&f, "HTTP/1.1 299 \r\ntransfer-encoding: chunked\r\n\r\n");
}

static void test_length_without_content_is_kept_where_it_may_be(void **state) {
  const struct {
    int status;
    const char *text;
  } cases[] = {{200, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
               {304, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"},
               {204, "HTTP/1.1 204 No Content\r\n\r\n"},
               {103, "HTTP/1.1 103 Early Hints\r\n\r\n"}};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    fixture f;
    begin(&f);
    f.head.status = cases[i].status;
    f.head.content_length = 5;
    write_response(&f, T2_H1_FRAMING_NONE);
    expect(&f, cases[i].text);
  }
}

static void test_response_connection(void **state) {
  fixture f;
  begin(&f);
  f.head.status = 200;
  assert_int_equal(t2_h1_write_response(&f.out, &f.head, T2_H1_FRAMING_CLOSE, true, false), 0);
  expect(&f, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
  begin(&f);
  f.head.status = 200;
  f.head.content_length = 0;
  assert_int_equal(t2_h1_write_response(&f.out, &f.head, T2_H1_FRAMING_LENGTH, false, true), 0);
  expect(&f, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
}

static void test_switching_protocols(void **state) {
  fixture f;
  begin(&f);
  f.head.status = 101;
  f.head.protocol = T2_STR("ptth");
  add(&f, "alpn", "h2");
  write_response(&f, T2_H1_FRAMING_NONE);
  expect(&f, "HTTP/1.1 101 Switching Protocols\r\nalpn: h2\r\nconnection: upgrade\r\nupgrade: ptth\r\n\r\n");
}

static void test_responses_keep_each_set_cookie(void **state) {
  fixture f;
  begin(&f);
  f.head.status = 204;
  add(&f, "set-cookie", "a");
  add(&f, "set-cookie", "b");
  add(&f, "te", "trailers");
  write_response(&f, T2_H1_FRAMING_NONE);
  expect(&f, "HTTP/1.1 204 No Content\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n");
}

/* ---- Chunks ---- */

static void test_chunks(void **state) {
  fixture f;
  char content[300];
  begin(&f);
  memset(content, 'x', sizeof(content));
  assert_int_equal(t2_h1_write_chunk(&f.out, "a", 1), 0);
  assert_int_equal(t2_h1_write_chunk(&f.out, "", 0), 0); /* is no last chunk */
  assert_int_equal(t2_h1_write_chunk(&f.out, content, sizeof(content)), 0);
  assert_int_equal(t2_buf_len(&f.out), 6 + 300 + 7);
  assert_memory_equal(t2_buf_head(&f.out), "1\r\na\r\n12c\r\nxxx", 14);
  t2_buf_reset(&f.out);
  assert_int_equal(t2_h1_write_last_chunk(&f.out, NULL), 0);
  expect(&f, "0\r\n\r\n");
}

static void test_trailers_are_only_what_may_trail(void **state) {
  fixture f;
  begin(&f);
  add(&f, "x-sum", "1");
  add(&f, "Content-Length", "5");
  add(&f, "host", "evil");
  add(&f, "Authorization", "x");
  add(&f, "set-cookie", "x");
  add(&f, "X-B", "2");
  assert_int_equal(t2_h1_write_last_chunk(&f.out, &f.head.fields), 0);
  expect(&f, "0\r\nx-sum: 1\r\nx-b: 2\r\n\r\n");
  begin(&f);
  add(&f, "x-sum", "1\r\n");
  assert_int_equal(t2_h1_write_last_chunk(&f.out, &f.head.fields), T2_ERR_INVALID);
  assert_int_equal(t2_buf_len(&f.out), 0);
  end(&f);
}

/* ---- Memory ---- */

static void write_all(t2_test_mem *mem, void *user) {
  t2_field list[] = {{.name = T2_STR("x"), .value = T2_STR("y")}};
  t2_head head = {
      .method = T2_STR("GET"), .path = T2_STR("/"), .content_length = -1, .fields = {.list = list, .n = 1}};
  t2_buf out;
  t2_buf_init(&out, &mem->hook);
  int err = t2_h1_write_request(&out, &head, T2_H1_FRAMING_CHUNKED);
  if (err == 0) err = t2_h1_write_chunk(&out, "abc", 3);
  if (err == 0) err = t2_h1_write_last_chunk(&out, &head.fields);
  head.status = 200;
  if (err == 0) err = t2_h1_write_response(&out, &head, T2_H1_FRAMING_CLOSE, true, false);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  assert_int_equal(out.failed, mem->failed);
  t2_buf_fini(&out);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(write_all, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_with_fields),
      cmocka_unit_test(test_request_framing),
      cmocka_unit_test(test_targets),
      cmocka_unit_test(test_upgrade_is_asked_for),
      cmocka_unit_test(test_te_is_named_in_connection),
      cmocka_unit_test(test_cookies_are_one_line),
      cmocka_unit_test(test_framing_fields_among_the_fields_are_left_out),
      cmocka_unit_test(test_values_that_would_split_the_head_are_refused),
      cmocka_unit_test(test_the_second_cookie_is_looked_at_too),
      cmocka_unit_test(test_names_that_are_no_tokens_are_refused),
      cmocka_unit_test(test_control_data_that_would_split_the_line_is_refused),
      cmocka_unit_test(test_a_status_out_of_range_is_refused),
      cmocka_unit_test(test_a_length_that_is_not_known_is_refused),
      cmocka_unit_test(test_response_framing),
      cmocka_unit_test(test_length_without_content_is_kept_where_it_may_be),
      cmocka_unit_test(test_response_connection),
      cmocka_unit_test(test_switching_protocols),
      cmocka_unit_test(test_responses_keep_each_set_cookie),
      cmocka_unit_test(test_chunks),
      cmocka_unit_test(test_trailers_are_only_what_may_trail),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
