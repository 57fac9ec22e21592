#include <net/crew.h>

#include <stdio.h>
#include <string.h>
#include <tunnel2/error.h>

#define STOP_MS     10000 /* for a thread whose loop has nothing left */
#define RECORDS_MAX 1000  /* of the log that wait */

struct t2_crew {
  t2_loop *loop; /* worker 0's */
  const t2_allocator *mem;
  atomic_uint records; /* of the log that wait */
  unsigned size, engaged;
  bool closing;
  void (*on_close)(void *user);
  void *user;
  t2_worker workers[];
};

unsigned t2_crew_size(const t2_crew *crew) {
  return crew->size;
}

t2_worker *t2_crew_worker(t2_crew *crew, unsigned number) {
  return &crew->workers[number];
}

uv_loop_t *t2_worker_loop(const t2_worker *worker) {
  return worker->runtime ? t2_runtime_loop(worker->runtime) : worker->crew->loop->uv;
}

unsigned t2_crew_workers(uint32_t wanted) {
  unsigned n = wanted ? wanted : uv_available_parallelism();

  return n < T2_WORKERS_MAX ? n : T2_WORKERS_MAX;
}

/* ---- The end ---- */

static void on_own_box_closed(void *user) {
  t2_crew *crew = ((t2_worker *)user)->crew;
  void (*cb)(void *) = crew->on_close;
  void *cb_user = crew->user;

  t2_free(crew->mem, crew);
  if (cb) cb(cb_user);
}

static void close_own_box(t2_mail *mail, void *user) {
  t2_worker *worker = user;

  (void)mail;
  t2_mailbox_close(&worker->box, NULL);
}

/* Nobody sends anything any more but this. The threads have nothing left to do but to end, which they are
 * waited for. */
static void end(t2_crew *crew) {
  for (unsigned i = 1; i < crew->size; i++) {
    crew->workers[i].last.open = close_own_box;
    t2_crew_send(&crew->workers[i], &crew->workers[i].last);
  }
  for (unsigned i = 1; i < crew->size; i++) {
    (void)t2_runtime_stop(crew->workers[i].runtime, STOP_MS);
    t2_runtime_free(crew->workers[i].runtime);
  }
  t2_mailbox_close(&crew->workers[0].box, on_own_box_closed);
}

static void settle(t2_crew *crew) {
  if (crew->closing && crew->engaged == 0) end(crew);
}

void t2_crew_await(t2_crew *crew) {
  uv_ref((uv_handle_t *)&crew->workers[0].box.wake);
}

void t2_crew_close(t2_crew *crew, void (*cb)(void *user), void *user) {
  crew->on_close = cb;
  crew->user = user;
  crew->closing = true;
  t2_crew_await(crew);
  settle(crew);
}

static void on_left(t2_mail *mail, void *user) {
  t2_crew *crew = ((t2_worker *)user)->crew;

  (void)mail;
  crew->engaged--;
  settle(crew);
}

void t2_crew_leave(t2_worker *worker) {
  worker->last.open = on_left;
  t2_crew_send(&worker->crew->workers[0], &worker->last);
}

/* ---- Making ---- */

/* A thread goes on until its box is closed, by mail. */
static int open_box(void *user) {
  t2_worker *worker = user;
  int err = t2_mailbox_open(&worker->box, t2_worker_loop(worker), worker);

  if (err == 0 && worker->runtime) uv_ref((uv_handle_t *)&worker->box.wake);
  return err;
}

static int start(t2_crew *crew, t2_worker *worker, const char *name) {
  t2_runtime_options options;
  char text[16];

  t2_runtime_options_init(&options);
  snprintf(text, sizeof(text), "%.11s-%u", name, worker->number);
  options.name = text;
  options.allocator = crew->mem;
  int err = t2_runtime_new(&worker->runtime, &options);
  if (err) return err;
  err = t2_runtime_call(worker->runtime, open_box, worker);
  if (err == 0) return 0;
  (void)t2_runtime_stop(worker->runtime, STOP_MS);
  t2_runtime_free(worker->runtime);
  return err;
}

int t2_crew_new(t2_crew **out, t2_loop *loop, unsigned workers, const char *name) {
  t2_crew *crew = t2_calloc(loop->mem, 1, sizeof(*crew) + workers * sizeof(t2_worker));

  *out = NULL;
  if (!crew) return T2_ERR_NOMEM;
  crew->loop = loop;
  crew->mem = loop->mem;
  atomic_init(&crew->records, 0);
  for (unsigned i = 0; i < workers; i++) {
    crew->workers[i].crew = crew;
    crew->workers[i].number = i;
  }
  int err = open_box(&crew->workers[0]);
  if (err) {
    t2_free(crew->mem, crew);
    return err;
  }
  for (crew->size = 1; err == 0 && crew->size < workers;) {
    err = start(crew, &crew->workers[crew->size], name);
    if (err == 0) crew->size++;
  }
  if (err)
    t2_crew_close(crew, NULL, NULL);
  else
    *out = crew;
  return err;
}

int t2_crew_call(t2_worker *worker, int (*call)(void *user), void *user) {
  return t2_runtime_call(worker->runtime, call, user);
}

void t2_crew_engage(t2_crew *crew) {
  crew->engaged++;
}

unsigned t2_crew_engaged(const t2_crew *crew) {
  return crew->engaged;
}

/* ---- Log ---- */

#define PAIRS_MAX 8

/* Its texts stand behind it. */
typedef struct record {
  t2_mail mail;
  t2_log_level level;
  const char *component, *message;
  size_t pair_count;
  t2_log_pair pairs[PAIRS_MAX];
} record;

static void on_record(t2_mail *mail, void *user) {
  record *r = T2_CONTAINER_OF(mail, record, mail);
  t2_crew *crew = ((t2_worker *)user)->crew;

  atomic_fetch_sub_explicit(&crew->records, 1, memory_order_relaxed);
  const t2_log *log = &crew->loop->log;
  log->cb(r->level, r->component, r->message, r->pairs, r->pair_count, log->user);
  t2_free(crew->mem, r);
}

static const char *put(char **at, const char *text) {
  char *here = *at;
  size_t n = strlen(text) + 1;

  memcpy(here, text, n);
  *at += n;
  return here;
}

static void forward(t2_log_level level, const char *component, const char *message, const t2_log_pair *pairs,
                    size_t n, void *user) {
  t2_crew *crew = ((t2_worker *)user)->crew;
  size_t size = strlen(component) + strlen(message) + 2;

  if (n > PAIRS_MAX) n = PAIRS_MAX;
  for (size_t i = 0; i < n; i++)
    size += strlen(pairs[i].key) + strlen(pairs[i].value) + 2;
  if (atomic_load_explicit(&crew->records, memory_order_relaxed) >= RECORDS_MAX) return;
  record *r = t2_alloc(crew->mem, sizeof(*r) + size);
  if (!r) return;
  char *at = (char *)(r + 1);
  *r = (record){.mail.open = on_record, .level = level, .pair_count = n};
  r->component = put(&at, component);
  r->message = put(&at, message);
  for (size_t i = 0; i < n; i++) {
    r->pairs[i].key = put(&at, pairs[i].key);
    r->pairs[i].value = put(&at, pairs[i].value);
  }
  atomic_fetch_add_explicit(&crew->records, 1, memory_order_relaxed);
  t2_crew_send(&crew->workers[0], &r->mail);
}

t2_log t2_crew_log(t2_worker *worker) {
  const t2_log *log = &worker->crew->loop->log;

  return (t2_log){log->cb ? forward : NULL, worker, log->level};
}
