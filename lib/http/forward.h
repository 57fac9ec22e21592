/* What an intermediary does to a head before it passes it on (RFC 9110, 7.6). */
#ifndef T2_HTTP_FORWARD_H
#define T2_HTTP_FORWARD_H

#include <http/fields.h>

#define T2_REQUEST_ID_MAX 128

/* What a request's forwarding needs to know; slices outlive the call. */
typedef struct t2_forward {
  t2_str peer;       /* address of who connected, "192.0.2.1" or "2001:db8::1", for Forwarded "for" and
                        X-Forwarded-For */
  t2_str by;         /* pseudonym for Via, such as an entry's id */
  t2_str prefix;     /* path prefix that was stripped: X-Forwarded-Prefix; empty: none */
  t2_str request_id; /* made when the request has no acceptable x-request-id */
  bool trust_peer; /* keep Forwarded and X-Forwarded-* as they came and append; else drop them and begin anew
                    */
} t2_forward;

/* Builds `out` from `in`: hop-by-hop fields (RFC 9110, 7.6.1: Connection and all it names, Keep-Alive,
 * Proxy-Connection, TE but "trailers", Transfer-Encoding, Upgrade,
 * Proxy-Authenticate/-Authorization/-Authentication-Info) left out; Forwarded (RFC 7239), X-Forwarded-For,
 * -Proto, -Host, -Prefix, Via and X-Request-Id added. out's fields point into `in`, `how` and text appended
 * to `scratch` (reset by the callee, so one per use). 0 or T2_ERR_NOMEM. in->fields no longer has Connection
 * itself, so the parser has already left out what it named. */
int t2_forward_request(const t2_head *in, const t2_forward *how, t2_head *out, t2_buf *scratch);
/* The same for a response: hop-by-hop fields out, Via appended. Via names the version by which the message
 * was received. */
int t2_forward_response(const t2_head *in, t2_str by, t2_head *out, t2_buf *scratch);
/* The request id in effect: the request's own x-request-id if it is 1..T2_REQUEST_ID_MAX of visible ASCII,
 * else empty. */
t2_str t2_forward_request_id(const t2_head *in);
/* Who asked first, as the request's Forwarded field says (RFC 7239, 4): the value of "for" in its first
 * element without quotes, or empty. */
t2_str t2_forwarded_for(const t2_head *request);

#endif
