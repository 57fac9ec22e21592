#include <client/file_open.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* Where the kernel does not know openat2, or a sandbox hides it: segment by segment, and through no link at
 * all. */
static int walk(int directory, const char *path) {
  int at = directory;
  while (at >= 0) {
    char name[NAME_MAX + 1];
    const char *slash = strchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : strlen(path);
    if (n > NAME_MAX) errno = ENAMETOOLONG;
    snprintf(name, sizeof(name), "%.*s", (int)n, path);
    int next = n > NAME_MAX ? -1 : openat(at, name, OPEN_FLAGS | O_NOFOLLOW | (slash ? O_DIRECTORY : 0));
    int err = errno;
    if (at != directory) close(at);
    if (next < 0) return -err;
    if (!slash) return next;
    at = next;
    path = slash + 1;
  }
  return -EBADF;
}

int t2_file_open_beneath(int directory, const char *path) {
  struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  long fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
  if (fd >= 0) return (int)fd;
  if (errno == ENOSYS || errno == EPERM) return walk(directory, path);
  return -errno;
}
