/* HTTP/1.1 connections on a listener, peers on raw sockets, and legs that answer. */
#ifndef T2_TEST_H1_SETTING_H
#define T2_TEST_H1_SETTING_H

#include "fixture.h"

#include <proxy/h1_server.h>

#define UPS_MAX 8

typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy;
  t2_listener *listener;
  uint16_t port;
  bool listener_closed;
  t2_h1_server_options options;
  t2_h1_server *server; /* the last; NULL once it is closed */
  unsigned closes;
  raw peer;
  stub ups[UPS_MAX]; /* one for each request */
  size_t requests;
  /* Instead of connecting the request to the next of ups. */
  void (*on_request)(struct setting *s, t2_exchange *exchange, t2_head *head, bool end);
  bool last_end;
  /* Handed over. */
  t2_conn *taken;
  test_peer taken_peer;
} setting;

static inline void connect_up(setting *s, t2_exchange *exchange, t2_head *head, bool end) {
  assert_true(s->requests < UPS_MAX);
  t2_exchange_connect(exchange, &s->ups[s->requests].leg, head, end, NULL, 0);
}

static inline void on_request(t2_h1_server *server, t2_exchange *exchange, t2_head *head, bool end,
                              void *user) {
  setting *s = user;
  assert_ptr_equal(server, s->server);
  s->last_end = end;
  if (s->on_request)
    s->on_request(s, exchange, head, end);
  else
    connect_up(s, exchange, head, end);
  s->requests++;
}

static inline void on_server_close(t2_h1_server *server, void *user) {
  setting *s = user;
  assert_ptr_equal(server, s->server);
  s->server = NULL;
  s->closes++;
}

static inline void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  static const t2_h1_server_ops ops = {.on_request = on_request, .on_close = on_server_close};
  setting *s = user;
  (void)listener;
  assert_null(s->server);
  (void)t2_h1_server_new(&s->server, &s->proxy, conn, &s->options, &ops, s);
}

/* False when there was no memory: nothing is left then but the loop. */
static inline bool open_setting(setting *s, const t2_allocator *mem) {
  t2_listener_options listen = {.address = "127.0.0.1:0"};
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  t2_h1_server_options_init(&s->options);
  for (size_t i = 0; i < UPS_MAX; i++)
    stub_init(&s->ups[i]);
  if (t2_listener_new(&s->listener, s->tl.loop, &listen, on_accept, s, NULL, 0)) return true;
  s->port = t2_listener_port(s->listener);
  return true;
}

static inline void on_listener_close(void *user) {
  ((setting *)user)->listener_closed = true;
}

static inline void close_setting(setting *s) {
  if (s->listener) {
    t2_listener_close(s->listener, on_listener_close, s);
    RUN_UNTIL(&s->tl, s->listener_closed);
  }
  if (s->server) t2_h1_server_close(s->server, T2_ERR_CANCELLED);
  if (s->taken && !s->taken_peer.closed) t2_conn_close(s->taken, T2_ERR_CANCELLED);
  RUN_UNTIL(&s->tl, !s->server && (!s->taken || s->taken_peer.closed));
  raw_fini(&s->peer, &s->tl);
  assert_int_equal(s->proxy.active, 0);
  for (size_t i = 0; i < UPS_MAX; i++)
    stub_fini(&s->ups[i]);
  t2_buf_fini(&s->taken_peer.in);
  t2_proxy_fini(&s->proxy);
  test_loop_close(&s->tl);
}

static inline int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(open_setting(s, &s->mem.hook) && s->listener);
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

/* A new peer that sends the text. */
static inline void send_first(setting *s, const char *text) {
  raw_fini(&s->peer, &s->tl);
  raw_connect(&s->peer, &s->tl, s->port);
  raw_send(&s->peer, text);
}

/* Waits for the i-th request: the leg that got it. */
static inline stub *up(setting *s, size_t i) {
  RUN_UNTIL(&s->tl, s->requests > i);
  return &s->ups[i];
}

static inline void expect(setting *s, const char *part) {
  RUN_UNTIL(&s->tl, raw_got(&s->peer, part));
}

static inline void expect_end(setting *s) {
  RUN_UNTIL(&s->tl, raw_ended(&s->peer));
}

/* A few turns, for what must not happen. */
static inline void run_a_while(setting *s) {
  for (int i = 0; i < 20; i++)
    test_loop_turn(&s->tl, test_deadline());
}

/* Lets time pass. */
static inline void run_ms(setting *s, uint64_t ms) {
  uint64_t begun = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= begun + ms);
}

#define GET           "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define h1_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
