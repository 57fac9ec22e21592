#include <tunnel2/error.h>
#include <tunnel2/frame.h>
#include <wire/datagram.h>

#define DATAGRAM 0 /* the capsule's type */

size_t t2_datagram_header(uint8_t out[T2_DATAGRAM_HEADER_MAX], size_t n) {
  out[0] = DATAGRAM;
  size_t size = 1 + (size_t)t2_varint_encode(n + 1, out + 1, T2_DATAGRAM_HEADER_MAX - 2);
  out[size] = 0; /* the context id */
  return size + 1;
}

void t2_datagram_reader_init(t2_datagram_reader *reader, const t2_allocator *mem, t2_datagram_cb cb,
                             void *user) {
  *reader = (t2_datagram_reader){.cb = cb, .user = user};
  t2_buf_init(&reader->partial, mem);
}

void t2_datagram_reader_fini(t2_datagram_reader *reader) {
  t2_buf_fini(&reader->partial);
}

typedef struct capsule {
  uint64_t type, length;
  size_t header;
} capsule;

/* False while its header is not whole. */
static bool read_header(const uint8_t *bytes, size_t n, capsule *c) {
  int type = t2_varint_decode(bytes, n, &c->type);
  int length = type < 0 ? type : t2_varint_decode(bytes + type, n - (size_t)type, &c->length);
  if (length < 0) return false;
  c->header = (size_t)type + (size_t)length;
  return true;
}

static int deliver(const t2_datagram_reader *reader, const uint8_t *value, size_t n) {
  uint64_t context;
  int size = t2_varint_decode(value, n, &context);
  if (size < 0) return T2_ERR_PROTOCOL;
  if (context) return 0;
  if (n - (size_t)size > T2_DATAGRAM_MAX) return T2_ERR_LIMIT;
  return reader->cb(value + size, n - (size_t)size, reader->user);
}

/* A capsule that begins with bytes: delivers it, or keeps what there is of it. */
static int begin(t2_datagram_reader *reader, const uint8_t *bytes, size_t n, size_t *taken) {
  capsule c;
  *taken = n;
  if (!read_header(bytes, n, &c)) return t2_buf_append(&reader->partial, bytes, n);
  if (c.type != DATAGRAM) {
    *taken = c.header;
    reader->skip = c.length;
    return 0;
  }
  if (c.length > T2_DATAGRAM_VALUE_MAX) return T2_ERR_LIMIT;
  size_t whole = c.header + (size_t)c.length;
  if (n < whole) return t2_buf_append(&reader->partial, bytes, n);
  *taken = whole;
  return deliver(reader, bytes + c.header, (size_t)c.length);
}

/* The capsule in `partial` has come whole: it is taken out, so that the callee finds the reader in order. */
static int finish(t2_datagram_reader *reader, size_t header) {
  t2_buf whole = reader->partial;
  t2_buf_init(&reader->partial, whole.mem);
  int err = deliver(reader, t2_buf_head(&whole) + header, t2_buf_len(&whole) - header);
  t2_buf_fini(&whole);
  return err;
}

/* Goes on with the capsule in `partial`: its header byte by byte, for it may be of another type. */
static int go_on(t2_datagram_reader *reader, const uint8_t *bytes, size_t n, size_t *taken) {
  t2_buf *partial = &reader->partial;
  capsule c;
  *taken = 0;
  while (!read_header(t2_buf_head(partial), t2_buf_len(partial), &c)) {
    if (*taken == n) return 0;
    if (t2_buf_append_byte(partial, bytes[(*taken)++])) return T2_ERR_NOMEM;
  }
  if (c.type != DATAGRAM) {
    reader->skip = c.length;
    t2_buf_fini(partial);
    return 0;
  }
  if (c.length > T2_DATAGRAM_VALUE_MAX) return T2_ERR_LIMIT;
  size_t lacks = c.header + (size_t)c.length - t2_buf_len(partial);
  if (lacks > n - *taken) lacks = n - *taken;
  if (t2_buf_append(partial, bytes + *taken, lacks)) return T2_ERR_NOMEM;
  *taken += lacks;
  return t2_buf_len(partial) == c.header + c.length ? finish(reader, c.header) : 0;
}

int t2_datagram_reader_feed(t2_datagram_reader *reader, const uint8_t *bytes, size_t n) {
  while (n && reader->error == 0) {
    size_t taken = reader->skip < n ? (size_t)reader->skip : n;
    if (reader->skip) {
      reader->skip -= taken;
    } else {
      int err =
          t2_buf_len(&reader->partial) ? go_on(reader, bytes, n, &taken) : begin(reader, bytes, n, &taken);
      if (err) return reader->error = err;
    }
    bytes += taken;
    n -= taken;
  }
  return reader->error;
}
