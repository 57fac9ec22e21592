#include "fixture.h"

#include <proxy/pace.h>

#define RATE (1024 * 1024) /* bytes a second */

typedef struct setting {
  test_loop tl;
  t2_pace pace;
  uint64_t delays;
} setting;

typedef struct taker {
  t2_paced paced;
  size_t given;
  unsigned calls;
  struct taker *other;
  size_t other_had; /* when this one had its first turn */
} taker;

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  assert_true(test_loop_open(&s->tl, NULL, NULL));
  t2_pace_init(&s->pace, s->tl.loop, RATE, &s->delays);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  assert_true(t2_list_empty(&s->pace.waiting));
  assert_false(t2_timer_running(&s->pace.timer));
  test_loop_close(&s->tl);
  free(s);
  return 0;
}

static void give(t2_paced *paced, size_t n) {
  taker *t = T2_CONTAINER_OF(paced, taker, paced);
  if (t->calls++ == 0 && t->other) t->other_had = t->other->given;
  t->given += n;
}

static void test_within_the_rate_it_is_given_at_once(void **state) {
  setting *s = *state;
  taker a = {0};
  t2_pace_join(&s->pace, &a.paced, give);
  t2_pace_taken(&a.paced, RATE / 2);
  assert_int_equal(a.given, RATE / 2);
  assert_int_equal(s->delays, 0);
  t2_pace_leave(&a.paced, RATE / 2);
}

static void test_beyond_it_is_given_as_time_goes(void **state) {
  setting *s = *state;
  taker a = {0};
  const size_t more = RATE / 8;
  t2_pace_join(&s->pace, &a.paced, give);
  t2_pace_taken(&a.paced, RATE);
  uint64_t began = t2_loop_now(s->tl.loop);
  t2_pace_taken(&a.paced, more);
  assert_int_equal(a.given, RATE);
  assert_int_equal(s->delays, 1);
  RUN_UNTIL(&s->tl, a.given == RATE + more);
  assert_true(t2_loop_now(s->tl.loop) - began >= 120);
  t2_pace_leave(&a.paced, RATE + more);
}

static void test_those_that_wait_take_turns(void **state) {
  setting *s = *state;
  taker a = {0}, b = {.other = &a};
  t2_pace_join(&s->pace, &a.paced, give);
  t2_pace_join(&s->pace, &b.paced, give);
  t2_limit_charge(&s->pace.limit, RATE, t2_loop_now(s->tl.loop));
  t2_pace_taken(&a.paced, 4 * RATE);
  t2_pace_taken(&b.paced, 16 * 1024);
  RUN_UNTIL(&s->tl, b.given == 16 * 1024);
  assert_true(b.other_had > 0 && b.other_had <= 2 * 16 * 1024);
  t2_pace_leave(&a.paced, 0);
  t2_pace_leave(&b.paced, 0);
}

static void test_what_was_not_taken_is_charged_at_the_end(void **state) {
  setting *s = *state;
  taker a = {0};
  t2_pace_join(&s->pace, &a.paced, give);
  t2_pace_taken(&a.paced, RATE / 2);
  t2_pace_leave(&a.paced, 3 * RATE);
  assert_true(t2_limit_wait_ms(&s->pace.limit, t2_loop_now(s->tl.loop)) > 1900);
  assert_null(a.paced.pace);
  t2_pace_leave(&a.paced, RATE); /* it has none any more */
}

static void give_and_leave(t2_paced *paced, size_t n) {
  give(paced, n);
  t2_pace_leave(paced, T2_CONTAINER_OF(paced, taker, paced)->given);
}

static void test_it_may_leave_from_within(void **state) {
  setting *s = *state;
  taker a = {0}, b = {0};
  t2_pace_join(&s->pace, &a.paced, give_and_leave);
  t2_pace_join(&s->pace, &b.paced, give_and_leave);
  t2_limit_charge(&s->pace.limit, RATE, t2_loop_now(s->tl.loop));
  t2_pace_taken(&a.paced, RATE);
  t2_pace_taken(&b.paced, RATE);
  RUN_UNTIL(&s->tl, a.calls && b.calls);
  assert_true(a.calls == 1 && b.calls == 1);
}

static void test_who_waits_goes_by_another_rate_and_by_none_at_once(void **state) {
  setting *s = *state;
  taker a = {0};
  t2_pace_join(&s->pace, &a.paced, give);
  t2_limit_charge(&s->pace.limit, RATE, t2_loop_now(s->tl.loop));
  t2_pace_taken(&a.paced, 100 * (size_t)RATE); /* minutes */
  t2_pace_set_rate(&s->pace, 1000 * (uint64_t)RATE);
  RUN_UNTIL(&s->tl, a.given >= 10 * (size_t)RATE);
  t2_pace_set_rate(&s->pace, 1);
  t2_pace_taken(&a.paced, 100 * (size_t)RATE);
  t2_pace_set_rate(&s->pace, 0);
  RUN_UNTIL(&s->tl, a.given == 200 * (size_t)RATE);
  t2_pace_leave(&a.paced, 200 * (size_t)RATE);
}

#define pace_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      pace_test(test_within_the_rate_it_is_given_at_once),
      pace_test(test_beyond_it_is_given_as_time_goes),
      pace_test(test_those_that_wait_take_turns),
      pace_test(test_what_was_not_taken_is_charged_at_the_end),
      pace_test(test_it_may_leave_from_within),
      pace_test(test_who_waits_goes_by_another_rate_and_by_none_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
