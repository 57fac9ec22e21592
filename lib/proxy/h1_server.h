/* The server side of an HTTP/1.1 connection: requests, one after the other, each a downstream leg. */
#ifndef T2_PROXY_H1_SERVER_H
#define T2_PROXY_H1_SERVER_H

#include <http/h1.h>
#include <net/conn.h>
#include <proxy/exchange.h>

typedef struct t2_h1_server t2_h1_server; /* one connection */

typedef struct t2_h1_server_options {
  t2_h1_limits limits;
  uint64_t
      header_timeout_ms; /* from the first byte (or the connection's start) to the end of the head; 30 s */
  uint64_t keep_alive_timeout_ms; /* idle between requests; 120 s */
  uint64_t body_timeout_ms; /* without a byte of an awaited body, or with no progress in writing; 60 s */
  uint32_t
      body_rate_min; /* bytes a second that an awaited body must earn, past body_timeout_ms; 0: any; 240 */
  uint64_t drain_grace_ms; /* when draining: for a request that may be under way on an idle connection; 5 s */
} t2_h1_server_options;

void t2_h1_server_options_init(t2_h1_server_options *options);

typedef struct t2_h1_server_ops {
  /* As t2_h2_conn_ops.on_request. */
  void (*on_request)(t2_h1_server *server, t2_exchange *exchange, t2_head *head, bool end, void *user);
  void (*on_close)(t2_h1_server *server, void *user);
} t2_h1_server_ops;

/* Takes conn over (on failure too: it is closed then). options outlive it. 0 or T2_ERR_NOMEM. */
int t2_h1_server_new(t2_h1_server **out, t2_proxy *proxy, t2_conn *conn, const t2_h1_server_options *options,
                     const t2_h1_server_ops *ops, void *user);
/* Bytes that came before it took the connection over: at once behind t2_h1_server_new, as from the transport.
 */
void t2_h1_server_feed(t2_h1_server *server, uint8_t *bytes, size_t n);
/* The answer whose head is next says Connection: close, and is the last one. A connection that is idle has
 * drain_grace_ms for a request, which may be under way already: what is closed under it is lost. */
void t2_h1_server_drain(t2_h1_server *server);
void t2_h1_server_close(t2_h1_server *server, int err);
t2_conn *t2_h1_server_transport(const t2_h1_server *server);
/* From inside on_request for an Upgrade: answers with `head` (a 101), ends the exchange, and hands the
 * transport over; the t2_h1_server is gone (on_close has come). NULL when the client has already sent more
 * than the request, or there is no memory: the exchange is then still there to be refused. */
t2_conn *t2_h1_server_upgrade(t2_h1_server *server, const t2_head *head);

#endif
