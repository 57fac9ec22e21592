#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "asker.h"
#include <stdlib.h>
#include <string.h>

#define PIECE 65536

typedef struct sending {
  uv_write_t write;
  asker *a;
  char bytes[];
} sending;

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  asker *a = handle->data;
  (void)suggested;
  *buf = uv_buf_init((char *)t2_buf_reserve(&a->in, PIECE), PIECE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  asker *a = stream->data;
  (void)buf;
  if (n > 0) t2_buf_commit(&a->in, (size_t)n);
  if (n >= 0) return;
  if (n == UV_EOF) a->eof = true;
  if (n != UV_EOF) a->failed = true;
  uv_read_stop(stream);
}

void asker_read(asker *a, bool on) {
  a->reads = on;
  if (!a->connected || a->eof || a->failed) return;
  if (on)
    uv_read_start((uv_stream_t *)&a->tcp, on_alloc, on_read);
  else
    uv_read_stop((uv_stream_t *)&a->tcp);
}

static void on_connect(uv_connect_t *connect, int status) {
  asker *a = connect->data;
  a->connected = status == 0;
  a->failed = status != 0;
  asker_read(a, a->reads);
}

asker *asker_open(site *s) {
  struct sockaddr_in address;
  asker *a = calloc(1, sizeof(*a));
  a->s = s;
  a->reads = true;
  t2_buf_init(&a->in, NULL);
  uv_tcp_init(&s->loop, &a->tcp);
  a->tcp.data = a->connect.data = a;
  uv_ip4_addr("127.0.0.1", s->tcp_port ? s->tcp_port : site_public_port(s), &address);
  assert_int_equal(uv_tcp_connect(&a->connect, &a->tcp, (struct sockaddr *)&address, on_connect), 0);
  SITE_UNTIL(s, a->connected || a->failed);
  return a;
}

static void on_written(uv_write_t *write, int status) {
  sending *out = T2_CONTAINER_OF(write, sending, write);
  (void)status; /* reading tells of it */
  out->a->writing--;
  free(out);
}

void asker_send_bytes(asker *a, const void *bytes, size_t n) {
  sending *out = malloc(sizeof(*out) + n);
  uv_buf_t buf = uv_buf_init(out->bytes, (unsigned)n);
  out->a = a;
  if (bytes) memcpy(out->bytes, bytes, n);
  if (!bytes) memset(out->bytes, 0, n);
  a->writing++;
  assert_int_equal(uv_write(&out->write, (uv_stream_t *)&a->tcp, &buf, 1, on_written), 0);
}

void asker_send(asker *a, const char *text) {
  asker_send_bytes(a, text, strlen(text));
}

static void on_end(uv_shutdown_t *shutdown, int status) {
  (void)status;
  free(shutdown);
}

void asker_end(asker *a) {
  uv_shutdown_t *shutdown = malloc(sizeof(*shutdown));
  assert_int_equal(uv_shutdown(shutdown, (uv_stream_t *)&a->tcp, on_end), 0);
}

const char *asker_text(asker *a) {
  return t2_buf_cstr(&a->in);
}

static bool has(const asker *a, const char *part) {
  return t2_buf_len(&a->in) && memmem(t2_buf_head(&a->in), t2_buf_len(&a->in), part, strlen(part));
}

bool asker_gets(asker *a, const char *part) {
  SITE_UNTIL(a->s, has(a, part) || a->eof || a->failed);
  return has(a, part);
}

bool asker_ends(asker *a) {
  SITE_UNTIL(a->s, a->eof || a->failed);
  return a->eof;
}

static void on_close(uv_handle_t *handle) {
  ((asker *)handle->data)->closed = true;
}

void asker_close(asker *a) {
  uv_close((uv_handle_t *)&a->tcp, on_close);
  SITE_UNTIL(a->s, a->closed && a->writing == 0);
  t2_buf_fini(&a->in);
  free(a);
}
