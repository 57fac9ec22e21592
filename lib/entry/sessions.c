#include <entry/sessions.h>
#include <tunnel2/error.h>

void t2_entry_sessions_init(t2_entry_sessions *sessions, const t2_allocator *mem) {
  *sessions = (t2_entry_sessions){.mem = mem, .idle_max = T2_ENTRY_IDLE_SESSIONS_MAX};
  t2_map_init(&sessions->map, mem);
  t2_map_init(&sessions->hosts, mem);
  t2_list_init(&sessions->idle);
}

static void release_port(t2_entry_sessions *sessions, t2_entry_session *session) {
  if (session->port) sessions->on_port_unneeded(session);
}

static void release_hosts(t2_entry_sessions *sessions, const t2_entry_session *session) {
  for (size_t i = 0; session->guard && i < session->guard->terms.hostname_count; i++) {
    t2_str host = t2_str_c(session->guard->terms.hostnames[i]);
    if (t2_map_get(&sessions->hosts, host) == session) t2_map_del(&sessions->hosts, host);
  }
}

static void forget(t2_entry_sessions *sessions, t2_entry_session *session) {
  release_port(sessions, session);
  release_hosts(sessions, session);
  if (session->waiting) sessions->on_forget(session);
  if (t2_list_linked(&session->idle)) sessions->idle_count--;
  t2_list_remove(&session->idle);
  t2_map_del(&sessions->map, t2_str_c(session->id));
  t2_free(sessions->mem, session->guard);
  t2_free(sessions->mem, session->limits);
  t2_free(sessions->mem, session->uplinks);
  t2_free(sessions->mem, session);
}

void t2_entry_sessions_fini(t2_entry_sessions *sessions) {
  T2_LIST_FOREACH(node, next, &sessions->idle)
  forget(sessions, T2_LIST_ENTRY(node, t2_entry_session, idle));
  t2_map_fini(&sessions->map);
  t2_map_fini(&sessions->hosts);
}

t2_entry_session *t2_entry_sessions_find(t2_entry_sessions *sessions, t2_str id, uint64_t now_ms) {
  t2_entry_session *session = t2_map_get(&sessions->map, id);
  if (!session || !t2_list_linked(&session->idle) || now_ms < session->known_until_ms) return session;
  forget(sessions, session);
  return NULL;
}

t2_entry_session *t2_entry_sessions_by_host(t2_entry_sessions *sessions, t2_str host, uint64_t now_ms) {
  const t2_entry_session *session = host.n ? t2_map_get(&sessions->hosts, host) : NULL;
  return session ? t2_entry_sessions_find(sessions, t2_str_c(session->id), now_ms) : NULL;
}

void t2_entry_sessions_sweep(t2_entry_sessions *sessions, uint64_t now_ms) {
  T2_LIST_FOREACH(node, next, &sessions->idle) {
    t2_entry_session *session = T2_LIST_ENTRY(node, t2_entry_session, idle);
    if (now_ms >= session->known_until_ms) forget(sessions, session);
  }
}

/* In use: not in the list of those that may be forgotten. */
static void use(t2_entry_sessions *sessions, t2_entry_session *session) {
  if (!t2_list_linked(&session->idle)) return;
  t2_list_remove(&session->idle);
  sessions->idle_count--;
}

static void rest(t2_entry_sessions *sessions, t2_entry_session *session) {
  if (session->uplink_count || session->remote_count || session->active) return;
  t2_list_push_back(&sessions->idle, &session->idle);
  sessions->idle_count++;
  if (sessions->idle_count > sessions->idle_max)
    forget(sessions, T2_LIST_ENTRY(sessions->idle.next, t2_entry_session, idle));
}

static t2_entry_session *take(t2_entry_sessions *sessions, const char *id) {
  t2_entry_session *session = t2_map_get(&sessions->map, t2_str_c(id));
  if (session) return session;
  session = t2_calloc(sessions->mem, 1, sizeof(*session));
  if (!session) return NULL;
  t2_list_init(&session->idle);
  t2_list_init(&session->flows);
  t2_list_init(&session->remotes);
  memcpy(session->id, id, strlen(id) + 1);
  if (t2_map_set(&sessions->map, t2_str_c(id), session) == 0) return session;
  t2_free(sessions->mem, session);
  return NULL;
}

/* A name that was given up may have been taken again for something else. */
static int settle_kind(t2_entry_sessions *sessions, t2_entry_session *session, t2_kind kind) {
  if (session->kind == kind) return 0;
  if (session->uplink_count || session->remote_count) return T2_ERR_STATE;
  release_port(sessions, session);
  session->kind = kind;
  return 0;
}

static int make_room(t2_entry_sessions *sessions, t2_entry_session *session) {
  if (session->max_uplinks && session->uplink_count + session->remote_count >= session->max_uplinks)
    return T2_ERR_CONFLICT;
  if (session->uplink_count >= T2_ENTRY_UPLINKS_PER_SESSION_MAX) return T2_ERR_LIMIT;
  if (session->uplink_count < session->uplink_cap) return 0;
  size_t cap = session->uplink_cap ? session->uplink_cap * 2 : 2;
  t2_entry_uplink **uplinks = t2_realloc(sessions->mem, session->uplinks, cap * sizeof(t2_entry_uplink *));
  if (!uplinks) return T2_ERR_NOMEM;
  session->uplinks = uplinks;
  session->uplink_cap = cap;
  return 0;
}

/* A name may have gone to another session meanwhile, whose ticket is newer then. */
static int take_hosts(t2_entry_sessions *sessions, t2_entry_session *session) {
  const t2_guard *guard = session->guard;
  int err = 0;
  for (size_t i = 0; err == 0 && i < guard->terms.hostname_count; i++) {
    t2_str host = t2_str_c(guard->terms.hostnames[i]);
    const t2_entry_session *holder = t2_map_get(&sessions->hosts, host);
    if (!holder || holder->guard->issued_at <= guard->issued_at)
      err = t2_map_set(&sessions->hosts, host, session);
  }
  return err;
}

/* Terms that were given up stay as empty ones: an older ticket does not bring them back. */
static int set_guard(t2_entry_sessions *sessions, t2_entry_session *session, const t2_ticket *ticket) {
  if (!session->guard) {
    if (t2_terms_empty(&ticket->terms)) return 0;
    session->guard = t2_calloc(sessions->mem, 1, sizeof(*session->guard));
    if (!session->guard) return T2_ERR_NOMEM;
  }
  release_hosts(sessions, session);
  t2_guard_set(session->guard, &ticket->terms, ticket->issued_at);
  return take_hosts(sessions, session);
}

/* The session as the ticket has it, with room for one more uplink if that is wanted. */
static int learn(t2_entry_sessions *sessions, const t2_ticket *ticket, uint64_t expires_ms, bool room,
                 t2_entry_session **out) {
  t2_entry_session *session = take(sessions, ticket->session);
  if (!session) return T2_ERR_NOMEM;
  use(sessions, session);
  int err = settle_kind(sessions, session, ticket->kind);
  if (err == 0) {
    session->max_uplinks = ticket->max_uplinks;
    session->max_streams = ticket->max_streams;
    if (room) err = make_room(sessions, session);
  }
  if (err == 0) err = set_guard(sessions, session, ticket);
  if (err) {
    if (session->known_until_ms == 0)
      forget(sessions, session);
    else
      rest(sessions, session);
    return err;
  }
  if (session->known_until_ms < expires_ms) session->known_until_ms = expires_ms;
  *out = session;
  return 0;
}

int t2_entry_sessions_attach(t2_entry_sessions *sessions, const t2_ticket *ticket, uint64_t expires_ms,
                             t2_entry_uplink *uplink, t2_entry_session **out) {
  int err = learn(sessions, ticket, expires_ms, true, out);
  if (err == 0) (*out)->uplinks[(*out)->uplink_count++] = uplink;
  return err;
}

int t2_entry_sessions_note(t2_entry_sessions *sessions, const t2_ticket *ticket, uint64_t expires_ms,
                           t2_entry_session **out) {
  int err = learn(sessions, ticket, expires_ms, false, out);
  if (err == 0) rest(sessions, *out);
  return err;
}

void t2_entry_sessions_join(t2_entry_sessions *sessions, t2_entry_session *session) {
  use(sessions, session);
  session->remote_count++;
}

void t2_entry_sessions_part(t2_entry_sessions *sessions, t2_entry_session *session) {
  session->remote_count--;
  rest(sessions, session);
}

void t2_entry_sessions_detach(t2_entry_sessions *sessions, t2_entry_session *session,
                              const t2_entry_uplink *uplink) {
  for (size_t i = 0; i < session->uplink_count; i++) {
    if (session->uplinks[i] != uplink) continue;
    session->uplinks[i] = session->uplinks[--session->uplink_count];
    rest(sessions, session);
    return;
  }
}

void t2_entry_sessions_ended(t2_entry_sessions *sessions, t2_str id) {
  t2_entry_session *session = t2_map_get(&sessions->map, id);
  if (session) session->known_until_ms = 1; /* long past; 0 is of one that has never had an uplink */
}

void t2_entry_session_begin(t2_entry_sessions *sessions, t2_entry_session *session) {
  use(sessions, session);
  session->active++;
}

void t2_entry_session_end(t2_entry_sessions *sessions, t2_entry_session *session) {
  session->active--;
  rest(sessions, session);
}
