#include <base/options.h>
#include <client/state.h>
#include <http/ptth.h>
#include <net/credentials.h>
#include <stdio.h>
#include <string.h>
#include <wire/detail.h>

#define BY        "tunnel2-client" /* in Proxy-Status */
#define DELETE_MS 2000             /* for taking leave of the control plane */

/* ---- Options ---- */

void t2_client_options_init(t2_client_options *options) {
  *options = (t2_client_options){
      .size = sizeof(*options),
      .log_level = T2_LOG_INFO,
      .server = "https://127.0.0.1:12002",
      .connect_timeout_ms = 5000,
      .response_timeout_ms = 30000,
      .concurrent_max = 1000,
      .retry_min_ms = 200,
      .retry_max_ms = 5000,
      .uplinks_min = 1,
      .uplinks_max = 1,
      .weight = T2_PTTH_WEIGHT_DEFAULT,
      .health_interval_ms = 10000,
      .health_timeout_ms = 5000,
      .health_failures = 3,
      .health_passes = 2,
      .connect_failures_max = 5,
      .workers = 1,
  };
}

/* NULL is the default too. */
int t2_client_read_options(t2_client_options *out, const t2_client_options *given) {
  t2_client_options_init(out);
  const char *server = out->server;
  if (t2_options_read(out, sizeof(*out), given)) return T2_ERR_INVALID;
  if (!out->server) out->server = server;
  return 0;
}

static int check_uplinks(const t2_client_options *o, char *detail, size_t size) {
  if (o->uplink_plaintext_anywhere && !o->uplink_plaintext)
    return t2_detail(detail, size, T2_ERR_INVALID, "uplink-plaintext-anywhere needs uplink-plaintext");
  if (o->concurrent_max == 0 || o->concurrent_max > INT32_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "at least one exchange at once has to be allowed");
  if (o->uplinks_min == 0 || o->uplinks_min > o->uplinks_max || o->uplinks_max > T2_CLIENT_UPLINKS_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "1 to %d uplinks to an entry are taken",
                     T2_CLIENT_UPLINKS_MAX);
  if (o->weight == 0 || o->weight > T2_CLIENT_WEIGHT_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "a weight is from 1 to %d", T2_CLIENT_WEIGHT_MAX);
  return t2_client_watch_check(o, detail, size);
}

static int check_options(const t2_client_options *o, char *detail, size_t size) {
  int err = t2_registrar_check(o->server, o->token, o->session, detail, size);
  if (err) return err;
  if ((unsigned)o->kind > T2_CLIENT_TLS)
    return t2_detail(detail, size, T2_ERR_INVALID, "kind %d: there is none", (int)o->kind);
  if (o->host_header && (!*o->host_header || !t2_is_field_value(t2_str_c(o->host_header))))
    return t2_detail(detail, size, T2_ERR_INVALID, "the host header is no field value");
  err = check_uplinks(o, detail, size);
  if (err == 0) err = t2_client_workers_check(o, detail, size);
  if (err) return err;
  if (o->handler && !o->handler->on_request)
    return t2_detail(detail, size, T2_ERR_INVALID, "a handler needs an on_request");
  if (o->handler && o->handler->size < sizeof(o->handler->size))
    return t2_detail(detail, size, T2_ERR_INVALID, "the handler was not set up by t2_handler_init");
  if (o->handler && o->origin)
    return t2_detail(detail, size, T2_ERR_INVALID, "an origin and a handler are given: one of them answers");
  if (o->kind == T2_CLIENT_UDP) return t2_client_udp_check(o, detail, size);
  err = t2_client_tcp_check(o, detail, size);
  if (err || o->kind != T2_CLIENT_HTTP) return err;
  err = t2_client_routes_check(o, detail, size);
  return err ? err : t2_edits_check(o, detail, size);
}

/* ---- Life ---- */

static void free_strings(t2_client *client) {
  const t2_allocator *mem = client->options.allocator;
  t2_client_strings *strings = &client->strings;
  if (strings->token) t2_memzero(strings->token, strlen(strings->token));
  t2_free(mem, strings->server);
  t2_free(mem, strings->token);
  t2_free(mem, strings->session);
  t2_free(mem, strings->host_header);
  t2_free(mem, strings->tcp_origin);
  t2_free(mem, strings->udp_origin);
  t2_free(mem, strings->health);
}

/* Copies the options, and then their strings. */
static int copy_options(t2_client *client, const t2_client_options *given) {
  const t2_allocator *mem = given->allocator;
  t2_client_options *options = &client->options;
  t2_client_strings *strings = &client->strings;
  *options = *given;
  options->server = strings->server = t2_strdup(mem, given->server);
  options->token = strings->token = t2_strdup(mem, given->token);
  options->session = strings->session = t2_strdup(mem, given->session);
  options->health = strings->health = t2_strdup(mem, given->health);
  options->host_header = strings->host_header = t2_strdup(mem, given->host_header);
  /* Read once. */
  options->ca_file = options->origin_ca_file = options->origin = NULL;
  options->token_file = options->dev_state_dir = NULL;
  options->routes = options->add_headers = options->remove_headers = options->allow_ips = NULL;
  options->hostnames = NULL;
  options->basic_auth = options->sticky_cookie = options->sticky_header = NULL;
  bool whole = options->server && options->token && (options->session || !given->session) &&
               (options->host_header || !given->host_header) && (options->health || !given->health);
  return whole ? 0 : T2_ERR_NOMEM;
}

/* Everything on the loop has closed. */
static void on_loop_close(t2_loop *loop, void *user) {
  t2_client *client = user;
  const t2_allocator *mem = client->options.allocator;
  t2_client_close_cb cb = client->on_close;
  void *close_user = client->close_user;
  free_strings(client);
  t2_free(mem, client);
  if (cb) cb(close_user);
}

static void on_drain_timer(t2_timer *timer);

int t2_client_make_tls(const t2_client *client, const char *ca_file, t2_tls **link, t2_tls **uplink,
                       char *detail, size_t size) {
  static const char *const link_alpn[] = {"h2", NULL};
  static const char *const uplink_alpn[] = {"http/1.1", NULL};
  int err = 0;
  if (!client->member) err = t2_tls_client_new(link, client->loop, ca_file, link_alpn, detail, size);
  if (err) return err;
  return t2_tls_client_new(uplink, client->loop, ca_file, uplink_alpn, detail, size);
}

static void on_routes_gone(void *user) {
  t2_client_settled(user);
}

static int make_routes(t2_client *client, const t2_client_options *options, char *detail, size_t size) {
  client->routes.on_gone = on_routes_gone;
  client->routes.user = client;
  if (options->kind == T2_CLIENT_UDP) return t2_client_udp_open(client, options);
  if (options->kind != T2_CLIENT_HTTP) return t2_client_tcp_open(client, options);
  int err = t2_edits_init(&client->edits, client->loop->mem, options);
  return err ? err : t2_client_routes_open(&client->routes, &client->proxy, options, detail, size);
}

static void on_handlers_idle(void *user) {
  t2_client_settled(user);
}

/* Of a handler of an older header those callbacks are not called that it does not know. */
static void init_handlers(t2_client *client) {
  t2_handler ops;
  const t2_handler *given = client->options.handler;
  t2_handler_init(&ops);
  if (given) memcpy(&ops, given, given->size < sizeof(ops) ? given->size : sizeof(ops));
  t2_handlers_init(&client->handlers, &client->proxy, &ops, client->options.handler_user);
  client->handlers.on_idle = on_handlers_idle;
  client->handlers.idle_user = client;
}

static void init_members(t2_client *client) {
  t2_proxy_init(&client->proxy, client->loop, BY);
  t2_proxy_init(&client->control, client->loop, BY);
  init_handlers(client);
  t2_timer_init(&client->drain, on_drain_timer);
  t2_client_init_session(client);
  t2_tcp_legs_init(&client->tcp, client->loop);
  t2_udp_legs_init(&client->udp, client->loop);
}

/* From options that are whole. member: NULL, or the one whose part it is. */
static int make_client(t2_client **out, uv_loop_t *uv, const t2_client_options *options,
                       t2_client_member *member, char *detail, size_t size) {
  int err = check_options(options, detail, size);
  if (err) return err;
  t2_client *client = t2_calloc(options->allocator, 1, sizeof(*client));
  if (!client) return T2_ERR_NOMEM;
  client->member = member;
  t2_log log = {options->log, options->log_user, options->log_level};
  if (member) log = t2_crew_log(member->worker);
  err = copy_options(client, options);
  if (err == 0) err = t2_client_read_terms(&client->terms, options, detail, size);
  if (err == 0) err = t2_loop_new(&client->loop, uv, options->allocator, &log);
  if (err) {
    free_strings(client);
    t2_free(options->allocator, client);
    return err;
  }
  init_members(client);
  err = t2_client_make_tls(client, options->ca_file, &client->link_tls, &client->uplink_tls, detail, size);
  if (err == 0) err = make_routes(client, options, detail, size);
  if (err == 0) err = t2_client_watch_open(client, detail, size);
  if (err == 0 && !member) err = t2_client_open_session(client);
  if (err == 0 && !member) err = t2_client_hire(client, options, detail, size);
  if (err) {
    t2_client_close(client, NULL, NULL);
    return err;
  }
  *out = client;
  return 0;
}

/* It waits for news from its making on. */
int t2_client_make_member(t2_client_member *member, uv_loop_t *uv, const t2_client_options *options,
                          char *detail, size_t size) {
  t2_client *client;
  int err = make_client(&client, uv, options, member, detail, size);
  if (err) return err;
  client->state = T2_CLIENT_STATE_RUNNING;
  member->client = client;
  return 0;
}

int t2_client_new(t2_client **out, uv_loop_t *uv, const t2_client_options *given, char *detail, size_t size) {
  t2_client_options options;
  t2_credentials credentials;
  *out = NULL;
  if (size) *detail = '\0';
  if (t2_client_read_options(&options, given))
    return t2_detail(detail, size, T2_ERR_INVALID, "the options were not set up by t2_client_options_init");
  t2_credential_options from = {options.token, options.token_file, options.ca_file, options.dev_state_dir};
  int err = t2_credentials_read(&credentials, options.allocator, &from, detail, size);
  if (err) return err;
  options.token = credentials.token;
  options.ca_file = credentials.ca_file;
  err = make_client(out, uv, &options, NULL, detail, size);
  t2_credentials_fini(&credentials);
  return err;
}

int t2_client_start(t2_client *client) {
  if (client->state != T2_CLIENT_STATE_NEW || client->closing) return T2_ERR_STATE;
  client->state = T2_CLIENT_STATE_RUNNING;
  if (client->options.uplink_plaintext)
    t2_log_at(
        &client->loop->log, WARN, "client",
        "uplink-plaintext: uplinks to entries at http:// are not encrypted: tickets and all content can be "
        "read and changed on the way, and nobody can tell who the entry is");
  t2_registrar_start(&client->registrar);
  t2_client_health_start(&client->health);
  return 0;
}

static void close_connections(t2_client *client) {
  t2_loop_timer_stop(client->loop, &client->drain);
  t2_client_health_stop(&client->health);
  t2_registrar_close(&client->registrar);
  t2_client_members_end(client);
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) t2_bundle_close(client->slots[i].bundle);
}

static bool has_uplinks(const t2_client *client) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) return true;
  return false;
}

/* The proxies outlive the connections, and the loop both. */
static void dispose(t2_client *client) {
  client->disposing = false;
  t2_client_fini_session(client);
  t2_client_routes_fini(&client->routes);
  t2_edits_fini(&client->edits);
  t2_handlers_fini(&client->handlers);
  t2_proxy_fini(&client->proxy);
  t2_proxy_fini(&client->control);
  t2_loop_close(client->loop, on_loop_close, client);
}

void t2_client_settled(t2_client *client) {
  if (!client->closing)
    t2_client_drained(client);
  else if (client->disposing && !client->registrar.link && !has_uplinks(client) && client->routes.open == 0 &&
           !t2_handlers_any(&client->handlers) && !client->members)
    dispose(client);
}

void t2_client_close(t2_client *client, t2_client_close_cb cb, void *user) {
  if (client->closing) return;
  client->closing = true;
  client->state = T2_CLIENT_STATE_ENDED;
  client->on_close = cb;
  client->close_user = user;
  close_connections(client);
  t2_client_routes_close(&client->routes);
  t2_tcp_legs_close(&client->tcp);
  t2_udp_legs_close(&client->udp);
  if (client->link_tls) t2_tls_unref(client->link_tls);
  if (client->uplink_tls) t2_tls_unref(client->uplink_tls);
  client->disposing = true;
  t2_client_members_close(client);
  t2_client_settled(client);
}

/* ---- Events ---- */

static void log_event(const t2_client *client, const t2_client_event *event) {
  const t2_log *log = &client->loop->log;
  const char *entry = event->entry ? event->entry : "the control plane",
             *reason = event->reason ? event->reason : "";
  switch (event->type) {
  case T2_CLIENT_REGISTERED:
    t2_log_at(log, INFO, "client", "session %s is registered", event->session);
    break;
  case T2_CLIENT_CONNECTED:
    t2_log_at(log, INFO, "client", "uplink to %s is up", entry);
    break;
  case T2_CLIENT_READY:
    t2_log_at(log, INFO, "client", "session %s is published", event->session);
    break;
  case T2_CLIENT_LOST:
    t2_log_at(log, WARN, "client", "lost %s: %s", entry, reason);
    break;
  case T2_CLIENT_RETRYING:
    if (client->repeats)
      t2_log_at(log, DEBUG, "client", "no connection to %s (%s): again in %u ms", entry, reason,
                (unsigned)event->delay_ms);
    else
      t2_log_at(log, WARN, "client", "no connection to %s (%s): again in %u ms", entry, reason,
                (unsigned)event->delay_ms);
    break;
  case T2_CLIENT_DRAINING:
    t2_log_at(log, INFO, "client", "draining: %s", reason);
    break;
  case T2_CLIENT_ENDED:
    t2_log_at(log, INFO, "client", "ended%s%s", *reason ? ": " : "", reason);
    break;
  case T2_CLIENT_UNHEALTHY:
    t2_log_at(log, WARN, "client", "no requests are taken: the origin fails: %s", reason);
    break;
  case T2_CLIENT_HEALTHY:
    t2_log_at(log, INFO, "client", "requests are taken again: %s", reason);
    break;
  }
}

void t2_client_emit(t2_client *client, const t2_client_event *event) {
  if (client->closing) return;
  if (client->member) {
    t2_client_member_emit(client, event);
    return;
  }
  log_event(client, event);
  if (client->options.on_event) client->options.on_event(client, event, client->options.user);
}

void t2_client_end(t2_client *client, int err, const char *reason) {
  char kept[256];
  if (client->state == T2_CLIENT_STATE_ENDED) return;
  client->state = T2_CLIENT_STATE_ENDED;
  snprintf(kept, sizeof(kept), "%s", reason); /* it may be part of what is closed now */
  close_connections(client);
  t2_client_emit(client, &(t2_client_event){.type = T2_CLIENT_ENDED,
                                            .session = client->registrar.session,
                                            .error = err,
                                            .reason = kept});
}

/* ---- Drain ---- */

/* A session whose id was given may have other clients, or a next one that takes over: it is left to its
 * lease. */
void t2_client_drained(t2_client *client) {
  if (client->state == T2_CLIENT_STATE_DELETING) {
    t2_client_end(client, 0, "drained");
  } else if (client->state == T2_CLIENT_STATE_DRAINING && !has_uplinks(client) &&
             !t2_client_members_any(client)) {
    client->state = T2_CLIENT_STATE_DELETING;
    bool asked = client->options.session ? t2_registrar_leave(&client->registrar)
                                         : t2_registrar_delete(&client->registrar, DELETE_MS);
    t2_loop_timer_start(client->loop, &client->drain, asked ? DELETE_MS : 0);
  }
}

static void on_drain_timer(t2_timer *timer) {
  t2_client *client = T2_CONTAINER_OF(timer, t2_client, drain);
  if (client->state == T2_CLIENT_STATE_DELETING) {
    t2_client_drained(client);
    return;
  }
  t2_log_at(&client->loop->log, WARN, "client", "%zu exchanges are cut: the time for draining is over",
            client->proxy.active);
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) t2_bundle_close(client->slots[i].bundle);
}

void t2_client_drain(t2_client *client, uint64_t timeout_ms) {
  if (client->state != T2_CLIENT_STATE_NEW && client->state != T2_CLIENT_STATE_RUNNING) return;
  client->state = T2_CLIENT_STATE_DRAINING;
  t2_registrar_rest(&client->registrar);
  t2_client_members_drain(client, timeout_ms);
  t2_loop_timer_start(client->loop, &client->drain, timeout_ms);
  t2_client_emit(client, &(t2_client_event){.type = T2_CLIENT_DRAINING,
                                            .session = client->registrar.session,
                                            .reason = "asked to"});
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX && client->state == T2_CLIENT_STATE_DRAINING; i++)
    if (client->slots[i].bundle) t2_bundle_drain(client->slots[i].bundle);
  t2_udp_legs_end(&client->udp); /* a flow has no end of its own to wait for */
  t2_client_drained(client);
}

/* ---- What is known ---- */

const char *t2_client_session(const t2_client *client) {
  return client->registrar.session;
}

void t2_client_count(const t2_client *client, t2_client_figures *figures) {
  const t2_proxy *proxy = &client->proxy;
  *figures = (t2_client_figures){.requests = proxy->total,
                                 .requests_failed = proxy->failed,
                                 .active = proxy->active,
                                 .uplinks = t2_client_uplinks_up(client),
                                 .bytes_to_origin = proxy->bytes_up,
                                 .bytes_from_origin = proxy->bytes_down,
                                 .datagrams_dropped = client->udp.dropped,
                                 .http2_given_up = proxy->given_up};
}

void t2_client_get_stats(const t2_client *client, t2_client_stats *stats) {
  t2_client_figures all;
  t2_client_count(client, &all);
  t2_client_members_count(client, &all);
  t2_client_stats now = {
      .size = stats->size < sizeof(now) ? stats->size : sizeof(now),
      .requests = all.requests,
      .requests_failed = all.requests_failed,
      .active = all.active,
      .uplinks = all.uplinks,
      .bytes_to_origin = all.bytes_to_origin,
      .bytes_from_origin = all.bytes_from_origin,
      .datagrams_dropped = all.datagrams_dropped,
      .http2_given_up = all.http2_given_up,
      .unhealthy = client->health.verdict.out,
  };
  memcpy(stats, &now, now.size);
}
