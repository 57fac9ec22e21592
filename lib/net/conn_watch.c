/* A connection that is not read: whether its peer is still there. */
#include <net/conn_internal.h>
#include <poll.h>

void t2_conn_watch(t2_conn *conn) {
  if (conn->state != CONN_OPEN || !conn->ops->on_hangup || t2_timer_running(&conn->timer)) return;
  t2_loop_timer_start(conn->loop, &conn->timer, T2_CONN_WATCH_MS);
}

/* libuv tells nothing of a stream that it does not read; and POLLHUP is no news where this side has sent its
 * own FIN. */
void t2_conn_watch_look(t2_conn *conn) {
  uv_os_fd_t fd;

  if (conn->uv_reading || !conn->ops->on_hangup || uv_fileno(&conn->uv.handle, &fd)) return;
  struct pollfd seen = {.fd = fd, .events = POLLRDHUP};
  bool gone = poll(&seen, 1, 0) == 1;
  t2_conn_watch(conn);
  if (gone) conn->ops->on_hangup(conn, (seen.revents & POLLERR) != 0, conn->user);
}
