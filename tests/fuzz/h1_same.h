/* A parser says the same however its input was cut: the input is run whole, in single bytes, and cut as its
 * own first bytes say; the runs are compared. */
#ifndef T2_FUZZ_H1_SAME_H
#define T2_FUZZ_H1_SAME_H

#include <http/t2_test_h1.h>

#define H1_SAME_WHOLE SIZE_MAX

static inline void h1_same_run(bool responses, uint8_t options, const uint8_t *bytes, size_t n, size_t step,
                               t2_buf *log) {
  /* Small limits are met by small inputs; the last two bits choose what was asked. */
  static const char *const methods[] = {"GET", "HEAD", "CONNECT", "POST"};
  t2_h1_limits limits = {.line_max = 200, .section_max = 400, .field_max = 10, .chunk_ext_max = 20};
  if (options & 4) t2_h1_limits_init(&limits);
  t2_h1_parser *parser = t2_h1_parser_new(NULL, responses, &limits);
  t2_test_h1 run;
  if (!parser) abort();
  t2_h1_expect_response(parser, t2_str_c(methods[options & 3]));
  t2_test_h1_begin(&run, parser, log);
  for (size_t at = 0; at < n && !run.broken;) {
    size_t piece = step < n - at ? step : n - at;
    t2_test_h1_feed(&run, bytes + at, piece);
    at += piece;
  }
  t2_test_h1_finish(&run, true);
  t2_h1_parser_free(parser);
}

static inline void h1_same(bool responses, const uint8_t *bytes, size_t n) {
  t2_buf whole, cut;
  if (n < 2) return;
  t2_buf_init(&whole, NULL);
  t2_buf_init(&cut, NULL);
  const size_t steps[] = {1, (size_t)bytes[1] % 61 + 2};
  h1_same_run(responses, bytes[0], bytes + 2, n - 2, H1_SAME_WHOLE, &whole);
  for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
    h1_same_run(responses, bytes[0], bytes + 2, n - 2, steps[i], &cut);
    if (t2_buf_len(&cut) != t2_buf_len(&whole)) abort();
    if (t2_buf_len(&cut) && memcmp(t2_buf_head(&cut), t2_buf_head(&whole), t2_buf_len(&cut)) != 0) abort();
  }
  t2_buf_fini(&whole);
  t2_buf_fini(&cut);
}

#endif
