#include <net/handover_internal.h>

#include <base/str.h>
#include <string.h>
#include <tunnel2/error.h>

/* "public\nuplink\n", and as many descriptors: all of them are the set's, or closed. */
static int add_all(t2_handover_set *set, t2_str names, const int *fds, size_t n) {
  int err = 0;

  for (size_t i = 0; i < n; i++) {
    char name[T2_HANDOVER_NAME_MAX + 1] = "";
    t2_str line;
    bool good = err == 0 && t2_str_next(&names, '\n', &line) && line.n < sizeof(name);
    if (good) memcpy(name, line.p, line.n);
    int added = t2_handover_set_add(set, name, fds[i]);
    if (err == 0) err = added == T2_ERR_INVALID ? T2_ERR_PROTOCOL : added;
  }
  return err || names.n == 0 ? err : T2_ERR_PROTOCOL;
}

int t2_handover_packet_read(t2_handover_set *set, t2_str text, const int *fds, size_t n, size_t *sessions,
                            bool *ended) {
  t2_str end = T2_STR(T2_HANDOVER_END);
  uint64_t count = 0;

  *ended = false;
  if (n) return add_all(set, text, fds, n);
  bool ends = text.n > end.n && memcmp(text.p, end.p, end.n) == 0;
  if (!ends || t2_str_u64(t2_str_of(text.p + end.n, text.n - end.n), INT32_MAX, &count))
    return T2_ERR_PROTOCOL;
  *sessions = (size_t)count;
  *ended = true;
  return 0;
}
