/* When a link that was parked comes back: some time within what it was told, so that those parked together
 * do not return together, or sooner when it needs something. Sans-I/O: the clock is the caller's. */
#ifndef T2_PROXY_PARK_H
#define T2_PROXY_PARK_H

#include <stdbool.h>
#include <stdint.h>

#define T2_PARK_SECONDS_MAX 3600
#define T2_PARK_PAUSE_MS    1000 /* between two returns, whatever is needed and whatever it was told */

/* Embedded; zero before the first use. */
typedef struct t2_park {
  uint64_t due_ms;      /* when it comes back if nothing is needed */
  uint64_t return_ms;   /* when it does */
  uint64_t returned_ms; /* when it did last */
  bool urgent;
} t2_park;

/* It is parked: it comes back in the second half of return_seconds. False, and nothing is changed, for what
 * makes no sense: no time or more than T2_PARK_SECONDS_MAX, a lease that would be over by then or is longer
 * than a day. */
bool t2_park_begin(t2_park *park, uint64_t now_ms, uint64_t return_seconds, uint64_t lease_seconds);
/* Something is needed, at once (0) or some time within within_ms. */
void t2_park_hurry(t2_park *park, uint64_t now_ms, uint64_t within_ms);
/* What was not needed at once is not needed any more. */
void t2_park_calm(t2_park *park);
/* Milliseconds until it comes back. */
uint64_t t2_park_left(const t2_park *park, uint64_t now_ms);
/* It comes back now. */
void t2_park_return(t2_park *park, uint64_t now_ms);

#endif
