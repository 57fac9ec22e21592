#include "h2_setting.h"

/* Windows when much waits in the process: something else's, as far as these connections are concerned. */

#define MIB    ((size_t)1024 * 1024)
#define WINDOW ((size_t)128 * 1024)
#define SHORT  ((size_t)16 * 1024) /* of a stream, when very much waits */

static void press(setting *s, size_t *elsewhere, size_t bytes) {
  t2_pressure_note(&s->tl.loop->pressure, elsewhere, bytes);
}

/* The server has heard something, and so looks. */
static void nudge(setting *s, size_t i) {
  stub *down = ask(s, &s->pair.client, i, "GET", true);
  stub_answer(up(s, i), 204, 0, true);
  RUN_UNTIL(&s->tl, down->closed);
  run_ms(s, 20);
}

static void test_streams_hold_less_when_much_waits(void **state) {
  setting *s = *state;
  size_t elsewhere = 0;
  s->pair.server.options.h2.stream_window = WINDOW;
  s->ups[1].hold = true;
  open_pair(s);
  press(s, &elsewhere, 8 * MIB);
  nudge(s, 0);
  stub *down = ask(s, &s->pair.client, 1, "POST", false);
  stub_give_bytes(down, 2 * WINDOW);
  stub *u = up(s, 1);
  RUN_UNTIL(&s->tl, u->held == SHORT);
  run_ms(s, 20);
  assert_int_equal(u->held, SHORT);
  press(s, &elsewhere, 0);
  u->hold = false;
  stub_consume(u, u->held);
  RUN_UNTIL(&s->tl, t2_buf_len(&u->body) == 2 * WINDOW);
  stub_end(down);
  RUN_UNTIL(&s->tl, stub_said(u, ";end;"));
  stub_answer(u, 200, 0, true);
  RUN_UNTIL(&s->tl, down->closed);
}

/* What waits in a stream for its peer, and in a connection's output, is told, and taken back in every end. */
static void test_what_waits_is_told(void **state) {
  setting *s = *state;
  const t2_pressure *pressure = &s->tl.loop->pressure;
  s->pair.server.options.h2.stream_window = WINDOW;
  s->ups[0].hold = true;
  open_pair(s);
  stub *down = ask(s, &s->pair.client, 0, "POST", false);
  stub_give_bytes(down, 5 * WINDOW);
  up(s, 0);
  RUN_UNTIL(&s->tl, s->ups[0].held == WINDOW);
  RUN_UNTIL(&s->tl, pressure->held == 4 * WINDOW);
  t2_h2_conn_close(s->pair.client.h2, T2_ERR_CANCELLED);
  RUN_UNTIL(&s->tl, s->pair.client.closed && s->pair.server.closed);
  assert_int_equal(pressure->held, 0);
}

/* A peer that goes on sending and does not acknowledge the smaller windows. */
static void test_a_peer_that_does_not_acknowledge_is_given_up(void **state) {
  setting *s = *state;
  size_t elsewhere = 0;
  s->pair.server.options.settle_timeout_ms = 50;
  open_raw(s, false);
  run_ms(s, 20);
  press(s, &elsewhere, 8 * MIB);
  for (unsigned i = 0; !raw_ended(&s->peer) && i < 1000; i++) {
    uint8_t payload[8] = {0};
    raw_h2_frame(&s->peer, FRAME_PING, 0, 0, payload, sizeof(payload));
    run_ms(s, 10);
  }
  assert_true(raw_ended(&s->peer));
  assert_int_equal(raw_h2_count(&s->peer, FRAME_GOAWAY, 0), 1);
  assert_int_equal(raw_h2_payload(&s->peer, FRAME_GOAWAY, 0, 0)[7], T2_H2_SETTINGS_TIMEOUT);
  raw_close(&s->peer);
  RUN_UNTIL(&s->tl, s->pair.server.closed);
  press(s, &elsewhere, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      h2_test(test_streams_hold_less_when_much_waits),
      h2_test(test_what_waits_is_told),
      h2_test(test_a_peer_that_does_not_acknowledge_is_given_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
