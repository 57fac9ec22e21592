/* What the control plane knows: sessions with their owners and leases, entries, and which tickets are void.
 * Sans-I/O: pure data, with the clocks passed in.
 *
 * A session's record:
 *
 *   (none) ──register──▶ LIVE ──renew, or register by the same owner──▶ LIVE
 *                         ├──remove──────▶ PAST, its tickets void
 *                         └──lease over──▶ PAST, its tickets good, until another owner takes the name
 *   LIVE ──park──▶ LIVE, by a longer lease
 *   PAST ──register──▶ LIVE
 *   PAST ──no ticket of it can be alive any more──▶ (none)
 *
 * What is void is said as "tickets for this session issued before T are void", and entries are told of each T
 * that may still matter. So that the tickets of a name registered anew are good, none is issued before its T.
 */
#ifndef T2_CONTROL_STORE_H
#define T2_CONTROL_STORE_H

#include <base/list.h>
#include <base/map.h>
#include <wire/message.h>
#include <wire/ticket.h>
#include <wire/token.h>

#define T2_STORE_ENTRIES_MAX 1024
#define T2_STORE_PAST_MIN    1024 /* past sessions there is always room for, in all and of one owner */
#define T2_STORE_URL_MAX     512
#define T2_STORE_DOMAIN_MAX  253

/* Now, on both clocks: leases run on the one that never jumps, tickets on the wall's. */
typedef struct t2_moment {
  uint64_t mono_ms;
  int64_t wall; /* seconds since 1970 */
} t2_moment;

typedef struct t2_store_limits {
  uint32_t sessions_max;
  uint32_t sessions_per_owner_max; /* live ones; of past ones as many, or T2_STORE_PAST_MIN */
  uint32_t entries_max;            /* at most T2_STORE_ENTRIES_MAX */
  uint64_t lease_ms;
  uint64_t parked_ms; /* the lease while clients are parked; at least lease_ms */
  unsigned ticket_seconds;
} t2_store_limits;

/* Counts by owner, so that one owner can't use up all there is. Freed when both are 0. */
typedef struct t2_owner {
  char name[T2_OWNER_MAX + 1];
  uint32_t live, past;
} t2_owner;

/* What a client says of its requests. */
typedef struct t2_report {
  uint64_t active, requests, bytes_in, bytes_out;
} t2_report;

typedef struct t2_session {
  t2_list order;   /* in t2_store.live, by sequence; or in t2_store.past */
  t2_list lease;   /* live: by lease_until, which is the order of renewal: in t2_store.session_leases, or
                      .parked_leases, and in each all leases are of one length */
  t2_list revoked; /* in t2_store.revocations while void_before matters */
  bool live;
  uint64_t sequence;    /* in the order of registration; what a list's pages go by */
  uint64_t lease_until; /* mono ms */
  int64_t created_at;   /* wall seconds, as all that follow */
  int64_t last_issued;  /* iat of its newest ticket; 0: none */
  int64_t last_expires; /* the latest exp of any ticket */
  int64_t void_before;  /* tickets issued before it are void; 0: none is */
  int64_t void_until;   /* no such ticket would be alive anyway from then on */
  uint64_t revocation;  /* number of the revocation, in order */
  uint64_t alive_until; /* mono ms: a ticket may be alive so long, whatever becomes of the wall's clock */
  t2_owner *owner;
  t2_list channels; /* channels.c's */
  unsigned channel_count;
  unsigned parked;       /* clients that have no channel but are to come back */
  t2_report now;         /* as last reported, over its open channels and those that are parked */
  t2_report parked_last; /* the part of the parked ones in it */
  uint64_t told_mark;    /* of the list of entries that its newest ticket is for (issue.h) */
  bool parked_lease;     /* in t2_store.parked_leases */
  t2_kind kind;
  uint16_t port;   /* TCP, UDP: the public port asked for last; 0: any */
  t2_terms *terms; /* of its public side, as given last; NULL: none */
  char id[T2_SESSION_ID_MAX + 1];
} t2_session;

/* What an entry announces; views. */
typedef struct t2_announcement {
  t2_str id, uplink, public_url, domain;
  t2_str public_tls; /* empty: there is none */
} t2_announcement;

typedef struct t2_store_entry {
  t2_list order;
  t2_list lease;
  uint64_t sequence;
  uint64_t lease_until;
  int64_t created_at;
  void *channel; /* channels.c's; NULL: none open */
  uint64_t active, requests, bytes_in, bytes_out;
  char owner[T2_OWNER_MAX + 1];
  char id[T2_ENTRY_ID_MAX + 1];
  char uplink[T2_STORE_URL_MAX + 1];
  char public_url[T2_STORE_URL_MAX + 1];
  char public_tls[T2_STORE_URL_MAX + 1];
  char domain[T2_STORE_DOMAIN_MAX + 1];
} t2_store_entry;

/* Embedded. */
typedef struct t2_store {
  const t2_allocator *mem;
  t2_store_limits limits;
  t2_map sessions; /* live and past */
  t2_map entries, owners;
  t2_map hostnames; /* of live sessions: which session's each is */
  t2_list live, past, session_leases, parked_leases, revocations;
  size_t live_count, past_count;
  size_t parked_count; /* clients, of all sessions */
  t2_list entry_order, entry_leases;
  uint64_t next_sequence, next_revocation;
  bool dirty; /* changed in a way that persist.c keeps; set here, cleared there */
} t2_store;

void t2_store_init(t2_store *store, const t2_allocator *mem, const t2_store_limits *limits);
/* Frees everything; channels must be gone. */
void t2_store_fini(t2_store *store);

/* ---- Sessions ---- */

/* Makes the session, or renews the lease of the owner's own. id is valid. *revoked is set when this made a
 * former owner's tickets void: entries are to be told. T2_ERR_CONFLICT: it is another owner's;
 * T2_ERR_UNAVAILABLE: there are sessions_max; T2_ERR_LIMIT: the owner has its share; T2_ERR_NOMEM. */
int t2_store_register(t2_store *store, t2_str id, const char *owner, t2_moment now, t2_session **out,
                      bool *revoked);
/* May the owner's sessions have these names of their own? Not when a live session of another's has one. */
bool t2_store_hostnames_free(const t2_store *store, const t2_terms *terms, const char *owner);
/* What its tickets are of from now on; a name goes to the session that asked for it last. A live session's
 * kind is changed by nobody but who has just made it. 0 or T2_ERR_NOMEM; then it is as it was. */
int t2_store_describe(t2_store *store, t2_session *session, t2_kind kind, uint16_t port,
                      const t2_terms *terms);
/* The live session, or NULL. */
t2_session *t2_store_session(const t2_store *store, t2_str id);
/* The lease begins anew. */
void t2_store_renew(t2_store *store, t2_session *session, t2_moment now);
/* The record of a session that was ended by t2_store_remove, and not registered anew since; or NULL. */
const t2_session *t2_store_removed(const t2_store *store, t2_str id);
/* The iat of a ticket that is signed now, noted as the newest. Never before an earlier one, nor before
 * void_before. */
int64_t t2_store_issue(t2_store *store, t2_session *session, t2_moment now);
/* Ends a live session and makes its tickets void; its channels must be gone. session may be freed. */
void t2_store_remove(t2_store *store, t2_session *session);
/* A session whose lease is over, or NULL: the caller lets go of its channels, then calls t2_store_lapse. */
t2_session *t2_store_lapsed(const t2_store *store, t2_moment now);
/* Ends it without making anything void. session may be freed. */
void t2_store_lapse(t2_store *store, t2_session *session);
/* The first live session with a sequence above `after`, of that owner (NULL: any); or NULL. Walks from the
 * first. */
t2_session *t2_store_next_session(const t2_store *store, uint64_t after, const char *owner);
/* The one that follows a live session, likewise. Walks from there. */
t2_session *t2_store_following_session(const t2_store *store, const t2_session *session, const char *owner);

/* The first session with a revocation numbered above `after`, or NULL. Walks from the newest. */
const t2_session *t2_store_next_revocation(const t2_store *store, uint64_t after);
/* The one that follows it, or NULL. */
const t2_session *t2_store_following_revocation(const t2_store *store, const t2_session *session);
/* Forgets what can't matter any more. */
void t2_store_sweep(t2_store *store, t2_moment now);

/* ---- Entries ---- */

/* Makes the entry or replaces what it announced, and renews its lease. The announcement is well-formed
 * (address.h). *changed: sessions are to be told. T2_ERR_CONFLICT: it is another owner's; T2_ERR_UNAVAILABLE:
 * there are entries_max; T2_ERR_NOMEM. */
int t2_store_announce(t2_store *store, const t2_announcement *announcement, const char *owner, t2_moment now,
                      t2_store_entry **out, bool *changed);
t2_store_entry *t2_store_entry_find(const t2_store *store, t2_str id);
void t2_store_entry_renew(t2_store *store, t2_store_entry *entry, t2_moment now);
/* An entry whose lease is over, or NULL: the caller lets go of its channel, then calls t2_store_entry_remove.
 */
t2_store_entry *t2_store_entry_lapsed(const t2_store *store, t2_moment now);
/* entry is freed. */
void t2_store_entry_remove(t2_store *store, t2_store_entry *entry);
t2_store_entry *t2_store_next_entry(const t2_store *store, uint64_t after, const char *owner);
/* The entries a session's clients hold uplinks to: all, or, when there are more than T2_MESSAGE_ENTRIES_MAX,
 * that many: always the same ones for a session while they live (rendezvous hashing). Returns how many. */
size_t t2_store_entries_of(const t2_store *store, t2_str session,
                           const t2_store_entry *out[T2_MESSAGE_ENTRIES_MAX]);

/* ---- Parked clients: store_parked.c ---- */

/* A client of a live session leaves its channel for a while: the lease begins anew, at its longer length.
 * last: its last report, which goes on counting until it is back. */
void t2_store_park(t2_store *store, t2_session *session, const t2_report *last, t2_moment now);
/* One is back (or will not come), and has reported: the lease begins anew, short if no other is parked.
 * Returns what of the session's numbers was its own, at most what it reports now. */
t2_report t2_store_unpark(t2_store *store, t2_session *session, const t2_report *reported, t2_moment now);
/* Forgets who is parked, of a session that ends or whose lease is no longer for it. */
void t2_store_forget_parked(t2_store *store, t2_session *session);
/* All live sessions may have been parked by whoever kept them: each gets the longer lease. */
void t2_store_expect_parked(t2_store *store, t2_moment now);

/* ---- For persist.c: puts back what was kept, into a store that does not have it. ---- */

/* kept has id, created_at, last_issued, last_expires, void_before, void_until, kind, port, terms and live; a
 * live one gets a fresh lease. No limit is looked at: nothing is lost because a limit was lowered.
 * T2_ERR_INVALID (an id or owner that can't be), T2_ERR_CONFLICT (it is there), T2_ERR_NOMEM. */
int t2_store_restore(t2_store *store, const t2_session *kept, t2_str owner, t2_moment now);

#endif
