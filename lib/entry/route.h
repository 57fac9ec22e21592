/* Which session a public request is for, by its address. Sans-I/O.
 *
 * In this order; what comes first counts, and the path stays as it is, but for 4:
 *   1. Host "<session>.<domain>", where there is such a session;
 *   2. Host "<session>-<entry>.<domain>" with this entry's id: a name that stands for the one entry;
 *   3. Host that is a session's name of its own; none is below the domain, and none the entry's own;
 *   4. path "/session/<session>" and what follows it, on any Host that 1 to 3 have nothing to do with: the
 *      prefix is taken off. */
#ifndef T2_ENTRY_ROUTE_H
#define T2_ENTRY_ROUTE_H

#include <entry/sessions.h>
#include <http/fields.h>
#include <wire/ticket.h>

typedef struct t2_route {
  char session[T2_SESSION_ID_MAX + 1];
  t2_str path;   /* for the origin: "/", "/p?q", "*"; in the head's memory, or in `text` */
  t2_str prefix; /* what was taken off: "/session/<session>"; empty for an address by name */
} t2_route;

/* Where the request came in. */
typedef struct t2_route_site {
  t2_str domain; /* in lower case; empty: there are no addresses by name */
  t2_str entry;  /* its id */
  t2_str own[2]; /* the entry's names, which people and clients are told; may be empty */
} t2_route_site;

/* Whose the host name is by 1 to 3, whatever its kind; NULL: nobody's. In any case, with or without a port.
 */
t2_entry_session *t2_route_find_name(t2_str authority, const t2_route_site *site, t2_entry_sessions *sessions,
                                     uint64_t now_ms);
/* Could the host name be a session's by 3, if there is such a session? */
bool t2_route_is_own_name(t2_str authority, const t2_route_site *site);
/* text is for a path that has to be put together (reset by the callee). 0, with *session NULL when it is the
 * address of one that is not known here; T2_ERR_NOT_FOUND when it is the address of none; T2_ERR_NOMEM. */
int t2_route_find(const t2_head *request, const t2_route_site *site, t2_entry_sessions *sessions,
                  uint64_t now_ms, t2_route *route, t2_buf *text, t2_entry_session **session);

#endif
