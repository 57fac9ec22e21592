/* What h2.c (the calls) and h2_recv.c (nghttp2's callbacks) share. Included by these two alone. */
#ifndef T2_HTTP_H2_SESSION_H
#define T2_HTTP_H2_SESSION_H

#include <http/h2.h>
#include <nghttp2/nghttp2.h>

#define T2_H2_SPARE_STREAMS 256   /* kept for use again */
#define T2_H2_SPARE_BYTES   16384 /* of output memory kept in each */

/* The head being received: header blocks are never interleaved (RFC 9113, 4.3), so one per connection does.
 * Its views point into nghttp2's reference-counted strings, held until the head was handed over. */
typedef struct t2_h2_incoming {
  t2_head head;
  nghttp2_rcbuf **held;
  size_t held_count, held_cap;
  size_t bytes; /* as RFC 9113, 6.5.2 counts */
  bool too_large, no_memory;
  bool trailers; /* without pseudo-fields */
} t2_h2_incoming;

struct t2_h2 {
  const t2_allocator *mem;
  t2_h2_options options;
  t2_h2_callbacks callbacks;
  void *user;
  nghttp2_session *session;
  nghttp2_mem nghttp2_mem;
  t2_h2_incoming incoming;
  t2_list live;  /* streams */
  t2_list spare; /* streams to use again */
  size_t live_count, spare_count;
  nghttp2_nv *nv; /* scratch for what is submitted */
  size_t nv_cap;
  t2_buf *target; /* during t2_h2_flush */
  size_t high_water;
  bool going; /* the peer's GOAWAY came */
  bool freeing;
};

/* A zeroed stream in the live list, or NULL. */
t2_h2_stream *t2_h2_stream_take(t2_h2 *h2, int32_t id);
/* Back to the spare list, or freed. */
void t2_h2_stream_put(t2_h2_stream *stream);
/* Sets nghttp2's callbacks for what is received. */
void t2_h2_set_recv_callbacks(nghttp2_session_callbacks *callbacks);
void t2_h2_incoming_init(t2_h2 *h2);
void t2_h2_incoming_fini(t2_h2 *h2);
void t2_h2_wake(t2_h2 *h2);

#endif
