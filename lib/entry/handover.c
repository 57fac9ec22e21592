#include <entry/state.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* ---- Sockets ---- */

typedef struct listing {
  t2_entry_socket *sockets;
  size_t max, n;
  const char *kind;
} listing;

static void add(listing *l, const char *name, int fd) {
  if (fd < 0) return;
  if (l->n < l->max) {
    t2_entry_socket *socket = &l->sockets[l->n];
    snprintf(socket->name, sizeof(socket->name), "%s", name);
    socket->fd = fd;
  }
  l->n++;
}

static void add_port(uint16_t number, int fd, void *user) {
  listing *l = user;
  char name[24];
  snprintf(name, sizeof(name), "%s-%u", l->kind, (unsigned)number);
  add(l, name, fd);
}

static void add_server(listing *l, const char *name, const t2_server *server) {
  if (server) add(l, name, t2_server_socket(server));
}

size_t t2_entry_get_sockets(const t2_entry *entry, t2_entry_socket *sockets, size_t max) {
  listing l = {.sockets = sockets, .max = max};
  add_server(&l, "public", entry->public_server);
  add_server(&l, "public-tls", entry->public_tls_server);
  add_server(&l, "uplink", entry->uplink_server);
  if (entry->passthrough) add(&l, "tls", t2_listener_socket(entry->passthrough));
  l.kind = "tcp";
  t2_entry_ports_each(&entry->ports, add_port, &l);
  l.kind = "udp";
  t2_entry_ports_each(&entry->flows.ports, add_port, &l);
  return l.n;
}

/* ---- The next one ---- */

/* "tcp-20000" */
static uint16_t port_of(t2_str name, t2_str kind) {
  uint64_t port = 0;
  if (name.n <= kind.n || memcmp(name.p, kind.p, kind.n) != 0) return 0;
  return t2_str_u64(t2_str_of(name.p + kind.n, name.n - kind.n), UINT16_MAX, &port) ? 0 : (uint16_t)port;
}

static int adopt(t2_entry *entry, const t2_entry_socket *socket) {
  t2_str name = t2_str_of(socket->name, strnlen(socket->name, sizeof(socket->name)));
  uint16_t tcp = port_of(name, T2_STR("tcp-")), udp = port_of(name, T2_STR("udp-"));
  return t2_entry_ports_adopt(tcp ? &entry->ports : &entry->flows.ports, tcp ? tcp : udp, socket->fd);
}

void t2_entry_adopt_ports(t2_entry *entry) {
  const t2_entry_options *o = &entry->options;
  t2_entry_ports_hold(&entry->ports, o->hold_public);
  t2_entry_ports_hold(&entry->flows.ports, o->hold_public);
  for (size_t i = 0; i < o->port_socket_count; i++)
    if (adopt(entry, &o->port_sockets[i]))
      t2_log_at(&entry->loop->log, WARN, "entry", "the socket %.24s is of no use here",
                o->port_sockets[i].name);
}

void t2_entry_open_public(t2_entry *entry) {
  entry->options.hold_public = false;
  if (entry->public_server) t2_server_hold(entry->public_server, false);
  if (entry->public_tls_server) t2_server_hold(entry->public_tls_server, false);
  if (entry->passthrough) t2_listener_hold(entry->passthrough, false);
  t2_entry_ports_hold(&entry->ports, false);
  t2_entry_ports_hold(&entry->flows.ports, false);
}

/* ---- The one that goes ---- */

/* Where uplinks and the public share a listener, the next one has both from here on. */
void t2_entry_move(t2_entry *entry, bool moved) {
  entry->uplinks.moved = moved;
  if (entry->uplink_server) t2_server_hold(entry->uplink_server, moved);
  if (moved) t2_uplinks_reattach(&entry->uplinks);
  if (!t2_entry_is_second(entry)) t2_entry_tell_moved(entry, moved);
}

void t2_entry_hand_over(t2_entry *entry, t2_entry_handover step) {
  if (entry->state != T2_ENTRY_STATE_RUNNING || entry->closing) return;
  switch (step) {
  case T2_ENTRY_KEEP:
    t2_log_at(&entry->loop->log, WARN, "entry", "no other process takes this one's place: it goes on");
    if (entry->uplinks.moved) t2_entry_move(entry, false);
    entry->linked = false;
    t2_link_start(entry->link);
    break;
  case T2_ENTRY_LEND:
    t2_log_at(&entry->loop->log, INFO, "entry", "another process takes this one's place");
    t2_link_watch(entry->link, "/v1/revocations");
    break;
  case T2_ENTRY_MOVE:
    t2_log_at(&entry->loop->log, INFO, "entry", "clients are asked to dial the other process: %zu uplinks",
              entry->uplinks.count);
    t2_entry_move(entry, true);
    break;
  }
}
