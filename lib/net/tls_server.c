#include <net/tls_internal.h>

#include <tunnel2/error.h>
#include <wire/detail.h>

typedef struct certificate {
  mbedtls_x509_crt chain;
  mbedtls_pk_context key;
} certificate;

struct t2_tls_identity {
  unsigned refs;
  const t2_allocator *mem;
  mbedtls_ssl_config conf;
  size_t n;
  certificate list[];
};

/* ---- The choice ---- */

/* Adds those of the name to what the handshake may use; mbedTLS takes the first that suits the client.
 * Returns how many there were, or mbedTLS's error. */
static int offer(mbedtls_ssl_context *ssl, t2_tls_identity *identity, t2_str name, bool exactly) {
  int found = 0;

  for (size_t i = 0; i < identity->n; i++) {
    certificate *c = &identity->list[i];
    if (!(exactly ? t2_tls_name_matches_exactly : t2_tls_name_matches)(&c->chain, name)) continue;
    int err = mbedtls_ssl_set_hs_own_cert(ssl, &c->chain, &c->key);
    if (err) return err;
    found++;
  }
  return found;
}

/* A name nobody knows gets the first certificate, as no name does: the client then sees what is wrong. */
static int on_sni(void *user, mbedtls_ssl_context *ssl, const unsigned char *bytes, size_t n) {
  t2_tls_identity *identity = user;
  t2_str name = t2_str_of((const char *)bytes, n);

  if (!t2_tls_name_valid(name)) return 0;
  int found = offer(ssl, identity, name, true);
  if (found == 0) found = offer(ssl, identity, name, false);
  return found < 0 ? found : 0;
}

/* ---- An identity ---- */

t2_tls_identity *t2_tls_identity_ref(t2_tls_identity *identity) {
  identity->refs++;
  return identity;
}

void t2_tls_identity_unref(t2_tls_identity *identity) {
  if (--identity->refs) return;
  mbedtls_ssl_config_free(&identity->conf);
  for (size_t i = 0; i < identity->n; i++) {
    mbedtls_x509_crt_free(&identity->list[i].chain);
    mbedtls_pk_free(&identity->list[i].key);
  }
  t2_free(identity->mem, identity);
}

const mbedtls_ssl_config *t2_tls_identity_conf(const t2_tls_identity *identity) {
  return &identity->conf;
}

static t2_tls_identity *identity_new(const t2_allocator *mem, size_t n) {
  t2_tls_identity *identity = t2_calloc(mem, 1, sizeof(*identity) + n * sizeof(certificate));

  if (!identity) return NULL;
  identity->refs = 1;
  identity->mem = mem;
  identity->n = n;
  mbedtls_ssl_config_init(&identity->conf);
  for (size_t i = 0; i < n; i++) {
    mbedtls_x509_crt_init(&identity->list[i].chain);
    mbedtls_pk_init(&identity->list[i].key);
  }
  return identity;
}

static int load(t2_tls *tls, certificate *c, const char *cert_file, const char *key_file,
                t2_tls_sentence say) {
  int err = t2_tls_load_certificates(tls, &c->chain, cert_file, true, say);

  if (err == 0) err = t2_tls_load_key(tls, &c->key, key_file, say);
  if (err) return err;
  if (t2_mbedtls_pk_check_pair(&c->chain.pk, &c->key))
    return t2_detail(say.detail, say.size, T2_ERR_INVALID, "%s is not the key of the certificate in %s",
                     key_file, cert_file);
  return 0;
}

static int configure(t2_tls *tls, t2_tls_identity *identity, t2_tls_sentence say) {
  int err = t2_tls_configure(tls, &identity->conf, say);

  for (size_t i = 0; err == 0 && i < identity->n; i++)
    err = load(tls, &identity->list[i], tls->files[2 * i], tls->files[2 * i + 1], say);
  if (err) return err;
  if (mbedtls_ssl_conf_own_cert(&identity->conf, &identity->list[0].chain, &identity->list[0].key))
    return t2_detail(say.detail, say.size, T2_ERR_NOMEM, "out of memory");
  if (identity->n > 1) mbedtls_ssl_conf_sni(&identity->conf, on_sni, identity);
  mbedtls_ssl_conf_session_tickets_cb(&identity->conf, t2_tls_tickets_write, t2_tls_tickets_parse,
                                      &tls->tickets);
  return 0;
}

/* Puts what the files hold now in the place of what there is. */
static int renew(t2_tls *tls, t2_tls_sentence say) {
  t2_tls_identity *identity = identity_new(tls->mem, tls->file_count / 2);

  if (!identity) return t2_detail(say.detail, say.size, T2_ERR_NOMEM, "out of memory");
  int err = configure(tls, identity, say);
  if (err) {
    t2_tls_identity_unref(identity);
    return err;
  }
  if (tls->identity) t2_tls_identity_unref(tls->identity);
  tls->identity = identity;
  return 0;
}

/* ---- A server's settings ---- */

uint64_t t2_tls_handshakes(const t2_tls *tls) {
  return tls->handshakes;
}

uint64_t t2_tls_resumed(const t2_tls *tls) {
  return tls->tickets.taken;
}

void t2_tls_server_fini(t2_tls *tls) {
  if (tls->identity) t2_tls_identity_unref(tls->identity);
  t2_tls_tickets_fini(&tls->tickets);
  for (size_t i = 0; i < tls->file_count; i++)
    t2_free(tls->mem, tls->files[i]);
  t2_free(tls->mem, tls->files);
}

static int copy_files(t2_tls *tls, const t2_tls_files *files, size_t n) {
  tls->files = t2_calloc(tls->mem, 2 * n, sizeof(*tls->files));
  if (!tls->files) return T2_ERR_NOMEM;
  for (size_t i = 0; i < n; i++) {
    const char *key_file = files[i].key_file ? files[i].key_file : files[i].cert_file;
    char *cert = tls->files[tls->file_count++] = t2_strdup(tls->mem, files[i].cert_file);
    char *key = tls->files[tls->file_count++] = t2_strdup(tls->mem, key_file);
    if (!cert || !key) return T2_ERR_NOMEM;
  }
  return 0;
}

int t2_tls_server_new_many(t2_tls **tls, t2_loop *loop, const t2_tls_files *files, size_t n,
                           const char *const *alpn, char *detail, size_t detail_size) {
  t2_tls_sentence say = {detail, detail_size};

  *tls = NULL;
  if (n == 0 || n > T2_TLS_CERTIFICATES_MAX)
    return t2_detail(detail, detail_size, T2_ERR_INVALID, "1 to %d certificates are needed",
                     T2_TLS_CERTIFICATES_MAX);
  t2_tls *made = t2_tls_make(loop->mem, true, alpn);
  int err = made ? copy_files(made, files, n) : T2_ERR_NOMEM;
  if (err)
    (void)t2_detail(detail, detail_size, err, "out of memory");
  else
    err = renew(made, say);
  return made ? t2_tls_made(made, err, tls) : err;
}

int t2_tls_server_new(t2_tls **tls, t2_loop *loop, const char *cert_file, const char *key_file,
                      const char *const *alpn, char *detail, size_t detail_size) {
  t2_tls_files files = {cert_file, key_file};

  return t2_tls_server_new_many(tls, loop, &files, 1, alpn, detail, detail_size);
}

int t2_tls_server_set_oldest(t2_tls *tls, const char *version, char *detail, size_t detail_size) {
  bool tls13 = strcmp(version, "1.3") == 0;

  if (!tls13 && strcmp(version, "1.2") != 0)
    return t2_detail(detail, detail_size, T2_ERR_INVALID, "TLS %.20s: 1.2 or 1.3 is taken", version);
  if (tls13 && !t2_mbedtls_has_tls13())
    return t2_detail(detail, detail_size, T2_ERR_UNSUPPORTED, "this build's mbedTLS has no TLS 1.3");
  tls->tls13_only = tls13;
  t2_mbedtls_conf_versions(&tls->identity->conf, tls13);
  return 0;
}

int t2_tls_server_keep_tickets(t2_tls *tls, const char *file, char *detail, size_t detail_size) {
  int err = t2_tls_tickets_keep(&tls->tickets, file);

  return err ? t2_detail(detail, detail_size, err, "%s: %s", file, t2_strerror(err)) : 0;
}

void t2_tls_server_share_tickets(t2_tls *tls, const t2_tls *other) {
  memcpy(tls->tickets.keys, other->tickets.keys, sizeof(tls->tickets.keys));
}

int t2_tls_server_reload(t2_tls *tls, char *detail, size_t detail_size) {
  return renew(tls, (t2_tls_sentence){detail, detail_size});
}
