/* When to try again: exponential backoff with full jitter, so that a thousand clients that lost the same
 * server do not come back at once. Sans-I/O: the clock is the caller's. */
#ifndef T2_BASE_BACKOFF_H
#define T2_BASE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

typedef struct t2_backoff {
  uint64_t min_ms, max_ms; /* upper bounds of the first delay and of the last */
  uint64_t stable_ms;      /* what was up for so long begins anew when it is lost */
  uint64_t up_since_ms;
  bool up;
  unsigned failures; /* in a row */
} t2_backoff;

/* min_ms is at least 1 and max_ms at least min_ms, else they are made so. */
void t2_backoff_init(t2_backoff *backoff, uint64_t min_ms, uint64_t max_ms, uint64_t stable_ms);
/* It works, as of now. */
void t2_backoff_up(t2_backoff *backoff, uint64_t now_ms);
/* It failed or was lost: the delay before the next attempt, uniform in [0, bound], where bound doubles from
 * min_ms to max_ms. */
uint64_t t2_backoff_next(t2_backoff *backoff, uint64_t now_ms);
/* Nobody is there to be overloaded: the delay before the next look, uniform between half of most_ms (max_ms,
 * if that is less) and all of it. It is no failure of those that make later delays longer. */
uint64_t t2_backoff_knock(const t2_backoff *backoff, uint64_t most_ms);
/* The bound of the next delay. */
uint64_t t2_backoff_bound(const t2_backoff *backoff);

#endif
