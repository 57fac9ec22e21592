#include <http/h2_session.h>

#define DATA_USEFUL  1024 /* bytes of a DATA frame that are no small matter */
#define UPDATES_PAID 3 /* WINDOW_UPDATEs for each DATA frame: the stream's, the connection's, and a third */
#define UPDATE_BYTES 1024 /* ... and one for each so many bytes in it */

/* ---- The GOAWAY ---- */

static void give_up(t2_h2 *h2, t2_h2_abuse abuse) {
  if (h2->gave_up_for != T2_H2_ABUSES) return;
  h2->gave_up_for = abuse;
  nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

bool t2_h2_watch(t2_h2 *h2, t2_h2_abuse abuse) {
  if (t2_h2_guard_count(&h2->guard, abuse)) return true;
  give_up(h2, abuse);
  return false;
}

void t2_h2_watch_flooded(t2_h2 *h2) {
  const uint64_t *levels = h2->guard.levels;
  give_up(h2, levels[T2_H2_SETTINGS] > levels[T2_H2_PINGS] ? T2_H2_SETTINGS : T2_H2_PINGS);
}

/* ---- Streams that are past ---- */

static void open_past(t2_h2 *h2, uint32_t id, bool ended) {
  h2->newest = id;
  h2->past[h2->past_next++ % T2_H2_PAST_MAX] = id << 1 | ended;
}

/* The latest first: it is mostly one of these. */
static uint32_t *find_past(t2_h2 *h2, uint32_t id) {
  for (size_t i = 1; i <= T2_H2_PAST_MAX; i++) {
    uint32_t *past = &h2->past[(h2->past_next - i) % T2_H2_PAST_MAX];
    if (*past >> 1 == id) return past;
  }
  return NULL;
}

/* HEADERS or DATA. What was reset here may still be on its way (RFC 9113, 5.1), as it may be on a stream that
 * was forgotten. */
static uint32_t scan_past(t2_h2 *h2, uint32_t id, bool ended) {
  if (id > h2->newest) return NGHTTP2_NO_ERROR; /* idle: nghttp2 sees to it */
  uint32_t *past = find_past(h2, id);
  uint32_t oldest = h2->past[h2->past_next % T2_H2_PAST_MAX] >> 1;
  if (!past) return id < oldest || id % 2 == 0 ? NGHTTP2_NO_ERROR : NGHTTP2_PROTOCOL_ERROR;
  uint32_t code = *past & 1 ? NGHTTP2_STREAM_CLOSED : NGHTTP2_NO_ERROR;
  *past |= ended;
  return code;
}

static void scan_reset(t2_h2 *h2, uint32_t id) {
  uint32_t *past = find_past(h2, id);
  if (past) *past |= 1;
}

uint32_t t2_h2_watch_scanned(t2_h2 *h2, const t2_h2_scanned *frame) {
  bool ended = (frame->flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame->type) {
  case NGHTTP2_HEADERS:
    if (frame->stream > h2->newest) {
      open_past(h2, frame->stream, ended);
      return NGHTTP2_NO_ERROR;
    }
    return scan_past(h2, frame->stream, ended);
  case NGHTTP2_DATA:
    return scan_past(h2, frame->stream, ended);
  case NGHTTP2_RST_STREAM:
    scan_reset(h2, frame->stream);
    return NGHTTP2_NO_ERROR;
  case NGHTTP2_PRIORITY: /* RFC 7540, 5.3.1; where RFC 9218 is in use nghttp2 does not look */
    return frame->depends_on && frame->depends_on == frame->stream ? NGHTTP2_PROTOCOL_ERROR
                                                                   : NGHTTP2_NO_ERROR;
  default:
    return NGHTTP2_NO_ERROR;
  }
}

static bool connection_error(t2_h2 *h2, uint32_t code) {
  nghttp2_session_terminate_session(h2->session, code);
  return false;
}

/* A stream that nghttp2 knows it looks after itself. */
bool t2_h2_watch_suspect(t2_h2 *h2, const t2_h2_scanned *frame, uint32_t code) {
  bool known = nghttp2_session_get_stream_user_data(h2->session, (int32_t)frame->stream) != NULL;
  return known && frame->type != NGHTTP2_PRIORITY ? true : connection_error(h2, code);
}

/* ---- What comes ---- */

/* A client has opened the streams that its server resets: there are no more of these than it asked for. */
static bool watch_stream_reset(t2_h2 *h2) {
  if (h2->options.server) return t2_h2_watch(h2, T2_H2_RESETS);
  (void)t2_h2_guard_count(&h2->guard, T2_H2_RESETS);
  return true;
}

static bool watch_frame(t2_h2 *h2, const nghttp2_frame_hd *hd) {
  bool ack = (hd->flags & NGHTTP2_FLAG_ACK) != 0;
  switch (hd->type) {
  case NGHTTP2_DATA:
    if (hd->length || (hd->flags & NGHTTP2_FLAG_END_STREAM)) return true;
    return t2_h2_watch(h2, T2_H2_EMPTY_DATA);
  case NGHTTP2_HEADERS:
    h2->incoming.continuations = 0;
    return true;
  case NGHTTP2_PRIORITY: /* nghttp2 does not look at it when the client says by other means what goes first */
    if (hd->stream_id == 0) return connection_error(h2, NGHTTP2_PROTOCOL_ERROR);
    return t2_h2_watch(h2, T2_H2_OTHER_FRAMES);
  case NGHTTP2_CONTINUATION:
    if (++h2->incoming.continuations <= T2_H2_CONTINUATIONS_MAX) return true;
    return t2_h2_watch(h2, T2_H2_CONTINUATIONS);
  case NGHTTP2_RST_STREAM:
    return watch_stream_reset(h2);
  case NGHTTP2_SETTINGS:
    return t2_h2_watch(h2, ack ? T2_H2_OTHER_FRAMES : T2_H2_SETTINGS);
  case NGHTTP2_PING:
    return t2_h2_watch(h2, ack ? T2_H2_OTHER_FRAMES : T2_H2_PINGS);
  case NGHTTP2_WINDOW_UPDATE:
    return t2_h2_watch(h2, T2_H2_WINDOW_UPDATES);
  default:
    return t2_h2_watch(h2, T2_H2_OTHER_FRAMES);
  }
}

int t2_h2_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user) {
  (void)session;
  return watch_frame(user, hd) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

bool t2_h2_watch_padding(t2_h2 *h2, const nghttp2_frame *frame) {
  bool content = frame->hd.length > frame->data.padlen;
  if (content || frame->hd.length == 0 || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return true;
  return t2_h2_watch(h2, T2_H2_EMPTY_DATA);
}

/* ---- What goes ---- */

/* A frame that carries what there was, or a good deal of it, pays for the WINDOW_UPDATEs that answer it, and
 * for a PING: some clients measure the way by one for each. */
void t2_h2_watch_data(t2_h2 *h2, size_t length, size_t have) {
  if (have > length && length < DATA_USEFUL) {
    (void)t2_h2_watch(h2, T2_H2_TINY_WINDOWS);
    return;
  }
  t2_h2_guard_credit(&h2->guard, T2_H2_WINDOW_UPDATES, UPDATES_PAID + length / UPDATE_BYTES);
  t2_h2_guard_credit(&h2->guard, T2_H2_PINGS, 1);
  if (length >= DATA_USEFUL && have >= DATA_USEFUL) t2_h2_guard_credit(&h2->guard, T2_H2_TINY_WINDOWS, 1);
}

/* Of ours, these say that the peer broke a rule: with each it has had a stream for nothing. */
void t2_h2_watch_reset(t2_h2 *h2, uint32_t code) {
  switch (code) {
  case NGHTTP2_PROTOCOL_ERROR:
  case NGHTTP2_FLOW_CONTROL_ERROR:
  case NGHTTP2_STREAM_CLOSED:
  case NGHTTP2_FRAME_SIZE_ERROR:
  case NGHTTP2_REFUSED_STREAM:
  case NGHTTP2_ENHANCE_YOUR_CALM:
    (void)t2_h2_watch(h2, T2_H2_FAULTS);
    break;
  default:
    break;
  }
}

/* ---- Life ---- */

void t2_h2_watch_init(t2_h2 *h2) {
  t2_h2_guard_init(&h2->guard, h2->options.patience);
  h2->gave_up_for = T2_H2_ABUSES;
  t2_h2_scan_init(&h2->scan, T2_H2_PREFACE_LEN);
}

void t2_h2_watch_options(const t2_h2 *h2, nghttp2_option *option) {
#ifdef T2_NGHTTP2_RESET_RATE /* not in 1.52 as it was first released */
  uint64_t factor = 2 * h2->guard.patience;
  nghttp2_option_set_stream_reset_rate_limit(option, factor * t2_h2_guard_burst(T2_H2_RESETS),
                                             factor * t2_h2_guard_rate(T2_H2_RESETS));
#else
  (void)h2;
  (void)option;
#endif
}

void t2_h2_tick(t2_h2 *h2, uint64_t now_ms) {
  t2_h2_guard_tick(&h2->guard, now_ms);
}

uint64_t t2_h2_abuse_count(const t2_h2 *h2, t2_h2_abuse abuse) {
  return h2->guard.counts[abuse];
}

t2_h2_abuse t2_h2_gave_up_for(const t2_h2 *h2) {
  return h2->gave_up_for;
}
