#include "t2_test_h2.h"

static void answer_empty(end *e, seen *s) {
  (void)e;
  assert_int_equal(respond(s, 204, true), 0);
}

static void answer_head(end *e, seen *s) {
  (void)e;
  assert_int_equal(respond(s, 200, false), 0);
}

static void give(seen *s, size_t n) {
  static const uint8_t zeros[65536];
  for (size_t left = n, k; left; left -= k) {
    k = left < sizeof(zeros) ? left : sizeof(zeros);
    assert_int_equal(t2_h2_stream_data(s->stream, zeros, k), 0);
  }
}

/* ---- Exchanges ---- */

static void test_request_and_response_pass_whole(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  t2_field list[] = {{.name = T2_STR("x-a"), .value = T2_STR("1")},
                     {.name = T2_STR("authorization"), .value = T2_STR("s"), .sensitive = true},
                     {.name = T2_STR("x-a"), .value = T2_STR("2")}};
  t2_head head = request_head("POST");
  head.content_length = 5;
  head.fields = (t2_fields){.list = list, .n = 3};
  seen *c = NULL;
  assert_int_equal(try_request(&p, &head, false, &c), 0);
  assert_int_equal(t2_h2_stream_data(c->stream, "hello", 5), 0);
  assert_int_equal(t2_h2_stream_end(c->stream, NULL), 0);
  pump(&p);
  seen *s = &p.server.list[0];
  assert_int_equal(p.server.n, 1);
  assert_true(t2_str_eq(s->head->method, T2_STR("POST")));
  assert_true(t2_str_eq(s->head->scheme, T2_STR("https")));
  assert_true(t2_str_eq(s->head->authority, T2_STR("a.example")));
  assert_true(t2_str_eq(s->head->path, T2_STR("/p?q")));
  assert_int_equal(s->head->content_length, 5);
  assert_int_equal(s->head->fields.n, 3);
  assert_true(t2_str_eq(s->head->fields.list[2].value, T2_STR("2")));
  assert_true(s->head->fields.list[1].sensitive);
  assert_false(s->head->fields.list[0].sensitive);
  assert_int_equal(s->bytes, 5);
  assert_int_equal(s->ends, 1);
  assert_false(s->end_with_head);
  assert_int_equal(c->sent, 5);

  t2_head answer = {.status = 201, .content_length = 2, .fields = {.list = list, .n = 1}};
  assert_int_equal(t2_h2_respond(s->stream, &answer, false), 0);
  assert_int_equal(t2_h2_stream_data(s->stream, "ok", 2), 0);
  assert_int_equal(t2_h2_stream_end(s->stream, NULL), 0);
  pump(&p);
  assert_int_equal(c->status, 201);
  assert_int_equal(c->head->content_length, 2);
  assert_int_equal(c->head->fields.n, 1);
  assert_int_equal(c->bytes, 2);
  assert_int_equal(c->ends, 1);
  assert_int_equal(c->code, T2_H2_NO_ERROR);
  assert_int_equal(s->code, T2_H2_NO_ERROR);
  assert_false(c->unprocessed);
  assert_int_equal(t2_h2_stream_count(p.client.h2), 0);
  assert_int_equal(t2_h2_stream_count(p.server.h2), 0);
  pair_end(&p);
}

static void test_messages_without_content_end_with_their_heads(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  p.server.on_request = answer_empty;
  seen *c = request(&p, "GET", true);
  pump(&p);
  assert_true(p.server.list[0].end_with_head);
  assert_true(c->end_with_head);
  assert_int_equal(c->status, 204);
  assert_int_equal(c->ends, 0);
  assert_int_equal(c->closes, 1);
  pair_end(&p);
}

static void test_trailers_pass_both_ways(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  p.server.on_request = answer_head;
  t2_field list[] = {{.name = T2_STR("x-sum"), .value = T2_STR("42")},
                     {.name = T2_STR("x-b"), .value = T2_STR("")}};
  t2_fields trailers = {.list = list, .n = 2};
  seen *c = request(&p, "POST", false);
  assert_int_equal(t2_h2_stream_data(c->stream, "x", 1), 0);
  assert_int_equal(t2_h2_stream_end(c->stream, &trailers), 0);
  pump(&p);
  seen *s = &p.server.list[0];
  assert_int_equal(s->ends, 1);
  assert_int_equal(s->trailers->fields.n, 2);
  assert_true(t2_str_eq(field_of(s->trailers, "x-sum")->value, T2_STR("42")));
  assert_int_equal(t2_h2_stream_end(s->stream, &trailers), 0); /* without content */
  pump(&p);
  assert_int_equal(c->ends, 1);
  assert_int_equal(c->trailers->fields.n, 2);
  assert_int_equal(c->closes, 1);
  pair_end(&p);
}

/* Other heads, larger ones too, are put into the same scratch in between. */
static void test_trailers_of_many_streams_keep_apart(void **state) {
  enum { N = 12 };
  pair p;
  t2_field list[N], large[100];
  char values[N][8];
  pair_init(&p, NULL);
  pair_start(&p);
  seen *c[N];
  for (size_t i = 0; i < 100; i++)
    large[i] = (t2_field){.name = T2_STR("x-large"), .value = T2_STR("v")};
  for (size_t i = 0; i < N; i++)
    c[i] = request(&p, "POST", false);
  pump(&p);
  for (size_t i = 0; i < N; i++) {
    values[i][0] = (char)('a' + i);
    list[i] = (t2_field){.name = T2_STR("x-i"), .value = t2_str_of(values[i], 1)};
    t2_fields trailers = {.list = list, .n = i + 1};
    assert_int_equal(t2_h2_stream_end(c[i]->stream, &trailers), 0);
    t2_head head = {.status = 200, .content_length = -1, .fields = {.list = large, .n = 100}};
    assert_int_equal(t2_h2_respond(p.server.list[i].stream, &head, true), 0);
  }
  pump(&p);
  for (size_t i = 0; i < N; i++) {
    const t2_fields *found = &p.server.list[i].trailers->fields;
    assert_int_equal(found->n, i + 1);
    assert_int_equal(found->list[i].value.p[0], 'a' + (char)i);
  }
  pair_end(&p);
}

static void test_interim_responses_come_before_the_final_one(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *c = request(&p, "GET", true);
  pump(&p);
  seen *s = &p.server.list[0];
  assert_int_equal(respond(s, 103, false), 0);
  assert_int_equal(respond(s, 100, false), 0);
  pump(&p);
  assert_int_equal(c->interim, 2);
  assert_int_equal(c->heads, 0);
  assert_int_equal(respond(s, 200, true), 0);
  assert_int_equal(respond(s, 103, false), T2_ERR_STATE);
  pump(&p);
  assert_int_equal(c->status, 200);
  pair_end(&p);
}

static void test_an_upgrade_is_an_extended_connect_and_its_yes_a_200(void **state) {
  pair p;
  pair_init(&p, NULL);
  p.options[1].extended_connect = true;
  pair_start(&p);
  t2_head head = request_head("GET");
  head.protocol = T2_STR("websocket");
  seen *c = NULL;
  assert_int_equal(try_request(&p, &head, false, &c), 0);
  pump(&p);
  seen *s = &p.server.list[0];
  assert_true(t2_str_eq(s->head->method, T2_STR("CONNECT")));
  assert_true(t2_str_eq(s->head->protocol, T2_STR("websocket")));
  assert_true(t2_str_eq(s->head->path, T2_STR("/p?q")));
  assert_int_equal(respond(s, 101, false), 0);
  assert_int_equal(t2_h2_stream_data(s->stream, "down", 4), 0);
  assert_int_equal(t2_h2_stream_data(c->stream, "up", 2), 0);
  pump(&p);
  assert_int_equal(c->status, 200);
  assert_int_equal(c->bytes, 4);
  assert_int_equal(s->bytes, 2);
  pair_end(&p);
}

static void test_plain_connect_has_an_authority_alone(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  t2_head head = {.method = T2_STR("CONNECT"), .authority = T2_STR("b:443"), .content_length = -1};
  seen *c = NULL;
  assert_int_equal(try_request(&p, &head, false, &c), 0);
  pump(&p);
  assert_true(t2_str_eq(p.server.list[0].head->authority, T2_STR("b:443")));
  assert_int_equal(p.server.list[0].head->path.n, 0);
  pair_end(&p);
}

/* ---- Control data that HTTP/1.1 has no room for ---- */

static void test_malformed_control_data_never_reaches_the_user(void **state) {
  const struct {
    const char *method, *authority, *path;
  } cases[] = {
      {"GET", "a", "/a b"},  {"GET", "a", "/a\tb"}, {"GET", "a", "/a#b"},   {"GET", "a", "/\xc3\xa9"},
      {"GET", "a b", "/"},   {"GET", "u@a", "/"},   {"GET", "a/b", "/"},    {"GET", "a:x", "/"},
      {"GET", "a", "*"},     {"GET", "a", ""},      {"GET", "a", "x"},      {"G T", "a", "/"},
      {"GET", "a", "/\x7f"}, {"CONNECT", "", ""},   {"CONNECT", "a b", ""},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    pair p;
    pair_init(&p, NULL);
    pair_start(&p);
    t2_head head = request_head(cases[i].method);
    head.authority = t2_str_c(cases[i].authority);
    head.path = t2_str_c(cases[i].path);
    seen *c = NULL;
    assert_int_equal(try_request(&p, &head, true, &c), 0);
    pump(&p);
    assert_int_equal(p.server.n, 0);
    assert_int_equal(c->closes, 1);
    assert_int_equal(c->code, T2_H2_PROTOCOL_ERROR);
    assert_int_equal(t2_h2_stream_count(p.server.h2), 0);
    pair_end(&p);
  }
}

/* ---- Flow control ---- */

static void test_what_is_not_consumed_is_bounded_by_the_window(void **state) {
  enum { WINDOW = 100000 };
  pair p;
  pair_init(&p, NULL);
  p.options[1].stream_window = WINDOW;
  pair_start(&p);
  p.server.consume = false;
  seen *c = request(&p, "POST", false);
  give(c, 10 * WINDOW);
  assert_int_equal(t2_h2_stream_end(c->stream, NULL), 0);
  pump(&p);
  seen *s = &p.server.list[0];
  assert_int_equal(s->bytes, WINDOW);
  assert_int_equal(s->stream->unconsumed, WINDOW);
  assert_int_equal(c->sent, WINDOW);
  t2_h2_stream_consume(s->stream, WINDOW / 2);
  pump(&p);
  assert_int_equal(s->bytes, WINDOW + WINDOW / 2);
  while (s->ends == 0) {
    size_t before = s->bytes;
    t2_h2_stream_consume(s->stream, s->stream->unconsumed);
    pump(&p);
    assert_true(s->bytes - before <= WINDOW);
  }
  assert_int_equal(s->bytes, 10 * WINDOW);
  pair_end(&p);
}

/* What nobody consumes is bounded by each stream's window, and takes nothing from those that move. */
static void test_streams_that_stand_still_leave_the_connection_window_to_others(void **state) {
  enum { WINDOW = 100000, EACH = 70000 };
  pair p;
  pair_init(&p, NULL);
  p.options[1].stream_window = WINDOW;
  p.options[1].connection_window = WINDOW;
  pair_start(&p);
  p.server.consume = false;
  for (int i = 0; i < 3; i++)
    give(request(&p, "POST", false), EACH);
  pump(&p);
  size_t sum = 0;
  for (size_t i = 0; i < 3; i++)
    sum += p.server.list[i].bytes;
  assert_int_equal(sum, 3 * EACH);
  for (size_t i = 0; i < 3; i++)
    assert_int_equal(p.server.list[i].stream->unconsumed, EACH);
  pair_end(&p);
}

/* A stream that goes with content that nobody consumed gives its part of the connection window back, once. */
static void test_a_closed_stream_gives_the_connection_window_back(void **state) {
  enum { WINDOW = 100000 };
  pair p;
  pair_init(&p, NULL);
  p.options[1].stream_window = p.options[1].connection_window = WINDOW;
  pair_start(&p);
  p.server.consume = false;
  for (size_t i = 0; i < 5; i++) {
    seen *c = request(&p, "POST", false);
    give(c, 3 * WINDOW);
    pump(&p);
    assert_int_equal(p.server.list[i].bytes, WINDOW);
    t2_h2_stream_reset(i % 2 ? c->stream : p.server.list[i].stream, T2_H2_CANCEL);
    pump(&p);
    assert_int_equal(c->closes, 1);
    assert_int_equal(p.server.list[i].closes, 1);
  }
  assert_int_equal(p.server.error, 0);
  pair_end(&p);
}

static void test_output_stops_at_the_high_water_mark(void **state) {
  enum { MARK = 40000 };
  pair p;
  t2_buf out;
  pair_init(&p, NULL);
  pair_start(&p);
  t2_buf_init(&out, NULL);
  give(request(&p, "POST", false), 500000);
  while (t2_h2_wants_write(p.client.h2)) {
    assert_int_equal(t2_h2_flush(p.client.h2, &out, MARK), 0);
    assert_in_range(t2_buf_len(&out), 1, MARK + 16384 + 9);
    assert_int_equal(t2_h2_feed(p.server.h2, t2_buf_head(&out), t2_buf_len(&out)), 0);
    t2_buf_reset(&out);
  }
  assert_int_equal(p.server.list[0].bytes, 500000);
  t2_buf_fini(&out);
  pair_end(&p);
}

static void test_content_waits_for_more(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *c = request(&p, "POST", false);
  for (int i = 1; i <= 3; i++) {
    assert_int_equal(t2_h2_stream_data(c->stream, "abc", 3), 0);
    pump(&p);
    assert_int_equal(p.server.list[0].bytes, 3 * i);
    assert_int_equal(p.server.list[0].ends, 0);
  }
  assert_int_equal(t2_h2_stream_end(c->stream, NULL), 0);
  pump(&p);
  assert_int_equal(p.server.list[0].ends, 1);
  assert_int_equal(t2_h2_stream_data(c->stream, "x", 1), T2_ERR_STATE);
  assert_int_equal(t2_h2_stream_end(c->stream, NULL), T2_ERR_STATE);
  pair_end(&p);
}

/* ---- Streams that end early ---- */

static void test_reset_tells_both_sides(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *a = request(&p, "GET", true), *b = request(&p, "POST", false);
  pump(&p);
  t2_h2_stream_reset(a->stream, T2_H2_CANCEL);
  t2_h2_stream_reset(p.server.list[1].stream, T2_H2_REFUSED_STREAM);
  assert_int_equal(t2_h2_stream_data(p.server.list[1].stream, "x", 1), T2_ERR_STATE);
  assert_int_equal(respond(&p.server.list[1], 200, true), T2_ERR_STATE);
  pump(&p);
  assert_int_equal(p.server.list[0].code, T2_H2_CANCEL);
  assert_false(p.server.list[0].unprocessed);
  assert_int_equal(a->code, T2_H2_CANCEL);
  assert_int_equal(b->code, T2_H2_REFUSED_STREAM);
  assert_true(b->unprocessed);
  pair_end(&p);
}

/* It goes before its head does: the peer never hears of it. */
static void test_a_request_that_was_not_sent_is_cancelled_quietly(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *c = request(&p, "POST", false);
  give(c, 1000);
  t2_h2_stream_reset(c->stream, T2_H2_CANCEL);
  pump(&p);
  assert_int_equal(c->closes, 1);
  assert_int_equal(c->code, T2_H2_CANCEL);
  assert_int_equal(p.server.n, 0);
  pair_end(&p);
}

static void test_an_abandoned_request_is_answered_and_then_reset(void **state) {
  pair p;
  pair_init(&p, NULL);
  p.options[1].stream_window = 65535;
  pair_start(&p);
  p.server.consume = false;
  seen *c = request(&p, "POST", false);
  give(c, 400000);
  pump(&p);
  seen *s = &p.server.list[0];
  assert_int_equal(s->bytes, 65535);
  assert_int_equal(respond(s, 413, false), 0);
  assert_int_equal(t2_h2_stream_data(s->stream, "no", 2), 0);
  t2_h2_stream_abandon(s->stream);
  pump(&p);
  assert_int_equal(s->bytes, 65535); /* the rest was thrown away */
  assert_int_equal(s->closes, 0);
  assert_int_equal(t2_h2_stream_end(s->stream, NULL), 0);
  pump(&p);
  assert_int_equal(c->status, 413);
  assert_int_equal(c->bytes, 2);
  assert_int_equal(c->ends, 1);
  assert_int_equal(c->closes, 1);
  assert_int_equal(c->code, T2_H2_NO_ERROR);
  assert_int_equal(s->closes, 1);
  pair_end(&p);
}

static void test_abandon_after_the_end_changes_nothing(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *c = request(&p, "GET", true);
  pump(&p);
  t2_h2_stream_abandon(p.server.list[0].stream);
  assert_int_equal(respond(&p.server.list[0], 200, true), 0);
  pump(&p);
  assert_int_equal(c->status, 200);
  assert_int_equal(c->code, T2_H2_NO_ERROR);
  pair_end(&p);
}

static void test_freeing_closes_what_is_live(void **state) {
  pair p;
  pair_init(&p, NULL);
  pair_start(&p);
  seen *c = request(&p, "POST", false);
  give(c, 100);
  pump(&p);
  seen *d = request(&p, "POST", false); /* not even sent */
  pair_end(&p);
  assert_int_equal(c->code, T2_H2_CANCEL);
  assert_int_equal(d->code, T2_H2_CANCEL);
  assert_false(c->unprocessed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_and_response_pass_whole),
      cmocka_unit_test(test_messages_without_content_end_with_their_heads),
      cmocka_unit_test(test_trailers_pass_both_ways),
      cmocka_unit_test(test_trailers_of_many_streams_keep_apart),
      cmocka_unit_test(test_interim_responses_come_before_the_final_one),
      cmocka_unit_test(test_an_upgrade_is_an_extended_connect_and_its_yes_a_200),
      cmocka_unit_test(test_plain_connect_has_an_authority_alone),
      cmocka_unit_test(test_malformed_control_data_never_reaches_the_user),
      cmocka_unit_test(test_what_is_not_consumed_is_bounded_by_the_window),
      cmocka_unit_test(test_streams_that_stand_still_leave_the_connection_window_to_others),
      cmocka_unit_test(test_a_closed_stream_gives_the_connection_window_back),
      cmocka_unit_test(test_output_stops_at_the_high_water_mark),
      cmocka_unit_test(test_content_waits_for_more),
      cmocka_unit_test(test_reset_tells_both_sides),
      cmocka_unit_test(test_a_request_that_was_not_sent_is_cancelled_quietly),
      cmocka_unit_test(test_an_abandoned_request_is_answered_and_then_reset),
      cmocka_unit_test(test_abandon_after_the_end_changes_nothing),
      cmocka_unit_test(test_freeing_closes_what_is_live),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
