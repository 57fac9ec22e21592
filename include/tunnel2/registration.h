/* A session at a control plane on its own, for those who build a client of their own, or something that hands
 * sessions out. t2_client does all of this and opens the uplinks too; this registers the session, keeps its
 * lease, renews its ticket before that runs out, tells of the entries, and deletes the session at the end.
 * What is done with ticket and entries is the caller's business (docs/PROTOCOL.md says how an uplink is
 * opened with them).
 *
 *   t2_registration_new ──▶ t2_registration_start ──▶ REGISTERED ──▶ (TICKET | ENTRIES …)
 *                                 ▲                      │
 *                                 └── RETRYING ◀── LOST ─┘
 *   t2_registration_end, or what no retry mends ──▶ ENDED;   t2_registration_close frees it, whenever
 *
 * Bound to one uv_loop_t: every call and every callback is on that loop's thread. A call of this header may
 * be made from inside of a callback. */
#ifndef TUNNEL2_REGISTRATION_H
#define TUNNEL2_REGISTRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/allocator.h>
#include <tunnel2/error.h>
#include <tunnel2/log.h>
#include <tunnel2/ticket.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A session, registered or on its way to be. Opaque; made by t2_registration_new. */
typedef struct t2_registration t2_registration;

/* What has happened. */
typedef enum t2_registration_event_type {
  T2_REGISTRATION_REGISTERED = 1, /* the control plane knows the session; again after each LOST */
  T2_REGISTRATION_TICKET = 2,     /* there is a new ticket: what is opened from now on shows this one */
  T2_REGISTRATION_ENTRIES = 3,    /* the entries are others now: the whole list */
  T2_REGISTRATION_REVOKED = 4,    /* reason: tickets are void. Of one ticket: TICKET follows; of the session:
                                   * ENDED does */
  T2_REGISTRATION_LOST = 5,       /* the control plane is out of reach: error, reason. Tickets stay good */
  T2_REGISTRATION_RETRYING = 6,   /* the next attempt comes in delay_ms: error, reason */
  T2_REGISTRATION_ENDED = 7       /* for good: error (0 after t2_registration_end), reason. The last event */
} t2_registration_event_type;

/* Where an uplink of the session's is to be opened. */
typedef struct t2_registration_entry {
  const char *id;     /* what a ticket's audience names */
  const char *uplink; /* "https://192.0.2.7:12001" */
} t2_registration_entry;

/* Pointers are valid during the callback. What is known of the session is in every event, whatever its type:
 * session, lease_seconds, ticket, urls and entries, NULL or 0 before it was registered. */
typedef struct t2_registration_event {
  t2_registration_event_type type; /* what has happened */
  const char *session;             /* its id or name */
  unsigned lease_seconds;          /* how long it lives without a sign of life, which the library gives */
  const char *ticket;              /* a JWT: a secret */
  const char *const
      *urls;        /* url_count addresses of the public's; of TCP and UDP sessions the entries say them */
  size_t url_count; /* of urls */
  const t2_registration_entry *entries; /* entry_count of them */
  size_t entry_count;                   /* of entries */
  int error;                            /* a t2_error, or 0 */
  const char *reason;                   /* a sentence for a person, or NULL */
  uint64_t delay_ms;                    /* RETRYING: milliseconds to the next attempt */
} t2_registration_event;

/* Called for each event, on the loop's thread, never from inside of t2_registration_new. */
typedef void (*t2_registration_event_cb)(t2_registration *registration, const t2_registration_event *event,
                                         void *user);
/* Called once, when the registration has been freed. */
typedef void (*t2_registration_close_cb)(void *user);

/* What is registered, and where. Strings are copied by t2_registration_new; NULL means the default. */
typedef struct t2_registration_options {
  size_t size;                   /* set by t2_registration_options_init; lets the struct grow */
  const t2_allocator *allocator; /* outlives the registration; NULL: malloc and free */
  t2_log_cb log;                 /* NULL: nothing is logged */
  void *log_user;                /* given to log */
  t2_log_level log_level;        /* T2_LOG_INFO */
  const char *server;            /* the control plane, "https://127.0.0.1:12002" */
  const char *token;             /* required; 16 to 256 characters; its owner is the session's */
  const char *session;           /* UUID or name [a-z0-9-]{3,63}; NULL: one is made */
  const char *ca_file;           /* PEM: trust for the control plane; NULL: the system's */
  t2_session_kind kind;          /* T2_SESSION_HTTP */
  uint16_t remote_port;          /* TCP, UDP: the port asked for at each entry; 0: any */
  /* As in t2_client_options: who of the public may ask, and names of the session's own. */
  const char *const *allow_ips;
  size_t allow_ip_count;             /* at most 16 */
  const char *basic_auth;            /* "USER:PASSWORD"; sent as a salted hash */
  const char *const *hostnames;      /* "www.example.com" */
  size_t hostname_count;             /* at most 8 */
  uint64_t retry_min_ms;             /* the first delay's upper bound; 200 */
  uint64_t retry_max_ms;             /* and the last's; 5,000 */
  t2_registration_event_cb on_event; /* may be NULL */
  void *user;                        /* given to on_event */
  const char *sticky_cookie;         /* as in t2_client_options */
  const char *sticky_header;         /* likewise */
} t2_registration_options;

/* Sets every option to its default. */
T2_API void t2_registration_options_init(t2_registration_options *options);

/* Checks the options and makes a registration that does nothing yet. The caller owns *registration and ends
 * it with t2_registration_close before the loop is closed; options may be freed at once.
 *
 * 0, or with *registration NULL and a sentence in detail[detail_size] (NULL with 0: not wanted):
 * T2_ERR_INVALID, an option; T2_ERR_UNSUPPORTED, a server that is not https; T2_ERR_NOT_FOUND or
 * T2_ERR_CERTIFICATE, the CA file; T2_ERR_NOMEM. */
T2_API int t2_registration_new(t2_registration **registration, uv_loop_t *loop,
                               const t2_registration_options *options, char *detail, size_t detail_size);

/* Begins: registers, and goes on until t2_registration_end or t2_registration_close. 0; T2_ERR_STATE: it was
 * started before. Failures come as events: what may pass is retried without end, with exponential backoff and
 * full jitter; what can't (token refused, session owned by another) is ENDED. */
T2_API int t2_registration_start(t2_registration *registration);

/* Asks for a new ticket now, as when an entry refused the one there is: TICKET comes. 0; T2_ERR_STATE: the
 * control plane is out of reach (a new ticket comes with REGISTERED), or the registration has ended. */
T2_API int t2_registration_renew(t2_registration *registration);

/* What the control plane is told of the session with the next heartbeat, for its lists: exchanges under way,
 * exchanges in all, and bytes of content towards and from the origin since the start. */
T2_API void t2_registration_report(t2_registration *registration, uint64_t active, uint64_t requests,
                                   uint64_t bytes_to_origin, uint64_t bytes_from_origin);

/* Deletes the session at the control plane, which makes its tickets void and closes uplinks that were opened
 * with them; ENDED comes when that is done, or after timeout_ms, or soon when the control plane is out of
 * reach (the session then ends with its lease). 0; T2_ERR_STATE: it has ended, or is about to. */
T2_API int t2_registration_end(t2_registration *registration, uint64_t timeout_ms);

/* Closes the connection at once, without deleting the session (which ends with its lease), and frees the
 * registration, later; cb (may be NULL) is the last call. Once, from wherever. */
T2_API void t2_registration_close(t2_registration *registration, t2_registration_close_cb cb, void *user);

/* The session's id or name: "" before one is known. Valid until the next event, or t2_registration_close. */
T2_API const char *t2_registration_session(const t2_registration *registration);

/* The newest ticket: NULL before there is one. Valid as t2_registration_session. */
T2_API const char *t2_registration_ticket(const t2_registration *registration);

/* Does the control plane know the session, on a connection that is up? */
T2_API bool t2_registration_is_registered(const t2_registration *registration);

#ifdef __cplusplus
}
#endif
#endif
