/* Bytes of a client to an HTTP/2 server that answers: the first byte says how, and the connection's preface
 * is given, so that the input begins with frames. */
#include <http/h2.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define OUTPUT_MAX (1 << 16)

typedef struct connection {
  t2_h2 *h2;
  uint8_t options;
  size_t live, unconsumed;
} connection;

typedef struct user_stream {
  t2_h2_stream stream;
  bool seen, ended;
} user_stream;

static void answer(connection *c, t2_h2_stream *stream) {
  t2_field list[] = {{.name = T2_STR("x-trailer"), .value = T2_STR("1")}};
  t2_fields trailers = {.list = list, .n = 1};
  t2_head head = {.status = 103, .content_length = -1, .fields = trailers};
  if (c->options & 1) (void)t2_h2_respond(stream, &head, false);
  head.status = 200;
  if (t2_h2_respond(stream, &head, (c->options & 2) != 0)) return;
  if (c->options & 2) return;
  (void)t2_h2_stream_data(stream, "content", 7);
  (void)t2_h2_stream_end(stream, c->options & 4 ? &trailers : NULL);
}

static void on_head(t2_h2_stream *stream, t2_head *head, bool end, void *user) {
  connection *c = user;
  user_stream *s = (user_stream *)stream;
  if (s->seen) abort();
  if (head->path.n && !t2_is_origin_form(head->path) && !t2_str_eq(head->path, T2_STR("*"))) abort();
  if (head->authority.n && !t2_is_authority(head->authority)) abort();
  if (head->fields.n > 20) abort();
  for (size_t i = 0; i < head->fields.n; i++)
    if (!t2_is_token(head->fields.list[i].name)) abort();
  s->seen = true;
  s->ended = end;
  c->live++;
  if (c->options & 8) answer(c, stream);
  if (c->options & 16) t2_h2_stream_abandon(stream);
  if ((c->options & 32) && stream->id % 4 == 3) t2_h2_stream_reset(stream, T2_H2_REFUSED_STREAM);
}

static void on_data(t2_h2_stream *stream, const uint8_t *bytes, size_t n, void *user) {
  connection *c = user;
  if (!((user_stream *)stream)->seen || ((user_stream *)stream)->ended || !bytes) abort();
  if (stream->unconsumed > 65535) abort(); /* what a client has until it acknowledges our settings */
  if (c->options & 64) t2_h2_stream_consume(stream, n);
}

static void on_end(t2_h2_stream *stream, const t2_fields *trailers, void *user) {
  connection *c = user;
  user_stream *s = (user_stream *)stream;
  (void)trailers;
  if (!s->seen || s->ended) abort();
  s->ended = true;
  if (!(c->options & 8)) answer(c, stream);
}

static void on_stream_close(t2_h2_stream *stream, uint32_t code, bool unprocessed, void *user) {
  connection *c = user;
  (void)code;
  (void)unprocessed;
  if (((user_stream *)stream)->seen) c->live--;
}

static int flush(connection *c) {
  t2_buf out;
  t2_buf_init(&out, NULL);
  int err = t2_h2_flush(c->h2, &out, OUTPUT_MAX);
  t2_buf_fini(&out);
  return err;
}

static void run(connection *c, const uint8_t *bytes, size_t n) {
  static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0";
  int err = t2_h2_feed(c->h2, preface, sizeof(preface)); /* its NUL is the last byte of the frame */
  for (size_t at = 0, piece; at < n && err == 0 && !t2_h2_over(c->h2); at += piece) {
    piece = n - at < 97 ? n - at : 97;
    err = t2_h2_feed(c->h2, bytes + at, piece);
    if (flush(c)) break;
  }
  if (c->options & 128) (void)t2_h2_drain(c->h2, true);
  (void)flush(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  static const t2_h2_callbacks callbacks = {
      .on_head = on_head, .on_data = on_data, .on_end = on_end, .on_stream_close = on_stream_close};
  t2_h2_options options;
  connection c = {.options = n ? bytes[0] : 0};
  if (n == 0) return 0;
  t2_h2_options_init(&options);
  options.server = true;
  options.stream_size = sizeof(user_stream);
  options.concurrent_max = 5;
  options.stream_window = 1000;
  options.field_section_max = 1000;
  options.field_max = 20;
  options.extended_connect = true;
  if (t2_h2_new(&c.h2, NULL, &options, &callbacks, &c)) abort();
  run(&c, bytes + 1, n - 1);
  t2_h2_free(c.h2);
  if (c.live) abort();
  return 0;
}
