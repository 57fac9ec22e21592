#include <entry/remotes.h>
#include <entry/state.h>
#include <stdio.h>

/* ---- A round: mail that goes from worker to worker until all but the sender have read it ---- */

typedef struct round {
  t2_mail mail;
  t2_entry_members *all;
  unsigned left; /* workers it goes to after this one */
  void (*read)(t2_entry *entry, const struct round *round);
} round_mail;

static void pass(round_mail *r, const t2_entry_member *from) {
  t2_entry_members *all = r->all;
  bool over = r->left == 0 || !from->entry || (from->worker->number == 0 && all->halting);
  if (over) {
    t2_free(all->mem, r);
    return;
  }
  r->left--;
  t2_crew_send(all->list[(from->worker->number + 1) % all->size].worker, &r->mail);
}

/* Who is gone ends it: then all are going. */
static void on_round(t2_mail *mail, void *user) {
  round_mail *r = T2_CONTAINER_OF(mail, round_mail, mail);
  t2_entry_member *member = ((const t2_worker *)user)->part;
  if (member->entry && member->entry->state != T2_ENTRY_STATE_ENDED) r->read(member->entry, r);
  pass(r, member);
}

static void *new_round(const t2_entry *entry, size_t size,
                       void (*read)(t2_entry *entry, const round_mail *round)) {
  round_mail *r = t2_calloc(entry->loop->mem, 1, size);
  if (r) *r = (round_mail){{.open = on_round}, entry->members, entry->members->size - 1, read};
  return r;
}

/* ---- Uplinks elsewhere ---- */

typedef struct opened_round {
  round_mail round;
  t2_remote remote; /* without what is the reader's own */
  t2_ticket ticket;
} opened_round;

struct t2_uplink_farewell {
  round_mail round;
  unsigned worker;
  uint64_t number;
  char session[T2_SESSION_ID_MAX + 1];
};

static int open_remote(const t2_remote *remote, t2_leg *leg, const t2_head *head, bool end) {
  t2_entry *entry = remote->user;
  if (!entry->members) return T2_ERR_UNAVAILABLE;
  return t2_bridge_open(&entry->member->bridges, &entry->members->list[remote->worker].bridges,
                        remote->session->id, leg, head, end);
}

static void on_opened(t2_entry *entry, const round_mail *r) {
  const opened_round *opened = T2_CONTAINER_OF(r, opened_round, round);
  t2_uplinks *uplinks = &entry->uplinks;
  t2_remote remote = opened->remote;
  remote.open = open_remote;
  remote.user = entry;
  int err = t2_entry_sessions_note(&uplinks->sessions, &opened->ticket,
                                   t2_uplinks_expiry(uplinks, &opened->ticket), &remote.session);
  if (err == 0) err = t2_remotes_add(&uplinks->sessions, &remote);
  if (err) {
    t2_log_at(&entry->loop->log, WARN, "entry", "an uplink of session %s at another worker is of no use: %s",
              opened->ticket.session, t2_strerror(err));
    return;
  }
  if (uplinks->on_up) uplinks->on_up(remote.session, uplinks->user);
  t2_waiting_wake(uplinks, remote.session);
}

static void on_gone(t2_entry *entry, const round_mail *r) {
  const t2_uplink_farewell *farewell = T2_CONTAINER_OF(r, t2_uplink_farewell, round);
  t2_entry_sessions *sessions = &entry->uplinks.sessions;
  t2_entry_session *session = t2_map_get(&sessions->map, t2_str_c(farewell->session));
  if (!session) return;
  session->left_ms = t2_loop_now(entry->loop);
  (void)t2_remotes_remove(sessions, session, farewell->worker, farewell->number);
}

static t2_entry *entry_of(t2_uplinks *uplinks) {
  return T2_CONTAINER_OF(uplinks, t2_entry, uplinks);
}

static t2_uplink_farewell *opened(t2_uplinks *uplinks, const t2_entry_uplink *uplink,
                                  const t2_ticket *ticket) {
  t2_entry *entry = entry_of(uplinks);
  if (!entry->members) return NULL;
  t2_uplink_farewell *farewell = new_round(entry, sizeof(*farewell), on_gone);
  opened_round *o = new_round(entry, sizeof(*o), on_opened);
  if (!farewell || !o) {
    t2_free(entry->loop->mem, farewell);
    t2_free(entry->loop->mem, o);
    return NULL;
  }
  o->ticket = *ticket;
  o->remote = (t2_remote){.worker = entry->member->worker->number,
                          .number = t2_uplink_number(uplink),
                          .instance = t2_uplink_instance(uplink),
                          .weight = t2_uplink_weight(uplink)};
  farewell->worker = o->remote.worker;
  farewell->number = o->remote.number;
  snprintf(farewell->session, sizeof(farewell->session), "%s", ticket->session);
  pass(&o->round, entry->member);
  return farewell;
}

static void gone(t2_uplinks *uplinks, t2_uplink_farewell *farewell) {
  const t2_entry *entry = entry_of(uplinks);
  if (entry->members)
    pass(&farewell->round, entry->member);
  else
    t2_free(entry->loop->mem, farewell);
}

/* ---- Ports are the first worker's ---- */

/* A member's request for an uplink, while the port of its session is asked for. Both the member's exchange
 * and the mail keep it. */
typedef struct errand {
  t2_mail mail;
  const t2_allocator *mem;
  atomic_uint keepers;
  t2_entry_member *member;
  t2_leg leg; /* upstream, in the exchange */
  t2_entry_uplink *uplink;
  t2_server_request request;
  t2_ticket ticket;
  int err; /* what has come of it */
  uint16_t port;
  char detail[160];
} errand;

static void let_go(errand *e) {
  if (atomic_fetch_sub(&e->keepers, 1) == 1) t2_free(e->mem, e);
}

static int errand_head(t2_leg *leg, const t2_head *head, bool end) {
  (void)leg, (void)head, (void)end;
  return 0;
}

/* Its peer has gone, or this side takes too long, or it has been answered. */
static void errand_closed(t2_leg *leg, int err) {
  errand *e = T2_CONTAINER_OF(leg, errand, leg);
  (void)err;
  if (e->uplink) t2_uplinks_no_port(e->uplink);
  e->uplink = NULL;
  let_go(e);
}

static const t2_leg_ops errand_ops = {
    .name = "errand", .at = T2_AT_LOCAL, .head = errand_head, .closed = errand_closed};

static void on_port(t2_mail *mail, void *user) {
  errand *e = T2_CONTAINER_OF(mail, errand, mail);
  t2_entry_uplink *uplink = e->uplink;
  (void)user;
  e->uplink = NULL; /* not the errand's any more, whatever becomes of the exchange */
  if (uplink)
    t2_uplinks_on_port(&e->member->entry->uplinks, &e->request, uplink, &e->ticket, e->err, e->detail,
                       e->port);
  let_go(e);
}

/* On the first worker. */
static void open_port(t2_entry *entry, errand *e) {
  t2_entry_session *session;
  t2_uplinks *uplinks = &entry->uplinks;
  e->err = t2_entry_sessions_note(&uplinks->sessions, &e->ticket, t2_uplinks_expiry(uplinks, &e->ticket),
                                  &session);
  if (e->err == 0)
    e->err = t2_uplinks_open_port(uplinks, session, e->ticket.port, e->detail, sizeof(e->detail));
  if (e->err == 0) e->port = t2_entry_port_number(session);
}

static void on_errand(t2_mail *mail, void *user) {
  errand *e = T2_CONTAINER_OF(mail, errand, mail);
  t2_entry *entry = ((const t2_entry_member *)((const t2_worker *)user)->part)->entry;
  if (entry->members->halting) {
    let_go(e);
    return;
  }
  open_port(entry, e);
  e->mail.open = on_port;
  t2_crew_send(e->member->worker, &e->mail);
}

static void ask_port(t2_uplinks *uplinks, const t2_server_request *request, t2_entry_uplink *uplink,
                     const t2_ticket *ticket) {
  t2_entry *entry = entry_of(uplinks);
  errand *e = t2_calloc(entry->loop->mem, 1, sizeof(*e));
  if (!e) {
    t2_uplinks_on_port(uplinks, request, uplink, ticket, T2_ERR_NOMEM, "", 0);
    return;
  }
  e->mem = entry->loop->mem;
  atomic_init(&e->keepers, 2);
  e->member = entry->member;
  e->leg.ops = &errand_ops;
  e->uplink = uplink;
  e->request = *request;
  e->request.head = NULL;
  e->ticket = *ticket;
  e->mail.open = on_errand;
  t2_crew_send(t2_crew_worker(entry->members->crew, 0), &e->mail);
  t2_exchange_connect(request->exchange, &e->leg, request->head, request->end, NULL,
                      entry->options.header_timeout_ms);
}

/* ---- What comes over a bridge ---- */

static void on_carried_done(t2_exchange *exchange, void *user) {
  t2_entry *entry = T2_CONTAINER_OF(exchange->proxy, t2_entry, carried);
  t2_entry_session_end(&entry->uplinks.sessions, user);
}

static void refuse(t2_exchange *exchange, int err, t2_problem_at at, const char *detail) {
  t2_exchange_refuse(exchange, t2_problem_of(err, at), detail);
}

/* Where the uplinks are that the other worker knew of: or where they were, then it goes on. */
static t2_leg *leg_for(t2_uplinks *uplinks, const t2_bridge_request *request, const t2_entry_session *session,
                       bool *waits) {
  bool further = request->hops < T2_BRIDGE_HOPS_MAX;
  t2_leg *leg = NULL;
  if (t2_waiting_count(session) == 0)
    leg = further ? t2_uplinks_pick(uplinks, session, &request->head->fields)
                  : t2_uplinks_pick_here(uplinks, session, &request->head->fields);
  *waits = !leg && t2_waiting_may(uplinks, session) && (further || session->uplink_count);
  return *waits ? t2_waiting_leg(uplinks) : leg;
}

static void on_carried(const t2_bridge_request *request, void *user) {
  t2_entry *entry = user;
  t2_uplinks *uplinks = &entry->uplinks;
  t2_exchange *exchange = request->exchange;
  bool waits;
  t2_entry_session *session =
      t2_entry_sessions_find(&uplinks->sessions, t2_str_c(request->session), t2_loop_now(entry->loop));
  if (!session || entry->state == T2_ENTRY_STATE_ENDED) {
    refuse(exchange, T2_ERR_UNAVAILABLE, T2_AT_UPLINK, "nobody serves the session now");
    return;
  }
  exchange->on_done = on_carried_done;
  exchange->user = session;
  t2_entry_session_begin(&uplinks->sessions, session);
  t2_budget_earn(&session->budget);
  t2_leg *leg = leg_for(uplinks, request, session, &waits);
  if (!leg)
    refuse(exchange, T2_ERR_UNAVAILABLE, T2_AT_UPLINK, t2_waiting_why(session));
  else if (exchange->upgrade && !waits && !t2_uplinks_leg_upgrades(leg))
    refuse(exchange, T2_ERR_UNSUPPORTED, T2_AT_ORIGIN, "the session's client takes no upgrades");
  else
    t2_exchange_connect(exchange, leg, request->head, request->end, NULL, 0);
}

static void on_bridges_idle(void *user) {
  t2_entry_settled(user);
}

/* ---- Calls ---- */

static const t2_uplinks_far far_of_first = {.opened = opened, .gone = gone};
static const t2_uplinks_far far_of_second = {.opened = opened, .gone = gone, .ask_port = ask_port};

void t2_entry_open_crossing(t2_entry *entry) {
  if (!entry->members) return;
  entry->uplinks.far = t2_entry_is_second(entry) ? &far_of_second : &far_of_first;
  t2_bridges_init(&entry->member->bridges, entry->member->worker, &entry->carried, on_carried, entry);
  entry->member->bridges.on_idle = on_bridges_idle;
}

/* ---- What the first worker has been told ---- */

typedef struct text_round {
  round_mail round;
  size_t n;
  char text[];
} text_round;

static void on_keys(t2_entry *entry, const round_mail *r) {
  const text_round *keys = T2_CONTAINER_OF(r, text_round, round);
  char detail[128] = "";
  int err = t2_keys_from_jwks(&entry->keys, keys->text, keys->n, detail, sizeof(detail));
  if (err) t2_log_at(&entry->loop->log, WARN, "entry", "keys are of no use to a worker: %s", detail);
}

void t2_entry_tell_keys(t2_entry *entry, t2_str jwks) {
  if (!entry->members) return;
  text_round *keys = new_round(entry, sizeof(*keys) + jwks.n, on_keys);
  if (!keys) {
    t2_log_at(&entry->loop->log, WARN, "entry", "other workers could not be told of keys: no memory");
    return;
  }
  keys->n = jwks.n;
  memcpy(keys->text, jwks.p, jwks.n);
  pass(&keys->round, entry->member);
}

typedef struct revoked_round {
  round_mail round;
  t2_message message; /* whose texts stand behind it */
  char text[];
} revoked_round;

static void on_revoked(t2_entry *entry, const round_mail *r) {
  t2_uplinks_revoke(&entry->uplinks, &T2_CONTAINER_OF(r, revoked_round, round)->message);
}

void t2_entry_tell_revoked(t2_entry *entry, const t2_message *message) {
  if (!entry->members) return;
  revoked_round *revoked =
      new_round(entry, sizeof(*revoked) + message->session.n + message->ticket_id.n, on_revoked);
  if (!revoked) {
    t2_log_at(&entry->loop->log, WARN, "entry", "other workers could not be told of a revocation: no memory");
    return;
  }
  revoked->message.type = message->type;
  revoked->message.issued_before = message->issued_before;
  if (message->session.n) memcpy(revoked->text, message->session.p, message->session.n);
  if (message->ticket_id.n)
    memcpy(revoked->text + message->session.n, message->ticket_id.p, message->ticket_id.n);
  revoked->message.session = t2_str_of(revoked->text, message->session.n);
  revoked->message.ticket_id = t2_str_of(revoked->text + message->session.n, message->ticket_id.n);
  pass(&revoked->round, entry->member);
}

typedef struct moved_round {
  round_mail round;
  bool moved;
} moved_round;

static void on_moved(t2_entry *entry, const round_mail *r) {
  t2_entry_move(entry, T2_CONTAINER_OF(r, moved_round, round)->moved);
}

void t2_entry_tell_moved(t2_entry *entry, bool moved) {
  moved_round *m = entry->members ? new_round(entry, sizeof(*m), on_moved) : NULL;
  if (!m) return;
  m->moved = moved;
  pass(&m->round, entry->member);
}
