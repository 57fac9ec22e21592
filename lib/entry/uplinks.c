#include <base/file.h>
#include <base/random.h>
#include <entry/load.h>
#include <entry/remotes.h>
#include <entry/sticky.h>
#include <entry/uplinks.h>
#include <http/ptth.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/detail.h>
#include <wire/token.h>

/* What a request of the public may hold besides while it may still have to be asked again, and how often it
 * may be. */
#define KEEP_MAX    (64 * 1024)
#define REPEATS_MAX 3

#define CHALLENGE T2_STR("Bearer realm=\"tunnel2\"")

struct t2_entry_uplink {
  t2_list node;
  t2_uplinks *owner;
  t2_entry_session *session;
  t2_h2_conn *h2;
  bool up;                      /* the client's SETTINGS have come */
  uint64_t instance;            /* a number for its client's process */
  uint32_t weight;              /* of the session's requests, relative to its other uplinks */
  int64_t issued_at;            /* its ticket */
  uint64_t number;              /* uplinks->numbers */
  t2_uplink_farewell *farewell; /* other workers know of it; or NULL */
  bool asked;                   /* its client has been asked to dial anew */
  char ticket_id[sizeof(((t2_ticket *)0)->id)];
};

void t2_uplinks_init(t2_uplinks *uplinks, t2_proxy *proxy, const char *entry, const t2_keys *keys,
                     size_t max) {
  *uplinks = (t2_uplinks){.proxy = proxy, .entry = entry, .keys = keys, .max = max};
  t2_list_init(&uplinks->list);
  t2_revocations_init(&uplinks->revocations, proxy->loop->mem);
  t2_entry_sessions_init(&uplinks->sessions, proxy->loop->mem);
  uplinks->sessions.on_port_unneeded = t2_entry_port_close;
  t2_waiting_init(uplinks);
  t2_random_bytes(&uplinks->random, sizeof(uplinks->random));
}

void t2_uplinks_fini(t2_uplinks *uplinks) {
  t2_revocations_fini(&uplinks->revocations);
  t2_entry_sessions_fini(&uplinks->sessions);
}

/* ---- Up, and gone ---- */

/* xorshift64*: quick, and good enough to spread load. */
static uint64_t next_random(t2_uplinks *uplinks) {
  uint64_t x = uplinks->random | 1;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  uplinks->random = x;
  return x * 0x2545f4914f6cdd1dull >> 32;
}

static void note_weights(t2_entry_session *session) {
  if (session->remote_count) t2_remotes_weigh(session);
  session->heaviest = 0;
  for (size_t i = 0; i < session->uplink_count; i++)
    if (session->uplinks[i]->weight > session->heaviest) session->heaviest = session->uplinks[i]->weight;
}

/* Out of the session and the list. */
static void take_off(t2_entry_uplink *uplink) {
  t2_uplinks *uplinks = uplink->owner;
  t2_entry_session *session = uplink->session;
  session->left_ms = t2_loop_now(uplinks->proxy->loop);
  if (uplink->farewell) uplinks->far->gone(uplinks, uplink->farewell);
  uplink->weight = 0;
  note_weights(session);
  t2_entry_sessions_detach(&uplinks->sessions, session, uplink);
  t2_list_remove(&uplink->node);
  uplinks->count--;
  t2_free(uplinks->proxy->loop->mem, uplink);
}

static void on_close(t2_h2_conn *h2, int err, const char *detail, void *user) {
  t2_entry_uplink *uplink = user;
  t2_uplinks *uplinks = uplink->owner;
  (void)h2;
  t2_log_at(&uplinks->proxy->loop->log, INFO, "entry", "uplink of session %s is gone%s%s",
            uplink->session->id, err ? ": " : "",
            err == 0  ? ""
            : *detail ? detail
                      : t2_strerror(err));
  take_off(uplink);
  if (uplinks->on_gone) uplinks->on_gone(uplinks->user);
}

/* Until its SETTINGS have come it is not known what the client takes. */
static void on_capacity(t2_h2_conn *h2, void *user) {
  t2_entry_uplink *uplink = user;
  t2_uplinks *uplinks = uplink->owner;
  (void)h2;
  if (!uplink->up && uplinks->on_up) uplinks->on_up(uplink->session, uplinks->user);
  uplink->up = true;
  t2_waiting_wake(uplinks, uplink->session);
}

static void on_unprocessed(t2_h2_conn *h2, t2_leg *leg, const t2_held *request, void *user) {
  const t2_entry_uplink *uplink = user;
  (void)h2;
  t2_waiting_again(uplink->owner, uplink->session, leg, request);
}

static const t2_h2_conn_ops h2_ops = {
    .on_capacity = on_capacity, .on_unprocessed = on_unprocessed, .on_close = on_close};

static t2_str said(const t2_head *head, const char *name) {
  const t2_field *field = t2_fields_get(&head->fields, t2_str_c(name));
  return field ? field->value : T2_STR_NULL;
}

uint64_t t2_uplinks_expiry(const t2_uplinks *uplinks, const t2_ticket *ticket) {
  int64_t left = ticket->expires_at + T2_TICKET_LEEWAY_SECONDS - t2_clock_wall_ms() / 1000;
  return t2_loop_now(uplinks->proxy->loop) + (uint64_t)(left > 0 ? left : 0) * 1000;
}

static int add(t2_uplinks *uplinks, const t2_ticket *ticket, const t2_head *head, t2_entry_uplink **out) {
  const t2_allocator *mem = uplinks->proxy->loop->mem;
  uint64_t expires_ms = t2_uplinks_expiry(uplinks, ticket);
  if (uplinks->count >= uplinks->max) return T2_ERR_LIMIT;
  t2_entry_uplink *uplink = t2_calloc(mem, 1, sizeof(*uplink));
  if (!uplink) return T2_ERR_NOMEM;
  int err = t2_entry_sessions_attach(&uplinks->sessions, ticket, expires_ms, uplink, &uplink->session);
  if (err) {
    t2_free(mem, uplink);
    return err;
  }
  uplink->owner = uplinks;
  uplink->number = ++uplinks->numbers;
  uplink->weight = t2_load_weight(said(head, T2_PTTH_WEIGHT));
  note_weights(uplink->session);
  t2_str instance = said(head, T2_PTTH_INSTANCE);
  uplink->instance =
      instance.n ? t2_sticky_hash(instance) : next_random(uplinks) << 32 ^ next_random(uplinks);
  uplink->issued_at = ticket->issued_at;
  memcpy(uplink->ticket_id, ticket->id, sizeof(uplink->ticket_id));
  t2_list_push_back(&uplinks->list, &uplink->node);
  uplinks->count++;
  *out = uplink;
  return 0;
}

/* ---- The upgrade ---- */

static void refuse(const t2_server_request *request, int status, const char *detail) {
  const t2_problem *problem = t2_problem_of_status(status);
  if (status == 401)
    t2_exchange_refuse_with(request->exchange, problem, detail, T2_STR("www-authenticate"), CHALLENGE);
  else if (status == 405)
    t2_exchange_refuse_with(request->exchange, problem, detail, T2_STR("allow"), T2_STR("GET"));
  else if (status == 503)
    t2_exchange_refuse_with(request->exchange, problem, detail, T2_STR("retry-after"), T2_STR("1"));
  else
    t2_exchange_refuse(request->exchange, problem, detail);
}

static int status_of_ticket_error(int err) {
  return err == T2_ERR_FORBIDDEN ? 403 : err == T2_ERR_NOMEM ? 503 : 401;
}

/* The status to refuse with, or 0: the request shows a good ticket. */
static int check_ticket(t2_uplinks *uplinks, const t2_head *head, t2_ticket *ticket, char *detail,
                        size_t size) {
  const t2_field *authorization = t2_fields_get(&head->fields, T2_STR("authorization"));
  t2_str jwt;
  *detail = '\0';
  if (uplinks->keys->n == 0) return 503;
  if (!authorization || t2_bearer_parse(authorization->value, &jwt)) {
    t2_detail(detail, size, 0, "a ticket is needed: Authorization: Bearer TICKET");
    return 401;
  }
  int err = t2_ticket_verify(jwt, uplinks->keys, t2_str_c(uplinks->entry), t2_clock_wall_ms() / 1000, ticket,
                             detail, size);
  if (err) return status_of_ticket_error(err);
  if (!t2_revocations_covers(&uplinks->revocations, t2_str_c(ticket->session), t2_str_c(ticket->id),
                             ticket->issued_at))
    return 0;
  t2_detail(detail, size, 0, "the ticket was revoked");
  return 401;
}

static void refuse_uplink(const t2_server_request *request, int err) {
  if (err == T2_ERR_CONFLICT)
    refuse(request, 409, "the session has as many uplinks here as its ticket allows");
  else if (err == T2_ERR_STATE)
    refuse(request, 409, "the session's uplinks here are of another kind");
  else if (err == T2_ERR_LIMIT)
    refuse(request, 503, "this entry has as many uplinks as it takes");
  else
    refuse(request, 503, NULL);
}

/* ---- TCP, UDP and TLS sessions ---- */

/* T2_ERR_UNSUPPORTED: never, as this entry was started. */
int t2_uplinks_open_port(t2_uplinks *uplinks, t2_entry_session *session, uint16_t asked, char *detail,
                         size_t size) {
  bool udp = session->kind == T2_KIND_UDP;
  t2_entry_ports *ports = udp ? uplinks->udp_ports : uplinks->ports;
  if (session->kind == T2_KIND_HTTP || (session->kind == T2_KIND_TLS && uplinks->tls_port)) return 0;
  if (session->kind == T2_KIND_TLS)
    return t2_detail(detail, size, T2_ERR_UNSUPPORTED, "this entry has no port for TLS sessions");
  if (ports && ports->options.first) return t2_entry_ports_open(ports, session, asked, detail, size);
  return t2_detail(detail, size, T2_ERR_UNSUPPORTED, "this entry has no ports for %s sessions",
                   udp ? "UDP" : "TCP");
}

static void refuse_port(const t2_uplinks *uplinks, const t2_server_request *request, t2_entry_uplink *uplink,
                        int err, const char *detail) {
  t2_log_at(&uplinks->proxy->loop->log, INFO, "entry", "an uplink of session %s was refused: %s",
            uplink->session->id, detail);
  take_off(uplink);
  if (err == T2_ERR_UNSUPPORTED)
    t2_exchange_refuse_with(request->exchange, t2_problem_of_status(409), detail, T2_STR("retry-after"),
                            T2_STR("60"));
  else
    refuse(request, err == T2_ERR_CONFLICT ? 409 : 503, detail);
}

/* The 101 of a session that is not of HTTP says where it can be reached: text is kept as long as the head. */
static int add_address(const t2_uplinks *uplinks, const t2_entry_session *session, uint16_t port,
                       t2_head *answer, char *text, size_t size) {
  bool tls = session->kind == T2_KIND_TLS;
  if (tls) port = uplinks->tls_port;
  const char *host = tls ? uplinks->public_host : uplinks->ports_host;
  if (port == 0) return 0;
  snprintf(text, size, strchr(host, ':') ? "%s://[%s]:%u" : "%s://%s:%u", t2_kind_name(session->kind), host,
           (unsigned)port);
  return t2_fields_add(&answer->fields, T2_STR(T2_PTTH_ADDRESS), t2_str_c(text));
}

static void ask_anew(t2_entry_uplink *uplink) {
  uplink->asked = true;
  t2_h2_conn_reattach(uplink->h2);
}

/* Nobody took this process's place after all, and clients that were asked to dial have come to it again. */
static void let_asked_go(const t2_entry_session *session) {
  for (size_t i = 0; i < session->uplink_count; i++)
    if (session->uplinks[i]->asked) t2_h2_conn_drain(session->uplinks[i]->h2);
}

/* The exchange with the 101 ends, and the connection turns round: this side asks from here on. */
static void turn_round(t2_uplinks *uplinks, const t2_server_request *request, t2_entry_uplink *uplink,
                       const t2_ticket *ticket, uint16_t port) {
  t2_h2_conn_options options;
  t2_conn *conn = NULL;
  t2_head answer;
  char address[320];
  t2_head_init(&answer, uplinks->proxy->loop->mem);
  int err = t2_ptth_accept(&answer);
  if (err == 0) err = add_address(uplinks, uplink->session, port, &answer, address, sizeof(address));
  if (err == 0) conn = t2_h1_server_upgrade(request->h1, &answer);
  t2_head_fini(&answer);
  if (!conn) {
    take_off(uplink);
    refuse(request, err ? 503 : 400, "nothing may be sent behind the request before the answer has come");
    return;
  }
  t2_h2_conn_options_init_uplink(&options, false);
  options.keep_max = KEEP_MAX;
  options.repeats_max = REPEATS_MAX;
  options.ping_interval_ms = uplinks->ping_interval_ms;
  options.ping_timeout_ms = 2 * uplinks->ping_interval_ms;
  if (t2_h2_conn_new(&uplink->h2, uplinks->proxy, conn, &options, &h2_ops, uplink)) {
    take_off(uplink);
    return;
  }
  if (uplinks->far) uplink->farewell = uplinks->far->opened(uplinks, uplink, ticket);
  if (uplinks->far && !uplink->farewell) {
    t2_h2_conn_close(uplink->h2, T2_ERR_NOMEM); /* its client comes again */
    return;
  }
  uplinks->total++;
  if (uplinks->moved)
    ask_anew(uplink);
  else
    let_asked_go(uplink->session);
  t2_log_at(&uplinks->proxy->loop->log, INFO, "entry", "uplink of session %s is up, from %.*s",
            uplink->session->id, T2_STR_ARG(t2_conn_peer(conn)));
}

void t2_uplinks_on_port(t2_uplinks *uplinks, const t2_server_request *request, t2_entry_uplink *uplink,
                        const t2_ticket *ticket, int err, const char *detail, uint16_t port) {
  if (err)
    refuse_port(uplinks, request, uplink, err, detail);
  else
    turn_round(uplinks, request, uplink, ticket, port);
}

void t2_uplinks_no_port(t2_entry_uplink *uplink) {
  take_off(uplink);
}

/* Ports may be another worker's. */
static void settle_port(t2_uplinks *uplinks, const t2_server_request *request, t2_entry_uplink *uplink,
                        const t2_ticket *ticket) {
  char detail[160] = "";
  if (uplinks->far && uplinks->far->ask_port && t2_kind_has_port(ticket->kind)) {
    uplinks->far->ask_port(uplinks, request, uplink, ticket);
    return;
  }
  int err = t2_uplinks_open_port(uplinks, uplink->session, ticket->port, detail, sizeof(detail));
  t2_uplinks_on_port(uplinks, request, uplink, ticket, err, detail,
                     err ? 0 : t2_entry_port_number(uplink->session));
}

void t2_uplinks_on_request(t2_uplinks *uplinks, const t2_server_request *request) {
  const t2_head *head = request->head;
  t2_entry_uplink *uplink;
  t2_ticket ticket;
  const char *why;
  char detail[160];
  if (!t2_ptth_is_path(head)) {
    refuse(request, 404, "only uplinks are opened here, at " T2_PTTH_PATH);
  } else if (!t2_str_eq(head->method, T2_STR("GET"))) {
    refuse(request, 405, "an uplink is opened by GET");
  } else if (!request->h1 || !request->end || t2_ptth_check_request(head, &why)) {
    refuse(request, 400,
           request->h1 && request->end ? why : "an uplink is opened over HTTP/1.1, without content");
  } else if (uplinks->closed) {
    refuse(request, 503, "this entry is draining");
  } else {
    int status = check_ticket(uplinks, head, &ticket, detail, sizeof(detail));
    if (status) {
      t2_log_at(&uplinks->proxy->loop->log, INFO, "entry", "an uplink from %.*s was refused (%d): %s",
                T2_STR_ARG(t2_conn_peer(request->transport)), status,
                *detail ? detail : "no key is known yet");
      refuse(request, status, *detail ? detail : NULL);
      return;
    }
    int err = add(uplinks, &ticket, head, &uplink);
    if (err)
      refuse_uplink(request, err);
    else
      settle_port(uplinks, request, uplink, &ticket);
  }
}

/* ---- Use ---- */

static t2_load load_of(const t2_entry_uplink *uplink) {
  return (t2_load){.room = uplink->up ? t2_h2_conn_capacity(uplink->h2) : 0,
                   .active = uplink->up ? t2_h2_conn_active(uplink->h2) : 0,
                   .weight = uplink->weight,
                   .silent = uplink->up && t2_h2_conn_is_silent(uplink->h2)};
}

static t2_leg *leg_on(const t2_entry_uplink *uplink) {
  return uplink->up ? t2_h2_conn_leg(uplink->h2) : NULL;
}

/* One at random, by weight: those that weigh less are passed over as often as they weigh less. */
static size_t draw(t2_uplinks *uplinks, const t2_entry_session *session) {
  size_t at = 0;
  for (int tries = 0; tries < 16; tries++) {
    at = next_random(uplinks) % session->uplink_count;
    uint32_t weight = session->uplinks[at]->weight;
    if (weight == session->heaviest || next_random(uplinks) % session->heaviest < weight) break;
  }
  return at;
}

/* When the two taken at random are none to take, the best of all. */
static const t2_entry_uplink *best_of_all(const t2_entry_session *session) {
  const t2_entry_uplink *best = session->uplinks[0];
  t2_load load = load_of(best);
  for (size_t i = 1; i < session->uplink_count; i++) {
    t2_load other = load_of(session->uplinks[i]);
    if (!t2_load_prefers(&load, &other)) continue;
    best = session->uplinks[i];
    load = other;
  }
  return best;
}

/* Of the clients that can take it, the one that the value fits best; of its uplinks the less busy. */
static t2_leg *pick_by_value(const t2_entry_session *session, t2_str value, bool far) {
  const t2_entry_uplink *best = NULL;
  uint64_t hash = t2_sticky_hash(value), best_fit = 0;
  t2_load best_load = {0};
  for (size_t i = 0; i < session->uplink_count; i++) {
    const t2_entry_uplink *uplink = session->uplinks[i];
    t2_load load = load_of(uplink);
    uint64_t fit = t2_sticky_fit(hash, uplink->instance);
    if (!t2_load_is_good(&load) || (best && fit < best_fit)) continue;
    if (best && fit == best_fit && !t2_load_prefers(&best_load, &load)) continue;
    best = uplink;
    best_fit = fit;
    best_load = load;
  }
  t2_leg *other = far ? t2_remotes_pick_by_value(session, hash, best != NULL, best_fit) : NULL;
  return other ? other : best ? leg_on(best) : NULL;
}

static t2_leg *pick_any(t2_uplinks *uplinks, const t2_entry_session *session) {
  size_t n = session->uplink_count;
  if (n == 0) return NULL;
  if (n == 1) return leg_on(session->uplinks[0]);
  size_t first = draw(uplinks, session), second = next_random(uplinks) % (n - 1);
  if (second >= first) second++;
  t2_load a = load_of(session->uplinks[first]), b = load_of(session->uplinks[second]);
  bool other = t2_load_prefers(&a, &b);
  if (t2_load_is_good(other ? &b : &a)) return leg_on(session->uplinks[other ? second : first]);
  return leg_on(best_of_all(session));
}

static t2_str sticky_value(const t2_entry_session *session, const t2_fields *fields) {
  if (!fields || !session->guard || !session->guard->terms.sticky) return T2_STR_NULL;
  return t2_sticky_value(&session->guard->terms, fields);
}

t2_leg *t2_uplinks_pick_here(t2_uplinks *uplinks, const t2_entry_session *session, const t2_fields *fields) {
  t2_str value = session->uplink_count > 1 ? sticky_value(session, fields) : T2_STR_NULL;
  t2_leg *leg = value.n ? pick_by_value(session, value, false) : NULL;
  return leg ? leg : pick_any(uplinks, session);
}

bool t2_uplinks_leg_upgrades(const t2_leg *leg) {
  return t2_remotes_has(leg) || t2_h2_conn_leg_upgrades(leg);
}

/* One that is elsewhere when none is here, or when that is its turn by weight. */
static t2_leg *pick_with_remotes(t2_uplinks *uplinks, const t2_entry_session *session,
                                 const t2_fields *fields) {
  t2_str value = sticky_value(session, fields);
  t2_leg *leg = value.n ? pick_by_value(session, value, true) : NULL;
  if (leg) return leg;
  if (session->uneven && t2_remotes_turn(session, next_random(uplinks)))
    return t2_remotes_pick(session, next_random(uplinks));
  leg = pick_any(uplinks, session);
  return leg ? leg : t2_remotes_pick(session, next_random(uplinks));
}

t2_leg *t2_uplinks_pick(t2_uplinks *uplinks, const t2_entry_session *session, const t2_fields *fields) {
  return session->remote_count ? pick_with_remotes(uplinks, session, fields)
                               : t2_uplinks_pick_here(uplinks, session, fields);
}

uint64_t t2_uplink_number(const t2_entry_uplink *uplink) {
  return uplink->number;
}

uint64_t t2_uplink_instance(const t2_entry_uplink *uplink) {
  return uplink->instance;
}

uint32_t t2_uplink_weight(const t2_entry_uplink *uplink) {
  return uplink->weight;
}

t2_entry_session *t2_uplink_session(const t2_entry_uplink *uplink) {
  return uplink->session;
}

/* ---- The end ---- */

/* A TCP or UDP session that was ended gives its port back, unless a newer ticket of it has come. */
static void release_port(t2_uplinks *uplinks, const t2_message *message) {
  t2_entry_session *session =
      message->session.n ? t2_map_get(&uplinks->sessions.map, message->session) : NULL;
  if (!session || message->ticket_id.n) return;
  for (size_t i = 0; i < session->uplink_count; i++)
    if (!t2_revocations_covers(&uplinks->revocations, t2_str_c(session->id), T2_STR_NULL,
                               session->uplinks[i]->issued_at))
      return;
  t2_entry_port_close(session);
}

void t2_uplinks_revoke(t2_uplinks *uplinks, const t2_message *message) {
  const t2_log *log = &uplinks->proxy->loop->log;
  int err = t2_revocations_add(&uplinks->revocations, message, t2_clock_wall_ms() / 1000);
  if (err) t2_log_at(log, WARN, "entry", "a revocation could not be kept: %s", t2_strerror(err));
  if (message->ticket_id.n == 0) t2_entry_sessions_ended(&uplinks->sessions, message->session);
  T2_LIST_FOREACH(node, next, &uplinks->list) {
    t2_entry_uplink *uplink = T2_LIST_ENTRY(node, t2_entry_uplink, node);
    if (!t2_revocations_covers(&uplinks->revocations, t2_str_c(uplink->session->id),
                               t2_str_c(uplink->ticket_id), uplink->issued_at))
      continue;
    t2_log_at(log, INFO, "entry", "an uplink of session %s is closed: its ticket was revoked",
              uplink->session->id);
    t2_h2_conn_close(uplink->h2, T2_ERR_CLOSED); /* of what is under way: the client is lost */
  }
  release_port(uplinks, message);
}

void t2_uplinks_reattach(t2_uplinks *uplinks) {
  uplinks->moved = true;
  T2_LIST_FOREACH(node, next, &uplinks->list)
  ask_anew(T2_LIST_ENTRY(node, t2_entry_uplink, node));
}

void t2_uplinks_drain(t2_uplinks *uplinks) {
  uplinks->closed = true;
  T2_LIST_FOREACH(node, next, &uplinks->list)
  t2_h2_conn_drain(T2_LIST_ENTRY(node, t2_entry_uplink, node)->h2);
}

void t2_uplinks_close(t2_uplinks *uplinks) {
  uplinks->closed = true;
  T2_LIST_FOREACH(node, next, &uplinks->list)
  t2_h2_conn_close(T2_LIST_ENTRY(node, t2_entry_uplink, node)->h2, T2_ERR_CANCELLED);
}
