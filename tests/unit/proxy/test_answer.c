#include "fixture.h"

#include <base/file.h>
#include <http/http_date.h>
#include <proxy/answer.h>

static void test_date_is_the_clock_s(void **state) {
  test_loop tl;
  t2_proxy proxy;
  t2_fields fields;
  int64_t said, now = t2_clock_wall_ms() / 1000;
  assert_true(test_loop_open(&tl, NULL, NULL));
  t2_proxy_init(&proxy, tl.loop, "entry-1");
  t2_fields_init(&fields, NULL);
  assert_int_equal(t2_answer_date(&proxy, &fields), 0);
  assert_int_equal(t2_http_date_parse(t2_fields_get(&fields, T2_STR("date"))->value, &said), 0);
  assert_true(said >= now && said <= now + 5);
  proxy.date_seconds = 0; /* as if it were older */
  t2_fields_reset(&fields);
  assert_int_equal(t2_answer_date(&proxy, &fields), 0);
  assert_true(proxy.date_seconds >= now);
  t2_fields_fini(&fields);
  t2_proxy_fini(&proxy);
  test_loop_close(&tl);
}

static void make_one(t2_test_mem *mem, void *user) {
  t2_loop loop = {.mem = &mem->hook}; /* nothing of it runs */
  t2_proxy proxy;
  t2_proxy_init(&proxy, &loop, "entry-1");
  if (t2_answer_problem(&proxy, t2_problem_of_status(404), "nobody", T2_STR("id-1")) == 0) {
    assert_int_equal(proxy.problem_scratch.status, 404);
    assert_int_equal(t2_fields_count(&proxy.problem_scratch.fields, T2_STR("date")), 1);
    assert_true(t2_buf_len(&proxy.problem_body) > 0);
    *(bool *)user = true;
  }
  t2_proxy_fini(&proxy);
}

static void test_problems_are_dated_or_there_is_no_memory(void **state) {
  bool made = false;
  assert_true(t2_test_mem_fail_each(make_one, &made) > 0);
  assert_true(made);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_date_is_the_clock_s),
      cmocka_unit_test(test_problems_are_dated_or_there_is_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
