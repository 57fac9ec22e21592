#include <net/tls_internal.h>

#include <base/file.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

#define SYSTEM_CA_FILE  "/etc/ssl/certs/ca-certificates.crt"
#define FILE_MAX        (4 * 1024 * 1024) /* bytes of PEM; the system's authorities are a quarter of a MB */
#define TICKET_LIFETIME (24 * 60 * 60)    /* seconds; a ticket's key lives twice as long */

/* ECDHE with AEAD. mbedTLS's ChaCha20-Poly1305 is half as fast again as its AES-GCM. */
static const int suites[] = {T2_MBEDTLS_TLS13_SUITES MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                             0};

/* Where the sentence about an error goes. */
typedef struct sentence {
  char *detail;
  size_t size;
} sentence;

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
  mbedtls_pk_free(&tls->key);
  mbedtls_ssl_ticket_free(&tls->tickets);
  t2_free(tls->mem, tls->ca_file);
  t2_free(tls->mem, tls);
}

static t2_tls *tls_new(const t2_allocator *mem, bool is_server) {
  t2_tls *tls = t2_calloc(mem, 1, sizeof(*tls));

  if (!tls) return NULL;
  tls->mem = mem;
  tls->refs = 1;
  tls->is_server = is_server;
  mbedtls_ssl_config_init(&tls->conf);
  mbedtls_x509_crt_init(&tls->cert);
  mbedtls_pk_init(&tls->key);
  mbedtls_ssl_ticket_init(&tls->tickets);
  t2_list_init(&tls->sessions);
  return tls;
}

/* Hands it out, or frees it when making it failed. */
static int tls_made(t2_tls *made, int err, t2_tls **tls) {
  *tls = err ? NULL : made;
  if (err) t2_tls_unref(made);
  return err;
}

/* ---- Files ---- */

static int read_pem(const t2_allocator *mem, const char *file, t2_buf *pem, sentence say) {
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

/* Of a bundle of authorities some may be of a kind that mbedTLS does not know; of a chain all must be good.
 */
static int load_certificates(t2_tls *tls, const char *file, sentence say) {
  t2_buf pem;
  int err = read_pem(tls->mem, file, &pem, say);

  if (err) return err;
  int bad = mbedtls_x509_crt_parse(&tls->cert, t2_buf_head(&pem), pem_len(&pem));
  t2_buf_fini(&pem);
  if (bad == MBEDTLS_ERR_X509_ALLOC_FAILED)
    return t2_detail(say.detail, say.size, T2_ERR_NOMEM, "%s: out of memory", file);
  if (bad < 0 || !tls->cert.raw.p)
    return t2_detail(say.detail, say.size, T2_ERR_CERTIFICATE, "%s holds no certificate in PEM", file);
  if (bad > 0 && tls->is_server)
    return t2_detail(say.detail, say.size, T2_ERR_CERTIFICATE, "%s: a certificate cannot be read", file);
  return 0;
}

static int load_key(t2_tls *tls, const char *cert_file, const char *file, sentence say) {
  t2_buf pem;
  int err = read_pem(tls->mem, file, &pem, say);

  if (err) return err;
  int bad = t2_mbedtls_pk_parse_key(&tls->key, t2_buf_head(&pem), pem_len(&pem));
  wipe_pem(&pem);
  if (bad == MBEDTLS_ERR_PK_ALLOC_FAILED)
    return t2_detail(say.detail, say.size, T2_ERR_NOMEM, "%s: out of memory", file);
  if (bad)
    return t2_detail(say.detail, say.size, T2_ERR_INVALID,
                     "%s holds no private key in PEM without a password", file);
  if (t2_mbedtls_pk_check_pair(&tls->cert.pk, &tls->key))
    return t2_detail(say.detail, say.size, T2_ERR_INVALID, "%s is not the key of the certificate in %s", file,
                     cert_file);
  return 0;
}

/* ---- Settings ---- */

static int configure(t2_tls *tls, const char *const *alpn, sentence say) {
  int endpoint = tls->is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
  size_t n = 0;

  while (alpn && alpn[n] && n < T2_TLS_ALPN_MAX) {
    tls->alpn[n] = alpn[n];
    n++;
  }
  int err = t2_mbedtls_start();
  if (err == 0)
    err = mbedtls_ssl_config_defaults(&tls->conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                      MBEDTLS_SSL_PRESET_DEFAULT);
  if (err == 0 && n) err = mbedtls_ssl_conf_alpn_protocols(&tls->conf, tls->alpn);
  if (err || (alpn && alpn[n]))
    return t2_detail(say.detail, say.size, T2_ERR_INVALID, "TLS is not available");
  mbedtls_ssl_conf_rng(&tls->conf, t2_mbedtls_random, NULL);
  t2_mbedtls_conf_versions(&tls->conf);
  t2_mbedtls_conf_groups(&tls->conf);
  mbedtls_ssl_conf_ciphersuites(&tls->conf, suites);
  return 0;
}

static int configure_server(t2_tls *tls, sentence say) {
  int err = mbedtls_ssl_conf_own_cert(&tls->conf, &tls->cert, &tls->key);

  if (err == 0)
    err = mbedtls_ssl_ticket_setup(&tls->tickets, t2_mbedtls_random, NULL, MBEDTLS_CIPHER_AES_256_GCM,
                                   TICKET_LIFETIME);
  if (err) return t2_detail(say.detail, say.size, T2_ERR_NOMEM, "out of memory");
  mbedtls_ssl_conf_session_tickets_cb(&tls->conf, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
                                      &tls->tickets);
  return 0;
}

int t2_tls_server_new(t2_tls **tls, t2_loop *loop, const char *cert_file, const char *key_file,
                      const char *const *alpn, char *detail, size_t detail_size) {
  sentence say = {detail, detail_size};
  t2_tls *made = tls_new(loop->mem, true);

  *tls = NULL;
  if (!made) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  int err = configure(made, alpn, say);
  if (err == 0) err = load_certificates(made, cert_file, say);
  if (err == 0) err = load_key(made, cert_file, key_file, say);
  if (err == 0) err = configure_server(made, say);
  return tls_made(made, err, tls);
}

int t2_tls_client_new(t2_tls **tls, t2_loop *loop, const char *ca_file, const char *const *alpn, char *detail,
                      size_t detail_size) {
  sentence say = {detail, detail_size};
  t2_tls *made = tls_new(loop->mem, false);

  *tls = NULL;
  if (!made) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  made->ca_file = t2_strdup(made->mem, ca_file ? ca_file : SYSTEM_CA_FILE);
  int err = made->ca_file ? 0 : t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  if (err == 0) err = configure(made, alpn, say);
  if (err == 0) err = load_certificates(made, made->ca_file, say);
  if (err == 0) {
    mbedtls_ssl_conf_ca_chain(&made->conf, &made->cert, NULL);
    mbedtls_ssl_conf_authmode(&made->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    t2_mbedtls_conf_tell_tickets(&made->conf);
  }
  return tls_made(made, err, tls);
}
