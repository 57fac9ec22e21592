#include <entry/state.h>
#include <net/address.h>
#include <stdio.h>

/* ---- A connection becomes a CONNECT on an uplink ---- */

int t2_entry_add_origin(t2_head *head, const t2_exchange *exchange, t2_str peer,
                        char text[T2_ADDRESS_TEXT + 16]) {
  snprintf(text, T2_ADDRESS_TEXT + 16, "for=\"%.*s\"", T2_STR_ARG(peer));
  int err = t2_fields_add(&head->fields, T2_STR("forwarded"), t2_str_c(text));
  if (err == 0) err = t2_fields_add(&head->fields, T2_STR("x-request-id"), t2_str_c(exchange->request_id));
  return err;
}

static void pass_on(t2_entry *entry, t2_entry_session *session, t2_leg *down, t2_leg *up, t2_str peer,
                    const char *authority) {
  char forwarded[T2_ADDRESS_TEXT + 16];
  t2_head head;
  t2_head_init(&head, entry->loop->mem);
  head.method = T2_STR("CONNECT");
  head.authority = t2_str_c(authority);
  head.content_length = -1;
  head.version_minor = 1;
  t2_exchange *exchange = t2_exchange_new(&entry->public_proxy, down, &head);
  if (!exchange) {
    t2_tcp_leg_drop(down, T2_ERR_NOMEM);
  } else {
    t2_entry_begin(entry, session, exchange);
    if (t2_entry_add_origin(&head, exchange, peer, forwarded))
      t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_LOCAL), NULL);
    else
      t2_exchange_connect(exchange, up, &head, false, NULL, entry->options.response_timeout_ms);
  }
  t2_head_fini(&head);
}

int t2_entry_connect(t2_entry *entry, t2_entry_session *session, t2_conn *conn, const char *authority,
                     const char **why) {
  uint64_t wait_ms;
  bool admitted = !session->guard || t2_guard_admits(session->guard, t2_conn_peer_host(conn));
  bool full = admitted && (entry->tcp.count >= entry->options.connections_max ||
                           t2_entry_admit(entry, session, &wait_ms) != 0);
  t2_leg *up = full || !admitted ? NULL : t2_uplinks_pick(&entry->uplinks, session, NULL);
  if (!up) {
    *why = !admitted               ? "not from its address"
           : full                  ? "there are as many as there may be"
           : session->uplink_count ? "its clients take no more now"
                                   : "nobody serves it now";
    return admitted ? T2_ERR_UNAVAILABLE : T2_ERR_FORBIDDEN;
  }
  t2_leg *down = t2_tcp_leg_accepted(&entry->tcp, conn);
  if (down) pass_on(entry, session, down, up, t2_conn_peer(conn), authority);
  return 0;
}

/* ---- On the port of a TCP session ---- */

/* There is no way to say why there is no tunnel but to end the connection at once. */
static void on_connection(t2_entry_session *session, t2_conn *conn, void *user) {
  t2_entry *entry = user;
  char authority[320];
  const char *why;
  snprintf(authority, sizeof(authority), strchr(entry->strings.ports_host, ':') ? "[%s]:%u" : "%s:%u",
           entry->strings.ports_host, (unsigned)t2_entry_port_number(session));
  int err = t2_entry_connect(entry, session, conn, authority, &why);
  if (err == 0) return;
  t2_log_at(&entry->loop->log, INFO, "entry", "a connection to session %s is refused: %s", session->id, why);
  t2_conn_reset(conn, err);
}

static void on_sweep(void *user) {
  t2_entry *entry = user;
  t2_entry_sessions_sweep(&entry->uplinks.sessions, t2_loop_now(entry->loop));
}

static const t2_entry_ports_ops ports_ops = {.on_connection = on_connection, .on_sweep = on_sweep};

/* ---- Life ---- */

static t2_str host_of(t2_str address) {
  t2_str host;
  uint16_t port;
  return t2_str_hostport(address, &host, &port) ? address : host;
}

t2_str t2_entry_url_host(const char *given) {
  t2_str url = t2_str_c(given), host;
  for (size_t i = 0; i + 3 <= url.n; i++)
    if (memcmp(url.p + i, "://", 3) == 0) {
      url = t2_str_of(url.p + i + 3, url.n - i - 3);
      break;
    }
  return t2_str_next(&url, '/', &host) ? host_of(host) : T2_STR_NULL;
}

static char *copy(const t2_allocator *mem, t2_str s) {
  return t2_strndup(mem, s.p ? s.p : "", s.n);
}

/* The host of what people are told. */
static char *public_host(const t2_entry *entry) {
  t2_str host = t2_entry_url_host(entry->options.advertise_public);
  return copy(entry->options.allocator, host.n ? host : T2_STR("localhost"));
}

/* The same for ports: where nobody has said what it is, they are to be found where they are bound. */
static char *ports_host(const t2_entry *entry) {
  const t2_entry_options *o = &entry->options;
  t2_str bound = t2_str_c(o->tcp_address ? o->tcp_address : "");
  bool all = t2_str_eq(bound, T2_STR("0.0.0.0")) || t2_str_eq(bound, T2_STR("::"));
  if (entry->advertised || bound.n == 0 || all) bound = t2_str_c(entry->strings.public_host);
  return copy(o->allocator, bound);
}

void t2_entry_init_connections(t2_entry *entry) {
  t2_tcp_legs_init(&entry->tcp, entry->loop);
  entry->tcp.on_gone = t2_entry_public_gone;
  entry->tcp.user = entry;
  t2_entry_ports_init(&entry->ports, entry->loop, &(t2_entry_ports_options){0}, &ports_ops, entry);
  t2_entry_init_flows(entry);
}

int t2_entry_open_ports(t2_entry *entry) {
  const t2_entry_options *o = &entry->options;
  t2_entry_strings *s = &entry->strings;
  s->public_host = public_host(entry);
  if (s->public_host) s->ports_host = ports_host(entry);
  if (!s->ports_host) return T2_ERR_NOMEM;
  entry->uplinks.public_host = s->public_host;
  entry->uplinks.ports_host = s->ports_host;
  if (o->tcp_port_first == 0 && o->udp_port_first == 0) return 0;
  s->tcp_address = o->tcp_address ? t2_strdup(o->allocator, o->tcp_address)
                                  : copy(o->allocator, host_of(t2_str_c(o->public_address)));
  if (!s->tcp_address) return T2_ERR_NOMEM;
  entry->options.tcp_address = s->tcp_address;
  entry->ports.options = (t2_entry_ports_options){.host = s->tcp_address,
                                                  .first = o->tcp_port_first,
                                                  .last = o->tcp_port_last,
                                                  .connections_max = o->connections_max};
  entry->uplinks.ports = &entry->ports;
  t2_entry_open_flows(entry);
  return 0;
}

void t2_entry_close_connections(t2_entry *entry) {
  t2_entry_ports_close_all(&entry->ports);
  t2_tcp_legs_close(&entry->tcp);
  t2_entry_close_flows(entry);
}
