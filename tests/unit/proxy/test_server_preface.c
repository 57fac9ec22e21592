/* A clear listener tells HTTP/2 from HTTP/1.1 by the first bytes, however they come. */
#include "fixture.h"

#include <proxy/server.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy;
  t2_server *server;
  t2_server_options options;
  raw peer;
  unsigned h1, h2, drained;
  bool closed;
  char method[16], scheme[8];
} setting;

static void on_request(const t2_server_request *request, void *user) {
  setting *s = user;
  s->h1 += request->h1 != NULL;
  s->h2 += request->h2 != NULL;
  snprintf(s->method, sizeof(s->method), "%.*s", T2_STR_ARG(request->head->method));
  snprintf(s->scheme, sizeof(s->scheme), "%.*s", T2_STR_ARG(request->head->scheme));
  t2_exchange_refuse(request->exchange, t2_problem_of_status(404), "nothing is here");
}

static void on_drained(void *user) {
  ((setting *)user)->drained++;
}

static void on_closed(void *user) {
  ((setting *)user)->closed = true;
}

static bool try_open(setting *s, const t2_allocator *mem) {
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  t2_server_options_init(&s->options);
  s->options.listener.address = "127.0.0.1:0";
  s->options.on_drained = on_drained;
  return true;
}

static int listen_on(setting *s) {
  int err = t2_server_new(&s->server, &s->proxy, &s->options, on_request, s, NULL, 0);
  if (err) return err;
  const char *address = t2_server_address(s->server);
  raw_connect(&s->peer, &s->tl, (uint16_t)atoi(strrchr(address, ':') + 1));
  return 0;
}

static void shut(setting *s) {
  if (s->server) {
    t2_server_close(s->server, on_closed, s);
    RUN_UNTIL(&s->tl, s->closed);
  }
  raw_fini(&s->peer, &s->tl);
  assert_int_equal(s->proxy.active, 0);
  t2_proxy_fini(&s->proxy);
  test_loop_close(&s->tl);
}

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(try_open(s, &s->mem.hook));
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  shut(s);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

static void turns(setting *s, int n) {
  for (int i = 0; i < n; i++)
    test_loop_turn(&s->tl, test_deadline());
}

/* Sends the text in pieces of that size, each in a turn of its own. */
static void send_pieces(setting *s, const char *text, size_t size) {
  for (size_t at = 0, n = strlen(text); at < n; at += size) {
    raw_send_bytes(&s->peer, text + at, n - at < size ? n - at : size);
    turns(s, 3);
  }
}

static void test_preface_begins_http2_however_it_is_cut(void **state) {
  setting *s = *state;
  for (size_t size = 1; size <= 24; size += 5) {
    assert_int_equal(listen_on(s), 0);
    send_pieces(s, PREFACE, size);
    raw_h2_frame(&s->peer, FRAME_SETTINGS, 0, 0, NULL, 0);
    raw_h2_request(&s->peer, 1, true);
    RUN_UNTIL(&s->tl, s->h2);
    assert_int_equal(s->h1, 0);
    assert_string_equal(s->scheme, "http");
    RUN_UNTIL(&s->tl, raw_h2_count(&s->peer, FRAME_HEADERS, 0) == 1);
    s->h2 = 0;
    t2_server_close(s->server, on_closed, s);
    RUN_UNTIL(&s->tl, s->closed);
    s->server = NULL;
    s->closed = false;
    raw_fini(&s->peer, &s->tl);
    memset(&s->peer, 0, sizeof(s->peer));
  }
}

static void test_preface_and_request_in_one_piece(void **state) {
  setting *s = *state;
  assert_int_equal(listen_on(s), 0);
  raw_h2_preface(&s->peer);
  raw_h2_request(&s->peer, 1, true);
  RUN_UNTIL(&s->tl, s->h2 == 1);
}

static void test_other_first_bytes_are_http1(void **state) {
  setting *s = *state;
  const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
                                  "PRI / HTTP/1.1\r\nHost: a\r\n\r\n",
                                  "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"};
  const size_t sizes[] = {1, 3, 7, 1000};
  for (size_t i = 0; i < T2_COUNT_OF(requests); i++) {
    assert_int_equal(listen_on(s), 0);
    send_pieces(s, requests[i], sizes[i]);
    RUN_UNTIL(&s->tl, s->h1 == i + 1);
    assert_int_equal(strncmp(requests[i], s->method, strlen(s->method)), 0);
    RUN_UNTIL(&s->tl, raw_got(&s->peer, "HTTP/1.1 404"));
    t2_server_close(s->server, on_closed, s);
    RUN_UNTIL(&s->tl, s->closed);
    s->server = NULL;
    s->closed = false;
    raw_fini(&s->peer, &s->tl);
    memset(&s->peer, 0, sizeof(s->peer));
  }
  assert_int_equal(s->h2, 0);
}

static void test_preface_with_a_fault_near_its_end_is_bad_http1(void **state) {
  setting *s = *state;
  assert_int_equal(listen_on(s), 0);
  send_pieces(s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", 6);
  RUN_UNTIL(&s->tl, raw_got(&s->peer, "HTTP/1.1 505"));
  assert_int_equal(s->h2, 0);
}

static void test_silence_and_half_a_preface_are_timed_out(void **state) {
  setting *s = *state;
  s->options.h1.header_timeout_ms = 50;
  assert_int_equal(listen_on(s), 0);
  raw_send(&s->peer, "PRI * HT");
  RUN_UNTIL(&s->tl, raw_ended(&s->peer));
  RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 0);
}

static void test_end_within_the_preface_closes(void **state) {
  setting *s = *state;
  assert_int_equal(listen_on(s), 0);
  raw_send(&s->peer, "PRI");
  RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 1);
  raw_shutdown(&s->peer);
  RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 0);
}

static void test_drain_closes_what_has_not_begun(void **state) {
  setting *s = *state;
  assert_int_equal(listen_on(s), 0);
  RUN_UNTIL(&s->tl, t2_server_connections(s->server) == 1);
  t2_server_drain(s->server);
  RUN_UNTIL(&s->tl, s->drained == 1);
  RUN_UNTIL(&s->tl, raw_ended(&s->peer));
}

static void with_little_memory(t2_test_mem *mem, void *user) {
  const char *text = user;
  setting s = {.closed = false};
  if (!try_open(&s, &mem->hook)) return;
  if (listen_on(&s) == 0) {
    send_pieces(&s, text, 1000);
    if (text[0] == 'P') {
      raw_h2_frame(&s.peer, FRAME_SETTINGS, 0, 0, NULL, 0);
      raw_h2_request(&s.peer, 1, true);
    }
    RUN_UNTIL(&s.tl, s.h1 || s.h2 || (mem->failed && (raw_ended(&s.peer) || t2_buf_len(&s.peer.in))));
  } else {
    assert_true(mem->failed);
  }
  shut(&s);
}

static void test_missing_memory_closes_the_connection(void **state) {
  char h2[] = PREFACE, h1[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  assert_true(t2_test_mem_fail_each(with_little_memory, h2) > 5);
  assert_true(t2_test_mem_fail_each(with_little_memory, h1) > 5);
}

#define server_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      server_test(test_preface_begins_http2_however_it_is_cut),
      server_test(test_preface_and_request_in_one_piece),
      server_test(test_other_first_bytes_are_http1),
      server_test(test_preface_with_a_fault_near_its_end_is_bad_http1),
      server_test(test_silence_and_half_a_preface_are_timed_out),
      server_test(test_end_within_the_preface_closes),
      server_test(test_drain_closes_what_has_not_begun),
      cmocka_unit_test(test_missing_memory_closes_the_connection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
