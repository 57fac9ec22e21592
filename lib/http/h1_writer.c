#include <assert.h>
#include <http/chars.h>
#include <http/h1.h>
#include <http/h1_head.h>
#include <tunnel2/error.h>

#define LINES_MAX                                                                                            \
  256 /* what is written besides the head's own text: versions, framing and connection fields */

/* Writes into room that was reserved whole, so that a head is appended once or not at all. */
typedef struct writer {
  t2_buf *out;
  uint8_t *p;
  bool invalid;
  bool te;        /* TE was among the fields: Connection names it (RFC 9110, 10.1.4) */
  bool cookie;    /* the Cookie line was written */
  bool responses; /* cookies are joined, and TE let through, in requests alone */
} writer;

static size_t fields_size(const t2_fields *fields) {
  size_t n = 0;
  for (size_t i = 0; i < fields->n; i++)
    n += fields->list[i].name.n + fields->list[i].value.n + 4;
  return n;
}

static int begin(writer *w, t2_buf *out, size_t size) {
  *w = (writer){.out = out, .p = t2_buf_reserve(out, size)};
  return w->p ? 0 : T2_ERR_NOMEM;
}

static int commit(writer *w) {
  if (w->invalid) {
    w->out->failed = true;
    return T2_ERR_INVALID;
  }
  t2_buf_commit(w->out, (size_t)(w->p - (w->out->data + w->out->end)));
  return 0;
}

static void put(writer *w, t2_str s) {
  if (s.n) memcpy(w->p, s.p, s.n);
  w->p += s.n;
}

static void put_checked(writer *w, t2_str s, bool good) {
  if (!good) w->invalid = true;
  put(w, s);
}

static void put_number(writer *w, uint64_t value, unsigned base) {
  char digits[20];
  size_t at = sizeof(digits);
  do
    digits[--at] = "0123456789abcdef"[value % base];
  while (value /= base);
  put(w, t2_str_of(digits + at, sizeof(digits) - at));
}

static bool is_value(t2_str value) {
  const uint8_t *p = (const uint8_t *)value.p;
  return value.n == 0 || t2_chars_skip_value(p, p + value.n) == p + value.n;
}

static void put_value(writer *w, t2_str value) {
  put_checked(w, value, is_value(value));
}

/* In lower case. */
static void put_name(writer *w, t2_str name) {
  for (size_t i = 0; i < name.n; i++) {
    uint8_t c = t2_token_lower[(uint8_t)name.p[i]];
    if (c == 0) w->invalid = true;
    *w->p++ = c;
  }
  if (name.n == 0) w->invalid = true;
}

/* What a parser has looked at is not looked at again: 1,400 instructions of a request's 30,000 in tunnelc. */
static t2_str put_field_name(writer *w, const t2_field *f) {
  uint8_t *start = w->p;
  assert(!f->sound_name || t2_is_token(f->name));
  if (f->sound_name)
    put(w, f->name);
  else
    put_name(w, f->name);
  return t2_str_of((const char *)start, f->name.n);
}

static void put_field_value(writer *w, const t2_field *f) {
  assert(!f->sound_value || is_value(f->value));
  put_checked(w, f->value, f->sound_value || is_value(f->value));
}

static bool is_cookie(t2_str name) {
  return t2_str_eq_nocase(name, T2_STR("cookie"));
}

/* The values of all Cookie fields from the i-th on: HTTP/2 may have split them, HTTP/1.1 has one line. */
static void put_cookies(writer *w, const t2_fields *fields, size_t i) {
  put_field_value(w, &fields->list[i]);
  for (i++; i < fields->n; i++) {
    if (!is_cookie(fields->list[i].name)) continue;
    put(w, T2_STR("; "));
    put_field_value(w, &fields->list[i]);
  }
  w->cookie = true;
}

static bool left_out(writer *w, t2_str name) {
  switch (t2_h1_name_of(name)) {
  case T2_H1_NAME_OTHER:
    return w->cookie && is_cookie(name);
  case T2_H1_NAME_TE:
    w->te = true;
    return w->responses;
  default:
    return true;
  }
}

static void put_fields(writer *w, const t2_fields *fields) {
  for (size_t i = 0; i < fields->n; i++) {
    const t2_field *f = &fields->list[i];
    uint8_t *start = w->p;
    t2_str name = put_field_name(w, f);
    if (left_out(w, name)) {
      w->p = start;
      continue;
    }
    put(w, T2_STR(": "));
    if (!w->responses && is_cookie(name))
      put_cookies(w, fields, i);
    else
      put_field_value(w, f);
    put(w, T2_STR("\r\n"));
  }
}

static void put_length(writer *w, int64_t length) {
  if (length < 0) w->invalid = true;
  put(w, T2_STR("content-length: "));
  put_number(w, (uint64_t)length, 10);
  put(w, T2_STR("\r\n"));
}

static void put_framing(writer *w, const t2_head *head, t2_h1_framing framing) {
  if (framing == T2_H1_FRAMING_LENGTH)
    put_length(w, head->content_length);
  else if (framing == T2_H1_FRAMING_CHUNKED)
    put(w, T2_STR("transfer-encoding: chunked\r\n"));
}

static void put_upgrade(writer *w, t2_str protocol) {
  put(w, T2_STR("upgrade: "));
  put_value(w, protocol);
  put(w, T2_STR("\r\n"));
}

/* ---- Requests ---- */

static void put_request_line(writer *w, const t2_head *head) {
  bool connect = t2_str_eq(head->method, T2_STR("CONNECT"));
  t2_str method = connect && head->protocol.n ? T2_STR("GET") : head->method;
  put_checked(w, method, t2_is_token(method));
  put(w, T2_STR(" "));
  if (connect && head->protocol.n == 0)
    put_checked(w, head->authority, head->authority.n > 0);
  else if (t2_str_eq(head->path, T2_STR("*")))
    put_checked(w, head->path, t2_str_eq(method, T2_STR("OPTIONS")));
  else
    put_checked(w, head->path, t2_is_origin_form(head->path));
  put(w, T2_STR(" HTTP/1.1\r\nhost: "));
  put_checked(w, head->authority, head->authority.n == 0 || t2_is_authority(head->authority));
  put(w, T2_STR("\r\n"));
}

int t2_h1_write_request(t2_buf *out, const t2_head *head, t2_h1_framing framing) {
  writer w;
  size_t size = LINES_MAX + head->method.n + head->path.n + 2 * head->authority.n + head->protocol.n;
  if (begin(&w, out, size + fields_size(&head->fields))) return T2_ERR_NOMEM;
  put_request_line(&w, head);
  put_fields(&w, &head->fields);
  put_framing(&w, head, framing);
  if (head->protocol.n) {
    put(&w, w.te ? T2_STR("connection: upgrade, te\r\n") : T2_STR("connection: upgrade\r\n"));
    put_upgrade(&w, head->protocol);
  } else if (w.te) {
    put(&w, T2_STR("connection: te\r\n"));
  }
  put(&w, T2_STR("\r\n"));
  return commit(&w);
}

/* ---- Responses ---- */

static void put_status_line(writer *w, int status) {
  if (status < 100 || status > 999) w->invalid = true;
  put(w, T2_STR("HTTP/1.1 "));
  put_number(w, (uint64_t)status % 1000, 10);
  put(w, T2_STR(" "));
  put(w, t2_str_c(t2_status_phrase(status)));
  put(w, T2_STR("\r\n"));
}

int t2_h1_write_response(t2_buf *out, const t2_head *head, t2_h1_framing framing, bool close,
                         bool keep_alive_10) {
  writer w;
  if (begin(&w, out, LINES_MAX + head->protocol.n + fields_size(&head->fields))) return T2_ERR_NOMEM;
  w.responses = true;
  put_status_line(&w, head->status);
  put_fields(&w, &head->fields);
  /* Without content a length still tells what GET would have had; never so in 1xx and 204 (RFC 9110, 8.6). */
  bool told = head->content_length >= 0 && head->status >= 200 && head->status != 204;
  put_framing(&w, head, framing == T2_H1_FRAMING_NONE && told ? T2_H1_FRAMING_LENGTH : framing);
  if (head->status == 101) {
    put(&w, T2_STR("connection: upgrade\r\n"));
    put_upgrade(&w, head->protocol);
  } else if (close) {
    put(&w, T2_STR("connection: close\r\n"));
  } else if (keep_alive_10) {
    put(&w, T2_STR("connection: keep-alive\r\n"));
  }
  put(&w, T2_STR("\r\n"));
  return commit(&w);
}

/* ---- Chunks ---- */

int t2_h1_write_chunk(t2_buf *out, const void *bytes, size_t n) {
  writer w;
  if (n == 0) return 0; /* it would be the last one */
  if (begin(&w, out, n + 24)) return T2_ERR_NOMEM;
  put_number(&w, n, 16);
  put(&w, T2_STR("\r\n"));
  put(&w, t2_str_of(bytes, n));
  put(&w, T2_STR("\r\n"));
  return commit(&w);
}

int t2_h1_write_last_chunk(t2_buf *out, const t2_fields *trailers) {
  writer w;
  if (begin(&w, out, 8 + (trailers ? fields_size(trailers) : 0))) return T2_ERR_NOMEM;
  put(&w, T2_STR("0\r\n"));
  for (size_t i = 0; trailers && i < trailers->n; i++) {
    uint8_t *start = w.p;
    if (!t2_h1_may_trail(put_field_name(&w, &trailers->list[i]))) {
      w.p = start;
      continue;
    }
    put(&w, T2_STR(": "));
    put_field_value(&w, &trailers->list[i]);
    put(&w, T2_STR("\r\n"));
  }
  put(&w, T2_STR("\r\n"));
  return commit(&w);
}
