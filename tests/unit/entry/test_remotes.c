#include <t2_test_mem.h>

#include <entry/remotes.h>
#include <entry/sticky.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* Uplinks of other workers: what is opened is only noted. */

static const t2_remote *opened;

static int open_noted(const t2_remote *remote, t2_leg *leg, const t2_head *head, bool end) {
  (void)leg, (void)head, (void)end;
  opened = remote;
  return 0;
}

typedef struct table {
  t2_entry_sessions sessions;
  t2_entry_session *session;
} table;

static void open_table(table *t, const t2_allocator *mem) {
  t2_entry_sessions_init(&t->sessions, mem);
  t->session = NULL;
}

static int note(table *t, const char *id, uint64_t until) {
  t2_ticket ticket = {.max_uplinks = 2};
  snprintf(ticket.session, sizeof(ticket.session), "%s", id);
  return t2_entry_sessions_note(&t->sessions, &ticket, until, &t->session);
}

static int add(table *t, unsigned worker, uint64_t number, uint64_t instance, uint32_t weight) {
  return t2_remotes_add(&t->sessions, &(t2_remote){.session = t->session,
                                                   .open = open_noted,
                                                   .worker = worker,
                                                   .number = number,
                                                   .instance = instance,
                                                   .weight = weight});
}

static void close_table(table *t) {
  t2_remotes_clear(&t->sessions);
  t2_entry_sessions_fini(&t->sessions);
}

/* Of the worker that a leg leads to. */
static unsigned worker_of(t2_leg *leg) {
  assert_non_null(leg);
  assert_true(t2_remotes_has(leg));
  assert_int_equal(leg->ops->head(leg, NULL, true), 0);
  return opened->worker;
}

static void test_a_session_with_an_uplink_elsewhere_is_known(void **state) {
  table t;
  open_table(&t, NULL);
  assert_int_equal(note(&t, "main", 1000), 0);
  assert_ptr_equal(t2_entry_sessions_find(&t.sessions, T2_STR("main"), 999), t.session);
  assert_int_equal(add(&t, 1, 7, 1, 100), 0);
  assert_ptr_equal(t2_entry_sessions_find(&t.sessions, T2_STR("main"), 5000), t.session);
  assert_int_equal(worker_of(t2_remotes_pick(t.session, 0)), 1);
  assert_false(t2_remotes_remove(&t.sessions, t.session, 2, 7)); /* another worker's */
  assert_false(t2_remotes_remove(&t.sessions, t.session, 1, 8));
  assert_true(t2_remotes_remove(&t.sessions, t.session, 1, 7));
  assert_null(t2_entry_sessions_find(&t.sessions, T2_STR("main"), 5000));
  close_table(&t);
}

static void test_uplinks_elsewhere_count_as_the_tickets(void **state) {
  table t;
  t2_entry_session *session;
  t2_ticket ticket = {.session = "main", .max_uplinks = 2};
  open_table(&t, NULL);
  assert_int_equal(note(&t, "main", 1000), 0);
  assert_int_equal(add(&t, 1, 1, 1, 100), 0);
  assert_int_equal(add(&t, 2, 1, 1, 100), 0);
  assert_int_equal(t2_entry_sessions_attach(&t.sessions, &ticket, 1000, NULL, &session), T2_ERR_CONFLICT);
  ticket.kind = T2_KIND_TCP;
  assert_int_equal(t2_entry_sessions_attach(&t.sessions, &ticket, 1000, NULL, &session), T2_ERR_STATE);
  close_table(&t);
}

static void test_each_is_taken_by_its_weight(void **state) {
  unsigned taken[3] = {0};
  table t;
  open_table(&t, NULL);
  assert_int_equal(note(&t, "main", 1000), 0);
  assert_int_equal(add(&t, 1, 1, 1, 100), 0);
  assert_false(t.session->uneven);
  assert_int_equal(add(&t, 2, 1, 2, 300), 0);
  assert_true(t.session->uneven);
  for (uint64_t random = 0; random < 400; random++)
    taken[worker_of(t2_remotes_pick(t.session, random))]++;
  assert_int_equal(taken[1], 100);
  assert_int_equal(taken[2], 300);
  assert_true(t2_remotes_turn(t.session, 5)); /* there is none here */
  close_table(&t);
}

static void test_a_value_goes_to_the_client_that_it_fits_best(void **state) {
  table t;
  open_table(&t, NULL);
  assert_int_equal(note(&t, "main", 1000), 0);
  assert_int_equal(add(&t, 1, 1, 11, 100), 0);
  assert_int_equal(add(&t, 2, 1, 22, 100), 0);
  for (uint64_t hash = 1; hash < 50; hash++) {
    uint64_t first = t2_sticky_fit(hash, 11), second = t2_sticky_fit(hash, 22);
    unsigned best = first > second ? 1 : 2;
    assert_int_equal(worker_of(t2_remotes_pick_by_value(t.session, hash, false, 0)), best);
    assert_null(t2_remotes_pick_by_value(t.session, hash, true, first > second ? first : second));
  }
  close_table(&t);
}

static void build(t2_test_mem *mem, void *user) {
  table t;
  (void)user;
  open_table(&t, &mem->hook);
  int err = note(&t, "main", 1000);
  if (err == 0) err = add(&t, 1, 1, 1, 100);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  close_table(&t);
}

static void test_each_failed_allocation_is_a_clean_error(void **state) {
  t2_test_mem_fail_each(build, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_session_with_an_uplink_elsewhere_is_known),
      cmocka_unit_test(test_uplinks_elsewhere_count_as_the_tickets),
      cmocka_unit_test(test_each_is_taken_by_its_weight),
      cmocka_unit_test(test_a_value_goes_to_the_client_that_it_fits_best),
      cmocka_unit_test(test_each_failed_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
