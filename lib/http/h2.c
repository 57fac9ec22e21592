#include <http/h2_session.h>
#include <stdio.h>
#include <tunnel2/error.h>

void t2_h2_options_init(t2_h2_options *options) {
  *options = (t2_h2_options){
      .stream_size = sizeof(t2_h2_stream),
      .concurrent_max = 1000,
      .stream_window = 1024 * 1024,
      .connection_window = 16 * 1024 * 1024,
      .field_section_max = 64 * 1024,
      .field_max = 128,
      .patience = 1,
  };
}

/* ---- Memory: nghttp2's and the streams'. ---- */

static void *mem_malloc(size_t size, void *user) {
  return t2_alloc(user, size);
}
static void mem_free(void *ptr, void *user) {
  t2_free(user, ptr);
}
static void *mem_calloc(size_t count, size_t size, void *user) {
  return t2_calloc(user, count, size);
}
static void *mem_realloc(void *ptr, size_t size, void *user) {
  return t2_realloc(user, ptr, size);
}

static int error_of_nghttp2(int code) {
  switch (code) {
  case 0:
    return 0;
  case NGHTTP2_ERR_NOMEM:
    return T2_ERR_NOMEM;
  case NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE:
    return T2_ERR_LIMIT;
  case NGHTTP2_ERR_START_STREAM_NOT_ALLOWED:
  case NGHTTP2_ERR_STREAM_CLOSED:
  case NGHTTP2_ERR_SESSION_CLOSING:
    return T2_ERR_CLOSED;
  case NGHTTP2_ERR_INVALID_ARGUMENT:
  case NGHTTP2_ERR_INVALID_STATE:
    return T2_ERR_INVALID;
  default:
    return T2_ERR_PROTOCOL;
  }
}

t2_h2_stream *t2_h2_stream_take(t2_h2 *h2, int32_t id) {
  t2_h2_stream *stream;
  t2_buf out;
  if (!t2_list_empty(&h2->spare)) {
    stream = T2_LIST_ENTRY(h2->spare.next, t2_h2_stream, node);
    t2_list_remove(&stream->node);
    h2->spare_count--;
    out = stream->out;
  } else {
    stream = t2_alloc(h2->mem, h2->options.stream_size);
    if (!stream) return NULL;
    t2_buf_init(&out, h2->mem);
  }
  memset(stream, 0, h2->options.stream_size);
  stream->h2 = h2;
  stream->id = id;
  stream->out = out;
  t2_list_push_back(&h2->live, &stream->node);
  h2->live_count++;
  return stream;
}

void t2_h2_stream_put(t2_h2_stream *stream) {
  t2_h2 *h2 = stream->h2;
  t2_list_remove(&stream->node);
  h2->live_count--;
  t2_head_free_copy(stream->trailers, h2->mem);
  stream->trailers = NULL;
  h2->waiting -= t2_buf_len(&stream->out);
  t2_buf_reset(&stream->out);
  t2_buf_shrink(&stream->out, T2_H2_SPARE_BYTES);
  if (h2->freeing || h2->spare_count >= T2_H2_SPARE_STREAMS) {
    t2_buf_fini(&stream->out);
    t2_free(h2->mem, stream);
    return;
  }
  t2_list_push_front(&h2->spare, &stream->node);
  h2->spare_count++;
}

/* ---- Writing ---- */

void t2_h2_wake(t2_h2 *h2) {
  if (h2->callbacks.wake && !h2->freeing) h2->callbacks.wake(h2, h2->user);
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *bytes, size_t n, int flags, void *user) {
  (void)session;
  (void)flags;
  t2_h2 *h2 = user;
  if (t2_buf_len(h2->target) >= h2->high_water) return NGHTTP2_ERR_WOULDBLOCK;
  if (t2_buf_append(h2->target, bytes, n)) return NGHTTP2_ERR_CALLBACK_FAILURE;
  return (ssize_t)n;
}

static void nv_put(t2_h2 *h2, size_t *n, t2_str name, t2_str value, bool sensitive) {
  h2->nv[(*n)++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n,
                                sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

/* t2_h2_stream_end made the room in h2->nv; nghttp2 copies what it is given before anything else is put
 * there. */
static int submit_trailers(t2_h2_stream *stream) {
  const t2_fields *fields = &stream->trailers->fields;
  t2_h2 *h2 = stream->h2;
  size_t n = 0;
  for (size_t i = 0; i < fields->n; i++)
    nv_put(h2, &n, fields->list[i].name, fields->list[i].value, fields->list[i].sensitive);
  return nghttp2_submit_trailer(h2->session, stream->id, h2->nv, n);
}

/* How much of a stream's content goes into the next DATA frame; the bytes follow in on_send_data, without a
 * copy in between. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is nghttp2's */
static ssize_t on_read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                            uint32_t *flags, nghttp2_data_source *source, void *user) {
  (void)session;
  (void)id;
  (void)buf;
  (void)user;
  t2_h2_stream *stream = source->ptr;
  size_t have = t2_buf_len(&stream->out);
  if (have == 0 && !stream->ended) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  t2_h2_watch_data(stream->h2, length, have);
  if (have > length) return (ssize_t)length;
  if (stream->ended) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->trailers) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (submit_trailers(stream)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }
  return (ssize_t)have;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t length, nghttp2_data_source *source, void *user) {
  (void)session;
  (void)frame;
  t2_h2 *h2 = user;
  t2_h2_stream *stream = source->ptr;
  if (t2_buf_len(h2->target) >= h2->high_water) return NGHTTP2_ERR_WOULDBLOCK;
  uint8_t *at = t2_buf_reserve(h2->target, 9 + length);
  if (!at) return NGHTTP2_ERR_CALLBACK_FAILURE;
  memcpy(at, frame_head, 9);
  if (length) memcpy(at + 9, t2_buf_head(&stream->out), length);
  t2_buf_commit(h2->target, 9 + length);
  t2_buf_consume(&stream->out, length);
  t2_buf_tighten(&stream->out, T2_H2_SPARE_BYTES);
  h2->waiting -= length;
  if (length && h2->callbacks.on_sent) h2->callbacks.on_sent(stream, length, h2->user);
  return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  if (frame->hd.type == NGHTTP2_RST_STREAM) t2_h2_watch_reset(user, frame->rst_stream.error_code);
  if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
  if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
  t2_h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (!stream) return 0;
  stream->sent = true;
  if (stream->abandoned && !stream->remote_ended) t2_h2_stream_reset(stream, T2_H2_NO_ERROR);
  return 0;
}

/* Of an extension frame: ours has no content. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is nghttp2's */
static ssize_t on_pack_extension(nghttp2_session *session, uint8_t *buf, size_t n, const nghttp2_frame *frame,
                                 void *user) {
  (void)session, (void)buf, (void)n, (void)frame, (void)user;
  return 0;
}

int t2_h2_flush(t2_h2 *h2, t2_buf *out, size_t high_water) {
  if (h2->no_memory) return T2_ERR_NOMEM;
  h2->target = out;
  h2->high_water = high_water;
  int err = nghttp2_session_send(h2->session);
  h2->target = NULL;
  if (err == NGHTTP2_ERR_CALLBACK_FAILURE) return T2_ERR_NOMEM;
  return error_of_nghttp2(err);
}

/* ---- The connection ---- */

static nghttp2_session_callbacks *make_callbacks(void) {
  nghttp2_session_callbacks *callbacks;
  if (nghttp2_session_callbacks_new(&callbacks)) return NULL;
  nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
  nghttp2_session_callbacks_set_pack_extension_callback(callbacks, on_pack_extension);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, t2_h2_on_begin_frame);
  t2_h2_set_recv_callbacks(callbacks);
  return callbacks;
}

static int make_session(t2_h2 *h2) {
  nghttp2_option *option;
  if (nghttp2_option_new(&option)) return T2_ERR_NOMEM;
  nghttp2_session_callbacks *callbacks = make_callbacks();
  if (!callbacks) {
    nghttp2_option_del(option);
    return T2_ERR_NOMEM;
  }
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  /* What may come in may go out again, with what forwarding adds. */
  nghttp2_option_set_max_send_header_block_length(option, 2 * h2->options.field_section_max);
  /* Until the peer's SETTINGS come, no more than this many requests go out. */
  nghttp2_option_set_peer_max_concurrent_streams(option, 100);
  nghttp2_option_set_builtin_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
  t2_h2_watch_options(h2, option);
  int err = h2->options.server
                ? nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &h2->nghttp2_mem)
                : nghttp2_session_client_new3(&h2->session, callbacks, h2, option, &h2->nghttp2_mem);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_option_del(option);
  return error_of_nghttp2(err);
}

static int submit_settings(t2_h2 *h2) {
  nghttp2_settings_entry entries[6];
  size_t n = 0;
  entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2->options.stream_window};
  entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                                          (uint32_t)h2->options.field_section_max};
  if (h2->options.server) {
    entries[n++] =
        (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2->options.concurrent_max};
    if (h2->options.extended_connect)
      entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
    if (h2->options.priorities)
      entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
  } else {
    entries[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  }
  int err = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, n);
  if (err == 0)
    err = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0, (int32_t)h2->window);
  h2->unsettled = 1;
  return error_of_nghttp2(err);
}

int t2_h2_new(t2_h2 **out, const t2_allocator *mem, const t2_h2_options *options,
              const t2_h2_callbacks *callbacks, void *user) {
  *out = NULL;
  t2_h2 *h2 = t2_calloc(mem, 1, sizeof(*h2));
  if (!h2) return T2_ERR_NOMEM;
  h2->mem = mem;
  h2->options = *options;
  h2->stream_window = options->stream_window;
  h2->callbacks = *callbacks;
  h2->user = user;
  t2_h2_bdp_init(&h2->bdp, options->connection_window);
  h2->window = t2_h2_flow_window(h2);
  h2->nghttp2_mem = (nghttp2_mem){(void *)(uintptr_t)mem, mem_malloc, mem_free, mem_calloc, mem_realloc};
  t2_list_init(&h2->live);
  t2_list_init(&h2->spare);
  t2_h2_incoming_init(h2);
  t2_h2_watch_init(h2);
  int err = make_session(h2);
  if (err == 0) err = submit_settings(h2);
  if (err) {
    t2_h2_free(h2);
    return err;
  }
  *out = h2;
  return 0;
}

void t2_h2_free(t2_h2 *h2) {
  if (!h2) return;
  h2->freeing = true;
  T2_LIST_FOREACH(node, next, &h2->live) {
    t2_h2_stream *stream = T2_LIST_ENTRY(node, t2_h2_stream, node);
    h2->callbacks.on_stream_close(stream, T2_H2_CANCEL, false, h2->user);
    t2_h2_stream_put(stream);
  }
  if (h2->session) nghttp2_session_del(h2->session);
  T2_LIST_FOREACH(node, next, &h2->spare) {
    t2_h2_stream *stream = T2_LIST_ENTRY(node, t2_h2_stream, node);
    t2_buf_fini(&stream->out);
    t2_free(h2->mem, stream);
  }
  t2_h2_incoming_fini(h2);
  t2_free(h2->mem, h2->nv);
  t2_free(h2->mem, h2);
}

/* The bytes are cut only before a frame that may be one too many. */
static ssize_t receive_scanned(t2_h2 *h2, const uint8_t *bytes, size_t n) {
  const uint8_t *at = bytes, *end = bytes + n;
  t2_h2_scanned frame;
  while (t2_h2_scan_next(&h2->scan, &at, end, &frame)) {
    if (frame.type == T2_H2_REATTACH_FRAME && frame.stream == 0 && h2->callbacks.on_reattach)
      h2->callbacks.on_reattach(h2, h2->user);
    uint32_t code = t2_h2_watch_scanned(h2, &frame);
    if (code == T2_H2_NO_ERROR) continue;
    ssize_t taken = nghttp2_session_mem_recv(h2->session, bytes, (size_t)(at - bytes));
    if (taken < 0) return taken;
    bytes = at;
    if (!t2_h2_watch_suspect(h2, &frame, code)) return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return nghttp2_session_mem_recv(h2->session, bytes, (size_t)(end - bytes));
}

int t2_h2_feed(t2_h2 *h2, const uint8_t *bytes, size_t n) {
  if (h2->gave_up_for != T2_H2_ABUSES) return T2_ERR_PROTOCOL;
  ssize_t taken =
      h2->options.server ? receive_scanned(h2, bytes, n) : nghttp2_session_mem_recv(h2->session, bytes, n);
  /* What is no HTTP/2 at all, or was given up, is told why. */
  if (taken == NGHTTP2_ERR_FLOODED)
    t2_h2_watch_flooded(h2);
  else if (taken < 0 && taken != NGHTTP2_ERR_NOMEM)
    nghttp2_session_terminate_session(h2->session, NGHTTP2_PROTOCOL_ERROR);
  if (t2_h2_wants_write(h2)) t2_h2_wake(h2);
  return taken < 0 ? error_of_nghttp2((int)taken) : 0;
}

bool t2_h2_wants_write(const t2_h2 *h2) {
  return nghttp2_session_want_write(h2->session) != 0;
}

bool t2_h2_over(const t2_h2 *h2) {
  return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

/* ---- Heads out ---- */

static int nv_reserve(t2_h2 *h2, size_t n) {
  if (n <= h2->nv_cap) return 0;
  nghttp2_nv *nv = t2_realloc(h2->mem, h2->nv, n * sizeof(*nv));
  if (!nv) return T2_ERR_NOMEM;
  h2->nv = nv;
  h2->nv_cap = n;
  return 0;
}

#define PSEUDO_MAX 6

static void put_request(t2_h2 *h2, size_t *n, const t2_head *head) {
  bool upgrade = head->protocol.n > 0; /* HTTP/1.1's is an extended CONNECT here (RFC 8441, 4) */
  t2_str method = upgrade ? T2_STR("CONNECT") : head->method;
  nv_put(h2, n, T2_STR(":method"), method, false);
  if (upgrade || !t2_str_eq(method, T2_STR("CONNECT"))) {
    nv_put(h2, n, T2_STR(":scheme"), head->scheme.n ? head->scheme : T2_STR("http"), false);
    nv_put(h2, n, T2_STR(":path"), head->path, false);
  }
  if (head->authority.n) nv_put(h2, n, T2_STR(":authority"), head->authority, false);
  if (upgrade) nv_put(h2, n, T2_STR(":protocol"), head->protocol, false);
}

/* Memory for what a head has as numbers. */
typedef struct head_digits {
  char status[T2_U64_DIGITS], length[T2_U64_DIGITS];
} head_digits;

/* Fills h2->nv from head. Returns the count or an error. */
static int nv_of_head(t2_h2 *h2, const t2_head *head, head_digits *digits) {
  if (nv_reserve(h2, head->fields.n + PSEUDO_MAX + 1)) return T2_ERR_NOMEM;
  size_t n = 0;
  if (head->status) {
    int status = head->status == 101 ? 200 : head->status; /* there is no 101 in HTTP/2 (RFC 9113, 8.6) */
    nv_put(h2, &n, T2_STR(":status"), t2_str_of_u64(digits->status, (uint64_t)status), false);
  } else {
    put_request(h2, &n, head);
  }
  for (size_t i = 0; i < head->fields.n; i++) {
    const t2_field *f = &head->fields.list[i];
    nv_put(h2, &n, f->name, f->value, f->sensitive);
  }
  if (head->content_length >= 0)
    nv_put(h2, &n, T2_STR("content-length"), t2_str_of_u64(digits->length, (uint64_t)head->content_length),
           false);
  return (int)n;
}

int t2_h2_request(t2_h2 *h2, const t2_head *head, bool end, t2_h2_stream **out) {
  *out = NULL;
  if (h2->going) return T2_ERR_CLOSED;
  if (t2_h2_capacity(h2) == 0) return T2_ERR_LIMIT;
  head_digits digits;
  int n = nv_of_head(h2, head, &digits);
  if (n < 0) return n;
  t2_h2_stream *stream = t2_h2_stream_take(h2, 0);
  if (!stream) return T2_ERR_NOMEM;
  nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = on_read_data};
  int32_t id = nghttp2_submit_request(h2->session, NULL, h2->nv, (size_t)n, end ? NULL : &provider, stream);
  if (id < 0) {
    t2_h2_stream_put(stream);
    return error_of_nghttp2(id);
  }
  stream->id = id;
  stream->headed = true;
  stream->ended = end;
  *out = stream;
  t2_h2_wake(h2);
  return 0;
}

int t2_h2_respond(t2_h2_stream *stream, const t2_head *head, bool end) {
  t2_h2 *h2 = stream->h2;
  if (stream->reset || stream->headed) return T2_ERR_STATE;
  bool interim = head->status < 200 && head->status != 101;
  head_digits digits;
  int n = nv_of_head(h2, head, &digits);
  if (n < 0) return n;
  int err;
  if (interim) {
    err = nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, h2->nv, (size_t)n, NULL);
  } else {
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = on_read_data};
    err = nghttp2_submit_response(h2->session, stream->id, h2->nv, (size_t)n, end ? NULL : &provider);
  }
  if (err < 0) return error_of_nghttp2(err);
  if (!interim) {
    stream->headed = true;
    stream->ended = end;
  }
  t2_h2_wake(h2);
  return 0;
}

/* ---- Content out and in ---- */

static void resume(t2_h2_stream *stream) {
  if (stream->deferred) {
    stream->deferred = false;
    nghttp2_session_resume_data(stream->h2->session, stream->id);
  }
  t2_h2_wake(stream->h2);
}

int t2_h2_stream_data(t2_h2_stream *stream, const void *bytes, size_t n) {
  if (stream->ended || stream->reset || !stream->headed) return T2_ERR_STATE;
  if (n == 0) return 0;
  int err = t2_buf_append(&stream->out, bytes, n);
  if (err) return err;
  stream->h2->waiting += n;
  resume(stream);
  return 0;
}

int t2_h2_stream_end(t2_h2_stream *stream, const t2_fields *trailers) {
  if (stream->ended || stream->reset || !stream->headed) return T2_ERR_STATE;
  if (trailers && trailers->n) {
    t2_head head;
    t2_head_init(&head, stream->h2->mem);
    head.fields = *trailers;
    if (nv_reserve(stream->h2, trailers->n)) return T2_ERR_NOMEM;
    stream->trailers = t2_head_copy(&head, stream->h2->mem);
    if (!stream->trailers) return T2_ERR_NOMEM;
  }
  stream->ended = true;
  resume(stream);
  return 0;
}

void t2_h2_stream_reset(t2_h2_stream *stream, uint32_t code) {
  if (stream->reset) return;
  stream->reset = true;
  stream->code = code;
  if (nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, code))
    stream->h2->no_memory = true;
  t2_h2_wake(stream->h2);
}

void t2_h2_stream_abandon(t2_h2_stream *stream) {
  if (stream->remote_ended || stream->reset) return;
  stream->abandoned = true;
  t2_h2_stream_consume(stream, stream->unconsumed);
  if (stream->sent) t2_h2_stream_reset(stream, T2_H2_NO_ERROR);
}

/* ---- State of the connection ---- */

size_t t2_h2_stream_count(const t2_h2 *h2) {
  return h2->live_count;
}

t2_h2_stream *t2_h2_stream_next(const t2_h2 *h2, const t2_h2_stream *stream) {
  t2_list *next = stream ? stream->node.next : h2->live.next;
  return next == &h2->live ? NULL : T2_LIST_ENTRY(next, t2_h2_stream, node);
}

uint32_t t2_h2_peer_concurrent_max(const t2_h2 *h2) {
  return nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool t2_h2_peer_extended_connect(const t2_h2 *h2) {
  return nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

size_t t2_h2_capacity(const t2_h2 *h2) {
  if (h2->going || !nghttp2_session_check_request_allowed(h2->session)) return 0;
  uint32_t limit = t2_h2_peer_concurrent_max(h2);
  return h2->live_count >= limit ? 0 : limit - h2->live_count;
}

int t2_h2_drain(t2_h2 *h2, bool last_word) {
  int err = last_word ? nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                              nghttp2_session_get_last_proc_stream_id(h2->session),
                                              NGHTTP2_NO_ERROR, NULL, 0)
                      : nghttp2_submit_shutdown_notice(h2->session);
  t2_h2_wake(h2);
  return error_of_nghttp2(err);
}

void t2_h2_terminate(t2_h2 *h2, uint32_t code) {
  nghttp2_session_terminate_session(h2->session, code);
  t2_h2_wake(h2);
}

int t2_h2_ping(t2_h2 *h2) {
  int err = nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
  t2_h2_wake(h2);
  return error_of_nghttp2(err);
}

int t2_h2_reattach(t2_h2 *h2) {
  int err = nghttp2_submit_extension(h2->session, T2_H2_REATTACH_FRAME, NGHTTP2_FLAG_NONE, 0, NULL);
  t2_h2_wake(h2);
  return error_of_nghttp2(err);
}

bool t2_h2_peer_going(const t2_h2 *h2) {
  return h2->going;
}
