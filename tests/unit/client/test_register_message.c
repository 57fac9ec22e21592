#include <t2_test_mem.h>

#include <base/base64.h>
#include <client/register_message.h>
#include <stdio.h>
#include <tunnel2/error.h>

static const t2_terms none;

#define assert_str(s, text) assert_true(t2_str_eq((s), t2_str_c(text)))

static void test_request_names_the_session_when_there_is_one(void **state) {
  t2_buf out;
  t2_buf_init(&out, NULL);
  assert_int_equal(t2_register_request(&out, T2_STR("web"), "the-instance", T2_KIND_HTTP, 0, &none), 0);
  json_t *body = json_loadb((const char *)t2_buf_head(&out), t2_buf_len(&out), 0, NULL);
  assert_string_equal(json_string_value(json_object_get(body, "session")), "web");
  assert_string_equal(json_string_value(json_object_get(body, "instance")), "the-instance");
  assert_true(json_object_size(body) == 2); /* what is not said is HTTP, and any port */
  json_decref(body);
  t2_buf_reset(&out);
  assert_int_equal(t2_register_request(&out, T2_STR(""), "the-instance", T2_KIND_TCP, 2222, &none), 0);
  assert_null(strstr(t2_buf_cstr(&out), "session"));
  assert_non_null(strstr(t2_buf_cstr(&out), "\"kind\":\"tcp\",\"remote_port\":2222"));
  t2_buf_reset(&out);
  t2_terms terms = {.allow_count = 1};
  assert_int_equal(t2_prefix_parse(&terms.allow[0], T2_STR("::1")), 0);
  assert_int_equal(t2_register_request(&out, T2_STR("web"), "the-instance", T2_KIND_HTTP, 0, &terms), 0);
  assert_non_null(strstr(t2_buf_cstr(&out), ",\"allow\":[\"0:0:0:0:0:0:0:1/128\"]}"));
  t2_buf_fini(&out);
}

static void test_answer_is_read(void **state) {
  const char *text = "{\"session\":\"web\",\"lease_seconds\":30,\"ticket\":\"a.b-_.c\",\"new\":{\"x\":1},"
                     "\"urls\":[\"http://a/session/web/\",\"http://web.a/\"],"
                     "\"entries\":[{\"id\":\"east\",\"uplink\":\"https://"
                     "a:1\"},{\"id\":\"west\",\"uplink\":\"https://b:1\"}]}";
  t2_register_answer r;
  assert_int_equal(t2_register_answer_parse(&r, t2_str_c(text), NULL, 0), 0);
  assert_str(r.session, "web");
  assert_str(r.ticket, "a.b-_.c");
  assert_int_equal(r.lease_seconds, 30);
  assert_int_equal(r.url_count, 2);
  assert_string_equal(r.urls[1], "http://web.a/");
  assert_int_equal(r.entry_count, 2);
  assert_str(r.entries[1].id, "west");
  assert_str(r.entries[1].uplink, "https://b:1");
  t2_register_answer_fini(&r);
}

static void test_urls_and_entries_may_be_absent_or_partly_unusable(void **state) {
  const char *bare = "{\"session\":\"web\",\"lease_seconds\":30,\"ticket\":\"a.b.c\"}";
  const char *mixed =
      "{\"session\":\"web\",\"lease_seconds\":30,\"ticket\":\"a.b.c\",\"urls\":[1,\"u\",null],"
      "\"entries\":[7,{\"id\":\"east\"},{\"id\":\"E!\",\"uplink\":\"x\"},{\"id\":\"e-2\",\"uplink\":\"x\"}]}";
  t2_register_answer r;
  assert_int_equal(t2_register_answer_parse(&r, t2_str_c(bare), NULL, 0), 0);
  assert_int_equal(r.url_count + r.entry_count, 0);
  t2_register_answer_fini(&r);
  assert_int_equal(t2_register_answer_parse(&r, t2_str_c(mixed), NULL, 0), 0);
  assert_int_equal(r.url_count, 1);
  assert_string_equal(r.urls[0], "u");
  t2_register_answer_fini(&r);
}

static void test_lists_are_bounded(void **state) {
  t2_register_answer r;
  t2_buf text;
  t2_buf_init(&text, NULL);
  t2_buf_append_c(&text, "{\"session\":\"web\",\"lease_seconds\":1,\"ticket\":\"a\",\"urls\":[\"u\"");
  for (int i = 0; i < 2 * T2_REGISTER_URLS_MAX; i++)
    t2_buf_append_c(&text, ",\"u\"");
  t2_buf_append_c(&text, "],\"entries\":[{\"id\":\"entry\",\"uplink\":\"u\"}");
  for (int i = 0; i < 2 * T2_MESSAGE_ENTRIES_MAX; i++)
    t2_buf_append_c(&text, ",{\"id\":\"entry\",\"uplink\":\"u\"}");
  t2_buf_append_c(&text, "]}");
  assert_int_equal(t2_register_answer_parse(&r, t2_str_c(t2_buf_cstr(&text)), NULL, 0), 0);
  assert_int_equal(r.url_count, T2_REGISTER_URLS_MAX);
  assert_int_equal(r.entry_count, T2_MESSAGE_ENTRIES_MAX);
  t2_register_answer_fini(&r);
  t2_buf_fini(&text);
}

static void test_unusable_answers_are_refused_with_a_sentence(void **state) {
  const char *cases[][2] = {
      {"", "JSON"},
      {"[]", "JSON"},
      {"{", "JSON"},
      {"{}", "session"},
      {"{\"session\":\"../x\",\"lease_seconds\":30,\"ticket\":\"a.b.c\"}", "session"},
      {"{\"session\":7,\"lease_seconds\":30,\"ticket\":\"a.b.c\"}", "session"},
      {"{\"session\":\"web\",\"lease_seconds\":30}", "ticket"},
      {"{\"session\":\"web\",\"lease_seconds\":30,\"ticket\":\"\"}", "ticket"},
      {"{\"session\":\"web\",\"lease_seconds\":30,\"ticket\":\"a\\r\\nX: y\"}", "ticket"},
      {"{\"session\":\"web\",\"ticket\":\"a.b.c\"}", "lease"},
      {"{\"session\":\"web\",\"lease_seconds\":0,\"ticket\":\"a.b.c\"}", "lease"},
      {"{\"session\":\"web\",\"lease_seconds\":86401,\"ticket\":\"a.b.c\"}", "lease"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char detail[128] = "";
    t2_register_answer r;
    int err = t2_register_answer_parse(&r, t2_str_c(cases[i][0]), detail, sizeof(detail));
    if (err != T2_ERR_PROTOCOL || !strstr(detail, cases[i][1]))
      fail_msg("%s: %d, %s", cases[i][0], err, detail);
  }
}

static void test_ticket_length_is_bounded_exactly(void **state) {
  char text[T2_TICKET_MAX + 128];
  t2_register_answer r;
  for (int over = 0; over <= 1; over++) {
    char ticket[T2_TICKET_MAX + 2] = "";
    memset(ticket, 'a', (size_t)(T2_TICKET_MAX + over));
    snprintf(text, sizeof(text), "{\"session\":\"web\",\"lease_seconds\":30,\"ticket\":\"%s\"}", ticket);
    assert_int_equal(t2_register_answer_parse(&r, t2_str_c(text), NULL, 0), over ? T2_ERR_PROTOCOL : 0);
    if (!over) t2_register_answer_fini(&r);
  }
}

static uint64_t life_of(const char *claims) {
  t2_buf ticket;
  t2_buf_init(&ticket, NULL);
  t2_buf_append_c(&ticket, "eyJhbGciOiJFUzI1NiJ9.");
  t2_base64url_encode(&ticket, claims, strlen(claims));
  t2_buf_append_c(&ticket, ".c2lnbmF0dXJl");
  uint64_t life = t2_ticket_life(t2_str_of((const char *)t2_buf_head(&ticket), t2_buf_len(&ticket)));
  t2_buf_fini(&ticket);
  return life;
}

static void test_ticket_life_is_from_its_beginning_to_expiry(void **state) {
  assert_int_equal(life_of("{\"nbf\":1000,\"exp\":4600}"), 3600);
  assert_int_equal(life_of("{\"nbf\":1000,\"exp\":1000}"), 0);
  assert_int_equal(life_of("{\"nbf\":1000,\"exp\":999}"), 0);
  assert_int_equal(life_of("{\"nbf\":-1,\"exp\":999}"), 0);
  assert_int_equal(life_of("{\"nbf\":\"1\",\"exp\":999}"), 0);
  assert_int_equal(life_of("{\"exp\":999}"), 0);
  assert_int_equal(life_of("[]"), 0);
}

static void test_life_of_what_is_no_ticket_is_unknown(void **state) {
  const char *cases[] = {"", ".", "..", "a", "a.b", "a.!.c", "a.e30.c"};
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    assert_int_equal(t2_ticket_life(t2_str_c(cases[i])), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_names_the_session_when_there_is_one),
      cmocka_unit_test(test_answer_is_read),
      cmocka_unit_test(test_urls_and_entries_may_be_absent_or_partly_unusable),
      cmocka_unit_test(test_lists_are_bounded),
      cmocka_unit_test(test_unusable_answers_are_refused_with_a_sentence),
      cmocka_unit_test(test_ticket_length_is_bounded_exactly),
      cmocka_unit_test(test_ticket_life_is_from_its_beginning_to_expiry),
      cmocka_unit_test(test_life_of_what_is_no_ticket_is_unknown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
