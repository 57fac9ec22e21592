#include <base/options.h>
#include <client/registrar.h>
#include <client/terms.h>
#include <stdio.h>
#include <tunnel2/registration.h>
#include <wire/detail.h>

#define BY "tunnel2-registration" /* in Proxy-Status; nobody asks it */

/*   NEW ──start──▶ RUNNING ──end──▶ ENDING ──deleted──▶ ENDED
 *                     └─────refused for good, or revoked──▲ */
typedef enum registration_state { NEW, RUNNING, ENDING, ENDED } registration_state;

struct t2_registration {
  t2_registration_options options; /* its texts are used up, but for: */
  char *server, *token, *name;
  registration_state state;
  bool closing, disposing;
  t2_loop *loop;
  t2_proxy proxy;
  t2_tls *tls;
  t2_terms terms;
  t2_registrar registrar;
  t2_timer end;
  t2_message report;
  unsigned lease_seconds;
  char *texts; /* what urls and entries point into */
  const char *urls[T2_REGISTER_URLS_MAX];
  size_t url_count;
  t2_registration_entry entries[T2_MESSAGE_ENTRIES_MAX];
  size_t entry_count;
  t2_registration_close_cb on_close;
  void *close_user;
};

/* ---- Events ---- */

static void log_event(const t2_registration *registration, const t2_registration_event *event) {
  const t2_log *log = &registration->loop->log;
  const char *reason = event->reason ? event->reason : "";
  switch (event->type) {
  case T2_REGISTRATION_REGISTERED:
    t2_log_at(log, INFO, "client", "session %s is registered", event->session);
    break;
  case T2_REGISTRATION_TICKET:
  case T2_REGISTRATION_ENTRIES:
    t2_log_at(log, DEBUG, "client", "session %s has %s", event->session,
              event->type == T2_REGISTRATION_TICKET ? "a new ticket" : "other entries");
    break;
  case T2_REGISTRATION_REVOKED:
    t2_log_at(log, WARN, "client", "revoked: %s", reason);
    break;
  case T2_REGISTRATION_LOST:
    t2_log_at(log, WARN, "client", "lost the control plane: %s", reason);
    break;
  case T2_REGISTRATION_RETRYING:
    t2_log_at(log, WARN, "client", "no connection to the control plane (%s): again in %u ms", reason,
              (unsigned)event->delay_ms);
    break;
  case T2_REGISTRATION_ENDED:
    t2_log_at(log, INFO, "client", "ended%s%s", *reason ? ": " : "", reason);
    break;
  }
}

/* The event with what is known beside it. */
static void emit(t2_registration *registration, t2_registration_event event) {
  if (registration->closing) return;
  event.session = registration->registrar.session;
  event.lease_seconds = registration->lease_seconds;
  event.ticket = t2_registration_ticket(registration);
  event.urls = registration->urls;
  event.url_count = registration->url_count;
  event.entries = registration->entries;
  event.entry_count = registration->entry_count;
  log_event(registration, &event);
  if (registration->options.on_event)
    registration->options.on_event(registration, &event, registration->options.user);
}

static void end(t2_registration *registration, int err, const char *reason) {
  char kept[256];
  if (registration->state == ENDED) return;
  registration->state = ENDED;
  snprintf(kept, sizeof(kept), "%s", reason); /* it may be part of what is closed now */
  t2_loop_timer_stop(registration->loop, &registration->end);
  t2_registrar_close(&registration->registrar);
  emit(registration, (t2_registration_event){.type = T2_REGISTRATION_ENDED, .error = err, .reason = kept});
}

/* ---- What is known: urls and entries, their texts in one piece of memory ---- */

typedef struct lists {
  const char *const *urls;
  size_t url_count;
  const t2_message_entry *entries;
  size_t entry_count;
} lists;

static size_t size_of(const lists *from) {
  size_t size = 1;
  for (size_t i = 0; i < from->url_count; i++)
    size += strlen(from->urls[i]) + 1;
  for (size_t i = 0; i < from->entry_count; i++)
    size += from->entries[i].id.n + from->entries[i].uplink.n + 2;
  return size;
}

static const char *put(char **at, t2_str text) {
  char *copy = *at;
  if (text.n) memcpy(copy, text.p, text.n);
  copy[text.n] = '\0';
  *at += text.n + 1;
  return copy;
}

/* from may point into what is there. 0 or T2_ERR_NOMEM; then that stays. */
static int take_lists(t2_registration *registration, const lists *from) {
  char *texts = t2_alloc(registration->loop->mem, size_of(from)), *at = texts;
  if (!texts) return T2_ERR_NOMEM;
  for (size_t i = 0; i < from->url_count; i++)
    registration->urls[i] = put(&at, t2_str_c(from->urls[i]));
  registration->url_count = from->url_count;
  for (size_t i = 0; i < from->entry_count; i++) {
    registration->entries[i].id = put(&at, from->entries[i].id);
    registration->entries[i].uplink = put(&at, from->entries[i].uplink);
  }
  registration->entry_count = from->entry_count;
  t2_free(registration->loop->mem, registration->texts);
  registration->texts = texts;
  return 0;
}

static bool same_entries(const t2_registration *registration, const t2_message_entry *entries, size_t n) {
  if (registration->entry_count != n) return false;
  for (size_t i = 0; i < n; i++)
    if (!t2_str_eq(t2_str_c(registration->entries[i].id), entries[i].id) ||
        !t2_str_eq(t2_str_c(registration->entries[i].uplink), entries[i].uplink))
      return false;
  return true;
}

/* ---- The control plane ---- */

static int on_registered(t2_registrar *registrar, const t2_register_answer *answer, bool first, void *user) {
  t2_registration *registration = user;
  const lists from = {answer->urls, answer->url_count, answer->entries, answer->entry_count};
  bool same = same_entries(registration, answer->entries, answer->entry_count);
  (void)registrar;
  int err = take_lists(registration, &from);
  if (err) return err;
  registration->lease_seconds = answer->lease_seconds;
  if (registration->state != RUNNING) return 0;
  emit(registration,
       (t2_registration_event){.type = first ? T2_REGISTRATION_REGISTERED : T2_REGISTRATION_TICKET});
  if (!first && !same && registration->state == RUNNING)
    emit(registration, (t2_registration_event){.type = T2_REGISTRATION_ENTRIES});
  return 0;
}

static void on_ticket(t2_registrar *registrar, void *user) {
  t2_registration *registration = user;
  (void)registrar;
  if (registration->state == RUNNING)
    emit(registration, (t2_registration_event){.type = T2_REGISTRATION_TICKET});
}

/* Where there is no memory for them, they are asked for once more. */
static void on_entries(t2_registrar *registrar, const t2_message_entry *entries, size_t n, void *user) {
  t2_registration *registration = user;
  const lists from = {registration->urls, registration->url_count, entries, n};
  if (registration->state != RUNNING || same_entries(registration, entries, n)) return;
  if (take_lists(registration, &from))
    t2_registrar_renew(registrar);
  else
    emit(registration, (t2_registration_event){.type = T2_REGISTRATION_ENTRIES});
}

static void on_revoked(t2_registrar *registrar, bool whole, t2_str why, void *user) {
  t2_registration *registration = user;
  char reason[256];
  (void)registrar;
  if (registration->state != RUNNING) return;
  snprintf(reason, sizeof(reason), "the control plane ended %s%s%.*s", whole ? "the session" : "a ticket",
           why.n ? ": " : "", T2_STR_ARG(why));
  emit(registration, (t2_registration_event){.type = T2_REGISTRATION_REVOKED, .reason = reason});
  if (whole && !registration->closing) end(registration, T2_ERR_CANCELLED, reason);
}

static void on_lost(t2_registrar *registrar, const t2_link_loss *loss, bool final, void *user) {
  t2_registration *registration = user;
  t2_registration_event event = {.type = T2_REGISTRATION_LOST, .error = loss->err, .reason = loss->reason};
  (void)registrar;
  if (registration->state == ENDING) {
    end(registration, 0, "the control plane could not be told");
    return;
  }
  if (registration->state != RUNNING) return;
  if (final) {
    end(registration, loss->err, loss->reason);
    return;
  }
  if (loss->was_up) emit(registration, event);
  if (registration->state != RUNNING) return;
  event.type = T2_REGISTRATION_RETRYING;
  event.delay_ms = loss->delay_ms;
  emit(registration, event);
}

static void on_report(t2_registrar *registrar, t2_message *heartbeat, void *user) {
  const t2_message *report = &((const t2_registration *)user)->report;
  (void)registrar;
  heartbeat->active = report->active;
  heartbeat->requests = report->requests;
  heartbeat->bytes_in = report->bytes_in;
  heartbeat->bytes_out = report->bytes_out;
}

static void on_deleted(t2_registrar *registrar, void *user) {
  (void)registrar;
  end(user, 0, "asked to");
}

static void settle(t2_registration *registration);

static void on_gone(t2_registrar *registrar, void *user) {
  (void)registrar;
  settle(user);
}

static const t2_registrar_ops registrar_ops = {
    .on_registered = on_registered,
    .on_ticket = on_ticket,
    .on_entries = on_entries,
    .on_revoked = on_revoked,
    .on_lost = on_lost,
    .on_report = on_report,
    .on_deleted = on_deleted,
    .on_gone = on_gone,
};

/* ---- Options ---- */

void t2_registration_options_init(t2_registration_options *options) {
  *options = (t2_registration_options){
      .size = sizeof(*options),
      .log_level = T2_LOG_INFO,
      .server = "https://127.0.0.1:12002",
      .retry_min_ms = 200,
      .retry_max_ms = 5000,
  };
}

/* NULL is the default too. */
static int read_options(t2_registration_options *out, const t2_registration_options *given) {
  t2_registration_options_init(out);
  const char *server = out->server;
  if (t2_options_read(out, sizeof(*out), given)) return T2_ERR_INVALID;
  if (!out->server) out->server = server;
  return 0;
}

static int check_options(const t2_registration_options *o, char *detail, size_t size) {
  int err = t2_registrar_check(o->server, o->token, o->session, detail, size);
  if (err) return err;
  if ((unsigned)o->kind > T2_SESSION_TLS)
    return t2_detail(detail, size, T2_ERR_INVALID, "kind %d: there is none", (int)o->kind);
  if (o->kind == T2_SESSION_TLS && o->hostname_count == 0)
    return t2_detail(detail, size, T2_ERR_INVALID, "a TLS session needs a host name");
  if (o->remote_port && o->kind != T2_SESSION_TCP && o->kind != T2_SESSION_UDP)
    return t2_detail(detail, size, T2_ERR_INVALID, "a port is asked for by TCP and UDP sessions alone");
  return 0;
}

static t2_kind kind_of(const t2_registration_options *options) {
  static const t2_kind kinds[] = {[T2_SESSION_HTTP] = T2_KIND_HTTP,
                                  [T2_SESSION_TCP] = T2_KIND_TCP,
                                  [T2_SESSION_UDP] = T2_KIND_UDP,
                                  [T2_SESSION_TLS] = T2_KIND_TLS};
  return kinds[options->kind];
}

static int read_terms(t2_registration *registration, char *detail, size_t size) {
  const t2_registration_options *o = &registration->options;
  const t2_terms_texts texts = {
      .kind = kind_of(o),
      .allow_ips = o->allow_ips,
      .allow_ip_count = o->allow_ip_count,
      .basic_auth = o->basic_auth,
      .hostnames = o->hostnames,
      .hostname_count = o->hostname_count,
      .sticky_cookie = o->sticky_cookie,
      .sticky_header = o->sticky_header,
  };
  return t2_terms_make(&registration->terms, &texts, detail, size);
}

static int copy_strings(t2_registration *registration) {
  const t2_registration_options *o = &registration->options;
  registration->server = t2_strdup(o->allocator, o->server);
  registration->token = t2_strdup(o->allocator, o->token);
  registration->name = t2_strdup(o->allocator, o->session);
  bool whole = registration->server && registration->token && (registration->name || !o->session);
  return whole ? 0 : T2_ERR_NOMEM;
}

/* ---- Life ---- */

static void free_registration(t2_registration *registration) {
  const t2_allocator *mem = registration->options.allocator;
  if (registration->token) t2_memzero(registration->token, strlen(registration->token));
  t2_free(mem, registration->server);
  t2_free(mem, registration->token);
  t2_free(mem, registration->name);
  t2_free(mem, registration->texts);
  t2_free(mem, registration);
}

static void on_end_timer(t2_timer *timer) {
  t2_registration *registration = T2_CONTAINER_OF(timer, t2_registration, end);
  end(registration, 0, "the control plane could not be told");
}

static int open_all(t2_registration *registration, char *detail, size_t size) {
  static const char *const alpn[] = {"h2", NULL};
  const t2_registration_options *o = &registration->options;
  int err = t2_tls_client_new(&registration->tls, registration->loop, o->ca_file, alpn, detail, size);
  if (err) return err;
  return t2_registrar_open(&registration->registrar, &(t2_registrar_options){
                                                         .proxy = &registration->proxy,
                                                         .tls = registration->tls,
                                                         .server = registration->server,
                                                         .token = registration->token,
                                                         .session = registration->name,
                                                         .kind = kind_of(o),
                                                         .port = o->remote_port,
                                                         .terms = &registration->terms,
                                                         .retry_min_ms = o->retry_min_ms,
                                                         .retry_max_ms = o->retry_max_ms,
                                                     });
}

/* The pointers into the caller's memory are not kept. */
static void forget_strings(t2_registration_options *o) {
  o->server = o->token = o->session = o->ca_file = o->basic_auth = NULL;
  o->allow_ips = o->hostnames = NULL;
  o->sticky_cookie = o->sticky_header = NULL;
}

int t2_registration_new(t2_registration **out, uv_loop_t *uv, const t2_registration_options *given,
                        char *detail, size_t size) {
  t2_registration_options options;
  *out = NULL;
  if (size) *detail = '\0';
  if (read_options(&options, given))
    return t2_detail(detail, size, T2_ERR_INVALID,
                     "the options were not set up by t2_registration_options_init");
  int err = check_options(&options, detail, size);
  if (err) return err;
  t2_registration *registration = t2_calloc(options.allocator, 1, sizeof(*registration));
  if (!registration) return T2_ERR_NOMEM;
  t2_log log = {options.log, options.log_user, options.log_level};
  registration->options = options;
  err = copy_strings(registration);
  if (err == 0) err = read_terms(registration, detail, size);
  if (err == 0) err = t2_loop_new(&registration->loop, uv, options.allocator, &log);
  if (err) {
    free_registration(registration);
    return err;
  }
  t2_proxy_init(&registration->proxy, registration->loop, BY);
  t2_timer_init(&registration->end, on_end_timer);
  t2_registrar_init(&registration->registrar, registration->loop, &registrar_ops, registration);
  err = open_all(registration, detail, size);
  forget_strings(&registration->options);
  if (err) {
    t2_registration_close(registration, NULL, NULL);
    return err;
  }
  *out = registration;
  return 0;
}

int t2_registration_start(t2_registration *registration) {
  if (registration->state != NEW) return T2_ERR_STATE;
  registration->state = RUNNING;
  t2_registrar_start(&registration->registrar);
  return 0;
}

int t2_registration_end(t2_registration *registration, uint64_t timeout_ms) {
  if (registration->state > RUNNING) return T2_ERR_STATE;
  registration->state = ENDING;
  t2_registrar_rest(&registration->registrar);
  if (!t2_registrar_delete(&registration->registrar, timeout_ms)) timeout_ms = 0;
  t2_loop_timer_start(registration->loop, &registration->end, timeout_ms);
  return 0;
}

/* Everything on the loop has closed; no callback is under way any more that looks at what is freed here. */
static void on_loop_close(t2_loop *loop, void *user) {
  t2_registration *registration = user;
  t2_registration_close_cb cb = registration->on_close;
  void *close_user = registration->close_user;
  (void)loop;
  t2_registrar_fini(&registration->registrar);
  free_registration(registration);
  if (cb) cb(close_user);
}

static void settle(t2_registration *registration) {
  if (!registration->disposing || registration->registrar.link) return;
  registration->disposing = false;
  if (registration->tls) t2_tls_unref(registration->tls);
  t2_proxy_fini(&registration->proxy);
  t2_loop_close(registration->loop, on_loop_close, registration);
}

void t2_registration_close(t2_registration *registration, t2_registration_close_cb cb, void *user) {
  if (registration->closing) return;
  registration->closing = true;
  registration->state = ENDED;
  registration->on_close = cb;
  registration->close_user = user;
  t2_loop_timer_stop(registration->loop, &registration->end);
  t2_registrar_close(&registration->registrar);
  registration->disposing = true;
  settle(registration);
}

/* ---- Use ---- */

int t2_registration_renew(t2_registration *registration) {
  if (registration->state != RUNNING || !t2_registrar_is_up(&registration->registrar)) return T2_ERR_STATE;
  t2_registrar_renew(&registration->registrar);
  return 0;
}

void t2_registration_report(t2_registration *registration, uint64_t active, uint64_t requests,
                            uint64_t bytes_to_origin, uint64_t bytes_from_origin) {
  registration->report.active = active;
  registration->report.requests = requests;
  registration->report.bytes_in = bytes_to_origin;
  registration->report.bytes_out = bytes_from_origin;
}

const char *t2_registration_session(const t2_registration *registration) {
  return registration->registrar.session;
}

const char *t2_registration_ticket(const t2_registration *registration) {
  t2_str ticket = t2_registrar_ticket(&registration->registrar);
  return ticket.n ? ticket.p : NULL;
}

bool t2_registration_is_registered(const t2_registration *registration) {
  return registration->registrar.linked && t2_registrar_is_up(&registration->registrar);
}
