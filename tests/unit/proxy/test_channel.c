#include "h2_setting.h"

#include <proxy/channel.h>

/* One end of a channel, and what it saw. */
typedef struct chan {
  t2_channel *channel; /* NULL: not there any more */
  bool opened, closed, close_at_message;
  int err, status, accept_err;
  size_t messages;
  t2_message last; /* without its texts */
  char text[64];
} chan;

static chan client, server;
static int refuse_with;

static void on_chan_open(t2_channel *channel, void *user) {
  chan *c = user;
  assert_ptr_equal(c->channel, channel);
  c->opened = true;
}

static void on_chan_message(t2_channel *channel, const t2_message *message, void *user) {
  chan *c = user;
  assert_ptr_equal(c->channel, channel);
  assert_false(c->closed);
  c->messages++;
  c->last = *message;
  snprintf(c->text, sizeof(c->text), "%.*s", T2_STR_ARG(message->reason));
  if (!c->close_at_message) return;
  c->channel = NULL;
  t2_channel_close(channel);
}

static void on_chan_close(t2_channel *channel, int err, int status, void *user) {
  chan *c = user;
  assert_false(c->closed);
  assert_true(c->channel == channel || !c->channel);
  c->closed = true;
  c->channel = NULL;
  c->err = err;
  c->status = status;
}

static const t2_channel_ops ops = {
    .on_open = on_chan_open, .on_message = on_chan_message, .on_close = on_chan_close};

static void accept_channel(setting *s, t2_exchange *exchange, t2_head *head, bool end) {
  t2_server_request request = {.exchange = exchange, .head = head, .end = end, .h2 = s->pair.server.h2};
  if (refuse_with)
    t2_exchange_refuse(exchange, t2_problem_of_status(refuse_with), NULL);
  else
    server.accept_err = t2_channel_accept(&server.channel, &request, &ops, &server);
}

static void begin(setting *s) {
  memset(&client, 0, sizeof(client));
  memset(&server, 0, sizeof(server));
  refuse_with = 0;
  s->on_request = accept_channel;
}

static int open_client(setting *s) {
  t2_head head = test_request("POST", "/v1/x/channel");
  return t2_channel_open(&client.channel, s->pair.client.h2, &head, &ops, &client);
}

static void open_both(setting *s) {
  begin(s);
  open_pair(s);
  assert_int_equal(open_client(s), 0);
  RUN_UNTIL(&s->tl, client.opened && server.channel);
}

static t2_message beat_of(uint64_t seq) {
  return (t2_message){.type = T2_MSG_HEARTBEAT, .seq = seq};
}

static t2_message drain_of(const char *reason) {
  return (t2_message){.type = T2_MSG_DRAIN, .reason = t2_str_c(reason)};
}

/* ---- Messages ---- */

static void test_messages_pass_both_ways(void **state) {
  setting *s = *state;
  t2_message up_message = beat_of(7), down_message = drain_of("for the night");
  open_both(s);
  for (int i = 0; i < 3; i++)
    assert_int_equal(t2_channel_send(client.channel, &up_message), 0);
  assert_int_equal(t2_channel_send(server.channel, &down_message), 0);
  RUN_UNTIL(&s->tl, server.messages == 3 && client.messages == 1);
  assert_int_equal(server.last.seq, 7);
  assert_string_equal(client.text, "for the night");
  assert_false(client.closed || server.closed);
}

static void test_message_past_the_bound_is_not_sent(void **state) {
  setting *s = *state;
  char jwks[T2_MESSAGE_MAX];
  memset(jwks, 'k', sizeof(jwks));
  t2_message message = {.type = T2_MSG_KEYS, .jwks = {jwks, sizeof(jwks)}};
  open_both(s);
  assert_int_equal(t2_channel_send(server.channel, &message), T2_ERR_LIMIT);
  while (t2_channel_send(server.channel, &message))
    message.jwks.n--;
  assert_true(message.jwks.n > T2_MESSAGE_MAX - 32);
  RUN_UNTIL(&s->tl, client.messages == 1); /* the longest there is passes */
  assert_false(client.closed);
}

/* ---- Opening ---- */

static void test_refused_channel_says_with_what(void **state) {
  setting *s = *state;
  begin(s);
  refuse_with = 401;
  open_pair(s);
  assert_int_equal(open_client(s), 0);
  RUN_UNTIL(&s->tl, client.closed);
  assert_int_equal(client.status, 401);
  assert_int_equal(client.err, T2_ERR_CLOSED);
  assert_false(client.opened);
}

static void test_only_an_open_request_by_http2_is_a_channel(void **state) {
  setting *s = *state;
  begin(s);
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "POST", true);
  RUN_UNTIL(&s->tl, down->closed);
  assert_int_equal(down->status, 400);
  assert_int_equal(server.accept_err, T2_ERR_INVALID);
  assert_null(server.channel);
  t2_head head = test_request("POST", "/v1/x/channel");
  t2_server_request request = {.exchange = t2_exchange_new(&s->proxy, &s->downs[1].leg, &head),
                               .head = &head};
  assert_int_equal(t2_channel_accept(&server.channel, &request, &ops, &server), T2_ERR_INVALID);
  assert_int_equal(s->downs[1].status, 400);
}

static void test_no_capacity_is_said_at_once(void **state) {
  setting *s = *state;
  begin(s);
  s->pair.server.options.h2.concurrent_max = 1;
  open_pair(s);
  assert_int_equal(open_client(s), 0);
  chan first = client;
  assert_int_equal(open_client(s), T2_ERR_UNAVAILABLE);
  assert_null(client.channel);
  client = first;
}

/* ---- Frames that are wrong: the client end is a leg that sends bytes ---- */

static stub *open_raw_channel(setting *s) {
  begin(s);
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "POST", false);
  RUN_UNTIL(&s->tl, down->status == 200 && server.channel);
  return down;
}

static void give_frame(stub *down, uint64_t type, size_t length, size_t given) {
  uint8_t head[2 * T2_VARINT_SIZE_MAX];
  int n = t2_varint_encode(type, head, sizeof(head));
  n += t2_varint_encode(length, head + n, sizeof(head) - (size_t)n);
  t2_exchange_data(&down->leg, head, (size_t)n);
  stub_give_bytes(down, given);
}

static void test_unknown_frames_are_passed_over_however_long(void **state) {
  setting *s = *state;
  t2_buf out;
  t2_message message = beat_of(1);
  stub *down = open_raw_channel(s);
  give_frame(down, 0x1234, 100000, 100000);
  t2_buf_init(&out, NULL);
  assert_int_equal(t2_message_encode(&message, &out), 0);
  t2_exchange_data(&down->leg, t2_buf_head(&out), t2_buf_len(&out));
  t2_buf_fini(&out);
  RUN_UNTIL(&s->tl, server.messages == 1);
  assert_false(server.closed);
}

static void test_frame_too_long_ends_the_channel(void **state) {
  setting *s = *state;
  stub *down = open_raw_channel(s);
  give_frame(down, T2_MSG_KEYS, T2_MESSAGE_MAX, 10);
  RUN_UNTIL(&s->tl, server.closed && down->closed);
  assert_int_equal(server.err, T2_ERR_LIMIT);
  assert_int_equal(down->err, T2_ERR_CANCELLED);
}

static void test_malformed_frame_ends_the_channel(void **state) {
  setting *s = *state;
  stub *down = open_raw_channel(s);
  give_frame(down, T2_MSG_HEARTBEAT, 4, 4); /* a field of key 0 and length 0, twice, and no seq */
  RUN_UNTIL(&s->tl, server.closed && down->closed);
  assert_int_equal(server.err, T2_ERR_PROTOCOL);
  assert_int_equal(server.messages, 0);
}

static void send_garbage(stub *u) {
  stub_answer(u, 200, -1, false);
  give_frame(u, T2_MSG_LEASE, 4, 4);
}

static void test_malformed_frame_of_the_server_ends_it_too(void **state) {
  setting *s = *state;
  begin(s);
  s->on_request = NULL;
  s->ups[0].on_head = send_garbage;
  open_pair(s);
  assert_int_equal(open_client(s), 0);
  RUN_UNTIL(&s->tl, client.closed && s->ups[0].closed);
  assert_int_equal(client.err, T2_ERR_PROTOCOL);
  assert_int_equal(client.status, 0);
}

static void test_content_of_a_refusal_is_not_read_as_frames(void **state) {
  setting *s = *state;
  begin(s);
  s->on_request = NULL;
  open_pair(s);
  assert_int_equal(open_client(s), 0);
  stub *u = up(s, 0);
  stub_answer(u, 404, -1, false);
  give_frame(u, T2_MSG_LEASE, 4, 4);
  stub_end(u);
  RUN_UNTIL(&s->tl, client.closed);
  assert_int_equal(client.status, 404);
}

/* ---- A peer that does not read ---- */

static void test_what_a_slow_peer_lets_pile_up_is_bounded(void **state) {
  setting *s = *state;
  char reason[8000];
  size_t sent = 0;
  memset(reason, 'r', sizeof(reason) - 1);
  reason[sizeof(reason) - 1] = '\0';
  t2_message message = drain_of(reason);
  s->pair.client.options.h2.stream_window = 65535;
  s->downs[0].hold = true;
  stub *down = open_raw_channel(s);
  int err;
  while ((err = t2_channel_send(server.channel, &message)) == 0)
    sent++;
  assert_int_equal(err, T2_ERR_LIMIT);
  assert_true(sent * sizeof(reason) > 256 * 1024 && sent * sizeof(reason) < 256 * 1024 + 2 * sizeof(reason));
  assert_false(server.closed); /* that is the owner's business */
  down->hold = false;
  RUN_UNTIL(&s->tl, (stub_consume(down, down->held), t2_channel_send(server.channel, &message) == 0));
}

/* ---- The end ---- */

static void test_client_that_closes_cancels(void **state) {
  setting *s = *state;
  t2_message message = beat_of(1);
  open_both(s);
  t2_channel *channel = client.channel;
  t2_channel_close(channel);
  assert_int_equal(t2_channel_send(channel, &message), T2_ERR_CLOSED);
  RUN_UNTIL(&s->tl, server.closed);
  assert_int_equal(server.err, T2_ERR_CANCELLED);
  assert_false(client.closed);
}

static void test_server_that_closes_ends_it_in_order(void **state) {
  setting *s = *state;
  t2_message message = drain_of("bye");
  open_both(s);
  assert_int_equal(t2_channel_send(server.channel, &message), 0);
  t2_channel *channel = server.channel;
  t2_channel_close(channel);
  t2_channel_close(channel);
  assert_int_equal(t2_channel_send(channel, &message), T2_ERR_CLOSED);
  RUN_UNTIL(&s->tl, client.closed);
  assert_string_equal(client.text, "bye"); /* what was sent before comes first */
  assert_int_equal(client.err, T2_ERR_CLOSED);
  assert_int_equal(client.status, 0);
  assert_false(server.closed);
}

static void test_either_end_may_close_within_a_message(void **state) {
  setting *s = *state;
  t2_message message = beat_of(1);
  open_both(s);
  server.close_at_message = true;
  for (int i = 0; i < 3; i++)
    assert_int_equal(t2_channel_send(client.channel, &message), 0);
  RUN_UNTIL(&s->tl, client.closed);
  assert_int_equal(server.messages, 1);
  begin(s);
  assert_int_equal(open_client(s), 0);
  RUN_UNTIL(&s->tl, client.opened && server.channel);
  client.close_at_message = true;
  for (int i = 0; i < 3; i++)
    assert_int_equal(t2_channel_send(server.channel, &message), 0);
  RUN_UNTIL(&s->tl, server.closed);
  assert_int_equal(client.messages, 1);
  assert_false(client.closed);
}

static void test_leg_that_ends_its_side_ends_the_channel(void **state) {
  setting *s = *state;
  stub *down = open_raw_channel(s);
  stub_end(down);
  RUN_UNTIL(&s->tl, server.closed && down->closed);
  assert_int_equal(server.err, T2_ERR_CLOSED);
  assert_int_equal(down->err, 0);
}

static void test_lost_connection_closes_both_ends(void **state) {
  setting *s = *state;
  open_both(s);
  t2_h2_conn_close(s->pair.server.h2, T2_ERR_TIMEOUT);
  RUN_UNTIL(&s->tl, client.closed && server.closed);
  assert_int_equal(client.err, T2_ERR_CLOSED);
  assert_int_equal(client.status, 0);
  assert_int_equal(server.err, T2_ERR_TIMEOUT);
}

/* ---- Memory ---- */

static void life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  t2_message up_message = beat_of(1), down_message = drain_of("bye");
  (void)user;
  if (open_setting(s, &mem->hook)) {
    begin(s);
    if (h2_pair_open(&s->pair) && open_client(s) == 0) {
      uint64_t begun = uv_now(&s->tl.uv);
      RUN_UNTIL(&s->tl, client.opened || client.closed || uv_now(&s->tl.uv) > begun + 100);
      if (client.channel) (void)t2_channel_send(client.channel, &up_message);
      if (server.channel) (void)t2_channel_send(server.channel, &down_message);
      begun = uv_now(&s->tl.uv);
      RUN_UNTIL(&s->tl, (client.messages && server.messages) || client.closed || server.closed ||
                            uv_now(&s->tl.uv) > begun + 100);
      assert_true(mem->failed || (client.messages && server.messages));
    }
    close_setting(s);
    assert_true(client.closed || !client.channel);
    assert_true(server.closed || !server.channel);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(life, NULL) > 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h2_test(test_messages_pass_both_ways),
      h2_test(test_message_past_the_bound_is_not_sent),
      h2_test(test_refused_channel_says_with_what),
      h2_test(test_only_an_open_request_by_http2_is_a_channel),
      h2_test(test_no_capacity_is_said_at_once),
      h2_test(test_unknown_frames_are_passed_over_however_long),
      h2_test(test_frame_too_long_ends_the_channel),
      h2_test(test_malformed_frame_ends_the_channel),
      h2_test(test_malformed_frame_of_the_server_ends_it_too),
      h2_test(test_content_of_a_refusal_is_not_read_as_frames),
      h2_test(test_what_a_slow_peer_lets_pile_up_is_bounded),
      h2_test(test_client_that_closes_cancels),
      h2_test(test_server_that_closes_ends_it_in_order),
      h2_test(test_either_end_may_close_within_a_message),
      h2_test(test_leg_that_ends_its_side_ends_the_channel),
      h2_test(test_lost_connection_closes_both_ends),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
