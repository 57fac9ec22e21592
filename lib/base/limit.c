#include <base/limit.h>

/* Of a rate of one a second a thousandth comes each millisecond: no rate is too small to be counted. */
#define ONE 1000

static int64_t full(const t2_limit *limit) {
  return (int64_t)limit->rate * ONE;
}

static void refill(t2_limit *limit, uint64_t now_ms) {
  if (now_ms <= limit->now_ms) return;
  uint64_t passed = now_ms - limit->now_ms;
  limit->now_ms = now_ms;
  if (passed > (T2_LIMIT_DEBT_MAX + 1) * ONE) /* it is full, and the product stays small */
    limit->left = full(limit);
  else
    limit->left += (int64_t)(passed * limit->rate);
  if (limit->left > full(limit)) limit->left = full(limit);
}

void t2_limit_init(t2_limit *limit, uint64_t per_second, uint64_t now_ms) {
  limit->rate = per_second < T2_LIMIT_RATE_MAX ? per_second : T2_LIMIT_RATE_MAX;
  limit->now_ms = now_ms;
  limit->left = full(limit);
}

void t2_limit_set_rate(t2_limit *limit, uint64_t per_second, uint64_t now_ms) {
  t2_limit before = *limit;

  refill(&before, now_ms);
  t2_limit_init(limit, per_second, now_ms);
  int64_t floor = -full(limit) * T2_LIMIT_DEBT_MAX;
  if (before.rate && before.left < limit->left) limit->left = before.left > floor ? before.left : floor;
}

bool t2_limit_take(t2_limit *limit, uint64_t n, uint64_t now_ms) {
  if (t2_limit_left(limit, now_ms) == 0) return false;
  t2_limit_charge(limit, n, now_ms);
  return true;
}

void t2_limit_charge(t2_limit *limit, uint64_t n, uint64_t now_ms) {
  if (limit->rate == 0) return;
  refill(limit, now_ms);
  int64_t floor = -full(limit) * T2_LIMIT_DEBT_MAX;
  uint64_t room = (uint64_t)(limit->left - floor) / ONE;
  limit->left = n < room ? limit->left - (int64_t)(n * ONE) : floor;
}

uint64_t t2_limit_left(t2_limit *limit, uint64_t now_ms) {
  if (limit->rate == 0) return UINT64_MAX;
  refill(limit, now_ms);
  return limit->left < ONE ? 0 : (uint64_t)limit->left / ONE;
}

uint64_t t2_limit_wait_ms(t2_limit *limit, uint64_t now_ms) {
  if (t2_limit_left(limit, now_ms)) return 0;
  return ((uint64_t)(ONE - limit->left) + limit->rate - 1) / limit->rate;
}
