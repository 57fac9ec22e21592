/* What the control plane has made void: tickets of a session that were issued before a time, and single
 * tickets. Sans-I/O. */
#ifndef T2_ENTRY_REVOCATIONS_H
#define T2_ENTRY_REVOCATIONS_H

#include <base/list.h>
#include <base/map.h>
#include <wire/message.h>
#include <wire/ticket.h>

#define T2_REVOCATIONS_MAX 262144 /* past it the oldest is forgotten */

/* Embedded. */
typedef struct t2_revocations {
  const t2_allocator *mem;
  t2_map map;    /* "s:<session>" and "t:<ticket id>" */
  t2_list order; /* oldest first */
  size_t count, max;
} t2_revocations;

void t2_revocations_init(t2_revocations *revocations, const t2_allocator *mem);
void t2_revocations_fini(t2_revocations *revocations);
/* Notes a T2_MSG_REVOKE; one of a session that names no time is of what was issued up to now (seconds since
 * 1970). 0, T2_ERR_INVALID (no session or ticket id of a possible length), T2_ERR_NOMEM. */
int t2_revocations_add(t2_revocations *revocations, const t2_message *message, int64_t now);
bool t2_revocations_covers(const t2_revocations *revocations, t2_str session, t2_str ticket_id,
                           int64_t issued_at);

#endif
