#include <t2_test_mem.h>

#include <base/buf.h>
#include <http/h2_scan.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* HEADERS of 3 bytes, an empty DATA with a reserved bit, a PRIORITY, and one of the wrong length. */
static const char frames[] = PREFACE "\0\0\3\1\5\0\0\0\1abc"
                                     "\0\0\0\0\1\x80\0\0\1"
                                     "\0\0\5\2\0\0\0\0\7\x80\0\0\7\1"
                                     "\0\0\4\2\0\0\0\1\0\0\0\0\7"
                                     "\0\0\0\4\1\0\0\0\0";
static const t2_h2_scanned expected[] = {
    {3, 1, 5, 1, 0}, {0, 0, 1, 1, 0}, {5, 2, 0, 7, 7}, {4, 2, 0, 256, 0}, {0, 4, 1, 0, 0}};

static void assert_same(const t2_h2_scanned *a, const t2_h2_scanned *b) {
  assert_int_equal(a->length, b->length);
  assert_int_equal(a->type, b->type);
  assert_int_equal(a->flags, b->flags);
  assert_int_equal(a->stream, b->stream);
  assert_int_equal(a->depends_on, b->depends_on);
}

/* Memory of the chunk's own, so that nothing is read past it unseen. */
static size_t scan_chunk(t2_h2_scan *scan, const uint8_t *bytes, size_t n, size_t seen) {
  uint8_t *chunk = malloc(n);
  const uint8_t *at = chunk;
  t2_h2_scanned frame;
  memcpy(chunk, bytes, n);
  while (t2_h2_scan_next(scan, &at, chunk + n, &frame)) {
    assert_true(seen < T2_COUNT_OF(expected));
    assert_same(&frame, &expected[seen++]);
  }
  assert_ptr_equal(at, chunk + n);
  free(chunk);
  return seen;
}

static void test_frames_are_seen_however_they_are_cut(void **state) {
  const uint8_t *bytes = (const uint8_t *)frames;
  size_t n = sizeof(frames) - 1;
  for (size_t step = 1; step <= n; step++) {
    t2_h2_scan scan;
    size_t seen = 0;
    t2_h2_scan_init(&scan, T2_H2_PREFACE_LEN);
    for (size_t at = 0; at < n; at += step)
      seen = scan_chunk(&scan, bytes + at, n - at < step ? n - at : step, seen);
    assert_int_equal(seen, T2_COUNT_OF(expected));
  }
}

static void test_largest_length_is_passed_over(void **state) {
  const uint8_t head[] = {0xff, 0xff, 0xff, 9, 0, 0xff, 0xff, 0xff, 0xff};
  const t2_h2_scanned large = {0xffffff, 9, 0, 0x7fffffff, 0};
  const uint8_t *at = head;
  uint8_t *rest = calloc(1, 0xffffff);
  t2_h2_scan scan;
  t2_h2_scanned frame;
  t2_h2_scan_init(&scan, 0);
  assert_true(t2_h2_scan_next(&scan, &at, head + sizeof(head), &frame));
  assert_same(&frame, &large);
  at = rest;
  assert_false(t2_h2_scan_next(&scan, &at, rest + 0xffffff, &frame));
  at = head;
  assert_true(t2_h2_scan_next(&scan, &at, head + sizeof(head), &frame));
  free(rest);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frames_are_seen_however_they_are_cut),
      cmocka_unit_test(test_largest_length_is_passed_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
