/* The client side of an HTTP/1.1 connection: an upstream leg that carries one request after the other to an
 * origin.
 *
 *   new ──head──▶ DIALLING ──connected──▶ BUSY ──answer whole──▶ DONE ──▶ IDLE ──head──▶ BUSY
 *                    ▲                     │                                │
 *                    └──stale, once────────┤                                │
 *   GONE ◀──no connection, cut, malformed, given up, not to be kept─────────┘ origin's FIN or a byte too
 * many, idle too long
 *
 * A request that is given while there is no connection yet waits in `request`. Of a safe request without
 * content on a connection that has been used before, `request` keeps the bytes until the first byte of the
 * answer: when the connection turns out to be stale (the origin closed it meanwhile; RFC 9112, 9.3.1), they
 * are sent once more, on a new one.
 *
 * The object, its parser and its buffers serve as long as the connection is kept: a request allocates nothing
 * here.
 */
#ifndef T2_PROXY_H1_CLIENT_H
#define T2_PROXY_H1_CLIENT_H

#include <http/h1.h>
#include <net/dialer.h>
#include <proxy/exchange.h>
#include <proxy/ws_handshake.h>

typedef struct t2_h1_client t2_h1_client;

/* What the connections of one pool share; outlives them. */
typedef struct t2_h1_client_options {
  t2_dial_options dial;
  t2_str host_header; /* instead of the request's authority; empty: that is kept */
  uint64_t idle_timeout_ms;
  t2_h1_limits limits;
} t2_h1_client_options;

typedef struct t2_h1_client_ops {
  /* A dial has ended: err 0, or why there is no connection. For logs. */
  void (*on_dialled)(t2_h1_client *client, int err, const char *detail, void *user);
  /* The exchange is over and the connection can carry another. The callee may close it. */
  void (*on_idle)(t2_h1_client *client, void *user);
  /* The last call; the object is freed later. */
  void (*on_gone)(t2_h1_client *client, void *user);
} t2_h1_client_ops;

typedef enum t2_h1_client_state {
  T2_H1_CLIENT_NEW,
  T2_H1_CLIENT_DIALLING,
  T2_H1_CLIENT_BUSY,
  T2_H1_CLIENT_DONE, /* the exchange is over; the input that came with its end is still being looked at */
  T2_H1_CLIENT_IDLE,
  T2_H1_CLIENT_GONE
} t2_h1_client_state;

/* Written by h1_client.c alone, but for `node`. */
struct t2_h1_client {
  t2_list node; /* the owner's */
  t2_leg leg;   /* to be given one exchange after the other, when NEW or IDLE */
  t2_h1_client_state state;
  t2_loop *loop;
  const t2_h1_client_options *options;
  t2_h1_client_ops ops;
  void *user;
  t2_dial *dial; /* DIALLING */
  t2_conn *conn; /* BUSY, DONE, IDLE */
  t2_h1_parser *parser;
  t2_buf request; /* not sent yet, or kept for sending it again */
  t2_buf held;    /* input beyond the window */
  t2_timer timer; /* idle */
  /* The exchange. */
  t2_h1_framing framing; /* of the request */
  uint64_t length_left;  /* FRAMING_LENGTH: content still to come */
  size_t opening;        /* bytes of `request` that are its head */
  size_t waiting;        /* bytes of content in `request` */
  size_t unacked;        /* content in the output, not yet reported as consumed */
  size_t given;          /* content given to the exchange and not yet consumed */
  unsigned interim;      /* 1xx heads so far */
  bool replayable;       /* may be sent again */
  bool connect;          /* the request asks for a tunnel */
  bool upgrade;          /* by an Upgrade */
  bool tunnel;           /* it is one */
  bool request_ended, response_ended;
  bool processing;                   /* the input is being parsed further up the stack */
  bool stalled;                      /* parsing stopped at the window's end */
  bool eof;                          /* the origin's FIN came */
  char accept[T2_WS_ACCEPT_LEN + 1]; /* that the WebSocket's key, which was made here, asks for; "":
                                               none was */
  t2_reapable reapable;
};

/* A connection that is dialled with the first request. NULL when there is no memory. */
t2_h1_client *t2_h1_client_new(t2_loop *loop, const t2_h1_client_options *options,
                               const t2_h1_client_ops *ops, void *user);
/* A new one that does not have to dial: it takes conn over, and is IDLE at once (on_idle comes from inside).
 */
void t2_h1_client_adopt(t2_h1_client *client, t2_conn *conn);
/* Gives the connection up, failing the exchange on it with err (T2_AT_ORIGIN). on_gone comes from inside. */
void t2_h1_client_close(t2_h1_client *client, int err);

#endif
