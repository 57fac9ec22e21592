#include <t2_test_mem.h>

#include <base/mem.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/proxy_header.h>

#define SIGNATURE   "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(text) ((const uint8_t *)(text)), sizeof(text) - 1

static t2_proxy_header header;

/* As it comes in one piece; every beginning of it asks for more. */
static void takes(const uint8_t *bytes, size_t n) {
  uint8_t more[T2_PROXY_HEADER_MAX + 1];
  for (size_t i = 0; i < n; i++)
    assert_int_equal(t2_proxy_header_read(&header, bytes, i), 0);
  assert_int_equal(t2_proxy_header_read(&header, bytes, n), n);
  memcpy(more, bytes, n);
  more[n] = 'G';
  assert_int_equal(t2_proxy_header_read(&header, more, n + 1), n);
}

static void refuses(const uint8_t *bytes, size_t n) {
  if (t2_proxy_header_read(&header, bytes, n) >= 0) print_error("not refused: %.*s\n", (int)n, bytes);
  assert_int_equal(t2_proxy_header_read(&header, bytes, n), T2_ERR_PROTOCOL);
}

static void test_version_1(void **state) {
  (void)state;
  takes(BYTES("PROXY TCP4 192.0.2.1 198.51.100.7 4660 443\r\n"));
  assert_int_equal(header.family, T2_PROXY_V4);
  assert_memory_equal(header.address, "\xc0\x00\x02\x01", 4);
  assert_int_equal(header.port, 4660);
  takes(BYTES("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"));
  assert_int_equal(header.family, T2_PROXY_V6);
  assert_memory_equal(header.address, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
  assert_int_equal(header.port, 65535);
  takes(BYTES("PROXY UNKNOWN\r\n"));
  assert_int_equal(header.family, T2_PROXY_NONE);
  takes(BYTES("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"));
  assert_int_equal(header.family, T2_PROXY_NONE);
}

static void test_version_1_is_107_bytes_at_most(void **state) {
  uint8_t line[T2_PROXY_HEADER_V1_MAX + 2];
  (void)state;
  memset(line, 'x', sizeof(line));
  memcpy(line, "PROXY UNKNOWN ", 14);
  memcpy(line + T2_PROXY_HEADER_V1_MAX - 2, "\r\n", 2);
  takes(line, T2_PROXY_HEADER_V1_MAX);
  memcpy(line + T2_PROXY_HEADER_V1_MAX - 2, "x\r\n", 3);
  assert_int_equal(t2_proxy_header_read(&header, line, T2_PROXY_HEADER_V1_MAX - 1), 0);
  refuses(line, T2_PROXY_HEADER_V1_MAX);
  refuses(line, T2_PROXY_HEADER_V1_MAX + 1);
}

static void test_what_is_no_version_1(void **state) {
  const char *lines[] = {
      "G",
      "GET / HTTP/1.1\r\n",
      "PROXX",
      "proxy TCP4",
      "PROXY \r\n",
      "PROXY\r\n",
      "PROXY \n",
      "PROXY UNKNOWN\n",
      "PROXY UNKNOWN \x01",
      "PROXY UNKNOWN \xff",
      "PROXY UNKNOWN\r\r\n",
      "PROXY UNKNOWNX\r\n",
      "PROXY TCP\r\n",
      "PROXY TCP4\r\n",
      "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
      "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n",
      "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 x 1 2\r\n",
      "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP6 ::1 192.0.2.2 1 2\r\n",
      "PROXY TCP6 [::1] [::1] 1 2\r\n",
  };
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(lines); i++)
    refuses((const uint8_t *)lines[i], strlen(lines[i]));
}

static void test_version_2(void **state) {
  (void)state;
  takes(BYTES(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x12\x34\x01\xbb"));
  assert_int_equal(header.family, T2_PROXY_V4);
  assert_memory_equal(header.address, "\xc0\x00\x02\x01", 4);
  assert_int_equal(header.port, 0x1234);
  takes(BYTES(SIGNATURE "\x21\x21\x00\x24"
                        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                        "\x13\x88\x00\x16"));
  assert_int_equal(header.family, T2_PROXY_V6);
  assert_int_equal(header.port, 5000);
  takes(BYTES(SIGNATURE "\x21\x11\x00\x12\xc0\x00\x02\x01\xc6\x33\x64\x07\x12\x34\x01\xbb\x01\x00\x03h2c"));
  assert_int_equal(header.family, T2_PROXY_V4);
}

static void test_version_2_that_keeps_the_peer(void **state) {
  uint8_t local[16 + 216] = SIGNATURE "\x20\x11\x00\xd8";
  (void)state;
  takes(BYTES(SIGNATURE "\x20\x00\x00\x00"));
  takes(BYTES(SIGNATURE "\x21\x00\x00\x02??"));
  takes(local, sizeof(local));
  assert_int_equal(header.family, T2_PROXY_NONE);
  local[12] = 0x21;
  local[13] = 0x31;
  takes(local, sizeof(local));
  assert_int_equal(header.family, T2_PROXY_NONE);
}

static void test_version_2_has_a_bound(void **state) {
  static uint8_t bytes[T2_PROXY_HEADER_MAX + 1] = SIGNATURE "\x20\x00\x0f\xf0";
  (void)state;
  takes(bytes, T2_PROXY_HEADER_MAX);
  bytes[15]++;
  assert_int_equal(t2_proxy_header_read(&header, bytes, 16), T2_ERR_LIMIT);
}

static void test_what_is_no_version_2(void **state) {
  (void)state;
  refuses(BYTES("\r\n\r\n\r"));
  refuses(BYTES(SIGNATURE "\x11"));
  refuses(BYTES(SIGNATURE "\x22"));
  refuses(BYTES(SIGNATURE "\x31"));
  refuses(BYTES(SIGNATURE "\x21\x12")); /* UDP */
  refuses(BYTES(SIGNATURE "\x21\x22"));
  refuses(BYTES(SIGNATURE "\x21\x32"));
  refuses(BYTES(SIGNATURE "\x21\x41"));
  refuses(BYTES(SIGNATURE "\x21\x10"));
  refuses(BYTES(SIGNATURE "\x21\x11\x00\x0b???????????"));
  refuses(BYTES(SIGNATURE "\x21\x11\x00\x0e????????????\x01\x00"));
  refuses(BYTES(SIGNATURE "\x21\x11\x00\x0f????????????\x01\x00\x01"));
  refuses(BYTES(SIGNATURE "\x21\x11\x00\x13????????????\x01\x00\x03xyz!"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_version_1),
      cmocka_unit_test(test_version_1_is_107_bytes_at_most),
      cmocka_unit_test(test_what_is_no_version_1),
      cmocka_unit_test(test_version_2),
      cmocka_unit_test(test_version_2_that_keeps_the_peer),
      cmocka_unit_test(test_version_2_has_a_bound),
      cmocka_unit_test(test_what_is_no_version_2),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
