#include "pool.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BUFFER      65536
#define EVENTS      256
#define IDLE_MAX_NS 30000000000ULL /* before a server tires of it: its closing would race with a request */

struct connection {
  int fd; /* -1: not open */
  bool busy, connecting, writing;
  size_t written;
  pool_request request;
  message answer;
  uint64_t idle_since;
  connection *next, *previous; /* among idle ones of the target, or (next) among unused ones */
};

uint64_t pool_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

bool pool_init(pool *p) {
  p->unused = NULL;
  p->epoll = epoll_create1(EPOLL_CLOEXEC);
  p->all = calloc(p->max, sizeof(*p->all));
  p->buffer = malloc(BUFFER);
  if (p->epoll < 0 || !p->all || !p->buffer) return false;
  for (size_t i = p->max; i-- > 0;) {
    p->all[i].fd = -1;
    p->all[i].next = p->unused;
    p->unused = &p->all[i];
  }
  return true;
}

void pool_fini(pool *p) {
  for (size_t i = 0; p->all && i < p->max; i++)
    if (p->all[i].fd >= 0) close(p->all[i].fd);
  if (p->epoll >= 0) close(p->epoll);
  free(p->all);
  free(p->buffer);
}

static void idle_add(pool *p, connection *c) {
  connection **first = &p->idle_first[c->request.target];
  c->previous = NULL;
  c->next = *first;
  if (*first)
    (*first)->previous = c;
  else
    p->idle_last[c->request.target] = c;
  *first = c;
}

static void idle_remove(pool *p, connection *c) {
  if (c->previous)
    c->previous->next = c->next;
  else
    p->idle_first[c->request.target] = c->next;
  if (c->next)
    c->next->previous = c->previous;
  else
    p->idle_last[c->request.target] = c->previous;
}

static void close_connection(pool *p, connection *c) {
  if (c->busy)
    p->busy--;
  else
    idle_remove(p, c);
  close(c->fd);
  c->fd = -1;
  c->busy = false;
  c->next = p->unused;
  p->unused = c;
  p->open--;
}

static void fail(pool *p, connection *c, error_kind kind) {
  pool_request request = c->request;
  close_connection(p, c);
  p->on_error(&request, kind, p->user);
}

static void watch(pool *p, connection *c, int how, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  (void)epoll_ctl(p->epoll, how, c->fd, &event);
}

/* Writes what is left of the request; false when the connection is gone. */
static bool write_request(pool *p, connection *c) {
  const request_head *head = &p->targets[c->request.target].heads[c->request.step];
  size_t body = p->plan->steps[c->request.step].body, total = head->n + body;
  bool blocked = false;
  while (c->written < total && !blocked) {
    size_t in_head = c->written < head->n ? c->written : head->n, in_body = c->written - in_head;
    struct iovec parts[2] = {{(void *)(uintptr_t)(head->bytes + in_head), head->n - in_head},
                             {(void *)(uintptr_t)(p->body + in_body), body - in_body}};
    struct msghdr out = {.msg_iov = parts, .msg_iovlen = body > 0 ? 2 : 1};
    ssize_t n = sendmsg(c->fd, &out, MSG_NOSIGNAL);
    if (n >= 0) {
      c->written += (size_t)n;
    } else if (errno == EAGAIN) {
      blocked = true;
    } else if (errno != EINTR) {
      fail(p, c, ERROR_RESET);
      return false;
    }
  }
  if (blocked != c->writing) watch(p, c, EPOLL_CTL_MOD, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
  c->writing = blocked;
  return true;
}

/* A connection that is being made, or NULL, and then on_error was called if it is not for want of room. */
static connection *open_connection(pool *p, const pool_request *r) {
  const target *t = &p->targets[r->target];
  connection *c = p->unused;
  int on = 1;
  int fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    p->on_error(r, ERROR_CONNECT, p->user);
    return NULL;
  }
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  bool made = connect(fd, (const struct sockaddr *)&t->address, t->address_length) == 0;
  if (!made && errno != EINPROGRESS) {
    close(fd);
    p->on_error(r, ERROR_CONNECT, p->user);
    return NULL;
  }
  p->unused = c->next;
  p->open++;
  p->connected++;
  c->fd = fd;
  c->connecting = c->writing = !made;
  watch(p, c, EPOLL_CTL_ADD, made ? EPOLLIN : EPOLLIN | EPOLLOUT);
  return c;
}

/* Closes the connection of another target that has been idle for longest, to make room. */
static bool make_room(pool *p) {
  connection *oldest = NULL;
  for (size_t i = 0; i < p->target_count; i++) {
    connection *last = p->idle_last[i];
    if (last && (!oldest || last->idle_since < oldest->idle_since)) oldest = last;
  }
  if (oldest) close_connection(p, oldest);
  return oldest != NULL;
}

bool pool_send(pool *p, const pool_request *r) {
  connection *c = p->idle_first[r->target];
  if (c) {
    idle_remove(p, c);
  } else {
    if (!p->unused && !make_room(p)) return false;
    c = open_connection(p, r);
    if (!c) return true;
  }
  c->busy = true;
  p->busy++;
  c->request = *r;
  c->written = 0;
  message_begin(&c->answer, false);
  if (!c->connecting) (void)write_request(p, c);
  return true;
}

static void answer_ended(pool *p, connection *c, bool more) {
  pool_request request = c->request;
  int status = c->answer.status;
  uint64_t now = pool_now();
  if (c->answer.close || more || c->writing) {
    close_connection(p, c);
  } else {
    c->busy = false;
    p->busy--;
    c->idle_since = now;
    idle_add(p, c);
  }
  p->on_answer(&request, status, now, p->user);
}

/* The connection has no more to give. */
static void input_ended(pool *p, connection *c, ssize_t n) {
  if (!c->busy) {
    close_connection(p, c);
  } else if (n < 0) {
    fail(p, c, ERROR_RESET);
  } else if (c->answer.state == MESSAGE_UNTIL_CLOSE) {
    message_closed(&c->answer);
    answer_ended(p, c, false);
  } else {
    fail(p, c, ERROR_CLOSED);
  }
}

static void readable(pool *p, connection *c) {
  for (;;) {
    ssize_t n = recv(c->fd, p->buffer, BUFFER, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      input_ended(p, c, n);
      return;
    }
    if (!c->busy) { /* nobody asked */
      close_connection(p, c);
      return;
    }
    size_t taken = message_take(&c->answer, p->buffer, (size_t)n);
    if (c->answer.state == MESSAGE_MALFORMED) {
      fail(p, c, ERROR_MALFORMED);
      return;
    }
    if (c->answer.state == MESSAGE_DONE) {
      answer_ended(p, c, taken < (size_t)n);
      return;
    }
    if (n < BUFFER) return;
  }
}

static void handle(pool *p, connection *c, uint32_t events) {
  if (c->fd < 0) return; /* closed by an event before it */
  if (c->connecting) {
    int error = 0;
    socklen_t length = sizeof(error);
    (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
      fail(p, c, ERROR_CONNECT);
      return;
    }
    if (!(events & EPOLLOUT)) return;
    c->connecting = false;
  }
  if ((events & EPOLLOUT) && c->busy && !write_request(p, c)) return;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(p, c);
}

/* epoll_wait() counts in ms; a kernel older than 5.11 lacks the one that counts in ns. */
static int wait_for_events(pool *p, struct epoll_event *events, uint64_t wait) {
  struct timespec most = {(time_t)(wait / 1000000000ULL), (long)(wait % 1000000000ULL)};
  int n = epoll_pwait2(p->epoll, events, EVENTS, &most, NULL);
  if (n >= 0 || errno != ENOSYS) return n;
  struct pollfd one = {.fd = p->epoll, .events = POLLIN};
  return ppoll(&one, 1, &most, NULL) > 0 ? epoll_wait(p->epoll, events, EVENTS, 0) : 0;
}

void pool_poll(pool *p, uint64_t wait) {
  struct epoll_event events[EVENTS];
  int n = wait_for_events(p, events, wait);
  for (int i = 0; i < n; i++)
    handle(p, events[i].data.ptr, events[i].events);
}

void pool_sweep(pool *p, uint64_t now) {
  for (size_t i = 0; i < p->max; i++) {
    connection *c = &p->all[i];
    if (c->fd < 0) continue;
    if (c->busy && now >= c->request.deadline)
      fail(p, c, ERROR_TIMEOUT);
    else if (!c->busy && now >= c->idle_since + IDLE_MAX_NS)
      close_connection(p, c);
  }
}
