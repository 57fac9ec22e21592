/* Asking from this process: a callback leg that sends a small request on an HTTP/2 connection, or to an
 * origin, and gathers the answer. */
#ifndef T2_PROXY_FETCH_H
#define T2_PROXY_FETCH_H

#include <proxy/h2_conn.h>

typedef struct t2_fetch t2_fetch;

/* err 0: status and body (cut at body_max is an error, T2_ERR_LIMIT); head has the response's fields. err <
 * 0: no whole answer; status 0. Comes once, never from inside t2_fetch_start. Views are valid during the
 * call. */
typedef void (*t2_fetch_cb)(t2_fetch *fetch, int err, int status, const t2_head *head, t2_str body,
                            void *user);

/* head's method, scheme, authority, path and fields; body is copied (may be empty). timeout_ms for the whole.
 * 0, T2_ERR_UNAVAILABLE (no capacity), T2_ERR_NOMEM; then cb does not come. */
int t2_fetch_start(t2_fetch **out, t2_h2_conn *h2_conn, const t2_head *head, t2_str body, size_t body_max,
                   uint64_t timeout_ms, t2_fetch_cb cb, void *user);
/* The same on any upstream leg, such as an origin's, by an exchange of that proxy. */
int t2_fetch_start_on(t2_fetch **out, t2_proxy *proxy, t2_leg *up, const t2_head *head, t2_str body,
                      size_t body_max, uint64_t timeout_ms, t2_fetch_cb cb, void *user);
/* cb does not come any more. */
void t2_fetch_cancel(t2_fetch *fetch);

#endif
