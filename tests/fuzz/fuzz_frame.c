/* The frame decoder: a stream in pieces gives the same frames as in one, and what was read can be written. */
#include <stdlib.h>
#include <string.h>
#include <tunnel2/frame.h>

#define CAP 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What one pass over the stream saw, and how many frames after which it lost interest. */
typedef struct pass {
  uint64_t sum; /* of types, lengths and bytes, in order */
  size_t frames;
} pass;

static void require(bool holds) {
  if (!holds) abort();
}

static void add(pass *p, uint64_t number) {
  p->sum = (p->sum ^ number) * 0x100000001b3;
}

/* Writes the fields again and finds them unchanged. */
static void write_again(uint64_t type, const uint8_t *value, size_t n) {
  uint8_t out[CAP + 16], *room = out;
  const uint8_t *bytes, *found;
  size_t at = 0, len, found_len;
  uint64_t key, number;
  t2_frame_writer writer;
  int r;

  t2_frame_writer_init(&writer, room, sizeof(out));
  t2_frame_begin(&writer, type);
  while ((r = t2_frame_next_field(value, n, &at, &key, &bytes, &len)) == 1) {
    require(at <= n && bytes + len == value + at);
    require(t2_frame_put_bytes(&writer, key, bytes, len) == 0); /* never longer than it was */
    require(t2_frame_find_bytes(value, at, key, &found, &found_len) == 1);
    (void)t2_frame_find_u64(value, n, key, &number);
  }
  require(r == 0 || r == T2_ERR_PROTOCOL);
  require(t2_frame_end(&writer) == 0);
}

static int on_frame(uint64_t type, const uint8_t *value, size_t n, void *user) {
  pass *p = user;

  p->frames++;
  add(p, type);
  add(p, n);
  for (size_t i = 0; i < n; i++)
    add(p, value[i]);
  write_again(type, value, n);
  return 0;
}

static bool odd(uint64_t type, void *unused) {
  (void)unused;
  return type & 1;
}

/* Each piece is a copy, so that a sanitizer sees what is read past it. */
static int feed(t2_frame_decoder *decoder, const uint8_t *data, size_t size, size_t piece) {
  int r = 0;

  for (size_t at = 0; at < size && r == 0; at += piece) {
    size_t n = size - at < piece ? size - at : piece;
    uint8_t *copy = malloc(n);
    if (!copy) abort();
    memcpy(copy, data + at, n);
    r = t2_frame_decoder_feed(decoder, copy, n);
    free(copy);
  }
  return r ? r : t2_frame_decoder_finish(decoder);
}

static int run(const uint8_t *data, size_t size, size_t piece, t2_frame_filter_cb filter, pass *p) {
  static uint8_t buffer[CAP];
  t2_frame_decoder decoder;

  t2_frame_decoder_init(&decoder, buffer, sizeof(buffer), on_frame, p);
  t2_frame_decoder_set_filter(&decoder, filter);
  return feed(&decoder, data, size, piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  size_t piece = 1 + data[0] % 64;
  t2_frame_filter_cb filter = data[0] & 0x80 ? odd : NULL;
  pass whole = {0}, parts = {0};

  data++;
  size--;
  int r = run(data, size, size ? size : 1, filter, &whole);
  require(r == run(data, size, piece, filter, &parts));
  require(whole.frames == parts.frames && whole.sum == parts.sum);
  return 0;
}
