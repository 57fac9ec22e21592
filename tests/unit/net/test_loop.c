#include "fixture.h"

#include <base/file.h>
#include <tunnel2/error.h>

static test_loop tl;

static int open_loop(void **state) {
  return test_loop_open(&tl, NULL, NULL) ? 0 : -1;
}

static int close_loop(void **state) {
  test_loop_close(&tl);
  return 0;
}

/* ---- The flush ---- */

typedef struct thing {
  t2_flushable flushable;
  t2_reapable reapable;
  unsigned flushed, wake_again, reaped;
  struct thing *other; /* woken by the flush */
} thing;

static void on_flush(t2_flushable *flushable) {
  thing *t = T2_CONTAINER_OF(flushable, thing, flushable);
  t->flushed++;
  if (t->wake_again) {
    t->wake_again--;
    t2_loop_wake(tl.loop, &t->flushable);
  }
  if (t->other) t2_loop_wake(tl.loop, &t->other->flushable);
}

static void init_thing(thing *t) {
  memset(t, 0, sizeof(*t));
  t2_flushable_init(&t->flushable, on_flush);
}

static void test_what_is_woken_many_times_is_flushed_once(void **state) {
  thing t;
  init_thing(&t);
  for (int i = 0; i < 5; i++)
    t2_loop_wake(tl.loop, &t.flushable);
  uv_run(&tl.uv, UV_RUN_DEFAULT);
  assert_int_equal(t.flushed, 1);
}

static void test_flush_comes_before_the_loop_blocks(void **state) {
  thing t;
  init_thing(&t);
  t2_loop_wake(tl.loop, &t.flushable);
  uv_run(&tl.uv, UV_RUN_NOWAIT);
  assert_int_equal(t.flushed, 1);
}

static void test_what_the_flush_wakes_is_flushed_in_the_same_turn(void **state) {
  thing first, second;
  init_thing(&first);
  init_thing(&second);
  first.other = &second;
  t2_loop_wake(tl.loop, &first.flushable);
  uv_run(&tl.uv, UV_RUN_NOWAIT);
  assert_int_equal(second.flushed, 1);
}

static void test_what_wakes_itself_for_ever_leaves_others_their_turn(void **state) {
  thing t;
  init_thing(&t);
  t.wake_again = 1000;
  t2_loop_wake(tl.loop, &t.flushable);
  uv_run(&tl.uv, UV_RUN_NOWAIT);
  assert_true(t.flushed < 20);
  uv_run(&tl.uv, UV_RUN_DEFAULT); /* does not end before all is flushed */
  assert_int_equal(t.flushed, 1001);
}

static void test_calm_takes_it_off(void **state) {
  thing t;
  init_thing(&t);
  t2_loop_wake(tl.loop, &t.flushable);
  t2_loop_calm(&t.flushable);
  t2_loop_calm(&t.flushable);
  uv_run(&tl.uv, UV_RUN_DEFAULT);
  assert_int_equal(t.flushed, 0);
}

static void on_reap(t2_reapable *reapable) {
  T2_CONTAINER_OF(reapable, thing, reapable)->reaped++;
}

static void test_reaping_comes_after_the_flush(void **state) {
  thing t;
  init_thing(&t);
  t2_loop_reap(tl.loop, &t.reapable, on_reap);
  assert_int_equal(t.reaped, 0);
  uv_run(&tl.uv, UV_RUN_DEFAULT);
  assert_int_equal(t.reaped, 1);
}

static void test_closing_reaps_what_is_left(void **state) {
  test_loop other;
  thing t;
  init_thing(&t);
  assert_true(test_loop_open(&other, NULL, NULL));
  t2_loop_reap(other.loop, &t.reapable, on_reap);
  test_loop_close(&other);
  assert_int_equal(t.reaped, 1);
}

/* ---- Timers ---- */

typedef struct clocked {
  t2_timer timer;
  uint64_t fired_at; /* 0: not yet */
  unsigned fired;
} clocked;

static void on_timer(t2_timer *timer) {
  clocked *c = T2_CONTAINER_OF(timer, clocked, timer);
  c->fired++;
  c->fired_at = t2_loop_now(tl.loop);
}

static void test_timers_fire_in_time_and_keep_the_loop_going(void **state) {
  clocked c[3] = {{.fired = 0}};
  const uint64_t delays[] = {60, 20, 0};
  uint64_t start = t2_loop_now(tl.loop);
  for (int i = 0; i < 3; i++) {
    t2_timer_init(&c[i].timer, on_timer);
    t2_loop_timer_start(tl.loop, &c[i].timer, delays[i]);
  }
  uv_run(&tl.uv, UV_RUN_DEFAULT);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(c[i].fired, 1);
    assert_true(c[i].fired_at - start >= delays[i]);
  }
  assert_true(c[2].fired_at <= c[1].fired_at && c[1].fired_at <= c[0].fired_at);
}

static void test_stopped_timer_lets_the_loop_end(void **state) {
  clocked c = {.fired = 0};
  t2_timer_init(&c.timer, on_timer);
  t2_loop_timer_start(tl.loop, &c.timer, 60000);
  t2_loop_timer_stop(tl.loop, &c.timer);
  uint64_t start = t2_clock_mono_ms();
  uv_run(&tl.uv, UV_RUN_DEFAULT);
  assert_true(t2_clock_mono_ms() - start < 5000);
  assert_int_equal(c.fired, 0);
}

static void test_moved_timer_fires_once_at_its_new_time(void **state) {
  clocked c = {.fired = 0};
  t2_timer_init(&c.timer, on_timer);
  uint64_t start = t2_loop_now(tl.loop);
  t2_loop_timer_start(tl.loop, &c.timer, 10);
  t2_loop_timer_start(tl.loop, &c.timer, 50);
  uv_run(&tl.uv, UV_RUN_DEFAULT);
  assert_int_equal(c.fired, 1);
  assert_true(c.fired_at - start >= 50);
}

/* ---- Life ---- */

static void on_loop_closed(t2_loop *loop, void *user) {
  (void)loop;
  *(bool *)user = true;
}

static void test_loop_waits_for_what_is_held(void **state) {
  test_loop other;
  bool closed = false;
  assert_true(test_loop_open(&other, NULL, NULL));
  t2_loop_hold(other.loop);
  t2_loop_close(other.loop, on_loop_closed, &closed);
  t2_loop_close(other.loop, NULL, NULL); /* does nothing */
  for (int i = 0; i < 10; i++)
    uv_run(&other.uv, UV_RUN_NOWAIT);
  assert_false(closed);
  t2_loop_release(other.loop);
  assert_true(closed);
  uv_close((uv_handle_t *)&other.tick, NULL);
  uv_run(&other.uv, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&other.uv), 0);
}

static void open_and_close(t2_test_mem *mem, void *user) {
  test_loop other;
  (void)user;
  if (!test_loop_open(&other, &mem->hook, NULL)) return;
  test_loop_close(&other);
}

static void test_missing_memory_is_told(void **state) {
  assert_int_equal(t2_test_mem_fail_each(open_and_close, NULL), 3);
}

static void test_errors_of_libuv(void **state) {
  const int cases[][2] = {
      {0, 0},
      {UV_ENOMEM, T2_ERR_NOMEM},
      {UV_ECONNREFUSED, T2_ERR_REFUSED},
      {UV_ENOENT, T2_ERR_REFUSED},
      {UV_ETIMEDOUT, T2_ERR_TIMEOUT},
      {UV_EHOSTUNREACH, T2_ERR_UNREACHABLE},
      {UV_ENETUNREACH, T2_ERR_UNREACHABLE},
      {UV_EADDRINUSE, T2_ERR_CONFLICT},
      {UV_ECONNRESET, T2_ERR_CLOSED},
      {UV_EPIPE, T2_ERR_CLOSED},
      {UV_EOF, T2_ERR_CLOSED},
      {UV_EMFILE, T2_ERR_LIMIT},
      {UV_EACCES, T2_ERR_FORBIDDEN},
      {UV_ECANCELED, T2_ERR_CANCELLED},
      {UV_EAI_NONAME, T2_ERR_RESOLVE},
      {UV_EAI_AGAIN, T2_ERR_RESOLVE},
      {UV_EAI_ADDRFAMILY, T2_ERR_RESOLVE},
      {UV_EAI_PROTOCOL, T2_ERR_RESOLVE},
      {UV_EIO, T2_ERR_IO},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    assert_int_equal(t2_error_of_uv(cases[i][0]), cases[i][1]);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_LOOP(test_what_is_woken_many_times_is_flushed_once),
      ON_LOOP(test_flush_comes_before_the_loop_blocks),
      ON_LOOP(test_what_the_flush_wakes_is_flushed_in_the_same_turn),
      ON_LOOP(test_what_wakes_itself_for_ever_leaves_others_their_turn),
      ON_LOOP(test_calm_takes_it_off),
      ON_LOOP(test_reaping_comes_after_the_flush),
      cmocka_unit_test(test_closing_reaps_what_is_left),
      ON_LOOP(test_timers_fire_in_time_and_keep_the_loop_going),
      ON_LOOP(test_stopped_timer_lets_the_loop_end),
      ON_LOOP(test_moved_timer_fires_once_at_its_new_time),
      cmocka_unit_test(test_loop_waits_for_what_is_held),
      cmocka_unit_test(test_missing_memory_is_told),
      cmocka_unit_test(test_errors_of_libuv),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
