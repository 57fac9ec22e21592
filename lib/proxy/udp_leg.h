/* A leg that is a UDP flow: the datagrams between one remote address and the origin, as DATAGRAM capsules
 * (RFC 9297) in a tunnel by connect-udp (RFC 9298).
 *
 *   downstream, of a remote address at an entry:   WAITING ──the answer makes it a tunnel──▶ OPEN
 *   upstream:   NEW ──head──▶ WAITING (it resolves) ──has a socket: 101──▶ OPEN
 *   OPEN ──idle, let go──▶ ENDING ──the other side has ended too, or T2_UDP_ENDING_MS──▶ gone
 *    any ──refused, failed, the other side has ended──▶ gone
 *
 * Datagrams that the exchange can't take yet wait in a queue that drops the oldest. Those for the socket
 * never wait, and those that come before the upstream leg has one are lost. All that a t2_udp_legs holds is
 * bounded by T2_UDP_HELD_MAX, past which new datagrams are dropped; so is what has come of capsules that are
 * not whole yet, past which their flows fail.
 *
 * Where a name has several addresses ("localhost" mostly has two), a flow of which nothing was heard goes
 * over to the next when the system says that nobody is there, and its last datagram goes with it.
 */
#ifndef T2_PROXY_UDP_LEG_H
#define T2_PROXY_UDP_LEG_H

#include <net/udp.h>
#include <proxy/exchange.h>

#define T2_UDP_HELD_MAX      ((size_t)16 << 20)
#define T2_UDP_ENDING_MS     5000
#define T2_UDP_ADDRESSES_MAX 4 /* of an origin's name */
#define T2_UDP_PROTOCOL      T2_STR("connect-udp")

/* The flows of one owner. Embedded. */
typedef struct t2_udp_legs {
  t2_loop *loop;
  t2_list list, ending;
  size_t count;     /* of `list` */
  size_t held;      /* bytes that wait, or were given and are not yet consumed */
  size_t partial;   /* bytes of capsules that have come in part, bounded likewise */
  uint64_t idle_ms; /* a flow without a datagram for so long is ended; 0: never */
  uint64_t dropped; /* datagrams */
  bool failing;     /* the origin is out of reach, and that was logged */
  /* Upstream: the origin's name, as it was at resolved_ms, and which address flows begin with. */
  t2_address addresses[T2_UDP_ADDRESSES_MAX];
  unsigned address_count, address_at;
  uint64_t resolved_ms, failed_ms; /* 0: never */
} t2_udp_legs;

/* What the owner of a downstream leg is told. */
typedef struct t2_udp_leg_ops {
  /* A datagram for the remote address. */
  void (*on_datagram)(const uint8_t *bytes, size_t n, void *user);
  /* The last call; opened: it was a tunnel. Not after t2_udp_leg_end. */
  void (*on_gone)(bool opened, void *user);
} t2_udp_leg_ops;

/* Of upstream ones; outlive the legs. */
typedef struct t2_udp_leg_options {
  t2_str host;
  uint16_t port;
} t2_udp_leg_options;

void t2_udp_legs_init(t2_udp_legs *legs, t2_loop *loop);
/* A downstream leg: to be given to t2_exchange_new, or to t2_udp_leg_end. NULL when there is no memory. */
t2_leg *t2_udp_leg_accepted(t2_udp_legs *legs, const t2_udp_leg_ops *ops, void *user);
/* A datagram of the remote address; the leg may be gone after it. */
void t2_udp_leg_datagram(t2_leg *leg, const uint8_t *bytes, size_t n);
/* Lets go of a leg: in order, if it is a tunnel. */
void t2_udp_leg_end(t2_leg *leg);
/* An upstream leg, to be given to t2_exchange_connect at once. NULL when there is no memory. Failures are at
 * T2_AT_DIAL and T2_AT_ORIGIN. */
t2_leg *t2_udp_leg_dialling(t2_udp_legs *legs, const t2_udp_leg_options *options);
/* Lets go of all of them. */
void t2_udp_legs_end(t2_udp_legs *legs);
/* Fails the exchanges of all of them with T2_ERR_CANCELLED; on_gone does not come, none is left. */
void t2_udp_legs_close(t2_udp_legs *legs);

#endif
