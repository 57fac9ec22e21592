/* An exchange from leg to leg: a GET and its answer of 13 bytes, by the forwarding rules, between two legs
 * that do nothing. The loop is there for its timers and does not turn. */
#include "bench.h"
#include "messages.h"

#include <proxy/exchange.h>

typedef struct exchanges {
  uv_loop_t uv;
  t2_loop *loop;
  t2_proxy proxy;
  t2_leg down, up;
  t2_head request, response;
  size_t heads, bytes, ends;
} exchanges;

static int up_head(t2_leg *leg, const t2_head *head, bool end) {
  exchanges *s = T2_CONTAINER_OF(leg, exchanges, up);
  (void)head;
  (void)end;
  t2_exchange_head(leg, &s->response, false);
  t2_exchange_data(leg, (const uint8_t *)CONTENT, sizeof(CONTENT) - 1);
  t2_exchange_end(leg, NULL);
  return 0;
}

static int down_head(t2_leg *leg, const t2_head *head, bool end) {
  (void)end;
  T2_CONTAINER_OF(leg, exchanges, down)->heads += head->status == 200;
  return 0;
}

static int down_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  (void)bytes;
  T2_CONTAINER_OF(leg, exchanges, down)->bytes += n;
  t2_exchange_consumed(leg, n);
  return 0;
}

static int down_end(t2_leg *leg, const t2_fields *trailers) {
  (void)trailers;
  T2_CONTAINER_OF(leg, exchanges, down)->ends++;
  return 0;
}

static void on_consumed(t2_leg *leg, size_t n) {
  (void)leg;
  (void)n;
}

static void on_closed(t2_leg *leg, int err) {
  (void)leg;
  T2_BENCH_NEED(err == 0);
}

static const t2_leg_ops up_ops = {
    .name = "up", .at = T2_AT_UPLINK, .head = up_head, .consumed = on_consumed, .closed = on_closed};
static const t2_leg_ops down_ops = {.name = "down",
                                    .at = T2_AT_ROUTE,
                                    .head = down_head,
                                    .data = down_data,
                                    .end = down_end,
                                    .consumed = on_consumed,
                                    .closed = on_closed};

static void *set_up(void) {
  exchanges *s = t2_bench_new(sizeof(*s));
  T2_BENCH_NEED(uv_loop_init(&s->uv) == 0 && t2_loop_new(&s->loop, &s->uv, NULL, NULL) == 0);
  t2_proxy_init(&s->proxy, s->loop, "entry-1");
  s->proxy.via = true;
  t2_head_init(&s->request, NULL);
  t2_head_init(&s->response, NULL);
  s->request.method = T2_STR("GET");
  s->request.scheme = T2_STR("http");
  s->request.authority = T2_STR("127.0.0.1:12000");
  s->request.path = T2_STR("/13");
  s->request.content_length = -1;
  s->request.version_minor = 1;
  s->response.status = 200;
  s->response.content_length = sizeof(CONTENT) - 1;
  s->response.http2 = true;
  T2_BENCH_NEED(t2_fields_add(&s->response.fields, T2_STR("server"), T2_STR("nginx/1.22.1")) == 0 &&
                t2_fields_add(&s->response.fields, T2_STR("content-type"), T2_STR("text/plain")) == 0);
  return s;
}

static void run(void *state, size_t n) {
  exchanges *s = state;
  s->heads = s->bytes = s->ends = 0;
  for (size_t i = 0; i < n; i++) {
    t2_forward how = {
        .peer = T2_STR("192.0.2.1"), .by = T2_STR("entry-1"), .prefix = T2_STR("/session/bench")};
    s->down = (t2_leg){.ops = &down_ops};
    s->up = (t2_leg){.ops = &up_ops};
    t2_exchange *exchange = t2_exchange_new(&s->proxy, &s->down, &s->request);
    T2_BENCH_NEED(exchange);
    t2_exchange_connect(exchange, &s->up, &s->request, true, &how, 60000);
  }
  T2_BENCH_NEED(s->heads == n && s->ends == n && s->bytes == n * (sizeof(CONTENT) - 1) &&
                s->proxy.active == 0);
}

static void tear_down(void *state) {
  exchanges *s = state;
  t2_proxy_fini(&s->proxy);
  t2_loop_close(s->loop, NULL, NULL);
  uv_run(&s->uv, UV_RUN_DEFAULT);
  T2_BENCH_NEED(uv_loop_close(&s->uv) == 0);
  t2_head_fini(&s->request);
  t2_head_fini(&s->response);
  free(s);
}

const t2_bench t2_bench_exchange[] = {
    {"exchange", set_up, run, tear_down},
    {0},
};
