/* What an entry announces of itself, and the addresses of a session that follow from it. Sans-I/O. */
#ifndef T2_CONTROL_ADDRESS_H
#define T2_CONTROL_ADDRESS_H

#include <control/store.h>

/* Room for the longest URL of a session, with its NUL. */
#define T2_SESSION_URL_MAX  (T2_STORE_URL_MAX + T2_STORE_DOMAIN_MAX + 2 * T2_SESSION_ID_MAX + 16)
#define T2_SESSION_URLS_MAX 2 /* by one entry */

/* Takes a slash off the end of the URLs, then checks all of it: the id; the uplink and
 * the public URL "http[s]://HOST[:PORT]"; the domain and "https://HOST[:PORT]" for TLS, which may be empty.
 * 0, or T2_ERR_INVALID with a static sentence in *detail. */
int t2_announcement_check(t2_announcement *announcement, const char **detail);

/* Where a name of a session's own is to be found at an entry: "http://NAME" and "https://NAME" with these
 * ports. */
typedef struct t2_name_site {
  bool secure;
  char port[sizeof(":65535")]; /* ":12000", or "" */
} t2_name_site;

#define T2_NAME_SITES_MAX 2 /* of one entry */

/* Returns how many. */
size_t t2_name_sites(const t2_store_entry *entry, t2_name_site sites[T2_NAME_SITES_MAX]);

/* The session's public URLs by this entry, with a slash at the end: below the entry's own address, and, when
 * the entry has a domain, as a name in it. Returns how many. */
size_t t2_session_urls(const t2_store_entry *entry, const char *session,
                       char urls[T2_SESSION_URLS_MAX][T2_SESSION_URL_MAX]);

#endif
