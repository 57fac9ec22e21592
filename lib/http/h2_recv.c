#include <http/h2_session.h>
#include <tunnel2/error.h>

void t2_h2_incoming_init(t2_h2 *h2) {
  t2_head_init(&h2->incoming.head, h2->mem);
}

static void incoming_reset(t2_h2 *h2) {
  t2_h2_incoming *in = &h2->incoming;
  for (size_t i = 0; i < in->held_count; i++)
    nghttp2_rcbuf_decref(in->held[i]);
  in->held_count = 0;
  in->bytes = 0;
  in->too_large = in->no_memory = in->malformed = false;
  in->host = T2_STR_NULL;
  t2_head_reset(&in->head);
  in->head.http2 = true;
}

void t2_h2_incoming_fini(t2_h2 *h2) {
  incoming_reset(h2);
  t2_head_fini(&h2->incoming.head);
  t2_free(h2->mem, h2->incoming.held);
  h2->incoming.held = NULL;
}

/* Keeps the string behind a view alive until the head is handed over. */
static int hold(t2_h2 *h2, nghttp2_rcbuf *rcbuf) {
  t2_h2_incoming *in = &h2->incoming;
  if (nghttp2_rcbuf_is_static(rcbuf)) return 0;
  if (in->held_count == in->held_cap) {
    size_t cap = in->held_cap ? in->held_cap * 2 : 32;
    nghttp2_rcbuf **held = t2_realloc(h2->mem, in->held, cap * sizeof(void *));
    if (!held) return T2_ERR_NOMEM;
    in->held = held;
    in->held_cap = cap;
  }
  nghttp2_rcbuf_incref(rcbuf);
  in->held[in->held_count++] = rcbuf;
  return 0;
}

static t2_str view(nghttp2_rcbuf *rcbuf) {
  nghttp2_vec vec = nghttp2_rcbuf_get_buf(rcbuf);
  return t2_str_of((const char *)vec.base, vec.len);
}

static void set_status(t2_head *head, t2_str value) {
  uint64_t status = 0;
  if (t2_str_u64(value, 999, &status) == 0) head->status = (int)status;
}

/* nghttp2 has already checked that pseudo-fields are known, complete, and come first. */
static void set_pseudo(t2_head *head, t2_str name, t2_str value) {
  if (t2_str_eq(name, T2_STR(":method")))
    head->method = value;
  else if (t2_str_eq(name, T2_STR(":path")))
    head->path = value;
  else if (t2_str_eq(name, T2_STR(":scheme")))
    head->scheme = value;
  else if (t2_str_eq(name, T2_STR(":authority")))
    head->authority = value;
  else if (t2_str_eq(name, T2_STR(":protocol")))
    head->protocol = value;
  else if (t2_str_eq(name, T2_STR(":status")))
    set_status(head, value);
}

/* What says something else than :authority, or than another Host, would be a request for two places (RFC
 * 9113, 8.3.1). */
static void set_host(t2_h2_incoming *in, t2_str value) {
  if (in->host.p && !t2_str_eq_nocase(in->host, value)) in->malformed = true;
  in->host = value;
}

static int add_field(t2_h2_incoming *in, t2_str name, t2_str value, bool sensitive) {
  t2_head *head = &in->head;
  if (t2_str_eq(name, T2_STR("content-length"))) {
    uint64_t length = 0;
    if (t2_str_u64(value, INT64_MAX, &length) == 0) head->content_length = (int64_t)length;
    return 0;
  }
  if (t2_str_eq(name, T2_STR("host"))) {
    set_host(in, value);
    return 0;
  }
  int err = t2_fields_add_sound(&head->fields, name, value); /* to nghttp2 */
  if (err == 0 && sensitive) head->fields.list[head->fields.n - 1].sensitive = true;
  return err;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  t2_h2 *h2 = user;
  incoming_reset(h2);
  h2->incoming.trailers = true; /* until a pseudo-field comes */
  if (!h2->options.server || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  t2_h2_stream *stream = t2_h2_stream_take(h2, frame->hd.stream_id);
  if (!stream) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
  /* Who does not say what goes first gets a bit of everything, rather than one after the other. */
  const nghttp2_extpri alike = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
  if (h2->options.priorities)
    nghttp2_session_change_extpri_stream_priority(session, frame->hd.stream_id, &alike, 0);
  return 0;
}

/* CR, LF, NUL and the like: nghttp2 would only leave the field out; the head is malformed (RFC 9113, 8.2.1).
 */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user) {
  (void)session, (void)frame, (void)name, (void)name_n, (void)value, (void)value_n, (void)flags, (void)user;
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user) {
  (void)session;
  (void)frame;
  t2_h2 *h2 = user;
  t2_h2_incoming *in = &h2->incoming;
  t2_str n = view(name), v = view(value);
  in->bytes += n.n + v.n + 32;
  if (in->bytes > h2->options.field_section_max || in->head.fields.n >= h2->options.field_max)
    in->too_large = true;
  if (in->bytes > T2_H2_BOMB_FACTOR * h2->options.field_section_max && !t2_h2_watch(h2, T2_H2_HEAD_BOMBS))
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  if (in->too_large || in->no_memory) return 0;
  bool pseudo = n.n > 0 && n.p[0] == ':';
  if (pseudo) in->trailers = false;
  int err = hold(h2, name);
  if (err == 0) err = hold(h2, value);
  if (err == 0 && pseudo)
    set_pseudo(&in->head, n, v);
  else if (err == 0)
    err = add_field(in, n, v, (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0);
  if (err) in->no_memory = true;
  return 0;
}

/* A head that is past the bounds is answered (431, RFC 6585) or its stream reset; it never reaches the user.
 */
static void refuse_head(t2_h2 *h2, t2_h2_stream *stream, bool request) {
  bool large = h2->incoming.too_large;
  t2_head answer;
  t2_head_init(&answer, h2->mem);
  answer.status = 431;
  answer.content_length = 0;
  if (large && request && t2_h2_respond(stream, &answer, true) == 0)
    t2_h2_stream_abandon(stream);
  else
    t2_h2_stream_reset(stream, large ? T2_H2_ENHANCE_YOUR_CALM : T2_H2_INTERNAL_ERROR);
}

/* nghttp2 lets more characters pass in a request's control data than HTTP/1.1 has room for; this is what it
 * has not checked. */
static bool well_formed(t2_h2 *h2, t2_head *head) {
  t2_h2_incoming *in = &h2->incoming;
  if (!h2->options.server) return head->status >= 100;
  if (head->authority.n && in->host.p) set_host(in, head->authority);
  if (in->malformed) return false;
  if (head->authority.n == 0) head->authority = in->host;
  if (head->authority.n && !t2_is_authority(head->authority)) return false;
  if (t2_str_eq(head->method, T2_STR("CONNECT")) && head->protocol.n == 0) return head->authority.n > 0;
  if (t2_str_eq(head->path, T2_STR("*"))) return t2_str_eq(head->method, T2_STR("OPTIONS"));
  return t2_is_token(head->method) && t2_is_origin_form(head->path);
}

static void on_headers_frame(t2_h2 *h2, t2_h2_stream *stream, const nghttp2_frame *frame) {
  bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  t2_head *head = &h2->incoming.head;
  if (end) stream->remote_ended = true;
  if (stream->reset || stream->abandoned) return;
  if (h2->incoming.too_large || h2->incoming.no_memory) {
    refuse_head(h2, stream, frame->headers.cat == NGHTTP2_HCAT_REQUEST);
  } else if (h2->incoming.trailers) {
    if (h2->callbacks.on_end) h2->callbacks.on_end(stream, head->fields.n ? &head->fields : NULL, h2->user);
  } else if (!well_formed(h2, head)) {
    t2_h2_stream_reset(stream, T2_H2_PROTOCOL_ERROR);
  } else if (h2->callbacks.on_head) {
    h2->callbacks.on_head(stream, head, end, h2->user);
  }
}

static void on_settings_frame(t2_h2 *h2, bool ack) {
  if (ack) t2_h2_flow_settled(h2);
  void (*told)(t2_h2 * h2, void *user) = ack ? h2->callbacks.on_settled : h2->callbacks.on_settings;
  if (told) told(h2, h2->user);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  t2_h2 *h2 = user;
  t2_h2_stream *stream =
      frame->hd.stream_id ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
  switch (frame->hd.type) {
  case NGHTTP2_HEADERS:
    if (stream) on_headers_frame(h2, stream, frame);
    incoming_reset(h2);
    break;
  case NGHTTP2_DATA:
    if (!t2_h2_watch_padding(h2, frame)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (!stream || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) break;
    stream->remote_ended = true;
    if (!stream->reset && !stream->abandoned && h2->callbacks.on_end)
      h2->callbacks.on_end(stream, NULL, h2->user);
    break;
  case NGHTTP2_SETTINGS:
    on_settings_frame(h2, (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0);
    break;
  case NGHTTP2_PING:
    if (!(frame->hd.flags & NGHTTP2_FLAG_ACK) || t2_h2_flow_answered(h2, frame->ping.opaque_data)) break;
    if (h2->callbacks.on_pong) h2->callbacks.on_pong(h2, h2->user);
    break;
  case NGHTTP2_GOAWAY:
    h2->going = true;
    if (h2->callbacks.on_goaway) h2->callbacks.on_goaway(h2, frame->goaway.error_code, h2->user);
    break;
  default:
    break;
  }
  return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                         void *user) {
  (void)flags;
  t2_h2 *h2 = user;
  t2_h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
  if (!stream || stream->reset || stream->abandoned || !h2->callbacks.on_data) {
    nghttp2_session_consume(session, id, n);
    return 0;
  }
  t2_h2_flow_came(stream, n);
  h2->callbacks.on_data(stream, bytes, n, h2->user);
  return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
  t2_h2 *h2 = user;
  t2_h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);
  if (!stream) return 0;
  nghttp2_session_set_stream_user_data(session, id, NULL);
  t2_h2_flow_closed(stream);
  stream->unconsumed = 0;
  /* What was refused here may have ended by itself before the RST_STREAM went out. */
  if (stream->reset && code == NGHTTP2_NO_ERROR) code = stream->code;
  stream->reset = true; /* nothing more is submitted for it */
  /* nghttp2 closes with this code what lies beyond GOAWAY's last stream, and what it could not send. */
  h2->callbacks.on_stream_close(stream, code, code == NGHTTP2_REFUSED_STREAM, h2->user);
  t2_h2_stream_put(stream);
  return 0;
}

void t2_h2_set_recv_callbacks(nghttp2_session_callbacks *callbacks) {
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
  nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
