#include <net/certificate.h>

#include <net/mbedtls_compat.h>

#include <base/file.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <net/address.h>
#include <stdio.h>
#include <time.h>
#include <tunnel2/error.h>

#define PEM_MAX         8192
#define SAN_MAX         2048 /* bytes of all names together */
#define COMMON_NAME_MAX 64   /* RFC 5280, A.1: ub-common-name */
#define DAYS_MAX        36500
#define SERIAL_LEN      16
#define DAY_SECONDS     (24 * 60 * 60)
#define BACKDATED       (60 * 60) /* seconds, for clocks that are behind */

/* GeneralName's choices (RFC 5280, 4.2.1.6). */
#define SAN_DNS     (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2)
#define SAN_ADDRESS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

/* What mbedTLS has no memory for ends as that; the rest is about what it was given. */
static int map_error(int err) {
  switch (err) {
  case 0:
    return 0;
  case MBEDTLS_ERR_X509_ALLOC_FAILED:
  case MBEDTLS_ERR_ASN1_ALLOC_FAILED:
  case MBEDTLS_ERR_MPI_ALLOC_FAILED:
  case MBEDTLS_ERR_PK_ALLOC_FAILED:
    return T2_ERR_NOMEM;
  default:
    return T2_ERR_INVALID;
  }
}

/* ---- Keys ---- */

static int make_key(mbedtls_pk_context *key) {
  int err = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));

  if (err) return err;
  return mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), t2_mbedtls_random, NULL);
}

static int append_key(mbedtls_pk_context *key, t2_buf *out) {
  unsigned char pem[PEM_MAX];
  int err = mbedtls_pk_write_key_pem(key, pem, sizeof(pem));

  err = err ? map_error(err) : t2_buf_append_c(out, (const char *)pem);
  t2_memzero(pem, sizeof(pem));
  return err;
}

/* ---- What a certificate says ---- */

/* Can it stand in "CN=..." as it is? */
static bool plain_name(const char *name) {
  size_t n = strlen(name);

  for (size_t i = 0; i < n; i++)
    if (name[i] < ' ' || name[i] > '~' || strchr(",+\"\\<>;=#", name[i])) return false;
  return n > 0 && n <= COMMON_NAME_MAX && name[0] != ' ' && name[n - 1] != ' ';
}

static int set_subject(mbedtls_x509write_cert *cert, const char *common_name) {
  char subject[COMMON_NAME_MAX + sizeof("CN=")];

  if (!plain_name(common_name)) return MBEDTLS_ERR_X509_INVALID_NAME;
  snprintf(subject, sizeof(subject), "CN=%s", common_name);
  return mbedtls_x509write_crt_set_subject_name(cert, subject);
}

static void format_time(int64_t seconds, char out[sizeof("YYYYMMDDhhmmss")]) {
  time_t t = (time_t)seconds;
  struct tm tm;

  gmtime_r(&t, &tm);
  strftime(out, sizeof("YYYYMMDDhhmmss"), "%Y%m%d%H%M%S", &tm);
}

static int set_validity(mbedtls_x509write_cert *cert, unsigned days) {
  char from[sizeof("YYYYMMDDhhmmss")], until[sizeof(from)];
  int64_t start = t2_clock_wall_ms() / 1000 - BACKDATED;

  format_time(start, from);
  format_time(start + (int64_t)(days < DAYS_MAX ? days : DAYS_MAX) * DAY_SECONDS, until);
  return mbedtls_x509write_crt_set_validity(cert, from, until);
}

static int set_serial(mbedtls_x509write_cert *cert) {
  unsigned char serial[SERIAL_LEN];

  t2_random_bytes(serial, sizeof(serial));
  serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of one length (RFC 5280, 4.1.2.2) */
  return t2_mbedtls_set_serial(cert, serial, sizeof(serial));
}

/* Writes one GeneralName in front of *at. The length, or an error. */
static int write_name(unsigned char **at, unsigned char *start, const char *name) {
  const unsigned char *bytes = (const unsigned char *)name;
  size_t n = strlen(name);
  unsigned char tag = SAN_DNS;
  t2_address address;

  if (t2_address_parse(&address, t2_str_c(name), 0) == 0) {
    bool v4 = address.any.sa_family == AF_INET;
    bytes = v4 ? (unsigned char *)&address.in.sin_addr : address.in6.sin6_addr.s6_addr;
    n = v4 ? sizeof(address.in.sin_addr) : sizeof(address.in6.sin6_addr);
    tag = SAN_ADDRESS;
  }
  int body = mbedtls_asn1_write_raw_buffer(at, start, bytes, n);
  int len = body < 0 ? body : mbedtls_asn1_write_len(at, start, n);
  int head = len < 0 ? len : mbedtls_asn1_write_tag(at, start, tag);
  return head < 0 ? head : body + len + head;
}

/* Wraps the `len` bytes behind *at in a SEQUENCE. The whole length, or an error. */
static int write_sequence(unsigned char **at, unsigned char *start, int len) {
  int head = mbedtls_asn1_write_len(at, start, (size_t)len);

  if (head < 0) return head;
  int tag = mbedtls_asn1_write_tag(at, start, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
  return tag < 0 ? tag : len + head + tag;
}

/* mbedTLS 2.28 has no writer for it. */
static int set_names(mbedtls_x509write_cert *cert, const char *const *names, size_t count) {
  unsigned char buf[SAN_MAX] = {0}, *at = buf + sizeof(buf);
  int len = 0;

  while (count--) {
    int n = write_name(&at, buf, names[count]);
    if (n < 0) return n;
    len += n;
  }
  len = write_sequence(&at, buf, len);
  if (len < 0) return len;
  return mbedtls_x509write_crt_set_extension(
      cert, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, at, (size_t)len);
}

/* Nor for this one: extended key usage, for TLS servers alone. */
static int set_server_auth(mbedtls_x509write_cert *cert) {
  unsigned char buf[32] = {0}, *at = buf + sizeof(buf);
  int len =
      mbedtls_asn1_write_oid(&at, buf, MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH));

  if (len >= 0) len = write_sequence(&at, buf, len);
  if (len < 0) return len;
  return mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                             MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0, at,
                                             (size_t)len);
}

/* What certificates of both kinds say; subject and issuer keys are set already. */
static int set_common(mbedtls_x509write_cert *cert, unsigned days) {
  mbedtls_x509write_crt_set_version(cert, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(cert, MBEDTLS_MD_SHA256);
  int err = set_serial(cert);
  if (err == 0) err = set_validity(cert, days);
  if (err == 0) err = mbedtls_x509write_crt_set_subject_key_identifier(cert);
  if (err == 0) err = mbedtls_x509write_crt_set_authority_key_identifier(cert);
  return err;
}

static int append_certificate(mbedtls_x509write_cert *cert, t2_buf *out) {
  unsigned char pem[PEM_MAX];
  int err = mbedtls_x509write_crt_pem(cert, pem, sizeof(pem), t2_mbedtls_random, NULL);

  return err ? map_error(err) : t2_buf_append_c(out, (const char *)pem);
}

/* ---- The authority ---- */

static int write_ca(mbedtls_x509write_cert *cert, mbedtls_pk_context *key, const char *common_name,
                    unsigned days) {
  char issuer[COMMON_NAME_MAX + sizeof("CN=")];

  mbedtls_x509write_crt_set_subject_key(cert, key);
  mbedtls_x509write_crt_set_issuer_key(cert, key);
  int err = set_subject(cert, common_name);
  if (err) return err;
  snprintf(issuer, sizeof(issuer), "CN=%s", common_name);
  err = mbedtls_x509write_crt_set_issuer_name(cert, issuer);
  if (err == 0) err = set_common(cert, days);
  if (err == 0) err = mbedtls_x509write_crt_set_basic_constraints(cert, 1, 0);
  if (err == 0)
    err = mbedtls_x509write_crt_set_key_usage(cert, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN);
  return err;
}

int t2_certificate_make_ca(const t2_allocator *mem, const char *common_name, unsigned days, t2_buf *cert_pem,
                           t2_buf *key_pem) {
  mbedtls_x509write_cert cert;
  mbedtls_pk_context key;

  (void)mem;
  mbedtls_x509write_crt_init(&cert);
  mbedtls_pk_init(&key);
  int err = t2_mbedtls_start();
  if (err == 0) err = make_key(&key);
  if (err == 0) err = write_ca(&cert, &key, common_name, days);
  err = map_error(err);
  if (err == 0) err = append_certificate(&cert, cert_pem);
  if (err == 0) err = append_key(&key, key_pem);
  mbedtls_x509write_crt_free(&cert);
  mbedtls_pk_free(&key);
  return err;
}

/* ---- A server ---- */

typedef struct issuer {
  mbedtls_x509_crt cert;
  mbedtls_pk_context key;
} issuer;

static int parse_issuer(issuer *ca, const char *cert_pem, const char *key_pem) {
  int err = mbedtls_x509_crt_parse(&ca->cert, (const unsigned char *)cert_pem, strlen(cert_pem) + 1);

  if (err == 0) err = t2_mbedtls_pk_parse_key(&ca->key, (const unsigned char *)key_pem, strlen(key_pem) + 1);
  return err ? err : t2_mbedtls_pk_check_pair(&ca->cert.pk, &ca->key);
}

static int write_server(mbedtls_x509write_cert *cert, mbedtls_pk_context *key, issuer *ca,
                        const char *const *names, size_t name_count, unsigned days) {
  char issuer_name[512];

  mbedtls_x509write_crt_set_subject_key(cert, key);
  mbedtls_x509write_crt_set_issuer_key(cert, &ca->key);
  int len = mbedtls_x509_dn_gets(issuer_name, sizeof(issuer_name), &ca->cert.subject);
  int err = len < 0 ? len : mbedtls_x509write_crt_set_issuer_name(cert, issuer_name);
  if (err == 0) err = set_subject(cert, names[0]);
  if (err == 0) err = set_common(cert, days);
  if (err == 0) err = mbedtls_x509write_crt_set_basic_constraints(cert, 0, -1);
  if (err == 0) err = mbedtls_x509write_crt_set_key_usage(cert, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
  if (err == 0) err = set_server_auth(cert);
  if (err == 0) err = set_names(cert, names, name_count);
  return err;
}

int t2_certificate_issue(const t2_allocator *mem, const char *ca_cert_pem, const char *ca_key_pem,
                         const char *const *names, size_t name_count, unsigned days, t2_buf *cert_pem,
                         t2_buf *key_pem) {
  mbedtls_x509write_cert cert;
  mbedtls_pk_context key;
  issuer ca;

  (void)mem;
  if (name_count == 0) return T2_ERR_INVALID;
  mbedtls_x509_crt_init(&ca.cert);
  mbedtls_pk_init(&ca.key);
  mbedtls_x509write_crt_init(&cert);
  mbedtls_pk_init(&key);
  int err = t2_mbedtls_start();
  if (err == 0) err = parse_issuer(&ca, ca_cert_pem, ca_key_pem);
  if (err == 0) err = make_key(&key);
  if (err == 0) err = write_server(&cert, &key, &ca, names, name_count, days);
  err = map_error(err);
  if (err == 0) err = append_certificate(&cert, cert_pem);
  if (err == 0) err = append_key(&key, key_pem);
  mbedtls_x509write_crt_free(&cert);
  mbedtls_pk_free(&key);
  mbedtls_x509_crt_free(&ca.cert);
  mbedtls_pk_free(&ca.key);
  return err;
}
