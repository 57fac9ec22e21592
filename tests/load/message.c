#include "message.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

void message_begin(message *m, bool request) {
  m->state = MESSAGE_START;
  m->request = request;
  m->chunked = m->has_length = m->close = false;
  m->status = 0;
  m->left = 0;
  m->head = m->kept = 0;
}

static void first_line(message *m, const char *line, size_t n) {
  m->state = MESSAGE_HEAD;
  if (m->request) {
    if (n < 14 || memcmp(line + n - 9, " HTTP/1.", 8) != 0) m->state = MESSAGE_MALFORMED;
    return;
  }
  if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' || line[9] < '1' || line[9] > '5' ||
      !isdigit((unsigned char)line[10]) || !isdigit((unsigned char)line[11])) {
    m->state = MESSAGE_MALFORMED;
    return;
  }
  m->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
  m->close = line[7] == '0';
}

/* The value of a field if that is its name, else NULL. */
static const char *value_of(const char *line, size_t *n, const char *name) {
  size_t length = strlen(name);
  if (*n <= length || line[length] != ':' || strncasecmp(line, name, length) != 0) return NULL;
  const char *value = line + length + 1, *end = line + *n;
  while (value < end && (*value == ' ' || *value == '\t'))
    value++;
  while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
    end--;
  *n = (size_t)(end - value);
  return value;
}

static bool number(uint64_t *value, const char *text, size_t n) {
  *value = 0;
  if (n == 0 || n > 18) return false;
  for (size_t i = 0; i < n; i++) {
    if (!isdigit((unsigned char)text[i])) return false;
    *value = *value * 10 + (uint64_t)(text[i] - '0');
  }
  return true;
}

static void field(message *m, const char *line, size_t n) {
  const char *value;
  size_t length = n;
  char first = (char)(line[0] | 0x20);
  if (first != 'c' && first != 't') return;
  if ((value = value_of(line, &length, "content-length"))) {
    if (m->has_length || !number(&m->left, value, length)) m->state = MESSAGE_MALFORMED;
    m->has_length = true;
  } else if ((value = value_of(line, &length, "transfer-encoding"))) {
    m->chunked = length == 7 && strncasecmp(value, "chunked", 7) == 0;
    if (!m->chunked) m->state = MESSAGE_MALFORMED;
  } else if ((value = value_of(line, &length, "connection"))) {
    m->close = length == 5 && strncasecmp(value, "close", 5) == 0;
  }
}

/* RFC 9112 6.3: how long the content is. */
static void head_ended(message *m) {
  if (!m->request && m->status < 200) {
    message_begin(m, false); /* an interim answer: the real one follows */
  } else if (!m->request && (m->status == 204 || m->status == 304)) {
    m->state = MESSAGE_DONE;
  } else if (m->chunked) {
    m->state = MESSAGE_CHUNK_SIZE;
  } else if (m->has_length || m->request) {
    m->state = m->left > 0 ? MESSAGE_CONTENT : MESSAGE_DONE;
  } else {
    m->state = MESSAGE_UNTIL_CLOSE;
    m->close = true;
  }
}

static void chunk_size(message *m, const char *line, size_t n) {
  size_t digits = 0;
  for (m->left = 0; digits < n && isxdigit((unsigned char)line[digits]); digits++) {
    char c = line[digits];
    m->left = m->left * 16 + (uint64_t)(isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  if (digits == 0 || digits > 15 || (digits < n && line[digits] != ';' && line[digits] != ' '))
    m->state = MESSAGE_MALFORMED;
  else
    m->state = m->left > 0 ? MESSAGE_CHUNK : MESSAGE_TRAILERS;
  m->head = 0;
}

static void line_ended(message *m, const char *line, size_t n) {
  switch (m->state) {
  case MESSAGE_START:
    first_line(m, line, n);
    break;
  case MESSAGE_HEAD:
    if (n > 0)
      field(m, line, n);
    else
      head_ended(m);
    break;
  case MESSAGE_CHUNK_SIZE:
    chunk_size(m, line, n);
    break;
  case MESSAGE_CHUNK_END:
    m->state = n == 0 ? MESSAGE_CHUNK_SIZE : MESSAGE_MALFORMED;
    break;
  case MESSAGE_TRAILERS:
    if (n == 0) m->state = MESSAGE_DONE;
    break;
  default:
    m->state = MESSAGE_MALFORMED;
  }
}

/* A line, of which a part may have come before. Of a long one the beginning counts. */
static size_t take_line(message *m, const char *bytes, size_t n) {
  const char *newline = memchr(bytes, '\n', n), *line = bytes;
  size_t taken = newline ? (size_t)(newline - bytes) + 1 : n, length = newline ? taken - 1 : n;
  m->head += taken;
  if (m->head > MESSAGE_HEAD_MAX) {
    m->state = MESSAGE_MALFORMED;
    return taken;
  }
  if (m->kept > 0 || !newline) {
    size_t room = MESSAGE_LINE_MAX - m->kept, more = length < room ? length : room;
    memcpy(m->line + m->kept, bytes, more);
    m->kept += more;
    if (!newline) return taken;
    line = m->line;
    length = m->kept;
    m->kept = 0;
  }
  if (length > 0 && line[length - 1] == '\r') length--;
  line_ended(m, line, length);
  return taken;
}

size_t message_take(message *m, const char *bytes, size_t n) {
  size_t taken = 0;
  while (taken < n && m->state < MESSAGE_DONE) {
    if (m->state == MESSAGE_UNTIL_CLOSE) return n;
    if (m->state != MESSAGE_CONTENT && m->state != MESSAGE_CHUNK) {
      taken += take_line(m, bytes + taken, n - taken);
      continue;
    }
    uint64_t part = n - taken < m->left ? n - taken : m->left;
    m->left -= part;
    taken += (size_t)part;
    if (m->left == 0) m->state = m->state == MESSAGE_CHUNK ? MESSAGE_CHUNK_END : MESSAGE_DONE;
  }
  return taken;
}

void message_closed(message *m) {
  m->state = m->state == MESSAGE_UNTIL_CLOSE ? MESSAGE_DONE : MESSAGE_MALFORMED;
}
