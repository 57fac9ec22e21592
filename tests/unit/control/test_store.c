#include <t2_test_mem.h>

#include <control/store.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define LEASE_MS 30000
#define LIFE     3600
#define WALL     1760000000

static const t2_store_limits roomy = {.sessions_max = 1000,
                                      .sessions_per_owner_max = 100,
                                      .entries_max = 10,
                                      .lease_ms = LEASE_MS,
                                      .ticket_seconds = LIFE};

/* So many seconds after the beginning, by both clocks. */
static t2_moment after(int64_t seconds) {
  return (t2_moment){.mono_ms = (uint64_t)seconds * 1000, .wall = WALL + seconds};
}

/* store must not move: lists point into it. */
#define STORE(name, limits)                                                                                  \
  t2_store name;                                                                                             \
  t2_store_init(&(name), NULL, (limits))

static t2_session *add(t2_store *store, const char *id, const char *owner, t2_moment now) {
  t2_session *session;
  bool revoked;
  assert_int_equal(t2_store_register(store, t2_str_c(id), owner, now, &session, &revoked), 0);
  return session;
}

static int try_add(t2_store *store, const char *id, const char *owner, t2_moment now) {
  t2_session *session;
  bool revoked;
  return t2_store_register(store, t2_str_c(id), owner, now, &session, &revoked);
}

/* ---- Registration and leases ---- */

static void test_a_session_is_found_by_its_id_while_it_lives(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  assert_string_equal(session->id, "web");
  assert_string_equal(session->owner->name, "alice");
  assert_true(store.dirty);
  assert_ptr_equal(t2_store_session(&store, T2_STR("web")), session);
  assert_null(t2_store_session(&store, T2_STR("we")));
  t2_store_remove(&store, session);
  assert_null(t2_store_session(&store, T2_STR("web")));
  assert_int_equal(store.sessions.count, 0);
  assert_int_equal(store.owners.count, 0);
  t2_store_fini(&store);
}

static void test_the_same_owner_registers_again_and_keeps_the_record(void **state) {
  STORE(store, &roomy);
  t2_session *first = add(&store, "web", "alice", after(0));
  assert_ptr_equal(add(&store, "web", "alice", after(20)), first);
  assert_null(t2_store_lapsed(&store, after(49)));
  assert_ptr_equal(t2_store_lapsed(&store, after(50)), first);
  assert_int_equal(store.live_count, 1);
  t2_store_fini(&store);
}

static void test_another_owner_is_refused_while_the_session_lives(void **state) {
  STORE(store, &roomy);
  add(&store, "web", "alice", after(0));
  assert_int_equal(try_add(&store, "web", "bob", after(1)), T2_ERR_CONFLICT);
  t2_store_fini(&store);
}

static void test_leases_end_in_the_order_of_their_renewal(void **state) {
  STORE(store, &roomy);
  t2_session *a = add(&store, "aaa", "alice", after(0));
  t2_session *b = add(&store, "bbb", "alice", after(1));
  t2_store_renew(&store, a, after(2));
  assert_null(t2_store_lapsed(&store, (t2_moment){.mono_ms = 1000 + LEASE_MS - 1}));
  assert_ptr_equal(t2_store_lapsed(&store, (t2_moment){.mono_ms = 1000 + LEASE_MS}), b);
  t2_store_lapse(&store, b);
  assert_null(t2_store_lapsed(&store, after(31)));
  assert_ptr_equal(t2_store_lapsed(&store, after(32)), a);
  t2_store_fini(&store);
}

/* ---- Tickets that are void ---- */

static void test_tickets_of_a_removed_session_are_void(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  assert_int_equal(t2_store_issue(&store, session, after(5)), WALL + 5);
  assert_null(t2_store_next_revocation(&store, 0));
  t2_store_remove(&store, session);
  const t2_session *revoked = t2_store_next_revocation(&store, 0);
  assert_non_null(revoked);
  assert_string_equal(revoked->id, "web");
  assert_int_equal(revoked->void_before, WALL + 6);
  assert_null(t2_store_next_revocation(&store, revoked->revocation));
  t2_store_fini(&store);
}

static void test_a_session_without_a_ticket_leaves_nothing_to_revoke(void **state) {
  STORE(store, &roomy);
  t2_store_remove(&store, add(&store, "web", "alice", after(0)));
  assert_null(t2_store_next_revocation(&store, 0));
  assert_int_equal(store.past_count, 0);
  t2_store_fini(&store);
}

static void test_tickets_of_a_name_made_anew_are_good(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  t2_store_issue(&store, session, after(0));
  t2_store_remove(&store, session);
  session = add(&store, "web", "alice", after(0));
  /* In the very second of the revocation. */
  assert_true(t2_store_issue(&store, session, after(0)) >= session->void_before);
  /* And after the clock was set back. */
  assert_true(t2_store_issue(&store, session, after(-1000)) >= session->void_before);
  t2_store_fini(&store);
}

static void test_the_expiry_of_a_ticket_counts_from_now_by_a_clock_that_was_set_back_too(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  int64_t first = t2_store_issue(&store, session, after(10));
  assert_int_equal(t2_store_issue(&store, session, after(3)), first);
  assert_int_equal(session->last_expires, first + LIFE);
  session->last_expires = 0;
  t2_store_issue(&store, session, after(3));
  assert_int_equal(session->last_expires, WALL + 3 + LIFE);
  t2_store_fini(&store);
}

static void test_a_lapsed_session_comes_back_to_its_owner_with_its_tickets(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  t2_session *again;
  bool revoked;
  t2_store_issue(&store, session, after(0));
  t2_store_lapse(&store, session);
  assert_null(t2_store_session(&store, T2_STR("web")));
  assert_int_equal(store.past_count, 1);
  assert_int_equal(t2_store_register(&store, T2_STR("web"), "alice", after(40), &again, &revoked), 0);
  assert_false(revoked);
  assert_null(t2_store_next_revocation(&store, 0));
  assert_int_equal(store.past_count, 0);
  t2_store_fini(&store);
}

static void test_a_lapsed_name_taken_by_another_voids_the_tickets_before(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  bool revoked;
  t2_store_issue(&store, session, after(0));
  t2_store_lapse(&store, session);
  assert_int_equal(t2_store_register(&store, T2_STR("web"), "bob", after(40), &session, &revoked), 0);
  assert_true(revoked);
  assert_int_equal(t2_store_next_revocation(&store, 0)->void_before, WALL + 1);
  assert_string_equal(session->owner->name, "bob");
  assert_null(t2_map_get(&store.owners, T2_STR("alice")));
  t2_store_fini(&store);
}

static void test_revocations_come_in_the_order_they_were_made(void **state) {
  STORE(store, &roomy);
  const char *names[3] = {"ccc", "aaa", "bbb"};
  for (size_t i = 0; i < 3; i++) {
    t2_session *session = add(&store, names[i], "alice", after(0));
    t2_store_issue(&store, session, after(0));
    t2_store_remove(&store, session);
  }
  const t2_session *revoked = t2_store_next_revocation(&store, 0);
  for (size_t i = 0; i < 3; i++) {
    assert_string_equal(revoked->id, names[i]);
    const t2_session *next = t2_store_next_revocation(&store, revoked->revocation);
    assert_ptr_equal(t2_store_following_revocation(&store, revoked), next);
    revoked = next;
  }
  assert_null(revoked);
  t2_store_fini(&store);
}

static void test_a_second_revocation_of_a_name_replaces_the_first(void **state) {
  STORE(store, &roomy);
  uint64_t seen = 0;
  for (int64_t i = 0; i < 2; i++) {
    t2_session *session = add(&store, "web", "alice", after(i * 10));
    t2_store_issue(&store, session, after(i * 10));
    t2_store_remove(&store, session);
    const t2_session *revoked = t2_store_next_revocation(&store, seen);
    assert_int_equal(revoked->void_before, WALL + i * 10 + 1);
    seen = revoked->revocation;
  }
  assert_null(t2_store_next_revocation(&store, seen));
  assert_int_equal(store.past_count, 1);
  t2_store_fini(&store);
}

static void test_a_clock_that_jumps_ahead_brings_no_void_ticket_back(void **state) {
  t2_moment jumped = {.mono_ms = 1000, .wall = WALL + 10 * LIFE};
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  t2_store_issue(&store, session, after(0));
  t2_store_remove(&store, session);
  t2_store_sweep(&store, jumped);
  assert_non_null(t2_store_next_revocation(&store, 0));
  jumped.mono_ms = (LIFE + T2_TICKET_LEEWAY_SECONDS) * 1000 + 1;
  t2_store_sweep(&store, jumped);
  assert_null(t2_store_next_revocation(&store, 0));
  t2_store_fini(&store);
}

static void test_what_no_ticket_can_need_is_forgotten(void **state) {
  STORE(store, &roomy);
  t2_session *removed = add(&store, "removed", "alice", after(0));
  t2_session *lapsed = add(&store, "lapsed", "bob", after(0));
  t2_store_issue(&store, removed, after(0));
  t2_store_issue(&store, lapsed, after(0));
  t2_store_remove(&store, removed);
  t2_store_lapse(&store, lapsed);
  t2_store_sweep(&store, after(LIFE + T2_TICKET_LEEWAY_SECONDS));
  assert_int_equal(store.past_count, 2);
  assert_non_null(t2_store_next_revocation(&store, 0));
  t2_store_sweep(&store, after(LIFE + T2_TICKET_LEEWAY_SECONDS + 1));
  assert_int_equal(store.past_count, 0);
  assert_null(t2_store_next_revocation(&store, 0));
  assert_int_equal(store.sessions.count + store.owners.count, 0);
  t2_store_fini(&store);
}

static void test_a_sweep_leaves_live_sessions_alone(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  t2_store_issue(&store, session, after(0));
  t2_store_remove(&store, session);
  session = add(&store, "web", "alice", after(1));
  t2_store_sweep(&store, after(1000000));
  assert_ptr_equal(t2_store_session(&store, T2_STR("web")), session);
  assert_null(t2_store_next_revocation(&store, 0));
  t2_store_remove(&store, session);
  t2_store_fini(&store);
}

/* ---- Limits ---- */

static void fill(t2_store *store, const char *owner, unsigned n) {
  char id[32];
  for (unsigned i = 0; i < n; i++) {
    snprintf(id, sizeof(id), "%s-%u", owner, i);
    add(store, id, owner, after(0));
  }
}

static void test_an_owner_has_its_share_and_no_more(void **state) {
  t2_store_limits limits = roomy;
  limits.sessions_per_owner_max = 3;
  STORE(store, &limits);
  fill(&store, "alice", 3);
  assert_int_equal(try_add(&store, "one-more", "alice", after(0)), T2_ERR_LIMIT);
  assert_int_equal(try_add(&store, "alice-2", "alice", after(0)), 0);
  assert_int_equal(try_add(&store, "one-more", "bob", after(0)), 0);
  t2_store_remove(&store, t2_store_session(&store, T2_STR("alice-0")));
  assert_int_equal(try_add(&store, "another", "alice", after(0)), 0);
  t2_store_fini(&store);
}

static void test_there_are_no_more_sessions_than_allowed(void **state) {
  t2_store_limits limits = roomy;
  limits.sessions_max = 2;
  STORE(store, &limits);
  fill(&store, "alice", 2);
  assert_int_equal(try_add(&store, "third", "bob", after(0)), T2_ERR_UNAVAILABLE);
  assert_int_equal(store.owners.count, 1);
  t2_store_fini(&store);
}

/* A name given up is kept until its tickets have run out: that is bounded as well. */
static void test_past_sessions_of_an_owner_are_bounded(void **state) {
  t2_store_limits limits = roomy;
  char id[32];
  limits.sessions_per_owner_max = 1;
  limits.sessions_max = 1000000;
  STORE(store, &limits);
  for (unsigned i = 0; i < T2_STORE_PAST_MIN; i++) {
    snprintf(id, sizeof(id), "name-%u", i);
    t2_session *session = add(&store, id, "alice", after(0));
    t2_store_issue(&store, session, after(0));
    t2_store_remove(&store, session);
  }
  assert_int_equal(try_add(&store, "one-more", "alice", after(0)), T2_ERR_LIMIT);
  assert_int_equal(try_add(&store, "name-7", "alice", after(0)), 0);
  assert_int_equal(try_add(&store, "one-more", "bob", after(0)), 0);
  t2_store_fini(&store);
}

static void test_past_sessions_of_all_are_bounded(void **state) {
  t2_store_limits limits = roomy;
  char id[32], owner[32];
  limits.sessions_max = 1;
  STORE(store, &limits);
  for (unsigned i = 0; i < T2_STORE_PAST_MIN; i++) {
    snprintf(id, sizeof(id), "name-%u", i);
    snprintf(owner, sizeof(owner), "owner-%u", i);
    t2_session *session = add(&store, id, owner, after(0));
    t2_store_issue(&store, session, after(0));
    t2_store_remove(&store, session);
  }
  assert_int_equal(try_add(&store, "one-more", "alice", after(0)), T2_ERR_UNAVAILABLE);
  t2_store_sweep(&store, after(LIFE + T2_TICKET_LEEWAY_SECONDS + 1));
  assert_int_equal(try_add(&store, "one-more", "alice", after(0)), 0);
  t2_store_fini(&store);
}

static void test_an_owner_name_that_is_too_long_is_refused(void **state) {
  char owner[T2_OWNER_MAX + 2];
  STORE(store, &roomy);
  memset(owner, 'o', sizeof(owner));
  owner[T2_OWNER_MAX + 1] = '\0';
  assert_true(try_add(&store, "web", owner, after(0)) < 0);
  owner[T2_OWNER_MAX] = '\0';
  assert_int_equal(try_add(&store, "web", owner, after(0)), 0);
  t2_store_fini(&store);
}

/* ---- Lists ---- */

static void test_a_list_goes_by_pages_of_one_owner_or_all(void **state) {
  STORE(store, &roomy);
  add(&store, "a-1", "alice", after(0));
  add(&store, "b-1", "bob", after(0));
  add(&store, "a-2", "alice", after(0));
  const t2_session *session = t2_store_next_session(&store, 0, "alice");
  assert_string_equal(session->id, "a-1");
  assert_string_equal(t2_store_following_session(&store, session, NULL)->id, "b-1");
  session = t2_store_next_session(&store, session->sequence, "alice");
  assert_string_equal(session->id, "a-2");
  assert_null(t2_store_following_session(&store, session, NULL));
  assert_null(t2_store_next_session(&store, session->sequence, "alice"));
  assert_string_equal(t2_store_next_session(&store, 0, "bob")->id, "b-1");
  assert_null(t2_store_next_session(&store, 0, "carol"));
  t2_store_fini(&store);
}

static void test_a_renewed_session_keeps_its_place_in_the_list(void **state) {
  STORE(store, &roomy);
  t2_session *first = add(&store, "a-1", "alice", after(0));
  add(&store, "a-2", "alice", after(0));
  t2_store_renew(&store, first, after(9));
  assert_ptr_equal(t2_store_next_session(&store, 0, NULL), first);
  t2_store_fini(&store);
}

/* ---- Restoring ---- */

static void test_what_a_session_is_of_is_kept_when_it_changes(void **state) {
  STORE(store, &roomy);
  t2_session *session = add(&store, "web", "alice", after(0));
  assert_int_equal(session->kind, T2_KIND_HTTP);
  store.dirty = false;
  (void)t2_store_describe(&store, session, T2_KIND_HTTP, 0, NULL);
  assert_false(store.dirty);
  (void)t2_store_describe(&store, session, T2_KIND_TCP, 22, NULL);
  assert_true(store.dirty);
  store.dirty = false;
  (void)t2_store_describe(&store, session, T2_KIND_TCP, 23, NULL);
  assert_true(store.dirty);
  assert_int_equal(session->port, 23);
  t2_store_fini(&store);
}

static void test_a_host_name_is_of_one_owner(void **state) {
  STORE(store, &roomy);
  t2_terms terms = {.hostnames = {"www.example.com"}, .hostname_count = 1};
  t2_session *one = add(&store, "one", "alice", after(0));
  t2_session *two = add(&store, "two", "alice", after(0));
  assert_true(t2_store_hostnames_free(&store, &terms, "bob"));
  assert_int_equal(t2_store_describe(&store, one, T2_KIND_HTTP, 0, &terms), 0);
  assert_false(t2_store_hostnames_free(&store, &terms, "bob"));
  assert_true(t2_store_hostnames_free(&store, &terms, "alice"));
  assert_int_equal(t2_store_describe(&store, two, T2_KIND_HTTP, 0, &terms), 0);
  t2_store_remove(&store, one); /* it is the other's now */
  assert_false(t2_store_hostnames_free(&store, &terms, "bob"));
  assert_int_equal(t2_store_describe(&store, two, T2_KIND_HTTP, 0, NULL), 0);
  assert_null(two->terms);
  assert_true(t2_store_hostnames_free(&store, &terms, "bob"));
  assert_int_equal(t2_store_describe(&store, two, T2_KIND_HTTP, 0, &terms), 0);
  t2_store_lapse(&store, two);
  assert_true(t2_store_hostnames_free(&store, &terms, "bob"));
  t2_session kept = {.live = true, .created_at = 11, .terms = &terms, .id = "new"};
  assert_int_equal(t2_store_restore(&store, &kept, T2_STR("carol"), after(100)), 0);
  assert_false(t2_store_hostnames_free(&store, &terms, "bob"));
  t2_store_fini(&store);
}

static void test_what_was_kept_is_as_it_was(void **state) {
  STORE(store, &roomy);
  t2_session kept = {.live = true, .created_at = 11, .last_issued = 12, .last_expires = 13};
  strcpy(kept.id, "web");
  assert_int_equal(t2_store_restore(&store, &kept, T2_STR("alice"), after(100)), 0);
  const t2_session *session = t2_store_session(&store, T2_STR("web"));
  assert_int_equal(session->created_at, 11);
  assert_null(t2_store_lapsed(&store, after(129)));
  assert_ptr_equal(t2_store_lapsed(&store, after(130)), session);
  assert_int_equal(t2_store_restore(&store, &kept, T2_STR("bob"), after(100)), T2_ERR_CONFLICT);
  t2_store_fini(&store);
}

static void test_a_restored_revocation_is_told_again(void **state) {
  STORE(store, &roomy);
  t2_session kept = {.last_issued = WALL,
                     .last_expires = WALL + LIFE,
                     .void_before = WALL + 1,
                     .void_until = WALL + LIFE + 60};
  strcpy(kept.id, "gone");
  assert_int_equal(t2_store_restore(&store, &kept, T2_STR("alice"), after(0)), 0);
  assert_null(t2_store_session(&store, T2_STR("gone")));
  assert_int_equal(t2_store_next_revocation(&store, 0)->void_before, WALL + 1);
  t2_store_fini(&store);
}

static void test_what_can_not_be_is_not_restored(void **state) {
  STORE(store, &roomy);
  char owner[T2_OWNER_MAX + 1];
  t2_session kept = {.live = true};
  memset(owner, 'o', sizeof(owner));
  strcpy(kept.id, "No Id");
  assert_int_equal(t2_store_restore(&store, &kept, T2_STR("alice"), after(0)), T2_ERR_INVALID);
  strcpy(kept.id, "web");
  assert_int_equal(t2_store_restore(&store, &kept, T2_STR(""), after(0)), T2_ERR_INVALID);
  assert_int_equal(t2_store_restore(&store, &kept, t2_str_of(owner, sizeof(owner)), after(0)),
                   T2_ERR_INVALID);
  assert_int_equal(store.sessions.count + store.owners.count, 0);
  t2_store_fini(&store);
}

/* ---- Memory ---- */

static void live_a_little(t2_test_mem *mem, void *user) {
  t2_store store;
  t2_session *session;
  bool revoked;
  t2_session kept = {.live = true};
  strcpy(kept.id, "kept");
  t2_store_init(&store, &mem->hook, &roomy);
  for (unsigned i = 0; i < 3; i++) {
    int rc = t2_store_register(&store, T2_STR("web"), i == 1 ? "bob" : "alice", after(i), &session, &revoked);
    assert_true(rc == 0 || rc == T2_ERR_NOMEM);
    if (rc) continue;
    t2_store_issue(&store, session, after(i));
    if (i == 0)
      t2_store_lapse(&store, session);
    else
      t2_store_remove(&store, session);
  }
  int rc = t2_store_restore(&store, &kept, T2_STR("carol"), after(9));
  assert_true(rc == 0 || rc == T2_ERR_NOMEM);
  assert_int_equal(store.live_count, rc == 0);
  t2_store_fini(&store);
}

static void test_each_allocation_may_fail(void **state) {
  assert_true(t2_test_mem_fail_each(live_a_little, NULL) > 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_session_is_found_by_its_id_while_it_lives),
      cmocka_unit_test(test_the_same_owner_registers_again_and_keeps_the_record),
      cmocka_unit_test(test_another_owner_is_refused_while_the_session_lives),
      cmocka_unit_test(test_leases_end_in_the_order_of_their_renewal),
      cmocka_unit_test(test_tickets_of_a_removed_session_are_void),
      cmocka_unit_test(test_a_session_without_a_ticket_leaves_nothing_to_revoke),
      cmocka_unit_test(test_tickets_of_a_name_made_anew_are_good),
      cmocka_unit_test(test_the_expiry_of_a_ticket_counts_from_now_by_a_clock_that_was_set_back_too),
      cmocka_unit_test(test_a_lapsed_session_comes_back_to_its_owner_with_its_tickets),
      cmocka_unit_test(test_a_lapsed_name_taken_by_another_voids_the_tickets_before),
      cmocka_unit_test(test_revocations_come_in_the_order_they_were_made),
      cmocka_unit_test(test_a_second_revocation_of_a_name_replaces_the_first),
      cmocka_unit_test(test_a_clock_that_jumps_ahead_brings_no_void_ticket_back),
      cmocka_unit_test(test_what_no_ticket_can_need_is_forgotten),
      cmocka_unit_test(test_a_sweep_leaves_live_sessions_alone),
      cmocka_unit_test(test_an_owner_has_its_share_and_no_more),
      cmocka_unit_test(test_there_are_no_more_sessions_than_allowed),
      cmocka_unit_test(test_past_sessions_of_an_owner_are_bounded),
      cmocka_unit_test(test_past_sessions_of_all_are_bounded),
      cmocka_unit_test(test_an_owner_name_that_is_too_long_is_refused),
      cmocka_unit_test(test_a_list_goes_by_pages_of_one_owner_or_all),
      cmocka_unit_test(test_a_renewed_session_keeps_its_place_in_the_list),
      cmocka_unit_test(test_what_a_session_is_of_is_kept_when_it_changes),
      cmocka_unit_test(test_a_host_name_is_of_one_owner),
      cmocka_unit_test(test_what_was_kept_is_as_it_was),
      cmocka_unit_test(test_a_restored_revocation_is_told_again),
      cmocka_unit_test(test_what_can_not_be_is_not_restored),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
