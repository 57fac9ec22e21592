/* JWTs of any content for the tests of wire: with the keys of RFC 6979, A.2.5, and RFC 7515, A.3. */
#ifndef T2_TEST_JWT_H
#define T2_TEST_JWT_H

#include <t2_test_mem.h>

#include <base/base64.h>
#include <wire/keys.h>

#define JWT_KEY                                                                                              \
  "-----BEGIN EC PRIVATE KEY-----\n"                                                                         \
  "MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"                                       \
  "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8\n"                                       \
  "maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"                                                                   \
  "-----END EC PRIVATE KEY-----\n"
#define JWT_KEY_X "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y"
#define JWT_KEY_Y "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"
#define JWT_KID   "DOvxvJiAdIqVWIkFt5hDtCunXLF0BV4-JGv4f-ALSm0"

#define JWT_OTHER_KEY                                                                                        \
  "-----BEGIN EC PRIVATE KEY-----\n"                                                                         \
  "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n"                                       \
  "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n"                                       \
  "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"                                                                   \
  "-----END EC PRIVATE KEY-----\n"
#define JWT_OTHER_X   "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define JWT_OTHER_Y   "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define JWT_OTHER_KID "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"

static inline t2_es256_key *jwt_key(const t2_allocator *mem, const char *pem) {
  t2_es256_key *key;

  assert_int_equal(t2_es256_from_pem(mem, pem, strlen(pem), &key), 0);
  return key;
}

/* A set with that one key, which belongs to the set. */
static inline void jwt_keys(t2_keys *keys, const char *pem) {
  t2_keys_init(keys, NULL);
  assert_int_equal(t2_keys_add(keys, jwt_key(NULL, pem)), 0);
}

static inline t2_str jwt_text(const t2_buf *jwt) {
  return t2_str_of((const char *)t2_buf_head(jwt), t2_buf_len(jwt));
}

/* Puts header "." payload "." signature into jwt, as they are. */
static inline void jwt_make(t2_buf *jwt, t2_es256_key *key, t2_str header, t2_str payload) {
  uint8_t sig[T2_ES256_SIG_LEN];

  t2_buf_reset(jwt);
  t2_base64url_encode(jwt, header.p, header.n);
  t2_buf_append_byte(jwt, '.');
  t2_base64url_encode(jwt, payload.p, payload.n);
  assert_int_equal(t2_es256_sign(key, t2_buf_head(jwt), t2_buf_len(jwt), sig), 0);
  t2_buf_append_byte(jwt, '.');
  assert_int_equal(t2_base64url_encode(jwt, sig, sizeof(sig)), 0);
}

#endif
