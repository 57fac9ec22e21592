#include <string.h>
#include <tunnel2/frame.h>

#define NONE        SIZE_MAX
#define LENGTH_SIZE 4 /* bytes kept for a length that is known only at the end */

/* ---- Encoding ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written through later. */
void t2_frame_writer_init(t2_frame_writer *writer, uint8_t *out, size_t cap) {
  *writer = (t2_frame_writer){.out = out, .cap = cap, .frame = NONE, .list = NONE};
}

static int writer_fail(t2_frame_writer *writer, int error) {
  writer->error = error;
  writer->len = writer->finished;
  writer->frame = writer->list = NONE;
  return error;
}

static int put_raw(t2_frame_writer *writer, const void *bytes, size_t n) {
  if (n > writer->cap - writer->len) return writer_fail(writer, T2_ERR_LIMIT);
  if (n) memcpy(writer->out + writer->len, bytes, n);
  writer->len += n;
  return 0;
}

static int put_varint(t2_frame_writer *writer, uint64_t value) {
  uint8_t bytes[T2_VARINT_SIZE_MAX];
  int size = t2_varint_encode(value, bytes, sizeof(bytes));

  return size < 0 ? writer_fail(writer, size) : put_raw(writer, bytes, (size_t)size);
}

/* Writes the type or key, keeps room for a length, and remembers where. */
static int open_value(t2_frame_writer *writer, uint64_t number, size_t *where) {
  if (put_varint(writer, number)) return writer->error;
  if (writer->cap - writer->len < LENGTH_SIZE) return writer_fail(writer, T2_ERR_LIMIT);
  *where = writer->len;
  writer->len += LENGTH_SIZE;
  return 0;
}

static int close_value(t2_frame_writer *writer, size_t *where) {
  uint8_t *length = writer->out + *where;
  size_t n = writer->len - *where - LENGTH_SIZE;

  if (n > T2_FRAME_VALUE_MAX) return writer_fail(writer, T2_ERR_LIMIT);
  /* A varint may be longer than it need be (RFC 9000, 16): always the four-byte form. */
  length[0] = (uint8_t)(0x80 | n >> 24);
  length[1] = (uint8_t)(n >> 16);
  length[2] = (uint8_t)(n >> 8);
  length[3] = (uint8_t)n;
  *where = NONE;
  return 0;
}

int t2_frame_begin(t2_frame_writer *writer, uint64_t type) {
  if (writer->error) return writer->error;
  if (writer->frame != NONE) return writer_fail(writer, T2_ERR_STATE);
  return open_value(writer, type, &writer->frame);
}

int t2_frame_put_bytes(t2_frame_writer *writer, uint64_t key, const void *bytes, size_t n) {
  if (writer->error) return writer->error;
  if (writer->frame == NONE) return writer_fail(writer, T2_ERR_STATE);
  if (put_varint(writer, key) || put_varint(writer, n)) return writer->error;
  return put_raw(writer, bytes, n);
}

int t2_frame_put_u64(t2_frame_writer *writer, uint64_t key, uint64_t value) {
  uint8_t bytes[T2_VARINT_SIZE_MAX];

  if (writer->error) return writer->error;
  int size = t2_varint_encode(value, bytes, sizeof(bytes));
  if (size < 0) return writer_fail(writer, size);
  return t2_frame_put_bytes(writer, key, bytes, (size_t)size);
}

int t2_frame_begin_list(t2_frame_writer *writer, uint64_t key) {
  if (writer->error) return writer->error;
  if (writer->frame == NONE || writer->list != NONE) return writer_fail(writer, T2_ERR_STATE);
  return open_value(writer, key, &writer->list);
}

int t2_frame_end_list(t2_frame_writer *writer) {
  if (writer->error) return writer->error;
  if (writer->list == NONE) return writer_fail(writer, T2_ERR_STATE);
  return close_value(writer, &writer->list);
}

int t2_frame_end(t2_frame_writer *writer) {
  if (writer->error) return writer->error;
  if (writer->frame == NONE || writer->list != NONE) return writer_fail(writer, T2_ERR_STATE);
  if (close_value(writer, &writer->frame)) return writer->error;
  writer->finished = writer->len;
  return 0;
}

/* ---- Decoding ---- */

/* A frame's type and length, and the bytes that they took. */
typedef struct frame_header {
  uint64_t type, length;
  size_t size;
} frame_header;

/* T2_ERR_AGAIN while the header is not whole. */
static int read_header(const uint8_t *bytes, size_t n, frame_header *header) {
  int type_size = t2_varint_decode(bytes, n, &header->type);
  if (type_size < 0) return type_size;
  int length_size = t2_varint_decode(bytes + type_size, n - (size_t)type_size, &header->length);
  if (length_size < 0) return length_size;
  header->size = (size_t)type_size + (size_t)length_size;
  return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): likewise. */
void t2_frame_decoder_init(t2_frame_decoder *decoder, uint8_t *buffer, size_t cap, t2_frame_cb on_frame,
                           void *user) {
  *decoder = (t2_frame_decoder){.buffer = buffer, .cap = cap, .on_frame = on_frame, .user = user};
}

void t2_frame_decoder_set_filter(t2_frame_decoder *decoder, t2_frame_filter_cb filter) {
  decoder->filter = filter;
}

static bool wanted(const t2_frame_decoder *decoder, uint64_t type) {
  return !decoder->filter || decoder->filter(type, decoder->user);
}

static bool fits(const t2_frame_decoder *decoder, const frame_header *header) {
  return header->size <= decoder->cap && header->length <= decoder->cap - header->size;
}

static size_t min_size(uint64_t a, size_t b) {
  return a < b ? (size_t)a : b;
}

/* Takes as many of bytes[n] as the buffered frame still lacks, up to `until` bytes of it in all. */
static size_t collect(t2_frame_decoder *decoder, const uint8_t *bytes, size_t n, size_t until) {
  size_t take = min_size(until - decoder->len, n);

  memcpy(decoder->buffer + decoder->len, bytes, take);
  decoder->len += take;
  return take;
}

/* Reads the header of the next frame from what is buffered and, if that is not enough, from *bytes, which is
 * moved past the bytes that had to be buffered for it. T2_ERR_AGAIN: all is buffered, and more is needed. */
static int next_header(t2_frame_decoder *decoder, const uint8_t **bytes, size_t *n, frame_header *header) {
  if (decoder->len == 0 && read_header(*bytes, *n, header) == 0) return 0;
  while (read_header(decoder->buffer, decoder->len, header)) {
    if (*n == 0) return T2_ERR_AGAIN;
    if (decoder->len == decoder->cap) return decoder->error = T2_ERR_LIMIT;
    size_t taken = collect(decoder, *bytes, *n, decoder->len + 1);
    *bytes += taken;
    *n -= taken;
  }
  return 0;
}

/* Starts to pass over the frame whose header is buffered, or still stands in front of the input. */
static void skip_frame(t2_frame_decoder *decoder, const uint8_t **bytes, size_t *n,
                       const frame_header *header) {
  size_t ahead = decoder->len ? 0 : header->size;

  *bytes += ahead;
  *n -= ahead;
  decoder->skip = header->length - (decoder->len ? decoder->len - header->size : 0);
  decoder->len = 0;
}

/* One frame, or the part of it that is there: moves *bytes on. */
static int feed_one(t2_frame_decoder *decoder, const uint8_t **bytes, size_t *n) {
  frame_header header;
  const uint8_t *frame = *bytes;
  int r = next_header(decoder, bytes, n, &header);

  if (r) return r == T2_ERR_AGAIN ? 0 : r;
  if (!wanted(decoder, header.type)) {
    skip_frame(decoder, bytes, n, &header);
    return 0;
  }
  if (!fits(decoder, &header)) return decoder->error = T2_ERR_LIMIT;
  size_t whole = header.size + (size_t)header.length, taken = whole;
  if (decoder->len || *n < whole) { /* otherwise it is read where it lies */
    taken = collect(decoder, *bytes, *n, whole);
    frame = decoder->buffer;
  }
  *bytes += taken;
  *n -= taken;
  if (frame == decoder->buffer) {
    if (decoder->len < whole) return 0;
    decoder->len = 0;
  }
  return decoder->on_frame(header.type, frame + header.size, (size_t)header.length, decoder->user);
}

int t2_frame_decoder_feed(t2_frame_decoder *decoder, const uint8_t *bytes, size_t n) {
  if (decoder->error) return decoder->error;
  while (n) {
    size_t passed = min_size(decoder->skip, n);
    decoder->skip -= passed;
    bytes += passed;
    n -= passed;
    if (n == 0) break;
    int r = feed_one(decoder, &bytes, &n);
    if (r) return r;
  }
  return 0;
}

int t2_frame_decoder_finish(const t2_frame_decoder *decoder) {
  if (decoder->error) return decoder->error;
  return decoder->len || decoder->skip ? T2_ERR_PROTOCOL : 0;
}

int t2_frame_next_field(const uint8_t *value, size_t value_len, size_t *at, uint64_t *key,
                        const uint8_t **bytes, size_t *n) {
  frame_header header; /* a field has the form of a frame */

  if (*at >= value_len) return 0;
  if (read_header(value + *at, value_len - *at, &header)) return T2_ERR_PROTOCOL;
  if (header.length > value_len - *at - header.size) return T2_ERR_PROTOCOL;
  *key = header.type;
  *bytes = value + *at + header.size;
  *n = (size_t)header.length;
  *at += header.size + (size_t)header.length;
  return 1;
}

int t2_frame_find_bytes(const uint8_t *value, size_t value_len, uint64_t key, const uint8_t **bytes,
                        size_t *n) {
  const uint8_t *field_bytes;
  size_t at = 0, field_len;
  uint64_t field_key;
  int r;

  while ((r = t2_frame_next_field(value, value_len, &at, &field_key, &field_bytes, &field_len)) == 1) {
    if (field_key != key) continue;
    *bytes = field_bytes;
    *n = field_len;
    return 1;
  }
  return r;
}

int t2_frame_find_u64(const uint8_t *value, size_t value_len, uint64_t key, uint64_t *number) {
  const uint8_t *bytes;
  size_t n;
  uint64_t v;
  int r = t2_frame_find_bytes(value, value_len, key, &bytes, &n);

  if (r != 1) return r;
  int size = t2_varint_decode(bytes, n, &v);
  if (size < 0 || (size_t)size != n) return T2_ERR_PROTOCOL;
  *number = v;
  return 1;
}
