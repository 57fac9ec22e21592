/* What tls.c, tls_stream.c, tls_cache.c and tls_verify.c share. */
#ifndef T2_NET_TLS_INTERNAL_H
#define T2_NET_TLS_INTERNAL_H

#include <net/mbedtls_compat.h>

#include <net/tls.h>

#define T2_TLS_ALPN_MAX     8   /* protocols in a list */
#define T2_TLS_SESSIONS_MAX 64  /* kept to resume, one a server name */
#define T2_TLS_NAME_MAX     253 /* characters of a host name (RFC 1035, 2.3.4, less what the wire adds) */

struct t2_tls {
  const t2_allocator *mem;
  unsigned refs;
  bool is_server;
  mbedtls_ssl_config conf;
  mbedtls_x509_crt cert; /* a server's chain, or what a client trusts */
  mbedtls_pk_context key;
  mbedtls_ssl_ticket_context tickets;
  char *ca_file; /* a client's, for sentences */
  t2_list sessions;
  unsigned session_count;
  const char *alpn[T2_TLS_ALPN_MAX + 1];
};

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
/* Writes why the certificate was not accepted, from mbedTLS's MBEDTLS_X509_BADCERT_... */
void t2_tls_verify_sentence(const t2_tls *tls, t2_str name, uint32_t flags, char *out, size_t size);
/* What an alert says (RFC 8446, 6), such as "unknown CA". */
const char *t2_tls_alert_phrase(uint8_t alert);

#endif
