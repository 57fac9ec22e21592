/* mbedTLS 2.28 and 3.6 under one name: the only file that knows the difference. It stands before any header
 * of mbedTLS, since 3.x hides the members of its structs unless it is told otherwise first. */
#ifndef T2_WIRE_MBEDTLS_COMPAT_H
#define T2_WIRE_MBEDTLS_COMPAT_H

#if defined(MBEDTLS_PRIVATE_ACCESS_H) && !defined(MBEDTLS_ALLOW_PRIVATE_ACCESS)
#error "include <wire/mbedtls_compat.h> before any <mbedtls/...>"
#endif
#ifndef MBEDTLS_ALLOW_PRIVATE_ACCESS
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#endif

#include <base/random.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER < 0x021C0000
#error "mbedTLS 2.28 or newer is needed"
#endif
#define T2_MBEDTLS_3 (MBEDTLS_VERSION_NUMBER >= 0x03000000)

#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>

/* An f_rng over the system's source: it has no state, so nothing is seeded, shared or freed. */
static inline int t2_mbedtls_random(void *unused, unsigned char *out, size_t n) {
  (void)unused;
  t2_random_bytes(out, n);
  return 0;
}

static inline int t2_mbedtls_sha1(const unsigned char *bytes, size_t n, unsigned char out[20]) {
#if T2_MBEDTLS_3
  return mbedtls_sha1(bytes, n, out);
#else
  return mbedtls_sha1_ret(bytes, n, out);
#endif
}

static inline int t2_mbedtls_sha256(const unsigned char *bytes, size_t n, unsigned char out[32]) {
#if T2_MBEDTLS_3
  return mbedtls_sha256(bytes, n, out, 0);
#else
  return mbedtls_sha256_ret(bytes, n, out, 0);
#endif
}

static inline int t2_mbedtls_pbkdf2_sha256(const unsigned char *password, size_t n, const unsigned char *salt,
                                           size_t salt_n, unsigned rounds, unsigned char *out,
                                           uint32_t out_n) {
#if T2_MBEDTLS_3
  return mbedtls_pkcs5_pbkdf2_hmac_ext(MBEDTLS_MD_SHA256, password, n, salt, salt_n, rounds, out_n, out);
#else
  mbedtls_md_context_t md;
  mbedtls_md_init(&md);
  int err = mbedtls_md_setup(&md, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1);
  if (err == 0) err = mbedtls_pkcs5_pbkdf2_hmac(&md, password, n, salt, salt_n, rounds, out_n, out);
  mbedtls_md_free(&md);
  return err;
#endif
}

/* A private key without a password; for PEM, n counts a NUL at the end. */
static inline int t2_mbedtls_pk_parse_key(mbedtls_pk_context *pk, const unsigned char *bytes, size_t n) {
#if T2_MBEDTLS_3
  return mbedtls_pk_parse_key(pk, bytes, n, NULL, 0, t2_mbedtls_random, NULL);
#else
  return mbedtls_pk_parse_key(pk, bytes, n, NULL, 0);
#endif
}

/* Is the private key the one of this public key? 0 if so. */
static inline int t2_mbedtls_pk_check_pair(const mbedtls_pk_context *pub, const mbedtls_pk_context *key) {
#if T2_MBEDTLS_3
  return mbedtls_pk_check_pair(pub, key, t2_mbedtls_random, NULL);
#else
  return mbedtls_pk_check_pair(pub, key);
#endif
}

#endif
