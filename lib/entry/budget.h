/* How many requests of a session may be asked again: one for every five that have come, and ten a second
 * besides, so that what is wrong with a client is not made worse by asking the others the same over and over.
 * Sans-I/O: the clock is passed in. */
#ifndef T2_ENTRY_BUDGET_H
#define T2_ENTRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define T2_BUDGET_FIRST 100  /* a session begins with so many, */
#define T2_BUDGET_MAX   1000 /* and saves so many at most */
#define T2_BUDGET_SHARE 5    /* one of so many requests */
#define T2_BUDGET_RATE  10   /* a second */

/* Embedded; all zero is a session that has just begun. */
typedef struct t2_budget {
  uint64_t since_ms; /* what time gives has been counted up to here; 0: never */
  uint32_t requests; /* that have come and have not been counted */
  uint32_t left;
} t2_budget;

/* A request has come. */
static inline void t2_budget_earn(t2_budget *budget) {
  if (budget->requests < T2_BUDGET_MAX * T2_BUDGET_SHARE) budget->requests++;
}
/* May one be asked again? Then it counts. */
bool t2_budget_take(t2_budget *budget, uint64_t now_ms);

#endif
