#include <assert.h>
#include <http/chars.h>
#include <http/forward.h>
#include <tunnel2/error.h>

/* Text being put together in scratch, whose whole size was reserved: views of it stay good, and nothing is
 * asked for each piece, which took 830 instructions a request. */
typedef struct scratch_text {
  t2_buf *buf;
  char *start, *at;
} scratch_text;

static void text_begin(scratch_text *text, t2_buf *buf) {
  text->buf = buf;
  text->start = text->at = (char *)t2_buf_head(buf) + t2_buf_len(buf);
}

static void text_put(scratch_text *text, t2_str s) {
  if (s.n) memcpy(text->at, s.p, s.n);
  text->at += s.n;
}

static void text_put_char(scratch_text *text, char c) {
  *text->at++ = c;
}

static bool text_empty(const scratch_text *text) {
  return text->at == text->start;
}

/* What was put since text_begin. */
static t2_str text_end(scratch_text *text) {
  size_t n = (size_t)(text->at - text->start);
  assert(n <= text->buf->cap - text->buf->end);
  t2_buf_commit(text->buf, n);
  return t2_str_of(text->start, n);
}

/* ---- Which fields go ---- */

typedef enum fate { PASS, DROP, FORWARDED, REQUEST_ID } fate;

static fate fate_of_x(t2_str name) {
  if (t2_str_starts(name, T2_STR("x-forwarded-"))) return FORWARDED;
  return t2_str_eq(name, T2_STR("x-request-id")) ? REQUEST_ID : PASS;
}

static bool one_of(t2_str name, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (t2_str_eq(name, t2_str_c(names[i]))) return true;
  return false;
}

static fate fate_of_field(const t2_field *f) {
  static const char *const proxy[] = {"proxy-connection", "proxy-authenticate", "proxy-authorization",
                                      "proxy-authentication-info"};
  static const char *const hop[] = {"connection", "keep-alive", "transfer-encoding", "upgrade"};
  t2_str name = f->name;
  if (name.n == 0) return DROP;
  switch (name.p[0]) {
  case 'x':
    return fate_of_x(name);
  case 'f':
    return t2_str_eq(name, T2_STR("forwarded")) ? FORWARDED : PASS;
  case 'p':
    return one_of(name, proxy, T2_COUNT_OF(proxy)) ? DROP : PASS;
  case 'c':
  case 'k':
  case 'u':
    return one_of(name, hop, T2_COUNT_OF(hop)) ? DROP : PASS;
  case 't':
    if (t2_str_eq(name, T2_STR("te"))) return t2_str_eq_nocase(f->value, T2_STR("trailers")) ? PASS : DROP;
    return one_of(name, hop, T2_COUNT_OF(hop)) ? DROP : PASS;
  default:
    return PASS;
  }
}

/* out is as in, without fields. */
static void take_control_data(const t2_head *in, t2_head *out) {
  t2_fields fields = out->fields;
  *out = *in;
  out->fields = fields;
  t2_fields_reset(&out->fields);
}

/* A field whose name is one of ours. */
static int add(t2_head *out, t2_str name, t2_str value) {
  return t2_fields_put(&out->fields, (t2_field){.name = name, .value = value, .sound_name = true});
}

/* ---- Via ---- */

/* By which it was received (RFC 9110, 7.6.3). */
static t2_str version_of(const t2_head *in) {
  if (in->http2) return T2_STR("2 ");
  return in->version_minor ? T2_STR("1.1 ") : T2_STR("1.0 ");
}

/* The pseudonym as a token, which it is; "-" where a character is none. */
static int add_via(const t2_head *in, t2_str by, t2_head *out, t2_buf *scratch) {
  scratch_text text;
  text_begin(&text, scratch);
  text_put(&text, version_of(in));
  for (size_t i = 0; i < by.n; i++)
    text_put_char(&text, t2_char_is((uint8_t)by.p[i], T2_CHAR_TOKEN) ? by.p[i] : '-');
  if (by.n == 0) text_put_char(&text, '-');
  return add(out, T2_STR("via"), text_end(&text));
}

/* ---- Forwarded and X-Forwarded-* ---- */

static void put_quoted(scratch_text *text, t2_str value) {
  for (size_t i = 0; i < value.n; i++) {
    if (value.p[i] == '"' || value.p[i] == '\\') text_put_char(text, '\\');
    text_put_char(text, t2_char_is((uint8_t)value.p[i], T2_CHAR_VALUE) ? value.p[i] : '?');
  }
}

/* A value of a Forwarded pair (RFC 7239, 4): a token, or a quoted string. */
static void put_node(scratch_text *text, t2_str value) {
  if (t2_is_token(value)) {
    text_put(text, value);
    return;
  }
  text_put_char(text, '"');
  put_quoted(text, value);
  text_put_char(text, '"');
}

/* The scheme comes from outside where the request came over HTTP/2. */
static t2_str proto(const t2_head *in) {
  return t2_str_eq_nocase(in->scheme, T2_STR("https")) ? T2_STR("https") : T2_STR("http");
}

/* A node of X-Forwarded-For, as Forwarded has it: an IPv6 address in brackets, what has a port quoted. */
static void put_for(scratch_text *text, t2_str node) {
  bool bare_v6 = node.n && node.p[0] != '[' && t2_str_find(node, ':') != t2_str_rfind(node, ':');
  if (node.n == 0) {
    text_put(text, T2_STR("for=unknown"));
  } else if (bare_v6) {
    text_put(text, T2_STR("for=\"["));
    put_quoted(text, node);
    text_put(text, T2_STR("]\""));
  } else {
    text_put(text, T2_STR("for="));
    put_node(text, node);
  }
}

/* A proxy that is trusted and knows X-Forwarded-For alone: who is in there is where Forwarded begins. */
static void put_those_before(scratch_text *text, const t2_head *in) {
  if (t2_fields_get(&in->fields, T2_STR("forwarded"))) return;
  for (size_t i = 0; i < in->fields.n; i++) {
    const t2_field *f = &in->fields.list[i];
    t2_str list = f->value, node;
    if (!t2_str_eq(f->name, T2_STR("x-forwarded-for"))) continue;
    while (t2_str_next(&list, ',', &node)) {
      put_for(text, node);
      text_put(text, T2_STR(", "));
    }
  }
}

static int add_forwarded(const t2_head *in, const t2_forward *how, t2_head *out, t2_buf *scratch) {
  scratch_text text;
  text_begin(&text, scratch);
  if (how->trust_peer) put_those_before(&text, in);
  put_for(&text, how->peer);
  if (in->authority.n) {
    text_put(&text, T2_STR(";host="));
    put_node(&text, in->authority);
  }
  text_put(&text, T2_STR(";proto="));
  text_put(&text, proto(in));
  return add(out, T2_STR("forwarded"), text_end(&text));
}

/* One line of what came, when it is trusted, and `value` behind it: many readers look at a single line only.
 */
static int add_to_list(const t2_head *in, t2_str name, t2_str value, bool trust, t2_head *out,
                       t2_buf *scratch) {
  scratch_text text;
  if (value.n == 0 && !trust) return 0;
  text_begin(&text, scratch);
  for (size_t i = 0; trust && i < in->fields.n; i++) {
    const t2_field *f = &in->fields.list[i];
    if (!t2_str_eq(f->name, name) || f->value.n == 0) continue;
    if (!text_empty(&text)) text_put(&text, T2_STR(", "));
    text_put(&text, f->value);
  }
  if (value.n) {
    if (!text_empty(&text)) text_put(&text, T2_STR(", "));
    text_put(&text, value);
  }
  return text_empty(&text) ? 0 : add(out, name, text_end(&text));
}

/* What the first one in the way has said stays, when it is trusted. */
static int add_once(t2_str name, t2_str value, t2_head *out) {
  if (value.n == 0 || t2_fields_get(&out->fields, name)) return 0;
  return add(out, name, value);
}

static bool is_list(t2_str name) {
  return t2_str_eq(name, T2_STR("x-forwarded-for")) || t2_str_eq(name, T2_STR("x-forwarded-prefix"));
}

static int add_forwarding(const t2_head *in, const t2_forward *how, t2_head *out, t2_buf *scratch) {
  bool trust = how->trust_peer;
  int err = add_forwarded(in, how, out, scratch);
  if (err == 0) err = add_to_list(in, T2_STR("x-forwarded-for"), how->peer, trust, out, scratch);
  if (err == 0) err = add_to_list(in, T2_STR("x-forwarded-prefix"), how->prefix, trust, out, scratch);
  if (err == 0) err = add_once(T2_STR("x-forwarded-proto"), proto(in), out);
  if (err == 0) err = add_once(T2_STR("x-forwarded-host"), in->authority, out);
  return err;
}

/* ---- Calls ---- */

#define NODE_ROOM 12 /* times what a node of one character takes in Forwarded: for="[:]", and the like */

/* At most what is written to scratch for a request: every character of authority and peer may be quoted. */
static size_t request_text_size(const t2_head *in, const t2_forward *how) {
  size_t n = 128 + 2 * in->authority.n + 3 * how->peer.n + how->prefix.n + how->by.n;
  for (size_t i = 0; how->trust_peer && i < in->fields.n; i++)
    if (is_list(in->fields.list[i].name)) n += (1 + NODE_ROOM) * in->fields.list[i].value.n + 2;
  return n;
}

int t2_forward_request(const t2_head *in, const t2_forward *how, t2_head *out, t2_buf *scratch) {
  int err = 0;
  t2_buf_reset(scratch);
  if (!t2_buf_reserve(scratch, request_text_size(in, how))) return T2_ERR_NOMEM;
  take_control_data(in, out);
  for (size_t i = 0; err == 0 && i < in->fields.n; i++) {
    const t2_field *f = &in->fields.list[i];
    fate what = fate_of_field(f);
    if (what == PASS || (what == FORWARDED && how->trust_peer && !is_list(f->name)))
      err = t2_fields_put(&out->fields, *f);
  }
  if (err == 0) err = add_forwarding(in, how, out, scratch);
  if (err == 0) err = add_via(in, how->by, out, scratch);
  t2_str id = how->request_id.n ? how->request_id : t2_forward_request_id(in);
  if (err || id.n == 0) return err;
  return t2_fields_put(&out->fields, (t2_field){T2_STR("x-request-id"), id, true, true, false});
}

int t2_forward_response(const t2_head *in, t2_str by, t2_head *out, t2_buf *scratch) {
  int err = 0;
  t2_buf_reset(scratch);
  if (!t2_buf_reserve(scratch, by.n + 8)) return T2_ERR_NOMEM;
  take_control_data(in, out);
  for (size_t i = 0; err == 0 && i < in->fields.n; i++)
    if (fate_of_field(&in->fields.list[i]) != DROP) err = t2_fields_put(&out->fields, in->fields.list[i]);
  return err ? err : add_via(in, by, out, scratch);
}

t2_str t2_forward_request_id(const t2_head *in) {
  const t2_field *field = t2_fields_get(&in->fields, T2_STR("x-request-id"));
  if (!field || field->value.n == 0 || field->value.n > T2_REQUEST_ID_MAX) return T2_STR_NULL;
  for (size_t i = 0; i < field->value.n; i++)
    if (field->value.p[i] <= ' ' || field->value.p[i] > '~') return T2_STR_NULL;
  return field->value;
}

/* An address has no character that a quoted string would escape, so that what has one is none. */
t2_str t2_forwarded_for(const t2_head *request) {
  const t2_field *forwarded = t2_fields_get(&request->fields, T2_STR("forwarded"));
  t2_str value = forwarded ? forwarded->value : T2_STR_NULL, element, pair;
  if (!t2_str_next(&value, ',', &element)) return T2_STR_NULL;
  while (t2_str_next(&element, ';', &pair)) {
    pair = t2_str_trim(pair);
    if (pair.n < 4 || !t2_str_eq_nocase(t2_str_of(pair.p, 4), T2_STR("for="))) continue;
    pair = t2_str_of(pair.p + 4, pair.n - 4);
    bool quoted = pair.n >= 2 && pair.p[0] == '"' && pair.p[pair.n - 1] == '"';
    return quoted ? t2_str_of(pair.p + 1, pair.n - 2) : pair;
  }
  return T2_STR_NULL;
}
