/* TLS settings shared by connections: certificates, trust, ALPN, ciphers, sessions to resume. One loop's
 * thread. */
#ifndef T2_NET_TLS_H
#define T2_NET_TLS_H

#include <base/buf.h>
#include <net/loop.h>

/* Shared by reference: every connection made with it holds one. */
typedef struct t2_tls t2_tls;

/* A server's settings. The PEM certificate chain and key are files. alpn: NULL-terminated list in order of
 * preference, static strings; NULL: none. ALPN is strict: a client that offers only unknown protocols is
 * refused; one that offers none is accepted. Session tickets are on (the ticket key is random, rotated).
 * TLS 1.2 at least, 1.3 where mbedTLS offers it; ECDHE with AEAD only; ChaCha20-Poly1305 before AES-GCM, the
 * faster here. Errors name the file and what is wrong with it in detail: T2_ERR_NOT_FOUND,
 * T2_ERR_CERTIFICATE, T2_ERR_INVALID (key does not match), T2_ERR_NOMEM. */
int t2_tls_server_new(t2_tls **tls, t2_loop *loop, const char *cert_file, const char *key_file,
                      const char *const *alpn, char *detail, size_t detail_size);

/* A certificate chain and its key, in PEM. key_file NULL: the key is in cert_file too. */
typedef struct t2_tls_files {
  const char *cert_file, *key_file;
} t2_tls_files;

#define T2_TLS_CERTIFICATES_MAX 1024

/* The same with n certificates (1 to T2_TLS_CERTIFICATES_MAX): the client's server name (SNI, RFC 6066, 3)
 * chooses among their subject alternative names, those that are written out before those with a wildcard in
 * the left-most label; without a match, or a name, it is the first. Where several are for the same name (an
 * ECDSA and an RSA one) the client's cipher suites decide. Paths are copied. */
int t2_tls_server_new_many(t2_tls **tls, t2_loop *loop, const t2_tls_files *files, size_t n,
                           const char *const *alpn, char *detail, size_t detail_size);
/* The oldest version that a server takes: "1.2", as it is without this, or "1.3". Before the first handshake.
 * 0; or, with a detail, T2_ERR_INVALID, or T2_ERR_UNSUPPORTED when this build's mbedTLS has no TLS 1.3. */
int t2_tls_server_set_oldest(t2_tls *tls, const char *version, char *detail, size_t detail_size);
/* Keeps the keys of session tickets in this file, secret, so that clients resume after a restart. 0; or, with
 * a detail, T2_ERR_IO, T2_ERR_NOMEM. */
int t2_tls_server_keep_tickets(t2_tls *tls, const char *file, char *detail, size_t detail_size);
/* Has the keys of session tickets that another server has now: clients of one resume at the other, until keys
 * change. */
void t2_tls_server_share_tickets(t2_tls *tls, const t2_tls *other);
/* Reads all files of a server's settings again, for the handshakes that begin from now on; connections that
 * are there go on, and their sessions can be resumed. On failure everything stays as it was, and detail says
 * why, as by t2_tls_server_new. */
int t2_tls_server_reload(t2_tls *tls, char *detail, size_t detail_size);
/* A client's settings: trusts ca_file's certificates, or the system's (/etc/ssl/certs/ca-certificates.crt)
 * when NULL. Peers are always verified, chain and name (DNS SAN with wildcard in the left-most label, or IP
 * SAN for an address). Keeps one session to resume per server name (at most 64). */
int t2_tls_client_new(t2_tls **tls, t2_loop *loop, const char *ca_file, const char *const *alpn, char *detail,
                      size_t detail_size);
/* The same without trust: whoever answers is taken, whatever its certificate. For origins that a person has
 * said so of. */
int t2_tls_client_new_insecure(t2_tls **tls, t2_loop *loop, const char *const *alpn, char *detail,
                               size_t detail_size);
/* A server's handshakes that were completed, and how many of them resumed a session. */
uint64_t t2_tls_handshakes(const t2_tls *tls);
uint64_t t2_tls_resumed(const t2_tls *tls);
t2_tls *t2_tls_ref(t2_tls *tls);
void t2_tls_unref(t2_tls *tls);

#endif
