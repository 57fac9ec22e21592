/* The link to the control plane: registers the session, keeps the control channel open, and comes back by
 * itself.
 *
 *   IDLE ──start──▶ DIALLING ──▶ REGISTERING ──201──▶ OPENING ──200──▶ UP
 *                     ▲   │             │                  │             │
 *               backoff   └─────────────┴───────lost───────┴─────────────┘
 *                     │                          ▼
 *                  WAITING ◀──has closed── ENDING            any ──t2_link_close──▶ CLOSING ──▶ on_gone
 *
 * Whatever ends the channel ends the connection, and the next one registers again: under the same session,
 * once that is known.
 */
#ifndef T2_CLIENT_LINK_H
#define T2_CLIENT_LINK_H

#include <client/registration.h>
#include <client/target.h>
#include <net/tls.h>
#include <proxy/channel.h>

typedef struct t2_link t2_link;

typedef struct t2_link_options {
  t2_proxy *proxy; /* of its requests; apart from that of the exchanges it reports on */
  t2_target server;
  t2_tls *tls;          /* ALPN h2 */
  const char *token;    /* these three outlive the link */
  const char *instance; /* a UUID: which of its owner's clients this is */
  const char *session;  /* to register; "": one is made */
  uint64_t retry_min_ms, retry_max_ms;
} t2_link_options;

/* Why there is no link. */
typedef struct t2_link_loss {
  int err;
  int status;         /* of an answer that was no success, or 0 */
  const char *reason; /* a sentence for a person */
  uint64_t delay_ms;  /* the next attempt comes in */
  bool was_up;        /* the session was registered on this link */
} t2_link_loss;

/* t2_link_close may be called from each. */
typedef struct t2_link_ops {
  void (*on_registered)(t2_link *link, const t2_registration *registration, void *user);
  /* Ticket, entries, revoke. */
  void (*on_message)(t2_link *link, const t2_message *message, void *user);
  /* It is retried until t2_link_close. */
  void (*on_lost)(t2_link *link, const t2_link_loss *loss, void *user);
  /* Fills the reports of a heartbeat. */
  void (*on_report)(t2_link *link, t2_message *heartbeat, void *user);
  /* The session was deleted, or could not be: see t2_link_delete. */
  void (*on_deleted)(t2_link *link, void *user);
  /* The last call, after t2_link_close; freed later. */
  void (*on_gone)(t2_link *link, void *user);
} t2_link_ops;

/* options are copied. 0 or T2_ERR_NOMEM. */
int t2_link_new(t2_link **out, const t2_link_options *options, const t2_link_ops *ops, void *user);
void t2_link_start(t2_link *link);
/* Registers once more, for a new ticket or the addresses: on_registered comes, or on_lost. Nothing happens
 * when the link is not up: it will register by itself. */
void t2_link_register(t2_link *link);
/* A registration is on its way. */
bool t2_link_registering(const t2_link *link);
/* The session is registered, and the channel open or opening. */
bool t2_link_is_up(const t2_link *link);
/* Deletes the session: on_deleted comes, within timeout_ms; or false when there is no way to ask, and it does
 * not come. */
bool t2_link_delete(t2_link *link, uint64_t timeout_ms);
void t2_link_close(t2_link *link);

#endif
