#include <client/state.h>
#include <http/problem.h>
#include <wire/detail.h>

#define SCHEME "udp://"

/* "53", "host:53" or "udp://host:53". */
static int parse(const char *text, t2_udp_leg_options *out, char *detail, size_t size) {
  t2_str origin = t2_str_c(text);
  t2_target target = {0};
  if (t2_str_starts(origin, T2_STR(SCHEME)))
    origin = t2_str_of(origin.p + sizeof(SCHEME) - 1, origin.n - (sizeof(SCHEME) - 1));
  bool taken = origin.n && t2_str_find(origin, '/') < 0 && t2_target_parse(origin, &target, NULL, 0) == 0;
  if (taken && target.kind == T2_TARGET_HTTP) {
    *out = (t2_udp_leg_options){.host = target.host, .port = target.port};
    return 0;
  }
  return t2_detail(detail, size, T2_ERR_INVALID, "\"%s\" is no UDP target: PORT or HOST:PORT is taken",
                   text ? text : "");
}

int t2_client_udp_check(const t2_client_options *o, char *detail, size_t size) {
  t2_udp_leg_options options;
  if (o->proxy_protocol)
    return t2_detail(detail, size, T2_ERR_INVALID, "the PROXY protocol is for TCP and TLS sessions alone");
  if (o->handler) return t2_detail(detail, size, T2_ERR_INVALID, "a handler is for HTTP and TCP sessions");
  int err = t2_client_no_http_check(o, detail, size);
  return err ? err : parse(o->origin, &options, detail, size);
}

int t2_client_udp_open(t2_client *client, const t2_client_options *o) {
  client->strings.udp_origin = t2_strdup(client->loop->mem, o->origin);
  if (!client->strings.udp_origin) return T2_ERR_NOMEM;
  return parse(client->strings.udp_origin, &client->udp_options, NULL, 0);
}

/* Where it goes to is this side's to say, whatever the request's path is. */
void t2_client_udp_serve(t2_client *client, t2_exchange *exchange, t2_head *head, bool end) {
  if (!exchange->upgrade || !t2_str_eq(t2_str_c(exchange->protocol), T2_UDP_PROTOCOL)) {
    t2_exchange_refuse(exchange, t2_problem_of_status(501), "this session is of UDP datagrams");
    return;
  }
  t2_leg *leg = t2_udp_leg_dialling(&client->udp, &client->udp_options);
  if (leg)
    t2_exchange_connect(exchange, leg, head, end, NULL, 0);
  else
    t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_ORIGIN), NULL);
}
