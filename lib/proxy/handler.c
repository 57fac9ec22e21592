#include <proxy/handler.h>
#include <string.h>
#include <tunnel2/error.h>

/* ---- Events that wait for the flush: none comes from inside of a handler's own call ---- */

static void free_request(t2_reapable *reapable) {
  t2_request *request = T2_CONTAINER_OF(reapable, t2_request, reapable);
  const t2_allocator *mem = request->handlers->proxy->loop->mem;
  t2_buf_fini(&request->rest);
  t2_free(mem, request->trailers);
  t2_free(mem, request);
}

static void say_over(t2_request *request) {
  t2_handlers *handlers = request->handlers;
  t2_loop *loop = handlers->proxy->loop;
  if (request->ops->on_close) request->ops->on_close(request, request->err, request->ops_user);
  t2_list_remove(&request->node);
  t2_loop_calm(&request->events);
  t2_loop_reap(loop, &request->reapable, free_request);
  if (!t2_handlers_any(handlers) && handlers->on_idle) handlers->on_idle(handlers->idle_user);
}

static void on_flush(t2_flushable *flushable) {
  t2_request *request = T2_CONTAINER_OF(flushable, t2_request, events);
  if (!request->over) t2_request_flush(request);
  if (request->over) {
    say_over(request);
  } else if (request->starved && t2_response_room(request)) {
    request->starved = false;
    if (request->ops->on_writable) request->ops->on_writable(request, request->ops_user);
  }
}

/* ---- The leg ---- */

static t2_request *request_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_request, leg);
}

static void go_on(t2_request *request) {
  if (!request->started && !request->over) (void)t2_response_interim(request, 100, NULL, 0);
}

static int handler_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_request *request = request_of(leg);
  request->ops->on_request(request, request->ops_user);
  if (request->over) return 0;
  if (!end && request->asks_continue)
    go_on(request);
  else if (end && request->ops->on_end)
    request->ops->on_end(request, request->ops_user);
  return 0;
}

static int handler_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  t2_request *request = request_of(leg);
  const t2_handler *ops = request->ops;
  bool given = ops->on_data && !request->over;
  bool later = given && ops->consume_later;
  if (later) request->owed += n;
  if (given) ops->on_data(request, bytes, n, request->ops_user);
  if (!later) t2_exchange_consumed(leg, n);
  return 0;
}

static int handler_end(t2_leg *leg, const t2_fields *trailers) {
  t2_request *request = request_of(leg);
  int err = t2_request_keep_trailers(request, trailers);
  if (err == 0 && request->ops->on_end) request->ops->on_end(request, request->ops_user);
  return err;
}

static void handler_consumed(t2_leg *leg, size_t n) {
  t2_request *request = request_of(leg);
  request->unacked -= n < request->unacked ? n : request->unacked;
  if (request->starved || t2_buf_len(&request->rest))
    t2_loop_wake(request->handlers->proxy->loop, &request->events);
}

/* An answer that is whole is one, even where the rest of the request was not wanted (CANCELLED). */
static void handler_closed(t2_leg *leg, int err) {
  t2_request *request = request_of(leg);
  request->over = true;
  request->err = request->ended && err == T2_ERR_CANCELLED ? 0 : err;
  t2_loop_wake(request->handlers->proxy->loop, &request->events);
}

static const t2_leg_ops handler_ops = {
    .name = "handler",
    .at = T2_AT_ORIGIN,
    .head = handler_head,
    .data = handler_data,
    .end = handler_end,
    .consumed = handler_consumed,
    .closed = handler_closed,
};

/* ---- Life ---- */

void t2_request_take_over(t2_request *request, const t2_handler *ops, void *user) {
  request->ops = ops;
  request->ops_user = user;
}

void t2_handler_init(t2_handler *handler) {
  *handler = (t2_handler){.size = sizeof(*handler)};
}

void t2_handlers_init(t2_handlers *handlers, t2_proxy *proxy, const t2_handler *ops, void *user) {
  *handlers = (t2_handlers){.proxy = proxy, .ops = *ops, .user = user};
  t2_list_init(&handlers->live);
  t2_head_init(&handlers->head, proxy->loop->mem);
  t2_buf_init(&handlers->names, proxy->loop->mem);
}

void t2_handlers_fini(t2_handlers *handlers) {
  if (!handlers->proxy) return;
  t2_head_fini(&handlers->head);
  t2_buf_fini(&handlers->names);
}

void t2_handlers_serve(t2_handlers *handlers, t2_exchange *exchange, const t2_head *head, bool end,
                       uint64_t response_timeout_ms) {
  t2_request *request = t2_request_new(handlers, exchange, head, end);
  if (!request) {
    t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_ORIGIN), NULL);
    return;
  }
  request->leg.ops = &handler_ops;
  t2_request_take_over(request, &handlers->ops, handlers->user);
  t2_flushable_init(&request->events, on_flush);
  t2_list_push_back(&handlers->live, &request->node);
  t2_exchange_connect(exchange, &request->leg, head, end, NULL, response_timeout_ms);
}
