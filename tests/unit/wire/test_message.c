#include <t2_test_mem.h>

#include <tunnel2/error.h>
#include <wire/message.h>

/* One message of each type with every field, and where they are optional one with none. */
static const t2_message complete[] = {
    {.type = T2_MSG_HEARTBEAT,
     .seq = 1,
     .active = 2,
     .requests = 300,
     .bytes_in = 70000,
     .bytes_out = T2_VARINT_MAX,
     .park = T2_PARK_WAS},
    {.type = T2_MSG_LEASE, .seq = 9, .lease_seconds = 30},
    {.type = T2_MSG_TICKET, .ticket = {"a.b.c", 5}, .expires_at = 1700000000},
    {.type = T2_MSG_ENTRIES,
     .entries = {{{"one", 3}, {"https://a:1", 11}}, {{"two", 3}, {"https://b:2", 11}}},
     .entry_count = 2},
    {.type = T2_MSG_ENTRIES},
    {.type = T2_MSG_DRAIN, .reason = {"upgrade", 7}},
    {.type = T2_MSG_DRAIN},
    {.type = T2_MSG_REVOKE,
     .session = {"shop", 4},
     .reason = {"ended", 5},
     .ticket_id = {"t-1", 3},
     .issued_before = 1700000001},
    {.type = T2_MSG_REVOKE, .session = {"shop", 4}},
    {.type = T2_MSG_KEYS, .jwks = {"{\"keys\":[]}", 11}},
    {.type = T2_MSG_PARK, .return_seconds = 60, .lease_seconds = 180},
};

static void assert_same_text(t2_str a, t2_str b) {
  assert_true(t2_str_eq(a, b));
}

static void assert_same(const t2_message *a, const t2_message *b) {
  assert_true(a->type == b->type && a->seq == b->seq && a->active == b->active && a->requests == b->requests);
  assert_true(a->bytes_in == b->bytes_in && a->bytes_out == b->bytes_out);
  assert_true(a->lease_seconds == b->lease_seconds && a->expires_at == b->expires_at);
  assert_true(a->issued_before == b->issued_before);
  assert_true(a->park == b->park && a->return_seconds == b->return_seconds);
  assert_same_text(a->ticket, b->ticket);
  assert_same_text(a->session, b->session);
  assert_same_text(a->reason, b->reason);
  assert_same_text(a->jwks, b->jwks);
  assert_same_text(a->ticket_id, b->ticket_id);
  assert_int_equal(a->entry_count, b->entry_count);
  for (size_t i = 0; i < a->entry_count; i++) {
    assert_same_text(a->entries[i].id, b->entries[i].id);
    assert_same_text(a->entries[i].uplink, b->entries[i].uplink);
  }
}

/* The type, and where the value stands, of the one frame in buf. */
static uint64_t open_frame(const t2_buf *buf, const uint8_t **value, size_t *n) {
  const uint8_t *bytes = t2_buf_head(buf);
  uint64_t type, length;
  int a = t2_varint_decode(bytes, t2_buf_len(buf), &type);

  assert_true(a > 0);
  int b = t2_varint_decode(bytes + a, t2_buf_len(buf) - (size_t)a, &length);
  assert_true(b > 0);
  assert_int_equal(length, t2_buf_len(buf) - (size_t)(a + b));
  *value = bytes + a + b;
  *n = length;
  return type;
}

static void test_every_message_comes_back(void **state) {
  for (size_t i = 0; i < T2_COUNT_OF(complete); i++) {
    const uint8_t *value;
    size_t n;
    t2_message back;
    t2_buf buf;
    t2_buf_init(&buf, NULL);
    assert_int_equal(t2_message_encode(&complete[i], &buf), 0);
    uint64_t type = open_frame(&buf, &value, &n);
    assert_int_equal(t2_message_decode(type, value, n, &back), 0);
    assert_same(&complete[i], &back);
    t2_buf_fini(&buf);
  }
}

static void test_a_heartbeat_has_the_bytes_of_the_protocol(void **state) {
  static const uint8_t expected[] = {0xc0, 0x00, 0x00, 0x00, 0x74, 0x32, 0x00, 0x01, 0x80, 0x00, 0x00,
                                     0x0a, 0x01, 0x01, 0x05, 0x02, 0x01, 0x02, 0x03, 0x02, 0x41, 0x2c};
  const t2_message heartbeat = {.type = T2_MSG_HEARTBEAT, .seq = 5, .active = 2, .requests = 300};
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  assert_int_equal(t2_message_encode(&heartbeat, &buf), 0);
  assert_int_equal(t2_buf_len(&buf), sizeof(expected));
  assert_memory_equal(t2_buf_head(&buf), expected, sizeof(expected));
  t2_buf_fini(&buf);
}

static void test_known_types_are_these_and_no_others(void **state) {
  for (uint64_t type = 0x74320001; type <= 0x74320008; type++)
    assert_true(t2_message_known(type, NULL));
  assert_false(t2_message_known(0x74320000, NULL));
  assert_false(t2_message_known(0x74320009, NULL));
  assert_false(t2_message_known(0, NULL));
  assert_false(t2_message_known(T2_VARINT_MAX, NULL));
}

static void test_what_cannot_be_said_is_not_encoded(void **state) {
  const t2_message bad[] = {
      {.type = 0},
      {.type = 0x74320009, .seq = 1},
      {.type = T2_MSG_TICKET, .expires_at = 1},
      {.type = T2_MSG_REVOKE},
      {.type = T2_MSG_KEYS},
      {.type = T2_MSG_HEARTBEAT, .seq = T2_VARINT_MAX + 1},
      {.type = T2_MSG_HEARTBEAT, .bytes_in = UINT64_MAX},
      {.type = T2_MSG_ENTRIES, .entries = {{.id = {"one", 3}}}, .entry_count = 1},
      {.type = T2_MSG_ENTRIES, .entries = {{.uplink = {"u", 1}}}, .entry_count = 1},
      {.type = T2_MSG_ENTRIES, .entry_count = T2_MESSAGE_ENTRIES_MAX + 1},
  };
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  t2_buf_append_c(&buf, "x");
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_message_encode(&bad[i], &buf), T2_ERR_INVALID);
  assert_int_equal(t2_buf_len(&buf), 1);
  t2_buf_fini(&buf);
}

static void test_the_longest_message_is_encoded_and_one_byte_more_is_not(void **state) {
  /* type 8, length 4, key 1, length 2 (up to 16383) */
  enum { LONGEST = T2_MESSAGE_MAX - 15 };
  static char text[LONGEST + 1];
  t2_message keys = {.type = T2_MSG_KEYS, .jwks = {text, LONGEST}};
  t2_buf buf;

  memset(text, ' ', sizeof(text));
  t2_buf_init(&buf, NULL);
  assert_int_equal(t2_message_encode(&keys, &buf), 0);
  assert_int_equal(t2_buf_len(&buf), T2_MESSAGE_MAX);
  keys.jwks.n++;
  assert_int_equal(t2_message_encode(&keys, &buf), T2_ERR_LIMIT);
  assert_int_equal(t2_buf_len(&buf), T2_MESSAGE_MAX);
  t2_buf_fini(&buf);
}

/* ---- Decoding what this side would not write ---- */

static int decode(uint64_t type, t2_str value, t2_message *message) {
  uint8_t *copy = malloc(value.n ? value.n : 1);

  memcpy(copy, value.p, value.n);
  int r = t2_message_decode(type, copy, value.n, message);
  free(copy);
  return r;
}

static void test_unknown_types_are_told_and_unknown_keys_skipped(void **state) {
  t2_message m;

  assert_int_equal(decode(0x74320009, T2_STR("\x01\x01\x05"), &m), T2_ERR_UNSUPPORTED);
  assert_int_equal(decode(0, T2_STR("junk"), &m), T2_ERR_UNSUPPORTED);
  assert_int_equal(decode(T2_MSG_LEASE, T2_STR("\x3f\x02hi\x01\x01\x05\x06\x01\x1e\x40\x40\x00"), &m), 0);
  assert_int_equal(m.seq, 5);
  assert_int_equal(m.lease_seconds, 30);
  /* A key of another message is unknown to this one, even twice. */
  assert_int_equal(decode(T2_MSG_LEASE, T2_STR("\x01\x01\x05\x06\x01\x1e\x0d\x01x\x0d\x01y"), &m), 0);
  assert_int_equal(m.reason.n, 0);
}

static void test_broken_messages_are_refused(void **state) {
  const struct {
    uint64_t type;
    t2_str value;
  } cases[] = {
      {T2_MSG_HEARTBEAT, T2_STR("")},                                     /* seq is missing */
      {T2_MSG_HEARTBEAT, T2_STR("\x02\x01\x05")},                         /* likewise */
      {T2_MSG_HEARTBEAT, T2_STR("\x01\x01\x05\x01\x01\x05")},             /* twice */
      {T2_MSG_HEARTBEAT, T2_STR("\x01\x00")},                             /* no varint */
      {T2_MSG_HEARTBEAT, T2_STR("\x01\x01\x40")},                         /* a cut varint */
      {T2_MSG_HEARTBEAT, T2_STR("\x01\x02\x05\x05")},                     /* more than a varint */
      {T2_MSG_HEARTBEAT, T2_STR("\x01\x01\x05\x02")},                     /* a cut field */
      {T2_MSG_HEARTBEAT, T2_STR("\x01\x01\x05\x02\x05\x01")},             /* likewise */
      {T2_MSG_LEASE, T2_STR("\x01\x01\x05")},                             /* lease_seconds is missing */
      {T2_MSG_LEASE, T2_STR("\x06\x01\x05")},                             /* seq is missing */
      {T2_MSG_TICKET, T2_STR("\x07\x01t")},                               /* expires_at is missing */
      {T2_MSG_TICKET, T2_STR("\x08\x01\x05")},                            /* ticket is missing */
      {T2_MSG_TICKET, T2_STR("\x07\x00\x08\x01\x05")},                    /* ticket is empty */
      {T2_MSG_TICKET, T2_STR("\x07\x01t\x07\x01t\x08\x01\x05")},          /* twice */
      {T2_MSG_DRAIN, T2_STR("\x0d\x00\x0d\x00")},                         /* twice, though empty */
      {T2_MSG_REVOKE, T2_STR("\x0d\x01r")},                               /* session is missing */
      {T2_MSG_REVOKE, T2_STR("\x0c\x00")},                                /* session is empty */
      {T2_MSG_KEYS, T2_STR("")},                                          /* jwks is missing */
      {T2_MSG_PARK, T2_STR("\x12\x01\x3c")},                              /* lease_seconds is missing */
      {T2_MSG_PARK, T2_STR("\x06\x01\x3c")},                              /* return_seconds is missing */
      {T2_MSG_HEARTBEAT, T2_STR("\x01\x01\x05\x11\x01\x01\x11\x01\x01")}, /* park twice */
      {T2_MSG_ENTRIES, T2_STR("\x09\x00")},                               /* an entry of nothing */
      {T2_MSG_ENTRIES, T2_STR("\x09\x03\x0a\x01i")},                      /* without uplink */
      {T2_MSG_ENTRIES, T2_STR("\x09\x03\x0b\x01u")},                      /* without id */
      {T2_MSG_ENTRIES, T2_STR("\x09\x05\x0a\x00\x0b\x01u")},              /* with an empty id */
      {T2_MSG_ENTRIES, T2_STR("\x09\x05\x0a\x01i\x0b\x00")},              /* with an empty uplink */
      {T2_MSG_ENTRIES, T2_STR("\x09\x09\x0a\x01i\x0b\x01u\x0a\x01i")},    /* with two ids */
      {T2_MSG_ENTRIES, T2_STR("\x09\x07\x0a\x01i\x0b\x01u\x0a")},         /* cut inside */
  };

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    t2_message m;
    assert_int_equal(decode(cases[i].type, cases[i].value, &m), T2_ERR_PROTOCOL);
  }
}

static void test_as_many_entries_as_fit_are_read_and_one_more_is_refused(void **state) {
  char value[(T2_MESSAGE_ENTRIES_MAX + 1) * 8];
  t2_message m;

  for (size_t i = 0; i <= T2_MESSAGE_ENTRIES_MAX; i++)
    memcpy(value + i * 8, "\x09\x06\x0a\x01i\x0b\x01u", 8);
  assert_int_equal(decode(T2_MSG_ENTRIES, t2_str_of(value, T2_MESSAGE_ENTRIES_MAX * 8), &m), 0);
  assert_int_equal(m.entry_count, T2_MESSAGE_ENTRIES_MAX);
  assert_int_equal(decode(T2_MSG_ENTRIES, t2_str_of(value, sizeof(value)), &m), T2_ERR_LIMIT);
}

static void test_unknown_keys_of_an_entry_are_skipped(void **state) {
  t2_message m;

  assert_int_equal(decode(T2_MSG_ENTRIES, T2_STR("\x09\x09\x0a\x01i\x3f\x01?\x0b\x01u"), &m), 0);
  assert_int_equal(m.entry_count, 1);
}

typedef struct stream {
  size_t count;
  uint64_t seqs;
} stream;

static int take(uint64_t type, const uint8_t *value, size_t n, void *user) {
  stream *s = user;
  t2_message m;
  int r = t2_message_decode(type, value, n, &m);

  s->count++;
  s->seqs += m.seq;
  return r;
}

static void test_a_stream_byte_by_byte_with_strangers_between(void **state) {
  uint8_t stranger[4096] = {0x80, 0xbe, 0xef, 0x00, 0x4f, 0xfa}, buffer[64];
  stream s = {0};
  t2_frame_decoder decoder;
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  for (uint64_t seq = 1; seq <= 3; seq++) {
    t2_message heartbeat = {.type = T2_MSG_HEARTBEAT, .seq = seq};
    assert_int_equal(t2_message_encode(&heartbeat, &buf), 0);
    t2_buf_append(&buf, stranger, sizeof(stranger));
  }
  t2_frame_decoder_init(&decoder, buffer, sizeof(buffer), take, &s);
  t2_frame_decoder_set_filter(&decoder, t2_message_known);
  for (size_t i = 0; i < t2_buf_len(&buf); i++)
    assert_int_equal(t2_frame_decoder_feed(&decoder, t2_buf_head(&buf) + i, 1), 0);
  assert_int_equal(t2_frame_decoder_finish(&decoder), 0);
  assert_int_equal(s.count, 3);
  assert_int_equal(s.seqs, 6);
  t2_buf_fini(&buf);
}

static void encode_all(t2_test_mem *mem, void *user) {
  t2_buf buf;

  t2_buf_init(&buf, &mem->hook);
  for (size_t i = 0; i < T2_COUNT_OF(complete); i++) {
    size_t before = t2_buf_len(&buf);
    int r = t2_message_encode(&complete[i], &buf);
    if (r == 0) continue;
    assert_true(mem->failed);
    assert_int_equal(r, T2_ERR_NOMEM);
    assert_int_equal(t2_buf_len(&buf), before);
  }
  t2_buf_fini(&buf);
}

static void test_without_memory_nothing_is_appended(void **state) {
  assert_true(t2_test_mem_fail_each(encode_all, NULL) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_message_comes_back),
      cmocka_unit_test(test_a_heartbeat_has_the_bytes_of_the_protocol),
      cmocka_unit_test(test_known_types_are_these_and_no_others),
      cmocka_unit_test(test_what_cannot_be_said_is_not_encoded),
      cmocka_unit_test(test_the_longest_message_is_encoded_and_one_byte_more_is_not),
      cmocka_unit_test(test_unknown_types_are_told_and_unknown_keys_skipped),
      cmocka_unit_test(test_broken_messages_are_refused),
      cmocka_unit_test(test_as_many_entries_as_fit_are_read_and_one_more_is_refused),
      cmocka_unit_test(test_unknown_keys_of_an_entry_are_skipped),
      cmocka_unit_test(test_a_stream_byte_by_byte_with_strangers_between),
      cmocka_unit_test(test_without_memory_nothing_is_appended),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
