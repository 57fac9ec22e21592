/* The store as sessions.json: everything a restart must not lose. Leases are not kept: after a restart each
 * is fresh.
 *
 *   {"version": 1,
 *    "entries": [{"id", "owner", "uplink", "public", "domain", "created_at"}, ...],
 *    "sessions": [{"id", "owner", "live", "created_at",
 *                  "last_issued", "last_expires", "void_before", "void_until"}, ...]}
 *
 * One record a line. Unknown members are passed over.
 */
#ifndef T2_CONTROL_PERSIST_H
#define T2_CONTROL_PERSIST_H

#include <control/store.h>

#define T2_PERSIST_FILE_MAX (256 * 1024 * 1024)

/* Appends the file's text. 0 or T2_ERR_NOMEM. */
int t2_persist_format(const t2_store *store, t2_buf *out);
/* Fills an empty store. T2_ERR_INVALID says the line, or which record, and what is wrong with it in detail;
 * the store then holds what came before. store->dirty is clear after success. */
int t2_persist_parse(t2_store *store, t2_str text, t2_moment now, char *detail, size_t detail_size);

/* The file read into an empty store; none there is fine. detail names the file. */
int t2_persist_load(t2_store *store, const char *path, t2_moment now, char *detail, size_t detail_size);
/* Writes the file in one step, mode 0600, and clears store->dirty. */
int t2_persist_save(t2_store *store, const char *path);

#endif
