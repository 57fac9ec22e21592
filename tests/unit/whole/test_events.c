#include <t2_test_mem.h>

#include "site.h"
#include <control/state.h>
#include <signal.h>

static void wait_for(site *s, t2_control_event_type type, unsigned count) {
  while (s->control_events[type] < count)
    uv_run(&s->loop, UV_RUN_ONCE);
}

static void test_sessions_and_entries_that_come_and_leave_are_told(void **state) {
  site s;
  site_start(&s, NULL);
  assert_int_equal(s.control_events[T2_CONTROL_READY], 1);
  assert_int_equal(s.control_events[T2_CONTROL_ENTRY_REGISTERED], 1);
  assert_int_equal(s.control_events[T2_CONTROL_SESSION_REGISTERED], 1); /* its renewals are no news */
  while (s.control->channels.session_count + s.control->channels.entry_count < 2)
    uv_run(&s.loop, UV_RUN_ONCE);
  t2_client_drain(s.client, 0);
  wait_for(&s, T2_CONTROL_SESSION_ENDED, 1);
  assert_string_equal(s.event_id, "main");
  assert_string_equal(s.event_reason, "it has taken leave");
  t2_entry_drain(s.entry, 0);
  wait_for(&s, T2_CONTROL_ENTRY_ENDED, 1);
  assert_string_equal(s.event_id, "e-1");
  t2_control_drain(s.control, 0);
  wait_for(&s, T2_CONTROL_ENDED, 1);
  assert_int_equal(s.control_events[T2_CONTROL_DRAINING], 1);
  site_stop(&s);
}

/* As of a client and an entry that were cut off. */
static void lapse_one_of_each(site *s) {
  t2_store *store = &s->control->store;
  t2_moment now = t2_channels_now(&s->control->channels);
  t2_moment past = {now.mono_ms - 31000, now.wall};
  const t2_announcement gone = {T2_STR("e-2"), T2_STR("https://127.0.0.1:9"), T2_STR("http://127.0.0.1:9"),
                                T2_STR("localhost"), T2_STR_NULL};
  t2_store_entry *entry;
  t2_session *session;
  bool flag;
  assert_int_equal(t2_store_register(store, T2_STR("gone"), "dev", past, &session, &flag), 0);
  assert_int_equal(t2_store_announce(store, &gone, "dev", past, &entry, &flag), 0);
  t2_store_renew(store, t2_store_session(store, T2_STR("main")), now);
  t2_store_entry_renew(store, t2_store_entry_find(store, T2_STR("e-1")), now);
}

static void test_leases_that_are_over_are_told(void **state) {
  site s;
  site_start(&s, NULL);
  lapse_one_of_each(&s);
  wait_for(&s, T2_CONTROL_SESSION_ENDED, 1);
  wait_for(&s, T2_CONTROL_ENTRY_ENDED, 1);
  assert_string_equal(s.event_id, "e-2");
  assert_string_equal(s.event_reason, "its lease is over");
  assert_non_null(t2_store_session(&s.control->store, T2_STR("main")));
  site_stop(&s);
}

static void test_an_entry_says_when_it_tries_its_control_plane_again(void **state) {
  site s;
  site_start(&s, NULL);
  t2_control_drain(s.control, 0);
  while (s.entry_events[T2_ENTRY_RETRYING] < 3)
    uv_run(&s.loop, UV_RUN_ONCE);
  assert_int_equal(s.entry_events[T2_ENTRY_LOST], 1);
  assert_true(s.entry_delay_ms <= 5000);
  assert_int_equal(s.entry_events[T2_ENTRY_READY], 1);
  assert_int_equal(s.entry_events[T2_ENTRY_REGISTERED], 1);
  site_stop(&s);
}

static void close_from_inside(t2_control_event_type type) {
  site s;
  site_start(&s, NULL);
  while (s.control->channels.session_count + s.control->channels.entry_count < 2)
    uv_run(&s.loop, UV_RUN_ONCE);
  s.close_at = type;
  if (type == T2_CONTROL_SESSION_ENDED)
    t2_client_drain(s.client, 0);
  else
    t2_entry_drain(s.entry, 0);
  wait_for(&s, type, 1);
  site_stop(&s);
}

static void test_a_control_plane_may_be_closed_from_inside_an_event(void **state) {
  close_from_inside(T2_CONTROL_SESSION_ENDED);
  close_from_inside(T2_CONTROL_ENTRY_ENDED);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sessions_and_entries_that_come_and_leave_are_told),
      cmocka_unit_test(test_leases_that_are_over_are_told),
      cmocka_unit_test(test_an_entry_says_when_it_tries_its_control_plane_again),
      cmocka_unit_test(test_a_control_plane_may_be_closed_from_inside_an_event),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
