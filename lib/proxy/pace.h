/* Holds the content of some exchanges, all of one session in one direction, to a rate, by back-pressure: what
 * the far leg has taken is reported to the leg that gave it only as fast as the rate allows, so that this one
 * reads, or opens its windows, no faster. What has begun goes on; those that wait take turns. */
#ifndef T2_PROXY_PACE_H
#define T2_PROXY_PACE_H

#include <base/limit.h>
#include <net/loop.h>

typedef struct t2_pace {
  t2_loop *loop;
  t2_limit limit;
  t2_list waiting; /* t2_paced */
  t2_timer timer;
  uint64_t *delays; /* counts how often somebody began to wait; may be NULL */
} t2_pace;

/* One direction of an exchange. Embedded; zeroed: it has no pace. */
typedef struct t2_paced {
  t2_list node;
  t2_pace *pace;
  size_t held; /* bytes taken by the far leg, and not reported */
  uint64_t charged;
  void (*give)(struct t2_paced *self, size_t n);
} t2_paced;

/* rate: bytes a second, not 0. */
void t2_pace_init(t2_pace *pace, t2_loop *loop, uint64_t rate, uint64_t *delays);
/* Another rate from now on, also for those that wait; 0: whatever waits is given soon, and nothing waits any
 * more. */
void t2_pace_set_rate(t2_pace *pace, uint64_t rate);
/* Gives `paced` this pace. give(n) reports n bytes; it may end the exchange. */
void t2_pace_join(t2_pace *pace, t2_paced *paced, void (*give)(t2_paced *self, size_t n));
/* The far leg has taken n bytes: gives them at once, or later. */
void t2_pace_taken(t2_paced *paced, size_t n);
/* The exchange is over, and had so many bytes in this direction: what has not been charged is, and nothing
 * more is given. Without a pace it does nothing. */
void t2_pace_leave(t2_paced *paced, uint64_t total);

#endif
