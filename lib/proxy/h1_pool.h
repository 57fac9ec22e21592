/* The HTTP/1.1 connections to one origin: kept alive between requests, the one that was used last is used
 * next. */
#ifndef T2_PROXY_H1_POOL_H
#define T2_PROXY_H1_POOL_H

#include <proxy/h1_client.h>

typedef struct t2_h1_pool t2_h1_pool;

typedef struct t2_h1_pool_options {
  t2_str host; /* name or literal address */
  uint16_t port;
  const char *unix_path;       /* instead of host and port; NULL: none */
  t2_tls *tls;                 /* NULL: clear. A reference is taken */
  t2_str host_header;          /* the Host to send; empty: the request's authority is kept */
  uint64_t connect_timeout_ms; /* 5 s */
  uint64_t idle_timeout_ms;    /* how long an idle connection is kept; 60 s */
  size_t idle_max;             /* idle connections kept; 256 */
  t2_h1_limits limits;         /* of responses */
} t2_h1_pool_options;

void t2_h1_pool_options_init(t2_h1_pool_options *options);

/* Options are copied. 0, T2_ERR_INVALID (neither host nor unix_path) or T2_ERR_NOMEM. */
int t2_h1_pool_new(t2_h1_pool **out, t2_loop *loop, const t2_h1_pool_options *options);
/* A leg for one request, to be given to t2_exchange_connect at once: its `head` takes an idle connection or
 * dials. Never NULL; failures are the exchange's, at T2_AT_ORIGIN. */
t2_leg *t2_h1_pool_leg(t2_h1_pool *pool);
/* `told` hears of each dial from here on: 0, or why there is no connection. */
void t2_h1_pool_on_dialled(t2_h1_pool *pool, void (*told)(int err, void *user), void *user);
/* Takes over a connection to the origin that somebody else has opened; closes it when there is no memory. */
void t2_h1_pool_adopt(t2_h1_pool *pool, t2_conn *conn);
/* Connections without and with an exchange. */
size_t t2_h1_pool_idle(const t2_h1_pool *pool);
size_t t2_h1_pool_active(const t2_h1_pool *pool);
/* Connections dialled since the start. */
uint64_t t2_h1_pool_dials(const t2_h1_pool *pool);
/* Closes all connections, failing exchanges under way with T2_ERR_CANCELLED; freed later. */
void t2_h1_pool_close(t2_h1_pool *pool);

#endif
