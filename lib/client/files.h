/* Serves a directory: an origin in the process. GET and HEAD; index.html, or a listing where there is none;
 * conditions and single ranges; no file outside of the directory, and none whose name begins with a dot. */
#ifndef T2_CLIENT_FILES_H
#define T2_CLIENT_FILES_H

#include <proxy/exchange.h>

typedef struct t2_files t2_files;

/* 0; T2_ERR_NOT_FOUND, T2_ERR_FORBIDDEN or T2_ERR_IO with a sentence in detail when the directory can't be
 * opened; T2_ERR_NOMEM. */
int t2_files_new(t2_files **out, t2_loop *loop, t2_str directory, char *detail, size_t detail_size);
/* Answers that are under way go on. */
void t2_files_free(t2_files *files);
/* Answers a request: connects its exchange, or refuses it. What is in front of the path, `prefix`, is not
 * part of the file's. */
void t2_files_serve(t2_files *files, t2_exchange *exchange, const t2_head *head, bool end, t2_str prefix);

#endif
