/* A directory of the test's own, with files and links in it. */
#ifndef T2_CLIENT_TEST_DIRECTORY_H
#define T2_CLIENT_TEST_DIRECTORY_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct directory {
  char path[64];
  int fd;
} directory;

static inline void directory_make(directory *d) {
  snprintf(d->path, sizeof(d->path), "/tmp/t2-files-XXXXXX");
  assert_non_null(mkdtemp(d->path));
  d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(d->fd >= 0);
}

static inline void directory_file(const directory *d, const char *name, const char *text) {
  int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), strlen(text));
  close(fd);
}

static inline void directory_folder(const directory *d, const char *name) {
  assert_int_equal(mkdirat(d->fd, name, 0700), 0);
}

static inline void directory_link(const directory *d, const char *name, const char *to) {
  assert_int_equal(symlinkat(to, d->fd, name), 0);
}

static inline int directory_drop(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
  (void)st, (void)kind, (void)ftw;
  return remove(path);
}

static inline void directory_remove(directory *d) {
  close(d->fd);
  assert_int_equal(nftw(d->path, directory_drop, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Descriptors that are open now. */
static inline int descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 256; fd++)
    if (fcntl(fd, F_GETFD) >= 0) n++;
  return n;
}

#endif
