#include "histogram.h"

#include <string.h>

void histogram_clear(histogram *h) {
  memset(h, 0, sizeof(*h));
}

/* The first 128 buckets hold one value each; from there each power of two has 128. */
static unsigned bucket_of(uint64_t ns) {
  if (ns < HISTOGRAM_SUB) return (unsigned)ns;
  unsigned power = 63 - (unsigned)__builtin_clzll(ns); /* 7 and more */
  unsigned bucket = (power - 6) * HISTOGRAM_SUB + (unsigned)(ns >> (power - 7)) - HISTOGRAM_SUB;
  return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t value_of(unsigned bucket) {
  if (bucket < HISTOGRAM_SUB) return bucket;
  unsigned shift = bucket / HISTOGRAM_SUB - 1;
  uint64_t low = (uint64_t)(HISTOGRAM_SUB + bucket % HISTOGRAM_SUB) << shift;
  return low + ((1ULL << shift) >> 1);
}

void histogram_add(histogram *h, uint64_t ns) {
  h->count++;
  h->sum += (double)ns;
  if (ns > h->max) h->max = ns;
  h->buckets[bucket_of(ns)]++;
}

uint64_t histogram_at(const histogram *h, double share) {
  uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;
  if ((double)wanted < share * (double)h->count || wanted == 0) wanted++;
  if (h->count == 0) return 0;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += h->buckets[i];
    if (seen < wanted) continue;
    uint64_t value = value_of(i);
    return value < h->max ? value : h->max;
  }
  return h->max;
}
