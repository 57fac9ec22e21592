#include <t2_test_mem.h>

#include "site.h"
#include <pthread.h>
#include <signal.h>

#define REQUESTS 50

/* Everything of a site is on its own loop: two of them know nothing of one another. */
static void *run_site(void *unused) {
  site s;
  uintptr_t answered = 0;
  (void)unused;
  site_start(&s, NULL);
  for (int i = 0; i < REQUESTS; i++)
    if (site_ask(&s, "/", i % 3 ? NULL : "content").status == 200) answered++;
  site_stop(&s);
  return (void *)answered;
}

static void test_two_loops_in_two_threads_work_side_by_side(void **state) {
  pthread_t threads[2];
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run_site, NULL), 0);
  for (int i = 0; i < 2; i++) {
    void *answered;
    assert_int_equal(pthread_join(threads[i], &answered), 0);
    assert_int_equal((uintptr_t)answered, REQUESTS);
  }
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_two_loops_in_two_threads_work_side_by_side),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
