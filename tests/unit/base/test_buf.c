#include <t2_test_mem.h>

#include <base/buf.h>
#include <tunnel2/error.h>

#define assert_buf(buf, text) assert_string_equal(t2_buf_cstr(buf), (text))

static void test_everything_appended_comes_out_in_order(void **state) {
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  assert_int_equal(t2_buf_append(&buf, "ab", 2), 0);
  assert_int_equal(t2_buf_append(&buf, NULL, 0), 0);
  assert_int_equal(t2_buf_append_str(&buf, T2_STR("cd")), 0);
  assert_int_equal(t2_buf_append_str(&buf, T2_STR_NULL), 0);
  assert_int_equal(t2_buf_append_c(&buf, "ef"), 0);
  assert_int_equal(t2_buf_append_byte(&buf, 'g'), 0);
  assert_int_equal(t2_buf_append_u64(&buf, 0), 0);
  assert_int_equal(t2_buf_append_u64(&buf, UINT64_MAX), 0);
  assert_int_equal(t2_buf_printf(&buf, "-%d-%s", -5, "x"), 0);
  assert_buf(&buf, "abcdefg018446744073709551615--5-x");
  assert_int_equal(t2_buf_len(&buf), strlen("abcdefg018446744073709551615--5-x"));
  t2_buf_fini(&buf);
}

static void test_printf_of_any_length_is_whole(void **state) {
  char text[1000];
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  for (size_t n = 0; n < sizeof(text); n++) {
    t2_buf_reset(&buf);
    memset(text, 'y', n);
    text[n] = '\0';
    assert_int_equal(t2_buf_printf(&buf, "%s", text), 0);
    assert_int_equal(t2_buf_len(&buf), n);
    assert_buf(&buf, text);
    if (n % 100 == 0) t2_buf_shrink(&buf, 0);
  }
  t2_buf_fini(&buf);
}

static void test_an_empty_buffer_is_an_empty_string(void **state) {
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  assert_null(t2_buf_head(&buf));
  t2_buf_consume(&buf, 0);
  t2_buf_shrink(&buf, 0);
  assert_buf(&buf, "");
  assert_int_equal(t2_buf_len(&buf), 0);
  t2_buf_fini(&buf);
  t2_buf_fini(&buf);
}

static void test_little_in_a_large_buffer_goes_to_a_small_one_when_it_is_paid_for(void **state) {
  static const uint8_t zeros[1 << 16];
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  assert_int_equal(t2_buf_append(&buf, zeros, sizeof(zeros) - 3), 0);
  assert_int_equal(t2_buf_append(&buf, "end", 3), 0);
  t2_buf_consume(&buf, sizeof(zeros) / 2 - 1);
  t2_buf_tighten(&buf, 1024);
  assert_int_equal(buf.cap, sizeof(zeros)); /* half of it is live */
  t2_buf_consume(&buf, sizeof(zeros) / 2 - 2);
  t2_buf_tighten(&buf, sizeof(zeros) / 2);
  assert_int_equal(buf.cap, sizeof(zeros)); /* not worth it */
  t2_buf_tighten(&buf, 1024);
  assert_int_equal(buf.cap, 1024);
  assert_buf(&buf, "end");
  t2_buf_consume(&buf, t2_buf_len(&buf));
  t2_buf_tighten(&buf, 16);
  assert_int_equal(buf.cap, 1024); /* nothing was consumed since */
  t2_buf_fini(&buf);
}

static void test_consuming_all_goes_back_to_the_start(void **state) {
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  t2_buf_append_c(&buf, "abc");
  t2_buf_consume(&buf, 1);
  assert_buf(&buf, "bc");
  t2_buf_consume(&buf, 2);
  assert_int_equal(buf.off, 0);
  assert_int_equal(buf.end, 0);
  t2_buf_fini(&buf);
}

/* A stream that never holds more than `most` bytes must not make the buffer grow for ever. */
static void test_a_bounded_stream_stays_in_bounded_memory(void **state) {
  const size_t most = 1000;
  uint8_t in = 0, out = 0;
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  for (unsigned turn = 0; turn < 20000; turn++) {
    size_t add = (turn * 37) % (most - t2_buf_len(&buf) + 1);
    uint8_t *at = t2_buf_reserve(&buf, add);
    assert_non_null(at);
    for (size_t i = 0; i < add; i++)
      at[i] = in++;
    t2_buf_commit(&buf, add);
    size_t take = (turn * 53) % (t2_buf_len(&buf) + 1);
    for (size_t i = 0; i < take; i++)
      assert_int_equal(t2_buf_head(&buf)[i], out++);
    t2_buf_consume(&buf, take);
  }
  assert_in_range(buf.cap, 1, 4 * most);
  t2_buf_fini(&buf);
}

/* Consuming byte by byte from a full buffer: the count of moves is seen by the head's place. */
static void test_moving_is_paid_for_by_consuming(void **state) {
  size_t moves = 0, live = 4096;
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  memset(t2_buf_reserve(&buf, live), 'x', live);
  t2_buf_commit(&buf, live);
  for (size_t i = 0; i < 100 * live; i++) {
    size_t off = buf.off + 1;
    t2_buf_consume(&buf, 1);
    t2_buf_append_byte(&buf, 'x');
    moves += buf.off != off;
  }
  assert_in_range(moves, 0, 400);
  t2_buf_fini(&buf);
}

static void test_shrink_keeps_what_holds_bytes(void **state) {
  t2_test_mem mem;
  t2_buf buf;

  t2_test_mem_init(&mem);
  t2_buf_init(&buf, &mem.hook);
  assert_non_null(t2_buf_reserve(&buf, 100000));
  t2_buf_append_c(&buf, "x");
  t2_buf_shrink(&buf, 0);
  assert_buf(&buf, "x");
  t2_buf_consume(&buf, 1);
  t2_buf_shrink(&buf, 4096);
  assert_int_equal(mem.live_bytes, 4096);
  t2_buf_append_c(&buf, "y");
  assert_buf(&buf, "y");
  t2_buf_reset(&buf);
  t2_buf_shrink(&buf, 0);
  assert_int_equal(mem.live, 0);
  t2_buf_append_c(&buf, "z");
  assert_buf(&buf, "z");
  t2_buf_fini(&buf);
  t2_test_mem_check(&mem);
}

static void test_a_failed_shrink_changes_nothing(void **state) {
  t2_test_mem mem;
  t2_buf buf;

  t2_test_mem_init(&mem);
  t2_buf_init(&buf, &mem.hook);
  assert_non_null(t2_buf_reserve(&buf, 1000));
  t2_test_mem_fail(&mem, 1, false);
  size_t cap = buf.cap;
  t2_buf_shrink(&buf, 10);
  assert_int_equal(buf.cap, cap);
  assert_int_equal(t2_buf_append_c(&buf, "x"), 0);
  t2_buf_fini(&buf);
  t2_test_mem_check(&mem);
}

static void test_a_length_beyond_reason_fails_without_asking(void **state) {
  t2_test_mem mem;
  t2_buf buf;

  t2_test_mem_init(&mem);
  t2_buf_init(&buf, &mem.hook);
  assert_null(t2_buf_reserve(&buf, SIZE_MAX));
  assert_true(buf.failed);
  assert_int_equal(mem.count, 0);
  t2_buf_fini(&buf);
}

static void test_after_a_failure_nothing_is_appended_until_reset(void **state) {
  t2_test_mem mem;
  t2_buf buf;

  t2_test_mem_init(&mem);
  t2_buf_init(&buf, &mem.hook);
  t2_buf_append_c(&buf, "kept");
  t2_test_mem_fail(&mem, 1, false);
  assert_null(t2_buf_reserve(&buf, 10000));
  assert_int_equal(t2_buf_append_c(&buf, "x"), T2_ERR_NOMEM);
  assert_int_equal(t2_buf_printf(&buf, "x"), T2_ERR_NOMEM);
  assert_int_equal(t2_buf_len(&buf), 4);
  assert_null(t2_buf_cstr(&buf));
  t2_buf_reset(&buf);
  assert_int_equal(t2_buf_append_c(&buf, "x"), 0);
  assert_buf(&buf, "x");
  t2_buf_fini(&buf);
  t2_test_mem_check(&mem);
}

static void write_and_check_once(t2_test_mem *mem, void *user) {
  char text[300];
  t2_buf buf;

  memset(text, 'a', sizeof(text));
  text[sizeof(text) - 1] = '\0';
  t2_buf_init(&buf, &mem->hook);
  for (int i = 0; i < 10; i++) {
    t2_buf_append(&buf, text, sizeof(text) - 1);
    t2_buf_printf(&buf, "%s%d", text, i);
    if (t2_buf_len(&buf) > 500) t2_buf_consume(&buf, 100);
  }
  assert_int_equal(buf.failed, mem->failed);
  if (!mem->failed) assert_int_equal(t2_buf_len(&buf), 10 * (299 + 300) - 10 * 100);
  t2_buf_fini(&buf);
}

static void test_each_failed_allocation_is_told_and_leaks_nothing(void **state) {
  assert_true(t2_test_mem_fail_each(write_and_check_once, NULL) >= 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_everything_appended_comes_out_in_order),
      cmocka_unit_test(test_printf_of_any_length_is_whole),
      cmocka_unit_test(test_an_empty_buffer_is_an_empty_string),
      cmocka_unit_test(test_consuming_all_goes_back_to_the_start),
      cmocka_unit_test(test_little_in_a_large_buffer_goes_to_a_small_one_when_it_is_paid_for),
      cmocka_unit_test(test_a_bounded_stream_stays_in_bounded_memory),
      cmocka_unit_test(test_moving_is_paid_for_by_consuming),
      cmocka_unit_test(test_shrink_keeps_what_holds_bytes),
      cmocka_unit_test(test_a_failed_shrink_changes_nothing),
      cmocka_unit_test(test_a_length_beyond_reason_fails_without_asking),
      cmocka_unit_test(test_after_a_failure_nothing_is_appended_until_reset),
      cmocka_unit_test(test_each_failed_allocation_is_told_and_leaks_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
