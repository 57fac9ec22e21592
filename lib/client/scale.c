#include <client/scale.h>

void t2_scale_init(t2_scale *scale, unsigned min, unsigned max, uint32_t concurrent_max) {
  uint64_t most = (uint64_t)concurrent_max * 7 / 10;
  *scale = (t2_scale){.min = min, .max = max, .streams = T2_SCALE_STREAMS};
  if (most < scale->streams) scale->streams = most ? (size_t)most : 1;
}

/* For how long has it been so? What is not so any more begins anew. */
static uint64_t lasting(t2_scale *scale, bool busy, bool quiet, uint64_t now_ms) {
  if (scale->busy != busy || scale->quiet != quiet) scale->since_ms = now_ms;
  scale->busy = busy;
  scale->quiet = quiet;
  return now_ms - scale->since_ms;
}

static unsigned within(const t2_scale *scale, unsigned n) {
  unsigned most = scale->limit && scale->limit < scale->max ? scale->limit : scale->max;
  return n < most ? n : most;
}

/* By load alone. Who dials yet has not taken its share: nothing is concluded before all are up. */
static unsigned by_load(t2_scale *scale, unsigned n, unsigned up, size_t active, uint64_t now_ms) {
  bool busy = up == n && active >= scale->streams * n;
  bool quiet = up == n && n > scale->min && active * 2 < scale->streams * (n - 1);
  uint64_t ms = lasting(scale, busy, quiet, now_ms);
  unsigned wanted = n;
  if (busy && ms >= T2_SCALE_BUSY_MS) wanted = n + 1;
  if (quiet && ms >= T2_SCALE_QUIET_MS) wanted = n - 1;
  if (wanted != n) scale->since_ms = now_ms;
  return wanted;
}

unsigned t2_scale_look(t2_scale *scale, unsigned n, unsigned up, size_t active, uint64_t now_ms) {
  if (scale->limit && now_ms - scale->limited_ms >= T2_SCALE_REFUSED_MS) scale->limit = 0;
  unsigned wanted = scale->min == scale->max ? n : by_load(scale, n, up, active, now_ms);
  return within(scale, wanted < scale->min ? scale->min : wanted);
}

void t2_scale_refused(t2_scale *scale, unsigned n, uint64_t now_ms) {
  scale->limit = n;
  scale->limited_ms = now_ms;
}

void t2_scale_renewed(t2_scale *scale) {
  scale->limit = 0;
}

bool t2_scale_moves(const t2_scale *scale) {
  return scale->min != scale->max || scale->limit;
}
