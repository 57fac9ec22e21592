#include <base/backoff.h>
#include <client/uplink.h>
#include <http/h1.h>
#include <http/ptth.h>
#include <net/dialer.h>
#include <proxy/refusal.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/ticket.h>

#define HANDSHAKE_TIMEOUT_MS                                                                                 \
  10000                   /* for the connection with TLS, and again for the answer to the upgrade            \
                           */
#define KNOCK_MS    500   /* where nobody listens one can ask again soon: that costs nobody anything */
#define STABLE_MS   1000  /* up for so long it was good, and what comes after it is no repetition */
#define CLEAR_MS    30000 /* until it is said again that an entry's uplinks are not taken in the clear */
#define REFUSAL_MAX 4096  /* bytes of a refusal's content that are read */

typedef enum uplink_state {
  UPLINK_IDLE,
  UPLINK_DIALLING,
  UPLINK_UPGRADING,
  UPLINK_UP,
  UPLINK_DRAINING,
  UPLINK_WAITING,
  UPLINK_CLOSING
} uplink_state;

struct t2_uplink {
  uplink_state state;
  t2_proxy *proxy;
  t2_loop *loop;
  t2_tls *tls;
  t2_h2_conn_options h2_options;
  t2_uplink_ops ops;
  void *user;
  t2_timer timer; /* WAITING: the next attempt; UPGRADING: the time allowed */
  t2_backoff backoff;
  unsigned refusals;          /* of the ticket, in a row */
  bool clear, clear_anywhere; /* as the options have them */
  bool was_up;
  uint64_t up_since_ms;
  t2_dial *dial;
  t2_conn *conn; /* UPGRADING, until its on_close */
  t2_h1_parser *parser;
  t2_buf text;    /* the request's Authorization; then a refusal's content */
  t2_h2_conn *h2; /* UP, until its on_close */
  /* Why the connection is being closed. */
  int error, status;
  uint64_t retry_after_ms;
  char reason[256];
  t2_target target;
  char url[T2_TARGET_MAX + 1];
  char entry[T2_ENTRY_ID_MAX + 1];
  const char *instance;
  char weight[8];
  char address[T2_TARGET_MAX + 1];
  t2_reapable reapable;
};

/* ---- Lost, and again ---- */

static void dial(t2_uplink *uplink);

static void free_uplink(t2_reapable *reapable) {
  t2_uplink *uplink = T2_CONTAINER_OF(reapable, t2_uplink, reapable);
  t2_h1_parser_free(uplink->parser);
  t2_buf_fini(&uplink->text);
  t2_free(uplink->loop->mem, uplink);
}

static void gone(t2_uplink *uplink) {
  uplink->state = UPLINK_CLOSING;
  uplink->ops.on_gone(uplink, uplink->user);
  t2_loop_reap(uplink->loop, &uplink->reapable, free_uplink);
}

/* The first cause counts: closing for it has consequences that look like others. */
static void note(t2_uplink *uplink, int err, int status, const char *reason) {
  if (uplink->error) return;
  uplink->error = err;
  uplink->status = status;
  snprintf(uplink->reason, sizeof(uplink->reason), "%s", reason && *reason ? reason : t2_strerror(err));
}

/* The connection is gone. */
static void lost(t2_uplink *uplink) {
  t2_loop_timer_stop(uplink->loop, &uplink->timer);
  t2_h1_parser_free(uplink->parser);
  uplink->parser = NULL;
  if (uplink->state == UPLINK_CLOSING || uplink->state == UPLINK_DRAINING) {
    gone(uplink);
    return;
  }
  uint64_t delay = uplink->error == T2_ERR_REFUSED
                       ? t2_backoff_knock(&uplink->backoff, KNOCK_MS)
                       : t2_backoff_next(&uplink->backoff, t2_loop_now(uplink->loop));
  t2_uplink_loss loss = {
      .err = uplink->error,
      .status = uplink->status,
      .reason = uplink->reason,
      .delay_ms = delay > uplink->retry_after_ms ? delay : uplink->retry_after_ms,
      .was_up = uplink->was_up,
  };
  if (loss.err == T2_ERR_AUTH || loss.err == T2_ERR_FORBIDDEN) uplink->refusals++;
  uplink->state = UPLINK_WAITING;
  uplink->was_up = false;
  t2_loop_timer_start(uplink->loop, &uplink->timer, loss.delay_ms);
  uplink->ops.on_lost(uplink, &loss, uplink->user);
}

/* Gives up the attempt that is under way. */
static void fail(t2_uplink *uplink, int err, int status, const char *reason) {
  note(uplink, err, status, reason);
  if (uplink->conn)
    t2_conn_close(uplink->conn, err);
  else
    lost(uplink);
}

static void on_timer(t2_timer *timer) {
  t2_uplink *uplink = T2_CONTAINER_OF(timer, t2_uplink, timer);
  if (uplink->state == UPLINK_WAITING)
    dial(uplink);
  else if (uplink->state == UPLINK_UP)
    t2_h2_conn_close(uplink->h2, T2_ERR_TIMEOUT);
  else if (uplink->state == UPLINK_UPGRADING)
    fail(uplink, T2_ERR_TIMEOUT, uplink->status, "the entry did not answer the upgrade in time");
}

/* ---- Up ---- */

static void on_h2_request(t2_h2_conn *h2, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  t2_uplink *uplink = user;
  uplink->ops.on_request(uplink, exchange, head, end, uplink->user);
}

static void on_h2_close(t2_h2_conn *h2, int err, const char *detail, void *user) {
  t2_uplink *uplink = user;
  uplink->h2 = NULL;
  note(uplink, err ? err : T2_ERR_CLOSED, 0, err || *detail ? detail : "the entry closed the uplink");
  lost(uplink);
}

/* The entry has this side's SETTINGS: whatever is asked from now on can be answered, upgrades too. */
static void on_h2_settled(t2_h2_conn *h2, void *user) {
  t2_uplink *uplink = user;
  if (uplink->state != UPLINK_UP || uplink->was_up) return;
  t2_loop_timer_stop(uplink->loop, &uplink->timer);
  uplink->was_up = true;
  uplink->up_since_ms = t2_loop_now(uplink->loop);
  uplink->refusals = 0;
  t2_backoff_up(&uplink->backoff, t2_loop_now(uplink->loop));
  uplink->ops.on_up(uplink, uplink->user);
}

static void on_h2_going(t2_h2_conn *h2, void *user) {
  t2_uplink *uplink = user;
  if (uplink->state != UPLINK_UP) return;
  t2_loop_timer_stop(uplink->loop, &uplink->timer);
  uplink->state = UPLINK_DRAINING;
  uplink->ops.on_going(uplink, uplink->user);
}

static const t2_h2_conn_ops h2_ops = {.on_request = on_h2_request,
                                      .on_settled = on_h2_settled,
                                      .on_going = on_h2_going,
                                      .on_close = on_h2_close};

/* The 101 has come, and bytes[n] behind it: from here on it is HTTP/2, with this side as the server. */
static void turn_round(t2_uplink *uplink, const uint8_t *bytes, size_t n) {
  int err = t2_h2_conn_new(&uplink->h2, uplink->proxy, uplink->conn, &uplink->h2_options, &h2_ops, uplink);
  if (err) {
    fail(uplink, err, 0, NULL);
    return;
  }
  t2_h2_conn *h2 = uplink->h2;
  uplink->conn = NULL;
  uplink->state = UPLINK_UP;
  t2_h1_parser_free(uplink->parser);
  uplink->parser = NULL;
  if (n) t2_h2_conn_feed(h2, bytes, n);
}

/* ---- The upgrade ---- */

static void conclude_refusal(t2_uplink *uplink) {
  char detail[160], reason[256];
  t2_refusal_detail(t2_str_of((const char *)t2_buf_head(&uplink->text), t2_buf_len(&uplink->text)), detail,
                    sizeof(detail));
  snprintf(reason, sizeof(reason), "the entry refused the uplink (%d)%s%s", uplink->status,
           *detail ? ": " : "", detail);
  t2_head head = {.status = uplink->status};
  fail(uplink, t2_ptth_check_response(&head), uplink->status, reason);
}

static void note_address(t2_uplink *uplink, const t2_head *head) {
  const t2_field *field = t2_fields_get(&head->fields, T2_STR(T2_PTTH_ADDRESS));
  uplink->address[0] = '\0';
  if (!field || field->value.n >= sizeof(uplink->address)) return;
  snprintf(uplink->address, sizeof(uplink->address), "%.*s", T2_STR_ARG(field->value));
}

/* True when it was the 101. */
static bool on_answer(t2_uplink *uplink, const t2_h1_event *event) {
  const t2_head *head = event->head;
  if (head->status < 200 && head->status != 101) return false;
  int err = t2_ptth_check_response(head);
  if (err == 0) {
    note_address(uplink, head);
    return true;
  }
  if (head->status == 101) {
    fail(uplink, err, 101, "the entry switched to another protocol");
    return false;
  }
  uplink->retry_after_ms = t2_refusal_retry_after_ms(head);
  uplink->status = head->status;
  t2_buf_reset(&uplink->text);
  if (event->end) conclude_refusal(uplink);
  return false;
}

static void on_refusal_content(t2_uplink *uplink, t2_str content) {
  size_t room = REFUSAL_MAX - t2_buf_len(&uplink->text);
  (void)t2_buf_append(&uplink->text, content.p, content.n < room ? content.n : room);
  if (content.n >= room) conclude_refusal(uplink);
}

static void on_conn_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  t2_uplink *uplink = user;
  t2_h1_event event;
  size_t at = 0;
  do {
    at += t2_h1_parse(uplink->parser, bytes + at, n - at, &event);
    if (event.type == T2_H1_HEAD && on_answer(uplink, &event)) {
      turn_round(uplink, bytes + at, n - at);
      return;
    }
    if (event.type == T2_H1_DATA)
      on_refusal_content(uplink, event.data);
    else if (event.type == T2_H1_END)
      conclude_refusal(uplink);
    else if (event.type == T2_H1_ERROR)
      fail(uplink, T2_ERR_PROTOCOL, 0, event.detail);
  } while (event.type != T2_H1_NONE && !t2_conn_closing(conn));
}

/* A refusal may be as long as its connection. */
static void on_conn_eof(t2_conn *conn, void *user) {
  t2_uplink *uplink = user;
  if (uplink->status)
    conclude_refusal(uplink);
  else
    fail(uplink, T2_ERR_CLOSED, 0, "the entry closed the connection without an answer");
}

static void on_conn_close(t2_conn *conn, int err, void *user) {
  t2_uplink *uplink = user;
  uplink->conn = NULL;
  note(uplink, err ? err : T2_ERR_CLOSED, uplink->status, t2_conn_detail(conn));
  lost(uplink);
}

static const t2_conn_ops conn_ops = {
    .on_data = on_conn_data, .on_eof = on_conn_eof, .on_close = on_conn_close};

static int ask(t2_uplink *uplink) {
  t2_head head;
  t2_head_init(&head, uplink->loop->mem);
  t2_str authorization = t2_str_of((const char *)t2_buf_head(&uplink->text), t2_buf_len(&uplink->text));
  t2_buf *out = t2_conn_out(uplink->conn);
  int err = t2_ptth_request(&head, uplink->target.authority, authorization);
  if (err == 0) err = t2_fields_add(&head.fields, T2_STR(T2_PTTH_INSTANCE), t2_str_c(uplink->instance));
  if (err == 0) err = t2_fields_add(&head.fields, T2_STR(T2_PTTH_WEIGHT), t2_str_c(uplink->weight));
  if (err == 0) err = t2_h1_write_request(out, &head, T2_H1_FRAMING_NONE);
  t2_head_fini(&head);
  t2_h1_expect_response(uplink->parser, T2_STR("GET"));
  t2_conn_wake(uplink->conn);
  return err ? err : out->failed ? T2_ERR_NOMEM : 0;
}

/* Dialled in the clear it would show the ticket, and whatever goes through it, to everybody on the way. */
static void refuse_clear(t2_uplink *uplink, const char *why, const char *option) {
  char reason[sizeof(uplink->reason)];
  snprintf(reason, sizeof(reason), "entry %s takes uplinks in the clear (%.80s)%s: not dialled without %s",
           uplink->entry, uplink->url, why, option);
  t2_log_at(&uplink->loop->log, WARN, "client", "%s", reason);
  uplink->retry_after_ms = CLEAR_MS;
  fail(uplink, T2_ERR_UNSUPPORTED, 0, reason);
}

static void on_dialled(t2_dial *attempt, int err, t2_conn *conn, const char *detail, void *user) {
  t2_uplink *uplink = user;
  t2_h1_limits limits;
  uplink->dial = NULL;
  if (err == T2_ERR_UNSUPPORTED && uplink->target.kind == T2_TARGET_HTTP) {
    refuse_clear(uplink, " at a public address", "--uplink-plaintext-anywhere");
    return;
  }
  if (err) {
    fail(uplink, err, 0, detail);
    return;
  }
  uplink->state = UPLINK_UPGRADING;
  uplink->conn = conn;
  t2_conn_set_ops(conn, &conn_ops, uplink);
  t2_loop_timer_start(uplink->loop, &uplink->timer, HANDSHAKE_TIMEOUT_MS);
  t2_h1_limits_init(&limits);
  uplink->parser = t2_h1_parser_new(uplink->loop->mem, true, &limits);
  err = uplink->parser ? ask(uplink) : T2_ERR_NOMEM;
  if (err) fail(uplink, err, 0, NULL);
}

static void dial(t2_uplink *uplink) {
  bool clear = uplink->target.kind == T2_TARGET_HTTP;
  t2_dial_options options = {
      .host = uplink->target.host,
      .port = uplink->target.port,
      .tls = clear ? NULL : uplink->tls,
      .timeout_ms = HANDSHAKE_TIMEOUT_MS,
      .private_only = clear && !uplink->clear_anywhere,
  };
  uplink->state = UPLINK_DIALLING;
  uplink->error = uplink->status = 0;
  uplink->retry_after_ms = 0;
  t2_buf_reset(&uplink->text);
  if (clear && !uplink->clear) {
    refuse_clear(uplink, "", "--uplink-plaintext");
    return;
  }
  int err = t2_buf_append_c(&uplink->text, "Bearer ");
  if (err == 0) err = t2_buf_append_str(&uplink->text, uplink->ops.on_dial(uplink, uplink->user));
  if (err == 0) err = t2_dial_start(&uplink->dial, uplink->loop, &options, on_dialled, uplink);
  if (err) fail(uplink, err, 0, NULL);
}

/* ---- Calls ---- */

int t2_uplink_set_url(t2_uplink *uplink, t2_str url) {
  t2_target target;
  if (t2_str_eq(url, t2_str_c(uplink->url))) return 0;
  if (url.n > T2_TARGET_MAX || t2_target_parse_uplink(url, &target, NULL, 0)) return T2_ERR_INVALID;
  snprintf(uplink->url, sizeof(uplink->url), "%.*s", T2_STR_ARG(url));
  if (uplink->state == UPLINK_WAITING && uplink->error == T2_ERR_UNSUPPORTED)
    t2_loop_timer_start(uplink->loop, &uplink->timer, 0); /* it may be another matter now */
  return t2_target_parse_uplink(t2_str_c(uplink->url), &uplink->target, NULL, 0);
}

int t2_uplink_new(t2_uplink **out, const t2_uplink_options *options, const t2_uplink_ops *ops, void *user,
                  char *detail, size_t detail_size) {
  t2_loop *loop = options->proxy->loop;
  t2_target target;
  *out = NULL;
  int err = t2_target_parse_uplink(options->url, &target, detail, detail_size);
  if (err) return T2_ERR_INVALID;
  t2_uplink *uplink = t2_calloc(loop->mem, 1, sizeof(*uplink));
  if (!uplink) return T2_ERR_NOMEM;
  uplink->proxy = options->proxy;
  uplink->loop = loop;
  uplink->tls = options->tls;
  uplink->clear = options->clear;
  uplink->clear_anywhere = options->clear_anywhere;
  uplink->ops = *ops;
  uplink->user = user;
  t2_timer_init(&uplink->timer, on_timer);
  t2_buf_init(&uplink->text, loop->mem);
  uint64_t stable_ms = options->retry_max_ms < STABLE_MS ? options->retry_max_ms : STABLE_MS;
  t2_backoff_init(&uplink->backoff, options->retry_min_ms, options->retry_max_ms, stable_ms);
  t2_h2_conn_options_init_uplink(&uplink->h2_options, true);
  uplink->h2_options.h2.concurrent_max = options->concurrent_max;
  uplink->instance = options->instance;
  snprintf(uplink->weight, sizeof(uplink->weight), "%u", (unsigned)(uint16_t)options->weight);
  snprintf(uplink->entry, sizeof(uplink->entry), "%.*s", T2_STR_ARG(options->entry));
  (void)t2_uplink_set_url(uplink, options->url);
  *out = uplink;
  return 0;
}

void t2_uplink_start(t2_uplink *uplink, uint64_t delay_ms) {
  if (uplink->state != UPLINK_IDLE) return;
  if (delay_ms == 0) {
    dial(uplink);
    return;
  }
  uplink->state = UPLINK_WAITING;
  t2_loop_timer_start(uplink->loop, &uplink->timer, delay_ms);
}

void t2_uplink_renewed(t2_uplink *uplink) {
  if (uplink->state != UPLINK_WAITING || uplink->refusals != 1) return;
  t2_loop_timer_start(uplink->loop, &uplink->timer, 0);
}

void t2_uplink_set_tls(t2_uplink *uplink, t2_tls *tls) {
  uplink->tls = tls;
}

bool t2_uplink_is_up(const t2_uplink *uplink) {
  return uplink->state == UPLINK_UP && uplink->was_up;
}

uint64_t t2_uplink_up_ms(const t2_uplink *uplink) {
  return uplink->was_up ? t2_loop_now(uplink->loop) - uplink->up_since_ms : 0;
}

size_t t2_uplink_active(const t2_uplink *uplink) {
  return uplink->h2 ? t2_h2_conn_active(uplink->h2) : 0;
}

void t2_uplink_set_concurrent_max(t2_uplink *uplink, uint32_t n) {
  uplink->h2_options.h2.concurrent_max = n;
  if (uplink->h2) t2_h2_conn_set_concurrent_max(uplink->h2, n);
}

const char *t2_uplink_address(const t2_uplink *uplink) {
  return uplink->address;
}

const char *t2_uplink_entry(const t2_uplink *uplink) {
  return uplink->entry;
}

void t2_uplink_drain(t2_uplink *uplink) {
  if (uplink->state != UPLINK_UP) {
    if (uplink->state != UPLINK_DRAINING) t2_uplink_close(uplink);
    return;
  }
  uplink->state = UPLINK_DRAINING;
  t2_loop_timer_stop(uplink->loop, &uplink->timer);
  t2_h2_conn_drain(uplink->h2);
}

void t2_uplink_close(t2_uplink *uplink) {
  if (uplink->state == UPLINK_CLOSING) return;
  uplink->state = UPLINK_CLOSING;
  t2_loop_timer_stop(uplink->loop, &uplink->timer);
  if (uplink->dial) t2_dial_cancel(uplink->dial);
  uplink->dial = NULL;
  if (uplink->conn)
    t2_conn_close(uplink->conn, T2_ERR_CANCELLED);
  else if (uplink->h2)
    t2_h2_conn_close(uplink->h2, T2_ERR_CANCELLED);
  else
    gone(uplink);
}
