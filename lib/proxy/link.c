#include <base/backoff.h>
#include <base/file.h>
#include <http/http_date.h>
#include <inttypes.h>
#include <net/dialer.h>
#include <proxy/fetch.h>
#include <proxy/link.h>
#include <proxy/park.h>
#include <proxy/refusal.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/ticket.h>
#include <wire/token.h>

#define DIAL_TIMEOUT_MS    10000
#define REQUEST_TIMEOUT_MS 10000
#define WATCH_BEAT_S       30   /* as a lease, until the control plane says another one */
#define PARTING_MS         1000 /* for the last words on a connection */
#define UNANSWERED_MAX     2    /* heartbeats */

typedef enum link_state {
  LINK_IDLE,
  LINK_DIALLING,
  LINK_REGISTERING,
  LINK_OPENING,
  LINK_UP,
  LINK_ENDING,
  LINK_WAITING,
  LINK_PARKING,
  LINK_PARKED,
  LINK_CLOSING
} link_state;

struct t2_link {
  link_state state;
  t2_link_options options;
  t2_link_ops ops;
  void *user;
  t2_loop *loop;
  t2_dial *dial;
  t2_h2_conn *h2; /* until its on_close */
  t2_fetch *fetch;
  t2_channel *channel;
  /* WAITING: the next attempt; PARKED: the return; OPENING: how long it may take; UP: the next heartbeat */
  t2_timer timer;
  t2_backoff backoff;
  uint64_t seq, answered; /* of heartbeats */
  const char *watched;    /* t2_link_watch; NULL: no */
  bool turning;           /* from one purpose to the other: dials again without a word */
  bool again;             /* register as soon as there is room for a request */
  bool registered;        /* on this connection, or before it was parked */
  bool skewed;            /* its clock and the one here disagree, which has been said */
  t2_park park;
  uint64_t park_seconds,
      park_lease; /* what it was told, to be done when no request is under way; 0: nothing */
  bool away;      /* t2_link_is_away */
  /* Why the connection is being closed. */
  int error, status;
  uint64_t retry_after_ms;
  char reason[256];
  t2_link_grant grant;
  char authorization[sizeof("Bearer ") + T2_TOKEN_MAX];
  t2_reapable reapable;
};

/* ---- Lost, and again ---- */

static void dial(t2_link *link);

static void free_link(t2_reapable *reapable) {
  t2_link *link = T2_CONTAINER_OF(reapable, t2_link, reapable);
  t2_memzero(link->authorization, sizeof(link->authorization));
  t2_free(link->loop->mem, link);
}

static void drop_requests(t2_link *link) {
  if (link->fetch) t2_fetch_cancel(link->fetch);
  link->fetch = NULL;
  if (link->channel) t2_channel_close(link->channel);
  link->channel = NULL;
  link->again = false;
  link->park_seconds = 0;
}

static void wait_and_retry(t2_link *link) {
  uint64_t delay = t2_backoff_next(&link->backoff, t2_loop_now(link->loop));
  t2_link_loss loss = {
      .err = link->error,
      .status = link->status,
      .reason = link->reason,
      .delay_ms = delay > link->retry_after_ms ? delay : link->retry_after_ms,
      .was_up = link->registered,
  };
  link->state = LINK_WAITING;
  link->registered = link->away = false;
  t2_loop_timer_start(link->loop, &link->timer, link->turning ? 0 : loss.delay_ms);
  if (link->watched || link->turning) return;
  link->ops.on_lost(link, &loss, link->user);
}

/* The first cause counts: closing for it has consequences that look like others. */
static void note(t2_link *link, int err, int status, const char *reason) {
  if (link->error) return;
  link->error = err;
  link->status = status;
  snprintf(link->reason, sizeof(link->reason), "%s", reason && *reason ? reason : t2_strerror(err));
}

/* Ends what there is of a connection; the rest comes when it has closed. */
static void lose(t2_link *link, int err, int status, const char *reason) {
  if (link->state == LINK_CLOSING || link->state == LINK_ENDING || link->state == LINK_WAITING ||
      link->state == LINK_PARKING || link->state == LINK_PARKED)
    return;
  note(link, err, status, reason);
  t2_loop_timer_stop(link->loop, &link->timer);
  drop_requests(link);
  if (!link->h2) {
    wait_and_retry(link);
    return;
  }
  link->state = LINK_ENDING;
  t2_h2_conn_close(link->h2, err);
}

static void gone(t2_link *link) {
  t2_loop_timer_stop(link->loop, &link->timer);
  link->ops.on_gone(link, link->user);
  t2_loop_reap(link->loop, &link->reapable, free_link);
}

static void stay_parked(t2_link *link) {
  if (link->state == LINK_PARKED)
    t2_loop_timer_start(link->loop, &link->timer, t2_park_left(&link->park, t2_loop_now(link->loop)));
}

static void on_h2_close(t2_h2_conn *h2, int err, const char *detail, void *user) {
  t2_link *link = user;
  link->h2 = NULL;
  if (link->state == LINK_CLOSING) {
    gone(link);
  } else if (link->state == LINK_ENDING) {
    wait_and_retry(link);
  } else if (link->state == LINK_PARKING) {
    link->state = LINK_PARKED;
    stay_parked(link);
  } else {
    lose(link, err ? err : T2_ERR_CLOSED, 0, detail);
  }
}

/* ---- Parked ---- */

/* The connection is closed under the channel, as in t2_link_rest: this is no leave. */
static void park_if_idle(t2_link *link) {
  uint64_t now = t2_loop_now(link->loop), seconds = link->park_seconds;
  if (seconds == 0 || link->state != LINK_UP || link->fetch || link->again) return;
  link->park_seconds = 0;
  if (!t2_park_begin(&link->park, now, seconds, link->park_lease)) return;
  t2_log_at(&link->loop->log, DEBUG, "link", "parked: back in %llu ms",
            (unsigned long long)t2_park_left(&link->park, now));
  link->state = LINK_PARKING;
  link->away = true;
  t2_loop_timer_stop(link->loop, &link->timer);
  t2_h2_conn_close(link->h2, T2_ERR_CLOSED);
}

/* Before it is known that what was parked is still registered, there is nothing to park. */
static void on_park(t2_link *link, const t2_message *message) {
  if (!link->options.parks || link->away) return;
  link->park_seconds = message->return_seconds;
  link->park_lease = message->lease_seconds;
  park_if_idle(link);
}

static void come_back(t2_link *link) {
  t2_park_return(&link->park, t2_loop_now(link->loop));
  dial(link);
}

/* ---- The channel ---- */

static void beat(t2_link *link) {
  t2_message message = {.type = T2_MSG_HEARTBEAT, .seq = ++link->seq};
  if (link->options.parks) message.park = link->away ? T2_PARK_WAS : T2_PARK_CAN;
  if (link->seq - link->answered > UNANSWERED_MAX) {
    lose(link, T2_ERR_TIMEOUT, 0, "the control plane does not answer heartbeats");
    return;
  }
  link->ops.on_report(link, &message, link->user);
  if (link->state != LINK_UP) return;
  int err = t2_channel_send(link->channel, &message);
  if (err) {
    lose(link, err, 0, NULL);
    return;
  }
  t2_loop_timer_start(link->loop, &link->timer, link->grant.lease_seconds * 1000ull / 3);
}

static void on_timer(t2_timer *timer) {
  t2_link *link = T2_CONTAINER_OF(timer, t2_link, timer);
  if (link->state == LINK_WAITING)
    dial(link);
  else if (link->state == LINK_PARKED)
    come_back(link);
  else if (link->state == LINK_OPENING)
    lose(link, T2_ERR_TIMEOUT, 0, "the control plane did not open the channel");
  else if (link->state == LINK_UP)
    beat(link);
  else if (link->state == LINK_CLOSING && link->h2)
    t2_h2_conn_close(link->h2, T2_ERR_CANCELLED);
}

static void on_channel_open(t2_channel *channel, void *user) {
  t2_link *link = user;
  if (link->state != LINK_OPENING) return;
  link->state = LINK_UP;
  link->answered = link->seq;
  t2_backoff_up(&link->backoff, t2_loop_now(link->loop));
  beat(link);
}

static void on_lease(t2_link *link, const t2_message *message) {
  if (message->seq > link->answered && message->seq <= link->seq) link->answered = message->seq;
  if (message->lease_seconds > 0 && message->lease_seconds <= 86400)
    link->grant.lease_seconds = (unsigned)message->lease_seconds;
  if (!link->away) return;
  link->away = false;
  link->ops.on_back(link, link->user);
}

static void on_channel_message(t2_channel *channel, const t2_message *message, void *user) {
  t2_link *link = user;
  if (link->state != LINK_UP && link->state != LINK_OPENING) return;
  if (message->type == T2_MSG_LEASE)
    on_lease(link, message);
  else if (message->type == T2_MSG_DRAIN)
    lose(link, T2_ERR_UNAVAILABLE, 0, "the control plane is draining");
  else if (message->type == T2_MSG_PARK)
    on_park(link, message);
  else
    link->ops.on_message(link, message, link->user);
}

static void request_registration(t2_link *link);

static void on_channel_close(t2_channel *channel, int err, int status, void *user) {
  t2_link *link = user;
  char reason[64];
  link->channel = NULL;
  if (status == 404 && link->away && link->state == LINK_OPENING) {
    link->away = false;
    link->state = LINK_REGISTERING;
    t2_loop_timer_stop(link->loop, &link->timer);
    request_registration(link);
    return;
  }
  snprintf(reason, sizeof(reason), "the control plane refused the channel with %d", status);
  lose(link, err ? err : T2_ERR_CLOSED, status, status ? reason : "the control channel was closed");
}

static const t2_channel_ops channel_ops = {
    .on_open = on_channel_open, .on_message = on_channel_message, .on_close = on_channel_close};

/* ---- Requests ---- */

static int fill_head(t2_link *link, t2_head *head, t2_str method, const char *path) {
  head->method = method;
  head->scheme = T2_STR("https");
  head->authority = link->options.server.authority;
  head->path = t2_str_c(path);
  int err = t2_fields_add(&head->fields, T2_STR("authorization"), t2_str_c(link->authorization));
  if (err == 0) head->fields.list[head->fields.n - 1].sensitive = true;
  return err;
}

static void open_channel(t2_link *link) {
  t2_head head;
  t2_head_init(&head, link->loop->mem);
  head.content_length = -1;
  int err = fill_head(link, &head, T2_STR("POST"), link->grant.channel);
  t2_loop_timer_start(link->loop, &link->timer, REQUEST_TIMEOUT_MS);
  if (err == 0) err = t2_channel_open(&link->channel, link->h2, &head, &channel_ops, link);
  t2_head_fini(&head);
  if (err && err != T2_ERR_UNAVAILABLE) lose(link, err, 0, NULL); /* else: on_capacity, within the time */
}

static void on_refused(t2_link *link, int status, const t2_head *head, t2_str body) {
  char detail[160], what[64], reason[256];
  link->retry_after_ms = t2_refusal_retry_after_ms(head);
  t2_refusal_detail(body, detail, sizeof(detail));
  snprintf(what, sizeof(what), status == 401 ? "did not accept the token" : "refused the %s",
           link->options.what);
  snprintf(reason, sizeof(reason), "the control plane %s (%d)%s%s", what, status, *detail ? ": " : "",
           detail);
  lose(link, t2_refusal_error(status), status, reason);
}

static void on_accepted(t2_link *link, t2_str body) {
  char detail[128] = "";
  t2_link_grant grant = link->grant;
  bool first = link->state == LINK_REGISTERING;
  link->registered = true;
  if (first) link->state = LINK_OPENING;
  int err = link->ops.on_registered(link, body, &grant, detail, sizeof(detail), link->user);
  if (link->state != LINK_OPENING && link->state != LINK_UP) return;
  if (err) {
    link->registered = !first;
    lose(link, err, 0, detail);
    return;
  }
  link->grant = grant;
  if (first) open_channel(link);
}

/* Tickets forgive a minute. It is said here, once, since whoever is refused one for it sees one clock alone.
 */
static void compare_clocks(t2_link *link, const t2_head *head) {
  const t2_field *date = t2_fields_get(&head->fields, T2_STR("date"));
  int64_t theirs, here = t2_clock_wall_ms() / 1000;
  if (!date || t2_http_date_parse(date->value, &theirs)) return;
  int64_t ahead = here - theirs, apart = ahead < 0 ? -ahead : ahead;
  bool skewed = apart >= T2_TICKET_LEEWAY_SECONDS;
  if (skewed && !link->skewed)
    t2_log_at(&link->loop->log, WARN, "link",
              "the clock here is %" PRId64 " s %s that of the control plane: tickets allow for %d s", apart,
              ahead < 0 ? "behind" : "ahead of", T2_TICKET_LEEWAY_SECONDS);
  link->skewed = skewed;
}

static void on_answer(t2_fetch *fetch, int err, int status, const t2_head *head, t2_str body, void *user) {
  t2_link *link = user;
  link->fetch = NULL;
  if (!err) compare_clocks(link, head);
  if (err)
    lose(link, err, 0, err == T2_ERR_TIMEOUT ? "the control plane did not answer the registration" : NULL);
  else if (status == 201 || status == 200)
    on_accepted(link, body);
  else
    on_refused(link, status, head, body);
  park_if_idle(link);
}

static void request_registration(t2_link *link) {
  t2_head head;
  t2_buf body;
  t2_head_init(&head, link->loop->mem);
  t2_buf_init(&body, link->loop->mem);
  link->again = false;
  int err = link->ops.on_register(link, &body, link->user);
  if (err == 0 && link->state == LINK_CLOSING) err = T2_ERR_CANCELLED;
  if (err == 0) err = fill_head(link, &head, T2_STR("POST"), link->options.path);
  if (err == 0) err = t2_fields_add(&head.fields, T2_STR("content-type"), T2_STR("application/json"));
  head.content_length = (int64_t)t2_buf_len(&body);
  if (err == 0)
    err = t2_fetch_start(&link->fetch, link->h2, &head,
                         t2_str_of((const char *)t2_buf_head(&body), t2_buf_len(&body)), T2_LINK_ANSWER_MAX,
                         REQUEST_TIMEOUT_MS, on_answer, link);
  t2_head_fini(&head);
  t2_buf_fini(&body);
  if (err == T2_ERR_UNAVAILABLE)
    link->again = true;
  else if (err)
    lose(link, err, 0, NULL);
}

/* ---- The connection ---- */

static void on_capacity(t2_h2_conn *h2, void *user) {
  t2_link *link = user;
  if (link->again && !link->fetch) request_registration(link);
  if (link->state == LINK_OPENING && !link->channel) open_channel(link);
}

static void on_going(t2_h2_conn *h2, void *user) {
  lose(user, T2_ERR_UNAVAILABLE, 0, "the control plane is going away");
}

static const t2_h2_conn_ops h2_ops = {
    .on_going = on_going, .on_capacity = on_capacity, .on_close = on_h2_close};

static void watch(t2_link *link) {
  link->state = LINK_OPENING;
  link->grant.lease_seconds = WATCH_BEAT_S;
  snprintf(link->grant.channel, sizeof(link->grant.channel), "%s", link->watched);
  open_channel(link);
}

static void on_dialled(t2_dial *dial_, int err, t2_conn *conn, const char *detail, void *user) {
  t2_link *link = user;
  t2_h2_conn_options options;
  link->dial = NULL;
  if (err) {
    lose(link, err, 0, detail);
    return;
  }
  if (!t2_str_eq(t2_conn_alpn(conn), T2_STR("h2"))) {
    t2_conn_close(conn, T2_ERR_PROTOCOL);
    lose(link, T2_ERR_PROTOCOL, 0, "the control plane does not speak HTTP/2");
    return;
  }
  t2_h2_conn_options_init(&options, false);
  options.at = T2_AT_LOCAL;
  err = t2_h2_conn_new(&link->h2, link->options.proxy, conn, &options, &h2_ops, link);
  if (err) {
    lose(link, err, 0, NULL);
    return;
  }
  if (link->watched) {
    watch(link);
    return;
  }
  link->state = link->away ? LINK_OPENING : LINK_REGISTERING;
  if (link->away)
    open_channel(link);
  else
    request_registration(link);
}

static void dial(t2_link *link) {
  t2_dial_options options = {
      .host = link->options.server.host,
      .port = link->options.server.port,
      .tls = link->options.tls,
      .timeout_ms = DIAL_TIMEOUT_MS,
  };
  link->state = LINK_DIALLING;
  link->turning = false;
  link->error = link->status = 0;
  link->retry_after_ms = 0;
  int err = t2_dial_start(&link->dial, link->loop, &options, on_dialled, link);
  if (err) lose(link, err, 0, NULL);
}

/* ---- Calls ---- */

int t2_link_new(t2_link **out, const t2_link_options *options, const t2_link_ops *ops, void *user) {
  t2_loop *loop = options->proxy->loop;
  *out = NULL;
  t2_link *link = t2_calloc(loop->mem, 1, sizeof(*link));
  if (!link) return T2_ERR_NOMEM;
  link->options = *options;
  link->ops = *ops;
  link->user = user;
  link->loop = loop;
  t2_timer_init(&link->timer, on_timer);
  t2_backoff_init(&link->backoff, options->retry_min_ms, options->retry_max_ms, options->retry_max_ms);
  snprintf(link->authorization, sizeof(link->authorization), "Bearer %s", options->token);
  *out = link;
  return 0;
}

void t2_link_set_credentials(t2_link *link, const char *token, t2_tls *tls) {
  link->options.token = token;
  link->options.tls = tls;
  snprintf(link->authorization, sizeof(link->authorization), "Bearer %s", token);
}

/* What there is of a connection has another purpose from now on. It is closed under the channel: a channel
 * that is given up is a leave, a connection that is lost is none. */
static void turn(t2_link *link) {
  link->turning = true;
  if (link->dial) t2_dial_cancel(link->dial);
  link->dial = NULL;
  if (link->h2) {
    t2_h2_conn_close(link->h2, T2_ERR_CLOSED);
    return;
  }
  t2_loop_timer_stop(link->loop, &link->timer);
  dial(link);
}

void t2_link_start(t2_link *link) {
  bool watched = link->watched != NULL;
  if (link->state == LINK_CLOSING) return;
  link->watched = NULL;
  if (watched)
    turn(link);
  else if (link->state == LINK_IDLE)
    dial(link);
}

void t2_link_watch(t2_link *link, const char *path) {
  if (link->state == LINK_CLOSING || link->state == LINK_IDLE) return;
  link->watched = path;
  turn(link);
}

bool t2_link_is_away(const t2_link *link) {
  return link->away && link->state != LINK_CLOSING;
}

void t2_link_hurry(t2_link *link, uint64_t within_ms) {
  t2_park_hurry(&link->park, t2_loop_now(link->loop), within_ms);
  stay_parked(link);
}

void t2_link_calm(t2_link *link) {
  t2_park_calm(&link->park);
  stay_parked(link);
}

bool t2_link_registering(const t2_link *link) {
  return link->again || (link->fetch && link->state != LINK_CLOSING);
}

bool t2_link_is_up(const t2_link *link) {
  return link->state == LINK_UP || link->state == LINK_OPENING;
}

void t2_link_register(t2_link *link) {
  if (t2_link_is_up(link) && !t2_link_registering(link)) request_registration(link);
}

static void on_delete_answer(t2_fetch *fetch, int err, int status, const t2_head *head, t2_str body,
                             void *user) {
  t2_link *link = user;
  link->fetch = NULL;
  link->ops.on_deleted(link, link->user);
}

bool t2_link_delete(t2_link *link, const char *path, uint64_t timeout_ms) {
  t2_head head;
  if (!t2_link_is_up(link)) return false;
  if (link->fetch) t2_fetch_cancel(link->fetch);
  link->fetch = NULL;
  link->again = false;
  t2_head_init(&head, link->loop->mem);
  head.content_length = -1;
  int err = fill_head(link, &head, T2_STR("DELETE"), path);
  if (err == 0)
    err = t2_fetch_start(&link->fetch, link->h2, &head, T2_STR_NULL, T2_LINK_ANSWER_MAX, timeout_ms,
                         on_delete_answer, link);
  t2_head_fini(&head);
  return err == 0;
}

void t2_link_close(t2_link *link) {
  if (link->state == LINK_CLOSING) return;
  link->state = LINK_CLOSING;
  t2_loop_timer_stop(link->loop, &link->timer);
  drop_requests(link);
  if (link->dial) t2_dial_cancel(link->dial);
  link->dial = NULL;
  if (!link->h2) {
    gone(link);
    return;
  }
  /* In order: the control plane sees that the channel was given up, and does not wait for the lease. */
  t2_h2_conn_drain(link->h2);
  t2_loop_timer_start(link->loop, &link->timer, PARTING_MS);
}
