/* UDP in HTTP: DATAGRAM capsules (RFC 9297, 3.5) that hold context id 0 and the payload of one UDP datagram
 * (RFC 9298, 5). Sans-I/O. */
#ifndef T2_WIRE_DATAGRAM_H
#define T2_WIRE_DATAGRAM_H

#include <base/buf.h>

#define T2_DATAGRAM_MAX        65527 /* bytes of a payload (RFC 9298, 5) */
#define T2_DATAGRAM_HEADER_MAX 6 /* bytes of a capsule in front of the payload, as they are written here */
/* The longest value of a DATAGRAM capsule that is read: with the longest context id. */
#define T2_DATAGRAM_VALUE_MAX (T2_DATAGRAM_MAX + 8)

/* Writes what goes in front of a payload of n bytes, n <= T2_DATAGRAM_MAX: its length. */
size_t t2_datagram_header(uint8_t out[T2_DATAGRAM_HEADER_MAX], size_t n);

/* One payload; valid during the call. A return other than 0 stops t2_datagram_reader_feed, which hands it on
 * and does not touch the reader again but for t2_datagram_reader_fini. */
typedef int (*t2_datagram_cb)(const uint8_t *bytes, size_t n, void *user);

/* Capsules in pieces of any size. Embedded. Other capsules, and other contexts, are passed over. */
typedef struct t2_datagram_reader {
  t2_buf partial; /* a capsule that has begun; no memory is held between two */
  uint64_t skip;  /* bytes of a capsule still to be passed over */
  int error;      /* sticky */
  t2_datagram_cb cb;
  void *user;
} t2_datagram_reader;

void t2_datagram_reader_init(t2_datagram_reader *reader, const t2_allocator *mem, t2_datagram_cb cb,
                             void *user);
void t2_datagram_reader_fini(t2_datagram_reader *reader);
/* 0; T2_ERR_LIMIT: a payload is longer than T2_DATAGRAM_MAX; T2_ERR_PROTOCOL: there is no context id;
 * T2_ERR_NOMEM; or what cb returned. */
int t2_datagram_reader_feed(t2_datagram_reader *reader, const uint8_t *bytes, size_t n);

#endif
