/* A server of HTTP/1.1 in the clear, and a peer on a raw socket. */
#ifndef T2_TEST_SERVER_SETTING_H
#define T2_TEST_SERVER_SETTING_H

#include "fixture.h"

#include <proxy/call.h>

typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy;
  t2_server_options options;
  t2_server *server;
  uint16_t port;
  raw peer;
  bool drained, closed, close_when_drained;
  size_t requests;
  void (*on_request)(struct setting *s, const t2_server_request *request);
} setting;

static inline void on_server_request(const t2_server_request *request, void *user) {
  setting *s = user;
  assert_ptr_equal(request->server, s->server);
  s->requests++;
  s->on_request(s, request);
}

static inline void on_server_close(void *user) {
  ((setting *)user)->closed = true;
}

static inline void close_server(setting *s) {
  t2_server *server = s->server;
  s->server = NULL;
  t2_server_close(server, on_server_close, s);
}

static inline void on_drained(void *user) {
  setting *s = user;
  assert_false(s->drained);
  s->drained = true;
  if (s->close_when_drained) close_server(s);
}

static inline bool open_loop(setting *s, const t2_allocator *mem) {
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  t2_server_options_init(&s->options);
  s->options.listener.address = "127.0.0.1:0";
  s->options.on_drained = on_drained;
  return true;
}

static inline int open_server(setting *s) {
  char detail[128] = "";
  int err = t2_server_new(&s->server, &s->proxy, &s->options, on_server_request, s, detail, sizeof(detail));
  if (err == 0) s->port = test_port(t2_server_address(s->server));
  return err;
}

static inline void close_setting(setting *s) {
  if (s->server)
    close_server(s);
  else if (s->port == 0)
    s->closed = true;
  RUN_UNTIL(&s->tl, s->closed);
  raw_fini(&s->peer, &s->tl);
  assert_int_equal(s->proxy.active, 0);
  t2_proxy_fini(&s->proxy);
  test_loop_close(&s->tl);
}

static inline int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(open_loop(s, &s->mem.hook));
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

static inline void expect(setting *s, const char *part) {
  RUN_UNTIL(&s->tl, raw_got(&s->peer, part));
}

static inline void run_ms(setting *s, uint64_t ms) {
  uint64_t begun = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= begun + ms);
}

#define GET               "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST_OF(length)   "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"
#define POST_CHUNKED      "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define server_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
