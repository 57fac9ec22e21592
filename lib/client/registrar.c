#include <client/registrar.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/detail.h>
#include <wire/token.h>

#define LIFE_UNKNOWN_S 3600
#define MISSING_MS     5000 /* within which the many that lost one entry come back to ask for others */
/* Statuses that say the same however often one asks. */
#define CLIENT_ERROR(st) ((st) == 400 || (st) == 401 || (st) == 403 || (st) == 409 || (st) == 422)

/* ---- The ticket ---- */

static void on_renewal(t2_timer *timer) {
  t2_registrar *registrar = T2_CONTAINER_OF(timer, t2_registrar, renewal);
  t2_registrar_renew(registrar);
}

/* Its life is counted on this side's clock from its arrival: the clocks of the two ends need not agree. */
static int take_ticket(t2_registrar *registrar, t2_str ticket) {
  t2_buf_reset(&registrar->ticket);
  if (t2_buf_append_str(&registrar->ticket, ticket) || !t2_buf_cstr(&registrar->ticket)) return T2_ERR_NOMEM;
  uint64_t life = t2_ticket_life(ticket);
  if (!registrar->resting)
    t2_loop_timer_start(registrar->loop, &registrar->renewal, (life ? life : LIFE_UNKNOWN_S) * 1000 / 4 * 3);
  return 0;
}

/* ---- The control plane ---- */

static int on_register(t2_link *link, t2_buf *body, void *user) {
  const t2_registrar *registrar = user;
  const t2_registrar_options *o = &registrar->options;
  (void)link;
  if (registrar->errand > T2_REGISTRAR_RENEW) return T2_ERR_CANCELLED; /* it came back to end, and has */
  return t2_register_request(body, t2_str_c(registrar->session), registrar->instance, o->kind, o->port,
                             o->terms);
}

static int take_answer(t2_registrar *registrar, const t2_register_answer *answer) {
  bool first = !registrar->linked;
  memcpy(registrar->session, answer->session.p, answer->session.n);
  registrar->session[answer->session.n] = '\0';
  registrar->registered = registrar->linked = true;
  registrar->errand = T2_REGISTRAR_NO_ERRAND;
  registrar->addressed = registrar->addressed || answer->entry_count > 0;
  int err = take_ticket(registrar, answer->ticket);
  return err ? err : registrar->ops->on_registered(registrar, answer, first, registrar->user);
}

static int on_registered(t2_link *link, t2_str text, t2_link_grant *grant, char *detail, size_t detail_size,
                         void *user) {
  t2_registrar *registrar = user;
  t2_register_answer answer;
  (void)link;
  int err = t2_register_answer_parse(&answer, text, detail, detail_size);
  if (err) return err;
  grant->lease_seconds = answer.lease_seconds;
  snprintf(grant->channel, sizeof(grant->channel), "/v1/sessions/%.*s/channel", T2_STR_ARG(answer.session));
  err = take_answer(registrar, &answer);
  t2_register_answer_fini(&answer);
  return err;
}

static void on_revoke(t2_registrar *registrar, const t2_message *message) {
  bool whole = message->ticket_id.n == 0;
  if (!t2_str_eq(message->session, t2_str_c(registrar->session))) return;
  if (!whole && !registrar->resting) t2_registrar_renew(registrar);
  registrar->ops->on_revoked(registrar, whole, message->reason, registrar->user);
}

/* Where a control plane begins to learn of its entries, the URLs of a session come after it. */
static void on_entries(t2_registrar *registrar, const t2_link *link, const t2_message *message) {
  registrar->ops->on_entries(registrar, message->entries, message->entry_count, registrar->user);
  if (!registrar->addressed && message->entry_count && registrar->link == link) t2_registrar_renew(registrar);
}

/* Where there is no memory for it, it is asked for once more. */
static void on_ticket(t2_registrar *registrar, const t2_message *message) {
  if (take_ticket(registrar, message->ticket))
    t2_registrar_renew(registrar);
  else
    registrar->ops->on_ticket(registrar, registrar->user);
}

static void on_message(t2_link *link, const t2_message *message, void *user) {
  t2_registrar *registrar = user;
  if (message->type == T2_MSG_TICKET) {
    on_ticket(registrar, message);
  } else if (message->type == T2_MSG_ENTRIES) {
    on_entries(registrar, link, message);
  } else if (message->type == T2_MSG_REVOKE) {
    on_revoke(registrar, message);
  }
}

static void on_lost(t2_link *link, const t2_link_loss *loss, void *user) {
  t2_registrar *registrar = user;
  (void)link;
  registrar->linked = false;
  registrar->errand = T2_REGISTRAR_NO_ERRAND;
  registrar->ops->on_lost(registrar, loss, !registrar->registered && CLIENT_ERROR(loss->status),
                          registrar->user);
}

static void on_report(t2_link *link, t2_message *heartbeat, void *user) {
  t2_registrar *registrar = user;
  (void)link;
  registrar->ops->on_report(registrar, heartbeat, registrar->user);
}

static void on_deleted(t2_link *link, void *user) {
  t2_registrar *registrar = user;
  (void)link;
  registrar->ops->on_deleted(registrar, registrar->user);
}

static bool delete_session(t2_registrar *registrar, uint64_t timeout_ms) {
  char path[sizeof("/v1/sessions/") + T2_SESSION_ID_MAX];
  snprintf(path, sizeof(path), "/v1/sessions/%s", registrar->session);
  return t2_link_delete(registrar->link, path, timeout_ms);
}

static void on_back(t2_link *link, void *user) {
  t2_registrar *registrar = user;
  t2_registrar_errand errand = registrar->errand;
  registrar->errand = T2_REGISTRAR_NO_ERRAND;
  if (errand == T2_REGISTRAR_RENEW)
    t2_link_register(link);
  else if (errand == T2_REGISTRAR_LEAVE ||
           (errand == T2_REGISTRAR_DELETE && !delete_session(registrar, registrar->delete_ms)))
    registrar->ops->on_deleted(registrar, registrar->user);
}

static void on_gone(t2_link *link, void *user) {
  t2_registrar *registrar = user;
  (void)link;
  registrar->link = NULL;
  registrar->ops->on_gone(registrar, registrar->user);
}

static const t2_link_ops link_ops = {
    .on_register = on_register,
    .on_registered = on_registered,
    .on_message = on_message,
    .on_lost = on_lost,
    .on_report = on_report,
    .on_deleted = on_deleted,
    .on_back = on_back,
    .on_gone = on_gone,
};

/* ---- Life ---- */

int t2_registrar_check(const char *server, const char *token, const char *session, char *detail,
                       size_t size) {
  t2_target target;
  if (!token) return t2_detail(detail, size, T2_ERR_INVALID, "a token is required");
  if (!t2_token_valid(t2_str_c(token)))
    return t2_detail(detail, size, T2_ERR_INVALID,
                     "the token is none: %d to %d of A-Z a-z 0-9 - . _ ~ + / =", T2_TOKEN_MIN, T2_TOKEN_MAX);
  if (session && !t2_session_id_valid(t2_str_c(session)))
    return t2_detail(detail, size, T2_ERR_INVALID,
                     "session \"%s\": a UUID, or a name of 3 to 63 of a-z 0-9 and - is taken", session);
  return t2_target_parse_https(t2_str_c(server), &target, detail, size);
}

void t2_registrar_init(t2_registrar *registrar, t2_loop *loop, const t2_registrar_ops *ops, void *user) {
  *registrar = (t2_registrar){.loop = loop, .ops = ops, .user = user};
  t2_timer_init(&registrar->renewal, on_renewal);
  t2_buf_init(&registrar->ticket, loop->mem);
  t2_uuid(registrar->instance);
}

int t2_registrar_open(t2_registrar *registrar, const t2_registrar_options *options) {
  t2_link_options link = {
      .proxy = options->proxy,
      .tls = options->tls,
      .token = options->token,
      .path = "/v1/sessions",
      .what = "session",
      .retry_min_ms = options->retry_min_ms,
      .retry_max_ms = options->retry_max_ms,
      .parks = options->parks,
  };
  registrar->options = *options;
  if (options->session) snprintf(registrar->session, sizeof(registrar->session), "%s", options->session);
  int err = t2_target_parse_https(t2_str_c(options->server), &link.server, NULL, 0);
  return err ? err : t2_link_new(&registrar->link, &link, &link_ops, registrar);
}

void t2_registrar_fini(t2_registrar *registrar) {
  if (registrar->ticket.data) t2_memzero(registrar->ticket.data, registrar->ticket.cap);
  t2_buf_fini(&registrar->ticket);
}

void t2_registrar_start(t2_registrar *registrar) {
  t2_link_start(registrar->link);
}

void t2_registrar_close(t2_registrar *registrar) {
  t2_loop_timer_stop(registrar->loop, &registrar->renewal);
  if (registrar->link) t2_link_close(registrar->link);
}

/* ---- Use ---- */

t2_str t2_registrar_ticket(const t2_registrar *registrar) {
  return t2_str_of((const char *)t2_buf_head(&registrar->ticket), t2_buf_len(&registrar->ticket));
}

bool t2_registrar_is_up(const t2_registrar *registrar) {
  return registrar->link && t2_link_is_up(registrar->link);
}

bool t2_registrar_is_away(const t2_registrar *registrar) {
  return registrar->link && t2_link_is_away(registrar->link);
}

void t2_registrar_miss(t2_registrar *registrar, bool missing) {
  if (!t2_registrar_is_away(registrar)) return;
  if (missing)
    t2_link_hurry(registrar->link, MISSING_MS);
  else
    t2_link_calm(registrar->link);
}

/* The greater errand stays. */
static void send_on(t2_registrar *registrar, t2_registrar_errand errand) {
  if (errand > registrar->errand) registrar->errand = errand;
  t2_link_hurry(registrar->link, 0);
}

void t2_registrar_renew(t2_registrar *registrar) {
  if (t2_registrar_is_away(registrar))
    send_on(registrar, T2_REGISTRAR_RENEW);
  else if (registrar->link)
    t2_link_register(registrar->link);
}

void t2_registrar_set_credentials(t2_registrar *registrar, const char *token, t2_tls *tls) {
  registrar->options.token = token;
  registrar->options.tls = tls;
  if (registrar->link) t2_link_set_credentials(registrar->link, token, tls);
}

void t2_registrar_rest(t2_registrar *registrar) {
  registrar->resting = true;
  t2_loop_timer_stop(registrar->loop, &registrar->renewal);
}

bool t2_registrar_delete(t2_registrar *registrar, uint64_t timeout_ms) {
  if (!t2_registrar_is_away(registrar)) return registrar->link && delete_session(registrar, timeout_ms);
  registrar->delete_ms = timeout_ms;
  send_on(registrar, T2_REGISTRAR_DELETE);
  return true;
}

bool t2_registrar_leave(t2_registrar *registrar) {
  if (!t2_registrar_is_away(registrar)) return false;
  send_on(registrar, T2_REGISTRAR_LEAVE);
  return true;
}

int t2_registrar_follow(t2_registrar *registrar, const char *session, const char *instance, t2_str ticket) {
  snprintf(registrar->session, sizeof(registrar->session), "%s", session);
  snprintf(registrar->instance, sizeof(registrar->instance), "%s", instance);
  registrar->resting = true; /* it renews nothing */
  return take_ticket(registrar, ticket);
}
