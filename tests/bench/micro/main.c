/* bench_micro [--list] [--count N] [--ms MS] [NAME...]: how long one operation of each benchmark takes.
 *
 * Prints "NAME MEDIAN LEAST" in nanoseconds. With --count the N operations are all that happens inside
 * t2_bench_measured, for callgrind's --toggle-collect; nothing is printed but the name. */
#include "bench.h"

#include <string.h>
#include <time.h>

#define PIECES 9 /* a measurement is cut in so many, and their median taken */

static const t2_bench *const tables[] = {t2_bench_h1, t2_bench_wire, t2_bench_route, t2_bench_h2,
                                         t2_bench_exchange};

typedef struct options {
  bool list;
  size_t count;
  double ms;
  char **names;
  int name_count;
} options;

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* By a pointer that the compiler doesn't see through, so that the call stays one. */
__attribute__((noinline, used)) void t2_bench_measured(void (*volatile run)(void *, size_t), void *state,
                                                       size_t n);
void t2_bench_measured(void (*volatile run)(void *, size_t), void *state, size_t n) {
  run(state, n);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* How many operations fill a piece of the time. */
static size_t calibrate(const t2_bench *bench, void *state, double piece_ns) {
  for (size_t n = 1;; n *= 2) {
    double began = now_ns();
    bench->run(state, n);
    double took = now_ns() - began;
    if (took >= piece_ns / 4) return (size_t)((double)n * piece_ns / took) + 1;
  }
}

static void measure(const t2_bench *bench, void *state, double ms) {
  double found[PIECES];
  size_t n = calibrate(bench, state, ms * 1e6 / PIECES);
  for (size_t i = 0; i < PIECES; i++) {
    double began = now_ns();
    t2_bench_measured(bench->run, state, n);
    found[i] = (now_ns() - began) / (double)n;
  }
  qsort(found, PIECES, sizeof(*found), compare);
  printf("%s %.1f %.1f\n", bench->name, found[PIECES / 2], found[0]);
}

static bool wanted(const options *o, const char *name) {
  for (int i = 0; i < o->name_count; i++)
    if (strcmp(o->names[i], name) == 0) return true;
  return o->name_count == 0;
}

static void run_one(const options *o, const t2_bench *bench) {
  if (o->list) {
    puts(bench->name);
    return;
  }
  void *state = bench->set_up();
  if (o->count) {
    bench->run(state, o->count / 4 + 1); /* tables filled, memory there */
    t2_bench_measured(bench->run, state, o->count);
    puts(bench->name);
  } else {
    measure(bench, state, o->ms);
  }
  fflush(stdout);
  bench->tear_down(state);
}

static bool parse(options *o, int argc, char **argv) {
  *o = (options){.ms = 300};
  int at = 1;
  for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
    if (strcmp(argv[at], "--list") == 0) {
      o->list = true;
      continue;
    }
    if (at + 1 == argc) return false;
    if (strcmp(argv[at], "--count") == 0)
      o->count = strtoul(argv[++at], NULL, 10);
    else if (strcmp(argv[at], "--ms") == 0)
      o->ms = strtod(argv[++at], NULL);
    else
      return false;
  }
  o->names = argv + at;
  o->name_count = argc - at;
  return o->ms > 0;
}

int main(int argc, char **argv) {
  options o;
  if (!parse(&o, argc, argv)) {
    fprintf(stderr, "usage: bench_micro [--list] [--count N] [--ms MS] [NAME...]\n");
    return 2;
  }
  int found = 0;
  for (size_t t = 0; t < T2_COUNT_OF(tables); t++)
    for (const t2_bench *bench = tables[t]; bench->name; bench++)
      if (wanted(&o, bench->name)) {
        run_one(&o, bench);
        found++;
      }
  if (found < o.name_count) fprintf(stderr, "bench_micro: no such benchmark (see --list)\n");
  return found < o.name_count ? 2 : 0;
}
