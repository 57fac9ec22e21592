/* The frames that come, looked at before nghttp2 reads them: it forgets streams that are closed, and then
 * passes over what it should answer. Any cut of the bytes. Server only. Included by h2.c and h2_watch.c
 * alone. */
#ifndef T2_HTTP_H2_SCAN_H
#define T2_HTTP_H2_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define T2_H2_SCAN_HEAD     9  /* bytes of a frame's head (RFC 9113, 4.1) */
#define T2_H2_SCAN_PRIORITY 4  /* bytes of a PRIORITY frame's payload that are looked at */
#define T2_H2_PREFACE_LEN   24 /* bytes before the first frame (RFC 9113, 3.4) */

typedef struct t2_h2_scanned {
  size_t length; /* of the payload */
  uint8_t type, flags;
  uint32_t stream;
  uint32_t depends_on; /* PRIORITY */
} t2_h2_scanned;

/* Embedded. */
typedef struct t2_h2_scan {
  uint8_t bytes[T2_H2_SCAN_HEAD + T2_H2_SCAN_PRIORITY]; /* of the frame that has begun */
  size_t n;
  size_t skip; /* bytes to pass over before the next frame */
} t2_h2_scan;

/* skip: bytes that come before the first frame. */
void t2_h2_scan_init(t2_h2_scan *scan, size_t skip);
/* Takes bytes from *at, up to end, until a frame's head is whole: true, and *at stands behind it. False: all
 * were taken. */
bool t2_h2_scan_next(t2_h2_scan *scan, const uint8_t **at, const uint8_t *end, t2_h2_scanned *frame);

#endif
