#include <entry/ports.h>
#include <net/address.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/detail.h>

#define BINDS_MAX 1024 /* of ports that others on this machine have, in one search */

struct t2_entry_port {
  t2_entry_ports *owner;
  t2_entry_session *session;
  t2_listener *listener;
  t2_udp *udp; /* in its place */
  uint16_t number;
  t2_reapable reapable;
};

static size_t range_of(const t2_entry_ports *ports) {
  return ports->options.first ? (size_t)ports->options.last - ports->options.first + 1 : 0;
}

static void on_sweep(t2_timer *timer) {
  t2_entry_ports *ports = T2_CONTAINER_OF(timer, t2_entry_ports, sweep);
  t2_loop_timer_start(ports->loop, &ports->sweep, T2_ENTRY_SWEEP_MS);
  ports->ops->on_sweep(ports->user);
}

static void on_spare_timer(t2_timer *timer);

void t2_entry_ports_init(t2_entry_ports *ports, t2_loop *loop, const t2_entry_ports_options *options,
                         const t2_entry_ports_ops *ops, void *user) {
  *ports = (t2_entry_ports){.loop = loop, .options = *options, .ops = ops, .user = user};
  t2_timer_init(&ports->sweep, on_sweep);
  t2_timer_init(&ports->spare_timer, on_spare_timer);
}

void t2_entry_ports_fini(t2_entry_ports *ports) {
  t2_free(ports->loop->mem, ports->open);
}

/* ---- Sockets of another process ---- */

static int take_spare(t2_entry_ports *ports, uint16_t number) {
  int *at = ports->spare ? &ports->spare[number - ports->options.first] : NULL;
  int fd = at && *at ? *at : -1;
  if (at) *at = 0;
  return fd;
}

static void close_spare(t2_entry_ports *ports) {
  for (size_t i = 0; ports->spare && i < range_of(ports); i++)
    if (ports->spare[i]) close(ports->spare[i]);
  t2_free(ports->loop->mem, ports->spare);
  ports->spare = NULL;
  t2_loop_timer_stop(ports->loop, &ports->spare_timer);
}

static void on_spare_timer(t2_timer *timer) {
  close_spare(T2_CONTAINER_OF(timer, t2_entry_ports, spare_timer));
}

int t2_entry_ports_adopt(t2_entry_ports *ports, uint16_t number, int fd) {
  const t2_entry_ports_options *o = &ports->options;
  size_t range = range_of(ports);
  int err = range == 0 || number < o->first || number > o->last ? T2_ERR_CONFLICT : 0;
  if (err == 0 && !ports->spare) {
    ports->spare = t2_calloc(ports->loop->mem, range, sizeof(int));
    if (!ports->spare) err = T2_ERR_NOMEM;
  }
  if (err == 0 && ports->spare[number - o->first]) err = T2_ERR_CONFLICT;
  if (err) {
    close(fd);
    return err;
  }
  ports->spare[number - o->first] = fd;
  t2_loop_timer_start(ports->loop, &ports->spare_timer, T2_ENTRY_PORT_GRACE_MS);
  return 0;
}

void t2_entry_ports_hold(t2_entry_ports *ports, bool held) {
  ports->held = held;
  for (size_t i = 0; ports->open && i < range_of(ports); i++) {
    const t2_entry_port *port = ports->open[i];
    if (port && port->listener) t2_listener_hold(port->listener, held);
    if (port && port->udp && !held) (void)t2_udp_start(port->udp);
  }
}

void t2_entry_ports_each(const t2_entry_ports *ports, void (*cb)(uint16_t number, int fd, void *user),
                         void *user) {
  for (size_t i = 0; i < range_of(ports); i++) {
    const t2_entry_port *port = ports->open ? ports->open[i] : NULL;
    int fd = port ? port->udp ? t2_udp_socket(port->udp) : t2_listener_socket(port->listener)
                  : (ports->spare && ports->spare[i] ? ports->spare[i] : -1);
    if (fd >= 0) cb((uint16_t)(ports->options.first + i), fd, user);
  }
}

/* ---- One port ---- */

static void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  const t2_entry_port *port = user;
  (void)listener;
  port->owner->ops->on_connection(port->session, conn, port->owner->user);
}

/* A bound socket has no errors to tell. */
static void on_datagram(t2_udp *udp, int err, const t2_address *from, const uint8_t *bytes, size_t n,
                        void *user) {
  const t2_entry_port *port = user;
  if (err == 0) port->owner->ops->on_datagram(port->session, udp, from, bytes, n, port->owner->user);
}

static void free_port(t2_reapable *reapable) {
  t2_entry_port *port = T2_CONTAINER_OF(reapable, t2_entry_port, reapable);
  t2_free(port->owner->loop->mem, port);
}

void t2_entry_port_close(t2_entry_session *session) {
  t2_entry_port *port = session->port;
  if (!port) return;
  t2_entry_ports *ports = port->owner;
  session->port = NULL;
  ports->open[port->number - ports->options.first] = NULL;
  if (--ports->count == 0) t2_loop_timer_stop(ports->loop, &ports->sweep);
  t2_log_at(&ports->loop->log, INFO, "entry", "port %u of session %s is closed", (unsigned)port->number,
            session->id);
  if (port->udp) {
    ports->ops->on_close(session, ports->user);
    t2_udp_close(port->udp);
  } else {
    t2_listener_close(port->listener, NULL, NULL);
  }
  t2_loop_reap(ports->loop, &port->reapable, free_port); /* it may be within on_accept */
}

void t2_entry_ports_close_all(t2_entry_ports *ports) {
  for (size_t i = 0; ports->open && i < range_of(ports); i++)
    if (ports->open[i]) t2_entry_port_close(ports->open[i]->session);
  close_spare(ports);
}

static int bind_spare(t2_entry_port *port, int fd) {
  const t2_entry_ports *ports = port->owner;
  int err = t2_udp_adopt(&port->udp, ports->loop, fd, on_datagram, port);
  if (err || ports->held) return err;
  err = t2_udp_start(port->udp);
  if (err) t2_udp_close(port->udp);
  return err;
}

static int bind_to(t2_entry_port *port) {
  t2_entry_ports *ports = port->owner;
  int spare = take_spare(ports, port->number);
  if (spare >= 0) return bind_spare(port, spare);
  t2_address address;
  int err = t2_address_parse(&address, t2_str_c(ports->options.host), port->number);
  if (err == 0) err = t2_udp_bind(&port->udp, ports->loop, &address, on_datagram, port);
  if (err && err != T2_ERR_CONFLICT)
    t2_log_at(&ports->loop->log, WARN, "entry", "no port for session %s: %s", port->session->id,
              t2_strerror(err));
  return err;
}

static int listen_on(t2_entry_port *port) {
  t2_entry_ports *ports = port->owner;
  int spare = take_spare(ports, port->number);
  char address[T2_ADDRESS_TEXT + 64], detail[160];
  bool v6 = strchr(ports->options.host, ':') != NULL;
  snprintf(address, sizeof(address), v6 ? "[%s]:%u" : "%s:%u", ports->options.host, (unsigned)port->number);
  if (spare >= 0) snprintf(address, sizeof(address), "fd:%d", spare);
  t2_listener_options options = {
      .address = address, .connections_max = ports->options.connections_max, .held = ports->held};
  int err = t2_listener_new(&port->listener, ports->loop, &options, on_accept, port, detail, sizeof(detail));
  if (err && spare >= 0) close(spare);
  if (err && err != T2_ERR_CONFLICT)
    t2_log_at(&ports->loop->log, WARN, "entry", "no port for session %s: %s", port->session->id, detail);
  return err;
}

/* On a number that no session has. */
static int open_port(t2_entry_ports *ports, t2_entry_session *session, uint16_t number) {
  t2_entry_port *port = t2_calloc(ports->loop->mem, 1, sizeof(*port));
  if (!port) return T2_ERR_NOMEM;
  *port = (t2_entry_port){.owner = ports, .session = session, .number = number};
  int err = ports->options.udp ? bind_to(port) : listen_on(port);
  if (err) {
    t2_free(ports->loop->mem, port);
    return err;
  }
  t2_entry_port_close(session);
  session->port = ports->open[number - ports->options.first] = port;
  if (ports->count++ == 0) t2_loop_timer_start(ports->loop, &ports->sweep, T2_ENTRY_SWEEP_MS);
  t2_log_at(&ports->loop->log, INFO, "entry", "port %u is session %s's", (unsigned)number, session->id);
  return 0;
}

/* ---- Which one ---- */

/* Nobody has come back to it. */
static bool is_abandoned(const t2_entry_ports *ports, const t2_entry_port *port) {
  const t2_entry_session *session = port->session;
  return session->uplink_count + session->remote_count == 0 && session->active == 0 &&
         t2_loop_now(ports->loop) - session->left_ms >= T2_ENTRY_PORT_GRACE_MS;
}

static int open_asked(t2_entry_ports *ports, t2_entry_session *session, uint16_t asked, char *detail,
                      size_t size) {
  const t2_entry_ports_options *o = &ports->options;
  if (asked < o->first || asked > o->last)
    return t2_detail(detail, size, T2_ERR_CONFLICT,
                     "port %u is none of %u to %u, which %s sessions have here", (unsigned)asked,
                     (unsigned)o->first, (unsigned)o->last, o->udp ? "UDP" : "TCP");
  if (session->port && (session->uplink_count > 1 || session->remote_count || session->active))
    return t2_detail(detail, size, T2_ERR_CONFLICT, "the session has port %u here, and is in use",
                     (unsigned)session->port->number);
  t2_entry_port *holder = ports->open[asked - o->first];
  if (holder && !is_abandoned(ports, holder))
    return t2_detail(detail, size, T2_ERR_CONFLICT, "port %u is another session's", (unsigned)asked);
  if (holder) t2_entry_port_close(holder->session);
  int err = open_port(ports, session, asked);
  if (err == 0 || err == T2_ERR_NOMEM) return err;
  return t2_detail(detail, size, T2_ERR_CONFLICT, "port %u is not to be had here: %s", (unsigned)asked,
                   t2_strerror(err));
}

/* From the id's own place on. */
static int open_any(t2_entry_ports *ports, t2_entry_session *session, size_t range) {
  static const uint64_t key[2] = {0, 0};
  size_t at = t2_siphash(key, session->id, strlen(session->id)) % range;
  unsigned binds = 0;
  for (size_t i = 0; i < range && binds < BINDS_MAX; i++, at = at + 1 == range ? 0 : at + 1) {
    if (ports->open[at]) continue;
    int err = open_port(ports, session, (uint16_t)(ports->options.first + at));
    if (err == 0 || err == T2_ERR_NOMEM) return err;
    binds++;
  }
  return T2_ERR_UNAVAILABLE;
}

/* The one that has been left alone longest goes. */
static bool give_up_one(t2_entry_ports *ports) {
  t2_entry_port *oldest = NULL;
  for (size_t i = 0; i < range_of(ports); i++) {
    t2_entry_port *port = ports->open[i];
    if (!port || !is_abandoned(ports, port)) continue;
    if (!oldest || port->session->left_ms < oldest->session->left_ms) oldest = port;
  }
  if (oldest) t2_entry_port_close(oldest->session);
  return oldest != NULL;
}

int t2_entry_ports_open(t2_entry_ports *ports, t2_entry_session *session, uint16_t asked, char *detail,
                        size_t size) {
  size_t range = range_of(ports);
  if (range == 0)
    return t2_detail(detail, size, T2_ERR_CONFLICT, "this entry has no ports for %s sessions",
                     ports->options.udp ? "UDP" : "TCP");
  if (!ports->open) ports->open = t2_calloc(ports->loop->mem, range, sizeof(t2_entry_port *));
  if (!ports->open) return t2_detail(detail, size, T2_ERR_NOMEM, "out of memory");
  if (session->port && (asked == 0 || asked == session->port->number)) return 0;
  int err = asked ? open_asked(ports, session, asked, detail, size) : open_any(ports, session, range);
  if (err == T2_ERR_UNAVAILABLE && give_up_one(ports)) err = open_any(ports, session, range);
  if (err == T2_ERR_UNAVAILABLE) t2_detail(detail, size, err, "no port for the session is free here");
  if (err == T2_ERR_NOMEM) t2_detail(detail, size, err, "out of memory");
  return err;
}

uint16_t t2_entry_port_number(const t2_entry_session *session) {
  return session->port ? session->port->number : 0;
}
