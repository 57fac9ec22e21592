/* From the path of a request to that of a file below a directory. */
#ifndef T2_HTTP_FILE_PATH_H
#define T2_HTTP_FILE_PATH_H

#include <base/str.h>

#define T2_FILE_PATH_MAX 4096 /* bytes of a path with its NUL */

/* The path of a request, without its query, as one below the directory: percent-decoded, without empty
 * segments,
 * "." for "/". 0, or T2_ERR_NOT_FOUND for what no file can have as its path: a segment that begins with a
 * dot, ".." and hidden files among them, a NUL or a slash that was encoded, a broken escape, or too much of
 * it. */
int t2_file_path(t2_str path, char out[T2_FILE_PATH_MAX]);

#endif
