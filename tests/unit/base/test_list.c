#include <t2_test_mem.h>

#include <base/list.h>

typedef struct item {
  int value;
  t2_list node;
} item;

static void expect(t2_list *head, const char *values) {
  T2_LIST_FOREACH(node, next, head) {
    assert_int_equal(T2_LIST_ENTRY(node, item, node)->value, *values++);
    assert_ptr_equal(node->next->prev, node);
  }
  assert_int_equal(*values, '\0');
}

static void test_order_is_that_of_pushing(void **state) {
  item a = {.value = 'a'}, b = {.value = 'b'}, c = {.value = 'c'};
  t2_list head;

  t2_list_init(&head);
  t2_list_init(&a.node);
  assert_true(t2_list_empty(&head));
  assert_false(t2_list_linked(&a.node));
  t2_list_push_back(&head, &b.node);
  t2_list_push_front(&head, &a.node);
  t2_list_push_back(&head, &c.node);
  assert_true(t2_list_linked(&a.node));
  expect(&head, "abc");
}

static void test_removal_is_safe_anywhere_and_twice(void **state) {
  item a = {.value = 'a'}, b = {.value = 'b'}, c = {.value = 'c'};
  t2_list head;

  t2_list_init(&head);
  t2_list_push_back(&head, &a.node);
  t2_list_push_back(&head, &b.node);
  t2_list_push_back(&head, &c.node);
  t2_list_remove(&b.node);
  t2_list_remove(&b.node);
  expect(&head, "ac");
  T2_LIST_FOREACH(node, next, &head) t2_list_remove(node);
  assert_true(t2_list_empty(&head));
}

static void test_moving_takes_all(void **state) {
  item a = {.value = 'a'}, b = {.value = 'b'};
  t2_list from, to;

  t2_list_init(&from);
  t2_list_move(&to, &from);
  assert_true(t2_list_empty(&to));
  t2_list_push_back(&from, &a.node);
  t2_list_push_back(&from, &b.node);
  t2_list_move(&to, &from);
  assert_true(t2_list_empty(&from));
  expect(&to, "ab");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order_is_that_of_pushing),
      cmocka_unit_test(test_removal_is_safe_anywhere_and_twice),
      cmocka_unit_test(test_moving_takes_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
