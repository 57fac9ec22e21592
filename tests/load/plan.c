#include "plan.h"

#include <math.h>
#include <stdlib.h>

#define SECOND      1e9
#define RATE_MAX    1e6
#define SECONDS_MAX 86400.0
#define BODY_MAX    (16 << 20)

bool plan_add(plan *p, const char *text) {
  char *end;
  plan_step step = {0};
  step.rate = strtod(text, &end);
  if (*end != ':') return false;
  step.seconds = strtod(end + 1, &end);
  if (*end == ':') step.body = (size_t)strtoull(end + 1, &end, 10);
  if (*end || !(step.rate > 0 && step.rate <= RATE_MAX) ||
      !(step.seconds > 0 && step.seconds <= SECONDS_MAX) || step.body > BODY_MAX || p->n == PLAN_STEPS_MAX)
    return false;
  p->steps[p->n++] = step;
  return true;
}

uint64_t plan_length(const plan *p) {
  double seconds = 0;
  for (size_t i = 0; i < p->n; i++)
    seconds += p->steps[i].seconds;
  return (uint64_t)(seconds * SECOND);
}

/* xorshift64*; a number above 0 and at most 1. */
static double random_share(plan_cursor *c) {
  c->random ^= c->random >> 12;
  c->random ^= c->random << 25;
  c->random ^= c->random >> 27;
  return ((double)((c->random * 0x2545f4914f6cdd1dULL) >> 11) + 1) / 9007199254740992.0;
}

/* Places the request in its step, or in the next step that has one. */
static void place(plan_cursor *c) {
  while (c->step < c->plan->n) {
    const plan_step *step = &c->plan->steps[c->step];
    uint64_t length = (uint64_t)(step->seconds * SECOND), gap;
    if (c->plan->poisson)
      gap = c->at - c->begun + (uint64_t)(-log(random_share(c)) * SECOND / step->rate);
    else if ((double)c->in_step + 1e-6 >= step->rate * step->seconds)
      gap = length;
    else
      gap = (uint64_t)((double)c->in_step * SECOND / step->rate);
    if (gap < length) {
      c->at = c->begun + gap;
      return;
    }
    c->step++;
    c->begun += length;
    c->at = c->begun;
    c->in_step = 0;
  }
}

void plan_begin(plan_cursor *c, const plan *p) {
  *c = (plan_cursor){.plan = p, .random = (p->seed + 1) * 0x9e3779b97f4a7c15ULL};
  if (c->random == 0) c->random = 1;
  place(c);
}

bool plan_ended(const plan_cursor *c) {
  return c->step == c->plan->n;
}

void plan_next(plan_cursor *c) {
  c->number++;
  c->in_step++;
  place(c);
}
