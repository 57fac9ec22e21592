#include <t2_test_mem.h>

#include <pthread.h>
#include <signal.h>
#include <tunnel2/runtime.h>
#include <unistd.h>

/* Posting, calling and stopping from several threads: run under ThreadSanitizer too. */

enum { THREADS = 4, POSTS = 2000, STOP_MS = 20000 };

static t2_runtime *open_runtime(bool own_thread) {
  t2_runtime_options options;
  t2_runtime *runtime;
  t2_runtime_options_init(&options);
  options.own_thread = own_thread;
  assert_int_equal(t2_runtime_new(&runtime, &options), 0);
  return runtime;
}

static void close_runtime(t2_runtime *runtime) {
  assert_int_equal(t2_runtime_stop(runtime, STOP_MS), 0);
  t2_runtime_free(runtime);
}

/* ---- Posts and calls ---- */

typedef struct order {
  t2_runtime *runtime;
  int seen[64]; /* on the runtime's thread */
  int count;
} order;

typedef struct numbered {
  order *order;
  int number;
} numbered;

static void note(void *user) {
  numbered *n = user;
  assert_true(t2_runtime_is_current(n->order->runtime));
  n->order->seen[n->order->count++] = n->number;
}

static int count_of(void *user) {
  return ((order *)user)->count;
}

static void test_posts_are_called_in_their_order(void **state) {
  order o = {.runtime = open_runtime(false)};
  numbered posts[64];
  for (int i = 0; i < 64; i++) {
    posts[i] = (numbered){&o, i};
    assert_int_equal(t2_runtime_post(o.runtime, note, &posts[i]), 0);
  }
  assert_int_equal(t2_runtime_call(o.runtime, count_of, &o), 64); /* it is behind them */
  for (int i = 0; i < 64; i++)
    assert_int_equal(o.seen[i], i);
  assert_false(t2_runtime_is_current(o.runtime));
  close_runtime(o.runtime);
}

static int nothing(void *user) {
  (void)user;
  return 0;
}

static int call_within(void *user) {
  order *o = user;
  static numbered seven;
  seven = (numbered){o, 7};
  assert_int_equal(t2_runtime_post(o->runtime, note, &seven), 0);
  assert_int_equal(t2_runtime_call(o->runtime, count_of, o), 0); /* at once: the post is yet to come */
  assert_int_equal(t2_runtime_stop(o->runtime, 0), T2_ERR_STATE);
  assert_int_equal(t2_runtime_run(o->runtime), T2_ERR_STATE);
  return -5;
}

static void test_call_from_its_own_thread_is_at_once(void **state) {
  order o = {.runtime = open_runtime(false)};
  assert_int_equal(t2_runtime_call(o.runtime, call_within, &o), -5);
  assert_int_equal(t2_runtime_call(o.runtime, count_of, &o), 1);
  assert_int_equal(o.seen[0], 7);
  close_runtime(o.runtime);
}

typedef struct counted {
  t2_runtime *runtime;
  uint64_t count; /* on the runtime's thread */
} counted;

static void add_one(void *user) {
  ((counted *)user)->count++;
}

static int add_ten(void *user) {
  ((counted *)user)->count += 10;
  return 10;
}

static void *post_many(void *user) {
  counted *c = user;
  for (int i = 0; i < POSTS; i++) {
    if (i % 50 == 0) assert_int_equal(t2_runtime_call(c->runtime, add_ten, c), 10);
    assert_int_equal(t2_runtime_post(c->runtime, add_one, c), 0);
  }
  return NULL;
}

static void test_posts_of_many_threads_are_all_called(void **state) {
  counted c = {.runtime = open_runtime(false)};
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, post_many, &c), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  close_runtime(c.runtime);
  assert_int_equal(c.count, THREADS * (POSTS + POSTS / 50 * 10));
}

/* Those that are taken are called, the others are told. */
static void *post_until_refused(void *user) {
  counted *c = user;
  unsigned taken = 0;
  while (t2_runtime_post(c->runtime, add_one, c) == 0)
    taken++;
  assert_int_equal(t2_runtime_call(c->runtime, add_ten, c), T2_ERR_STATE);
  return (void *)(uintptr_t)taken;
}

static void test_stop_while_others_post(void **state) {
  counted c = {.runtime = open_runtime(false)};
  pthread_t threads[THREADS];
  uintptr_t taken = 0;
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, post_until_refused, &c), 0);
  usleep(2000);
  assert_int_equal(t2_runtime_stop(c.runtime, STOP_MS), 0);
  for (int i = 0; i < THREADS; i++) {
    void *n;
    pthread_join(threads[i], &n);
    taken += (uintptr_t)n;
  }
  t2_runtime_free(c.runtime);
  assert_int_equal(c.count, taken);
}

/* One that posts itself again does not keep others from their turn. */
typedef struct again {
  t2_runtime *runtime;
  unsigned times;
} again;

static void post_again(void *user) {
  again *a = user;
  a->times++;
  (void)t2_runtime_post(a->runtime, post_again, a); /* refused once it stops */
}

static void test_post_that_posts_itself(void **state) {
  again a = {.runtime = open_runtime(false)};
  assert_int_equal(t2_runtime_post(a.runtime, post_again, &a), 0);
  for (int i = 0; i < 20; i++)
    assert_int_equal(t2_runtime_call(a.runtime, nothing, NULL), 0);
  close_runtime(a.runtime);
  assert_true(a.times >= 1);
}

/* ---- The end ---- */

typedef struct ticking {
  t2_runtime *runtime;
  uv_timer_t timer;
} ticking;

static void on_tick(uv_timer_t *timer) {
  (void)timer;
}

static int open_timer(void *user) {
  ticking *t = user;
  uv_timer_init(t2_runtime_loop(t->runtime), &t->timer);
  return uv_timer_start(&t->timer, on_tick, 1, 1);
}

static void on_tick_close(uv_timer_t *timer) {
  if (!uv_is_closing((uv_handle_t *)timer)) uv_close((uv_handle_t *)timer, NULL);
}

static int close_soon(void *user) {
  ticking *t = user;
  return uv_timer_start(&t->timer, on_tick_close, 300, 0);
}

static void test_stop_waits_for_what_is_open(void **state) {
  ticking t = {.runtime = open_runtime(false)};
  assert_int_equal(t2_runtime_call(t.runtime, open_timer, &t), 0);
  assert_int_equal(t2_runtime_call(t.runtime, close_soon, &t), 0);
  assert_int_equal(t2_runtime_stop(t.runtime, 1), T2_ERR_TIMEOUT);
  assert_int_equal(t2_runtime_post(t.runtime, add_one, NULL), T2_ERR_STATE);
  assert_int_equal(t2_runtime_call(t.runtime, nothing, NULL), T2_ERR_STATE);
  assert_int_equal(t2_runtime_stop(t.runtime, UINT64_MAX), 0);
  assert_int_equal(t2_runtime_stop(t.runtime, 0), 0); /* it has */
  t2_runtime_free(t.runtime);
}

static void *stop_it(void *user) {
  assert_int_equal(t2_runtime_stop(user, STOP_MS), 0);
  return NULL;
}

static void test_two_may_stop_it(void **state) {
  t2_runtime *runtime = open_runtime(false);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, stop_it, runtime), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  t2_runtime_free(runtime);
}

static void test_free_stops_what_has_nothing_open(void **state) {
  t2_runtime_free(open_runtime(true));
  t2_runtime_free(NULL);
}

/* ---- A thread of the caller's ---- */

static void *run_it(void *user) {
  assert_int_equal(t2_runtime_run(user), 0);
  assert_int_equal(t2_runtime_run(user), T2_ERR_STATE);
  return NULL;
}

static void test_loop_on_a_thread_of_the_callers(void **state) {
  counted c = {.runtime = open_runtime(true)};
  pthread_t thread;
  assert_int_equal(t2_runtime_post(c.runtime, add_one, &c), 0); /* waits for the loop */
  assert_false(t2_runtime_is_current(c.runtime));
  assert_int_equal(pthread_create(&thread, NULL, run_it, c.runtime), 0);
  assert_int_equal(t2_runtime_call(c.runtime, add_ten, &c), 10);
  assert_int_equal(t2_runtime_stop(c.runtime, STOP_MS), 0);
  pthread_join(thread, NULL);
  assert_int_equal(c.count, 11);
  t2_runtime_free(c.runtime);
}

static void *call_it(void *user) {
  counted *c = user;
  assert_int_equal(t2_runtime_call(c->runtime, add_ten, c), T2_ERR_STATE);
  return NULL;
}

/* Who waits for a call is told that none will come. */
static void test_one_that_never_runs(void **state) {
  counted c = {.runtime = open_runtime(true)};
  pthread_t thread;
  assert_int_equal(t2_runtime_post(c.runtime, add_one, &c), 0);
  assert_int_equal(pthread_create(&thread, NULL, call_it, &c), 0);
  usleep(20000); /* so that it mostly waits already */
  assert_int_equal(t2_runtime_stop(c.runtime, 0), 0);
  pthread_join(thread, NULL);
  assert_int_equal(t2_runtime_run(c.runtime), T2_ERR_STATE);
  assert_int_equal(c.count, 0);
  t2_runtime_free(c.runtime);
}

/* ---- The thread ---- */

static int write_to_nobody(void *user) {
  int pipe_fds[2];
  (void)user;
  assert_int_equal(pipe(pipe_fds), 0);
  close(pipe_fds[0]);
  ssize_t n = write(pipe_fds[1], "x", 1);
  close(pipe_fds[1]);
  return (int)n;
}

static int name_of(void *user) {
  return pthread_getname_np(pthread_self(), user, 16);
}

static void test_thread_has_a_name_and_holds_signals(void **state) {
  t2_runtime_options options;
  t2_runtime *runtime;
  char name[16];
  t2_runtime_options_init(&options);
  options.name = "fifteen letters";
  assert_int_equal(t2_runtime_new(&runtime, &options), 0);
  assert_int_equal(t2_runtime_call(runtime, name_of, name), 0);
  assert_string_equal(name, "fifteen letters");
  signal(SIGPIPE, SIG_DFL);
  assert_int_equal(t2_runtime_call(runtime, write_to_nobody, NULL), -1);
  close_runtime(runtime);
  options.name = "sixteen letters!";
  assert_int_equal(t2_runtime_new(&runtime, &options), T2_ERR_INVALID);
  assert_null(runtime);
  options.name = NULL;
  options.size = 1;
  assert_int_equal(t2_runtime_new(&runtime, &options), T2_ERR_INVALID);
}

/* ---- Memory ---- */

static void work(t2_test_mem *mem, void *user) {
  t2_runtime_options options;
  t2_runtime *runtime;
  counted c = {0};
  t2_runtime_options_init(&options);
  options.allocator = &mem->hook;
  options.own_thread = true; /* the allocator of the test is for one thread */
  int err = t2_runtime_new(&runtime, &options);
  if (err) {
    assert_int_equal(err, T2_ERR_NOMEM);
    return;
  }
  err = t2_runtime_post(runtime, add_one, &c);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  t2_runtime_free(runtime); /* with a post that was never called */
  assert_int_equal(c.count, 0);
}

static void test_each_allocation_may_fail(void **state) {
  t2_test_mem_fail_each(work, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_posts_are_called_in_their_order),
      cmocka_unit_test(test_call_from_its_own_thread_is_at_once),
      cmocka_unit_test(test_posts_of_many_threads_are_all_called),
      cmocka_unit_test(test_stop_while_others_post),
      cmocka_unit_test(test_post_that_posts_itself),
      cmocka_unit_test(test_stop_waits_for_what_is_open),
      cmocka_unit_test(test_two_may_stop_it),
      cmocka_unit_test(test_free_stops_what_has_nothing_open),
      cmocka_unit_test(test_loop_on_a_thread_of_the_callers),
      cmocka_unit_test(test_one_that_never_runs),
      cmocka_unit_test(test_thread_has_a_name_and_holds_signals),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
