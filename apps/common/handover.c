#include <base/file.h>
#include <base/str.h>
#include <common/handover.h>
#include <common/notify.h>
#include <common/state.h>
#include <fcntl.h>
#include <net/handover.h>
#include <net/listener_socket.h>
#include <stdio.h>
#include <string.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define TAKE_TIMEOUT_MS 15000 /* a control plane has to come to rest before */
#define LOOK_MS         10    /* for sessions that have come */

#define CONTROL "control"

/* It is freed when its timer has closed. */
typedef struct t2_app_handover_state {
  t2_app *app;
  /* The next process's side. */
  char *path;          /* NULL: there is none */
  t2_handover_set set; /* that have not been used yet */
  size_t
      listed; /* the first of them are systemd's: for what their names say, whatever the options' addresses */
  int conn;   /* -1: nobody hands over */
  size_t sessions; /* to be waited for */
  uv_timer_t timer;
  bool started; /* the timer is open */
  uint64_t deadline_ms;
  t2_entry_socket *ports; /* of t2_entry_options */
  /* The side of the one that runs. */
  t2_handover *listening;
  int kept;        /* what restore gets; -1: nothing */
  t2_entry *entry; /* NULL: there is none */
  const t2_app_handover_role *role;
  void *user;
} state;

static t2_log log_of(const t2_app *app) {
  return (t2_log){app->log, app->log_user, app->log_level};
}

void t2_app_handover_table(t2_app_handover *handover, t2_cli_option table[T2_APP_HANDOVER_ROWS]) {
  const t2_cli_option rows[T2_APP_HANDOVER_ROWS] = {
      {"handover", T2_CLI_FLAG, &handover->wanted, NULL,
       "take the place of the process that runs, without a lost connection; it drains", 0, 0},
      {"handover-socket", T2_CLI_TEXT, &handover->socket, "PATH",
       "where that is asked, and this one later (in --state-dir)", 0, 0},
      {"handover-wait", T2_CLI_SECONDS, &handover->wait_ms, "SECONDS",
       "for its sessions to come here before the public does (2)", 0, 60},
  };

  *handover = (t2_app_handover){.wait_ms = 2000};
  memcpy(table, rows, sizeof(rows));
}

/* ---- Taking ---- */

static void find_path(state *h, const t2_app_handover *given, const char *name) {
  t2_app *app = h->app;
  char file[96];

  if (given->socket) {
    h->path = t2_strdup(NULL, given->socket);
  } else if (app->state_dir) {
    snprintf(file, sizeof(file), "%.80s.handover", name);
    h->path = t2_path_join(NULL, app->state_dir, file);
  } else if (given->wanted) {
    t2_app_note(app, T2_APP_USAGE, "--handover needs --state-dir or --handover-socket");
  }
}

static void take_from_running(state *h) {
  t2_app *app = h->app;
  char detail[256] = "";
  t2_log log = log_of(app);

  int err =
      t2_handover_take(&h->set, h->path, TAKE_TIMEOUT_MS, &h->conn, &h->sessions, detail, sizeof(detail));
  if (err == T2_ERR_NOT_FOUND)
    t2_log_at(&log, INFO, app->program, "--handover: nobody is at %s: this is the first process", h->path);
  else if (err)
    t2_app_note(app, T2_APP_FAILED, "%s", *detail ? detail : t2_strerror(err));
  else
    t2_log_at(&log, INFO, app->program, "%zu sockets were handed over, and %zu sessions are to come",
              h->set.n, h->sessions);
}

/* A socket of systemd's is for what its name says. Those that the running process has are looked for at the
 * addresses of this one's options, which may be others. */
void t2_app_handover_take(t2_app *app, t2_app_handover *handover, const char *name, const char *id) {
  const t2_app_state *noted = app->state;
  state *h = handover->state = t2_calloc(NULL, 1, sizeof(*h));

  if (!h) {
    t2_app_note(app, T2_APP_FAILED, "%s", t2_strerror(T2_ERR_NOMEM));
    return;
  }
  *h = (state){.app = app, .conn = -1, .kept = -1};
  t2_handover_set_init(&h->set, NULL);
  find_path(h, handover, id ? id : name);
  int err = t2_handover_set_from_environment(&h->set);
  if (err) t2_app_note(app, T2_APP_FAILED, "the sockets of LISTEN_FDS are of no use: %s", t2_strerror(err));
  h->listed = h->set.n;
  if (noted->problem[0] || noted->missing[0]) return;
  if (handover->wanted && h->path) take_from_running(h);
  t2_app_handover_address(handover, "admin", &app->state->admin);
}

/* ---- Which socket for what ---- */

/* "0.0.0.0:443" and the like, as written. */
static bool is_at(int fd, const char *wanted, bool any_port) {
  char given[24], bound[T2_ADDRESS_TEXT];
  t2_str host, bound_host;
  uint16_t port, bound_port;

  snprintf(given, sizeof(given), "fd:%d", fd);
  if (!t2_listener_inherited_address(given, bound) || t2_str_hostport(t2_str_c(wanted), &host, &port))
    return false;
  if (t2_str_eq(host, T2_STR("localhost"))) host = T2_STR("127.0.0.1");
  if (t2_str_hostport(t2_str_c(bound), &bound_host, &bound_port) || !t2_str_eq(host, bound_host))
    return false;
  return port == bound_port || (port == 0 && any_port);
}

/* -1: there is none. */
static int find_socket(state *h, const char *name, const char *address) {
  t2_handover_set *set = &h->set;

  for (size_t i = 0; i < set->n; i++) {
    t2_handover_socket *socket = &set->list[i];
    bool named = strcmp(socket->name, name) == 0;
    bool fits = (named && i < h->listed) || (socket->fd >= 0 && address && is_at(socket->fd, address, named));
    if (socket->fd < 0 || !fits) continue;
    int fd = socket->fd;
    socket->fd = -1;
    return fd;
  }
  return -1;
}

void t2_app_handover_address(t2_app_handover *handover, const char *name, const char **address) {
  state *h = handover->state;
  char text[24];
  bool unasked = !*address && strcmp(name, "admin") == 0;
  int fd = !h || (unasked && h->conn >= 0) ? -1 : find_socket(h, name, *address);

  if (fd < 0) return;
  snprintf(text, sizeof(text), "fd:%d", fd);
  *address = t2_app_own(h->app, t2_strdup(NULL, text));
}

static bool is_port(const t2_handover_socket *socket) {
  return socket->fd >= 0 && (strncmp(socket->name, "tcp-", 4) == 0 || strncmp(socket->name, "udp-", 4) == 0);
}

static void collect_ports(state *h, t2_entry_options *o) {
  t2_handover_set *set = &h->set;

  h->ports = set->n ? t2_calloc(NULL, set->n, sizeof(*h->ports)) : NULL;
  for (size_t i = 0; h->ports && i < set->n; i++) {
    if (!is_port(&set->list[i])) continue;
    t2_entry_socket *port = &h->ports[o->port_socket_count++];
    snprintf(port->name, sizeof(port->name), "%.20s", set->list[i].name);
    port->fd = set->list[i].fd;
    set->list[i].fd = -1;
  }
  o->port_sockets = h->ports;
}

static bool same(const char *a, const char *b) {
  return a && b && strcmp(a, b) == 0;
}

/* Addresses that are alike are so still when one of them has become a socket. */
void t2_app_handover_entry(t2_app_handover *handover, t2_entry_options *o) {
  bool uplink_too = same(o->public_tls_address, o->uplink_address),
       tls_too = same(o->public_tls_address, o->tls_address);

  if (!handover->state) return;
  t2_app_handover_address(handover, "public", &o->public_address);
  t2_app_handover_address(handover, "uplink", &o->uplink_address);
  if (uplink_too)
    o->public_tls_address = o->uplink_address;
  else
    t2_app_handover_address(handover, "public-tls", &o->public_tls_address);
  if (tls_too)
    o->tls_address = o->public_tls_address;
  else
    t2_app_handover_address(handover, "tls", &o->tls_address);
  collect_ports(handover->state, o);
  o->hold_public = handover->state->conn >= 0 && handover->state->sessions > 0;
}

/* ---- The next process: how far it has come ---- */

bool t2_app_handover_pending(const t2_app_handover *handover) {
  return handover->state && handover->state->conn >= 0;
}

static void serve(state *h) {
  if (h->entry) t2_entry_open_public(h->entry);
  (void)t2_handover_say(h->conn, T2_HANDOVER_SERVING);
  close(h->conn);
  h->conn = -1;
  t2_app_event(h->app, "serving", NULL);
  t2_app_notify_ready(h->app, "serving, in the place of another process");
}

static size_t sessions_of(const t2_entry *entry) {
  t2_entry_stats stats = {.size = sizeof(stats)};

  if (entry) t2_entry_get_stats(entry, &stats);
  return (size_t)stats.sessions;
}

static void on_look(uv_timer_t *timer) {
  state *h = timer->data;
  size_t come = sessions_of(h->entry);
  bool late = uv_now(timer->loop) >= h->deadline_ms;
  t2_log log = log_of(h->app);

  if (come < h->sessions && !late) return;
  uv_timer_stop(timer);
  if (come < h->sessions)
    t2_log_at(&log, WARN, h->app->program, "%zu of %zu sessions have come: the public is not kept waiting",
              come, h->sessions);
  serve(h);
}

static void tell_running(state *h) {
  if (h->conn < 0) return;
  (void)t2_handover_say(h->conn, T2_HANDOVER_ATTACHED);
  uv_timer_start(&h->timer, on_look, 0, LOOK_MS);
}

/* ---- The one that runs ---- */

static void add_entry(state *h, t2_handover_set *set) {
  t2_entry_socket *sockets;
  size_t n = t2_entry_get_sockets(h->entry, NULL, 0);

  sockets = t2_calloc(NULL, n, sizeof(*sockets));
  if (!sockets) return;
  n = t2_entry_get_sockets(h->entry, sockets, n);
  for (size_t i = 0; i < n; i++)
    (void)t2_handover_set_add_copy(set, sockets[i].name, sockets[i].fd);
  t2_free(NULL, sockets);
}

static void give(state *h) {
  t2_handover_set set;
  t2_health *health = h->app->state->health;

  t2_handover_set_init(&set, NULL);
  if (h->entry) add_entry(h, &set);
  if (h->kept >= 0) (void)t2_handover_set_add_copy(&set, CONTROL, h->kept);
  if (health) (void)t2_handover_set_add_copy(&set, "admin", t2_health_socket(health));
  (void)t2_handover_give(h->listening, &set, sessions_of(h->entry));
  t2_handover_set_fini(&set);
}

void t2_app_handover_released(t2_app_handover *handover) {
  if (handover->state && handover->state->listening) give(handover->state);
}

static void on_take(t2_handover *listening, void *user) {
  state *h = user;

  (void)listening;
  if (h->entry) t2_entry_hand_over(h->entry, T2_ENTRY_LEND);
  if (h->role) h->kept = fcntl(h->role->get_socket(h->user), F_DUPFD_CLOEXEC, 0);
  if (!h->role || h->role->release(h->user)) give(h);
}

static void on_attached(t2_handover *listening, void *user) {
  state *h = user;

  (void)listening;
  if (h->entry) t2_entry_hand_over(h->entry, T2_ENTRY_MOVE);
}

static void on_serving(t2_handover *listening, void *user) {
  state *h = user;

  (void)listening;
  t2_app_drain(h->app);
}

static void on_abandoned(t2_handover *listening, void *user) {
  state *h = user;
  int fd = h->kept;

  (void)listening;
  h->kept = -1;
  if (h->entry) t2_entry_hand_over(h->entry, T2_ENTRY_KEEP);
  if (h->role && fd >= 0) h->role->restore(fd, h->user);
}

static const t2_handover_ops ops = {
    .on_take = on_take, .on_attached = on_attached, .on_serving = on_serving, .on_abandoned = on_abandoned};

void t2_app_handover_start(t2_app_handover *handover, t2_entry *entry, const t2_app_handover_role *role,
                           void *user) {
  state *h = handover->state;
  t2_app *app = h->app;
  char detail[256];
  t2_log log = log_of(app);

  h->entry = entry;
  h->role = role;
  h->user = user;
  t2_handover_set_fini(&h->set); /* what is of no use here */
  uv_timer_init(&app->loop, &h->timer);
  h->timer.data = h;
  h->started = true;
  h->deadline_ms = uv_now(&app->loop) + handover->wait_ms;
  int err = !h->path ? 0
                     : t2_handover_listen(&h->listening, &app->loop, NULL, &log, h->path, &ops, h, detail,
                                          sizeof(detail));
  if (err) t2_log_at(&log, WARN, app->program, "no handover from this process: %s", detail);
  tell_running(h);
}

static void free_state(state *h) {
  if (h->conn >= 0) close(h->conn);
  if (h->kept >= 0) close(h->kept);
  t2_handover_set_fini(&h->set);
  t2_free(NULL, h->ports);
  t2_free(NULL, h->path);
  t2_free(NULL, h);
}

static void on_timer_close(uv_handle_t *handle) {
  free_state(handle->data);
}

void t2_app_handover_close(t2_app_handover *handover) {
  state *h = handover->state;

  if (!h) return;
  handover->state = NULL;
  if (h->listening) t2_handover_close(h->listening);
  h->listening = NULL;
  if (h->started)
    uv_close((uv_handle_t *)&h->timer, on_timer_close);
  else
    free_state(h);
}
