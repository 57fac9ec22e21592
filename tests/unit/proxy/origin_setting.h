/* An origin with as many connections as are opened to it, of HTTP/2 or HTTP/1.1, and exchanges that ask it.
 */
#ifndef T2_TEST_ORIGIN_SETTING_H
#define T2_TEST_ORIGIN_SETTING_H

#include "fixture.h"

#include <proxy/h1_server.h>

#define LEGS_MAX  12
#define CONNS_MAX 8

typedef struct setting setting;

typedef struct server_conn {
  setting *owner;
  t2_h2_conn *h2; /* NULL once it is closed */
  t2_h1_server *h1;
  t2_conn *mute; /* one that says nothing */
  size_t requests;
  bool h2_closed;
} server_conn;

struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy, server_proxy;
  t2_tls *server_tls;
  t2_listener *listener;
  bool listener_closed;
  uint16_t port;
  t2_h2_conn_options h2_options; /* of the server */
  t2_h1_server_options h1_options;
  bool http1;  /* in the clear: what the server speaks */
  bool mute;   /* connections are taken, and that is all */
  bool refuse; /* requests are reset with REFUSED_STREAM */
  server_conn conns[CONNS_MAX];
  size_t accepted;
  stub downs[LEGS_MAX]; /* who asks */
  stub ups[LEGS_MAX];   /* who answers: one for each request */
  size_t requests;
  server_conn *last; /* on which the last request came */
  void (*on_request)(setting *s, server_conn *conn);
  void *pool; /* the test's object */
  bool gone;  /* it is */
};

static inline void take_request(server_conn *conn, t2_exchange *exchange, t2_head *head, bool end) {
  setting *s = conn->owner;
  assert_true(s->requests < LEGS_MAX);
  stub *u = &s->ups[s->requests++];
  conn->requests++;
  s->last = conn;
  t2_buf_printf(&u->body, "%.*s|", T2_STR_ARG(head->authority));
  t2_buf_printf(&u->body, "%.*s|", T2_STR_ARG(head->scheme));
  t2_exchange_connect(exchange, &u->leg, head, end, NULL, 0);
  if (s->on_request) s->on_request(s, conn);
}

static inline void on_h2_request(t2_h2_conn *h2, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  (void)h2;
  take_request(user, exchange, head, end);
}

static inline void on_h2_closed(t2_h2_conn *h2, int err, const char *detail, void *user) {
  server_conn *conn = user;
  (void)h2, (void)err, (void)detail;
  conn->h2 = NULL;
  conn->h2_closed = true;
}

static inline void on_h1_request(t2_h1_server *h1, t2_exchange *exchange, t2_head *head, bool end,
                                 void *user) {
  (void)h1;
  take_request(user, exchange, head, end);
}

static inline void on_h1_closed(t2_h1_server *h1, void *user) {
  (void)h1;
  ((server_conn *)user)->h1 = NULL;
}

static inline void on_mute_closed(t2_conn *conn, int err, void *user) {
  (void)conn, (void)err;
  ((server_conn *)user)->mute = NULL;
}

static inline void on_mute_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  (void)conn, (void)bytes, (void)n, (void)user;
}

static inline void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  static const t2_conn_ops mute_ops = {.on_data = on_mute_data, .on_close = on_mute_closed};
  static const t2_h1_server_ops h1_ops = {.on_request = on_h1_request, .on_close = on_h1_closed};
  setting *s = user;
  server_conn *c = &s->conns[s->accepted++];
  (void)listener;
  assert_true(s->accepted <= CONNS_MAX);
  c->owner = s;
  bool http1 = t2_conn_is_tls(conn) ? !t2_str_eq(t2_conn_alpn(conn), T2_STR("h2")) : s->http1;
  t2_h2_conn_ops h2_ops = {.on_request = s->refuse ? NULL : on_h2_request, .on_close = on_h2_closed};
  if (s->mute) {
    c->mute = conn;
    t2_conn_set_ops(conn, &mute_ops, c);
  } else if (http1) {
    (void)t2_h1_server_new(&c->h1, &s->server_proxy, conn, &s->h1_options, &h1_ops, c);
  } else {
    (void)t2_h2_conn_new(&c->h2, &s->server_proxy, conn, &s->h2_options, &h2_ops, c);
  }
}

/* False when there was no memory. Close it all the same, unless there is no loop. */
static inline bool open_setting(setting *s, const t2_allocator *mem, const char *const *alpn) {
  t2_listener_options listen = {.address = "127.0.0.1:0"};
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  t2_proxy_init(&s->server_proxy, s->tl.loop, "origin");
  t2_h2_conn_options_init(&s->h2_options, true);
  t2_h1_server_options_init(&s->h1_options);
  for (size_t i = 0; i < LEGS_MAX; i++) {
    stub_init(&s->downs[i]);
    stub_init(&s->ups[i]);
  }
  if (alpn) listen.tls = s->server_tls = test_server_tls(s->tl.loop, alpn);
  if (t2_listener_new(&s->listener, s->tl.loop, &listen, on_accept, s, NULL, 0)) return true;
  s->port = t2_listener_port(s->listener);
  return true;
}

static inline void on_listener_close(void *user) {
  ((setting *)user)->listener_closed = true;
}

static inline bool has_conns(const setting *s) {
  for (size_t i = 0; i < s->accepted; i++)
    if (s->conns[i].h2 || s->conns[i].h1 || s->conns[i].mute) return true;
  return false;
}

static inline void close_listener(setting *s) {
  if (!s->listener || s->listener_closed) return;
  t2_listener_close(s->listener, on_listener_close, s);
  RUN_UNTIL(&s->tl, s->listener_closed);
}

static inline void drop_conn(server_conn *c) {
  if (c->h2) t2_h2_conn_close(c->h2, T2_ERR_CANCELLED);
  if (c->h1) t2_h1_server_close(c->h1, T2_ERR_CANCELLED);
  if (c->mute) t2_conn_close(c->mute, T2_ERR_CANCELLED);
}

/* The pool is gone. */
static inline void close_setting(setting *s) {
  close_listener(s);
  for (size_t i = 0; i < s->accepted; i++)
    drop_conn(&s->conns[i]);
  RUN_UNTIL(&s->tl, !has_conns(s));
  assert_int_equal(s->proxy.active, 0);
  assert_int_equal(s->server_proxy.active, 0);
  for (size_t i = 0; i < LEGS_MAX; i++) {
    stub_fini(&s->downs[i]);
    stub_fini(&s->ups[i]);
  }
  if (s->server_tls) t2_tls_unref(s->server_tls);
  t2_proxy_fini(&s->proxy);
  t2_proxy_fini(&s->server_proxy);
  test_loop_close(&s->tl);
}

/* The i-th leg of `downs` asks `leg`. */
static inline stub *ask_leg(setting *s, t2_leg *leg, size_t i, const char *method, bool whole) {
  t2_head head = test_request(method, "/a");
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &s->downs[i].leg, &head);
  if (!exchange) return NULL;
  t2_exchange_connect(exchange, leg, &head, whole, NULL, 10000);
  return &s->downs[i];
}

static inline stub *up(setting *s, size_t i) {
  RUN_UNTIL(&s->tl, s->requests > i);
  return &s->ups[i];
}

static inline void answer_all(setting *s) {
  for (size_t i = 0; i < s->requests; i++)
    if (s->ups[i].leg.exchange && !s->ups[i].ended) stub_answer(&s->ups[i], 200, -1, true);
}

static inline void run_ms(setting *s, uint64_t ms) {
  uint64_t begun = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= begun + ms);
}

static inline void expect_status(setting *s, stub *down, int status) {
  RUN_UNTIL(&s->tl, down->closed);
  assert_int_equal(down->status, status);
}

#endif
