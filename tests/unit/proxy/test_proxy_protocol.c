#include <t2_test_mem.h>

#include <proxy/proxy_protocol.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static t2_address address(const char *host, uint16_t port) {
  t2_address a;
  memset(&a, 0, sizeof(a));
  assert_int_equal(t2_address_parse(&a, t2_str_c(host), port), 0);
  return a;
}

#define expect(out, n, text)                                                                                 \
  do {                                                                                                       \
    assert_int_equal((n), sizeof(text) - 1);                                                                 \
    assert_memory_equal((out), (text), sizeof(text) - 1);                                                    \
  } while (0)

static void test_ipv4_is_written_in_28_bytes(void **state) {
  uint8_t out[T2_PROXY_PROTOCOL_MAX];
  t2_address from = address("192.0.2.1", 0x1234), to = address("198.51.100.7", 443);
  (void)state;
  expect(out, t2_proxy_protocol_write(out, &from, &to),
         SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x12\x34\x01\xbb");
}

static void test_ipv6_is_written_in_52_bytes(void **state) {
  uint8_t out[T2_PROXY_PROTOCOL_MAX];
  t2_address from = address("2001:db8::1", 5000), to = address("2001:db8::2", 22);
  (void)state;
  expect(out, t2_proxy_protocol_write(out, &from, &to),
         SIGNATURE "\x21\x21\x00\x24"
                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                   "\x13\x88\x00\x16");
}

static void test_unknown_addresses_are_said_to_be_unknown(void **state) {
  uint8_t out[T2_PROXY_PROTOCOL_MAX];
  (void)state;
  expect(out, t2_proxy_protocol_write(out, NULL, NULL), SIGNATURE "\x21\x00\x00\x00");
}

/* ---- Of a request ---- */

static size_t of_request(uint8_t *out, const char *forwarded, const char *authority) {
  t2_head head;
  t2_head_init(&head, NULL);
  head.authority = t2_str_c(authority);
  if (forwarded) t2_fields_add(&head.fields, T2_STR("forwarded"), t2_str_c(forwarded));
  size_t n = t2_proxy_protocol_of_request(out, &head);
  t2_head_fini(&head);
  return n;
}

static void test_request_says_from_whom_and_to_where(void **state) {
  const char *values[] = {"for=\"192.0.2.1:4660\"", "proto=tcp; For=\"192.0.2.1:4660\";by=x",
                          "for=\"192.0.2.1:4660\", for=\"192.0.2.9:1\""};
  uint8_t out[T2_PROXY_PROTOCOL_MAX];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(values); i++)
    expect(out, of_request(out, values[i], "198.51.100.7:443"),
           SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x12\x34\x01\xbb");
}

static void test_destination_is_of_the_sources_family(void **state) {
  const char *others[] = {"entry.example:443", "[2001:db8::1]:443", ":443"};
  uint8_t out[T2_PROXY_PROTOCOL_MAX];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(others); i++)
    expect(out, of_request(out, "for=\"192.0.2.1:4660\"", others[i]),
           SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\0\0\0\0\x12\x34\x01\xbb");
  expect(out, of_request(out, "for=\"[2001:db8::1]:5000\"", "192.0.2.1:22"),
         SIGNATURE "\x21\x21\x00\x24"
                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                   "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                   "\x13\x88\x00\x16");
}

static void test_what_is_no_address_is_unknown(void **state) {
  const char *values[] = {NULL,
                          "",
                          "for=unknown",
                          "for=192.0.2.1",
                          "for=\"[2001:db8::1]\"",
                          "for=\"192.0.2.1:65536\"",
                          "for=\"192.0.2.1:x\"",
                          "for=\"[2001:db8::1:5000\"",
                          "for=\"host.example:80\"",
                          "by=\"192.0.2.1:80\"",
                          "for=\"\\192.0.2.1:80\"",
                          "for",
                          "for=\"",
                          "=;,="};
  uint8_t out[T2_PROXY_PROTOCOL_MAX];
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(values); i++)
    expect(out, of_request(out, values[i], "198.51.100.7:443"), SIGNATURE "\x21\x00\x00\x00");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ipv4_is_written_in_28_bytes),
      cmocka_unit_test(test_ipv6_is_written_in_52_bytes),
      cmocka_unit_test(test_unknown_addresses_are_said_to_be_unknown),
      cmocka_unit_test(test_request_says_from_whom_and_to_where),
      cmocka_unit_test(test_destination_is_of_the_sources_family),
      cmocka_unit_test(test_what_is_no_address_is_unknown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
