#include <proxy/channel.h>
#include <tunnel2/error.h>

#define UNSENT_MAX (256 * 1024)

struct t2_channel {
  t2_leg leg;
  t2_proxy *proxy;
  t2_channel_ops ops;
  void *user;
  t2_exchange *exchange;
  t2_frame_decoder decoder;
  uint8_t *buffer; /* the decoder's */
  t2_buf out;      /* one message on its way */
  size_t unsent;   /* bytes given and not consumed */
  int status;      /* client end: of the response */
  int error;       /* what the frames were wrong with */
  bool quiet;      /* t2_channel_close was called */
  bool reaped;
  t2_reapable reapable;
};

static t2_channel *channel_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_channel, leg);
}

static void free_channel(t2_reapable *reapable) {
  t2_channel *channel = T2_CONTAINER_OF(reapable, t2_channel, reapable);
  t2_buf_fini(&channel->out);
  t2_free(channel->proxy->loop->mem, channel->buffer);
  t2_free(channel->proxy->loop->mem, channel);
}

static void reap(t2_channel *channel) {
  if (channel->reaped) return;
  channel->reaped = true;
  t2_loop_reap(channel->proxy->loop, &channel->reapable, free_channel);
}

static int on_frame(uint64_t type, const uint8_t *value, size_t n, void *user) {
  t2_channel *channel = user;
  t2_message message;
  int err = t2_message_decode(type, value, n, &message);
  if (err == T2_ERR_UNSUPPORTED) return 0;
  if (err) return err;
  channel->ops.on_message(channel, &message, channel->user);
  return channel->quiet ? T2_ERR_CANCELLED : 0;
}

/* Client end: the server's answer. */
static int client_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_channel *channel = channel_of(leg);
  if (head->status < 200) return 0;
  channel->status = head->status;
  if (head->status == 200 && !end && channel->ops.on_open) channel->ops.on_open(channel, channel->user);
  return 0;
}

/* Server end: the request that opens it. */
static int server_head(t2_leg *leg, const t2_head *head, bool end) {
  (void)head;
  t2_head answer;
  if (end) return T2_ERR_PROTOCOL;
  t2_head_init(&answer, channel_of(leg)->proxy->loop->mem);
  answer.status = 200;
  t2_exchange_head(leg, &answer, false);
  t2_head_fini(&answer);
  return 0;
}

static int channel_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  t2_channel *channel = channel_of(leg);
  t2_exchange_consumed(leg, n);
  if (channel->quiet || (!leg->upstream && channel->status != 200)) return 0;
  int err = t2_frame_decoder_feed(&channel->decoder, bytes, n);
  if (channel->quiet || !leg->exchange) return 0;
  channel->error = err;
  return err;
}

/* Either side's end is the end of the channel. */
static int channel_end(t2_leg *leg, const t2_fields *trailers) {
  (void)trailers;
  if (leg->upstream) t2_exchange_end(leg, NULL);
  return 0;
}

static void channel_consumed(t2_leg *leg, size_t n) {
  t2_channel *channel = channel_of(leg);
  channel->unsent -= n < channel->unsent ? n : channel->unsent;
}

static void channel_closed(t2_leg *leg, int err) {
  t2_channel *channel = channel_of(leg);
  if (err == 0) err = channel->exchange->error;
  if (channel->error) err = channel->error;
  if (!channel->quiet) {
    int status = channel->exchange->error ? 0 : channel->status;
    channel->quiet = true;
    channel->ops.on_close(channel, err ? err : T2_ERR_CLOSED, status == 200 ? 0 : status, channel->user);
  }
  reap(channel);
}

static const t2_leg_ops client_ops = {
    .name = "channel client",
    .at = T2_AT_LOCAL,
    .head = client_head,
    .data = channel_data,
    .end = channel_end,
    .consumed = channel_consumed,
    .closed = channel_closed,
};
static const t2_leg_ops server_ops = {
    .name = "channel server",
    .at = T2_AT_LOCAL,
    .head = server_head,
    .data = channel_data,
    .end = channel_end,
    .consumed = channel_consumed,
    .closed = channel_closed,
};

static t2_channel *channel_new(t2_proxy *proxy, const t2_leg_ops *leg_ops, const t2_channel_ops *ops,
                               void *user) {
  const t2_allocator *mem = proxy->loop->mem;
  t2_channel *channel = t2_calloc(mem, 1, sizeof(*channel));
  uint8_t *buffer = t2_alloc(mem, T2_MESSAGE_MAX);
  if (!channel || !buffer) {
    t2_free(mem, channel);
    t2_free(mem, buffer);
    return NULL;
  }
  channel->leg.ops = leg_ops;
  channel->proxy = proxy;
  channel->ops = *ops;
  channel->user = user;
  channel->buffer = buffer;
  t2_buf_init(&channel->out, mem);
  t2_frame_decoder_init(&channel->decoder, buffer, T2_MESSAGE_MAX, on_frame, channel);
  t2_frame_decoder_set_filter(&channel->decoder, t2_message_known);
  return channel;
}

int t2_channel_open(t2_channel **out, t2_h2_conn *h2_conn, const t2_head *head, const t2_channel_ops *ops,
                    void *user) {
  *out = NULL;
  t2_leg *up = t2_h2_conn_leg(h2_conn);
  if (!up) return T2_ERR_UNAVAILABLE;
  t2_channel *channel = channel_new(t2_h2_conn_proxy(h2_conn), &client_ops, ops, user);
  if (!channel) return T2_ERR_NOMEM;
  channel->exchange = t2_exchange_new(channel->proxy, &channel->leg, head);
  if (!channel->exchange) {
    free_channel(&channel->reapable);
    return T2_ERR_NOMEM;
  }
  *out = channel;
  t2_exchange_connect(channel->exchange, up, head, false, NULL, 0);
  return 0;
}

int t2_channel_accept(t2_channel **out, const t2_server_request *request, const t2_channel_ops *ops,
                      void *user) {
  *out = NULL;
  if (!request->h2 || request->end) {
    t2_exchange_refuse(request->exchange, t2_problem_of_status(400),
                       "the channel is a request over HTTP/2 with content that stays open");
    return T2_ERR_INVALID;
  }
  t2_channel *channel = channel_new(request->exchange->proxy, &server_ops, ops, user);
  if (!channel) {
    t2_exchange_refuse(request->exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_LOCAL), NULL);
    return T2_ERR_NOMEM;
  }
  *out = channel;
  channel->exchange = request->exchange;
  t2_exchange_connect(request->exchange, &channel->leg, request->head, false, NULL, 0);
  return 0;
}

int t2_channel_send(t2_channel *channel, const t2_message *message) {
  if (channel->quiet || !channel->leg.exchange) return T2_ERR_CLOSED;
  if (channel->unsent > UNSENT_MAX) return T2_ERR_LIMIT;
  t2_buf_reset(&channel->out);
  int err = t2_message_encode(message, &channel->out);
  if (err) return err;
  size_t n = t2_buf_len(&channel->out);
  channel->unsent += n;
  t2_exchange_data(&channel->leg, t2_buf_head(&channel->out), n);
  return channel->leg.exchange ? 0 : T2_ERR_CLOSED;
}

void t2_channel_close(t2_channel *channel) {
  channel->quiet = true;
  if (!channel->leg.exchange) return;
  if (channel->leg.upstream) {
    t2_exchange_end(&channel->leg, NULL);
  } else {
    t2_exchange_fail(&channel->leg, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
    reap(channel);
  }
}
