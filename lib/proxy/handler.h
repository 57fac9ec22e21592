/* A callback leg: requests that a handler of the program's answers (tunnel2/request.h), with content streamed
 * both ways. handler.c is the leg and the life of a request, request.c what a handler may ask of one,
 * websocket.c what takes a request over from its handler (tunnel2/websocket.h). */
#ifndef T2_PROXY_HANDLER_H
#define T2_PROXY_HANDLER_H

#include <proxy/exchange.h>
#include <tunnel2/request.h>

/* The handler of one object, and the requests it has. Embedded. */
typedef struct t2_handlers {
  t2_proxy *proxy;
  t2_handler ops;
  void *user;
  t2_list live;                /* t2_request */
  t2_head head;                /* of an answer, while it is made */
  t2_buf names;                /* its field names in lower case */
  void (*on_idle)(void *user); /* the last request is gone; may be NULL */
  void *idle_user;
} t2_handlers;

/* ops.on_request NULL: there is no handler. The proxy outlives it. */
void t2_handlers_init(t2_handlers *handlers, t2_proxy *proxy, const t2_handler *ops, void *user);
static inline bool t2_handlers_any(const t2_handlers *handlers) {
  return !t2_list_empty(&handlers->live);
}
/* When there are no requests any more. */
void t2_handlers_fini(t2_handlers *handlers);
/* Gives a request to the handler: its exchange is connected, or refused for want of memory. */
void t2_handlers_serve(t2_handlers *handlers, t2_exchange *exchange, const t2_head *head, bool end,
                       uint64_t response_timeout_ms);

/* Written by handler.c and request.c alone. */
struct t2_request {
  t2_leg leg;
  t2_handlers *handlers;
  t2_list node;
  const t2_handler *ops; /* the handler's, or those of who took it over */
  void *ops_user;
  void *user;
  /* What is asked; texts are behind the struct. */
  const char *method, *path, *scheme, *authority, *protocol, *remote, *id; /* in this order, method first */
  size_t text_size; /* of these and of the fields, whose texts come next */
  int64_t content_length;
  t2_http_field *fields, *trailers; /* trailers: a block of its own */
  size_t field_count, trailer_count;
  bool has_protocol, asks_continue;
  size_t owed; /* content given to on_data, and not yet consumed */
  /* What is answered. */
  bool started, ended;  /* by the handler */
  bool without_content; /* to HEAD, 204, 304: nothing follows the head */
  bool starved;         /* on_writable is to come */
  bool over;            /* the exchange is, and on_close is to come */
  int err;              /* then */
  int64_t promised;     /* bytes of content, or -1 */
  uint64_t written;
  size_t unacked; /* of these those not yet consumed */
  t2_buf rest;    /* of t2_response_send, for which there was no room yet */
  t2_flushable events;
  t2_reapable reapable;
};

/* Trailers of a request, copied: 0 or T2_ERR_NOMEM. */
int t2_request_keep_trailers(t2_request *request, const t2_fields *trailers);
/* A request with a copy of what is asked; end: nothing follows the head. NULL when there is no memory. */
t2_request *t2_request_new(t2_handlers *handlers, const t2_exchange *exchange, const t2_head *head, bool end);
/* From here on the request's callbacks are these, which outlive it; on_request is not called. */
void t2_request_take_over(t2_request *request, const t2_handler *ops, void *user);
/* Sends what was kept back, as far as there is room. */
void t2_request_flush(t2_request *request);

#endif
