#include "h2_setting.h"

#include <proxy/fetch.h>

/* What a fetch came to. */
typedef struct outcome {
  t2_fetch *fetch;
  bool done;
  int err, status;
  char body[64], field[64];
} outcome;

static void on_outcome(t2_fetch *fetch, int err, int status, const t2_head *head, t2_str body, void *user) {
  outcome *o = user;
  assert_false(o->done);
  assert_ptr_equal(fetch, o->fetch);
  assert_int_equal(head != NULL, err == 0);
  o->done = true;
  o->err = err;
  o->status = status;
  snprintf(o->body, sizeof(o->body), "%.*s", T2_STR_ARG(body));
  const t2_field *field = head ? t2_fields_get(&head->fields, T2_STR("x-answer")) : NULL;
  if (field) snprintf(o->field, sizeof(o->field), "%.*s", T2_STR_ARG(field->value));
}

#define BODY_MAX 20

static int start_with(setting *s, outcome *o, const char *body, uint64_t timeout_ms) {
  t2_head head = test_request(*body ? "POST" : "GET", "/v1");
  head.content_length = *body ? (int64_t)strlen(body) : -1;
  *o = (outcome){0};
  return t2_fetch_start(&o->fetch, s->pair.client.h2, &head, t2_str_c(body), BODY_MAX, timeout_ms, on_outcome,
                        o);
}

static stub *start(setting *s, outcome *o, const char *body) {
  size_t n = s->requests;
  if (n == 0) open_pair(s);
  assert_int_equal(start_with(s, o, body, 5000), 0);
  assert_false(o->done);
  return up(s, n);
}

static void expect(setting *s, const outcome *o, int err, int status, const char *body) {
  RUN_UNTIL(&s->tl, o->done);
  assert_int_equal(o->err, err);
  assert_int_equal(o->status, status);
  assert_string_equal(o->body, body);
}

static void test_answer_is_gathered(void **state) {
  setting *s = *state;
  outcome o;
  t2_head head;
  stub *u = start(s, &o, "");
  assert_string_equal(stub_log(u), "head GET /v1.");
  t2_head_init(&head, NULL);
  head.status = 201;
  t2_fields_add(&head.fields, T2_STR("x-answer"), T2_STR("yes"));
  stub_answer(u, 103, -1, false);
  t2_exchange_head(&u->leg, &head, false);
  t2_head_fini(&head);
  stub_give(u, "hel");
  stub_give(u, "lo");
  stub_end(u);
  expect(s, &o, 0, 201, "hello");
  assert_string_equal(o.field, "yes");
}

static void test_body_is_sent(void **state) {
  setting *s = *state;
  outcome o;
  stub *u = start(s, &o, "question");
  RUN_UNTIL(&s->tl, stub_said(u, "end;"));
  assert_string_equal(stub_log(u), "head POST /v1;data 8;end;");
  assert_int_equal(u->length, 8);
  stub_answer(u, 204, -1, true);
  expect(s, &o, 0, 204, "");
}

static void test_answer_is_taken_up_to_its_bound(void **state) {
  setting *s = *state;
  outcome o;
  stub *u = start(s, &o, "");
  stub_answer(u, 200, -1, false);
  stub_give(u, "0123456789");
  stub_give(u, "0123456789");
  stub_end(u);
  expect(s, &o, 0, 200, "01234567890123456789");
  u = start(s, &o, "");
  stub_answer(u, 200, -1, false);
  stub_give(u, "0123456789");
  stub_give(u, "0123456789x");
  expect(s, &o, T2_ERR_LIMIT, 0, "");
  RUN_UNTIL(&s->tl, u->closed);
  assert_int_equal(u->err, T2_ERR_CANCELLED);
}

static void test_no_answer_in_time_cancels_the_stream(void **state) {
  setting *s = *state;
  outcome o;
  open_pair(s);
  assert_int_equal(start_with(s, &o, "", 20), 0);
  stub *u = up(s, 0);
  stub_answer(u, 200, -1, false); /* the time is for all of it */
  expect(s, &o, T2_ERR_TIMEOUT, 0, "");
  RUN_UNTIL(&s->tl, u->closed);
  assert_int_equal(u->err, T2_ERR_CANCELLED);
}

static void test_half_an_answer_is_none(void **state) {
  setting *s = *state;
  outcome o;
  stub *u = start(s, &o, "");
  stub_answer(u, 200, -1, false);
  stub_give(u, "hel");
  RUN_UNTIL(&s->tl, t2_h2_conn_active(s->pair.client.h2) == 1);
  stub_fail(u, T2_ERR_CLOSED, T2_AT_ORIGIN);
  expect(s, &o, T2_ERR_CANCELLED, 0, "");
}

/* Nor is the problem that this side's exchange would show to a person. */
static void test_lost_connection_is_no_answer(void **state) {
  setting *s = *state;
  outcome o;
  start(s, &o, "");
  t2_h2_conn_close(s->pair.server.h2, T2_ERR_CANCELLED);
  expect(s, &o, T2_ERR_CLOSED, 0, "");
}

static void test_cancelled_fetch_says_nothing(void **state) {
  setting *s = *state;
  outcome o, second;
  stub *u = start(s, &o, "");
  t2_fetch_cancel(o.fetch);
  RUN_UNTIL(&s->tl, u->closed);
  assert_int_equal(u->err, T2_ERR_CANCELLED);
  u = start(s, &second, "");
  stub_answer(u, 200, -1, true);
  RUN_UNTIL(&s->tl, t2_h2_conn_active(s->pair.client.h2) == 0);
  if (!second.done) t2_fetch_cancel(second.fetch); /* the answer is there, and not delivered yet */
  run_ms(s, 10);
  assert_false(o.done);
}

static void test_no_capacity_is_said_at_once(void **state) {
  setting *s = *state;
  outcome o, second;
  s->pair.server.options.h2.concurrent_max = 1;
  stub *u = start(s, &o, "");
  assert_int_equal(start_with(s, &second, "", 1000), T2_ERR_UNAVAILABLE);
  assert_null(second.fetch);
  stub_answer(u, 200, -1, true);
  expect(s, &o, 0, 200, "");
}

static void answer_now(stub *u) {
  stub_answer(u, 200, -1, false);
  stub_give(u, "yes");
  stub_end(u);
}

static void life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  outcome o;
  (void)user;
  if (open_setting(s, &mem->hook)) {
    s->ups[0].on_end = answer_now;
    if (h2_pair_open(&s->pair) && start_with(s, &o, "question", 50) == 0) {
      RUN_UNTIL(&s->tl, o.done);
      assert_true(mem->failed || (o.err == 0 && strcmp(o.body, "yes") == 0));
    }
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(life, NULL) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h2_test(test_answer_is_gathered),
      h2_test(test_body_is_sent),
      h2_test(test_answer_is_taken_up_to_its_bound),
      h2_test(test_no_answer_in_time_cancels_the_stream),
      h2_test(test_half_an_answer_is_none),
      h2_test(test_lost_connection_is_no_answer),
      h2_test(test_cancelled_fetch_says_nothing),
      h2_test(test_no_capacity_is_said_at_once),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
