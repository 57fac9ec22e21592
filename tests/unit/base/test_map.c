#include <t2_test_mem.h>

#include <base/map.h>
#include <stdio.h>
#include <tunnel2/error.h>

static t2_str key_of(char text[16], unsigned i) {
  return t2_str_of(text, (size_t)snprintf(text, 16, "key-%u", i));
}

/* SipHash-2-4's published example: key 00..0f, input 00..0e. */
static void test_siphash_gives_the_published_value(void **state) {
  const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
  uint8_t input[15];

  for (size_t i = 0; i < sizeof(input); i++)
    input[i] = (uint8_t)i;
  assert_true(t2_siphash(key, input, sizeof(input)) == 0xa129ca6149be45e5u);
  assert_true(t2_siphash(key, input, 8) != t2_siphash(key, input, 7));
  assert_true(t2_siphash(key, NULL, 0) == t2_siphash(key, input, 0));
}

static void test_a_fresh_map_is_empty(void **state) {
  t2_map map;
  size_t at = 0;

  t2_map_init(&map, NULL);
  assert_null(t2_map_get(&map, T2_STR("a")));
  assert_null(t2_map_del(&map, T2_STR("a")));
  assert_false(t2_map_each(&map, &at, NULL, NULL));
  t2_map_fini(&map);
}

static void test_keys_are_bytes_of_any_kind(void **state) {
  int a, b, c;
  t2_map map;

  t2_map_init(&map, NULL);
  assert_int_equal(t2_map_set(&map, T2_STR_NULL, &a), 0);
  assert_int_equal(t2_map_set(&map, T2_STR("x\0y"), &b), 0);
  assert_int_equal(t2_map_set(&map, T2_STR("x\0z"), &c), 0);
  assert_ptr_equal(t2_map_get(&map, T2_STR("")), &a);
  assert_ptr_equal(t2_map_get(&map, T2_STR("x\0y")), &b);
  assert_ptr_equal(t2_map_get(&map, T2_STR("x\0z")), &c);
  assert_null(t2_map_get(&map, T2_STR("x")));
  t2_map_fini(&map);
}

static void test_keys_are_copied_and_values_replaced(void **state) {
  char text[] = "name";
  int a, b;
  t2_map map;

  t2_map_init(&map, NULL);
  assert_int_equal(t2_map_set(&map, t2_str_c(text), &a), 0);
  text[0] = 'g';
  assert_ptr_equal(t2_map_get(&map, T2_STR("name")), &a);
  assert_int_equal(t2_map_set(&map, T2_STR("name"), &b), 0);
  assert_int_equal(map.count, 1);
  assert_ptr_equal(t2_map_del(&map, T2_STR("name")), &b);
  assert_null(t2_map_get(&map, T2_STR("name")));
  t2_map_fini(&map);
}

#define MODEL_KEYS 500

static void check_against_model(const t2_map *map, void *const model[MODEL_KEYS]) {
  size_t at = 0, walked = 0, expected = 0;
  char text[16];
  void *value;
  t2_str key;

  while (t2_map_each(map, &at, &key, &value)) {
    assert_ptr_equal(t2_map_get(map, key), value);
    walked++;
  }
  for (unsigned i = 0; i < MODEL_KEYS; i++) {
    assert_ptr_equal(t2_map_get(map, key_of(text, i)), model[i]);
    expected += model[i] != NULL;
  }
  assert_int_equal(walked, expected);
  assert_int_equal(map->count, expected);
}

static void test_random_changes_agree_with_a_plain_array(void **state) {
  void *model[MODEL_KEYS] = {NULL};
  uint32_t random = 12345;
  char text[16], values[64];
  t2_map map;

  t2_map_init(&map, NULL);
  for (unsigned step = 0; step < 60000; step++) {
    random = random * 1664525 + 1013904223;
    unsigned i = (random >> 8) % MODEL_KEYS;
    /* Fills, then empties, in turns. */
    bool add = (random >> 24) % 100 < (step / 5000 % 2 ? 30u : 70u);
    if (add) {
      model[i] = &values[random % sizeof(values)];
      assert_int_equal(t2_map_set(&map, key_of(text, i), model[i]), 0);
    } else {
      assert_ptr_equal(t2_map_del(&map, key_of(text, i)), model[i]);
      model[i] = NULL;
    }
    if (step % 1000 == 0) check_against_model(&map, model);
  }
  check_against_model(&map, model);
  t2_map_fini(&map);
}

/* Sessions come and go for years: the table must not grow with what has gone. */
static void test_coming_and_going_keeps_the_table_small(void **state) {
  char text[16];
  t2_map map;

  t2_map_init(&map, NULL);
  for (unsigned i = 0; i < 50000; i++) {
    assert_int_equal(t2_map_set(&map, key_of(text, i), &map), 0);
    if (i >= 10) assert_ptr_equal(t2_map_del(&map, key_of(text, i - 10)), &map);
  }
  assert_in_range(map.cap, 1, 64);
  t2_map_fini(&map);
}

static void test_the_walk_may_delete_what_it_returned(void **state) {
  char text[16];
  bool seen[1000] = {false};
  size_t at = 0;
  void *value;
  t2_str key;
  t2_map map;

  t2_map_init(&map, NULL);
  for (unsigned i = 0; i < T2_COUNT_OF(seen); i++)
    assert_int_equal(t2_map_set(&map, key_of(text, i), &seen[i]), 0);
  for (unsigned i = 0; t2_map_each(&map, &at, &key, &value); i++) {
    assert_false(*(bool *)value);
    *(bool *)value = true;
    if (i % 3) assert_ptr_equal(t2_map_del(&map, key), value);
  }
  for (unsigned i = 0; i < T2_COUNT_OF(seen); i++)
    assert_true(seen[i]);
  assert_int_equal(map.count, (T2_COUNT_OF(seen) + 2) / 3);
  t2_map_fini(&map);
}

static void test_two_maps_hash_differently(void **state) {
  t2_map a, b;

  t2_map_init(&a, NULL);
  t2_map_init(&b, NULL);
  assert_memory_not_equal(a.seed, b.seed, sizeof(a.seed));
  t2_map_fini(&a);
  t2_map_fini(&b);
}

static void fill_and_empty(t2_test_mem *mem, void *user) {
  char text[16];
  size_t added = 0;
  t2_map map;

  t2_map_init(&map, &mem->hook);
  for (unsigned i = 0; i < 40; i++) {
    bool failed_before = mem->failed;
    size_t count = map.count;
    int rc = t2_map_set(&map, key_of(text, i), &map);
    if (rc) {
      assert_int_equal(rc, T2_ERR_NOMEM);
      assert_int_equal(map.count, count);
      assert_null(t2_map_get(&map, key_of(text, i)));
    } else {
      assert_true(mem->failed == failed_before);
      assert_ptr_equal(t2_map_get(&map, key_of(text, i)), &map);
      added++;
    }
  }
  assert_int_equal(map.count, added);
  assert_true((added < 40) == mem->failed);
  t2_map_del(&map, T2_STR("key-3"));
  t2_map_fini(&map);
}

static void test_a_failed_allocation_leaves_the_map_as_it_was(void **state) {
  assert_true(t2_test_mem_fail_each(fill_and_empty, NULL) > 40);
}

static void replace_in_full_table(t2_test_mem *mem, void *user) {
  t2_map map;

  t2_map_init(&map, &mem->hook);
  if (t2_map_set(&map, T2_STR("a"), &map) == 0) {
    t2_test_mem_fail(mem, 1, true);
    assert_int_equal(t2_map_set(&map, T2_STR("a"), mem), 0);
    assert_ptr_equal(t2_map_get(&map, T2_STR("a")), mem);
    assert_false(mem->failed);
  }
  t2_map_fini(&map);
}

static void test_replacing_needs_no_memory(void **state) {
  t2_test_mem_fail_each(replace_in_full_table, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_siphash_gives_the_published_value),
      cmocka_unit_test(test_a_fresh_map_is_empty),
      cmocka_unit_test(test_keys_are_bytes_of_any_kind),
      cmocka_unit_test(test_keys_are_copied_and_values_replaced),
      cmocka_unit_test(test_random_changes_agree_with_a_plain_array),
      cmocka_unit_test(test_coming_and_going_keeps_the_table_small),
      cmocka_unit_test(test_the_walk_may_delete_what_it_returned),
      cmocka_unit_test(test_two_maps_hash_differently),
      cmocka_unit_test(test_a_failed_allocation_leaves_the_map_as_it_was),
      cmocka_unit_test(test_replacing_needs_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
