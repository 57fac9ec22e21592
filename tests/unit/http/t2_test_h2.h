/* Two HTTP/2 ends joined in memory: what one flushes the other is fed, until both are still. Each end writes
 * down what it sees, by stream. */
#ifndef T2_TEST_H2_H
#define T2_TEST_H2_H

#include <t2_test_mem.h>

#include <http/h2.h>
#include <tunnel2/error.h>

#define STREAMS_MAX 64

/* What one end has seen of a stream; kept when the stream is gone. */
typedef struct seen {
  t2_h2_stream *stream; /* NULL once it is closed */
  int32_t id;
  int heads, interim, status, ends, closes;
  bool end_with_head;
  size_t bytes, sent;
  t2_head *head, *trailers; /* copies */
  uint32_t code;
  bool unprocessed;
} seen;

typedef struct end {
  t2_h2 *h2;
  t2_buf out;
  seen list[STREAMS_MAX];
  size_t n;
  size_t streams_open, wakes, settings, pongs, goaways, reattaches;
  uint32_t goaway_code;
  bool consume;                             /* content at once */
  void (*on_request)(struct end *, seen *); /* server: what it does with a request */
  int error;                                /* of feed or flush */
} end;

typedef struct pair {
  end client, server;
  t2_h2_options options[2]; /* client's, server's */
  const t2_allocator *mem;
} pair;

/* The user's stream struct. */
typedef struct test_stream {
  t2_h2_stream stream;
  seen *seen;
} test_stream;

static inline seen *seen_of(t2_h2_stream *stream) {
  return ((test_stream *)stream)->seen;
}

static inline seen *see(end *e, t2_h2_stream *stream) {
  assert_true(e->n < STREAMS_MAX);
  seen *s = &e->list[e->n++];
  *s = (seen){.stream = stream, .id = stream->id};
  ((test_stream *)stream)->seen = s;
  e->streams_open++;
  return s;
}

static inline void on_head(t2_h2_stream *stream, t2_head *head, bool is_end, void *user) {
  end *e = user;
  seen *s = seen_of(stream);
  if (!s) s = see(e, stream);
  if (head->status >= 100 && head->status < 200) {
    s->interim++;
    return;
  }
  s->heads++;
  s->status = head->status;
  s->end_with_head = is_end;
  t2_head_free_copy(s->head, NULL);
  s->head = t2_head_copy(head, NULL);
  if (e->on_request) e->on_request(e, s);
}

static inline void on_data(t2_h2_stream *stream, const uint8_t *bytes, size_t n, void *user) {
  end *e = user;
  seen_of(stream)->bytes += n;
  assert_true(n > 0 && bytes);
  if (e->consume) t2_h2_stream_consume(stream, n);
}

static inline void on_end(t2_h2_stream *stream, const t2_fields *trailers, void *user) {
  (void)user;
  seen *s = seen_of(stream);
  s->ends++;
  if (!trailers) return;
  t2_head head = {.fields = *trailers};
  s->trailers = t2_head_copy(&head, NULL);
}

static inline void on_sent(t2_h2_stream *stream, size_t n, void *user) {
  (void)user;
  if (seen_of(stream)) seen_of(stream)->sent += n;
}

static inline void on_stream_close(t2_h2_stream *stream, uint32_t code, bool unprocessed, void *user) {
  end *e = user;
  seen *s = seen_of(stream);
  if (!s) return;
  s->closes++;
  s->code = code;
  s->unprocessed = unprocessed;
  s->stream = NULL;
  e->streams_open--;
  t2_h2_stream_consume(stream, SIZE_MAX); /* allowed to the last, and counted once */
}

static inline void on_settings(t2_h2 *h2, void *user) {
  (void)h2;
  ((end *)user)->settings++;
}

static inline void on_goaway(t2_h2 *h2, uint32_t code, void *user) {
  end *e = user;
  assert_true(t2_h2_peer_going(h2));
  e->goaways++;
  e->goaway_code = code;
}

static inline void on_pong(t2_h2 *h2, void *user) {
  (void)h2;
  ((end *)user)->pongs++;
}

static inline void on_reattach(t2_h2 *h2, void *user) {
  (void)h2;
  ((end *)user)->reattaches++;
}

static inline void on_wake(t2_h2 *h2, void *user) {
  (void)h2;
  ((end *)user)->wakes++;
}

static const t2_h2_callbacks test_callbacks = {.on_head = on_head,
                                               .on_data = on_data,
                                               .on_end = on_end,
                                               .on_sent = on_sent,
                                               .on_stream_close = on_stream_close,
                                               .on_settings = on_settings,
                                               .on_goaway = on_goaway,
                                               .on_pong = on_pong,
                                               .on_reattach = on_reattach,
                                               .wake = on_wake};

static inline int end_new(end *e, const t2_allocator *mem, const t2_h2_options *options) {
  t2_buf_init(&e->out, NULL);
  e->consume = true;
  return t2_h2_new(&e->h2, mem, options, &test_callbacks, e);
}

static inline void pair_init(pair *p, const t2_allocator *mem) {
  memset(p, 0, sizeof(*p));
  p->mem = mem;
  for (int i = 0; i < 2; i++) {
    t2_h2_options_init(&p->options[i]);
    p->options[i].server = i == 1;
    p->options[i].stream_size = sizeof(test_stream);
  }
}

static inline bool pump_once(end *from, end *to) {
  if (from->error || to->error) return false;
  int err = t2_h2_flush(from->h2, &from->out, 1 << 20);
  if (err) from->error = err;
  size_t n = t2_buf_len(&from->out);
  if (n == 0) return false;
  err = t2_h2_feed(to->h2, t2_buf_head(&from->out), n);
  if (err) to->error = err;
  t2_buf_reset(&from->out);
  return true;
}

/* Until nothing moves any more. */
static inline void pump(pair *p) {
  bool moved = true;
  while (moved) {
    moved = pump_once(&p->client, &p->server);
    moved = pump_once(&p->server, &p->client) || moved;
  }
}

static inline int pair_open(pair *p) {
  int err = end_new(&p->client, p->mem, &p->options[0]);
  if (err == 0) err = end_new(&p->server, p->mem, &p->options[1]);
  return err;
}

/* Open, with the settings of both exchanged. */
static inline void pair_start(pair *p) {
  assert_int_equal(pair_open(p), 0);
  pump(p);
  assert_int_equal(p->client.settings, 1);
  assert_int_equal(p->server.settings, 1);
}

static inline void end_free(end *e) {
  t2_h2_free(e->h2);
  assert_int_equal(e->streams_open, 0); /* each was closed, once */
  for (size_t i = 0; i < e->n; i++) {
    assert_int_equal(e->list[i].closes, 1);
    t2_head_free_copy(e->list[i].head, NULL);
    t2_head_free_copy(e->list[i].trailers, NULL);
  }
  t2_buf_fini(&e->out);
}

static inline void pair_end(pair *p) {
  end_free(&p->client);
  end_free(&p->server);
}

/* ---- What is sent ---- */

static inline int try_request(pair *p, const t2_head *head, bool is_end, seen **out) {
  t2_h2_stream *stream;
  int err = t2_h2_request(p->client.h2, head, is_end, &stream);
  if (err == 0) *out = see(&p->client, stream);
  return err;
}

static inline t2_head request_head(const char *method) {
  return (t2_head){.method = t2_str_c(method),
                   .scheme = T2_STR("https"),
                   .authority = T2_STR("a.example"),
                   .path = T2_STR("/p?q"),
                   .content_length = -1};
}

static inline seen *request(pair *p, const char *method, bool is_end) {
  t2_head head = request_head(method);
  seen *s = NULL;
  assert_int_equal(try_request(p, &head, is_end, &s), 0);
  return s;
}

static inline int respond(seen *s, int status, bool is_end) {
  t2_head head = {.status = status, .content_length = -1};
  return t2_h2_respond(s->stream, &head, is_end);
}

static inline const t2_field *field_of(const t2_head *head, const char *name) {
  return t2_fields_get(&head->fields, t2_str_c(name));
}

#endif
