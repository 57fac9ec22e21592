/* The uplinks of an entry: how one is opened, which of a session's takes a request, and how they end. */
#ifndef T2_ENTRY_UPLINKS_H
#define T2_ENTRY_UPLINKS_H

#include <entry/ports.h>
#include <entry/revocations.h>
#include <entry/sessions.h>
#include <entry/waiting.h>
#include <proxy/h2_conn.h>
#include <proxy/server.h>

typedef struct t2_uplink_farewell t2_uplink_farewell;

/* What uplinks tell the other workers of an entry that has several, and ask of them (crossing.c). */
typedef struct t2_uplinks_far {
  /* One has been opened, by that ticket: what `gone` is given when it is gone, which needs no memory then; or
   * NULL when there is none. */
  t2_uplink_farewell *(*opened)(t2_uplinks *uplinks, const t2_entry_uplink *uplink, const t2_ticket *ticket);
  void (*gone)(t2_uplinks *uplinks, t2_uplink_farewell *farewell);
  /* Where ports are another worker's: the session's is asked for, and t2_uplinks_on_port comes, or the
   * request ends. Calls t2_exchange_connect or t2_exchange_refuse. */
  void (*ask_port)(t2_uplinks *uplinks, const t2_server_request *request, t2_entry_uplink *uplink,
                   const t2_ticket *ticket);
} t2_uplinks_far;

struct t2_uplinks {
  t2_proxy *proxy;   /* of the public's exchanges */
  const char *entry; /* id, which tickets have to name; outlives this */
  const t2_keys *keys;
  t2_revocations revocations;
  t2_entry_sessions sessions;
  t2_entry_ports *ports;     /* of TCP sessions; NULL: there are none */
  t2_entry_ports *udp_ports; /* of UDP sessions; likewise */
  uint16_t tls_port;         /* that of all TLS sessions; 0: there is none */
  /* What clients are told with the port, of TLS and of the others; they outlive this. */
  const char *public_host, *ports_host;
  t2_list list;
  size_t count, max;
  uint64_t total;            /* opened since the start */
  uint64_t numbers;          /* of the uplink that was made last */
  uint64_t random;           /* for choosing; no secret */
  bool closed;               /* no more are opened */
  bool moved;                /* those that are opened are asked to dial anew */
  uint64_t ping_interval_ms; /* of silence; after as much again without an answer an uplink is given up */
  size_t queue_max;          /* requests of one session that wait; waiting.c */
  uint64_t queue_timeout_ms; /* for so long */
  t2_leg waiter;             /* waiting.c's */
  size_t waiting;            /* requests of all sessions, now */
  uint64_t waited, retried;  /* requests since the start: that had to wait, that were asked again */
  const t2_uplinks_far *far; /* NULL: there is one worker */
  void (*on_up)(t2_entry_session *session, void *user); /* it has one more that takes requests; may be NULL */
  void (*on_gone)(void *user);                          /* one is; may be NULL */
  void *user;
};

void t2_uplinks_init(t2_uplinks *uplinks, t2_proxy *proxy, const char *entry, const t2_keys *keys,
                     size_t max);
/* No uplink and no exchange is left. */
void t2_uplinks_fini(t2_uplinks *uplinks);

/* A request on the uplink listener: opens an uplink, or refuses. */
void t2_uplinks_on_request(t2_uplinks *uplinks, const t2_server_request *request);
/* The leg for one more request of the session: by the value that its terms name, if these fields (NULL: there
 * are none) have it (sticky.h); else on the less busy of two uplinks taken at random, each by its
 * weight; one that does not answer PINGs only when there is no other. NULL when none has room.
 */
t2_leg *t2_uplinks_pick(t2_uplinks *uplinks, const t2_entry_session *session, const t2_fields *fields);
/* Without those at other workers. */
t2_leg *t2_uplinks_pick_here(t2_uplinks *uplinks, const t2_entry_session *session, const t2_fields *fields);
/* May an upgrade be asked of a leg that was picked? Of those elsewhere that is seen there. */
bool t2_uplinks_leg_upgrades(const t2_leg *leg);

/* Of an uplink, for other workers: a number that no other one here has, of its client's process, and how much
 * it weighs. */
uint64_t t2_uplink_number(const t2_entry_uplink *uplink);
uint64_t t2_uplink_instance(const t2_entry_uplink *uplink);
uint32_t t2_uplink_weight(const t2_entry_uplink *uplink);
t2_entry_session *t2_uplink_session(const t2_entry_uplink *uplink);
/* The session's port is known (err 0), or there is none: the request, which need not have a head any more, is
 * answered. */
void t2_uplinks_on_port(t2_uplinks *uplinks, const t2_server_request *request, t2_entry_uplink *uplink,
                        const t2_ticket *ticket, int err, const char *detail, uint16_t port);
/* The request has gone before that. */
void t2_uplinks_no_port(t2_entry_uplink *uplink);
/* Opens a port for the session: 0, or, with a detail, as t2_entry_ports_open. */
int t2_uplinks_open_port(t2_uplinks *uplinks, t2_entry_session *session, uint16_t asked, char *detail,
                         size_t detail_size);
/* When a session that is known by that ticket now may be forgotten, on the loop's clock. */
uint64_t t2_uplinks_expiry(const t2_uplinks *uplinks, const t2_ticket *ticket);

/* Notes what was revoked, and closes the uplinks it covers. */
void t2_uplinks_revoke(t2_uplinks *uplinks, const t2_message *message);
/* Another process takes this one's place at the uplink's address: clients are asked to dial that as well.
 * What is open here takes requests as before. */
void t2_uplinks_reattach(t2_uplinks *uplinks);
/* GOAWAY on all of them; no more are opened. */
void t2_uplinks_drain(t2_uplinks *uplinks);
void t2_uplinks_close(t2_uplinks *uplinks);

#endif
