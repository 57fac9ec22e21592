#include <base/list.h>
#include <base/mem.h>
#include <base/options.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tunnel2/runtime.h>

#define NAME_MAX_LEN 15 /* of a thread, by prctl(2) */

typedef struct posted {
  t2_list node;
  void (*call)(void *user);
  void *user;
} posted;

/*   NEW ──▶ RUNNING ──t2_runtime_stop──▶ STOPPING ──nothing is open──▶ OVER */
typedef enum runtime_state { NEW, RUNNING, STOPPING, OVER } runtime_state;

struct t2_runtime {
  const t2_allocator *mem;
  uv_loop_t loop;
  uv_async_t wake;
  pthread_t thread; /* once RUNNING; mutex */
  bool started;     /* a thread of ours, to be joined; mutex */
  pthread_mutex_t mutex;
  pthread_cond_t changed; /* state, and the end of calls */
  runtime_state state;    /* mutex */
  t2_list posts;          /* mutex */
  char name[NAME_MAX_LEN + 1];
};

/* ---- On the runtime's thread ---- */

/* No more posts will come, and all have been called. */
static bool has_stopped(t2_runtime *runtime) {
  pthread_mutex_lock(&runtime->mutex);
  bool any = !t2_list_empty(&runtime->posts), stopped = runtime->state == STOPPING && !any;
  if (any) uv_async_send(&runtime->wake);
  pthread_mutex_unlock(&runtime->mutex);
  return stopped;
}

/* Those that were posted before this turn: one that posts itself again does not starve the loop. */
static void on_wake(uv_async_t *wake) {
  t2_runtime *runtime = wake->data;
  t2_list turn;
  pthread_mutex_lock(&runtime->mutex);
  t2_list_move(&turn, &runtime->posts);
  pthread_mutex_unlock(&runtime->mutex);
  while (!t2_list_empty(&turn)) {
    posted *post = T2_LIST_ENTRY(turn.next, posted, node);
    void (*call)(void *) = post->call;
    void *user = post->user;
    t2_list_remove(&post->node);
    t2_free(runtime->mem, post);
    call(user);
  }
  if (has_stopped(runtime) && !uv_is_closing((uv_handle_t *)wake)) uv_close((uv_handle_t *)wake, NULL);
}

static void run(t2_runtime *runtime) {
  uv_run(&runtime->loop, UV_RUN_DEFAULT);
  pthread_mutex_lock(&runtime->mutex);
  runtime->state = OVER;
  pthread_cond_broadcast(&runtime->changed);
  pthread_mutex_unlock(&runtime->mutex);
}

static void *thread_main(void *user) {
  t2_runtime *runtime = user;
  pthread_setname_np(pthread_self(), runtime->name);
  run(runtime);
  return NULL;
}

/* ---- Life ---- */

void t2_runtime_options_init(t2_runtime_options *options) {
  *options = (t2_runtime_options){.size = sizeof(*options)};
}

static int read_options(t2_runtime_options *out, const t2_runtime_options *given) {
  t2_runtime_options_init(out);
  if (given && t2_options_read(out, sizeof(*out), given)) return T2_ERR_INVALID;
  if (!out->name) out->name = "tunnel2";
  return strlen(out->name) > NAME_MAX_LEN ? T2_ERR_INVALID : 0;
}

/* The clock of deadlines is the one that is never set. */
static void init_locks(t2_runtime *runtime) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&runtime->changed, &attr);
  pthread_condattr_destroy(&attr);
  pthread_mutex_init(&runtime->mutex, NULL);
}

static int open_loop(t2_runtime *runtime) {
  if (uv_loop_init(&runtime->loop)) return T2_ERR_IO;
  if (uv_async_init(&runtime->loop, &runtime->wake, on_wake)) {
    uv_loop_close(&runtime->loop);
    return T2_ERR_IO;
  }
  runtime->wake.data = runtime;
  return 0;
}

static void dispose(t2_runtime *runtime) {
  uv_loop_close(&runtime->loop);
  pthread_cond_destroy(&runtime->changed);
  pthread_mutex_destroy(&runtime->mutex);
  t2_free(runtime->mem, runtime);
}

static void close_unused(t2_runtime *runtime) {
  uv_close((uv_handle_t *)&runtime->wake, NULL);
  uv_run(&runtime->loop, UV_RUN_DEFAULT);
  dispose(runtime);
}

/* Signals are for the program's own threads, but for those that a thread brings upon itself. One that is
 * held can't end the process either: SIGPIPE, of a write to a connection that the peer has closed. */
static void hold_signals(sigset_t *before) {
  static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
  sigset_t held;
  sigfillset(&held);
  for (size_t i = 0; i < T2_COUNT_OF(own); i++)
    sigdelset(&held, own[i]);
  pthread_sigmask(SIG_SETMASK, &held, before);
}

static int start_thread(t2_runtime *runtime) {
  sigset_t before;
  runtime->state = RUNNING;
  hold_signals(&before); /* which the thread inherits */
  /* Its number is read by who posts, at the earliest once this is over. */
  pthread_mutex_lock(&runtime->mutex);
  runtime->started = pthread_create(&runtime->thread, NULL, thread_main, runtime) == 0;
  pthread_mutex_unlock(&runtime->mutex);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return runtime->started ? 0 : T2_ERR_IO;
}

int t2_runtime_new(t2_runtime **out, const t2_runtime_options *given) {
  t2_runtime_options options;
  *out = NULL;
  int err = read_options(&options, given);
  if (err) return err;
  t2_runtime *runtime = t2_calloc(options.allocator, 1, sizeof(*runtime));
  if (!runtime) return T2_ERR_NOMEM;
  runtime->mem = options.allocator;
  t2_list_init(&runtime->posts);
  snprintf(runtime->name, sizeof(runtime->name), "%s", options.name);
  err = open_loop(runtime);
  if (err) {
    t2_free(options.allocator, runtime);
    return err;
  }
  init_locks(runtime);
  if (!options.own_thread) err = start_thread(runtime);
  if (err) {
    close_unused(runtime);
    return err;
  }
  *out = runtime;
  return 0;
}

int t2_runtime_run(t2_runtime *runtime) {
  pthread_mutex_lock(&runtime->mutex);
  bool first = runtime->state == NEW;
  if (first) {
    runtime->state = RUNNING;
    runtime->thread = pthread_self();
  }
  pthread_mutex_unlock(&runtime->mutex);
  if (!first) return T2_ERR_STATE;
  run(runtime);
  return 0;
}

uv_loop_t *t2_runtime_loop(const t2_runtime *runtime) {
  return (uv_loop_t *)(uintptr_t)&runtime->loop;
}

bool t2_runtime_is_current(const t2_runtime *runtime) {
  t2_runtime *r = (t2_runtime *)(uintptr_t)runtime;
  pthread_mutex_lock(&r->mutex);
  bool current = (r->state == RUNNING || r->state == STOPPING) && pthread_equal(r->thread, pthread_self());
  pthread_mutex_unlock(&r->mutex);
  return current;
}

/* ---- Posting ---- */

int t2_runtime_post(t2_runtime *runtime, void (*call)(void *user), void *user) {
  posted *post = t2_alloc(runtime->mem, sizeof(*post));
  if (!post) return T2_ERR_NOMEM;
  *post = (posted){.call = call, .user = user};
  pthread_mutex_lock(&runtime->mutex);
  bool open = runtime->state == NEW || runtime->state == RUNNING;
  if (open) {
    t2_list_push_back(&runtime->posts, &post->node);
    /* Under the lock: the handle is closed only after STOPPING was seen under it. */
    uv_async_send(&runtime->wake);
  }
  pthread_mutex_unlock(&runtime->mutex);
  if (!open) t2_free(runtime->mem, post);
  return open ? 0 : T2_ERR_STATE;
}

typedef struct waiting {
  t2_runtime *runtime;
  int (*call)(void *user);
  void *user;
  int result;
  bool done; /* mutex */
} waiting;

static void call_waiting(void *user) {
  waiting *w = user;
  t2_runtime *runtime = w->runtime;
  w->result = w->call(w->user);
  pthread_mutex_lock(&runtime->mutex);
  w->done = true; /* w is gone as soon as the lock is */
  pthread_cond_broadcast(&runtime->changed);
  pthread_mutex_unlock(&runtime->mutex);
}

int t2_runtime_call(t2_runtime *runtime, int (*call)(void *user), void *user) {
  waiting w = {.runtime = runtime, .call = call, .user = user};
  if (t2_runtime_is_current(runtime)) return call(user);
  int err = t2_runtime_post(runtime, call_waiting, &w);
  if (err) return err;
  pthread_mutex_lock(&runtime->mutex);
  while (!w.done && runtime->state != OVER) /* over, and not done: it never ran */
    pthread_cond_wait(&runtime->changed, &runtime->mutex);
  bool done = w.done;
  pthread_mutex_unlock(&runtime->mutex);
  return done ? w.result : T2_ERR_STATE;
}

/* ---- The end ---- */

static bool wait_over(t2_runtime *runtime, uint64_t timeout_ms) {
  struct timespec until;
  int err = 0;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += (time_t)(timeout_ms / 1000);
  until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  pthread_mutex_lock(&runtime->mutex);
  while (runtime->state != OVER && err == 0)
    err = pthread_cond_timedwait(&runtime->changed, &runtime->mutex, &until);
  bool over = runtime->state == OVER;
  pthread_mutex_unlock(&runtime->mutex);
  return over;
}

int t2_runtime_stop(t2_runtime *runtime, uint64_t timeout_ms) {
  if (t2_runtime_is_current(runtime)) return T2_ERR_STATE;
  pthread_mutex_lock(&runtime->mutex);
  bool never_ran = runtime->state == NEW;
  if (never_ran) {
    runtime->state = OVER;
    pthread_cond_broadcast(&runtime->changed);
  }
  if (runtime->state == RUNNING) {
    runtime->state = STOPPING;
    uv_async_send(&runtime->wake);
  }
  pthread_mutex_unlock(&runtime->mutex);
  if (never_ran) {
    uv_close((uv_handle_t *)&runtime->wake, NULL);
    uv_run(&runtime->loop, UV_RUN_DEFAULT);
  }
  if (!wait_over(runtime, timeout_ms)) return T2_ERR_TIMEOUT;
  pthread_mutex_lock(&runtime->mutex);
  bool join = runtime->started;
  runtime->started = false;
  pthread_mutex_unlock(&runtime->mutex);
  if (join) pthread_join(runtime->thread, NULL);
  return 0;
}

void t2_runtime_free(t2_runtime *runtime) {
  if (!runtime) return;
  if (t2_runtime_stop(runtime, 0)) return;     /* a thread still runs on it: better lost than freed */
  T2_LIST_FOREACH(node, next, &runtime->posts) /* it never ran */
  t2_free(runtime->mem, T2_LIST_ENTRY(node, posted, node));
  dispose(runtime);
}
