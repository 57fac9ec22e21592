/* From the path of a request to a file, and never out of the directory that is served. */
#ifndef T2_CLIENT_FILE_PATH_H
#define T2_CLIENT_FILE_PATH_H

#include <base/str.h>

#define T2_FILE_PATH_MAX 4096 /* bytes of a path with its NUL */

/* The path of a request, without its query, as one below the directory: percent-decoded, without empty
 * segments,
 * "." for "/". 0, or T2_ERR_NOT_FOUND for what no file can have as its path: a segment that begins with a
 * dot, ".." and hidden files among them, a NUL or a slash that was encoded, a broken escape, or too much of
 * it. */
int t2_file_path(t2_str path, char out[T2_FILE_PATH_MAX]);
/* Opens for reading what is at that path below the directory, and nothing outside of it, whatever symbolic
 * links say: a descriptor, or a negative errno. Special files are opened too, without blocking. */
int t2_file_open_beneath(int directory, const char *path);

#endif
