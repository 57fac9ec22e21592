/* A listener whose connections speak HTTP/1.1 or HTTP/2 (by ALPN, or in the clear by prior knowledge), and
 * whose requests all come to one callback. */
#ifndef T2_PROXY_SERVER_H
#define T2_PROXY_SERVER_H

#include <net/listener.h>
#include <proxy/h1_server.h>
#include <proxy/h2_conn.h>

typedef struct t2_server t2_server;

typedef struct t2_server_options {
  t2_listener_options listener; /* connections_max etc. */
  t2_h1_server_options h1;
  t2_h2_conn_options h2;
  /* After t2_server_drain, when no connection is left; may be NULL. May come from inside t2_server_drain. */
  void (*on_drained)(void *user);
} t2_server_options;

void t2_server_options_init(t2_server_options *options);

/* A request, from whichever protocol. */
typedef struct t2_server_request {
  t2_server *server;
  t2_exchange *exchange;
  t2_head *head; /* valid during the call; the scheme is the transport's, whatever the client says */
  bool end;      /* no content follows */
  t2_conn *transport;
  t2_h1_server *h1; /* NULL when it came by HTTP/2 */
  t2_h2_conn *h2;   /* NULL when it came by HTTP/1.1 */
} t2_server_request;

/* Calls t2_exchange_connect or t2_exchange_refuse (or t2_h1_server_upgrade) before it returns. */
typedef void (*t2_server_request_cb)(const t2_server_request *request, void *user);

/* options are copied (strings included where they are kept). Errors as t2_listener_new. The proxy outlives
 * the server. */
int t2_server_new(t2_server **out, t2_proxy *proxy, const t2_server_options *options, t2_server_request_cb cb,
                  void *user, char *detail, size_t detail_size);
/* "127.0.0.1:40123"; "" once it drains. */
const char *t2_server_address(const t2_server *server);
size_t t2_server_connections(const t2_server *server);
/* Its listening descriptor; -1 once it drains. */
int t2_server_socket(const t2_server *server);
/* As t2_listener_feed. */
void t2_server_feed(t2_server *server, int fd, const t2_address *peer);
/* As t2_listener_hold. */
void t2_server_hold(t2_server *server, bool held);
/* Takes connections_max and the timeouts of these options over; connections that are there go by the new
 * times from their next step on, those over HTTP/2 by the old ones. */
void t2_server_set_limits(t2_server *server, const t2_server_options *options);
/* Stops listening. Connections end after what is under way: over HTTP/1.1 with the answer that says so, or
 * idle after h1.drain_grace_ms; over HTTP/2 by GOAWAY. Those in the TLS handshake have as long to come to a
 * request. */
void t2_server_drain(t2_server *server);
/* Closes the listener and all connections at once; freed later, then cb (may be NULL). */
void t2_server_close(t2_server *server, t2_listener_close_cb cb, void *user);

#endif
