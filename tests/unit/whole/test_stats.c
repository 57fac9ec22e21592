#include <t2_test_mem.h>

#include "site.h"
#include <signal.h>
#include <string.h>

static t2_entry_stats entry_stats(const site *s) {
  t2_entry_stats stats = {.size = sizeof(stats)};
  t2_entry_get_stats(s->entry, &stats);
  assert_int_equal(stats.size, sizeof(stats));
  return stats;
}

static t2_control_stats control_stats(const site *s) {
  t2_control_stats stats = {.size = sizeof(stats)};
  t2_control_get_stats(s->control, &stats);
  assert_int_equal(stats.size, sizeof(stats));
  return stats;
}

static t2_client_stats client_stats(const site *s) {
  t2_client_stats stats = {.size = sizeof(stats)};
  t2_client_get_stats(s->client, &stats);
  assert_int_equal(stats.size, sizeof(stats));
  return stats;
}

static void test_what_was_served_is_counted_on_both_sides(void **state) {
  site s;
  site_start(&s, NULL);
  assert_int_equal(site_ask(&s, "/", NULL).status, 200);
  assert_int_equal(site_ask(&s, "/", "content").status, 200);
  while (entry_stats(&s).connections || entry_stats(&s).exchanges_active)
    uv_run(&s.loop, UV_RUN_ONCE);
  t2_entry_stats entry = entry_stats(&s);
  assert_int_equal(entry.exchanges, 2);
  assert_int_equal(entry.exchanges_failed + entry.exchanges_refused, 0);
  assert_int_equal(entry.bytes_to_clients, 7);
  assert_int_equal(entry.bytes_from_clients, 2 * 21);
  assert_int_equal(entry.uplinks, 1);
  assert_int_equal(entry.uplinks_total, 1);
  assert_int_equal(entry.sessions, 1);
  assert_int_equal(entry.tcp_connections + entry.udp_flows + entry.udp_datagrams_dropped, 0);
  t2_client_stats client = client_stats(&s);
  assert_int_equal(client.requests, 2);
  assert_int_equal(client.requests_failed + client.active, 0);
  assert_int_equal(client.bytes_to_origin, 7);
  assert_int_equal(client.bytes_from_origin, 2 * 21);
  site_stop(&s);
}

static void test_who_is_refused_is_not_said_to_have_failed(void **state) {
  site s;
  site_start(&s, NULL);
  t2_client_drain(s.client, 0);
  while (entry_stats(&s).uplinks)
    uv_run(&s.loop, UV_RUN_ONCE);
  assert_int_equal(site_ask(&s, "/", NULL).status, 503);
  t2_entry_stats stats = entry_stats(&s);
  assert_int_equal(stats.exchanges, 1);
  assert_int_equal(stats.exchanges_refused, 1);
  assert_int_equal(stats.exchanges_failed, 0);
  assert_int_equal(stats.sessions, 0);
  assert_int_equal(stats.uplinks_total, 1);
  site_stop(&s);
}

static void test_the_control_plane_counts_what_it_knows(void **state) {
  site s;
  site_start(&s, NULL);
  while (control_stats(&s).entry_channels + control_stats(&s).session_channels < 2)
    uv_run(&s.loop, UV_RUN_ONCE);
  t2_control_stats stats = control_stats(&s);
  assert_int_equal(stats.sessions, 1);
  assert_int_equal(stats.entries, 1);
  assert_int_equal(stats.entry_channels, 1);
  assert_int_equal(stats.session_channels, 1);
  assert_int_equal(stats.connections, 2);
  assert_true(stats.requests >= 4);
  assert_int_equal(stats.requests_active, 2);
  assert_int_equal(stats.keys, 1);
  t2_client_drain(s.client, 0); /* its session stays: it was given */
  while (control_stats(&s).session_channels)
    uv_run(&s.loop, UV_RUN_ONCE);
  assert_int_equal(control_stats(&s).entry_channels, 1);
  site_stop(&s);
}

/* Of a caller whose struct is that of an older header. */
static void test_no_more_is_written_than_the_caller_has_room_for(void **state) {
  t2_entry_stats entry;
  t2_control_stats control;
  site s;
  site_start(&s, NULL);
  memset(&entry, 0x5a, sizeof(entry));
  memset(&control, 0x5a, sizeof(control));
  entry.size = offsetof(t2_entry_stats, uplinks);
  control.size = offsetof(t2_control_stats, entries);
  t2_entry_get_stats(s.entry, &entry);
  t2_control_get_stats(s.control, &control);
  assert_int_equal(entry.connections, 0);
  assert_true(entry.uplinks == 0x5a5a5a5a5a5a5a5a);
  assert_int_equal(control.sessions, 1);
  assert_true(control.entries == 0x5a5a5a5a5a5a5a5a);
  site_stop(&s);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_was_served_is_counted_on_both_sides),
      cmocka_unit_test(test_who_is_refused_is_not_said_to_have_failed),
      cmocka_unit_test(test_the_control_plane_counts_what_it_knows),
      cmocka_unit_test(test_no_more_is_written_than_the_caller_has_room_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
