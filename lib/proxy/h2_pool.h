/* The HTTP/2 connections to one origin.
 *
 *   (a request, and no room) ──▶ DIALLING ──▶ SETTLING ──SETTINGS──▶ UP ──GOAWAY──▶ going ──streams done──▶
 * closed └────────────┴── failed: requests that nobody else can take fail
 *
 * Requests wait in a bounded queue while there is no connection with room; one connection is opened at a
 * time. A new one comes when the peer's SETTINGS_MAX_CONCURRENT_STREAMS are used up. A request that the peer
 * did not act on (REFUSED_STREAM, or beyond the last stream of a GOAWAY; RFC 9113, 8.7) is asked once more.
 * An upgrade is asked by extended CONNECT (RFC 8441) where the origin's SETTINGS say that it takes that.
 */
#ifndef T2_PROXY_H2_POOL_H
#define T2_PROXY_H2_POOL_H

#include <net/dialer.h>
#include <proxy/h2_conn.h>

typedef struct t2_h2_pool t2_h2_pool;

typedef struct t2_h2_pool_options {
  t2_str host; /* name or literal address */
  uint16_t port;
  const char *unix_path;       /* instead of host and port; NULL: none */
  t2_tls *tls;                 /* NULL: prior knowledge. A reference is taken; ALPN has to choose h2 */
  t2_str host_header;          /* the :authority to send; empty: the request's is kept */
  uint64_t connect_timeout_ms; /* for the connection, and again for its SETTINGS; 5 s */
  uint64_t idle_timeout_ms;    /* how long a connection without streams is kept; 60 s */
  size_t connections_max;      /* that take requests; 16 */
  size_t waiting_max;          /* requests that wait; 1,024 */
  size_t keep_max;             /* bytes of content with which a request may still be asked again; 64 KiB */
} t2_h2_pool_options;

/* All but on_gone may be NULL. */
typedef struct t2_h2_pool_ops {
  /* TLS is there, but ALPN chose another protocol than h2, or none: conn is the callee's. What waits, and
   * what is still to come here, is given to the legs that http1_leg returns. NULL: it is an error. */
  void (*on_http1)(t2_h2_pool *pool, t2_conn *conn, void *user);
  /* To such a leg upgrades are given as well that the origin does not take by HTTP/2. NULL: they fail with
   * T2_ERR_UNSUPPORTED. */
  t2_leg *(*http1_leg)(t2_h2_pool *pool, void *user);
  /* The last call, after t2_h2_pool_close (perhaps from inside); freed later. */
  void (*on_gone)(t2_h2_pool *pool, void *user);
} t2_h2_pool_ops;

void t2_h2_pool_options_init(t2_h2_pool_options *options);

/* Options are copied; the proxy outlives the pool. 0, T2_ERR_INVALID (neither host nor unix_path) or
 * T2_ERR_NOMEM.
 */
int t2_h2_pool_new(t2_h2_pool **out, t2_proxy *proxy, const t2_h2_pool_options *options,
                   const t2_h2_pool_ops *ops, void *user);
/* A leg for one request, to be given to t2_exchange_connect at once. Never NULL; failures are the exchange's,
 * at T2_AT_ORIGIN. */
t2_leg *t2_h2_pool_leg(t2_h2_pool *pool);
/* As t2_h1_pool_on_dialled, where a connection is one whose SETTINGS have come. */
void t2_h2_pool_on_dialled(t2_h2_pool *pool, void (*told)(int err, void *user), void *user);
/* Connections that have been dialled and are not closed; requests that wait. */
size_t t2_h2_pool_connections(const t2_h2_pool *pool);
size_t t2_h2_pool_waiting(const t2_h2_pool *pool);
/* Connections dialled since the start. */
uint64_t t2_h2_pool_dials(const t2_h2_pool *pool);
/* Closes all connections, failing exchanges under way with T2_ERR_CANCELLED. */
void t2_h2_pool_close(t2_h2_pool *pool);

#endif
