#include "link_setting.h"

/* A link that knows of parking, and one that does not. */
static void renew_link(setting *s, bool parks) {
  close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  s->options.parks = parks;
  new_link(s);
}

static void tell(setting *s, uint64_t return_seconds, uint64_t lease_seconds) {
  t2_message park = {.type = T2_MSG_PARK, .return_seconds = return_seconds, .lease_seconds = lease_seconds};
  assert_int_equal(t2_channel_send(s->channel, &park), 0);
}

/* Up, and then parked for half a minute at least. */
static void start_parked(setting *s) {
  renew_link(s, true);
  start_up(s);
  assert_int_equal(s->last_park, T2_PARK_CAN);
  tell(s, 60, 180);
  RUN_UNTIL(&s->tl, !s->channel && t2_server_connections(s->server) == 0);
  assert_true(t2_link_is_away(s->link) && !t2_link_is_up(s->link));
  assert_int_equal(s->channel_err == T2_ERR_CANCELLED, 0); /* no leave was taken */
  s->beats = 0;
}

static void expect_back(setting *s) {
  RUN_UNTIL(&s->tl, s->on_back == 1);
  assert_int_equal(s->last_park, T2_PARK_WAS);
  assert_int_equal(s->registrations, 1);
  assert_int_equal(s->channels, 2);
  assert_int_equal(s->on_lost, 0);
  assert_true(t2_link_is_up(s->link) && !t2_link_is_away(s->link));
}

static void test_it_is_parked_and_comes_back_in_time_without_registering(void **state) {
  setting *s = *state;
  renew_link(s, true);
  start_up(s);
  tell(s, 1, 3);
  expect_back(s);
  RUN_UNTIL(&s->tl, s->last_park == T2_PARK_CAN); /* the heartbeats that follow */
}

static void test_it_comes_back_at_once_when_it_is_needed(void **state) {
  setting *s = *state;
  start_parked(s);
  t2_link_hurry(s->link, 0);
  expect_back(s);
}

static void test_what_was_needed_while_it_was_leaving_is_not_forgotten(void **state) {
  setting *s = *state;
  renew_link(s, true);
  start_up(s);
  tell(s, 60, 180);
  RUN_UNTIL(&s->tl, t2_link_is_away(s->link));
  t2_link_hurry(s->link, 0);
  expect_back(s);
}

static void test_what_it_has_under_way_is_done_first(void **state) {
  setting *s = *state;
  renew_link(s, true);
  start_up(s);
  s->register_status = 0;
  t2_link_register(s->link);
  RUN_UNTIL(&s->tl, s->held);
  tell(s, 60, 180);
  size_t beats = s->beats;
  RUN_UNTIL(&s->tl, s->beats == beats + 1);
  assert_false(t2_link_is_away(s->link));
  t2_call_reply(s->held, 201, "application/json", &s->fields, s->body, strlen(s->body));
  s->held = NULL;
  RUN_UNTIL(&s->tl, t2_link_is_away(s->link));
  assert_int_equal(s->on_registered, 2);
}

static void test_nonsense_is_not_heeded(void **state) {
  setting *s = *state;
  const uint64_t nonsense[][2] = {{0, 180}, {3601, 86400}, {60, 60}, {60, 86401}, {1, T2_VARINT_MAX}};
  renew_link(s, true);
  start_up(s);
  for (size_t i = 0; i < T2_COUNT_OF(nonsense); i++)
    tell(s, nonsense[i][0], nonsense[i][1]);
  size_t beats = s->beats;
  RUN_UNTIL(&s->tl, s->beats == beats + 1);
  assert_true(t2_link_is_up(s->link) && !t2_link_is_away(s->link));
}

static void test_one_that_does_not_know_of_it_stays(void **state) {
  setting *s = *state;
  start_up(s);
  assert_int_equal(s->last_park, T2_PARK_NEVER);
  tell(s, 1, 3);
  RUN_UNTIL(&s->tl, s->beats == 3);
  assert_int_equal(s->channels, 1);
  assert_int_equal(s->on_message, 0);
}

static void test_one_whose_session_is_gone_registers_on_the_same_connection(void **state) {
  setting *s = *state;
  start_parked(s);
  s->channel_status = 404;
  t2_link_hurry(s->link, 0);
  RUN_UNTIL(&s->tl, s->channels == 2);
  s->channel_status = 200;
  RUN_UNTIL(&s->tl, s->channel && s->beats);
  assert_int_equal(s->registrations, 2);
  assert_int_equal(s->last_park, T2_PARK_CAN);
  assert_true(s->on_back == 0 && s->on_lost == 0);
}

static void test_one_that_is_refused_on_return_is_lost_and_registers_again(void **state) {
  setting *s = *state;
  start_parked(s);
  s->channel_status = 503;
  t2_link_hurry(s->link, 0);
  expect_lost(s, T2_ERR_CLOSED, 503, "refused the channel with 503");
  assert_true(s->loss.was_up && !t2_link_is_away(s->link));
  s->channel_status = 200;
  RUN_UNTIL(&s->tl, s->channel && s->beats);
  assert_int_equal(s->registrations, 2);
}

static void test_one_that_finds_nobody_is_lost_only_then(void **state) {
  setting *s = *state;
  start_parked(s);
  close_server(s);
  assert_int_equal(s->on_lost, 0);
  t2_link_hurry(s->link, 0);
  expect_lost(s, T2_ERR_REFUSED, 0, "");
  assert_true(s->loss.was_up && !t2_link_is_away(s->link));
}

static void test_it_closes_wherever_it_is(void **state) {
  setting *s = *state;
  start_parked(s);
  close_link(s); /* PARKED */
  RUN_UNTIL(&s->tl, s->gone);
  new_link(s);
  start_up(s);
  tell(s, 60, 180);
  RUN_UNTIL(&s->tl, t2_link_is_away(s->link));
  close_link(s); /* PARKING */
  RUN_UNTIL(&s->tl, s->gone);
  new_link(s);
  s->beats = 0;
  s->close_in = "back";
  start_up(s);
  tell(s, 1, 3);
  RUN_UNTIL(&s->tl, s->gone);
  RUN_UNTIL(&s->tl, !s->channel);
  assert_int_equal(s->channel_err, T2_ERR_CANCELLED);
}

/* One that parks whoever comes, at once, and needs them. */
static void test_a_control_plane_that_misbehaves_does_not_make_it_spin(void **state) {
  setting *s = *state;
  renew_link(s, true);
  start_up(s);
  uint64_t begun = uv_now(&s->tl.uv);
  for (size_t i = 1; i <= 3; i++) {
    tell(s, 60, 180);
    RUN_UNTIL(&s->tl, t2_link_is_away(s->link));
    t2_link_hurry(s->link, 0);
    RUN_UNTIL(&s->tl, s->on_back == i);
  }
  assert_true(uv_now(&s->tl.uv) - begun >= 2000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      link_test(test_it_is_parked_and_comes_back_in_time_without_registering),
      link_test(test_it_comes_back_at_once_when_it_is_needed),
      link_test(test_what_was_needed_while_it_was_leaving_is_not_forgotten),
      link_test(test_what_it_has_under_way_is_done_first),
      link_test(test_nonsense_is_not_heeded),
      link_test(test_one_that_does_not_know_of_it_stays),
      link_test(test_one_whose_session_is_gone_registers_on_the_same_connection),
      link_test(test_one_that_is_refused_on_return_is_lost_and_registers_again),
      link_test(test_one_that_finds_nobody_is_lost_only_then),
      link_test(test_it_closes_wherever_it_is),
      link_test(test_a_control_plane_that_misbehaves_does_not_make_it_spin),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
