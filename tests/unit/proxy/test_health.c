#include "fixture.h"

#include <proxy/health.h>
#include <proxy/metrics.h>

typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_health *health;
  uint16_t port;
  raw peer;
  bool ready;
} setting;

static bool is_ready(void *user) {
  return ((setting *)user)->ready;
}

static void write_metrics(t2_buf *out, void *user) {
  t2_metrics_value(out, &(t2_metric){.name = "up", .help = "is it?"}, ((setting *)user)->ready);
}

static bool open_health(setting *s, t2_test_mem *mem, t2_health_ready_cb ready) {
  char detail[128] = "";
  if (t2_health_new(&s->health, &s->tl.uv, &mem->hook, NULL, "tester", "127.0.0.1:0", ready, write_metrics, s,
                    detail, sizeof(detail)))
    return false;
  s->port = test_port(t2_health_address(s->health));
  return true;
}

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(test_loop_open(&s->tl, NULL, NULL));
  assert_true(open_health(s, &s->mem, is_ready));
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  if (s->health) t2_health_close(s->health);
  RUN_UNTIL(&s->tl, s->mem.live == 0);
  raw_fini(&s->peer, &s->tl);
  test_loop_close(&s->tl);
  free(s);
  return 0;
}

static void expect(setting *s, const char *request, const char *part) {
  raw_fini(&s->peer, &s->tl);
  raw_connect(&s->peer, &s->tl, s->port);
  raw_send(&s->peer, request);
  RUN_UNTIL(&s->tl, raw_got(&s->peer, part));
}

#define REQUEST(line) line " HTTP/1.1\r\nHost: h\r\n\r\n"

static void test_it_is_live_as_long_as_it_answers(void **state) {
  setting *s = *state;
  expect(s, REQUEST("GET /health/live"), "\r\n\r\n{\"status\":\"live\"}\n");
  assert_true(raw_got(&s->peer, "HTTP/1.1 200 ") && raw_got(&s->peer, "application/json\r\n"));
  expect(s, REQUEST("GET /health/live?verbose"), "{\"status\":\"live\"}\n");
  expect(s, REQUEST("HEAD /health/live"), "content-length: 18\r\n");
}

static void test_it_is_ready_when_asked_about_it_says_so(void **state) {
  setting *s = *state;
  expect(s, REQUEST("GET /health/ready"), "{\"status\":\"not ready\"}\n");
  assert_true(raw_got(&s->peer, "HTTP/1.1 503 ") && raw_got(&s->peer, "retry-after: 1\r\n"));
  s->ready = true;
  expect(s, REQUEST("GET /health/ready"), "{\"status\":\"ready\"}\n");
  assert_true(raw_got(&s->peer, "HTTP/1.1 200 "));
}

static void test_metrics_are_text_of_the_format(void **state) {
  setting *s = *state;
  s->ready = true;
  expect(s, REQUEST("GET /metrics"), "\r\n\r\n# HELP up is it?\n# TYPE up gauge\nup 1\n");
  assert_true(raw_got(&s->peer, "HTTP/1.1 200 ") && raw_got(&s->peer, "text/plain; version=0.0.4"));
  expect(s, REQUEST("PUT /metrics"), "HTTP/1.1 405 ");
}

static void test_nothing_else_is_there(void **state) {
  setting *s = *state;
  expect(s, REQUEST("GET /"), "HTTP/1.1 404 ");
  expect(s, REQUEST("GET /health/live/"), "HTTP/1.1 404 ");
  expect(s, REQUEST("GET /metrics/"), "HTTP/1.1 404 ");
  expect(s, REQUEST("DELETE /health/live"), "HTTP/1.1 405 ");
  assert_true(raw_got(&s->peer, "allow: GET, HEAD\r\n"));
  expect(s, "POST /health/ready HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 413 ");
}

static void test_address_in_use_is_said_and_leaves_nothing(void **state) {
  setting *s = *state;
  t2_test_mem mem;
  char detail[128] = "";
  t2_health *second;
  t2_test_mem_init(&mem);
  assert_int_equal(t2_health_new(&second, &s->tl.uv, &mem.hook, NULL, "tester", t2_health_address(s->health),
                                 NULL, NULL, NULL, detail, sizeof(detail)),
                   T2_ERR_CONFLICT);
  assert_null(second);
  assert_non_null(strstr(detail, t2_health_address(s->health)));
  RUN_UNTIL(&s->tl, mem.live == 0);
}

static void test_close_ends_connections_too(void **state) {
  setting *s = *state;
  expect(s, REQUEST("GET /health/live"), "live");
  t2_health_close(s->health);
  s->health = NULL;
  RUN_UNTIL(&s->tl, raw_ended(&s->peer));
}

static void life(t2_test_mem *mem, void *user) {
  setting *s = user;
  s->health = NULL;
  if (open_health(s, mem, NULL)) {
    raw_connect(&s->peer, &s->tl, s->port);
    raw_send(&s->peer, REQUEST("GET /metrics"));
    RUN_UNTIL(&s->tl, raw_ended(&s->peer) || raw_got(&s->peer, "HTTP/1.1 "));
    assert_true(mem->failed || raw_got(&s->peer, " 200 "));
    raw_fini(&s->peer, &s->tl);
    t2_health_close(s->health);
    s->health = NULL;
  }
  RUN_UNTIL(&s->tl, mem->live == 0);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  setting *s = *state;
  t2_health_close(s->health);
  assert_true(t2_test_mem_fail_each(life, s) > 10);
}

#define health_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      health_test(test_it_is_live_as_long_as_it_answers),
      health_test(test_it_is_ready_when_asked_about_it_says_so),
      health_test(test_metrics_are_text_of_the_format),
      health_test(test_nothing_else_is_there),
      health_test(test_address_in_use_is_said_and_leaves_nothing),
      health_test(test_close_ends_connections_too),
      health_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
