#include <entry/limits.h>

#include <tunnel2/error.h>

static t2_entry_limits *make(t2_entry_bounds *bounds, t2_loop *loop) {
  t2_entry_limits *limits = t2_calloc(loop->mem, 1, sizeof(*limits));
  if (!limits) return NULL;
  t2_limit_init(&limits->requests, bounds->requests_per_second, t2_loop_now(loop));
  t2_pace_init(&limits->up, loop, bounds->bytes_to_clients, &bounds->paced);
  t2_pace_init(&limits->down, loop, bounds->bytes_from_clients, &bounds->paced);
  return limits;
}

void t2_entry_limits_follow(t2_entry_limits *limits, const t2_entry_bounds *bounds, t2_loop *loop) {
  t2_limit_set_rate(&limits->requests, bounds->requests_per_second, t2_loop_now(loop));
  t2_pace_set_rate(&limits->up, bounds->bytes_to_clients);
  t2_pace_set_rate(&limits->down, bounds->bytes_from_clients);
}

static uint64_t debt_ms(t2_pace *pace, uint64_t now_ms) {
  uint64_t wait = t2_limit_wait_ms(&pace->limit, now_ms);
  return wait > T2_ENTRY_DEBT_MAX_MS ? wait : 0;
}

int t2_entry_limits_admit(t2_entry_bounds *bounds, t2_entry_limits **limits, t2_loop *loop, size_t active,
                          uint64_t *wait_ms) {
  uint64_t now_ms = t2_loop_now(loop);
  if (bounds->exchanges && active >= bounds->exchanges) {
    bounds->over_exchanges++;
    return T2_ERR_UNAVAILABLE;
  }
  if (!bounds->requests_per_second && !bounds->bytes_to_clients && !bounds->bytes_from_clients) return 0;
  if (!*limits) *limits = make(bounds, loop);
  if (!*limits) return T2_ERR_NOMEM;
  uint64_t up = debt_ms(&(*limits)->up, now_ms), down = debt_ms(&(*limits)->down, now_ms);
  *wait_ms = up > down ? up : down;
  if (*wait_ms) {
    bounds->over_bytes++;
    return T2_ERR_LIMIT;
  }
  if (t2_limit_take(&(*limits)->requests, 1, now_ms)) return 0;
  bounds->over_requests++;
  *wait_ms = t2_limit_wait_ms(&(*limits)->requests, now_ms);
  return T2_ERR_LIMIT;
}

t2_pace *t2_entry_limits_up(t2_entry_limits *limits) {
  return limits && limits->up.limit.rate ? &limits->up : NULL;
}

t2_pace *t2_entry_limits_down(t2_entry_limits *limits) {
  return limits && limits->down.limit.rate ? &limits->down : NULL;
}
