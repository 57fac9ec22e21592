/* Timers by the thousand: a hashed hierarchical wheel. Starting, moving and stopping are O(1); the clock is
 * the caller's. Timers fire at or after their deadline, never before it, late by at most T2_WHEEL_TICK_MS
 * plus the caller's own delay. */
#ifndef T2_BASE_WHEEL_H
#define T2_BASE_WHEEL_H

#include <base/list.h>
#include <stdint.h>

#define T2_WHEEL_TICK_MS 8

typedef struct t2_timer t2_timer;
typedef void (*t2_timer_cb)(t2_timer *timer);

/* Embedded in what it times. */
struct t2_timer {
  t2_list node;
  uint64_t deadline; /* ms on the caller's clock */
  t2_timer_cb cb;
  uint8_t level, slot; /* where in the wheel it was put */
};

#define T2_WHEEL_BITS   6
#define T2_WHEEL_SLOTS  (1 << T2_WHEEL_BITS)
#define T2_WHEEL_LEVELS 6

typedef struct t2_wheel {
  uint64_t tick;                      /* ticks handled so far */
  size_t count;                       /* timers running */
  uint64_t occupied[T2_WHEEL_LEVELS]; /* a bit for each slot that holds a timer */
  t2_list slots[T2_WHEEL_LEVELS][T2_WHEEL_SLOTS];
} t2_wheel;

void t2_wheel_init(t2_wheel *wheel, uint64_t now_ms);
void t2_timer_init(t2_timer *timer, t2_timer_cb cb);
/* Runs cb once delay_ms after now_ms; a running timer is moved. Delays beyond the wheel's reach (about 17
 * years) are cut to it. */
void t2_wheel_start(t2_wheel *wheel, t2_timer *timer, uint64_t now_ms, uint64_t delay_ms);
/* Safe on a timer that is not running. */
void t2_wheel_stop(t2_wheel *wheel, t2_timer *timer);
static inline bool t2_timer_running(const t2_timer *timer) {
  return t2_list_linked(&timer->node);
}
/* Fires what is due; callbacks may start and stop any timer. Returns how many fired. */
size_t t2_wheel_advance(t2_wheel *wheel, uint64_t now_ms);
/* Milliseconds from now_ms until the wheel wants t2_wheel_advance again (a bound from below: it may come
 * early and fire nothing), or -1 when no timer runs. */
int64_t t2_wheel_next(const t2_wheel *wheel, uint64_t now_ms);

#endif
