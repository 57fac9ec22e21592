#include "ticket_fixture.h"

#include <t2_test_mem.h>
#include <tunnel2/ticket.h>

#define FULL                                                                                                 \
  "{" CLAIMS ",\"t2_kind\":\"tcp\",\"t2_port\":2222,\"t2_max_uplinks\":2,\"t2_max_streams\":50,"             \
  "\"t2_allow\":[\"192.0.2.0/24\",\"2001:db8::/32\"],\"t2_hostnames\":[\"www.example.com\"]}"

/* Of the fixture's key. */
static void make(fixture *f, t2_ticket_verifier **verifier, const t2_allocator *mem, int want) {
  char detail[160];
  t2_buf jwks;
  t2_buf_init(&jwks, NULL);
  assert_int_equal(t2_keys_to_jwks(&f->keys, &jwks), 0);
  int err = t2_ticket_verifier_new(verifier, mem, (const char *)t2_buf_head(&jwks), t2_buf_len(&jwks), detail,
                                   sizeof(detail));
  if (want != 1) assert_int_equal(err, want);
  assert_true((err == 0) == (*verifier != NULL));
  t2_buf_fini(&jwks);
}

static int check(fixture *f, t2_ticket_verifier *verifier, const char *claims_text, int64_t now,
                 t2_ticket_claims *claims) {
  jwt_make(&f->jwt, f->key, T2_STR(HEADER), t2_str_c(claims_text));
  t2_str jwt = jwt_text(&f->jwt);
  return t2_ticket_verifier_check(verifier, jwt.p, jwt.n, "entry-1", now, claims, f->detail,
                                  sizeof(f->detail));
}

static void test_a_good_ticket_says_all_it_has(void **state) {
  fixture *f = *state;
  t2_ticket_verifier *verifier;
  t2_ticket_claims claims = {.size = sizeof(claims)};
  make(f, &verifier, NULL, 0);
  assert_int_equal(check(f, verifier, FULL, NOW, &claims), 0);
  assert_int_equal(claims.size, sizeof(claims));
  assert_string_equal(claims.issuer, "tunnel2");
  assert_string_equal(claims.session, "shop");
  assert_string_equal(claims.id, "t-1");
  assert_int_equal(claims.audience_count, 1);
  assert_string_equal(claims.audience[0], "entry-1");
  assert_int_equal(claims.issued_at, NOW);
  assert_int_equal(claims.not_before, NOW);
  assert_int_equal(claims.expires_at, NOW + 600);
  assert_int_equal(claims.kind, T2_SESSION_TCP);
  assert_int_equal(claims.remote_port, 2222);
  assert_int_equal(claims.uplinks_max, 2);
  assert_int_equal(claims.exchanges_max, 50);
  assert_false(claims.basic_auth);
  assert_int_equal(claims.allow_ip_count, 2);
  assert_string_equal(claims.allow_ips[0], "192.0.2.0/24");
  assert_int_equal(claims.hostname_count, 1);
  assert_string_equal(claims.hostnames[0], "www.example.com");
  t2_ticket_verifier_free(verifier);
}

static void test_claims_are_known_of_what_is_expired_or_for_others(void **state) {
  fixture *f = *state;
  t2_ticket_verifier *verifier;
  t2_ticket_claims claims = {.size = sizeof(claims)};
  make(f, &verifier, NULL, 0);
  assert_int_equal(check(f, verifier, "{" CLAIMS "}", NOW + 660, &claims), T2_ERR_EXPIRED);
  assert_string_equal(claims.session, "shop");
  t2_str jwt = jwt_text(&f->jwt);
  claims = (t2_ticket_claims){.size = sizeof(claims)};
  assert_int_equal(
      t2_ticket_verifier_check(verifier, jwt.p, jwt.n, "west", NOW, &claims, f->detail, sizeof(f->detail)),
      T2_ERR_FORBIDDEN);
  assert_string_equal(claims.session, "shop");
  assert_string_equal(f->detail, "the ticket is for other entries");
  t2_ticket_verifier_free(verifier);
}

static void test_nothing_is_written_for_what_is_not_signed_by_a_key(void **state) {
  fixture *f = *state;
  t2_ticket_verifier *verifier;
  t2_ticket_claims claims = {.size = sizeof(claims)};
  make(f, &verifier, NULL, 0);
  jwt_make(&f->jwt, f->stranger, T2_STR(HEADER), T2_STR("{" CLAIMS "}"));
  t2_str jwt = jwt_text(&f->jwt);
  assert_int_equal(
      t2_ticket_verifier_check(verifier, jwt.p, jwt.n, "entry-1", NOW, &claims, f->detail, sizeof(f->detail)),
      T2_ERR_AUTH);
  assert_null(claims.session);
  assert_int_equal(t2_ticket_verifier_check(verifier, "x", 1, "entry-1", NOW, &claims, NULL, 0), T2_ERR_AUTH);
  assert_int_equal(check(f, verifier, "{" CLAIMS "}", NOW - 61, &claims), T2_ERR_AUTH);
  assert_null(claims.session);
  t2_ticket_verifier_free(verifier);
}

static void test_arguments_are_checked(void **state) {
  fixture *f = *state;
  t2_ticket_verifier *verifier;
  t2_ticket_claims claims = {.size = 0};
  make(f, &verifier, NULL, 0);
  assert_int_equal(check(f, verifier, "{" CLAIMS "}", NOW, &claims), T2_ERR_INVALID);
  assert_int_equal(check(f, verifier, "{" CLAIMS "}", NOW, NULL), 0);
  t2_str jwt = jwt_text(&f->jwt);
  assert_int_equal(t2_ticket_verifier_check(verifier, jwt.p, jwt.n, NULL, NOW, NULL, NULL, 0),
                   T2_ERR_INVALID);
  assert_int_equal(t2_ticket_verifier_check(verifier, jwt.p, jwt.n, "", NOW, NULL, NULL, 0), T2_ERR_INVALID);
  t2_ticket_verifier_free(verifier);
  t2_ticket_verifier_free(NULL);
}

/* Of a caller whose struct is that of an older header. */
static void test_no_more_is_written_than_the_caller_has_room_for(void **state) {
  fixture *f = *state;
  t2_ticket_verifier *verifier;
  t2_ticket_claims claims;
  make(f, &verifier, NULL, 0);
  memset(&claims, 0x5a, sizeof(claims));
  claims.size = offsetof(t2_ticket_claims, audience);
  assert_int_equal(check(f, verifier, FULL, NOW, &claims), 0);
  assert_string_equal(claims.id, "t-1");
  assert_int_equal(claims.size, offsetof(t2_ticket_claims, audience));
  assert_int_equal((unsigned char)((char *)&claims)[offsetof(t2_ticket_claims, audience)], 0x5a);
  t2_ticket_verifier_free(verifier);
}

static void test_keys_that_are_of_no_use_leave_those_there_are(void **state) {
  fixture *f = *state;
  t2_ticket_verifier *verifier;
  make(f, &verifier, NULL, 0);
  assert_int_equal(t2_ticket_verifier_set_keys(verifier, "{\"keys\":[]}", 11, f->detail, sizeof(f->detail)),
                   T2_ERR_INVALID);
  assert_string_equal(f->detail, "there is no ES256 key in the set");
  assert_int_equal(check(f, verifier, "{" CLAIMS "}", NOW, NULL), 0);
  t2_ticket_verifier_free(verifier);
  assert_int_equal(t2_ticket_verifier_new(&verifier, NULL, "x", 1, f->detail, sizeof(f->detail)),
                   T2_ERR_INVALID);
  assert_null(verifier);
}

static void scenario(t2_test_mem *mem, void *user) {
  fixture *f = user;
  t2_ticket_verifier *verifier;
  make(f, &verifier, &mem->hook, 1);
  if (!verifier) return;
  int err = check(f, verifier, FULL, NOW, NULL);
  assert_true(err == 0 || (mem->failed && err == T2_ERR_NOMEM));
  t2_ticket_verifier_free(verifier);
}

static void test_each_allocation_may_fail(void **state) {
  t2_test_mem_fail_each(scenario, *state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_good_ticket_says_all_it_has, setup, teardown),
      cmocka_unit_test_setup_teardown(test_claims_are_known_of_what_is_expired_or_for_others, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(test_nothing_is_written_for_what_is_not_signed_by_a_key, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(test_arguments_are_checked, setup, teardown),
      cmocka_unit_test_setup_teardown(test_no_more_is_written_than_the_caller_has_room_for, setup, teardown),
      cmocka_unit_test_setup_teardown(test_keys_that_are_of_no_use_leave_those_there_are, setup, teardown),
      cmocka_unit_test_setup_teardown(test_each_allocation_may_fail, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
