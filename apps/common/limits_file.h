/* Limits of an entry in a file, which is read at the start and at each SIGHUP: lines of an option's name
 * without its dashes and its value, as "session-requests-rate 200"; '#' begins a comment. What it says goes
 * before the command line, which counts again for a line that has been taken out. */
#ifndef T2_COMMON_LIMITS_FILE_H
#define T2_COMMON_LIMITS_FILE_H

#include <common/entry_options.h>

#define T2_APP_LIMITS_FILE_MAX 65536 /* bytes */

/* Reads the file over the options, of which only numbers change. 0; or what is wrong, with the file and the
 * line in detail: options are as they were. T2_ERR_NOT_FOUND, T2_ERR_IO and the like (the file), T2_ERR_LIMIT
 * (its size), T2_ERR_INVALID (a line). */
int t2_app_limits_read(const char *file, t2_entry_options *options, char *detail, size_t detail_size);
/* SIGHUP: certificates, and the file's limits if there is one. As t2_entry_reload; otherwise detail says what
 * was read. */
int t2_app_limits_reload(const t2_app_entry *given, t2_entry *entry, char *detail, size_t detail_size);

#endif
