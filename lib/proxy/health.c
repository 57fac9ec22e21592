#include <proxy/call.h>
#include <proxy/health.h>
#include <proxy/metrics.h>
#include <tunnel2/error.h>

#define CONNECTIONS_MAX 64

struct t2_health {
  const t2_allocator *mem;
  t2_loop *loop;
  t2_proxy proxy;
  t2_server *server;
  char *name;
  t2_health_ready_cb ready;
  t2_health_metrics_cb metrics; /* NULL: none */
  void *user;
};

static void answer(t2_call *call, int status, const char *body, const t2_fields *extra) {
  t2_call_reply(call, status, "application/json", extra, body, strlen(body));
}

static void answer_ready(t2_health *health, t2_call *call) {
  if (!health->ready || health->ready(health->user)) {
    answer(call, 200, "{\"status\":\"ready\"}\n", NULL);
    return;
  }
  t2_fields retry;
  t2_fields_init(&retry, health->mem);
  (void)t2_fields_add(&retry, T2_STR("retry-after"), T2_STR("1"));
  answer(call, 503, "{\"status\":\"not ready\"}\n", &retry);
  t2_fields_fini(&retry);
}

static void answer_metrics(t2_health *health, t2_call *call) {
  t2_buf text;
  t2_buf_init(&text, health->mem);
  health->metrics(&text, health->user);
  if (text.failed)
    t2_call_problem(call, t2_problem_of(T2_ERR_NOMEM, T2_AT_LOCAL), NULL);
  else
    t2_call_reply(call, 200, T2_METRICS_CONTENT_TYPE, NULL, t2_buf_head(&text), t2_buf_len(&text));
  t2_buf_fini(&text);
}

/* The path without a query. */
static t2_str path_of(const t2_head *head) {
  ptrdiff_t query = t2_str_find(head->path, '?');

  return t2_str_of(head->path.p, query < 0 ? head->path.n : (size_t)query);
}

static void on_call(t2_call *call, void *user) {
  t2_health *health = user;
  const t2_head *head = t2_call_head(call);
  t2_str path = path_of(head);
  bool live = t2_str_eq(path, T2_STR("/health/live")), ready = t2_str_eq(path, T2_STR("/health/ready"));
  bool metrics = health->metrics && t2_str_eq(path, T2_STR("/metrics"));

  if (!live && !ready && !metrics)
    t2_call_problem(call, t2_problem_of_status(404),
                    "there are /health/live, /health/ready and /metrics here");
  else if (!t2_str_eq(head->method, T2_STR("GET")) && !t2_str_eq(head->method, T2_STR("HEAD")))
    t2_call_problem_with(call, t2_problem_of_status(405), NULL, T2_STR("allow"), T2_STR("GET, HEAD"));
  else if (live)
    answer(call, 200, "{\"status\":\"live\"}\n", NULL);
  else if (ready)
    answer_ready(health, call);
  else
    answer_metrics(health, call);
}

static void on_request(const t2_server_request *request, void *user) {
  t2_call_begin(request, 0, on_call, user);
}

static void on_loop_close(t2_loop *loop, void *user) {
  t2_health *health = user;

  (void)loop;
  t2_free(health->mem, health->name);
  t2_free(health->mem, health);
}

static void on_server_close(void *user) {
  t2_health *health = user;

  t2_proxy_fini(&health->proxy);
  t2_loop_close(health->loop, on_loop_close, health);
}

int t2_health_new(t2_health **out, uv_loop_t *uv, const t2_allocator *mem, const t2_log *log,
                  const char *name, const char *address, t2_health_ready_cb ready,
                  t2_health_metrics_cb metrics, void *user, char *detail, size_t detail_size) {
  t2_health *health = t2_calloc(mem, 1, sizeof(*health));
  t2_server_options options;

  *out = NULL;
  if (!health) return T2_ERR_NOMEM;
  *health =
      (t2_health){.mem = mem, .name = t2_strdup(mem, name), .ready = ready, .metrics = metrics, .user = user};
  if (!health->name || t2_loop_new(&health->loop, uv, mem, log)) {
    t2_free(mem, health->name);
    t2_free(mem, health);
    return T2_ERR_NOMEM;
  }
  t2_proxy_init(&health->proxy, health->loop, health->name);
  t2_server_options_init(&options);
  options.listener.address = address;
  options.listener.connections_max = CONNECTIONS_MAX;
  int rc = t2_server_new(&health->server, &health->proxy, &options, on_request, health, detail, detail_size);
  if (rc) {
    on_server_close(health);
    return rc;
  }
  *out = health;
  return 0;
}

int t2_health_socket(const t2_health *health) {
  return t2_server_socket(health->server);
}

const char *t2_health_address(const t2_health *health) {
  return t2_server_address(health->server);
}

void t2_health_close(t2_health *health) {
  t2_server_close(health->server, on_server_close, health);
}
