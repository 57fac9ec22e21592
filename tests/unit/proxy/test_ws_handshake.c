#include <t2_test_mem.h>

#include <proxy/ws_handshake.h>

static void test_acceptance_is_that_of_the_rfc(void **state) {
  char accept[T2_WS_ACCEPT_LEN + 1];
  t2_ws_accept(T2_STR("dGhlIHNhbXBsZSBub25jZQ=="), accept); /* RFC 6455, 1.3 */
  assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_keys_are_16_random_bytes_in_base64(void **state) {
  char one[T2_WS_KEY_LEN + 1], two[T2_WS_KEY_LEN + 1];
  t2_ws_key(one);
  t2_ws_key(two);
  assert_int_equal(strlen(one), T2_WS_KEY_LEN);
  assert_string_equal(one + T2_WS_KEY_LEN - 2, "==");
  assert_string_not_equal(one, two);
  assert_int_equal(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
                   T2_WS_KEY_LEN - 2);
}

static void test_longer_keys_are_cut(void **state) {
  char accept[T2_WS_ACCEPT_LEN + 1], same[T2_WS_ACCEPT_LEN + 1];
  t2_ws_accept(T2_STR("dGhlIHNhbXBsZSBub25jZQ==more"), accept);
  t2_ws_accept(T2_STR("dGhlIHNhbXBsZSBub25jZQ=="), same);
  assert_string_equal(accept, same);
}

static void test_the_protocol_is_named_in_any_case(void **state) {
  assert_true(t2_ws_is(T2_STR("WebSocket")));
  assert_false(t2_ws_is(T2_STR("websockets")));
  assert_false(t2_ws_is(T2_STR_NULL));
}

static void test_acceptance_is_that_of_the_key_and_there_is_one(void **state) {
  t2_fields fields;
  t2_fields_init(&fields, NULL);
  assert_false(t2_ws_is_accepted(&fields, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  t2_fields_add(&fields, T2_STR("sec-websocket-accept"), T2_STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  assert_true(t2_ws_is_accepted(&fields, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  assert_false(t2_ws_is_accepted(&fields, "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  t2_fields_add(&fields, T2_STR("sec-websocket-accept"), T2_STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  assert_false(t2_ws_is_accepted(&fields, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  t2_fields_fini(&fields);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_acceptance_is_that_of_the_rfc),
      cmocka_unit_test(test_keys_are_16_random_bytes_in_base64),
      cmocka_unit_test(test_longer_keys_are_cut),
      cmocka_unit_test(test_the_protocol_is_named_in_any_case),
      cmocka_unit_test(test_acceptance_is_that_of_the_key_and_there_is_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
