/* The set of ticket keys: signed with the newest, verified with any live one; published as a JWKS (RFC 7517).
 */
#ifndef T2_WIRE_KEYS_H
#define T2_WIRE_KEYS_H

#include <wire/crypto.h>

#define T2_KEYS_MAX 4    /* in one set; two are live in a rotation */
#define T2_KID_LEN  43   /* base64url of the RFC 7638 SHA-256 thumbprint */
#define T2_JWKS_MAX 8192 /* bytes of JSON accepted */

typedef struct t2_keys {
  const t2_allocator *mem;
  struct {
    char kid[T2_KID_LEN + 1];
    t2_es256_key *key;
  } list[T2_KEYS_MAX]; /* newest first */
  size_t n;
} t2_keys;

void t2_keys_init(t2_keys *keys, const t2_allocator *mem);
/* Frees the keys; the set is empty afterwards. */
void t2_keys_fini(t2_keys *keys);
/* Takes key over as the newest; the oldest falls out past T2_KEYS_MAX. The kid is its thumbprint. 0;
 * T2_ERR_CONFLICT when the set has this key, or T2_ERR_NOMEM (key then still belongs to the caller). */
int t2_keys_add(t2_keys *keys, t2_es256_key *key);
/* Keeps the newest n. */
void t2_keys_trim(t2_keys *keys, size_t n);
/* The key, which still belongs to the set, or NULL. */
t2_es256_key *t2_keys_find(const t2_keys *keys, t2_str kid);
/* Appends {"keys":[...]} with the public parts: 0 or T2_ERR_NOMEM. */
int t2_keys_to_jwks(const t2_keys *keys, t2_buf *out);
/* Replaces the set by a JWKS's usable keys (kty EC, crv P-256, use sig or absent, alg ES256 or absent, kid
 * the thumbprint or absent), newest first; others are skipped, and one that stands twice counts once. On
 * failure (T2_ERR_INVALID with what and where in detail: no such JSON, a broken key of that kind, none at all
 * or more than T2_KEYS_MAX; T2_ERR_NOMEM) the set is unchanged. */
int t2_keys_from_jwks(t2_keys *keys, const char *json, size_t n, char *detail, size_t detail_size);
/* The RFC 7638 thumbprint of x || y: 0 or T2_ERR_NOMEM. */
int t2_p256_thumbprint(const t2_allocator *mem, const uint8_t point[T2_P256_POINT_LEN],
                       char kid[T2_KID_LEN + 1]);

#endif
