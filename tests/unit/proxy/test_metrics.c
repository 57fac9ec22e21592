#include <t2_test_mem.h>

#include <proxy/metrics.h>
#include <stddef.h>

typedef struct values {
  uint64_t a, b, c;
} values;

static const t2_metric table[] = {
    {"t_open", NULL, "open now", T2_METRIC_GAUGE, offsetof(values, a)},
    {"t_limited_total", "limit=\"x\"", "refused", T2_METRIC_COUNTER, offsetof(values, b)},
    {"t_limited_total", "limit=\"y\"", "refused", T2_METRIC_COUNTER, offsetof(values, c)},
};

static void test_a_family_has_its_help_and_type_once(void **state) {
  t2_buf out;
  (void)state;
  t2_buf_init(&out, NULL);
  t2_metrics_table(&out, table, 3, &(values){1, 2, UINT64_MAX});
  assert_string_equal(t2_buf_cstr(&out), "# HELP t_open open now\n# TYPE t_open gauge\nt_open 1\n"
                                         "# HELP t_limited_total refused\n# TYPE t_limited_total counter\n"
                                         "t_limited_total{limit=\"x\"} 2\n"
                                         "t_limited_total{limit=\"y\"} 18446744073709551615\n");
  t2_buf_fini(&out);
}

static void test_thousandths_are_a_fraction(void **state) {
  t2_buf out;
  (void)state;
  t2_buf_init(&out, NULL);
  t2_metrics_thousandths(&out, &(t2_metric){.name = "s_total"}, 12034);
  assert_string_equal(t2_buf_cstr(&out), "s_total 12.034\n");
  t2_buf_fini(&out);
}

static void write_all(t2_test_mem *mem, void *user) {
  t2_buf out;
  (void)user;
  t2_buf_init(&out, &mem->hook);
  t2_metrics_table(&out, table, 3, &(values){0});
  assert_int_equal(out.failed, mem->failed > 0);
  t2_buf_fini(&out);
}

static void test_a_missing_allocation_shows(void **state) {
  (void)state;
  assert_true(t2_test_mem_fail_each(write_all, NULL) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_family_has_its_help_and_type_once),
      cmocka_unit_test(test_thousandths_are_a_fraction),
      cmocka_unit_test(test_a_missing_allocation_shows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
