#include <http/chars.h>
#include <proxy/handler.h>
#include <stdio.h>
#include <string.h>

/* ---- A copy of what is asked ---- */

/* Appends a NUL-terminated copy behind *at. */
static const char *put(char **at, t2_str text) {
  char *p = *at;
  if (text.n) memcpy(p, text.p, text.n);
  p[text.n] = '\0';
  *at += text.n + 1;
  return p;
}

static size_t text_size(const t2_fields *fields) {
  size_t n = 0;
  for (size_t i = 0; i < fields->n; i++)
    n += fields->list[i].name.n + fields->list[i].value.n + 2;
  return n;
}

static void put_fields(t2_http_field *out, const t2_fields *fields, char **at) {
  for (size_t i = 0; i < fields->n; i++) {
    out[i].name = put(at, fields->list[i].name);
    out[i].value = put(at, fields->list[i].value);
  }
}

t2_request *t2_request_new(t2_handlers *handlers, const t2_exchange *exchange, const t2_head *head,
                           bool end) {
  const t2_allocator *mem = handlers->proxy->loop->mem;
  t2_str remote = t2_forwarded_for(head), id = t2_str_c(exchange->request_id);
  t2_str protocol = exchange->upgrade ? head->protocol : T2_STR_NULL;
  size_t list = head->fields.n * sizeof(t2_http_field);
  size_t text = head->method.n + head->path.n + head->scheme.n + head->authority.n + protocol.n + remote.n +
                id.n + 7 + text_size(&head->fields);
  t2_request *request = t2_alloc(mem, sizeof(*request) + list + text);
  if (!request) return NULL;
  *request = (t2_request){.handlers = handlers,
                          .fields = (t2_http_field *)(request + 1),
                          .field_count = head->fields.n,
                          .text_size = text,
                          .content_length = end ? 0 : head->content_length,
                          .has_protocol = exchange->upgrade,
                          .promised = -1};
  char *at = (char *)(request + 1) + list;
  request->method = put(&at, head->method);
  request->path = put(&at, head->path);
  request->scheme = put(&at, head->scheme);
  request->authority = put(&at, head->authority);
  request->protocol = put(&at, protocol);
  request->remote = put(&at, remote);
  request->id = put(&at, id);
  put_fields(request->fields, &head->fields, &at);
  request->asks_continue = t2_fields_has_token(&head->fields, T2_STR("expect"), T2_STR("100-continue"));
  t2_buf_init(&request->rest, mem);
  return request;
}

int t2_request_keep_trailers(t2_request *request, const t2_fields *trailers) {
  if (!trailers || trailers->n == 0) return 0;
  size_t list = trailers->n * sizeof(t2_http_field);
  request->trailers = t2_alloc(request->handlers->proxy->loop->mem, list + text_size(trailers));
  if (!request->trailers) return T2_ERR_NOMEM;
  char *at = (char *)request->trailers + list;
  put_fields(request->trailers, trailers, &at);
  request->trailer_count = trailers->n;
  return 0;
}

/* ---- What is asked ---- */

const char *t2_request_method(const t2_request *request) {
  return request->method;
}

const char *t2_request_path(const t2_request *request) {
  return request->path;
}

const char *t2_request_scheme(const t2_request *request) {
  return request->scheme;
}

const char *t2_request_authority(const t2_request *request) {
  return request->authority;
}

const char *t2_request_protocol(const t2_request *request) {
  return request->has_protocol ? request->protocol : NULL;
}

const char *t2_request_id(const t2_request *request) {
  return request->id;
}

int64_t t2_request_content_length(const t2_request *request) {
  return request->content_length;
}

const char *t2_request_remote(const t2_request *request) {
  return request->remote;
}

const char *t2_request_field(const t2_request *request, const char *name) {
  for (size_t i = 0; i < request->field_count; i++)
    if (t2_str_eq_nocase(t2_str_c(request->fields[i].name), t2_str_c(name))) return request->fields[i].value;
  return NULL;
}

const t2_http_field *t2_request_fields(const t2_request *request, size_t *count) {
  *count = request->field_count;
  return request->fields;
}

const char *t2_request_text(const t2_request *request, size_t *size) {
  *size = request->text_size;
  return request->method;
}

const t2_http_field *t2_request_trailers(const t2_request *request, size_t *count) {
  *count = request->trailer_count;
  return request->trailers;
}

void t2_request_consume(t2_request *request, size_t n) {
  if (n > request->owed) n = request->owed;
  request->owed -= n;
  t2_exchange_consumed(&request->leg, n);
}

void t2_request_set_user(t2_request *request, void *user) {
  request->user = user;
}

void *t2_request_user(const t2_request *request) {
  return request->user;
}

/* ---- The head of an answer ---- */

static bool is_framing(t2_str name) {
  static const t2_str names[] = {{"connection", 10}, {"keep-alive", 10}, {"proxy-connection", 16},
                                 {"te", 2},          {"upgrade", 7},     {"transfer-encoding", 17}};
  for (size_t i = 0; i < T2_COUNT_OF(names); i++)
    if (t2_str_eq(name, names[i])) return true;
  return false;
}

/* Content-Length among the fields is what the head says of it. */
static int take_length(t2_head *head, t2_str value) {
  uint64_t length;
  if (t2_str_u64(value, INT64_MAX, &length)) return T2_ERR_INVALID;
  if (head->content_length >= 0 && head->content_length != (int64_t)length) return T2_ERR_INVALID;
  head->content_length = (int64_t)length;
  return 0;
}

static int add_field(t2_handlers *handlers, t2_head *head, const t2_http_field *field) {
  t2_str name = t2_str_c(field->name), value = t2_str_trim(t2_str_c(field->value));
  if (!t2_is_token(name) || !t2_is_field_value(value)) return T2_ERR_INVALID;
  char *lower = (char *)t2_buf_reserve(&handlers->names, name.n); /* there is room: see start_head */
  for (size_t i = 0; i < name.n; i++)
    lower[i] = (char)t2_token_lower[(uint8_t)name.p[i]];
  t2_buf_commit(&handlers->names, name.n);
  name.p = lower;
  if (is_framing(name)) return 0;
  if (t2_str_eq(name, T2_STR("content-length"))) return take_length(head, value);
  return t2_fields_add(&head->fields, name, value);
}

static int add_fields(t2_handlers *handlers, t2_head *head, const t2_http_field *fields, size_t count) {
  int err = 0;
  for (size_t i = 0; err == 0 && i < count; i++)
    err = add_field(handlers, head, &fields[i]);
  return err;
}

/* The names are put one behind the other in memory that must not move meanwhile. */
static int start_head(t2_handlers *handlers, const t2_http_field *fields, size_t count) {
  size_t n = 1;
  for (size_t i = 0; i < count; i++) {
    if (!fields[i].name || !fields[i].value) return T2_ERR_INVALID;
    n += strlen(fields[i].name);
  }
  t2_head_reset(&handlers->head);
  t2_buf_reset(&handlers->names);
  return t2_buf_reserve(&handlers->names, n) ? 0 : T2_ERR_NOMEM;
}

static int may_answer(const t2_request *request) {
  if (request->over) return T2_ERR_CLOSED;
  return request->started ? T2_ERR_STATE : 0;
}

int t2_response_interim(t2_request *request, int status, const t2_http_field *fields, size_t count) {
  t2_handlers *handlers = request->handlers;
  int err = may_answer(request);
  if (err == 0 && (status < 100 || status > 199 || status == 101)) err = T2_ERR_INVALID;
  if (err == 0) err = start_head(handlers, fields, count);
  if (err == 0) err = add_fields(handlers, &handlers->head, fields, count);
  if (err) return err;
  handlers->head.status = status;
  handlers->head.content_length = -1;
  t2_exchange_head(&request->leg, &handlers->head, false);
  return request->over ? T2_ERR_CLOSED : 0;
}

static bool is_tunnel(const t2_request *request, int status) {
  if (request->has_protocol) return status == 101;
  return strcmp(request->method, "CONNECT") == 0 && status / 100 == 2;
}

static int check_status(const t2_request *request, int status) {
  if (status == 101 && request->has_protocol) return 0;
  return status >= 200 && status <= 599 ? 0 : T2_ERR_INVALID;
}

/* By status and method (RFC 9110, 6.4.1). */
static bool has_no_content(const t2_request *request, int status) {
  bool none = status == 204 || status == 304;
  return !is_tunnel(request, status) && (none || strcmp(request->method, "HEAD") == 0);
}

/* How long the content is, if there is any. */
static void frame(t2_request *request, t2_head *head) {
  bool tunnel = is_tunnel(request, head->status);
  request->without_content = has_no_content(request, head->status);
  if (tunnel || head->status == 204) head->content_length = -1;
  if (tunnel && request->has_protocol) head->protocol = t2_str_c(request->protocol);
  request->promised = request->without_content ? -1 : head->content_length;
}

static int make_head(t2_request *request, int status, const char *content_type, const t2_http_field *fields,
                     size_t count, int64_t content_length) {
  t2_handlers *handlers = request->handlers;
  t2_head *head = &handlers->head;
  int err = may_answer(request);
  if (err == 0) err = check_status(request, status);
  if (err == 0) err = start_head(handlers, fields, count);
  if (err) return err;
  head->status = status;
  head->content_length = content_length < 0 ? -1 : content_length;
  if (content_type && !t2_is_field_value(t2_str_c(content_type))) return T2_ERR_INVALID;
  if (content_type) err = t2_fields_add(&head->fields, T2_STR("content-type"), t2_str_c(content_type));
  return err ? err : add_fields(handlers, head, fields, count);
}

static int send_head(t2_request *request, bool end) {
  t2_head *head = &request->handlers->head;
  frame(request, head);
  request->started = true;
  request->ended = end || request->without_content;
  t2_exchange_head(&request->leg, head, request->ended);
  return request->over && !request->ended ? T2_ERR_CLOSED : 0;
}

/* ---- Answering ---- */

int t2_response_start(t2_request *request, int status, const t2_http_field *fields, size_t count,
                      int64_t content_length) {
  int err = make_head(request, status, NULL, fields, count, content_length);
  return err ? err : send_head(request, false);
}

static size_t window_left(const t2_request *request) {
  size_t window = t2_leg_window(request->handlers->proxy->loop);
  return request->unacked < window ? window - request->unacked : 0;
}

size_t t2_response_room(const t2_request *request) {
  bool open = request->started && !request->over && !request->ended && t2_buf_len(&request->rest) == 0;
  return open ? window_left(request) : 0;
}

static void give(t2_request *request, const void *bytes, size_t n) {
  request->unacked += n;
  t2_exchange_data(&request->leg, bytes, n);
}

int64_t t2_response_write(t2_request *request, const void *bytes, size_t n) {
  if (request->without_content) return (int64_t)n;
  if (request->over) return T2_ERR_CLOSED;
  if (!request->started || request->ended) return T2_ERR_STATE;
  if (request->promised >= 0 && n > (uint64_t)request->promised - request->written) return T2_ERR_INVALID;
  size_t room = t2_response_room(request), taken = n < room ? n : room;
  request->starved = request->starved || taken < n;
  request->written += taken;
  if (taken) give(request, bytes, taken);
  return request->over ? T2_ERR_CLOSED : (int64_t)taken;
}

static void give_up(t2_request *request, int err) {
  request->over = true;
  request->err = err;
  t2_exchange_fail(&request->leg, err, T2_AT_ORIGIN, NULL);
  t2_loop_wake(request->handlers->proxy->loop, &request->events);
}

static void finish(t2_request *request, const t2_fields *trailers) {
  request->ended = true;
  t2_exchange_end(&request->leg, trailers);
}

int t2_response_end(t2_request *request, const t2_http_field *trailers, size_t count) {
  t2_handlers *handlers = request->handlers;
  if (request->without_content) return 0;
  if (request->over) return T2_ERR_CLOSED;
  if (!request->started || request->ended || t2_buf_len(&request->rest)) return T2_ERR_STATE;
  if (request->promised >= 0 && request->written != (uint64_t)request->promised) {
    give_up(request, T2_ERR_PROTOCOL);
    return T2_ERR_INVALID;
  }
  int err = count ? start_head(handlers, trailers, count) : 0;
  if (err == 0) err = add_fields(handlers, &handlers->head, trailers, count);
  if (err) return err;
  finish(request, count ? &handlers->head.fields : NULL);
  return 0;
}

void t2_request_flush(t2_request *request) {
  size_t n = t2_buf_len(&request->rest), room = window_left(request);
  if (n == 0 || room == 0) return;
  if (n > room) n = room;
  give(request, t2_buf_head(&request->rest), n);
  t2_buf_consume(&request->rest, n);
  if (t2_buf_len(&request->rest) == 0 && !request->over) finish(request, NULL);
}

/* The rest is copied before anything is sent, so that a want of memory is nobody's half answer. */
int t2_response_send(t2_request *request, int status, const char *content_type, const t2_http_field *fields,
                     size_t count, const void *bytes, size_t n) {
  size_t room = window_left(request), now = n < room ? n : room;
  int err = make_head(request, status, content_type, fields, count, (int64_t)n);
  if (err == 0 && is_tunnel(request, status)) err = T2_ERR_INVALID;
  if (err) return err;
  if (n > now && !has_no_content(request, status) &&
      t2_buf_append(&request->rest, (const char *)bytes + now, n - now)) {
    t2_buf_reset(&request->rest); /* a smaller answer may do */
    return T2_ERR_NOMEM;
  }
  err = send_head(request, n == 0);
  if (err || request->ended) return err;
  request->written = n;
  give(request, bytes, now);
  if (request->over) return T2_ERR_CLOSED;
  if (n == now) finish(request, NULL);
  return 0;
}

void t2_response_abort(t2_request *request, int err) {
  if (!request->over) give_up(request, err < 0 ? err : T2_ERR_CANCELLED);
}
