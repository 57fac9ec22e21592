/* The opening of an uplink: an HTTP/1.1 request that turns the connection round (PTTH, the IETF's
 * draft-kazuho-ptth-ptth and draft-thomson-ptth-potato). What the drafts may still change is in this pair of
 * files alone. */
#ifndef T2_HTTP_PTTH_H
#define T2_HTTP_PTTH_H

#include <http/fields.h>

#define T2_PTTH_PATH     "/.well-known/tunnel2/uplink"
#define T2_PTTH_PROTOCOL "ptth"

/* Fields of the request: the UUID of the client's process, and how much of the session's requests it takes
 * relative to its other uplinks: 1 to 1,000. */
#define T2_PTTH_INSTANCE "tunnel2-instance"
#define T2_PTTH_WEIGHT   "tunnel2-weight"

/* A field of the 101, where the session has an address of its own: "tcp://HOST:PORT". */
#define T2_PTTH_ADDRESS "tunnel2-address"

/* Fields of the dialling side's request, which it adds: the UUID of its process, and how much of the
 * session's requests this uplink is to have, relative to others. */
#define T2_PTTH_INSTANCE       "tunnel2-instance"
#define T2_PTTH_WEIGHT         "tunnel2-weight"
#define T2_PTTH_WEIGHT_DEFAULT 100
#define T2_PTTH_WEIGHT_MAX     1000

/* The dialling side's request: authority, and "Bearer <ticket>" (both outlive head). 0 or T2_ERR_NOMEM. */
int t2_ptth_request(t2_head *head, t2_str authority, t2_str authorization);
/* Does this request ask for an uplink's path? */
bool t2_ptth_is_path(const t2_head *request);
/* 0 when the request is GET, asks to upgrade to ptth and offers h2; else T2_ERR_INVALID with a static
 * sentence in *detail. */
int t2_ptth_check_request(const t2_head *request, const char **detail);
/* The accepting side's 101. */
int t2_ptth_accept(t2_head *head);
/* 0 when the answer is the 101 that was asked for; T2_ERR_PROTOCOL for a 101 of something else; else what the
 * status means: 401 T2_ERR_AUTH, 403 T2_ERR_FORBIDDEN, 404 T2_ERR_NOT_FOUND, 409 T2_ERR_CONFLICT, 429 and 503
 * T2_ERR_UNAVAILABLE, others T2_ERR_PROTOCOL. */
int t2_ptth_check_response(const t2_head *response);

#endif
