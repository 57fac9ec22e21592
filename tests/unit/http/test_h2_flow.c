#include "t2_test_h2.h"

enum { WINDOW = 128 * 1024, NARROW = 16 * 1024, LARGE = 1024 * 1024 };

static void give(seen *s, size_t n) {
  static const uint8_t zeros[LARGE];
  assert_true(n <= sizeof(zeros));
  assert_int_equal(t2_h2_stream_data(s->stream, zeros, n), 0);
}

static void start(pair *p) {
  pair_init(p, NULL);
  p->options[1].stream_window = WINDOW;
  p->options[1].connection_window = 2 * WINDOW;
  pair_start(p);
  p->server.consume = false;
}

static void narrow(pair *p) {
  assert_int_equal(t2_h2_set_stream_window(p->server.h2, NARROW), 0);
  pump(p);
}

static void test_new_streams_have_the_smaller_window(void **state) {
  (void)state;
  pair p;
  start(&p);
  narrow(&p);
  give(request(&p, "POST", false), LARGE);
  pump(&p);
  assert_int_equal(p.server.list[0].bytes, NARROW);
  assert_int_equal(t2_h2_waiting(p.client.h2), LARGE - NARROW);
  pair_end(&p);
}

/* What came before stays; nothing more comes before it is consumed down to the smaller window. */
static void test_open_streams_have_the_smaller_window_too(void **state) {
  (void)state;
  pair p;
  start(&p);
  give(request(&p, "POST", false), LARGE);
  pump(&p);
  seen *s = &p.server.list[0];
  assert_int_equal(s->bytes, WINDOW);
  narrow(&p);
  t2_h2_stream_consume(s->stream, WINDOW - NARROW);
  pump(&p);
  assert_int_equal(s->bytes, WINDOW);
  t2_h2_stream_consume(s->stream, NARROW - 1);
  pump(&p);
  assert_int_equal(s->bytes, WINDOW + NARROW - 1);
  assert_int_equal(p.server.error, 0);
  pair_end(&p);
}

static void test_the_whole_window_comes_back(void **state) {
  (void)state;
  pair p;
  start(&p);
  narrow(&p);
  give(request(&p, "POST", false), LARGE);
  pump(&p);
  assert_int_equal(t2_h2_set_stream_window(p.server.h2, WINDOW), 0);
  pump(&p);
  assert_int_equal(p.server.list[0].bytes, WINDOW);
  pair_end(&p);
}

/* Consumed as it comes, and so wide again soon, but never wider than the options say. */
static void test_a_stream_that_keeps_up_gets_more(void **state) {
  (void)state;
  pair p;
  start(&p);
  narrow(&p);
  seen *c = request(&p, "POST", false);
  give(c, 1);
  pump(&p);
  seen *s = &p.server.list[0];
  size_t most = 0;
  for (size_t i = 0; i < 20; i++) {
    size_t before = s->bytes;
    t2_h2_stream_consume(s->stream, s->stream->unconsumed);
    give(c, WINDOW);
    pump(&p);
    most = s->bytes - before > most ? s->bytes - before : most;
  }
  assert_int_equal(most, WINDOW);
  assert_true(s->stream->unconsumed <= WINDOW);
  pair_end(&p);
}

/* What the streams of a connection have beyond the others is bounded, and free again with them. */
static void test_what_streams_have_beyond_others_is_bounded(void **state) {
  enum { STREAMS = 50, BEYOND_MAX = 2 * 1024 * 1024 };
  (void)state;
  pair p;
  start(&p);
  narrow(&p);
  p.server.consume = true;
  for (size_t i = 0; i < STREAMS; i++)
    give(request(&p, "POST", false), LARGE);
  pump(&p);
  p.server.consume = false;
  for (size_t i = 0; i < STREAMS; i++)
    give(&p.client.list[i], LARGE);
  pump(&p);
  size_t held = 0;
  for (size_t i = 0; i < STREAMS; i++)
    held += p.server.list[i].stream->unconsumed;
  assert_true(held > BEYOND_MAX / 2 && held <= BEYOND_MAX + STREAMS * NARROW);
  for (size_t i = 0; i < STREAMS; i++)
    t2_h2_stream_reset(p.server.list[i].stream, T2_H2_CANCEL);
  pump(&p);
  p.server.consume = true;
  seen *c = request(&p, "POST", false);
  give(c, LARGE);
  pump(&p);
  assert_int_equal(p.server.list[STREAMS].stream->widened, WINDOW - NARROW);
  pair_end(&p);
}

/* The peer has not heard of the smaller windows, and uses the larger. */
static void test_the_connection_bounds_a_peer_that_does_not_know(void **state) {
  (void)state;
  pair p;
  start(&p);
  for (size_t i = 0; i < 4; i++)
    give(request(&p, "POST", false), LARGE);
  assert_int_equal(t2_h2_set_stream_window(p.server.h2, NARROW), 0);
  pump_once(&p.client, &p.server);
  size_t held = 0;
  for (size_t i = 0; i < 4; i++)
    held += p.server.list[i].bytes;
  assert_int_equal(held, 2 * WINDOW);
  assert_int_equal(p.server.error, 0);
  pair_end(&p);
}

/* By consumption, by the stream's end, and by the acknowledgement: each byte once. */
static void test_the_connection_gets_its_window_back(void **state) {
  (void)state;
  pair p;
  start(&p);
  for (size_t i = 0; i < 30; i++) {
    assert_int_equal(t2_h2_set_stream_window(p.server.h2, NARROW), 0);
    seen *c = request(&p, "POST", false);
    give(c, LARGE);
    pump_once(&p.client, &p.server);
    seen *s = &p.server.list[i];
    assert_int_equal(s->bytes, i ? NARROW : WINDOW);
    if (i % 3 == 0) t2_h2_stream_consume(s->stream, s->stream->unconsumed);
    if (i % 3 == 1) t2_h2_stream_reset(c->stream, T2_H2_CANCEL);
    pump(&p);
    assert_true(t2_h2_settled(p.server.h2));
    if (i % 3 != 1) t2_h2_stream_reset(s->stream, T2_H2_CANCEL);
    pump(&p);
    assert_int_equal(s->closes, 1);
  }
  assert_int_equal(p.server.error, 0);
  assert_int_equal(t2_h2_waiting(p.client.h2), 0);
  pair_end(&p);
}

/* ---- How many streams ---- */

static void test_fewer_streams_leave_those_that_are_open(void **state) {
  (void)state;
  pair p;
  start(&p);
  seen *c = request(&p, "POST", false);
  pump(&p);
  assert_int_equal(t2_h2_set_concurrent_max(p.server.h2, 0), 0);
  pump(&p);
  assert_true(t2_h2_settled(p.server.h2));
  assert_int_equal(t2_h2_capacity(p.client.h2), 0);
  give(c, 1000);
  pump(&p);
  assert_int_equal(p.server.list[0].bytes, 1000);
  assert_int_equal(t2_h2_set_concurrent_max(p.server.h2, 7), 0);
  pump(&p);
  assert_int_equal(t2_h2_capacity(p.client.h2), 6);
  assert_int_equal(p.server.error, 0);
  assert_int_equal(p.client.error, 0);
  pair_end(&p);
}

/* They crossed the SETTINGS: each is refused, so that it can be asked elsewhere, and none is seen. */
static void test_streams_that_come_too_late_are_refused_unseen(void **state) {
  (void)state;
  pair p;
  start(&p);
  pump(&p);
  seen *first = request(&p, "GET", true), *second = request(&p, "POST", false);
  give(second, 1000);
  assert_int_equal(t2_h2_set_concurrent_max(p.server.h2, 0), 0);
  pump_once(&p.client, &p.server);
  pump(&p);
  assert_int_equal(p.server.n, 0);
  assert_int_equal(first->code, T2_H2_REFUSED_STREAM);
  assert_true(first->unprocessed);
  assert_true(second->unprocessed);
  assert_int_equal(t2_h2_capacity(p.client.h2), 0);
  assert_int_equal(p.server.error, 0);
  assert_int_equal(p.client.goaways, 0);
  pair_end(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_new_streams_have_the_smaller_window),
      cmocka_unit_test(test_open_streams_have_the_smaller_window_too),
      cmocka_unit_test(test_the_whole_window_comes_back),
      cmocka_unit_test(test_a_stream_that_keeps_up_gets_more),
      cmocka_unit_test(test_what_streams_have_beyond_others_is_bounded),
      cmocka_unit_test(test_the_connection_bounds_a_peer_that_does_not_know),
      cmocka_unit_test(test_the_connection_gets_its_window_back),
      cmocka_unit_test(test_fewer_streams_leave_those_that_are_open),
      cmocka_unit_test(test_streams_that_come_too_late_are_refused_unseen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
