#include "origin_setting.h"

#include <proxy/origin.h>
#include <unistd.h>

static const char *const both[] = {"h2", "http/1.1", NULL};
static const char *const only_h2[] = {"h2", NULL};
static const char *const only_http1[] = {"http/1.1", NULL};

static void on_gone(t2_origin *origin, void *user) {
  setting *s = user;
  assert_ptr_equal(origin, s->pool);
  s->gone = true;
}

static setting *make_setting(const char *const *alpn) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(open_setting(s, &s->mem.hook, alpn));
  return s;
}

/* Of that kind at the setting's port. */
static void open_origin(setting *s, t2_target_kind kind, const char *path) {
  t2_origin_tls tls = {0};
  t2_origin_options options = {
      .target = {.kind = kind, .host = T2_STR("127.0.0.1"), .port = s->port, .path = t2_str_c(path)},
      .tls = &tls,
      .connect_timeout_ms = 2000};
  t2_origin *origin;
  char detail[256] = "";
  if (kind == T2_TARGET_HTTPS &&
      t2_origin_tls_init(&tls, s->tl.loop, test_file("ca.pem"), false, detail, sizeof(detail)))
    fail_msg("%s", detail);
  assert_int_equal(t2_origin_new(&origin, &s->proxy, &options, on_gone, s), 0);
  t2_origin_tls_fini(&tls);
  s->pool = origin;
}

static void close_all(setting *s) {
  if (s->pool) t2_origin_close(s->pool);
  RUN_UNTIL(&s->tl, s->gone || !s->pool);
  close_setting(s);
  t2_test_mem_check(&s->mem);
  free(s);
}

static stub *ask(setting *s, size_t i, bool upgrade) {
  return ask_leg(s, t2_origin_leg(s->pool, upgrade), i, "GET", true);
}

/* Asks and answers: which connection it came by. */
static server_conn *exchange(setting *s, size_t i) {
  size_t requests = s->requests;
  stub *down = ask(s, i, false);
  stub_answer(up(s, requests), 200, -1, true);
  expect_status(s, down, 200);
  return s->last;
}

/* ---- What they speak ---- */

static void test_clear_http1(void **state) {
  setting *s = make_setting(NULL);
  s->http1 = true;
  open_origin(s, T2_TARGET_HTTP, NULL);
  assert_non_null(exchange(s, 0)->h1);
  exchange(s, 1);
  assert_int_equal(s->accepted, 1);
  close_all(s);
}

static void test_prior_knowledge(void **state) {
  setting *s = make_setting(NULL);
  open_origin(s, T2_TARGET_H2C, NULL);
  assert_non_null(exchange(s, 0)->h2);
  exchange(s, 1);
  assert_int_equal(s->accepted, 1);
  close_all(s);
}

static void test_alpn_chooses_http2(void **state) {
  setting *s = make_setting(both);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  assert_non_null(exchange(s, 0)->h2);
  assert_string_equal(t2_buf_cstr(&s->ups[0].body), "service.example|https|");
  exchange(s, 1);
  assert_int_equal(s->accepted, 1);
  close_all(s);
}

static void test_alpn_chooses_http1_and_the_connection_serves(void **state) {
  setting *s = make_setting(only_http1);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  assert_non_null(exchange(s, 0)->h1);
  exchange(s, 1);
  assert_int_equal(s->accepted, 1);
  close_all(s);
}

static void test_all_that_waited_for_http2_is_asked_by_http1(void **state) {
  setting *s = make_setting(only_http1);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  for (size_t i = 0; i < 4; i++)
    ask(s, i, false);
  up(s, 3);
  answer_all(s);
  for (size_t i = 0; i < 4; i++)
    expect_status(s, &s->downs[i], 200);
  assert_int_equal(s->accepted, 4);
  close_all(s);
}

static void test_what_it_speaks_is_learnt_anew_when_all_connections_are_gone(void **state) {
  setting *s = make_setting(only_http1);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  assert_non_null(exchange(s, 0)->h1);
  drop_conn(&s->conns[0]);
  RUN_UNTIL(&s->tl, !has_conns(s));
  run_ms(s, 20);
  assert_non_null(exchange(s, 1)->h1);
  assert_int_equal(s->accepted, 2);
  close_all(s);
}

/* An origin of HTTP/2 alone has no answer to it. */
static void test_upgrades_over_tls_are_asked_by_http1(void **state) {
  setting *s = make_setting(both);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  stub *down = ask(s, 0, true);
  stub_answer(up(s, 0), 200, -1, true);
  expect_status(s, down, 200);
  assert_non_null(s->conns[0].h1);
  close_all(s);
  s = make_setting(only_h2);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  expect_status(s, ask(s, 0, true), 502);
  close_all(s);
}

/* ---- Trust ---- */

static void test_unknown_authority_is_refused_and_insecure_is_not(void **state) {
  for (int insecure = 0; insecure < 2; insecure++) {
    setting *s = make_setting(both);
    t2_origin_tls tls;
    t2_origin_options options = {
        .target = {.kind = T2_TARGET_HTTPS, .host = T2_STR("127.0.0.1"), .port = s->port}, .tls = &tls};
    t2_origin *origin;
    assert_int_equal(t2_origin_tls_init(&tls, s->tl.loop, test_file("other-ca.pem"), insecure, NULL, 0), 0);
    assert_int_equal(t2_origin_new(&origin, &s->proxy, &options, on_gone, s), 0);
    t2_origin_tls_fini(&tls);
    s->pool = origin;
    for (size_t i = 0; i < 2; i++) {
      stub *down = ask(s, i, false);
      if (insecure) stub_answer(up(s, i), 200, -1, true);
      expect_status(s, down, insecure ? 200 : 502);
      if (!insecure) assert_true(stub_has_field(down, "tls_certificate_error"));
    }
    close_all(s);
  }
}

static void test_files_of_authorities_are_checked(void **state) {
  setting *s = make_setting(NULL);
  t2_origin_tls tls;
  char detail[256];
  assert_int_equal(t2_origin_tls_init(&tls, s->tl.loop, "/none.pem", false, detail, sizeof(detail)),
                   T2_ERR_NOT_FOUND);
  assert_non_null(strstr(detail, "/none.pem"));
  assert_null(tls.any);
  close_all(s);
}

/* ---- Other targets ---- */

static void test_unix_socket_that_is_not_there(void **state) {
  setting *s = make_setting(NULL);
  open_origin(s, T2_TARGET_UNIX, "/no/such/socket");
  stub *down = ask(s, 0, false);
  expect_status(s, down, 502);
  assert_true(stub_has_field(down, "connection_refused"));
  close_all(s);
}

static void test_files_are_no_origin_of_this_kind(void **state) {
  setting *s = make_setting(NULL);
  t2_origin_options options = {.target = {.kind = T2_TARGET_FILES, .path = T2_STR("/tmp")}};
  t2_origin *origin;
  assert_int_equal(t2_origin_new(&origin, &s->proxy, &options, on_gone, s), T2_ERR_INVALID);
  close_all(s);
}

static void life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  t2_target_kind kind = *(t2_target_kind *)user;
  if (open_setting(s, &mem->hook, NULL)) {
    t2_origin_options options = {.target = {.kind = kind, .host = T2_STR("127.0.0.1"), .port = s->port},
                                 .connect_timeout_ms = 2000};
    t2_origin *origin;
    s->http1 = kind == T2_TARGET_HTTP;
    if (s->listener && t2_origin_new(&origin, &s->proxy, &options, on_gone, s) == 0) {
      s->pool = origin;
      stub *down = ask(s, 0, false);
      if (down)
        RUN_UNTIL(&s->tl, ({
          answer_all(s);
          down->closed;
        }));
      t2_origin_close(origin);
      RUN_UNTIL(&s->tl, s->gone);
    }
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  t2_target_kind kinds[] = {T2_TARGET_HTTP, T2_TARGET_H2C};
  for (size_t i = 0; i < T2_COUNT_OF(kinds); i++)
    assert_true(t2_test_mem_fail_each(life, &kinds[i]) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_clear_http1),
      cmocka_unit_test(test_prior_knowledge),
      cmocka_unit_test(test_alpn_chooses_http2),
      cmocka_unit_test(test_alpn_chooses_http1_and_the_connection_serves),
      cmocka_unit_test(test_all_that_waited_for_http2_is_asked_by_http1),
      cmocka_unit_test(test_what_it_speaks_is_learnt_anew_when_all_connections_are_gone),
      cmocka_unit_test(test_upgrades_over_tls_are_asked_by_http1),
      cmocka_unit_test(test_unknown_authority_is_refused_and_insecure_is_not),
      cmocka_unit_test(test_files_of_authorities_are_checked),
      cmocka_unit_test(test_unix_socket_that_is_not_there),
      cmocka_unit_test(test_files_are_no_origin_of_this_kind),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
