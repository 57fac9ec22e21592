/* What tls.c, tls_server.c, tls_stream.c, tls_cache.c and tls_verify.c share. */
#ifndef T2_NET_TLS_INTERNAL_H
#define T2_NET_TLS_INTERNAL_H

#include <net/mbedtls_compat.h>

#include <net/tls.h>
#include <net/tls_tickets.h>

#define T2_TLS_ALPN_MAX     8   /* protocols in a list */
#define T2_TLS_SESSIONS_MAX 64  /* kept to resume, one a server name */
#define T2_TLS_NAME_MAX     253 /* characters of a host name (RFC 1035, 2.3.4, less what the wire adds) */

/* What a server shows of itself: replaced as a whole by a reload, and kept by the streams that began with it.
 */
typedef struct t2_tls_identity t2_tls_identity;

struct t2_tls {
  const t2_allocator *mem;
  unsigned refs;
  bool is_server;
  mbedtls_ssl_config conf;   /* a client's */
  mbedtls_x509_crt cert;     /* what a client trusts */
  t2_tls_identity *identity; /* a server's */
  uint64_t handshakes;       /* a server's, completed */
  t2_tls_tickets tickets;    /* a server's: a session outlives the certificate it began with */
  char **files;              /* a server's: certificate and key, one pair after the other */
  size_t file_count;
  char *ca_file; /* a client's, for sentences */
  t2_list sessions;
  unsigned session_count;
  const char *alpn[T2_TLS_ALPN_MAX + 1];
  size_t alpn_count;
  bool alpn_too_many;
  bool tls13_only;
};

/* Where the sentence about an error goes. */
typedef struct t2_tls_sentence {
  char *detail;
  size_t size;
} t2_tls_sentence;

/* ---- Settings (tls.c) ---- */

/* Empty settings, or NULL; and what hands them out, or frees them when making them failed. */
t2_tls *t2_tls_make(const t2_allocator *mem, bool is_server, const char *const *alpn);
int t2_tls_made(t2_tls *made, int err, t2_tls **tls);

/* Sets up what clients and servers have in common. The protocols are those of tls->alpn. */
int t2_tls_configure(t2_tls *tls, mbedtls_ssl_config *conf, t2_tls_sentence say);
/* Reads PEM. Of a bundle of authorities some may be of a kind that mbedTLS does not know; with `all`, of a
 * chain, every one must be good. */
int t2_tls_load_certificates(t2_tls *tls, mbedtls_x509_crt *into, const char *file, bool all,
                             t2_tls_sentence say);
int t2_tls_load_key(t2_tls *tls, mbedtls_pk_context *into, const char *file, t2_tls_sentence say);

/* ---- A server's certificates (tls_server.c) ---- */

t2_tls_identity *t2_tls_identity_ref(t2_tls_identity *identity);
void t2_tls_identity_unref(t2_tls_identity *identity);
const mbedtls_ssl_config *t2_tls_identity_conf(const t2_tls_identity *identity);
/* Frees what only servers have. */
void t2_tls_server_fini(t2_tls *tls);

/* ---- The sessions a client may resume (tls_cache.c) ---- */

/* The session kept for the name, which stays the cache's; NULL: none. */
const mbedtls_ssl_session *t2_tls_cache_get(t2_tls *tls, t2_str name);
/* Keeps the session the connection has now, in place of an older one of that name; past T2_TLS_SESSIONS_MAX
 * the one that was not used for longest goes. Without memory there is nothing to resume, which is no error.
 */
void t2_tls_cache_put(t2_tls *tls, t2_str name, const mbedtls_ssl_context *ssl);
/* Forgets the name's session: it did not work. */
void t2_tls_cache_drop(t2_tls *tls, t2_str name);
void t2_tls_cache_clear(t2_tls *tls);

/* ---- Names and certificates (tls_verify.c) ---- */

/* Is it a DNS name that a certificate may be for (RFC 1123, 2.1; underscores are let pass)? */
bool t2_tls_name_valid(t2_str name);
/* Is the certificate for the DNS name or literal address, by its subject alternative names alone? The common
 * name is not looked at (RFC 9525, 6.3). */
bool t2_tls_name_matches(const mbedtls_x509_crt *cert, t2_str name);
/* The same for a DNS name, but by a name that is written out: no wildcard. */
bool t2_tls_name_matches_exactly(const mbedtls_x509_crt *cert, t2_str name);
/* Writes why the certificate was not accepted, from mbedTLS's MBEDTLS_X509_BADCERT_... */
void t2_tls_verify_sentence(const t2_tls *tls, t2_str name, uint32_t flags, char *out, size_t size);
/* What an alert says (RFC 8446, 6), such as "unknown CA". */
const char *t2_tls_alert_phrase(uint8_t alert);

#endif
