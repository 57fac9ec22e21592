#include <net/conn_internal.h>
#include <tunnel2/error.h>

/* What is in the socket's input may say why (an answer, then a reset), so the end of input closes, if it is
 * read at all. */
static void write_failed(t2_conn *conn, int status) {
  conn->write_error = t2_error_of_uv(status);
  conn->detail = uv_strerror(status);
  t2_buf_reset(&conn->out);
  if (conn->state != CONN_OPEN || !conn->reading || conn->eof || !conn->uv_reading)
    t2_conn_close(conn, conn->write_error);
}

void t2_conn_note_waiting(t2_conn *conn, bool gone) {
  size_t n = t2_buf_len(&conn->out) + t2_buf_len(&conn->sending);
  if (conn->tls) n += t2_buf_len(t2_tls_stream_output(conn->tls));
  t2_pressure_note(&conn->loop->pressure, &conn->waiting, gone ? 0 : n);
}

static void on_uv_write(uv_write_t *req, int status) {
  t2_conn *conn = req->data;

  conn->writing = false;
  if (conn->state == CONN_CLOSING) return;
  if (status == 0) conn->bytes_written += t2_buf_len(&conn->sending);
  t2_buf_reset(&conn->sending);
  t2_spares_give(&conn->loop->spares, &conn->sending);
  if (status) {
    write_failed(conn, status);
    return;
  }
  if (conn->state == CONN_OPENING) {
    t2_conn_output_handshake(conn);
    return;
  }
  t2_loop_wake(conn->loop, &conn->flushable);
  if (conn->ops->on_written) conn->ops->on_written(conn, conn->user);
}

/* One write call; what the kernel does not take goes on in the background from `sending`, while new output
 * gathers in buf. Returns how much it took now. */
static size_t send_some(t2_conn *conn, t2_buf *buf) {
  uv_buf_t bytes = uv_buf_init((char *)t2_buf_head(buf), (unsigned)t2_buf_len(buf));
  int n = uv_try_write(&conn->uv.stream, &bytes, 1);

  if (n < 0 && n != UV_EAGAIN) {
    write_failed(conn, n);
    return 0;
  }
  if (n < 0) n = 0;
  conn->bytes_written += (size_t)n;
  conn->bytes_offered += bytes.len; /* the rest is with uv_write below */
  conn->bulk = bytes.len > T2_SPARE_SMALL;
  t2_buf_consume(buf, (size_t)n);
  if (t2_buf_len(buf) == 0) return (size_t)n;

  t2_buf empty = conn->sending;
  conn->sending = *buf;
  *buf = empty;
  bytes = uv_buf_init((char *)t2_buf_head(&conn->sending), (unsigned)t2_buf_len(&conn->sending));
  int err = uv_write(&conn->write_req, &conn->uv.stream, &bytes, 1, on_uv_write);
  conn->writing = err == 0;
  if (err) write_failed(conn, err);
  return (size_t)n;
}

void t2_conn_output_handshake(t2_conn *conn) {
  t2_buf *cipher = t2_tls_stream_output(conn->tls);

  if (!conn->writing && t2_buf_len(cipher)) send_some(conn, cipher);
  t2_spares_give(&conn->loop->spares, cipher);
}

/* All plaintext becomes ciphertext, and the close_notify behind the last of it. Returns what to write, or
 * NULL when the connection was closed. */
static t2_buf *encrypt_output(t2_conn *conn) {
  t2_buf *cipher = t2_tls_stream_output(conn->tls);
  size_t n = t2_buf_len(&conn->out);
  int err = 0;

  if (n || conn->fin_wanted) t2_spares_take(&conn->loop->spares, cipher, n > T2_SPARE_SMALL - 512);
  if (n) err = t2_tls_stream_write(conn->tls, t2_buf_head(&conn->out), n);
  t2_buf_reset(&conn->out);
  t2_spares_give(&conn->loop->spares, &conn->out);
  if (err == 0 && conn->fin_wanted && !conn->notified) {
    conn->notified = true;
    err = t2_tls_stream_end(conn->tls);
  }
  if (err == 0) return cipher;
  t2_conn_fail(conn, err, t2_tls_stream_detail(conn->tls));
  return NULL;
}

/* Everything is with the kernel, so its FIN can be asked for without libuv's detour over another turn. */
static void send_fin(t2_conn *conn) {
  uv_os_fd_t fd;

  conn->fin_sent = true;
  if (uv_fileno(&conn->uv.handle, &fd) == 0) shutdown(fd, SHUT_WR);
  if (conn->state != CONN_FINISHING) return;
  if (conn->eof)
    t2_conn_close(conn, 0);
  else
    t2_loop_timer_start(conn->loop, &conn->timer, conn->linger_ms);
}

void t2_conn_output_flush(t2_conn *conn) {
  size_t sent = 0;

  if (conn->out.failed) {
    t2_conn_close(conn, T2_ERR_NOMEM);
    return;
  }
  if (conn->writing || conn->state == CONN_OPENING) return;
  if (conn->write_error || conn->fin_sent) {
    t2_buf_reset(&conn->out);
    /* Shut down before, and the peer has ended as well: there is nothing left to wait for. */
    if (conn->state == CONN_FINISHING && conn->fin_sent && conn->eof) t2_conn_close(conn, 0);
    return;
  }
  t2_buf *buf = conn->tls ? encrypt_output(conn) : &conn->out;
  if (!buf) return;
  if (t2_buf_len(buf)) sent = send_some(conn, buf);
  t2_spares_give(&conn->loop->spares, buf);
  bool over = conn->fin_wanted && !conn->writing && !conn->write_error;
  if (over && conn->state != CONN_CLOSING) send_fin(conn);
  if (sent && conn->state != CONN_CLOSING && conn->ops->on_written) conn->ops->on_written(conn, conn->user);
}
