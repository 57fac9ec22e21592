/* Which session a public request is for, by its address. Sans-I/O.
 *
 * In this order:
 *   1. Host "<session>.<domain>": the path stays as it is, so that an application may use any path on its
 * name.
 *   2. path "/session/<session>" and what follows it: the prefix is taken off. */
#ifndef T2_ENTRY_ROUTE_H
#define T2_ENTRY_ROUTE_H

#include <http/fields.h>
#include <wire/ticket.h>

typedef struct t2_route {
  char session[T2_SESSION_ID_MAX + 1];
  t2_str path;   /* for the origin: "/", "/p?q", "*"; in the head's memory, or in `text` */
  t2_str prefix; /* what was taken off: "/session/<session>"; empty for an address by name */
} t2_route;

/* domain is in lower case; empty: there are no addresses by name. text is for a path that has to be put
 * together (reset by the callee). 0, T2_ERR_NOT_FOUND when it is the address of no session, T2_ERR_NOMEM. */
int t2_route_find(const t2_head *request, t2_str domain, t2_route *route, t2_buf *text);

#endif
