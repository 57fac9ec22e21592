#include <base/random.h>
#include <proxy/park.h>

#define LEASE_SECONDS_MAX 86400

static uint64_t paused(const t2_park *park, uint64_t at_ms) {
  uint64_t least_ms = park->returned_ms ? park->returned_ms + T2_PARK_PAUSE_MS : 0;
  return at_ms > least_ms ? at_ms : least_ms;
}

bool t2_park_begin(t2_park *park, uint64_t now_ms, uint64_t return_seconds, uint64_t lease_seconds) {
  if (return_seconds == 0 || return_seconds > T2_PARK_SECONDS_MAX) return false;
  if (lease_seconds <= return_seconds || lease_seconds > LEASE_SECONDS_MAX) return false;
  uint64_t half_ms = return_seconds * 500;
  park->due_ms = park->return_ms = paused(park, now_ms + half_ms + t2_random_below(half_ms + 1));
  park->urgent = false;
  return true;
}

void t2_park_hurry(t2_park *park, uint64_t now_ms, uint64_t within_ms) {
  uint64_t at_ms = paused(park, now_ms + t2_random_below(within_ms + 1));
  if (at_ms < park->return_ms) park->return_ms = at_ms;
  if (within_ms == 0) park->urgent = true;
}

void t2_park_calm(t2_park *park) {
  if (!park->urgent) park->return_ms = park->due_ms;
}

uint64_t t2_park_left(const t2_park *park, uint64_t now_ms) {
  return park->return_ms > now_ms ? park->return_ms - now_ms : 0;
}

void t2_park_return(t2_park *park, uint64_t now_ms) {
  park->returned_ms = now_ms;
  park->urgent = false;
}
