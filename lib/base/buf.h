/* A growable run of bytes: appended at the end, consumed at the front. */
#ifndef T2_BASE_BUF_H
#define T2_BASE_BUF_H

#include <base/mem.h>
#include <base/str.h>
#include <stdarg.h>
#include <stdint.h>
#include <tunnel2/export.h>

/* Embedded; the live bytes are data[off .. end). After an append fails, `failed` stays set until
 * t2_buf_reset, so a writer may append many times and check once. */
typedef struct t2_buf {
  const t2_allocator *mem;
  uint8_t *data;
  size_t off, end, cap;
  bool failed;
} t2_buf;

void t2_buf_init(t2_buf *buf, const t2_allocator *mem);
void t2_buf_fini(t2_buf *buf);

static inline size_t t2_buf_len(const t2_buf *buf) {
  return buf->end - buf->off;
}
static inline uint8_t *t2_buf_head(const t2_buf *buf) {
  return buf->data ? buf->data + buf->off : NULL;
}

/* Room for n more bytes at the end: where to write them, or NULL (no memory, or `failed` is set already).
 * Moves the live bytes to the front where that makes the room and enough was consumed to pay for it; grows by
 * doubling otherwise. */
uint8_t *t2_buf_reserve(t2_buf *buf, size_t n);
/* n bytes were written to what t2_buf_reserve returned. */
static inline void t2_buf_commit(t2_buf *buf, size_t n) {
  buf->end += n;
}
/* Append all or nothing: 0 or T2_ERR_NOMEM. Nothing is appended once `failed` is set. */
int t2_buf_append(t2_buf *buf, const void *bytes, size_t n);
int t2_buf_append_str(t2_buf *buf, t2_str s);
int t2_buf_append_c(t2_buf *buf, const char *s);
int t2_buf_append_byte(t2_buf *buf, uint8_t b);
int t2_buf_append_u64(t2_buf *buf, uint64_t decimal);
int t2_buf_printf(t2_buf *buf, const char *format, ...) T2_PRINTF(2, 3);
/* Drops n bytes at the front (n <= t2_buf_len). When nothing is left the offsets go back to 0. */
void t2_buf_consume(t2_buf *buf, size_t n);
/* Empty again, memory kept, `failed` cleared. */
void t2_buf_reset(t2_buf *buf);
/* When empty, gives back memory beyond keep bytes. */
void t2_buf_shrink(t2_buf *buf, size_t keep);
/* Moves what little is left in a large buffer to a small one of at least keep bytes, once enough was consumed
 * to pay for it. Pointers into it are void then. */
void t2_buf_tighten(t2_buf *buf, size_t keep);
/* Adds a NUL behind the live bytes (not counted) and returns them as a C string; NULL when there is no
 * memory. */
char *t2_buf_cstr(t2_buf *buf);

#endif
