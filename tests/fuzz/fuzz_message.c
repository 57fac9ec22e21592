/* The control channel: what is read from a stream is written again and reads the same. */
#include <stdlib.h>
#include <tunnel2/error.h>
#include <wire/message.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

static int on_frame_again(uint64_t type, const uint8_t *value, size_t n, void *user) {
  t2_message message;

  require(t2_message_decode(type, value, n, &message) == 0);
  return t2_message_encode(&message, user);
}

/* Written, read and written once more it is the same. */
static void write_again(const t2_message *message) {
  uint8_t buffer[T2_MESSAGE_MAX];
  t2_frame_decoder decoder;
  t2_buf first, second;

  t2_buf_init(&first, NULL);
  t2_buf_init(&second, NULL);
  int r = t2_message_encode(message, &first);
  require(r == 0 || r == T2_ERR_LIMIT); /* our lengths may take more bytes than those that were read */
  if (r == 0) {
    require(t2_buf_len(&first) <= T2_MESSAGE_MAX);
    t2_frame_decoder_init(&decoder, buffer, sizeof(buffer), on_frame_again, &second);
    require(t2_frame_decoder_feed(&decoder, t2_buf_head(&first), t2_buf_len(&first)) == 0);
    require(t2_buf_len(&first) == t2_buf_len(&second));
    require(memcmp(t2_buf_head(&first), t2_buf_head(&second), t2_buf_len(&first)) == 0);
  }
  t2_buf_fini(&first);
  t2_buf_fini(&second);
}

static int on_frame(uint64_t type, const uint8_t *value, size_t n, void *user) {
  t2_message message;
  int r = t2_message_decode(type, value, n, &message);

  (void)user;
  if (r == 0) write_again(&message);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uint8_t buffer[T2_MESSAGE_MAX];
  t2_frame_decoder decoder;

  if (size == 0) return 0;
  /* As the value of one message, whose type the first byte says; and all of it as a stream. */
  on_frame(T2_MSG_HEARTBEAT + data[0] % 8, data + 1, size - 1, NULL);
  t2_frame_decoder_init(&decoder, buffer, sizeof(buffer), on_frame, NULL);
  t2_frame_decoder_set_filter(&decoder, t2_message_known);
  if (t2_frame_decoder_feed(&decoder, data, size) == 0) (void)t2_frame_decoder_finish(&decoder);
  return 0;
}
