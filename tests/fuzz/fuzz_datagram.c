/* The reader of DATAGRAM capsules: a stream in pieces gives the same datagrams as in one. */
#include <stdlib.h>
#include <string.h>
#include <wire/datagram.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What one pass over the stream saw. */
typedef struct pass {
  uint64_t sum; /* of lengths and bytes, in order */
  size_t count;
} pass;

static void require(bool holds) {
  if (!holds) abort();
}

static int on_datagram(const uint8_t *bytes, size_t n, void *user) {
  uint8_t header[T2_DATAGRAM_HEADER_MAX];
  pass *p = user;

  require(n <= T2_DATAGRAM_MAX);
  require(t2_datagram_header(header, n) <= sizeof(header));
  p->count++;
  p->sum = (p->sum ^ n) * 0x100000001b3;
  for (size_t i = 0; i < n; i++)
    p->sum = (p->sum ^ bytes[i]) * 0x100000001b3;
  return 0;
}

/* Each piece is a copy, so that a sanitizer sees what is read past it. */
static int run(const uint8_t *data, size_t size, size_t piece, pass *p) {
  t2_datagram_reader reader;
  int err = 0;

  t2_datagram_reader_init(&reader, NULL, on_datagram, p);
  for (size_t at = 0; at < size && err == 0; at += piece) {
    size_t n = size - at < piece ? size - at : piece;
    uint8_t *copy = malloc(n);
    if (!copy) abort();
    memcpy(copy, data + at, n);
    err = t2_datagram_reader_feed(&reader, copy, n);
    free(copy);
  }
  t2_datagram_reader_fini(&reader);
  return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pass whole = {0}, parts = {0};

  if (size < 2) return 0;
  int err = run(data + 1, size - 1, size - 1, &whole);
  require(err == run(data + 1, size - 1, 1 + data[0] % 64, &parts));
  require(whole.count == parts.count && whole.sum == parts.sum);
  return 0;
}
