/* Requests at a steady rate, whether or not the answers keep up: each has a planned time, and its latency
 * counts from there, so that waiting for a free connection is not hidden.
 *
 *   steady HOST PORT PATH RATE SECONDS CONNECTIONS
 *
 * HTTP/1.1, IPv4, one thread. Prints one JSON object: how many were planned and answered with 200, errors,
 * and latencies in microseconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS              1000000000LL
#define GRACE_SECONDS   5 /* for the last answers */
#define CONNECTIONS_MAX 1024
#define HEAD_MAX        4096

typedef struct connection {
  int fd;
  bool busy;
  size_t request;    /* under way */
  size_t have, need; /* bytes of the answer; need 0: its head is not whole */
  char head[HEAD_MAX + 1];
} connection;

typedef struct run {
  struct sockaddr_in to;
  char text[1024];
  size_t text_len;
  int64_t begin, interval;
  size_t planned, begun, ended, answered, errors; /* requests */
  uint32_t *latency;                              /* microseconds, of those answered */
  connection list[CONNECTIONS_MAX];
  size_t n;
  int epoll;
} run;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * NS + t.tv_nsec;
}

static void open_connection(run *r, connection *c) {
  int yes = 1;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&r->to, sizeof(r->to))) die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  if (fcntl(c->fd, F_SETFL, O_NONBLOCK) || epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll");
}

static void end_request(run *r, connection *c, bool ok) {
  if (ok)
    r->latency[r->answered++] = (uint32_t)((now() - r->begin - (int64_t)c->request * r->interval) / 1000);
  else
    r->errors++;
  r->ended++;
  c->busy = false;
  c->have = c->need = 0;
}

/* What went wrong on one costs its request, and a new connection. */
static void fail(run *r, connection *c) {
  if (c->busy) end_request(r, c, false);
  close(c->fd);
  open_connection(r, c);
}

/* The whole length of the answer once its head is there: 0 before, SIZE_MAX for one that can't be read. */
static size_t answer_length(connection *c) {
  c->head[c->have] = '\0';
  const char *end = strstr(c->head, "\r\n\r\n");
  if (!end) return c->have == HEAD_MAX ? SIZE_MAX : 0;
  const char *length = strcasestr(c->head, "\r\ncontent-length:");
  if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length || length > end) return SIZE_MAX;
  return (size_t)(end + 4 - c->head) + strtoul(length + 17, NULL, 10);
}

static void on_readable(run *r, connection *c) {
  char rest[65536];
  bool in_head = c->need == 0;
  char *into = in_head ? c->head + c->have : rest;
  ssize_t n = read(c->fd, into, in_head ? HEAD_MAX - c->have : sizeof(rest));
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0 || !c->busy) {
    fail(r, c);
    return;
  }
  c->have += (size_t)n;
  if (in_head) c->need = answer_length(c);
  if (c->need == SIZE_MAX || (c->need && c->have > c->need))
    fail(r, c);
  else if (c->need && c->have == c->need)
    end_request(r, c, true);
}

/* Gives every request that is due to a connection that is free. */
static void send_due(run *r) {
  size_t at = 0;
  int64_t due = (now() - r->begin) / r->interval + 1;
  while (r->begun < r->planned && (int64_t)r->begun < due) {
    while (at < r->n && r->list[at].busy)
      at++;
    if (at == r->n) return; /* it waits, and the clock runs */
    connection *c = &r->list[at];
    c->busy = true;
    c->request = r->begun++;
    if (write(c->fd, r->text, r->text_len) != (ssize_t)r->text_len) fail(r, c);
  }
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static uint32_t quantile(const run *r, double q) {
  if (r->answered == 0) return 0;
  size_t at = (size_t)(q * (double)r->answered);
  return r->latency[at < r->answered ? at : r->answered - 1];
}

static void report(run *r) {
  qsort(r->latency, r->answered, sizeof(*r->latency), compare);
  printf("{\"planned\": %zu, \"answered\": %zu, \"errors\": %zu, \"p50\": %u, \"p99\": %u, \"p999\": %u, "
         "\"max\": %u}\n",
         r->planned, r->answered, r->errors + (r->planned - r->ended), quantile(r, 0.5), quantile(r, 0.99),
         quantile(r, 0.999), quantile(r, 1));
}

static void drive(run *r, int timer, int64_t until) {
  while (r->ended < r->planned && now() < until) {
    struct epoll_event events[64];
    int n = epoll_wait(r->epoll, events, 64, 1000);
    for (int i = 0; i < n; i++) {
      uint64_t ticks;
      if (events[i].data.ptr)
        on_readable(r, events[i].data.ptr);
      else if (read(timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
        die("read");
    }
    send_due(r);
  }
}

int main(int argc, char **argv) {
  static run r;
  if (argc != 7) {
    fprintf(stderr, "usage: steady HOST PORT PATH RATE SECONDS CONNECTIONS\n");
    return 2;
  }
  double rate = strtod(argv[4], NULL), seconds = strtod(argv[5], NULL);
  r.n = strtoul(argv[6], NULL, 10);
  if (!(rate >= 1 && rate <= 1e6) || !(seconds > 0 && seconds <= 3600) || r.n < 1 || r.n > CONNECTIONS_MAX)
    return 2;
  r.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10))};
  if (inet_pton(AF_INET, argv[1], &r.to.sin_addr) != 1) return 2;
  r.text_len = (size_t)snprintf(r.text, sizeof(r.text), "GET %s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", argv[3],
                                argv[1], argv[2]);
  if (r.text_len >= sizeof(r.text)) return 2;
  r.interval = (int64_t)((double)NS / rate);
  r.planned = (size_t)(rate * seconds);
  r.latency = calloc(r.planned ? r.planned : 1, sizeof(*r.latency));
  r.epoll = epoll_create1(EPOLL_CLOEXEC);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (!r.latency || r.epoll < 0 || timer < 0) die("steady");
  for (size_t i = 0; i < r.n; i++)
    open_connection(&r, &r.list[i]);
  struct itimerspec tick = {.it_value = {.tv_nsec = 1},
                            .it_interval = {.tv_sec = r.interval / NS, .tv_nsec = r.interval % NS}};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(r.epoll, EPOLL_CTL_ADD, timer, &event) || timerfd_settime(timer, 0, &tick, NULL))
    die("timer");
  r.begin = now();
  drive(&r, timer, r.begin + (int64_t)(seconds * (double)NS) + GRACE_SECONDS * NS);
  report(&r);
  return 0;
}
