#include <proxy/answer.h>
#include <proxy/call.h>
#include <tunnel2/error.h>

/* Content of a request that is refused is read up to this, and thrown away, before the answer: many clients
 * look for one only when they have sent all, and take an early end of the stream for a failure. */
#define DISCARD_MAX (4 * 1024 * 1024)

typedef struct refusal {
  const t2_problem *problem;
  const char *detail;
  t2_str name, value;
} refusal;

struct t2_call {
  t2_leg leg;
  t2_proxy *proxy;
  t2_head *head;
  t2_buf body;
  size_t body_max;
  t2_call_handler handler;
  void *user;
  refusal refusal; /* problem NULL: the handler answers */
  size_t taken;    /* bytes of content */
  bool handed;     /* the handler has it, and answers once */
  bool replied, gone;
  t2_reapable reapable;
};

static void free_call(t2_reapable *reapable) {
  t2_call *call = T2_CONTAINER_OF(reapable, t2_call, reapable);
  t2_head_free_copy(call->head, call->proxy->loop->mem);
  t2_buf_fini(&call->body);
  t2_free(call->proxy->loop->mem, call);
}

static t2_call *call_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_call, leg);
}

static void send_head(t2_call *call, const t2_head *head, const void *body, size_t n) {
  call->replied = true;
  bool empty = n == 0 || (call->leg.exchange && call->leg.exchange->head_request);
  t2_exchange_head(&call->leg, head, empty);
  if (empty) return;
  t2_exchange_data(&call->leg, body, n);
  t2_exchange_end(&call->leg, NULL);
}

void t2_call_problem_with(t2_call *call, const t2_problem *problem, const char *detail, t2_str name,
                          t2_str value) {
  t2_proxy *proxy = call->proxy;
  t2_head *head = &proxy->problem_scratch;
  if (call->replied) return;
  if (call->gone) {
    call->replied = true;
    t2_loop_reap(proxy->loop, &call->reapable, free_call);
    return;
  }
  int err = t2_answer_problem(proxy, problem, detail, t2_str_c(call->leg.exchange->request_id));
  if (err == 0 && name.n) err = t2_fields_add(&head->fields, name, value);
  if (err) {
    call->replied = true;
    t2_exchange_fail(&call->leg, err, T2_AT_LOCAL, NULL);
    t2_loop_reap(proxy->loop, &call->reapable, free_call);
    return;
  }
  send_head(call, head, t2_buf_head(&proxy->problem_body), t2_buf_len(&proxy->problem_body));
}

void t2_call_problem(t2_call *call, const t2_problem *problem, const char *detail) {
  t2_call_problem_with(call, problem, detail, T2_STR_NULL, T2_STR_NULL);
}

void t2_call_reply(t2_call *call, int status, const char *content_type, const t2_fields *extra,
                   const void *body, size_t n) {
  if (call->replied) return;
  if (call->gone) {
    call->replied = true;
    t2_loop_reap(call->proxy->loop, &call->reapable, free_call);
    return;
  }
  t2_head head;
  t2_head_init(&head, call->proxy->loop->mem);
  head.status = status;
  head.content_length = status == 204 || status == 304 ? -1 : (int64_t)n;
  int err = 0;
  if (content_type) err = t2_fields_add(&head.fields, T2_STR("content-type"), t2_str_c(content_type));
  if (err == 0) err = t2_fields_add(&head.fields, T2_STR("cache-control"), T2_STR("no-store"));
  if (err == 0) err = t2_answer_date(call->proxy, &head.fields);
  for (size_t i = 0; extra && i < extra->n && err == 0; i++)
    err = t2_fields_add(&head.fields, extra->list[i].name, extra->list[i].value);
  if (err) {
    call->replied = true;
    t2_exchange_fail(&call->leg, err, T2_AT_LOCAL, NULL);
    t2_loop_reap(call->proxy->loop, &call->reapable, free_call);
  } else {
    send_head(call, &head, body, n);
  }
  t2_head_fini(&head);
}

/* ---- The leg ---- */

static void whole(t2_call *call) {
  call->handed = true;
  call->handler(call, call->user);
}

static void refuse(t2_call *call) {
  t2_call_problem_with(call, call->refusal.problem, call->refusal.detail, call->refusal.name,
                       call->refusal.value);
}

static void set_too_large(t2_call *call) {
  call->refusal = (refusal){.problem = t2_problem_of_status(413),
                            .detail = "the request's content is larger than this resource takes"};
  t2_buf_fini(&call->body);
}

static void go_on(t2_call *call) {
  t2_head head;
  t2_head_init(&head, call->proxy->loop->mem);
  head.status = 100;
  t2_exchange_head(&call->leg, &head, false);
  t2_head_fini(&head);
}

static int call_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_call *call = call_of(leg);
  bool asks = t2_fields_has_token(&head->fields, T2_STR("expect"), T2_STR("100-continue"));
  call->head = t2_head_copy(head, call->proxy->loop->mem);
  if (!call->head) return T2_ERR_NOMEM;
  if (!call->refusal.problem && head->content_length > (int64_t)call->body_max) set_too_large(call);
  if (call->refusal.problem) {
    bool comes = !end && !asks && head->content_length > 0 && head->content_length <= DISCARD_MAX;
    if (!comes) refuse(call);
  } else if (end) {
    whole(call);
  } else if (asks) {
    go_on(call);
  }
  return 0;
}

static int call_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  t2_call *call = call_of(leg);
  t2_exchange_consumed(leg, n);
  if (call->replied) return 0;
  call->taken += n;
  if (!call->refusal.problem && n > call->body_max - t2_buf_len(&call->body)) set_too_large(call);
  if (!call->refusal.problem) return t2_buf_append(&call->body, bytes, n);
  if (call->taken > DISCARD_MAX) refuse(call);
  return 0;
}

static int call_end(t2_leg *leg, const t2_fields *trailers) {
  (void)trailers;
  t2_call *call = call_of(leg);
  if (call->replied) return 0;
  if (call->refusal.problem)
    refuse(call);
  else
    whole(call);
  return 0;
}

static void call_consumed(t2_leg *leg, size_t n) {
  (void)leg;
  (void)n;
}

static void call_closed(t2_leg *leg, int err) {
  (void)err;
  t2_call *call = call_of(leg);
  call->gone = true;
  /* A call that its handler has, and has not answered, lives until it does. */
  if (call->replied || !call->handed) t2_loop_reap(call->proxy->loop, &call->reapable, free_call);
}

static const t2_leg_ops call_ops = {
    .name = "callback",
    .at = T2_AT_LOCAL,
    .head = call_head,
    .data = call_data,
    .end = call_end,
    .consumed = call_consumed,
    .closed = call_closed,
};

/* NULL: there is no memory, and the request has been refused for it. */
static t2_call *call_new(const t2_server_request *request) {
  t2_proxy *proxy = request->exchange->proxy;
  t2_call *call = t2_calloc(proxy->loop->mem, 1, sizeof(*call));
  if (!call) {
    t2_exchange_refuse(request->exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_LOCAL), NULL);
    return NULL;
  }
  call->leg.ops = &call_ops;
  call->proxy = proxy;
  t2_buf_init(&call->body, proxy->loop->mem);
  return call;
}

void t2_call_begin(const t2_server_request *request, size_t body_max, t2_call_handler handler, void *user) {
  t2_call *call = call_new(request);
  if (!call) return;
  call->body_max = body_max;
  call->handler = handler;
  call->user = user;
  t2_exchange_connect(request->exchange, &call->leg, request->head, request->end, NULL, 0);
}

void t2_call_refuse(const t2_server_request *request, const t2_problem *problem, const char *detail,
                    t2_str name, t2_str value) {
  t2_call *call = call_new(request);
  if (!call) return;
  call->refusal = (refusal){problem, detail, name, value};
  t2_exchange_connect(request->exchange, &call->leg, request->head, request->end, NULL, 0);
}

const t2_head *t2_call_head(const t2_call *call) {
  return call->head;
}

t2_str t2_call_body(const t2_call *call) {
  return t2_str_of((const char *)t2_buf_head(&call->body), t2_buf_len(&call->body));
}

bool t2_call_gone(const t2_call *call) {
  return call->gone;
}
