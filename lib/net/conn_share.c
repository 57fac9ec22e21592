#include <net/conn_internal.h>

#include <netinet/tcp.h>
#include <sys/socket.h>

#define NEAR_RTT_US   4000         /* a round trip: within a machine, a rack, a data centre */
#define NEAR_RECEIVED (128 * 1024) /* bytes that may wait to be read from there; the kernel doubles it */

/* How many bytes are under way at most is the product of bandwidth and round trip, which on a short way is
 * little: what the kernel would take beyond (up to 6 MiB here) only waits, in an order that nobody can change
 * any more. On a longer way the kernel knows better. */
static bool is_near(int fd) {
  struct tcp_info info = {0};
  socklen_t n = sizeof(info);

  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_rtt < NEAR_RTT_US;
}

void t2_conn_share(t2_conn *conn) {
  const int unsent = T2_CONN_UNSENT_MAX, received = NEAR_RECEIVED;
  uv_os_fd_t fd;

  if (conn->uv.handle.type != UV_TCP || uv_fileno(&conn->uv.handle, &fd)) return;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
  if (is_near(fd)) (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &received, sizeof(received));
}
