#include <net/handover_internal.h>

#include <base/file.h>
#include <base/str.h>
#include <errno.h>
#include <poll.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/detail.h>

typedef struct taking {
  t2_handover_set *set;
  int conn;
  uint64_t deadline_ms;
  size_t *sessions;
  bool ended;
} taking;

/* It waits before there is a loop to do so. */
static int await(const taking *t, short events) {
  struct pollfd wanted = {.fd = t->conn, .events = events};

  for (;;) {
    uint64_t now = t2_clock_mono_ms();
    int left = now < t->deadline_ms ? (int)(t->deadline_ms - now) : 0;
    int n = poll(&wanted, 1, left);
    if (n > 0) return 0;
    if (n == 0) return T2_ERR_TIMEOUT;
    if (errno != EINTR) return T2_ERR_IO;
  }
}

static int dial(taking *t, const char *path, char *detail, size_t detail_size) {
  struct sockaddr_un address;
  int err = t2_handover_address(&address, path, detail, detail_size);

  if (err) return err;
  t->conn = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (t->conn < 0) return T2_ERR_IO;
  if (connect(t->conn, (struct sockaddr *)&address, sizeof(address))) {
    bool nobody = errno == ENOENT || errno == ECONNREFUSED;
    return nobody ? T2_ERR_NOT_FOUND : errno == EACCES ? T2_ERR_FORBIDDEN : T2_ERR_IO;
  }
  return t2_handover_peer(t->conn) == (long)geteuid() ? 0 : T2_ERR_FORBIDDEN;
}

static size_t descriptors(struct msghdr *message, int *fds) {
  size_t n = 0;

  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t more = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds + n, CMSG_DATA(c), more * sizeof(int));
    n += more;
  }
  return n;
}

static int receive(taking *t) {
  char text[T2_HANDOVER_PACKET];
  int fds[T2_HANDOVER_BATCH + 1];
  union {
    struct cmsghdr header;
    char bytes[T2_HANDOVER_CONTROL];
  } control;
  struct iovec part = {text, sizeof(text)};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};

  int err = await(t, POLLIN);
  if (err) return err;
  ssize_t n = recvmsg(t->conn, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : T2_ERR_CLOSED;
  size_t count = descriptors(&message, fds);
  err = t2_handover_packet_read(t->set, t2_str_of(text, (size_t)n), fds, count, t->sessions, &t->ended);
  return err == 0 && message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? T2_ERR_PROTOCOL : err;
}

static int describe(int err, const char *path, char *detail, size_t detail_size) {
  const char *why = err == T2_ERR_FORBIDDEN ? "it is another user's"
                    : err == T2_ERR_CLOSED  ? "the process that runs hands nothing over now"
                    : err == T2_ERR_TIMEOUT ? "the process that runs does not answer"
                                            : t2_strerror(err);

  return t2_detail(detail, detail_size, err, "handover by %s: %s", path, why);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written to by way of the taking */
int t2_handover_take(t2_handover_set *set, const char *path, uint64_t timeout_ms, int *conn, size_t *sessions,
                     char *detail, size_t detail_size) {
  taking t = {.set = set, .conn = -1, .deadline_ms = t2_clock_mono_ms() + timeout_ms, .sessions = sessions};

  size_t before = set->n;

  *conn = -1;
  int err = dial(&t, path, detail, detail_size);
  if (err == 0) err = t2_handover_say(t.conn, T2_HANDOVER_TAKE);
  while (err == 0 && !t.ended)
    err = receive(&t);
  if (err == 0) {
    *conn = t.conn;
    return 0;
  }
  if (t.conn >= 0) close(t.conn);
  t2_handover_set_cut(set, before);
  return err == T2_ERR_LIMIT && !*detail ? err : describe(err, path, detail, detail_size);
}

int t2_handover_say(int conn, const char *word) {
  return send(conn, word, strlen(word), MSG_NOSIGNAL) == (ssize_t)strlen(word) ? 0 : T2_ERR_CLOSED;
}
