#include <net/conn_internal.h>
#include <tunnel2/error.h>

/* Is there somebody for the socket's bytes? */
static bool wants_bytes(const t2_conn *conn) {
  if (t2_toil_waits(&conn->toil)) return false;
  switch (conn->state) {
  case CONN_OPENING:
    return conn->tls || conn->foreword;
  case CONN_OPEN:
    return conn->reading && !conn->eof && !conn->late_eof && !t2_buf_len(&conn->unread) &&
           !(conn->tls && (conn->ended || t2_tls_stream_pending(conn->tls)));
  case CONN_FINISHING:
    return !conn->eof;
  case CONN_CLOSING:
    break;
  }
  return false;
}

/* ---- The end ---- */

/* The peer's orderly end. */
static void on_end(t2_conn *conn) {
  conn->eof = true;
  if (conn->state == CONN_FINISHING) {
    if (conn->fin_sent) t2_conn_close(conn, 0);
  } else if (conn->write_error) {
    t2_conn_close(conn, conn->write_error);
  } else if (conn->ops->on_eof) {
    conn->ops->on_eof(conn, conn->user);
  } else {
    t2_conn_fail(conn, T2_ERR_CLOSED, "the peer closed the connection");
  }
}

/* The socket's end: of TLS without close_notify it may be an attacker's (RFC 8446, 6.1), so it is an error.
 */
static void on_socket_end(t2_conn *conn) {
  if (conn->foreword)
    t2_conn_foreword_fail(conn, T2_ERR_CLOSED);
  else if (!conn->tls || conn->state == CONN_FINISHING)
    on_end(conn);
  else if (conn->state == CONN_OPENING)
    t2_conn_fail(conn, T2_ERR_CLOSED, "the peer closed the connection within the TLS handshake");
  else
    t2_conn_fail(conn, T2_ERR_CLOSED, "the peer closed the connection without close_notify");
}

/* libuv tells the end of a socket that was shut down from both sides together with its last bytes: within
 * those its user may have stopped reading, or TLS may hold some of them back. */
static void on_read_end(t2_conn *conn, int status) {
  conn->uv_reading = false;
  if (status != UV_EOF)
    t2_conn_fail(conn, t2_error_of_uv(status), uv_strerror(status));
  else if (conn->state == CONN_OPEN && !wants_bytes(conn))
    conn->late_eof = true;
  else
    on_socket_end(conn);
}

/* ---- TLS ---- */

void t2_conn_input_handshake(t2_conn *conn) {
  t2_spares_take(&conn->loop->spares, t2_tls_stream_output(conn->tls), false);
  int err = t2_tls_stream_handshake(conn->tls);

  t2_conn_output_handshake(conn); /* an alert too */
  if (err == T2_ERR_AGAIN || conn->state == CONN_CLOSING) return;
  if (err) {
    t2_conn_fail(conn, err, t2_tls_stream_detail(conn->tls));
    return;
  }
  t2_loop_timer_stop(conn->loop, &conn->timer);
  conn->state = CONN_OPEN;
  conn->on_ready(conn, conn->user);
}

/* Decrypts and gives away, several records at once, until the input is used up or its user has enough. */
static void pump(t2_conn *conn) {
  uint8_t *plain = conn->loop->plain;

  while (conn->state == CONN_OPEN && conn->reading && !conn->ended && t2_tls_stream_pending(conn->tls)) {
    size_t n;
    int err = t2_tls_stream_read(conn->tls, plain, T2_LOOP_SLAB, &n);
    if (err == T2_ERR_CLOSED) conn->ended = true;
    if (n) {
      conn->settled = true;
      conn->ops->on_data(conn, plain, n, conn->user);
    }
    if (err && err != T2_ERR_CLOSED) t2_conn_fail(conn, err, t2_tls_stream_detail(conn->tls));
    if (err || n == 0) break;
  }
  if (conn->state == CONN_OPEN && conn->reading && conn->ended && !conn->eof) on_end(conn);
}

/* The ciphertext lent goes away now; its answers (alerts, key updates) go out with the flush. */
static void after_pump(t2_conn *conn) {
  if (conn->state == CONN_CLOSING) return;
  if (conn->ended || conn->state == CONN_FINISHING)
    t2_tls_stream_input(conn->tls, NULL, 0);
  else if (t2_tls_stream_keep(conn->tls))
    t2_conn_close(conn, T2_ERR_NOMEM);
  if (t2_buf_len(t2_tls_stream_output(conn->tls))) t2_conn_wake(conn);
}

static void take_ciphertext(t2_conn *conn) {
  if (conn->state == CONN_OPENING) t2_conn_input_handshake(conn);
  pump(conn);
  after_pump(conn);
}

void t2_conn_input_toil(t2_toil *toil) {
  t2_conn *conn = T2_CONTAINER_OF(toil, t2_conn, toil);

  t2_tls_stream_resume(conn->tls);
  take_ciphertext(conn);
  if (conn->late_eof) t2_conn_wake(conn);
  t2_conn_input_start(conn);
}

/* At once, if this turn has time for it; or else it waits, and nothing more is read. */
static void take_in_turn(t2_conn *conn) {
  bool begun = conn->begun;

  conn->begun = true;
  if (t2_toils_begin(&conn->loop->toils)) {
    take_ciphertext(conn);
    t2_toils_end(&conn->loop->toils);
  } else if (t2_tls_stream_keep(conn->tls)) {
    t2_conn_close(conn, T2_ERR_NOMEM);
  } else {
    t2_loop_toil(conn->loop, &conn->toil, begun);
  }
}

static void on_ciphertext(t2_conn *conn, const uint8_t *bytes, size_t n) {
  if (conn->ended) return;
  t2_tls_stream_input(conn->tls, bytes, n);
  if (conn->settled)
    take_ciphertext(conn);
  else
    take_in_turn(conn);
}

/* Gives what TLS had kept. */
static void resume_tls(t2_conn *conn) {
  if (!conn->ended && !t2_tls_stream_pending(conn->tls)) return;
  t2_tls_stream_resume(conn->tls);
  pump(conn);
  after_pump(conn);
  t2_conn_input_start(conn);
}

/* Gives what was read before it was opened. */
static void resume_clear(t2_conn *conn) {
  t2_buf bytes = conn->unread;

  if (!t2_buf_len(&bytes)) return;
  t2_buf_init(&conn->unread, conn->loop->mem);
  conn->ops->on_data(conn, t2_buf_head(&bytes), t2_buf_len(&bytes), conn->user);
  t2_buf_fini(&bytes);
  t2_conn_input_start(conn);
}

void t2_conn_input_unread(t2_conn *conn, t2_buf *bytes) {
  if (conn->state == CONN_CLOSING || conn->state == CONN_FINISHING) return;
  if (conn->tls) {
    on_ciphertext(conn, t2_buf_head(bytes), t2_buf_len(bytes));
    return;
  }
  conn->unread = *bytes;
  t2_buf_init(bytes, conn->loop->mem);
  if (conn->reading) t2_loop_wake(conn->loop, &conn->flushable);
}

void t2_conn_input_resume(t2_conn *conn) {
  if (conn->state != CONN_OPEN || !conn->reading || conn->eof || t2_toil_waits(&conn->toil)) return;
  if (conn->tls)
    resume_tls(conn);
  else
    resume_clear(conn);
  if (!conn->late_eof || conn->state != CONN_OPEN || !conn->reading || conn->eof) return;
  if (!conn->tls || !t2_tls_stream_pending(conn->tls)) on_socket_end(conn);
}

/* ---- libuv ---- */

/* One read in a turn, so that no connection keeps the others and the flush waiting; what is left makes the
 * socket readable again. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  t2_conn *conn = handle->data;

  (void)suggested;
  *buf = uv_buf_init(NULL, 0);
  if (conn->read_turn == conn->loop->turn || !wants_bytes(conn)) return;
  conn->read_turn = conn->loop->turn;
  size_t n = conn->ample ? T2_LOOP_SLAB : conn->loop->pressure.read_max;
  if (conn->foreword) n = t2_conn_foreword_room(conn);
  *buf = uv_buf_init((char *)conn->loop->slab, (unsigned)n);
}

/* The socket's bytes, to whoever they are for. */
static void take_bytes(t2_conn *conn, uint8_t *bytes, size_t n) {
  while (conn->foreword) { /* a PROXY protocol header may be followed by a hello */
    size_t taken = t2_conn_foreword_feed(conn, bytes, n);
    bytes += taken;
    n -= taken;
    if (n == 0 || conn->state == CONN_CLOSING || conn->state == CONN_FINISHING) return;
  }
  if (conn->tls)
    on_ciphertext(conn, bytes, n);
  else
    conn->ops->on_data(conn, bytes, n, conn->user);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  t2_conn *conn = stream->data;

  if (n == UV_ENOBUFS) { /* on_alloc gave none */
    if (wants_bytes(conn)) return;
    uv_read_stop(stream);
    conn->uv_reading = false;
    t2_conn_watch(conn);
  } else if (n < 0) {
    on_read_end(conn, (int)n);
  } else if (n > 0) {
    conn->bytes_read += (size_t)n;
    if (conn->state == CONN_FINISHING) return;
    take_bytes(conn, (uint8_t *)buf->base, (size_t)n);
  }
}

void t2_conn_input_start(t2_conn *conn) {
  if (conn->uv_reading || !wants_bytes(conn)) return;
  int err = uv_read_start(&conn->uv.stream, on_alloc, on_read);
  conn->uv_reading = err == 0;
  if (err) t2_conn_fail(conn, t2_error_of_uv(err), uv_strerror(err));
}
