#include <entry/remotes.h>
#include <entry/sticky.h>
#include <entry/uplinks.h>
#include <tunnel2/error.h>

static int opener_head(t2_leg *leg, const t2_head *head, bool end) {
  const t2_remote *remote = T2_CONTAINER_OF(leg, t2_remote, opener);
  return remote->open(remote, leg, head, end);
}

static void opener_closed(t2_leg *leg, int err) {
  (void)leg;
  (void)err;
}

static const t2_leg_ops opener_ops = {
    .name = "remote", .at = T2_AT_UPLINK, .head = opener_head, .closed = opener_closed};

bool t2_remotes_has(const t2_leg *leg) {
  return leg->ops == &opener_ops;
}

/* ---- Weights ---- */

static uint64_t weight_here(const t2_entry_session *session) {
  uint64_t sum = 0;
  for (size_t i = 0; i < session->uplink_count; i++)
    sum += t2_uplink_weight(session->uplinks[i]);
  return sum;
}

/* The weights of one that is going are 0. */
void t2_remotes_weigh(t2_entry_session *session) {
  uint32_t first = 0;
  session->remote_weight = 0;
  session->uneven = false;
  T2_LIST_FOREACH(node, next, &session->remotes) {
    const t2_remote *remote = T2_LIST_ENTRY(node, t2_remote, node);
    session->remote_weight += remote->weight;
    if (first == 0) first = remote->weight;
    session->uneven = session->uneven || remote->weight != first;
  }
  for (size_t i = 0; i < session->uplink_count; i++) {
    uint32_t weight = t2_uplink_weight(session->uplinks[i]);
    session->uneven = session->uneven || (weight && first && weight != first);
  }
}

bool t2_remotes_turn(const t2_entry_session *session, uint64_t random) {
  uint64_t here = weight_here(session), all = here + session->remote_weight;
  return all && random % all >= here;
}

/* ---- There, and gone ---- */

int t2_remotes_add(t2_entry_sessions *sessions, const t2_remote *given) {
  t2_remote *remote = t2_alloc(sessions->mem, sizeof(*remote));
  if (!remote) return T2_ERR_NOMEM;
  *remote = *given;
  remote->opener = (t2_leg){.ops = &opener_ops};
  t2_list_push_back(&remote->session->remotes, &remote->node);
  t2_entry_sessions_join(sessions, remote->session);
  t2_remotes_weigh(remote->session);
  return 0;
}

static void drop(t2_entry_sessions *sessions, t2_remote *remote) {
  t2_entry_session *session = remote->session;
  t2_list_remove(&remote->node);
  t2_free(sessions->mem, remote);
  t2_remotes_weigh(session);
  t2_entry_sessions_part(sessions, session);
}

bool t2_remotes_remove(t2_entry_sessions *sessions, t2_entry_session *session, unsigned worker,
                       uint64_t number) {
  T2_LIST_FOREACH(node, next, &session->remotes) {
    t2_remote *remote = T2_LIST_ENTRY(node, t2_remote, node);
    if (remote->worker != worker || remote->number != number) continue;
    drop(sessions, remote);
    return true;
  }
  return false;
}

/* No session is forgotten while they are walked through. */
void t2_remotes_clear(t2_entry_sessions *sessions) {
  size_t at = 0;
  t2_str id;
  void *value;
  sessions->idle_max = SIZE_MAX;
  while (t2_map_each(&sessions->map, &at, &id, &value)) {
    t2_entry_session *session = value;
    T2_LIST_FOREACH(node, next, &session->remotes)
    drop(sessions, T2_LIST_ENTRY(node, t2_remote, node));
  }
}

/* ---- Choosing ---- */

t2_leg *t2_remotes_pick(const t2_entry_session *session, uint64_t random) {
  uint64_t at = session->remote_weight ? random % session->remote_weight : 0;
  t2_remote *remote = NULL;
  T2_LIST_FOREACH(node, next, &session->remotes) {
    remote = T2_LIST_ENTRY(node, t2_remote, node);
    if (at < remote->weight) break;
    at -= remote->weight;
  }
  return remote ? &remote->opener : NULL;
}

t2_leg *t2_remotes_pick_by_value(const t2_entry_session *session, uint64_t hash, bool any, uint64_t fit) {
  t2_remote *best = NULL;
  T2_LIST_FOREACH(node, next, &session->remotes) {
    t2_remote *remote = T2_LIST_ENTRY(node, t2_remote, node);
    uint64_t other = t2_sticky_fit(hash, remote->instance);
    if ((any || best) && other <= fit) continue;
    best = remote;
    fit = other;
  }
  return best ? &best->opener : NULL;
}
