/* A listening socket that hands over connections that are ready to use: accepted, and past the TLS handshake.
 */
#ifndef T2_NET_LISTENER_H
#define T2_NET_LISTENER_H

#include <net/accepts.h>
#include <net/address.h>
#include <net/conn.h>
#include <net/tls.h>
#include <stdatomic.h>

typedef struct t2_listener t2_listener;

/* For TLS connections that are not all of one kind: each is read up to the end of its client's hello, or up
 * to where it is seen to be none, and then some are passed on as they came, from their first byte,
 * undecrypted. err and server_name are as t2_conn_hello_cb has them (conn_internal.h): T2_ERR_PROTOCOL, what
 * comes is no TLS; T2_ERR_LIMIT, the hello is too long. */
typedef struct t2_pass_ops {
  /* True: it is passed on; false: it goes the way of all others. */
  bool (*wants)(int err, t2_str server_name, void *user);
  /* Instead of the listener's own callback; the connection is the callee's likewise, in the clear.
   * server_name is valid during the call. */
  void (*on_passed)(t2_conn *conn, int err, t2_str server_name, void *user);
} t2_pass_ops;

/* Connections may be accepted for listeners of other threads as well (entry/workers.h). */
typedef struct t2_deal_ops {
  /* False: nothing is accepted for a while. */
  bool (*has_room)(void *user);
  /* Each connection that is accepted. True: it went elsewhere; false: it is this listener's. */
  bool (*take)(int fd, const t2_address *peer, void *user);
} t2_deal_ops;

typedef struct t2_listener_options {
  const char *address;      /* "HOST:PORT", "[V6]:PORT"; host is a literal address or "localhost" (which is
                               127.0.0.1); port 0: any. "fd:N": a socket that listens already, the listener's
                               from t2_listener_new on if that succeeds */
  t2_tls *tls;              /* NULL: clear */
  bool clear_too;           /* what does not begin as a TLS client does is taken in the clear */
  unsigned backlog;         /* 0: 1024 */
  unsigned connections_max; /* open at once, handshakes included; 0: no bound. Past it accepting pauses until
                               one closes */
  uint64_t handshake_timeout_ms; /* 0: 10 s */
  bool reuse_port;               /* SO_REUSEPORT */
  /* Each connection begins with a PROXY protocol header, before TLS, within so many ms: its peer is who that
   * says. One without it is closed. 0: there is none. */
  uint64_t proxy_header_ms;
  const t2_pass_ops *pass; /* NULL: none is passed on; outlives the listener */
  void *pass_user;
  uint64_t hello_ms;   /* for the hello, where it is read; 0: 10 s */
  t2_accepts *accepts; /* whom it lets in, and counts; outlives the connections. NULL: everybody, uncounted */
  bool held;           /* nothing is accepted until t2_listener_hold says so */
  const t2_deal_ops *deal; /* NULL: all are its own; outlives the listener */
  void *deal_user;
  bool fed;          /* it has no socket, and no address: its connections come by t2_listener_feed */
  atomic_uint *load; /* made one less for each connection that is gone; NULL: not wanted */
} t2_listener_options;

/* The connection is the callee's: it sets ops at once, or closes it. */
typedef void (*t2_accept_cb)(t2_listener *listener, t2_conn *conn, void *user);
typedef void (*t2_listener_close_cb)(void *user);

/* 0; T2_ERR_INVALID, T2_ERR_CONFLICT (address in use), T2_ERR_FORBIDDEN (a port for root alone), T2_ERR_IO,
 * T2_ERR_NOMEM with a sentence in detail that names the address. */
int t2_listener_new(t2_listener **out, t2_loop *loop, const t2_listener_options *options, t2_accept_cb cb,
                    void *user, char *detail, size_t detail_size);
/* "127.0.0.1:40123": the address bound, with the real port. Valid as long as the listener. */
const char *t2_listener_address(const t2_listener *listener);
uint16_t t2_listener_port(const t2_listener *listener);
/* Its descriptor, for handing it to another process; -1 once it is stopped. */
int t2_listener_socket(const t2_listener *listener);
/* A connection, accepted elsewhere; the descriptor is the listener's from here on. */
void t2_listener_feed(t2_listener *listener, int fd, const t2_address *peer);
/* True: connections wait in the system's queue; false: they are accepted. */
void t2_listener_hold(t2_listener *listener, bool held);
/* Another connections_max from now on; those that are open stay. */
void t2_listener_set_max(t2_listener *listener, unsigned connections_max);
/* Accepts what waits already (unless it is held), and no more: the socket is closed. Connections in the TLS
 * handshake or before it have opening_ms to be handed over; cb (may be NULL) comes when none is left, also
 * from inside, unless t2_listener_close comes first. */
void t2_listener_stop(t2_listener *listener, uint64_t opening_ms, t2_listener_close_cb cb, void *user);
/* Stops accepting, drops handshakes under way; connections handed over live on. Freed later; cb (may be NULL)
 * after that. */
void t2_listener_close(t2_listener *listener, t2_listener_close_cb cb, void *user);

/* Out of descriptors (EMFILE): the listener logs once, pauses accepting for 100 ms, and goes on; nothing
 * spins. */

#endif
