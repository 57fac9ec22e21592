/* Requests of a session that wait for one of its uplinks: since none has room, or none is there for the
 * moment, or since the uplink they were on is gone and they may be asked again. In the order they came, as
 * long as the queue's time allows. */
#ifndef T2_ENTRY_WAITING_H
#define T2_ENTRY_WAITING_H

#include <entry/sessions.h>
#include <proxy/queue.h>

#define T2_WAITING_TOTAL_MAX 1000  /* of all sessions together */
#define T2_WAITING_MOMENT_MS 10000 /* so long after its last uplink a session without one is waited for */

typedef struct t2_uplinks t2_uplinks;

/* A leg whose `head` puts the request into the queue of the session that is its exchange's user. */
t2_leg *t2_waiting_leg(t2_uplinks *uplinks);
/* Is there any use in waiting, and a place? */
bool t2_waiting_may(const t2_uplinks *uplinks, const t2_entry_session *session);
/* How many wait: who comes now comes after them. */
size_t t2_waiting_count(const t2_entry_session *session);
/* The queue's bounds have changed: of who comes to wait from now on. */
void t2_waiting_follow(const t2_uplinks *uplinks, const t2_entry_session *session);
/* An uplink of the session may have room now. */
void t2_waiting_wake(t2_uplinks *uplinks, const t2_entry_session *session);
/* The request of the leg may be asked again (t2_h2_conn_ops.on_unprocessed): it waits, if the session's
 * budget allows; else nothing is done, and it fails. */
void t2_waiting_again(t2_uplinks *uplinks, t2_entry_session *session, t2_leg *leg, const t2_held *request);
/* Why nobody takes a request now, as a sentence. */
const char *t2_waiting_why(const t2_entry_session *session);

void t2_waiting_init(t2_uplinks *uplinks);

#endif
