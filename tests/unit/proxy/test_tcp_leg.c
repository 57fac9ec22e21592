#include "fixture.h"

#include <errno.h>
#include <proxy/tcp_leg.h>
#include <unistd.h>

/* A listener with one connection on it: of the public's (accepted), or of the leg's that dials (dialled). */
typedef struct setting {
  test_loop tl;
  t2_test_mem mem;
  t2_proxy proxy;
  t2_listener *listener;
  uint16_t port;
  bool listener_closed;
  t2_tcp_legs legs;
  unsigned gone;
  t2_exchange *exchange;
  stub stub; /* the other leg */
  /* accepted */
  raw public;
  bool accepted;
  /* dialled */
  t2_tcp_leg_options options;
  bool dials;
  test_peer origin;
} setting;

static void on_done(t2_exchange *exchange, void *user) {
  (void)exchange;
  ((setting *)user)->exchange = NULL;
}

static void on_gone(void *user) {
  ((setting *)user)->gone++;
}

static t2_head connect_head(void) {
  t2_head head = test_request("CONNECT", "");
  head.authority = T2_STR("192.0.2.1:2222");
  return head;
}

static void begin(setting *s, t2_leg *down, t2_leg *up) {
  t2_head head = connect_head();
  s->exchange = t2_exchange_new(&s->proxy, down, &head);
  if (!s->exchange) return;
  s->exchange->on_done = on_done;
  s->exchange->user = s;
  t2_exchange_connect(s->exchange, up, &head, false, NULL, 0);
}

static void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  setting *s = user;
  (void)listener;
  if (s->dials) {
    assert_null(s->origin.conn);
    s->origin.conn = conn;
    t2_conn_set_ops(conn, &test_peer_ops, &s->origin);
    return;
  }
  t2_leg *leg = t2_tcp_leg_accepted(&s->legs, conn);
  if (leg) begin(s, leg, &s->stub.leg);
  if (leg && !s->exchange) t2_tcp_leg_drop(leg, T2_ERR_NOMEM);
  s->accepted = true;
}

static bool open_setting(setting *s, const t2_allocator *mem) {
  t2_listener_options listen = {.address = "127.0.0.1:0"};
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  stub_init(&s->stub);
  t2_buf_init(&s->origin.in, NULL);
  t2_tcp_legs_init(&s->legs, s->tl.loop);
  s->legs.on_gone = on_gone;
  s->legs.user = s;
  if (t2_listener_new(&s->listener, s->tl.loop, &listen, on_accept, s, NULL, 0)) return true;
  s->port = t2_listener_port(s->listener);
  s->options.dial = (t2_dial_options){.host = T2_STR("127.0.0.1"), .port = s->port};
  return true;
}

static void on_listener_close(void *user) {
  ((setting *)user)->listener_closed = true;
}

static void close_setting(setting *s) {
  t2_tcp_legs_close(&s->legs);
  assert_int_equal(s->legs.count, 0);
  if (s->listener) {
    t2_listener_close(s->listener, on_listener_close, s);
    RUN_UNTIL(&s->tl, s->listener_closed);
  }
  if (s->origin.conn) t2_conn_close(s->origin.conn, T2_ERR_CANCELLED);
  RUN_UNTIL(&s->tl, !s->origin.conn);
  raw_fini(&s->public, &s->tl);
  assert_null(s->exchange);
  assert_int_equal(s->proxy.active, 0);
  stub_fini(&s->stub);
  t2_buf_fini(&s->origin.in);
  t2_proxy_fini(&s->proxy);
  test_loop_close(&s->tl);
}

static int set_up(void **state) {
  setting *s = calloc(1, sizeof(*s));
  t2_test_mem_init(&s->mem);
  assert_true(open_setting(s, &s->mem.hook) && s->listener);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  setting *s = *state;
  close_setting(s);
  t2_test_mem_check(&s->mem);
  free(s);
  return 0;
}

static void run_a_while(setting *s) {
  for (int i = 0; i < 20; i++)
    test_loop_turn(&s->tl, test_deadline());
}

/* ---- Accepted ---- */

static void accept_one(setting *s) {
  raw_connect(&s->public, &s->tl, s->port);
  RUN_UNTIL(&s->tl, s->accepted);
  assert_string_equal(stub_log(&s->stub), "head CONNECT ;");
}

static void accept_tunnel(setting *s) {
  accept_one(s);
  stub_answer(&s->stub, 200, -1, false);
}

static void test_nothing_is_read_before_it_is_a_tunnel(void **state) {
  setting *s = *state;
  accept_one(s);
  raw_send(&s->public, "early");
  run_a_while(s);
  assert_string_equal(stub_log(&s->stub), "head CONNECT ;");
  stub_answer(&s->stub, 103, -1, false);
  run_a_while(s);
  assert_string_equal(stub_log(&s->stub), "head CONNECT ;");
  stub_answer(&s->stub, 200, -1, false);
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "data 5;"));
}

static void test_bytes_pass_both_ways(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  raw_send(&s->public, "question");
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "data 8;"));
  stub_give(&s->stub, "answer");
  RUN_UNTIL(&s->tl, raw_got(&s->public, "answer") && s->stub.consumed == 6);
}

static void test_each_direction_ends_on_its_own(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  raw_shutdown(&s->public);
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "end;"));
  assert_false(s->stub.closed);
  stub_give(&s->stub, "late");
  stub_end(&s->stub);
  RUN_UNTIL(&s->tl, s->public.eof && s->gone == 1);
  assert_string_equal(raw_text(&s->public), "late");
  assert_string_equal(stub_log(&s->stub), "head CONNECT ;end;closed OK;");
}

static void test_other_direction_may_end_first(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  stub_end(&s->stub);
  RUN_UNTIL(&s->tl, s->public.eof);
  raw_send(&s->public, "still here");
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "data 10;"));
  raw_shutdown(&s->public);
  RUN_UNTIL(&s->tl, s->stub.closed && s->gone == 1);
  assert_int_equal(s->stub.err, 0);
}

static void test_tunnel_whose_answer_is_its_end_is_one_way(void **state) {
  setting *s = *state;
  accept_one(s);
  stub_answer(&s->stub, 200, -1, true);
  RUN_UNTIL(&s->tl, s->public.eof);
  raw_send(&s->public, "one way");
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "data 7;"));
}

static void test_refusal_resets(void **state) {
  setting *s = *state;
  accept_one(s);
  stub_answer(&s->stub, 502, 5, false);
  stub_give(&s->stub, "sorry");
  stub_end(&s->stub);
  RUN_UNTIL(&s->tl, s->public.reset && s->gone == 1);
  assert_string_equal(raw_text(&s->public), "");
}

static void test_failure_resets(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  stub_give(&s->stub, "x");
  stub_fail(&s->stub, T2_ERR_CLOSED, T2_AT_UPLINK);
  RUN_UNTIL(&s->tl, s->public.reset && s->gone == 1);
}

static void test_reset_of_the_peer_fails_the_exchange(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  raw_reset(&s->public);
  RUN_UNTIL(&s->tl, s->stub.closed && s->gone == 1);
  assert_int_not_equal(s->stub.err, 0);
}

static void test_reading_stops_at_the_window(void **state) {
  setting *s = *state;
  s->stub.hold = true;
  accept_tunnel(s);
  raw_send_zeros(&s->public, 1 << 20);
  RUN_UNTIL(&s->tl, s->stub.held > T2_LEG_WINDOW - T2_LOOP_SLAB);
  run_a_while(s);
  assert_true(s->stub.held <= T2_LEG_WINDOW);
  for (size_t taken = 0; taken < 1 << 20;) {
    size_t n = s->stub.held;
    stub_consume(&s->stub, n);
    taken += n;
    if (taken < 1 << 20) RUN_UNTIL(&s->tl, s->stub.held);
  }
  assert_true(s->stub.held_most <= T2_LEG_WINDOW);
}

/* Smaller and larger again while bytes wait: they go on in any case. */
static void test_window_that_changes_leaves_nothing_behind(void **state) {
  enum { SIZE = 1 << 20 };
  setting *s = *state;
  t2_pressure *pressure = &s->tl.loop->pressure;
  size_t elsewhere = 0;
  s->stub.hold = true;
  accept_tunnel(s);
  t2_pressure_note(pressure, &elsewhere, (size_t)8 << 20);
  raw_send_zeros(&s->public, SIZE);
  RUN_UNTIL(&s->tl, s->stub.held > 0);
  run_a_while(s);
  assert_true(s->stub.held <= 8 * 1024);
  unsigned turn = 0;
  for (size_t taken = 0; taken < SIZE; turn++) {
    size_t n = s->stub.held;
    t2_pressure_note(pressure, &elsewhere, turn % 3 ? 0 : (size_t)8 << 20);
    stub_consume(&s->stub, n);
    taken += n;
    if (taken < SIZE) RUN_UNTIL(&s->tl, s->stub.held);
  }
  t2_pressure_note(pressure, &elsewhere, 0);
}

static void test_what_the_peer_does_not_take_is_not_consumed(void **state) {
  setting *s = *state;
  size_t given = 0;
  accept_tunnel(s);
  RUN_UNTIL(&s->tl, s->public.connected);
  raw_read_stop(&s->public);
  do {
    stub_give_bytes(&s->stub, T2_LEG_WINDOW);
    given += T2_LEG_WINDOW;
    run_a_while(s);
  } while (s->stub.consumed == given);
  assert_true(s->stub.consumed < given);
  raw_read_start(&s->public);
  RUN_UNTIL(&s->tl, s->stub.consumed == given && t2_buf_len(&s->public.in) == given);
}

static void test_what_is_left_at_the_end_is_sent_at_the_peers_pace(void **state) {
  setting *s = *state;
  size_t given = 0;
  accept_tunnel(s);
  raw_shutdown(&s->public);
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "end;"));
  raw_read_stop(&s->public);
  do {
    stub_give_bytes(&s->stub, T2_LEG_WINDOW);
    given += T2_LEG_WINDOW;
    run_a_while(s);
  } while (s->stub.consumed == given);
  stub_end(&s->stub);
  assert_true(s->stub.closed);
  run_a_while(s);
  assert_int_equal(s->gone, 0);
  raw_read_start(&s->public);
  RUN_UNTIL(&s->tl, s->public.eof && s->gone == 1);
  assert_int_equal(t2_buf_len(&s->public.in), given);
}

static void test_closing_all_resets_them_and_tells_nobody(void **state) {
  setting *s = *state;
  accept_tunnel(s);
  t2_tcp_legs_close(&s->legs);
  assert_true(s->stub.closed && s->legs.count == 0);
  RUN_UNTIL(&s->tl, s->public.reset);
  assert_int_equal(s->gone, 0);
}

/* ---- Dialled ---- */

static bool dial(setting *s) {
  s->dials = true;
  t2_leg *leg = t2_tcp_leg_dialling(&s->legs, &s->options);
  if (!leg) return false;
  begin(s, &s->stub.leg, leg);
  if (!s->exchange && leg->exchange == NULL && !s->stub.closed) t2_tcp_leg_drop(leg, T2_ERR_NOMEM);
  return s->exchange != NULL;
}

static void dial_tunnel(setting *s) {
  assert_true(dial(s));
  RUN_UNTIL(&s->tl, s->origin.conn && s->stub.status);
  assert_string_equal(stub_log(&s->stub), "head 200;");
}

static void test_connection_is_the_tunnels_acceptance(void **state) {
  setting *s = *state;
  dial_tunnel(s);
  stub_give(&s->stub, "question");
  RUN_UNTIL(&s->tl, test_peer_got(&s->origin, "question") && s->stub.consumed == 8);
  test_peer_send(&s->origin, "answer");
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "data 6;"));
  t2_conn_shutdown(s->origin.conn);
  RUN_UNTIL(&s->tl, stub_said(&s->stub, "end;"));
  stub_give(&s->stub, "!");
  stub_end(&s->stub);
  RUN_UNTIL(&s->tl, s->origin.eof && s->gone == 1);
  assert_true(test_peer_got(&s->origin, "question!"));
  assert_string_equal(stub_log(&s->stub), "head 200;data 6;end;closed OK;");
}

static void test_what_comes_early_waits_for_the_connection(void **state) {
  setting *s = *state;
  assert_true(dial(s));
  stub_give(&s->stub, "early");
  stub_end(&s->stub);
  assert_int_equal(s->stub.consumed, 0);
  RUN_UNTIL(&s->tl, s->origin.eof && s->stub.consumed == 5);
  assert_true(test_peer_got(&s->origin, "early"));
}

static void test_what_comes_early_is_bounded(void **state) {
  setting *s = *state;
  assert_true(dial(s));
  stub_give_bytes(&s->stub, T2_TCP_EARLY_MAX);
  assert_non_null(s->exchange);
  stub_give(&s->stub, "x");
  assert_null(s->exchange);
  assert_int_equal(s->stub.status, 503);
  assert_int_equal(s->gone, 1);
}

static void test_refused_connection_is_a_problem_of_the_dial(void **state) {
  setting *s = *state;
  t2_listener_close(s->listener, on_listener_close, s);
  s->listener = NULL;
  RUN_UNTIL(&s->tl, s->listener_closed);
  assert_true(dial(s));
  RUN_UNTIL(&s->tl, s->stub.closed);
  assert_int_equal(s->stub.status, 502);
  assert_true(stub_has_field(&s->stub, "connection_refused"));
  assert_int_equal(s->gone, 1);
  assert_true(s->legs.failing);
}

static void test_giving_up_while_dialling_leaves_nothing(void **state) {
  setting *s = *state;
  assert_true(dial(s));
  stub_fail(&s->stub, T2_ERR_CANCELLED, T2_AT_LOCAL);
  assert_int_equal(s->gone, 1);
}

static void test_origins_reset_fails_the_exchange(void **state) {
  setting *s = *state;
  dial_tunnel(s);
  t2_conn_reset(s->origin.conn, T2_ERR_CANCELLED);
  RUN_UNTIL(&s->tl, s->stub.closed && s->gone == 1);
  assert_int_not_equal(s->stub.err, 0);
}

static void test_proxy_header_goes_first_and_is_not_of_the_account(void **state) {
  setting *s = *state;
  s->options.proxy_protocol = true;
  assert_true(dial(s));
  stub_give(&s->stub, "hello");
  RUN_UNTIL(&s->tl, t2_buf_len(&s->origin.in) == 16 + 5 && s->stub.consumed == 5);
  assert_memory_equal(t2_buf_head(&s->origin.in), "\r\n\r\n\0\r\nQUIT\n\x21\0\0\0hello", 21);
}

/* ---- Memory ---- */

/* A socket outside of the loop: it may be reset before the loop would have learned that it is connected. */
static int plain_connect(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
  assert_int_equal(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
  return fd;
}

/* Takes what is there; false at the end. */
static bool plain_take(int fd, size_t *got) {
  char bytes[65536];
  ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
  if (n > 0) *got += (size_t)n;
  return n > 0 || (n < 0 && errno == EAGAIN);
}

static void accepted_life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_setting(s, &mem->hook)) {
    if (s->listener) {
      size_t got = 0;
      int fd = plain_connect(s->port);
      RUN_UNTIL(&s->tl, s->accepted || !plain_take(fd, &got) || mem->failed);
      if (s->exchange) stub_answer(&s->stub, 200, -1, false);
      RUN_UNTIL(&s->tl, !s->exchange || stub_said(&s->stub, "data 5;"));
      if (s->exchange) stub_give_bytes(&s->stub, 100000);
      RUN_UNTIL(&s->tl, !s->exchange || !plain_take(fd, &got) || got == 100000);
      assert_true(mem->failed || got == 100000);
      close(fd);
    }
    close_setting(s);
  }
  free(s);
}

static void dialled_life(t2_test_mem *mem, void *user) {
  setting *s = calloc(1, sizeof(*s));
  (void)user;
  if (open_setting(s, &mem->hook)) {
    s->options.proxy_protocol = true;
    if (s->listener && dial(s)) {
      stub_give_bytes(&s->stub, 1000);
      RUN_UNTIL(&s->tl, !s->exchange || t2_buf_len(&s->origin.in) == 1016 ||
                            (s->origin.closed && mem->failed) || mem->failed);
      for (int i = 0; i < 5; i++)
        test_loop_turn(&s->tl, test_deadline());
      assert_true(mem->failed || s->stub.status == 200);
    }
    close_setting(s);
  }
  free(s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(accepted_life, NULL) > 5);
  assert_true(t2_test_mem_fail_each(dialled_life, NULL) > 5);
}

int main(void) {
#define tcp_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      tcp_test(test_nothing_is_read_before_it_is_a_tunnel),
      tcp_test(test_bytes_pass_both_ways),
      tcp_test(test_each_direction_ends_on_its_own),
      tcp_test(test_other_direction_may_end_first),
      tcp_test(test_tunnel_whose_answer_is_its_end_is_one_way),
      tcp_test(test_refusal_resets),
      tcp_test(test_failure_resets),
      tcp_test(test_reset_of_the_peer_fails_the_exchange),
      tcp_test(test_reading_stops_at_the_window),
      tcp_test(test_window_that_changes_leaves_nothing_behind),
      tcp_test(test_what_the_peer_does_not_take_is_not_consumed),
      tcp_test(test_what_is_left_at_the_end_is_sent_at_the_peers_pace),
      tcp_test(test_closing_all_resets_them_and_tells_nobody),
      tcp_test(test_connection_is_the_tunnels_acceptance),
      tcp_test(test_what_comes_early_waits_for_the_connection),
      tcp_test(test_what_comes_early_is_bounded),
      tcp_test(test_refused_connection_is_a_problem_of_the_dial),
      tcp_test(test_giving_up_while_dialling_leaves_nothing),
      tcp_test(test_origins_reset_fails_the_exchange),
      tcp_test(test_proxy_header_goes_first_and_is_not_of_the_account),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
