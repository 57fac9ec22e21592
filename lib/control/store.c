#include <control/store.h>
#include <tunnel2/error.h>

void t2_store_init(t2_store *store, const t2_allocator *mem, const t2_store_limits *limits) {
  *store = (t2_store){.mem = mem, .limits = *limits, .next_sequence = 1, .next_revocation = 1};
  if (store->limits.entries_max > T2_STORE_ENTRIES_MAX) store->limits.entries_max = T2_STORE_ENTRIES_MAX;
  t2_map_init(&store->sessions, mem);
  t2_map_init(&store->entries, mem);
  t2_map_init(&store->owners, mem);
  t2_map_init(&store->hostnames, mem);
  t2_list_init(&store->live);
  t2_list_init(&store->past);
  t2_list_init(&store->session_leases);
  t2_list_init(&store->parked_leases);
  t2_list_init(&store->revocations);
  t2_list_init(&store->entry_order);
  t2_list_init(&store->entry_leases);
}

static void free_values(const t2_allocator *mem, t2_map *map) {
  size_t at = 0;
  void *value;

  while (t2_map_each(map, &at, NULL, &value))
    t2_free(mem, value);
  t2_map_fini(map);
}

void t2_store_fini(t2_store *store) {
  size_t at = 0;
  void *session;

  while (t2_map_each(&store->sessions, &at, NULL, &session))
    t2_free(store->mem, ((t2_session *)session)->terms);
  free_values(store->mem, &store->sessions);
  free_values(store->mem, &store->entries);
  free_values(store->mem, &store->owners);
  t2_map_fini(&store->hostnames);
}

static void copy_text(char *out, t2_str s) {
  if (s.n) memcpy(out, s.p, s.n);
  out[s.n] = '\0';
}

/* ---- Owners ---- */

static t2_owner *owner_take(t2_store *store, t2_str name) {
  t2_owner *owner = t2_map_get(&store->owners, name);

  if (owner) return owner;
  if (name.n == 0 || name.n > T2_OWNER_MAX) return NULL;
  owner = t2_calloc(store->mem, 1, sizeof(*owner));
  if (!owner) return NULL;
  copy_text(owner->name, name);
  if (t2_map_set(&store->owners, name, owner) == 0) return owner;
  t2_free(store->mem, owner);
  return NULL;
}

static void owner_drop_if_idle(t2_store *store, t2_owner *owner) {
  if (owner->live || owner->past) return;
  t2_map_del(&store->owners, t2_str_c(owner->name));
  t2_free(store->mem, owner);
}

/* ---- Between live and past ---- */

static void make_live(t2_store *store, t2_session *session, t2_moment now) {
  session->live = true;
  session->sequence = store->next_sequence++;
  session->lease_until = now.mono_ms + store->limits.lease_ms;
  t2_list_push_back(&store->live, &session->order);
  t2_list_push_back(&store->session_leases, &session->lease);
  store->live_count++;
  session->owner->live++;
  store->dirty = true;
}

static void release_hostnames(t2_store *store, const t2_session *session) {
  for (size_t i = 0; session->terms && i < session->terms->hostname_count; i++) {
    t2_str name = t2_str_c(session->terms->hostnames[i]);
    if (t2_map_get(&store->hostnames, name) == session) t2_map_del(&store->hostnames, name);
  }
}

static int claim_hostnames(t2_store *store, t2_session *session) {
  int rc = 0;

  for (size_t i = 0; session->terms && rc == 0 && i < session->terms->hostname_count; i++)
    rc = t2_map_set(&store->hostnames, t2_str_c(session->terms->hostnames[i]), session);
  return rc;
}

bool t2_store_hostnames_free(const t2_store *store, const t2_terms *terms, const char *owner) {
  for (size_t i = 0; i < terms->hostname_count; i++) {
    const t2_session *holder = t2_map_get(&store->hostnames, t2_str_c(terms->hostnames[i]));
    if (holder && strcmp(holder->owner->name, owner) != 0) return false;
  }
  return true;
}

static void leave_live(t2_store *store, t2_session *session) {
  release_hostnames(store, session);
  t2_store_forget_parked(store, session);
  session->live = false;
  session->parked_lease = false;
  t2_list_remove(&session->order);
  t2_list_remove(&session->lease);
  store->live_count--;
  session->owner->live--;
  store->dirty = true;
}

static void make_past(t2_store *store, t2_session *session) {
  t2_list_push_back(&store->past, &session->order);
  store->past_count++;
  session->owner->past++;
}

static void leave_past(t2_store *store, t2_session *session) {
  t2_list_remove(&session->order);
  store->past_count--;
  session->owner->past--;
}

/* A record that is neither live nor past. */
static void record_free(t2_store *store, t2_session *session) {
  t2_list_remove(&session->revoked);
  t2_map_del(&store->sessions, t2_str_c(session->id));
  owner_drop_if_idle(store, session->owner);
  t2_free(store->mem, session->terms);
  t2_free(store->mem, session);
}

static t2_session *record_new(t2_store *store, t2_str id, t2_str owner) {
  t2_session *session = t2_calloc(store->mem, 1, sizeof(*session));

  if (!session) return NULL;
  session->owner = owner_take(store, owner);
  t2_list_init(&session->order);
  t2_list_init(&session->lease);
  t2_list_init(&session->revoked);
  t2_list_init(&session->channels);
  copy_text(session->id, id);
  if (session->owner && t2_map_set(&store->sessions, id, session) == 0) return session;
  if (session->owner) owner_drop_if_idle(store, session->owner);
  t2_free(store->mem, session);
  return NULL;
}

/* ---- Tickets that are void ---- */

static bool has_good_tickets(const t2_session *session) {
  return session->last_issued && session->last_issued >= session->void_before;
}

static void number_revocation(t2_store *store, t2_session *session) {
  session->revocation = store->next_revocation++;
  t2_list_remove(&session->revoked);
  t2_list_push_back(&store->revocations, &session->revoked);
}

static void make_void(t2_store *store, t2_session *session) {
  if (!has_good_tickets(session)) return;
  session->void_before = session->last_issued + 1;
  session->void_until = session->last_expires + T2_TICKET_LEEWAY_SECONDS;
  number_revocation(store, session);
  store->dirty = true;
}

const t2_session *t2_store_next_revocation(const t2_store *store, uint64_t after) {
  const t2_list *found = NULL;

  /* From the newest: what is asked for is mostly near it. */
  for (const t2_list *node = store->revocations.prev; node != &store->revocations; node = node->prev) {
    if (T2_LIST_ENTRY(node, t2_session, revoked)->revocation <= after) break;
    found = node;
  }
  return found ? T2_LIST_ENTRY(found, t2_session, revoked) : NULL;
}

const t2_session *t2_store_following_revocation(const t2_store *store, const t2_session *session) {
  const t2_list *next = session->revoked.next;

  return next == &store->revocations ? NULL : T2_LIST_ENTRY(next, t2_session, revoked);
}

/* A ticket that is alive now lives for so long, whatever the wall's clock says meanwhile. */
static void note_alive(const t2_store *store, t2_session *session, t2_moment now) {
  session->alive_until = now.mono_ms + (store->limits.ticket_seconds + T2_TICKET_LEEWAY_SECONDS) * 1000ull;
}

/* By both clocks: one that jumps ahead makes no ticket void. */
static bool outlived(const t2_session *session, int64_t until, t2_moment now) {
  return now.wall > until && now.mono_ms > session->alive_until;
}

static void past_free_if_moot(t2_store *store, t2_session *session, t2_moment now) {
  if (t2_list_linked(&session->revoked)) return;
  if (has_good_tickets(session) && !outlived(session, session->last_expires + T2_TICKET_LEEWAY_SECONDS, now))
    return;
  leave_past(store, session);
  record_free(store, session);
  store->dirty = true;
}

void t2_store_sweep(t2_store *store, t2_moment now) {
  T2_LIST_FOREACH(node, next, &store->revocations) {
    const t2_session *session = T2_LIST_ENTRY(node, t2_session, revoked);
    if (outlived(session, session->void_until, now)) t2_list_remove(node);
  }
  T2_LIST_FOREACH(node, next, &store->past) {
    past_free_if_moot(store, T2_LIST_ENTRY(node, t2_session, order), now);
  }
}

/* ---- Sessions ---- */

/* Small limits on live sessions must not make a name that is given up and taken again run into one. */
static uint32_t past_max(uint32_t live_max) {
  return live_max < T2_STORE_PAST_MIN ? T2_STORE_PAST_MIN : live_max;
}

/* May this owner have one more? `revive`: of a past one. Past ones count on their own, since each is kept
 * until its tickets have run out. */
static int check_room(const t2_store *store, t2_str owner_name, bool revive) {
  const t2_owner *owner = t2_map_get(&store->owners, owner_name);
  uint32_t own_max = store->limits.sessions_per_owner_max, max = store->limits.sessions_max;

  if (owner && owner->live >= own_max) return T2_ERR_LIMIT;
  if (owner && !revive && owner->past >= past_max(own_max)) return T2_ERR_LIMIT;
  if (store->live_count >= max) return T2_ERR_UNAVAILABLE;
  if (!revive && store->past_count >= past_max(max)) return T2_ERR_UNAVAILABLE;
  return 0;
}

static int session_revive(t2_store *store, t2_session *session, t2_str owner_name, bool *revoked) {
  t2_owner *owner = owner_take(store, owner_name);

  if (!owner) return T2_ERR_NOMEM;
  leave_past(store, session);
  if (owner != session->owner) {
    uint64_t last = store->next_revocation;
    make_void(store, session);
    *revoked = store->next_revocation != last;
    owner_drop_if_idle(store, session->owner);
    session->owner = owner;
  }
  return 0;
}

int t2_store_register(t2_store *store, t2_str id, const char *owner, t2_moment now, t2_session **out,
                      bool *revoked) {
  t2_session *session = t2_map_get(&store->sessions, id);
  int rc;

  *revoked = false;
  if (session && session->live) {
    if (strcmp(session->owner->name, owner) != 0) return T2_ERR_CONFLICT;
    t2_store_renew(store, session, now);
    *out = session;
    return 0;
  }
  if ((rc = check_room(store, t2_str_c(owner), session != NULL))) return rc;
  if (session)
    rc = session_revive(store, session, t2_str_c(owner), revoked);
  else if (!(session = record_new(store, id, t2_str_c(owner))))
    rc = T2_ERR_NOMEM;
  if (rc) return rc;
  session->created_at = now.wall;
  session->now = (t2_report){0};
  make_live(store, session, now);
  *out = session;
  return 0;
}

/* Mostly there are none. */
static int set_terms(t2_store *store, t2_session *session, const t2_terms *terms) {
  static const t2_terms none;
  t2_terms *kept = session->terms;

  if (!terms) terms = &none;
  if (t2_terms_equal(kept ? kept : &none, terms)) return 0;
  if (t2_terms_empty(terms)) {
    t2_free(store->mem, kept);
    session->terms = NULL;
  } else {
    if (!kept) kept = t2_alloc(store->mem, sizeof(*kept));
    if (!kept) return T2_ERR_NOMEM;
    *kept = *terms;
    session->terms = kept;
  }
  store->dirty = true;
  return 0;
}

int t2_store_describe(t2_store *store, t2_session *session, t2_kind kind, uint16_t port,
                      const t2_terms *terms) {
  release_hostnames(store, session);
  int rc = set_terms(store, session, terms);
  if (rc == 0) rc = claim_hostnames(store, session);
  if (rc || (session->kind == kind && session->port == port)) return rc;
  session->kind = kind;
  session->port = port;
  store->dirty = true;
  return 0;
}

t2_session *t2_store_session(const t2_store *store, t2_str id) {
  t2_session *session = t2_map_get(&store->sessions, id);

  return session && session->live ? session : NULL;
}

const t2_session *t2_store_removed(const t2_store *store, t2_str id) {
  const t2_session *session = t2_map_get(&store->sessions, id);

  return session && !session->live && session->void_before > session->last_issued ? session : NULL;
}

void t2_store_renew(t2_store *store, t2_session *session, t2_moment now) {
  uint64_t until = now.mono_ms + store->limits.lease_ms;

  if (session->parked_lease && session->lease_until > until) return; /* others are parked */
  if (session->parked_lease) t2_store_forget_parked(store, session);
  session->parked_lease = false;
  session->lease_until = until;
  t2_list_remove(&session->lease);
  t2_list_push_back(&store->session_leases, &session->lease);
}

int64_t t2_store_issue(t2_store *store, t2_session *session, t2_moment now) {
  int64_t at = now.wall;

  if (at < session->last_issued) at = session->last_issued;
  if (at < session->void_before) at = session->void_before;
  session->last_issued = at;
  if (session->last_expires < now.wall + store->limits.ticket_seconds)
    session->last_expires = now.wall + store->limits.ticket_seconds;
  note_alive(store, session, now);
  store->dirty = true;
  return at;
}

static void retire(t2_store *store, t2_session *session) {
  leave_live(store, session);
  if (has_good_tickets(session) || t2_list_linked(&session->revoked))
    make_past(store, session);
  else
    record_free(store, session);
}

void t2_store_remove(t2_store *store, t2_session *session) {
  make_void(store, session);
  retire(store, session);
}

void t2_store_lapse(t2_store *store, t2_session *session) {
  retire(store, session);
}

t2_session *t2_store_lapsed(const t2_store *store, t2_moment now) {
  const t2_list *const lists[] = {&store->session_leases, &store->parked_leases};

  for (size_t i = 0; i < T2_COUNT_OF(lists); i++) {
    if (t2_list_empty(lists[i])) continue;
    t2_session *session = T2_LIST_ENTRY(lists[i]->next, t2_session, lease);
    if (session->lease_until <= now.mono_ms) return session;
  }
  return NULL;
}

t2_session *t2_store_next_session(const t2_store *store, uint64_t after, const char *owner) {
  T2_LIST_FOREACH(node, next, &store->live) {
    t2_session *session = T2_LIST_ENTRY(node, t2_session, order);
    if (session->sequence <= after) continue;
    if (!owner || strcmp(session->owner->name, owner) == 0) return session;
  }
  return NULL;
}

t2_session *t2_store_following_session(const t2_store *store, const t2_session *session, const char *owner) {
  for (const t2_list *node = session->order.next; node != &store->live; node = node->next) {
    t2_session *following = T2_LIST_ENTRY(node, t2_session, order);
    if (!owner || strcmp(following->owner->name, owner) == 0) return following;
  }
  return NULL;
}

int t2_store_restore(t2_store *store, const t2_session *kept, t2_str owner, t2_moment now) {
  t2_str id = t2_str_c(kept->id);

  if (!t2_session_id_valid(id) || owner.n == 0 || owner.n > T2_OWNER_MAX) return T2_ERR_INVALID;
  if (t2_map_get(&store->sessions, id)) return T2_ERR_CONFLICT;
  t2_session *session = record_new(store, id, owner);
  if (!session) return T2_ERR_NOMEM;
  session->created_at = kept->created_at;
  session->last_issued = kept->last_issued;
  session->last_expires = kept->last_expires;
  session->void_before = kept->void_before;
  session->void_until = kept->void_until;
  if (kept->last_issued) note_alive(store, session, now);
  session->kind = kept->kind;
  session->port = kept->port;
  if (set_terms(store, session, kept->terms) || (kept->live && claim_hostnames(store, session))) {
    release_hostnames(store, session);
    record_free(store, session);
    return T2_ERR_NOMEM;
  }
  if (kept->void_before) number_revocation(store, session);
  if (kept->live)
    make_live(store, session, now);
  else
    make_past(store, session);
  return 0;
}
