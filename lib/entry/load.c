#include <entry/load.h>

bool t2_load_prefers(const t2_load *a, const t2_load *b) {
  if (!a->room || !b->room) return b->room > a->room;
  if (a->silent != b->silent) return a->silent;
  return (uint64_t)b->active * a->weight < (uint64_t)a->active * b->weight;
}

uint32_t t2_load_weight(t2_str text) {
  uint64_t weight = 0;
  if (text.n == 0 || t2_str_u64(text, T2_LOAD_WEIGHT_MAX, &weight) || weight == 0) return T2_LOAD_WEIGHT;
  return (uint32_t)weight;
}
