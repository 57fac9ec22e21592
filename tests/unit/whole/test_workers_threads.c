#include <t2_test_mem.h>

#include "site.h"
#include <signal.h>
#include <string.h>
#include <t2_test_shared_mem.h>

/* Objects that are spread over several threads: run under ThreadSanitizer too. */

enum { WORKERS = 3, REQUESTS = 60 };

static t2_client_stats client_stats(const site *s) {
  t2_client_stats stats = {.size = sizeof(stats)};
  t2_client_get_stats(s->client, &stats);
  return stats;
}

static void test_a_client_of_several_workers_answers_and_counts_all(void **state) {
  site s;
  site_start_with(&s, NULL, &(site_options){.client_workers = WORKERS});
  while (client_stats(&s).uplinks < WORKERS)
    uv_run(&s.loop, UV_RUN_ONCE);
  for (int i = 0; i < REQUESTS; i++)
    assert_int_equal(site_ask(&s, "/", i % 3 ? NULL : "content").status, 200);
  while (client_stats(&s).requests < REQUESTS || client_stats(&s).active)
    uv_run(&s.loop, UV_RUN_NOWAIT);
  assert_int_equal(client_stats(&s).requests, REQUESTS);
  assert_int_equal(client_stats(&s).requests_failed, 0);
  assert_int_equal(client_stats(&s).bytes_to_origin, REQUESTS / 3 * strlen("content"));
  site_stop(&s);
}

static void test_a_client_of_several_workers_drains(void **state) {
  site s;
  site_start_with(&s, NULL, &(site_options){.client_workers = WORKERS});
  assert_int_equal(site_ask(&s, "/", NULL).status, 200);
  t2_client_drain(s.client, 5000);
  while (!s.client_ended)
    uv_run(&s.loop, UV_RUN_ONCE);
  assert_int_equal(client_stats(&s).uplinks, 0);
  site_stop(&s);
}

static void test_a_client_of_several_workers_may_be_closed_at_any_time(void **state) {
  for (int turns = 0; turns < 4; turns++) {
    site s;
    site_start_with(&s, NULL, &(site_options){.client_workers = WORKERS});
    for (int i = 0; i < turns; i++)
      uv_run(&s.loop, UV_RUN_NOWAIT);
    site_close_client(&s);
    site_stop(&s);
  }
}

static void test_a_handler_has_one_worker(void **state) {
  t2_client_options options;
  t2_client *client;
  t2_handler handler;
  uv_loop_t loop;
  char detail[256];
  t2_client_options_init(&options);
  t2_handler_init(&handler);
  handler.on_request = (void (*)(t2_request *, void *))(uintptr_t)abort; /* is never called */
  options.token = "0123456789abcdef";
  options.handler = &handler;
  options.workers = 2;
  uv_loop_init(&loop);
  assert_int_equal(t2_client_new(&client, &loop, &options, detail, sizeof(detail)), T2_ERR_INVALID);
  assert_non_null(strstr(detail, "a handler answers on one loop"));
  options.handler = NULL;
  options.origin = "8080";
  options.workers = 65;
  assert_int_equal(t2_client_new(&client, &loop, &options, detail, sizeof(detail)), T2_ERR_INVALID);
  assert_string_equal(detail, "workers: at most 64 are taken");
  uv_loop_close(&loop);
}

static void note_closed(void *user) {
  *(bool *)user = true;
}

static void test_each_failed_allocation_of_making_one_is_a_clean_error(void **state) {
  bool failed = true;
  for (size_t at = 1; failed; at++) {
    t2_client_options options;
    t2_shared_mem mem;
    t2_client *client;
    uv_loop_t loop;
    bool closed = false;
    t2_shared_mem_init(&mem, at);
    t2_client_options_init(&options);
    options.allocator = &mem.hook;
    options.token = "0123456789abcdef";
    options.origin = "8080";
    options.workers = WORKERS;
    assert_int_equal(uv_loop_init(&loop), 0);
    int err = t2_client_new(&client, &loop, &options, NULL, 0);
    failed = atomic_load(&mem.failed);
    assert_int_equal(err, failed ? T2_ERR_NOMEM : 0);
    if (err == 0) {
      t2_client_close(client, note_closed, &closed);
      while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(atomic_load(&mem.live), 0);
  }
}

/* ---- Entries ---- */

static t2_entry_stats entry_stats(const site *s) {
  t2_entry_stats stats = {.size = sizeof(stats)};
  t2_entry_get_stats(s->entry, &stats);
  return stats;
}

static void test_requests_reach_the_one_uplink_from_all_workers(void **state) {
  site s;
  site_start_with(&s, NULL, &(site_options){.entry_workers = WORKERS});
  for (int i = 0; i < REQUESTS; i++)
    assert_int_equal(site_ask(&s, "/", i % 3 ? NULL : "content").status, 200);
  while (entry_stats(&s).exchanges < REQUESTS || entry_stats(&s).exchanges_active ||
         entry_stats(&s).connections)
    uv_run(&s.loop, UV_RUN_NOWAIT);
  t2_entry_stats stats = entry_stats(&s);
  assert_int_equal(stats.exchanges, REQUESTS);
  assert_int_equal(stats.exchanges_failed + stats.exchanges_refused, 0);
  assert_int_equal(stats.connections_accepted, REQUESTS);
  assert_int_equal(stats.uplinks, 1);
  assert_int_equal(stats.sessions, 1);
  assert_int_equal(stats.bytes_to_clients, REQUESTS / 3 * strlen("content"));
  site_stop(&s);
}

static void test_entry_and_client_of_several_workers(void **state) {
  site s;
  site_start_with(&s, NULL, &(site_options){.entry_workers = WORKERS, .client_workers = WORKERS});
  while (entry_stats(&s).uplinks < WORKERS)
    uv_run(&s.loop, UV_RUN_ONCE);
  for (int i = 0; i < REQUESTS; i++)
    assert_int_equal(site_ask(&s, "/", NULL).status, 200);
  site_stop(&s);
}

static void test_nobody_serves_once_the_client_has_gone(void **state) {
  site s;
  site_start_with(&s, NULL, &(site_options){.entry_workers = WORKERS});
  t2_client_drain(s.client, 1000);
  while (entry_stats(&s).uplinks || !s.client_ended)
    uv_run(&s.loop, UV_RUN_ONCE);
  for (int i = 0; i < WORKERS; i++)
    assert_int_equal(site_ask(&s, "/", NULL).status, 503);
  site_stop(&s);
}

static void test_an_entry_of_several_workers_drains(void **state) {
  site s;
  site_start_with(&s, NULL, &(site_options){.entry_workers = WORKERS, .client_workers = 2});
  for (int i = 0; i < WORKERS; i++)
    assert_int_equal(site_ask(&s, "/", NULL).status, 200);
  t2_entry_drain(s.entry, 10000);
  while (!s.entry_events[T2_ENTRY_ENDED])
    uv_run(&s.loop, UV_RUN_ONCE);
  assert_int_equal(entry_stats(&s).uplinks, 0);
  site_stop(&s);
}

static void test_an_entry_of_several_workers_may_be_closed_at_any_time(void **state) {
  for (int turns = 0; turns < 6; turns++) {
    site s;
    site_start_with(&s, NULL, &(site_options){.entry_workers = WORKERS});
    for (int i = 0; i < turns; i++)
      uv_run(&s.loop, UV_RUN_NOWAIT);
    site_stop(&s);
  }
}

static int try_entry(const site *s, uv_loop_t *loop, const t2_allocator *mem, t2_entry **entry) {
  t2_entry_options options;
  char *cert = site_file(s, T2_DEV_CERT_FILE), *key = site_file(s, T2_DEV_KEY_FILE);
  t2_entry_options_init(&options);
  options.allocator = mem;
  options.public_address = options.uplink_address = options.public_tls_address = "127.0.0.1:0";
  options.cert_file = cert;
  options.key_file = key;
  options.ca_file = cert;
  options.token = "0123456789abcdef";
  options.workers = WORKERS;
  int err = t2_entry_new(entry, loop, &options, NULL, 0);
  free(cert);
  free(key);
  return err;
}

static void test_each_failed_allocation_of_making_an_entry_is_a_clean_error(void **state) {
  bool failed = true;
  site s;
  site_start(&s, NULL);
  for (size_t at = 1; failed; at++) {
    t2_shared_mem mem;
    t2_entry *entry;
    uv_loop_t loop;
    bool closed = false;
    t2_shared_mem_init(&mem, at);
    assert_int_equal(uv_loop_init(&loop), 0);
    int err = try_entry(&s, &loop, &mem.hook, &entry);
    failed = atomic_load(&mem.failed);
    assert_int_equal(err, failed ? T2_ERR_NOMEM : 0);
    if (err == 0) {
      t2_entry_close(entry, note_closed, &closed);
      while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(atomic_load(&mem.live), 0);
  }
  site_stop(&s);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_client_of_several_workers_answers_and_counts_all),
      cmocka_unit_test(test_a_client_of_several_workers_drains),
      cmocka_unit_test(test_a_client_of_several_workers_may_be_closed_at_any_time),
      cmocka_unit_test(test_a_handler_has_one_worker),
      cmocka_unit_test(test_each_failed_allocation_of_making_one_is_a_clean_error),
      cmocka_unit_test(test_requests_reach_the_one_uplink_from_all_workers),
      cmocka_unit_test(test_entry_and_client_of_several_workers),
      cmocka_unit_test(test_nobody_serves_once_the_client_has_gone),
      cmocka_unit_test(test_an_entry_of_several_workers_drains),
      cmocka_unit_test(test_an_entry_of_several_workers_may_be_closed_at_any_time),
      cmocka_unit_test(test_each_failed_allocation_of_making_an_entry_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
