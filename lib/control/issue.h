/* Tickets for sessions, and the list of entries that goes with them. Sans-I/O. */
#ifndef T2_CONTROL_ISSUE_H
#define T2_CONTROL_ISSUE_H

#include <control/store.h>

#define T2_ISSUE_UPLINKS_MAX 64 /* of one session at one entry */

/* The entries a session is told of (t2_store_entries_of), with what tells one such list from another. */
typedef struct t2_entry_list {
  const t2_store_entry *entries[T2_MESSAGE_ENTRIES_MAX];
  size_t n;
  uint64_t mark; /* of ids and uplinks, in order */
} t2_entry_list;

/* Pointers are valid until an entry goes. */
void t2_entry_list_of(const t2_store *store, t2_str session, t2_entry_list *list);

/* Signs a ticket for the session at these entries (at any, when there are none yet), notes it in the store,
 * and appends it to out; *expires_at in seconds since 1970. 0, T2_ERR_NOMEM, or T2_ERR_STATE without a
 * private key; out is then as before. */
int t2_issue_ticket(t2_store *store, const t2_keys *keys, t2_session *session, const t2_entry_list *list,
                    t2_moment now, t2_buf *out, int64_t *expires_at);

#endif
