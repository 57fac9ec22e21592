/* WebSocket frames (RFC 6455, 5) as a server reads and writes them. Sans-I/O.
 *
 *   bytes ──t2_ws_read──▶ TEXT, BINARY (whole messages), PING, PONG, CLOSE, or FAILED with a close code
 *
 * Fragments are put together, and control frames between them come when they come. What is kept is one
 * message: at most message_max bytes, grown by what has come, not by what a header says is to come. */
#ifndef T2_HTTP_WS_H
#define T2_HTTP_WS_H

#include <base/buf.h>
#include <http/utf8.h>

#define T2_WS_HEAD_MAX    10  /* bytes in front of what a server sends */
#define T2_WS_CONTROL_MAX 125 /* of content of a control frame (RFC 6455, 5.5) */
#define T2_WS_REASON_MAX  (T2_WS_CONTROL_MAX - 2)

typedef enum t2_ws_opcode {
  T2_WS_OP_CONTINUATION = 0,
  T2_WS_OP_TEXT = 1,
  T2_WS_OP_BINARY = 2,
  T2_WS_OP_CLOSE = 8,
  T2_WS_OP_PING = 9,
  T2_WS_OP_PONG = 10
} t2_ws_opcode;

/* RFC 6455, 7.4.1. */
typedef enum t2_ws_code {
  T2_WS_NORMAL = 1000,
  T2_WS_PROTOCOL_ERROR = 1002,
  T2_WS_NO_CODE = 1005, /* a close without one; never sent */
  T2_WS_ABNORMAL = 1006 /* no close at all; never sent */,
  T2_WS_NOT_UTF8 = 1007,
  T2_WS_TOO_BIG = 1009,
  T2_WS_INTERNAL_ERROR = 1011
} t2_ws_code;

typedef enum t2_ws_event {
  T2_WS_MORE = 0, /* all was read, and nothing is whole */
  T2_WS_TEXT,     /* content: the message */
  T2_WS_BINARY,
  T2_WS_PING, /* content: what it carries */
  T2_WS_PONG,
  T2_WS_CLOSE, /* code (T2_WS_NO_CODE: none), and content: the reason. Nothing is read after it */
  T2_WS_FAILED /* code, and why: what the peer is to be told. Nothing is read after it */
} t2_ws_event;

/* Embedded. */
typedef struct t2_ws_reader {
  size_t message_max;
  /* The frame under way. */
  uint8_t head[14]; /* RFC 6455, 5.2 */
  uint8_t head_len, head_need;
  uint8_t opcode, mask_at;
  bool fin;
  uint64_t left; /* of its content */
  /* The message under way, and the control frame. */
  uint8_t message_opcode; /* T2_WS_OP_CONTINUATION: there is none */
  bool given;             /* the message was, and is dropped when reading goes on */
  bool over;
  t2_utf8 utf8;
  t2_buf message;
  uint8_t control[T2_WS_CONTROL_MAX];
  uint8_t control_len;
  /* Of the last event; valid until the next call. */
  const uint8_t *content;
  size_t content_len;
  unsigned code;
  const char *why;
} t2_ws_reader;

void t2_ws_reader_init(t2_ws_reader *reader, const t2_allocator *mem, size_t message_max);
void t2_ws_reader_fini(t2_ws_reader *reader);
/* Reads up to the next event; *taken says how far, n with T2_WS_MORE. */
t2_ws_event t2_ws_read(t2_ws_reader *reader, const uint8_t *bytes, size_t n, size_t *taken);

/* The head of an unmasked frame of n bytes of content; returns its length. */
size_t t2_ws_head(uint8_t out[T2_WS_HEAD_MAX], t2_ws_opcode opcode, bool fin, uint64_t n);
/* A whole close frame; returns its length. T2_WS_NO_CODE: without a code. A reason past T2_WS_REASON_MAX is
 * cut, at a character's end. */
size_t t2_ws_close(uint8_t out[T2_WS_HEAD_MAX + T2_WS_CONTROL_MAX], unsigned code, t2_str reason);
/* May a close frame have it? */
bool t2_ws_code_valid(unsigned code);

#endif
