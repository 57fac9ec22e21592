#include <t2_test_mem.h>

#include <net/toil.h>
#include <stdio.h>

enum { PIECES = 8 };

typedef struct piece {
  t2_toil toil;
  char name;
} piece;

static t2_toils toils;
static piece pieces[PIECES];
static uint64_t now_ns, cost_ns;
static char done[PIECES + 1]; /* names, in their order */

static uint64_t clock_ns(void) {
  return now_ns;
}

static void work(t2_toil *toil) {
  const piece *p = T2_CONTAINER_OF(toil, piece, toil);
  size_t n = strlen(done);
  assert_true(n < PIECES);
  done[n] = p->name;
  now_ns += cost_ns;
}

static int set_up(void **state) {
  (void)state;
  memset(done, 0, sizeof(done));
  now_ns = 1000;
  cost_ns = T2_TOIL_TURN_NS / 2;
  t2_toils_init(&toils);
  toils.clock = clock_ns;
  for (int i = 0; i < PIECES; i++) {
    t2_toil_init(&pieces[i].toil, work);
    pieces[i].name = (char)('a' + i);
  }
  return 0;
}

static void wait_in_turn(int i, bool begun) {
  t2_toils_wait(&toils, &pieces[i].toil, begun);
}

static void test_a_turn_does_as_much_as_fits_in_its_budget(void **state) {
  for (int i = 0; i < 5; i++)
    wait_in_turn(i, false);
  t2_toils_turn(&toils);
  assert_string_equal(done, "ab");
  assert_true(t2_toils_waiting(&toils));
  t2_toils_turn(&toils);
  assert_string_equal(done, "abcd");
  t2_toils_turn(&toils);
  assert_string_equal(done, "abcde");
  assert_false(t2_toils_waiting(&toils));
}

static void test_a_piece_that_passes_the_budget_is_done_and_is_the_turns_last(void **state) {
  cost_ns = 10 * T2_TOIL_TURN_NS;
  wait_in_turn(0, false);
  wait_in_turn(1, false);
  t2_toils_turn(&toils);
  assert_string_equal(done, "a");
  t2_toils_turn(&toils);
  assert_string_equal(done, "ab");
}

static void test_what_has_begun_comes_before_what_has_not(void **state) {
  wait_in_turn(0, false);
  wait_in_turn(1, true);
  wait_in_turn(2, false);
  wait_in_turn(3, true);
  t2_toils_turn(&toils);
  t2_toils_turn(&toils);
  assert_string_equal(done, "bdac");
}

static void test_with_time_left_and_nobody_waiting_it_is_done_at_once(void **state) {
  assert_true(t2_toils_begin(&toils));
  now_ns += T2_TOIL_TURN_NS - 1;
  t2_toils_end(&toils);
  assert_true(t2_toils_begin(&toils));
  now_ns += 1;
  t2_toils_end(&toils);
  assert_false(t2_toils_begin(&toils));
  t2_toils_turn(&toils);
  assert_true(t2_toils_begin(&toils));
  t2_toils_end(&toils);
}

static void test_nobody_passes_those_who_wait(void **state) {
  wait_in_turn(0, false);
  assert_false(t2_toils_begin(&toils));
}

static void test_what_waited_is_paid_for_from_the_same_budget(void **state) {
  wait_in_turn(0, false);
  wait_in_turn(1, false);
  t2_toils_turn(&toils);
  assert_false(t2_toils_waiting(&toils));
  assert_false(t2_toils_begin(&toils));
}

static void test_what_is_dropped_is_not_done(void **state) {
  wait_in_turn(0, false);
  wait_in_turn(1, false);
  assert_true(t2_toil_waits(&pieces[0].toil));
  t2_toil_drop(&pieces[0].toil);
  t2_toil_drop(&pieces[0].toil);
  assert_false(t2_toil_waits(&pieces[0].toil));
  t2_toils_turn(&toils);
  assert_string_equal(done, "b");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_a_turn_does_as_much_as_fits_in_its_budget, set_up),
      cmocka_unit_test_setup(test_a_piece_that_passes_the_budget_is_done_and_is_the_turns_last, set_up),
      cmocka_unit_test_setup(test_what_has_begun_comes_before_what_has_not, set_up),
      cmocka_unit_test_setup(test_with_time_left_and_nobody_waiting_it_is_done_at_once, set_up),
      cmocka_unit_test_setup(test_nobody_passes_those_who_wait, set_up),
      cmocka_unit_test_setup(test_what_waited_is_paid_for_from_the_same_budget, set_up),
      cmocka_unit_test_setup(test_what_is_dropped_is_not_done, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
