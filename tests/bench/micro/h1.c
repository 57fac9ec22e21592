/* HTTP/1.1 heads read and written, and the forwarding rules. */
#include "bench.h"
#include "messages.h"

#include <http/forward.h>
#include <http/h1.h>

typedef struct h1 {
  t2_h1_parser *parser;
  bool responses;
  const char *text;
  size_t n;
  uint8_t bytes[2048]; /* the text, which a parser changes in place */
  t2_h1_event event;
  t2_head head; /* of what is written: the parser's, which does nothing more */
  t2_head forwarded;
  t2_buf out, scratch;
} h1;

/* One message, to its end; leaves its head in the event. */
static void parse_one(h1 *s, t2_h1_event *head) {
  t2_h1_event event;
  size_t at = 0;
  memcpy(s->bytes, s->text, s->n);
  if (s->responses) t2_h1_expect_response(s->parser, T2_STR("GET"));
  while (at < s->n) {
    at += t2_h1_parse(s->parser, s->bytes + at, s->n - at, &event);
    T2_BENCH_NEED(event.type != T2_H1_ERROR && event.type != T2_H1_NONE);
    if (event.type == T2_H1_HEAD) *head = event;
  }
}

static void *new_h1(const char *text, bool responses) {
  h1 *s = t2_bench_new(sizeof(*s));
  t2_h1_limits limits;
  t2_h1_limits_init(&limits);
  s->parser = t2_h1_parser_new(NULL, responses, &limits);
  T2_BENCH_NEED(s->parser && strlen(text) <= sizeof(s->bytes));
  s->responses = responses;
  s->text = text;
  s->n = strlen(text);
  t2_buf_init(&s->out, NULL);
  t2_buf_init(&s->scratch, NULL);
  t2_head_init(&s->forwarded, NULL);
  parse_one(s, &s->event);
  s->head = *s->event.head;
  return s;
}

static void *small_request(void) {
  return new_h1(SMALL_REQUEST, false);
}

static void *browser_request(void) {
  return new_h1(BROWSER_REQUEST, false);
}

static void *response(void) {
  return new_h1(RESPONSE, true);
}

static void tear_down(void *state) {
  h1 *s = state;
  t2_h1_parser_free(s->parser);
  t2_head_fini(&s->forwarded);
  t2_buf_fini(&s->out);
  t2_buf_fini(&s->scratch);
  free(s);
}

static void parse(void *state, size_t n) {
  h1 *s = state;
  for (size_t i = 0; i < n; i++)
    parse_one(s, &s->event);
}

static void write_request(void *state, size_t n) {
  h1 *s = state;
  for (size_t i = 0; i < n; i++) {
    t2_buf_reset(&s->out);
    T2_BENCH_NEED(t2_h1_write_request(&s->out, &s->head, T2_H1_FRAMING_NONE) == 0);
  }
}

static void write_response(void *state, size_t n) {
  h1 *s = state;
  for (size_t i = 0; i < n; i++) {
    t2_buf_reset(&s->out);
    T2_BENCH_NEED(t2_h1_write_response(&s->out, &s->head, T2_H1_FRAMING_LENGTH, false, false) == 0);
  }
}

static void forward_request(void *state, size_t n) {
  h1 *s = state;
  const t2_forward how = {.peer = T2_STR("192.0.2.1"),
                          .by = T2_STR("entry-1"),
                          .prefix = T2_STR("/session/bench"),
                          .request_id = T2_STR("0123456789abcdef0123456789abcdef")};
  for (size_t i = 0; i < n; i++) {
    t2_head_reset(&s->forwarded);
    T2_BENCH_NEED(t2_forward_request(&s->head, &how, &s->forwarded, &s->scratch) == 0);
  }
}

static void forward_response(void *state, size_t n) {
  h1 *s = state;
  for (size_t i = 0; i < n; i++) {
    t2_head_reset(&s->forwarded);
    T2_BENCH_NEED(t2_forward_response(&s->head, T2_STR("entry-1"), &s->forwarded, &s->scratch) == 0);
  }
}

const t2_bench t2_bench_h1[] = {
    {"h1_parse_request", small_request, parse, tear_down},
    {"h1_parse_request_browser", browser_request, parse, tear_down},
    {"h1_parse_response", response, parse, tear_down},
    {"h1_write_request", small_request, write_request, tear_down},
    {"h1_write_request_browser", browser_request, write_request, tear_down},
    {"h1_write_response", response, write_response, tear_down},
    {"forward_request", small_request, forward_request, tear_down},
    {"forward_request_browser", browser_request, forward_request, tear_down},
    {"forward_response", response, forward_response, tear_down},
    {0},
};
