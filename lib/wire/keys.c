#include <wire/keys.h>

#include <base/base64.h>
#include <tunnel2/error.h>
#include <wire/detail.h>
#include <wire/json.h>

#define COORDINATE_LEN (T2_P256_POINT_LEN / 2)

void t2_keys_init(t2_keys *keys, const t2_allocator *mem) {
  *keys = (t2_keys){.mem = mem};
}

void t2_keys_fini(t2_keys *keys) {
  t2_keys_trim(keys, 0);
}

void t2_keys_trim(t2_keys *keys, size_t n) {
  while (keys->n > n)
    t2_es256_free(keys->list[--keys->n].key);
}

t2_es256_key *t2_keys_find(const t2_keys *keys, t2_str kid) {
  for (size_t i = 0; i < keys->n; i++)
    if (t2_str_eq(kid, t2_str_of(keys->list[i].kid, T2_KID_LEN))) return keys->list[i].key;
  return NULL;
}

/* The members a thumbprint is made of, in its order (RFC 7638, 3.2); a JWK is these and more. */
static void append_members(t2_buf *out, const uint8_t point[T2_P256_POINT_LEN]) {
  t2_buf_append_c(out, "\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
  t2_base64url_encode(out, point, COORDINATE_LEN);
  t2_buf_append_c(out, "\",\"y\":\"");
  t2_base64url_encode(out, point + COORDINATE_LEN, COORDINATE_LEN);
  t2_buf_append_byte(out, '"');
}

int t2_p256_thumbprint(const t2_allocator *mem, const uint8_t point[T2_P256_POINT_LEN],
                       char kid[T2_KID_LEN + 1]) {
  uint8_t hash[T2_SHA256_LEN];
  t2_buf text;

  t2_buf_init(&text, mem);
  t2_buf_append_byte(&text, '{');
  append_members(&text, point);
  t2_buf_append_byte(&text, '}');
  if (!text.failed) {
    t2_sha256(t2_buf_head(&text), t2_buf_len(&text), hash);
    t2_buf_reset(&text);
    t2_base64url_encode(&text, hash, sizeof(hash));
  }
  bool failed = text.failed;
  if (!failed) memcpy(kid, t2_buf_head(&text), T2_KID_LEN);
  kid[failed ? 0 : T2_KID_LEN] = '\0';
  t2_buf_fini(&text);
  return failed ? T2_ERR_NOMEM : 0;
}

static int key_kid(const t2_keys *keys, const t2_es256_key *key, char kid[T2_KID_LEN + 1]) {
  uint8_t point[T2_P256_POINT_LEN];

  t2_es256_point(key, point);
  return t2_p256_thumbprint(keys->mem, point, kid);
}

static void insert_key(t2_keys *keys, size_t at, const char *kid, t2_es256_key *key) {
  memmove(&keys->list[at + 1], &keys->list[at], (keys->n - at) * sizeof(keys->list[0]));
  memcpy(keys->list[at].kid, kid, T2_KID_LEN + 1);
  keys->list[at].key = key;
  keys->n++;
}

int t2_keys_add(t2_keys *keys, t2_es256_key *key) {
  char kid[T2_KID_LEN + 1];
  int r = key_kid(keys, key, kid);

  if (r) return r;
  if (t2_keys_find(keys, t2_str_c(kid))) return T2_ERR_CONFLICT;
  t2_keys_trim(keys, T2_KEYS_MAX - 1);
  insert_key(keys, 0, kid, key);
  return 0;
}

int t2_keys_to_jwks(const t2_keys *keys, t2_buf *out) {
  uint8_t point[T2_P256_POINT_LEN];

  t2_buf_append_c(out, "{\"keys\":[");
  for (size_t i = 0; i < keys->n; i++) {
    t2_buf_append_c(out, i ? ",{" : "{");
    t2_es256_point(keys->list[i].key, point);
    append_members(out, point);
    t2_buf_printf(out, ",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"%s\"}", keys->list[i].kid);
  }
  return t2_buf_append_c(out, "]}");
}

/* ---- Reading a JWKS ---- */

/* Does the member have this value, or is it absent where that will do? */
static bool member_is(const json_t *jwk, const char *name, t2_str want, bool optional) {
  t2_str value;
  int r = t2_json_text(jwk, name, &value);

  return r == 1 ? t2_str_eq(value, want) : r == 0 && optional;
}

static bool is_es256_key(const json_t *jwk) {
  return member_is(jwk, "kty", T2_STR("EC"), false) && member_is(jwk, "crv", T2_STR("P-256"), false) &&
         member_is(jwk, "use", T2_STR("sig"), true) && member_is(jwk, "alg", T2_STR("ES256"), true);
}

static int read_coordinate(const json_t *jwk, const char *name, uint8_t *out) {
  t2_str text;
  size_t n;

  if (t2_json_text(jwk, name, &text) != 1) return T2_ERR_INVALID;
  /* RFC 7518, 6.2.1.2: always the full size of a coordinate. */
  if (t2_base64url_decode(text, out, COORDINATE_LEN, &n) || n != COORDINATE_LEN) return T2_ERR_INVALID;
  return 0;
}

/* Adds the jwk behind the others, unless it is none of ours. */
static int add_jwk(t2_keys *keys, const json_t *jwk, const char **wrong) {
  uint8_t point[T2_P256_POINT_LEN];
  char kid[T2_KID_LEN + 1];
  t2_es256_key *key;

  if (!is_es256_key(jwk)) return 0;
  *wrong = "x or y is not 32 bytes in base64url";
  if (read_coordinate(jwk, "x", point) || read_coordinate(jwk, "y", point + COORDINATE_LEN))
    return T2_ERR_INVALID;
  int r = t2_p256_thumbprint(keys->mem, point, kid);
  if (r) return r;
  if (!member_is(jwk, "kid", t2_str_c(kid), true) || t2_keys_find(keys, t2_str_c(kid))) return 0;
  *wrong = "there are more keys than can be live at once";
  if (keys->n == T2_KEYS_MAX) return T2_ERR_INVALID;
  *wrong = "the point is not on the curve";
  r = t2_es256_from_point(keys->mem, point, &key);
  if (r == 0) insert_key(keys, keys->n, kid, key);
  return r;
}

static int add_all(t2_keys *keys, const json_t *set, char *detail, size_t detail_size) {
  const json_t *list = json_object_get(set, "keys"), *jwk;
  const char *wrong = "";
  size_t i;

  if (!json_is_array(list)) return t2_detail(detail, detail_size, T2_ERR_INVALID, "\"keys\" is not an array");
  json_array_foreach(list, i, jwk) {
    int r = add_jwk(keys, jwk, &wrong);
    if (r == T2_ERR_INVALID) return t2_detail(detail, detail_size, r, "keys[%zu]: %s", i, wrong);
    if (r) return t2_detail(detail, detail_size, r, "out of memory");
  }
  if (keys->n) return 0;
  return t2_detail(detail, detail_size, T2_ERR_INVALID, "there is no ES256 key in the set");
}

int t2_keys_from_jwks(t2_keys *keys, const char *json, size_t n, char *detail, size_t detail_size) {
  t2_keys read;

  if (n > T2_JWKS_MAX)
    return t2_detail(detail, detail_size, T2_ERR_INVALID, "longer than %d bytes", T2_JWKS_MAX);
  json_t *set = t2_json_object(t2_str_of(json, n));
  if (!set)
    return t2_detail(detail, detail_size, T2_ERR_INVALID, "not a JSON object without duplicate names");
  t2_keys_init(&read, keys->mem);
  int r = add_all(&read, set, detail, detail_size);
  json_decref(set);
  if (r) {
    t2_keys_fini(&read);
    return r;
  }
  t2_keys_fini(keys);
  *keys = read;
  return 0;
}
