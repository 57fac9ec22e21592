#include <t2_test_mem.h>

#include <proxy/datagram_queue.h>

#define HELD_MAX (3 * T2_DATAGRAM_QUEUE_MAX / 2)

typedef struct setting {
  t2_test_mem mem;
  size_t held;
  t2_datagram_queue queue, other;
} setting;

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  t2_datagram_queue_init(&s->queue, &s->mem.hook, &s->held, HELD_MAX);
  t2_datagram_queue_init(&s->other, &s->mem.hook, &s->held, HELD_MAX);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  t2_datagram_queue_clear(&s->queue);
  t2_datagram_queue_clear(&s->other);
  assert_int_equal(s->held, 0);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

/* Of n bytes, the first of which is `mark`. */
static size_t push(t2_datagram_queue *queue, uint8_t mark, size_t n) {
  static uint8_t bytes[T2_DATAGRAM_QUEUE_MAX + 1];
  bytes[0] = mark;
  return t2_datagram_queue_push(queue, bytes, n);
}

static uint8_t pop(setting *s) {
  t2_datagram *datagram = t2_datagram_queue_pop(&s->queue);
  uint8_t mark = datagram->bytes[0];
  t2_free(&s->mem.hook, datagram);
  return mark;
}

static void test_first_in_is_first_out(void **state) {
  setting *s = *state;
  for (uint8_t i = 0; i < 10; i++)
    assert_int_equal(push(&s->queue, i, 1 + i), 0);
  for (uint8_t i = 0; i < 10; i++) {
    assert_int_equal(t2_datagram_queue_first(&s->queue)->n, 1 + i);
    assert_int_equal(pop(s), i);
  }
  assert_null(t2_datagram_queue_first(&s->queue));
}

static void test_the_bound_is_exact_and_the_oldest_goes(void **state) {
  setting *s = *state;
  size_t half = T2_DATAGRAM_QUEUE_MAX / 2 - T2_DATAGRAM_COST;
  assert_int_equal(push(&s->queue, 1, half), 0);
  assert_int_equal(push(&s->queue, 2, half), 0);
  assert_int_equal(s->queue.bytes, T2_DATAGRAM_QUEUE_MAX);
  assert_int_equal(push(&s->queue, 3, 1), 1);
  assert_int_equal(pop(s), 2);
  assert_int_equal(pop(s), 3);
}

static void test_one_may_take_the_place_of_many(void **state) {
  setting *s = *state;
  size_t fit = T2_DATAGRAM_QUEUE_MAX / T2_DATAGRAM_COST;
  for (size_t i = 0; i < fit; i++)
    assert_int_equal(t2_datagram_queue_push(&s->queue, NULL, 0), 0); /* empty ones count too */
  assert_int_equal(t2_datagram_queue_push(&s->queue, NULL, 0), 1);
  assert_int_equal(push(&s->queue, 1, T2_DATAGRAM_QUEUE_MAX - T2_DATAGRAM_COST), fit);
  assert_int_equal(push(&s->queue, 2, T2_DATAGRAM_QUEUE_MAX - T2_DATAGRAM_COST + 1), 1);
  assert_int_equal(pop(s), 1);
}

static void test_what_all_hold_has_a_bound(void **state) {
  setting *s = *state;
  size_t half = T2_DATAGRAM_QUEUE_MAX / 2 - T2_DATAGRAM_COST;
  push(&s->other, 0, half);
  push(&s->other, 0, half);
  assert_int_equal(push(&s->queue, 1, half), 0);
  assert_int_equal(s->held, HELD_MAX);
  assert_int_equal(push(&s->queue, 2, 1), 1); /* its own oldest goes, not the others' */
  assert_int_equal(pop(s), 2);
  push(&s->queue, 3, half);
  s->held += T2_DATAGRAM_QUEUE_MAX; /* held elsewhere */
  assert_int_equal(push(&s->queue, 4, 1), 1);
  s->held -= T2_DATAGRAM_QUEUE_MAX;
  assert_int_equal(pop(s), 3);
  assert_int_equal(s->other.bytes, T2_DATAGRAM_QUEUE_MAX);
}

static void test_without_memory_the_new_one_is_lost(void **state) {
  setting *s = *state;
  assert_int_equal(push(&s->queue, 1, 10), 0);
  t2_test_mem_fail(&s->mem, 1, false);
  assert_int_equal(push(&s->queue, 2, 10), 1);
  t2_test_mem_fail(&s->mem, 0, false);
  assert_int_equal(push(&s->queue, 3, 10), 0);
  assert_int_equal(pop(s), 1);
  assert_int_equal(t2_datagram_queue_clear(&s->queue), 1);
}

int main(void) {
#define queue_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      queue_test(test_first_in_is_first_out),
      queue_test(test_the_bound_is_exact_and_the_oldest_goes),
      queue_test(test_one_may_take_the_place_of_many),
      queue_test(test_what_all_hold_has_a_bound),
      queue_test(test_without_memory_the_new_one_is_lost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
