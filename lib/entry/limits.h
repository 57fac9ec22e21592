/* What one session may have of an entry, whatever its ticket says: requests at once and a second, and content
 * either way. Nothing is kept for a session when the options bound nothing. */
#ifndef T2_ENTRY_LIMITS_H
#define T2_ENTRY_LIMITS_H

#include <base/limit.h>
#include <proxy/pace.h>

#define T2_ENTRY_DEBT_MAX_MS                                                                                 \
  1000 /* content that was beyond the rate may keep requests waiting so long unseen */

/* For all sessions. Embedded; zeroed: no bound. */
typedef struct t2_entry_bounds {
  uint32_t exchanges;           /* at once */
  uint32_t requests_per_second; /* a second's worth at once */
  uint64_t bytes_to_clients;    /* a second */
  uint64_t bytes_from_clients;  /* likewise */
  /* How often each was met, since the start. */
  uint64_t over_exchanges, over_requests, over_bytes, paced;
} t2_entry_bounds;

/* Of one session. */
typedef struct t2_entry_limits {
  t2_limit requests;
  t2_pace up, down; /* towards clients, and back; a rate of 0: none */
} t2_entry_limits;

/* Other bounds hold from now on, for what is under way too. */
void t2_entry_limits_follow(t2_entry_limits *limits, const t2_entry_bounds *bounds, t2_loop *loop);
/* May one more exchange of the session begin? *limits is made with the first; active: those under way. 0;
 * T2_ERR_LIMIT: no, and *wait_ms says when it may; T2_ERR_UNAVAILABLE: there are as many as may be;
 * T2_ERR_NOMEM. */
int t2_entry_limits_admit(t2_entry_bounds *bounds, t2_entry_limits **limits, t2_loop *loop, size_t active,
                          uint64_t *wait_ms);
/* The paces for its exchange; NULL: none. limits may be NULL. */
t2_pace *t2_entry_limits_up(t2_entry_limits *limits);
t2_pace *t2_entry_limits_down(t2_entry_limits *limits);

#endif
