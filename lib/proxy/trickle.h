/* How long content may take in all: a while, and as much longer as its bytes earn at the least rate that is
 * asked of it. Only the time in which it is waited for counts. Sans-I/O. */
#ifndef T2_PROXY_TRICKLE_H
#define T2_PROXY_TRICKLE_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded; all zero at the beginning of a request. */
typedef struct t2_trickle {
  uint64_t since_ms; /* it is being waited for */
  uint64_t spent_ms; /* that it has been waited for before */
  uint64_t bytes;    /* that have come */
  bool awaited;
} t2_trickle;

/* From now on it is waited for, or is not. */
void t2_trickle_await(t2_trickle *trickle, bool awaited, uint64_t now_ms);
/* Milliseconds of waiting that are left to it; rate: bytes a second, 0: any. */
uint64_t t2_trickle_left(const t2_trickle *trickle, uint64_t grace_ms, uint32_t rate, uint64_t now_ms);

#endif
