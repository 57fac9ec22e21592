/* Frames (tunnel2/frame.h): a temperature and its place are written as two frames, and read again from pieces
 * of three bytes, as they might come from a network. No I/O, and no memory but this program's own. */
#include <stdio.h>
#include <string.h>
#include <tunnel2/frame.h>

enum { READING = 0x2a01, CELSIUS = 1, PLACE = 2 }; /* a type of frame and its fields, made up */

static int write_reading(t2_frame_writer *writer, uint64_t celsius, const char *place) {
  t2_frame_begin(writer, READING);
  t2_frame_put_u64(writer, CELSIUS, celsius);
  t2_frame_put_bytes(writer, PLACE, place, strlen(place));
  return t2_frame_end(writer); /* the first error of all four, if there was one */
}

/* One whole frame. Types and fields that are not known are skipped, so that there may be more one day. */
static int on_frame(uint64_t type, const uint8_t *value, size_t n, void *user) {
  uint64_t celsius;
  const uint8_t *place;
  size_t length;
  (void)user;
  if (type != READING) return 0;
  if (t2_frame_find_u64(value, n, CELSIUS, &celsius) != 1) return T2_ERR_PROTOCOL;
  if (t2_frame_find_bytes(value, n, PLACE, &place, &length) != 1) return T2_ERR_PROTOCOL;
  printf("%u degrees in the %.*s\n", (unsigned)celsius, (int)length, (const char *)place);
  return 0;
}

int main(void) {
  uint8_t bytes[128], memory[128];
  t2_frame_writer writer;
  t2_frame_decoder decoder;

  t2_frame_writer_init(&writer, bytes, sizeof(bytes));
  write_reading(&writer, 21, "kitchen");
  if (write_reading(&writer, 4, "cellar")) return 1;
  printf("%zu bytes\n", writer.finished);

  t2_frame_decoder_init(&decoder, memory, sizeof(memory), on_frame, NULL);
  for (size_t at = 0; at < writer.finished; at += 3) {
    size_t n = writer.finished - at < 3 ? writer.finished - at : 3;
    int err = t2_frame_decoder_feed(&decoder, bytes + at, n);
    if (err) {
      fprintf(stderr, "frames: %s\n", t2_strerror(err));
      return 1;
    }
  }
  return t2_frame_decoder_finish(&decoder) ? 1 : 0;
}
