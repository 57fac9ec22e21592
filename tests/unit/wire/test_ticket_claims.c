#include "ticket_fixture.h"

#include <stdio.h>

static void test_a_claim_missing_or_malformed_is_named(void **state) {
  const struct {
    const char *name, *good;
    const char *bad[12];
  } cases[] = {
      {"iss", "\"tunnel2\"", {"\"\"", "7", "null", "\"a b\"", "\"\\u00e4\"", "[\"tunnel2\"]"}},
      {"sub",
       "\"shop\"",
       {"\"\"", "\"ab\"", "\"Shop\"", "\"-shop\"", "\"shop-\"", "\"a_b\"", "\"a.b\"", "7", "null"}},
      {"aud",
       "[\"entry-1\"]",
       {"[]", "\"\"", "7", "null", "{}", "[7]", "[\"entry-1\",null]", "[\"Entry\"]", "[[\"*\"]]", "\"**\""}},
      {"jti",
       "\"t-1\"",
       {"\"\"", "7", "\"0123456789012345678901234567890123456\"", "\"a\\\"b\"", "\"a\\\\b\"", "\"a\\nb\""}},
      {"exp",
       "1700000600",
       {"-1", "1700000600.5", "\"1700000600\"", "1.7e9", "null", "253402300800", "true"}},
      {"nbf", "1700000000", {"-1", "1700000000.5", "\"1700000000\"", "null", "253402300800"}},
      {"iat", "1700000000", {"-1", "1700000000.5", "\"1700000000\"", "null", "253402300800"}},
      {"t2_max_uplinks", "4", {"-1", "4294967296", "\"4\"", "null", "4.0"}},
      {"t2_max_streams", "4", {"-1", "4294967296", "\"4\"", "null", "4.0"}},
      {"t2_kind", "\"tcp\"", {"\"\"", "\"TCP\"", "\"sctp\"", "6", "null"}},
      {"t2_allow", "[\"10.0.0.0/8\"]", {"[]", "\"10.0.0.0/8\"", "[\"10.0.0.1/8\"]", "null"}},
  };
  char claims[512], detail[100];
  fixture *f = *state;

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    for (size_t j = 0; j == 0 || cases[i].bad[j - 1]; j++) { /* at j == 0 the claim is missing */
      const char *separator = "{";
      char *at = claims;
      for (size_t k = 0; k < T2_COUNT_OF(cases); k++) {
        if (k == i && j == 0) continue;
        at += sprintf(at, "%s\"%s\":%s", separator, cases[k].name,
                      k == i ? cases[i].bad[j - 1] : cases[k].good);
        separator = ",";
      }
      strcpy(at, "}");
      snprintf(detail, sizeof(detail), "the ticket's claim %s is missing or malformed", cases[i].name);
      if (j == 0 && strncmp(cases[i].name, "t2_", 3) == 0) {
        assert_int_equal(verify_claims(f, claims, "entry-1", NOW), 0);
        continue;
      }
      assert_int_equal(verify_claims(f, claims, "entry-1", NOW), T2_ERR_AUTH);
      assert_string_equal(f->detail, detail);
      assert_zeroed(&f->ticket);
      if (!cases[i].bad[j]) break;
    }
}

static const char *claims_at(char *out, size_t size, int64_t exp, int64_t nbf, int64_t iat) {
  snprintf(out, size,
           "{\"iss\":\"tunnel2\",\"sub\":\"shop\",\"aud\":\"*\",\"jti\":\"t-1\",\"exp\":%lld,\"nbf\":%lld,"
           "\"iat\":%lld}",
           (long long)exp, (long long)nbf, (long long)iat);
  return out;
}

static void test_times_count_with_a_minute_of_leeway_and_not_a_second_more(void **state) {
  const struct {
    int64_t exp, nbf, iat, now;
    int result;
    const char *detail;
  } cases[] = {
      {NOW, 0, 0, NOW + 59, 0, ""},
      {NOW, 0, 0, NOW + 60, T2_ERR_EXPIRED, "the ticket has expired, by the clock here 60 s ago"},
      {NOW, 0, 0, NOW + 61, T2_ERR_EXPIRED, "the ticket has expired, by the clock here 61 s ago"},
      {NOW + 600, NOW, 0, NOW - 60, 0, ""},
      {NOW + 600, NOW, 0, NOW - 61, T2_ERR_AUTH,
       "the ticket is not valid yet: by the clock here it begins in 61 s, so one of the clocks is wrong"},
      {NOW + 600, 0, NOW, NOW - 60, 0, ""},
      {NOW + 600, 0, NOW, NOW - 61, 0, ""}, /* iat is for order alone */
      {0, 0, 0, NOW, T2_ERR_EXPIRED, "the ticket has expired, by the clock here 1700000000 s ago"},
      {0, 0, 0, 0, 0, ""},
      {T2_TICKET_TIME_MAX, T2_TICKET_TIME_MAX, T2_TICKET_TIME_MAX, T2_TICKET_TIME_MAX, 0, ""},
      {T2_TICKET_TIME_MAX, 0, 0, INT64_MAX, T2_ERR_EXPIRED,
       "the ticket has expired, by the clock here 253402300799 s ago"},
      {NOW, 0, 0, INT64_MIN, T2_ERR_AUTH,
       "the ticket is not valid yet: by the clock here it begins in 253402300799 s, so one of the clocks is "
       "wrong"},
  };
  char claims[256];
  fixture *f = *state;

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    claims_at(claims, sizeof(claims), cases[i].exp, cases[i].nbf, cases[i].iat);
    assert_int_equal(verify_claims(f, claims, "entry-1", cases[i].now), cases[i].result);
    assert_string_equal(f->detail, cases[i].detail);
  }
}

static void test_another_issuer_is_refused(void **state) {
  const char *issuers[] = {"tunnel", "tunnel2x", "Tunnel2", "https://tunnel2.example"};
  char claims[256];
  fixture *f = *state;

  for (size_t i = 0; i < T2_COUNT_OF(issuers); i++) {
    snprintf(claims, sizeof(claims),
             "{\"iss\":\"%s\",\"sub\":\"shop\",\"aud\":\"*\",\"jti\":\"t\",\"exp\":%d,\"nbf\":0,\"iat\":0}",
             issuers[i], NOW);
    assert_int_equal(verify_claims(f, claims, "entry-1", NOW), T2_ERR_AUTH);
    assert_string_equal(f->detail, "the ticket is from another issuer");
    assert_zeroed(&f->ticket);
  }
}

static void test_the_audience_has_this_entry_or_any(void **state) {
  const struct {
    const char *aud, *entry;
    int result;
  } cases[] = {
      {"\"entry-1\"", "entry-1", 0},
      {"\"entry-1\"", "entry-2", T2_ERR_FORBIDDEN},
      {"\"entry-1\"", "entry-11", T2_ERR_FORBIDDEN},
      {"\"entry-11\"", "entry-1", T2_ERR_FORBIDDEN},
      {"[\"entry-2\",\"entry-1\"]", "entry-1", 0},
      {"[\"entry-2\",\"entry-3\"]", "entry-1", T2_ERR_FORBIDDEN},
      {"\"*\"", "entry-1", 0},
      {"[\"entry-2\",\"*\"]", "entry-1", 0},
      {"\"entry-1\"", "*", T2_ERR_FORBIDDEN},
      {"\"entry-1\"", "", T2_ERR_FORBIDDEN},
  };
  char claims[256];
  fixture *f = *state;

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    snprintf(claims, sizeof(claims),
             "{\"iss\":\"tunnel2\",\"sub\":\"shop\",\"aud\":%s,\"jti\":\"t\",\"exp\":%d,\"nbf\":0,\"iat\":0}",
             cases[i].aud, NOW);
    assert_int_equal(verify_claims(f, claims, cases[i].entry, NOW), cases[i].result);
    if (cases[i].result) assert_string_equal(f->detail, "the ticket is for other entries");
  }
}

static void test_as_many_audiences_as_fit_and_one_more(void **state) {
  char claims[1024];
  fixture *f = *state;

  for (int n = T2_TICKET_AUDIENCES_MAX; n <= T2_TICKET_AUDIENCES_MAX + 1; n++) {
    int at = snprintf(claims, sizeof(claims), "{\"iss\":\"tunnel2\",\"sub\":\"shop\",\"aud\":[\"entry-1\"");
    for (int i = 1; i < n; i++)
      at += snprintf(claims + at, sizeof(claims) - (size_t)at, ",\"other-%d\"", i);
    snprintf(claims + at, sizeof(claims) - (size_t)at, "],\"jti\":\"t\",\"exp\":%d,\"nbf\":0,\"iat\":0}",
             NOW);
    assert_int_equal(verify_claims(f, claims, "entry-1", NOW),
                     n == T2_TICKET_AUDIENCES_MAX ? 0 : T2_ERR_AUTH);
  }
}

static void test_an_expired_or_foreign_ticket_still_says_whose_it_was(void **state) {
  fixture *f = *state;

  assert_int_equal(verify_claims(f, "{" CLAIMS "}", "entry-1", NOW + 660), T2_ERR_EXPIRED);
  assert_string_equal(f->ticket.session, "shop");
  assert_string_equal(f->ticket.id, "t-1");
  assert_int_equal(verify_claims(f, "{" CLAIMS "}", "entry-9", NOW), T2_ERR_FORBIDDEN);
  assert_string_equal(f->ticket.session, "shop");
}

static void test_limits_are_read_and_none_is_zero(void **state) {
  fixture *f = *state;

  assert_int_equal(
      verify_claims(f, "{" CLAIMS ",\"t2_max_uplinks\":4294967295,\"t2_max_streams\":0}", "entry-1", NOW), 0);
  assert_true(f->ticket.max_uplinks == UINT32_MAX);
  assert_int_equal(f->ticket.max_streams, 0);
  assert_int_equal(verify_claims(f, "{" CLAIMS ",\"other\":[1,{}]}", "entry-1", NOW), 0);
  assert_int_equal(f->ticket.max_uplinks, 0);
}

static void test_a_ticket_is_of_http_unless_it_says_otherwise(void **state) {
  fixture *f = *state;

  assert_int_equal(verify_claims(f, "{" CLAIMS "}", "entry-1", NOW), 0);
  assert_true(f->ticket.kind == T2_KIND_HTTP && f->ticket.port == 0);
  assert_int_equal(verify_claims(f, "{" CLAIMS ",\"t2_kind\":\"http\",\"t2_port\":0}", "entry-1", NOW), 0);
  assert_true(f->ticket.kind == T2_KIND_HTTP);
  assert_int_equal(verify_claims(f, "{" CLAIMS ",\"t2_kind\":\"tcp\"}", "entry-1", NOW), 0);
  assert_true(f->ticket.kind == T2_KIND_TCP && f->ticket.port == 0);
}

static void test_a_port_is_one_and_for_tcp_alone(void **state) {
  const char *bad[] = {"\"t2_kind\":\"tcp\",\"t2_port\":65536",  "\"t2_kind\":\"tcp\",\"t2_port\":-1",
                       "\"t2_kind\":\"tcp\",\"t2_port\":\"22\"", "\"t2_kind\":\"tcp\",\"t2_port\":22.0",
                       "\"t2_kind\":\"http\",\"t2_port\":22",    "\"t2_port\":22"};
  char claims[512];
  fixture *f = *state;

  assert_int_equal(verify_claims(f, "{" CLAIMS ",\"t2_kind\":\"tcp\",\"t2_port\":65535}", "entry-1", NOW), 0);
  assert_int_equal(f->ticket.port, 65535);
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    snprintf(claims, sizeof(claims), "{" CLAIMS ",%s}", bad[i]);
    assert_int_equal(verify_claims(f, claims, "entry-1", NOW), T2_ERR_AUTH);
    assert_string_equal(f->detail, "the ticket's claim t2_port is missing or malformed");
    assert_zeroed(&f->ticket);
  }
}

static void test_a_ticket_of_tls_has_names_and_no_port(void **state) {
  fixture *f = *state;

  assert_int_equal(
      verify_claims(f, "{" CLAIMS ",\"t2_kind\":\"tls\",\"t2_hostnames\":[\"a.b\"]}", "entry-1", NOW), 0);
  assert_int_equal(f->ticket.kind, T2_KIND_TLS);
  assert_int_equal(verify_claims(f, "{" CLAIMS ",\"t2_kind\":\"tls\"}", "entry-1", NOW), T2_ERR_AUTH);
  assert_string_equal(f->detail, "the ticket's claim t2_hostnames is missing or malformed");
  assert_int_equal(verify_claims(f,
                                 "{" CLAIMS ",\"t2_kind\":\"tls\",\"t2_hostnames\":[\"a.b\"],\"t2_port\":22}",
                                 "entry-1", NOW),
                   T2_ERR_AUTH);
  assert_string_equal(f->detail, "the ticket's claim t2_port is missing or malformed");
}

/* ---- Ids ---- */

static void test_session_and_entry_ids(void **state) {
  const char *good[] = {"abc", "a-b", "0-9", "a--b", "01234567-89ab-4cde-8f01-23456789abcd"};
  const char *bad[] = {"",    "a",   "ab",  "-ab", "ab-",         "---",   "Abc",
                       "a_b", "a.b", "a b", "a/b", "\xc3\xa4-bc", "abc\n", "*"};
  char longest[T2_SESSION_ID_MAX + 1];

  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    assert_true(t2_session_id_valid(t2_str_c(good[i])) && t2_entry_id_valid(t2_str_c(good[i])));
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_false(t2_session_id_valid(t2_str_c(bad[i])) || t2_entry_id_valid(t2_str_c(bad[i])));
  memset(longest, 'x', sizeof(longest));
  assert_true(t2_session_id_valid(t2_str_of(longest, T2_SESSION_ID_MAX)));
  assert_false(t2_session_id_valid(t2_str_of(longest, T2_SESSION_ID_MAX + 1)));
  assert_true(t2_entry_id_valid(t2_str_of(longest, T2_ENTRY_ID_MAX)));
  assert_false(t2_entry_id_valid(t2_str_of(longest, T2_ENTRY_ID_MAX + 1)));
  assert_false(t2_session_id_valid(T2_STR("ab\0")));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_a_claim_missing_or_malformed_is_named),
      TEST(test_times_count_with_a_minute_of_leeway_and_not_a_second_more),
      TEST(test_another_issuer_is_refused),
      TEST(test_the_audience_has_this_entry_or_any),
      TEST(test_as_many_audiences_as_fit_and_one_more),
      TEST(test_an_expired_or_foreign_ticket_still_says_whose_it_was),
      TEST(test_limits_are_read_and_none_is_zero),
      TEST(test_a_ticket_is_of_http_unless_it_says_otherwise),
      TEST(test_a_port_is_one_and_for_tcp_alone),
      TEST(test_a_ticket_of_tls_has_names_and_no_port),
      TEST(test_session_and_entry_ids),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
