/* When requests are to be sent: steps of a rate and a duration, whatever becomes of the requests (an open
 * schedule).
 *
 * A cursor goes through the plan; two cursors of one plan see the same times. So the requests that wait for a
 * connection need no queue: they are those between the cursor that counts what is due and the one that sends.
 */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_STEPS_MAX 64

typedef struct plan_step {
  double rate, seconds;
  size_t body; /* bytes of a POST; 0: a GET */
} plan_step;

typedef struct plan {
  plan_step steps[PLAN_STEPS_MAX];
  size_t n;
  bool poisson; /* random gaps, exponential ones; else equal ones */
  uint64_t seed;
} plan;

typedef struct plan_cursor {
  const plan *plan;
  size_t step;      /* the step of the next request; plan->n past the end */
  uint64_t at;      /* when it is to be sent, ns from the beginning */
  uint64_t number;  /* requests before it */
  uint64_t begun;   /* when the step begins, ns from the beginning */
  uint64_t in_step; /* requests of the step before it */
  uint64_t random;  /* state of the generator of gaps */
} plan_cursor;

/* Reads RATE:SECONDS[:BODY] as one more step. */
bool plan_add(plan *p, const char *text);

/* ns from the beginning to the end of the last step. */
uint64_t plan_length(const plan *p);

void plan_begin(plan_cursor *c, const plan *p);
bool plan_ended(const plan_cursor *c);
void plan_next(plan_cursor *c);

#endif
