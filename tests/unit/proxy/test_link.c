#include "link_setting.h"

/* ---- Up ---- */

static void test_it_registers_and_reports(void **state) {
  setting *s = *state;
  assert_false(t2_link_is_up(s->link));
  start_up(s);
  assert_int_equal(s->registrations, 1);
  assert_int_equal(s->on_registered, 1);
  assert_string_equal(s->authorization, "Bearer secret-token");
  assert_int_equal(s->last_active, 42);
  RUN_UNTIL(&s->tl, s->beats == 3); /* each third of a lease */
  assert_int_equal(s->last_seq, 3);
  assert_int_equal(s->on_lost, 0);
}

static void test_it_registers_once_more_when_asked_to(void **state) {
  setting *s = *state;
  t2_link_register(s->link); /* not up: nothing */
  start_up(s);
  t2_link_register(s->link);
  assert_true(t2_link_registering(s->link));
  t2_link_register(s->link); /* it is on its way */
  RUN_UNTIL(&s->tl, s->on_registered == 2);
  assert_false(t2_link_registering(s->link));
  assert_int_equal(s->registrations, 2);
  assert_int_equal(s->channels, 1);
}

static void test_messages_reach_the_owner(void **state) {
  setting *s = *state;
  t2_message message = {.type = T2_MSG_REVOKE, .session = T2_STR("one")};
  start_up(s);
  assert_int_equal(t2_channel_send(s->channel, &message), 0);
  RUN_UNTIL(&s->tl, s->on_message == 1);
}

static void test_delete_is_answered(void **state) {
  setting *s = *state;
  assert_false(t2_link_delete(s->link, "/v1/things/1", 1000));
  start_up(s);
  assert_true(t2_link_delete(s->link, "/v1/things/1", 1000));
  RUN_UNTIL(&s->tl, s->on_deleted == 1);
  assert_int_equal(s->deletes, 1);
}

static void test_delete_has_its_time(void **state) {
  setting *s = *state;
  start_up(s);
  s->register_status = 0;
  t2_link_register(s->link); /* what is under way is given up for it */
  RUN_UNTIL(&s->tl, s->held);
  assert_true(t2_link_delete(s->link, "/v1/things/1", 20));
  t2_call_problem(s->held, t2_problem_of_status(503), NULL);
  s->held = NULL;
  RUN_UNTIL(&s->tl, s->on_deleted == 1);
  assert_int_equal(s->on_registered, 1);
  assert_int_equal(s->on_lost, 0);
}

static void test_link_lost_during_a_delete_is_lost(void **state) {
  setting *s = *state;
  start_up(s);
  s->register_status = 0;
  assert_true(t2_link_delete(s->link, "/v1/things/1", 5000));
  RUN_UNTIL(&s->tl, s->held);
  t2_channel_close(s->channel);
  s->channel = NULL;
  RUN_UNTIL(&s->tl, s->on_lost);
  assert_int_equal(s->on_deleted, 0);
}

/* ---- Lost ---- */

static void test_refusal_says_why_and_when_again(void **state) {
  setting *s = *state;
  s->register_status = 401;
  s->body = "{\"title\":\"No\",\"detail\":\"it is unknown\"}";
  t2_fields_add(&s->fields, T2_STR("retry-after"), T2_STR("7"));
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_AUTH, 401, "the control plane did not accept the token (401): it is unknown");
  assert_true(s->loss.delay_ms == 7000 && !s->loss.was_up);
}

static void test_refusals_by_their_status(void **state) {
  setting *s = *state;
  s->register_status = 409;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_CONFLICT, 409, "refused the thing (409)");
  s->register_status = 503;
  s->on_lost = 0;
  expect_lost(s, T2_ERR_UNAVAILABLE, 503, "(503)");
}

static void test_answer_that_makes_no_sense_is_lost(void **state) {
  setting *s = *state;
  s->registered_err = T2_ERR_PROTOCOL;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_PROTOCOL, 0, "that makes no sense");
  assert_false(s->loss.was_up);
}

static void test_registration_that_cannot_be_made_is_lost(void **state) {
  setting *s = *state;
  s->register_err = T2_ERR_NOMEM;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_NOMEM, 0, "");
  assert_int_equal(s->registrations, 0);
}

static void test_refused_channel_is_lost(void **state) {
  setting *s = *state;
  s->channel_status = 403;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_CLOSED, 403, "refused the channel with 403");
  assert_true(s->loss.was_up);
}

static void test_drain_message_is_lost(void **state) {
  setting *s = *state;
  t2_message message = {.type = T2_MSG_DRAIN};
  start_up(s);
  assert_int_equal(t2_channel_send(s->channel, &message), 0);
  expect_lost(s, T2_ERR_UNAVAILABLE, 0, "draining");
  assert_int_equal(s->on_message, 0);
}

static void test_goaway_is_lost(void **state) {
  setting *s = *state;
  start_up(s);
  t2_server_drain(s->server);
  expect_lost(s, T2_ERR_UNAVAILABLE, 0, "going away");
}

static void test_unanswered_heartbeats_are_lost(void **state) {
  setting *s = *state;
  s->deaf = true;
  start_up(s);
  expect_lost(s, T2_ERR_TIMEOUT, 0, "heartbeats");
  assert_int_equal(s->beats, 2);
}

static void test_whoever_comes_back_is_registered_with_again(void **state) {
  setting *s = *state;
  start_up(s);
  close_server(s);
  RUN_UNTIL(&s->tl, s->on_lost >= 3); /* it tries */
  assert_int_equal(s->loss.err, T2_ERR_REFUSED);
  assert_true(s->loss.delay_ms <= 5);
  open_server(s);
  s->beats = 0;
  RUN_UNTIL(&s->tl, s->channel && s->beats);
  assert_int_equal(s->registrations, 2);
  assert_true(t2_link_is_up(s->link));
}

static void test_it_watches_without_a_registration_and_registers_again(void **state) {
  setting *s = *state;
  t2_message message = {.type = T2_MSG_REVOKE, .session = T2_STR("one")};
  start_up(s);
  t2_link_watch(s->link, "/v1/watch/channel");
  RUN_UNTIL(&s->tl, s->channels == 2 && s->channel && s->beats >= 2);
  assert_int_equal(t2_channel_send(s->channel, &message), 0);
  RUN_UNTIL(&s->tl, s->on_message == 1);
  close_server(s);
  open_server(s);
  RUN_UNTIL(&s->tl, s->channels == 3 && s->channel); /* it comes back */
  assert_int_equal(s->registrations, 1);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->registrations == 2 && s->channels == 4 && s->channel);
  assert_int_equal(s->on_lost, 0);
  t2_link_watch(s->link, "/v1/watch/channel");
  t2_link_start(s->link); /* at once */
  RUN_UNTIL(&s->tl, s->registrations == 3 && s->channels == 5);
  assert_int_equal(s->on_lost, 0);
}

static void test_peer_without_http2_is_lost(void **state) {
  setting *s = *state;
  t2_tls *other = test_client_tls(s->tl.loop, NULL);
  close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  s->options.tls = other; /* it does not ask for any */
  new_link(s);
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_PROTOCOL, 0, "does not speak HTTP/2");
  t2_tls_unref(other);
}

/* ---- Closing ---- */

static void expect_gone(setting *s) {
  size_t lost = s->on_lost, reports = s->on_report, asked = s->on_register;
  if (s->link) close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  assert_int_equal(s->on_lost, lost);
  assert_int_equal(s->on_report, reports);
  assert_int_equal(s->on_register, asked);
}

static void test_it_closes_before_it_is_up(void **state) {
  setting *s = *state;
  expect_gone(s); /* IDLE */
  new_link(s);
  t2_link_start(s->link);
  expect_gone(s); /* DIALLING */
  s->register_status = 0;
  new_link(s);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->held);
  assert_true(t2_link_registering(s->link));
  expect_gone(s); /* REGISTERING */
  t2_call_problem(s->held, t2_problem_of_status(503), NULL);
  s->held = NULL;
  s->register_status = 201;
  s->channel_status = 0;
  new_link(s);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->channels);
  expect_gone(s); /* OPENING */
}

static void test_it_takes_leave_when_it_is_up(void **state) {
  setting *s = *state;
  start_up(s);
  expect_gone(s);
  RUN_UNTIL(&s->tl, !s->channel);
  assert_int_equal(s->channel_err, T2_ERR_CANCELLED); /* and so its lease is not waited for */
}

static void test_it_closes_when_it_is_lost(void **state) {
  setting *s = *state;
  s->options.retry_min_ms = s->options.retry_max_ms = 60000;
  close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  new_link(s);
  start_up(s);
  t2_channel_close(s->channel);
  s->channel = NULL;
  RUN_UNTIL(&s->tl, !t2_link_is_up(s->link) || s->on_lost);
  expect_gone(s); /* ENDING, or WAITING */
  s->on_lost = 0;
  s->channel_status = 500;
  new_link(s);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->on_lost);
  expect_gone(s); /* WAITING */
}

/* Whatever is under way when it happens. */
static void test_it_may_be_closed_within_each_callback(void **state) {
  static const char *const callbacks[] = {"register", "registered", "report", "message", "lost", "deleted"};
  setting *s = *state;
  t2_message revoke = {.type = T2_MSG_REVOKE, .session = T2_STR("one")};
  for (size_t i = 0; i < T2_COUNT_OF(callbacks); i++) {
    if (i) new_link(s);
    s->close_in = callbacks[i];
    s->beats = 0;
    t2_link_start(s->link);
    if (i >= 3) {
      RUN_UNTIL(&s->tl, s->channel && s->beats);
      if (i == 3) assert_int_equal(t2_channel_send(s->channel, &revoke), 0);
      if (i == 4) {
        t2_channel_close(s->channel);
        s->channel = NULL;
      }
      if (i == 5) assert_true(t2_link_delete(s->link, "/v1/things/1", 1000));
    }
    RUN_UNTIL(&s->tl, s->gone);
    RUN_UNTIL(&s->tl, !s->channel);
  }
}

/* A control plane that does not let it go. */
static void test_parting_has_its_time(void **state) {
  setting *s = *state;
  start_up(s);
  s->register_status = 0;
  t2_link_register(s->link);
  RUN_UNTIL(&s->tl, s->held);
  uint64_t begun = uv_now(&s->tl.uv);
  expect_gone(s);
  assert_true(uv_now(&s->tl.uv) - begun < 3000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      link_test(test_it_registers_and_reports),
      link_test(test_it_registers_once_more_when_asked_to),
      link_test(test_messages_reach_the_owner),
      link_test(test_delete_is_answered),
      link_test(test_delete_has_its_time),
      link_test(test_link_lost_during_a_delete_is_lost),
      link_test(test_refusal_says_why_and_when_again),
      link_test(test_refusals_by_their_status),
      link_test(test_answer_that_makes_no_sense_is_lost),
      link_test(test_registration_that_cannot_be_made_is_lost),
      link_test(test_refused_channel_is_lost),
      link_test(test_drain_message_is_lost),
      link_test(test_goaway_is_lost),
      link_test(test_unanswered_heartbeats_are_lost),
      link_test(test_whoever_comes_back_is_registered_with_again),
      link_test(test_it_watches_without_a_registration_and_registers_again),
      link_test(test_peer_without_http2_is_lost),
      link_test(test_it_closes_before_it_is_up),
      link_test(test_it_takes_leave_when_it_is_up),
      link_test(test_it_closes_when_it_is_lost),
      link_test(test_it_may_be_closed_within_each_callback),
      link_test(test_parting_has_its_time),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
