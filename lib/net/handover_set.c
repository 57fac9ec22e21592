#include <net/handover.h>

#include <base/str.h>
#include <fcntl.h>
#include <stdlib.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */

void t2_handover_set_init(t2_handover_set *set, const t2_allocator *mem) {
  *set = (t2_handover_set){.mem = mem};
}

void t2_handover_set_cut(t2_handover_set *set, size_t n) {
  for (size_t i = n; i < set->n; i++)
    if (set->list[i].fd >= 0) close(set->list[i].fd);
  if (n < set->n) set->n = n;
}

void t2_handover_set_fini(t2_handover_set *set) {
  t2_handover_set_cut(set, 0);
  t2_free(set->mem, set->list);
  t2_handover_set_init(set, set->mem);
}

static bool is_name(const char *name) {
  size_t n = strlen(name);

  return n > 0 && n <= T2_HANDOVER_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int add(t2_handover_set *set, const char *name, int fd) {
  if (!is_name(name)) return T2_ERR_INVALID;
  if (set->n >= T2_HANDOVER_SOCKETS_MAX) return T2_ERR_LIMIT;
  if (set->n == set->cap) {
    size_t cap = set->cap ? set->cap * 2 : 8;
    t2_handover_socket *list = t2_realloc(set->mem, set->list, cap * sizeof(*list));
    if (!list) return T2_ERR_NOMEM;
    set->list = list;
    set->cap = cap;
  }
  t2_handover_socket *socket = &set->list[set->n++];
  memcpy(socket->name, name, strlen(name) + 1);
  socket->fd = fd;
  return 0;
}

int t2_handover_set_add(t2_handover_set *set, const char *name, int fd) {
  int err = add(set, name, fd);

  if (err) close(fd);
  return err;
}

int t2_handover_set_add_copy(t2_handover_set *set, const char *name, int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

  return copy < 0 ? T2_ERR_LIMIT : t2_handover_set_add(set, name, copy);
}

int t2_handover_set_take(t2_handover_set *set, const char *name) {
  for (size_t i = 0; i < set->n; i++) {
    int fd = set->list[i].fd;
    if (fd < 0 || strcmp(set->list[i].name, name) != 0) continue;
    set->list[i].fd = -1;
    return fd;
  }
  return -1;
}

/* ---- From systemd ---- */

/* At a program's start, when there is one thread. NOLINTBEGIN(concurrency-mt-unsafe) */

static uint64_t number_of(const char *variable) {
  const char *text = getenv(variable);
  uint64_t value;

  return text && t2_str_u64(t2_str_c(text), INT32_MAX, &value) == 0 ? value : 0;
}

static int add_listed(t2_handover_set *set, size_t count, t2_str names) {
  int err = 0;

  for (size_t i = 0; err == 0 && i < count; i++) {
    char name[T2_HANDOVER_NAME_MAX + 1] = "unknown";
    int fd = LISTEN_FDS_START + (int)i;
    t2_str given;
    if (t2_str_next(&names, ':', &given) && given.n > 0 && given.n <= T2_HANDOVER_NAME_MAX) {
      memcpy(name, given.p, given.n);
      name[given.n] = '\0';
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    err = t2_handover_set_add(set, is_name(name) ? name : "unknown", fd);
  }
  return err;
}

int t2_handover_set_from_environment(t2_handover_set *set) {
  uint64_t count = number_of("LISTEN_FDS");
  const char *names = getenv("LISTEN_FDNAMES");
  bool ours = number_of("LISTEN_PID") == (uint64_t)getpid();

  if (!ours || count == 0) return 0;
  if (count > T2_HANDOVER_SOCKETS_MAX) return T2_ERR_LIMIT;
  int err = add_listed(set, (size_t)count, t2_str_c(names ? names : ""));
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDNAMES");
  return err;
}
/* NOLINTEND(concurrency-mt-unsafe) */
