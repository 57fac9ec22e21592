#include "fixture.h"

#include <proxy/bridge.h>
#include <t2_test_shared_mem.h>

/* A request that comes to one thread and is answered on another: run under ThreadSanitizer too. */

enum { BIG = 3 * 1024 * 1024, MANY = 300 };

/* ---- Who answers, on the other thread ---- */

/* What is asked for is the path. */
typedef struct answerer {
  t2_leg leg;
  t2_loop *loop;
  t2_reapable reapable;
  char what[32];
  size_t left, outstanding, most; /* bytes of /big */
} answerer;

typedef struct there {
  t2_worker *worker;
  const t2_allocator *mem;
  t2_loop *loop;
  t2_proxy proxy;
  t2_bridges bridges;
  t2_bridges *here;
  t2_leg back; /* over there again */
  size_t legs;
  int last_error; /* of a leg that was closed */
  bool leaving;
} there;

static bool asks(const answerer *a, const char *what) {
  return strcmp(a->what, what) == 0;
}

static void answer(t2_leg *leg, int status, int64_t length, bool end) {
  t2_head head;
  t2_head_init(&head, NULL);
  head.status = status;
  head.content_length = length;
  head.version_minor = 1;
  (void)t2_fields_add(&head.fields, T2_STR("x-from"), T2_STR("afar"));
  t2_exchange_head(leg, &head, end);
  t2_head_fini(&head);
}

static void give(answerer *a) {
  static const uint8_t bytes[16384];
  while (a->leg.exchange && a->left && a->outstanding + sizeof(bytes) <= t2_leg_window(a->loop)) {
    size_t n = a->left < sizeof(bytes) ? a->left : sizeof(bytes);
    a->left -= n;
    a->outstanding += n;
    if (a->outstanding > a->most) a->most = a->outstanding;
    t2_exchange_data(&a->leg, bytes, n);
  }
  if (a->leg.exchange && a->left == 0) t2_exchange_end(&a->leg, NULL);
}

static int on_answerer_head(t2_leg *leg, const t2_head *head, bool end) {
  answerer *a = T2_CONTAINER_OF(leg, answerer, leg);
  snprintf(a->what, sizeof(a->what), "%.*s", T2_STR_ARG(head->path));
  if (asks(a, "/fail")) {
    t2_exchange_fail(leg, T2_ERR_REFUSED, T2_AT_DIAL, "nobody is there");
    return 0;
  }
  if (asks(a, "/error")) return T2_ERR_UNAVAILABLE;
  if (asks(a, "/cut")) {
    answer(leg, 200, 100, false);
    t2_exchange_data(leg, (const uint8_t *)"part", 4);
    t2_exchange_fail(leg, T2_ERR_CLOSED, T2_AT_ORIGIN, NULL);
    return 0;
  }
  if (asks(a, "/big")) {
    a->left = BIG;
    answer(leg, 200, BIG, false);
    give(a);
    return 0;
  }
  if (asks(a, "/early")) {
    answer(leg, 103, -1, false);
    answer(leg, 200, 0, true);
    return 0;
  }
  if (asks(a, "/tunnel")) answer(leg, 200, -1, false);
  if (end && !asks(a, "/never")) answer(leg, 204, -1, true);
  return 0;
}

/* /echo sends it back, and reports it as consumed. */
static int on_answerer_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  answerer *a = T2_CONTAINER_OF(leg, answerer, leg);
  if (asks(a, "/never")) return 0;
  t2_exchange_consumed(leg, n);
  if (leg->exchange && asks(a, "/echo") && !leg->exchange->response_headed) answer(leg, 200, -1, false);
  if (leg->exchange && (asks(a, "/echo") || asks(a, "/tunnel"))) t2_exchange_data(leg, bytes, n);
  return 0;
}

static int on_answerer_end(t2_leg *leg, const t2_fields *trailers) {
  const answerer *a = T2_CONTAINER_OF(leg, answerer, leg);
  if (asks(a, "/echo") || asks(a, "/tunnel")) t2_exchange_end(leg, trailers);
  return 0;
}

static void on_answerer_consumed(t2_leg *leg, size_t n) {
  answerer *a = T2_CONTAINER_OF(leg, answerer, leg);
  a->outstanding -= n < a->outstanding ? n : a->outstanding;
  if (asks(a, "/big") && a->left) give(a);
}

static void free_answerer(t2_reapable *reapable) {
  answerer *a = T2_CONTAINER_OF(reapable, answerer, reapable);
  t2_free(a->loop->mem, a);
}

static void retire(answerer *a) {
  t2_loop_reap(a->loop, &a->reapable, free_answerer);
}

static void on_answerer_closed(t2_leg *leg, int err) {
  (void)err;
  retire(T2_CONTAINER_OF(leg, answerer, leg));
}

static const t2_leg_ops answerer_ops = {.name = "answerer",
                                        .at = T2_AT_ORIGIN,
                                        .head = on_answerer_head,
                                        .data = on_answerer_data,
                                        .end = on_answerer_end,
                                        .consumed = on_answerer_consumed,
                                        .closed = on_answerer_closed};

static void on_done(t2_exchange *exchange, void *user) {
  there *t = user;
  t->legs--;
  t->last_error = exchange->error;
}

static int back_head(t2_leg *leg, const t2_head *head, bool end) {
  there *t = T2_CONTAINER_OF(leg, there, back);
  return t2_bridge_open(&t->bridges, t->here, "main", leg, head, end);
}

static void back_closed(t2_leg *leg, int err) {
  (void)leg, (void)err;
}

static const t2_leg_ops back_ops = {
    .name = "back", .at = T2_AT_UPLINK, .head = back_head, .closed = back_closed};

static void on_carried(const t2_bridge_request *request, void *user) {
  there *t = user;
  t2_exchange *exchange = request->exchange;
  t->legs++;
  exchange->on_done = on_done;
  exchange->user = t;
  if (t2_str_eq(request->head->path, T2_STR("/refuse"))) {
    t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_UNAVAILABLE, T2_AT_UPLINK), "no room there");
    return;
  }
  if (t2_str_eq(request->head->path, T2_STR("/round"))) {
    t2_exchange_connect(exchange, &t->back, request->head, request->end, NULL, 0);
    return;
  }
  answerer *a = t2_calloc(t->mem, 1, sizeof(*a));
  if (!a) {
    t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_UPLINK), NULL);
    return;
  }
  a->leg.ops = &answerer_ops;
  a->loop = t->loop;
  bool fails = t2_str_eq(request->head->path, T2_STR("/fail")) ||
               t2_str_eq(request->head->path, T2_STR("/cut")); /* is not told `closed` */
  t2_exchange_connect(exchange, &a->leg, request->head, request->end, NULL, 0);
  if (fails) retire(a);
}

/* ---- The other thread ---- */

static int open_there(void *user) {
  there *t = user;
  t->worker->part = t;
  int err = t2_loop_new(&t->loop, t2_worker_loop(t->worker), t->mem, NULL);
  if (err) return err;
  t2_proxy_init(&t->proxy, t->loop, "there");
  t2_bridges_init(&t->bridges, t->worker, &t->proxy, on_carried, t);
  return 0;
}

static void on_loop_closed(t2_loop *loop, void *user) {
  (void)loop;
  t2_crew_leave(((there *)user)->worker);
}

static void close_there(there *t) {
  assert_int_equal(t->legs, 0);
  t2_proxy_fini(&t->proxy);
  t2_loop_close(t->loop, on_loop_closed, t);
}

static void on_there_idle(void *user) {
  there *t = user;
  if (t->leaving) close_there(t);
}

static void on_leave(t2_mail *mail, void *user) {
  there *t = ((t2_worker *)user)->part;
  (void)mail;
  t->leaving = true;
  t->bridges.on_idle = on_there_idle;
  t2_bridges_close(&t->bridges);
  if (t->bridges.count == 0) close_there(t);
}

static int read_error(void *user) {
  const there *t = user;
  return t->last_error;
}

/* ---- Both ---- */

typedef struct pair {
  test_loop tl;
  t2_shared_mem mem;
  t2_crew *crew;
  t2_proxy proxy;
  t2_bridges bridges;
  there there;
  t2_leg opener;
  t2_mail leave;
  bool closed;
} pair;

static int opener_head(t2_leg *leg, const t2_head *head, bool end) {
  pair *p = T2_CONTAINER_OF(leg, pair, opener);
  return t2_bridge_open(&p->bridges, &p->there.bridges, "main", leg, head, end);
}

static void opener_closed(t2_leg *leg, int err) {
  (void)leg, (void)err;
}

static const t2_leg_ops opener_ops = {
    .name = "opener", .at = T2_AT_UPLINK, .head = opener_head, .closed = opener_closed};

/* What comes back goes there again. */
static void on_back(const t2_bridge_request *request, void *user) {
  pair *p = user;
  t2_exchange_connect(request->exchange, &p->opener, request->head, request->end, NULL, 0);
}

static void open_pair(pair *p) {
  memset(p, 0, sizeof(*p));
  t2_shared_mem_init(&p->mem, 0);
  assert_true(test_loop_open(&p->tl, &p->mem.hook, NULL));
  assert_int_equal(t2_crew_new(&p->crew, p->tl.loop, 2, "test"), 0);
  t2_crew_await(p->crew); /* nothing else keeps this loop going */
  t2_proxy_init(&p->proxy, p->tl.loop, "here");
  t2_bridges_init(&p->bridges, t2_crew_worker(p->crew, 0), &p->proxy, on_back, p);
  p->there.worker = t2_crew_worker(p->crew, 1);
  p->there.mem = &p->mem.hook;
  p->there.here = &p->bridges;
  p->there.back.ops = &back_ops;
  assert_int_equal(t2_crew_call(p->there.worker, open_there, &p->there), 0);
  t2_crew_engage(p->crew);
  p->opener.ops = &opener_ops;
}

static void on_crew_closed(void *user) {
  ((pair *)user)->closed = true;
}

static void close_pair(pair *p) {
  t2_bridges_close(&p->bridges);
  p->leave.open = on_leave;
  t2_crew_send(p->there.worker, &p->leave);
  RUN_UNTIL(&p->tl, p->bridges.count == 0);
  t2_crew_close(p->crew, on_crew_closed, p);
  RUN_UNTIL(&p->tl, p->closed);
  t2_proxy_fini(&p->proxy);
  test_loop_close(&p->tl);
  assert_int_equal(atomic_load(&p->mem.live), 0);
}

static t2_exchange *ask(pair *p, stub *down, const char *method, const char *path, bool end) {
  t2_head head = test_request(method, path);
  stub_init(down);
  t2_exchange *exchange = t2_exchange_new(&p->proxy, &down->leg, &head);
  if (exchange) t2_exchange_connect(exchange, &p->opener, &head, end, NULL, 0);
  return exchange;
}

static void wait_for(pair *p, const stub *down) {
  RUN_UNTIL(&p->tl, down->closed);
}

/* Path, and what the asker is told. */
static void expect(const char *method, const char *path, bool end, const char *log) {
  pair p;
  stub down;
  open_pair(&p);
  ask(&p, &down, method, path, end);
  wait_for(&p, &down);
  assert_string_equal(stub_log(&down), log);
  stub_fini(&down);
  close_pair(&p);
}

/* ---- What crosses ---- */

static void test_an_answer_comes_back(void **state) {
  expect("GET", "/", true, "head 204.closed OK;");
}

static void test_interim_heads_cross_too(void **state) {
  expect("GET", "/early", true, "head 103;head 200.closed OK;");
}

static void test_content_and_trailers_cross_both_ways(void **state) {
  pair p;
  stub down;
  t2_fields trailers;
  open_pair(&p);
  ask(&p, &down, "POST", "/echo", false);
  t2_exchange_data(&down.leg, (const uint8_t *)"some ", 5);
  t2_exchange_data(&down.leg, (const uint8_t *)"content", 7);
  t2_fields_init(&trailers, NULL);
  t2_fields_add(&trailers, T2_STR("x"), T2_STR("1"));
  t2_exchange_end(&down.leg, &trailers);
  t2_fields_fini(&trailers);
  wait_for(&p, &down);
  assert_int_equal(t2_buf_len(&down.body), 12);
  assert_memory_equal(t2_buf_head(&down.body), "some content", 12);
  assert_true(stub_has_field(&down, "x-from: afar\n"));
  assert_true(stub_said(&down, "end x=1;closed OK;"));
  stub_fini(&down);
  close_pair(&p);
}

static void test_a_tunnels_directions_end_on_their_own(void **state) {
  pair p;
  stub down;
  open_pair(&p);
  ask(&p, &down, "CONNECT", "/tunnel", false);
  RUN_UNTIL(&p.tl, down.status == 200);
  t2_exchange_data(&down.leg, (const uint8_t *)"hello", 5);
  RUN_UNTIL(&p.tl, t2_buf_len(&down.body) == 5);
  assert_false(down.closed);
  t2_exchange_end(&down.leg, NULL);
  wait_for(&p, &down);
  assert_true(stub_said(&down, "end;closed OK;"));
  stub_fini(&down);
  close_pair(&p);
}

/* ---- What fails ---- */

static void test_a_failure_before_the_head_is_answered_here(void **state) {
  pair p;
  stub down;
  open_pair(&p);
  ask(&p, &down, "GET", "/fail", true);
  wait_for(&p, &down);
  assert_int_equal(down.status, 502);
  assert_true(stub_has_field(&down, "proxy-status: here; error=connection_refused"));
  assert_non_null(strstr(t2_buf_cstr(&down.body), "nobody is there"));
  assert_int_equal(p.proxy.failed, 1);
  stub_fini(&down);
  close_pair(&p);
}

static void test_an_error_of_the_leg_there_is_answered_here(void **state) {
  pair p;
  stub down;
  open_pair(&p);
  ask(&p, &down, "GET", "/error", true);
  wait_for(&p, &down);
  assert_int_equal(down.status, 503);
  assert_int_equal(p.proxy.failed, 1);
  stub_fini(&down);
  close_pair(&p);
}

static void test_a_refusal_is_one_here(void **state) {
  pair p;
  stub down;
  open_pair(&p);
  ask(&p, &down, "GET", "/refuse", true);
  wait_for(&p, &down);
  assert_int_equal(down.status, 503);
  assert_non_null(strstr(t2_buf_cstr(&down.body), "no room there"));
  assert_int_equal(p.proxy.refused, 1);
  assert_int_equal(p.proxy.failed, 0);
  stub_fini(&down);
  close_pair(&p);
}

static void test_an_answer_that_is_cut_is_cut_here(void **state) {
  expect("GET", "/cut", true, "head 200;data 4;closed CLOSED;");
}

static void test_who_asked_goes_away(void **state) {
  pair p;
  stub down;
  open_pair(&p);
  t2_exchange *exchange = ask(&p, &down, "GET", "/never", true);
  for (int i = 0; i < 3; i++)
    test_loop_turn(&p.tl, test_deadline());
  assert_non_null(exchange);
  t2_exchange_fail(&down.leg, T2_ERR_CLOSED, T2_AT_LOCAL, NULL);
  RUN_UNTIL(&p.tl, p.bridges.count == 0);
  assert_int_equal(t2_crew_call(p.there.worker, read_error, &p.there), T2_ERR_CLOSED);
  stub_fini(&down);
  close_pair(&p);
}

static void test_a_request_goes_over_no_more_bridges_than_it_may(void **state) {
  pair p;
  stub down;
  open_pair(&p);
  ask(&p, &down, "GET", "/round", true); /* there, and back, and not there again */
  wait_for(&p, &down);
  assert_int_equal(down.status, 503);
  assert_int_equal(p.bridges.total, T2_BRIDGE_HOPS_MAX);
  stub_fini(&down);
  close_pair(&p);
}

static void test_none_begins_once_they_are_closed(void **state) {
  pair p;
  stub down;
  t2_head head = test_request("GET", "/");
  open_pair(&p);
  t2_bridges_close(&p.bridges);
  stub_init(&down);
  t2_exchange *exchange = t2_exchange_new(&p.proxy, &down.leg, &head);
  t2_exchange_connect(exchange, &p.opener, &head, true, NULL, 0);
  assert_int_equal(down.status, 503);
  stub_fini(&down);
  close_pair(&p);
}

/* ---- Back-pressure ---- */

static void test_who_gives_waits_for_who_takes(void **state) {
  pair p;
  stub down;
  open_pair(&p);
  stub_init(&down);
  down.hold = true;
  t2_head head = test_request("GET", "/big");
  t2_exchange *exchange = t2_exchange_new(&p.proxy, &down.leg, &head);
  t2_exchange_connect(exchange, &p.opener, &head, true, NULL, 0);
  RUN_UNTIL(&p.tl, down.held == T2_LEG_WINDOW);
  for (int i = 0; i < 20; i++)
    test_loop_turn(&p.tl, test_deadline());
  assert_int_equal(down.held, T2_LEG_WINDOW);
  while (!down.closed) {
    assert_true(down.held <= T2_LEG_WINDOW);
    if (down.held) stub_consume(&down, down.held);
    test_loop_turn(&p.tl, test_deadline());
  }
  assert_int_equal(t2_buf_len(&down.body), BIG);
  stub_fini(&down);
  close_pair(&p);
}

/* ---- Many, and the end ---- */

static void test_many_cross_at_once(void **state) {
  static stub downs[MANY];
  static const char *const paths[] = {"/", "/early", "/refuse", "/fail", "/cut", "/error"};
  pair p;
  size_t closed = 0;
  open_pair(&p);
  for (int i = 0; i < MANY; i++)
    ask(&p, &downs[i], "GET", paths[i % 6], true);
  while (closed < MANY) {
    test_loop_turn(&p.tl, test_deadline());
    closed = 0;
    for (int i = 0; i < MANY; i++)
      closed += downs[i].closed;
  }
  for (int i = 0; i < MANY; i++)
    stub_fini(&downs[i]);
  assert_int_equal(p.bridges.total, MANY);
  close_pair(&p);
}

static void test_the_end_of_either_thread_fails_what_is_under_way(void **state) {
  static stub downs[MANY];
  for (int here = 0; here < 2; here++) {
    pair p;
    open_pair(&p);
    for (int i = 0; i < MANY; i++) {
      ask(&p, &downs[i], i % 2 ? "POST" : "GET", i % 3 ? "/never" : "/big", i % 2 == 0);
      if (i % 16 == 0) test_loop_turn(&p.tl, test_deadline());
    }
    if (here) {
      t2_bridges_close(&p.bridges);
    } else {
      p.leave.open = on_leave;
      t2_crew_send(p.there.worker, &p.leave);
      RUN_UNTIL(&p.tl, p.bridges.count == 0);
    }
    for (int i = 0; i < MANY; i++) {
      assert_true(downs[i].closed);
      stub_fini(&downs[i]);
    }
    if (here) {
      close_pair(&p);
    } else {
      t2_crew_close(p.crew, on_crew_closed, &p);
      RUN_UNTIL(&p.tl, p.closed);
      t2_proxy_fini(&p.proxy);
      test_loop_close(&p.tl);
      assert_int_equal(atomic_load(&p.mem.live), 0);
    }
  }
}

/* Whatever there is no memory for: the asker has an end, and nothing is left behind. */
static void test_each_failed_allocation_is_a_clean_end(void **state) {
  static const char *const paths[] = {"/echo", "/big", "/fail", "/refuse"};
  for (size_t i = 0; i < T2_COUNT_OF(paths); i++) {
    bool failed = true;
    for (size_t at = 1; failed && at < 60; at++) {
      pair p;
      stub down;
      open_pair(&p);
      p.mem.fail_at = atomic_load(&p.mem.count) + at;
      t2_exchange *exchange = ask(&p, &down, "POST", paths[i], false);
      if (exchange && down.leg.exchange) t2_exchange_data(&down.leg, (const uint8_t *)"content", 7);
      if (exchange && down.leg.exchange) t2_exchange_end(&down.leg, NULL);
      if (exchange) wait_for(&p, &down);
      failed = atomic_load(&p.mem.failed);
      stub_fini(&down);
      close_pair(&p);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_answer_comes_back),
      cmocka_unit_test(test_interim_heads_cross_too),
      cmocka_unit_test(test_content_and_trailers_cross_both_ways),
      cmocka_unit_test(test_a_tunnels_directions_end_on_their_own),
      cmocka_unit_test(test_a_failure_before_the_head_is_answered_here),
      cmocka_unit_test(test_an_error_of_the_leg_there_is_answered_here),
      cmocka_unit_test(test_a_refusal_is_one_here),
      cmocka_unit_test(test_an_answer_that_is_cut_is_cut_here),
      cmocka_unit_test(test_who_asked_goes_away),
      cmocka_unit_test(test_a_request_goes_over_no_more_bridges_than_it_may),
      cmocka_unit_test(test_none_begins_once_they_are_closed),
      cmocka_unit_test(test_who_gives_waits_for_who_takes),
      cmocka_unit_test(test_many_cross_at_once),
      cmocka_unit_test(test_the_end_of_either_thread_fails_what_is_under_way),
      cmocka_unit_test(test_each_failed_allocation_is_a_clean_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
