/* Requests answered in this process. A client whose origin is a handler (t2_client_options.handler) gives it
 * each request that the public sends; no port is opened, and no byte leaves the process but by the uplink.
 *
 *   on_request ──▶ (on_data …) ──▶ on_end                              what is asked
 *   t2_response_start ──▶ (t2_response_write …) ──▶ t2_response_end    what is answered: from inside of the
 *                                                                      callbacks above, or any time later
 *   on_close                                                           once, and last
 *
 * A request lives until its on_close returns, whatever else happens. All calls and callbacks are on the
 * loop's thread of the client; no callback comes from inside of a call of this header. The client's
 * response_timeout_ms holds from the end of the request's content to t2_response_start (then 504 is answered
 * and on_close comes with T2_ERR_TIMEOUT).
 *
 * A connection of a TCP session comes as a request whose method is "CONNECT": what accepts it is
 * t2_response_start with status 200. A WebSocket, or another upgrade, has t2_request_protocol, and is
 * accepted with status 101 (whatever version of HTTP it came by). From then on both directions are bytes, and
 * end on their own: on_end is the other side's, t2_response_end this one's. */
#ifndef TUNNEL2_REQUEST_H
#define TUNNEL2_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One request with its answer. Opaque; the library makes and frees it. */
typedef struct t2_request t2_request;

/* A field (RFC 9110, 5). */
typedef struct t2_http_field {
  const char *name;  /* those that come from here are in lower case */
  const char *value; /* without spaces at its ends; never NULL */
} t2_http_field;

/* What is called for each request, on the client's loop's thread; all but on_request may be NULL. user is
 * t2_client_options.handler_user. */
typedef struct t2_handler {
  size_t size; /* set by t2_handler_init; lets the struct grow */
  /* Here is a request: its head is known. */
  void (*on_request)(t2_request *request, void *user);
  /* Content, valid during the call. NULL: content is passed over. */
  void (*on_data)(t2_request *request, const uint8_t *bytes, size_t n, void *user);
  /* The content is whole; t2_request_trailers may have fields. */
  void (*on_end)(t2_request *request, void *user);
  /* After t2_response_write took less than it was given: there is room again. */
  void (*on_writable)(t2_request *request, void *user);
  /* It is over, and the request is freed when this returns. err 0: the answer is on its way whole; else why
   * not: T2_ERR_CANCELLED or T2_ERR_CLOSED (who asked is gone), T2_ERR_TIMEOUT, ... */
  void (*on_close)(t2_request *request, int err, void *user);
  /* Back-pressure towards who asks. False: content counts as taken when on_data returns. True: when
   * t2_request_consume says so; at most T2_REQUEST_WINDOW bytes come before that. */
  bool consume_later;
} t2_handler;

/* Bytes of content that come before some of them have to be consumed. */
#define T2_REQUEST_WINDOW ((size_t)512 * 1024)

/* No callbacks, and the size. */
T2_API void t2_handler_init(t2_handler *handler);

/* ---- What is asked. Texts belong to the request, and are valid as long as it is. ---- */

/* "GET", "POST", ...; "CONNECT" is a connection. */
T2_API const char *t2_request_method(const t2_request *request);
/* "/p?q" as the origin is to see it (the prefix /session/ID is stripped); "*" for OPTIONS; "" for CONNECT. */
T2_API const char *t2_request_path(const t2_request *request);
/* "http" or "https", of the public's side. */
T2_API const char *t2_request_scheme(const t2_request *request);
/* What Host said: "example.com:8080". */
T2_API const char *t2_request_authority(const t2_request *request);
/* What an upgrade asks for: "websocket", ...; NULL: it is none. */
T2_API const char *t2_request_protocol(const t2_request *request);
/* X-Request-Id, made by the entry where the public sent none; it is in the logs of entry and client too. */
T2_API const char *t2_request_id(const t2_request *request);
/* Bytes of content (0: there is none), or -1: not known. */
T2_API int64_t t2_request_content_length(const t2_request *request);
/* Who asks, as the entry says (Forwarded): "192.0.2.1", of a TCP connection "192.0.2.1:40123" or
 * "[2001:db8::1]:40123"; "" where that is not known. */
T2_API const char *t2_request_remote(const t2_request *request);
/* The value of the first field of that name (case does not matter), or NULL. */
T2_API const char *t2_request_field(const t2_request *request, const char *name);
/* All fields in order, *count of them; Host and what frames the message are not among them. */
T2_API const t2_http_field *t2_request_fields(const t2_request *request, size_t *count);
/* All that in one piece, for who takes it apart elsewhere, such as a binding for which each call is dear:
 * method, path, scheme, authority, protocol ("": none), remote and id, then name and value of each field.
 * Each ends with a NUL, and has none inside; *size bytes in all. */
T2_API const char *t2_request_text(const t2_request *request, size_t *size);
/* Fields behind the content, *count of them: 0 before on_end. Valid as long as the request. */
T2_API const t2_http_field *t2_request_trailers(const t2_request *request, size_t *count);
/* With consume_later: n bytes more that on_data gave are done with, and as many may come. Without it nothing
 * happens. */
T2_API void t2_request_consume(t2_request *request, size_t n);

/* Keeps a pointer of the handler's own. */
T2_API void t2_request_set_user(t2_request *request, void *user);
/* That pointer; NULL when none was set. */
T2_API void *t2_request_user(const t2_request *request);

/* ---- What is answered. ----
 *
 * Each returns 0 (t2_response_write: the bytes taken) or: T2_ERR_STATE, out of order; T2_ERR_INVALID, a
 * status or field that HTTP does not have, or content that is not as long as was said; T2_ERR_CLOSED, the
 * request is over and on_close is about to come; T2_ERR_NOMEM. Fields that frame a message or are of one hop
 * (Connection, Transfer-Encoding, Upgrade, Keep-Alive, ...) are left out, for they are not the handler's to
 * say; Content-Length counts as content_length. */

/* A 1xx in front of the answer, such as 103 (Early Hints). 100 is sent by itself when on_request has returned
 * without an answer. */
T2_API int t2_response_interim(t2_request *request, int status, const t2_http_field *fields, size_t count);
/* The head of the answer: its status, 200 to 599 (101 accepts an upgrade), and fields[count], which are
 * copied; fields may be NULL. content_length -1: not known. */
T2_API int t2_response_start(t2_request *request, int status, const t2_http_field *fields, size_t count,
                             int64_t content_length);
/* Bytes that t2_response_write would take now; 0 before t2_response_start and after the end. */
T2_API size_t t2_response_room(const t2_request *request);
/* Content. How many of the n bytes were taken (they are copied, or sent): when fewer than n, on_writable
 * comes. Content of an answer that has none (to HEAD, 204, 304) is taken and passed over. */
T2_API int64_t t2_response_write(t2_request *request, const void *bytes, size_t n);
/* The answer is whole. trailers[count] are copied; they may be NULL. */
T2_API int t2_response_end(t2_request *request, const t2_http_field *trailers, size_t count);
/* All in one: the answer with this content, whatever its size: what there is no room for yet is copied.
 * content_type may be NULL; fields as for t2_response_start. */
T2_API int t2_response_send(t2_request *request, int status, const char *content_type,
                            const t2_http_field *fields, size_t count, const void *bytes, size_t n);
/* Gives up: where nothing was sent the problem that fits err is answered (mostly 502), else the answer is
 * cut, visibly. on_close comes with err. */
T2_API void t2_response_abort(t2_request *request, int err);

#ifdef __cplusplus
}
#endif
#endif
