/* How many uplinks to one entry there should be, by how busy those are that there are. Sans-I/O: the clock is
 * the caller's, who looks again every T2_SCALE_LOOK_MS or so.
 *
 *   busy for T2_SCALE_BUSY_MS: one more; so quiet for T2_SCALE_QUIET_MS that one fewer would not be busy by
 *   half: one fewer; always within [min, max], and within what the entry takes. */
#ifndef T2_CLIENT_SCALE_H
#define T2_CLIENT_SCALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define T2_SCALE_MAX        16 /* uplinks to one entry */
#define T2_SCALE_STREAMS    64 /* streams with which an uplink is busy, or with 70 % of what it may have */
#define T2_SCALE_LOOK_MS    500
#define T2_SCALE_BUSY_MS    2000
#define T2_SCALE_QUIET_MS   15000
#define T2_SCALE_REFUSED_MS 30000 /* after which an entry that takes no more is asked for one more */

typedef struct t2_scale {
  unsigned min, max;
  size_t streams; /* with which an uplink is busy */
  unsigned limit; /* what the entry takes; 0: not known */
  uint64_t limited_ms;
  bool busy, quiet;
  uint64_t since_ms; /* it is */
} t2_scale;

/* 1 <= min <= max <= T2_SCALE_MAX; concurrent_max: streams that one uplink may have. */
void t2_scale_init(t2_scale *scale, unsigned min, unsigned max, uint32_t concurrent_max);
/* There are n uplinks, `up` of them up, with so many streams together: how many should there be? One more or
 * one fewer than n, or as many; more only up to min. */
unsigned t2_scale_look(t2_scale *scale, unsigned n, unsigned up, size_t active, uint64_t now_ms);
/* The entry refused one more than n, which is at least 1. */
void t2_scale_refused(t2_scale *scale, unsigned n, uint64_t now_ms);
/* It may take more now: there is a new ticket. */
void t2_scale_renewed(t2_scale *scale);
/* Can the number change as time goes on? */
bool t2_scale_moves(const t2_scale *scale);

#endif
