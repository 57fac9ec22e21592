#include <http/ws.h>
#include <string.h>

#define FIN          0x80
#define RESERVED     0x70
#define CONTROL      0x08 /* bit of an opcode */
#define MASKED       0x80
#define LENGTH_16    126
#define LENGTH_64    127
#define MESSAGE_KEEP ((size_t)16 * 1024) /* memory that stays between messages */

void t2_ws_reader_init(t2_ws_reader *reader, const t2_allocator *mem, size_t message_max) {
  *reader = (t2_ws_reader){.message_max = message_max, .head_need = 2};
  t2_buf_init(&reader->message, mem);
}

void t2_ws_reader_fini(t2_ws_reader *reader) {
  t2_buf_fini(&reader->message);
}

static t2_ws_event fail(t2_ws_reader *reader, unsigned code, const char *why) {
  reader->over = true;
  reader->code = code;
  reader->why = why;
  return T2_WS_FAILED;
}

static t2_ws_event give(t2_ws_reader *reader, t2_ws_event event, const uint8_t *content, size_t n) {
  reader->content = content ? content : reader->control; /* an empty message may never have had memory */
  reader->content_len = n;
  return event;
}

/* ---- The head of a frame ---- */

static bool is_control(const t2_ws_reader *reader) {
  return reader->opcode & CONTROL;
}

static t2_ws_event check_opcode(t2_ws_reader *reader) {
  switch (reader->opcode) {
  case T2_WS_OP_CONTINUATION:
    if (!reader->message_opcode) return fail(reader, T2_WS_PROTOCOL_ERROR, "a continuation of nothing");
    return T2_WS_MORE;
  case T2_WS_OP_TEXT:
  case T2_WS_OP_BINARY:
    if (reader->message_opcode) return fail(reader, T2_WS_PROTOCOL_ERROR, "a message within another");
    reader->message_opcode = reader->opcode;
    reader->utf8 = (t2_utf8){0};
    return T2_WS_MORE;
  case T2_WS_OP_CLOSE:
  case T2_WS_OP_PING:
  case T2_WS_OP_PONG:
    reader->control_len = 0;
    if (!reader->fin) return fail(reader, T2_WS_PROTOCOL_ERROR, "a control frame in fragments");
    return T2_WS_MORE;
  default:
    return fail(reader, T2_WS_PROTOCOL_ERROR, "a reserved opcode");
  }
}

/* The first two bytes say how long the head is. */
static t2_ws_event begin_head(t2_ws_reader *reader) {
  uint8_t first = reader->head[0], second = reader->head[1], length = second & ~MASKED;
  reader->fin = first & FIN;
  reader->opcode = first & 0x0f;
  if (first & RESERVED) return fail(reader, T2_WS_PROTOCOL_ERROR, "reserved bits are set");
  if (!(second & MASKED)) return fail(reader, T2_WS_PROTOCOL_ERROR, "a frame without a mask");
  if (is_control(reader) && length > T2_WS_CONTROL_MAX)
    return fail(reader, T2_WS_PROTOCOL_ERROR, "a control frame that is too long");
  reader->head_need = length == LENGTH_64 ? 14 : length == LENGTH_16 ? 8 : 6;
  return check_opcode(reader);
}

static uint64_t number(const uint8_t *bytes, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n; i++)
    value = value << 8 | bytes[i];
  return value;
}

/* Lengths are written as short as can be, and have 63 bits (RFC 6455, 5.2). */
static t2_ws_event end_head(t2_ws_reader *reader) {
  uint8_t length = reader->head[1] & ~MASKED;
  uint64_t left = length, least = 0;
  if (length == LENGTH_16) {
    left = number(reader->head + 2, 2);
    least = LENGTH_16;
  } else if (length == LENGTH_64) {
    left = number(reader->head + 2, 8);
    least = UINT16_MAX + 1;
  }
  if (left < least || left > INT64_MAX)
    return fail(reader, T2_WS_PROTOCOL_ERROR, "a length that is not written as it has to be");
  if (!is_control(reader) && left > reader->message_max - t2_buf_len(&reader->message))
    return fail(reader, T2_WS_TOO_BIG, "the message is too big");
  reader->left = left;
  reader->mask_at = 0;
  return T2_WS_MORE;
}

static t2_ws_event read_head(t2_ws_reader *reader, const uint8_t *bytes, size_t n, size_t *taken) {
  t2_ws_event event = T2_WS_MORE;
  while (*taken < n && reader->head_len < reader->head_need && event == T2_WS_MORE) {
    reader->head[reader->head_len++] = bytes[(*taken)++];
    if (reader->head_len == 2) event = begin_head(reader);
  }
  if (event == T2_WS_MORE && reader->head_len == reader->head_need && reader->head_need > 2)
    event = end_head(reader);
  return event;
}

/* ---- Its content ---- */

/* Word by word; the mask is turned so that it begins at mask_at. */
static void unmask(t2_ws_reader *reader, uint8_t *out, const uint8_t *in, size_t n) {
  const uint8_t *mask = reader->head + reader->head_need - 4;
  uint8_t turned[8];
  uint64_t eight, word;
  size_t i = 0;
  for (size_t k = 0; k < sizeof(turned); k++)
    turned[k] = mask[(reader->mask_at + k) & 3];
  memcpy(&word, turned, sizeof(word));
  for (; i + sizeof(eight) <= n; i += sizeof(eight)) {
    memcpy(&eight, in + i, sizeof(eight));
    eight ^= word;
    memcpy(out + i, &eight, sizeof(eight));
  }
  for (; i < n; i++)
    out[i] = in[i] ^ turned[i & 7];
  reader->mask_at = (uint8_t)((reader->mask_at + n) & 3);
}

static t2_ws_event add_to_message(t2_ws_reader *reader, const uint8_t *bytes, size_t n) {
  uint8_t *out = t2_buf_reserve(&reader->message, n);
  if (!out) return fail(reader, T2_WS_INTERNAL_ERROR, "there is no memory for the message");
  unmask(reader, out, bytes, n);
  t2_buf_commit(&reader->message, n);
  if (reader->message_opcode == T2_WS_OP_TEXT && !t2_utf8_check(&reader->utf8, out, n))
    return fail(reader, T2_WS_NOT_UTF8, "a text is not UTF-8");
  return T2_WS_MORE;
}

static t2_ws_event read_content(t2_ws_reader *reader, const uint8_t *bytes, size_t n, size_t *taken) {
  size_t here = n - *taken < reader->left ? n - *taken : (size_t)reader->left;
  t2_ws_event event = T2_WS_MORE;
  if (here == 0) return event;
  if (is_control(reader)) {
    unmask(reader, reader->control + reader->control_len, bytes + *taken, here);
    reader->control_len = (uint8_t)(reader->control_len + here);
  } else {
    event = add_to_message(reader, bytes + *taken, here);
  }
  *taken += here;
  reader->left -= here;
  return event;
}

/* ---- Its end ---- */

static t2_ws_event end_close(t2_ws_reader *reader) {
  t2_utf8 utf8 = {0};
  reader->over = true;
  reader->code = T2_WS_NO_CODE;
  if (reader->control_len == 0) return give(reader, T2_WS_CLOSE, reader->control, 0);
  if (reader->control_len == 1) return fail(reader, T2_WS_PROTOCOL_ERROR, "half a close code");
  unsigned code = (unsigned)number(reader->control, 2);
  const uint8_t *reason = reader->control + 2;
  size_t n = (size_t)reader->control_len - 2;
  if (!t2_ws_code_valid(code)) return fail(reader, T2_WS_PROTOCOL_ERROR, "a close code that there is not");
  if (!t2_utf8_check(&utf8, reason, n) || !t2_utf8_is_whole(&utf8))
    return fail(reader, T2_WS_NOT_UTF8, "a close reason is not UTF-8");
  reader->code = code;
  return give(reader, T2_WS_CLOSE, reason, n);
}

static t2_ws_event end_message(t2_ws_reader *reader) {
  bool text = reader->message_opcode == T2_WS_OP_TEXT;
  if (!reader->fin) return T2_WS_MORE;
  if (text && !t2_utf8_is_whole(&reader->utf8))
    return fail(reader, T2_WS_NOT_UTF8, "a text ends within a character");
  reader->message_opcode = T2_WS_OP_CONTINUATION;
  reader->given = true;
  return give(reader, text ? T2_WS_TEXT : T2_WS_BINARY, t2_buf_head(&reader->message),
              t2_buf_len(&reader->message));
}

static t2_ws_event end_frame(t2_ws_reader *reader) {
  reader->head_len = 0;
  reader->head_need = 2;
  switch (reader->opcode) {
  case T2_WS_OP_CLOSE:
    return end_close(reader);
  case T2_WS_OP_PING:
    return give(reader, T2_WS_PING, reader->control, reader->control_len);
  case T2_WS_OP_PONG:
    return give(reader, T2_WS_PONG, reader->control, reader->control_len);
  default:
    return end_message(reader);
  }
}

static void drop_given(t2_ws_reader *reader) {
  if (!reader->given) return;
  reader->given = false;
  t2_buf_reset(&reader->message);
  t2_buf_shrink(&reader->message, MESSAGE_KEEP);
}

t2_ws_event t2_ws_read(t2_ws_reader *reader, const uint8_t *bytes, size_t n, size_t *taken) {
  t2_ws_event event = T2_WS_MORE;
  *taken = 0;
  drop_given(reader);
  while (!reader->over && event == T2_WS_MORE && *taken < n) {
    if (reader->head_len < reader->head_need) event = read_head(reader, bytes, n, taken);
    if (event || reader->head_len < reader->head_need) continue;
    event = read_content(reader, bytes, n, taken);
    if (event == T2_WS_MORE && reader->left == 0) event = end_frame(reader);
  }
  if (reader->over && event == T2_WS_MORE) *taken = n;
  return event;
}

/* ---- Writing ---- */

size_t t2_ws_head(uint8_t out[T2_WS_HEAD_MAX], t2_ws_opcode opcode, bool fin, uint64_t n) {
  size_t bytes = n < LENGTH_16 ? 0 : n <= UINT16_MAX ? 2 : 8;
  out[0] = (uint8_t)((fin ? FIN : 0) | opcode);
  out[1] = bytes == 0 ? (uint8_t)n : bytes == 2 ? LENGTH_16 : LENGTH_64;
  for (size_t i = 0; i < bytes; i++)
    out[2 + i] = (uint8_t)(n >> 8 * (bytes - 1 - i));
  return 2 + bytes;
}

/* The longest start of it that fits and ends with a character. */
static size_t cut_reason(t2_str reason) {
  size_t n = reason.n;
  if (n <= T2_WS_REASON_MAX) return n;
  n = T2_WS_REASON_MAX;
  while (n && ((uint8_t)reason.p[n] & 0xc0) == 0x80)
    n--;
  return n;
}

size_t t2_ws_close(uint8_t out[T2_WS_HEAD_MAX + T2_WS_CONTROL_MAX], unsigned code, t2_str reason) {
  size_t n = cut_reason(reason);
  if (code == T2_WS_NO_CODE) return t2_ws_head(out, T2_WS_OP_CLOSE, true, 0);
  size_t at = t2_ws_head(out, T2_WS_OP_CLOSE, true, 2 + n);
  out[at++] = (uint8_t)(code >> 8);
  out[at++] = (uint8_t)code;
  if (n) memcpy(out + at, reason.p, n);
  return at + n;
}

/* RFC 6455, 7.4, and the registry of it: 1004 to 1006 and 1015 are never sent. */
bool t2_ws_code_valid(unsigned code) {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}
