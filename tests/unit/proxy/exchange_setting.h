/* An exchange between two stubs, in memory. */
#ifndef T2_TEST_EXCHANGE_SETTING_H
#define T2_TEST_EXCHANGE_SETTING_H

#include "fixture.h"

/* The loop is there for its timers. */
typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy;
  stub down, up;
  t2_exchange *exchange; /* NULL once it is done */
  t2_exchange last;      /* as it was then */
  unsigned idles;
} setting;

static inline void on_done(t2_exchange *exchange, void *user) {
  setting *s = user;
  assert_ptr_equal(s->exchange, exchange);
  s->last = *exchange;
  s->exchange = NULL;
}

static inline void on_idle(t2_proxy *proxy, void *user) {
  assert_int_equal(proxy->active, 0);
  ((setting *)user)->idles++;
}

static inline bool open_setting(setting *s, const t2_allocator *mem) {
  memset(s, 0, sizeof(*s));
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "entry-1");
  s->proxy.on_idle = on_idle;
  s->proxy.user = s;
  stub_init(&s->down);
  stub_init(&s->up);
  s->down.user = s->up.user = s;
  return true;
}

static inline void close_setting(setting *s) {
  assert_null(s->exchange);
  assert_int_equal(s->proxy.active, 0);
  assert_int_equal(s->tl.loop->wheel.count, 0);
  stub_fini(&s->down);
  stub_fini(&s->up);
  t2_proxy_fini(&s->proxy);
  test_loop_close(&s->tl);
}

static inline int set_up(void **state) {
  setting *s = malloc(sizeof(*s));
  t2_test_mem *mem = malloc(sizeof(*mem));
  t2_test_mem_init(mem);
  assert_true(open_setting(s, &mem->hook));
  *state = s;
  return 0;
}

static inline int tear_down(void **state) {
  setting *s = *state;
  t2_test_mem *mem = T2_CONTAINER_OF(s->tl.loop->mem, t2_test_mem, hook);
  close_setting(s);
  t2_test_mem_check(mem);
  free(mem);
  free(s);
  return 0;
}

static inline bool begin(setting *s, const t2_head *head) {
  s->exchange = t2_exchange_new(&s->proxy, &s->down.leg, head);
  if (!s->exchange) return false;
  s->exchange->on_done = on_done;
  s->exchange->user = s;
  return true;
}

static inline void join(setting *s, const t2_head *head, bool end, uint64_t timeout_ms) {
  assert_true(begin(s, head));
  t2_exchange_connect(s->exchange, &s->up.leg, head, end, NULL, timeout_ms);
}

static inline void get(setting *s) {
  t2_head head = test_request("GET", "/a");
  join(s, &head, true, 0);
}

static inline void post(setting *s) {
  t2_head head = test_request("POST", "/a");
  join(s, &head, false, 0);
}

static inline void expect(setting *s, const char *up, const char *down) {
  assert_string_equal(stub_log(&s->up), up);
  assert_string_equal(stub_log(&s->down), down);
}

static inline void expect_over(setting *s, const char *up, const char *down) {
  expect(s, up, down);
  assert_null(s->exchange);
  assert_int_equal(s->proxy.active, 0);
}

static inline void again(setting *s) {
  stub_reset(&s->down);
  stub_reset(&s->up);
}

#define exchange_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
