/* A bridge carries an exchange from the thread it came to, to the one that has the leg it is for: another
 * worker of the same crew (net/crew.h).
 *
 *   thread A:  who asked ── exchange ── near ┊ far ── exchange ── who answers   :thread B
 *
 * `near` is an upstream leg, `far` a downstream one, so that every kind of exchange crosses alike. What a leg
 * is given it writes down, and at the end of the turn the letter goes to the other one: heads, content, ends
 * with trailers, and what has been consumed, which keeps the account of back-pressure whole: what is under
 * way is bounded by t2_leg_window of who gives it. Forwarding rules, ids and times are A's; a problem that B
 * finds is answered by A.
 *
 * Each half says goodbye once, when its exchange is over, and needs no memory for it. The bridge is gone when
 * both have, and have heard it. */
#ifndef T2_PROXY_BRIDGE_H
#define T2_PROXY_BRIDGE_H

#include <net/crew.h>
#include <proxy/exchange.h>
#include <wire/ticket.h>

#define T2_BRIDGE_HOPS_MAX 2 /* bridges that one request goes over */

typedef struct t2_bridges t2_bridges;

/* What is carried, as the other side is asked. */
typedef struct t2_bridge_request {
  t2_bridges *bridges; /* of this thread */
  t2_exchange *exchange;
  t2_head *head; /* valid during the call */
  bool end;
  const char *session;
  unsigned hops; /* this one included */
} t2_bridge_request;

/* Calls t2_exchange_connect or t2_exchange_refuse before it returns. */
typedef void (*t2_bridge_request_cb)(const t2_bridge_request *request, void *user);

/* Those that begin or end on one worker's thread. Embedded in what outlives the crew's threads; others read
 * `worker` alone. */
struct t2_bridges {
  t2_worker *worker;
  t2_proxy *proxy; /* of the exchanges that come over */
  t2_bridge_request_cb on_request;
  void (*on_idle)(void *user); /* count fell to 0; may be NULL */
  void *user;
  t2_list list;
  size_t count;
  uint64_t total;
  bool closed;
};

/* On the worker's thread. */
void t2_bridges_init(t2_bridges *bridges, t2_worker *worker, t2_proxy *proxy, t2_bridge_request_cb on_request,
                     void *user);
/* Fails all exchanges; no others begin here, or come. on_idle comes when the last is gone; look at count
 * first. */
void t2_bridges_close(t2_bridges *bridges);

/* How many bridges the downstream leg of an exchange has come over. */
unsigned t2_bridge_hops(const t2_leg *down);
/* To be called from `head` of an upstream leg, which is out of the exchange when it succeeds: takes its
 * place, and carries the request over. 0; T2_ERR_NOMEM; T2_ERR_UNAVAILABLE: it has come over too many, or
 * bridges are closed. */
int t2_bridge_open(t2_bridges *from, t2_bridges *to, const char *session, t2_leg *leg, const t2_head *head,
                   bool end);

#endif
