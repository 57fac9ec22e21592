/* One origin, whatever it speaks: HTTP/1.1 in the clear over TCP or a unix socket, HTTP/2 in the clear by
 * prior knowledge, or either over TLS.
 *
 * What an https origin speaks is learnt by ALPN when the first connection is there; an origin of HTTP/1.1 is
 * asked again once all connections to it are gone. An upgrade that it does not take by HTTP/2 (RFC 8441) is
 * asked over TLS by HTTP/1.1.
 */
#ifndef T2_PROXY_ORIGIN_H
#define T2_PROXY_ORIGIN_H

#include <proxy/h1_pool.h>
#include <proxy/h2_pool.h>
#include <proxy/target.h>

typedef struct t2_origin t2_origin;

/* For all https origins of one object; made when the first is. */
typedef struct t2_origin_tls {
  t2_tls *any;   /* ALPN h2, http/1.1 */
  t2_tls *http1; /* ALPN http/1.1 */
} t2_origin_tls;

typedef struct t2_origin_options {
  t2_target target; /* any but files */
  const t2_origin_tls *tls;
  t2_str host_header; /* empty: the request's authority is kept */
  uint64_t connect_timeout_ms;
} t2_origin_options;

/* The last call, after t2_origin_close (perhaps from inside). */
typedef void (*t2_origin_gone_cb)(t2_origin *origin, void *user);

/* ca_file NULL: the system's authorities; insecure: none is asked, and whoever answers is taken. As
 * t2_tls_client_new. */
int t2_origin_tls_init(t2_origin_tls *tls, t2_loop *loop, const char *ca_file, bool insecure, char *detail,
                       size_t detail_size);
/* Does nothing when it is all zero. */
void t2_origin_tls_fini(t2_origin_tls *tls);

/* Options are copied; the proxy outlives the origin. 0, T2_ERR_INVALID or T2_ERR_NOMEM. */
int t2_origin_new(t2_origin **out, t2_proxy *proxy, const t2_origin_options *options,
                  t2_origin_gone_cb on_gone, void *user);
/* A leg for one request, to be given to t2_exchange_connect at once. Never NULL; failures are the exchange's,
 * at T2_AT_ORIGIN. */
t2_leg *t2_origin_leg(t2_origin *origin);
/* `told` hears of each connection that is dialled from here on: 0, or why there is none. */
void t2_origin_on_dialled(t2_origin *origin, void (*told)(int err, void *user), void *user);
/* Closes all connections, failing exchanges under way with T2_ERR_CANCELLED. */
void t2_origin_close(t2_origin *origin);

#endif
