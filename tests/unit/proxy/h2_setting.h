/* HTTP/2 connections with legs at both ends. */
#ifndef T2_TEST_H2_SETTING_H
#define T2_TEST_H2_SETTING_H

#include "fixture.h"

#define LEGS_MAX 8

typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy;
  h2_pair pair;
  raw peer;             /* instead of the pair's client */
  stub downs[LEGS_MAX]; /* who asks on the client */
  stub ups[LEGS_MAX];   /* who answers at the server: one for each request */
  size_t requests;
  void (*on_request)(struct setting *s, t2_exchange *exchange, t2_head *head, bool end);
} setting;

static inline setting *setting_of_server(h2_end *end) {
  return T2_CONTAINER_OF(end, setting, pair.server);
}

static inline void on_request(t2_h2_conn *h2, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  setting *s = setting_of_server(user);
  assert_ptr_equal(t2_h2_conn_of_leg(exchange->down), h2);
  assert_true(s->requests < LEGS_MAX);
  stub *u = &s->ups[s->requests++];
  if (s->on_request)
    s->on_request(s, exchange, head, end);
  else
    t2_exchange_connect(exchange, &u->leg, head, end, NULL, 0);
}

static inline bool open_setting(setting *s, const t2_allocator *mem) {
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  h2_pair_init(&s->pair, &s->tl, &s->proxy);
  s->pair.server.ops.on_request = on_request;
  for (size_t i = 0; i < LEGS_MAX; i++) {
    stub_init(&s->downs[i]);
    stub_init(&s->ups[i]);
  }
  return true;
}

static inline void close_setting(setting *s) {
  h2_pair_close(&s->pair);
  raw_fini(&s->peer, &s->tl);
  assert_int_equal(s->proxy.active, 0);
  for (size_t i = 0; i < LEGS_MAX; i++) {
    stub_fini(&s->downs[i]);
    stub_fini(&s->ups[i]);
  }
  t2_proxy_fini(&s->proxy);
  test_loop_close(&s->tl);
}

static inline int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(open_setting(s, &s->mem.hook));
  *state = s;
  return 0;
}

static inline int tear_down(void **state) {
  setting *s = *state;
  close_setting(s);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

static inline void open_pair(setting *s) {
  assert_true(h2_pair_open(&s->pair));
}

/* A raw peer of `server`, which is the HTTP/2 client when `client` says so. */
static inline void open_raw(setting *s, bool client) {
  s->pair.server.options.h2.server = !client;
  if (client) s->pair.server.ops.on_request = NULL;
  assert_true(h2_pair_listen(&s->pair));
  raw_connect(&s->peer, &s->tl, t2_listener_port(s->pair.listener));
  if (!client)
    raw_h2_preface(&s->peer);
  else
    raw_h2_frame(&s->peer, FRAME_SETTINGS, 0, 0, NULL, 0);
  RUN_UNTIL(&s->tl, s->pair.server.h2);
}

/* Asks on an end's connection by the i-th leg of `downs`. */
static inline stub *ask(setting *s, h2_end *end, size_t i, const char *method, bool whole) {
  t2_head head = test_request(method, "/a");
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &s->downs[i].leg, &head);
  t2_leg *leg = t2_h2_conn_leg(end->h2);
  assert_non_null(exchange);
  assert_non_null(leg);
  t2_exchange_connect(exchange, leg, &head, whole, NULL, 0);
  return &s->downs[i];
}

static inline stub *up(setting *s, size_t i) {
  RUN_UNTIL(&s->tl, s->requests > i);
  return &s->ups[i];
}

static inline void run_ms(setting *s, uint64_t ms) {
  uint64_t begun = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= begun + ms);
}

#define h2_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
