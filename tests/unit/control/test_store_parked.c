#include <t2_test_mem.h>

#include <control/store.h>

#define LEASE  30
#define PARKED 180
#define WALL   1760000000

static const t2_store_limits limits = {.sessions_max = 100,
                                       .sessions_per_owner_max = 100,
                                       .entries_max = 10,
                                       .lease_ms = LEASE * 1000,
                                       .parked_ms = PARKED * 1000,
                                       .ticket_seconds = 3600};

static t2_moment after(int64_t seconds) {
  return (t2_moment){.mono_ms = (uint64_t)seconds * 1000, .wall = WALL + seconds};
}

static t2_session *add(t2_store *store, const char *id, t2_moment now) {
  t2_session *session;
  bool revoked;
  assert_int_equal(t2_store_register(store, t2_str_c(id), "alice", now, &session, &revoked), 0);
  return session;
}

static const t2_report none;

static void test_a_parked_session_lives_by_its_longer_lease(void **state) {
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  t2_session *a = add(&store, "aaa", after(0)), *b = add(&store, "bbb", after(0));
  t2_store_park(&store, a, &none, after(10));
  assert_int_equal(store.parked_count, 1);
  assert_ptr_equal(t2_store_lapsed(&store, after(LEASE)), b);
  t2_store_lapse(&store, b);
  assert_null(t2_store_lapsed(&store, after(10 + PARKED - 1)));
  assert_ptr_equal(t2_store_session(&store, T2_STR("aaa")), a);
  assert_ptr_equal(t2_store_lapsed(&store, after(10 + PARKED)), a);
  t2_store_lapse(&store, a);
  assert_int_equal(store.parked_count, 0);
  t2_store_fini(&store);
}

static void test_one_that_is_back_has_the_shorter_lease_again(void **state) {
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  t2_session *session = add(&store, "aaa", after(0));
  t2_store_park(&store, session, &none, after(10));
  (void)t2_store_unpark(&store, session, &none, after(50));
  assert_true(session->parked == 0 && store.parked_count == 0);
  assert_null(t2_store_lapsed(&store, after(50 + LEASE - 1)));
  assert_ptr_equal(t2_store_lapsed(&store, after(50 + LEASE)), session);
  t2_store_renew(&store, session, after(60));
  assert_null(t2_store_lapsed(&store, after(60 + LEASE - 1)));
  t2_store_fini(&store);
}

static void test_the_lease_of_the_parked_holds_whatever_others_of_the_session_do(void **state) {
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  t2_session *session = add(&store, "aaa", after(0));
  t2_store_park(&store, session, &none, after(10));
  t2_store_park(&store, session, &none, after(20));
  t2_store_renew(&store, session, after(25));
  assert_null(t2_store_lapsed(&store, after(20 + PARKED - 1)));
  (void)t2_store_unpark(&store, session, &none, after(70)); /* one of two */
  assert_int_equal(session->parked, 1);
  assert_null(t2_store_lapsed(&store, after(20 + PARKED - 1)));
  /* The other does not come: from then on those that renew count alone. */
  t2_store_renew(&store, session, after(20 + PARKED - 1));
  assert_true(session->parked == 0 && store.parked_count == 0);
  assert_null(t2_store_lapsed(&store, after(20 + PARKED + LEASE - 2)));
  assert_ptr_equal(t2_store_lapsed(&store, after(20 + PARKED + LEASE - 1)), session);
  t2_store_fini(&store);
}

static void test_the_numbers_of_the_parked_stay_until_they_are_back(void **state) {
  const t2_report last = {1, 100, 2000, 3000}, back = {0, 150, 2500, 3000};
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  t2_session *session = add(&store, "aaa", after(0));
  t2_store_park(&store, session, &last, after(10));
  assert_int_equal(session->now.requests, 100);
  t2_report own = t2_store_unpark(&store, session, &back, after(50));
  assert_true(own.active == 0 && own.requests == 100 && own.bytes_in == 2000 && own.bytes_out == 3000);
  /* What it is not any more has gone; the rest is what its channel reports from now on. */
  assert_true(session->now.active == 0 && session->now.requests == 100);
  t2_store_fini(&store);
}

static void test_one_that_does_not_come_back_takes_its_numbers_along(void **state) {
  const t2_report last = {1, 100, 2000, 3000};
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  t2_session *session = add(&store, "aaa", after(0));
  t2_store_park(&store, session, &last, after(10));
  t2_store_remove(&store, session);
  assert_int_equal(store.parked_count, 0);
  session = add(&store, "aaa", after(20));
  assert_true(session->parked == 0 && session->now.requests == 0);
  assert_ptr_equal(t2_store_lapsed(&store, after(20 + LEASE)), session);
  t2_store_fini(&store);
}

static void test_those_that_a_former_process_had_parked_are_waited_for(void **state) {
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  t2_session *a = add(&store, "aaa", after(0)), *b = add(&store, "bbb", after(0));
  t2_store_expect_parked(&store, after(0));
  assert_null(t2_store_lapsed(&store, after(PARKED - 1)));
  (void)t2_store_unpark(&store, a, &none, after(20)); /* it was never counted */
  assert_int_equal(store.parked_count, 0);
  assert_ptr_equal(t2_store_lapsed(&store, after(20 + LEASE)), a);
  assert_ptr_equal(t2_store_session(&store, T2_STR("bbb")), b);
  t2_store_fini(&store);
}

static void test_a_removed_session_is_known_as_such_until_it_is_registered_anew(void **state) {
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  t2_session *a = add(&store, "aaa", after(0)), *b = add(&store, "bbb", after(0));
  t2_store_issue(&store, a, after(0));
  t2_store_issue(&store, b, after(0));
  assert_null(t2_store_removed(&store, T2_STR("aaa")));
  t2_store_remove(&store, a);
  t2_store_lapse(&store, b);
  assert_non_null(t2_store_removed(&store, T2_STR("aaa")));
  assert_null(t2_store_removed(&store, T2_STR("bbb"))); /* its lease was over: no more than that */
  assert_null(t2_store_removed(&store, T2_STR("ccc")));
  a = add(&store, "aaa", after(1));
  assert_null(t2_store_removed(&store, T2_STR("aaa")));
  t2_store_issue(&store, a, after(1));
  t2_store_lapse(&store, a);
  assert_null(t2_store_removed(&store, T2_STR("aaa")));
  t2_store_fini(&store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_parked_session_lives_by_its_longer_lease),
      cmocka_unit_test(test_one_that_is_back_has_the_shorter_lease_again),
      cmocka_unit_test(test_the_lease_of_the_parked_holds_whatever_others_of_the_session_do),
      cmocka_unit_test(test_the_numbers_of_the_parked_stay_until_they_are_back),
      cmocka_unit_test(test_one_that_does_not_come_back_takes_its_numbers_along),
      cmocka_unit_test(test_those_that_a_former_process_had_parked_are_waited_for),
      cmocka_unit_test(test_a_removed_session_is_known_as_such_until_it_is_registered_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
