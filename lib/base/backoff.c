#include <base/backoff.h>
#include <base/random.h>

void t2_backoff_init(t2_backoff *backoff, uint64_t min_ms, uint64_t max_ms, uint64_t stable_ms) {
  *backoff = (t2_backoff){.min_ms = min_ms ? min_ms : 1, .stable_ms = stable_ms};
  backoff->max_ms = max_ms > backoff->min_ms ? max_ms : backoff->min_ms;
}

void t2_backoff_up(t2_backoff *backoff, uint64_t now_ms) {
  backoff->up = true;
  backoff->up_since_ms = now_ms;
}

uint64_t t2_backoff_bound(const t2_backoff *backoff) {
  uint64_t bound = backoff->min_ms;
  for (unsigned i = 0; i < backoff->failures && bound < backoff->max_ms; i++)
    bound = bound > backoff->max_ms / 2 ? backoff->max_ms : bound * 2;
  return bound;
}

uint64_t t2_backoff_next(t2_backoff *backoff, uint64_t now_ms) {
  if (backoff->up && now_ms - backoff->up_since_ms >= backoff->stable_ms) backoff->failures = 0;
  backoff->up = false;
  uint64_t bound = t2_backoff_bound(backoff);
  if (bound < backoff->max_ms) backoff->failures++;
  return t2_random_below(bound == UINT64_MAX ? bound : bound + 1);
}

uint64_t t2_backoff_knock(const t2_backoff *backoff, uint64_t most_ms) {
  uint64_t bound = most_ms < backoff->max_ms ? most_ms : backoff->max_ms;
  return bound / 2 + t2_random_below(bound - bound / 2 + 1);
}
