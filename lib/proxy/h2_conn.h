/* An HTTP/2 connection on a transport, whose streams are legs: the public and API servers, the uplink at both
 * its ends, and the client of the control API. */
#ifndef T2_PROXY_H2_CONN_H
#define T2_PROXY_H2_CONN_H

#include <http/h2.h>
#include <net/conn.h>
#include <proxy/exchange.h>

typedef struct t2_h2_conn t2_h2_conn;

/* On an uplink, a field of a 2xx to an extended CONNECT: the origin gave an ordinary answer to an HTTP/1.1
 * Upgrade, which in HTTP/2 would mean that it was granted. */
#define T2_H2_DECLINED "tunnel2-upgrade-declined"

/* All may be NULL. */
typedef struct t2_h2_conn_ops {
  /* Server: a request. The callee calls t2_exchange_connect or t2_exchange_refuse before it returns. */
  void (*on_request)(t2_h2_conn *h2_conn, t2_exchange *exchange, t2_head *head, bool end, void *user);
  /* The peer has our SETTINGS. */
  void (*on_settled)(t2_h2_conn *h2_conn, void *user);
  /* Client: the peer takes no new streams (GOAWAY). Server of an uplink: the peer wants to be dialled anew,
   * by GOAWAY or t2_h2_conn_reattach; what is under way here goes on, and in the second case requests still
   * come. May come twice. */
  void (*on_going)(t2_h2_conn *h2_conn, void *user);
  /* A place for a new stream may have come free, or the peer's settings came. */
  void (*on_capacity)(t2_h2_conn *h2_conn, void *user);
  /* Client, with keep_max: the peer did not act on the request of this leg, or the connection was lost before
   * anything of an answer came, and it does no harm to ask again: nothing of the request had gone out, or its
   * method is safe (on an uplink: or idempotent; RFC 9110, 9.2.2). The callee may put another leg in its
   * place by t2_exchange_hand_over, repeats_max times in an exchange; else the exchange fails. */
  void (*on_unprocessed)(t2_h2_conn *h2_conn, t2_leg *leg, const t2_held *request, void *user);
  /* The last call; exchanges on it have been failed before. detail may be "". */
  void (*on_close)(t2_h2_conn *h2_conn, int err, const char *detail, void *user);
} t2_h2_conn_ops;

typedef struct t2_h2_conn_options {
  t2_h2_options h2;
  uint64_t ping_interval_ms; /* PING when nothing was read for so long; 0: never */
  uint64_t ping_timeout_ms;  /* without anything read: the connection is closed with T2_ERR_TIMEOUT */
  uint64_t idle_timeout_ms;  /* closed after so long without a stream; 0: never */
  size_t keep_max; /* client: requests are kept for on_unprocessed with up to so many bytes of content, until
                      their answer begins; 0: none */
  unsigned repeats_max;       /* client: how often an exchange is given to on_unprocessed; 1 */
  uint64_t stuck_timeout_ms;  /* a stream that the peer takes nothing of for so long, and half of it more at
                                 most, is reset, but for a tunnel's; a peer that reads nothing at all is closed
                                 with T2_ERR_TIMEOUT; 0: never */
  uint64_t settle_timeout_ms; /* for the peer to acknowledge smaller windows: closed then; 30,000 */
  bool uplink;                /* T2_H2_DECLINED is said, or understood */
  t2_problem_at at;           /* where its failures are: T2_AT_UPLINK mostly */
} t2_h2_conn_options;

void t2_h2_conn_options_init(t2_h2_conn_options *options, bool server);
/* For an uplink, at either end: room for the largest head that the public may send, with what forwarding adds
 * and as HTTP/2 counts it. */
void t2_h2_conn_options_init_uplink(t2_h2_conn_options *options, bool server);

/* Takes conn over (on failure too: it is closed then). 0 or T2_ERR_NOMEM. */
int t2_h2_conn_new(t2_h2_conn **out, t2_proxy *proxy, t2_conn *conn, const t2_h2_conn_options *options,
                   const t2_h2_conn_ops *ops, void *user);
/* Bytes that came with the upgrade, before the connection was taken over. */
void t2_h2_conn_feed(t2_h2_conn *h2_conn, const uint8_t *bytes, size_t n);
/* Client: a leg for one request on a new stream: to be given to t2_exchange_connect at once, which opens the
 * stream by the leg's `head`. NULL when there is no capacity or memory. */
t2_leg *t2_h2_conn_leg(t2_h2_conn *h2_conn);
/* Of such a leg: can its request be an upgrade? Else it is to be declined (t2_exchange_decline_upgrade). */
bool t2_h2_conn_leg_upgrades(const t2_leg *leg);
/* The same of a connection whose peer's SETTINGS have come. */
bool t2_h2_conn_upgrades(const t2_h2_conn *h2_conn);
size_t t2_h2_conn_capacity(const t2_h2_conn *h2_conn);
size_t t2_h2_conn_active(const t2_h2_conn *h2_conn);
/* Has it been asked by a PING, and nothing has been read since? */
bool t2_h2_conn_is_silent(const t2_h2_conn *h2_conn);
/* Server: as t2_h2_set_concurrent_max. Without memory for it the connection is closed with T2_ERR_NOMEM. */
void t2_h2_conn_set_concurrent_max(t2_h2_conn *h2_conn, uint32_t n);
/* GOAWAY, finish what is under way, then close (on_close with 0). */
void t2_h2_conn_drain(t2_h2_conn *h2_conn);
/* Client: has the peer dial anew, where another process has taken this one's place; this connection goes on.
 */
void t2_h2_conn_reattach(t2_h2_conn *h2_conn);
/* Closes at once; on_close comes later with err. */
void t2_h2_conn_close(t2_h2_conn *h2_conn, int err);
t2_conn *t2_h2_conn_transport(const t2_h2_conn *h2_conn);
void *t2_h2_conn_user(const t2_h2_conn *h2_conn);
t2_proxy *t2_h2_conn_proxy(const t2_h2_conn *h2_conn);
/* Of a downstream exchange: the HTTP/2 connection its leg is on, or NULL if it is on none. */
t2_h2_conn *t2_h2_conn_of_leg(const t2_leg *leg);

#endif
