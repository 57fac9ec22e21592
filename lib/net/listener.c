#include <net/listener.h>

#include <errno.h>
#include <net/conn_internal.h>
#include <net/listener_socket.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/detail.h>

#define WAITING_MAX               1024 /* of those that a stop still accepts */
#define HANDSHAKE_TIMEOUT_DEFAULT 10000
#define STARVED_PAUSE_MS          100
#define ACCEPTS_A_TURN            64 /* then others on the loop have theirs */

/* It polls and accepts itself: uv_listen throws away the connections it has no descriptor for, or spins, and
 * holds one more than connections_max while it waits. */
struct t2_listener {
  uv_poll_t poll;
  t2_loop *loop;
  int fd;
  t2_tls *tls;
  bool clear_too;
  unsigned connections, connections_max;
  uint64_t handshake_timeout_ms, proxy_header_ms, hello_ms;
  const t2_pass_ops *pass;
  void *pass_user;
  t2_accepts *accepts, unshared; /* `unshared` where the options have none */
  t2_accept_cb on_accept;
  void *user;
  t2_list opening; /* t2_conn in the TLS handshake, or before it */
  t2_list handed;  /* t2_conn that were handed over */
  t2_timer pause;
  bool starved; /* out of descriptors, and that was logged */
  bool held;    /* t2_listener_hold */
  bool stopped; /* t2_listener_stop: the socket is closed, or being closed */
  bool polling; /* the poll handle has not closed yet */
  bool closing;
  const t2_deal_ops *deal; /* NULL: all are its own */
  void *deal_user;
  bool fed; /* it has no socket */
  atomic_uint *load;
  uint16_t port;
  char address[T2_ADDRESS_TEXT];
  t2_listener_close_cb on_close, on_opened; /* on_opened: after a stop */
  t2_reapable reapable;
  void *close_user, *opened_user;
};

/* ---- Accepting ---- */

static void on_readable(uv_poll_t *poll, int status, int events);

/* Accepts, or not, as its state says. */
static void set_polling(t2_listener *listener) {
  bool full = listener->connections_max && listener->connections >= listener->connections_max;

  if (listener->closing || listener->stopped || listener->fed) return;
  if (full || listener->held || t2_timer_running(&listener->pause))
    uv_poll_stop(&listener->poll);
  else
    uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

static void close_opening(t2_listener *listener, int err) {
  T2_LIST_FOREACH(node, next, &listener->opening) {
    t2_conn_close(T2_LIST_ENTRY(node, t2_conn, node), err);
  }
}

/* Of a pause; after a stop, of what may still be opened. */
static void on_pause_over(t2_timer *timer) {
  t2_listener *listener = T2_CONTAINER_OF(timer, t2_listener, pause);

  if (listener->stopped)
    close_opening(listener, T2_ERR_TIMEOUT);
  else
    set_polling(listener);
}

static void pause_accepting(t2_listener *listener, const char *why) {
  if (listener->stopped) return;
  if (!listener->starved)
    t2_log_at(&listener->loop->log, WARN, "net", "%s: accepting pauses: %s", listener->address, why);
  listener->starved = true;
  listener->accepts->starved++;
  t2_loop_timer_start(listener->loop, &listener->pause, STARVED_PAUSE_MS);
  set_polling(listener);
}

/* After a stop, once nothing is being opened any more. */
static void tell_opened(t2_listener *listener) {
  t2_listener_close_cb cb = listener->on_opened;

  if (!listener->stopped || !cb || !t2_list_empty(&listener->opening)) return;
  listener->on_opened = NULL;
  t2_loop_timer_stop(listener->loop, &listener->pause);
  cb(listener->opened_user);
}

static void lighten(const t2_listener *listener) {
  if (listener->load) atomic_fetch_sub_explicit(listener->load, 1, memory_order_relaxed);
}

static void on_conn_gone(void *user) {
  t2_listener *listener = user;

  lighten(listener);
  if (listener->connections-- == listener->connections_max) set_polling(listener);
  tell_opened(listener);
}

static void let_out(t2_listener *listener, t2_conn *conn) {
  t2_list_remove(&conn->node);
  t2_list_push_back(&listener->handed, &conn->node);
  t2_conn_disown(conn);
}

/* The callee may close the listener, but that is not freed before the loop's next turn. */
static void hand_over(t2_listener *listener, t2_conn *conn) {
  let_out(listener, conn);
  listener->on_accept(listener, conn, listener->user);
  tell_opened(listener);
}

static void on_ready(t2_conn *conn, void *user) {
  t2_listener *listener = user;

  if (t2_conn_is_tls(conn)) listener->accepts->handshakes++;
  hand_over(listener, conn);
}

static void on_opening_close(t2_conn *conn, int err, void *user) {
  t2_listener *listener = user;
  const char *detail = t2_conn_detail(conn);

  if (t2_conn_is_tls(conn)) listener->accepts->handshakes_failed++;
  t2_log_at(&listener->loop->log, DEBUG, "net", "%s: the connection from %.*s failed: %s", listener->address,
            T2_STR_ARG(t2_conn_peer(conn)), detail[0] ? detail : t2_strerror(err));
}

static const t2_conn_ops opening_ops = {.on_data = t2_conn_ignore_data, .on_close = on_opening_close};

/* Ready, or by TLS to be so. */
static void open_conn(t2_conn *conn, bool clear, t2_listener *listener) {
  if (listener->tls && !clear) {
    t2_conn_open_tls(conn, listener->tls, T2_STR_NULL, listener->handshake_timeout_ms, on_ready);
  } else {
    t2_conn_open(conn);
    hand_over(listener, conn);
  }
}

static void on_hello(t2_conn *conn, int err, t2_str server_name, void *user) {
  t2_listener *listener = user;

  if (!listener->pass || !listener->pass->wants(err, server_name, listener->pass_user)) {
    open_conn(conn, listener->clear_too && err == T2_ERR_PROTOCOL, listener);
    return;
  }
  t2_conn_open(conn);
  let_out(listener, conn);
  listener->pass->on_passed(conn, err, server_name, listener->pass_user);
  tell_opened(listener);
}

/* It is from whom its peer says. One too many of an address gets no word: that would cost more than it. */
static void choose_or_open(t2_conn *conn, void *user) {
  t2_listener *listener = user;
  bool tls = listener->tls || listener->pass;

  int err = t2_accepts_enter(listener->accepts, t2_conn_peer_host(conn), tls, t2_loop_now(listener->loop),
                             &conn->from);
  if (err)
    t2_conn_fail(conn, err, "there are as many from this address as there may be");
  else if (listener->pass || listener->clear_too)
    t2_conn_await_hello(conn, listener->hello_ms, on_hello);
  else
    open_conn(conn, false, listener);
}

/* Takes the descriptor over, also when it fails. */
static void take(t2_listener *listener, int fd, const t2_address *peer) {
  t2_conn *conn;
  int err = t2_conn_new(&conn, listener->loop, false, &opening_ops, listener);

  if (err) {
    close(fd);
    lighten(listener);
    pause_accepting(listener, t2_strerror(err));
    return;
  }
  t2_conn_set_peer(conn, peer);
  t2_conn_set_gone(conn, on_conn_gone, listener);
  listener->accepts->accepted++;
  if (++listener->connections == listener->connections_max) {
    listener->accepts->paused++;
    set_polling(listener);
  }
  t2_list_push_back(&listener->opening, &conn->node);
  err = uv_tcp_open(&conn->uv.tcp, fd);
  if (err) {
    close(fd);
    t2_conn_fail(conn, t2_error_of_uv(err), uv_strerror(err));
  } else if (listener->proxy_header_ms) {
    t2_conn_await_proxy(conn, listener->proxy_header_ms, choose_or_open);
  } else {
    choose_or_open(conn, listener);
  }
}

void t2_listener_feed(t2_listener *listener, int fd, const t2_address *peer) {
  if (!listener->closing && !listener->stopped) {
    take(listener, fd, peer);
    return;
  }
  lighten(listener);
  close(fd);
}

/* Those it is dealt among have as many as they may have: they are not heard of when that changes. */
static bool wait_for_room(t2_listener *listener) {
  if (!listener->deal || listener->deal->has_room(listener->deal_user)) return false;
  if (!listener->stopped && !t2_timer_running(&listener->pause)) {
    listener->accepts->paused++;
    t2_loop_timer_start(listener->loop, &listener->pause, STARVED_PAUSE_MS);
    set_polling(listener);
  }
  return true;
}

/* One connection: false when there is no more to accept now. */
static bool accept_one(t2_listener *listener) {
  t2_address peer;
  socklen_t size = sizeof(peer);

  if (wait_for_room(listener)) return false;
  memset(&peer, 0, sizeof(peer));
  int fd = accept4(listener->fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    if (!listener->deal || !listener->deal->take(fd, &peer, listener->deal_user)) take(listener, fd, &peer);
    return true;
  }
  switch (errno) {
  case EAGAIN:
    listener->starved = false;
    return false;
  case EINTR:
  case ECONNABORTED: /* these are the connection's own (accept(2)): the next may be good */
  case EPROTO:
  case EPERM:
  case ENETDOWN:
  case ENETUNREACH:
  case EHOSTDOWN:
  case EHOSTUNREACH:
    return true;
  default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM */
    pause_accepting(listener, uv_strerror(-errno));
    return false;
  }
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  t2_listener *listener = poll->data;

  (void)events;
  if (status < 0) {
    pause_accepting(listener, uv_strerror(status));
    return;
  }
  /* What was accepted may have stopped or closed it. */
  for (unsigned i = 0; i < ACCEPTS_A_TURN && uv_is_active((uv_handle_t *)poll); i++)
    if (!accept_one(listener)) return;
}

/* ---- Opening ---- */

static t2_listener *listener_new(t2_loop *loop, const t2_listener_options *options) {
  t2_listener *listener = t2_calloc(loop->mem, 1, sizeof(*listener));

  if (!listener) return NULL;
  listener->loop = loop;
  listener->connections_max = options->connections_max;
  listener->handshake_timeout_ms =
      options->handshake_timeout_ms ? options->handshake_timeout_ms : HANDSHAKE_TIMEOUT_DEFAULT;
  listener->proxy_header_ms = options->proxy_header_ms;
  listener->pass = options->pass;
  listener->pass_user = options->pass_user;
  listener->hello_ms = options->hello_ms ? options->hello_ms : HANDSHAKE_TIMEOUT_DEFAULT;
  listener->clear_too = options->clear_too;
  listener->deal = options->deal;
  listener->deal_user = options->deal_user;
  listener->fed = options->fed;
  listener->load = options->load;
  listener->accepts = options->accepts ? options->accepts : &listener->unshared;
  t2_list_init(&listener->opening);
  t2_list_init(&listener->handed);
  t2_timer_init(&listener->pause, on_pause_over);
  return listener;
}

/* Of a socket that was opened, or of none. */
static void set_up(t2_listener *listener, const t2_listener_options *options, t2_accept_cb cb, void *user) {
  t2_loop_hold(listener->loop);
  listener->held = options->held;
  listener->tls = options->tls ? t2_tls_ref(options->tls) : NULL;
  listener->on_accept = cb;
  listener->user = user;
}

static int fed_new(t2_listener **out, t2_loop *loop, const t2_listener_options *options, t2_accept_cb cb,
                   void *user) {
  t2_listener *listener = listener_new(loop, options);

  if (!listener) return T2_ERR_NOMEM;
  listener->fd = -1;
  set_up(listener, options, cb, user);
  *out = listener;
  return 0;
}

int t2_listener_new(t2_listener **out, t2_loop *loop, const t2_listener_options *options, t2_accept_cb cb,
                    void *user, char *detail, size_t detail_size) {
  t2_listener_socket_state opened;

  *out = NULL;
  if (options->fed) return fed_new(out, loop, options, cb, user);
  int err = t2_listener_socket_open(&opened, options, detail, detail_size);
  if (err) return err;
  t2_listener *listener = listener_new(loop, options);
  err = listener ? uv_poll_init(loop->uv, &listener->poll, opened.fd) : UV_ENOMEM;
  if (err) {
    t2_listener_socket_drop(&opened);
    t2_free(loop->mem, listener);
    return t2_detail(detail, detail_size, t2_error_of_uv(err), "cannot listen on %s: %s", options->address,
                     uv_strerror(err));
  }
  set_up(listener, options, cb, user);
  listener->fd = opened.fd;
  listener->polling = true;
  listener->poll.data = listener;
  listener->port = t2_address_port(&opened.address);
  t2_address_format(&opened.address, listener->address);
  set_polling(listener);
  *out = listener;
  return 0;
}

const char *t2_listener_address(const t2_listener *listener) {
  return listener->address;
}

uint16_t t2_listener_port(const t2_listener *listener) {
  return listener->port;
}

int t2_listener_socket(const t2_listener *listener) {
  return listener->fd;
}

void t2_listener_hold(t2_listener *listener, bool held) {
  listener->held = held;
  set_polling(listener);
}

void t2_listener_set_max(t2_listener *listener, unsigned connections_max) {
  listener->connections_max = connections_max;
  set_polling(listener);
}

/* ---- Closing ---- */

static void free_when_closed(t2_listener *listener) {
  t2_loop *loop = listener->loop;
  t2_listener_close_cb cb = listener->on_close;
  void *user = listener->close_user;

  if (!listener->closing || listener->polling) return;
  if (listener->tls) t2_tls_unref(listener->tls);
  t2_free(loop->mem, listener);
  if (cb) cb(user);
  t2_loop_release(loop);
}

static void free_reaped(t2_reapable *reapable) {
  free_when_closed(T2_CONTAINER_OF(reapable, t2_listener, reapable));
}

static void on_poll_close(uv_handle_t *handle) {
  t2_listener *listener = handle->data;

  listener->polling = false;
  free_when_closed(listener);
}

static void close_socket(t2_listener *listener) {
  if (listener->stopped) return;
  listener->stopped = true;
  if (listener->fed) return;
  uv_close((uv_handle_t *)&listener->poll, on_poll_close);
  close(listener->fd);
  listener->fd = -1;
}

/* What the system has accepted already would be reset with the socket. */
static void accept_waiting(t2_listener *listener) {
  for (unsigned i = 0; i < WAITING_MAX; i++) {
    bool full = listener->connections_max && listener->connections >= listener->connections_max;
    if (full || !accept_one(listener)) return;
  }
}

void t2_listener_stop(t2_listener *listener, uint64_t opening_ms, t2_listener_close_cb cb, void *user) {
  if (listener->stopped || listener->closing) return;
  if (!listener->held && !listener->fed) accept_waiting(listener);
  close_socket(listener);
  listener->on_opened = cb;
  listener->opened_user = user;
  if (opening_ms)
    t2_loop_timer_start(listener->loop, &listener->pause, opening_ms);
  else
    close_opening(listener, T2_ERR_CANCELLED);
  tell_opened(listener);
}

static void let_go(t2_conn *conn) {
  t2_list_remove(&conn->node);
  t2_conn_set_gone(conn, NULL, NULL);
}

void t2_listener_close(t2_listener *listener, t2_listener_close_cb cb, void *user) {
  if (listener->closing) return;
  listener->closing = true;
  listener->on_opened = NULL;
  listener->on_close = cb;
  listener->close_user = user;
  t2_loop_timer_stop(listener->loop, &listener->pause);
  T2_LIST_FOREACH(node, next, &listener->handed) {
    let_go(T2_LIST_ENTRY(node, t2_conn, node));
  }
  T2_LIST_FOREACH(node, next, &listener->opening) {
    t2_conn *conn = T2_LIST_ENTRY(node, t2_conn, node);
    let_go(conn);
    t2_conn_disown(conn);
    t2_conn_close(conn, T2_ERR_CANCELLED);
  }
  bool closed = (listener->stopped || listener->fed) && !listener->polling;
  close_socket(listener);
  if (closed) t2_loop_reap(listener->loop, &listener->reapable, free_reaped);
}
