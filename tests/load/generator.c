/* A load with an open schedule: requests are due at planned times, whatever became of those before, and
 * latency counts from the planned time, so that waiting is not hidden. One JSON object a line on stdout:
 * "start", a "second" each second, at the end a "step" for each step and the "total". */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "plan.h"
#include "pool.h"
#include "tally.h"
#include "target.h"

#define SECOND_NS 1000000000ULL
#define LATE_NS   1000000ULL
#define SWEEP_NS  50000000ULL
#define MIN_NAP_NS                                                                                           \
  50000ULL /* requests due within it go out together: past 20,000/s a wake-up serves several */

typedef struct generator {
  plan plan;
  target targets[TARGETS_MAX];
  size_t target_count;
  pool pool;
  uint64_t timeout, begun;
  plan_cursor due, send; /* what has been counted as planned; what has been sent */
  tally second, total;
  tally *steps;
  uint64_t seconds, next_second, next_sweep;
} generator;

static volatile sig_atomic_t stopping;

static void on_signal(int number) {
  (void)number;
  stopping = 1;
}

static void note_error(const pool_request *r, error_kind kind, void *user) {
  generator *g = user;
  tally_error(&g->second, kind);
  tally_error(&g->steps[r->step], kind);
  tally_error(&g->total, kind);
}

static void note_answer(const pool_request *r, int status, uint64_t now, void *user) {
  generator *g = user;
  tally *all[] = {&g->second, &g->steps[r->step], &g->total};
  for (size_t i = 0; i < 3; i++) {
    all[i]->answered++;
    if (status >= 400) continue;
    all[i]->good++;
    histogram_add(&all[i]->latency, now > r->planned ? now - r->planned : 0);
  }
  if (status >= 400) note_error(r, status < 500 ? ERROR_4XX : ERROR_5XX, user);
}

static void note_sent(generator *g, size_t step, bool late, bool starved) {
  tally *all[] = {&g->second, &g->steps[step], &g->total};
  for (size_t i = 0; i < 3; i++) {
    all[i]->sent++;
    all[i]->late += late;
    all[i]->starved += starved;
  }
}

static void count_due(generator *g, uint64_t until) {
  for (; !plan_ended(&g->due) && g->begun + g->due.at < until; plan_next(&g->due)) {
    g->second.planned++;
    g->steps[g->due.step].planned++;
    g->total.planned++;
  }
}

static void write_second(generator *g) {
  printf("{\"type\":\"second\",\"t\":%" PRIu64 ",\"connections\":%zu,\"busy\":%zu,", g->seconds++,
         g->pool.open, g->pool.busy);
  tally_write(&g->second, stdout);
  printf("}\n");
  fflush(stdout);
  tally_clear(&g->second);
}

/* Writes the lines of the seconds that are over. */
static void end_seconds(generator *g, uint64_t now) {
  for (; now >= g->next_second; g->next_second += SECOND_NS) {
    count_due(g, g->next_second);
    write_second(g);
  }
  count_due(g, now);
}

/* Sends what is due, as far as there are connections; true when something waits for one. waited: what it said
 * before. */
static bool send_due(generator *g, uint64_t now, bool waited) {
  for (; !plan_ended(&g->send) && g->begun + g->send.at <= now; plan_next(&g->send)) {
    uint64_t planned = g->begun + g->send.at;
    pool_request r = {.target = g->send.number % g->target_count,
                      .step = g->send.step,
                      .planned = planned,
                      .deadline = now + g->timeout};
    if (now >= planned + g->timeout) {
      note_error(&r, ERROR_UNSENT, g);
      continue;
    }
    if (!pool_send(&g->pool, &r)) return true;
    bool late = now >= planned + LATE_NS;
    note_sent(g, r.step, late, late && !waited);
    if (g->send.number % 64 == 63) now = pool_now();
  }
  return false;
}

static uint64_t nap(const generator *g, uint64_t now, bool waiting) {
  uint64_t until = g->next_second < g->next_sweep ? g->next_second : g->next_sweep;
  uint64_t next = g->begun + g->send.at;
  if (!waiting && !plan_ended(&g->send) && next < until) until = next;
  return until > now + MIN_NAP_NS ? until - now : MIN_NAP_NS;
}

static void run(generator *g) {
  g->begun = pool_now() + SECOND_NS / 20;
  g->next_second = g->begun + SECOND_NS;
  g->next_sweep = g->begun;
  plan_begin(&g->due, &g->plan);
  plan_begin(&g->send, &g->plan);
  printf("{\"type\":\"start\",\"begun_ns\":%" PRIu64 ",\"length_s\":%.3f}\n", g->begun,
         (double)plan_length(&g->plan) / SECOND_NS);
  fflush(stdout);
  bool waiting = false;
  while (!stopping && !(plan_ended(&g->send) && g->pool.busy == 0)) {
    uint64_t now = pool_now();
    end_seconds(g, now);
    waiting = send_due(g, now, waiting);
    if (now >= g->next_sweep) {
      pool_sweep(&g->pool, now);
      g->next_sweep = now + SWEEP_NS;
    }
    pool_poll(&g->pool, nap(g, pool_now(), waiting));
  }
}

/* The seconds up to the plan's end, and the one after it if there was something in it; steps; total. */
static void finish(generator *g) {
  struct rusage used;
  uint64_t now = pool_now(), end = g->begun + plan_length(&g->plan);
  while (!stopping && now < end) {
    pool_poll(&g->pool, now + SWEEP_NS < end ? SWEEP_NS : end - now);
    now = pool_now();
    end_seconds(g, now);
  }
  if (tally_any(&g->second)) write_second(g);
  for (size_t i = 0; i < g->plan.n; i++) {
    const plan_step *step = &g->plan.steps[i];
    printf("{\"type\":\"step\",\"index\":%zu,\"rate\":%g,\"seconds\":%g,\"body\":%zu,", i, step->rate,
           step->seconds, step->body);
    tally_write(&g->steps[i], stdout);
    printf("}\n");
  }
  getrusage(RUSAGE_SELF, &used);
  printf("{\"type\":\"total\",\"connected\":%" PRIu64 ",\"stopped\":%s,\"cpu_s\":%.3f,", g->pool.connected,
         stopping ? "true" : "false",
         (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
             (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
  tally_write(&g->total, stdout);
  printf("}\n");
}

static int usage(void) {
  fprintf(
      stderr,
      "Usage: load_generator [OPTION]... URL...\n"
      "Sends requests to http://HOST:PORT/PATH, in turn where there are several, by an open schedule.\n\n"
      "  --step RATE:SECONDS[:BODY]  requests a second; a GET, or a POST of BODY bytes; repeated\n"
      "  --poisson                   random gaps (equal ones)\n"
      "  --seed N                    of the random ones (1)\n"
      "  --connections N             at most (512)\n"
      "  --timeout SECONDS           for a connection, from the planned time; then for the answer (10)\n");
  return 2;
}

static bool number(const char *text, double low, double high, double *value) {
  char *end;
  errno = 0;
  *value = strtod(text, &end);
  return *text && !*end && !errno && *value >= low && *value <= high;
}

/* false: an option that is wrong. */
static bool option(generator *g, const char *name, const char *value) {
  double n;
  if (strcmp(name, "--step") == 0) return plan_add(&g->plan, value);
  if (strcmp(name, "--seed") == 0 && number(value, 0, 1e15, &n)) {
    g->plan.seed = (uint64_t)n;
    return true;
  }
  if (strcmp(name, "--connections") == 0 && number(value, 1, POOL_CONNECTIONS_MAX, &n)) {
    g->pool.max = (size_t)n;
    return true;
  }
  if (strcmp(name, "--timeout") == 0 && number(value, 0.001, 3600, &n)) {
    g->timeout = (uint64_t)(n * SECOND_NS);
    return true;
  }
  return false;
}

/* Options first, then URLs; the targets need the steps. */
static bool read_arguments(generator *g, int argc, char **argv) {
  int i = 1;
  for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
    if (strcmp(argv[i], "--poisson") == 0) {
      g->plan.poisson = true;
    } else if (i + 1 == argc || !option(g, argv[i], argv[i + 1])) {
      fprintf(stderr, "load_generator: %s is wrong\n", argv[i]);
      return false;
    } else {
      i++;
    }
  }
  if (i == argc || argc - i > TARGETS_MAX || g->plan.n == 0) return false;
  for (; i < argc; i++)
    if (!target_init(&g->targets[g->target_count++], argv[i], &g->plan)) return false;
  return true;
}

/* Bytes that compress badly and are not all alike. */
static char *make_body(const plan *p) {
  size_t n = 1;
  uint32_t word = 1;
  for (size_t i = 0; i < p->n; i++)
    if (p->steps[i].body > n) n = p->steps[i].body;
  char *body = malloc(n);
  for (size_t i = 0; body && i < n; i++) {
    word = word * 1664525 + 1013904223;
    body[i] = (char)(word >> 24);
  }
  return body;
}

static bool prepare(generator *g, const char *body) {
  struct rlimit files;
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  (void)prctl(PR_SET_TIMERSLACK, 1UL); /* else each nap is 50 us longer */
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  g->pool.targets = g->targets;
  g->pool.target_count = g->target_count;
  g->pool.plan = &g->plan;
  g->pool.body = body;
  g->pool.on_answer = note_answer;
  g->pool.on_error = note_error;
  g->pool.user = g;
  g->steps = calloc(g->plan.n, sizeof(*g->steps));
  return body && g->steps && pool_init(&g->pool);
}

int main(int argc, char **argv) {
  int status = 1;
  generator *g = calloc(1, sizeof(*g));
  if (!g) return 1;
  g->plan.seed = 1;
  g->timeout = 10 * SECOND_NS;
  g->pool.max = 512;
  g->pool.epoll = -1;
  if (!read_arguments(g, argc, argv)) {
    status = usage();
  } else {
    char *body = make_body(&g->plan);
    if (prepare(g, body)) {
      run(g);
      finish(g);
      status = 0;
    } else {
      fprintf(stderr, "load_generator: out of memory or descriptors\n");
    }
    pool_fini(&g->pool);
    free(body);
  }
  for (size_t i = 0; i < g->target_count; i++)
    target_fini(&g->targets[i]);
  free(g->steps);
  free(g);
  return status;
}
