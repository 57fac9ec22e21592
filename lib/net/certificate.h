/* Makes the certificates of development, and the state directory that holds them. */
#ifndef T2_NET_CERTIFICATE_H
#define T2_NET_CERTIFICATE_H

#include <base/buf.h>

/* A new P-256 certificate authority: PEM of certificate and key, valid from an hour ago for days. 0 or an
 * error. */
int t2_certificate_make_ca(const t2_allocator *mem, const char *common_name, unsigned days, t2_buf *cert_pem,
                           t2_buf *key_pem);
/* A server's certificate by that authority for names (DNS names or addresses, written as the right kind of
 * SAN). */
int t2_certificate_issue(const t2_allocator *mem, const char *ca_cert_pem, const char *ca_key_pem,
                         const char *const *names, size_t name_count, unsigned days, t2_buf *cert_pem,
                         t2_buf *key_pem);

/* Files of a development state directory, relative to it. */
#define T2_DEV_CA_FILE     "ca.pem"
#define T2_DEV_CA_KEY_FILE "ca-key.pem"
#define T2_DEV_CERT_FILE   "server.pem"
#define T2_DEV_KEY_FILE    "server-key.pem"
#define T2_DEV_TOKEN_FILE  "token"  /* the token in the clear, for clients and entries on this machine */
#define T2_DEV_TOKENS_FILE "tokens" /* what the control plane reads: hashed, owner "dev", all roles */

/* Makes the directory (mode 0700) and whatever of these is missing (mode 0600), once, whichever of several
 * processes comes first (an flock on "lock" in it); certificates that run out within a day are made anew by
 * the same CA. The server certificate is for localhost, *.localhost, 127.0.0.1 and ::1. Refuses a directory
 * that others can enter (T2_ERR_FORBIDDEN) or that belongs to another user. 0, or an error with a sentence in
 * detail. */
int t2_dev_state_ensure(const t2_allocator *mem, const char *dir, char *detail, size_t detail_size);

#endif
