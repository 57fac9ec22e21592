/* HTTP/1.1 requests; what was accepted can be written again and is read back as the same. */
#include "h1_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Parses the first head of bytes[n]; the parser, with its views, or NULL. */
static t2_h1_parser *first_head(uint8_t *bytes, size_t n, t2_h1_event *event) {
  t2_h1_limits limits;
  t2_h1_limits_init(&limits);
  limits.section_max *= 2; /* what is written may be longer by a little */
  t2_h1_parser *parser = t2_h1_parser_new(NULL, false, &limits);
  if (!parser) abort();
  t2_h1_parse(parser, bytes, n, event);
  if (event->type == T2_H1_HEAD) return parser;
  t2_h1_parser_free(parser);
  return NULL;
}

static void check_equal(const t2_head *a, const t2_head *b) {
  if (!t2_str_eq(a->method, b->method) || !t2_str_eq(a->authority, b->authority)) abort();
  if (!t2_str_eq(a->path, b->path) || !t2_str_eq(a->protocol, b->protocol)) abort();
}

static void write_and_read_back(const uint8_t *bytes, size_t n) {
  t2_h1_event event, again;
  t2_buf copy, out;
  t2_buf_init(&copy, NULL);
  t2_buf_init(&out, NULL);
  t2_buf_append(&copy, bytes, n);
  t2_h1_parser *parser = first_head(t2_buf_head(&copy), n, &event);
  if (parser) {
    bool chunked = !event.end && event.head->content_length < 0;
    t2_h1_framing framing = chunked                           ? T2_H1_FRAMING_CHUNKED
                            : event.head->content_length >= 0 ? T2_H1_FRAMING_LENGTH
                                                              : T2_H1_FRAMING_NONE;
    if (t2_h1_write_request(&out, event.head, framing)) abort();
    t2_h1_parser *reader = first_head(t2_buf_head(&out), t2_buf_len(&out), &again);
    if (!reader) abort();
    check_equal(event.head, again.head);
    if (again.end != event.end) abort();
    t2_h1_parser_free(reader);
  }
  t2_h1_parser_free(parser);
  t2_buf_fini(&copy);
  t2_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  h1_same(false, bytes, n);
  if (n > 2) write_and_read_back(bytes + 2, n - 2);
  return 0;
}
