#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "site.h"
#include <base/file.h>
#include <net/certificate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTENT "hello from the origin"

static void on_deadline(uv_timer_t *timer) {
  (void)timer;
  fprintf(stderr, "site: the deadline has passed\n");
  abort();
}

/* ---- The origin: one answer for any request, whose content it reads ---- */

typedef struct served {
  uv_tcp_t tcp;
  uv_write_t write;
  site *site;
  char in[8192];
  size_t len;
} served;

static void free_served(uv_handle_t *handle) {
  free(handle->data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  served *c = handle->data;
  (void)suggested;
  *buf = uv_buf_init(c->in + c->len, (unsigned)(sizeof(c->in) - 1 - c->len));
}

/* Bytes of the first whole request in c->in, or 0. */
static size_t whole_request(served *c) {
  c->in[c->len] = '\0';
  const char *end = strstr(c->in, "\r\n\r\n"), *length = strstr(c->in, "content-length: ");
  if (!end) return 0;
  size_t n = (size_t)(end - c->in) + 4;
  if (length && length < end) n += (size_t)atoi(length + 16);
  return n <= c->len ? n : 0;
}

static void on_origin_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" CONTENT;
  served *c = stream->data;
  size_t taken;
  (void)buf;
  if (n < 0) {
    uv_close((uv_handle_t *)stream, free_served);
    return;
  }
  c->len += (size_t)n;
  while ((taken = whole_request(c))) {
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)response, sizeof(response) - 1);
    c->site->requests++;
    memmove(c->in, c->in + taken, c->len - taken);
    c->len -= taken;
    uv_try_write(stream, &out, 1);
  }
}

static void on_origin(uv_stream_t *listener, int status) {
  site *s = listener->data;
  assert_int_equal(status, 0);
  served *c = calloc(1, sizeof(*c));
  c->site = s;
  uv_tcp_init(&s->loop, &c->tcp);
  c->tcp.data = c;
  assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
  uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_origin_read);
}

static int open_origin(site *s) {
  struct sockaddr_in address;
  int n = sizeof(address);
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(&s->loop, &s->origin);
  s->origin.data = s;
  assert_int_equal(uv_tcp_bind(&s->origin, (struct sockaddr *)&address, 0), 0);
  assert_int_equal(uv_listen((uv_stream_t *)&s->origin, 16, on_origin), 0);
  uv_tcp_getsockname(&s->origin, (struct sockaddr *)&address, &n);
  return ntohs(address.sin_port);
}

/* ---- The three ---- */

static void on_closed(void *user) {
  ((site *)user)->closing--;
}

static void on_control_event(t2_control *control, const t2_control_event *event, void *user) {
  site *s = user;
  s->control_events[event->type]++;
  if (event->id) snprintf(s->event_id, sizeof(s->event_id), "%s", event->id);
  if (event->reason) snprintf(s->event_reason, sizeof(s->event_reason), "%s", event->reason);
  assert_true(!event->id || strcmp(event->owner, "dev") == 0);
  if (event->type != s->close_at) return;
  s->closing++;
  t2_control_close(control, on_closed, s);
}

static void on_entry_event(t2_entry *entry, const t2_entry_event *event, void *user) {
  site *s = user;
  (void)entry;
  s->entry_events[event->type]++;
  if (event->type == T2_ENTRY_RETRYING) s->entry_delay_ms = event->delay_ms;
}

static void on_client_event(t2_client *client, const t2_client_event *event, void *user) {
  site *s = user;
  (void)client;
  if (event->type == T2_CLIENT_CONNECTED) s->ups++;
  if (event->type == T2_CLIENT_READY) s->ready = true;
  if (event->type == T2_CLIENT_ENDED) s->client_ended = true;
}

char *site_file(const site *s, const char *name) {
  return t2_path_join(NULL, s->dir, name);
}

static void start_control(site *s, const char *cert, const char *key) {
  t2_control_options options;
  char *tokens = site_file(s, T2_DEV_TOKENS_FILE), detail[256];
  t2_control_options_init(&options);
  options.address = "127.0.0.1:0";
  options.cert_file = cert;
  options.key_file = key;
  options.tokens_file = tokens;
  options.state_dir = s->dir;
  options.on_event = on_control_event;
  options.user = s;
  if (t2_control_new(&s->control, &s->loop, &options, detail, sizeof(detail)))
    fail_msg("control: %s", detail);
  assert_int_equal(t2_control_start(s->control), 0);
  free(tokens);
}

/* One that nobody has now. */
static uint16_t free_port(site *s) {
  struct sockaddr_in address;
  int n = sizeof(address);
  uv_tcp_t tcp;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(&s->loop, &tcp);
  assert_int_equal(uv_tcp_bind(&tcp, (struct sockaddr *)&address, 0), 0);
  uv_tcp_getsockname(&tcp, (struct sockaddr *)&address, &n);
  uv_close((uv_handle_t *)&tcp, NULL);
  uv_run(&s->loop, UV_RUN_NOWAIT); /* which closes it */
  return ntohs(address.sin_port);
}

static void start_entry(site *s, const char *cert, const char *key, const char *ca, const char *token,
                        const site_options *with) {
  t2_entry_options options;
  char control[64], detail[256];
  t2_entry_options_init(&options);
  snprintf(control, sizeof(control), "https://%s", t2_control_address(s->control));
  options.allocator = s->mem;
  options.id = "e-1";
  options.public_address = options.uplink_address = "127.0.0.1:0";
  options.cert_file = cert;
  options.key_file = key;
  options.ca_file = ca;
  options.control = control;
  options.token = token;
  options.tcp_port_first = options.tcp_port_last = s->tcp_port;
  options.queue_timeout_ms = 100;
  if (with->entry_workers) options.workers = with->entry_workers;
  options.on_event = on_entry_event;
  options.user = s;
  if (t2_entry_new(&s->entry, &s->loop, &options, detail, sizeof(detail))) fail_msg("entry: %s", detail);
  assert_int_equal(t2_entry_start(s->entry), 0);
}

static void start_client(site *s, int origin_port, const char *ca, const char *token,
                         const site_options *with) {
  t2_client_options options;
  char control[64], origin[16], detail[256];
  t2_client_options_init(&options);
  snprintf(control, sizeof(control), "https://%s", t2_control_address(s->control));
  snprintf(origin, sizeof(origin), "%d", origin_port);
  options.allocator = s->mem;
  options.session = "main";
  options.server = control;
  options.token = token;
  options.ca_file = ca;
  if (!with->handler) options.origin = origin;
  options.handler = with->handler;
  options.handler_user = with->handler_user;
  options.kind = with->kind;
  if (with->response_timeout_ms) options.response_timeout_ms = with->response_timeout_ms;
  if (with->client_workers) options.workers = with->client_workers;
  options.retry_min_ms = 1;
  options.retry_max_ms = 20;
  options.on_event = on_client_event;
  options.user = s;
  if (t2_client_new(&s->client, &s->loop, &options, detail, sizeof(detail))) fail_msg("client: %s", detail);
  assert_int_equal(t2_client_start(s->client), 0);
}

void site_token(const site *s, char token[256]) {
  char *file = site_file(s, T2_DEV_TOKEN_FILE);
  t2_buf text;
  t2_buf_init(&text, NULL);
  assert_int_equal(t2_file_read(file, 255, &text), 0);
  snprintf(token, 256, "%.*s", (int)strcspn(t2_buf_cstr(&text), "\n"), t2_buf_cstr(&text));
  t2_buf_fini(&text);
  free(file);
}

void site_start(site *s, const t2_allocator *mem) {
  site_start_with(s, mem, &(site_options){0});
}

void site_start_with(site *s, const t2_allocator *mem, const site_options *options) {
  char detail[256], token[256];
  memset(s, 0, sizeof(*s));
  s->mem = mem;
  snprintf(s->dir, sizeof(s->dir), "/tmp/t2-site-XXXXXX");
  assert_non_null(mkdtemp(s->dir));
  if (t2_dev_state_ensure(NULL, s->dir, detail, sizeof(detail))) fail_msg("state: %s", detail);
  assert_int_equal(uv_loop_init(&s->loop), 0);
  uv_timer_init(&s->loop, &s->deadline);
  uv_timer_start(&s->deadline, on_deadline, SITE_DEADLINE_MS, 0);
  char *cert = site_file(s, T2_DEV_CERT_FILE), *key = site_file(s, T2_DEV_KEY_FILE),
       *ca = site_file(s, T2_DEV_CA_FILE);
  site_token(s, token);
  int port = open_origin(s);
  if (options->kind == T2_CLIENT_TCP) s->tcp_port = free_port(s);
  start_control(s, cert, key);
  start_entry(s, cert, key, ca, token, options);
  start_client(s, port, ca, token, options);
  while (!s->ready)
    uv_run(&s->loop, UV_RUN_ONCE);
  free(cert);
  free(key);
  free(ca);
}

/* ---- The public client ---- */

typedef struct asker {
  uv_tcp_t tcp;
  uv_connect_t connect;
  uv_write_t write;
  const char *request;
  char in[16384];
  size_t len;
  bool over, closed;
} asker;

static void on_asker_closed(uv_handle_t *handle) {
  ((asker *)handle->data)->closed = true;
}

static void on_asker_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  asker *a = handle->data;
  (void)suggested;
  *buf = uv_buf_init(a->in + a->len, (unsigned)(sizeof(a->in) - 1 - a->len));
}

static const char *content_of(const asker *a) {
  const char *end = strstr(a->in, "\r\n\r\n");
  return end ? end + 4 : NULL;
}

static bool is_whole(const asker *a) {
  const char *content = content_of(a), *length = strstr(a->in, "Content-Length: ");
  if (!length) length = strstr(a->in, "content-length: ");
  return content && length && strlen(content) >= (size_t)atoi(length + 16);
}

static void on_asker_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  asker *a = stream->data;
  (void)buf;
  if (n > 0) a->len += (size_t)n;
  a->in[a->len] = '\0';
  if (n < 0 || is_whole(a)) a->over = true;
}

static void on_asker_written(uv_write_t *write, int status) {
  asker *a = write->data;
  if (status) a->over = true;
}

static void on_asker_connected(uv_connect_t *connect, int status) {
  asker *a = connect->data;
  uv_buf_t out = uv_buf_init((char *)(uintptr_t)a->request, (unsigned)strlen(a->request));
  if (status) {
    a->over = true;
    return;
  }
  uv_read_start((uv_stream_t *)&a->tcp, on_asker_alloc, on_asker_read);
  uv_write(&a->write, (uv_stream_t *)&a->tcp, &out, 1, on_asker_written);
}

uint16_t site_public_port(const site *s) {
  t2_str host;
  uint16_t port;
  assert_int_equal(t2_str_hostport(t2_str_c(t2_entry_public_address(s->entry)), &host, &port), 0);
  return port;
}

answer site_ask(site *s, const char *path, const char *content) {
  asker *a = calloc(1, sizeof(*a));
  struct sockaddr_in address;
  char request[4096];
  answer result = {0};
  snprintf(request, sizeof(request),
           "%s /session/main%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
           content ? "POST" : "GET", path, content ? strlen(content) : 0, content ? content : "");
  a->request = request;
  uv_ip4_addr("127.0.0.1", site_public_port(s), &address);
  uv_tcp_init(&s->loop, &a->tcp);
  a->tcp.data = a->connect.data = a->write.data = a;
  assert_int_equal(uv_tcp_connect(&a->connect, &a->tcp, (struct sockaddr *)&address, on_asker_connected), 0);
  while (!a->over)
    uv_run(&s->loop, UV_RUN_ONCE);
  if (strncmp(a->in, "HTTP/1.1 ", 9) == 0) result.status = atoi(a->in + 9);
  result.whole = is_whole(a);
  result.size = content_of(a) ? strlen(content_of(a)) : 0;
  uv_close((uv_handle_t *)&a->tcp, on_asker_closed);
  while (!a->closed)
    uv_run(&s->loop, UV_RUN_ONCE);
  free(a);
  return result;
}

void site_heal(site *s) {
  uv_timer_start(&s->deadline, on_deadline, SITE_DEADLINE_MS, 0);
  while (site_ask(s, "/", NULL).status != 200)
    uv_run(&s->loop, UV_RUN_ONCE);
}

/* ---- The end ---- */

static void remove_dir(const char *dir) {
  uv_fs_t req;
  uv_dirent_t entry;
  char path[256];
  assert_true(uv_fs_scandir(NULL, &req, dir, 0, NULL) >= 0);
  while (uv_fs_scandir_next(&req, &entry) != UV_EOF) {
    snprintf(path, sizeof(path), "%s/%s", dir, entry.name);
    remove(path);
  }
  uv_fs_req_cleanup(&req);
  remove(dir);
}

void site_close_client(site *s) {
  if (s->client_closed) return;
  s->client_closed = true;
  s->closing++;
  t2_client_close(s->client, on_closed, s);
}

void site_stop(site *s) {
  site_close_client(s);
  s->closing += s->close_at ? 1 : 2;
  t2_entry_close(s->entry, on_closed, s);
  if (!s->close_at) t2_control_close(s->control, on_closed, s);
  while (s->closing)
    uv_run(&s->loop, UV_RUN_ONCE);
  uv_close((uv_handle_t *)&s->origin, NULL);
  uv_close((uv_handle_t *)&s->deadline, NULL);
  uv_run(&s->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&s->loop), 0);
  remove_dir(s->dir);
}
