/* A rate: so many a second, with a second's worth at once after a pause (a token bucket). What is taken may
 * be more than there is: then it is in debt, and the wait grows. Sans-I/O: the clock is passed in, and does
 * not go back. */
#ifndef T2_BASE_LIMIT_H
#define T2_BASE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define T2_LIMIT_RATE_MAX (UINT64_C(1) << 40) /* a second; more is taken for that */
#define T2_LIMIT_DEBT_MAX 60                  /* seconds' worth; more is forgiven */

/* Embedded. */
typedef struct t2_limit {
  uint64_t rate;   /* a second; 0: there is no bound */
  int64_t left;    /* thousandths of one */
  uint64_t now_ms; /* when `left` was right */
} t2_limit;

/* Full: a second's worth may be taken at once. */
void t2_limit_init(t2_limit *limit, uint64_t per_second, uint64_t now_ms);
/* Another rate from now on: what is left, or owed, stays within what the new one allows. */
void t2_limit_set_rate(t2_limit *limit, uint64_t per_second, uint64_t now_ms);
/* Takes n if there is one at least, or if there is no bound. False: it is used up, and nothing is taken. */
bool t2_limit_take(t2_limit *limit, uint64_t n, uint64_t now_ms);
/* Takes n, whatever there is: it has been used. */
void t2_limit_charge(t2_limit *limit, uint64_t n, uint64_t now_ms);
/* How many there are now: 0 when it is used up, UINT64_MAX when there is no bound. */
uint64_t t2_limit_left(t2_limit *limit, uint64_t now_ms);
/* Milliseconds until there is one; 0: now. */
uint64_t t2_limit_wait_ms(t2_limit *limit, uint64_t now_ms);

#endif
