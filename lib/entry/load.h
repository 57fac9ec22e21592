/* Which of two uplinks takes the next request. Sans-I/O. */
#ifndef T2_ENTRY_LOAD_H
#define T2_ENTRY_LOAD_H

#include <base/str.h>
#include <stdbool.h>
#include <stdint.h>

#define T2_LOAD_WEIGHT     100 /* of a client that says nothing */
#define T2_LOAD_WEIGHT_MAX 1000

typedef struct t2_load {
  size_t room;   /* requests that it takes besides; 0: none */
  size_t active; /* under way on it */
  uint32_t weight;
  bool silent; /* it was asked whether it is there, and has not answered yet */
} t2_load;

/* Is b the better one? Where nothing tells them apart it is not. */
bool t2_load_prefers(const t2_load *a, const t2_load *b);
/* Has it room, and nothing that speaks against it? */
static inline bool t2_load_is_good(const t2_load *load) {
  return load->room && !load->silent;
}
/* The weight that a client has said: 1 to T2_LOAD_WEIGHT_MAX; T2_LOAD_WEIGHT of what is none. */
uint32_t t2_load_weight(t2_str text);

#endif
