/* How much content waits in this process for peers that don't take it, and how much each of its sources may
 * have waiting in view of that: a few that stand still hold what makes the rest fast, many hold little each.
 * Sans-I/O.
 *
 *   EASY ──4 MiB wait──▶ TIGHT ──8 MiB──▶ SHORT      and back at half of each
 */
#ifndef T2_BASE_PRESSURE_H
#define T2_BASE_PRESSURE_H

#include <stddef.h>
#include <stdint.h>

typedef enum t2_pressure_level { T2_PRESSURE_EASY, T2_PRESSURE_TIGHT, T2_PRESSURE_SHORT } t2_pressure_level;

/* Embedded; changed by the functions below alone. */
typedef struct t2_pressure {
  size_t held;     /* bytes that wait */
  size_t up, down; /* from here on, and below this, the level is another one */
  t2_pressure_level level;
  size_t leg_window;      /* bytes a leg may have given and not yet seen consumed */
  size_t read_max;        /* bytes of one read of a connection that may be told to stop reading */
  uint32_t stream_window; /* bytes that an HTTP/2 stream may hold, if its connection allows as many */
} t2_pressure;

void t2_pressure_init(t2_pressure *pressure);
/* Finds the level for what is held now. */
void t2_pressure_settle(t2_pressure *pressure);

/* What waited before waits no more, and so many bytes do instead. */
static inline void t2_pressure_note(t2_pressure *pressure, size_t *before, size_t now) {
  pressure->held += now - *before;
  *before = now;
  if (pressure->held >= pressure->up || pressure->held < pressure->down) t2_pressure_settle(pressure);
}

#endif
