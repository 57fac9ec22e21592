#include "jwt.h"

#include <stdio.h>
#include <tunnel2/error.h>

#define POINT(x, y) "\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" x "\",\"y\":\"" y "\""
#define OURS        POINT(JWT_KEY_X, JWT_KEY_Y)
#define OTHER       POINT(JWT_OTHER_X, JWT_OTHER_Y)

static void read_point(const char *x, const char *y, uint8_t point[T2_P256_POINT_LEN]) {
  size_t n;

  assert_int_equal(t2_base64url_decode(t2_str_c(x), point, 32, &n), 0);
  assert_int_equal(t2_base64url_decode(t2_str_c(y), point + 32, 32, &n), 0);
}

/* RFC 7638 has no example on a curve; the first is that of RFC 9449, 4.1 and 6.1. */
static void test_thumbprints_are_those_of_rfc_7638(void **state) {
  const struct {
    const char *x, *y, *kid;
  } examples[] = {
      {"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
       "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
      {JWT_KEY_X, JWT_KEY_Y, JWT_KID},
      {JWT_OTHER_X, JWT_OTHER_Y, JWT_OTHER_KID},
  };
  uint8_t point[T2_P256_POINT_LEN];
  char kid[T2_KID_LEN + 1];

  for (size_t i = 0; i < T2_COUNT_OF(examples); i++) {
    read_point(examples[i].x, examples[i].y, point);
    assert_int_equal(t2_p256_thumbprint(NULL, point, kid), 0);
    assert_string_equal(kid, examples[i].kid);
  }
}

/* ---- The set ---- */

static t2_es256_key *new_key(void) {
  t2_es256_key *key;

  assert_int_equal(t2_es256_generate(NULL, &key), 0);
  return key;
}

static void test_a_key_is_found_by_its_kid_alone(void **state) {
  t2_keys keys;

  jwt_keys(&keys, JWT_KEY);
  assert_ptr_equal(t2_keys_find(&keys, T2_STR(JWT_KID)), keys.list[0].key);
  assert_null(t2_keys_find(&keys, T2_STR(JWT_OTHER_KID)));
  assert_null(t2_keys_find(&keys, T2_STR("")));
  assert_null(t2_keys_find(&keys, T2_STR_NULL));
  assert_null(t2_keys_find(&keys, t2_str_of(JWT_KID, T2_KID_LEN - 1)));
  assert_null(t2_keys_find(&keys, t2_str_of(JWT_KID "\0", T2_KID_LEN + 1)));
  t2_keys_fini(&keys);
  assert_null(t2_keys_find(&keys, T2_STR(JWT_KID)));
}

static void test_the_newest_is_first_and_the_oldest_falls_out(void **state) {
  t2_es256_key *made[T2_KEYS_MAX + 1];
  t2_keys keys;

  t2_keys_init(&keys, NULL);
  for (size_t i = 0; i <= T2_KEYS_MAX; i++) {
    made[i] = new_key();
    assert_int_equal(t2_keys_add(&keys, made[i]), 0);
    assert_ptr_equal(keys.list[0].key, made[i]);
  }
  assert_int_equal(keys.n, T2_KEYS_MAX);
  for (size_t i = 0; i < T2_KEYS_MAX; i++)
    assert_ptr_equal(keys.list[i].key, made[T2_KEYS_MAX - i]);
  t2_keys_trim(&keys, T2_KEYS_MAX);
  assert_int_equal(keys.n, T2_KEYS_MAX);
  t2_keys_trim(&keys, 2);
  assert_int_equal(keys.n, 2);
  assert_ptr_equal(keys.list[1].key, made[T2_KEYS_MAX - 1]);
  t2_keys_fini(&keys);
  assert_int_equal(keys.n, 0);
}

static void test_the_same_key_twice_is_a_conflict(void **state) {
  t2_es256_key *again = jwt_key(NULL, JWT_KEY);
  t2_keys keys;

  jwt_keys(&keys, JWT_KEY);
  assert_int_equal(t2_keys_add(&keys, again), T2_ERR_CONFLICT);
  assert_int_equal(keys.n, 1);
  t2_es256_free(again);
  t2_keys_fini(&keys);
}

/* ---- JWKS ---- */

static void test_a_set_is_published_without_its_secrets(void **state) {
  t2_keys keys;
  t2_buf jwks;

  jwt_keys(&keys, JWT_KEY);
  assert_int_equal(t2_keys_add(&keys, jwt_key(NULL, JWT_OTHER_KEY)), 0);
  t2_buf_init(&jwks, NULL);
  assert_int_equal(t2_keys_to_jwks(&keys, &jwks), 0);
  assert_string_equal(t2_buf_cstr(&jwks),
                      "{\"keys\":[{" OTHER ",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"" JWT_OTHER_KID
                      "\"},{" OURS ",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"" JWT_KID "\"}]}");
  t2_keys_fini(&keys);
  t2_buf_fini(&jwks);
}

static void test_a_published_set_comes_back_in_order(void **state) {
  t2_keys keys, back;
  t2_buf jwks;

  t2_keys_init(&keys, NULL);
  t2_keys_init(&back, NULL);
  t2_buf_init(&jwks, NULL);
  for (size_t i = 0; i < T2_KEYS_MAX; i++)
    assert_int_equal(t2_keys_add(&keys, new_key()), 0);
  assert_int_equal(t2_keys_to_jwks(&keys, &jwks), 0);
  assert_true(t2_buf_len(&jwks) <= T2_JWKS_MAX);
  assert_int_equal(t2_keys_from_jwks(&back, (char *)t2_buf_head(&jwks), t2_buf_len(&jwks), NULL, 0), 0);
  assert_int_equal(back.n, T2_KEYS_MAX);
  for (size_t i = 0; i < T2_KEYS_MAX; i++) {
    assert_string_equal(back.list[i].kid, keys.list[i].kid);
    assert_false(t2_es256_is_private(back.list[i].key));
  }
  t2_keys_fini(&keys);
  t2_keys_fini(&back);
  t2_buf_fini(&jwks);
}

static int from_text(t2_keys *keys, const char *json, char *detail, size_t size) {
  return t2_keys_from_jwks(keys, json, strlen(json), detail, size);
}

static void test_keys_of_other_kinds_are_passed_over(void **state) {
  const char *others[] = {
      "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
      "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
      "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
      "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
      "{" OTHER ",\"use\":\"enc\"}",
      "{" OTHER ",\"alg\":\"ECDH-ES\"}",
      "{" OTHER ",\"alg\":\"ES384\"}",
      "{" OTHER ",\"alg\":null}",
      "{" OTHER ",\"use\":7}",
      "{" OTHER ",\"kid\":\"2026-10\"}",
      "{" OTHER ",\"kid\":\"" JWT_KID "\"}",
      "{" OTHER ",\"kid\":7}",
      "{\"crv\":\"P-256\",\"x\":\"" JWT_OTHER_X "\",\"y\":\"" JWT_OTHER_Y "\"}",
      "{\"kty\":[\"EC\"]}",
      "{}",
      "[]",
      "null",
      "7",
      "\"EC\"",
  };
  char text[1024];
  t2_keys keys;

  t2_keys_init(&keys, NULL);
  for (size_t i = 0; i < T2_COUNT_OF(others); i++) {
    snprintf(text, sizeof(text), "{\"more\":1,\"keys\":[%s,{" OURS "}]}", others[i]);
    assert_int_equal(from_text(&keys, text, NULL, 0), 0);
    assert_int_equal(keys.n, 1);
    assert_string_equal(keys.list[0].kid, JWT_KID);
  }
  t2_keys_fini(&keys);
}

static void test_the_kid_may_be_absent_or_the_thumbprint_and_twice_is_once(void **state) {
  t2_keys keys;

  t2_keys_init(&keys, NULL);
  assert_int_equal(from_text(&keys,
                             "{\"keys\":[{" OURS ",\"kid\":\"" JWT_KID
                             "\",\"use\":\"sig\",\"alg\":\"ES256\"},{" OURS "},{" OTHER "},{" OURS "},{" OURS
                             "},{" OURS "}]}",
                             NULL, 0),
                   0);
  assert_int_equal(keys.n, 2);
  assert_string_equal(keys.list[0].kid, JWT_KID);
  assert_string_equal(keys.list[1].kid, JWT_OTHER_KID);
  t2_keys_fini(&keys);
}

static void test_a_broken_set_changes_nothing_and_says_where(void **state) {
  const struct {
    const char *json, *detail;
  } cases[] = {
      {"", "not a JSON object without duplicate names"},
      {"[]", "not a JSON object without duplicate names"},
      {"{\"keys\":[]", "not a JSON object without duplicate names"},
      {"{\"keys\":[],\"keys\":[]}", "not a JSON object without duplicate names"},
      {"{\"keys\":[{" OTHER ",\"kty\":\"EC\"}]}", "not a JSON object without duplicate names"},
      {"{}", "\"keys\" is not an array"},
      {"{\"keys\":{}}", "\"keys\" is not an array"},
      {"{\"keys\":[]}", "there is no ES256 key in the set"},
      {"{\"keys\":[{\"kty\":\"RSA\"}]}", "there is no ES256 key in the set"},
      {"{\"keys\":[{" OTHER "},{\"kty\":\"EC\",\"crv\":\"P-256\"}]}",
       "keys[1]: x or y is not 32 bytes in base64url"},
      {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" JWT_KEY_X "\",\"y\":7}]}",
       "keys[0]: x or y is not 32 bytes in base64url"},
      /* padded, one character short, one too many, one more byte, the other alphabet */
      {"{\"keys\":[{" POINT(JWT_KEY_X "=", JWT_KEY_Y) "}]}", "keys[0]: x or y is not 32 bytes in base64url"},
      {"{\"keys\":[{" POINT("YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7", JWT_KEY_Y) "}]}",
       "keys[0]: x or y is not 32 bytes in base64url"},
      {"{\"keys\":[{" POINT(JWT_KEY_X "A", JWT_KEY_Y) "}]}", "keys[0]: x or y is not 32 bytes in base64url"},
      {"{\"keys\":[{" POINT(JWT_KEY_X, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") "}]}",
       "keys[0]: x or y is not 32 bytes in base64url"},
      {"{\"keys\":[{" POINT(JWT_KEY_X, "x/FEzRu9m36HLN/tue659LNpXW6pCyStikYjKIWI5a0") "}]}",
       "keys[0]: x or y is not 32 bytes in base64url"},
      {"{\"keys\":[{" POINT(JWT_KEY_X, JWT_OTHER_Y) "}]}", "keys[0]: the point is not on the curve"},
  };
  t2_keys keys;

  jwt_keys(&keys, JWT_KEY);
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    char detail[100] = "";
    assert_int_equal(from_text(&keys, cases[i].json, detail, sizeof(detail)), T2_ERR_INVALID);
    assert_string_equal(detail, cases[i].detail);
    assert_int_equal(keys.n, 1);
    assert_true(t2_es256_is_private(keys.list[0].key));
  }
  t2_keys_fini(&keys);
}

static void test_as_many_keys_as_can_be_live_are_read_and_one_more_is_refused(void **state) {
  uint8_t point[T2_P256_POINT_LEN];
  char detail[100];
  t2_keys keys;
  t2_buf jwks;

  t2_keys_init(&keys, NULL);
  t2_buf_init(&jwks, NULL);
  t2_buf_append_c(&jwks, "{\"keys\":[{" OURS "}");
  for (size_t i = 1; i <= T2_KEYS_MAX; i++) {
    size_t before = t2_buf_len(&jwks);
    t2_buf_append_c(&jwks, "]}");
    assert_int_equal(t2_keys_from_jwks(&keys, (char *)t2_buf_head(&jwks), t2_buf_len(&jwks), NULL, 0), 0);
    assert_int_equal(keys.n, i);
    jwks.end = jwks.off + before;
    t2_es256_key *key = new_key();
    t2_es256_point(key, point);
    t2_es256_free(key);
    t2_buf_append_c(&jwks, ",{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
    t2_base64url_encode(&jwks, point, 32);
    t2_buf_append_c(&jwks, "\",\"y\":\"");
    t2_base64url_encode(&jwks, point + 32, 32);
    t2_buf_append_c(&jwks, "\"}");
  }
  t2_buf_append_c(&jwks, "]}");
  assert_int_equal(
      t2_keys_from_jwks(&keys, (char *)t2_buf_head(&jwks), t2_buf_len(&jwks), detail, sizeof(detail)),
      T2_ERR_INVALID);
  assert_string_equal(detail, "keys[4]: there are more keys than can be live at once");
  assert_int_equal(keys.n, T2_KEYS_MAX);
  t2_keys_fini(&keys);
  t2_buf_fini(&jwks);
}

static void test_a_set_up_to_its_bound(void **state) {
  static const char set[] = "{\"keys\":[{" OURS "}]}";
  static char text[T2_JWKS_MAX + 1];
  char detail[100];
  t2_keys keys;

  t2_keys_init(&keys, NULL);
  memset(text, ' ', sizeof(text));
  memcpy(text + 100, set, sizeof(set) - 1);
  assert_int_equal(t2_keys_from_jwks(&keys, text, T2_JWKS_MAX, NULL, 0), 0);
  assert_int_equal(t2_keys_from_jwks(&keys, text, T2_JWKS_MAX + 1, detail, sizeof(detail)), T2_ERR_INVALID);
  assert_string_equal(detail, "longer than 8192 bytes");
  t2_keys_fini(&keys);
}

/* ---- Without memory ---- */

static int add_other(t2_keys *keys) {
  t2_es256_key *key;
  int r = t2_es256_from_pem(keys->mem, JWT_OTHER_KEY, strlen(JWT_OTHER_KEY), &key);

  if (r) return r;
  r = t2_keys_add(keys, key);
  if (r) t2_es256_free(key);
  return r;
}

static void read_add_and_write(t2_test_mem *mem, void *user) {
  char detail[100] = "";
  t2_keys keys;
  t2_buf jwks;

  t2_keys_init(&keys, &mem->hook);
  t2_buf_init(&jwks, &mem->hook);
  int r = from_text(&keys, "{\"keys\":[{" OURS "}]}", detail, sizeof(detail));
  assert_int_equal(keys.n, r ? 0 : 1);
  if (r) assert_string_equal(detail, "out of memory");
  if (r == 0) r = add_other(&keys);
  if (r == 0) r = t2_keys_to_jwks(&keys, &jwks);
  assert_int_equal(r, mem->failed ? T2_ERR_NOMEM : 0);
  t2_keys_fini(&keys);
  t2_buf_fini(&jwks);
}

static void test_without_memory_the_set_is_unchanged_and_nothing_leaks(void **state) {
  assert_true(t2_test_mem_fail_each(read_add_and_write, NULL) >= 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_thumbprints_are_those_of_rfc_7638),
      cmocka_unit_test(test_a_key_is_found_by_its_kid_alone),
      cmocka_unit_test(test_the_newest_is_first_and_the_oldest_falls_out),
      cmocka_unit_test(test_the_same_key_twice_is_a_conflict),
      cmocka_unit_test(test_a_set_is_published_without_its_secrets),
      cmocka_unit_test(test_a_published_set_comes_back_in_order),
      cmocka_unit_test(test_keys_of_other_kinds_are_passed_over),
      cmocka_unit_test(test_the_kid_may_be_absent_or_the_thumbprint_and_twice_is_once),
      cmocka_unit_test(test_a_broken_set_changes_nothing_and_says_where),
      cmocka_unit_test(test_as_many_keys_as_can_be_live_are_read_and_one_more_is_refused),
      cmocka_unit_test(test_a_set_up_to_its_bound),
      cmocka_unit_test(test_without_memory_the_set_is_unchanged_and_nothing_leaks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
