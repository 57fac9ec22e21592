#include <http/h2_bdp.h>

#define TRIPS     3 /* round trips with a window; the first has what the one before let come */
#define FIRST_US  UINT64_C(1000000) /* from a try in vain to the next; each time twice as long, up to */
#define MOST_US   UINT64_C(16000000)
#define FORGET_US UINT64_C(10000000) /* without content: the way may be another one by now */

static uint32_t twice(const t2_h2_bdp *bdp) {
  return bdp->window > bdp->window_max / 2 ? bdp->window_max : bdp->window * 2;
}

void t2_h2_bdp_init(t2_h2_bdp *bdp, uint32_t max) {
  *bdp = (t2_h2_bdp){.window = max < T2_H2_BDP_WINDOW ? max : T2_H2_BDP_WINDOW, .window_max = max};
  bdp->patience_us = FIRST_US;
}

static void begin(t2_h2_bdp *bdp, uint32_t window) {
  bdp->window = window;
  bdp->trips = 0;
  bdp->trips_bytes = bdp->trips_us = 0;
}

bool t2_h2_bdp_ask(t2_h2_bdp *bdp, uint64_t now_us) {
  if (bdp->looked_us && now_us - bdp->looked_us >= FORGET_US) t2_h2_bdp_init(bdp, bdp->window_max);
  bdp->came = 0;
  bdp->looked_us = now_us;
  if (now_us < bdp->next_us || (bdp->window == bdp->window_max && !bdp->before)) return false;
  bdp->asked_us = now_us;
  return true;
}

static void settle(t2_h2_bdp *bdp, uint64_t now_us) {
  begin(bdp, bdp->before);
  bdp->before = 0;
  bdp->next_us = now_us + bdp->patience_us;
  if (bdp->patience_us < MOST_US) bdp->patience_us *= 2;
}

static void try_twice(t2_h2_bdp *bdp, uint64_t speed) {
  bdp->speed = speed;
  bdp->before = bdp->window == bdp->window_max ? 0 : bdp->window;
  begin(bdp, twice(bdp));
}

/* An eighth more is more, or else chance would do. */
static void judge(t2_h2_bdp *bdp, uint64_t now_us) {
  uint64_t speed = bdp->trips_bytes * 1000000 / bdp->trips_us;
  if (bdp->before && speed <= bdp->speed + bdp->speed / 8) {
    settle(bdp, now_us);
    return;
  }
  if (bdp->before) bdp->patience_us = FIRST_US;
  try_twice(bdp, speed);
}

/* Of less than a window the window says nothing. */
void t2_h2_bdp_answered(t2_h2_bdp *bdp, uint64_t now_us) {
  if (!bdp->asked_us) return;
  uint64_t took = now_us > bdp->asked_us ? now_us - bdp->asked_us : 1;
  uint64_t came = bdp->came;
  bdp->came = bdp->asked_us = 0;
  if (came < bdp->window / 3 * 2) {
    if (bdp->before) settle(bdp, now_us);
    return;
  }
  if (bdp->trips++ == 0) return;
  bdp->trips_bytes += came;
  bdp->trips_us += took;
  if (bdp->trips == TRIPS) judge(bdp, now_us);
}
