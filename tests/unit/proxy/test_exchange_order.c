#include "exchange_setting.h"

/* ---- Legs that call from inside ---- */

static void answer_all(stub *s) {
  stub_answer(s, 200, -1, false);
  stub_give(s, "yes");
  stub_end(s);
}

static void fail_now(stub *s) {
  stub_fail(s, T2_ERR_REFUSED, T2_AT_ORIGIN);
}

static void test_answer_from_inside(void **state) {
  setting *s = *state;
  t2_head head = test_request("POST", "/a");
  s->up.on_head = answer_all;
  join(s, &head, false, 1000);
  expect_over(s, "head POST /a;closed CANCELLED;", "head 200;data 3;end;closed OK;");
  s->up.on_head = NULL;
  again(s);
  s->up.on_data = answer_all;
  post(s);
  stub_give(&s->down, "a");
  stub_give(&s->down, "b");
  expect_over(s, "head POST /a;data 1;closed CANCELLED;", "head 200;data 3;end;closed OK;");
  s->up.on_data = NULL;
  again(s);
  s->up.on_end = answer_all;
  post(s);
  stub_end(&s->down);
  expect_over(s, "head POST /a;end;closed OK;", "head 200;data 3;end;closed OK;");
}

static void test_upstream_failure_from_inside(void **state) {
  setting *s = *state;
  t2_head head = test_request("POST", "/a");
  s->up.on_head = fail_now;
  join(s, &head, false, 1000);
  assert_true(s->down.status == 502 && s->down.err == 0 && !s->exchange);
  s->up.on_head = NULL;
  again(s);
  s->up.on_data = fail_now;
  post(s);
  stub_give(&s->down, "a");
  assert_true(s->down.status == 502 && s->down.err == 0 && !s->exchange);
  s->up.on_data = NULL;
  again(s);
  s->up.on_end = fail_now;
  post(s);
  stub_end(&s->down);
  assert_true(s->down.status == 502 && s->down.err == 0 && !s->exchange);
}

/* The stub answers, and the asker leaves within that, within upstream's head. */
static void test_downstream_failure_from_inside(void **state) {
  setting *s = *state;
  t2_head head = test_request("POST", "/a");
  s->up.on_head = answer_all;
  s->down.on_head = fail_now;
  join(s, &head, false, 1000);
  expect_over(s, "head POST /a;closed REFUSED;", "head 200;");
  again(s);
  s->down.on_head = NULL;
  s->down.on_data = fail_now;
  join(s, &head, false, 1000);
  expect_over(s, "head POST /a;closed REFUSED;", "head 200;data 3;");
}

static void test_asker_that_leaves_within_a_problem(void **state) {
  setting *s = *state;
  get(s);
  s->down.on_head = fail_now;
  stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_ORIGIN);
  expect_over(s, "head GET /a.", "head 502;");
}

static void give_more(stub *s) {
  stub_give(s, "more");
  stub_end(s);
}

static void test_request_that_goes_on_within_a_problem_goes_nowhere(void **state) {
  setting *s = *state;
  post(s);
  s->down.on_head = give_more;
  stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_ORIGIN);
  assert_string_equal(stub_log(&s->up), "head POST /a;");
  assert_true(stub_said(&s->down, "end;closed OK;") && !s->exchange);
}

static void begin_next(stub *s) {
  setting *owner = s->user;
  s->on_closed = NULL;
  stub_reset(&owner->down);
  owner->last = *owner->exchange;
  owner->exchange->on_done = NULL;
  t2_head head = test_request("GET", "/next");
  assert_true(begin(owner, &head));
  stub_reset(&owner->up);
  t2_exchange_connect(owner->exchange, &owner->up.leg, &head, true, NULL, 0);
}

static void test_leg_may_begin_its_next_exchange_when_it_is_closed(void **state) {
  setting *s = *state;
  get(s);
  s->down.on_closed = begin_next;
  stub_answer(&s->up, 200, -1, true);
  expect(s, "head GET /next.", "");
  assert_int_equal(s->proxy.active, 1);
  stub_answer(&s->up, 201, -1, true);
  expect_over(s, "head GET /next.closed OK;", "head 201.closed OK;");
  assert_int_equal(s->proxy.total, 2);
}

/* ---- Every order ---- */

static uint32_t next(uint32_t *seed) {
  *seed = *seed * 1664525 + 1013904223;
  return *seed >> 16;
}

static const int errors[] = {0, 0, 0, 0, 0, 0, 0, T2_ERR_NOMEM};

static void (*const plans[])(stub *s) = {NULL, NULL, NULL, NULL, NULL, NULL, answer_all, fail_now, give_more};

static void plan(stub *s, uint32_t *seed) {
  s->head_err = errors[next(seed) % T2_COUNT_OF(errors)];
  s->data_err = errors[next(seed) % T2_COUNT_OF(errors)];
  s->end_err = errors[next(seed) % T2_COUNT_OF(errors)];
  s->on_head = plans[next(seed) % T2_COUNT_OF(plans)];
  s->on_data = NULL;
  s->on_end = plans[next(seed) % T2_COUNT_OF(plans)];
}

static void act(setting *s, uint32_t *seed) {
  static const int statuses[] = {100, 101, 200, 200, 404};
  stub *leg = next(seed) % 2 ? &s->up : &s->down;
  switch (next(seed) % 6) {
  case 0:
    if (leg == &s->up) stub_answer(leg, statuses[next(seed) % 5], -1, next(seed) % 4 == 0);
    break;
  case 1:
  case 2:
    stub_give(leg, "some");
    break;
  case 3:
    stub_end(leg);
    break;
  case 4:
    if (next(seed) % 4 == 0) stub_fail(leg, T2_ERR_CLOSED, T2_AT_ORIGIN);
    break;
  default:
    t2_exchange_consumed(&leg->leg, 1);
    break;
  }
}

/* The stubs check for themselves that nothing comes after `closed`, and that it comes once. */
static void test_no_order_of_operations_breaks_it(void **state) {
  static const char *const methods[] = {"GET", "HEAD", "CONNECT"};
  setting *s = *state;
  for (uint32_t seed0 = 1; seed0 <= 5000; seed0++) {
    uint32_t seed = seed0;
    again(s);
    plan(&s->down, &seed);
    plan(&s->up, &seed);
    t2_head head = test_request(methods[next(&seed) % 3], "/");
    if (next(&seed) % 4 == 0) head.protocol = T2_STR("websocket");
    join(s, &head, next(&seed) % 3 == 0, next(&seed) % 2 * 1000);
    for (int i = 0; i < 12 && s->exchange; i++)
      act(s, &seed);
    if (s->exchange) stub_fail(&s->down, T2_ERR_CANCELLED, T2_AT_LOCAL);
    assert_null(s->exchange);
    assert_null(s->down.leg.exchange);
    assert_null(s->up.leg.exchange);
    assert_int_equal(s->proxy.active, 0);
    assert_int_equal(s->tl.loop->wheel.count, 0);
  }
}

/* ---- Memory ---- */

static void test_steady_state_allocates_nothing(void **state) {
  setting *s = *state;
  t2_test_mem *mem = T2_CONTAINER_OF(s->tl.loop->mem, t2_test_mem, hook);
  get(s);
  stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_ORIGIN);
  size_t count = mem->count;
  for (int i = 0; i < 10; i++) {
    again(s);
    get(s);
    stub_fail(&s->up, T2_ERR_CLOSED, T2_AT_ORIGIN);
  }
  assert_int_equal(mem->count, count);
}

/* No memory even for the problem: the time for an answer must not go on running. */
static void test_problem_that_cannot_be_written_ends_it_all_the_same(void **state) {
  setting *s = *state;
  t2_test_mem *mem = T2_CONTAINER_OF(s->tl.loop->mem, t2_test_mem, hook);
  t2_head head = test_request("GET", "/a");
  assert_true(begin(s, &head));
  t2_test_mem_fail(mem, 1, true);
  s->up.on_head = fail_now;
  t2_exchange_connect(s->exchange, &s->up.leg, &head, true, NULL, 1000);
  t2_test_mem_fail(mem, 0, false);
  expect_over(s, "head GET /a.", "closed NOMEM;");
  assert_int_equal(s->tl.loop->wheel.count, 0);
}

static void life(t2_test_mem *mem, void *user) {
  setting s;
  t2_head head = test_request("POST", "/a");
  t2_forward how = {.peer = T2_STR("192.0.2.1"), .by = T2_STR("entry-1")};
  (void)user;
  if (!open_setting(&s, &mem->hook)) return;
  s.proxy.via = true;
  for (int i = 0; i < 2; i++) {
    again(&s);
    if (!begin(&s, &head)) break;
    t2_exchange_connect(s.exchange, &s.up.leg, &head, false, &how, 1000);
    stub_give(&s.down, "a");
    stub_end(&s.down);
    if (i == 0)
      answer_all(&s.up);
    else
      stub_fail(&s.up, T2_ERR_CLOSED, T2_AT_ORIGIN);
    assert_true(mem->failed || s.down.err == 0);
    assert_null(s.exchange);
  }
  close_setting(&s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(life, NULL) > 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      exchange_test(test_answer_from_inside),
      exchange_test(test_upstream_failure_from_inside),
      exchange_test(test_downstream_failure_from_inside),
      exchange_test(test_asker_that_leaves_within_a_problem),
      exchange_test(test_request_that_goes_on_within_a_problem_goes_nowhere),
      exchange_test(test_leg_may_begin_its_next_exchange_when_it_is_closed),
      exchange_test(test_no_order_of_operations_breaks_it),
      exchange_test(test_steady_state_allocates_nothing),
      exchange_test(test_problem_that_cannot_be_written_ends_it_all_the_same),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
