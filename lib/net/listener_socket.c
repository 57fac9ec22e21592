#include <net/listener_socket.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/detail.h>

#define BACKLOG_DEFAULT 1024
#define INHERITED       "fd:"

/* Of "fd:N" N; else -1. */
int t2_listener_inherited(const char *address) {
  uint64_t fd;
  t2_str s = t2_str_c(address ? address : "");

  if (s.n <= strlen(INHERITED) || memcmp(s.p, INHERITED, strlen(INHERITED)) != 0) return -1;
  s = t2_str_of(s.p + strlen(INHERITED), s.n - strlen(INHERITED));
  return t2_str_u64(s, INT_MAX, &fd) ? -1 : (int)fd;
}

static bool bound_to(int fd, t2_address *address) {
  socklen_t size = sizeof(*address);

  return fd >= 0 && getsockname(fd, &address->any, &size) == 0 &&
         (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6);
}

bool t2_listener_inherited_address(const char *address, char text[T2_ADDRESS_TEXT]) {
  t2_address bound = {.in6 = {0}};

  if (!bound_to(t2_listener_inherited(address), &bound)) return false;
  t2_address_format(&bound, text);
  return true;
}

/* A socket that is open already: the address it is bound to. 0, or T2_ERR_INVALID. */
static int inherit(int fd, t2_address *address, char *detail, size_t detail_size) {
  int listening = 0, flags = fcntl(fd, F_GETFL);
  socklen_t size = sizeof(listening);
  bool good = flags >= 0 && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;

  good = good && bound_to(fd, address);
  good = good && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
  if (good) return 0;
  return t2_detail(detail, detail_size, T2_ERR_INVALID, "fd:%d is no TCP socket that listens", fd);
}

static int parse_address(const char *text, t2_address *address, char *detail, size_t detail_size) {
  t2_str host;
  uint16_t port;
  int err = text ? t2_str_hostport(t2_str_c(text), &host, &port) : T2_ERR_INVALID;

  if (err == 0 && t2_str_eq_nocase(host, T2_STR("localhost"))) host = T2_STR("127.0.0.1");
  if (err == 0) err = t2_address_parse(address, host, port);
  if (err == 0) return 0;
  return t2_detail(detail, detail_size, T2_ERR_INVALID,
                   "%s is not an address to listen on, such as 127.0.0.1:8080 or [::1]:8080",
                   text ? text : "nothing");
}

/* An IPv6 socket takes IPv4 too where it is for all addresses, whatever the system's default. */
static int set_options(int fd, const t2_address *address, bool reuse_port) {
  const int on = 1, off = 0;

  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on))) return -errno;
  if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on))) return -errno;
  if (address->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)))
    return -errno;
  return 0;
}

/* The listening socket, or a negative errno. *address becomes the one bound. */
static int open_socket(t2_address *address, const t2_listener_options *options) {
  int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  socklen_t size = sizeof(*address);

  if (fd < 0) return -errno;
  int err = set_options(fd, address, options->reuse_port);
  if (err == 0 && (bind(fd, &address->any, t2_address_size(address)) ||
                   listen(fd, options->backlog ? (int)options->backlog : BACKLOG_DEFAULT) ||
                   getsockname(fd, &address->any, &size)))
    err = -errno;
  if (err == 0) return fd;
  close(fd);
  return err;
}

static int error_of_open(int err) {
  switch (err) {
  case -EADDRINUSE:
    return T2_ERR_CONFLICT;
  case -EACCES:
    return T2_ERR_FORBIDDEN;
  case -ENOMEM:
  case -ENOBUFS:
    return T2_ERR_NOMEM;
  default:
    return T2_ERR_IO;
  }
}

int t2_listener_socket_open(t2_listener_socket_state *opened, const t2_listener_options *options,
                            char *detail, size_t detail_size) {
  int given = t2_listener_inherited(options->address);

  *opened = (t2_listener_socket_state){.fd = given, .inherited = given >= 0};
  if (opened->inherited) return inherit(given, &opened->address, detail, detail_size);
  int err = parse_address(options->address, &opened->address, detail, detail_size);
  if (err) return err;
  opened->fd = open_socket(&opened->address, options);
  if (opened->fd >= 0) return 0;
  return t2_detail(detail, detail_size, error_of_open(opened->fd), "cannot listen on %s: %s",
                   options->address, uv_strerror(opened->fd));
}

void t2_listener_socket_drop(const t2_listener_socket_state *opened) {
  if (!opened->inherited) close(opened->fd);
}
