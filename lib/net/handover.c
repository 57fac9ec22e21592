#include <net/handover_internal.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/detail.h>

/*   FREE ──take──▶ ASKED ──give──▶ GIVEN ──attached──▶ ATTACHED ──serving──▶ DONE
 *     ▲──────────────┴───── gone, or silent ─┴──────────────┘ */
typedef enum handover_state { FREE, ASKED, GIVEN, ATTACHED, DONE } handover_state;

struct t2_handover {
  const t2_allocator *mem;
  t2_log log;
  const t2_handover_ops *ops;
  void *user;
  handover_state state;
  int fd, conn; /* conn: -1 when FREE or DONE */
  uv_poll_t poll, conn_poll;
  uv_timer_t timer;
  bool conn_open; /* conn_poll has not closed */
  bool closing;
  unsigned handles; /* that have not closed yet */
  dev_t device;     /* which socket file is this one's */
  ino_t inode;
  char path[];
};

int t2_handover_address(struct sockaddr_un *address, const char *path, char *detail, size_t detail_size) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof(address->sun_path))
    return t2_detail(detail, detail_size, T2_ERR_LIMIT, "%s is too long for a unix socket", path);
  memcpy(address->sun_path, path, strlen(path) + 1);
  return 0;
}

long t2_handover_peer(int fd) {
  struct ucred peer;
  socklen_t size = sizeof(peer);

  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ? -1 : (long)peer.uid;
}

/* ---- The connection of the next one ---- */

static void on_conn_poll_close(uv_handle_t *handle) {
  t2_handover *handover = handle->data;

  handover->conn_open = false;
  if (--handover->handles == 0 && handover->closing) t2_free(handover->mem, handover);
}

static void hang_up(t2_handover *handover) {
  if (handover->conn < 0) return;
  uv_timer_stop(&handover->timer);
  uv_close((uv_handle_t *)&handover->conn_poll, on_conn_poll_close);
  close(handover->conn);
  handover->conn = -1;
}

static void abandon(t2_handover *handover, const char *why) {
  t2_log_at(&handover->log, WARN, "net", "the handover is given up: %s", why);
  hang_up(handover);
  handover->state = FREE;
  handover->ops->on_abandoned(handover, handover->user);
}

static void on_timer(uv_timer_t *timer) {
  abandon(timer->data, "the other process is silent");
}

static void await(t2_handover *handover, handover_state state) {
  handover->state = state;
  uv_timer_start(&handover->timer, on_timer, T2_HANDOVER_TIMEOUT_MS, 0);
}

static void on_word(t2_handover *handover, const char *word) {
  if (handover->state == FREE && strcmp(word, T2_HANDOVER_TAKE) == 0) {
    await(handover, ASKED);
    handover->ops->on_take(handover, handover->user);
  } else if (handover->state == GIVEN && strcmp(word, T2_HANDOVER_ATTACHED) == 0) {
    await(handover, ATTACHED);
    handover->ops->on_attached(handover, handover->user);
  } else if (handover->state == ATTACHED && strcmp(word, T2_HANDOVER_SERVING) == 0) {
    hang_up(handover);
    handover->state = DONE;
    handover->ops->on_serving(handover, handover->user);
  } else {
    abandon(handover, "what the other process says is not understood");
  }
}

static void on_conn_readable(uv_poll_t *poll, int status, int events) {
  t2_handover *handover = poll->data;
  char word[64];

  (void)events;
  ssize_t n = status < 0 ? 0 : recv(handover->conn, word, sizeof(word) - 1, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    abandon(handover, "the other process has gone");
    return;
  }
  word[n] = '\0';
  on_word(handover, word);
}

/* Only one at a time; who comes too early after another finds the door shut. */
static void take_conn(t2_handover *handover, int fd) {
  long peer = t2_handover_peer(fd);
  bool free = handover->state == FREE && !handover->conn_open;

  if (peer != (long)geteuid() && peer != 0)
    t2_log_at(&handover->log, WARN, "net", "a handover to user %ld is refused", peer);
  else if (free && uv_poll_init(handover->timer.loop, &handover->conn_poll, fd) == 0) {
    handover->conn_poll.data = handover;
    handover->conn = fd;
    handover->conn_open = true;
    handover->handles++;
    uv_poll_start(&handover->conn_poll, UV_READABLE, on_conn_readable);
    await(handover, FREE);
    return;
  }
  close(fd);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  t2_handover *handover = poll->data;

  (void)status, (void)events;
  int fd = accept4(handover->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) take_conn(handover, fd);
}

/* ---- The answer ---- */

static int send_packet(int conn, const char *text, size_t n, const int *fds, size_t count) {
  union {
    struct cmsghdr header;
    char bytes[T2_HANDOVER_CONTROL];
  } control = {0};
  struct iovec part = {(void *)(uintptr_t)text, n};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

  if (count) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  return sendmsg(conn, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n ? 0 : T2_ERR_CLOSED;
}

/* Names, each with a line end, and as many descriptors. */
static int send_batch(int conn, const t2_handover_socket *list, size_t n) {
  char text[T2_HANDOVER_PACKET];
  int fds[T2_HANDOVER_BATCH];
  size_t at = 0;

  for (size_t i = 0; i < n; i++) {
    at += (size_t)snprintf(text + at, sizeof(text) - at, "%s\n", list[i].name);
    fds[i] = list[i].fd;
  }
  return send_packet(conn, text, at, fds, n);
}

int t2_handover_give(t2_handover *handover, const t2_handover_set *set, size_t sessions) {
  char end[32];
  int err = 0;

  if (handover->state != ASKED) return T2_ERR_STATE;
  for (size_t i = 0; err == 0 && i < set->n; i += T2_HANDOVER_BATCH) {
    size_t n = set->n - i < T2_HANDOVER_BATCH ? set->n - i : T2_HANDOVER_BATCH;
    err = send_batch(handover->conn, &set->list[i], n);
  }
  snprintf(end, sizeof(end), T2_HANDOVER_END "%zu", sessions);
  if (err == 0) err = send_packet(handover->conn, end, strlen(end), NULL, 0);
  if (err)
    abandon(handover, "the sockets can't be sent");
  else
    await(handover, GIVEN);
  return err;
}

/* ---- Life ---- */

/* Under another name first: whoever was at this one is there until its follower can be asked. fchmod before
 * bind is what the file's mode comes from. */
static int make_socket(t2_handover *handover, char *detail, size_t detail_size) {
  struct sockaddr_un address;
  struct stat made;
  char temporary[sizeof(address.sun_path) + 16];

  snprintf(temporary, sizeof(temporary), "%s.%ld", handover->path, (long)getpid());
  int err = t2_handover_address(&address, temporary, detail, detail_size);
  if (err) return err;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  (void)unlink(temporary);
  if (fd >= 0 && fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
      listen(fd, 4) == 0 && stat(temporary, &made) == 0 && rename(temporary, handover->path) == 0) {
    handover->fd = fd;
    handover->device = made.st_dev;
    handover->inode = made.st_ino;
    return 0;
  }
  err =
      t2_detail(detail, detail_size, T2_ERR_IO, "%s can't be made: %s", handover->path, uv_strerror(-errno));
  if (fd >= 0) close(fd);
  (void)unlink(temporary);
  return err;
}

int t2_handover_listen(t2_handover **out, uv_loop_t *uv, const t2_allocator *mem, const t2_log *log,
                       const char *path, const t2_handover_ops *ops, void *user, char *detail,
                       size_t detail_size) {
  size_t n = strlen(path) + 1;
  t2_handover *handover = t2_calloc(mem, 1, sizeof(*handover) + n);

  *out = NULL;
  if (!handover) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "out of memory");
  handover->mem = mem;
  handover->log = *log;
  handover->ops = ops;
  handover->user = user;
  handover->conn = -1;
  memcpy(handover->path, path, n);
  int err = make_socket(handover, detail, detail_size);
  if (err == 0 && uv_poll_init(uv, &handover->poll, handover->fd)) {
    err = t2_detail(detail, detail_size, T2_ERR_IO, "%s can't be listened on", path);
    close(handover->fd);
  }
  if (err) {
    t2_free(mem, handover);
    return err;
  }
  uv_timer_init(uv, &handover->timer);
  handover->poll.data = handover->timer.data = handover;
  handover->handles = 2;
  uv_poll_start(&handover->poll, UV_READABLE, on_readable);
  *out = handover;
  return 0;
}

static void on_close(uv_handle_t *handle) {
  t2_handover *handover = handle->data;

  if (--handover->handles == 0) t2_free(handover->mem, handover);
}

void t2_handover_close(t2_handover *handover) {
  struct stat there;

  if (handover->closing) return;
  handover->closing = true;
  /* The follower's is there by now. */
  if (stat(handover->path, &there) == 0 && there.st_dev == handover->device &&
      there.st_ino == handover->inode)
    (void)unlink(handover->path);
  hang_up(handover);
  uv_close((uv_handle_t *)&handover->poll, on_close);
  uv_close((uv_handle_t *)&handover->timer, on_close);
  close(handover->fd);
}
