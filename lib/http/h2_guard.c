#include <http/h2_guard.h>

#define TICK_MS     100     /* the buckets are looked at no more often */
#define TICK_MAX_MS 3600000 /* by then they are empty */
#define PART        1000    /* levels are in thousandths, since a rate is in a second and the clock in ms */

/* Resets and faults leave room for a client that gives up all it has under way at once. */
static const struct {
  const char *name;
  uint64_t burst, rate; /* rate: in a second */
} bounds[T2_H2_ABUSES] = {
    [T2_H2_RESETS] = {"stream resets", 1000, 50},
    [T2_H2_FAULTS] = {"faulty streams", 1000, 50},
    [T2_H2_SETTINGS] = {"SETTINGS frames", 50, 5},
    [T2_H2_PINGS] = {"PING frames", 100, 10},
    [T2_H2_EMPTY_DATA] = {"empty DATA frames", 100, 10},
    [T2_H2_WINDOW_UPDATES] = {"WINDOW_UPDATE frames", 4000, 400},
    [T2_H2_TINY_WINDOWS] = {"tiny windows", 1000, 50},
    [T2_H2_OTHER_FRAMES] = {"frames of no use", 2000, 100},
    [T2_H2_CONTINUATIONS] = {"CONTINUATION frames", 0, 0},
    [T2_H2_HEAD_BOMBS] = {"an oversized head", 0, 0},
};

static void empty(uint64_t *level, uint64_t by) {
  *level = by < *level ? *level - by : 0;
}

void t2_h2_guard_init(t2_h2_guard *guard, uint32_t patience) {
  *guard = (t2_h2_guard){.patience = patience ? patience : 1};
}

void t2_h2_guard_tick(t2_h2_guard *guard, uint64_t now_ms) {
  uint64_t past = now_ms - guard->now_ms;

  if (now_ms < guard->now_ms || past < TICK_MS) return;
  guard->now_ms = now_ms;
  if (past > TICK_MAX_MS) past = TICK_MAX_MS;
  for (unsigned i = 0; i < T2_H2_ABUSES; i++)
    empty(&guard->levels[i], past * bounds[i].rate * guard->patience);
}

bool t2_h2_guard_count(t2_h2_guard *guard, t2_h2_abuse abuse) {
  guard->counts[abuse]++;
  guard->levels[abuse] += PART;
  return guard->levels[abuse] <= bounds[abuse].burst * guard->patience * PART;
}

void t2_h2_guard_credit(t2_h2_guard *guard, t2_h2_abuse abuse, uint64_t n) {
  empty(&guard->levels[abuse], n * PART);
}

uint64_t t2_h2_guard_burst(t2_h2_abuse abuse) {
  return bounds[abuse].burst;
}

uint64_t t2_h2_guard_rate(t2_h2_abuse abuse) {
  return bounds[abuse].rate;
}

const char *t2_h2_abuse_name(t2_h2_abuse abuse) {
  return bounds[abuse].name;
}
