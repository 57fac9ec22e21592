#include <http/h2_session.h>
#include <tunnel2/error.h>

#define WIDENED_MAX (2 * 1024 * 1024) /* of all streams of a connection together, beyond what each has */

/* Have the streams less than they would like to? */
static bool is_narrow(const t2_h2 *h2) {
  return h2->stream_window < h2->options.stream_window;
}

/* ---- The connection's window ---- */

static const uint8_t way[8] = "the way"; /* of a PING that measures it */

uint32_t t2_h2_flow_window(const t2_h2 *h2) {
  return h2->callbacks.clock_us ? h2->bdp.window : h2->options.connection_window;
}

static void follow(t2_h2 *h2) {
  if (h2->window == h2->bdp.window) return;
  if (nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)h2->bdp.window))
    return;
  h2->window = h2->bdp.window;
  t2_h2_wake(h2);
}

static void measure(t2_h2 *h2) {
  bool ask = t2_h2_bdp_ask(&h2->bdp, h2->callbacks.clock_us(h2->user));
  follow(h2);
  if (ask && nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, way) == 0) t2_h2_wake(h2);
}

bool t2_h2_flow_answered(t2_h2 *h2, const uint8_t opaque[8]) {
  if (!h2->callbacks.clock_us || memcmp(opaque, way, sizeof(way)) != 0) return false;
  t2_h2_bdp_answered(&h2->bdp, h2->callbacks.clock_us(h2->user));
  follow(h2);
  return true;
}

/* ---- Content ---- */

/* The connection's window is given back as bytes come: what the user holds is bounded by each stream's own,
 * so that streams that stand still never stop those that move. A peer that has not said that it knows of
 * smaller ones may fill all of them as they were: until then the connection's window is the bound. */
void t2_h2_flow_came(t2_h2_stream *stream, size_t n) {
  t2_h2 *h2 = stream->h2;
  stream->unconsumed += n;
  if (h2->unsettled && is_narrow(h2))
    stream->unreturned += n;
  else
    nghttp2_session_consume_connection(h2->session, n);
  if (h2->callbacks.clock_us && t2_h2_bdp_came(&h2->bdp, n)) measure(h2);
}

static void give_back(t2_h2_stream *stream, size_t n) {
  if (n > stream->unreturned) n = stream->unreturned;
  stream->unreturned -= n;
  if (n) nghttp2_session_consume_connection(stream->h2->session, n);
}

/* Gives the stream twice its window, when a whole one has been consumed as it came. */
static void widen(t2_h2_stream *stream) {
  t2_h2 *h2 = stream->h2;
  uint32_t size = h2->stream_window + stream->widened;
  if (stream->unconsumed || stream->moved < size || size >= h2->options.stream_window || stream->remote_ended)
    return;
  uint32_t left = h2->options.stream_window - size, more = size < left ? size : left;
  stream->moved = 0;
  if (more > WIDENED_MAX - h2->widened) return;
  if (nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, stream->id,
                                            (int32_t)(size + more)))
    return; /* without memory it stays as it is */
  stream->widened += more;
  h2->widened += more;
}

void t2_h2_stream_consume(t2_h2_stream *stream, size_t n) {
  t2_h2 *h2 = stream->h2;
  if (n > stream->unconsumed) n = stream->unconsumed;
  stream->unconsumed -= n;
  nghttp2_session_consume_stream(h2->session, stream->id, n);
  give_back(stream, n);
  if (is_narrow(h2) && !stream->reset) {
    stream->moved += (uint32_t)n;
    widen(stream);
  }
  if (t2_h2_wants_write(h2)) t2_h2_wake(h2);
}

void t2_h2_flow_closed(t2_h2_stream *stream) {
  stream->h2->widened -= stream->widened;
  stream->widened = 0;
  give_back(stream, stream->unreturned);
}

void t2_h2_flow_settled(t2_h2 *h2) {
  if (h2->unsettled == 0 || --h2->unsettled) return;
  T2_LIST_FOREACH(node, next, &h2->live) {
    t2_h2_stream *stream = T2_LIST_ENTRY(node, t2_h2_stream, node);
    give_back(stream, stream->unreturned);
  }
}

bool t2_h2_settled(const t2_h2 *h2) {
  return h2->unsettled == 0;
}

static int change_setting(t2_h2 *h2, int32_t id, uint32_t value) {
  nghttp2_settings_entry entry = {id, value};
  if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, &entry, 1)) return T2_ERR_NOMEM;
  h2->unsettled++;
  t2_h2_wake(h2);
  return 0;
}

int t2_h2_set_stream_window(t2_h2 *h2, uint32_t bytes) {
  int err = change_setting(h2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes);
  if (err == 0) h2->stream_window = bytes;
  return err;
}

/* nghttp2 refuses by the newest value, and ends the connection by the one that was acknowledged (RFC 9113,
 * 5.1.2). */
int t2_h2_set_concurrent_max(t2_h2 *h2, uint32_t n) {
  int err = change_setting(h2, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, n);
  if (err == 0) h2->options.concurrent_max = n;
  return err;
}

size_t t2_h2_waiting(const t2_h2 *h2) {
  return h2->waiting;
}
