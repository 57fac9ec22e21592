#include <base/random.h>
#include <proxy/answer.h>
#include <string.h>
#include <tunnel2/error.h>

#define SPARE_EXCHANGES 1024

/* ---- What exchanges share ---- */

void t2_proxy_init(t2_proxy *proxy, t2_loop *loop, const char *by) {
  *proxy = (t2_proxy){.loop = loop, .by = by};
  t2_list_init(&proxy->free);
  t2_random_bytes(&proxy->id_prefix, sizeof(proxy->id_prefix));
  t2_random_bytes(&proxy->id_next, sizeof(proxy->id_next));
  t2_head_init(&proxy->head_scratch, loop->mem);
  t2_head_init(&proxy->problem_scratch, loop->mem);
  t2_buf_init(&proxy->text_scratch, loop->mem);
  t2_buf_init(&proxy->problem_text, loop->mem);
  t2_buf_init(&proxy->problem_body, loop->mem);
}

void t2_proxy_fini(t2_proxy *proxy) {
  T2_LIST_FOREACH(node, next, &proxy->free) {
    t2_list_remove(node);
    t2_free(proxy->loop->mem, T2_LIST_ENTRY(node, t2_exchange, node));
  }
  t2_head_fini(&proxy->head_scratch);
  t2_head_fini(&proxy->problem_scratch);
  t2_buf_fini(&proxy->text_scratch);
  t2_buf_fini(&proxy->problem_text);
  t2_buf_fini(&proxy->problem_body);
}

/* ---- Life of an exchange ---- */

static void write_hex(char *out, uint64_t value) {
  for (int i = 15; i >= 0; i--, value >>= 4)
    out[i] = "0123456789abcdef"[value & 15];
}

void t2_proxy_request_id(t2_proxy *proxy, char id[T2_REQUEST_ID_LEN + 1]) {
  write_hex(id, proxy->id_prefix);
  write_hex(id + 16, proxy->id_next++);
  id[T2_REQUEST_ID_LEN] = 0;
}

static void identify(t2_exchange *exchange, const t2_head *request) {
  t2_proxy *proxy = exchange->proxy;
  t2_str given = t2_forward_request_id(request);
  if (given.n && given.n <= T2_REQUEST_ID_MAX) {
    memcpy(exchange->request_id, given.p, given.n);
    exchange->request_id[given.n] = 0;
  } else {
    t2_proxy_request_id(proxy, exchange->request_id);
  }
  size_t n = request->method.n < sizeof(exchange->method) ? request->method.n : sizeof(exchange->method) - 1;
  memcpy(exchange->method, request->method.p, n);
  exchange->method[n] = 0;
  exchange->head_request = t2_str_eq(request->method, T2_STR("HEAD"));
  exchange->upgrade = request->protocol.n > 0 && request->protocol.n <= T2_UPGRADE_MAX;
  if (exchange->upgrade) memcpy(exchange->protocol, request->protocol.p, request->protocol.n);
  exchange->protocol[exchange->upgrade ? request->protocol.n : 0] = 0;
  exchange->connect = exchange->upgrade || t2_str_eq(request->method, T2_STR("CONNECT"));
}

static void on_timer(t2_timer *timer);

t2_exchange *t2_exchange_new(t2_proxy *proxy, t2_leg *down, const t2_head *request) {
  t2_exchange *exchange;
  if (!t2_list_empty(&proxy->free)) {
    exchange = T2_LIST_ENTRY(proxy->free.next, t2_exchange, node);
    t2_list_remove(&exchange->node);
    proxy->free_count--;
  } else {
    exchange = t2_alloc(proxy->loop->mem, sizeof(*exchange));
    if (!exchange) return NULL;
  }
  memset(exchange, 0, offsetof(t2_exchange, request_id));
  exchange->on_done = NULL;
  exchange->on_response = NULL;
  exchange->user = NULL;
  t2_list_init(&exchange->node);
  t2_timer_init(&exchange->timer, on_timer);
  exchange->proxy = proxy;
  exchange->down = down;
  exchange->started_ms = t2_loop_now(proxy->loop);
  down->exchange = exchange;
  down->upstream = false;
  identify(exchange, request);
  proxy->active++;
  proxy->total++;
  return exchange;
}

static void release(t2_exchange *exchange) {
  t2_proxy *proxy = exchange->proxy;
  if (exchange->on_done) exchange->on_done(exchange, exchange->user);
  if (exchange->error) proxy->failed++;
  proxy->active--;
  if (proxy->free_count < SPARE_EXCHANGES) {
    t2_list_push_front(&proxy->free, &exchange->node);
    proxy->free_count++;
  } else {
    t2_free(proxy->loop->mem, exchange);
  }
  if (proxy->active == 0 && proxy->on_idle) proxy->on_idle(proxy, proxy->user);
}

static void enter(t2_exchange *exchange) {
  exchange->depth++;
}

static void leave(t2_exchange *exchange) {
  if (--exchange->depth == 0 && exchange->finished) release(exchange);
}

static void close_leg(t2_leg **slot, int err) {
  t2_leg *leg = *slot;
  if (!leg) return;
  *slot = NULL;
  leg->exchange = NULL;
  leg->ops->closed(leg, err);
}

static void finish(t2_exchange *exchange, int up_err, int down_err) {
  if (exchange->finished) return;
  exchange->finished = true;
  t2_loop_timer_stop(exchange->proxy->loop, &exchange->timer);
  t2_pace_leave(&exchange->pace_up, exchange->request_bytes);
  t2_pace_leave(&exchange->pace_down, exchange->response_bytes);
  close_leg(&exchange->up, up_err);
  close_leg(&exchange->down, down_err);
}

/* A response that ended before its request did ends the exchange: the rest of the request is not wanted. */
static void finish_if_done(t2_exchange *exchange) {
  if (exchange->finished || !exchange->response_ended) return;
  if (exchange->tunnel && !exchange->request_ended) return;
  finish(exchange, exchange->request_ended ? 0 : T2_ERR_CANCELLED, 0);
}

/* ---- Failure ---- */

static int give_problem(t2_exchange *exchange, const t2_problem *problem, const char *detail,
                        const t2_field *extra) {
  t2_proxy *proxy = exchange->proxy;
  t2_leg *down = exchange->down;
  t2_head *head = &proxy->problem_scratch;
  const t2_buf *body = &proxy->problem_body;
  int err = t2_answer_problem(proxy, problem, detail, t2_str_c(exchange->request_id));
  if (err == 0 && extra) err = t2_fields_add(&head->fields, extra->name, extra->value);
  if (err) return err;
  exchange->status = problem->status;
  exchange->response_headed = true;
  err = down->ops->head(down, head, exchange->head_request);
  if (err || exchange->head_request || exchange->finished) return err;
  err = down->ops->data(down, t2_buf_head(body), t2_buf_len(body));
  if (err || exchange->finished) return err;
  return down->ops->end(down, NULL);
}

/* A leg that carries it elsewhere has no use for what is written here. */
static int answer_problem(t2_exchange *exchange, const t2_problem *problem, const char *detail,
                          const t2_field *extra) {
  exchange->own = problem;
  exchange->own_detail = detail;
  int err = give_problem(exchange, problem, detail, extra);
  exchange->own = NULL;
  exchange->own_detail = NULL;
  return err;
}

/* The upstream side is lost: what can still be said downstream is said. */
static void fail_down(t2_exchange *exchange, int err, const t2_problem *problem, const char *detail,
                      const t2_field *extra) {
  int down_err = err;
  exchange->error = err;
  if (exchange->down && !exchange->response_headed) {
    down_err = answer_problem(exchange, problem, detail, extra);
    exchange->response_ended = down_err == 0;
  }
  finish(exchange, err, down_err);
}

void t2_exchange_fail(t2_leg *from, int err, t2_problem_at at, const char *detail) {
  if (from->exchange) t2_exchange_fail_as(from, err, t2_problem_of(err, at), detail);
}

void t2_exchange_fail_as(t2_leg *from, int err, const t2_problem *problem, const char *detail) {
  t2_exchange *exchange = from->exchange;
  if (!exchange || exchange->finished) return;
  enter(exchange);
  from->exchange = NULL;
  if (from == exchange->up) {
    exchange->up = NULL;
    fail_down(exchange, err, problem, detail, NULL);
  } else {
    exchange->down = NULL;
    exchange->error = err;
    finish(exchange, err, err);
  }
  leave(exchange);
}

void t2_exchange_refuse_with(t2_exchange *exchange, const t2_problem *problem, const char *detail,
                             t2_str name, t2_str value) {
  t2_field extra = {.name = name, .value = value};
  exchange->proxy->refused++;
  enter(exchange);
  fail_down(exchange, 0, problem, detail, name.n ? &extra : NULL);
  leave(exchange);
}

void t2_exchange_refuse(t2_exchange *exchange, const t2_problem *problem, const char *detail) {
  t2_exchange_refuse_with(exchange, problem, detail, T2_STR_NULL, T2_STR_NULL);
}

void t2_exchange_decline_upgrade(t2_exchange *exchange, t2_head *request) {
  request->protocol = T2_STR_NULL;
  exchange->upgrade = false;
  exchange->connect = t2_str_eq(request->method, T2_STR("CONNECT"));
}

/* An operation of `leg` returned err. */
static void leg_failed(t2_exchange *exchange, t2_leg *leg, int err) {
  if (exchange->finished) return;
  if (leg == exchange->up) {
    const t2_problem *problem = t2_problem_of(err, leg->ops->at);
    close_leg(&exchange->up, err);
    fail_down(exchange, err, problem, NULL, NULL);
  } else {
    exchange->error = err;
    finish(exchange, err, err);
  }
}

static void on_timer(t2_timer *timer) {
  t2_exchange *exchange = T2_CONTAINER_OF(timer, t2_exchange, timer);
  enter(exchange);
  exchange->proxy->late_answers++;
  if (exchange->up) leg_failed(exchange, exchange->up, T2_ERR_TIMEOUT);
  leave(exchange);
}

/* It is upstream's turn when the request is whole, or more of it waits to be taken, or a tunnel to be
 * granted; while the asker has still to say something, the time is not upstream's. */
static void expect_response(t2_exchange *exchange) {
  t2_loop *loop = exchange->proxy->loop;
  if (!exchange->response_timeout_ms || exchange->response_headed || exchange->finished) return;
  if (exchange->request_ended || exchange->connect || exchange->untaken)
    t2_loop_timer_start(loop, &exchange->timer, exchange->response_timeout_ms);
  else
    t2_loop_timer_stop(loop, &exchange->timer);
}

/* ---- What passes through ---- */

void t2_exchange_connect(t2_exchange *exchange, t2_leg *up, const t2_head *request, bool end, t2_forward *how,
                         uint64_t response_timeout_ms) {
  t2_proxy *proxy = exchange->proxy;
  enter(exchange);
  exchange->up = up;
  exchange->request_headed = true;
  exchange->response_timeout_ms = response_timeout_ms;
  up->exchange = exchange;
  up->upstream = true;
  exchange->request_ended = end;
  int err = 0;
  if (how) {
    how->request_id = t2_str_c(exchange->request_id);
    t2_head_reset(&proxy->head_scratch);
    err = t2_forward_request(request, how, &proxy->head_scratch, &proxy->text_scratch);
    request = &proxy->head_scratch;
  }
  if (err == 0) err = up->ops->head(up, request, end);
  if (err)
    leg_failed(exchange, exchange->up, err);
  else
    expect_response(exchange);
  leave(exchange);
}

/* What the leg before had been given is not counted again, and what it had not reported as consumed the next
 * one reports. A leg that puts another in its place stops being exchange->up within its `head`. */
void t2_exchange_hand_over(t2_leg *from, t2_leg *to, const t2_held *request, bool again) {
  t2_exchange *exchange = from->exchange;
  size_t n = t2_buf_len(&request->content);
  enter(exchange);
  from->exchange = NULL;
  exchange->up = to;
  to->exchange = exchange;
  to->upstream = true;
  if (again && exchange->repeated < UINT8_MAX) exchange->repeated++;
  int err = to->ops->head(to, request->head, request->ended && n == 0 && !request->trailers);
  if (err == 0 && exchange->up && n)
    err = exchange->up->ops->data(exchange->up, t2_buf_head(&request->content), n);
  if (err == 0 && exchange->up && request->ended && (n || request->trailers))
    err = exchange->up->ops->end(exchange->up, request->trailers ? &request->trailers->fields : NULL);
  if (err) leg_failed(exchange, exchange->up, err);
  leave(exchange);
}

void t2_exchange_head(t2_leg *from, const t2_head *response, bool end) {
  t2_exchange *exchange = from->exchange;
  if (!exchange || from != exchange->up || exchange->response_headed) return;
  t2_proxy *proxy = exchange->proxy;
  enter(exchange);
  bool final = response->status >= 200 || response->status == 101;
  if (final) {
    exchange->status = response->status;
    exchange->response_headed = true;
    exchange->tunnel =
        exchange->upgrade ? response->status == 101 : exchange->connect && response->status / 100 == 2;
    t2_loop_timer_stop(proxy->loop, &exchange->timer);
  }
  int err = 0;
  if (proxy->via) {
    t2_head_reset(&proxy->head_scratch);
    err = t2_forward_response(response, t2_str_c(proxy->by), &proxy->head_scratch, &proxy->text_scratch);
    response = &proxy->head_scratch;
  } else if (exchange->on_response) {
    t2_head_reset(&proxy->head_scratch);
    err =
        exchange->on_response(exchange, response, &proxy->head_scratch, &proxy->text_scratch, exchange->user);
    response = &proxy->head_scratch;
  }
  if (err == 0) err = exchange->down->ops->head(exchange->down, response, final && end);
  if (err) {
    leg_failed(exchange, exchange->down, err);
  } else if (final && end) {
    exchange->response_ended = true;
    finish_if_done(exchange);
  }
  leave(exchange);
}

void t2_exchange_data(t2_leg *from, const uint8_t *bytes, size_t n) {
  t2_exchange *exchange = from->exchange;
  if (!exchange || n == 0) return;
  enter(exchange);
  t2_leg *to;
  if (from == exchange->down) {
    to = exchange->up;
    exchange->request_bytes += n;
    exchange->proxy->bytes_up += n;
    exchange->untaken += n;
    if (exchange->untaken == n) expect_response(exchange);
  } else {
    to = exchange->down;
    exchange->response_bytes += n;
    exchange->proxy->bytes_down += n;
  }
  int err = to ? to->ops->data(to, bytes, n) : 0;
  if (err) leg_failed(exchange, to, err);
  leave(exchange);
}

void t2_exchange_end(t2_leg *from, const t2_fields *trailers) {
  t2_exchange *exchange = from->exchange;
  if (!exchange) return;
  enter(exchange);
  t2_leg *to = from == exchange->down ? exchange->up : exchange->down;
  if (from == exchange->down) {
    exchange->request_ended = true;
    expect_response(exchange);
  } else {
    exchange->response_ended = true;
  }
  int err = to ? to->ops->end(to, trailers) : 0;
  if (err)
    leg_failed(exchange, to, err);
  else
    finish_if_done(exchange);
  leave(exchange);
}

static void give_consumed(t2_leg *giver, size_t n) {
  if (giver) giver->ops->consumed(giver, n);
}

static void give_up(t2_paced *paced, size_t n) {
  t2_exchange *exchange = T2_CONTAINER_OF(paced, t2_exchange, pace_up);
  enter(exchange);
  give_consumed(exchange->down, n);
  leave(exchange);
}

static void give_down(t2_paced *paced, size_t n) {
  t2_exchange *exchange = T2_CONTAINER_OF(paced, t2_exchange, pace_down);
  enter(exchange);
  give_consumed(exchange->up, n);
  leave(exchange);
}

void t2_exchange_pace(t2_exchange *exchange, t2_pace *up, t2_pace *down) {
  if (up) t2_pace_join(up, &exchange->pace_up, give_up);
  if (down) t2_pace_join(down, &exchange->pace_down, give_down);
}

void t2_exchange_consumed(t2_leg *from, size_t n) {
  t2_exchange *exchange = from->exchange;
  if (!exchange || n == 0) return;
  bool up = from == exchange->up;
  t2_paced *paced = up ? &exchange->pace_up : &exchange->pace_down;
  if (up) {
    exchange->untaken -= n < exchange->untaken ? n : exchange->untaken;
    if (!exchange->request_ended) expect_response(exchange);
  }
  if (paced->pace)
    t2_pace_taken(paced, n);
  else
    give_consumed(up ? exchange->down : exchange->up, n);
}
