#include <t2_test_mem.h>

#include "site.h"
#include <signal.h>

/* Every allocation that entry and client make for a request on a new connection fails in turn: the asker gets
 * an answer that says so, or sees the connection end; and the next request is answered. */
static void fail_each(site *s, t2_test_mem *mem, const char *content) {
  for (size_t n = 1;; n++) {
    site_heal(s);
    t2_test_mem_fail(mem, n, false);
    answer got = site_ask(s, "/life", content);
    bool failed = mem->failed;
    t2_test_mem_fail(mem, 0, false);
    if (got.status == 200) assert_true(!got.whole || got.size == 21);
    if (got.status != 0 && got.status != 200) assert_true(got.status >= 500 && got.status <= 504);
    assert_false(s->client_ended);
    if (!failed) {
      assert_int_equal(got.status, 200);
      print_message("%zu allocations\n", n - 1);
      return;
    }
  }
}

static void test_each_allocation_of_a_request_may_fail(void **state) {
  t2_test_mem mem;
  site s;
  t2_test_mem_init(&mem);
  site_start(&s, &mem.hook);
  fail_each(&s, &mem, NULL);
  fail_each(&s, &mem, "some content");
  site_stop(&s);
  t2_test_mem_check(&mem);
}

static void assert_stats(const site *s) {
  t2_entry_stats entry = {.size = sizeof(entry)};
  t2_client_stats client = {.size = sizeof(client)};
  t2_entry_get_stats(s->entry, &entry);
  t2_client_get_stats(s->client, &client);
  assert_int_equal(entry.exchanges, 20);
  assert_int_equal(entry.exchanges_active, 0);
  assert_int_equal(entry.uplinks, 1);
  assert_int_equal(entry.bytes_to_clients, 10);
  assert_int_equal(client.requests, 20);
  assert_int_equal(client.bytes_from_origin, entry.bytes_from_clients);
  assert_int_equal(entry.http2_given_up + client.http2_given_up, 0);
  assert_int_equal(entry.udp_datagrams_dropped + client.datagrams_dropped, 0);
}

static void test_everything_is_given_back(void **state) {
  t2_test_mem mem;
  site s;
  t2_test_mem_init(&mem);
  site_start(&s, &mem.hook);
  for (int i = 0; i < 20; i++)
    assert_int_equal(site_ask(&s, "/", i % 2 ? "x" : NULL).status, 200);
  assert_int_equal(s.requests, 20);
  assert_stats(&s);
  site_stop(&s);
  t2_test_mem_check(&mem);
}

/* What fails while nobody asks: uplinks and the link to the control plane come back. */
static void test_closing_in_the_middle_of_things_leaves_nothing(void **state) {
  for (size_t n = 0; n < 40; n++) {
    t2_test_mem mem;
    site s;
    t2_test_mem_init(&mem);
    site_start(&s, &mem.hook);
    for (size_t i = 0; i < n; i++)
      uv_run(&s.loop, UV_RUN_NOWAIT);
    site_stop(&s);
    t2_test_mem_check(&mem);
    n += 7;
  }
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_everything_is_given_back),
      cmocka_unit_test(test_closing_in_the_middle_of_things_leaves_nothing),
      cmocka_unit_test(test_each_allocation_of_a_request_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
