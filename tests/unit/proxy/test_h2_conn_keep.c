#include "h2_setting.h"

/* Which requests are given back when the connection they were on is lost: ops get the setting's `ups` in its
 * place, from the last one downwards. */

typedef struct again {
  size_t count;
  size_t content; /* bytes of it that were kept */
} again;

static again given; /* of the test that runs */

static void on_unprocessed(t2_h2_conn *h2, t2_leg *leg, const t2_held *request, void *user) {
  setting *s = T2_CONTAINER_OF(user, setting, pair.client);
  (void)h2;
  given.content = t2_buf_len(&request->content);
  t2_exchange_hand_over(leg, &s->ups[LEGS_MAX - ++given.count].leg, request, true);
}

static void open_uplink(setting *s, unsigned repeats_max) {
  given = (again){0};
  t2_h2_conn_options *o = &s->pair.client.options;
  o->uplink = true;
  o->keep_max = 100;
  o->repeats_max = repeats_max;
  s->pair.client.ops.on_unprocessed = on_unprocessed;
  open_pair(s);
}

static stub *other(setting *s) {
  return &s->ups[LEGS_MAX - given.count];
}

static void lose(setting *s, int err) {
  t2_h2_conn_close(s->pair.client.h2, err);
  RUN_UNTIL(&s->tl, !s->pair.client.h2);
}

static void test_request_that_has_not_gone_out_is_given_back_whatever_it_is(void **state) {
  setting *s = *state;
  open_uplink(s, 1);
  stub *down = ask(s, &s->pair.client, 0, "POST", false);
  stub_give(down, "content");
  lose(s, T2_ERR_CLOSED);
  assert_int_equal(given.count, 1);
  assert_string_equal(stub_log(other(s)), "head POST /a;data 7;");
  stub_end(down);
  stub_answer(other(s), 200, -1, true);
  assert_int_equal(down->status, 200);
  assert_int_equal(s->requests, 0);
}

static void test_request_that_has_gone_out_is_not(void **state) {
  setting *s = *state;
  open_uplink(s, 1);
  stub *down = ask(s, &s->pair.client, 0, "POST", true);
  up(s, 0);
  lose(s, T2_ERR_CLOSED);
  assert_int_equal(given.count, 0);
  assert_int_equal(down->status, 502);
}

static void test_idempotent_request_without_an_answer_is(void **state) {
  setting *s = *state;
  open_uplink(s, 1);
  stub *down = ask(s, &s->pair.client, 0, "PUT", false);
  stub_give(down, "some");
  RUN_UNTIL(&s->tl, stub_said(up(s, 0), "data 4;"));
  lose(s, T2_ERR_TIMEOUT);
  assert_int_equal(given.count, 1);
  stub_end(down);
  assert_string_equal(stub_log(other(s)), "head PUT /a;data 4;end;");
  stub_answer(other(s), 204, -1, true);
  assert_int_equal(down->status, 204);
}

static void test_request_with_the_beginning_of_an_answer_is_not(void **state) {
  setting *s = *state;
  open_uplink(s, 1);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  stub_answer(up(s, 0), 103, -1, false);
  RUN_UNTIL(&s->tl, stub_said(down, "head 103;"));
  lose(s, T2_ERR_CLOSED);
  assert_int_equal(given.count, 0);
  assert_int_equal(down->status, 502);
}

static void test_request_whose_content_was_too_much_to_keep_is_not(void **state) {
  setting *s = *state;
  open_uplink(s, 1);
  stub *kept = ask(s, &s->pair.client, 0, "PUT", false), *dropped = ask(s, &s->pair.client, 1, "PUT", false);
  stub_give_bytes(kept, 100);
  stub_give_bytes(dropped, 101);
  up(s, 1);
  lose(s, T2_ERR_CLOSED);
  assert_int_equal(given.count, 1);
  assert_int_equal(given.content, 100);
  assert_int_equal(dropped->status, 502);
  stub_end(kept);
  stub_answer(other(s), 200, -1, true);
}

static void test_what_is_closed_here_on_purpose_is_not(void **state) {
  setting *s = *state;
  open_uplink(s, 1);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  lose(s, T2_ERR_CANCELLED);
  assert_int_equal(given.count, 0);
  assert_int_equal(down->status, 502);
}

static void test_requests_of_an_uplink_that_does_not_answer_are_lost_with_it(void **state) {
  setting *s = *state;
  open_uplink(s, 1);
  stub *down = ask(s, &s->pair.client, 0, "POST", true);
  up(s, 0);
  lose(s, T2_ERR_TIMEOUT);
  assert_int_equal(down->status, 502); /* and not 504: the request was not slow */
}

static void test_request_is_given_back_only_so_often(void **state) {
  setting *s = *state;
  open_uplink(s, 2);
  stub *down = ask(s, &s->pair.client, 0, "GET", true);
  down->leg.exchange->repeated = 2;
  lose(s, T2_ERR_CLOSED);
  assert_int_equal(given.count, 0);
  assert_int_equal(down->status, 502);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h2_test(test_request_that_has_not_gone_out_is_given_back_whatever_it_is),
      h2_test(test_request_that_has_gone_out_is_not),
      h2_test(test_idempotent_request_without_an_answer_is),
      h2_test(test_request_with_the_beginning_of_an_answer_is_not),
      h2_test(test_request_whose_content_was_too_much_to_keep_is_not),
      h2_test(test_what_is_closed_here_on_purpose_is_not),
      h2_test(test_requests_of_an_uplink_that_does_not_answer_are_lost_with_it),
      h2_test(test_request_is_given_back_only_so_often),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
