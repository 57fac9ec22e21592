/* The few primitives of tickets and tokens, over mbedTLS's crypto library; what differs between its 2.28
 * and 3.6 stands in mbedtls_compat.h alone. No I/O but the system's random source. One thread at a time for
 * one key. */
#ifndef T2_WIRE_CRYPTO_H
#define T2_WIRE_CRYPTO_H

#include <base/buf.h>

#define T2_SHA256_LEN     32
#define T2_ES256_SIG_LEN  64    /* r || s (RFC 7518, 3.4) */
#define T2_P256_POINT_LEN 64    /* x || y */
#define T2_ES256_PEM_MAX  16384 /* bytes of PEM accepted */

/* An ECDSA key on P-256: public, or with its private part. */
typedef struct t2_es256_key t2_es256_key;

/* 0 or T2_ERR_NOMEM. */
int t2_es256_generate(const t2_allocator *mem, t2_es256_key **key);
/* From x || y, checked to be on the curve: 0, T2_ERR_INVALID or T2_ERR_NOMEM. */
int t2_es256_from_point(const t2_allocator *mem, const uint8_t point[T2_P256_POINT_LEN], t2_es256_key **key);
/* From a PEM file's bytes (SEC1 or PKCS#8 private key, without a password): 0, T2_ERR_INVALID when it is none
 * or not on P-256, T2_ERR_NOMEM. */
int t2_es256_from_pem(const t2_allocator *mem, const char *pem, size_t n, t2_es256_key **key);
/* Appends the private key as PEM (SEC1): 0, T2_ERR_STATE without a private part, T2_ERR_NOMEM. */
int t2_es256_to_pem(const t2_es256_key *key, t2_buf *out);
void t2_es256_point(const t2_es256_key *key, uint8_t point[T2_P256_POINT_LEN]);
bool t2_es256_is_private(const t2_es256_key *key);
void t2_es256_free(t2_es256_key *key);
/* Signs SHA-256(bytes), deterministically (RFC 6979): 0, T2_ERR_STATE without a private part, T2_ERR_NOMEM.
 */
int t2_es256_sign(t2_es256_key *key, const void *bytes, size_t n, uint8_t sig[T2_ES256_SIG_LEN]);
/* 0, T2_ERR_AUTH when the signature is not of these bytes, or T2_ERR_NOMEM. Of the two signatures (r, s) and
 * (r, n - s) both are good, as in RFC 7518: a signature is no identifier. */
int t2_es256_verify(t2_es256_key *key, const void *bytes, size_t n, const uint8_t sig[T2_ES256_SIG_LEN]);

/* SHA-1, for where a protocol has it and nothing rests on it (RFC 6455, 4.2.2). */
#define T2_SHA1_LEN 20
void t2_sha1(const void *bytes, size_t n, uint8_t out[T2_SHA1_LEN]);
void t2_sha256(const void *bytes, size_t n, uint8_t out[T2_SHA256_LEN]);
/* PBKDF2-HMAC-SHA256 (RFC 8018, 5.2): 0 or T2_ERR_NOMEM. */
int t2_pbkdf2_sha256(const void *password, size_t n, const void *salt, size_t salt_n, uint32_t rounds,
                     uint8_t out[T2_SHA256_LEN]);
/* In a time that does not tell where they differ. */
bool t2_secret_eq(const void *a, const void *b, size_t n);

#endif
