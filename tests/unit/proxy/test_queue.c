#include "exchange_setting.h"

#include <proxy/queue.h>

#define ASKERS 4

/* Exchanges that wait in one queue. */
typedef struct waiting {
  t2_queue queue;
  stub downs[ASKERS], ups[ASKERS];
  t2_leg door; /* whose `head` puts into the queue */
  int last_err;
  size_t total;
  t2_proxy *proxy;
} waiting;

static int door_head(t2_leg *leg, const t2_head *head, bool end) {
  waiting *w = T2_CONTAINER_OF(leg, waiting, door);
  w->last_err = t2_queue_put(&w->queue, leg, head, end, NULL);
  return w->last_err;
}

static void door_closed(t2_leg *leg, int err) {
  (void)leg, (void)err;
}

static const t2_leg_ops door_ops = {
    .name = "door", .at = T2_AT_UPLINK, .head = door_head, .closed = door_closed};

static void on_timeout(t2_queue *queue, t2_place *place) {
  (void)queue;
  t2_queue_drop(place, T2_ERR_UNAVAILABLE, T2_AT_UPLINK, "nobody came");
}

static void open_queue(setting *s, waiting *w, t2_queue_options options) {
  memset(w, 0, sizeof(*w));
  w->proxy = &s->proxy;
  options.at = T2_AT_UPLINK;
  options.on_timeout = on_timeout;
  options.total = &w->total;
  t2_queue_init(&w->queue, s->tl.loop, &options);
  w->door.ops = &door_ops;
  for (size_t i = 0; i < ASKERS; i++) {
    stub_init(&w->downs[i]);
    stub_init(&w->ups[i]);
  }
}

static void close_queue(waiting *w) {
  t2_queue_fail(&w->queue, T2_ERR_CANCELLED, T2_AT_UPLINK, NULL);
  assert_int_equal(w->queue.count, 0);
  assert_int_equal(w->total, 0);
  t2_queue_fini(&w->queue);
  for (size_t i = 0; i < ASKERS; i++) {
    stub_fini(&w->downs[i]);
    stub_fini(&w->ups[i]);
  }
}

static stub *ask(setting *s, waiting *w, size_t i, const char *method, bool end) {
  t2_head head = test_request(method, "/a");
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &w->downs[i].leg, &head);
  if (exchange) t2_exchange_connect(exchange, &w->door, &head, end, NULL, 0);
  return &w->downs[i];
}

static const t2_queue_options roomy = {.max = ASKERS, .total_max = ASKERS};

static void test_who_came_first_is_served_first(void **state) {
  setting *s = *state;
  waiting w;
  open_queue(s, &w, roomy);
  stub *post = ask(s, &w, 0, "POST", false), *get = ask(s, &w, 1, "GET", true);
  stub_give(post, "one ");
  stub_give(post, "two");
  assert_int_equal(w.queue.count, 2);
  t2_queue_hand_over(t2_queue_first(&w.queue), &w.ups[0].leg);
  t2_queue_hand_over(t2_queue_first(&w.queue), &w.ups[1].leg);
  assert_null(t2_queue_first(&w.queue));
  assert_string_equal(stub_log(&w.ups[0]), "head POST /a;data 7;");
  assert_string_equal(stub_log(&w.ups[1]), "head GET /a.");
  stub_end(post); /* what comes later goes straight on */
  assert_string_equal(stub_log(&w.ups[0]), "head POST /a;data 7;end;");
  stub_answer(&w.ups[0], 200, -1, true);
  stub_answer(&w.ups[1], 204, -1, true);
  assert_int_equal(post->status, 200);
  assert_int_equal(get->status, 204);
  close_queue(&w);
}

static void test_places_are_bounded(void **state) {
  setting *s = *state;
  waiting w;
  open_queue(s, &w, (t2_queue_options){.max = 2, .total_max = 100});
  ask(s, &w, 0, "GET", true);
  ask(s, &w, 1, "GET", true);
  assert_int_equal(w.last_err, 0);
  stub *more = ask(s, &w, 2, "GET", true);
  assert_int_equal(w.last_err, T2_ERR_LIMIT);
  assert_int_equal(more->status, 503);
  assert_int_equal(w.queue.count, 2);
  close_queue(&w);
}

static void test_places_of_all_queues_are_bounded(void **state) {
  setting *s = *state;
  waiting w;
  open_queue(s, &w, (t2_queue_options){.max = 100, .total_max = 3});
  w.total = 2; /* another one's */
  ask(s, &w, 0, "GET", true);
  assert_int_equal(w.last_err, 0);
  ask(s, &w, 1, "GET", true);
  assert_int_equal(w.last_err, T2_ERR_LIMIT);
  assert_int_equal(w.total, 3);
  w.total -= 2;
  close_queue(&w);
}

static void test_who_gives_up_leaves(void **state) {
  setting *s = *state;
  waiting w;
  open_queue(s, &w, roomy);
  stub *first = ask(s, &w, 0, "GET", true);
  ask(s, &w, 1, "PUT", true);
  stub_fail(first, T2_ERR_CANCELLED, T2_AT_LOCAL);
  assert_int_equal(w.queue.count, 1);
  t2_queue_hand_over(t2_queue_first(&w.queue), &w.ups[0].leg);
  assert_string_equal(stub_log(&w.ups[0]), "head PUT /a.");
  stub_answer(&w.ups[0], 200, -1, true);
  close_queue(&w);
}

static void test_each_waits_for_its_own_time(void **state) {
  setting *s = *state;
  waiting w;
  t2_queue_options options = roomy;
  options.timeout_ms = 60;
  open_queue(s, &w, options);
  uint64_t begun = uv_now(&s->tl.uv);
  stub *first = ask(s, &w, 0, "GET", true);
  RUN_UNTIL(&s->tl, uv_now(&s->tl.uv) >= begun + 30);
  stub *second = ask(s, &w, 1, "GET", true);
  uint64_t later = uv_now(&s->tl.uv);
  RUN_UNTIL(&s->tl, first->closed);
  assert_true(uv_now(&s->tl.uv) >= begun + 60);
  assert_int_equal(first->status, 503);
  assert_true(stub_has_field(first, "retry-after: 1\n"));
  assert_false(second->closed);
  RUN_UNTIL(&s->tl, second->closed);
  assert_true(uv_now(&s->tl.uv) >= later + 60);
  close_queue(&w);
}

/* What fails brings the next request, which comes to wait for its own part. */
static void ask_again(stub *down) {
  waiting *w = down->user;
  t2_head head = test_request("GET", "/again");
  t2_exchange *exchange = t2_exchange_new(w->proxy, &w->downs[3].leg, &head);
  t2_exchange_connect(exchange, &w->door, &head, true, NULL, 0);
}

static void test_failing_all_spares_those_who_come_because_of_it(void **state) {
  setting *s = *state;
  waiting w;
  open_queue(s, &w, roomy);
  stub *first = ask(s, &w, 0, "GET", true);
  first->user = &w;
  first->on_closed = ask_again;
  stub *second = ask(s, &w, 1, "GET", true);
  t2_queue_fail(&w.queue, T2_ERR_CLOSED, T2_AT_UPLINK, NULL);
  assert_int_equal(first->status, 502);
  assert_int_equal(second->status, 502);
  assert_int_equal(w.queue.count, 1);
  close_queue(&w);
}

static void wait_and_go(t2_test_mem *mem, void *user) {
  setting s;
  waiting w;
  (void)user;
  if (!open_setting(&s, &mem->hook)) return;
  open_queue(&s, &w, roomy);
  stub *down = ask(&s, &w, 0, "POST", false);
  if (down->leg.exchange) stub_give(down, "content");
  if (down->leg.exchange) stub_end(down);
  if (down->leg.exchange) {
    t2_queue_hand_over(t2_queue_first(&w.queue), &w.ups[0].leg);
    assert_string_equal(stub_log(&w.ups[0]), "head POST /a;data 7;end;");
    stub_answer(&w.ups[0], 200, -1, true);
    assert_true(down->status == 200 || mem->failed);
  } else {
    assert_true(mem->failed);
  }
  close_queue(&w);
  close_setting(&s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  t2_test_mem_fail_each(wait_and_go, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      exchange_test(test_who_came_first_is_served_first),
      exchange_test(test_places_are_bounded),
      exchange_test(test_places_of_all_queues_are_bounded),
      exchange_test(test_who_gives_up_leaves),
      exchange_test(test_each_waits_for_its_own_time),
      exchange_test(test_failing_all_spares_those_who_come_because_of_it),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
