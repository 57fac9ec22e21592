#include <base/file.h>
#include <base/random.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define READ_STEP 4096

static int file_read_fd(int fd, size_t max, t2_buf *out) {
  size_t total = 0;

  for (;;) {
    uint8_t *at = t2_buf_reserve(out, READ_STEP);
    if (!at) return T2_ERR_NOMEM;
    ssize_t got = read(fd, at, READ_STEP);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return T2_ERR_IO;
    if (got == 0) return 0;
    if ((size_t)got > max - total) return T2_ERR_LIMIT;
    total += (size_t)got;
    t2_buf_commit(out, (size_t)got);
  }
}

int t2_file_read(const char *path, size_t max, t2_buf *out) {
  size_t before = t2_buf_len(out);
  int fd = open(path, O_RDONLY | O_CLOEXEC);

  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? T2_ERR_NOT_FOUND : T2_ERR_IO;
  int rc = file_read_fd(fd, max, out);
  close(fd);
  if (rc) out->end = out->off + before;
  return rc;
}

static int write_all(int fd, const uint8_t *p, size_t n) {
  while (n) {
    ssize_t put = write(fd, p, n);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return T2_ERR_IO;
    p += put;
    n -= (size_t)put;
  }
  return 0;
}

#define SUFFIX_LEN   (1 + 8) /* of a temporary: a dot and hex digits */
#define SUFFIX_TRIES 16

/* As mkostemp(3) has it, but by open(2), which ThreadSanitizer sees: a descriptor's number comes again. */
static int open_new(char *name, size_t len) {
  for (int i = 0; i < SUFFIX_TRIES; i++) {
    uint32_t random;
    t2_random_bytes(&random, sizeof(random));
    snprintf(name + len, SUFFIX_LEN + 1, ".%08x", (unsigned)random);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

/* Makes a whole file beside path; *name is freed with t2_free(NULL, …). Starts at mode 0600 whatever the
 * mode, so a secret is never readable in between. */
static int file_make_temporary(const char *path, const void *bytes, size_t n, mode_t mode, char **name) {
  size_t len = strlen(path);
  char *temporary = t2_alloc(NULL, len + SUFFIX_LEN + 1);

  if (!temporary) return T2_ERR_NOMEM;
  memcpy(temporary, path, len);
  int fd = open_new(temporary, len);
  if (fd < 0) {
    t2_free(NULL, temporary);
    return T2_ERR_IO;
  }
  bool ok = write_all(fd, bytes, n) == 0 && fchmod(fd, mode) == 0 && fsync(fd) == 0;
  if (close(fd)) ok = false;
  if (!ok) {
    unlink(temporary);
    t2_free(NULL, temporary);
    return T2_ERR_IO;
  }
  *name = temporary;
  return 0;
}

/* Brings a new name in path's directory to the disk. Without it the file is whole, but may be gone after a
 * power cut: no reason to fail. */
static void sync_directory_of(const char *path) {
  const char *slash = strrchr(path, '/');
  char *dir = slash ? t2_strndup(NULL, path, (size_t)(slash - path) + 1) : t2_strdup(NULL, ".");
  int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

  t2_free(NULL, dir);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

int t2_file_write(const char *path, const void *bytes, size_t n, mode_t mode) {
  char *temporary;
  int rc = file_make_temporary(path, bytes, n, mode, &temporary);

  if (rc) return rc;
  if (rename(temporary, path)) {
    unlink(temporary);
    rc = T2_ERR_IO;
  } else {
    sync_directory_of(path);
  }
  t2_free(NULL, temporary);
  return rc;
}

int t2_file_create(const char *path, const void *bytes, size_t n, mode_t mode) {
  char *temporary;
  int rc = file_make_temporary(path, bytes, n, mode, &temporary);

  if (rc) return rc;
  if (link(temporary, path)) rc = errno == EEXIST ? T2_ERR_CONFLICT : T2_ERR_IO;
  unlink(temporary);
  if (rc == 0) sync_directory_of(path);
  t2_free(NULL, temporary);
  return rc;
}

int t2_file_lock(const char *path, int *fd) {
  int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);

  *fd = -1;
  if (lock < 0) return T2_ERR_IO;
  if (flock(lock, LOCK_EX | LOCK_NB)) {
    int held = errno == EWOULDBLOCK;
    close(lock);
    return held ? T2_ERR_CONFLICT : T2_ERR_IO;
  }
  *fd = lock;
  return 0;
}

int t2_mkdir(const char *path, mode_t mode) {
  char part[PATH_MAX];
  size_t len = strlen(path);
  struct stat st;

  if (len == 0 || len >= sizeof(part)) return T2_ERR_IO;
  memcpy(part, path, len + 1);
  while (len > 1 && part[len - 1] == '/')
    part[--len] = '\0';
  /* A parent that cannot be made shows when the last one is. */
  for (char *at = part + 1; (at = strchr(at, '/')); *at++ = '/') {
    *at = '\0';
    (void)mkdir(part, 0755);
  }
  if (mkdir(part, mode) == 0) return 0;
  return errno == EEXIST && stat(part, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : T2_ERR_IO;
}

char *t2_path_join(const t2_allocator *mem, const char *dir, const char *name) {
  size_t dir_len = strlen(dir), name_len = strlen(name);
  size_t slash = dir_len && dir[dir_len - 1] != '/';
  char *path = t2_alloc(mem, dir_len + slash + name_len + 1);

  if (!path) return NULL;
  memcpy(path, dir, dir_len);
  if (slash) path[dir_len] = '/';
  memcpy(path + dir_len + slash, name, name_len + 1);
  return path;
}

uint64_t t2_clock_mono_ms(void) {
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int64_t t2_clock_wall_ms(void) {
  struct timespec ts;

  clock_gettime(CLOCK_REALTIME, &ts);
  return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Writes value in width digits and the byte after them; returns what follows. */
static char *put_number(char *at, int width, int value, char after) {
  for (int i = width; i-- > 0; value /= 10)
    at[i] = (char)('0' + value % 10);
  at[width] = after;
  return at + width + 1;
}

void t2_timestamp(int64_t wall_ms, char out[T2_TIMESTAMP_LEN + 1]) {
  const int64_t first = -62167219200000, last = 253402300799999; /* the years 0000 to 9999 */
  struct tm tm;

  if (wall_ms < first) wall_ms = first;
  if (wall_ms > last) wall_ms = last;
  int ms = (int)((wall_ms % 1000 + 1000) % 1000);
  time_t seconds = (time_t)((wall_ms - ms) / 1000);
  gmtime_r(&seconds, &tm);
  out = put_number(out, 4, tm.tm_year + 1900, '-');
  out = put_number(out, 2, tm.tm_mon + 1, '-');
  out = put_number(out, 2, tm.tm_mday, 'T');
  out = put_number(out, 2, tm.tm_hour, ':');
  out = put_number(out, 2, tm.tm_min, ':');
  out = put_number(out, 2, tm.tm_sec, '.');
  out = put_number(out, 3, ms, 'Z');
  *out = '\0';
}
