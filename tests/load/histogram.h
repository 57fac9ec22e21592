/* Times in nanoseconds, counted in buckets that are 1/128 of their value wide: a percentile is off by 0.4 %
 * at most. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB     128 /* buckets to each power of two */
#define HISTOGRAM_BUCKETS (HISTOGRAM_SUB * 34)

typedef struct histogram {
  uint64_t count, max;
  double sum;
  uint32_t buckets[HISTOGRAM_BUCKETS];
} histogram;

void histogram_clear(histogram *h);

/* What does not fit (2^40 ns, 18 minutes) counts in the last bucket. */
void histogram_add(histogram *h, uint64_t ns);

/* The time that this share (0 to 1) of all does not pass; 0 when it is empty. */
uint64_t histogram_at(const histogram *h, double share);

#endif
