/* A server and a peer that writes its frames by hand: what is borne, and at what number it ends. */
#include "t2_test_h2.h"

enum {
  DATA,
  HEADERS,
  PRIORITY,
  RST,
  SETTINGS,
  PUSH,
  PING,
  GOAWAY,
  WINDOW_UPDATE,
  CONTINUATION,
  PRIORITY_UPDATE = 16
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

#define NO_GOAWAY UINT32_MAX

/* GET / of http://h (RFC 7541, A), and POST. */
static const uint8_t get_head[] = {0x82, 0x84, 0x86, 0x01, 1, 'h'};
static const uint8_t post_head[] = {0x83, 0x84, 0x86, 0x01, 1, 'h'};

typedef struct hand {
  end server;
  t2_h2_options options;
  t2_buf out; /* frames that are to be fed at once */
} hand;

static void put(hand *h, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t n) {
  const uint8_t head[] = {
      (uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,     type, flags, (uint8_t)(stream >> 24),
      (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
  t2_buf_append(&h->out, head, sizeof(head));
  if (n) t2_buf_append(&h->out, payload, n);
}

static void put_u32(hand *h, uint8_t type, uint32_t stream, uint32_t value) {
  const uint8_t payload[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                             (uint8_t)value};
  put(h, type, 0, stream, payload, sizeof(payload));
}

static void request_of(hand *h, uint32_t stream, const uint8_t *head, bool is_end) {
  put(h, HEADERS, END_HEADERS | (is_end ? END_STREAM : 0), stream, head, sizeof(get_head));
}

/* Feeds what was put, and flushes. */
static int give(hand *h) {
  int err = t2_h2_feed(h->server.h2, t2_buf_head(&h->out), t2_buf_len(&h->out));
  t2_buf_reset(&h->out);
  (void)t2_h2_flush(h->server.h2, &h->server.out, SIZE_MAX);
  return err;
}

static void open_hand(hand *h) {
  memset(h, 0, sizeof(*h));
  t2_h2_options_init(&h->options);
  h->options.server = true;
  h->options.stream_size = sizeof(test_stream);
  h->options.priorities = true;
  t2_buf_init(&h->out, NULL);
  assert_int_equal(end_new(&h->server, NULL, &h->options), 0);
  t2_buf_append_c(&h->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  put(h, SETTINGS, 0, 0, NULL, 0);
  put(h, SETTINGS, ACK, 0, NULL, 0);
  assert_int_equal(give(h), 0);
}

static void close_hand(hand *h) {
  t2_buf_fini(&h->out);
  end_free(&h->server);
}

/* The code of the last frame of the type that was sent, at its place in the payload. */
static uint32_t sent_code(hand *h, uint8_t type, size_t at_payload) {
  const uint8_t *p = t2_buf_head(&h->server.out);
  size_t n = t2_buf_len(&h->server.out);
  uint32_t code = NO_GOAWAY;
  for (size_t at = 0; at + 9 <= n;) {
    size_t length = (size_t)p[at] << 16 | (size_t)p[at + 1] << 8 | p[at + 2];
    const uint8_t *q = p + at + 9 + at_payload;
    if (p[at + 3] == type) code = (uint32_t)q[0] << 24 | (uint32_t)q[1] << 16 | (uint32_t)q[2] << 8 | q[3];
    at += 9 + length;
  }
  return code;
}

static uint32_t goaway(hand *h) {
  return sent_code(h, GOAWAY, 4);
}

static void assert_given_up(hand *h, t2_h2_abuse abuse) {
  assert_int_equal(goaway(h), T2_H2_ENHANCE_YOUR_CALM);
  assert_int_equal(t2_h2_gave_up_for(h->server.h2), abuse);
  put(h, PING, 0, 0, "12345678", 8);
  assert_int_equal(give(h), T2_ERR_PROTOCOL); /* nothing is read any more */
  close_hand(h);
}

/* `already` of them were part of the beginning. */
static void assert_bound(t2_h2_abuse abuse, uint64_t already, void (*once)(hand *h, uint32_t i)) {
  hand h;
  open_hand(&h);
  for (uint64_t i = already; i < t2_h2_guard_burst(abuse); i++) {
    once(&h, (uint32_t)i);
    assert_int_equal(give(&h), 0);
    t2_buf_reset(&h.server.out);
  }
  assert_int_equal(t2_h2_abuse_count(h.server.h2, abuse), t2_h2_guard_burst(abuse));
  assert_int_equal(t2_h2_gave_up_for(h.server.h2), T2_H2_ABUSES);
  once(&h, (uint32_t)t2_h2_guard_burst(abuse));
  (void)give(&h);
  assert_given_up(&h, abuse);
}

/* Makes room for what more is seen; all of it is closed. */
static void forget(hand *h) {
  if (h->server.n < STREAMS_MAX) return;
  for (size_t i = 0; i < STREAMS_MAX; i++)
    t2_head_free_copy(h->server.list[i].head, NULL);
  h->server.n = 0;
}

static void rapid_reset(hand *h, uint32_t i) {
  forget(h);
  request_of(h, 2 * i + 1, get_head, true);
  put_u32(h, RST, 2 * i + 1, T2_H2_CANCEL);
}

static void made_reset(hand *h, uint32_t i) {
  forget(h);
  request_of(h, 2 * i + 1, post_head, false);
  put_u32(h, WINDOW_UPDATE, 2 * i + 1, 0x7fffffff);
}

static void connection_field(hand *h, uint32_t i) {
  static const char field[] = "\x00\x0a"
                              "connection"
                              "\x05"
                              "close";
  uint8_t head[sizeof(get_head) + sizeof(field) - 1];
  memcpy(head, get_head, sizeof(get_head));
  memcpy(head + sizeof(get_head), field, sizeof(field) - 1);
  put(h, HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, head, sizeof(head));
}

static void settings_frame(hand *h, uint32_t i) {
  (void)i;
  put(h, SETTINGS, 0, 0, NULL, 0);
}

static void ping_frame(hand *h, uint32_t i) {
  (void)i;
  put(h, PING, 0, 0, "12345678", 8);
}

static void window_update(hand *h, uint32_t i) {
  (void)i;
  put_u32(h, WINDOW_UPDATE, 0, 1);
}

static void useless_frame(hand *h, uint32_t i) {
  if (i % 2)
    put(h, PRIORITY_UPDATE, 0, 0, "\0\0\0\1u=1", 7);
  else
    put(h, PRIORITY, 0, 1, "\0\0\0\5\1", 5);
}

static void test_resets_are_bounded(void **state) {
  assert_bound(T2_H2_RESETS, 0, rapid_reset);
}

static void test_streams_reset_here_are_bounded(void **state) {
  assert_bound(T2_H2_FAULTS, 0, made_reset);
  assert_bound(T2_H2_FAULTS, 0, connection_field);
}

static void test_settings_and_pings_are_bounded(void **state) {
  assert_bound(T2_H2_SETTINGS, 1, settings_frame);
  assert_bound(T2_H2_PINGS, 0, ping_frame);
}

static void test_updates_and_useless_frames_are_bounded(void **state) {
  assert_bound(T2_H2_WINDOW_UPDATES, 0, window_update);
  assert_bound(T2_H2_OTHER_FRAMES, 1, useless_frame);
}

static void assert_empty_bound(uint8_t flags, const void *payload, size_t n) {
  hand h;
  open_hand(&h);
  request_of(&h, 1, post_head, false);
  for (uint64_t i = 0; i < t2_h2_guard_burst(T2_H2_EMPTY_DATA); i++)
    put(&h, DATA, flags, 1, payload, n);
  assert_int_equal(give(&h), 0);
  put(&h, DATA, flags, 1, payload, n);
  assert_int_equal(give(&h), T2_ERR_PROTOCOL);
  assert_given_up(&h, T2_H2_EMPTY_DATA);
}

static void test_data_without_content_is_bounded(void **state) {
  assert_empty_bound(0, NULL, 0);
  assert_empty_bound(PADDED, "\1\0", 2);
}

static void test_time_forgives(void **state) {
  hand h;
  open_hand(&h);
  for (uint64_t second = 0; second < 200; second++) {
    t2_h2_tick(h.server.h2, 1000 * second);
    for (uint64_t i = 0; i < t2_h2_guard_rate(T2_H2_PINGS); i++)
      ping_frame(&h, 0);
    assert_int_equal(give(&h), 0);
  }
  assert_true(t2_h2_abuse_count(h.server.h2, T2_H2_PINGS) > 10 * t2_h2_guard_burst(T2_H2_PINGS));
  close_hand(&h);
}

/* Who speaks for many others is borne with longer. */
static void test_patience_is_an_option(void **state) {
  hand h;
  open_hand(&h);
  t2_h2_free(h.server.h2);
  h.options.patience = 10;
  t2_buf_fini(&h.server.out);
  assert_int_equal(end_new(&h.server, NULL, &h.options), 0);
  t2_buf_append_c(&h.out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  for (uint64_t i = 0; i < 10 * t2_h2_guard_burst(T2_H2_SETTINGS); i++)
    settings_frame(&h, 0);
  assert_int_equal(give(&h), 0);
  settings_frame(&h, 0);
  (void)give(&h);
  assert_given_up(&h, T2_H2_SETTINGS);
}

/* More acknowledgements than nghttp2 keeps (1,000) end it whatever the patience, and that is said too. */
static void assert_read_at_once(t2_h2_abuse abuse, void (*once)(hand *h, uint32_t i)) {
  hand h;
  open_hand(&h);
  t2_h2_free(h.server.h2);
  h.options.patience = 1000;
  t2_buf_fini(&h.server.out);
  assert_int_equal(end_new(&h.server, NULL, &h.options), 0);
  t2_buf_append_c(&h.out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  put(&h, SETTINGS, 0, 0, NULL, 0);
  assert_int_equal(give(&h), 0);
  for (uint32_t i = 0; i < 1001; i++)
    once(&h, i);
  assert_int_equal(give(&h), T2_ERR_PROTOCOL);
  assert_given_up(&h, abuse);
}

static void test_what_is_to_be_acknowledged_at_once_is_bounded(void **state) {
  assert_read_at_once(T2_H2_PINGS, ping_frame);
  assert_read_at_once(T2_H2_SETTINGS, settings_frame);
}

/* ---- Heads ---- */

static void continuations(hand *h, size_t n) {
  put(h, HEADERS, END_STREAM, 1, get_head, sizeof(get_head));
  for (size_t i = 0; i + 1 < n; i++)
    put(h, CONTINUATION, 0, 1, NULL, 0);
  put(h, CONTINUATION, END_HEADERS, 1, NULL, 0);
}

static void test_continuations_are_bounded(void **state) {
  hand h;
  open_hand(&h);
  continuations(&h, 7);
  assert_int_equal(give(&h), 0);
  assert_int_equal(h.server.list[0].heads, 1);
  close_hand(&h);
  open_hand(&h);
  continuations(&h, 8);
  assert_int_equal(give(&h), T2_ERR_PROTOCOL);
  assert_int_equal(h.server.n, 0);
  assert_given_up(&h, T2_H2_CONTINUATIONS);
}

/* A field of 4,000 bytes in the table, and a byte for each time it is meant. */
static void bomb(hand *h, size_t n) {
  static uint8_t head[sizeof(get_head) + 8 + 4000 + 4000];
  uint8_t *p = head + sizeof(get_head);
  memcpy(head, get_head, sizeof(get_head));
  *p++ = 0x40;
  *p++ = 1;
  *p++ = 'b';
  *p++ = 0x7f; /* 4000 as a 7-bit prefix integer (RFC 7541, 5.1) */
  *p++ = 0x80 | ((4000 - 127) & 0x7f);
  *p++ = (4000 - 127) >> 7;
  memset(p, 'b', 4000);
  p += 4000;
  memset(p, 0xbe, n); /* the newest entry of the table */
  put(h, HEADERS, END_HEADERS | END_STREAM, 1, head, (size_t)(p - head) + n);
}

static void test_heads_many_times_too_large_end_the_connection(void **state) {
  hand h;
  size_t most;
  open_hand(&h);
  most = 16 * h.options.field_section_max / 4033;
  bomb(&h, most - 2);
  assert_int_equal(give(&h), 0);
  assert_int_equal(goaway(&h), NO_GOAWAY); /* 431 */
  close_hand(&h);
  open_hand(&h);
  bomb(&h, most);
  assert_int_equal(give(&h), T2_ERR_PROTOCOL);
  assert_given_up(&h, T2_H2_HEAD_BOMBS);
}

static void assert_field_is_malformed(const char *name, size_t name_n, const char *value, size_t value_n) {
  hand h;
  uint8_t head[256];
  size_t n = sizeof(get_head);
  open_hand(&h);
  memcpy(head, get_head, n);
  head[n++] = 0;
  head[n++] = (uint8_t)name_n;
  memcpy(head + n, name, name_n);
  n += name_n;
  head[n++] = (uint8_t)value_n;
  memcpy(head + n, value, value_n);
  n += value_n;
  put(&h, HEADERS, END_HEADERS | END_STREAM, 1, head, n);
  assert_int_equal(give(&h), 0);
  assert_int_equal(h.server.n, 0);
  assert_int_equal(sent_code(&h, RST, 0), T2_H2_PROTOCOL_ERROR);
  assert_int_equal(t2_h2_abuse_count(h.server.h2, T2_H2_FAULTS), 1);
  assert_int_equal(goaway(&h), NO_GOAWAY);
  close_hand(&h);
}

static void test_fields_that_would_split_a_message_are_malformed(void **state) {
  const struct {
    const char *name, *value;
    size_t value_n;
  } cases[] = {{"x", "a\r\nb: c", 7},
               {"x", "a\nb", 3},
               {"x", "a\rb", 3},
               {"x", "a\0b", 3},
               {"x\r\n", "a", 1},
               {"x y", "a", 1},
               {"X", "a", 1},
               {"connection", "x", 1},
               {"keep-alive", "5", 1},
               {"upgrade", "x", 1},
               {"te", "gzip", 4},
               {"transfer-encoding", "chunked", 7},
               {"proxy-connection", "x", 1},
               {"host", "other", 5}};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_field_is_malformed(cases[i].name, strlen(cases[i].name), cases[i].value, cases[i].value_n);
}

/* ---- Streams that are past ---- */

static void answer_empty(end *e, seen *s) {
  (void)e;
  assert_int_equal(respond(s, 204, true), 0);
}

static void test_head_on_a_stream_that_has_ended_is_an_error(void **state) {
  hand h;
  open_hand(&h);
  h.server.on_request = answer_empty;
  request_of(&h, 1, get_head, true);
  assert_int_equal(give(&h), 0);
  request_of(&h, 1, get_head, true);
  assert_int_equal(give(&h), T2_ERR_PROTOCOL);
  assert_int_equal(goaway(&h), 5); /* STREAM_CLOSED */
  close_hand(&h);
}

static void test_data_on_a_stream_that_has_ended_is_an_error(void **state) {
  for (int reset = 0; reset < 2; reset++) {
    hand h;
    open_hand(&h);
    h.server.on_request = reset ? NULL : answer_empty;
    request_of(&h, 1, reset ? post_head : get_head, !reset);
    if (reset) put_u32(&h, RST, 1, T2_H2_CANCEL);
    request_of(&h, 3, post_head, false);
    put(&h, DATA, 0, 3, "x", 1);
    assert_int_equal(give(&h), 0);
    put(&h, DATA, END_STREAM, 3, NULL, 0);
    put(&h, DATA, 0, 1, "x", 1);
    assert_int_equal(give(&h), T2_ERR_PROTOCOL);
    assert_int_equal(goaway(&h), 5);            /* STREAM_CLOSED */
    assert_int_equal(h.server.list[1].ends, 1); /* what came before was read */
    close_hand(&h);
  }
}

/* All in one read, so that nothing of it was known before, and nghttp2 still has the stream. */
static void test_what_comes_after_the_end_is_seen_within_a_read(void **state) {
  hand h;
  open_hand(&h);
  h.server.on_request = answer_empty;
  request_of(&h, 1, get_head, true);
  put(&h, DATA, 0, 1, "x", 1);
  (void)give(&h);
  assert_int_equal(h.server.list[0].heads, 1);
  assert_int_equal(goaway(&h), 5); /* STREAM_CLOSED */
  close_hand(&h);
}

static void test_a_stream_that_depends_on_itself_is_an_error(void **state) {
  hand h;
  open_hand(&h);
  put(&h, PRIORITY, 0, 3, "\0\0\0\1\1", 5);
  assert_int_equal(give(&h), 0);
  put(&h, PRIORITY, 0, 3, "\0\0\0\3\1", 5);
  assert_int_equal(give(&h), T2_ERR_PROTOCOL);
  assert_int_equal(goaway(&h), T2_H2_PROTOCOL_ERROR);
  close_hand(&h);
}

static void test_head_on_a_stream_that_was_skipped_is_an_error(void **state) {
  hand h;
  open_hand(&h);
  request_of(&h, 5, get_head, true);
  assert_int_equal(give(&h), 0);
  request_of(&h, 3, get_head, true);
  assert_int_equal(give(&h), T2_ERR_PROTOCOL);
  assert_int_equal(goaway(&h), T2_H2_PROTOCOL_ERROR);
  close_hand(&h);
}

/* The peer could not know yet (RFC 9113, 5.1). */
static void test_what_was_reset_here_may_still_come(void **state) {
  hand h;
  open_hand(&h);
  request_of(&h, 1, post_head, false);
  assert_int_equal(give(&h), 0);
  t2_h2_stream_reset(h.server.list[0].stream, T2_H2_CANCEL);
  assert_int_equal(give(&h), 0);
  assert_int_equal(h.server.list[0].closes, 1);
  put(&h, DATA, 0, 1, "x", 1);
  request_of(&h, 1, get_head, true); /* trailers, to nghttp2 */
  assert_int_equal(give(&h), 0);
  assert_int_equal(goaway(&h), NO_GOAWAY);
  close_hand(&h);
}

/* What is no longer remembered is passed over. */
static void test_streams_are_forgotten_without_harm(void **state) {
  hand h;
  open_hand(&h);
  h.server.on_request = answer_empty;
  for (uint32_t i = 0; i < 1000; i++) {
    forget(&h);
    request_of(&h, 2 * i + 1, get_head, true);
    assert_int_equal(give(&h), 0);
  }
  request_of(&h, 1, get_head, true);
  assert_int_equal(give(&h), 0);
  close_hand(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_resets_are_bounded),
      cmocka_unit_test(test_streams_reset_here_are_bounded),
      cmocka_unit_test(test_settings_and_pings_are_bounded),
      cmocka_unit_test(test_updates_and_useless_frames_are_bounded),
      cmocka_unit_test(test_data_without_content_is_bounded),
      cmocka_unit_test(test_time_forgives),
      cmocka_unit_test(test_patience_is_an_option),
      cmocka_unit_test(test_what_is_to_be_acknowledged_at_once_is_bounded),
      cmocka_unit_test(test_continuations_are_bounded),
      cmocka_unit_test(test_heads_many_times_too_large_end_the_connection),
      cmocka_unit_test(test_fields_that_would_split_a_message_are_malformed),
      cmocka_unit_test(test_head_on_a_stream_that_has_ended_is_an_error),
      cmocka_unit_test(test_data_on_a_stream_that_has_ended_is_an_error),
      cmocka_unit_test(test_what_comes_after_the_end_is_seen_within_a_read),
      cmocka_unit_test(test_a_stream_that_depends_on_itself_is_an_error),
      cmocka_unit_test(test_head_on_a_stream_that_was_skipped_is_an_error),
      cmocka_unit_test(test_what_was_reset_here_may_still_come),
      cmocka_unit_test(test_streams_are_forgotten_without_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
