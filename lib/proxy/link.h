/* The link of a client or an entry to the control plane: registers, keeps the control channel open, and comes
 * back by itself.
 *
 *   IDLE ──start──▶ DIALLING ──▶ REGISTERING ──201──▶ OPENING ──200──▶ UP
 *                     ▲   │             │                  │             │
 *               backoff   └─────────────┴───────lost───────┴─────────────┘
 *                     │                          ▼
 *                  WAITING ◀──has closed── ENDING            any ──t2_link_close──▶ CLOSING ──▶ on_gone
 *
 *   UP ──PARK──▶ PARKING ──has closed──▶ PARKED ──in time, or needed──▶ DIALLING ──▶ OPENING ──200──▶ UP
 *                                                                        the first LEASE: on_back ◀───┘
 *
 * Whatever ends the channel ends the connection, and the next one registers again. What is registered, and
 * what the answer says, is the owner's business. A link that is parked is not lost: it opens the channel of
 * what it has registered already, and registers only when that is not there any more (404).
 */
#ifndef T2_PROXY_LINK_H
#define T2_PROXY_LINK_H

#include <net/tls.h>
#include <proxy/channel.h>
#include <proxy/target.h>

#define T2_LINK_ANSWER_MAX 65536 /* bytes of an answer to a registration */
#define T2_LINK_PATH_MAX   127

typedef struct t2_link t2_link;

typedef struct t2_link_options {
  t2_proxy *proxy; /* of its requests; apart from that of the exchanges it reports on */
  t2_target server;
  t2_tls *tls;       /* ALPN h2 */
  const char *token; /* outlives the link, as does: */
  const char *path;  /* what registrations are posted to: "/v1/sessions" */
  const char *what;  /* what is registered, for reasons: "session" */
  uint64_t retry_min_ms, retry_max_ms;
  bool parks; /* it may be told to come back later */
} t2_link_options;

/* What the answer to a registration said. */
typedef struct t2_link_grant {
  char channel[T2_LINK_PATH_MAX + 1]; /* path */
  unsigned lease_seconds;
} t2_link_grant;

/* Why there is no link. */
typedef struct t2_link_loss {
  int err;
  int status;         /* of an answer that was no success, or 0 */
  const char *reason; /* a sentence for a person */
  uint64_t delay_ms;  /* the next attempt comes in */
  bool was_up;        /* registered on this link */
} t2_link_loss;

/* t2_link_close may be called from each. */
typedef struct t2_link_ops {
  /* Appends the JSON to register with: 0 or an error. */
  int (*on_register)(t2_link *link, t2_buf *body, void *user);
  /* Reads the answer, acts on it, and fills the grant. 0, or an error with a sentence in detail. */
  int (*on_registered)(t2_link *link, t2_str answer, t2_link_grant *grant, char *detail, size_t detail_size,
                       void *user);
  /* Whatever the control plane sends but leases and drain. */
  void (*on_message)(t2_link *link, const t2_message *message, void *user);
  /* It is retried until t2_link_close. */
  void (*on_lost)(t2_link *link, const t2_link_loss *loss, void *user);
  /* Fills the reports of a heartbeat. */
  void (*on_report)(t2_link *link, t2_message *heartbeat, void *user);
  /* What t2_link_delete asked for was done, or could not be. May be NULL where that is not called. */
  void (*on_deleted)(t2_link *link, void *user);
  /* What was parked is back, and still registered. May be NULL where it never parks. */
  void (*on_back)(t2_link *link, void *user);
  /* The last call, after t2_link_close; freed later. */
  void (*on_gone)(t2_link *link, void *user);
} t2_link_ops;

/* options are copied. 0 or T2_ERR_NOMEM. */
int t2_link_new(t2_link **out, const t2_link_options *options, const t2_link_ops *ops, void *user);
/* Also after t2_link_watch: registers again. */
void t2_link_start(t2_link *link);
/* Another process goes on under the same name: the control plane is not told that this is a leave. What comes
 * is listened to all the same, by a channel at that path, for which nothing is registered: messages come, and
 * on_registered and on_lost do not. path outlives the link. */
void t2_link_watch(t2_link *link, const char *path);
/* Other credentials from the next request and the next connection on; the caller's, and outliving the link
 * likewise. */
void t2_link_set_credentials(t2_link *link, const char *token, t2_tls *tls);
/* Registers once more: on_registered comes, or on_lost. Nothing happens when the link is not up: it will
 * register by itself. */
void t2_link_register(t2_link *link);
/* A registration is on its way. */
bool t2_link_registering(const t2_link *link);
/* Registered, and the channel open or opening. */
bool t2_link_is_up(const t2_link *link);
/* From when it is parked until it is lost, or on_back or on_registered comes. */
bool t2_link_is_away(const t2_link *link);
/* One that is away is needed: it comes back at once (0), or some time within within_ms, though not more than
 * once a second. */
void t2_link_hurry(t2_link *link, uint64_t within_ms);
/* What it was to hurry for within some time has come about without it. */
void t2_link_calm(t2_link *link);
/* DELETE path: on_deleted comes, within timeout_ms, or on_lost when the link is lost meanwhile; or false when
 * there is no way to ask, and it does not come. */
bool t2_link_delete(t2_link *link, const char *path, uint64_t timeout_ms);
void t2_link_close(t2_link *link);

#endif
