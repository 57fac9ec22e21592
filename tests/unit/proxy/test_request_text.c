#include "exchange_setting.h"

#include <proxy/handler.h>
#include <string.h>

/* What the handler saw of the request. */
typedef struct seen {
  t2_handlers handlers;
  char text[512];
  size_t size;
  int64_t length;
  unsigned closes;
} seen;

static void on_request(t2_request *request, void *user) {
  seen *see = user;
  const char *text = t2_request_text(request, &see->size);
  assert_true(see->size <= sizeof(see->text));
  memcpy(see->text, text, see->size);
  see->length = t2_request_content_length(request);
  assert_int_equal(t2_response_send(request, 204, NULL, NULL, 0, NULL, 0), 0);
}

static void on_request_closed(t2_request *request, int err, void *user) {
  seen *see = user;
  (void)request;
  assert_int_equal(err, 0);
  see->closes++;
}

/* Serves one request, and goes on until it is over. */
static void serve(setting *s, seen *see, const t2_head *head, bool end) {
  t2_handler ops;
  memset(see, 0, sizeof(*see));
  again(s);
  t2_handler_init(&ops);
  ops.on_request = on_request;
  ops.on_close = on_request_closed;
  t2_handlers_init(&see->handlers, &s->proxy, &ops, see);
  assert_true(begin(s, head));
  t2_handlers_serve(&see->handlers, s->exchange, head, end, 0);
  if (!end && s->exchange) stub_end(&s->down);
  RUN_UNTIL(&s->tl, see->closes == 1);
  t2_handlers_fini(&see->handlers);
}

static void expect_text(const seen *see, const char *text, size_t n) {
  assert_int_equal(see->size, n);
  assert_memory_equal(see->text, text, n);
}

static void test_text_has_all_in_order_each_with_its_nul(void **state) {
  setting *s = *state;
  seen see;
  t2_field fields[] = {{.name = T2_STR("accept"), .value = T2_STR("a, b")},
                       {.name = T2_STR("x-empty"), .value = T2_STR("")}};
  t2_head head = test_request("GET", "/a?b");
  head.scheme = T2_STR("https");
  head.authority = T2_STR("example.com:8080");
  head.fields = (t2_fields){.list = fields, .n = 2, .cap = 2};
  serve(s, &see, &head, true);
  /* Neither an upgrade, nor is it known who asks; the id is this exchange's. */
  size_t id = strlen(s->last.request_id), before = sizeof("GET\0/a?b\0https\0example.com:8080\0\0");
  expect_text(&see, see.text, before + id + 1 + sizeof("accept\0a, b\0x-empty\0"));
  assert_memory_equal(see.text, "GET\0/a?b\0https\0example.com:8080\0\0", before);
  assert_string_equal(see.text + before, s->last.request_id);
  assert_memory_equal(see.text + before + id + 1, "accept\0a, b\0x-empty\0",
                      sizeof("accept\0a, b\0x-empty\0"));
}

static void test_protocol_of_an_upgrade_is_the_fifth(void **state) {
  setting *s = *state;
  seen see;
  t2_head head = test_request("GET", "/");
  head.protocol = T2_STR("websocket");
  serve(s, &see, &head, true);
  assert_non_null(memmem(see.text, see.size, "\0websocket\0", 11));
}

static void test_no_content_is_a_length_of_nothing(void **state) {
  setting *s = *state;
  seen see;
  t2_head head = test_request("GET", "/");
  serve(s, &see, &head, true);
  assert_int_equal(see.length, 0);
  head = test_request("POST", "/");
  serve(s, &see, &head, false);
  assert_int_equal(see.length, -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      exchange_test(test_text_has_all_in_order_each_with_its_nul),
      exchange_test(test_protocol_of_an_upgrade_is_the_fifth),
      exchange_test(test_no_content_is_a_length_of_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
