/* An HTTP/2 connection (RFC 9113) over nghttp2, sans-I/O: bytes in by t2_h2_feed, bytes out by t2_h2_flush.
 *
 * Either role at either end of a transport: on an uplink the dialling side is the server. Streams live in a
 * free list per connection, so that a steady state allocates nothing here. Flow control windows open only by
 * t2_h2_consume: what was not consumed stays bounded by the stream's window. Callbacks come from inside feed
 * and flush only; they may call every t2_h2_stream_* function.
 */
#ifndef T2_HTTP_H2_H
#define T2_HTTP_H2_H

#include <base/list.h>
#include <http/fields.h>
#include <http/h2_guard.h>

/* Error codes (RFC 9113, 7). */
#define T2_H2_NO_ERROR          0u
#define T2_H2_PROTOCOL_ERROR    1u
#define T2_H2_INTERNAL_ERROR    2u
#define T2_H2_SETTINGS_TIMEOUT  4u
#define T2_H2_REFUSED_STREAM    7u
#define T2_H2_CANCEL            8u
#define T2_H2_ENHANCE_YOUR_CALM 11u

typedef struct t2_h2 t2_h2;

/* The first member of the user's own stream struct (options.stream_size). */
typedef struct t2_h2_stream {
  t2_list node; /* in the connection's live list */
  t2_h2 *h2;
  int32_t id;
  t2_buf out;        /* content waiting for frames */
  bool headed;       /* our (final) head was submitted */
  bool ended;        /* t2_h2_stream_end was called */
  bool sent;         /* END_STREAM is in a frame that was written */
  bool deferred;     /* nghttp2 waits for more of out */
  bool remote_ended; /* the peer's END_STREAM came */
  bool reset;        /* RST_STREAM was submitted */
  uint32_t code;     /* ... with this code */
  bool abandoned;    /* t2_h2_stream_abandon was called */
  size_t unconsumed; /* bytes received and not yet given to t2_h2_stream_consume */
  size_t unreturned; /* of these and of what follows them, bytes that the connection's window has not back */
  uint32_t moved;    /* bytes consumed since the window was last widened */
  uint32_t widened;  /* bytes of window beyond what all streams have */
  t2_head *trailers; /* copy, to be sent after out; its fields only */
} t2_h2_stream;

/* All may be NULL but on_stream_close. `user` is the connection's. */
typedef struct t2_h2_callbacks {
  /* Server: a request came (stream is new, all of it past t2_h2_stream is zero). Client: a response head, 1xx
   * included. */
  void (*on_head)(t2_h2_stream *stream, t2_head *head, bool end, void *user);
  void (*on_data)(t2_h2_stream *stream, const uint8_t *bytes, size_t n, void *user);
  /* The peer ended its side; trailers may be NULL. Not called when on_head said end. */
  void (*on_end)(t2_h2_stream *stream, const t2_fields *trailers, void *user);
  /* n bytes given to t2_h2_stream_data have gone into frames. */
  void (*on_sent)(t2_h2_stream *stream, size_t n, void *user);
  /* The last call for a stream, also for one whose head never reached on_head (malformed, or past the
   * bounds): code is NO_ERROR after both sides ended. `unprocessed` is true when the peer is known not to
   * have acted on it (REFUSED_STREAM, or beyond GOAWAY's last stream). */
  void (*on_stream_close)(t2_h2_stream *stream, uint32_t code, bool unprocessed, void *user);
  void (*on_settings)(t2_h2 *h2, void *user);
  /* The peer has acknowledged ours: it goes by them from here on. */
  void (*on_settled)(t2_h2 *h2, void *user);
  void (*on_goaway)(t2_h2 *h2, uint32_t code, void *user);
  void (*on_pong)(t2_h2 *h2, void *user);
  /* A clock in microseconds, never 0, from anywhere on. With it the connection's window follows bandwidth and
   * delay (h2_bdp.h), up to what the options say; without, it is that from the beginning. */
  uint64_t (*clock_us)(void *user);
  /* Server: the client has called t2_h2_reattach. */
  void (*on_reattach)(t2_h2 *h2, void *user);
  /* There may be output: t2_h2_flush should be called soon. Comes from any t2_h2_* call. */
  void (*wake)(t2_h2 *h2, void *user);
} t2_h2_callbacks;

typedef struct t2_h2_options {
  bool server;
  size_t stream_size;         /* of the user's stream struct; at least sizeof(t2_h2_stream) */
  uint32_t concurrent_max;    /* streams we let the peer open at once (0: none, for clients) */
  uint32_t stream_window;     /* bytes; SETTINGS_INITIAL_WINDOW_SIZE (until the peer acknowledges: 65,535) */
  uint32_t connection_window; /* bytes, at most */
  size_t field_section_max;   /* bytes as RFC 9113, 6.5.2 counts them */
  size_t field_max;           /* fields in a section */
  bool extended_connect;      /* server: offer RFC 8441 */
  bool priorities;            /* server: the client says what goes first (RFC 9218); else all share alike */
  uint32_t patience;          /* with what h2_guard.h counts; see there */
} t2_h2_options;

/* server false, 1,000 streams, 1 MiB, 16 MiB, 64 KiB, 128, a patience of 1. */
void t2_h2_options_init(t2_h2_options *options);

/* Submits the settings as well. 0 or T2_ERR_NOMEM. */
int t2_h2_new(t2_h2 **out, const t2_allocator *mem, const t2_h2_options *options,
              const t2_h2_callbacks *callbacks, void *user);
/* Closes live streams (on_stream_close with CANCEL) and frees. Not from inside a callback. */
void t2_h2_free(t2_h2 *h2);
/* 0; T2_ERR_PROTOCOL, also when the peer did too much of what h2_guard.h counts, or T2_ERR_NOMEM: a GOAWAY
 * may be left to flush, then close. */
int t2_h2_feed(t2_h2 *h2, const uint8_t *bytes, size_t n);
/* Appends frames to out while t2_buf_len(out) < high_water. 0 or T2_ERR_NOMEM. */
int t2_h2_flush(t2_h2 *h2, t2_buf *out, size_t high_water);
bool t2_h2_wants_write(const t2_h2 *h2);
/* Nothing more to read or write: the connection is over. */
bool t2_h2_over(const t2_h2 *h2);

/* Client: opens a stream. The head is copied as needed. 0, T2_ERR_LIMIT (the peer's bound on streams, or ids
 * used up), T2_ERR_CLOSED (GOAWAY came), T2_ERR_INVALID, T2_ERR_NOMEM. */
int t2_h2_request(t2_h2 *h2, const t2_head *head, bool end, t2_h2_stream **out);
/* Client: does the server take an extended CONNECT (RFC 8441, 3)? */
bool t2_h2_peer_extended_connect(const t2_h2 *h2);
/* How many more streams the peer lets us open now. */
size_t t2_h2_capacity(const t2_h2 *h2);
/* The peer's SETTINGS_MAX_CONCURRENT_STREAMS. */
uint32_t t2_h2_peer_concurrent_max(const t2_h2 *h2);
/* Server: a response head; status 1xx may come before the final one. 101, the yes to a `protocol`, goes as
 * 200 (RFC 8441, 5). */
int t2_h2_respond(t2_h2_stream *stream, const t2_head *head, bool end);
int t2_h2_stream_data(t2_h2_stream *stream, const void *bytes, size_t n);
/* trailers may be NULL; copied. */
int t2_h2_stream_end(t2_h2_stream *stream, const t2_fields *trailers);
void t2_h2_stream_reset(t2_h2_stream *stream, uint32_t code);
/* The rest of what the peer sends on it is not wanted: it is thrown away, and once our side has been sent
 * whole the stream is reset with NO_ERROR (RFC 9113, 8.1). on_data and on_end do not come any more. */
void t2_h2_stream_abandon(t2_h2_stream *stream);
/* n bytes of on_data have been dealt with: windows open again. */
void t2_h2_stream_consume(t2_h2_stream *stream, size_t n);

/* All streams' windows become so many bytes, those of streams that are open as well (RFC 9113, 6.9.2): what a
 * peer has sent beyond that stays. On a connection whose windows are less than its options say, a stream
 * whose content is consumed as it comes gets more than others, out of a bound for the connection. Before the
 * peer has acknowledged smaller ones, what all streams hold is bounded by the connection's window. */
int t2_h2_set_stream_window(t2_h2 *h2, uint32_t bytes);
/* Server: how many streams the peer may open at once from now on; those that are open stay. What it opens
 * beyond that before it knows is refused with REFUSED_STREAM, and not seen here. 0 or T2_ERR_NOMEM. */
int t2_h2_set_concurrent_max(t2_h2 *h2, uint32_t n);
/* Has the peer acknowledged all of our SETTINGS? */
bool t2_h2_settled(const t2_h2 *h2);
/* Bytes of content that wait for the peer's windows, and for room. */
size_t t2_h2_waiting(const t2_h2 *h2);

size_t t2_h2_stream_count(const t2_h2 *h2);
/* Walks the streams: the first after NULL; NULL at the end. The one given must still be there. */
t2_h2_stream *t2_h2_stream_next(const t2_h2 *h2, const t2_h2_stream *stream);
/* The clock, for what is bounded by time; before feed and flush. */
void t2_h2_tick(t2_h2 *h2, uint64_t now_ms);
/* How often the peer has done it. */
uint64_t t2_h2_abuse_count(const t2_h2 *h2, t2_h2_abuse abuse);
/* What the connection was given up for, with ENHANCE_YOUR_CALM; T2_H2_ABUSES: it was not. */
t2_h2_abuse t2_h2_gave_up_for(const t2_h2 *h2);
/* Server: GOAWAY that lets streams under way, and those already sent, finish: the notice first, and by a
 * second call the last word. */
int t2_h2_drain(t2_h2 *h2, bool last_word);
/* GOAWAY with code; what is under way is lost. */
void t2_h2_terminate(t2_h2 *h2, uint32_t code);
int t2_h2_ping(t2_h2 *h2);
/* Client: tells the server that somebody else stands at this side's place: it should connect there as well.
 * This connection goes on. (An extension frame, RFC 9113, 5.5, without content: who does not know it passes
 * over it.) */
#define T2_H2_REATTACH_FRAME 0xf2u
int t2_h2_reattach(t2_h2 *h2);
/* GOAWAY was received. */
bool t2_h2_peer_going(const t2_h2 *h2);

#endif
