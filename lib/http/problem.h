/* Errors towards the public: problem details (RFC 9457) with a Proxy-Status field (RFC 9209). */
#ifndef T2_HTTP_PROBLEM_H
#define T2_HTTP_PROBLEM_H

#include <http/fields.h>

typedef struct t2_problem {
  int status;
  const char *type;        /* last part of the type URI, "urn:tunnel2:problem:session-unknown" */
  const char *title;       /* static English phrase */
  const char *proxy_error; /* RFC 9209, 2.3: "destination_not_found", ...; NULL: no Proxy-Status */
  int retry_after;         /* seconds; 0: no field */
} t2_problem;

/* Where in the way a request failed. */
typedef enum t2_problem_at {
  T2_AT_ROUTE,  /* which session? */
  T2_AT_UPLINK, /* entry to client */
  T2_AT_ORIGIN, /* client to origin */
  T2_AT_LOCAL,  /* this server's own API */
  T2_AT_DIAL    /* client to origin, before there was a connection: its TIMEOUT is connection_timeout */
} t2_problem_at;

/* The problem for an error met at a place: route NOT_FOUND 404 destination_not_found; uplink UNAVAILABLE 503
 * destination_unavailable with Retry-After 1; origin REFUSED 502 connection_refused, TIMEOUT 504
 * (connection_timeout / http_response_timeout), RESOLVE 502 dns_error, UNREACHABLE 502
 * destination_ip_unroutable, CLOSED 502 connection_terminated, TLS 502 tls_protocol_error, CERTIFICATE 502
 * tls_certificate_error, PROTOCOL 502 http_protocol_error, LIMIT 503 connection_limit_reached (origin) ...;
 * NOMEM 503 proxy_internal_error; anything else 500 proxy_internal_error. A static struct, never NULL. */
const t2_problem *t2_problem_of(int error, t2_problem_at at);
/* The generic problem of a status code from 400 on, such as 405 "method-not-allowed"; of one that nobody
 * knows, that of 400 or 500. Its proxy_error is NULL. */
const t2_problem *t2_problem_of_status(int status);

/* Fills head, emptied before (status, content-type, cache-control: no-store, content-length, retry-after,
 * proxy-status with `by` as the name and detail) and appends the JSON body
 * {"type","title","status","detail","instance"} to body; head's fields point to static text and to `scratch`
 * (reset by the callee). instance is "urn:request:<request_id>", left out when request_id is empty; detail
 * may be NULL. The head's x-request-id is set as well. JSON and structured-field strings are escaped
 * properly: detail may hold any bytes. 0 or T2_ERR_NOMEM. */
int t2_problem_write(const t2_problem *problem, const char *detail, t2_str by, t2_str request_id,
                     t2_head *head, t2_buf *scratch, t2_buf *body);

#endif
