/* What h2.c (the calls), h2_recv.c (nghttp2's callbacks), h2_flow.c (windows) and h2_watch.c (bounds) share.
 * Included by these alone. */
#ifndef T2_HTTP_H2_SESSION_H
#define T2_HTTP_H2_SESSION_H

#include <http/h2.h>
#include <http/h2_bdp.h>
#include <http/h2_scan.h>
#include <nghttp2/nghttp2.h>

#define T2_H2_SPARE_STREAMS 256   /* kept for use again */
#define T2_H2_SPARE_BYTES   16384 /* of output memory kept in each */

#define T2_H2_PAST_MAX          128 /* streams that are remembered */
#define T2_H2_CONTINUATIONS_MAX 7   /* of one head, which is more than any that is taken has; nghttp2 has 8 */
#define T2_H2_BOMB_FACTOR       16  /* heads up to so many times what is taken are answered, one by one */

/* The head being received: header blocks are never interleaved (RFC 9113, 4.3), so one per connection does.
 * Its views point into nghttp2's reference-counted strings, held until the head was handed over. */
typedef struct t2_h2_incoming {
  t2_head head;
  nghttp2_rcbuf **held;
  size_t held_count, held_cap;
  size_t bytes; /* as RFC 9113, 6.5.2 counts */
  bool too_large, no_memory;
  bool trailers;  /* without pseudo-fields */
  bool malformed; /* what nghttp2 lets pass */
  t2_str host;
  unsigned continuations;
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
  size_t waiting;         /* bytes in all streams' `out` */
  uint32_t stream_window; /* of all streams */
  unsigned unsettled;     /* SETTINGS that the peer has not acknowledged */
  uint32_t widened;       /* bytes of window that some have beyond that */
  t2_h2_bdp bdp;
  uint32_t window; /* of the connection, in bytes */
  bool going;      /* the peer's GOAWAY came */
  t2_h2_guard guard;
  t2_h2_abuse gave_up_for;
  /* Server: the streams opened last, each id twice, and one more when the peer has ended or reset it: nothing
   * may come on it any more. */
  t2_h2_scan scan;
  uint32_t past[T2_H2_PAST_MAX];
  size_t past_next;
  uint32_t newest;
  bool freeing;
  bool no_memory; /* something that must be said could not be: the connection can't go on */
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

/* ---- h2_flow.c ---- */

/* Content has come that is given to the user. */
void t2_h2_flow_came(t2_h2_stream *stream, size_t n);
/* How large the connection's window is to begin with. */
uint32_t t2_h2_flow_window(const t2_h2 *h2);
/* A PING's answer: was the PING one of those that measure the way? */
bool t2_h2_flow_answered(t2_h2 *h2, const uint8_t opaque[8]);
/* The peer has acknowledged SETTINGS. */
void t2_h2_flow_settled(t2_h2 *h2);
/* The stream is over: what it had been given is free for others. */
void t2_h2_flow_closed(t2_h2_stream *stream);

/* ---- h2_watch.c ---- */

void t2_h2_watch_init(t2_h2 *h2);
/* Bounds of nghttp2's own, which are wider than ours. */
void t2_h2_watch_options(const t2_h2 *h2, nghttp2_option *option);
/* Counts it. False: that was once too often, and the GOAWAY is on its way. */
bool t2_h2_watch(t2_h2 *h2, t2_h2_abuse abuse);
/* nghttp2 has too many acknowledgements to send, of PINGs or SETTINGS: more came in one read than even a
 * patient connection takes. The GOAWAY is on its way. */
void t2_h2_watch_flooded(t2_h2 *h2);
int t2_h2_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user);
/* A DATA frame has come whole: is it one of padding alone, once too often? */
bool t2_h2_watch_padding(t2_h2 *h2, const nghttp2_frame *frame);
/* Server, for each frame before nghttp2 has it: NO_ERROR, or the code it deserves if what nghttp2 knows does
 * not excuse it. */
uint32_t t2_h2_watch_scanned(t2_h2 *h2, const t2_h2_scanned *frame);
/* ... once nghttp2 has all that came before. False: it does not, and the GOAWAY is on its way. */
bool t2_h2_watch_suspect(t2_h2 *h2, const t2_h2_scanned *frame, uint32_t code);
/* A frame was sent: a DATA frame of `length` bytes of content, of `have` that there were; or a RST_STREAM. */
void t2_h2_watch_data(t2_h2 *h2, size_t length, size_t have);
void t2_h2_watch_reset(t2_h2 *h2, uint32_t code);

#endif
