/* Which channels are parked, and when: above a number of open ones, as many as there are too many, of those
 * that have been quiet for a moment. Who was parked before goes first, and the others keep a connection that
 * has been idle for long, and so costs less than a young one. What is told to be parked has a time to end its
 * channel.
 */
#ifndef T2_CONTROL_PARKING_H
#define T2_CONTROL_PARKING_H

#include <net/loop.h>

#define T2_PARKING_QUIET_MS  1000  /* so long nothing was to be told */
#define T2_PARKING_CUT_MS    10000 /* for a client to end its channel */
#define T2_PARKING_RETURN_S  60    /* when it is to come back */
#define T2_PARKING_RETURN_LO 2     /* what is not worth it */
#define T2_PARKING_LEASES    3     /* so many times that is the lease */

/* Embedded in what is parked. */
typedef struct t2_parkable {
  t2_list node;
  uint64_t since_ms;
  bool told;
  bool again; /* it was parked before */
} t2_parkable;

typedef struct t2_parking_ops {
  /* It is told to go. It may be removed meanwhile. */
  void (*park)(t2_parkable *parkable, void *user);
  /* It has not gone: its channel is to be closed. */
  void (*cut)(t2_parkable *parkable, void *user);
} t2_parking_ops;

/* Embedded. */
typedef struct t2_parking {
  t2_loop *loop;
  const t2_parking_ops *ops;
  void *user;
  uint32_t above;            /* 0: nothing is ever parked */
  uint64_t quiet_ms, cut_ms; /* T2_PARKING_QUIET_MS, T2_PARKING_CUT_MS */
  size_t open;               /* channels, of all kinds; but those that were told to go */
  size_t again_count;        /* in .again */
  t2_list quiet, again;      /* each by since_ms, as is: */
  t2_list going;
  uint64_t parkings; /* ever */
  t2_timer timer;
} t2_parking;

/* The seconds after which what is parked comes back: such that a ticket that is due at half its life is there
 * by three quarters. 0: tickets live too short for anything to be parked. */
unsigned t2_parking_return_seconds(unsigned ticket_seconds);

void t2_parking_init(t2_parking *parking, t2_loop *loop, uint32_t above, const t2_parking_ops *ops,
                     void *user);
void t2_parking_fini(t2_parking *parking);
/* A channel has opened. */
void t2_parking_opened(t2_parking *parking, t2_parkable *parkable);
/* One that may be parked: nothing is to be told to it, from now on. Its `again` has been set. */
void t2_parking_quiet(t2_parking *parking, t2_parkable *parkable);
/* It has closed. */
void t2_parking_closed(t2_parking *parking, t2_parkable *parkable);

#endif
