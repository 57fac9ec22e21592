#include "fixture.h"

#include <proxy/call.h>
#include <proxy/link.h>

/* A control plane that does what the test says, and the link to it. */
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
  uint64_t last_seq, last_active;
  char authorization[64];
  /* The link. */
  t2_link *link;
  t2_link_options options;
  unsigned lease;
  int register_err, registered_err;
  size_t on_register, on_registered, on_message, on_lost, on_report, on_deleted;
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
  assert_true(message->type != T2_MSG_LEASE && message->type != T2_MSG_DRAIN);
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

static void start_up(setting *s) {
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->channel && s->beats);
  assert_true(t2_link_is_up(s->link));
}

static void expect_lost(setting *s, int err, int status, const char *reason) {
  RUN_UNTIL(&s->tl, s->on_lost);
  assert_int_equal(s->loss.err, err);
  assert_int_equal(s->loss.status, status);
  if (!strstr(s->reason, reason)) fail_msg("\"%s\" does not say \"%s\"", s->reason, reason);
}

/* ---- Up ---- */

static void test_it_registers_and_reports(void **state) {
  setting *s = *state;
  assert_false(t2_link_is_up(s->link));
  start_up(s);
  assert_int_equal(s->registrations, 1);
  assert_int_equal(s->on_registered, 1);
  assert_string_equal(s->authorization, "Bearer secret-token");
  assert_int_equal(s->last_active, 42);
  RUN_UNTIL(&s->tl, s->beats == 3); /* each third of a lease */
  assert_int_equal(s->last_seq, 3);
  assert_int_equal(s->on_lost, 0);
}

static void test_it_registers_once_more_when_asked_to(void **state) {
  setting *s = *state;
  t2_link_register(s->link); /* not up: nothing */
  start_up(s);
  t2_link_register(s->link);
  assert_true(t2_link_registering(s->link));
  t2_link_register(s->link); /* it is on its way */
  RUN_UNTIL(&s->tl, s->on_registered == 2);
  assert_false(t2_link_registering(s->link));
  assert_int_equal(s->registrations, 2);
  assert_int_equal(s->channels, 1);
}

static void test_messages_reach_the_owner(void **state) {
  setting *s = *state;
  t2_message message = {.type = T2_MSG_REVOKE, .session = T2_STR("one")};
  start_up(s);
  assert_int_equal(t2_channel_send(s->channel, &message), 0);
  RUN_UNTIL(&s->tl, s->on_message == 1);
}

static void test_delete_is_answered(void **state) {
  setting *s = *state;
  assert_false(t2_link_delete(s->link, "/v1/things/1", 1000));
  start_up(s);
  assert_true(t2_link_delete(s->link, "/v1/things/1", 1000));
  RUN_UNTIL(&s->tl, s->on_deleted == 1);
  assert_int_equal(s->deletes, 1);
}

static void test_delete_has_its_time(void **state) {
  setting *s = *state;
  start_up(s);
  s->register_status = 0;
  t2_link_register(s->link); /* what is under way is given up for it */
  RUN_UNTIL(&s->tl, s->held);
  assert_true(t2_link_delete(s->link, "/v1/things/1", 20));
  t2_call_problem(s->held, t2_problem_of_status(503), NULL);
  s->held = NULL;
  RUN_UNTIL(&s->tl, s->on_deleted == 1);
  assert_int_equal(s->on_registered, 1);
  assert_int_equal(s->on_lost, 0);
}

static void test_link_lost_during_a_delete_is_lost(void **state) {
  setting *s = *state;
  start_up(s);
  s->register_status = 0;
  assert_true(t2_link_delete(s->link, "/v1/things/1", 5000));
  RUN_UNTIL(&s->tl, s->held);
  t2_channel_close(s->channel);
  s->channel = NULL;
  RUN_UNTIL(&s->tl, s->on_lost);
  assert_int_equal(s->on_deleted, 0);
}

/* ---- Lost ---- */

static void test_refusal_says_why_and_when_again(void **state) {
  setting *s = *state;
  s->register_status = 401;
  s->body = "{\"title\":\"No\",\"detail\":\"it is unknown\"}";
  t2_fields_add(&s->fields, T2_STR("retry-after"), T2_STR("7"));
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_AUTH, 401, "the control plane did not accept the token (401): it is unknown");
  assert_true(s->loss.delay_ms == 7000 && !s->loss.was_up);
}

static void test_refusals_by_their_status(void **state) {
  setting *s = *state;
  s->register_status = 409;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_CONFLICT, 409, "refused the thing (409)");
  s->register_status = 503;
  s->on_lost = 0;
  expect_lost(s, T2_ERR_UNAVAILABLE, 503, "(503)");
}

static void test_answer_that_makes_no_sense_is_lost(void **state) {
  setting *s = *state;
  s->registered_err = T2_ERR_PROTOCOL;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_PROTOCOL, 0, "that makes no sense");
  assert_false(s->loss.was_up);
}

static void test_registration_that_cannot_be_made_is_lost(void **state) {
  setting *s = *state;
  s->register_err = T2_ERR_NOMEM;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_NOMEM, 0, "");
  assert_int_equal(s->registrations, 0);
}

static void test_refused_channel_is_lost(void **state) {
  setting *s = *state;
  s->channel_status = 403;
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_CLOSED, 403, "refused the channel with 403");
  assert_true(s->loss.was_up);
}

static void test_drain_message_is_lost(void **state) {
  setting *s = *state;
  t2_message message = {.type = T2_MSG_DRAIN};
  start_up(s);
  assert_int_equal(t2_channel_send(s->channel, &message), 0);
  expect_lost(s, T2_ERR_UNAVAILABLE, 0, "draining");
  assert_int_equal(s->on_message, 0);
}

static void test_goaway_is_lost(void **state) {
  setting *s = *state;
  start_up(s);
  t2_server_drain(s->server);
  expect_lost(s, T2_ERR_UNAVAILABLE, 0, "going away");
}

static void test_unanswered_heartbeats_are_lost(void **state) {
  setting *s = *state;
  s->deaf = true;
  start_up(s);
  expect_lost(s, T2_ERR_TIMEOUT, 0, "heartbeats");
  assert_int_equal(s->beats, 2);
}

static void test_whoever_comes_back_is_registered_with_again(void **state) {
  setting *s = *state;
  start_up(s);
  close_server(s);
  RUN_UNTIL(&s->tl, s->on_lost >= 3); /* it tries */
  assert_int_equal(s->loss.err, T2_ERR_REFUSED);
  assert_true(s->loss.delay_ms <= 5);
  open_server(s);
  s->beats = 0;
  RUN_UNTIL(&s->tl, s->channel && s->beats);
  assert_int_equal(s->registrations, 2);
  assert_true(t2_link_is_up(s->link));
}

static void test_it_watches_without_a_registration_and_registers_again(void **state) {
  setting *s = *state;
  t2_message message = {.type = T2_MSG_REVOKE, .session = T2_STR("one")};
  start_up(s);
  t2_link_watch(s->link, "/v1/watch/channel");
  RUN_UNTIL(&s->tl, s->channels == 2 && s->channel && s->beats >= 2);
  assert_int_equal(t2_channel_send(s->channel, &message), 0);
  RUN_UNTIL(&s->tl, s->on_message == 1);
  close_server(s);
  open_server(s);
  RUN_UNTIL(&s->tl, s->channels == 3 && s->channel); /* it comes back */
  assert_int_equal(s->registrations, 1);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->registrations == 2 && s->channels == 4 && s->channel);
  assert_int_equal(s->on_lost, 0);
  t2_link_watch(s->link, "/v1/watch/channel");
  t2_link_start(s->link); /* at once */
  RUN_UNTIL(&s->tl, s->registrations == 3 && s->channels == 5);
  assert_int_equal(s->on_lost, 0);
}

static void test_peer_without_http2_is_lost(void **state) {
  setting *s = *state;
  t2_tls *other = test_client_tls(s->tl.loop, NULL);
  close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  s->options.tls = other; /* it does not ask for any */
  new_link(s);
  t2_link_start(s->link);
  expect_lost(s, T2_ERR_PROTOCOL, 0, "does not speak HTTP/2");
  t2_tls_unref(other);
}

/* ---- Closing ---- */

static void expect_gone(setting *s) {
  size_t lost = s->on_lost, reports = s->on_report, asked = s->on_register;
  if (s->link) close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  assert_int_equal(s->on_lost, lost);
  assert_int_equal(s->on_report, reports);
  assert_int_equal(s->on_register, asked);
}

static void test_it_closes_before_it_is_up(void **state) {
  setting *s = *state;
  expect_gone(s); /* IDLE */
  new_link(s);
  t2_link_start(s->link);
  expect_gone(s); /* DIALLING */
  s->register_status = 0;
  new_link(s);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->held);
  assert_true(t2_link_registering(s->link));
  expect_gone(s); /* REGISTERING */
  t2_call_problem(s->held, t2_problem_of_status(503), NULL);
  s->held = NULL;
  s->register_status = 201;
  s->channel_status = 0;
  new_link(s);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->channels);
  expect_gone(s); /* OPENING */
}

static void test_it_takes_leave_when_it_is_up(void **state) {
  setting *s = *state;
  start_up(s);
  expect_gone(s);
  RUN_UNTIL(&s->tl, !s->channel);
  assert_int_equal(s->channel_err, T2_ERR_CANCELLED); /* and so its lease is not waited for */
}

static void test_it_closes_when_it_is_lost(void **state) {
  setting *s = *state;
  s->options.retry_min_ms = s->options.retry_max_ms = 60000;
  close_link(s);
  RUN_UNTIL(&s->tl, s->gone);
  new_link(s);
  start_up(s);
  t2_channel_close(s->channel);
  s->channel = NULL;
  RUN_UNTIL(&s->tl, !t2_link_is_up(s->link) || s->on_lost);
  expect_gone(s); /* ENDING, or WAITING */
  s->on_lost = 0;
  s->channel_status = 500;
  new_link(s);
  t2_link_start(s->link);
  RUN_UNTIL(&s->tl, s->on_lost);
  expect_gone(s); /* WAITING */
}

/* Whatever is under way when it happens. */
static void test_it_may_be_closed_within_each_callback(void **state) {
  static const char *const callbacks[] = {"register", "registered", "report", "message", "lost", "deleted"};
  setting *s = *state;
  t2_message revoke = {.type = T2_MSG_REVOKE, .session = T2_STR("one")};
  for (size_t i = 0; i < T2_COUNT_OF(callbacks); i++) {
    if (i) new_link(s);
    s->close_in = callbacks[i];
    s->beats = 0;
    t2_link_start(s->link);
    if (i >= 3) {
      RUN_UNTIL(&s->tl, s->channel && s->beats);
      if (i == 3) assert_int_equal(t2_channel_send(s->channel, &revoke), 0);
      if (i == 4) {
        t2_channel_close(s->channel);
        s->channel = NULL;
      }
      if (i == 5) assert_true(t2_link_delete(s->link, "/v1/things/1", 1000));
    }
    RUN_UNTIL(&s->tl, s->gone);
    RUN_UNTIL(&s->tl, !s->channel);
  }
}

/* A control plane that does not let it go. */
static void test_parting_has_its_time(void **state) {
  setting *s = *state;
  start_up(s);
  s->register_status = 0;
  t2_link_register(s->link);
  RUN_UNTIL(&s->tl, s->held);
  uint64_t begun = uv_now(&s->tl.uv);
  expect_gone(s);
  assert_true(uv_now(&s->tl.uv) - begun < 3000);
}

#define link_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      link_test(test_it_registers_and_reports),
      link_test(test_it_registers_once_more_when_asked_to),
      link_test(test_messages_reach_the_owner),
      link_test(test_delete_is_answered),
      link_test(test_delete_has_its_time),
      link_test(test_link_lost_during_a_delete_is_lost),
      link_test(test_refusal_says_why_and_when_again),
      link_test(test_refusals_by_their_status),
      link_test(test_answer_that_makes_no_sense_is_lost),
      link_test(test_registration_that_cannot_be_made_is_lost),
      link_test(test_refused_channel_is_lost),
      link_test(test_drain_message_is_lost),
      link_test(test_goaway_is_lost),
      link_test(test_unanswered_heartbeats_are_lost),
      link_test(test_whoever_comes_back_is_registered_with_again),
      link_test(test_it_watches_without_a_registration_and_registers_again),
      link_test(test_peer_without_http2_is_lost),
      link_test(test_it_closes_before_it_is_up),
      link_test(test_it_takes_leave_when_it_is_up),
      link_test(test_it_closes_when_it_is_lost),
      link_test(test_it_may_be_closed_within_each_callback),
      link_test(test_parting_has_its_time),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
