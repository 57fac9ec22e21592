#include "origin_setting.h"

#include <proxy/h2_pool.h>

static t2_h2_pool *pool_of(setting *s) {
  return s->pool;
}

static void on_gone(t2_h2_pool *pool, void *user) {
  setting *s = user;
  assert_ptr_equal(pool, s->pool);
  assert_false(s->gone);
  s->gone = true;
}

static const t2_h2_pool_ops ops = {.on_gone = on_gone};

static t2_h2_pool_options plain_options(const setting *s) {
  t2_h2_pool_options options;
  t2_h2_pool_options_init(&options);
  options.host = T2_STR("127.0.0.1");
  options.port = s->port;
  return options;
}

static void open_pool(setting *s, const t2_h2_pool_options *options) {
  t2_h2_pool *pool;
  assert_int_equal(t2_h2_pool_new(&pool, &s->proxy, options, &ops, s), 0);
  s->pool = pool;
}

static void open_plain(setting *s) {
  t2_h2_pool_options options = plain_options(s);
  open_pool(s, &options);
}

static void close_pool(setting *s) {
  if (!s->pool) return;
  t2_h2_pool_close(s->pool);
  RUN_UNTIL(&s->tl, s->gone);
  s->pool = NULL;
}

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(open_setting(s, &s->mem.hook, NULL));
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  close_pool(s);
  close_setting(s);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

static stub *ask(setting *s, size_t i, const char *method, bool whole) {
  stub *down = ask_leg(s, t2_h2_pool_leg(s->pool), i, method, whole);
  assert_non_null(down);
  return down;
}

static stub *ask_get(setting *s, size_t i) {
  return ask(s, i, "GET", true);
}

/* A connection that has served. */
static void warm_up(setting *s) {
  stub *down = ask_get(s, 0);
  stub_answer(up(s, 0), 200, -1, true);
  expect_status(s, down, 200);
  stub_reset(down);
}

/* ---- Waiting ---- */

static void test_requests_wait_for_the_first_connection(void **state) {
  setting *s = *state;
  open_plain(s);
  for (size_t i = 0; i < 5; i++)
    ask_get(s, i);
  assert_int_equal(t2_h2_pool_waiting(pool_of(s)), 5);
  up(s, 4);
  answer_all(s);
  for (size_t i = 0; i < 5; i++)
    expect_status(s, &s->downs[i], 200);
  assert_int_equal(t2_h2_pool_dials(pool_of(s)), 1);
  assert_int_equal(t2_h2_pool_connections(pool_of(s)), 1);
  assert_int_equal(t2_h2_pool_waiting(pool_of(s)), 0);
}

static void test_content_given_while_waiting_comes_whole(void **state) {
  setting *s = *state;
  t2_fields trailers;
  t2_fields_init(&trailers, NULL);
  assert_int_equal(t2_fields_add(&trailers, T2_STR("x"), T2_STR("1")), 0);
  open_plain(s);
  stub *down = ask(s, 0, "POST", false);
  stub_give(down, "one ");
  stub_give(down, "two");
  t2_exchange_end(&down->leg, &trailers);
  down->ended = true;
  RUN_UNTIL(&s->tl, s->requests && stub_said(&s->ups[0], "end x=1;"));
  assert_non_null(strstr(t2_buf_cstr(&s->ups[0].body), "|one two"));
  stub_answer(&s->ups[0], 200, -1, true);
  expect_status(s, down, 200);
  assert_int_equal(down->consumed, 7);
  t2_fields_fini(&trailers);
}

static void test_content_goes_on_after_the_wait(void **state) {
  setting *s = *state;
  open_plain(s);
  stub *down = ask(s, 0, "POST", false);
  stub_give(down, "early ");
  up(s, 0);
  stub_give(down, "late");
  stub_end(down);
  RUN_UNTIL(&s->tl, stub_said(&s->ups[0], "end;"));
  assert_non_null(strstr(t2_buf_cstr(&s->ups[0].body), "|early late"));
  stub_answer(&s->ups[0], 200, -1, true);
  expect_status(s, down, 200);
}

static void test_who_leaves_does_not_wait(void **state) {
  setting *s = *state;
  open_plain(s);
  stub *first = ask_get(s, 0), *second = ask_get(s, 1);
  stub_fail(first, T2_ERR_CANCELLED, T2_AT_LOCAL);
  assert_int_equal(t2_h2_pool_waiting(pool_of(s)), 1);
  up(s, 0);
  answer_all(s);
  expect_status(s, second, 200);
  assert_int_equal(s->requests, 1);
}

static void test_queue_is_bounded(void **state) {
  setting *s = *state;
  t2_h2_pool_options options = plain_options(s);
  options.waiting_max = 3;
  open_pool(s, &options);
  for (size_t i = 0; i < 3; i++)
    assert_false(ask_get(s, i)->closed);
  stub *more = ask_get(s, 3);
  assert_true(more->closed);
  assert_int_equal(more->status, 503);
  up(s, 2);
  answer_all(s);
  for (size_t i = 0; i < 3; i++)
    expect_status(s, &s->downs[i], 200);
}

/* ---- Streams and connections ---- */

static void test_new_connection_comes_when_streams_are_used_up(void **state) {
  setting *s = *state;
  s->h2_options.h2.concurrent_max = 2;
  open_plain(s);
  for (size_t i = 0; i < 5; i++)
    ask_get(s, i);
  up(s, 4);
  assert_int_equal(s->accepted, 3);
  for (size_t i = 0; i < 3; i++)
    assert_in_range(s->conns[i].requests, 1, 2);
  answer_all(s);
  for (size_t i = 0; i < 5; i++)
    expect_status(s, &s->downs[i], 200);
}

static void test_connections_are_bounded_and_the_rest_waits(void **state) {
  setting *s = *state;
  t2_h2_pool_options options = plain_options(s);
  s->h2_options.h2.concurrent_max = 1;
  options.connections_max = 2;
  open_pool(s, &options);
  for (size_t i = 0; i < 4; i++)
    ask_get(s, i);
  up(s, 1);
  run_ms(s, 30);
  assert_int_equal(s->requests, 2);
  assert_int_equal(s->accepted, 2);
  assert_int_equal(t2_h2_pool_waiting(pool_of(s)), 2);
  answer_all(s);
  up(s, 3);
  answer_all(s);
  for (size_t i = 0; i < 4; i++)
    expect_status(s, &s->downs[i], 200);
  assert_int_equal(s->accepted, 2);
}

static void test_host_header_and_scheme_are_set(void **state) {
  setting *s = *state;
  t2_h2_pool_options options = plain_options(s);
  options.host_header = T2_STR("inner:1");
  open_pool(s, &options);
  ask_get(s, 0); /* https, as the public asked */
  assert_string_equal(t2_buf_cstr(&up(s, 0)->body), "inner:1|http|");
  answer_all(s);
  expect_status(s, &s->downs[0], 200);
}

static void test_idle_connection_is_closed_after_its_time(void **state) {
  setting *s = *state;
  t2_h2_pool_options options = plain_options(s);
  options.idle_timeout_ms = 30;
  open_pool(s, &options);
  warm_up(s);
  RUN_UNTIL(&s->tl, t2_h2_pool_connections(pool_of(s)) == 0);
  ask_get(s, 1);
  stub_answer(up(s, 1), 200, -1, true);
  expect_status(s, &s->downs[1], 200);
  assert_int_equal(t2_h2_pool_dials(pool_of(s)), 2);
}

/* ---- No connection ---- */

static void test_refused_connection_fails_all_that_wait(void **state) {
  setting *s = *state;
  close_listener(s);
  open_plain(s);
  for (size_t i = 0; i < 3; i++)
    ask(s, i, i ? "GET" : "POST", i > 0);
  for (size_t i = 0; i < 3; i++) {
    expect_status(s, &s->downs[i], 502);
    assert_true(stub_has_field(&s->downs[i], "connection_refused"));
  }
  assert_int_equal(t2_h2_pool_dials(pool_of(s)), 1);
}

static void test_silent_peer_is_given_up(void **state) {
  setting *s = *state;
  t2_h2_pool_options options = plain_options(s);
  s->mute = true;
  options.connect_timeout_ms = 40;
  open_pool(s, &options);
  expect_status(s, ask_get(s, 0), 504);
  RUN_UNTIL(&s->tl, t2_h2_pool_connections(pool_of(s)) == 0);
}

static void test_peer_that_speaks_http1_is_an_error(void **state) {
  setting *s = *state;
  s->http1 = true;
  open_plain(s);
  expect_status(s, ask_get(s, 0), 502);
}

static void test_failure_beside_connections_that_serve_leaves_the_rest_waiting(void **state) {
  setting *s = *state;
  s->h2_options.h2.concurrent_max = 1;
  open_plain(s);
  ask_get(s, 0);
  up(s, 0);
  close_listener(s);
  stub *second = ask_get(s, 1);
  RUN_UNTIL(&s->tl, t2_h2_pool_dials(pool_of(s)) == 2);
  run_ms(s, 10);
  assert_false(second->closed);
  answer_all(s);
  up(s, 1);
  answer_all(s);
  expect_status(s, second, 200);
}

/* ---- What was not acted on ---- */

static void test_refused_request_is_asked_once_more(void **state) {
  setting *s = *state;
  s->refuse = true;
  open_plain(s);
  stub *down = ask(s, 0, "POST", false);
  stub_give(down, "content");
  stub_end(down);
  expect_status(s, down, 503);
  assert_int_equal(s->accepted, 1);
}

/* The connection on which the first request comes goes away before it was looked at. */
static void go_away(setting *s, server_conn *conn) {
  if (conn == &s->conns[0]) t2_h2_conn_close(conn->h2, T2_ERR_CANCELLED);
}

static void test_safe_request_on_a_lost_connection_is_asked_once_more(void **state) {
  setting *s = *state;
  open_plain(s);
  warm_up(s);
  s->on_request = go_away;
  stub *down = ask_get(s, 1);
  stub_answer(up(s, 2), 200, -1, true);
  expect_status(s, down, 200);
  assert_int_equal(s->accepted, 2);
}

static void test_unsafe_request_on_a_lost_connection_is_not(void **state) {
  setting *s = *state;
  open_plain(s);
  warm_up(s);
  s->on_request = go_away;
  stub *down = ask(s, 1, "POST", true);
  expect_status(s, down, 502);
  assert_int_equal(s->requests, 2);
}

static void test_request_on_a_connection_that_never_served_is_not(void **state) {
  setting *s = *state;
  open_plain(s);
  s->on_request = go_away;
  expect_status(s, ask_get(s, 0), 502);
  assert_int_equal(s->requests, 1);
}

static void test_draining_peer_gets_no_more(void **state) {
  setting *s = *state;
  open_plain(s);
  stub *first = ask_get(s, 0);
  up(s, 0);
  t2_h2_conn_drain(s->conns[0].h2);
  run_ms(s, 20);
  stub *second = ask_get(s, 1);
  up(s, 1);
  assert_int_equal(s->accepted, 2);
  assert_int_equal(s->conns[1].requests, 1);
  answer_all(s);
  expect_status(s, first, 200);
  expect_status(s, second, 200);
  RUN_UNTIL(&s->tl, s->conns[0].h2_closed);
}

/* ---- The end ---- */

static void test_close_fails_what_is_under_way_and_what_waits(void **state) {
  setting *s = *state;
  t2_h2_pool_options options = plain_options(s);
  s->h2_options.h2.concurrent_max = 1;
  options.connections_max = 1;
  open_pool(s, &options);
  stub *first = ask_get(s, 0), *second = ask_get(s, 1);
  up(s, 0);
  close_pool(s);
  expect_status(s, first, 502);
  expect_status(s, second, 502);
}

static void test_close_while_dialling(void **state) {
  setting *s = *state;
  open_plain(s);
  stub *down = ask_get(s, 0);
  test_loop_turn(&s->tl, test_deadline());
  close_pool(s);
  expect_status(s, down, 502);
}

static void test_pool_without_a_place_is_refused(void **state) {
  setting *s = *state;
  t2_h2_pool_options options;
  t2_h2_pool *pool;
  t2_h2_pool_options_init(&options);
  assert_int_equal(t2_h2_pool_new(&pool, &s->proxy, &options, &ops, s), T2_ERR_INVALID);
  assert_null(pool);
}

/* Two requests, the first with content, the second on a connection that is lost under it. */
static void run_two(setting *s, t2_test_mem *mem) {
  t2_h2_pool_options options = plain_options(s);
  t2_h2_pool *pool;
  if (!s->listener || t2_h2_pool_new(&pool, &s->proxy, &options, &ops, s)) return;
  s->pool = pool;
  for (size_t i = 0; i < 2; i++) {
    stub *down = ask_leg(s, t2_h2_pool_leg(pool), i, i ? "GET" : "POST", i > 0);
    if (i == 1) s->on_request = go_away;
    if (!down) continue;
    if (i == 0 && down->leg.exchange) stub_give(down, "content");
    if (i == 0 && down->leg.exchange) stub_end(down);
    RUN_UNTIL(&s->tl, ({
      answer_all(s);
      down->closed;
    }));
    assert_true(down->status == 200 || mem->failed);
  }
}

static void life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_setting(s, &mem->hook, NULL)) {
    run_two(s, mem);
    close_pool(s);
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  assert_true(t2_test_mem_fail_each(life, NULL) > 0);
}

#define pool_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      pool_test(test_requests_wait_for_the_first_connection),
      pool_test(test_content_given_while_waiting_comes_whole),
      pool_test(test_content_goes_on_after_the_wait),
      pool_test(test_who_leaves_does_not_wait),
      pool_test(test_queue_is_bounded),
      pool_test(test_new_connection_comes_when_streams_are_used_up),
      pool_test(test_connections_are_bounded_and_the_rest_waits),
      pool_test(test_host_header_and_scheme_are_set),
      pool_test(test_idle_connection_is_closed_after_its_time),
      pool_test(test_refused_connection_fails_all_that_wait),
      pool_test(test_silent_peer_is_given_up),
      pool_test(test_peer_that_speaks_http1_is_an_error),
      pool_test(test_failure_beside_connections_that_serve_leaves_the_rest_waiting),
      pool_test(test_refused_request_is_asked_once_more),
      pool_test(test_safe_request_on_a_lost_connection_is_asked_once_more),
      pool_test(test_unsafe_request_on_a_lost_connection_is_not),
      pool_test(test_request_on_a_connection_that_never_served_is_not),
      pool_test(test_draining_peer_gets_no_more),
      pool_test(test_close_fails_what_is_under_way_and_what_waits),
      pool_test(test_close_while_dialling),
      pool_test(test_pool_without_a_place_is_refused),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
