#include <proxy/h2_conn_internal.h>
#include <tunnel2/error.h>

#define REST_MS    5000 /* without a byte, or with PINGs alone: then it is idle */
#define PING_BYTES 512  /* that these and their answers are at most, from one look to the next */

void t2_h2_conn_ping(t2_h2_conn *h2_conn) {
  if (t2_h2_ping(h2_conn->h2) == 0) h2_conn->pings++;
}

void t2_h2_conn_ask(t2_h2_conn *h2_conn) {
  h2_conn->asked_ms = t2_loop_now(h2_conn->proxy->loop);
  t2_h2_conn_ping(h2_conn);
}

/* The PING is due when nothing was read for its interval, and its answer when the timeout has passed as well.
 */
static uint64_t until_ping(const t2_h2_conn *h2_conn) {
  const t2_h2_conn_options *o = &h2_conn->options;
  uint64_t silent = t2_loop_now(h2_conn->proxy->loop) - h2_conn->last_read_ms;
  if (!o->ping_interval_ms) return 0;
  uint64_t due = h2_conn->asked_ms && o->ping_timeout_ms > o->ping_interval_ms ? o->ping_timeout_ms
                                                                               : o->ping_interval_ms;
  return due > silent ? due - silent : o->ping_interval_ms;
}

void t2_h2_conn_start_timer(t2_h2_conn *h2_conn) {
  uint64_t ping_ms = until_ping(h2_conn), idle_ms = h2_conn->options.idle_timeout_ms;
  uint64_t period = ping_ms && (!idle_ms || ping_ms < idle_ms) ? ping_ms : idle_ms;
  uint64_t stuck_ms = h2_conn->options.stuck_timeout_ms / 2;
  if (stuck_ms && (!period || stuck_ms < period)) period = stuck_ms;
  if (period) t2_loop_timer_start(h2_conn->proxy->loop, &h2_conn->timer, period);
}

/* Resets what the peer takes nothing of though it has asked for it. In a tunnel silence is the user's
 * business.
 */
static void reset_stuck(t2_h2_conn *h2_conn, uint64_t now) {
  t2_h2_stream *stream = NULL;
  while ((stream = t2_h2_stream_next(h2_conn->h2, stream))) {
    h2_leg *leg = T2_CONTAINER_OF(stream, h2_leg, stream);
    bool waits = t2_buf_len(&stream->out) && !(leg->leg.exchange && leg->leg.exchange->tunnel);
    if (!waits)
      leg->stuck_ms = 0;
    else if (leg->stuck_ms == 0)
      leg->stuck_ms = now;
    else if (now - leg->stuck_ms >= h2_conn->options.stuck_timeout_ms) {
      h2_conn->proxy->late_content++;
      t2_h2_stream_reset(stream, T2_H2_CANCEL);
    }
  }
}

/* Has the peer read nothing at all for so long, though there is something for it? */
static bool is_stuck(t2_h2_conn *h2_conn, uint64_t now) {
  uint64_t written = t2_conn_bytes_written(h2_conn->conn);
  if (t2_conn_pending(h2_conn->conn) == 0 || written != h2_conn->written) h2_conn->written_ms = now;
  h2_conn->written = written;
  return now - h2_conn->written_ms >= h2_conn->options.stuck_timeout_ms;
}

/* Silence is held against a peer only when it was asked, and has had the time to answer. */
static bool is_unanswered(const t2_h2_conn *h2_conn, uint64_t now) {
  const t2_h2_conn_options *o = &h2_conn->options;
  uint64_t allowed = o->ping_timeout_ms > o->ping_interval_ms ? o->ping_timeout_ms - o->ping_interval_ms : 0;
  return h2_conn->asked_ms && now - h2_conn->asked_ms >= allowed;
}

/* PINGs fit in memory that a rest leaves, so that one is enough until there is more. */
static void rest(t2_h2_conn *h2_conn, uint64_t now) {
  uint64_t moved = t2_conn_bytes_read(h2_conn->conn) + t2_conn_bytes_written(h2_conn->conn);
  if (moved - h2_conn->moved > PING_BYTES) {
    h2_conn->moved_ms = now;
    h2_conn->rested = false;
  }
  h2_conn->moved = moved;
  bool quiet = !h2_conn->rested && now - h2_conn->moved_ms >= REST_MS;
  if (!quiet && now - h2_conn->last_read_ms < REST_MS) return;
  h2_conn->rested = true;
  t2_conn_rest(h2_conn->conn);
}

void t2_h2_conn_on_timer(t2_timer *timer) {
  t2_h2_conn *h2_conn = T2_CONTAINER_OF(timer, t2_h2_conn, timer);
  t2_loop *loop = h2_conn->proxy->loop;
  uint64_t now = t2_loop_now(loop), silent = now - h2_conn->last_read_ms;
  const t2_h2_conn_options *o = &h2_conn->options;
  if (h2_conn->closing) return;
  bool gone = o->ping_timeout_ms && is_unanswered(h2_conn, now) && silent >= o->ping_timeout_ms;
  bool stuck = !gone && o->stuck_timeout_ms && is_stuck(h2_conn, now);
  if (gone || stuck) {
    if (stuck) h2_conn->proxy->late_content++;
    t2_h2_conn_close(h2_conn, T2_ERR_TIMEOUT);
    return;
  }
  rest(h2_conn, now);
  if (o->stuck_timeout_ms) reset_stuck(h2_conn, now);
  if (o->idle_timeout_ms && t2_h2_stream_count(h2_conn->h2) == 0 &&
      now - h2_conn->last_stream_ms >= o->idle_timeout_ms) {
    h2_conn->proxy->late_idle++;
    h2_conn->drain = DRAIN_LAST;
    t2_h2_terminate(h2_conn->h2, T2_H2_NO_ERROR);
  } else if (o->ping_interval_ms && silent >= o->ping_interval_ms && !h2_conn->asked_ms) {
    t2_h2_conn_ask(h2_conn);
  }
  t2_h2_conn_start_timer(h2_conn);
}
