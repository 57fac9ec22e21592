#include <base/mem.h>
#include <control/store.h>
#include <tunnel2/error.h>

/* The store's entries; its sessions are in store.c. */

static void copy_text(char *out, t2_str s) {
  if (s.n) memcpy(out, s.p, s.n);
  out[s.n] = '\0';
}

static t2_store_entry *entry_new(t2_store *store, t2_str id, const char *owner, t2_moment now) {
  t2_store_entry *entry = t2_calloc(store->mem, 1, sizeof(*entry));

  if (!entry) return NULL;
  if (t2_map_set(&store->entries, id, entry)) {
    t2_free(store->mem, entry);
    return NULL;
  }
  copy_text(entry->id, id);
  copy_text(entry->owner, t2_str_c(owner));
  entry->created_at = now.wall;
  entry->sequence = store->next_sequence++;
  t2_list_push_back(&store->entry_order, &entry->order);
  t2_list_init(&entry->lease);
  return entry;
}

static bool replace_text(char *kept, t2_str text) {
  if (t2_str_eq(t2_str_c(kept), text)) return false;
  copy_text(kept, text);
  return true;
}

int t2_store_announce(t2_store *store, const t2_announcement *announcement, const char *owner, t2_moment now,
                      t2_store_entry **out, bool *changed) {
  t2_store_entry *entry = t2_map_get(&store->entries, announcement->id);

  *changed = false;
  if (entry && strcmp(entry->owner, owner) != 0) return T2_ERR_CONFLICT;
  if (!entry && store->entries.count >= store->limits.entries_max) return T2_ERR_UNAVAILABLE;
  if (!entry && !(entry = entry_new(store, announcement->id, owner, now))) return T2_ERR_NOMEM;
  *changed |= replace_text(entry->uplink, announcement->uplink);
  *changed |= replace_text(entry->public_url, announcement->public_url);
  *changed |= replace_text(entry->domain, announcement->domain);
  *changed |= replace_text(entry->public_tls, announcement->public_tls);
  if (*changed) store->dirty = true;
  t2_store_entry_renew(store, entry, now);
  *out = entry;
  return 0;
}

t2_store_entry *t2_store_entry_find(const t2_store *store, t2_str id) {
  return t2_map_get(&store->entries, id);
}

void t2_store_entry_renew(t2_store *store, t2_store_entry *entry, t2_moment now) {
  entry->lease_until = now.mono_ms + store->limits.lease_ms;
  t2_list_remove(&entry->lease);
  t2_list_push_back(&store->entry_leases, &entry->lease);
}

t2_store_entry *t2_store_entry_lapsed(const t2_store *store, t2_moment now) {
  if (t2_list_empty(&store->entry_leases)) return NULL;
  t2_store_entry *entry = T2_LIST_ENTRY(store->entry_leases.next, t2_store_entry, lease);
  return entry->lease_until <= now.mono_ms ? entry : NULL;
}

void t2_store_entry_remove(t2_store *store, t2_store_entry *entry) {
  t2_map_del(&store->entries, t2_str_c(entry->id));
  t2_list_remove(&entry->order);
  t2_list_remove(&entry->lease);
  t2_free(store->mem, entry);
  store->dirty = true;
}

t2_store_entry *t2_store_next_entry(const t2_store *store, uint64_t after, const char *owner) {
  T2_LIST_FOREACH(node, next, &store->entry_order) {
    t2_store_entry *entry = T2_LIST_ENTRY(node, t2_store_entry, order);
    if (entry->sequence > after && (!owner || strcmp(entry->owner, owner) == 0)) return entry;
  }
  return NULL;
}

/* What an entry bids for a session: alike for the same pair at any time and in any process. */
static uint64_t bid(t2_str session, const t2_store_entry *entry) {
  const uint64_t key[2] = {0, 0};
  uint64_t of_session = t2_siphash(key, session.p, session.n);
  const uint64_t session_key[2] = {of_session, 1};

  return t2_siphash(session_key, entry->id, strlen(entry->id));
}

size_t t2_store_entries_of(const t2_store *store, t2_str session,
                           const t2_store_entry *out[T2_MESSAGE_ENTRIES_MAX]) {
  uint64_t bids[T2_MESSAGE_ENTRIES_MAX];
  size_t n = 0;

  T2_LIST_FOREACH(node, next, &store->entry_order) {
    const t2_store_entry *entry = T2_LIST_ENTRY(node, t2_store_entry, order);
    uint64_t offered = bid(session, entry);
    /* The best bids so far, in falling order. */
    size_t at = n;
    while (at > 0 && bids[at - 1] < offered)
      at--;
    if (at == T2_MESSAGE_ENTRIES_MAX) continue;
    if (n < T2_MESSAGE_ENTRIES_MAX) n++;
    for (size_t i = n - 1; i > at; i--)
      out[i] = out[i - 1];
    memmove(&bids[at + 1], &bids[at], (n - 1 - at) * sizeof(bids[0]));
    out[at] = entry;
    bids[at] = offered;
  }
  return n;
}
