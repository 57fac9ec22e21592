/* Two ends of an HTTP/2 connection joined in memory: GETs whose answers have 13 bytes; and the whole way of a
 * request through what both programs do without sockets and TLS: HTTP/1.1 read, forwarded, over HTTP/2,
 * written, and back. */
#include "bench.h"
#include "messages.h"

#include <http/forward.h>
#include <http/h1.h>
#include <http/h2.h>

#define BATCH 64 /* requests that share a flush, as at 64 connections */

typedef struct end {
  t2_h2 *h2;
  t2_buf out;
} end;

typedef struct pair {
  end client, server;
  size_t batch, done;
  t2_head request, response; /* what is sent where HTTP/1.1 has no part */
  bool whole;                /* HTTP/1.1 has a part */
  t2_h1_parser *requests, *responses;
  uint8_t bytes[2048];
  t2_head forwarded;
  t2_buf scratch, public_out, origin_out;
} pair;

static t2_head *parse_head(t2_h1_parser *parser, uint8_t *bytes, const char *text, size_t n) {
  t2_h1_event event;
  memcpy(bytes, text, n);
  t2_h1_parse(parser, bytes, n, &event);
  T2_BENCH_NEED(event.type == T2_H1_HEAD);
  return event.head;
}

/* The content of an answer, once its head was used. */
static void parse_rest(t2_h1_parser *parser, uint8_t *bytes, size_t n) {
  t2_h1_event event;
  size_t at = 0;
  while (at < n)
    at += t2_h1_parse(parser, bytes + at, n - at, &event);
  T2_BENCH_NEED(event.type == T2_H1_END);
}

/* ---- The server: tunnelc ---- */

static void answer(t2_h2_stream *stream, const t2_head *head) {
  T2_BENCH_NEED(t2_h2_respond(stream, head, false) == 0 &&
                t2_h2_stream_data(stream, CONTENT, sizeof(CONTENT) - 1) == 0 &&
                t2_h2_stream_end(stream, NULL) == 0);
}

static void on_request(t2_h2_stream *stream, t2_head *head, bool is_end, void *user) {
  pair *p = user;
  const size_t n = sizeof(CONTENT) - 1;
  (void)is_end;
  if (!p->whole) {
    answer(stream, &p->response);
    return;
  }
  t2_buf_reset(&p->origin_out);
  T2_BENCH_NEED(t2_h1_write_request(&p->origin_out, head, T2_H1_FRAMING_NONE) == 0);
  t2_h1_expect_response(p->responses, T2_STR("GET"));
  answer(stream, parse_head(p->responses, p->bytes, RESPONSE, sizeof(RESPONSE) - 1 - n));
  memcpy(p->bytes, CONTENT, n);
  parse_rest(p->responses, p->bytes, n);
}

/* ---- The client: proxyentry ---- */

static void on_response(t2_h2_stream *stream, t2_head *head, bool is_end, void *user) {
  pair *p = user;
  (void)stream;
  (void)is_end;
  if (!p->whole) return;
  t2_head_reset(&p->forwarded);
  T2_BENCH_NEED(t2_forward_response(head, T2_STR("entry-1"), &p->forwarded, &p->scratch) == 0 &&
                t2_h1_write_response(&p->public_out, &p->forwarded, T2_H1_FRAMING_LENGTH, false, false) == 0);
}

static void on_data(t2_h2_stream *stream, const uint8_t *bytes, size_t n, void *user) {
  pair *p = user;
  if (p->whole) t2_buf_append(&p->public_out, bytes, n);
  t2_h2_stream_consume(stream, n);
}

static void on_close(t2_h2_stream *stream, uint32_t code, bool unprocessed, void *user) {
  pair *p = user;
  (void)unprocessed;
  if (stream->h2 == p->client.h2 && code == T2_H2_NO_ERROR) p->done++;
}

static const t2_h2_callbacks client_callbacks = {
    .on_head = on_response, .on_data = on_data, .on_stream_close = on_close};
static const t2_h2_callbacks server_callbacks = {.on_head = on_request, .on_stream_close = on_close};

static void open_end(end *e, bool server, const t2_h2_callbacks *callbacks, pair *p) {
  t2_h2_options options;
  t2_h2_options_init(&options);
  options.server = server;
  options.stream_size = sizeof(t2_h2_stream);
  t2_buf_init(&e->out, NULL);
  T2_BENCH_NEED(t2_h2_new(&e->h2, NULL, &options, callbacks, p) == 0);
}

static bool pump(end *from, end *to) {
  T2_BENCH_NEED(t2_h2_flush(from->h2, &from->out, 1 << 20) == 0);
  size_t n = t2_buf_len(&from->out);
  if (n == 0) return false;
  T2_BENCH_NEED(t2_h2_feed(to->h2, t2_buf_head(&from->out), n) == 0);
  t2_buf_reset(&from->out);
  return true;
}

static void settle(pair *p) {
  bool moved = true;
  while (moved) {
    moved = pump(&p->client, &p->server);
    moved = pump(&p->server, &p->client) || moved;
  }
}

static void make_heads(pair *p) {
  t2_head_init(&p->request, NULL);
  t2_head_init(&p->response, NULL);
  p->request.method = T2_STR("GET");
  p->request.scheme = T2_STR("http");
  p->request.authority = T2_STR("127.0.0.1:12000");
  p->request.path = T2_STR("/13");
  p->request.content_length = -1;
  p->response.status = 200;
  p->response.content_length = sizeof(CONTENT) - 1;
  T2_BENCH_NEED(t2_fields_add(&p->response.fields, T2_STR("server"), T2_STR("nginx/1.22.1")) == 0 &&
                t2_fields_add(&p->response.fields, T2_STR("content-type"), T2_STR("text/plain")) == 0);
}

static void *new_pair(size_t batch, bool whole) {
  pair *p = t2_bench_new(sizeof(*p));
  t2_h1_limits limits;
  p->batch = batch;
  p->whole = whole;
  t2_h1_limits_init(&limits);
  p->requests = t2_h1_parser_new(NULL, false, &limits);
  p->responses = t2_h1_parser_new(NULL, true, &limits);
  T2_BENCH_NEED(p->requests && p->responses);
  make_heads(p);
  t2_head_init(&p->forwarded, NULL);
  t2_buf_init(&p->scratch, NULL);
  t2_buf_init(&p->public_out, NULL);
  t2_buf_init(&p->origin_out, NULL);
  open_end(&p->client, false, &client_callbacks, p);
  open_end(&p->server, true, &server_callbacks, p);
  settle(p);
  return p;
}

static void *pair_1(void) {
  return new_pair(1, false);
}

static void *pair_64(void) {
  return new_pair(BATCH, false);
}

static void *whole_1(void) {
  return new_pair(1, true);
}

static void *whole_64(void) {
  return new_pair(BATCH, true);
}

static const t2_head *next_request(pair *p) {
  static const t2_forward how = {.peer = T2_STR("192.0.2.1"),
                                 .by = T2_STR("entry-1"),
                                 .prefix = T2_STR("/session/bench"),
                                 .request_id = T2_STR("0123456789abcdef0123456789abcdef")};
  if (!p->whole) return &p->request;
  t2_head *head = parse_head(p->requests, p->bytes, SMALL_REQUEST, sizeof(SMALL_REQUEST) - 1);
  head->scheme = T2_STR("http");
  t2_head_reset(&p->forwarded);
  T2_BENCH_NEED(t2_forward_request(head, &how, &p->forwarded, &p->scratch) == 0);
  return &p->forwarded;
}

static void run(void *state, size_t n) {
  pair *p = state;
  t2_h2_stream *stream;
  p->done = 0;
  for (size_t i = 0; i < n;) {
    t2_buf_reset(&p->public_out);
    for (size_t k = 0; k < p->batch && i < n; k++, i++)
      T2_BENCH_NEED(t2_h2_request(p->client.h2, next_request(p), true, &stream) == 0);
    settle(p);
  }
  T2_BENCH_NEED(p->done == n);
}

static void tear_down(void *state) {
  pair *p = state;
  t2_h2_free(p->client.h2);
  t2_h2_free(p->server.h2);
  t2_buf_fini(&p->client.out);
  t2_buf_fini(&p->server.out);
  t2_h1_parser_free(p->requests);
  t2_h1_parser_free(p->responses);
  t2_head_fini(&p->request);
  t2_head_fini(&p->response);
  t2_head_fini(&p->forwarded);
  t2_buf_fini(&p->scratch);
  t2_buf_fini(&p->public_out);
  t2_buf_fini(&p->origin_out);
  free(p);
}

const t2_bench t2_bench_h2[] = {
    {"h2_get", pair_1, run, tear_down},
    {"h2_get_of_64", pair_64, run, tear_down},
    {"whole_way", whole_1, run, tear_down},
    {"whole_way_of_64", whole_64, run, tear_down},
    {0},
};
