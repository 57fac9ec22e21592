#include "exchange_setting.h"

#include <proxy/held.h>

/* ---- A request that is kept ---- */

static void fill(t2_held *held, const t2_allocator *mem, int *err) {
  t2_head head = test_request("POST", "/a");
  t2_fields trailers;
  t2_fields_init(&trailers, NULL);
  assert_int_equal(t2_fields_add(&trailers, T2_STR("x"), T2_STR("1")), 0);
  *err = t2_held_init(held, mem, &head, false);
  if (*err == 0) *err = t2_held_data(held, (const uint8_t *)"one ", 4);
  if (*err == 0) *err = t2_held_data(held, (const uint8_t *)"two", 3);
  if (*err == 0) *err = t2_held_end(held, &trailers);
  t2_fields_fini(&trailers);
}

static void keep(t2_test_mem *mem, void *user) {
  t2_held held;
  int err;
  (void)user;
  fill(&held, &mem->hook, &err);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) {
    assert_true(t2_str_eq(held.head->path, T2_STR("/a")));
    assert_int_equal(t2_buf_len(&held.content), 7);
    assert_true(held.ended);
    assert_int_equal(held.trailers->fields.n, 1);
  }
  t2_held_fini(&held);
}

static void test_request_is_kept_whole(void **state) {
  t2_test_mem_fail_each(keep, NULL);
}

/* ---- Another leg ---- */

static void test_next_leg_gets_the_request_from_its_beginning(void **state) {
  setting *s = *state;
  stub next;
  t2_held held;
  int err;
  stub_init(&next);
  post(s);
  stub_give(&s->down, "one two");
  fill(&held, NULL, &err);
  t2_exchange_hand_over(&s->up.leg, &next.leg, &held, true);
  assert_true(s->exchange->repeated);
  assert_null(s->up.leg.exchange);
  assert_string_equal(stub_log(&next), "head POST /a;data 7;end x=1;");
  s->down.ended = true;
  stub_answer(&next, 200, -1, true);
  assert_string_equal(stub_log(&s->up), "head POST /a;data 7;"); /* not told closed */
  assert_string_equal(stub_log(&s->down), "head 200.closed OK;");
  t2_held_fini(&held);
  stub_fini(&next);
}

static void test_request_without_content_ends_with_its_head(void **state) {
  setting *s = *state;
  stub next;
  t2_held held;
  t2_head head = test_request("GET", "/a");
  stub_init(&next);
  get(s);
  assert_int_equal(t2_held_init(&held, NULL, &head, true), 0);
  t2_exchange_hand_over(&s->up.leg, &next.leg, &held, false);
  assert_false(s->exchange->repeated);
  assert_string_equal(stub_log(&next), "head GET /a.");
  stub_answer(&next, 204, -1, true);
  assert_null(s->exchange);
  t2_held_fini(&held);
  stub_fini(&next);
}

static void test_error_of_the_next_leg_is_its_failure(void **state) {
  setting *s = *state;
  for (int at = 0; at < 3; at++) {
    stub next;
    t2_held held;
    int err;
    stub_init(&next);
    *(at == 0 ? &next.head_err : at == 1 ? &next.data_err : &next.end_err) = T2_ERR_REFUSED;
    post(s);
    fill(&held, NULL, &err);
    t2_exchange_hand_over(&s->up.leg, &next.leg, &held, false);
    assert_null(s->exchange);
    assert_int_equal(s->down.status, 502);
    assert_int_equal(next.err, T2_ERR_REFUSED);
    assert_true(next.closed);
    t2_held_fini(&held);
    stub_fini(&next);
    again(s);
  }
}

/* From within the head: what follows is not given any more. */
static void fail_at_once(stub *s) {
  stub_fail(s, T2_ERR_TIMEOUT, T2_AT_ORIGIN);
}

static void test_next_leg_may_fail_from_within(void **state) {
  setting *s = *state;
  stub next;
  t2_held held;
  int err;
  stub_init(&next);
  next.on_head = fail_at_once;
  post(s);
  fill(&held, NULL, &err);
  t2_exchange_hand_over(&s->up.leg, &next.leg, &held, false);
  assert_null(s->exchange);
  assert_int_equal(s->down.status, 504);
  assert_string_equal(stub_log(&next), "head POST /a;");
  t2_held_fini(&held);
  stub_fini(&next);
}

/* ---- Heads of responses ---- */

static int rename_it(t2_exchange *exchange, const t2_head *in, t2_head *out, t2_buf *scratch, void *user) {
  setting *s = user;
  (void)exchange;
  t2_fields fields = out->fields;
  *out = *in;
  out->fields = fields;
  t2_buf_reset(scratch);
  if (s->up.head_err) return s->up.head_err;
  return t2_fields_add(&out->fields, T2_STR("x-changed"), T2_STR("yes"));
}

static void test_heads_of_responses_are_changed_on_their_way(void **state) {
  setting *s = *state;
  get(s);
  s->exchange->on_response = rename_it;
  stub_answer(&s->up, 103, -1, false);
  assert_true(stub_has_field(&s->down, "x-changed: yes\n"));
  stub_answer(&s->up, 200, -1, true);
  assert_true(stub_has_field(&s->down, "x-changed: yes\n"));
  expect_over(s, "head GET /a.closed OK;", "head 103;head 200.closed OK;");
  again(s);
  get(s); /* the next exchange is another one */
  stub_answer(&s->up, 200, -1, true);
  assert_false(stub_has_field(&s->down, "x-changed"));
}

static void test_head_that_cannot_be_changed_ends_the_exchange(void **state) {
  setting *s = *state;
  get(s);
  s->exchange->on_response = rename_it;
  s->up.head_err = T2_ERR_NOMEM;
  stub_answer(&s->up, 200, -1, true);
  assert_null(s->exchange);
  assert_int_equal(s->down.err, T2_ERR_NOMEM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_is_kept_whole),
      exchange_test(test_next_leg_gets_the_request_from_its_beginning),
      exchange_test(test_request_without_content_ends_with_its_head),
      exchange_test(test_error_of_the_next_leg_is_its_failure),
      exchange_test(test_next_leg_may_fail_from_within),
      exchange_test(test_heads_of_responses_are_changed_on_their_way),
      exchange_test(test_head_that_cannot_be_changed_ends_the_exchange),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
