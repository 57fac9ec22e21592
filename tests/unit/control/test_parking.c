#include "../net/fixture.h"

#include <control/parking.h>

#define CHANNELS 10

typedef struct setting {
  test_loop tl;
  t2_parking parking;
  t2_parkable channels[CHANNELS];
  bool parked[CHANNELS], cut[CHANNELS];
  size_t parked_count, cut_count;
  bool go; /* whoever is told closes at once */
} setting;

static void on_park(t2_parkable *parkable, void *user) {
  setting *s = user;
  s->parked[parkable - s->channels] = true;
  s->parked_count++;
  if (s->go) t2_parking_closed(&s->parking, parkable);
}

static void on_cut(t2_parkable *parkable, void *user) {
  setting *s = user;
  s->cut[parkable - s->channels] = true;
  s->cut_count++;
  t2_parking_closed(&s->parking, parkable);
}

static const t2_parking_ops ops = {.park = on_park, .cut = on_cut};

static void begin(setting *s, uint32_t above) {
  memset(s, 0, sizeof(*s));
  assert_true(test_loop_open(&s->tl, NULL, NULL));
  t2_parking_init(&s->parking, s->tl.loop, above, &ops, s);
  s->parking.quiet_ms = 20;
  s->parking.cut_ms = 100;
  s->go = true;
}

static void end(setting *s) {
  t2_parking_fini(&s->parking);
  test_loop_close(&s->tl);
}

static void open_all(setting *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    t2_parking_opened(&s->parking, &s->channels[i]);
    t2_parking_quiet(&s->parking, &s->channels[i]);
  }
}

static void run_ms(setting *s, uint64_t ms) {
  uint64_t until = uv_now(&s->tl.uv) + ms;
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= until);
}

static void test_as_many_as_are_too_many_are_parked_and_the_longest_quiet_first(void **state) {
  setting s;
  begin(&s, 7);
  open_all(&s, CHANNELS);
  t2_parking_quiet(&s.parking, &s.channels[0]); /* it was just told something */
  RUN_UNTIL(&s.tl, s.parked_count == 3);
  run_ms(&s, 600);
  assert_int_equal(s.parked_count, 3);
  assert_true(s.parked[1] && s.parked[2] && s.parked[3]);
  assert_true(s.parking.open == 7 && s.parking.parkings == 3);
  assert_false(t2_timer_running(&s.parking.timer)); /* nothing runs for nothing */
  end(&s);
}

static void test_who_was_parked_before_goes_before_the_others(void **state) {
  setting s;
  begin(&s, 3);
  open_all(&s, 3);
  run_ms(&s, 50);
  t2_parking_opened(&s.parking, &s.channels[3]);
  s.channels[3].again = true;
  t2_parking_quiet(&s.parking, &s.channels[3]);
  RUN_UNTIL(&s.tl, s.parked_count > 0);
  run_ms(&s, 600);
  assert_true(s.parked_count == 1 && s.parked[3] && s.parking.again_count == 0);
  end(&s);
}

static void test_up_to_the_number_none_is_parked(void **state) {
  setting s;
  begin(&s, 5);
  open_all(&s, 5);
  run_ms(&s, 600);
  assert_int_equal(s.parked_count, 0);
  assert_false(t2_timer_running(&s.parking.timer));
  t2_parking_opened(&s.parking, &s.channels[5]); /* one more, that can't be parked itself */
  RUN_UNTIL(&s.tl, s.parked_count == 1);
  assert_true(s.parked[0]);
  end(&s);
}

static void test_zero_is_never(void **state) {
  setting s;
  begin(&s, 0);
  open_all(&s, CHANNELS);
  run_ms(&s, 600);
  assert_int_equal(s.parked_count, 0);
  end(&s);
}

static void test_what_does_not_go_is_cut_and_what_was_told_is_not_told_again(void **state) {
  setting s;
  begin(&s, 1);
  s.go = false;
  open_all(&s, 2);
  RUN_UNTIL(&s.tl, s.parked_count == 1);
  t2_parking_quiet(&s.parking, &s.channels[0]);
  assert_int_equal(s.parking.open, 1);
  RUN_UNTIL(&s.tl, s.cut_count == 1);
  assert_true(s.cut[0] && s.parked_count == 1);
  assert_int_equal(s.parking.open, 1);
  end(&s);
}

static void test_what_closes_meanwhile_is_forgotten(void **state) {
  setting s;
  begin(&s, 1);
  s.go = false;
  open_all(&s, 3);
  t2_parking_closed(&s.parking, &s.channels[0]);
  RUN_UNTIL(&s.tl, s.parked_count == 1);
  assert_true(s.parked[1]);
  t2_parking_closed(&s.parking, &s.channels[1]);
  t2_parking_closed(&s.parking, &s.channels[2]);
  run_ms(&s, 600);
  assert_true(s.cut_count == 0 && s.parking.open == 0);
  end(&s);
}

static void test_who_is_parked_is_back_before_its_ticket_has_to_be_renewed(void **state) {
  assert_int_equal(t2_parking_return_seconds(3600), T2_PARKING_RETURN_S);
  assert_int_equal(t2_parking_return_seconds(240), 60);
  assert_int_equal(t2_parking_return_seconds(239), 59);
  assert_int_equal(t2_parking_return_seconds(8), 2);
  assert_int_equal(t2_parking_return_seconds(7), 0); /* not worth it */
  assert_int_equal(t2_parking_return_seconds(1), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_as_many_as_are_too_many_are_parked_and_the_longest_quiet_first),
      cmocka_unit_test(test_who_was_parked_before_goes_before_the_others),
      cmocka_unit_test(test_up_to_the_number_none_is_parked),
      cmocka_unit_test(test_zero_is_never),
      cmocka_unit_test(test_what_does_not_go_is_cut_and_what_was_told_is_not_told_again),
      cmocka_unit_test(test_what_closes_meanwhile_is_forgotten),
      cmocka_unit_test(test_who_is_parked_is_back_before_its_ticket_has_to_be_renewed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
