#include <t2_test_mem.h>

#include <net/spare.h>

static void test_memory_is_lent_again(void **state) {
  t2_test_mem mem;
  t2_spares spares;
  t2_buf buf;
  t2_test_mem_init(&mem);
  t2_spares_init(&spares, &mem.hook);
  t2_buf_init(&buf, &mem.hook);
  t2_spares_take(&spares, &buf, false);
  assert_int_equal(buf.cap, T2_SPARE_SMALL);
  t2_spares_give(&spares, &buf);
  assert_null(buf.data);
  size_t before = mem.count;
  for (int i = 0; i < 10; i++) {
    t2_spares_take(&spares, &buf, false);
    assert_int_equal(t2_buf_append_c(&buf, "x"), 0);
    t2_buf_consume(&buf, 1);
    t2_spares_give(&spares, &buf);
  }
  assert_int_equal(mem.count, before);
  t2_spares_take(&spares, &buf, true);
  assert_int_equal(buf.cap, T2_SPARE_LARGE);
  t2_spares_give(&spares, &buf);
  t2_spares_fini(&spares);
  t2_test_mem_check(&mem);
}

static void test_what_is_not_empty_is_left_alone(void **state) {
  t2_spares spares;
  t2_buf buf;
  t2_spares_init(&spares, NULL);
  t2_buf_init(&buf, NULL);
  t2_spares_take(&spares, &buf, false);
  assert_int_equal(t2_buf_append_c(&buf, "kept"), 0);
  uint8_t *data = buf.data;
  t2_spares_give(&spares, &buf);
  t2_spares_take(&spares, &buf, true);
  assert_ptr_equal(buf.data, data);
  assert_int_equal(t2_buf_len(&buf), 4);
  t2_buf_fini(&buf);
  t2_spares_fini(&spares);
}

static void test_memory_of_another_size_is_freed(void **state) {
  t2_test_mem mem;
  t2_spares spares;
  t2_buf buf;
  t2_test_mem_init(&mem);
  t2_spares_init(&spares, &mem.hook);
  t2_buf_init(&buf, &mem.hook);
  assert_non_null(t2_buf_reserve(&buf, 1000));
  t2_spares_give(&spares, &buf);
  assert_int_equal(mem.live, 0);
  t2_spares_fini(&spares);
}

static void test_no_more_is_kept_than_the_bounds(void **state) {
  enum { MANY = T2_SPARE_SMALL_MAX + 3 };
  t2_buf bufs[MANY];
  t2_test_mem mem;
  t2_spares spares;
  t2_test_mem_init(&mem);
  t2_spares_init(&spares, &mem.hook);
  for (int large = 0; large < 2; large++) {
    size_t live = mem.live, max = large ? T2_SPARE_LARGE_MAX : T2_SPARE_SMALL_MAX;
    for (int i = 0; i < MANY; i++) {
      t2_buf_init(&bufs[i], &mem.hook);
      t2_spares_take(&spares, &bufs[i], large);
    }
    for (int i = 0; i < MANY; i++)
      t2_spares_give(&spares, &bufs[i]);
    assert_int_equal(mem.live - live, max);
  }
  t2_spares_fini(&spares);
  t2_test_mem_check(&mem);
}

static void take_and_append(t2_test_mem *mem, void *user) {
  t2_spares spares;
  t2_buf buf;
  (void)user;
  t2_spares_init(&spares, &mem->hook);
  t2_buf_init(&buf, &mem->hook);
  t2_spares_take(&spares, &buf, false);
  assert_true(t2_buf_append_c(&buf, "x") == 0 || mem->failed);
  t2_buf_fini(&buf);
  t2_spares_fini(&spares);
}

static void test_missing_memory_shows_in_the_append(void **state) {
  t2_test_mem_fail_each(take_and_append, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memory_is_lent_again),
      cmocka_unit_test(test_what_is_not_empty_is_left_alone),
      cmocka_unit_test(test_memory_of_another_size_is_freed),
      cmocka_unit_test(test_no_more_is_kept_than_the_bounds),
      cmocka_unit_test(test_missing_memory_shows_in_the_append),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
