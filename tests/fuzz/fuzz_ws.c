/* The reader of WebSocket frames: a stream in pieces gives the same events as in one, and no message is
 * larger than was said. */
#include <http/ws.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What one pass over the stream saw. */
typedef struct pass {
  uint64_t sum; /* of events, codes and bytes, in order */
  size_t count;
  bool over;
} pass;

static void require(bool holds) {
  if (!holds) abort();
}

static void add(pass *p, uint64_t value) {
  p->sum = (p->sum ^ value) * 0x100000001b3;
}

static void note(pass *p, const t2_ws_reader *reader, t2_ws_event event) {
  if (event == T2_WS_MORE) return;
  require(!p->over);
  p->over = event == T2_WS_CLOSE || event == T2_WS_FAILED;
  p->count++;
  add(p, event);
  if (p->over) add(p, reader->code);
  if (event == T2_WS_FAILED) return;
  require(reader->content_len <= (event <= T2_WS_BINARY ? MESSAGE_MAX : T2_WS_CONTROL_MAX));
  for (size_t i = 0; i < reader->content_len; i++)
    add(p, reader->content[i]);
}

/* Each piece is a copy, so that a sanitizer sees what is read past it. */
static void run(const uint8_t *data, size_t size, size_t piece, pass *p) {
  t2_ws_reader reader;

  t2_ws_reader_init(&reader, NULL, MESSAGE_MAX);
  for (size_t at = 0; at < size; at += piece) {
    size_t n = size - at < piece ? size - at : piece;
    uint8_t *copy = malloc(n);
    if (!copy) abort();
    memcpy(copy, data + at, n);
    for (size_t done = 0, taken; done < n; done += taken) {
      t2_ws_event event = t2_ws_read(&reader, copy + done, n - done, &taken);
      note(p, &reader, event);
      require(taken || event);
    }
    free(copy);
  }
  t2_ws_reader_fini(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pass whole = {0}, parts = {0};

  if (size < 2) return 0;
  run(data + 1, size - 1, size - 1, &whole);
  run(data + 1, size - 1, 1 + data[0] % 64, &parts);
  require(whole.count == parts.count && whole.sum == parts.sum);
  return 0;
}
