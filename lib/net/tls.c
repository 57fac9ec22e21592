#include <net/tls_internal.h>

#include <base/file.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"
#define FILE_MAX       (4 * 1024 * 1024) /* bytes of PEM; the system's authorities are a quarter of a MB */

/* ECDHE with AEAD. mbedTLS's ChaCha20-Poly1305 is faster than its AES-GCM even with AES-NI: 351 MB/s, AES-128
 * 254, AES-256 241 (2.28.3, records of 16 KiB). */
static const int suites[] = {T2_MBEDTLS_TLS13_SUITES MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                             0};

/* ---- Life ---- */

t2_tls *t2_tls_ref(t2_tls *tls) {
  tls->refs++;
  return tls;
}

void t2_tls_unref(t2_tls *tls) {
  if (--tls->refs) return;
  t2_tls_cache_clear(tls);
  mbedtls_ssl_config_free(&tls->conf);
  mbedtls_x509_crt_free(&tls->cert);
  if (tls->is_server) t2_tls_server_fini(tls);
  t2_free(tls->mem, tls->ca_file);
  t2_free(tls->mem, tls);
}

t2_tls *t2_tls_make(const t2_allocator *mem, bool is_server, const char *const *alpn) {
  t2_tls *tls = t2_calloc(mem, 1, sizeof(*tls));

  if (!tls) return NULL;
  tls->mem = mem;
  tls->refs = 1;
  tls->is_server = is_server;
  mbedtls_ssl_config_init(&tls->conf);
  mbedtls_x509_crt_init(&tls->cert);
  t2_tls_tickets_init(&tls->tickets, mem);
  t2_list_init(&tls->sessions);
  while (alpn && alpn[tls->alpn_count] && tls->alpn_count < T2_TLS_ALPN_MAX) {
    tls->alpn[tls->alpn_count] = alpn[tls->alpn_count];
    tls->alpn_count++;
  }
  tls->alpn_too_many = alpn && alpn[tls->alpn_count];
  return tls;
}

int t2_tls_made(t2_tls *made, int err, t2_tls **tls) {
  *tls = err ? NULL : made;
  if (err) t2_tls_unref(made);
  return err;
}

/* ---- Files ---- */

static int read_pem(const t2_allocator *mem, const char *file, t2_buf *pem, t2_tls_sentence say) {
  t2_buf_init(pem, mem);
  int err = t2_file_read(file, FILE_MAX, pem);
  if (err == 0 && !t2_buf_cstr(pem)) err = T2_ERR_NOMEM;
  if (err == 0) return 0;
  t2_buf_fini(pem);
  return t2_detail(say.detail, say.size, err, "%s cannot be read: %s", file, t2_strerror(err));
}

static void wipe_pem(t2_buf *pem) {
  if (pem->data) t2_memzero(pem->data, pem->cap);
  t2_buf_fini(pem);
}

/* mbedTLS wants to see the NUL behind PEM. */
static size_t pem_len(const t2_buf *pem) {
  return t2_buf_len(pem) + 1;
}

int t2_tls_load_certificates(t2_tls *tls, mbedtls_x509_crt *into, const char *file, bool all,
                             t2_tls_sentence say) {
  t2_buf pem;
  int err = read_pem(tls->mem, file, &pem, say);

  if (err) return err;
  int bad = mbedtls_x509_crt_parse(into, t2_buf_head(&pem), pem_len(&pem));
  wipe_pem(&pem); /* the key may be in the same file */
  if (bad == MBEDTLS_ERR_X509_ALLOC_FAILED)
    return t2_detail(say.detail, say.size, T2_ERR_NOMEM, "%s: out of memory", file);
  if (bad < 0 || !into->raw.p)
    return t2_detail(say.detail, say.size, T2_ERR_CERTIFICATE, "%s holds no certificate in PEM", file);
  if (bad > 0 && all)
    return t2_detail(say.detail, say.size, T2_ERR_CERTIFICATE, "%s: a certificate cannot be read", file);
  return 0;
}

int t2_tls_load_key(t2_tls *tls, mbedtls_pk_context *into, const char *file, t2_tls_sentence say) {
  t2_buf pem;
  int err = read_pem(tls->mem, file, &pem, say);

  if (err) return err;
  int bad = t2_mbedtls_pk_parse_key(into, t2_buf_head(&pem), pem_len(&pem));
  wipe_pem(&pem);
  if (bad == MBEDTLS_ERR_PK_ALLOC_FAILED)
    return t2_detail(say.detail, say.size, T2_ERR_NOMEM, "%s: out of memory", file);
  if (bad)
    return t2_detail(say.detail, say.size, T2_ERR_INVALID,
                     "%s holds no private key in PEM without a password", file);
  return 0;
}

/* ---- Settings ---- */

int t2_tls_configure(t2_tls *tls, mbedtls_ssl_config *conf, t2_tls_sentence say) {
  int endpoint = tls->is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
  int err = t2_mbedtls_start();

  if (err == 0)
    err =
        mbedtls_ssl_config_defaults(conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
  if (err == 0 && tls->alpn_count) err = mbedtls_ssl_conf_alpn_protocols(conf, tls->alpn);
  if (err || tls->alpn_too_many)
    return t2_detail(say.detail, say.size, T2_ERR_INVALID, "TLS is not available");
  mbedtls_ssl_conf_rng(conf, t2_mbedtls_random, NULL);
  t2_mbedtls_conf_versions(conf, tls->tls13_only);
  t2_mbedtls_conf_groups(conf);
  mbedtls_ssl_conf_ciphersuites(conf, suites);
  return 0;
}

int t2_tls_client_new(t2_tls **tls, t2_loop *loop, const char *ca_file, const char *const *alpn, char *detail,
                      size_t detail_size) {
  t2_tls_sentence say = {detail, detail_size};
  t2_tls *made = t2_tls_make(loop->mem, false, alpn);

  *tls = NULL;
  if (!made) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  made->ca_file = t2_strdup(made->mem, ca_file ? ca_file : SYSTEM_CA_FILE);
  int err = made->ca_file ? 0 : t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  if (err == 0) err = t2_tls_configure(made, &made->conf, say);
  if (err == 0) err = t2_tls_load_certificates(made, &made->cert, made->ca_file, false, say);
  if (err == 0) {
    mbedtls_ssl_conf_ca_chain(&made->conf, &made->cert, NULL);
    mbedtls_ssl_conf_authmode(&made->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    t2_mbedtls_conf_tell_tickets(&made->conf);
  }
  return t2_tls_made(made, err, tls);
}

/* The certificate is looked at, so that a resumption is told from a full handshake, and taken all the same.
 */
int t2_tls_client_new_insecure(t2_tls **tls, t2_loop *loop, const char *const *alpn, char *detail,
                               size_t detail_size) {
  t2_tls *made = t2_tls_make(loop->mem, false, alpn);

  *tls = NULL;
  if (!made) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  int err = t2_tls_configure(made, &made->conf, (t2_tls_sentence){detail, detail_size});
  mbedtls_ssl_conf_authmode(&made->conf, MBEDTLS_SSL_VERIFY_OPTIONAL);
  t2_mbedtls_conf_tell_tickets(&made->conf);
  return t2_tls_made(made, err, tls);
}
