#include <proxy/dial_failure.h>
#include <proxy/proxy_protocol.h>
#include <proxy/tcp_leg.h>
#include <tunnel2/error.h>

#define KEEPALIVE_S 60
/* How long a peer may take nothing of what is left to send when both directions have ended. */
#define LINGER_MS (5 * 60 * 1000)

typedef enum tcp_state { TCP_NEW, TCP_WAITING, TCP_OPEN, TCP_PARTING, TCP_GONE } tcp_state;

typedef struct t2_tcp_leg {
  t2_leg leg;
  t2_list node;
  t2_tcp_legs *owner; /* NULL: it has closed */
  t2_loop *loop;
  tcp_state state;
  t2_conn *conn;                     /* WAITING downstream, OPEN, PARTING */
  t2_dial *dial;                     /* WAITING upstream */
  const t2_tcp_leg_options *options; /* upstream */
  t2_buf early;                      /* WAITING upstream: what is to be sent first */
  size_t early_content;              /* of it, what the exchange has given */
  size_t early_noted;                /* as the loop's pressure has it */
  size_t given;                      /* to the exchange, and not yet consumed */
  size_t unacked;                    /* content in the output, not yet reported as consumed */
  bool ended;                        /* the other side gives no more */
  bool refused;                      /* downstream: the answer was no acceptance */
  t2_reapable reapable;
} t2_tcp_leg;

static t2_tcp_leg *tcp_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_tcp_leg, leg);
}

/* ---- The end ---- */

static void free_leg(t2_reapable *reapable) {
  t2_tcp_leg *tcp = T2_CONTAINER_OF(reapable, t2_tcp_leg, reapable);
  t2_pressure_note(&tcp->loop->pressure, &tcp->early_noted, 0);
  t2_buf_fini(&tcp->early);
  t2_free(tcp->loop->mem, tcp);
}

/* There is no connection any more. */
static void gone(t2_tcp_leg *tcp) {
  t2_tcp_legs *owner = tcp->owner;
  tcp->state = TCP_GONE;
  tcp->owner = NULL;
  t2_list_remove(&tcp->node);
  t2_loop_reap(tcp->loop, &tcp->reapable, free_leg);
  if (!owner) return;
  owner->count--;
  if (owner->on_gone) owner->on_gone(owner->user);
}

static void cut(t2_tcp_leg *tcp, int err) {
  t2_conn *conn = tcp->conn;
  if (tcp->state == TCP_GONE) return;
  if (tcp->dial) t2_dial_cancel(tcp->dial);
  tcp->dial = NULL;
  tcp->conn = NULL;
  if (conn) {
    t2_conn_disown(conn);
    t2_conn_reset(conn, err);
  }
  gone(tcp);
}

/* detail goes to the public: it names no address. */
static void fail(t2_tcp_leg *tcp, int err, t2_problem_at at, const char *detail) {
  cut(tcp, err);
  t2_exchange_fail(&tcp->leg, err, at, detail);
}

/* ---- From the connection ---- */

/* Is there room for all that another read may bring? */
static bool has_room(const t2_tcp_leg *tcp) {
  return tcp->given + tcp->loop->pressure.read_max <= t2_leg_window(tcp->loop);
}

static void update_reading(t2_tcp_leg *tcp) {
  if (!has_room(tcp))
    t2_conn_read_stop(tcp->conn);
  else
    t2_conn_read_start(tcp->conn);
}

static void on_conn_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  t2_tcp_leg *tcp = user;
  (void)conn;
  tcp->given += n;
  t2_exchange_data(&tcp->leg, bytes, n);
  if (tcp->state == TCP_OPEN) update_reading(tcp);
}

static void on_conn_eof(t2_conn *conn, void *user) {
  t2_tcp_leg *tcp = user;
  (void)conn;
  t2_exchange_end(&tcp->leg, NULL);
}

/* What an origin has said before it was reset may still be read. */
static void on_conn_hangup(t2_conn *conn, bool reset, void *user) {
  const t2_tcp_leg *tcp = user;
  if (reset && !tcp->leg.upstream) t2_conn_close(conn, T2_ERR_CLOSED);
}

/* Reading goes on from here, never from within `consumed`. */
static void on_conn_flush(t2_conn *conn, void *user) {
  t2_tcp_leg *tcp = user;
  (void)conn;
  if (tcp->state == TCP_OPEN) update_reading(tcp);
}

static void on_conn_written(t2_conn *conn, void *user) {
  t2_tcp_leg *tcp = user;
  size_t pending = t2_conn_pending(conn), left = tcp->unacked < pending ? tcp->unacked : pending;
  size_t sent = tcp->unacked - left;
  tcp->unacked = left;
  t2_exchange_consumed(&tcp->leg, sent);
}

static void on_conn_close(t2_conn *conn, int err, void *user) {
  t2_tcp_leg *tcp = user;
  (void)conn;
  tcp->conn = NULL;
  fail(tcp, err ? err : T2_ERR_CLOSED, tcp->leg.upstream ? T2_AT_ORIGIN : T2_AT_LOCAL, NULL);
}

static const t2_conn_ops conn_ops = {
    .on_data = on_conn_data,
    .on_eof = on_conn_eof,
    .on_hangup = on_conn_hangup,
    .on_flush = on_conn_flush,
    .on_written = on_conn_written,
    .on_close = on_conn_close,
};

/* ---- To the connection ---- */

static int leg_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  t2_tcp_leg *tcp = tcp_of(leg);
  if (tcp->refused) {
    t2_exchange_consumed(leg, n);
    return 0;
  }
  if (tcp->state == TCP_WAITING) {
    if (n > T2_TCP_EARLY_MAX - tcp->early_content) return T2_ERR_LIMIT;
    tcp->early_content += n;
    t2_pressure_note(&tcp->loop->pressure, &tcp->early_noted, tcp->early_content);
    return t2_buf_append(&tcp->early, bytes, n);
  }
  int err = t2_buf_append(t2_conn_out(tcp->conn), bytes, n);
  if (err) return err;
  tcp->unacked += n;
  t2_conn_wake(tcp->conn);
  return 0;
}

static int leg_end(t2_leg *leg, const t2_fields *trailers) {
  t2_tcp_leg *tcp = tcp_of(leg);
  (void)trailers;
  tcp->ended = true;
  if (tcp->state == TCP_OPEN) t2_conn_shutdown(tcp->conn);
  return 0;
}

static void leg_consumed(t2_leg *leg, size_t n) {
  t2_tcp_leg *tcp = tcp_of(leg);
  tcp->given -= n < tcp->given ? n : tcp->given;
  if (tcp->conn && !t2_conn_reading(tcp->conn) && has_room(tcp)) t2_conn_wake(tcp->conn);
}

/* What is in the output when both directions have ended is still sent, at the peer's pace. */
static void leg_closed(t2_leg *leg, int err) {
  t2_tcp_leg *tcp = tcp_of(leg);
  if (err || tcp->state != TCP_OPEN) {
    cut(tcp, err ? err : T2_ERR_REFUSED);
    return;
  }
  tcp->state = TCP_PARTING;
  t2_conn_finish(tcp->conn, LINGER_MS);
}

/* ---- Downstream ---- */

static int accepted_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_tcp_leg *tcp = tcp_of(leg);
  if (head->status < 200 && head->status != 101) return 0;
  tcp->refused = !leg->exchange->tunnel;
  if (tcp->refused) return 0;
  tcp->state = TCP_OPEN;
  t2_conn_read_start(tcp->conn);
  return end ? leg_end(leg, NULL) : 0;
}

static const t2_leg_ops accepted_ops = {
    .name = "tcp server",
    .at = T2_AT_LOCAL,
    .head = accepted_head,
    .data = leg_data,
    .end = leg_end,
    .consumed = leg_consumed,
    .closed = leg_closed,
};

static t2_tcp_leg *leg_new(t2_tcp_legs *legs, const t2_leg_ops *ops, tcp_state state) {
  t2_tcp_leg *tcp = t2_calloc(legs->loop->mem, 1, sizeof(*tcp));
  if (!tcp) return NULL;
  tcp->leg.ops = ops;
  tcp->owner = legs;
  tcp->loop = legs->loop;
  tcp->state = state;
  t2_buf_init(&tcp->early, legs->loop->mem);
  t2_list_init(&tcp->node);
  t2_list_push_back(&legs->list, &tcp->node);
  legs->count++;
  return tcp;
}

t2_leg *t2_tcp_leg_accepted(t2_tcp_legs *legs, t2_conn *conn) {
  t2_tcp_leg *tcp = leg_new(legs, &accepted_ops, TCP_WAITING);
  if (!tcp) {
    t2_conn_reset(conn, T2_ERR_NOMEM);
    return NULL;
  }
  tcp->conn = conn;
  t2_conn_keepalive(conn, KEEPALIVE_S);
  t2_conn_set_ops(conn, &conn_ops, tcp);
  t2_conn_read_stop(conn);
  return &tcp->leg;
}

void t2_tcp_leg_drop(t2_leg *leg, int err) {
  cut(tcp_of(leg), err);
}

/* ---- Upstream ---- */

static void open_tunnel(t2_tcp_leg *tcp, t2_conn *conn) {
  tcp->state = TCP_OPEN;
  tcp->conn = conn;
  tcp->unacked = tcp->early_content;
  t2_conn_keepalive(conn, KEEPALIVE_S);
  t2_conn_set_ops(conn, &conn_ops, tcp);
  (void)t2_buf_append(t2_conn_out(conn), t2_buf_head(&tcp->early), t2_buf_len(&tcp->early));
  t2_buf_fini(&tcp->early);
  t2_pressure_note(&tcp->loop->pressure, &tcp->early_noted, 0);
  if (tcp->ended) t2_conn_shutdown(conn);
  t2_conn_wake(conn); /* it sees an append that failed */
}

static void note_dialled(t2_tcp_leg *tcp, int err, const char *detail) {
  const t2_log *log = &tcp->loop->log;
  if (err && !tcp->owner->failing)
    t2_log_at(log, WARN, "proxy", "origin: %s", detail && *detail ? detail : t2_strerror(err));
  else if (!err && tcp->owner->failing)
    t2_log_at(log, INFO, "proxy", "origin: connected again");
  tcp->owner->failing = err != 0;
  if (tcp->owner->on_dialled) tcp->owner->on_dialled(err, tcp->owner->user);
}

static void on_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  t2_tcp_leg *tcp = user;
  t2_head answer = {.status = 200, .content_length = -1, .version_minor = 1};
  (void)dial;
  tcp->dial = NULL;
  note_dialled(tcp, err, detail);
  if (err) {
    fail(tcp, err, T2_AT_DIAL, t2_dial_failure(err));
    return;
  }
  open_tunnel(tcp, conn);
  t2_exchange_head(&tcp->leg, &answer, false);
}

static int dialling_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_tcp_leg *tcp = tcp_of(leg);
  uint8_t header[T2_PROXY_PROTOCOL_MAX];
  tcp->state = TCP_WAITING;
  tcp->ended = end;
  if (tcp->options->proxy_protocol) {
    int err = t2_buf_append(&tcp->early, header, t2_proxy_protocol_of_request(header, head));
    if (err) return err;
  }
  return t2_dial_start(&tcp->dial, tcp->loop, &tcp->options->dial, on_dialled, tcp);
}

static const t2_leg_ops dialling_ops = {
    .name = "tcp client",
    .at = T2_AT_ORIGIN,
    .head = dialling_head,
    .data = leg_data,
    .end = leg_end,
    .consumed = leg_consumed,
    .closed = leg_closed,
};

t2_leg *t2_tcp_leg_dialling(t2_tcp_legs *legs, const t2_tcp_leg_options *options) {
  t2_tcp_leg *tcp = leg_new(legs, &dialling_ops, TCP_NEW);
  if (!tcp) return NULL;
  tcp->options = options;
  return &tcp->leg;
}

/* ---- All of them ---- */

void t2_tcp_legs_init(t2_tcp_legs *legs, t2_loop *loop) {
  *legs = (t2_tcp_legs){.loop = loop};
  t2_list_init(&legs->list);
}

void t2_tcp_legs_close(t2_tcp_legs *legs) {
  while (!t2_list_empty(&legs->list)) {
    t2_tcp_leg *tcp = T2_LIST_ENTRY(legs->list.next, t2_tcp_leg, node);
    tcp->owner = NULL;
    legs->count--;
    fail(tcp, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
  }
}
