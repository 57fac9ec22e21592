#include <http/chars.h>
#include <http/h1_section.h>

typedef const t2_h1_fault fault;

#define EMPTY_LINES_MAX  2
#define CHUNK_DIGITS_MAX 16

typedef enum h1_state {
  H1_START,    /* between messages */
  H1_START_LF, /* ... behind the CR of an empty line */
  H1_HEAD,
  H1_LENGTH,
  H1_CHUNK_SIZE,
  H1_CHUNK_BLANK, /* behind the digits, before an extension */
  H1_CHUNK_EXT,
  H1_CHUNK_SIZE_LF,
  H1_CHUNK_DATA,
  H1_CHUNK_CR,
  H1_CHUNK_LF,
  H1_TRAILERS,
  H1_UNTIL_CLOSE,
  H1_TUNNEL,
  H1_ERROR
} h1_state;

struct t2_h1_parser {
  const t2_allocator *mem;
  t2_h1_section section;
  h1_state state;
  bool asked_head, asked_connect;
  bool spent;            /* an event was made of the section: it goes with the next call */
  uint64_t left;         /* bytes of the content, or of the chunk, to come */
  bool owed;             /* the content's last byte was given, but not yet taken */
  unsigned empty_lines;  /* skipped before a start line */
  unsigned chunk_digits; /* seen of the size */
  size_t chunk_ext;      /* bytes of the chunk-size line beyond them */
  fault *error;
};

void t2_h1_limits_init(t2_h1_limits *limits) {
  *limits = (t2_h1_limits){.line_max = 8190, .section_max = 65536, .field_max = 100, .chunk_ext_max = 256};
}

t2_h1_parser *t2_h1_parser_new(const t2_allocator *mem, bool responses, const t2_h1_limits *limits) {
  t2_h1_parser *parser = t2_calloc(mem, 1, sizeof(*parser));
  if (!parser) return NULL;
  parser->mem = mem;
  t2_h1_section_init(&parser->section, mem, responses, limits);
  return parser;
}

void t2_h1_parser_free(t2_h1_parser *parser) {
  if (!parser) return;
  t2_h1_section_fini(&parser->section);
  t2_free(parser->mem, parser);
}

/* ---- Events ---- */

static void emit_error(const t2_h1_parser *parser, t2_h1_event *event) {
  event->type = T2_H1_ERROR;
  event->status = parser->error->status;
  event->detail = parser->error->detail;
}

static void fail(t2_h1_parser *parser, fault *error, t2_h1_event *event) {
  parser->state = H1_ERROR;
  parser->error = error;
  t2_h1_section_release(&parser->section);
  emit_error(parser, event);
}

static void next_message(t2_h1_parser *parser) {
  parser->state = H1_START;
  parser->empty_lines = 0;
}

static void emit_end(t2_h1_parser *parser, t2_h1_event *event) {
  event->type = T2_H1_END;
  event->trailers = &parser->section.message.head.fields;
  next_message(parser);
}

/* ---- Steps: each takes some of bytes[n] (n > 0) and may make one event ---- */

static fault bad_start = {400, "the request line does not begin with a method and a space"};
static fault bad_status_start = {400, "the response does not begin with HTTP/"};
static fault start_bare_lf = {400, "bare LF before the request line"};
static fault start_bare_cr = {400, "bare CR before the request line"};

/* What cannot begin a message is told from its first byte on. Empty lines are skipped (RFC 9112, 2.2). */
static size_t step_start(t2_h1_parser *parser, uint8_t first, t2_h1_event *event) {
  if (first == '\r' && !parser->section.responses && parser->empty_lines < EMPTY_LINES_MAX) {
    parser->state = H1_START_LF;
    return 1;
  }
  bool good = parser->section.responses ? first == 'H' : t2_char_is(first, T2_CHAR_TOKEN);
  if (!good) {
    fault *bad = parser->section.responses ? &bad_status_start : &bad_start;
    fail(parser, first == '\n' && !parser->section.responses ? &start_bare_lf : bad, event);
    return 1;
  }
  t2_h1_section_begin(&parser->section, T2_H1_AT_START_LINE);
  parser->state = H1_HEAD;
  return 0;
}

static size_t step_start_lf(t2_h1_parser *parser, uint8_t byte, t2_h1_event *event) {
  if (byte != '\n') {
    fail(parser, &start_bare_cr, event);
  } else {
    parser->empty_lines++;
    parser->state = H1_START;
  }
  return 1;
}

static void follow(t2_h1_parser *parser, t2_h1_body body) {
  parser->owed = false;
  switch (body) {
  case T2_H1_BODY_NONE:
    next_message(parser);
    break;
  case T2_H1_BODY_LENGTH:
    parser->state = H1_LENGTH;
    parser->left = (uint64_t)parser->section.message.head.content_length;
    break;
  case T2_H1_BODY_CHUNKED:
    parser->state = H1_CHUNK_SIZE;
    parser->left = parser->chunk_digits = 0;
    break;
  case T2_H1_BODY_CLOSE:
    parser->state = H1_UNTIL_CLOSE;
    break;
  case T2_H1_BODY_TUNNEL:
    parser->state = H1_TUNNEL;
    break;
  }
}

static fault *end_head(t2_h1_parser *parser, t2_h1_event *event) {
  t2_h1_message *message = &parser->section.message;
  t2_h1_body body = T2_H1_BODY_NONE;
  fault *found = parser->section.responses
                     ? t2_h1_message_response(message, parser->asked_head, parser->asked_connect, &body)
                     : t2_h1_message_request(message, &body);
  if (found) return found;
  event->type = T2_H1_HEAD;
  event->head = &message->head;
  event->end = body == T2_H1_BODY_NONE;
  follow(parser, body);
  return NULL;
}

static size_t step_section(t2_h1_parser *parser, uint8_t *bytes, size_t n, t2_h1_event *event) {
  size_t taken;
  fault *found = t2_h1_section_take(&parser->section, bytes, n, &taken);
  if (found == &t2_h1_partial) return taken;
  if (!found && parser->state == H1_TRAILERS)
    emit_end(parser, event);
  else if (!found)
    found = end_head(parser, event);
  if (found) fail(parser, found, event);
  parser->spent = true;
  return taken;
}

static void emit_data(t2_h1_event *event, const uint8_t *bytes, size_t n) {
  event->type = T2_H1_DATA;
  event->data = t2_str_of((const char *)bytes, n);
}

static size_t step_length(t2_h1_parser *parser, const uint8_t *bytes, size_t n, t2_h1_event *event) {
  if (parser->owed) {
    parser->owed = false;
    t2_fields_reset(&parser->section.message.head.fields);
    emit_end(parser, event);
    return 1;
  }
  size_t take = n < parser->left ? n : (size_t)parser->left;
  emit_data(event, bytes, take);
  parser->left -= take;
  parser->owed = parser->left == 0;
  return take - parser->owed;
}

static size_t step_tunnel(t2_h1_parser *parser, const uint8_t *bytes, size_t n, t2_h1_event *event) {
  if (parser->owed) {
    parser->owed = false;
    return 1;
  }
  emit_data(event, bytes, n);
  return n;
}

/* ---- Chunks (RFC 9112, 7.1) ---- */

static fault bad_chunk_size = {400, "a chunk size is no hexadecimal number, or too large"};
static fault bad_chunk_ext = {400, "a control byte, or a bare CR or LF, in a chunk-size line"};
static fault long_chunk_ext = {400, "a chunk extension is too long"};
static fault bad_chunk_end = {400, "a chunk is not followed by CRLF"};

static fault *chunk_size(t2_h1_parser *parser, uint8_t byte) {
  if (t2_char_is(byte, T2_CHAR_HEX)) {
    if (++parser->chunk_digits > CHUNK_DIGITS_MAX || parser->left > (UINT64_MAX >> 5)) return &bad_chunk_size;
    parser->left = parser->left * 16 + t2_char_hex(byte);
    return NULL;
  }
  if (parser->chunk_digits == 0) return &bad_chunk_size;
  parser->chunk_ext = 1;
  if (byte == '\r')
    parser->state = H1_CHUNK_SIZE_LF;
  else if (byte == ';')
    parser->state = H1_CHUNK_EXT;
  else if (byte == ' ' || byte == '\t')
    parser->state = H1_CHUNK_BLANK;
  else
    return byte == '\n' ? &bad_chunk_ext : &bad_chunk_size;
  return NULL;
}

/* White space may stand before an extension only. */
static fault *chunk_blank(t2_h1_parser *parser, uint8_t byte) {
  if (byte == ';')
    parser->state = H1_CHUNK_EXT;
  else if (byte != ' ' && byte != '\t')
    return &bad_chunk_size;
  return ++parser->chunk_ext > parser->section.limits.chunk_ext_max ? &long_chunk_ext : NULL;
}

/* Passed over: nobody knows any (RFC 9112, 7.1.1). */
static fault *chunk_ext(t2_h1_parser *parser, uint8_t byte) {
  if (byte == '\r') {
    parser->state = H1_CHUNK_SIZE_LF;
    return NULL;
  }
  if (!t2_char_is(byte, T2_CHAR_VALUE)) return &bad_chunk_ext;
  return ++parser->chunk_ext > parser->section.limits.chunk_ext_max ? &long_chunk_ext : NULL;
}

static fault *chunk_line_end(t2_h1_parser *parser, uint8_t byte) {
  if (byte != '\n') return &bad_chunk_ext;
  parser->chunk_digits = 0;
  if (parser->left) {
    parser->state = H1_CHUNK_DATA;
  } else {
    parser->state = H1_TRAILERS;
    t2_h1_section_begin(&parser->section, T2_H1_AT_TRAILERS);
  }
  return NULL;
}

static fault *chunk_end(t2_h1_parser *parser, uint8_t byte) {
  bool cr = parser->state == H1_CHUNK_CR;
  if (byte != (cr ? '\r' : '\n')) return &bad_chunk_end;
  parser->state = cr ? H1_CHUNK_LF : H1_CHUNK_SIZE;
  return NULL;
}

static fault *chunk_byte(t2_h1_parser *parser, uint8_t byte) {
  switch (parser->state) {
  case H1_CHUNK_SIZE:
    return chunk_size(parser, byte);
  case H1_CHUNK_BLANK:
    return chunk_blank(parser, byte);
  case H1_CHUNK_EXT:
    return chunk_ext(parser, byte);
  case H1_CHUNK_SIZE_LF:
    return chunk_line_end(parser, byte);
  default:
    return chunk_end(parser, byte);
  }
}

static size_t step_chunk_data(t2_h1_parser *parser, const uint8_t *bytes, size_t n, t2_h1_event *event) {
  size_t take = n < parser->left ? n : (size_t)parser->left;
  emit_data(event, bytes, take);
  parser->left -= take;
  if (parser->left == 0) parser->state = H1_CHUNK_CR;
  return take;
}

/* ---- Calls ---- */

static size_t step(t2_h1_parser *parser, uint8_t *bytes, size_t n, t2_h1_event *event) {
  fault *found;
  switch (parser->state) {
  case H1_START:
    return step_start(parser, *bytes, event);
  case H1_START_LF:
    return step_start_lf(parser, *bytes, event);
  case H1_HEAD:
  case H1_TRAILERS:
    return step_section(parser, bytes, n, event);
  case H1_LENGTH:
    return step_length(parser, bytes, n, event);
  case H1_CHUNK_DATA:
    return step_chunk_data(parser, bytes, n, event);
  case H1_UNTIL_CLOSE:
    emit_data(event, bytes, n);
    return n;
  case H1_TUNNEL:
    return step_tunnel(parser, bytes, n, event);
  case H1_ERROR:
    emit_error(parser, event);
    return n;
  default:
    found = chunk_byte(parser, *bytes);
    if (found) fail(parser, found, event);
    return 1;
  }
}

size_t t2_h1_parse(t2_h1_parser *parser, uint8_t *bytes, size_t n, t2_h1_event *event) {
  size_t at = 0;
  *event = (t2_h1_event){.type = T2_H1_NONE};
  if (parser->spent) t2_h1_section_release(&parser->section);
  parser->spent = false;
  if (parser->state == H1_ERROR) emit_error(parser, event);
  while (event->type == T2_H1_NONE && at < n)
    at += step(parser, bytes + at, n - at, event);
  return event->type == T2_H1_ERROR ? n : at;
}

static fault *closed_inside(const t2_h1_parser *parser) {
  static fault request_line = {400, "closed inside the request line"};
  static fault status_line = {400, "closed inside the status line"};
  static fault fields = {400, "closed inside the field section"};
  static fault trailers = {400, "closed inside the trailer section"};
  static fault length = {400, "closed inside the content, before the end of its Content-Length"};
  static fault chunks = {400, "closed inside the content, before its last chunk"};
  switch (parser->state) {
  case H1_START_LF:
  case H1_HEAD:
    if (parser->state == H1_HEAD && parser->section.at == T2_H1_AT_FIELDS) return &fields;
    return parser->section.responses ? &status_line : &request_line;
  case H1_TRAILERS:
    return &trailers;
  case H1_LENGTH:
    return &length;
  default:
    return &chunks;
  }
}

void t2_h1_eof(t2_h1_parser *parser, t2_h1_event *event) {
  *event = (t2_h1_event){.type = T2_H1_NONE};
  switch (parser->state) {
  case H1_START:
    return;
  case H1_ERROR:
    emit_error(parser, event);
    return;
  case H1_LENGTH:
    if (!parser->owed) break;
    parser->owed = false;
    /* fall through */
  case H1_UNTIL_CLOSE:
  case H1_TUNNEL:
    t2_fields_reset(&parser->section.message.head.fields);
    emit_end(parser, event);
    return;
  default:
    break;
  }
  fail(parser, closed_inside(parser), event);
}

void t2_h1_expect_response(t2_h1_parser *parser, t2_str request_method) {
  parser->asked_head = t2_str_eq(request_method, T2_STR("HEAD"));
  parser->asked_connect = t2_str_eq(request_method, T2_STR("CONNECT"));
}

void t2_h1_tunnel(t2_h1_parser *parser) {
  if (parser->state == H1_ERROR) return;
  parser->state = H1_TUNNEL;
  parser->section.message.keep_alive = false;
}

bool t2_h1_idle(const t2_h1_parser *parser) {
  return parser->state == H1_START;
}

bool t2_h1_keep_alive(const t2_h1_parser *parser) {
  return parser->state != H1_ERROR && parser->section.message.keep_alive;
}
