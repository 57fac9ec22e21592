#include <t2_test_mem.h>

#include <control/store.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define LEASE_MS 30000

static const t2_store_limits limits = {.sessions_max = 10,
                                       .sessions_per_owner_max = 10,
                                       .entries_max = T2_STORE_ENTRIES_MAX,
                                       .lease_ms = LEASE_MS,
                                       .ticket_seconds = 60};

static t2_moment at_ms(uint64_t ms) {
  return (t2_moment){.mono_ms = ms, .wall = 1760000000};
}

static int announce(t2_store *store, const char *id, const char *owner, const char *uplink, t2_moment now,
                    bool *changed) {
  t2_store_entry *entry;
  t2_announcement announcement = {t2_str_c(id), t2_str_c(uplink), T2_STR("http://h"), T2_STR("d.example"),
                                  T2_STR_NULL};
  return t2_store_announce(store, &announcement, owner, now, &entry, changed);
}

static void announce_many(t2_store *store, unsigned n) {
  char id[32];
  bool changed;
  for (unsigned i = 0; i < n; i++) {
    snprintf(id, sizeof(id), "entry-%u", i);
    assert_int_equal(announce(store, id, "gate", "https://h:1", at_ms(0), &changed), 0);
  }
}

static void test_an_announcement_is_kept_and_found(void **state) {
  t2_store store;
  bool changed;
  t2_store_init(&store, NULL, &limits);
  assert_int_equal(announce(&store, "e-1", "gate", "https://h:1", at_ms(0), &changed), 0);
  assert_true(changed);
  assert_true(store.dirty);
  const t2_store_entry *entry = t2_store_entry_find(&store, T2_STR("e-1"));
  assert_string_equal(entry->uplink, "https://h:1");
  assert_string_equal(entry->public_url, "http://h");
  assert_string_equal(entry->domain, "d.example");
  assert_string_equal(entry->owner, "gate");
  assert_null(t2_store_entry_find(&store, T2_STR("e-2")));
  t2_store_fini(&store);
}

static void test_only_what_is_new_counts_as_a_change(void **state) {
  t2_store store;
  bool changed;
  t2_store_init(&store, NULL, &limits);
  announce(&store, "e-1", "gate", "https://h:1", at_ms(0), &changed);
  store.dirty = false;
  assert_int_equal(announce(&store, "e-1", "gate", "https://h:1", at_ms(5), &changed), 0);
  assert_false(changed);
  assert_false(store.dirty);
  assert_int_equal(announce(&store, "e-1", "gate", "https://h:2", at_ms(5), &changed), 0);
  assert_true(changed);
  assert_string_equal(t2_store_entry_find(&store, T2_STR("e-1"))->uplink, "https://h:2");
  assert_int_equal(store.entries.count, 1);
  t2_store_fini(&store);
}

static void test_an_entry_of_another_owner_is_not_replaced(void **state) {
  t2_store store;
  bool changed;
  t2_store_init(&store, NULL, &limits);
  announce(&store, "e-1", "gate", "https://h:1", at_ms(0), &changed);
  assert_int_equal(announce(&store, "e-1", "thief", "https://evil:1", at_ms(0), &changed), T2_ERR_CONFLICT);
  assert_false(changed);
  assert_string_equal(t2_store_entry_find(&store, T2_STR("e-1"))->uplink, "https://h:1");
  t2_store_fini(&store);
}

static void test_the_number_of_entries_is_bounded(void **state) {
  t2_store store;
  bool changed;
  t2_store_limits wild = limits;
  wild.entries_max = UINT32_MAX;
  t2_store_init(&store, NULL, &wild);
  announce_many(&store, T2_STORE_ENTRIES_MAX);
  assert_int_equal(announce(&store, "one-more", "gate", "https://h:1", at_ms(0), &changed),
                   T2_ERR_UNAVAILABLE);
  assert_int_equal(announce(&store, "entry-0", "gate", "https://h:9", at_ms(0), &changed), 0);
  t2_store_fini(&store);
}

static void test_leases_of_entries_end_in_the_order_of_renewal(void **state) {
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  announce_many(&store, 2);
  t2_store_entry *first = t2_store_entry_find(&store, T2_STR("entry-0"));
  t2_store_entry *second = t2_store_entry_find(&store, T2_STR("entry-1"));
  t2_store_entry_renew(&store, first, at_ms(10));
  assert_null(t2_store_entry_lapsed(&store, at_ms(LEASE_MS - 1)));
  assert_ptr_equal(t2_store_entry_lapsed(&store, at_ms(LEASE_MS)), second);
  t2_store_entry_remove(&store, second);
  assert_null(t2_store_entry_lapsed(&store, at_ms(LEASE_MS)));
  assert_ptr_equal(t2_store_entry_lapsed(&store, at_ms(LEASE_MS + 10)), first);
  t2_store_entry_remove(&store, first);
  assert_null(t2_store_entry_lapsed(&store, at_ms(UINT64_MAX)));
  assert_int_equal(store.entries.count, 0);
  t2_store_fini(&store);
}

static void test_the_list_is_in_order_and_by_owner(void **state) {
  t2_store store;
  bool changed;
  t2_store_init(&store, NULL, &limits);
  announce(&store, "e-b", "gate", "https://h:1", at_ms(0), &changed);
  announce(&store, "e-a", "other", "https://h:1", at_ms(0), &changed);
  announce(&store, "e-c", "gate", "https://h:1", at_ms(0), &changed);
  const t2_store_entry *entry = t2_store_next_entry(&store, 0, "gate");
  assert_string_equal(entry->id, "e-b");
  assert_string_equal(t2_store_next_entry(&store, entry->sequence, NULL)->id, "e-a");
  entry = t2_store_next_entry(&store, entry->sequence, "gate");
  assert_string_equal(entry->id, "e-c");
  assert_null(t2_store_next_entry(&store, entry->sequence, NULL));
  t2_store_fini(&store);
}

/* ---- A session's entries ---- */

static void test_few_entries_are_all_a_sessions(void **state) {
  const t2_store_entry *out[T2_MESSAGE_ENTRIES_MAX];
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  assert_int_equal(t2_store_entries_of(&store, T2_STR("web"), out), 0);
  announce_many(&store, T2_MESSAGE_ENTRIES_MAX);
  assert_int_equal(t2_store_entries_of(&store, T2_STR("web"), out), T2_MESSAGE_ENTRIES_MAX);
  for (size_t i = 0; i < T2_MESSAGE_ENTRIES_MAX; i++)
    for (size_t j = 0; j < i; j++)
      assert_ptr_not_equal(out[i], out[j]);
  t2_store_fini(&store);
}

static bool is_among(const t2_store_entry *const *list, size_t n, const t2_store_entry *entry) {
  for (size_t i = 0; i < n; i++)
    if (list[i] == entry) return true;
  return false;
}

static void test_of_many_entries_a_session_keeps_those_that_live(void **state) {
  const t2_store_entry *before[T2_MESSAGE_ENTRIES_MAX], *after[T2_MESSAGE_ENTRIES_MAX];
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  announce_many(&store, 100);
  assert_int_equal(t2_store_entries_of(&store, T2_STR("web"), before), T2_MESSAGE_ENTRIES_MAX);
  t2_store_entry *lost = t2_store_entry_find(&store, t2_str_c(before[3]->id));
  t2_store_entry_remove(&store, lost);
  assert_int_equal(t2_store_entries_of(&store, T2_STR("web"), after), T2_MESSAGE_ENTRIES_MAX);
  for (size_t i = 0; i < T2_MESSAGE_ENTRIES_MAX; i++)
    if (i != 3) assert_true(is_among(after, T2_MESSAGE_ENTRIES_MAX, before[i]));
  t2_store_fini(&store);
}

static void test_sessions_spread_over_many_entries(void **state) {
  const t2_store_entry *out[T2_MESSAGE_ENTRIES_MAX];
  size_t used = 0;
  char id[32];
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  announce_many(&store, 64);
  for (unsigned i = 0; i < 100; i++) {
    snprintf(id, sizeof(id), "session-%u", i);
    size_t n = t2_store_entries_of(&store, t2_str_c(id), out);
    for (size_t j = 0; j < n; j++)
      t2_store_entry_find(&store, t2_str_c(out[j]->id))->requests++;
  }
  T2_LIST_FOREACH(node, next, &store.entry_order) {
    uint64_t chosen = T2_LIST_ENTRY(node, t2_store_entry, order)->requests;
    assert_true(chosen < 60); /* 25 on average */
    used += chosen > 0;
  }
  assert_int_equal(used, 64);
  t2_store_fini(&store);
}

static void announce_two(t2_test_mem *mem, void *user) {
  t2_store store;
  bool changed;
  t2_store_init(&store, &mem->hook, &limits);
  int first = announce(&store, "e-1", "gate", "https://h:1", at_ms(0), &changed);
  assert_true(first == 0 || (first == T2_ERR_NOMEM && !changed && store.entries.count == 0));
  int second = announce(&store, "e-2", "gate", "https://h:1", at_ms(0), &changed);
  assert_int_equal(store.entries.count, (first == 0) + (second == 0));
  t2_store_fini(&store);
}

static void test_each_allocation_may_fail(void **state) {
  assert_true(t2_test_mem_fail_each(announce_two, NULL) > 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_announcement_is_kept_and_found),
      cmocka_unit_test(test_only_what_is_new_counts_as_a_change),
      cmocka_unit_test(test_an_entry_of_another_owner_is_not_replaced),
      cmocka_unit_test(test_the_number_of_entries_is_bounded),
      cmocka_unit_test(test_leases_of_entries_end_in_the_order_of_renewal),
      cmocka_unit_test(test_the_list_is_in_order_and_by_owner),
      cmocka_unit_test(test_few_entries_are_all_a_sessions),
      cmocka_unit_test(test_of_many_entries_a_session_keeps_those_that_live),
      cmocka_unit_test(test_sessions_spread_over_many_entries),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
