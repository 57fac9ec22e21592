#include <client/state.h>
#include <stdio.h>
#include <wire/detail.h>

#define PATH_MAX_N 1024 /* characters of a path that is asked for */

/* ---- Options ---- */

static bool is_path(const char *text) {
  t2_str path = t2_str_c(text);
  return path.n <= PATH_MAX_N && t2_is_origin_form(path);
}

int t2_client_watch_check(const t2_client_options *o, char *detail, size_t size) {
  bool http = o->kind == T2_CLIENT_HTTP;
  if (o->health_interval_ms == 0 || o->health_timeout_ms == 0 || o->health_failures == 0 ||
      o->health_passes == 0)
    return t2_detail(detail, size, T2_ERR_INVALID, "interval, timeout and numbers of health are at least 1");
  if (!o->health) return 0;
  if (o->kind == T2_CLIENT_UDP || (!http && o->handler))
    return t2_detail(detail, size, T2_ERR_INVALID, "health is of an origin of HTTP, TCP or TLS");
  if (strcmp(o->health, T2_HEALTH_CONNECT) == 0 || (http && is_path(o->health))) return 0;
  return t2_detail(detail, size, T2_ERR_INVALID, "health \"%.80s\": %s" T2_HEALTH_CONNECT " is taken",
                   o->health, http ? "/PATH or " : "");
}

/* ---- What is watched ---- */

static void on_change(t2_client_health *health, const char *why, void *user) {
  t2_client *client = user;
  bool out = health->verdict.out;
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle)
      t2_bundle_set_concurrent_max(client->slots[i].bundle, out ? 0 : client->options.concurrent_max);
  t2_client_tell(client, false);
  t2_client_emit(client, &(t2_client_event){.type = out ? T2_CLIENT_UNHEALTHY : T2_CLIENT_HEALTHY,
                                            .session = client->registrar.session,
                                            .reason = why});
}

static t2_client_health_options common(t2_client *client) {
  const t2_client_options *o = &client->options;
  return (t2_client_health_options){.proxy = &client->control,
                                    .active = o->health != NULL,
                                    .interval_ms = o->health_interval_ms,
                                    .timeout_ms = o->health_timeout_ms,
                                    .fails_max = o->health_failures,
                                    .passes_min = o->health_passes,
                                    .connects_max = o->connect_failures_max,
                                    .edits = &client->edits};
}

static void watch_tcp(t2_client *client) {
  t2_client_health_options options = common(client);
  options.dial = client->tcp_options.dial;
  client->tcp.on_dialled = client->member ? t2_client_member_on_dialled : t2_client_health_on_dialled;
  client->tcp.user = client->member ? (void *)client : &client->health;
  if (!client->member) t2_client_health_init(&client->health, &options, on_change, client);
}

static void watch_route(t2_client *client, const t2_client_route *route) {
  const t2_target *target = &route->target;
  const char *asked = client->options.health;
  t2_client_health_options options = common(client);
  options.path = asked && *asked == '/' ? asked : NULL;
  options.origin = route->origin;
  options.authority = route->authority;
  options.dial = (t2_dial_options){
      .host = target->host,
      .port = target->port,
      .unix_path = target->kind == T2_TARGET_UNIX ? target->path.p : NULL, /* it ends with the text */
      .tls = target->kind == T2_TARGET_HTTPS ? client->routes.tls.http1 : NULL};
  if (client->member) { /* the first worker judges */
    t2_origin_on_dialled(route->origin, t2_client_member_on_dialled, client);
    return;
  }
  t2_origin_on_dialled(route->origin, t2_client_health_on_dialled, &client->health);
  t2_client_health_init(&client->health, &options, on_change, client);
}

/* The origin that is asked for speaks for the client; where none is, that of the only route does. */
int t2_client_watch_open(t2_client *client, char *detail, size_t size) {
  const char *asked = client->options.health;
  t2_client_kind kind = client->options.kind;
  if (kind == T2_CLIENT_UDP || (kind != T2_CLIENT_HTTP && client->options.handler)) return 0;
  if (kind != T2_CLIENT_HTTP) {
    watch_tcp(client);
    return 0;
  }
  const t2_client_route *route =
      t2_client_routes_find(&client->routes, t2_str_c(asked && *asked == '/' ? asked : "/"));
  if (asked && (!route || !route->origin))
    return t2_detail(detail, size, T2_ERR_INVALID, "health: there is no origin to ask at this path");
  if (route && route->origin && (asked || client->routes.n == 1)) watch_route(client, route);
  return 0;
}
