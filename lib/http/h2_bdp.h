/* How large a connection's window has to be, by bandwidth and delay: as much as keeps the way full, and no
 * more, since what is beyond that waits in queues on the way, and small answers behind it. A PING is sent
 * while content comes; by its answer it is known how much came in one round trip, and how fast. Now and then
 * the window is made twice as large: if content comes faster for that it stays so, and the next size is
 * tried; if not, it was large enough before. Sans-I/O.
 *
 * Eight downloads on one uplink over loopback, on two processors: the P99 of small answers beside them is 2.8
 * ms where a window of 16 MiB had 6.9, at the same speed (tests/bench/fairness.py).
 *
 *   SETTLED ──twice the window──▶ TRYING ──faster──▶ TRYING, twice that
 *      ▲                            └──not──▶ SETTLED, as before, for longer
 *      └── all is forgotten after ten seconds without content
 */
#ifndef T2_HTTP_H2_BDP_H
#define T2_HTTP_H2_BDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define T2_H2_BDP_WINDOW (256 * 1024) /* bytes, to begin with */

/* Embedded; read by others alone. */
typedef struct t2_h2_bdp {
  uint32_t window, window_max; /* bytes */
  uint32_t before;             /* TRYING: the window to go back to; 0: SETTLED */
  unsigned trips;              /* that have been measured with this window */
  uint64_t trips_bytes, trips_us;
  uint64_t speed;       /* bytes a second, when SETTLED last */
  uint64_t came;        /* bytes, since the PING was sent, or since its answer came */
  uint64_t asked_us;    /* when the PING was sent; 0: none is under way */
  uint64_t looked_us;   /* when half a window had come, last */
  uint64_t next_us;     /* when there is something to measure again */
  uint64_t patience_us; /* until the next try */
} t2_h2_bdp;

/* max is the largest window there may be. */
void t2_h2_bdp_init(t2_h2_bdp *bdp, uint32_t max);
/* n bytes of content have come. True: half a window has, and it is time for t2_h2_bdp_ask; so who sends
 * little costs nothing. */
static inline bool t2_h2_bdp_came(t2_h2_bdp *bdp, size_t n) {
  bdp->came += n;
  return !bdp->asked_us && bdp->came >= bdp->window / 2;
}
/* True: a PING is to be sent. The window may be what it was to begin with. now_us is never 0. */
bool t2_h2_bdp_ask(t2_h2_bdp *bdp, uint64_t now_us);
/* It has been answered: the window may be another one. */
void t2_h2_bdp_answered(t2_h2_bdp *bdp, uint64_t now_us);

#endif
