/* A leg that is a TCP connection, whose bytes are the tunnel's.
 *
 *   downstream, of an accepted connection:   WAITING ──the answer makes it a tunnel──▶ OPEN
 *   upstream:   NEW ──head──▶ WAITING (it dials) ──connected: 200──▶ OPEN
 *   OPEN ──both directions ended──▶ PARTING ──all sent──▶ gone
 *     any ──refused, cut, given up: the connection is reset──▶ gone
 *
 * Nothing is read of an accepted connection before it is a tunnel. What comes for a connection that is still
 * being dialled waits, up to T2_TCP_EARLY_MAX. The two directions end on their own: FIN is passed on as the
 * end of one, and everything that is not an orderly end as a reset. A tunnel has no time limit of its own;
 * TCP keepalive finds peers that are gone.
 */
#ifndef T2_PROXY_TCP_LEG_H
#define T2_PROXY_TCP_LEG_H

#include <net/dialer.h>
#include <proxy/exchange.h>

#define T2_TCP_EARLY_MAX (2 * T2_LEG_WINDOW)

/* The connections of one owner. Embedded. */
typedef struct t2_tcp_legs {
  t2_loop *loop;
  t2_list list;
  size_t count;                            /* connections not yet closed, dials included */
  bool failing;                            /* the last dial failed, and that was logged */
  void (*on_gone)(void *user);             /* one is; may be NULL */
  void (*on_dialled)(int err, void *user); /* one is (0), or why not; may be NULL */
  void *user;
} t2_tcp_legs;

/* Of dialled ones; outlive the legs. */
typedef struct t2_tcp_leg_options {
  t2_dial_options dial;
  bool proxy_protocol; /* the header of proxy_protocol.h goes first */
} t2_tcp_leg_options;

void t2_tcp_legs_init(t2_tcp_legs *legs, t2_loop *loop);
/* A downstream leg that takes conn over: to be given to t2_exchange_new, or to t2_tcp_leg_drop. NULL when
 * there is no memory: conn is closed then. */
t2_leg *t2_tcp_leg_accepted(t2_tcp_legs *legs, t2_conn *conn);
/* Resets the connection of a leg that no exchange was made for. */
void t2_tcp_leg_drop(t2_leg *leg, int err);
/* An upstream leg, to be given to t2_exchange_connect at once; its `head` dials. NULL when there is no
 * memory. Failures are at T2_AT_DIAL and T2_AT_ORIGIN. */
t2_leg *t2_tcp_leg_dialling(t2_tcp_legs *legs, const t2_tcp_leg_options *options);
/* Resets all of them, failing their exchanges with T2_ERR_CANCELLED. on_gone does not come; none is left. */
void t2_tcp_legs_close(t2_tcp_legs *legs);

#endif
