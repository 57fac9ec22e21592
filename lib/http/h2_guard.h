/* Bounds on what an HTTP/2 peer may do that is right once and an attack in number (RFC 9113, 10.5): each kind
 * has a counter, and a bucket that empties with time and with useful work. Sans-I/O: the clock is passed in.
 */
#ifndef T2_HTTP_H2_GUARD_H
#define T2_HTTP_H2_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum t2_h2_abuse {
  T2_H2_RESETS,         /* RST_STREAM that came (rapid reset, CVE-2023-44487) */
  T2_H2_FAULTS,         /* streams reset here for what the peer did (MadeYouReset, CVE-2025-8671) */
  T2_H2_SETTINGS,       /* SETTINGS that came: each has to be acknowledged */
  T2_H2_PINGS,          /* PING that came: likewise */
  T2_H2_EMPTY_DATA,     /* DATA without content that does not end its stream */
  T2_H2_WINDOW_UPDATES, /* WINDOW_UPDATE that came; DATA that was sent pays for them */
  T2_H2_TINY_WINDOWS,   /* DATA that a small window cut short */
  T2_H2_OTHER_FRAMES,   /* PRIORITY, PRIORITY_UPDATE, GOAWAY, acknowledgements */
  T2_H2_CONTINUATIONS,  /* heads of too many frames; one is enough */
  T2_H2_HEAD_BOMBS,     /* heads many times as large as what is taken; one is enough */
  T2_H2_ABUSES
} t2_h2_abuse;

/* Embedded. */
typedef struct t2_h2_guard {
  uint64_t counts[T2_H2_ABUSES];
  uint64_t levels[T2_H2_ABUSES]; /* of the buckets, in thousandths */
  uint64_t patience;
  uint64_t now_ms;
} t2_h2_guard;

/* patience multiplies all buckets: 1 for strangers, more for a peer that speaks for many others. */
void t2_h2_guard_init(t2_h2_guard *guard, uint32_t patience);
/* What the clock says; the buckets empty accordingly. It may go on in any steps. */
void t2_h2_guard_tick(t2_h2_guard *guard, uint64_t now_ms);
/* It happened once more: false when that was once too often. */
bool t2_h2_guard_count(t2_h2_guard *guard, t2_h2_abuse abuse);
/* Useful work pays for n of it. */
void t2_h2_guard_credit(t2_h2_guard *guard, t2_h2_abuse abuse, uint64_t n);
/* How many come at once without harm, with a patience of 1, and how many more in a second. */
uint64_t t2_h2_guard_burst(t2_h2_abuse abuse);
uint64_t t2_h2_guard_rate(t2_h2_abuse abuse);
/* "stream resets", for logs. */
const char *t2_h2_abuse_name(t2_h2_abuse abuse);

#endif
