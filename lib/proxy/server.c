#include <proxy/server.h>
#include <tunnel2/error.h>

/* What a client that knows of HTTP/2 begins with (RFC 9113, 3.4). */
#define PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_LEN (sizeof(PREFACE) - 1)

/* One public connection: HTTP/1.1 or HTTP/2, or, in the clear, not known yet. */
typedef struct server_conn {
  t2_list node;
  t2_server *server;
  t2_h1_server *h1;
  t2_h2_conn *h2;
  t2_conn *conn;    /* while it is not known */
  size_t preface_n; /* bytes of the preface that have come */
  t2_timer timer;
} server_conn;

struct t2_server {
  t2_proxy *proxy;
  t2_listener *listener;
  t2_server_options options;
  t2_server_request_cb on_request;
  void *user;
  t2_list conns;
  size_t conn_count;
  bool draining; /* nothing more is accepted */
  bool opened;   /* ... nor is anything in the TLS handshake any more */
  bool closing, listener_closed, reaped;
  t2_listener_close_cb on_close;
  void *close_user;
  t2_reapable reapable;
};

void t2_server_options_init(t2_server_options *options) {
  *options = (t2_server_options){0};
  t2_h1_server_options_init(&options->h1);
  t2_h2_conn_options_init(&options->h2, true);
  options->h2.at = T2_AT_LOCAL;
  options->h2.idle_timeout_ms = options->h1.keep_alive_timeout_ms;
  options->h2.stuck_timeout_ms = options->h1.body_timeout_ms;
}

static void free_server(t2_reapable *reapable) {
  t2_server *server = T2_CONTAINER_OF(reapable, t2_server, reapable);
  t2_listener_close_cb cb = server->on_close;
  void *user = server->close_user;
  t2_free(server->proxy->loop->mem, server);
  if (cb) cb(user);
}

static void free_when_closed(t2_server *server) {
  if (!server->closing || !server->listener_closed || server->conn_count || server->reaped) return;
  server->reaped = true;
  t2_loop_reap(server->proxy->loop, &server->reapable, free_server);
}

static void tell_drained(t2_server *server) {
  bool drained = server->draining && server->opened && server->conn_count == 0;
  if (!drained || server->closing || !server->options.on_drained) return;
  void (*on_drained)(void *user) = server->options.on_drained;
  server->options.on_drained = NULL;
  on_drained(server->user);
}

static void drop_conn(server_conn *sc) {
  t2_server *server = sc->server;
  t2_list_remove(&sc->node);
  server->conn_count--;
  t2_free(server->proxy->loop->mem, sc);
  tell_drained(server);
  free_when_closed(server);
}

static void on_h1_request(t2_h1_server *h1, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  server_conn *sc = user;
  t2_server_request request = {.server = sc->server,
                               .exchange = exchange,
                               .head = head,
                               .end = end,
                               .h1 = h1,
                               .transport = t2_h1_server_transport(h1)};
  sc->server->on_request(&request, sc->server->user);
}

static void on_h1_close(t2_h1_server *h1, void *user) {
  (void)h1;
  drop_conn(user);
}

static void on_h2_request(t2_h2_conn *h2, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  server_conn *sc = user;
  t2_server_request request = {.server = sc->server,
                               .exchange = exchange,
                               .head = head,
                               .end = end,
                               .h2 = h2,
                               .transport = t2_h2_conn_transport(h2)};
  head->scheme = t2_conn_is_tls(request.transport) ? T2_STR("https") : T2_STR("http");
  sc->server->on_request(&request, sc->server->user);
}

static void on_h2_close(t2_h2_conn *h2, int err, const char *detail, void *user) {
  (void)h2;
  (void)err;
  (void)detail;
  drop_conn(user);
}

static const t2_h1_server_ops h1_ops = {.on_request = on_h1_request, .on_close = on_h1_close};
static const t2_h2_conn_ops h2_ops = {.on_request = on_h2_request, .on_close = on_h2_close};

static int begin_h1(server_conn *sc, t2_conn *conn) {
  t2_server *server = sc->server;
  return t2_h1_server_new(&sc->h1, server->proxy, conn, &server->options.h1, &h1_ops, sc);
}

static int begin_h2(server_conn *sc, t2_conn *conn) {
  t2_server *server = sc->server;
  return t2_h2_conn_new(&sc->h2, server->proxy, conn, &server->options.h2, &h2_ops, sc);
}

static void drain_conn(const server_conn *sc) {
  if (sc->h1) t2_h1_server_drain(sc->h1);
  if (sc->h2) t2_h2_conn_drain(sc->h2);
}

/* ---- In the clear, the first bytes tell ---- */

static bool begin(server_conn *sc, bool h2) {
  t2_conn *conn = sc->conn;
  sc->conn = NULL;
  t2_loop_timer_stop(sc->server->proxy->loop, &sc->timer);
  t2_conn_disown(conn); /* when it cannot be taken over it is closed, with nobody behind it */
  if (h2 ? begin_h2(sc, conn) : begin_h1(sc, conn)) {
    drop_conn(sc);
    return false;
  }
  if (sc->server->draining) drain_conn(sc);
  return true;
}

/* With a whole request in it, it is the last call: the connection may have been handed on. */
static void feed(server_conn *sc, uint8_t *bytes, size_t n) {
  if (sc->h2)
    t2_h2_conn_feed(sc->h2, bytes, n);
  else
    t2_h1_server_feed(sc->h1, bytes, n);
}

static void on_first_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  (void)conn;
  server_conn *sc = user;
  size_t rest = PREFACE_LEN - sc->preface_n, more = n < rest ? n : rest;
  bool same = memcmp(bytes, &PREFACE[sc->preface_n], more) == 0;
  if (same && more < rest) {
    sc->preface_n += more;
    return;
  }
  if (!begin(sc, same)) return;
  if (sc->preface_n) { /* what came before, from memory of its own since it may be changed in place */
    uint8_t begun[PREFACE_LEN];
    memcpy(begun, PREFACE, sc->preface_n);
    feed(sc, begun, sc->preface_n); /* no whole request: it is still there */
  }
  feed(sc, bytes, n);
}

static void on_first_close(t2_conn *conn, int err, void *user) {
  (void)conn;
  (void)err;
  server_conn *sc = user;
  t2_loop_timer_stop(sc->server->proxy->loop, &sc->timer);
  drop_conn(sc);
}

static void on_first_timer(t2_timer *timer) {
  server_conn *sc = T2_CONTAINER_OF(timer, server_conn, timer);
  sc->server->proxy->late_heads++;
  t2_conn_close(sc->conn, T2_ERR_TIMEOUT);
}

static const t2_conn_ops first_ops = {.on_data = on_first_data, .on_close = on_first_close};

static void await_first(server_conn *sc) {
  const t2_h1_server_options *o = &sc->server->options.h1;
  bool hurried = sc->server->draining && o->drain_grace_ms < o->header_timeout_ms;
  t2_loop_timer_start(sc->server->proxy->loop, &sc->timer,
                      hurried ? o->drain_grace_ms : o->header_timeout_ms);
}

static void look(server_conn *sc, t2_conn *conn) {
  sc->conn = conn;
  await_first(sc);
  t2_conn_set_ops(conn, &first_ops, sc);
}

static void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  (void)listener;
  t2_server *server = user;
  server_conn *sc = t2_calloc(server->proxy->loop->mem, 1, sizeof(*sc));
  if (!sc) {
    t2_conn_close(conn, T2_ERR_NOMEM);
    return;
  }
  sc->server = server;
  t2_timer_init(&sc->timer, on_first_timer);
  t2_list_push_back(&server->conns, &sc->node);
  server->conn_count++;
  int err = 0;
  if (!t2_conn_is_tls(conn))
    look(sc, conn);
  else if (t2_str_eq(t2_conn_alpn(conn), T2_STR("h2")))
    err = begin_h2(sc, conn);
  else
    err = begin_h1(sc, conn);
  if (err)
    drop_conn(sc);
  else if (server->draining)
    drain_conn(sc);
}

int t2_server_new(t2_server **out, t2_proxy *proxy, const t2_server_options *options, t2_server_request_cb cb,
                  void *user, char *detail, size_t detail_size) {
  *out = NULL;
  t2_server *server = t2_calloc(proxy->loop->mem, 1, sizeof(*server));
  if (!server) return T2_ERR_NOMEM;
  server->proxy = proxy;
  server->options = *options;
  server->options.h2.h2.server = true;
  server->on_request = cb;
  server->user = user;
  t2_list_init(&server->conns);
  int err = t2_listener_new(&server->listener, proxy->loop, &options->listener, on_accept, server, detail,
                            detail_size);
  if (err) {
    t2_free(proxy->loop->mem, server);
    return err;
  }
  *out = server;
  return 0;
}

/* What a server that drains listened on is of no more use to anybody. */
const char *t2_server_address(const t2_server *server) {
  return server->draining ? "" : t2_listener_address(server->listener);
}

int t2_server_socket(const t2_server *server) {
  return server->draining ? -1 : t2_listener_socket(server->listener);
}

void t2_server_feed(t2_server *server, int fd, const t2_address *peer) {
  t2_listener_feed(server->listener, fd, peer);
}

void t2_server_hold(t2_server *server, bool held) {
  if (!server->draining) t2_listener_hold(server->listener, held);
}

/* Those that a drain still waits for in the handshake are as good as one. */
size_t t2_server_connections(const t2_server *server) {
  return server->conn_count + (server->draining && !server->opened && !server->closing);
}

void t2_server_set_limits(t2_server *server, const t2_server_options *options) {
  server->options.h1.header_timeout_ms = options->h1.header_timeout_ms;
  server->options.h1.keep_alive_timeout_ms = options->h1.keep_alive_timeout_ms;
  server->options.h1.body_timeout_ms = options->h1.body_timeout_ms;
  server->options.h1.body_rate_min = options->h1.body_rate_min;
  server->options.h2.idle_timeout_ms = options->h2.idle_timeout_ms;
  server->options.h2.stuck_timeout_ms = options->h2.stuck_timeout_ms;
  if (!server->draining) t2_listener_set_max(server->listener, options->listener.connections_max);
}

static void on_listener_close(void *user) {
  t2_server *server = user;
  server->listener_closed = true;
  free_when_closed(server);
}

static void on_opened(void *user) {
  t2_server *server = user;
  server->opened = true;
  tell_drained(server);
}

void t2_server_drain(t2_server *server) {
  if (server->draining) return;
  server->draining = true;
  T2_LIST_FOREACH(node, next, &server->conns) {
    server_conn *sc = T2_LIST_ENTRY(node, server_conn, node);
    drain_conn(sc);
    if (sc->conn) await_first(sc);
  }
  t2_listener_stop(server->listener, server->options.h1.drain_grace_ms, on_opened, server);
}

void t2_server_close(t2_server *server, t2_listener_close_cb cb, void *user) {
  server->closing = true;
  server->on_close = cb;
  server->close_user = user;
  server->draining = true;
  t2_listener_close(server->listener, on_listener_close, server);
  T2_LIST_FOREACH(node, next, &server->conns) {
    server_conn *sc = T2_LIST_ENTRY(node, server_conn, node);
    if (sc->h1) t2_h1_server_close(sc->h1, T2_ERR_CANCELLED);
    if (sc->h2) t2_h2_conn_close(sc->h2, T2_ERR_CANCELLED);
    if (sc->conn) t2_conn_close(sc->conn, T2_ERR_CANCELLED);
  }
  free_when_closed(server);
}
