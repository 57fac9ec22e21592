/* An origin that is not the bottleneck of a load test: 13 bytes for every request, whose content it reads and
 * drops.
 *
 *   load_origin [--delay MS] [--stall MS]
 *
 * Listens on a free port of 127.0.0.1 and prints {"event":"ready","port":N}. --delay: each answer that much
 * later;
 * --stall: at SIGUSR1 it does nothing for so long. Both have the load's own figures tested. Ends at SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "message.h"

#define EVENTS      256
#define BUFFER      65536
#define SECOND_NS   1000000000LL
#define PEERS_MAX   65536
#define ANSWERS_MAX 64 /* written at once, of a connection that sent as many requests at once */

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n";

/* A connection. One that owes an answer is in a list, in the order in which answers are due: all wait equally
 * long. */
typedef struct peer {
  int fd;
  message request;
  unsigned owed;
  bool listed, gone;
  int64_t due;
  struct peer *next;
} peer;

typedef struct origin {
  peer *peers[PEERS_MAX]; /* by descriptor */
  int listener, epoll;
  int64_t delay, stall;
  peer *first, *last;
  char buffer[BUFFER];
} origin;

static volatile sig_atomic_t stop, stall_now;

static void on_signal(int number) {
  if (number == SIGUSR1)
    stall_now = 1;
  else
    stop = 1;
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void drop(origin *o, peer *p) {
  if (p->fd >= 0) {
    o->peers[p->fd] = NULL;
    close(p->fd);
  }
  p->fd = -1;
  p->gone = true;
  if (!p->listed) free(p);
}

/* Answers are short and their readers quick: what does not fit into the socket's buffer ends the connection.
 */
static bool send_answers(peer *p) {
  char out[ANSWERS_MAX * sizeof(answer)];
  while (p->owed > 0) {
    size_t n = 0, length = sizeof(answer) - 1;
    for (; p->owed > 0 && n + length <= sizeof(out); p->owed--, n += length)
      memcpy(out + n, answer, length);
    if (send(p->fd, out, n, MSG_NOSIGNAL) != (ssize_t)n) return false;
  }
  return true;
}

static void owe(origin *o, peer *p) {
  if (p->listed) return;
  p->listed = true;
  p->due = now_ns() + o->delay;
  p->next = NULL;
  if (o->last)
    o->last->next = p;
  else
    o->first = p;
  o->last = p;
}

static void answer_due(origin *o) {
  int64_t now = o->first ? now_ns() : 0;
  while (o->first && o->first->due <= now) {
    peer *p = o->first;
    o->first = p->next;
    if (!o->first) o->last = NULL;
    p->listed = false;
    if (p->gone || !send_answers(p)) drop(o, p);
  }
}

/* Takes requests out of what was read; false when they are none. */
static bool take(peer *p, const char *bytes, size_t n) {
  while (n > 0) {
    size_t taken = message_take(&p->request, bytes, n);
    bytes += taken;
    n -= taken;
    if (p->request.state == MESSAGE_MALFORMED) return false;
    if (p->request.state != MESSAGE_DONE) continue;
    p->owed++;
    message_begin(&p->request, true);
  }
  return true;
}

static void serve(origin *o, peer *p) {
  ssize_t n = recv(p->fd, o->buffer, sizeof(o->buffer), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0 || !take(p, o->buffer, (size_t)n)) {
    drop(o, p);
  } else if (p->owed > 0) {
    if (o->delay > 0)
      owe(o, p);
    else if (!send_answers(p))
      drop(o, p);
  }
}

static void accept_all(origin *o) {
  int on = 1;
  for (;;) {
    int fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    peer *p = fd < PEERS_MAX ? calloc(1, sizeof(*p)) : NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
    if (!p || epoll_ctl(o->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
      close(fd);
      free(p);
      continue;
    }
    p->fd = fd;
    o->peers[fd] = p;
    message_begin(&p->request, true);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
}

static void stall(const origin *o) {
  struct timespec t = {(time_t)(o->stall / SECOND_NS), (long)(o->stall % SECOND_NS)};
  stall_now = 0;
  while (nanosleep(&t, &t) != 0 && errno == EINTR && !stop) {
  }
}

static void wait_and_serve(origin *o) {
  struct epoll_event events[EVENTS];
  struct timespec until = {1, 0};
  if (o->first) {
    int64_t left = o->first->due - now_ns();
    until.tv_sec = 0;
    until.tv_nsec = left > 0 ? (long)(left < SECOND_NS ? left : SECOND_NS - 1) : 0;
  }
  int n = epoll_pwait2(o->epoll, events, EVENTS, &until, NULL);
  for (int i = 0; i < n; i++) {
    if (events[i].data.ptr)
      serve(o, events[i].data.ptr);
    else
      accept_all(o);
  }
  answer_due(o);
}

static bool start(origin *o) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof(address);
  struct epoll_event event = {.events = EPOLLIN};
  struct sigaction action = {.sa_handler = on_signal};
  struct rlimit files;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  (void)prctl(PR_SET_TIMERSLACK, 1UL);
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  o->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  o->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (o->listener < 0 || o->epoll < 0 || bind(o->listener, (struct sockaddr *)&address, length) != 0 ||
      listen(o->listener, 4096) != 0 || getsockname(o->listener, (struct sockaddr *)&address, &length) != 0 ||
      epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->listener, &event) != 0)
    return false;
  printf("{\"event\":\"ready\",\"port\":%d}\n", ntohs(address.sin_port));
  return fflush(stdout) == 0;
}

int main(int argc, char **argv) {
  static origin o;
  for (int i = 1; i < argc; i += 2) {
    char *end = NULL;
    double ms = i + 1 < argc ? strtod(argv[i + 1], &end) : -1;
    int64_t *into = strcmp(argv[i], "--delay") == 0   ? &o.delay
                    : strcmp(argv[i], "--stall") == 0 ? &o.stall
                                                      : NULL;
    if (!into || !end || *end || !(ms >= 0 && ms <= 60000)) {
      fprintf(stderr, "Usage: load_origin [--delay MS] [--stall MS]\n");
      return 2;
    }
    *into = (int64_t)(ms * 1e6);
  }
  if (!start(&o)) {
    perror("load_origin");
    return 1;
  }
  while (!stop) {
    if (stall_now) stall(&o);
    wait_and_serve(&o);
  }
  return 0; /* connections end with the process */
}
