#include <t2_test_mem.h>

#include <http/h2_bdp.h>

#define MAX (16u << 20)
#define MIB (1u << 20)

/* A way that carries so many bytes a second, and takes so long there and back when nothing waits on it: a
 * sender who always has more fills the window, and what is beyond the way's own content waits in it. */
typedef struct way {
  uint64_t rate, delay_us, now_us;
  t2_h2_bdp bdp;
} way;

static void setup(way *w, uint64_t rate, uint64_t delay_us) {
  *w = (way){rate, delay_us, 1, {0}};
  t2_h2_bdp_init(&w->bdp, MAX);
}

/* One round trip's worth of content, in pieces. False: no PING was asked for. */
static bool trip(way *w) {
  uint64_t queued = (uint64_t)w->bdp.window * 1000000 / w->rate,
           took = queued > w->delay_us ? queued : w->delay_us;
  uint32_t window = w->bdp.window;
  bool asked = false;
  for (unsigned i = 0; i < 8 && !asked; i++, w->now_us += took / 8)
    asked = t2_h2_bdp_came(&w->bdp, window / 8) && t2_h2_bdp_ask(&w->bdp, w->now_us);
  if (!asked) return false;
  w->now_us += took;
  w->bdp.came += window;
  t2_h2_bdp_answered(&w->bdp, w->now_us);
  return true;
}

static void run(way *w, uint64_t us) {
  for (uint64_t end = w->now_us + us; w->now_us < end;)
    if (!trip(w)) w->now_us += 1000;
}

static void test_on_a_short_way_the_window_stays_small(void **state) {
  way w;
  setup(&w, 200 * MIB, 200); /* 40 KiB fill it */
  uint64_t large = 0, all = 0;
  while (w.now_us < 60000000) {
    uint64_t was = w.now_us;
    if (!trip(&w)) w.now_us += 1000;
    all += w.now_us - was;
    if (w.bdp.window > T2_H2_BDP_WINDOW) large += w.now_us - was;
    assert_true(w.bdp.window <= 2 * T2_H2_BDP_WINDOW);
  }
  assert_true(large < all / 50); /* while it is tried */
}

static void test_on_a_long_way_it_grows_until_the_way_is_full(void **state) {
  way w;
  setup(&w, 100 * MIB, 100000); /* 10 MiB fill it */
  run(&w, 4000000);
  assert_true(w.bdp.window >= 8 * MIB);
  setup(&w, 10 * MIB, 100000); /* 1 MiB */
  run(&w, 60000000);
  assert_in_range(w.bdp.window, MIB, 4 * MIB);
}

static void test_it_grows_when_the_way_has_become_wider(void **state) {
  way w;
  setup(&w, 10 * MIB, 20000);
  run(&w, 20000000);
  assert_true(w.bdp.window <= MIB);
  w.rate = 200 * MIB;
  run(&w, 40000000);
  assert_true(w.bdp.window >= 2 * MIB);
}

static void test_it_never_exceeds_what_is_allowed(void **state) {
  way w;
  setup(&w, 10000ull * MIB, 500000);
  run(&w, 60000000);
  assert_int_equal(w.bdp.window, MAX);
  assert_false(trip(&w)); /* nothing to be known any more */
  t2_h2_bdp_init(&w.bdp, 65535);
  assert_int_equal(w.bdp.window, 65535);
  assert_false(trip(&w));
}

static void test_who_sends_less_than_a_window_is_given_no_more(void **state) {
  t2_h2_bdp bdp;
  t2_h2_bdp_init(&bdp, MAX);
  uint64_t now = 1;
  for (unsigned i = 0; i < 1000; i++, now += 1000) {
    if (t2_h2_bdp_came(&bdp, 10000) && t2_h2_bdp_ask(&bdp, now)) t2_h2_bdp_answered(&bdp, now + 500);
    assert_int_equal(bdp.window, T2_H2_BDP_WINDOW);
  }
}

static void test_an_answer_that_nobody_asked_for_changes_nothing(void **state) {
  t2_h2_bdp bdp;
  t2_h2_bdp_init(&bdp, MAX);
  bdp.came = MAX;
  t2_h2_bdp_answered(&bdp, 5);
  t2_h2_bdp_answered(&bdp, 5);
  assert_int_equal(bdp.window, T2_H2_BDP_WINDOW);
}

static void test_after_ten_seconds_of_silence_it_begins_anew(void **state) {
  way w;
  setup(&w, 100 * MIB, 100000);
  run(&w, 4000000);
  assert_true(w.bdp.window > T2_H2_BDP_WINDOW);
  w.now_us += 10000000 + 1000000;
  w.bdp.came = w.bdp.window; /* enough to look */
  (void)t2_h2_bdp_ask(&w.bdp, w.now_us);
  assert_int_equal(w.bdp.window, T2_H2_BDP_WINDOW);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_on_a_short_way_the_window_stays_small),
      cmocka_unit_test(test_on_a_long_way_it_grows_until_the_way_is_full),
      cmocka_unit_test(test_it_grows_when_the_way_has_become_wider),
      cmocka_unit_test(test_it_never_exceeds_what_is_allowed),
      cmocka_unit_test(test_who_sends_less_than_a_window_is_given_no_more),
      cmocka_unit_test(test_an_answer_that_nobody_asked_for_changes_nothing),
      cmocka_unit_test(test_after_ten_seconds_of_silence_it_begins_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
