#include <assert.h>
#include <base/buf.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define BUF_MIN 128

void t2_buf_init(t2_buf *buf, const t2_allocator *mem) {
  *buf = (t2_buf){.mem = mem};
}

void t2_buf_fini(t2_buf *buf) {
  t2_free(buf->mem, buf->data);
  t2_buf_init(buf, buf->mem);
}

static int buf_grow(t2_buf *buf, size_t live, size_t need) {
  size_t cap = buf->cap < BUF_MIN ? BUF_MIN : buf->cap;

  while (cap < need)
    cap *= 2;
  uint8_t *data = t2_alloc(buf->mem, cap);
  if (!data) return T2_ERR_NOMEM;
  if (buf->data && live) memcpy(data, buf->data + buf->off, live);
  t2_free(buf->mem, buf->data);
  buf->data = data;
  buf->cap = cap;
  return 0;
}

uint8_t *t2_buf_reserve(t2_buf *buf, size_t n) {
  size_t live = t2_buf_len(buf);

  if (buf->failed) return NULL;
  if (buf->data && n <= buf->cap - buf->end) return buf->data + buf->end;
  if (n > SIZE_MAX / 4 || live > SIZE_MAX / 4 - n) goto fail;
  /* A move is paid for by what was consumed since the last one; a full buffer that is consumed a byte at a
   * time would otherwise be moved whole for each byte. */
  if (buf->data && live + n <= buf->cap && buf->off >= live / 4) {
    memmove(buf->data, buf->data + buf->off, live);
  } else {
    size_t need = live + n;
    if (need <= buf->cap && buf->data) need = buf->cap + 1;
    if (buf_grow(buf, live, need)) goto fail;
  }
  buf->off = 0;
  buf->end = live;
  return buf->data + live;

fail:
  buf->failed = true;
  return NULL;
}

int t2_buf_append(t2_buf *buf, const void *bytes, size_t n) {
  uint8_t *at = t2_buf_reserve(buf, n);

  if (!at) return T2_ERR_NOMEM;
  if (n) memcpy(at, bytes, n);
  t2_buf_commit(buf, n);
  return 0;
}

int t2_buf_append_str(t2_buf *buf, t2_str s) {
  return t2_buf_append(buf, s.p, s.n);
}

int t2_buf_append_c(t2_buf *buf, const char *s) {
  return t2_buf_append(buf, s, strlen(s));
}

int t2_buf_append_byte(t2_buf *buf, uint8_t b) {
  return t2_buf_append(buf, &b, 1);
}

int t2_buf_append_u64(t2_buf *buf, uint64_t decimal) {
  char digits[T2_U64_DIGITS];
  return t2_buf_append_str(buf, t2_str_of_u64(digits, decimal));
}

static int buf_vprintf(t2_buf *buf, const char *format, va_list args) {
  va_list again;
  size_t room = BUF_MIN;
  char *at = (char *)t2_buf_reserve(buf, room);

  if (!at) return T2_ERR_NOMEM;
  va_copy(again, args);
  int n = vsnprintf(at, room, format, args);
  if (n >= 0 && (size_t)n >= room) {
    room = (size_t)n + 1;
    at = (char *)t2_buf_reserve(buf, room);
    n = at ? vsnprintf(at, room, format, again) : -1;
  }
  va_end(again);
  if (n < 0) {
    buf->failed = true;
    return T2_ERR_NOMEM;
  }
  t2_buf_commit(buf, (size_t)n);
  return 0;
}

int t2_buf_printf(t2_buf *buf, const char *format, ...) {
  va_list args;

  va_start(args, format);
  int rc = buf_vprintf(buf, format, args);
  va_end(args);
  return rc;
}

void t2_buf_consume(t2_buf *buf, size_t n) {
  assert(n <= t2_buf_len(buf));
  buf->off += n;
  if (buf->off == buf->end) buf->off = buf->end = 0;
}

void t2_buf_reset(t2_buf *buf) {
  buf->off = buf->end = 0;
  buf->failed = false;
}

void t2_buf_shrink(t2_buf *buf, size_t keep) {
  if (t2_buf_len(buf) || buf->cap <= keep) return;
  uint8_t *smaller = NULL;
  if (keep && !(smaller = t2_realloc(buf->mem, buf->data, keep))) return;
  if (!keep) t2_free(buf->mem, buf->data);
  buf->data = smaller;
  buf->cap = keep;
  buf->off = buf->end = 0;
}

void t2_buf_tighten(t2_buf *buf, size_t keep) {
  size_t live = t2_buf_len(buf), cap = keep > 2 * live ? keep : 2 * live;
  if (buf->off < buf->cap / 2 || cap > buf->cap / 4) return;
  uint8_t *smaller = t2_alloc(buf->mem, cap);
  if (!smaller) return;
  memcpy(smaller, buf->data + buf->off, live);
  t2_free(buf->mem, buf->data);
  *buf = (t2_buf){.mem = buf->mem, .data = smaller, .end = live, .cap = cap, .failed = buf->failed};
}

char *t2_buf_cstr(t2_buf *buf) {
  uint8_t *end = t2_buf_reserve(buf, 1);

  if (!end) return NULL;
  *end = '\0';
  return (char *)t2_buf_head(buf);
}
