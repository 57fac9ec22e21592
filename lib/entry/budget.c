#include <entry/budget.h>

/* What is less than a whole one stays to be counted next time. */
static void count(t2_budget *budget, uint64_t now_ms) {
  uint64_t by_time = now_ms > budget->since_ms ? (now_ms - budget->since_ms) * T2_BUDGET_RATE / 1000 : 0;
  uint64_t more = budget->left + by_time + budget->requests / T2_BUDGET_SHARE;
  budget->requests %= T2_BUDGET_SHARE;
  budget->since_ms += by_time * 1000 / T2_BUDGET_RATE;
  budget->left = more < T2_BUDGET_MAX ? (uint32_t)more : T2_BUDGET_MAX;
}

bool t2_budget_take(t2_budget *budget, uint64_t now_ms) {
  if (budget->since_ms == 0) {
    budget->since_ms = now_ms;
    budget->left = T2_BUDGET_FIRST;
  }
  count(budget, now_ms);
  if (budget->left == 0) return false;
  budget->left--;
  return true;
}
