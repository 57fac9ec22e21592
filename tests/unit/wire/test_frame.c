#include <t2_test_mem.h>

#include <base/mem.h>
#include <tunnel2/frame.h>

/* ---- What a decoder hands out, written down ---- */

typedef struct seen {
  size_t count;
  uint64_t type[8];
  uint8_t value[8][64];
  size_t n[8];
  int answer; /* what on_frame returns */
} seen;

static int write_down(uint64_t type, const uint8_t *value, size_t n, void *user) {
  seen *s = user;

  assert_true(s->count < T2_COUNT_OF(s->type));
  assert_true(n <= sizeof(s->value[0]));
  s->type[s->count] = type;
  if (n) memcpy(s->value[s->count], value, n);
  s->n[s->count++] = n;
  return s->answer;
}

static bool only_seven(uint64_t type, void *user) {
  return type == 7;
}

/* Feeds a copy that is exactly as long as the piece, so that a sanitizer sees what is read past it. */
static int feed(t2_frame_decoder *decoder, const uint8_t *bytes, size_t n) {
  uint8_t *piece = malloc(n ? n : 1);

  memcpy(piece, bytes, n);
  int r = t2_frame_decoder_feed(decoder, piece, n);
  free(piece);
  return r;
}

static int feed_in_pieces(t2_frame_decoder *decoder, const uint8_t *bytes, size_t n, size_t piece) {
  for (size_t at = 0; at < n; at += piece) {
    int r = feed(decoder, bytes + at, n - at < piece ? n - at : piece);
    if (r) return r;
  }
  return 0;
}

/* ---- Encoding ---- */

static void test_a_frame_has_the_form_of_the_protocol(void **state) {
  /* Lengths that are known last take four bytes; those of fields one. */
  static const uint8_t expected[] = {0x07, 0x80, 0x00, 0x00, 0x13, 0x01, 0x02, 'h',  'i',  0x02,
                                     0x02, 0x7b, 0xbd, 0x09, 0x80, 0x00, 0x00, 0x03, 0x0a, 0x01,
                                     'x',  0x03, 0x01, 0x25, 0x08, 0x80, 0x00, 0x00, 0x00};
  uint8_t out[64];
  t2_frame_writer w;

  t2_frame_writer_init(&w, out, sizeof(out));
  assert_int_equal(t2_frame_begin(&w, 7), 0);
  assert_int_equal(t2_frame_put_bytes(&w, 1, "hi", 2), 0);
  assert_int_equal(t2_frame_put_u64(&w, 2, 15293), 0);
  assert_int_equal(t2_frame_begin_list(&w, 9), 0);
  assert_int_equal(t2_frame_put_bytes(&w, 10, "x", 1), 0);
  assert_int_equal(t2_frame_end_list(&w), 0);
  assert_int_equal(t2_frame_put_u64(&w, 3, 37), 0);
  assert_int_equal(t2_frame_end(&w), 0);
  assert_int_equal(t2_frame_begin(&w, 8), 0);
  assert_int_equal(t2_frame_end(&w), 0);
  assert_int_equal(w.len, sizeof(expected));
  assert_memory_equal(out, expected, sizeof(expected));
}

static int write_sample(t2_frame_writer *w) {
  t2_frame_begin(w, 7);
  t2_frame_put_bytes(w, 1, "hello", 5);
  t2_frame_begin_list(w, 9);
  t2_frame_put_u64(w, 10, 1u << 20);
  t2_frame_end_list(w);
  return t2_frame_end(w);
}

static void test_exactly_enough_room_is_enough_and_one_less_is_not(void **state) {
  uint8_t out[64];
  t2_frame_writer w;

  t2_frame_writer_init(&w, out, sizeof(out));
  assert_int_equal(write_sample(&w), 0);
  size_t whole = w.len;
  for (size_t cap = 0; cap <= whole; cap++) {
    uint8_t *room = malloc(cap ? cap : 1);
    t2_frame_writer_init(&w, cap ? room : NULL, cap);
    assert_int_equal(write_sample(&w), cap == whole ? 0 : T2_ERR_LIMIT);
    assert_int_equal(w.len, cap == whole ? whole : 0);
    free(room);
  }
}

static void test_an_error_sticks_and_keeps_the_finished_frames(void **state) {
  uint8_t out[40], before[40];
  t2_frame_writer w;

  t2_frame_writer_init(&w, out, sizeof(out));
  assert_int_equal(write_sample(&w), 0);
  size_t finished = w.len;
  memcpy(before, out, finished);
  assert_int_equal(t2_frame_begin(&w, 8), 0);
  assert_int_equal(t2_frame_put_bytes(&w, 1, "a value that is longer than the room left", 41), T2_ERR_LIMIT);
  assert_int_equal(t2_frame_put_u64(&w, 1, 1), T2_ERR_LIMIT);
  assert_int_equal(t2_frame_put_bytes(&w, 1, "", 0), T2_ERR_LIMIT);
  assert_int_equal(t2_frame_begin_list(&w, 1), T2_ERR_LIMIT);
  assert_int_equal(t2_frame_end_list(&w), T2_ERR_LIMIT);
  assert_int_equal(t2_frame_end(&w), T2_ERR_LIMIT);
  assert_int_equal(t2_frame_begin(&w, 8), T2_ERR_LIMIT);
  assert_int_equal(w.len, finished);
  assert_memory_equal(out, before, finished);
}

typedef enum call { BEGIN, BYTES, U64, LIST, END_LIST, END } call;

static int make_call(t2_frame_writer *w, call which) {
  switch (which) {
  case BEGIN:
    return t2_frame_begin(w, 1);
  case BYTES:
    return t2_frame_put_bytes(w, 1, "x", 1);
  case U64:
    return t2_frame_put_u64(w, 1, 1);
  case LIST:
    return t2_frame_begin_list(w, 1);
  case END_LIST:
    return t2_frame_end_list(w);
  default:
    return t2_frame_end(w);
  }
}

static void test_calls_out_of_order_are_refused(void **state) {
  const struct {
    call calls[4];
    size_t n; /* the last of them is the wrong one */
  } cases[] = {
      {{BYTES}, 1},
      {{U64}, 1},
      {{LIST}, 1},
      {{END_LIST}, 1},
      {{END}, 1},
      {{BEGIN, BEGIN}, 2},
      {{BEGIN, END_LIST}, 2},
      {{BEGIN, LIST, LIST}, 3},
      {{BEGIN, LIST, END}, 3},
      {{BEGIN, LIST, BEGIN}, 3},
      {{BEGIN, LIST, END_LIST, END_LIST}, 4},
      {{BEGIN, BYTES, END, U64}, 4},
  };
  uint8_t out[64];

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    t2_frame_writer w;
    t2_frame_writer_init(&w, out, sizeof(out));
    for (size_t j = 0; j < cases[i].n; j++)
      assert_int_equal(make_call(&w, cases[i].calls[j]), j + 1 < cases[i].n ? 0 : T2_ERR_STATE);
    assert_int_equal(w.error, T2_ERR_STATE);
  }
}

static void test_numbers_past_the_largest_varint_are_refused(void **state) {
  uint8_t out[64];
  t2_frame_writer w;

  t2_frame_writer_init(&w, out, sizeof(out));
  assert_int_equal(t2_frame_begin(&w, T2_VARINT_MAX + 1), T2_ERR_INVALID);
  t2_frame_writer_init(&w, out, sizeof(out));
  t2_frame_begin(&w, T2_VARINT_MAX);
  assert_int_equal(t2_frame_put_u64(&w, T2_VARINT_MAX, T2_VARINT_MAX), 0);
  assert_int_equal(t2_frame_put_u64(&w, 1, T2_VARINT_MAX + 1), T2_ERR_INVALID);
  t2_frame_writer_init(&w, out, sizeof(out));
  t2_frame_begin(&w, 1);
  assert_int_equal(t2_frame_put_bytes(&w, T2_VARINT_MAX + 1, "", 0), T2_ERR_INVALID);
  t2_frame_writer_init(&w, out, sizeof(out));
  t2_frame_begin(&w, 1);
  assert_int_equal(t2_frame_put_bytes(&w, 1, out, SIZE_MAX), T2_ERR_INVALID);
}

/* ---- Decoding ---- */

/* Three frames, with headers of many sizes, an empty value, and one of another type between. */
static size_t write_stream(uint8_t *out, size_t cap) {
  static const uint8_t stream[] = {
      0x07, 0x03, 'a',  'b',  'c',                  /* shortest */
      0x80, 0x00, 0x00, 0x08, 0x40, 0x02, 'd', 'e', /* type in four bytes, length in two */
      0xc0, 0,    0,    0,    0,    0,    0,   0x07, 0xc0, 0, 0, 0, 0, 0, 0, 0, /* longest header, empty */
      0x07, 0x00,                                                               /* shortest, empty */
      0x07, 0x04, 'f',  'g',  'h',  'i',
  };
  assert_true(sizeof(stream) <= cap);
  memcpy(out, stream, sizeof(stream));
  return sizeof(stream);
}

static void check_stream(const seen *s, bool all) {
  const struct {
    uint64_t type;
    const char *value;
  } frames[] = {{7, "abc"}, {8, "de"}, {7, ""}, {7, ""}, {7, "fghi"}};
  size_t at = 0;

  for (size_t i = 0; i < T2_COUNT_OF(frames); i++) {
    if (!all && frames[i].type != 7) continue;
    assert_int_equal(s->type[at], frames[i].type);
    assert_int_equal(s->n[at], strlen(frames[i].value));
    assert_memory_equal(s->value[at], frames[i].value, s->n[at]);
    at++;
  }
  assert_int_equal(s->count, at);
}

static void test_pieces_of_any_size_give_the_same_frames(void **state) {
  uint8_t stream[64], buffer[2 * T2_VARINT_SIZE_MAX];
  size_t n = write_stream(stream, sizeof(stream));

  for (int filtered = 0; filtered < 2; filtered++)
    for (size_t piece = 1; piece <= n; piece++) {
      seen s = {0};
      t2_frame_decoder d;
      t2_frame_decoder_init(&d, buffer, sizeof(buffer), write_down, &s);
      if (filtered) t2_frame_decoder_set_filter(&d, only_seven);
      assert_int_equal(feed_in_pieces(&d, stream, n, piece), 0);
      assert_int_equal(t2_frame_decoder_finish(&d), 0);
      check_stream(&s, !filtered);
    }
}

static void test_a_stream_cut_inside_a_frame_is_noticed(void **state) {
  uint8_t stream[64], buffer[64];
  size_t n = write_stream(stream, sizeof(stream));
  const size_t ends[] = {0, 5, 13, 29, 31, 37};

  for (size_t cut = 0, end = 0; cut <= n; cut++) {
    seen s = {0};
    t2_frame_decoder d;
    t2_frame_decoder_init(&d, buffer, sizeof(buffer), write_down, &s);
    t2_frame_decoder_set_filter(&d, only_seven);
    assert_int_equal(feed(&d, stream, cut), 0);
    bool whole = cut == ends[end];
    assert_int_equal(t2_frame_decoder_finish(&d), whole ? 0 : T2_ERR_PROTOCOL);
    if (whole) end++;
  }
}

static void test_the_longest_frame_fits_and_one_byte_more_does_not(void **state) {
  const uint8_t fits[16] = {7, 14}, too_long[17] = {7, 15};
  uint8_t buffer[16];

  for (size_t piece = 1; piece <= 17; piece++) {
    seen s = {0};
    t2_frame_decoder d;
    t2_frame_decoder_init(&d, buffer, sizeof(buffer), write_down, &s);
    assert_int_equal(feed_in_pieces(&d, fits, sizeof(fits), piece), 0);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.n[0], 14);
    assert_int_equal(feed_in_pieces(&d, too_long, sizeof(too_long), piece), T2_ERR_LIMIT);
    assert_int_equal(feed(&d, fits, sizeof(fits)), T2_ERR_LIMIT);
    assert_int_equal(t2_frame_decoder_finish(&d), T2_ERR_LIMIT);
    assert_int_equal(s.count, 1);
  }
}

static void test_an_announced_length_beyond_any_memory_is_refused_at_once(void **state) {
  const uint8_t huge[] = {7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  uint8_t buffer[64];
  seen s = {0};
  t2_frame_decoder d;

  t2_frame_decoder_init(&d, buffer, sizeof(buffer), write_down, &s);
  assert_int_equal(feed(&d, huge, sizeof(huge) - 1), 0);
  assert_int_equal(feed(&d, huge + sizeof(huge) - 1, 1), T2_ERR_LIMIT);
}

static void test_a_frame_nobody_wants_may_be_of_any_length(void **state) {
  const uint8_t header[] = {8, 0x80, 0x01, 0x00, 0x00}, wanted[] = {7, 1, 'x'};
  uint8_t buffer[16], filler[1000] = {0};

  for (size_t piece = 1; piece <= sizeof(header); piece++) {
    seen s = {0};
    t2_frame_decoder d;
    t2_frame_decoder_init(&d, buffer, sizeof(buffer), write_down, &s);
    t2_frame_decoder_set_filter(&d, only_seven);
    assert_int_equal(feed_in_pieces(&d, header, sizeof(header), piece), 0);
    for (size_t left = 0x10000; left;) {
      size_t n = left < sizeof(filler) ? left : sizeof(filler);
      assert_int_equal(t2_frame_decoder_finish(&d), T2_ERR_PROTOCOL);
      assert_int_equal(feed(&d, filler, n), 0);
      left -= n;
    }
    assert_int_equal(t2_frame_decoder_finish(&d), 0);
    assert_int_equal(feed(&d, wanted, sizeof(wanted)), 0);
    assert_int_equal(s.count, 1);
  }
}

static void test_what_the_callback_returns_stops_and_is_handed_on(void **state) {
  const uint8_t two[] = {7, 1, 'x', 7, 1, 'y'};
  uint8_t buffer[16];
  seen s = {.answer = T2_ERR_CANCELLED};
  t2_frame_decoder d;

  t2_frame_decoder_init(&d, buffer, sizeof(buffer), write_down, &s);
  assert_int_equal(feed(&d, two, sizeof(two)), T2_ERR_CANCELLED);
  assert_int_equal(s.count, 1);
}

static int free_it(uint64_t type, const uint8_t *value, size_t n, void *user) {
  t2_frame_decoder *d = user;

  free(d->buffer);
  free(d);
  return 1;
}

static void test_the_callback_may_free_the_decoder(void **state) {
  const uint8_t frames[] = {7, 1, 'x', 7, 1, 'y'};

  for (size_t piece = 1; piece <= sizeof(frames); piece++) {
    t2_frame_decoder *d = malloc(sizeof(*d));
    t2_frame_decoder_init(d, malloc(16), 16, free_it, d);
    assert_int_equal(feed_in_pieces(d, frames, sizeof(frames), piece), 1);
  }
}

/* ---- Fields ---- */

static void test_fields_are_walked_in_order(void **state) {
  const uint8_t value[] = {1, 2, 'h', 'i', 0x40, 0x02, 0x80, 0, 0, 0, 1, 1, 'x'};
  const struct {
    uint64_t key;
    const char *bytes;
  } expected[] = {{1, "hi"}, {2, ""}, {1, "x"}};
  size_t at = 0, n;
  uint64_t key;
  const uint8_t *bytes;

  for (size_t i = 0; i < T2_COUNT_OF(expected); i++) {
    assert_int_equal(t2_frame_next_field(value, sizeof(value), &at, &key, &bytes, &n), 1);
    assert_int_equal(key, expected[i].key);
    assert_int_equal(n, strlen(expected[i].bytes));
    assert_memory_equal(bytes, expected[i].bytes, n);
  }
  assert_int_equal(t2_frame_next_field(value, sizeof(value), &at, &key, &bytes, &n), 0);
  at = 0;
  assert_int_equal(t2_frame_next_field(NULL, 0, &at, &key, &bytes, &n), 0);
}

static void test_a_field_that_does_not_fit_is_refused(void **state) {
  const struct {
    uint8_t value[10];
    size_t n;
  } cases[] = {{{1}, 1},
               {{0x40}, 1},
               {{1, 0x40}, 2},
               {{1, 2, 'h'}, 3},
               {{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x'}, 10}};

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    size_t at = 0, n;
    uint64_t key, number;
    const uint8_t *bytes;
    uint8_t *value = malloc(cases[i].n);
    memcpy(value, cases[i].value, cases[i].n);
    assert_int_equal(t2_frame_next_field(value, cases[i].n, &at, &key, &bytes, &n), T2_ERR_PROTOCOL);
    assert_int_equal(at, 0);
    assert_int_equal(t2_frame_find_bytes(value, cases[i].n, 1, &bytes, &n), T2_ERR_PROTOCOL);
    assert_int_equal(t2_frame_find_u64(value, cases[i].n, 1, &number), T2_ERR_PROTOCOL);
    free(value);
  }
}

static void test_the_first_field_with_a_key_is_found(void **state) {
  const uint8_t value[] = {2, 1, 0x25, 1, 1, 'a', 1, 1, 'b', 3, 2, 0x7b, 0xbd};
  const uint8_t *bytes;
  uint64_t number;
  size_t n;

  assert_int_equal(t2_frame_find_bytes(value, sizeof(value), 1, &bytes, &n), 1);
  assert_int_equal(n, 1);
  assert_int_equal(bytes[0], 'a');
  assert_int_equal(t2_frame_find_u64(value, sizeof(value), 2, &number), 1);
  assert_int_equal(number, 37);
  assert_int_equal(t2_frame_find_u64(value, sizeof(value), 3, &number), 1);
  assert_int_equal(number, 15293);
  assert_int_equal(t2_frame_find_bytes(value, sizeof(value), 4, &bytes, &n), 0);
  assert_int_equal(t2_frame_find_u64(value, sizeof(value), 4, &number), 0);
}

static void test_a_number_fills_its_field_whole(void **state) {
  const uint8_t cases[][4] = {{1, 0}, {1, 1, 0x40}, {1, 2, 0x25, 0x25}};
  const size_t lengths[] = {2, 3, 4};
  uint64_t number = 4711;

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_int_equal(t2_frame_find_u64(cases[i], lengths[i], 1, &number), T2_ERR_PROTOCOL);
  assert_int_equal(number, 4711);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_frame_has_the_form_of_the_protocol),
      cmocka_unit_test(test_exactly_enough_room_is_enough_and_one_less_is_not),
      cmocka_unit_test(test_an_error_sticks_and_keeps_the_finished_frames),
      cmocka_unit_test(test_calls_out_of_order_are_refused),
      cmocka_unit_test(test_numbers_past_the_largest_varint_are_refused),
      cmocka_unit_test(test_pieces_of_any_size_give_the_same_frames),
      cmocka_unit_test(test_a_stream_cut_inside_a_frame_is_noticed),
      cmocka_unit_test(test_the_longest_frame_fits_and_one_byte_more_does_not),
      cmocka_unit_test(test_an_announced_length_beyond_any_memory_is_refused_at_once),
      cmocka_unit_test(test_a_frame_nobody_wants_may_be_of_any_length),
      cmocka_unit_test(test_what_the_callback_returns_stops_and_is_handed_on),
      cmocka_unit_test(test_the_callback_may_free_the_decoder),
      cmocka_unit_test(test_fields_are_walked_in_order),
      cmocka_unit_test(test_a_field_that_does_not_fit_is_refused),
      cmocka_unit_test(test_the_first_field_with_a_key_is_found),
      cmocka_unit_test(test_a_number_fills_its_field_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
