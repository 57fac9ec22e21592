/* Small files read and written whole, and the clocks. */
#ifndef T2_BASE_FILE_H
#define T2_BASE_FILE_H

#include <base/buf.h>
#include <sys/types.h>

/* Appends the file's bytes to out. T2_ERR_NOT_FOUND, T2_ERR_LIMIT when it is larger than max, T2_ERR_IO, or
 * T2_ERR_NOMEM; then out holds what it held before. */
int t2_file_read(const char *path, size_t max, t2_buf *out);
/* Replaces the file in one step (a temporary beside it, fsync, rename). mode, such as 0600, is exact here and
 * in t2_file_create: no umask is taken off. 0, T2_ERR_IO, T2_ERR_NOMEM. */
int t2_file_write(const char *path, const void *bytes, size_t n, mode_t mode);
/* Makes the file only if it does not exist, whole or not at all (temporary, then link): T2_ERR_CONFLICT when
 * it does. */
int t2_file_create(const char *path, const void *bytes, size_t n, mode_t mode);
/* Takes a lock that holds until *fd is closed or the process ends; the file is made when it is not there. 0,
 * T2_ERR_CONFLICT when somebody else has it, T2_ERR_IO. */
int t2_file_lock(const char *path, int *fd);
/* Makes the directory and its parents, the last one with mode; fine if it is there. 0 or T2_ERR_IO. */
int t2_mkdir(const char *path, mode_t mode);
/* "dir/name" freed with t2_free, or NULL when there is no memory. */
char *t2_path_join(const t2_allocator *mem, const char *dir, const char *name);

/* Milliseconds: of a clock that never jumps, and since 1970 UTC. */
uint64_t t2_clock_mono_ms(void);
int64_t t2_clock_wall_ms(void);
/* "2026-01-02T03:04:05.678Z", NUL-terminated. */
#define T2_TIMESTAMP_LEN 24
void t2_timestamp(int64_t wall_ms, char out[T2_TIMESTAMP_LEN + 1]);

#endif
