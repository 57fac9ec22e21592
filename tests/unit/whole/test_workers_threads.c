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

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_client_of_several_workers_answers_and_counts_all),
      cmocka_unit_test(test_a_client_of_several_workers_drains),
      cmocka_unit_test(test_a_client_of_several_workers_may_be_closed_at_any_time),
      cmocka_unit_test(test_a_handler_has_one_worker),
      cmocka_unit_test(test_each_failed_allocation_of_making_one_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
