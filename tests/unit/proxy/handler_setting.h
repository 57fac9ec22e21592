/* A request that a stub asks and a handler answers, in memory. */
#ifndef T2_TEST_HANDLER_SETTING_H
#define T2_TEST_HANDLER_SETTING_H

#include "exchange_setting.h"
#include <proxy/handler.h>

/* The handler writes down what it is told: "POST /a;" "data 5;" "end;" "end x=1;" "writable;" "close OK;". */
typedef struct handled {
  setting s;
  t2_handlers handlers;
  t2_buf log;
  t2_request *request; /* NULL: none, or it is over */
  int err;             /* of on_close */
  unsigned idles;
  /* From inside the callbacks; may be NULL. */
  void (*on_request)(struct handled *h);
  void (*on_data)(struct handled *h);
  void (*on_end)(struct handled *h);
  void (*on_writable)(struct handled *h);
  void *user;
} handled;

static inline void handled_on_request(t2_request *request, void *user) {
  handled *h = user;
  h->request = request;
  t2_buf_printf(&h->log, "%s %s;", t2_request_method(request), t2_request_path(request));
  if (h->on_request) h->on_request(h);
}

static inline void handled_on_data(t2_request *request, const uint8_t *bytes, size_t n, void *user) {
  handled *h = user;
  assert_ptr_equal(h->request, request);
  t2_buf_printf(&h->log, "data %zu;", n);
  if (h->on_data) h->on_data(h);
}

static inline void handled_on_end(t2_request *request, void *user) {
  handled *h = user;
  size_t count;
  const t2_http_field *trailers = t2_request_trailers(request, &count);
  assert_ptr_equal(h->request, request);
  t2_buf_append_c(&h->log, "end");
  for (size_t i = 0; i < count; i++)
    t2_buf_printf(&h->log, " %s=%s", trailers[i].name, trailers[i].value);
  t2_buf_append_c(&h->log, ";");
  if (h->on_end) h->on_end(h);
}

static inline void handled_on_writable(t2_request *request, void *user) {
  handled *h = user;
  assert_ptr_equal(h->request, request);
  t2_buf_append_c(&h->log, "writable;");
  if (h->on_writable) h->on_writable(h);
}

static inline void handled_on_close(t2_request *request, int err, void *user) {
  handled *h = user;
  assert_ptr_equal(h->request, request);
  t2_buf_printf(&h->log, "close %s;", t2_error_name(err));
  h->err = err;
  h->request = NULL;
}

static inline void handled_on_idle(void *user) {
  ((handled *)user)->idles++;
}

static inline t2_handler handled_ops(void) {
  t2_handler ops;
  t2_handler_init(&ops);
  ops.on_request = handled_on_request;
  ops.on_data = handled_on_data;
  ops.on_end = handled_on_end;
  ops.on_writable = handled_on_writable;
  ops.on_close = handled_on_close;
  return ops;
}

static inline bool handled_open(handled *h, const t2_allocator *mem) {
  t2_handler ops = handled_ops();
  memset(h, 0, sizeof(*h));
  if (!open_setting(&h->s, mem)) return false;
  t2_handlers_init(&h->handlers, &h->s.proxy, &ops, h);
  h->handlers.on_idle = handled_on_idle;
  h->handlers.idle_user = h;
  t2_buf_init(&h->log, NULL);
  return true;
}

/* A turn of the loop: what the handler is told later, it is told. */
static inline void turn(handled *h) {
  test_loop_turn(&h->s.tl, test_deadline());
}

/* Of a request that may still be there: the asker goes. */
static inline void handled_close(handled *h) {
  if (h->s.down.leg.exchange) stub_fail(&h->s.down, T2_ERR_CLOSED, T2_AT_ROUTE);
  RUN_UNTIL(&h->s.tl, !t2_handlers_any(&h->handlers));
  assert_null(h->request);
  t2_handlers_fini(&h->handlers);
  t2_buf_fini(&h->log);
  close_setting(&h->s);
}

static inline bool ask_with(handled *h, const t2_head *head, bool end, uint64_t timeout_ms) {
  if (!begin(&h->s, head)) return false;
  t2_handlers_serve(&h->handlers, h->s.exchange, head, end, timeout_ms);
  return true;
}

static inline void ask(handled *h, const char *method, bool end) {
  t2_head head = test_request(method, "/a");
  assert_true(ask_with(h, &head, end, 0));
}

/* What both sides have been told. */
static inline void expect_both(handled *h, const char *handler, const char *down) {
  turn(h);
  turn(h);
  assert_string_equal(t2_buf_cstr(&h->log), handler);
  assert_string_equal(stub_log(&h->s.down), down);
}

static inline int handled_set_up(void **state) {
  handled *h = malloc(sizeof(*h));
  t2_test_mem *mem = malloc(sizeof(*mem));
  t2_test_mem_init(mem);
  assert_true(handled_open(h, &mem->hook));
  *state = h;
  return 0;
}

static inline int handled_tear_down(void **state) {
  handled *h = *state;
  t2_test_mem *mem = T2_CONTAINER_OF(h->s.tl.loop->mem, t2_test_mem, hook);
  handled_close(h);
  t2_test_mem_check(mem);
  free(mem);
  free(h);
  return 0;
}

#define handler_test(name) cmocka_unit_test_setup_teardown(name, handled_set_up, handled_tear_down)

#endif
