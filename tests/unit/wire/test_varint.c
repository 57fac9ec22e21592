#include <t2_test_mem.h>

#include <base/mem.h>
#include <tunnel2/frame.h>

/* RFC 9000, A.1, and the smallest and largest value of each size. */
static const struct {
  uint64_t value;
  uint8_t bytes[T2_VARINT_SIZE_MAX];
  size_t size;
} shortest[] = {
    {151288809941952652, {0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}, 8},
    {494878333, {0x9d, 0x7f, 0x3e, 0x7d}, 4},
    {15293, {0x7b, 0xbd}, 2},
    {37, {0x25}, 1},
    {0, {0x00}, 1},
    {63, {0x3f}, 1},
    {64, {0x40, 0x40}, 2},
    {16383, {0x7f, 0xff}, 2},
    {16384, {0x80, 0x00, 0x40, 0x00}, 4},
    {1073741823, {0xbf, 0xff, 0xff, 0xff}, 4},
    {1073741824, {0xc0, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00}, 8},
    {T2_VARINT_MAX, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 8},
};

static void test_the_rfc_examples_and_edges_both_ways(void **state) {
  for (size_t i = 0; i < T2_COUNT_OF(shortest); i++) {
    uint8_t out[T2_VARINT_SIZE_MAX];
    uint64_t value;
    assert_int_equal(t2_varint_size(shortest[i].value), shortest[i].size);
    assert_int_equal(t2_varint_encode(shortest[i].value, out, sizeof(out)), (int)shortest[i].size);
    assert_memory_equal(out, shortest[i].bytes, shortest[i].size);
    assert_int_equal(t2_varint_decode(out, sizeof(out), &value), (int)shortest[i].size);
    assert_true(value == shortest[i].value);
  }
}

static void test_exactly_the_room_it_needs_is_enough(void **state) {
  for (size_t i = 0; i < T2_COUNT_OF(shortest); i++) {
    uint8_t out[T2_VARINT_SIZE_MAX] = {0};
    size_t size = shortest[i].size;
    assert_int_equal(t2_varint_encode(shortest[i].value, out, size), (int)size);
    memset(out, 0xee, sizeof(out));
    assert_int_equal(t2_varint_encode(shortest[i].value, out, size - 1), T2_ERR_LIMIT);
    assert_int_equal(out[0], 0xee);
  }
}

static void test_a_cut_one_asks_for_more_and_changes_nothing(void **state) {
  for (size_t i = 0; i < T2_COUNT_OF(shortest); i++)
    for (size_t n = 0; n < shortest[i].size; n++) {
      uint64_t value = 4711;
      assert_int_equal(t2_varint_decode(shortest[i].bytes, n, &value), T2_ERR_AGAIN);
      assert_int_equal(value, 4711);
    }
}

static void test_longer_forms_than_need_be_are_read(void **state) {
  const struct {
    uint8_t bytes[T2_VARINT_SIZE_MAX];
    int size;
  } forms[] = {{{0x40, 0x25}, 2}, {{0x80, 0, 0, 0x25}, 4}, {{0xc0, 0, 0, 0, 0, 0, 0, 0x25}, 8}};
  uint64_t value;

  for (size_t i = 0; i < T2_COUNT_OF(forms); i++) {
    assert_int_equal(t2_varint_decode(forms[i].bytes, sizeof(forms[i].bytes), &value), forms[i].size);
    assert_int_equal(value, 37);
  }
}

static void test_past_the_largest_is_refused(void **state) {
  const uint64_t past[] = {T2_VARINT_MAX + 1, UINT64_MAX};
  uint8_t out[16];

  for (size_t i = 0; i < T2_COUNT_OF(past); i++) {
    assert_int_equal(t2_varint_size(past[i]), 0);
    assert_int_equal(t2_varint_encode(past[i], out, sizeof(out)), T2_ERR_INVALID);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_rfc_examples_and_edges_both_ways),
      cmocka_unit_test(test_exactly_the_room_it_needs_is_enough),
      cmocka_unit_test(test_a_cut_one_asks_for_more_and_changes_nothing),
      cmocka_unit_test(test_longer_forms_than_need_be_are_read),
      cmocka_unit_test(test_past_the_largest_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
