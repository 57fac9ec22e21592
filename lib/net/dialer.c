#include <net/dialer.h>

#include <net/conn_internal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/un.h>
#include <tunnel2/error.h>

#define TIMEOUT_DEFAULT  10000
#define ATTEMPT_DELAY_MS 250 /* RFC 8305, 5: Connection Attempt Delay */
#define ADDRESSES_MAX    16  /* of a name; what else it has is not tried */
#define HOST_MAX         253
#define DETAIL_MAX       256

/*   start ──▶ RESOLVING ──▶ CONNECTING ──first to connect──▶ HANDSHAKE ──▶ cb, freed
 *                 └──────────────┴── all failed, or the timeout ──┴──▶ cb, freed */
typedef enum dial_state { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_HANDSHAKE, DIAL_OVER } dial_state;

struct t2_dial {
  t2_loop *loop;
  dial_state state;
  t2_dial_cb cb;
  void *user;
  t2_tls *tls;
  uint16_t port;
  bool private_only, passed_over; /* passed_over: an address was */
  uint64_t timeout_ms;
  t2_flushable starter; /* what cannot be done from within t2_dial_start */
  t2_timer timeout;
  t2_timer next_attempt;
  uv_getaddrinfo_t resolve;
  bool resolve_under_way; /* it cannot be freed before its callback */
  t2_address addresses[ADDRESSES_MAX];
  size_t address_count, address_next;
  t2_list attempts;
  t2_conn *conn; /* the winner, in the handshake */
  int error;
  char detail[DETAIL_MAX];
  char *server_name;
  char *unix_path;
  char host[]; /* NUL-terminated */
};

/* One address being connected to. Lives until libuv calls back, with or without its dial. */
typedef struct attempt {
  uv_connect_t req;
  t2_list node;
  t2_dial *dial; /* NULL: nobody waits */
  t2_conn *conn;
} attempt;

/* ---- The end ---- */

static void free_dial(t2_dial *dial) {
  const t2_allocator *mem = dial->loop->mem;

  if (dial->tls) t2_tls_unref(dial->tls);
  t2_free(mem, dial->server_name);
  t2_free(mem, dial->unix_path);
  t2_free(mem, dial);
}

static void set_error(t2_dial *dial, int err, const char *format, ...) T2_PRINTF(3, 4);
static void set_error(t2_dial *dial, int err, const char *format, ...) {
  va_list args;

  dial->error = err;
  va_start(args, format);
  vsnprintf(dial->detail, sizeof(dial->detail), format, args);
  va_end(args);
}

static void drop_conn(t2_conn *conn) {
  t2_conn_disown(conn);
  t2_conn_close(conn, T2_ERR_CANCELLED);
}

static void drop_attempts(t2_dial *dial) {
  while (!t2_list_empty(&dial->attempts)) {
    attempt *a = T2_LIST_ENTRY(dial->attempts.next, attempt, node);
    t2_list_remove(&a->node);
    a->dial = NULL;
    drop_conn(a->conn);
  }
}

/* Ends all that is under way; the dial is freed now, or when the resolver gives it back. */
static void wind_up(t2_dial *dial) {
  dial->state = DIAL_OVER;
  t2_loop_calm(&dial->starter);
  t2_loop_timer_stop(dial->loop, &dial->timeout);
  t2_loop_timer_stop(dial->loop, &dial->next_attempt);
  drop_attempts(dial);
  if (dial->conn) drop_conn(dial->conn);
  dial->conn = NULL;
  if (dial->resolve_under_way)
    uv_cancel((uv_req_t *)&dial->resolve);
  else
    free_dial(dial);
}

static void give_up(t2_dial *dial) {
  t2_dial_cb cb = dial->cb;
  char detail[DETAIL_MAX];

  memcpy(detail, dial->detail, sizeof(detail));
  dial->state = DIAL_OVER;
  cb(dial, dial->error, NULL, detail, dial->user);
  wind_up(dial);
}

static void succeed(t2_dial *dial, t2_conn *conn) {
  dial->state = DIAL_OVER;
  dial->conn = NULL;
  t2_conn_disown(conn);
  dial->cb(dial, 0, conn, "", dial->user);
  wind_up(dial);
}

/* ---- The handshake ---- */

static void on_ready(t2_conn *conn, void *user) {
  succeed(user, conn);
}

static void on_conn_close(t2_conn *conn, int err, void *user) {
  t2_dial *dial = user;
  const char *detail = t2_conn_detail(conn);

  dial->conn = NULL;
  set_error(dial, err, "%.*s: %s", T2_STR_ARG(t2_conn_peer(conn)), detail[0] ? detail : t2_strerror(err));
  give_up(dial);
}

static const t2_conn_ops conn_ops = {.on_data = t2_conn_ignore_data, .on_close = on_conn_close};

/* The winner's user is the dial from here on: before, its end is told by its connect request. */
static void use_connection(t2_dial *dial, t2_conn *conn) {
  t2_loop_timer_stop(dial->loop, &dial->next_attempt);
  drop_attempts(dial);
  if (!dial->tls) {
    t2_conn_open(conn);
    succeed(dial, conn);
    return;
  }
  dial->state = DIAL_HANDSHAKE;
  dial->conn = conn;
  conn->ops = &conn_ops;
  conn->user = dial;
  t2_conn_open_tls(conn, dial->tls, t2_str_c(dial->server_name), 0, on_ready);
}

/* ---- Attempts to connect ---- */

static void attempt_next(t2_dial *dial);

static void attempt_failed(t2_dial *dial, const char *peer, int err, const char *why) {
  set_error(dial, err, "%s: %s", peer, why);
  if (dial->address_next < dial->address_count)
    attempt_next(dial);
  else if (t2_list_empty(&dial->attempts))
    give_up(dial);
}

static void on_connect(uv_connect_t *req, int status) {
  attempt *a = T2_CONTAINER_OF(req, attempt, req);
  t2_dial *dial = a->dial;
  t2_conn *conn = a->conn;
  char peer[T2_ADDRESS_TEXT];

  t2_list_remove(&a->node);
  t2_free(conn->loop->mem, a);
  if (!dial) return; /* its connection is closed already */
  if (status == 0) {
    use_connection(dial, conn);
    return;
  }
  snprintf(peer, sizeof(peer), "%.*s", T2_STR_ARG(t2_conn_peer(conn)));
  drop_conn(conn);
  attempt_failed(dial, dial->unix_path ? dial->unix_path : peer, t2_error_of_uv(status), uv_strerror(status));
}

/* Connects the attempt's new connection, to the address or else the unix socket. A libuv status. */
static int connect_attempt(attempt *a, const t2_address *address) {
  t2_conn_set_peer(a->conn, address);
  if (address) return uv_tcp_connect(&a->req, &a->conn->uv.tcp, &address->any, on_connect);
  uv_pipe_connect(&a->req, &a->conn->uv.pipe, a->dial->unix_path, on_connect);
  return 0;
}

static void attempt_one(t2_dial *dial, const t2_address *address) {
  attempt *a = t2_calloc(dial->loop->mem, 1, sizeof(*a));
  int err = a ? t2_conn_new(&a->conn, dial->loop, !address, &conn_ops, NULL) : T2_ERR_NOMEM;
  char peer[T2_ADDRESS_TEXT] = "unix";

  if (address) t2_address_format(address, peer);
  if (err) {
    t2_free(dial->loop->mem, a);
    attempt_failed(dial, peer, err, t2_strerror(err));
    return;
  }
  t2_conn_disown(a->conn);
  a->dial = dial;
  t2_list_push_back(&dial->attempts, &a->node);
  int status = connect_attempt(a, address);
  if (status == 0) return;
  t2_list_remove(&a->node);
  drop_conn(a->conn);
  t2_free(dial->loop->mem, a);
  attempt_failed(dial, peer, t2_error_of_uv(status), uv_strerror(status));
}

/* The next address, and a while later the one after it, unless the first has an answer by then. */
static void attempt_next(t2_dial *dial) {
  const t2_address *address = &dial->addresses[dial->address_next++];

  if (dial->address_next < dial->address_count)
    t2_loop_timer_start(dial->loop, &dial->next_attempt, ATTEMPT_DELAY_MS);
  else
    t2_loop_timer_stop(dial->loop, &dial->next_attempt);
  attempt_one(dial, address);
}

static void on_next_attempt(t2_timer *timer) {
  attempt_next(T2_CONTAINER_OF(timer, t2_dial, next_attempt));
}

/* ---- Names ---- */

static void add_address(t2_dial *dial, const struct sockaddr *from) {
  t2_address *address = &dial->addresses[dial->address_count];

  if (dial->address_count == ADDRESSES_MAX || !t2_address_from(address, from)) return;
  if (dial->private_only && !t2_address_is_private(address)) {
    dial->passed_over = true;
    return;
  }
  if (address->any.sa_family == AF_INET6)
    address->in6.sin6_port = htons(dial->port);
  else
    address->in.sin_port = htons(dial->port);
  dial->address_count++;
}

/* The families take turns, beginning with the system's first choice (RFC 8305, 4). */
static void interleave(t2_dial *dial, const struct addrinfo *list) {
  const struct addrinfo *same = list, *other = list;
  int family = list ? list->ai_family : AF_UNSPEC;

  while ((same || other) && dial->address_count < ADDRESSES_MAX) {
    while (same && same->ai_family != family)
      same = same->ai_next;
    while (other && other->ai_family == family)
      other = other->ai_next;
    if (same) add_address(dial, same->ai_addr);
    if (other) add_address(dial, other->ai_addr);
    same = same ? same->ai_next : NULL;
    other = other ? other->ai_next : NULL;
  }
}

static void connect_all(t2_dial *dial) {
  dial->state = DIAL_CONNECTING;
  if (dial->address_count) {
    attempt_next(dial);
    return;
  }
  if (dial->passed_over)
    set_error(dial, T2_ERR_UNSUPPORTED, "%s is at a public address", dial->host);
  else
    set_error(dial, T2_ERR_RESOLVE, "the name %s has no address", dial->host);
  give_up(dial);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
  t2_dial *dial = T2_CONTAINER_OF(req, t2_dial, resolve);
  t2_loop *loop = dial->loop;

  dial->resolve_under_way = false;
  if (dial->state == DIAL_OVER) {
    free_dial(dial);
  } else if (status) {
    set_error(dial, t2_error_of_uv(status), "the name %s does not resolve: %s", dial->host,
              uv_strerror(status));
    give_up(dial);
  } else {
    interleave(dial, list);
    connect_all(dial);
  }
  uv_freeaddrinfo(list);
  t2_loop_release(loop);
}

/* RFC 6761, 6.3: these names are this host, and no name server is asked. */
static bool is_localhost(t2_str host) {
  t2_str suffix = T2_STR("localhost");

  if (host.n < suffix.n || !t2_str_eq_nocase(t2_str_of(host.p + host.n - suffix.n, suffix.n), suffix))
    return false;
  return host.n == suffix.n || host.p[host.n - suffix.n - 1] == '.';
}

static void add_loopback(t2_dial *dial) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

  add_address(dial, (const struct sockaddr *)&v4);
  add_address(dial, (const struct sockaddr *)&v6);
}

static void resolve(t2_dial *dial) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  int status = uv_getaddrinfo(dial->loop->uv, &dial->resolve, on_resolved, dial->host, NULL, &hints);

  if (status == 0) {
    dial->resolve_under_way = true;
    t2_loop_hold(dial->loop);
    return;
  }
  set_error(dial, t2_error_of_uv(status), "the name %s does not resolve: %s", dial->host,
            uv_strerror(status));
  give_up(dial);
}

static void on_start(t2_flushable *flushable) {
  t2_dial *dial = T2_CONTAINER_OF(flushable, t2_dial, starter);
  t2_str host = t2_str_c(dial->host);
  t2_address address;

  if (dial->unix_path) {
    dial->state = DIAL_CONNECTING;
    attempt_one(dial, NULL);
  } else if (t2_address_parse(&address, host, dial->port) == 0) {
    add_address(dial, &address.any);
    connect_all(dial);
  } else if (is_localhost(host)) {
    add_loopback(dial);
    connect_all(dial);
  } else {
    resolve(dial);
  }
}

/* ---- The beginning ---- */

static void on_timeout(t2_timer *timer) {
  static const char *const doings[] = {
      [DIAL_RESOLVING] = "resolving the name",
      [DIAL_CONNECTING] = "connecting",
      [DIAL_HANDSHAKE] = "the TLS handshake",
  };
  t2_dial *dial = T2_CONTAINER_OF(timer, t2_dial, timeout);

  set_error(dial, T2_ERR_TIMEOUT, "%s: %s took longer than %u ms",
            dial->unix_path ? dial->unix_path : dial->host, doings[dial->state], (unsigned)dial->timeout_ms);
  give_up(dial);
}

/* A name of up to HOST_MAX characters, with its root's dot perhaps, or a path that a socket address holds. */
static bool options_valid(const t2_dial_options *options) {
  if (options->unix_path) {
    size_t n = strlen(options->unix_path);
    return n > 0 && n < sizeof(((struct sockaddr_un *)NULL)->sun_path);
  }
  return options->host.n > 0 && options->host.n <= HOST_MAX + 1 && options->port &&
         !memchr(options->host.p, '\0', options->host.n);
}

static int copy_options(t2_dial *dial, const t2_dial_options *options) {
  const t2_allocator *mem = dial->loop->mem;
  t2_str name = options->server_name.n ? options->server_name : options->host;

  if (!options->unix_path) memcpy(dial->host, options->host.p, options->host.n);
  dial->port = options->port;
  dial->private_only = options->private_only;
  dial->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_DEFAULT;
  dial->tls = options->tls ? t2_tls_ref(options->tls) : NULL;
  dial->server_name = t2_strndup(mem, name.p, name.n);
  if (options->unix_path) dial->unix_path = t2_strdup(mem, options->unix_path);
  return dial->server_name && (dial->unix_path || !options->unix_path) ? 0 : T2_ERR_NOMEM;
}

int t2_dial_start(t2_dial **out, t2_loop *loop, const t2_dial_options *options, t2_dial_cb cb, void *user) {
  *out = NULL;
  if (!options_valid(options)) return T2_ERR_INVALID;
  size_t host_n = options->unix_path ? 0 : options->host.n;
  t2_dial *dial = t2_calloc(loop->mem, 1, sizeof(*dial) + host_n + 1);
  if (!dial) return T2_ERR_NOMEM;
  dial->loop = loop;
  dial->cb = cb;
  dial->user = user;
  t2_flushable_init(&dial->starter, on_start);
  t2_timer_init(&dial->timeout, on_timeout);
  t2_timer_init(&dial->next_attempt, on_next_attempt);
  t2_list_init(&dial->attempts);
  int err = copy_options(dial, options);
  if (err) {
    free_dial(dial);
    return err;
  }
  t2_loop_timer_start(loop, &dial->timeout, dial->timeout_ms);
  t2_loop_wake(loop, &dial->starter);
  *out = dial;
  return 0;
}

void t2_dial_cancel(t2_dial *dial) {
  wind_up(dial);
}
