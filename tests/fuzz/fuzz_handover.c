/* A packet of a process that hands its sockets over: the first byte says how many descriptors come with it.
 * Whatever its text is, each of them is in the set under a name that is one, or closed. */
#include <fcntl.h>
#include <net/handover_internal.h>
#include <stdlib.h>
#include <string.h>
#include <tunnel2/error.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

static int lowest_free(void) {
  int fd = dup(STDERR_FILENO);

  require(fd >= 0);
  close(fd);
  return fd;
}

static void require_names(const t2_handover_set *set) {
  for (size_t i = 0; i < set->n; i++) {
    const char *name = set->list[i].name;
    size_t n = strnlen(name, sizeof(set->list[i].name));
    require(n > 0 && n <= T2_HANDOVER_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n);
    require(fcntl(set->list[i].fd, F_GETFD) >= 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int fds[T2_HANDOVER_BATCH], before = lowest_free();
  size_t n = size ? data[0] % (T2_HANDOVER_BATCH + 1) : 0, sessions = SIZE_MAX;
  t2_str text = t2_str_of((const char *)data + (size ? 1 : 0), size ? size - 1 : 0);
  t2_handover_set set;
  bool ended;

  if (text.n > T2_HANDOVER_PACKET) text.n = T2_HANDOVER_PACKET;
  for (size_t i = 0; i < n; i++)
    require((fds[i] = dup(STDERR_FILENO)) >= 0);
  t2_handover_set_init(&set, NULL);
  int err = t2_handover_packet_read(&set, text, fds, n, &sessions, &ended);
  require(err == 0 || err == T2_ERR_PROTOCOL);
  require(!ended || (err == 0 && n == 0 && sessions <= INT32_MAX));
  require(set.n <= n && (err || ended || set.n == n));
  require_names(&set);
  t2_handover_set_fini(&set);
  require(lowest_free() == before);
  return 0;
}
