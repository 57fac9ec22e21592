/* An uplink: the connection to one entry on which the entry asks and this side answers. It comes back by
 * itself.
 *
 *   IDLE ──start──▶ DIALLING ──▶ UPGRADING ──101──▶ UP ──drain──▶ DRAINING ──streams done──┐
 *                    ▲   │           │               │                                     ▼
 *              backoff   └───────────┴──────lost─────┘      any ──t2_uplink_close──▶ CLOSING ──▶ on_gone
 *                    │              ▼
 *                    └────────── WAITING            UP ──GOAWAY of the entry: on_going──▶ DRAINING
 */
#ifndef T2_CLIENT_UPLINK_H
#define T2_CLIENT_UPLINK_H

#include <net/tls.h>
#include <proxy/h2_conn.h>
#include <proxy/target.h>

typedef struct t2_uplink t2_uplink;

typedef struct t2_uplink_options {
  t2_proxy *proxy;
  t2_str entry;            /* id; copied */
  t2_str url;              /* "https://host:port", or "http://host:port" where `clear` says so; copied */
  t2_tls *tls;             /* ALPN http/1.1; outlives the uplink */
  uint32_t concurrent_max; /* streams the entry may open at once; 0: none for now */
  uint64_t retry_min_ms, retry_max_ms;
  const char *instance; /* UUID of this client; outlives the uplink */
  uint32_t weight;      /* 1 to T2_PTTH_WEIGHT_MAX */
  bool clear;           /* http:// is dialled, at private addresses */
  bool clear_anywhere;  /* and at others */
} t2_uplink_options;

/* Why there is no uplink. */
typedef struct t2_uplink_loss {
  int err;
  int status;         /* of an answer that was not 101, or 0 */
  const char *reason; /* a sentence for a person */
  uint64_t delay_ms;  /* the next attempt comes in */
  bool was_up;
  bool going; /* it finishes what is under way */
} t2_uplink_loss;

/* t2_uplink_close may be called from each. */
typedef struct t2_uplink_ops {
  /* The ticket to show; copied. */
  t2_str (*on_dial)(t2_uplink *uplink, void *user);
  void (*on_up)(t2_uplink *uplink, void *user);
  void (*on_lost)(t2_uplink *uplink, const t2_uplink_loss *loss, void *user);
  /* The entry opens no more streams: those under way finish, then it is gone. */
  void (*on_going)(t2_uplink *uplink, void *user);
  /* As t2_h2_conn_ops.on_request. */
  void (*on_request)(t2_uplink *uplink, t2_exchange *exchange, t2_head *head, bool end, void *user);
  /* The last call, after t2_uplink_drain or t2_uplink_close; freed later. */
  void (*on_gone)(t2_uplink *uplink, void *user);
} t2_uplink_ops;

/* 0; T2_ERR_INVALID with a sentence in detail for a URL that is none; T2_ERR_NOMEM. */
int t2_uplink_new(t2_uplink **out, const t2_uplink_options *options, const t2_uplink_ops *ops, void *user,
                  char *detail, size_t detail_size);
/* Dials, in delay_ms. Does nothing when it has begun. */
void t2_uplink_start(t2_uplink *uplink, uint64_t delay_ms);
/* Where to dial from now on: 0, or T2_ERR_INVALID (the old URL stays). What is up stays up. */
int t2_uplink_set_url(t2_uplink *uplink, t2_str url);
/* There is a new ticket: one that was refused for its ticket, for the first time in a row, tries again at
 * once. */
void t2_uplink_renewed(t2_uplink *uplink);
/* For the next dial; outlives the uplink. */
void t2_uplink_set_tls(t2_uplink *uplink, t2_tls *tls);
bool t2_uplink_is_up(const t2_uplink *uplink);
/* How long ago it came up, also when the entry is going now; 0 when it never did. */
uint64_t t2_uplink_up_ms(const t2_uplink *uplink);
/* Streams that are open now. */
size_t t2_uplink_active(const t2_uplink *uplink);
/* How many the entry may open at once from now on. */
void t2_uplink_set_concurrent_max(t2_uplink *uplink, uint32_t n);
const char *t2_uplink_entry(const t2_uplink *uplink);
/* Where the public reaches a session that is not of HTTP at this entry, as that said last: not checked; or
 * "". For t2_client_addresses_read. */
const char *t2_uplink_address(const t2_uplink *uplink);
/* Takes no new requests, and is gone after those under way; at once when it isn't up. */
void t2_uplink_drain(t2_uplink *uplink);
void t2_uplink_close(t2_uplink *uplink);

#endif
