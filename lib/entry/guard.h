/* Whether a public request may go to its session: by the address of who asks, and by user and password.
 * Sans-I/O. */
#ifndef T2_ENTRY_GUARD_H
#define T2_ENTRY_GUARD_H

#include <http/fields.h>
#include <wire/terms.h>

#define T2_GUARD_PAUSE_MS 100 /* between two passwords of one session that have to be worked on */

/* Of one session. */
typedef struct t2_guard {
  t2_terms terms;
  int64_t issued_at;               /* of the ticket they came with */
  bool known;                      /* the right credentials have been seen: */
  uint8_t right[T2_PASSWORD_HASH]; /* a digest of them, so that all others are wrong at once */
  uint64_t next_ms;
} t2_guard;

/* Terms of a ticket. What was found out about the password stays while that is the same. */
void t2_guard_set(t2_guard *guard, const t2_terms *terms, int64_t issued_at);
/* Is it an address that may ask? */
bool t2_guard_admits(const t2_guard *guard, t2_str host);
/* 0: it may pass. T2_ERR_FORBIDDEN: not from this address; T2_ERR_AUTH: the Authorization field has not the
 * right user and password; T2_ERR_LIMIT: it can't be looked into now; T2_ERR_NOMEM. */
int t2_guard_check(t2_guard *guard, t2_str host, const t2_fields *fields, uint64_t now_ms);

/* Who asks: the peer, or, where that is a trusted proxy, whom X-Forwarded-For says: the last address in it
 * that is none of a trusted proxy's. It may be no address. */
t2_str t2_guard_asker(const t2_prefix *trusted, size_t n, t2_str peer, const t2_fields *fields);

#endif
