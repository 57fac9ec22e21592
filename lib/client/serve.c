#include <client/state.h>
#include <http/mend.h>
#include <http/problem.h>

/* An exchange whose answer is mended: what the request said, that the answer has to be read by. */
typedef struct mending {
  t2_client *client;
  t2_mend how;
  char text[];
} mending;

/* ---- rewrite_prefix ---- */

static void on_mended_done(t2_exchange *exchange, void *user) {
  (void)exchange;
  t2_free(((mending *)user)->client->loop->mem, user);
}

static int on_response(t2_exchange *exchange, const t2_head *in, t2_head *out, t2_buf *scratch, void *user) {
  (void)exchange;
  return t2_mend_response(in, &((const mending *)user)->how, out, scratch);
}

static bool is_prefixed(const t2_client *client, const t2_head *head) {
  return client->options.rewrite_prefix && t2_mend_prefix(head).n > 0;
}

static int mend_answer(t2_client *client, t2_exchange *exchange, const t2_head *head,
                       const t2_client_route *route) {
  t2_str prefix = t2_mend_prefix(head);
  mending *m = t2_alloc(client->loop->mem, sizeof(*m) + prefix.n + head->authority.n + 1);
  if (!m) return T2_ERR_NOMEM;
  memcpy(m->text, prefix.p, prefix.n);
  if (head->authority.n) memcpy(m->text + prefix.n, head->authority.p, head->authority.n);
  m->client = client;
  m->how = (t2_mend){.prefix = t2_str_of(m->text, prefix.n),
                     .authority = t2_str_of(m->text + prefix.n, head->authority.n),
                     .own = {route ? route->authority : T2_STR_NULL, t2_str_c(client->options.host_header)}};
  exchange->on_response = on_response;
  exchange->on_done = on_mended_done;
  exchange->user = m;
  return 0;
}

/* ---- Serving ---- */

static void serve_files(const t2_client_route *route, t2_exchange *exchange, t2_head *head, bool end) {
  t2_exchange_decline_upgrade(exchange, head);
  t2_files_serve(route->files, exchange, head, end, route->prefix);
}

static void serve_with(t2_client *client, const t2_client_route *route, t2_exchange *exchange, t2_head *head,
                       bool end) {
  uint64_t timeout_ms = client->options.response_timeout_ms;
  if (!route)
    t2_handlers_serve(&client->handlers, exchange, head, end, timeout_ms);
  else if (route->files)
    serve_files(route, exchange, head, end);
  else
    t2_exchange_connect(exchange, t2_origin_leg(route->origin), head, end, NULL, timeout_ms);
}

/* route NULL: to the handler. */
static void pass_on(t2_client *client, const t2_client_route *route, t2_exchange *exchange, t2_head *head,
                    bool end) {
  int err = is_prefixed(client, head) ? mend_answer(client, exchange, head, route) : 0;
  if (err == 0) err = t2_edits_apply(&client->edits, head);
  if (err)
    t2_exchange_refuse(exchange, t2_problem_of(err, T2_AT_ORIGIN), NULL);
  else
    serve_with(client, route, exchange, head, end);
}

void t2_client_serve(t2_client *client, t2_exchange *exchange, t2_head *head, bool end) {
  if (client->options.kind == T2_CLIENT_TCP || client->options.kind == T2_CLIENT_TLS) {
    t2_client_tcp_serve(client, exchange, head, end);
    return;
  }
  if (client->options.kind == T2_CLIENT_UDP) {
    t2_client_udp_serve(client, exchange, head, end);
    return;
  }
  if (exchange->connect && !exchange->upgrade) {
    t2_exchange_refuse(exchange, t2_problem_of_status(501), "this session is of plain HTTP requests");
    return;
  }
  const t2_client_route *route = t2_client_routes_find(&client->routes, head->path);
  if (route || client->options.handler)
    pass_on(client, route, exchange, head, end);
  else
    t2_exchange_refuse(exchange, t2_problem_of_status(404), "the client has no origin for this path");
}
