#include <entry/state.h>
#include <inttypes.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define REFUSED_MS 1000 /* what comes from an address that got no flow is dropped for so long */
#define EVICT_MS   1000 /* a flow that is idle for less is not ended for another */
#define KEY_MAX    (sizeof(uint16_t) + sizeof(t2_address))

/* What a remote address and a session have to say to each other. It lives as long as the session's port. */
typedef struct flow {
  t2_list node, of_session; /* both: idle longest first */
  t2_entry *entry;
  t2_entry_session *session;
  t2_udp *udp;
  t2_address from;
  t2_leg *leg; /* NULL: it was refused */
  t2_timer refused;
  uint64_t last_ms;
  size_t key_size;
  char key[KEY_MAX];
} flow;

/* The bytes that tell addresses apart: no padding. */
static size_t make_key(char key[KEY_MAX], uint16_t port, const t2_address *from) {
  size_t n = 0;
#define PUT(member) memcpy(key + n, &(member), sizeof(member)), n += sizeof(member)
  PUT(port);
  if (from->any.sa_family == AF_INET6) {
    PUT(from->in6.sin6_addr);
    PUT(from->in6.sin6_scope_id);
    PUT(from->in6.sin6_port);
  } else {
    PUT(from->in.sin_addr);
    PUT(from->in.sin_port);
  }
#undef PUT
  return n;
}

/* ---- Life of a flow ---- */

static void forget(flow *f) {
  t2_entry *entry = f->entry;
  t2_map_del(&entry->flows.map, t2_str_of(f->key, f->key_size));
  t2_list_remove(&f->node);
  t2_list_remove(&f->of_session);
  f->session->flow_count--;
  t2_loop_timer_stop(entry->loop, &f->refused);
  t2_free(entry->loop->mem, f);
}

static void end(flow *f) {
  t2_leg *leg = f->leg;
  forget(f);
  if (leg) t2_udp_leg_end(leg);
}

static void touch(flow *f) {
  f->last_ms = t2_loop_now(f->entry->loop);
  t2_list_remove(&f->node);
  t2_list_remove(&f->of_session);
  t2_list_push_back(&f->entry->flows.list, &f->node);
  t2_list_push_back(&f->session->flows, &f->of_session);
}

static void on_refused_over(t2_timer *timer) {
  forget(T2_CONTAINER_OF(timer, flow, refused));
}

static void on_datagram_back(const uint8_t *bytes, size_t n, void *user) {
  flow *f = user;
  touch(f);
  if (t2_udp_send(f->udp, &f->from, bytes, n)) f->entry->flows.dropped++;
}

/* Without the wait each datagram of somebody whom the client refuses would be one more request. */
static void on_gone(bool opened, void *user) {
  flow *f = user;
  f->leg = NULL;
  if (opened)
    forget(f);
  else
    t2_loop_timer_start(f->entry->loop, &f->refused, REFUSED_MS);
}

static const t2_udp_leg_ops leg_ops = {.on_datagram = on_datagram_back, .on_gone = on_gone};

/* ---- A remote address becomes an extended CONNECT on an uplink ---- */

/* Path and authority name the public address: which the origin is, the client knows. The path is that of the
 * default template (RFC 9298, 2), in which a colon is escaped. */
static void fill_head(const flow *f, t2_head *head, char authority[320], char path[800]) {
  const char *host = f->entry->strings.ports_host;
  unsigned port = t2_entry_port_number(f->session);
  size_t n = (size_t)snprintf(path, 800, "/.well-known/masque/udp/");
  for (const char *c = host; *c && n < 780; c++)
    n += (size_t)snprintf(path + n, 800 - n, *c == ':' ? "%%3A" : "%c", *c);
  snprintf(path + n, 800 - n, "/%u/", port);
  snprintf(authority, 320, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
  head->method = T2_STR("CONNECT");
  head->protocol = T2_UDP_PROTOCOL;
  head->scheme = T2_STR("https");
  head->authority = t2_str_c(authority);
  head->path = t2_str_c(path);
  head->content_length = -1;
  head->version_minor = 1;
}

static void connect_leg(flow *f, t2_leg *up) {
  t2_entry *entry = f->entry;
  t2_leg *down = f->leg;
  char authority[320], path[800], peer[T2_ADDRESS_TEXT], forwarded[T2_ADDRESS_TEXT + 16];
  t2_head head;
  t2_head_init(&head, entry->loop->mem);
  fill_head(f, &head, authority, path);
  t2_exchange *exchange = t2_exchange_new(&entry->public_proxy, down, &head);
  if (!exchange) {
    f->leg = NULL;
    t2_udp_leg_end(down);
    t2_loop_timer_start(entry->loop, &f->refused, REFUSED_MS);
  } else {
    t2_entry_begin(entry, f->session, exchange);
    t2_address_format(&f->from, peer);
    int err = t2_entry_add_origin(&head, exchange, t2_str_c(peer), forwarded);
    if (err == 0) err = t2_fields_add(&head.fields, T2_STR("capsule-protocol"), T2_STR("?1"));
    if (err)
      t2_exchange_refuse(exchange, t2_problem_of(err, T2_AT_LOCAL), NULL);
    else
      t2_exchange_connect(exchange, up, &head, false, NULL, entry->options.response_timeout_ms);
  }
  t2_head_fini(&head);
}

/* NULL when there is no memory. */
static flow *add(t2_entry *entry, t2_entry_session *session, t2_udp *udp, const t2_address *from) {
  flow *f = t2_calloc(entry->loop->mem, 1, sizeof(*f));
  if (!f) return NULL;
  *f = (flow){.entry = entry, .session = session, .udp = udp, .from = *from};
  f->key_size = make_key(f->key, t2_entry_port_number(session), from);
  t2_list_init(&f->node);
  t2_list_init(&f->of_session);
  t2_timer_init(&f->refused, on_refused_over);
  f->leg = t2_udp_leg_accepted(&entry->flows.legs, &leg_ops, f);
  if (f->leg && t2_map_set(&entry->flows.map, t2_str_of(f->key, f->key_size), f) == 0) {
    session->flow_count++;
    touch(f);
    return f;
  }
  t2_leg *leg = f->leg;
  t2_free(entry->loop->mem, f);
  if (leg) t2_udp_leg_end(leg);
  return NULL;
}

/* Ends it, unless it has been in use of late. */
static bool evict(const t2_entry *entry, flow *oldest) {
  if (t2_loop_now(entry->loop) - oldest->last_ms < EVICT_MS) return false;
  end(oldest);
  return true;
}

/* Where there are as many as may be, the one that is idle longest goes. */
static bool has_room(const t2_entry *entry, const t2_entry_session *session) {
  if (session->flow_count >= entry->options.udp_session_flows_max)
    return evict(entry, T2_LIST_ENTRY(session->flows.next, flow, of_session));
  if (entry->flows.map.count >= entry->options.udp_flows_max)
    return evict(entry, T2_LIST_ENTRY(entry->flows.list.next, flow, node));
  return true;
}

/* The uplinks are full, of flows: one goes, and those who come when its stream has ended find room. */
static void make_way(const t2_entry *entry, const t2_entry_session *session) {
  if (session->flow_count && t2_list_empty(&entry->flows.legs.ending))
    (void)evict(entry, T2_LIST_ENTRY(session->flows.next, flow, of_session));
}

static bool may_ask(const t2_entry_session *session, const t2_address *from) {
  char text[T2_ADDRESS_TEXT];
  return !session->guard || t2_guard_admits(session->guard, t2_address_format(from, text));
}

/* NULL: there can't be one now, or not for this address. */
static flow *open_flow(t2_entry *entry, t2_entry_session *session, t2_udp *udp, const t2_address *from) {
  if (!may_ask(session, from)) return NULL;
  uint64_t wait_ms;
  int err = t2_entry_admit(entry, session, &wait_ms);
  if (err == T2_ERR_LIMIT) return NULL;
  t2_leg *up = err ? NULL : t2_uplinks_pick(&entry->uplinks, session, NULL);
  if (!up) {
    make_way(entry, session);
    return NULL;
  }
  if (!t2_uplinks_leg_upgrades(up) || !has_room(entry, session)) return NULL;
  flow *f = add(entry, session, udp, from);
  if (f) connect_leg(f, up);
  return f;
}

/* ---- The ports ---- */

static void on_datagram(t2_entry_session *session, t2_udp *udp, const t2_address *from, const uint8_t *bytes,
                        size_t n, void *user) {
  t2_entry *entry = user;
  char key[KEY_MAX];
  size_t size = make_key(key, t2_entry_port_number(session), from);
  flow *f = t2_map_get(&entry->flows.map, t2_str_of(key, size));
  if (f)
    touch(f);
  else
    f = open_flow(entry, session, udp, from);
  if (f && f->leg)
    t2_udp_leg_datagram(f->leg, bytes, n);
  else
    entry->flows.dropped++;
}

static void on_close(t2_entry_session *session, void *user) {
  (void)user;
  while (session->flow_count)
    end(T2_LIST_ENTRY(session->flows.next, flow, of_session));
}

static void on_sweep(void *user) {
  t2_entry *entry = user;
  t2_entry_flows *flows = &entry->flows;
  uint64_t dropped = flows->dropped + flows->legs.dropped;
  t2_entry_sessions_sweep(&entry->uplinks.sessions, t2_loop_now(entry->loop));
  if (dropped != flows->told)
    t2_log_at(&entry->loop->log, INFO, "entry", "%" PRIu64 " datagrams were dropped", dropped - flows->told);
  flows->told = dropped;
}

static const t2_entry_ports_ops ports_ops = {
    .on_datagram = on_datagram, .on_close = on_close, .on_sweep = on_sweep};

/* ---- Life ---- */

void t2_entry_init_flows(t2_entry *entry) {
  t2_entry_flows *flows = &entry->flows;
  t2_map_init(&flows->map, entry->loop->mem);
  t2_list_init(&flows->list);
  t2_udp_legs_init(&flows->legs, entry->loop);
  flows->legs.idle_ms = entry->options.udp_idle_timeout_ms;
  t2_entry_ports_init(&flows->ports, entry->loop, &(t2_entry_ports_options){.udp = true}, &ports_ops, entry);
}

void t2_entry_open_flows(t2_entry *entry) {
  const t2_entry_options *o = &entry->options;
  entry->flows.ports.options = (t2_entry_ports_options){
      .host = o->tcp_address, .first = o->udp_port_first, .last = o->udp_port_last, .udp = true};
  entry->uplinks.udp_ports = &entry->flows.ports;
}

void t2_entry_close_flows(t2_entry *entry) {
  t2_entry_ports_close_all(&entry->flows.ports);
  t2_udp_legs_close(&entry->flows.legs);
}

void t2_entry_flows_fini(t2_entry *entry) {
  t2_entry_ports_fini(&entry->flows.ports);
  t2_map_fini(&entry->flows.map);
}
