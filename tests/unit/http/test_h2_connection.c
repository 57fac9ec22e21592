#include "t2_test_h2.h"

static void answer_empty(end *e, seen *s) {
  (void)e;
  assert_int_equal(respond(s, 204, true), 0);
}

/* ---- Limits ---- */

static void test_concurrent_streams_are_bounded_by_the_peer(void **state) {
  pair p;
  pair_init(&p, NULL);
  p.options[1].concurrent_max = 3;
  pair_start(&p);
  assert_int_equal(t2_h2_peer_concurrent_max(p.client.h2), 3);
  assert_int_equal(t2_h2_capacity(p.server.h2), 0); /* a server opens none */
  t2_head head = request_head("GET");
  seen *c[3], *more = NULL;
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(t2_h2_capacity(p.client.h2), 3 - i);
    c[i] = request(&p, "GET", true);
  }
  assert_int_equal(t2_h2_capacity(p.client.h2), 0);
  assert_int_equal(try_request(&p, &head, true, &more), T2_ERR_LIMIT);
  pump(&p);
  assert_int_equal(t2_h2_capacity(p.client.h2), 0);
  t2_h2_stream_reset(c[1]->stream, T2_H2_CANCEL);
  assert_int_equal(respond(&p.server.list[0], 204, true), 0);
  pump(&p);
  assert_int_equal(t2_h2_capacity(p.client.h2), 2);
  assert_int_equal(try_request(&p, &head, true, &more), 0);
  pump(&p);
  assert_int_equal(p.server.n, 4);
  pair_end(&p);
}

/* A peer that has not seen the settings yet is refused what is over the bound, not cut off. */
static void test_streams_over_the_bound_are_refused(void **state) {
  pair p;
  pair_init(&p, NULL);
  p.options[1].concurrent_max = 2;
  assert_int_equal(pair_open(&p), 0);
  for (int i = 0; i < 5; i++)
    request(&p, "GET", true);
  pump(&p);
  size_t refused = 0;
  for (size_t i = 0; i < 5; i++)
    if (p.client.list[i].closes) {
      assert_int_equal(p.client.list[i].code, T2_H2_REFUSED_STREAM);
      assert_true(p.client.list[i].unprocessed);
      refused++;
    }
  assert_int_equal(refused, 3);
  assert_int_equal(p.server.n, 2);
  assert_int_equal(t2_h2_stream_count(p.server.h2), 2);
  pair_end(&p);
}

static int request_of_fields(pair *p, size_t count, size_t value_n, seen **c) {
  static char value[70000];
  t2_field list[200];
  memset(value, 'v', sizeof(value));
  for (size_t i = 0; i < count; i++)
    list[i] = (t2_field){.name = T2_STR("x"), .value = t2_str_of(value, value_n)};
  t2_head head = request_head("POST");
  head.fields = (t2_fields){.list = list, .n = count};
  return try_request(p, &head, false, c);
}

/* 431 with what HTTP/1.1 would say; the connection serves on. */
static void test_oversized_heads_are_answered_431(void **state) {
  enum { PSEUDO = 7 + 4 + 7 + 5 + 5 + 4 + 10 + 9 + 4 * 32 };
  const struct {
    size_t count, value_n;
    bool good;
  } cases[] = {
      {20, 10, true},    {21, 10, false}, {1, 4096 - PSEUDO - 33, true}, {1, 4096 - PSEUDO - 32, false},
      {20, 3000, false},
  };
  pair p;
  pair_init(&p, NULL);
  p.options[1].field_max = 20;
  p.options[1].field_section_max = 4096;
  pair_start(&p);
  size_t good = 0;
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    seen *c = NULL;
    assert_int_equal(request_of_fields(&p, cases[i].count, cases[i].value_n, &c), 0);
    pump(&p);
    good += cases[i].good;
    assert_int_equal(p.server.n, good);
    if (cases[i].good) {
      assert_int_equal(respond(&p.server.list[good - 1], 204, true), 0);
      assert_int_equal(t2_h2_stream_end(c->stream, NULL), 0);
      pump(&p);
      assert_int_equal(c->status, 204);
    } else {
      assert_int_equal(c->status, 431);
      assert_int_equal(c->code, T2_H2_NO_ERROR);
    }
    assert_int_equal(c->closes, 1);
    assert_int_equal(t2_h2_stream_count(p.server.h2), 0);
  }
  pair_end(&p);
}

static void test_oversized_response_heads_and_trailers_reset_their_stream(void **state) {
  pair p;
  t2_field list[21];
  pair_init(&p, NULL);
  p.options[0].field_max = p.options[1].field_max = 20;
  pair_start(&p);
  for (size_t i = 0; i < 21; i++)
    list[i] = (t2_field){.name = T2_STR("x"), .value = T2_STR("y")};
  seen *a = request(&p, "GET", true), *b = request(&p, "POST", false);
  pump(&p);
  t2_head head = {.status = 200, .content_length = -1, .fields = {.list = list, .n = 21}};
  assert_int_equal(t2_h2_respond(p.server.list[0].stream, &head, true), 0);
  assert_int_equal(t2_h2_stream_end(b->stream, &head.fields), 0);
  pump(&p);
  assert_int_equal(a->heads, 0);
  assert_int_equal(a->code, T2_H2_ENHANCE_YOUR_CALM);
  assert_int_equal(p.server.list[1].ends, 0);
  assert_int_equal(b->code, T2_H2_ENHANCE_YOUR_CALM);
  pair_end(&p);
}

/* ---- Drain ---- */

static void test_drain_lets_finish_what_is_under_way(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *a = request(&p, "GET", true);
  pump(&p);
  assert_int_equal(t2_h2_drain(p.server.h2, false), 0);
  seen *late = request(&p, "GET", true); /* crosses the notice */
  pump(&p);
  assert_int_equal(p.client.goaways, 1);
  assert_int_equal(p.client.goaway_code, T2_H2_NO_ERROR);
  assert_int_equal(t2_h2_capacity(p.client.h2), 0);
  t2_head head = request_head("GET");
  seen *more = NULL;
  assert_int_equal(try_request(&p, &head, true, &more), T2_ERR_CLOSED);
  assert_int_equal(p.server.n, 2);
  assert_int_equal(late->closes, 0);
  assert_int_equal(t2_h2_drain(p.server.h2, true), 0);
  pump(&p);
  assert_false(t2_h2_over(p.client.h2));
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(respond(&p.server.list[i], 200, true), 0);
  pump(&p);
  assert_int_equal(a->status, 200);
  assert_int_equal(late->status, 200);
  assert_true(t2_h2_over(p.client.h2));
  pair_end(&p);
}

/* What the server's last word does not cover may be sent again elsewhere. */
static void test_streams_beyond_the_last_word_are_unprocessed(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *a = request(&p, "GET", true);
  pump(&p);
  assert_int_equal(t2_h2_drain(p.server.h2, true), 0);
  assert_int_equal(t2_h2_flush(p.server.h2, &p.server.out, 1 << 20), 0); /* on its way */
  seen *sent = request(&p, "GET", true);
  assert_int_equal(t2_h2_flush(p.client.h2, &p.client.out, 1 << 20), 0);
  seen *queued = request(&p, "GET", true);
  pump(&p);
  assert_int_equal(p.server.n, 1);
  assert_true(sent->unprocessed);
  assert_true(queued->unprocessed);
  assert_int_equal(a->closes, 0);
  assert_int_equal(respond(&p.server.list[0], 200, true), 0);
  pump(&p);
  assert_int_equal(a->status, 200);
  assert_false(a->unprocessed);
  pair_end(&p);
}

static void test_terminate_ends_it(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *c = request(&p, "GET", true);
  pump(&p);
  t2_h2_terminate(p.server.h2, T2_H2_ENHANCE_YOUR_CALM);
  pump(&p);
  assert_int_equal(p.client.goaway_code, T2_H2_ENHANCE_YOUR_CALM);
  assert_true(t2_h2_over(p.server.h2));
  pair_end(&p);
  assert_int_equal(c->closes, 1);
}

static void test_ping_is_answered(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  assert_int_equal(t2_h2_ping(p.client.h2), 0);
  assert_int_equal(t2_h2_ping(p.server.h2), 0);
  pump(&p);
  assert_int_equal(p.client.pongs, 1);
  assert_int_equal(p.server.pongs, 1);
  pair_end(&p);
}

static void test_what_makes_output_wakes(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  size_t before = p.client.wakes;
  seen *c = request(&p, "POST", false);
  assert_true(p.client.wakes > before);
  pump(&p);
  before = p.client.wakes;
  assert_int_equal(t2_h2_stream_data(c->stream, "x", 1), 0);
  assert_true(p.client.wakes > before);
  before = p.server.wakes;
  assert_int_equal(respond(&p.server.list[0], 200, true), 0);
  assert_true(p.server.wakes > before);
  pair_end(&p);
}

/* ---- A peer that breaks the protocol ---- */

static void test_bytes_that_are_no_http2_are_an_error(void **state) {
  pair p;
  pair_init(&p, NULL);
  assert_int_equal(pair_open(&p), 0);
  const char *text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  assert_int_equal(t2_h2_feed(p.server.h2, (const uint8_t *)text, strlen(text)), T2_ERR_PROTOCOL);
  pair_end(&p);
}

static void test_a_broken_frame_is_answered_with_goaway(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  const uint8_t settings_on_a_stream[] = {0, 0, 0, 4, 0, 0, 0, 0, 1};
  t2_h2_feed(p.server.h2, settings_on_a_stream, sizeof(settings_on_a_stream));
  pump(&p);
  assert_int_equal(p.client.goaway_code, T2_H2_PROTOCOL_ERROR);
  assert_true(t2_h2_over(p.server.h2));
  pair_end(&p);
}

/* ---- Memory ---- */

static void test_streams_allocate_nothing_here_in_steady_state(void **state) {
  t2_test_mem mem;
  pair p;
  t2_test_mem_init(&mem);
  pair_init(&p, &mem.hook);
  pair_start(&p);
  p.server.on_request = answer_empty;
  size_t live = 0;
  for (int i = 0; i < 40; i++) {
    request(&p, "GET", true);
    pump(&p);
    if (i == 20) live = mem.live;
  }
  assert_int_equal(mem.live, live);
  pair_end(&p);
  t2_test_mem_check(&mem);
}

/* An exchange with content, trailers, an interim response and a reset; errors are clean wherever memory ends.
 */
static void whole_exchange(t2_test_mem *mem, void *user) {
  pair p;
  seen *c = NULL, *d = NULL;
  t2_field list[] = {{.name = T2_STR("x-trailer"), .value = T2_STR("a value that is no short one")}};
  t2_fields trailers = {.list = list, .n = 1};
  t2_head head = request_head("POST");
  head.fields = trailers;
  pair_init(&p, &mem->hook);
  if (pair_open(&p) == 0) {
    if (try_request(&p, &head, false, &c) == 0 && t2_h2_stream_data(c->stream, "hello", 5) == 0)
      (void)t2_h2_stream_end(c->stream, &trailers);
    pump(&p);
    (void)try_request(&p, &head, false, &d);
    for (size_t i = 0; i < p.server.n; i++) {
      seen *s = &p.server.list[i];
      if (!s->stream) continue;
      (void)respond(s, 103, false);
      if (respond(s, 200, false) == 0) (void)t2_h2_stream_end(s->stream, &trailers);
    }
    if (d && d->stream) t2_h2_stream_reset(d->stream, T2_H2_CANCEL);
    pump(&p);
    (void)t2_h2_drain(p.server.h2, false);
    pump(&p);
    if (!mem->failed) {
      assert_int_equal(c->status, 200);
      assert_int_equal(c->ends, 1);
      assert_int_equal(p.client.goaways, 1);
    }
    int error = p.client.error ? p.client.error : p.server.error;
    assert_true(error == 0 || mem->failed);
  } else {
    assert_true(mem->failed);
  }
  pair_end(&p);
}

static void test_reattach_is_told_and_the_connection_goes_on(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  assert_int_equal(t2_h2_reattach(p.client.h2), 0);
  pump(&p);
  assert_int_equal(p.server.reattaches, 1);
  assert_int_equal(t2_h2_reattach(p.server.h2), 0); /* a client has no use for it, and passes over it */
  p.server.on_request = answer_empty;
  seen *c = request(&p, "GET", true);
  pump(&p);
  assert_int_equal(c->status, 204);
  assert_int_equal(p.client.reattaches, 0);
  assert_int_equal(p.server.goaways + p.client.goaways, 0);
  pair_end(&p);
}

static void test_missing_memory_is_a_clean_error(void **state) {
  assert_true(t2_test_mem_fail_each(whole_exchange, NULL) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_concurrent_streams_are_bounded_by_the_peer),
      cmocka_unit_test(test_streams_over_the_bound_are_refused),
      cmocka_unit_test(test_oversized_heads_are_answered_431),
      cmocka_unit_test(test_oversized_response_heads_and_trailers_reset_their_stream),
      cmocka_unit_test(test_drain_lets_finish_what_is_under_way),
      cmocka_unit_test(test_streams_beyond_the_last_word_are_unprocessed),
      cmocka_unit_test(test_terminate_ends_it),
      cmocka_unit_test(test_ping_is_answered),
      cmocka_unit_test(test_reattach_is_told_and_the_connection_goes_on),
      cmocka_unit_test(test_what_makes_output_wakes),
      cmocka_unit_test(test_bytes_that_are_no_http2_are_an_error),
      cmocka_unit_test(test_a_broken_frame_is_answered_with_goaway),
      cmocka_unit_test(test_streams_allocate_nothing_here_in_steady_state),
      cmocka_unit_test(test_missing_memory_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
