/* Benchmarks of what needs no socket: each is a row of a table, run by main.c. */
#ifndef T2_BENCH_H
#define T2_BENCH_H

#include <base/buf.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct t2_bench {
  const char *name;
  void *(*set_up)(void);              /* ends the program when it can't */
  void (*run)(void *state, size_t n); /* n operations */
  void (*tear_down)(void *state);
} t2_bench;

/* Each ends with a row without a name. */
extern const t2_bench t2_bench_h1[], t2_bench_wire[], t2_bench_route[], t2_bench_h2[], t2_bench_exchange[];

/* What a benchmark rests on: a wrong result would be measured as a fast one. */
#define T2_BENCH_NEED(condition)                                                                             \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                \
      abort();                                                                                               \
    }                                                                                                        \
  } while (0)

static inline void *t2_bench_new(size_t size) {
  void *made = calloc(1, size);
  T2_BENCH_NEED(made);
  return made;
}

#endif
