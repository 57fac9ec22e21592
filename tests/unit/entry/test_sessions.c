#include <t2_test_mem.h>

#include <entry/sessions.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* Uplinks are pointers to this table: any address will do. */
static t2_entry_uplink *uplink(size_t n) {
  static const char places[1024];
  return (t2_entry_uplink *)(uintptr_t)&places[n];
}

static t2_ticket ticket_of(const char *session, uint32_t max_uplinks) {
  t2_ticket ticket = {.max_uplinks = max_uplinks, .max_streams = 7};
  snprintf(ticket.session, sizeof(ticket.session), "%s", session);
  return ticket;
}

static int attach(t2_entry_sessions *sessions, const char *id, uint32_t max, size_t n,
                  t2_entry_session **out) {
  t2_ticket ticket = ticket_of(id, max);
  return t2_entry_sessions_attach(sessions, &ticket, 1000, uplink(n), out);
}

static void test_session_is_known_as_long_as_its_ticket(void **state) {
  t2_entry_sessions sessions;
  t2_entry_session *session;
  t2_entry_sessions_init(&sessions, NULL);
  assert_null(t2_entry_sessions_find(&sessions, T2_STR("main"), 0));
  assert_int_equal(attach(&sessions, "main", 0, 0, &session), 0);
  assert_int_equal(session->max_streams, 7);
  assert_ptr_equal(t2_entry_sessions_find(&sessions, T2_STR("main"), 5000), session);
  t2_entry_sessions_detach(&sessions, session, uplink(0));
  assert_ptr_equal(t2_entry_sessions_find(&sessions, T2_STR("main"), 999), session);
  assert_int_equal(session->uplink_count, 0);
  assert_null(t2_entry_sessions_find(&sessions, T2_STR("main"), 1000));
  t2_entry_sessions_fini(&sessions);
}

static void test_exchange_keeps_its_session(void **state) {
  t2_entry_sessions sessions;
  t2_entry_session *session;
  t2_entry_sessions_init(&sessions, NULL);
  sessions.idle_max = 0;
  assert_int_equal(attach(&sessions, "main", 0, 0, &session), 0);
  t2_entry_session_begin(&sessions, session);
  t2_entry_sessions_detach(&sessions, session, uplink(0));
  assert_ptr_equal(t2_entry_sessions_find(&sessions, T2_STR("main"), 99999), session);
  t2_entry_session_end(&sessions, session);
  assert_null(t2_entry_sessions_find(&sessions, T2_STR("main"), 0));
  t2_entry_sessions_fini(&sessions);
}

static void test_uplinks_are_bounded_by_the_ticket(void **state) {
  t2_entry_sessions sessions;
  t2_entry_session *session, *other;
  t2_entry_sessions_init(&sessions, NULL);
  assert_int_equal(attach(&sessions, "main", 2, 0, &session), 0);
  assert_int_equal(attach(&sessions, "main", 2, 1, &other), 0);
  assert_ptr_equal(session, other);
  assert_int_equal(attach(&sessions, "main", 2, 2, &other), T2_ERR_CONFLICT);
  assert_int_equal(session->uplink_count, 2);
  t2_entry_sessions_detach(&sessions, session, uplink(0));
  assert_ptr_equal(session->uplinks[0], uplink(1));
  assert_int_equal(attach(&sessions, "main", 2, 2, &other), 0);
  t2_entry_sessions_detach(&sessions, session, uplink(1));
  t2_entry_sessions_detach(&sessions, session, uplink(2));
  t2_entry_sessions_fini(&sessions);
}

static void test_uplinks_are_bounded_in_any_case(void **state) {
  t2_entry_sessions sessions;
  t2_entry_session *session;
  t2_entry_sessions_init(&sessions, NULL);
  for (size_t i = 0; i < T2_ENTRY_UPLINKS_PER_SESSION_MAX; i++)
    assert_int_equal(attach(&sessions, "main", 0, i, &session), 0);
  assert_int_equal(attach(&sessions, "main", 0, 999, &session), T2_ERR_LIMIT);
  for (size_t i = 0; i < T2_ENTRY_UPLINKS_PER_SESSION_MAX; i++)
    t2_entry_sessions_detach(&sessions, session, uplink(i));
  t2_entry_sessions_fini(&sessions);
}

static void test_past_the_bound_the_longest_idle_is_forgotten(void **state) {
  t2_entry_sessions sessions;
  t2_entry_session *one, *two, *three;
  t2_entry_sessions_init(&sessions, NULL);
  sessions.idle_max = 2;
  attach(&sessions, "one", 0, 0, &one);
  attach(&sessions, "two", 0, 1, &two);
  attach(&sessions, "three", 0, 2, &three);
  t2_entry_sessions_detach(&sessions, two, uplink(1));
  t2_entry_sessions_detach(&sessions, one, uplink(0));
  t2_entry_sessions_detach(&sessions, three, uplink(2));
  assert_null(t2_entry_sessions_find(&sessions, T2_STR("two"), 0));
  assert_non_null(t2_entry_sessions_find(&sessions, T2_STR("one"), 0));
  assert_non_null(t2_entry_sessions_find(&sessions, T2_STR("three"), 0));
  t2_entry_sessions_fini(&sessions);
}

static void come_and_go(t2_test_mem *mem, void *user) {
  t2_entry_sessions sessions;
  t2_entry_session *session;
  t2_entry_sessions_init(&sessions, &mem->hook);
  for (size_t i = 0; i < 5; i++) {
    int err = attach(&sessions, "main", 0, i, &session);
    assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  }
  session = t2_entry_sessions_find(&sessions, T2_STR("main"), 0);
  while (session && session->uplink_count)
    t2_entry_sessions_detach(&sessions, session, session->uplinks[0]);
  t2_entry_sessions_fini(&sessions);
}

static void test_each_failure(void **state) {
  t2_test_mem_fail_each(come_and_go, NULL);
}

/* ---- Ports ---- */

static unsigned unneeded;

static void on_port_unneeded(t2_entry_session *session) {
  session->port = NULL;
  unneeded++;
}

static int attach_kind(t2_entry_sessions *sessions, t2_kind kind, size_t n, t2_entry_session **out) {
  t2_ticket ticket = ticket_of("main", 0);
  ticket.kind = kind;
  return t2_entry_sessions_attach(sessions, &ticket, 1000, uplink(n), out);
}

static void init_with_port(t2_entry_sessions *sessions, t2_entry_session **session) {
  static char place;
  t2_entry_sessions_init(sessions, NULL);
  sessions->on_port_unneeded = on_port_unneeded;
  unneeded = 0;
  assert_int_equal(attach_kind(sessions, T2_KIND_TCP, 0, session), 0);
  (*session)->port = (t2_entry_port *)&place;
}

static void test_port_goes_when_its_session_is_forgotten(void **state) {
  t2_entry_sessions sessions;
  t2_entry_session *session;
  init_with_port(&sessions, &session);
  t2_entry_sessions_sweep(&sessions, 99999); /* it has an uplink */
  t2_entry_sessions_detach(&sessions, session, uplink(0));
  t2_entry_sessions_sweep(&sessions, 999);
  assert_int_equal(unneeded, 0);
  t2_entry_sessions_sweep(&sessions, 1000);
  assert_int_equal(unneeded, 1);
  assert_null(t2_entry_sessions_find(&sessions, T2_STR("main"), 0));
  t2_entry_sessions_fini(&sessions);
}

static void test_uplinks_of_one_session_are_of_one_kind(void **state) {
  t2_entry_sessions sessions;
  t2_entry_session *session, *other;
  init_with_port(&sessions, &session);
  assert_int_equal(attach_kind(&sessions, T2_KIND_HTTP, 1, &other), T2_ERR_STATE);
  assert_int_equal(session->kind, T2_KIND_TCP);
  assert_int_equal(unneeded, 0);
  t2_entry_sessions_detach(&sessions, session, uplink(0));
  assert_int_equal(attach_kind(&sessions, T2_KIND_HTTP, 1, &other), 0);
  assert_int_equal(session->kind, T2_KIND_HTTP);
  assert_int_equal(unneeded, 1);
  t2_entry_sessions_detach(&sessions, session, uplink(1));
  t2_entry_sessions_fini(&sessions);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_port_goes_when_its_session_is_forgotten),
      cmocka_unit_test(test_uplinks_of_one_session_are_of_one_kind),
      cmocka_unit_test(test_session_is_known_as_long_as_its_ticket),
      cmocka_unit_test(test_exchange_keeps_its_session),
      cmocka_unit_test(test_uplinks_are_bounded_by_the_ticket),
      cmocka_unit_test(test_uplinks_are_bounded_in_any_case),
      cmocka_unit_test(test_past_the_bound_the_longest_idle_is_forgotten),
      cmocka_unit_test(test_each_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
