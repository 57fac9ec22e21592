#include <t2_test_mem.h>

#include <base/buf.h>
#include <http/ws.h>
#include <stdio.h>

#define MAX 70000

/* ---- A client's frames, and what was read of them ---- */

/* first: FIN, reserved bits and opcode. */
static void put(t2_buf *out, uint8_t first, const void *content, size_t n) {
  static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
  uint8_t head[T2_WS_HEAD_MAX];
  size_t head_len = t2_ws_head(head, T2_WS_OP_TEXT, true, n);
  head[0] = first;
  head[1] |= 0x80;
  t2_buf_append(out, head, head_len);
  t2_buf_append(out, mask, sizeof(mask));
  for (size_t i = 0; i < n; i++)
    t2_buf_append_byte(out, (uint8_t)(((const uint8_t *)content)[i] ^ mask[i & 3]));
}

static void put_text(t2_buf *out, uint8_t first, const char *text) {
  put(out, first, text, strlen(text));
}

static const char *const names[] = {"more", "text", "binary", "ping", "pong", "close", "failed"};

/* "text(hello) close(1000 bye)" */
static void describe(t2_buf *said, const t2_ws_reader *reader, t2_ws_event event) {
  t2_buf_printf(said, "%s%s(", t2_buf_len(said) ? " " : "", names[event]);
  if (event == T2_WS_FAILED || event == T2_WS_CLOSE) t2_buf_printf(said, "%u", reader->code);
  if (event != T2_WS_FAILED && reader->content_len > 60)
    t2_buf_printf(said, "%zu", reader->content_len);
  else if (event != T2_WS_FAILED)
    t2_buf_append(said, reader->content, reader->content_len);
  t2_buf_append_c(said, ")");
}

static void read_pieces(const t2_buf *in, size_t piece, t2_buf *said) {
  t2_ws_reader reader;
  t2_ws_reader_init(&reader, NULL, MAX);
  for (size_t at = 0, n, taken; at < t2_buf_len(in); at += n) {
    n = t2_buf_len(in) - at < piece ? t2_buf_len(in) - at : piece;
    for (size_t done = 0; done < n; done += taken) {
      t2_ws_event event = t2_ws_read(&reader, t2_buf_head(in) + at + done, n - done, &taken);
      if (event) describe(said, &reader, event);
      if (event == T2_WS_MORE) assert_int_equal(taken, n - done);
    }
  }
  t2_ws_reader_fini(&reader);
}

/* Reads it in pieces of several sizes, which changes nothing. Frees it. */
static void assert_reads(t2_buf *in, const char *expected) {
  const size_t pieces[] = {1 << 20, 1, 2, 3, 7, 1000};
  for (size_t i = 0; i < T2_COUNT_OF(pieces); i++) {
    t2_buf said;
    t2_buf_init(&said, NULL);
    read_pieces(in, pieces[i], &said);
    assert_string_equal(t2_buf_cstr(&said), expected);
    t2_buf_fini(&said);
  }
  t2_buf_fini(in);
}

static t2_buf frames(void) {
  t2_buf out;
  t2_buf_init(&out, NULL);
  return out;
}

/* ---- Messages ---- */

static void test_messages_of_one_frame(void **state) {
  t2_buf in = frames();
  put_text(&in, 0x81, "hello");
  put_text(&in, 0x82, "\xff\x01");
  put_text(&in, 0x81, "");
  put_text(&in, 0x81,
           "sp\xc3\xa4\xc3\x9f"
           "e");
  assert_reads(&in, "text(hello) binary(\xff\x01) text() text(sp\xc3\xa4\xc3\x9f"
                    "e)");
}

static void test_each_way_to_write_a_length(void **state) {
  const size_t sizes[] = {125, 126, 127, UINT16_MAX, UINT16_MAX + 1, MAX};
  static char content[MAX];
  t2_buf in = frames();
  for (size_t i = 0; i < T2_COUNT_OF(sizes); i++)
    put(&in, 0x82, content, sizes[i]);
  assert_reads(&in, "binary(125) binary(126) binary(127) binary(65535) binary(65536) binary(70000)");
}

static void test_fragments_with_control_frames_between(void **state) {
  t2_buf in = frames();
  put_text(&in, 0x01, "a\xe2");
  put_text(&in, 0x89, "are you there");
  put_text(&in, 0x00, "\x82");
  put_text(&in, 0x8a, "");
  put_text(&in, 0x00, "");
  put_text(&in, 0x80,
           "\xac"
           "b");
  put_text(&in, 0x82, "next");
  assert_reads(&in, "ping(are you there) pong() text(a\xe2\x82\xac"
                    "b) binary(next)");
}

static void test_a_message_has_a_bound_however_it_comes(void **state) {
  static char content[MAX + 1];
  t2_buf in = frames();
  put(&in, 0x82, content, MAX + 1);
  assert_reads(&in, "failed(1009)");
  in = frames();
  put(&in, 0x02, content, MAX - 1);
  put(&in, 0x00, content, 1);
  put(&in, 0x80, content, 0);
  put(&in, 0x02, content, MAX);
  put(&in, 0x80, content, 1);
  assert_reads(&in, "binary(70000) failed(1009)");
}

/* By its head: no content has to come. */
static void test_a_length_is_no_reason_to_take_memory(void **state) {
  const uint8_t head[] = {0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};
  t2_buf in = frames();
  t2_buf_append(&in, head, sizeof(head));
  assert_reads(&in, "failed(1009)");

  const uint8_t large[] = {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5};
  t2_test_mem mem;
  t2_ws_reader reader;
  size_t taken;
  t2_test_mem_init(&mem);
  t2_ws_reader_init(&reader, &mem.hook, MAX);
  assert_int_equal(t2_ws_read(&reader, large, sizeof(large), &taken), T2_WS_MORE);
  assert_true(mem.live_bytes < 4096);
  t2_ws_reader_fini(&reader);
  t2_test_mem_check(&mem);
}

static void test_text_that_is_not_utf8_fails_where_it_is_seen(void **state) {
  t2_buf in = frames();
  put_text(&in, 0x01, "fine \xed\xa0\x80"); /* before the message is whole */
  assert_reads(&in, "failed(1007)");
  in = frames();
  put_text(&in, 0x01, "\xe2\x82");
  put_text(&in, 0x80, "");
  assert_reads(&in, "failed(1007)");
}

/* ---- Against the protocol ---- */

static void assert_refused(const void *bytes, size_t n) {
  t2_buf in = frames();
  t2_buf_append(&in, bytes, n);
  assert_reads(&in, "failed(1002)");
}

static void test_frames_that_there_are_not(void **state) {
  assert_refused("\x81\x01x", 3);    /* no mask */
  assert_refused("\xc1\x80mask", 6); /* RSV1 */
  assert_refused("\xa1\x80mask", 6); /* RSV2 */
  assert_refused("\x91\x80mask", 6); /* RSV3 */
  assert_refused("\x83\x80mask", 6); /* opcodes that are reserved */
  assert_refused("\x87\x80mask", 6);
  assert_refused("\x8b\x80mask", 6);
  assert_refused("\x8f\x80mask", 6);
  assert_refused("\x80\x80mask", 6); /* a continuation of nothing */
  assert_refused("\x09\x80mask", 6); /* a ping in fragments */
  assert_refused("\x08\x80mask", 6);
  assert_refused("\x89\xfe\x00\x7emask", 8);              /* a ping of 126 bytes */
  assert_refused("\x82\xfe\x00\x7dmask", 8);              /* 125 in 16 bits */
  assert_refused("\x82\xff\0\0\0\0\0\0\xff\xffmask", 14); /* 65,535 in 64 bits */
  assert_refused("\x82\xff\x80\0\0\0\0\0\0\0mask", 14);   /* the highest bit */
  assert_refused("\x01\x80mask\x81\x80mask", 12);         /* a message within another */
}

static void test_close(void **state) {
  t2_buf in = frames();
  put_text(&in, 0x88, "");
  put_text(&in, 0x81, "nothing is read after it");
  assert_reads(&in, "close(1005)");
  in = frames();
  put(&in, 0x88,
      "\x03\xe8"
      "bye",
      5);
  assert_reads(&in, "close(1000bye)");
  in = frames();
  put_text(&in, 0x01, "in the middle of a message");
  put(&in, 0x88, "\x0f\xa0", 2);
  assert_reads(&in, "close(4000)");
}

static void test_closes_that_there_are_not(void **state) {
  static const struct {
    const char *content;
    size_t n;
    const char *expected;
  } bad[] = {{"\x03", 1, "failed(1002)"},
             {"\x03\xe7", 2, "failed(1002)"}, /* 999 */
             {"\x03\xed", 2, "failed(1002)"}, /* 1005 */
             {"\x03\xe8\xff", 3, "failed(1007)"},
             {"\x03\xe8\xe2\x82", 4, "failed(1007)"}};
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    t2_buf in = frames();
    put(&in, 0x88, bad[i].content, bad[i].n);
    assert_reads(&in, bad[i].expected);
  }
}

static void test_close_codes_at_their_bounds(void **state) {
  const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
  const unsigned bad[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535};
  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    assert_true(t2_ws_code_valid(good[i]));
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_false(t2_ws_code_valid(bad[i]));
}

/* ---- Writing ---- */

static void assert_head(uint64_t n, const char *bytes, size_t length) {
  uint8_t out[T2_WS_HEAD_MAX];
  assert_int_equal(t2_ws_head(out, T2_WS_OP_BINARY, true, n), length);
  assert_memory_equal(out, bytes, length);
}

static void test_heads(void **state) {
  uint8_t out[T2_WS_HEAD_MAX];
  assert_head(0, "\x82\x00", 2);
  assert_head(125, "\x82\x7d", 2);
  assert_head(126, "\x82\x7e\x00\x7e", 4);
  assert_head(65535, "\x82\x7e\xff\xff", 4);
  assert_head(65536, "\x82\x7f\0\0\0\0\0\1\0\0", 10);
  assert_int_equal(t2_ws_head(out, T2_WS_OP_TEXT, false, 1), 2);
  assert_int_equal(out[0], 1);
}

static void test_close_frames_that_are_written(void **state) {
  uint8_t out[T2_WS_HEAD_MAX + T2_WS_CONTROL_MAX];
  char reason[200];
  assert_int_equal(t2_ws_close(out, 1000, T2_STR("bye")), 7);
  assert_memory_equal(out,
                      "\x88\x05\x03\xe8"
                      "bye",
                      7);
  assert_int_equal(t2_ws_close(out, T2_WS_NO_CODE, T2_STR_NULL), 2);
  memset(reason, 'x', sizeof(reason));
  assert_int_equal(t2_ws_close(out, 1001, t2_str_of(reason, 123)), 127);
  assert_int_equal(t2_ws_close(out, 1001, t2_str_of(reason, 124)), 127);
  memcpy(reason + 121, "\xe2\x82\xac", 3); /* which ends past the bound */
  assert_int_equal(t2_ws_close(out, 1001, t2_str_of(reason, 200)), 125);
}

/* ---- Memory ---- */

static void read_messages(t2_test_mem *mem, void *user) {
  static char content[MAX];
  t2_buf in = frames();
  t2_ws_reader reader;
  t2_ws_event event = T2_WS_MORE;
  for (size_t i = 0; i < 3; i++)
    put(&in, 0x82, content, MAX >> 4 * i);
  t2_ws_reader_init(&reader, &mem->hook, MAX);
  for (size_t at = 0, taken; at < t2_buf_len(&in) && event != T2_WS_FAILED; at += taken)
    event = t2_ws_read(&reader, t2_buf_head(&in) + at, t2_buf_len(&in) - at, &taken);
  if (!mem->failed) assert_int_equal(event, T2_WS_BINARY);
  if (event == T2_WS_FAILED) assert_int_equal(reader.code, T2_WS_INTERNAL_ERROR);
  if (!mem->failed) assert_true(reader.message.cap < MAX / 2); /* a large message's memory was given back */
  t2_ws_reader_fini(&reader);
  t2_buf_fini(&in);
}

static void test_each_allocation_may_fail(void **state) {
  t2_test_mem_fail_each(read_messages, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages_of_one_frame),
      cmocka_unit_test(test_each_way_to_write_a_length),
      cmocka_unit_test(test_fragments_with_control_frames_between),
      cmocka_unit_test(test_a_message_has_a_bound_however_it_comes),
      cmocka_unit_test(test_a_length_is_no_reason_to_take_memory),
      cmocka_unit_test(test_text_that_is_not_utf8_fails_where_it_is_seen),
      cmocka_unit_test(test_frames_that_there_are_not),
      cmocka_unit_test(test_close),
      cmocka_unit_test(test_closes_that_there_are_not),
      cmocka_unit_test(test_close_codes_at_their_bounds),
      cmocka_unit_test(test_heads),
      cmocka_unit_test(test_close_frames_that_are_written),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
