/* An entry that is spread over several threads (net/crew.h). The first worker is the entry that the program
 * has, with all there is where there is one: the sockets, the control plane's link, the ports of TCP and UDP
 * sessions. Each other one has a t2_entry of its own, a member: public connections and uplinks that the first
 * has accepted and dealt to it, before a byte was read, with their TLS, and a table of sessions.
 *
 * Every worker knows of every uplink at another one (remotes.h): a request of a session that has none where
 * it came in goes over a bridge to one that has (crossing.c).
 *
 * workers.c is the first worker's side, member.c the others'. */
#ifndef T2_ENTRY_WORKERS_H
#define T2_ENTRY_WORKERS_H

#include <entry/uplinks.h>
#include <net/crew.h>
#include <proxy/bridge.h>
#include <tunnel2/entry.h>

/* Kinds of connections that are dealt. */
typedef enum t2_entry_lane {
  T2_ENTRY_LANE_PUBLIC,
  T2_ENTRY_LANE_PUBLIC_TLS,
  T2_ENTRY_LANE_UPLINK,
  T2_ENTRY_LANES
} t2_entry_lane;

/* Of t2_entry_stats, behind its size. */
#define T2_ENTRY_FIGURES ((sizeof(t2_entry_stats) - offsetof(t2_entry_stats, connections)) / sizeof(uint64_t))

typedef struct t2_entry_members t2_entry_members;

/* One worker, the first too. Made and freed by the first; `entry` and what stands behind it belong to the
 * worker's thread. */
typedef struct t2_entry_member {
  t2_worker *worker;
  t2_entry_members *all;
  t2_bridges bridges;
  atomic_uint load[T2_ENTRY_LANES]; /* connections dealt to it, and not gone */
  bool drained, ended, halted;      /* the first's: it has said so */
  t2_mail start, drain, part, end, halt, close, reload, say_drained, say_ended, say_halted;
  atomic_bool reloading; /* `reload` is under way */
  uint64_t drain_ms;
  _Atomic uint64_t figures[T2_ENTRY_FIGURES]; /* as they were at the end of its loop's last turn */
  t2_entry *entry;                            /* NULL: gone */
  uv_prepare_t turn;
} t2_entry_member;

struct t2_entry_members {
  const t2_allocator *mem;
  t2_entry *first; /* not for others' threads, as is what stands behind it */
  t2_crew *crew;
  unsigned parts; /* that were made */
  bool ending, halting, closing;
  unsigned size; /* of list */
  unsigned connections_max[T2_ENTRY_LANES];
  t2_entry_member list[];
};

/* Deals the connections of a listener. */
typedef struct t2_entry_dealer {
  t2_entry *entry;
  t2_entry_lane lane;
} t2_entry_dealer;

/* ---- workers.c ---- */

/* The share of a bound that each worker has; of none, none. */
uint32_t t2_entry_share(const t2_entry *entry, uint32_t bound);
/* Makes threads, if options want some, before listeners are opened; and, behind those, what is on them.
 * Errors as t2_entry_new. */
int t2_entry_open_workers(t2_entry *entry, const t2_entry_options *options, char *detail, size_t detail_size);
int t2_entry_hire(t2_entry *entry, const t2_entry_options *given, char *detail, size_t detail_size);
/* For a listener of that lane, whose options are set up otherwise: it deals, or it is dealt to. */
void t2_entry_set_lane(t2_entry *entry, t2_listener_options *options, t2_entry_lane lane);
void t2_entry_members_start(t2_entry *entry);
void t2_entry_members_drain(t2_entry *entry, uint64_t timeout_ms);
void t2_entry_members_part(t2_entry *entry);
void t2_entry_members_end(t2_entry *entry);
void t2_entry_members_close(t2_entry *entry);
void t2_entry_members_reload(t2_entry *entry);
/* Have all others no public connections any more, after a drain; and have they ended? */
bool t2_entry_members_drained(const t2_entry *entry);
bool t2_entry_members_ended(const t2_entry *entry);
/* Without the size; and adds what the others count. */
void t2_entry_figures_of(uint64_t figures[T2_ENTRY_FIGURES], const t2_entry_stats *stats);
void t2_entry_members_count(const t2_entry *entry, t2_entry_stats *stats);

/* ---- member.c ---- */

/* Makes the member's part, on its thread. Errors as t2_entry_new. */
int t2_entry_member_open(t2_entry_member *member, const t2_entry_options *options, char *detail,
                         size_t detail_size);
/* What is sent to it. */
void t2_entry_member_mails(t2_entry_member *member);
/* In the place of t2_entry_emit. */
void t2_entry_member_emit(t2_entry *entry, const t2_entry_event *event);
/* It has no public connections any more, after a drain. */
void t2_entry_member_drained(t2_entry *entry);

/* ---- crossing.c ---- */

/* Uplinks and bridges of a worker. */
void t2_entry_open_crossing(t2_entry *entry);
/* Tell all others. */
void t2_entry_tell_keys(t2_entry *entry, t2_str jwks);
void t2_entry_tell_revoked(t2_entry *entry, const t2_message *message);
void t2_entry_tell_moved(t2_entry *entry, bool moved);

#endif
