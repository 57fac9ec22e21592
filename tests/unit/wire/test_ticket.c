#include "ticket_fixture.h"

#include <stdio.h>

static t2_ticket sample(void) {
  return (t2_ticket){.issuer = T2_TICKET_ISSUER,
                     .session = "shop",
                     .audience = {"entry-1", "entry-2"},
                     .audience_count = 2,
                     .id = "01234567-89ab-4cde-8f01-23456789abcd",
                     .issued_at = NOW,
                     .not_before = NOW,
                     .expires_at = NOW + 600,
                     .max_uplinks = 4,
                     .max_streams = UINT32_MAX,
                     .kind = T2_KIND_TCP,
                     .port = 65535};
}

static void assert_same(const t2_ticket *a, const t2_ticket *b) {
  assert_string_equal(a->issuer, b->issuer);
  assert_string_equal(a->session, b->session);
  assert_string_equal(a->id, b->id);
  assert_int_equal(a->audience_count, b->audience_count);
  for (size_t i = 0; i < a->audience_count; i++)
    assert_string_equal(a->audience[i], b->audience[i]);
  assert_true(a->issued_at == b->issued_at && a->not_before == b->not_before &&
              a->expires_at == b->expires_at);
  assert_true(a->max_uplinks == b->max_uplinks && a->max_streams == b->max_streams);
  assert_true(a->kind == b->kind && a->port == b->port);
}

/* ---- Signing ---- */

static void test_what_is_signed_is_verified(void **state) {
  fixture *f = *state;
  t2_ticket ticket = sample();

  assert_int_equal(t2_ticket_sign(&ticket, &f->keys, &f->jwt), 0);
  assert_int_equal(verify(f, jwt_text(&f->jwt)), 0);
  assert_same(&f->ticket, &ticket);
  assert_int_equal(verify_at(f, jwt_text(&f->jwt), "entry-2", NOW), 0);
}

static void test_a_signed_ticket_has_the_header_and_claims_of_the_protocol(void **state) {
  static const char header[] = HEADER;
  static const char claims[] =
      "{\"iss\":\"tunnel2\",\"sub\":\"shop\",\"aud\":[\"*\"],\"exp\":1700000600,\"nbf\":1700000000,"
      "\"iat\":1700000000,\"jti\":\"t-1\",\"t2_max_uplinks\":4}";
  fixture *f = *state;
  t2_ticket ticket = sample();
  t2_buf expected;

  ticket.issuer[0] = '\0';
  strcpy(ticket.audience[0], "*");
  ticket.audience_count = 1;
  strcpy(ticket.id, "t-1");
  ticket.max_streams = 0;
  ticket.kind = T2_KIND_HTTP;
  ticket.port = 0;
  t2_buf_init(&expected, NULL);
  jwt_make(&expected, f->key, t2_str_c(header), t2_str_c(claims));
  assert_int_equal(t2_ticket_sign(&ticket, &f->keys, &f->jwt), 0);
  assert_string_equal(t2_buf_cstr(&f->jwt), t2_buf_cstr(&expected));
  t2_buf_fini(&expected);
}

static void test_the_largest_ticket_fits(void **state) {
  fixture *f = *state;
  t2_ticket ticket = sample();

  memset(ticket.issuer, 'i', sizeof(ticket.issuer) - 1);
  memset(ticket.session, 's', T2_SESSION_ID_MAX);
  memset(ticket.id, '~', sizeof(ticket.id) - 1);
  ticket.audience_count = T2_TICKET_AUDIENCES_MAX;
  for (size_t i = 0; i < T2_TICKET_AUDIENCES_MAX; i++)
    memset(ticket.audience[i], 'a' + (int)i, T2_ENTRY_ID_MAX);
  ticket.expires_at = ticket.not_before = ticket.issued_at = T2_TICKET_TIME_MAX;
  ticket.max_uplinks = UINT32_MAX;
  assert_int_equal(t2_ticket_sign(&ticket, &f->keys, &f->jwt), 0);
  assert_true(t2_buf_len(&f->jwt) <= T2_TICKET_MAX);
  assert_refused(f, jwt_text(&f->jwt), "the ticket is from another issuer");
  t2_buf_reset(&f->jwt);
  strcpy(ticket.issuer, T2_TICKET_ISSUER);
  assert_int_equal(t2_ticket_sign(&ticket, &f->keys, &f->jwt), 0);
  assert_int_equal(verify_at(f, jwt_text(&f->jwt), ticket.audience[15], T2_TICKET_TIME_MAX), 0);
  assert_same(&f->ticket, &ticket);
}

static t2_ticket with(size_t offset, const void *bytes, size_t n) {
  t2_ticket ticket = sample();

  memcpy((char *)&ticket + offset, bytes, n);
  return ticket;
}

static void assert_not_signed(fixture *f, t2_ticket ticket) {
  assert_int_equal(t2_ticket_sign(&ticket, &f->keys, &f->jwt), T2_ERR_INVALID);
  assert_int_equal(t2_buf_len(&f->jwt), 0);
}

static void test_what_would_not_be_read_back_is_not_signed(void **state) {
#define WITH(member, text) with(offsetof(t2_ticket, member), text, sizeof(text))
  const int64_t times[] = {-1, T2_TICKET_TIME_MAX + 1, INT64_MIN, INT64_MAX};
  const size_t counts[] = {0, T2_TICKET_AUDIENCES_MAX + 1};
  char unterminated[64];
  fixture *f = *state;

  memset(unterminated, 'a', sizeof(unterminated));
  assert_not_signed(f, WITH(session, ""));
  assert_not_signed(f, WITH(session, "ab"));
  assert_not_signed(f, WITH(session, "Shop"));
  assert_not_signed(f, WITH(session, "-shop"));
  assert_not_signed(f, with(offsetof(t2_ticket, session), unterminated, 64));
  assert_not_signed(f, with(offsetof(t2_ticket, issuer), unterminated, 64));
  assert_not_signed(f, with(offsetof(t2_ticket, id), unterminated, 37));
  assert_not_signed(f, with(offsetof(t2_ticket, audience[1]), unterminated, 64));
  assert_not_signed(f, WITH(issuer, "a b"));
  assert_not_signed(f, WITH(issuer, "a\"b"));
  assert_not_signed(f, WITH(id, ""));
  assert_not_signed(f, WITH(id, "a\\b"));
  assert_not_signed(f, WITH(id, "a\x7f"));
  assert_not_signed(f, WITH(id, "\xc3\xa4"));
  assert_not_signed(f, WITH(audience[0], ""));
  assert_not_signed(f, WITH(audience[1], "**"));
  for (size_t i = 0; i < T2_COUNT_OF(counts); i++)
    assert_not_signed(f, with(offsetof(t2_ticket, audience_count), &counts[i], sizeof(size_t)));
  for (size_t i = 0; i < T2_COUNT_OF(times); i++) {
    assert_not_signed(f, with(offsetof(t2_ticket, issued_at), &times[i], sizeof(int64_t)));
    assert_not_signed(f, with(offsetof(t2_ticket, not_before), &times[i], sizeof(int64_t)));
    assert_not_signed(f, with(offsetof(t2_ticket, expires_at), &times[i], sizeof(int64_t)));
  }
}

static void test_it_is_signed_with_the_newest_key_and_needs_a_private_one(void **state) {
  uint8_t point[T2_P256_POINT_LEN];
  fixture *f = *state;
  t2_ticket ticket = sample();
  t2_es256_key *public;
  t2_keys none;

  t2_keys_init(&none, NULL);
  assert_int_equal(t2_ticket_sign(&ticket, &none, &f->jwt), T2_ERR_STATE);
  t2_es256_point(f->key, point);
  assert_int_equal(t2_es256_from_point(NULL, point, &public), 0);
  assert_int_equal(t2_keys_add(&none, public), 0);
  assert_int_equal(t2_ticket_sign(&ticket, &none, &f->jwt), T2_ERR_STATE);
  assert_int_equal(t2_buf_len(&f->jwt), 0);
  t2_keys_fini(&none);
  assert_int_equal(t2_keys_add(&f->keys, jwt_key(NULL, JWT_OTHER_KEY)), 0);
  assert_int_equal(t2_ticket_sign(&ticket, &f->keys, &f->jwt), 0);
  assert_int_equal(verify(f, jwt_text(&f->jwt)), 0);
  t2_keys_trim(&f->keys, 1); /* only the newest is left */
  assert_int_equal(verify(f, jwt_text(&f->jwt)), 0);
}

/* ---- Form ---- */

static void test_what_is_not_three_parts_is_refused(void **state) {
  const char *bad[] = {"", ".", "a", "a.b", "a.b.c.d", "....", "a..b.c"};
  fixture *f = *state;

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_refused(f, t2_str_c(bad[i]), "the ticket is not three parts with dots between them");
  assert_refused(f, T2_STR_NULL, "the ticket is not three parts with dots between them");
}

static void test_a_ticket_up_to_its_bound(void **state) {
  static char claims[T2_TICKET_MAX], padded[T2_TICKET_MAX + 2];
  fixture *f = *state;
  size_t spaces = 0;

  /* Spaces behind the claims until the JWT is as long as may be, or a character or two less. */
  for (size_t n = 0; n <= T2_TICKET_MAX; spaces++) {
    snprintf(claims, sizeof(claims), "{" CLAIMS "%*s}", (int)spaces, "");
    jwt_make(&f->jwt, f->key, T2_STR(HEADER), t2_str_c(claims));
    n = t2_buf_len(&f->jwt);
    if (n > T2_TICKET_MAX) assert_refused(f, jwt_text(&f->jwt), "the ticket is longer than 6144 bytes");
    if (n > T2_TICKET_MAX - 3 && n <= T2_TICKET_MAX) assert_int_equal(verify(f, jwt_text(&f->jwt)), 0);
  }
  memset(padded, 'A', sizeof(padded));
  padded[10] = padded[20] = '.';
  assert_refused(f, t2_str_of(padded, T2_TICKET_MAX), "the ticket's header is not a JSON object");
  assert_refused(f, t2_str_of(padded, T2_TICKET_MAX + 1), "the ticket is longer than 6144 bytes");
}

static void test_every_cut_and_every_changed_character_is_refused(void **state) {
  fixture *f = *state;
  t2_ticket ticket = sample();

  assert_int_equal(t2_ticket_sign(&ticket, &f->keys, &f->jwt), 0);
  t2_str jwt = jwt_text(&f->jwt);
  for (size_t n = 0; n < jwt.n; n += 3)
    assert_int_equal(verify(f, t2_str_of(jwt.p, n)), T2_ERR_AUTH);
  for (size_t i = 0; i < jwt.n; i += 5) {
    uint8_t *c = t2_buf_head(&f->jwt) + i, was = *c;
    *c = was == 'A' ? 'B' : 'A';
    assert_int_equal(verify(f, jwt), T2_ERR_AUTH);
    assert_zeroed(&f->ticket);
    *c = was;
  }
  assert_int_equal(verify(f, jwt), 0);
}

static void test_only_one_spelling_of_base64url_is_taken(void **state) {
  const struct {
    const char *extra;
    const char *detail;
  } behind[] = {{"=", "the ticket's signature is malformed"},  {"==", "the ticket's signature is malformed"},
                {" ", "the ticket's signature is malformed"},  {"\n", "the ticket's signature is malformed"},
                {"A", "the ticket's signature is malformed"},  {"AA", "the ticket's signature is malformed"},
                {"AAA", "the ticket's signature is malformed"}};
  fixture *f = *state;

  jwt_make(&f->jwt, f->key, T2_STR(HEADER), T2_STR("{" CLAIMS "}"));
  size_t n = t2_buf_len(&f->jwt);
  for (size_t i = 0; i < T2_COUNT_OF(behind); i++) {
    t2_buf_append_c(&f->jwt, behind[i].extra);
    assert_refused(f, jwt_text(&f->jwt), behind[i].detail);
    f->jwt.end = f->jwt.off + n;
  }
  t2_buf_append_byte(&f->jwt, '\0');
  assert_refused(f, jwt_text(&f->jwt), "the ticket's signature is malformed");
  f->jwt.end--;
  f->jwt.end -= 2; /* 63 bytes of signature and some bits */
  assert_refused(f, jwt_text(&f->jwt), "the ticket's signature is malformed");
  f->jwt.end -= 84; /* none */
  assert_refused(f, jwt_text(&f->jwt), "the ticket's signature is malformed");
  /* " " in front, and a header and claims that are padded. */
  assert_refused(f, T2_STR(" e30.e30.AA"), "the ticket's header is not a JSON object");
  assert_refused(f, T2_STR("e30=.e30.AA"), "the ticket's header is not a JSON object");
  assert_refused(f, T2_STR("e31.e30.AA"), "the ticket's header is not a JSON object");
}

static void test_claims_that_are_signed_and_no_object_are_refused(void **state) {
  const t2_str payloads[] = {T2_STR(""),
                             T2_STR("x"),
                             T2_STR("[]"),
                             T2_STR("{} {}"),
                             T2_STR("{}\0"),
                             T2_STR("{\"a\":1,}"),
                             T2_STR("\xff"),
                             T2_STR("{" CLAIMS ",\"sub\":\"shop\"}"),
                             T2_STR("{" CLAIMS ",\"x\":{\"a\":1,\"a\":1}}"),
                             T2_STR("{" CLAIMS ",\"x\":\"\\u0000\"}")};
  fixture *f = *state;

  for (size_t i = 0; i < T2_COUNT_OF(payloads); i++) {
    jwt_make(&f->jwt, f->key, T2_STR(HEADER), payloads[i]);
    assert_refused(f, jwt_text(&f->jwt), "the ticket's claims are not a JSON object");
  }
  /* Space around and between is JSON's affair. */
  assert_int_equal(verify_claims(f, " {\n" CLAIMS "\t}\r\n", "entry-1", NOW), 0);
}

/* ---- Header ---- */

#define KID "\"kid\":\"" JWT_KID "\""

static void test_every_other_header_is_refused(void **state) {
  const struct {
    const char *header, *detail;
  } cases[] = {
      {"[]", "the ticket's header is not a JSON object"},
      {"{\"alg\":\"ES256\",\"alg\":\"ES256\"," KID "}", "the ticket's header is not a JSON object"},
      {"{" KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"none\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"None\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"HS256\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"RS256\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"ES384\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"ES256K\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"es256\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"ES256 \"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":null," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":[\"ES256\"]," KID "}", "the ticket is not signed with ES256"},
      {"{\"ALG\":\"ES256\"," KID "}", "the ticket is not signed with ES256"},
      {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\"," KID "}", "the ticket's typ is not JWT"},
      {"{\"alg\":\"ES256\",\"typ\":\"\"," KID "}", "the ticket's typ is not JWT"},
      {"{\"alg\":\"ES256\",\"typ\":1," KID "}", "the ticket's typ is not JWT"},
      {"{\"alg\":\"ES256\",\"crit\":[\"exp\"]," KID "}", "the ticket has critical extensions"},
      {"{\"alg\":\"ES256\",\"crit\":[]," KID "}", "the ticket has critical extensions"},
      {"{\"alg\":\"ES256\",\"crit\":null," KID "}", "the ticket has critical extensions"},
      {"{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false," KID "}", "the ticket has critical extensions"},
      {"{\"alg\":\"ES256\"}", "the ticket names no key"},
      {"{\"alg\":\"ES256\",\"kid\":0}", "the ticket names no key"},
      {"{\"alg\":\"ES256\",\"kid\":\"\"}", "the ticket's key is unknown"},
      {"{\"alg\":\"ES256\",\"kid\":\"" JWT_OTHER_KID "\"}", "the ticket's key is unknown"},
      {"{\"alg\":\"ES256\",\"kid\":\"" JWT_KID "=\"}", "the ticket's key is unknown"},
      {"{\"alg\":\"ES256\",\"kid\":\"../../keys/x\"}", "the ticket's key is unknown"},
  };
  fixture *f = *state;

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    jwt_make(&f->jwt, f->key, t2_str_c(cases[i].header), T2_STR("{" CLAIMS "}"));
    assert_refused(f, jwt_text(&f->jwt), cases[i].detail);
  }
}

static void test_typ_may_be_absent_and_other_members_are_not_looked_at(void **state) {
  fixture *f = *state;

  jwt_make(&f->jwt, f->key, T2_STR("{\"alg\":\"ES256\"," KID "}"), T2_STR("{" CLAIMS "}"));
  assert_int_equal(verify(f, jwt_text(&f->jwt)), 0);
  jwt_make(&f->jwt, f->key, T2_STR("{\"alg\":\"ES256\",\"x5t\":7,\"jku\":\"https://x.example/\"," KID "}"),
           T2_STR("{" CLAIMS "}"));
  assert_int_equal(verify(f, jwt_text(&f->jwt)), 0);
}

static void test_a_key_that_the_header_brings_along_is_not_used(void **state) {
  static const char header[] =
      "{\"alg\":\"ES256\"," KID ",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" JWT_OTHER_X
      "\",\"y\":\"" JWT_OTHER_Y "\"}}";
  fixture *f = *state;

  jwt_make(&f->jwt, f->stranger, t2_str_c(header), T2_STR("{" CLAIMS "}"));
  assert_refused(f, jwt_text(&f->jwt), "the ticket's signature is not valid");
}

static void test_the_signature_is_checked_before_any_claim(void **state) {
  fixture *f = *state;

  jwt_make(&f->jwt, f->stranger, T2_STR(HEADER), T2_STR("not even JSON"));
  assert_refused(f, jwt_text(&f->jwt), "the ticket's signature is not valid");
  jwt_make(&f->jwt, f->stranger, T2_STR(HEADER), T2_STR("{" CLAIMS "}"));
  assert_int_equal(verify_at(f, jwt_text(&f->jwt), "entry-1", NOW + 100000), T2_ERR_AUTH);
}

/* ---- Without memory ---- */

static void sign_one(t2_test_mem *mem, void *user) {
  const t2_ticket ticket = sample();
  t2_keys *keys = user;
  t2_buf out;

  keys->mem = &mem->hook; /* what signing takes its memory from */
  t2_buf_init(&out, &mem->hook);
  int r = t2_ticket_sign(&ticket, keys, &out);
  assert_int_equal(r, mem->failed ? T2_ERR_NOMEM : 0);
  if (r) assert_int_equal(t2_buf_len(&out), 0);
  t2_buf_fini(&out);
  keys->mem = NULL;
}

static void test_signing_without_memory_appends_nothing_and_leaks_nothing(void **state) {
  fixture *f = *state;

  assert_true(t2_test_mem_fail_each(sign_one, &f->keys) >= 3);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_what_is_signed_is_verified),
      TEST(test_a_signed_ticket_has_the_header_and_claims_of_the_protocol),
      TEST(test_the_largest_ticket_fits),
      TEST(test_what_would_not_be_read_back_is_not_signed),
      TEST(test_it_is_signed_with_the_newest_key_and_needs_a_private_one),
      TEST(test_what_is_not_three_parts_is_refused),
      TEST(test_a_ticket_up_to_its_bound),
      TEST(test_every_cut_and_every_changed_character_is_refused),
      TEST(test_only_one_spelling_of_base64url_is_taken),
      TEST(test_claims_that_are_signed_and_no_object_are_refused),
      TEST(test_every_other_header_is_refused),
      TEST(test_typ_may_be_absent_and_other_members_are_not_looked_at),
      TEST(test_a_key_that_the_header_brings_along_is_not_used),
      TEST(test_the_signature_is_checked_before_any_claim),
      TEST(test_signing_without_memory_appends_nothing_and_leaks_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
