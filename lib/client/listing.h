/* A page that names what is in a directory. */
#ifndef T2_CLIENT_LISTING_H
#define T2_CLIENT_LISTING_H

#include <base/buf.h>

#define T2_LISTING_MAX 2000 /* entries on a page */

/* Appends the page of the directory, which is closed: its files and directories but those whose names begin
 * with a dot, sorted; of links those that lead to one below `root`, from which `below` names the directory.
 * `path` is what the title says. 0, T2_ERR_IO or T2_ERR_NOMEM. */
int t2_listing_write(int root, const char *below, int directory, t2_str path, t2_buf *page);

#endif
