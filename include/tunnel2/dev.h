/* Development on one machine: a directory that holds a CA, a server certificate by it and a token that may do
 * everything, so that control plane, entry and client find one another. What the programs' --dev uses. */
#ifndef TUNNEL2_DEV_H
#define TUNNEL2_DEV_H

#include <stddef.h>
#include <tunnel2/error.h>
#include <tunnel2/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Files of the directory. */
#define T2_DEV_CA_FILE     "ca.pem"         /* the CA's certificate: what all trust */
#define T2_DEV_CA_KEY_FILE "ca-key.pem"     /* its private key */
#define T2_DEV_CERT_FILE   "server.pem"     /* for localhost, *.localhost, 127.0.0.1 and ::1 */
#define T2_DEV_KEY_FILE    "server-key.pem" /* its private key */
#define T2_DEV_TOKEN_FILE  "token"  /* the token in the clear, for clients and entries on this machine */
#define T2_DEV_TOKENS_FILE "tokens" /* what the control plane reads: hashed, owner "dev", all roles */

/* Everywhere below, dir "" or NULL is the default: $XDG_STATE_HOME/tunnel2, or ~/.local/state/tunnel2. Any
 * thread. */

/* Makes the directory (mode 0700) and whatever of these is missing (mode 0600), once, whichever of several
 * processes comes first; certificates that run out within a day are made anew by the same CA. 0;
 * T2_ERR_FORBIDDEN, others can enter the directory, or it belongs to another user; T2_ERR_NOT_FOUND, there is
 * no home directory; T2_ERR_IO or T2_ERR_NOMEM: with a sentence in detail. */
T2_API int t2_dev_state_make(const char *dir, char *detail, size_t detail_size);
/* Writes "DIR/NAME", NUL-terminated, or with name NULL the directory's own path. 0, T2_ERR_NOT_FOUND (no home
 * directory) or T2_ERR_LIMIT (size is too small): path is "" then. */
T2_API int t2_dev_state_path(const char *dir, const char *name, char *path, size_t size);

#ifdef __cplusplus
}
#endif
#endif
