#include <control/parking.h>

#define TICK_MS     250
#define AT_ONCE_MAX 256 /* that are told in one tick */

unsigned t2_parking_return_seconds(unsigned ticket_seconds) {
  unsigned seconds = ticket_seconds / 4;

  if (seconds < T2_PARKING_RETURN_LO) return 0;
  return seconds < T2_PARKING_RETURN_S ? seconds : T2_PARKING_RETURN_S;
}

static void leave_list(t2_parking *parking, t2_parkable *parkable) {
  if (parkable->again && !parkable->told && t2_list_linked(&parkable->node)) parking->again_count--;
  t2_list_remove(&parkable->node);
}

static void tell(t2_parking *parking, t2_parkable *parkable, uint64_t now) {
  leave_list(parking, parkable);
  parkable->told = true;
  parkable->since_ms = now;
  t2_list_push_back(&parking->going, &parkable->node);
  parking->open--;
  parking->parkings++;
  parking->ops->park(parkable, parking->user);
}

static bool too_many(const t2_parking *parking) {
  return parking->above && parking->open > parking->above;
}

static t2_parkable *next_quiet(const t2_parking *parking, uint64_t now) {
  const t2_list *const lists[] = {&parking->again, &parking->quiet};
  size_t excess = parking->open - parking->above;

  /* The others only where it does not do to wait for those that were parked before. */
  for (size_t i = 0; i < (excess > parking->again_count ? 2 : 1); i++) {
    if (t2_list_empty(lists[i])) continue;
    t2_parkable *parkable = T2_LIST_ENTRY(lists[i]->next, t2_parkable, node);
    if (now - parkable->since_ms >= parking->quiet_ms) return parkable;
  }
  return NULL;
}

static void park_quiet(t2_parking *parking, uint64_t now) {
  for (unsigned i = 0; i < AT_ONCE_MAX && too_many(parking); i++) {
    t2_parkable *parkable = next_quiet(parking, now);
    if (!parkable) break;
    tell(parking, parkable, now);
  }
}

static void cut_slow(t2_parking *parking, uint64_t now) {
  while (!t2_list_empty(&parking->going)) {
    t2_parkable *parkable = T2_LIST_ENTRY(parking->going.next, t2_parkable, node);
    if (now - parkable->since_ms < parking->cut_ms) break;
    t2_list_remove(&parkable->node);
    parking->ops->cut(parkable, parking->user);
  }
}

/* Runs while there is something for it to do. */
static void schedule(t2_parking *parking) {
  bool any = !t2_list_empty(&parking->quiet) || !t2_list_empty(&parking->again);
  bool work = !t2_list_empty(&parking->going) || (too_many(parking) && any);

  if (work && !t2_timer_running(&parking->timer))
    t2_loop_timer_start(parking->loop, &parking->timer, TICK_MS);
}

static void on_tick(t2_timer *timer) {
  t2_parking *parking = T2_CONTAINER_OF(timer, t2_parking, timer);
  uint64_t now = t2_loop_now(parking->loop);

  cut_slow(parking, now);
  park_quiet(parking, now);
  schedule(parking);
}

void t2_parking_init(t2_parking *parking, t2_loop *loop, uint32_t above, const t2_parking_ops *ops,
                     void *user) {
  *parking = (t2_parking){.loop = loop,
                          .above = above,
                          .ops = ops,
                          .user = user,
                          .quiet_ms = T2_PARKING_QUIET_MS,
                          .cut_ms = T2_PARKING_CUT_MS};
  t2_list_init(&parking->quiet);
  t2_list_init(&parking->again);
  t2_list_init(&parking->going);
  t2_timer_init(&parking->timer, on_tick);
}

void t2_parking_fini(t2_parking *parking) {
  t2_loop_timer_stop(parking->loop, &parking->timer);
}

void t2_parking_opened(t2_parking *parking, t2_parkable *parkable) {
  *parkable = (t2_parkable){0};
  t2_list_init(&parkable->node);
  parking->open++;
  schedule(parking);
}

void t2_parking_quiet(t2_parking *parking, t2_parkable *parkable) {
  if (parkable->told) return;
  parkable->since_ms = t2_loop_now(parking->loop);
  leave_list(parking, parkable);
  if (parkable->again) parking->again_count++;
  t2_list_push_back(parkable->again ? &parking->again : &parking->quiet, &parkable->node);
  schedule(parking);
}

void t2_parking_closed(t2_parking *parking, t2_parkable *parkable) {
  leave_list(parking, parkable);
  if (!parkable->told) parking->open--;
}
