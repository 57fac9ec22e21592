#include <t2_test_mem.h>

#include <entry/revocations.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define NOW 1000

static int revoke(t2_revocations *revocations, const char *session, uint64_t before) {
  t2_message message = {.type = T2_MSG_REVOKE, .session = t2_str_c(session), .issued_before = before};
  return t2_revocations_add(revocations, &message, NOW);
}

static bool covers(const t2_revocations *revocations, const char *session, int64_t issued) {
  return t2_revocations_covers(revocations, t2_str_c(session), T2_STR("jti"), issued);
}

static void test_tickets_issued_before_are_void(void **state) {
  t2_revocations r;
  t2_revocations_init(&r, NULL);
  assert_false(covers(&r, "main", 0));
  assert_int_equal(revoke(&r, "main", 500), 0);
  assert_true(covers(&r, "main", 499));
  assert_false(covers(&r, "main", 500));
  assert_false(covers(&r, "other", 1));
  t2_revocations_fini(&r);
}

static void test_a_later_time_counts_and_an_earlier_one_does_not(void **state) {
  t2_revocations r;
  t2_revocations_init(&r, NULL);
  revoke(&r, "main", 500);
  revoke(&r, "main", 400);
  assert_true(covers(&r, "main", 499));
  revoke(&r, "main", 600);
  assert_true(covers(&r, "main", 599));
  assert_int_equal(r.count, 1);
  t2_revocations_fini(&r);
}

static void test_without_a_time_all_up_to_now_is_void(void **state) {
  t2_revocations r;
  t2_revocations_init(&r, NULL);
  revoke(&r, "main", 0);
  assert_true(covers(&r, "main", NOW));
  assert_false(covers(&r, "main", NOW + 1));
  t2_revocations_fini(&r);
}

static void test_a_single_ticket_is_void_and_its_session_is_not(void **state) {
  t2_revocations r;
  t2_revocations_init(&r, NULL);
  t2_message message = {
      .type = T2_MSG_REVOKE, .session = T2_STR("main"), .ticket_id = T2_STR("one"), .issued_before = 5};
  assert_int_equal(t2_revocations_add(&r, &message, NOW), 0);
  assert_true(t2_revocations_covers(&r, T2_STR("main"), T2_STR("one"), NOW * 2));
  assert_false(t2_revocations_covers(&r, T2_STR("main"), T2_STR("two"), 0));
  /* A session that is called like a ticket is another thing. */
  assert_false(t2_revocations_covers(&r, T2_STR("one"), T2_STR("two"), 0));
  t2_revocations_fini(&r);
}

static void test_ids_are_bounded(void **state) {
  t2_revocations r;
  char id[80];
  t2_revocations_init(&r, NULL);
  memset(id, 'x', sizeof(id));
  id[64] = '\0';
  assert_int_equal(revoke(&r, id, 1), T2_ERR_INVALID);
  assert_int_equal(revoke(&r, id + 1, 1), 0);
  assert_int_equal(revoke(&r, "", 1), T2_ERR_INVALID);
  t2_revocations_fini(&r);
}

static void test_past_the_bound_the_oldest_is_forgotten(void **state) {
  t2_revocations r;
  t2_revocations_init(&r, NULL);
  r.max = 2;
  revoke(&r, "one", 500);
  revoke(&r, "two", 500);
  revoke(&r, "one", 500); /* said again: it is the newest now */
  revoke(&r, "three", 500);
  assert_int_equal(r.count, 2);
  assert_true(covers(&r, "one", 1));
  assert_false(covers(&r, "two", 1));
  assert_true(covers(&r, "three", 1));
  t2_revocations_fini(&r);
}

static void fill(t2_test_mem *mem, void *user) {
  t2_revocations r;
  char id[16];
  t2_revocations_init(&r, &mem->hook);
  for (int i = 0; i < 20; i++) {
    snprintf(id, sizeof(id), "id-%d", i);
    int err = revoke(&r, id, 5);
    assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
    assert_int_equal(covers(&r, id, 1), err == 0);
  }
  t2_revocations_fini(&r);
}

static void test_each_failure(void **state) {
  t2_test_mem_fail_each(fill, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tickets_issued_before_are_void),
      cmocka_unit_test(test_a_later_time_counts_and_an_earlier_one_does_not),
      cmocka_unit_test(test_without_a_time_all_up_to_now_is_void),
      cmocka_unit_test(test_a_single_ticket_is_void_and_its_session_is_not),
      cmocka_unit_test(test_ids_are_bounded),
      cmocka_unit_test(test_past_the_bound_the_oldest_is_forgotten),
      cmocka_unit_test(test_each_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
