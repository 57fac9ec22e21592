/* What h2_conn.c (streams as legs), h2_conn_keep.c (requests that may be asked again), h2_conn_life.c (is the
 * peer still there?) and h2_conn_flow.c (how much may wait?) share. Included by these alone. */
#ifndef T2_PROXY_H2_CONN_INTERNAL_H
#define T2_PROXY_H2_CONN_INTERNAL_H

#include <proxy/h2_conn.h>

/* DRAIN_NOTICE: GOAWAY without a last stream was sent, with a PING behind it; its answer proves that every
 * request sent before the notice was read has arrived (RFC 9113, 6.8). DRAIN_LAST: GOAWAY with the last
 * stream; the connection ends with the last of them. */
typedef enum drain_state { DRAIN_NONE, DRAIN_NOTICE, DRAIN_LAST } drain_state;

struct t2_h2_conn {
  t2_proxy *proxy;
  t2_conn *conn;
  t2_h2 *h2;
  t2_h2_conn_options options;
  t2_h2_conn_ops ops;
  void *user;
  t2_leg opener; /* client: stands in for the stream that its `head` opens */
  t2_timer timer;
  uint64_t last_read_ms;
  uint64_t asked_ms; /* when the PING of this silence was sent; 0: none was */
  uint64_t last_stream_ms;
  uint32_t window;              /* of streams, as the peer has been told */
  uint64_t told_ms;             /* when that was, if it has not said that it knows; 0: it has */
  uint64_t changed_ms;          /* when it was told last */
  size_t waiting;               /* bytes of content for the peer, as the loop's pressure has them */
  uint64_t written, written_ms; /* bytes that the peer took, and when the timer saw that last */
  uint64_t moved, moved_ms; /* bytes both ways as the timer saw them, and when they were more than PINGs */
  bool rested;              /* since then */
  drain_state drain;
  bool noticed;   /* the drain's PING was sent */
  unsigned pings; /* not answered yet */
  bool answered;  /* client: a response has come */
  bool closing;
  int error;
  t2_reapable reapable;
};

/* A stream and the leg on it. */
typedef struct h2_leg {
  t2_h2_stream stream;
  t2_leg leg;
  t2_h2_conn *owner;
  uint64_t stuck_ms; /* since when content waits that the peer does not take, as the timer saw it; 0: none */
  /* Client: */
  uint64_t opened_ms;
  uint64_t opened_at; /* bytes that the transport had been offered by then */
  unsigned interim;   /* 1xx heads so far */
  bool keeps;         /* with keep_max: */
  t2_held kept;       /* the request, until something of the answer has come */
} h2_leg;

/* ---- h2_conn_keep.c ---- */

/* Keeps the request, and what comes behind its head, as long as it can be: without memory, or when that is
 * scarce, and past keep_max it is dropped, which is no error. */
void t2_h2_leg_keep(h2_leg *leg, const t2_head *head, bool end);
void t2_h2_leg_keep_data(h2_leg *leg, const uint8_t *bytes, size_t n);
void t2_h2_leg_drop_kept(h2_leg *leg);
/* When its stream is closed: may its request be given to somebody else? */
bool t2_h2_leg_can_be_repeated(const h2_leg *leg, bool unprocessed);

/* ---- h2_conn_flow.c ---- */

/* Tells the loop how much content waits for the peer. */
void t2_h2_conn_note_waiting(t2_h2_conn *h2_conn);
/* What the windows of streams should be now. */
uint32_t t2_h2_conn_wanted_window(const t2_h2_conn *h2_conn);
/* Makes them so; a peer that doesn't acknowledge it is given up. */
void t2_h2_conn_fit_window(t2_h2_conn *h2_conn);

/* ---- h2_conn_life.c ---- */

/* Sends a PING whose answer is counted. */
void t2_h2_conn_ping(t2_h2_conn *h2_conn);
/* The same because of the peer's silence, which counts against it from here on. */
void t2_h2_conn_ask(t2_h2_conn *h2_conn);
/* Of what is due next: a PING, its answer, the end of an idle connection, a look at what is stuck. */
void t2_h2_conn_start_timer(t2_h2_conn *h2_conn);
void t2_h2_conn_on_timer(t2_timer *timer);

#endif
