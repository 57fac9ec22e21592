/* The control channel at both its ends: frames both ways on one long-lived HTTP/2 stream. */
#ifndef T2_PROXY_CHANNEL_H
#define T2_PROXY_CHANNEL_H

#include <proxy/h2_conn.h>
#include <proxy/server.h>
#include <wire/message.h>

typedef struct t2_channel t2_channel;

typedef struct t2_channel_ops {
  /* Client end: the server answered 200: messages may be sent. (Server end: not called.) */
  void (*on_open)(t2_channel *channel, void *user);
  /* Views are valid during the call. Unknown types have been skipped. */
  void (*on_message)(t2_channel *channel, const t2_message *message, void *user);
  /* The last call. status: what the server answered instead of 200, or 0. err as usual (T2_ERR_CLOSED after
   * an orderly end). */
  void (*on_close)(t2_channel *channel, int err, int status, void *user);
} t2_channel_ops;

/* Client end: POST head->path with head's fields and an open-ended body. T2_ERR_UNAVAILABLE, T2_ERR_NOMEM. */
int t2_channel_open(t2_channel **out, t2_h2_conn *h2_conn, const t2_head *head, const t2_channel_ops *ops,
                    void *user);
/* Server end: answers 200 to a request that came by HTTP/2. */
int t2_channel_accept(t2_channel **out, const t2_server_request *request, const t2_channel_ops *ops,
                      void *user);
/* T2_ERR_LIMIT when the peer has let more than 256 KiB pile up: the channel should be closed. */
int t2_channel_send(t2_channel *channel, const t2_message *message);
/* Ends our side in order; on_close does not come any more. */
void t2_channel_close(t2_channel *channel);

#endif
