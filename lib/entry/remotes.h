/* The uplinks of a session that are at other workers of the entry: one is a leg here, whose `head` goes over
 * a bridge (proxy/bridge.h). Sans-I/O but for that. */
#ifndef T2_ENTRY_REMOTES_H
#define T2_ENTRY_REMOTES_H

#include <entry/sessions.h>
#include <proxy/exchange.h>

typedef struct t2_remote t2_remote;

/* Takes the request over: as a t2_leg_ops.head of the leg, which is out of its exchange when it succeeds. */
typedef int (*t2_remote_open_cb)(const t2_remote *remote, t2_leg *leg, const t2_head *head, bool end);

struct t2_remote {
  t2_list node; /* in session->remotes */
  t2_leg opener;
  t2_entry_session *session;
  t2_remote_open_cb open;
  void *user;
  unsigned worker;
  uint64_t number, instance; /* of the uplink there: t2_uplink_number, t2_uplink_instance */
  uint32_t weight;
};

/* One more; `given` is copied but for node and opener. 0 or T2_ERR_NOMEM. */
int t2_remotes_add(t2_entry_sessions *sessions, const t2_remote *given);
/* The uplink of that worker is gone. False: it was not known. The session may be forgotten. */
bool t2_remotes_remove(t2_entry_sessions *sessions, t2_entry_session *session, unsigned worker,
                       uint64_t number);
/* All of all sessions are gone, and so will these be. */
void t2_remotes_clear(t2_entry_sessions *sessions);
/* Looks at all weights anew, here and there. */
void t2_remotes_weigh(t2_entry_session *session);

/* One of them by its weight, by a number at random; the session has some. */
t2_leg *t2_remotes_pick(const t2_entry_session *session, uint64_t random);
/* Is it their turn, by the weights of all? */
bool t2_remotes_turn(const t2_entry_session *session, uint64_t random);
/* The one that the value fits better than `fit`, or (any is false) at all; or NULL. */
t2_leg *t2_remotes_pick_by_value(const t2_entry_session *session, uint64_t hash, bool any, uint64_t fit);
/* Is the leg one of them? */
bool t2_remotes_has(const t2_leg *leg);

#endif
