#include <t2_test_mem.h>

#include <base/mem.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/client_hello.h>

/* ---- Hellos, built ---- */

typedef struct bytes {
  uint8_t at[3 * T2_CLIENT_HELLO_MAX];
  size_t n;
} bytes;

static void put(bytes *out, size_t number, size_t size) {
  while (size--)
    out->at[out->n++] = (uint8_t)(number >> 8 * size);
}

static void put_bytes(bytes *out, const void *more, size_t n) {
  if (n) memcpy(out->at + out->n, more, n);
  out->n += n;
}

/* An extension's bytes behind type and length: a server_name list of one name. */
static size_t name_list(uint8_t *out, uint8_t type, const char *name) {
  bytes list = {.n = 0};
  put(&list, strlen(name) + 3, 2);
  put(&list, type, 1);
  put(&list, strlen(name), 2);
  put_bytes(&list, name, strlen(name));
  memcpy(out, list.at, list.n);
  return list.n;
}

/* A message with these extensions; `padding` bytes of one more, 0: none. */
static void build(bytes *message, const bytes *extensions, size_t padding) {
  static const uint8_t random[32] = {1, 2, 3};
  size_t n = extensions->n + (padding ? 4 + padding : 0);
  message->n = 0;
  put(message, 1, 1);
  put(message, 2 + 32 + 1 + 32 + 2 + 4 + 1 + 1 + 2 + n, 3);
  put(message, 0x0303, 2);
  put_bytes(message, random, sizeof(random));
  put(message, 32, 1);
  put_bytes(message, random, sizeof(random));
  put(message, 4, 2);
  put(message, 0x13011302, 4);
  put(message, 1, 1);
  put(message, 0, 1);
  put(message, n, 2);
  put_bytes(message, extensions->at, extensions->n);
  if (!padding) return;
  put(message, 21, 2);
  put(message, padding, 2);
  memset(message->at + message->n, 0, padding);
  message->n += padding;
}

static void add_extension(bytes *out, unsigned type, const void *content, size_t n) {
  put(out, type, 2);
  put(out, n, 2);
  put_bytes(out, content, n);
}

/* In records of so many bytes. */
static void wrap(bytes *out, const bytes *message, size_t size) {
  out->n = 0;
  for (size_t at = 0; at < message->n; at += size) {
    size_t n = message->n - at < size ? message->n - at : size;
    put(out, 0x160301, 3);
    put(out, n, 2);
    put_bytes(out, message->at + at, n);
  }
}

static void hello_of(bytes *out, const char *name, size_t padding, size_t record) {
  static bytes message;
  bytes extensions = {.n = 0};
  uint8_t list[1024];
  add_extension(&extensions, 0x0a0a, NULL, 0);
  if (name) add_extension(&extensions, 0, list, name_list(list, 0, name));
  add_extension(&extensions, 16,
                "\0\x0b\x0a"
                "acme-tls/1",
                13);
  build(&message, &extensions, padding);
  wrap(out, &message, record);
}

/* ---- Reading ---- */

static t2_client_hello hello;

/* In pieces of so many bytes; what the last one says. */
static int feed(const bytes *in, size_t piece) {
  int err = T2_ERR_AGAIN;
  memset(&hello, 0, sizeof(hello));
  for (size_t at = 0; at < in->n && err == T2_ERR_AGAIN; at += piece)
    err = t2_client_hello_feed(&hello, in->at + at, in->n - at < piece ? in->n - at : piece);
  return err;
}

static void check(const bytes *in, int expected, const char *name) {
  const size_t pieces[] = {sizeof(in->at), 1, 2, 7, 1000};
  for (size_t i = 0; i < T2_COUNT_OF(pieces); i++) {
    assert_int_equal(feed(in, pieces[i]), expected);
    if (expected == 0) assert_string_equal(hello.name, name);
  }
}

static bytes in;

static void test_the_name_in_any_pieces_and_records(void **state) {
  const size_t records[] = {1, 3, 64, 16384};
  (void)state;
  for (size_t i = 0; i < T2_COUNT_OF(records); i++) {
    hello_of(&in, "www.example.com", 0, records[i]);
    check(&in, 0, "www.example.com");
  }
}

static void test_every_beginning_of_it_asks_for_more(void **state) {
  (void)state;
  hello_of(&in, "www.example.com", 10, 50);
  size_t whole = in.n;
  for (in.n = 1; in.n < whole; in.n++)
    assert_int_equal(feed(&in, in.n), T2_ERR_AGAIN);
  in.n = whole;
  put(&in, 0x170303, 3); /* early data may follow at once */
  check(&in, 0, "www.example.com");
}

static void test_names_that_are_taken_and_those_that_count_as_none(void **state) {
  char longest[T2_HOSTNAME_MAX + 2], text[3 * 63 + 3];
  (void)state;
  const char *const cases[][2] = {{"WWW.Example.COM", "www.example.com"},
                                  {NULL, ""},
                                  {"localhost", ""},
                                  {"192.0.2.1", ""},
                                  {"a.b ", ""},
                                  {"a..b", ""},
                                  {"a.b.", ""},
                                  {"xn--bcher-kva.example", "xn--bcher-kva.example"}};
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    hello_of(&in, cases[i][0], 0, 500);
    check(&in, 0, cases[i][1]);
  }
  memset(text, 'a', sizeof(text));
  text[63] = '.';
  snprintf(longest, sizeof(longest), "%.*s", T2_HOSTNAME_MAX, text);
  hello_of(&in, longest, 0, 500);
  check(&in, 0, longest);
  snprintf(longest, sizeof(longest), "%.*s", T2_HOSTNAME_MAX, text);
  snprintf(text, sizeof(text), "%s.b", longest);
  hello_of(&in, text, 0, 500);
  check(&in, 0, "");
}

static void test_it_is_bounded_exactly(void **state) {
  (void)state;
  hello_of(&in, "www.example.com", 1, 16384);
  size_t least = in.n;
  hello_of(&in, "www.example.com", 1 + T2_CLIENT_HELLO_MAX - least, 16384);
  assert_int_equal(in.n, T2_CLIENT_HELLO_MAX);
  check(&in, 0, "www.example.com");
  hello_of(&in, "www.example.com", 2 + T2_CLIENT_HELLO_MAX - least, 16384);
  check(&in, T2_ERR_LIMIT, NULL);
  /* It is seen by the message's length, before the rest has come. */
  in.n = 9;
  check(&in, T2_ERR_LIMIT, NULL);
  /* In small records the heads count. */
  hello_of(&in, "www.example.com", 10000, 5);
  check(&in, T2_ERR_LIMIT, NULL);
  in.n = T2_CLIENT_HELLO_MAX - 1;
  check(&in, T2_ERR_AGAIN, NULL);
}

static void test_what_is_no_tls_is_refused_by_the_first_byte(void **state) {
  const uint8_t first[] = {'G', 0x80, 21, 23, 0};
  (void)state;
  for (size_t i = 0; i < sizeof(first); i++) {
    in.n = 0;
    put(&in, first[i], 1);
    check(&in, T2_ERR_PROTOCOL, NULL);
  }
}

static void refuses(const void *start, size_t n) {
  in.n = 0;
  put_bytes(&in, start, n);
  check(&in, T2_ERR_PROTOCOL, NULL);
}

static void test_heads_that_are_none(void **state) {
  (void)state;
  refuses("\x16\x02", 2);
  refuses("\x16\x03\x01\0\0", 5);
  refuses("\x16\x03\x01\x40\x01", 5);
  refuses("\x16\x03\x01\0\x05\x02", 6);                      /* a ServerHello */
  refuses("\x16\x03\x01\0\x09\x01\0\0\x05\x02\0", 11);       /* version 2 */
  refuses("\x16\x03\x01\0\x09\x01\0\0\x01\x03", 9);          /* too short for anything */
  refuses("\x16\x03\x01\0\x02\x01\0\x15\x03\x01\0\x02", 12); /* an alert within it */
}

/* One byte of a good hello changed. */
static void refuses_changed(size_t at, uint8_t to) {
  hello_of(&in, "www.example.com", 0, 16384);
  in.at[at] = to;
  check(&in, T2_ERR_PROTOCOL, NULL);
}

static void test_lengths_that_do_not_fit(void **state) {
  (void)state;
  enum { SESSION = 9 + 34, SUITES = SESSION + 33, METHODS = SUITES + 6, EXTENSIONS = METHODS + 2 };
  refuses_changed(SESSION, 33);
  refuses_changed(SUITES + 1, 0);
  refuses_changed(SUITES + 1, 3);
  refuses_changed(SUITES, 2);
  refuses_changed(METHODS, 0);
  refuses_changed(METHODS, 255);
  hello_of(&in, "www.example.com", 0, 16384);
  uint8_t length = in.at[EXTENSIONS + 1];
  refuses_changed(EXTENSIONS + 1, (uint8_t)(length - 1));
  refuses_changed(EXTENSIONS + 1, (uint8_t)(length + 1));
  refuses_changed(EXTENSIONS + 2 + 4 + 3, 255); /* the extension's */
  refuses_changed(EXTENSIONS + 2 + 4 + 3, 1);
  refuses_changed(EXTENSIONS + 2 + 4 + 5, 17); /* the list's */
  refuses_changed(EXTENSIONS + 2 + 4 + 5, 0);
  refuses_changed(EXTENSIONS + 2 + 4 + 8, 16); /* the name's */
  refuses_changed(EXTENSIONS + 2 + 4 + 8, 14);
  refuses_changed(EXTENSIONS + 2 + 4 + 8, 0);
  refuses_changed(5 + 3, (uint8_t)(in.n - 9 - 1)); /* the message's */
}

static void check_extensions(const bytes *extensions, int expected, const char *name) {
  static bytes message;
  build(&message, extensions, 0);
  wrap(&in, &message, 16384);
  check(&in, expected, name);
}

static void test_there_is_one_host_name(void **state) {
  uint8_t one[64], other[64];
  bytes extensions = {.n = 0};
  (void)state;
  size_t n = name_list(one, 0, "a.example"), m = name_list(other, 0, "b.example");
  add_extension(&extensions, 0, one, n);
  add_extension(&extensions, 0, other, m);
  check_extensions(&extensions, T2_ERR_PROTOCOL, NULL);
  /* Two in one list, of one type and of two. */
  for (uint8_t type = 0; type < 2; type++) {
    m = name_list(other, type, "b.example");
    extensions.n = 0;
    put(&extensions, 0, 2);
    put(&extensions, n + m - 2, 2);
    put(&extensions, n + m - 4, 2);
    put_bytes(&extensions, one + 2, n - 2);
    put_bytes(&extensions, other + 2, m - 2);
    check_extensions(&extensions, type ? 0 : T2_ERR_PROTOCOL, "a.example");
  }
  extensions.n = 0;
  add_extension(&extensions, 0, NULL, 0); /* which is a server's */
  check_extensions(&extensions, T2_ERR_PROTOCOL, NULL);
  extensions.n = 0;
  check_extensions(&extensions, 0, "");
}

static void test_a_hello_may_have_no_extensions(void **state) {
  static bytes message;
  bytes none = {.n = 0};
  (void)state;
  build(&message, &none, 0);
  message.n -= 2;
  message.at[3] = (uint8_t)(message.n - 4);
  wrap(&in, &message, 16384);
  check(&in, 0, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_name_in_any_pieces_and_records),
      cmocka_unit_test(test_every_beginning_of_it_asks_for_more),
      cmocka_unit_test(test_names_that_are_taken_and_those_that_count_as_none),
      cmocka_unit_test(test_it_is_bounded_exactly),
      cmocka_unit_test(test_what_is_no_tls_is_refused_by_the_first_byte),
      cmocka_unit_test(test_heads_that_are_none),
      cmocka_unit_test(test_lengths_that_do_not_fit),
      cmocka_unit_test(test_there_is_one_host_name),
      cmocka_unit_test(test_a_hello_may_have_no_extensions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
