#include <net/conn_internal.h>
#include <tunnel2/error.h>

/* ---- Life ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): as t2_conn_ops has it. */
void t2_conn_ignore_data(t2_conn *conn, uint8_t *bytes, size_t n, void *user) {
  (void)conn, (void)bytes, (void)n, (void)user;
}

static void nobody_close(t2_conn *conn, int err, void *user) {
  (void)conn, (void)err, (void)user;
}

static const t2_conn_ops nobody = {.on_data = t2_conn_ignore_data, .on_close = nobody_close};

void t2_conn_disown(t2_conn *conn) {
  conn->ops = &nobody;
  conn->user = NULL;
}

static void on_flush(t2_flushable *flushable) {
  t2_conn *conn = T2_CONTAINER_OF(flushable, t2_conn, flushable);

  if (conn->state == CONN_CLOSING) return;
  conn->flushing = true;
  t2_conn_input_resume(conn);
  if (conn->state == CONN_OPEN && conn->ops->on_flush) conn->ops->on_flush(conn, conn->user);
  if (conn->state != CONN_CLOSING) t2_conn_output_flush(conn);
  conn->flushing = false;
  t2_conn_note_waiting(conn, false);
  t2_spares_give(&conn->loop->spares, &conn->out);
}

/* The timer of the handshake, of looking at the peer, or of FINISHING: a peer that still takes output is
 * given another turn. */
static void on_timer(t2_timer *timer) {
  t2_conn *conn = T2_CONTAINER_OF(timer, t2_conn, timer);
  size_t pending = t2_conn_pending(conn);

  if (conn->state == CONN_OPENING) {
    if (conn->foreword)
      t2_conn_foreword_fail(conn, T2_ERR_TIMEOUT);
    else
      t2_conn_fail(conn, T2_ERR_TIMEOUT, "the TLS handshake took too long");
  } else if (conn->state == CONN_OPEN) {
    t2_conn_watch_look(conn);
  } else if (pending && pending < conn->linger_pending) {
    conn->linger_pending = pending;
    t2_loop_timer_start(conn->loop, timer, conn->linger_ms);
  } else {
    t2_conn_close(conn, pending ? T2_ERR_TIMEOUT : 0);
  }
}

int t2_conn_new(t2_conn **out, t2_loop *loop, bool is_pipe, const t2_conn_ops *ops, void *user) {
  t2_conn *conn = t2_calloc(loop->mem, 1, sizeof(*conn));

  *out = NULL;
  if (!conn) return T2_ERR_NOMEM;
  conn->loop = loop;
  conn->ops = ops;
  conn->user = user;
  conn->detail = "";
  conn->state = CONN_OPENING;
  t2_flushable_init(&conn->flushable, on_flush);
  t2_toil_init(&conn->toil, t2_conn_input_toil);
  t2_list_init(&conn->node);
  t2_list_init(&conn->parting.node);
  t2_timer_init(&conn->timer, on_timer);
  t2_buf_init(&conn->unread, loop->mem);
  t2_buf_init(&conn->out, loop->mem);
  t2_buf_init(&conn->sending, loop->mem);
  int err = is_pipe ? uv_pipe_init(loop->uv, &conn->uv.pipe, 0) : uv_tcp_init(loop->uv, &conn->uv.tcp);
  if (err) {
    t2_free(loop->mem, conn);
    return t2_error_of_uv(err);
  }
  t2_loop_hold(loop);
  conn->uv.handle.data = conn;
  conn->write_req.data = conn;
  *out = conn;
  return 0;
}

void t2_conn_set_peer(t2_conn *conn, const t2_address *peer) {
  if (peer) {
    conn->peer_host = t2_address_format(peer, conn->peer);
  } else {
    memcpy(conn->peer, "unix", sizeof("unix"));
    conn->peer_host = t2_str_c(conn->peer);
  }
  conn->peer_len = strlen(conn->peer);
}

void t2_conn_set_gone(t2_conn *conn, t2_conn_gone_cb on_gone, void *user) {
  conn->on_gone = on_gone;
  conn->gone_user = user;
}

static void set_nodelay(t2_conn *conn) {
  /* Writes are gathered already; waiting for more would only add delay. */
  if (conn->uv.handle.type == UV_TCP) uv_tcp_nodelay(&conn->uv.tcp, 1);
}

void t2_conn_open(t2_conn *conn) {
  set_nodelay(conn);
  conn->state = CONN_OPEN;
}

int t2_conn_open_tls(t2_conn *conn, t2_tls *tls, t2_str server_name, uint64_t timeout_ms,
                     t2_conn_ready_cb on_ready) {
  int err = t2_tls_stream_new(&conn->tls, tls, server_name);

  if (err) {
    t2_conn_close(conn, err);
    return err;
  }
  set_nodelay(conn);
  conn->on_ready = on_ready;
  if (timeout_ms) t2_loop_timer_start(conn->loop, &conn->timer, timeout_ms);
  t2_conn_input_handshake(conn);
  t2_conn_input_start(conn);
  return conn->state == CONN_CLOSING ? conn->error : 0;
}

static void on_uv_close(uv_handle_t *handle) {
  t2_conn *conn = handle->data;
  t2_loop *loop = conn->loop;

  t2_conn_note_waiting(conn, true);
  conn->ops->on_close(conn, conn->error, conn->user);
  t2_loop_calm(&conn->flushable); /* a user may have woken it once more */
  t2_list_remove(&conn->node);
  if (conn->from) t2_accepts_leave(conn->from, t2_loop_now(loop));
  if (conn->on_gone) conn->on_gone(conn->gone_user);
  t2_tls_stream_free(conn->tls);
  t2_conn_foreword_free(conn);
  t2_buf_fini(&conn->unread);
  t2_buf_fini(&conn->out);
  t2_buf_fini(&conn->sending);
  t2_free(loop->mem, conn);
  t2_loop_release(loop);
}

/* Whatever is to be done before uv_close. False when it is closing already. */
static bool begin_close(t2_conn *conn, int err) {
  if (conn->state == CONN_CLOSING) return false;
  conn->state = CONN_CLOSING;
  conn->error = err;
  conn->reading = false;
  t2_list_remove(&conn->parting.node);
  t2_loop_calm(&conn->flushable);
  t2_toil_drop(&conn->toil);
  t2_loop_timer_stop(conn->loop, &conn->timer);
  return true;
}

void t2_conn_close(t2_conn *conn, int err) {
  if (begin_close(conn, err)) uv_close(&conn->uv.handle, on_uv_close);
}

void t2_conn_reset(t2_conn *conn, int err) {
  if (!begin_close(conn, err)) return;
  if (conn->uv.handle.type != UV_TCP || uv_tcp_close_reset(&conn->uv.tcp, on_uv_close))
    uv_close(&conn->uv.handle, on_uv_close);
}

void t2_conn_fail(t2_conn *conn, int err, const char *detail) {
  if (conn->state == CONN_CLOSING) return;
  conn->detail = detail;
  t2_conn_close(conn, err);
}

bool t2_conn_closing(const t2_conn *conn) {
  return conn->state == CONN_CLOSING;
}

/* ---- Input ---- */

void t2_conn_set_ops(t2_conn *conn, const t2_conn_ops *ops, void *user) {
  conn->ops = ops;
  conn->user = user;
  if (conn->started) return;
  conn->started = true;
  t2_conn_read_start(conn);
}

void t2_conn_read_stop(t2_conn *conn) {
  conn->reading = false;
}

void t2_conn_read_start(t2_conn *conn) {
  if (conn->state != CONN_OPEN || conn->reading) return;
  conn->reading = true;
  if (conn->late_eof || t2_buf_len(&conn->unread) ||
      (conn->tls && (conn->ended || t2_tls_stream_pending(conn->tls))))
    t2_loop_wake(conn->loop, &conn->flushable);
  else
    t2_conn_input_start(conn);
}

void t2_conn_read_amply(t2_conn *conn) {
  conn->ample = true;
}

bool t2_conn_reading(const t2_conn *conn) {
  return conn->reading;
}

/* ---- Output ---- */

t2_buf *t2_conn_out(t2_conn *conn) {
  if (conn->out.data || conn->state != CONN_OPEN) return &conn->out;
  t2_spares_take(&conn->loop->spares, &conn->out, conn->bulk);
  /* The flush takes the memory back, also when nothing is appended. */
  if (!conn->flushing) t2_loop_wake(conn->loop, &conn->flushable);
  return &conn->out;
}

void t2_conn_wake(t2_conn *conn) {
  if (conn->state == CONN_CLOSING) return;
  if (conn->out.failed)
    t2_conn_close(conn, T2_ERR_NOMEM);
  else
    t2_loop_wake(conn->loop, &conn->flushable);
}

size_t t2_conn_pending(const t2_conn *conn) {
  size_t n = t2_buf_len(&conn->out);

  if (conn->tls) n += t2_buf_len(t2_tls_stream_output(conn->tls));
  if (conn->writing) n += uv_stream_get_write_queue_size(&conn->uv.stream);
  return n;
}

void t2_conn_shutdown(t2_conn *conn) {
  if (conn->state != CONN_OPEN || conn->fin_wanted) return;
  conn->fin_wanted = true;
  t2_conn_wake(conn);
}

static void end_parting(t2_parting *parting) {
  t2_conn_close(T2_CONTAINER_OF(parting, t2_conn, parting), T2_ERR_CANCELLED);
}

void t2_conn_finish(t2_conn *conn, uint64_t linger_ms) {
  if (conn->state != CONN_OPEN) return;
  conn->state = CONN_FINISHING;
  t2_toil_drop(&conn->toil);
  t2_loop_part(conn->loop, &conn->parting, end_parting);
  conn->fin_wanted = true;
  conn->reading = false;
  conn->eof |= conn->late_eof;
  conn->linger_ms = linger_ms;
  conn->linger_pending = t2_conn_pending(conn);
  t2_loop_timer_start(conn->loop, &conn->timer, linger_ms);
  t2_conn_wake(conn);
  t2_conn_input_start(conn);
}

void t2_conn_keepalive(t2_conn *conn, unsigned seconds) {
  if (conn->uv.handle.type == UV_TCP && conn->state != CONN_CLOSING)
    (void)uv_tcp_keepalive(&conn->uv.tcp, 1, seconds);
}

void t2_conn_rest(t2_conn *conn) {
  if (conn->tls && conn->state == CONN_OPEN && t2_conn_pending(conn) == 0) t2_tls_stream_rest(conn->tls);
}

/* ---- What is known of it ---- */

t2_loop *t2_conn_loop(const t2_conn *conn) {
  return conn->loop;
}

bool t2_conn_is_tls(const t2_conn *conn) {
  return conn->tls != NULL;
}

t2_str t2_conn_alpn(const t2_conn *conn) {
  return conn->tls ? t2_tls_stream_alpn(conn->tls) : T2_STR_NULL;
}

t2_str t2_conn_peer_host(const t2_conn *conn) {
  return conn->peer_host;
}

t2_str t2_conn_peer(const t2_conn *conn) {
  return t2_str_of(conn->peer, conn->peer_len);
}

const char *t2_conn_detail(const t2_conn *conn) {
  return conn->detail;
}

uint64_t t2_conn_bytes_read(const t2_conn *conn) {
  return conn->bytes_read;
}

uint64_t t2_conn_bytes_written(const t2_conn *conn) {
  return conn->bytes_written;
}

uint64_t t2_conn_bytes_offered(const t2_conn *conn) {
  return conn->bytes_offered;
}
