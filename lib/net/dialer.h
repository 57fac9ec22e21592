/* Opens connections: resolves the name, tries its addresses by Happy Eyeballs (RFC 8305), then the TLS
 * handshake. */
#ifndef T2_NET_DIALER_H
#define T2_NET_DIALER_H

#include <net/conn.h>
#include <net/tls.h>

typedef struct t2_dial t2_dial; /* one attempt under way */

typedef struct t2_dial_options {
  t2_str host; /* name or literal address */
  uint16_t port;
  const char *unix_path; /* instead of host and port; NULL: none */
  t2_tls *tls;           /* NULL: clear */
  t2_str server_name;    /* verified and sent as SNI (not for addresses); empty: host */
  uint64_t timeout_ms;   /* for all of it; 0: 10 s */
  bool private_only;     /* addresses that are not t2_address_is_private are passed over */
} t2_dial_options;

/* err 0: conn is the callee's, who sets ops at once or closes it. Else conn is NULL, err is what the last
 * address failed with (T2_ERR_REFUSED, T2_ERR_RESOLVE, T2_ERR_TIMEOUT, T2_ERR_TLS, T2_ERR_CERTIFICATE, ...;
 * T2_ERR_UNSUPPORTED: private_only, and there are only others), and detail a sentence. */
typedef void (*t2_dial_cb)(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user);

/* Starts; cb comes exactly once, later, never from inside. Options are copied. 0, T2_ERR_INVALID or
 * T2_ERR_NOMEM (cb does not come). */
int t2_dial_start(t2_dial **out, t2_loop *loop, const t2_dial_options *options, t2_dial_cb cb, void *user);
/* cb does not come any more; the attempt is dropped in the background. Not after cb has come. */
void t2_dial_cancel(t2_dial *dial);

#endif
