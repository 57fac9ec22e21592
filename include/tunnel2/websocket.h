/* WebSockets served in this process (RFC 6455; over HTTP/2, RFC 8441): what a handler of tunnel2/request.h
 * makes of a request that asks for one.
 *
 *   on_request ──▶ t2_websocket_accept                                  from then on the request is the
 *   (on_message, on_pong, on_writable …)                                WebSocket's, and the handler hears no
 *   t2_websocket_send, _ping, _close: any time until                    more of it
 *   on_close                                                            once, and last
 *
 * A WebSocket, and its request, live until its on_close returns, whatever else happens. All calls and
 * callbacks are on the loop's thread of the client; no callback comes from inside of a call of this header.
 * Fragments of messages are put together, pings are answered, text is known to be UTF-8. Extensions (such as
 * compression) are not agreed to. */
#ifndef TUNNEL2_WEBSOCKET_H
#define TUNNEL2_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/error.h>
#include <tunnel2/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A WebSocket. Opaque; made by t2_websocket_accept, and gone when its on_close has returned. */
typedef struct t2_websocket t2_websocket;

/* Codes of a close (RFC 6455, 7.4) that a program meets; 3000 to 4999 are free for its own. */
#define T2_WEBSOCKET_NORMAL     1000 /* its purpose is fulfilled */
#define T2_WEBSOCKET_GOING_AWAY 1001 /* a server goes down, or a page is left */
#define T2_WEBSOCKET_NO_CODE    1005 /* the peer's close had none */
#define T2_WEBSOCKET_ABNORMAL   1006 /* it ended without a close */

#define T2_WEBSOCKET_PING_MAX   125 /* bytes */
#define T2_WEBSOCKET_REASON_MAX 123 /* bytes; a longer one is cut at a character's end */

/* Callbacks may be NULL. */
typedef struct t2_websocket_options {
  size_t size; /* set by t2_websocket_options_init; lets the struct grow */
  /* A message, whole; valid during the call. */
  void (*on_message)(t2_websocket *ws, bool text, const uint8_t *bytes, size_t n, void *user);
  /* After T2_ERR_AGAIN: what waited is on its way. */
  void (*on_writable)(t2_websocket *ws, void *user);
  /* The answer to a ping. */
  void (*on_pong)(t2_websocket *ws, const uint8_t *bytes, size_t n, void *user);
  /* It is over, and freed when this returns. code and reason are the peer's (of its close, or of its answer
   * to ours); or why it was failed here: 1002 (against the protocol), 1007 (text that is not UTF-8), 1009
   * (over message_max), 1011 (no memory); or 1006, and reason says what happened. */
  void (*on_close)(t2_websocket *ws, unsigned code, const char *reason, void *user);
  size_t message_max;        /* bytes of a message that is taken; 1 MiB */
  size_t queue_max;          /* bytes that may wait for the peer to read them; 1 MiB */
  uint64_t close_timeout_ms; /* from a close here or there until the connection is cut; 5,000 */
  /* Sub-protocols that are spoken, best first: the first that the peer offers is agreed to. */
  const char *const *protocols;
  size_t protocol_count; /* of them */
  /* More fields of the answer to the handshake, such as Set-Cookie. */
  const t2_http_field *fields;
  size_t field_count; /* of them */
} t2_websocket_options;

/* Sets every option to its default. */
T2_API void t2_websocket_options_init(t2_websocket_options *options);

/* Does the request ask for a WebSocket of the version there is (13)? */
T2_API bool t2_websocket_asked(const t2_request *request);
/* Accepts it: the answer to the handshake is sent. Before any other answer: from on_request, or later, for
 * the peer says nothing before it is accepted. options may go afterwards. 0; T2_ERR_UNSUPPORTED, it is no
 * request for a WebSocket (see above), T2_ERR_INVALID (options, a field), T2_ERR_NOMEM, T2_ERR_STATE
 * (answered already), T2_ERR_CLOSED: then *ws is NULL, and the request is still the handler's. */
T2_API int t2_websocket_accept(t2_websocket **ws, t2_request *request, const t2_websocket_options *options,
                               void *user);

/* A message, sent at once as far as the peer reads; the rest is copied. It is taken whole or not at all. 0;
 * T2_ERR_AGAIN, it would make more than queue_max bytes wait (where none wait, one message may be larger):
 * on_writable comes; T2_ERR_INVALID, a text that is not UTF-8; T2_ERR_CLOSED, it is closed or closing;
 * T2_ERR_NOMEM. */
T2_API int t2_websocket_send(t2_websocket *ws, bool text, const void *bytes, size_t n);
/* As t2_websocket_send; n at most T2_WEBSOCKET_PING_MAX, else T2_ERR_INVALID. */
T2_API int t2_websocket_ping(t2_websocket *ws, const void *bytes, size_t n);
/* Bytes that wait for the peer to read. */
T2_API size_t t2_websocket_waiting(const t2_websocket *ws);
/* Back-pressure towards the peer: from true on no message comes (nor a ping, nor its close), until false. */
T2_API void t2_websocket_pause(t2_websocket *ws, bool pause);
/* Begins to close: what waits is sent before, no on_message comes any more, and on_close does when the peer
 * has answered, or after close_timeout_ms. code 0: none is sent. reason may be NULL. 0; T2_ERR_INVALID, a
 * code that may not be sent; T2_ERR_CLOSED, it is closing already; T2_ERR_NOMEM. To cut it off instead:
 * t2_response_abort(t2_websocket_request(ws), T2_ERR_CANCELLED). */
T2_API int t2_websocket_close(t2_websocket *ws, unsigned code, const char *reason);

/* The sub-protocol agreed to; NULL: none. */
T2_API const char *t2_websocket_protocol(const t2_websocket *ws);
/* For what is asked: its path, fields, remote address, and t2_request_user. */
T2_API t2_request *t2_websocket_request(const t2_websocket *ws);

#ifdef __cplusplus
}
#endif
#endif
