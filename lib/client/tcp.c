#include <client/state.h>
#include <http/problem.h>
#include <wire/detail.h>

/* "5432", "host:5432", "unix:/path", or with the kind's scheme: "tcp://host:5432", "tls://host:443". */
static int parse(const char *text, t2_client_kind kind, t2_target *target, char *detail, size_t size) {
  t2_str origin = t2_str_c(text), scheme = kind == T2_CLIENT_TLS ? T2_STR("tls://") : T2_STR("tcp://");
  if (t2_str_starts(origin, scheme)) origin = t2_str_of(origin.p + scheme.n, origin.n - scheme.n);
  int err = origin.n ? t2_target_parse(origin, target, NULL, 0) : T2_ERR_INVALID;
  ptrdiff_t colon = t2_str_find(origin, ':');
  bool url =
      colon >= 0 && t2_str_starts(t2_str_of(origin.p + colon, origin.n - (size_t)colon), T2_STR("://"));
  bool plain = err == 0 && (target->kind == T2_TARGET_UNIX || (target->kind == T2_TARGET_HTTP && !url));
  if (plain) return 0;
  return t2_detail(detail, size, T2_ERR_INVALID,
                   "\"%s\" is no %s target: PORT, HOST:PORT or unix:/PATH is taken", text ? text : "",
                   kind == T2_CLIENT_TLS ? "TLS" : "TCP");
}

int t2_client_no_http_check(const t2_client_options *o, char *detail, size_t size) {
  bool fields = o->add_header_count || o->remove_header_count || o->host_header || o->rewrite_prefix;
  if (!o->route_count && !fields && !o->origin_ca_file && !o->origin_insecure) return 0;
  return t2_detail(detail, size, T2_ERR_INVALID,
                   "routes, header fields and trust in https targets are for HTTP sessions alone");
}

int t2_client_tcp_check(const t2_client_options *o, char *detail, size_t size) {
  t2_target target;
  if (o->kind == T2_CLIENT_HTTP && (o->remote_port || o->proxy_protocol))
    return t2_detail(
        detail, size, T2_ERR_INVALID,
        "a remote port is for TCP and UDP sessions alone, and the PROXY protocol for TCP and TLS");
  if (o->kind == T2_CLIENT_HTTP) return 0;
  if (o->kind != T2_CLIENT_TCP && o->kind != T2_CLIENT_TLS)
    return t2_detail(detail, size, T2_ERR_INVALID, "a session is of HTTP, TCP, UDP or TLS");
  if (o->kind == T2_CLIENT_TLS && o->remote_port)
    return t2_detail(detail, size, T2_ERR_INVALID, "TLS sessions share a port: none can be asked for");
  if (o->kind == T2_CLIENT_TLS && o->hostname_count == 0)
    return t2_detail(detail, size, T2_ERR_INVALID, "a TLS session needs a host name");
  if (o->handler && o->proxy_protocol)
    return t2_detail(detail, size, T2_ERR_INVALID, "the PROXY protocol is for an origin, not for a handler");
  int err = t2_client_no_http_check(o, detail, size);
  return err || o->handler ? err : parse(o->origin, o->kind, &target, detail, size);
}

int t2_client_tcp_open(t2_client *client, const t2_client_options *o) {
  t2_target target = {0};
  if (o->handler) return 0;
  client->strings.tcp_origin = t2_strdup(client->loop->mem, o->origin);
  if (!client->strings.tcp_origin) return T2_ERR_NOMEM;
  int err = parse(client->strings.tcp_origin, o->kind, &target, NULL, 0);
  if (err) return err;
  client->tcp_options = (t2_tcp_leg_options){
      .dial = {.host = target.host,
               .port = target.port,
               .unix_path = target.kind == T2_TARGET_UNIX ? target.path.p : NULL, /* it ends with the text */
               .timeout_ms = o->connect_timeout_ms},
      .proxy_protocol = o->proxy_protocol,
  };
  return 0;
}

/* Where it goes to is this side's to say, whatever the request's authority is. */
void t2_client_tcp_serve(t2_client *client, t2_exchange *exchange, t2_head *head, bool end) {
  if (!exchange->connect || exchange->upgrade) {
    t2_exchange_refuse(exchange, t2_problem_of_status(501), "this session is of TCP connections");
    return;
  }
  if (client->options.handler) {
    t2_handlers_serve(&client->handlers, exchange, head, end, client->options.response_timeout_ms);
    return;
  }
  t2_leg *leg = t2_tcp_leg_dialling(&client->tcp, &client->tcp_options);
  if (leg)
    t2_exchange_connect(exchange, leg, head, end, NULL, 0);
  else
    t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_ORIGIN), NULL);
}
