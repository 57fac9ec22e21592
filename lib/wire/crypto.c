#include <wire/crypto.h>

#include <wire/mbedtls_compat.h>

#include <stdlib.h>
#include <tunnel2/error.h>

#define SCALAR_LEN (T2_P256_POINT_LEN / 2)
/* The name of both forms begins so: "EC PRIVATE KEY", "PRIVATE KEY". */
#define PEM_BEGIN "-----BEGIN "

/* The parts of an ECDSA key. The group belongs to the key because mbedTLS keeps its table of multiples of the
 * generator there, which makes all but the first signature and check faster. */
struct t2_es256_key {
  const t2_allocator *mem;
  mbedtls_ecp_group group;
  mbedtls_ecp_point point;
  mbedtls_mpi secret; /* 0 in a public key */
};

/* mbedTLS adds the error of a low-level module (seven bits) to that of the module above it. */
static bool out_of_memory(int err) {
  int low = -(-err & 0x7f), high = -(-err & ~0x7f);

  return low == MBEDTLS_ERR_MPI_ALLOC_FAILED || low == MBEDTLS_ERR_ASN1_ALLOC_FAILED ||
         high == MBEDTLS_ERR_ECP_ALLOC_FAILED || high == MBEDTLS_ERR_PK_ALLOC_FAILED ||
         high == MBEDTLS_ERR_PEM_ALLOC_FAILED;
}

/* Errors about memory are told apart; all others become `otherwise`. */
static int map_error(int err, int otherwise) {
  if (err == 0) return 0;
  return out_of_memory(err) ? T2_ERR_NOMEM : otherwise;
}

void t2_es256_free(t2_es256_key *key) {
  if (!key) return;
  mbedtls_ecp_group_free(&key->group);
  mbedtls_ecp_point_free(&key->point);
  mbedtls_mpi_free(&key->secret);
  t2_free(key->mem, key);
}

static t2_es256_key *key_new(const t2_allocator *mem) {
  t2_es256_key *key = t2_calloc(mem, 1, sizeof(*key));

  if (!key) return NULL;
  key->mem = mem;
  mbedtls_ecp_group_init(&key->group);
  mbedtls_ecp_point_init(&key->point);
  mbedtls_mpi_init(&key->secret);
  if (mbedtls_ecp_group_load(&key->group, MBEDTLS_ECP_DP_SECP256R1) == 0) return key;
  t2_es256_free(key);
  return NULL;
}

/* Hands the key out, or frees it when making it failed. */
static int key_made(t2_es256_key *made, int r, t2_es256_key **key) {
  *key = r ? NULL : made;
  if (r) t2_es256_free(made);
  return r;
}

int t2_es256_generate(const t2_allocator *mem, t2_es256_key **key) {
  t2_es256_key *made = key_new(mem);

  *key = NULL;
  if (!made) return T2_ERR_NOMEM;
  int err = mbedtls_ecp_gen_keypair(&made->group, &made->secret, &made->point, t2_mbedtls_random, NULL);
  return key_made(made, err ? T2_ERR_NOMEM : 0, key);
}

int t2_es256_from_point(const t2_allocator *mem, const uint8_t point[T2_P256_POINT_LEN], t2_es256_key **key) {
  uint8_t bytes[1 + T2_P256_POINT_LEN] = {0x04}; /* uncompressed (SEC 1, 2.3.4) */
  t2_es256_key *made = key_new(mem);

  *key = NULL;
  if (!made) return T2_ERR_NOMEM;
  memcpy(bytes + 1, point, T2_P256_POINT_LEN);
  int err = mbedtls_ecp_point_read_binary(&made->group, &made->point, bytes, sizeof(bytes));
  if (err == 0) err = mbedtls_ecp_check_pubkey(&made->group, &made->point);
  return key_made(made, map_error(err, T2_ERR_INVALID), key);
}

/* The public part is computed, not taken from the file: a file whose parts do not belong together would give
 * away the secret with its first signatures. */
static int take_secret(t2_es256_key *key, const mbedtls_pk_context *pk) {
  if (mbedtls_pk_get_type(pk) != MBEDTLS_PK_ECKEY) return T2_ERR_INVALID;
  const mbedtls_ecp_keypair *pair = mbedtls_pk_ec(*pk);
  if (pair->grp.id != MBEDTLS_ECP_DP_SECP256R1) return T2_ERR_INVALID;
  int err = mbedtls_ecp_check_privkey(&key->group, &pair->d);
  if (err == 0) err = mbedtls_mpi_copy(&key->secret, &pair->d);
  if (err == 0)
    err = mbedtls_ecp_mul(&key->group, &key->point, &key->secret, &key->group.G, t2_mbedtls_random, NULL);
  return map_error(err, T2_ERR_INVALID);
}

/* mbedTLS would try anything else as DER, and read up to a NUL. */
static bool is_pem(const char *text, size_t n) {
  return n > 0 && n <= T2_ES256_PEM_MAX && !memchr(text, '\0', n) &&
         memmem(text, n, PEM_BEGIN, strlen(PEM_BEGIN));
}

int t2_es256_from_pem(const t2_allocator *mem, const char *pem, size_t n, t2_es256_key **key) {
  mbedtls_pk_context pk;

  *key = NULL;
  if (!is_pem(pem, n)) return T2_ERR_INVALID;
  char *text = t2_strndup(mem, pem, n); /* mbedTLS wants the NUL */
  t2_es256_key *made = text ? key_new(mem) : NULL;
  int r = T2_ERR_NOMEM;
  if (made) {
    mbedtls_pk_init(&pk);
    r = map_error(t2_mbedtls_pk_parse_key(&pk, (unsigned char *)text, strlen(text) + 1), T2_ERR_INVALID);
    if (r == 0) r = take_secret(made, &pk);
    mbedtls_pk_free(&pk);
  }
  if (text) t2_memzero(text, strlen(text));
  t2_free(mem, text);
  return key_made(made, r, key);
}

/* Fills pk with a copy of the key. */
static int to_pk(const t2_es256_key *key, mbedtls_pk_context *pk) {
  int err = mbedtls_pk_setup(pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
  if (err) return err;
  mbedtls_ecp_keypair *pair = mbedtls_pk_ec(*pk);
  err = mbedtls_ecp_group_load(&pair->grp, MBEDTLS_ECP_DP_SECP256R1);
  if (err == 0) err = mbedtls_mpi_copy(&pair->d, &key->secret);
  return err ? err : mbedtls_ecp_copy(&pair->Q, &key->point);
}

int t2_es256_to_pem(const t2_es256_key *key, t2_buf *out) {
  unsigned char pem[512]; /* 227 bytes are used */
  mbedtls_pk_context pk;

  if (!t2_es256_is_private(key)) return T2_ERR_STATE;
  mbedtls_pk_init(&pk);
  int err = to_pk(key, &pk);
  if (err == 0) err = mbedtls_pk_write_key_pem(&pk, pem, sizeof(pem));
  mbedtls_pk_free(&pk);
  int r = err ? T2_ERR_NOMEM : t2_buf_append_c(out, (char *)pem);
  t2_memzero(pem, sizeof(pem));
  return r;
}

void t2_es256_point(const t2_es256_key *key, uint8_t point[T2_P256_POINT_LEN]) {
  /* Cannot fail: both are below 2^256, checked when the key was made. */
  (void)mbedtls_mpi_write_binary(&key->point.X, point, SCALAR_LEN);
  (void)mbedtls_mpi_write_binary(&key->point.Y, point + SCALAR_LEN, SCALAR_LEN);
}

bool t2_es256_is_private(const t2_es256_key *key) {
  return mbedtls_mpi_cmp_int(&key->secret, 0) != 0;
}

int t2_es256_sign(t2_es256_key *key, const void *bytes, size_t n, uint8_t sig[T2_ES256_SIG_LEN]) {
  uint8_t hash[T2_SHA256_LEN];
  mbedtls_mpi r, s;

  if (!t2_es256_is_private(key)) return T2_ERR_STATE;
  t2_sha256(bytes, n, hash);
  mbedtls_mpi_init(&r);
  mbedtls_mpi_init(&s);
  /* Random numbers here only blind the computation; none is in the signature (RFC 8725, 3.2). */
  int err = mbedtls_ecdsa_sign_det_ext(&key->group, &r, &s, &key->secret, hash, sizeof(hash),
                                       MBEDTLS_MD_SHA256, t2_mbedtls_random, NULL);
  if (err == 0) err = mbedtls_mpi_write_binary(&r, sig, SCALAR_LEN);
  if (err == 0) err = mbedtls_mpi_write_binary(&s, sig + SCALAR_LEN, SCALAR_LEN);
  mbedtls_mpi_free(&r);
  mbedtls_mpi_free(&s);
  return err ? T2_ERR_NOMEM : 0;
}

int t2_es256_verify(t2_es256_key *key, const void *bytes, size_t n, const uint8_t sig[T2_ES256_SIG_LEN]) {
  uint8_t hash[T2_SHA256_LEN];
  mbedtls_mpi r, s;

  t2_sha256(bytes, n, hash);
  mbedtls_mpi_init(&r);
  mbedtls_mpi_init(&s);
  int err = mbedtls_mpi_read_binary(&r, sig, SCALAR_LEN);
  if (err == 0) err = mbedtls_mpi_read_binary(&s, sig + SCALAR_LEN, SCALAR_LEN);
  /* Refuses r and s outside [1, n - 1] itself. */
  if (err == 0) err = mbedtls_ecdsa_verify(&key->group, hash, sizeof(hash), &key->point, &r, &s);
  mbedtls_mpi_free(&r);
  mbedtls_mpi_free(&s);
  return map_error(err, T2_ERR_AUTH);
}

void t2_sha1(const void *bytes, size_t n, uint8_t out[T2_SHA1_LEN]) {
  if (t2_mbedtls_sha1(bytes, n, out)) abort();
}

void t2_sha256(const void *bytes, size_t n, uint8_t out[T2_SHA256_LEN]) {
  /* It has no way to fail in software; a hash that is not one must never be compared with. */
  if (t2_mbedtls_sha256(bytes, n, out)) abort();
}

int t2_pbkdf2_sha256(const void *password, size_t n, const void *salt, size_t salt_n, uint32_t rounds,
                     uint8_t out[T2_SHA256_LEN]) {
  return t2_mbedtls_pbkdf2_sha256(password, n, salt, salt_n, rounds, out, T2_SHA256_LEN) ? T2_ERR_NOMEM : 0;
}

bool t2_secret_eq(const void *a, const void *b, size_t n) {
  const volatile uint8_t *x = a, *y = b;
  uint8_t differ = 0;

  for (size_t i = 0; i < n; i++)
    differ |= x[i] ^ y[i];
  return differ == 0;
}
