#include <t2_test_mem.h>

#include <base/wheel.h>

#define TICK T2_WHEEL_TICK_MS

/* A timer with what a plain model knows of it. */
typedef struct clocked {
  t2_timer timer;
  t2_wheel *wheel;
  uint64_t now;         /* of the advance that runs */
  uint64_t due;         /* the model's deadline */
  uint64_t restart;     /* the callback starts it again with this delay, if not 0 */
  struct clocked *ends; /* the callback stops this one */
  unsigned fired;
} clocked;

static void on_fire(t2_timer *timer) {
  clocked *c = T2_CONTAINER_OF(timer, clocked, timer);

  assert_false(t2_timer_running(timer));
  c->fired++;
  if (c->ends) t2_wheel_stop(c->wheel, &c->ends->timer);
  if (c->restart) t2_wheel_start(c->wheel, timer, c->now, c->restart);
}

static void clocked_init(clocked *c, t2_wheel *wheel) {
  memset(c, 0, sizeof(*c));
  c->wheel = wheel;
  t2_timer_init(&c->timer, on_fire);
}

static void test_a_timer_fires_once_not_early_and_at_most_a_tick_late(void **state) {
  const uint64_t delays[] = {0,         1,         7,        8,          9,          511,         512,
                             513,       4095,      32767,    32768,      32769,      2097151,     2097152,
                             134217728, 134217737, 1u << 31, 8589934592, 8589934599, 549755813872};

  for (uint64_t start = 1000; start < 1000 + TICK; start++) {
    for (size_t i = 0; i < T2_COUNT_OF(delays); i++) {
      t2_wheel wheel;
      clocked c;
      t2_wheel_init(&wheel, start);
      clocked_init(&c, &wheel);
      t2_wheel_start(&wheel, &c.timer, start, delays[i]);
      if (delays[i]) assert_int_equal(t2_wheel_advance(&wheel, start + delays[i] - 1), 0);
      assert_true(t2_timer_running(&c.timer));
      assert_int_equal(t2_wheel_advance(&wheel, start + delays[i] + TICK), 1);
      assert_int_equal(c.fired, 1);
      assert_int_equal(t2_wheel_advance(&wheel, start + 4 * delays[i] + TICK), 0);
      assert_true(t2_wheel_next(&wheel, start) == -1);
    }
  }
}

static void test_a_stopped_timer_does_not_fire(void **state) {
  t2_wheel wheel;
  clocked c;

  t2_wheel_init(&wheel, 0);
  clocked_init(&c, &wheel);
  t2_wheel_stop(&wheel, &c.timer);
  t2_wheel_start(&wheel, &c.timer, 0, 5000);
  t2_wheel_advance(&wheel, 4600);
  t2_wheel_stop(&wheel, &c.timer);
  t2_wheel_stop(&wheel, &c.timer);
  assert_int_equal(wheel.count, 0);
  assert_int_equal(t2_wheel_advance(&wheel, 100000), 0);
}

static void test_a_running_timer_is_moved(void **state) {
  t2_wheel wheel;
  clocked c;

  t2_wheel_init(&wheel, 0);
  clocked_init(&c, &wheel);
  t2_wheel_start(&wheel, &c.timer, 0, 100);
  t2_wheel_start(&wheel, &c.timer, 50, 1000);
  assert_int_equal(wheel.count, 1);
  assert_int_equal(t2_wheel_advance(&wheel, 1049), 0);
  assert_int_equal(t2_wheel_advance(&wheel, 1050 + TICK), 1);
}

static void test_a_callback_may_start_its_timer_again(void **state) {
  t2_wheel wheel;
  clocked c;

  t2_wheel_init(&wheel, 0);
  clocked_init(&c, &wheel);
  c.restart = 1;
  t2_wheel_start(&wheel, &c.timer, 0, 1);
  for (c.now = TICK; c.now <= 10 * TICK; c.now += TICK)
    assert_int_equal(t2_wheel_advance(&wheel, c.now), 1);
  assert_int_equal(c.fired, 10);
}

static void test_a_callback_may_stop_one_that_is_due_with_it(void **state) {
  t2_wheel wheel;
  clocked a, b;

  t2_wheel_init(&wheel, 0);
  clocked_init(&a, &wheel);
  clocked_init(&b, &wheel);
  a.ends = &b;
  b.ends = &a;
  t2_wheel_start(&wheel, &a.timer, 0, 10);
  t2_wheel_start(&wheel, &b.timer, 0, 10);
  assert_int_equal(t2_wheel_advance(&wheel, 1000), 1);
  assert_int_equal(a.fired + b.fired, 1);
  assert_int_equal(wheel.count, 0);
}

static void free_on_fire(t2_timer *timer) {
  free(T2_CONTAINER_OF(timer, clocked, timer));
}

static void test_a_callback_may_free_its_timer(void **state) {
  t2_wheel wheel;

  t2_wheel_init(&wheel, 0);
  for (uint64_t i = 0; i < 100; i++) {
    clocked *c = malloc(sizeof(*c));
    assert_non_null(c);
    t2_timer_init(&c->timer, free_on_fire);
    t2_wheel_start(&wheel, &c->timer, 0, i * 37 % 600);
  }
  assert_int_equal(t2_wheel_advance(&wheel, 1000), 100);
}

static void test_a_delay_beyond_reach_is_cut_to_it(void **state) {
  const uint64_t reach = (((uint64_t)1 << (T2_WHEEL_BITS * T2_WHEEL_LEVELS)) - 1) * TICK;
  t2_wheel wheel;
  clocked c;

  t2_wheel_init(&wheel, 800);
  clocked_init(&c, &wheel);
  t2_wheel_start(&wheel, &c.timer, 800, UINT64_MAX);
  assert_int_equal(t2_wheel_advance(&wheel, 800 + reach - 1), 0);
  assert_int_equal(t2_wheel_advance(&wheel, 800 + reach), 1);
}

static void test_reach_counts_from_now_after_an_idle_time(void **state) {
  const uint64_t later = (uint64_t)1 << 41; /* further than the wheel reaches */
  t2_wheel wheel;
  clocked c;

  t2_wheel_init(&wheel, 0);
  clocked_init(&c, &wheel);
  t2_wheel_start(&wheel, &c.timer, later, 5000);
  assert_int_equal(t2_wheel_advance(&wheel, later + 4999), 0);
  assert_int_equal(t2_wheel_advance(&wheel, later + 5000 + TICK), 1);
}

static void test_a_clock_that_stands_still_fires_nothing_twice(void **state) {
  t2_wheel wheel;
  clocked c;

  t2_wheel_init(&wheel, 800);
  clocked_init(&c, &wheel);
  t2_wheel_start(&wheel, &c.timer, 800, 0);
  assert_int_equal(t2_wheel_advance(&wheel, 800), 0);
  assert_int_equal(t2_wheel_advance(&wheel, 800 + TICK), 1);
  assert_int_equal(t2_wheel_advance(&wheel, 800 + TICK), 0);
  assert_int_equal(t2_wheel_advance(&wheel, 0), 0);
}

/* Sleeping for what t2_wheel_next says must bring every timer on time, and in few wakings. */
static void test_sleeping_until_next_is_enough(void **state) {
  const uint64_t delays[] = {3, 100, 511, 30000, 86400000, 2592000000};

  for (size_t i = 0; i < T2_COUNT_OF(delays); i++) {
    uint64_t now = 12345;
    unsigned wakings = 0;
    t2_wheel wheel;
    clocked c;
    t2_wheel_init(&wheel, now);
    clocked_init(&c, &wheel);
    t2_wheel_start(&wheel, &c.timer, now, delays[i]);
    while (c.fired == 0) {
      int64_t wait = t2_wheel_next(&wheel, now);
      assert_true(wait >= 0);
      now += (uint64_t)wait;
      t2_wheel_advance(&wheel, now);
      wakings++;
    }
    assert_in_range(now, 12345 + delays[i], 12345 + delays[i] + TICK);
    assert_in_range(wakings, 1, T2_WHEEL_LEVELS);
  }
}

static void test_a_stopped_timer_wakes_nobody(void **state) {
  t2_wheel wheel;
  clocked soon, late;

  t2_wheel_init(&wheel, 0);
  clocked_init(&soon, &wheel);
  clocked_init(&late, &wheel);
  t2_wheel_start(&wheel, &soon.timer, 0, 10);
  t2_wheel_start(&wheel, &late.timer, 0, 60000);
  assert_in_range(t2_wheel_next(&wheel, 0), 10, 10 + TICK);
  t2_wheel_stop(&wheel, &soon.timer);
  assert_in_range(t2_wheel_next(&wheel, 0), 10000, 60000);
}

#define MODEL_TIMERS 200

static uint64_t next_random(uint64_t *seed) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return *seed >> 33;
}

/* Small delays often, large ones too: up to 2^(3 * 0..12) ms. */
static uint64_t random_delay(uint64_t *seed) {
  unsigned bits = (unsigned)(next_random(seed) % 13) * 3;
  return ((next_random(seed) << 31 | next_random(seed)) & (((uint64_t)1 << bits) - 1));
}

static void check_model(t2_wheel *wheel, clocked timers[MODEL_TIMERS], const bool ran[MODEL_TIMERS],
                        uint64_t now) {
  int64_t next = t2_wheel_next(wheel, now);
  size_t running = 0;

  for (size_t i = 0; i < MODEL_TIMERS; i++) {
    clocked *c = &timers[i];
    bool runs = t2_timer_running(&c->timer);
    assert_int_equal(c->fired, ran[i] && !runs);
    if (c->fired) assert_true(c->due <= now);
    if (!runs) continue;
    running++;
    assert_true(now < c->due + TICK);
    assert_true(next >= 0 && now + (uint64_t)next < c->due + 2 * TICK);
  }
  assert_int_equal(wheel->count, running);
  if (!running) assert_true(next == -1);
}

static void random_operation(t2_wheel *wheel, clocked *c, uint64_t now, uint64_t *seed) {
  if (next_random(seed) % 4 == 0) {
    t2_wheel_stop(wheel, &c->timer);
    return;
  }
  uint64_t delay = random_delay(seed);
  c->due = now + delay;
  t2_wheel_start(wheel, &c->timer, now, delay);
}

static void run_random(uint64_t seed) {
  clocked timers[MODEL_TIMERS];
  bool ran[MODEL_TIMERS];
  uint64_t now = random_delay(&seed);
  t2_wheel wheel;

  t2_wheel_init(&wheel, now);
  for (size_t i = 0; i < MODEL_TIMERS; i++)
    clocked_init(&timers[i], &wheel);
  for (unsigned step = 0; step < 4000; step++) {
    for (unsigned k = (unsigned)(next_random(&seed) % 8); k > 0; k--)
      random_operation(&wheel, &timers[next_random(&seed) % MODEL_TIMERS], now, &seed);
    for (size_t i = 0; i < MODEL_TIMERS; i++) {
      timers[i].fired = 0;
      ran[i] = t2_timer_running(&timers[i].timer);
    }
    int64_t next = t2_wheel_next(&wheel, now);
    now +=
        next_random(&seed) % 2 && next > 0 ? (uint64_t)next : random_delay(&seed) >> next_random(&seed) % 20;
    t2_wheel_advance(&wheel, now);
    check_model(&wheel, timers, ran, now);
  }
}

static void test_random_operations_agree_with_a_plain_model(void **state) {
  for (uint64_t seed = 1; seed <= 20; seed++)
    run_random(seed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_timer_fires_once_not_early_and_at_most_a_tick_late),
      cmocka_unit_test(test_a_stopped_timer_does_not_fire),
      cmocka_unit_test(test_a_running_timer_is_moved),
      cmocka_unit_test(test_a_callback_may_start_its_timer_again),
      cmocka_unit_test(test_a_callback_may_stop_one_that_is_due_with_it),
      cmocka_unit_test(test_a_callback_may_free_its_timer),
      cmocka_unit_test(test_a_delay_beyond_reach_is_cut_to_it),
      cmocka_unit_test(test_reach_counts_from_now_after_an_idle_time),
      cmocka_unit_test(test_a_clock_that_stands_still_fires_nothing_twice),
      cmocka_unit_test(test_sleeping_until_next_is_enough),
      cmocka_unit_test(test_a_stopped_timer_wakes_nobody),
      cmocka_unit_test(test_random_operations_agree_with_a_plain_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
