#include <t2_test_mem.h>

#include <control/issue.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define WALL 1760000000

static const t2_store_limits limits = {.sessions_max = 10,
                                       .sessions_per_owner_max = 10,
                                       .entries_max = 100,
                                       .lease_ms = 30000,
                                       .ticket_seconds = 3600};
static const t2_moment now = {.mono_ms = 5000, .wall = WALL};

/* A store with a session and a key. */
typedef struct fixture {
  t2_store store;
  t2_keys keys;
  t2_session *session;
  t2_buf out;
} fixture;

static int add_key(t2_keys *keys) {
  t2_es256_key *key;
  int rc = t2_es256_generate(keys->mem, &key);
  if (rc) return rc;
  rc = t2_keys_add(keys, key);
  if (rc) t2_es256_free(key);
  return rc;
}

static int announce(t2_store *store, const char *id, const char *uplink) {
  t2_announcement announcement = {t2_str_c(id), t2_str_c(uplink), T2_STR("http://h"), T2_STR_NULL,
                                  T2_STR_NULL};
  t2_store_entry *entry;
  bool changed;
  return t2_store_announce(store, &announcement, "gate", now, &entry, &changed);
}

static int begin(fixture *f, const t2_allocator *mem) {
  bool revoked;
  t2_store_init(&f->store, mem, &limits);
  t2_keys_init(&f->keys, mem);
  t2_buf_init(&f->out, mem);
  int rc = t2_store_register(&f->store, T2_STR("web"), "alice", now, &f->session, &revoked);
  return rc ? rc : add_key(&f->keys);
}

static void end(fixture *f) {
  t2_buf_fini(&f->out);
  t2_keys_fini(&f->keys);
  t2_store_fini(&f->store);
}

static int issue(fixture *f, int64_t *expires_at) {
  t2_entry_list list;
  t2_entry_list_of(&f->store, t2_str_c(f->session->id), &list);
  return t2_issue_ticket(&f->store, &f->keys, f->session, &list, now, &f->out, expires_at);
}

static int verify(fixture *f, const char *entry, t2_ticket *ticket) {
  t2_str jwt = t2_str_of((const char *)t2_buf_head(&f->out), t2_buf_len(&f->out));
  return t2_ticket_verify(jwt, &f->keys, t2_str_c(entry), WALL, ticket, NULL, 0);
}

static void test_a_ticket_opens_uplinks_at_the_sessions_entries(void **state) {
  fixture f;
  t2_ticket ticket;
  int64_t expires_at;
  assert_int_equal(begin(&f, NULL), 0);
  announce(&f.store, "e-1", "https://h:1");
  announce(&f.store, "e-2", "https://h:2");
  assert_int_equal(issue(&f, &expires_at), 0);
  assert_int_equal(verify(&f, "e-1", &ticket), 0);
  assert_int_equal(verify(&f, "e-2", &ticket), 0);
  assert_int_equal(verify(&f, "e-3", &ticket), T2_ERR_FORBIDDEN);
  assert_string_equal(ticket.session, "web");
  assert_int_equal(ticket.issued_at, WALL);
  assert_int_equal(ticket.expires_at, WALL + 3600);
  assert_int_equal(expires_at, WALL + 3600);
  assert_int_equal(ticket.max_uplinks, T2_ISSUE_UPLINKS_MAX);
  end(&f);
}

static void test_without_entries_a_ticket_is_good_at_any(void **state) {
  fixture f;
  t2_ticket ticket;
  int64_t expires_at;
  assert_int_equal(begin(&f, NULL), 0);
  assert_int_equal(issue(&f, &expires_at), 0);
  assert_int_equal(verify(&f, "whichever", &ticket), 0);
  end(&f);
}

static void test_with_more_entries_than_fit_a_ticket_names_those_chosen(void **state) {
  fixture f;
  char id[32];
  t2_ticket ticket;
  t2_entry_list list;
  int64_t expires_at;
  assert_int_equal(begin(&f, NULL), 0);
  for (unsigned i = 0; i < 50; i++) {
    snprintf(id, sizeof(id), "entry-%u", i);
    announce(&f.store, id, "https://h:1");
  }
  assert_int_equal(issue(&f, &expires_at), 0);
  assert_true(t2_buf_len(&f.out) <= T2_TICKET_MAX);
  t2_entry_list_of(&f.store, T2_STR("web"), &list);
  assert_int_equal(list.n, T2_MESSAGE_ENTRIES_MAX);
  for (size_t i = 0; i < list.n; i++)
    assert_int_equal(verify(&f, list.entries[i]->id, &ticket), 0);
  assert_int_equal(ticket.audience_count, T2_MESSAGE_ENTRIES_MAX);
  end(&f);
}

static void test_the_longest_ticket_fits(void **state) {
  fixture f;
  char id[T2_ENTRY_ID_MAX + 1];
  t2_ticket ticket;
  int64_t expires_at;
  assert_int_equal(begin(&f, NULL), 0);
  memset(id, 'e', sizeof(id));
  id[T2_ENTRY_ID_MAX] = '\0';
  for (char c = 'a'; c < 'a' + T2_MESSAGE_ENTRIES_MAX; c++) {
    id[0] = c;
    assert_int_equal(announce(&f.store, id, "https://h:1"), 0);
  }
  assert_int_equal(issue(&f, &expires_at), 0);
  assert_true(t2_buf_len(&f.out) <= T2_TICKET_MAX);
  assert_int_equal(verify(&f, id, &ticket), 0);
  end(&f);
}

static void test_each_ticket_has_an_id_of_its_own(void **state) {
  fixture f;
  t2_ticket first, second;
  int64_t expires_at;
  assert_int_equal(begin(&f, NULL), 0);
  issue(&f, &expires_at);
  assert_int_equal(verify(&f, "e-1", &first), 0);
  t2_buf_reset(&f.out);
  issue(&f, &expires_at);
  assert_int_equal(verify(&f, "e-1", &second), 0);
  assert_string_not_equal(first.id, second.id);
  end(&f);
}

static void test_the_mark_changes_with_the_list_and_only_then(void **state) {
  fixture f;
  t2_entry_list none, one, same, moved, two;
  assert_int_equal(begin(&f, NULL), 0);
  t2_entry_list_of(&f.store, T2_STR("web"), &none);
  announce(&f.store, "e-1", "https://h:1");
  t2_entry_list_of(&f.store, T2_STR("web"), &one);
  announce(&f.store, "e-1", "https://h:1");
  t2_entry_list_of(&f.store, T2_STR("web"), &same);
  announce(&f.store, "e-1", "https://h:2");
  t2_entry_list_of(&f.store, T2_STR("web"), &moved);
  announce(&f.store, "e-2", "https://h:3");
  t2_entry_list_of(&f.store, T2_STR("web"), &two);
  assert_true(none.mark != one.mark);
  assert_true(one.mark == same.mark);
  assert_true(one.mark != moved.mark);
  assert_true(moved.mark != two.mark);
  end(&f);
}

static void test_there_is_no_ticket_without_a_key(void **state) {
  fixture f;
  int64_t expires_at;
  assert_int_equal(begin(&f, NULL), 0);
  t2_keys_trim(&f.keys, 0);
  assert_int_equal(issue(&f, &expires_at), T2_ERR_STATE);
  assert_int_equal(t2_buf_len(&f.out), 0);
  end(&f);
}

static void issue_one(t2_test_mem *mem, void *user) {
  fixture f;
  int64_t expires_at;
  int rc = begin(&f, &mem->hook);
  if (rc == 0) rc = announce(&f.store, "e-1", "https://h:1");
  if (rc == 0) rc = issue(&f, &expires_at);
  assert_true(rc == 0 || rc == T2_ERR_NOMEM);
  assert_true(rc == 0 || t2_buf_len(&f.out) == 0);
  end(&f);
}

static void test_each_allocation_may_fail(void **state) {
  assert_true(t2_test_mem_fail_each(issue_one, NULL) > 4);
}

static void test_a_ticket_is_of_its_sessions_kind(void **state) {
  fixture f;
  t2_ticket ticket;
  int64_t expires_at;
  assert_int_equal(begin(&f, NULL), 0);
  (void)t2_store_describe(&f.store, f.session, T2_KIND_TCP, 2222, NULL);
  assert_int_equal(issue(&f, &expires_at), 0);
  assert_int_equal(verify(&f, "e-1", &ticket), 0);
  assert_true(ticket.kind == T2_KIND_TCP && ticket.port == 2222);
  end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_ticket_is_of_its_sessions_kind),
      cmocka_unit_test(test_a_ticket_opens_uplinks_at_the_sessions_entries),
      cmocka_unit_test(test_without_entries_a_ticket_is_good_at_any),
      cmocka_unit_test(test_with_more_entries_than_fit_a_ticket_names_those_chosen),
      cmocka_unit_test(test_the_longest_ticket_fits),
      cmocka_unit_test(test_each_ticket_has_an_id_of_its_own),
      cmocka_unit_test(test_the_mark_changes_with_the_list_and_only_then),
      cmocka_unit_test(test_there_is_no_ticket_without_a_key),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
