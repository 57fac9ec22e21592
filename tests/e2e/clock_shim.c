/* For LD_PRELOAD: moves the wall's clock of a program by as many seconds as the file that T2_CLOCK names
 * says, in 8 bytes, at once when they change. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved;

__attribute__((constructor)) static void open_file(void) {
  const char *path = getenv("T2_CLOCK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof(*moved), PROT_READ, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) moved = at;
  close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *ts) {
  long err = syscall(SYS_clock_gettime, clock, ts);
  if (err == 0 && moved && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) ts->tv_sec += *moved;
  return (int)err;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
  struct timespec ts;
  (void)zone;
  int err = clock_gettime(CLOCK_REALTIME, &ts);
  *tv = (struct timeval){.tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000};
  return err;
}

time_t time(time_t *out) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  if (out) *out = ts.tv_sec;
  return ts.tv_sec;
}
