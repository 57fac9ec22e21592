/* Work for connections that keeps the processor for about a millisecond in one piece: a step of a TLS
 * handshake, and the first that is asked behind it (a ticket to verify, one to sign). When hundreds connect
 * at once a turn of the loop does as much of it as its budget allows, and the rest waits for later turns, so
 * that what runs already has its turn in between. What has begun comes before what has not: under a storm
 * some are through early, instead of all of them late. */
#ifndef T2_NET_TOIL_H
#define T2_NET_TOIL_H

#include <base/list.h>
#include <stdbool.h>
#include <stdint.h>

#define T2_TOIL_TURN_NS (4 * 1000 * 1000) /* of one turn; the piece that passes it is done whole */

/* Embedded in what has such work to do. */
typedef struct t2_toil {
  t2_list node;
  void (*work)(struct t2_toil *self);
} t2_toil;

/* Embedded in the loop. */
typedef struct t2_toils {
  uint64_t budget_ns;
  uint64_t (*clock)(void); /* nanoseconds, monotonic */
  uint64_t began_ns, spent_ns;
  t2_list begun, fresh; /* that wait */
} t2_toils;

void t2_toils_init(t2_toils *toils);
/* A new turn has begun: does of what waits as much as there may be. */
void t2_toils_turn(t2_toils *toils);
bool t2_toils_waiting(const t2_toils *toils);

/* May the work be done at once? Then it is followed by t2_toils_end. Not before others that wait. */
bool t2_toils_begin(t2_toils *toils);
void t2_toils_end(t2_toils *toils);

void t2_toil_init(t2_toil *toil, void (*work)(t2_toil *self));
/* It waits for its turn: work(self) is called once then. begun: it is one of several pieces, not the first.
 * t2_loop_toil is what makes the loop turn. */
void t2_toils_wait(t2_toils *toils, t2_toil *toil, bool begun);
bool t2_toil_waits(const t2_toil *toil);
/* It does not wait any more. */
void t2_toil_drop(t2_toil *toil);

#endif
