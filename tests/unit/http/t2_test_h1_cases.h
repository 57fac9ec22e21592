/* Cases of a parser: input, and what t2_test_h1.h writes down of it however it is cut. */
#ifndef T2_TEST_H1_CASES_H
#define T2_TEST_H1_CASES_H

#include <t2_test_mem.h>

#include "t2_test_h1.h"

#define HOST    "Host: a\r\n"
#define GET     "GET /x HTTP/1.1\r\n"
#define POST    "POST /x HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define C_HEAD  "POST a /x ...\n"

typedef struct exchange_case {
  const char *name;
  const char *input;
  const char *events;
  size_t n;           /* of input */
  const char *method; /* responses: what was asked; NULL: GET */
  bool eof;           /* the connection ends behind the input */
} exchange_case;

#define C(name_, input_, ...)                                                                                \
  { .name = (name_), .input = (input_), .n = sizeof(input_) - 1, .events = __VA_ARGS__ }

static inline t2_h1_parser *make(const t2_h1_limits *limits, bool responses, const char *method) {
  t2_h1_parser *parser = t2_h1_parser_new(NULL, responses, limits);
  assert_non_null(parser);
  if (responses) t2_h1_expect_response(parser, t2_str_c(method ? method : "GET"));
  return parser;
}

static inline void expect(const exchange_case *c, const t2_buf *log, const char *how, size_t at) {
  t2_str found = t2_str_of((const char *)t2_buf_head(log), t2_buf_len(log));
  if (t2_str_eq(found, t2_str_c(c->events))) return;
  fail_msg("%s, %s (%zu):\n%.*s--- expected:\n%s", c->name, how, at, T2_STR_ARG(found), c->events);
}

/* In pieces of `step` bytes, or (step 0) cut once at `cut`. */
static inline void run_case(const exchange_case *c, const t2_h1_limits *limits, bool responses, size_t step,
                            size_t cut, const char *how) {
  t2_h1_parser *parser = make(limits, responses, c->method);
  size_t n = c->n;
  const uint8_t *input = (const uint8_t *)c->input;
  t2_test_h1 run;
  t2_buf log;
  t2_buf_init(&log, NULL);
  t2_test_h1_begin(&run, parser, &log);
  for (size_t at = 0, piece; at < n; at += piece) {
    piece = step ? step : at == 0 && cut > 0 ? cut : n - at;
    if (piece > n - at) piece = n - at;
    t2_test_h1_feed(&run, input + at, piece);
  }
  t2_test_h1_finish(&run, c->eof);
  expect(c, &log, how, step ? step : cut);
  t2_h1_parser_free(parser);
  t2_buf_fini(&log);
}

static inline void run_cases(const exchange_case *cases, size_t count, const t2_h1_limits *limits,
                             bool responses) {
  for (size_t i = 0; i < count; i++) {
    const exchange_case *c = &cases[i];
    size_t n = c->n;
    run_case(c, limits, responses, 0, 0, "whole");
    run_case(c, limits, responses, 1, 0, "in single bytes");
    run_case(c, limits, responses, 3, 0, "in threes");
    for (size_t cut = 1; cut < n; cut++)
      run_case(c, limits, responses, 0, cut, "cut");
  }
}

#endif
