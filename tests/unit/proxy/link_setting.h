/* What the tests of a link share: a control plane that does what the test says, and the link to it. */
#ifndef T2_PROXY_TEST_LINK_SETTING_H
#define T2_PROXY_TEST_LINK_SETTING_H

#include "fixture.h"

#include <proxy/call.h>
#include <proxy/link.h>

typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_tls *server_tls, *client_tls;
  t2_proxy server_proxy, proxy;
  char address[64];
  t2_server *server;
  bool server_closed;
  /* How it answers. */
  int register_status, channel_status; /* 0: not at all */
  bool deaf;                           /* heartbeats get no lease */
  const char *body;
  t2_fields fields;
  t2_call *held;
  t2_channel *channel;
  int channel_err;
  size_t registrations, channels, beats, deletes;
  uint64_t last_seq, last_active, last_park;
  char authorization[64];
  /* The link. */
  t2_link *link;
  t2_link_options options;
  unsigned lease;
  int register_err, registered_err;
  size_t on_register, on_registered, on_message, on_lost, on_report, on_deleted, on_back;
  bool gone;
  t2_link_loss loss;
  char reason[256];
  const char *close_in; /* the callback that closes it */
} setting;

/* ---- The control plane ---- */

static void on_chan_message(t2_channel *channel, const t2_message *message, void *user) {
  setting *s = user;
  t2_message lease = {.type = T2_MSG_LEASE, .seq = message->seq, .lease_seconds = s->lease};
  if (message->type != T2_MSG_HEARTBEAT) return;
  s->beats++;
  s->last_seq = message->seq;
  s->last_active = message->active;
  s->last_park = message->park;
  if (!s->deaf) (void)t2_channel_send(channel, &lease);
}

static void on_chan_close(t2_channel *channel, int err, int status, void *user) {
  setting *s = user;
  (void)channel, (void)status;
  s->channel = NULL;
  s->channel_err = err;
}

static const t2_channel_ops chan_ops = {.on_message = on_chan_message, .on_close = on_chan_close};

static void answer(setting *s, t2_call *call, int status) {
  if (status == 0)
    s->held = call;
  else
    t2_call_reply(call, status, "application/json", &s->fields, s->body, strlen(s->body));
}

static void on_call(t2_call *call, void *user) {
  setting *s = user;
  const t2_head *head = t2_call_head(call);
  const t2_field *token = t2_fields_get(&head->fields, T2_STR("authorization"));
  snprintf(s->authorization, sizeof(s->authorization), "%.*s", T2_STR_ARG(token->value));
  if (t2_str_eq(head->method, T2_STR("DELETE"))) {
    assert_true(t2_str_eq(head->path, T2_STR("/v1/things/1")));
    s->deletes++;
    answer(s, call, s->register_status ? 204 : 0);
    return;
  }
  assert_true(t2_str_eq(t2_call_body(call), T2_STR("{\"me\":1}")));
  s->registrations++;
  answer(s, call, s->register_status);
}

static void on_request(const t2_server_request *request, void *user) {
  setting *s = user;
  if (!t2_str_ends(request->head->path, T2_STR("/channel"))) {
    t2_call_begin(request, 1000, on_call, s);
    return;
  }
  s->channels++;
  if (s->channel_status == 200)
    (void)t2_channel_accept(&s->channel, request, &chan_ops, s);
  else if (s->channel_status)
    t2_exchange_refuse(request->exchange, t2_problem_of_status(s->channel_status), NULL);
  else
    t2_call_begin(request, 1000, on_call, s); /* waits for an end that does not come */
}

static void open_server(setting *s) {
  char detail[128] = "";
  t2_server_options options;
  t2_server_options_init(&options);
  options.listener.address = s->address;
  options.listener.tls = s->server_tls;
  if (t2_server_new(&s->server, &s->server_proxy, &options, on_request, s, detail, sizeof(detail)))
    fail_msg("%s", detail);
  snprintf(s->address, sizeof(s->address), "%s", t2_server_address(s->server));
  s->server_closed = false;
}

static void on_server_close(void *user) {
  ((setting *)user)->server_closed = true;
}

static void close_server(setting *s) {
  if (s->server) t2_server_close(s->server, on_server_close, s);
  s->server = NULL;
  RUN_UNTIL(&s->tl, s->server_closed);
  if (s->held) t2_call_problem(s->held, t2_problem_of_status(503), NULL);
  s->held = NULL;
}

/* ---- The link's owner ---- */

static void close_link(setting *s) {
  t2_link *link = s->link;
  s->link = NULL;
  t2_link_close(link);
}

static void maybe_close(setting *s, const char *where) {
  assert_false(s->gone);
  if (s->close_in && s->link && strcmp(s->close_in, where) == 0) close_link(s);
}

static int on_register(t2_link *link, t2_buf *body, void *user) {
  setting *s = user;
  (void)link;
  assert_non_null(s->link);
  s->on_register++;
  maybe_close(s, "register");
  return s->register_err ? s->register_err : t2_buf_append_c(body, "{\"me\":1}");
}

static int on_registered(t2_link *link, t2_str body, t2_link_grant *grant, char *detail, size_t size,
                         void *user) {
  setting *s = user;
  (void)link;
  assert_true(t2_str_eq(body, t2_str_c(s->body)));
  s->on_registered++;
  snprintf(grant->channel, sizeof(grant->channel), "/v1/things/1/channel");
  grant->lease_seconds = s->lease;
  if (s->registered_err) snprintf(detail, size, "that makes no sense");
  maybe_close(s, "registered");
  return s->registered_err;
}

static void on_message(t2_link *link, const t2_message *message, void *user) {
  setting *s = user;
  (void)link;
  assert_true(message->type != T2_MSG_LEASE && message->type != T2_MSG_DRAIN && message->type != T2_MSG_PARK);
  s->on_message++;
  maybe_close(s, "message");
}

static void on_lost(t2_link *link, const t2_link_loss *loss, void *user) {
  setting *s = user;
  assert_false(t2_link_is_up(link));
  s->on_lost++;
  s->loss = *loss;
  snprintf(s->reason, sizeof(s->reason), "%s", loss->reason);
  maybe_close(s, "lost");
}

static void on_report(t2_link *link, t2_message *heartbeat, void *user) {
  setting *s = user;
  (void)link;
  s->on_report++;
  heartbeat->active = 42;
  maybe_close(s, "report");
}

static void on_deleted(t2_link *link, void *user) {
  setting *s = user;
  (void)link;
  s->on_deleted++;
  maybe_close(s, "deleted");
}

static void on_back(t2_link *link, void *user) {
  setting *s = user;
  assert_true(t2_link_is_up(link) && !t2_link_is_away(link));
  s->on_back++;
  maybe_close(s, "back");
}

static void on_gone(t2_link *link, void *user) {
  setting *s = user;
  (void)link;
  assert_null(s->link);
  assert_false(s->gone);
  s->gone = true;
}

static const t2_link_ops link_ops = {.on_register = on_register,
                                     .on_registered = on_registered,
                                     .on_message = on_message,
                                     .on_lost = on_lost,
                                     .on_report = on_report,
                                     .on_deleted = on_deleted,
                                     .on_back = on_back,
                                     .on_gone = on_gone};

static void new_link(setting *s) {
  s->gone = false;
  s->options.server = (t2_target){
      .host = T2_STR("127.0.0.1"), .authority = T2_STR("127.0.0.1:1"), .port = test_port(s->address)};
  assert_int_equal(t2_link_new(&s->link, &s->options, &link_ops, s), 0);
}

static int set_up(void **state) {
  static const char *const alpn[] = {"h2", NULL};
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(test_loop_open(&s->tl, &s->mem.hook, NULL));
  s->server_tls = test_server_tls(s->tl.loop, alpn);
  s->client_tls = test_client_tls(s->tl.loop, alpn);
  t2_proxy_init(&s->server_proxy, s->tl.loop, "control");
  t2_proxy_init(&s->proxy, s->tl.loop, "client");
  t2_fields_init(&s->fields, NULL);
  s->register_status = 201;
  s->channel_status = 200;
  s->body = "{\"you\":1}";
  s->lease = 1;
  s->options = (t2_link_options){.proxy = &s->proxy,
                                 .tls = s->client_tls,
                                 .token = "secret-token",
                                 .path = "/v1/things",
                                 .what = "thing",
                                 .retry_min_ms = 1,
                                 .retry_max_ms = 5};
  snprintf(s->address, sizeof(s->address), "127.0.0.1:0");
  open_server(s);
  new_link(s);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  if (s->link) close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  close_server(s);
  assert_int_equal(s->proxy.active, 0);
  assert_int_equal(s->server_proxy.active, 0);
  t2_proxy_fini(&s->proxy);
  t2_proxy_fini(&s->server_proxy);
  t2_fields_fini(&s->fields);
  t2_tls_unref(s->server_tls);
  t2_tls_unref(s->client_tls);
  test_loop_close(&s->tl);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

__attribute__((unused)) static void start_up(setting *s) {
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->channel && s->beats);
  assert_true(t2_link_is_up(s->link));
}

__attribute__((unused)) static void expect_lost(setting *s, int err, int status, const char *reason) {
  RUN_UNTIL(&s->tl, s->on_lost);
  assert_int_equal(s->loss.err, err);
  assert_int_equal(s->loss.status, status);
  if (!strstr(s->reason, reason)) fail_msg("\"%s\" does not say \"%s\"", s->reason, reason);
}

#define link_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
