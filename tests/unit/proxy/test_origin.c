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

static stub *ask(setting *s, size_t i) {
  return ask_leg(s, t2_origin_leg(s->pool), i, "GET", true);
}

/* An Upgrade as it comes by an uplink. */
static stub *ask_upgrade(setting *s, size_t i, t2_str protocol, t2_str key) {
  t2_head head = test_request("CONNECT", "/a");
  t2_fields fields;
  t2_fields_init(&fields, NULL);
  if (key.n) assert_int_equal(t2_fields_add(&fields, T2_STR("sec-websocket-key"), key), 0);
  head.protocol = protocol;
  head.fields = fields;
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &s->downs[i].leg, &head);
  assert_non_null(exchange);
  t2_exchange_connect(exchange, t2_origin_leg(s->pool), &head, false, NULL, 10000);
  t2_fields_fini(&fields);
  return &s->downs[i];
}

/* Asks and answers: which connection it came by. */
static server_conn *exchange(setting *s, size_t i) {
  size_t requests = s->requests;
  stub *down = ask(s, i);
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
    ask(s, i);
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

/* ---- Upgrades ---- */

#define SOME_KEY "dGhlIHNhbXBsZSBub25jZQ=="

static void grant(setting *s, size_t request, t2_str field, const char *value) {
  t2_head head = {.status = 101, .content_length = -1, .version_minor = 1};
  t2_fields fields;
  t2_fields_init(&fields, NULL);
  if (value) assert_int_equal(t2_fields_add(&fields, field, t2_str_c(value)), 0);
  head.protocol = T2_STR("websocket");
  head.fields = fields;
  t2_exchange_head(&up(s, request)->leg, &head, false);
  t2_fields_fini(&fields);
}

static void expect_head(setting *s, stub *down, int status) {
  RUN_UNTIL(&s->tl, down->status || down->closed);
  assert_int_equal(down->status, status);
}

static void test_upgrades_are_asked_by_http2_of_who_takes_them(void **state) {
  t2_target_kind kinds[] = {T2_TARGET_HTTPS, T2_TARGET_H2C};
  for (size_t i = 0; i < T2_COUNT_OF(kinds); i++) {
    setting *s = make_setting(kinds[i] == T2_TARGET_HTTPS ? both : NULL);
    s->h2_options.h2.extended_connect = true;
    open_origin(s, kinds[i], NULL);
    stub *down = ask_upgrade(s, 0, T2_STR("WebSocket"), T2_STR(SOME_KEY));
    stub *asked = up(s, 0);
    assert_non_null(s->conns[0].h2);
    assert_true(asked->leg.exchange->upgrade);
    assert_string_equal(asked->leg.exchange->protocol, "websocket");
    assert_false(stub_has_field(asked, "sec-websocket-key"));
    grant(s, 0, T2_STR("sec-websocket-accept"), "of no key");
    expect_head(s, down, 101);
    assert_false(stub_has_field(down, "sec-websocket-accept"));
    close_all(s);
  }
}

static void test_upgrades_that_http2_does_not_take_are_asked_by_http1_over_tls(void **state) {
  setting *s = make_setting(both);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  stub *down = ask_upgrade(s, 0, T2_STR("chat"), T2_STR_NULL);
  stub_answer(up(s, 0), 200, -1, true);
  expect_status(s, down, 200);
  assert_non_null(s->conns[0].h2);
  assert_ptr_equal(s->last, &s->conns[1]);
  assert_non_null(s->conns[1].h1);
  close_all(s);
  s = make_setting(only_h2);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  expect_status(s, ask_upgrade(s, 0, T2_STR("chat"), T2_STR_NULL), 502);
  close_all(s);
}

static void test_upgrades_that_prior_knowledge_does_not_take_are_refused(void **state) {
  setting *s = make_setting(NULL);
  open_origin(s, T2_TARGET_H2C, NULL);
  expect_status(s, ask_upgrade(s, 0, T2_STR("chat"), T2_STR_NULL), 501);
  expect_status(s, ask_upgrade(s, 1, T2_STR("chat"), T2_STR_NULL), 501);
  assert_int_equal(s->requests, 0);
  close_all(s);
}

/* No connection is made to learn what is known. */
static void test_what_takes_upgrades_is_remembered_without_a_connection(void **state) {
  setting *s = make_setting(both);
  open_origin(s, T2_TARGET_HTTPS, NULL);
  assert_non_null(exchange(s, 0)->h2);
  drop_conn(&s->conns[0]);
  RUN_UNTIL(&s->tl, !has_conns(s));
  run_ms(s, 20);
  stub *down = ask_upgrade(s, 1, T2_STR("chat"), T2_STR_NULL);
  stub_answer(up(s, 1), 404, -1, true);
  expect_status(s, down, 404);
  assert_int_equal(s->accepted, 2);
  assert_ptr_equal(s->last, &s->conns[1]);
  close_all(s);
}

/* By HTTP/2 it came without a key: one is made, and its answer is looked at, here. */
static void test_keys_that_were_made_here_are_answered_rightly_or_not_at_all(void **state) {
  for (int wrong = 0; wrong < 2; wrong++) {
    setting *s = make_setting(NULL);
    s->http1 = true;
    open_origin(s, T2_TARGET_HTTP, NULL);
    stub *down = ask_upgrade(s, 0, T2_STR("websocket"), T2_STR_NULL);
    assert_true(stub_has_field(up(s, 0), "sec-websocket-key"));
    /* The server's leg adds the right one by itself. */
    grant(s, 0, T2_STR("sec-websocket-accept"), wrong ? "another" : NULL);
    expect_head(s, down, wrong ? 502 : 101);
    assert_false(stub_has_field(down, "sec-websocket-accept"));
    close_all(s);
  }
}

/* ---- Trust ---- */

static void test_unknown_authority_is_refused_and_insecure_is_not(void **state) {
  for (int insecure = 0; insecure < 2; insecure++) {
    setting *s = make_setting(both);
    t2_origin_tls tls;
    t2_origin_options options = {
        .target = {.kind = T2_TARGET_HTTPS, .host = T2_STR("127.0.0.1"), .port = s->port},
        .tls = &tls,
        .connect_timeout_ms = 2000};
    t2_origin *origin;
    assert_int_equal(t2_origin_tls_init(&tls, s->tl.loop, test_file("other-ca.pem"), insecure, NULL, 0), 0);
    assert_int_equal(t2_origin_new(&origin, &s->proxy, &options, on_gone, s), 0);
    t2_origin_tls_fini(&tls);
    s->pool = origin;
    for (size_t i = 0; i < 2; i++) {
      stub *down = ask(s, i);
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
  stub *down = ask(s, 0);
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
      stub *down = ask(s, 0);
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
      cmocka_unit_test(test_upgrades_are_asked_by_http2_of_who_takes_them),
      cmocka_unit_test(test_upgrades_that_http2_does_not_take_are_asked_by_http1_over_tls),
      cmocka_unit_test(test_upgrades_that_prior_knowledge_does_not_take_are_refused),
      cmocka_unit_test(test_what_takes_upgrades_is_remembered_without_a_connection),
      cmocka_unit_test(test_keys_that_were_made_here_are_answered_rightly_or_not_at_all),
      cmocka_unit_test(test_unknown_authority_is_refused_and_insecure_is_not),
      cmocka_unit_test(test_files_of_authorities_are_checked),
      cmocka_unit_test(test_unix_socket_that_is_not_there),
      cmocka_unit_test(test_files_are_no_origin_of_this_kind),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
