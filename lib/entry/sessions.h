/* The sessions this entry knows: those with uplinks, and those that had some as long as a ticket of theirs
 * may live
 * ("nobody serves it now" is another answer than "there is no such session"). Sans-I/O: the clock is passed
 * in, and an uplink is a pointer. */
#ifndef T2_ENTRY_SESSIONS_H
#define T2_ENTRY_SESSIONS_H

#include <base/list.h>
#include <base/map.h>
#include <entry/budget.h>
#include <entry/guard.h>
#include <entry/limits.h>
#include <wire/ticket.h>

#define T2_ENTRY_IDLE_SESSIONS_MAX                                                                           \
  65536 /* without an uplink; past it the one that is idle longest is forgotten */
#define T2_ENTRY_UPLINKS_PER_SESSION_MAX 256

typedef struct t2_entry_uplink t2_entry_uplink;
typedef struct t2_entry_port t2_entry_port;
typedef struct t2_entry_waiting t2_entry_waiting;

typedef struct t2_entry_session {
  t2_list idle;              /* in the table's list when it has neither uplinks nor exchanges */
  t2_entry_uplink **uplinks; /* uplink_count of them */
  size_t uplink_count, uplink_cap;
  t2_list remotes; /* uplinks at other workers; remotes.c's */
  size_t remote_count;
  uint64_t remote_weight; /* of them together */
  bool uneven;            /* not all weigh the same, here and there; likewise */
  size_t active;          /* exchanges under way; their holder calls t2_entry_session_end for each */
  uint32_t max_uplinks, max_streams; /* of the newest ticket; 0: no limit of its own */
  uint64_t known_until_ms;
  uint64_t left_ms;  /* when an uplink went last; uplinks.c's */
  uint32_t heaviest; /* of its uplinks' weights; uplinks.c's */
  t2_budget budget;
  t2_entry_waiting *waiting; /* waiting.c's; NULL: none has ever waited */
  t2_kind kind;
  t2_entry_port *port; /* TCP, UDP; ports.c's. NULL: none is open */
  t2_list flows;       /* UDP, while the port is open; flows.c's */
  size_t flow_count;
  t2_guard *guard;         /* NULL: everybody may ask */
  t2_entry_limits *limits; /* NULL: none, or nobody has asked yet */
  char id[T2_SESSION_ID_MAX + 1];
} t2_entry_session;

/* Embedded. */
typedef struct t2_entry_sessions {
  const t2_allocator *mem;
  t2_map map;
  t2_map hosts; /* names of their own */
  t2_list idle; /* idle longest first */
  size_t idle_count, idle_max;
  void (*on_port_unneeded)(
      t2_entry_session *session);               /* it has one, and is forgotten or of another kind now */
  void (*on_forget)(t2_entry_session *session); /* it has `waiting` */
} t2_entry_sessions;

void t2_entry_sessions_init(t2_entry_sessions *sessions, const t2_allocator *mem);
/* All uplinks and exchanges are gone. */
void t2_entry_sessions_fini(t2_entry_sessions *sessions);
/* NULL when it is not known (any more). */
t2_entry_session *t2_entry_sessions_find(t2_entry_sessions *sessions, t2_str id, uint64_t now_ms);
/* Whose name of its own the host is, in lower case; or NULL. */
t2_entry_session *t2_entry_sessions_by_host(t2_entry_sessions *sessions, t2_str host, uint64_t now_ms);
/* Adds an uplink opened with that ticket, which lives until expires_ms. T2_ERR_CONFLICT: the session has as
 * many as its ticket allows; T2_ERR_STATE: it has some of another kind; T2_ERR_LIMIT:
 * T2_ENTRY_UPLINKS_PER_SESSION_MAX; T2_ERR_NOMEM. */
int t2_entry_sessions_attach(t2_entry_sessions *sessions, const t2_ticket *ticket, uint64_t expires_ms,
                             t2_entry_uplink *uplink, t2_entry_session **out);
/* The session is known by that ticket, which lives until expires_ms, though it has no uplink here. As
 * t2_entry_sessions_attach, without CONFLICT and LIMIT. */
int t2_entry_sessions_note(t2_entry_sessions *sessions, const t2_ticket *ticket, uint64_t expires_ms,
                           t2_entry_session **out);
/* It has one more remote_count, or one less. */
void t2_entry_sessions_join(t2_entry_sessions *sessions, t2_entry_session *session);
void t2_entry_sessions_part(t2_entry_sessions *sessions, t2_entry_session *session);
void t2_entry_sessions_detach(t2_entry_sessions *sessions, t2_entry_session *session,
                              const t2_entry_uplink *uplink);
/* Forgets those that are not known any more. */
void t2_entry_sessions_sweep(t2_entry_sessions *sessions, uint64_t now_ms);
/* Its tickets are void: it is forgotten as soon as it has neither uplinks nor exchanges, unless it comes
 * back. */
void t2_entry_sessions_ended(t2_entry_sessions *sessions, t2_str id);
/* An exchange begins, and ends. The session lives as long. */
void t2_entry_session_begin(t2_entry_sessions *sessions, t2_entry_session *session);
void t2_entry_session_end(t2_entry_sessions *sessions, t2_entry_session *session);

#endif
