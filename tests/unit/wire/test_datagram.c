#include <t2_test_mem.h>

#include <tunnel2/error.h>
#include <tunnel2/frame.h>
#include <wire/datagram.h>

/* What a reader delivers, as a text: "5:hello;". */
typedef struct seen {
  t2_buf text;
  int answer;
  size_t count, last;
} seen;

static int on_datagram(const uint8_t *bytes, size_t n, void *user) {
  seen *s = user;
  s->count++;
  s->last = n;
  if (n < 100) t2_buf_printf(&s->text, "%zu:%.*s;", n, (int)n, (const char *)bytes);
  return s->answer;
}

typedef struct setting {
  t2_datagram_reader reader;
  seen seen;
} setting;

static void open_setting(setting *s, const t2_allocator *mem) {
  *s = (setting){0};
  t2_buf_init(&s->seen.text, NULL);
  t2_datagram_reader_init(&s->reader, mem, on_datagram, &s->seen);
}

static void close_setting(setting *s) {
  t2_datagram_reader_fini(&s->reader);
  t2_buf_fini(&s->seen.text);
}

static int feed(setting *s, const void *bytes, size_t n, size_t piece) {
  const uint8_t *at = bytes;
  int err = 0;
  for (size_t i = 0; i < n && err == 0; i += piece)
    err = t2_datagram_reader_feed(&s->reader, at + i, n - i < piece ? n - i : piece);
  return err;
}

/* A capsule with a value of so many zeros (context id 0, and a payload one shorter). */
static size_t write_capsule(uint8_t *out, uint64_t type, size_t value) {
  size_t n = (size_t)t2_varint_encode(type, out, 8);
  n += (size_t)t2_varint_encode(value, out + n, 8);
  memset(out + n, 0, value);
  return n + value;
}

static void test_what_is_written_is_read(void **state) {
  static uint8_t bytes[T2_DATAGRAM_HEADER_MAX + T2_DATAGRAM_MAX];
  const size_t sizes[] = {0, 1, 61, 62, 63, 64, 16381, 16382, 16383, 65507, T2_DATAGRAM_MAX};
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(sizes); i++) {
    setting s;
    open_setting(&s, NULL);
    size_t n = t2_datagram_header(bytes, sizes[i]);
    assert_true(n <= T2_DATAGRAM_HEADER_MAX);
    assert_int_equal(feed(&s, bytes, n + sizes[i], n + sizes[i]), 0);
    assert_int_equal(feed(&s, bytes, n + sizes[i], 1000), 0);
    assert_int_equal(s.seen.count, 2);
    assert_int_equal(s.seen.last, sizes[i]);
    close_setting(&s);
  }
}

static void test_pieces_of_any_size_give_the_same(void **state) {
  /* a datagram, an empty one, another capsule, another context, lengths longer than need be, a datagram */
  static const char stream[] =
      "\0\6\0hello\0\1\0\x21\3abc\0\3\7xx\x40\0\x80\0\0\3\0yo\xc0\0\0\0\0\0\1\0\0\0\2\0z";
  (void)state;
  for (size_t piece = 1; piece < sizeof(stream); piece++) {
    setting s;
    open_setting(&s, NULL);
    assert_int_equal(feed(&s, stream, sizeof(stream) - 1, piece), 0);
    assert_string_equal(t2_buf_cstr(&s.seen.text), "5:hello;0:;2:yo;1:z;");
    close_setting(&s);
  }
}

static void test_nothing_is_held_between_two(void **state) {
  t2_test_mem mem;
  setting s;
  (void)state;
  t2_test_mem_init(&mem);
  open_setting(&s, &mem.hook);
  assert_int_equal(feed(&s, "\0\6\0hel", 6, 6), 0);
  assert_int_equal(mem.live, 1);
  assert_int_equal(feed(&s, "lo", 2, 2), 0);
  assert_int_equal(mem.live, 0);
  assert_int_equal(feed(&s, "\x21\x80\x10\0\0garbage", 12, 1), 0);
  assert_int_equal(mem.live, 0);
  close_setting(&s);
  t2_test_mem_check(&mem);
}

static void check_bound(size_t value, int expected) {
  static uint8_t bytes[T2_DATAGRAM_VALUE_MAX + 64];
  const size_t pieces[] = {sizeof(bytes), 1000, 1};
  for (size_t i = 0; i < T2_COUNT_OF(pieces); i++) {
    setting s;
    open_setting(&s, NULL);
    size_t n = write_capsule(bytes, 0, value);
    assert_int_equal(feed(&s, bytes, n, pieces[i]), expected);
    assert_int_equal(t2_datagram_reader_feed(&s.reader, bytes, 1), expected); /* it lasts */
    assert_int_equal(s.seen.count, expected ? 0 : 1);
    close_setting(&s);
  }
}

static void test_a_payload_has_a_bound(void **state) {
  (void)state;
  check_bound(T2_DATAGRAM_MAX + 1, 0);
  check_bound(T2_DATAGRAM_MAX + 2, T2_ERR_LIMIT);
  check_bound(T2_DATAGRAM_VALUE_MAX, T2_ERR_LIMIT);
}

static void test_a_longer_capsule_is_refused_before_it_has_come(void **state) {
  uint8_t header[16];
  (void)state;
  for (size_t piece = 1; piece < 16; piece += 7) {
    setting s;
    open_setting(&s, NULL);
    size_t n = 1;
    header[0] = 0;
    n += (size_t)t2_varint_encode(T2_DATAGRAM_VALUE_MAX + 1, header + 1, 8);
    assert_int_equal(feed(&s, header, n, piece), T2_ERR_LIMIT);
    close_setting(&s);
  }
}

static void test_other_capsules_may_be_of_any_length(void **state) {
  uint8_t bytes[32];
  setting s;
  (void)state;
  open_setting(&s, NULL);
  size_t n = (size_t)t2_varint_encode(T2_VARINT_MAX, bytes, 8);
  n += (size_t)t2_varint_encode(T2_VARINT_MAX, bytes + n, 8);
  assert_int_equal(feed(&s, bytes, n, 3), 0);
  assert_int_equal(feed(&s, "\0\2\0x", 4, 4), 0);
  assert_int_equal(s.seen.count, 0);
  close_setting(&s);
}

static void test_a_capsule_without_a_context_id_is_an_error(void **state) {
  setting s;
  (void)state;
  open_setting(&s, NULL);
  assert_int_equal(feed(&s, "\0\0", 2, 2), T2_ERR_PROTOCOL);
  close_setting(&s);
  open_setting(&s, NULL);
  assert_int_equal(feed(&s, "\0\1\x40", 3, 1), T2_ERR_PROTOCOL);
  close_setting(&s);
}

static void test_what_the_callee_returns_stops_it(void **state) {
  setting s;
  (void)state;
  open_setting(&s, NULL);
  s.seen.answer = T2_ERR_CANCELLED;
  assert_int_equal(feed(&s, "\0\2\0a\0\2\0b", 8, 8), T2_ERR_CANCELLED);
  assert_string_equal(t2_buf_cstr(&s.seen.text), "1:a;");
  close_setting(&s);
}

static void read_in_pieces(t2_test_mem *mem, void *user) {
  static uint8_t bytes[20000];
  setting s;
  (void)user;
  open_setting(&s, &mem->hook);
  size_t n = write_capsule(bytes, 0, 10000);
  int err = feed(&s, bytes, n, 1);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  assert_int_equal(s.seen.count, mem->failed ? 0 : 1);
  close_setting(&s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(read_in_pieces, NULL) > 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_written_is_read),
      cmocka_unit_test(test_pieces_of_any_size_give_the_same),
      cmocka_unit_test(test_nothing_is_held_between_two),
      cmocka_unit_test(test_a_payload_has_a_bound),
      cmocka_unit_test(test_a_longer_capsule_is_refused_before_it_has_come),
      cmocka_unit_test(test_other_capsules_may_be_of_any_length),
      cmocka_unit_test(test_a_capsule_without_a_context_id_is_an_error),
      cmocka_unit_test(test_what_the_callee_returns_stops_it),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
