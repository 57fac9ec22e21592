#include <http/chars.h>
#include <http/fields.h>
#include <tunnel2/error.h>

#define FIELDS_MIN 16

void t2_fields_init(t2_fields *fields, const t2_allocator *mem) {
  *fields = (t2_fields){.mem = mem};
}

void t2_fields_fini(t2_fields *fields) {
  t2_free(fields->mem, fields->list);
  t2_fields_init(fields, fields->mem);
}

static int fields_grow(t2_fields *fields) {
  size_t cap = fields->cap ? fields->cap * 2 : FIELDS_MIN;
  t2_field *list = t2_realloc(fields->mem, fields->list, cap * sizeof(*list));
  if (!list) return T2_ERR_NOMEM;
  fields->list = list;
  fields->cap = cap;
  return 0;
}

/* One connection's HPACK table serves many users: none may learn another's secret by guessing until his guess
 * is found in it (RFC 7541, 7.1). And what each request has anew would push out of it what all of them have:
 * without the two ids an exchange takes a tenth fewer instructions at the entry. */
static bool is_not_for_tables(t2_str name) {
  switch (name.n) {
  case 6:
    return memcmp(name.p, "cookie", 6) == 0;
  case 10:
    return memcmp(name.p, "set-cookie", 10) == 0;
  case 11:
    return memcmp(name.p, "traceparent", 11) == 0;
  case 12:
    return memcmp(name.p, "x-request-id", 12) == 0;
  case 13:
    return memcmp(name.p, "authorization", 13) == 0;
  case 19:
    return memcmp(name.p, "proxy-authorization", 19) == 0;
  default:
    return false;
  }
}

int t2_fields_put(t2_fields *fields, t2_field field) {
  if (fields->n == fields->cap && fields_grow(fields)) return T2_ERR_NOMEM;
  fields->list[fields->n++] = field;
  return 0;
}

int t2_fields_add(t2_fields *fields, t2_str name, t2_str value) {
  return t2_fields_put(fields,
                       (t2_field){.name = name, .value = value, .sensitive = is_not_for_tables(name)});
}

int t2_fields_add_sound(t2_fields *fields, t2_str name, t2_str value) {
  return t2_fields_put(fields, (t2_field){name, value, is_not_for_tables(name), true, true});
}

void t2_fields_remove(t2_fields *fields, t2_str name) {
  size_t kept = 0;

  for (size_t i = 0; i < fields->n; i++)
    if (!t2_str_eq(fields->list[i].name, name)) fields->list[kept++] = fields->list[i];
  fields->n = kept;
}

const t2_field *t2_fields_get(const t2_fields *fields, t2_str name) {
  for (size_t i = 0; i < fields->n; i++)
    if (t2_str_eq(fields->list[i].name, name)) return &fields->list[i];
  return NULL;
}

size_t t2_fields_count(const t2_fields *fields, t2_str name) {
  size_t count = 0;
  for (size_t i = 0; i < fields->n; i++)
    count += t2_str_eq(fields->list[i].name, name);
  return count;
}

bool t2_fields_has_token(const t2_fields *fields, t2_str name, t2_str token) {
  for (size_t i = 0; i < fields->n; i++) {
    t2_str rest = fields->list[i].value, element;
    if (!t2_str_eq(fields->list[i].name, name)) continue;
    while (t2_str_next(&rest, ',', &element))
      if (t2_str_eq_nocase(element, token)) return true;
  }
  return false;
}

/* ---- Characters ---- */

bool t2_is_token(t2_str s) {
  return s.n > 0 && t2_chars_all(s, T2_CHAR_TOKEN);
}

bool t2_is_field_value(t2_str s) {
  const uint8_t *p = (const uint8_t *)s.p;
  if (s.n == 0) return true;
  return t2_str_trim(s).n == s.n && t2_chars_skip_value(p, p + s.n) == p + s.n;
}

static bool is_reg_name(t2_str s) {
  for (size_t i = 0; i < s.n; i++) {
    if (t2_char_is((uint8_t)s.p[i], T2_CHAR_HOST)) continue;
    if (s.p[i] != '%' || s.n - i < 3) return false;
    if (!t2_chars_all(t2_str_of(s.p + i + 1, 2), T2_CHAR_HEX)) return false;
    i += 2;
  }
  return s.n > 0;
}

/* What stands between the brackets: an IPv6 address by its characters, or an IPvFuture. */
static bool is_ip_literal(t2_str s) {
  size_t colons = 0;
  if (s.n && (s.p[0] == 'v' || s.p[0] == 'V')) {
    ptrdiff_t dot = t2_str_find(s, '.');
    if (dot < 2 || (size_t)dot + 1 == s.n || !t2_chars_all(t2_str_of(s.p + 1, (size_t)dot - 1), T2_CHAR_HEX))
      return false;
    for (size_t i = (size_t)dot + 1; i < s.n; i++)
      if (s.p[i] != ':' && !t2_char_is((uint8_t)s.p[i], T2_CHAR_HOST)) return false;
    return true;
  }
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] == ':')
      colons++;
    else if (s.p[i] != '.' && !t2_char_is((uint8_t)s.p[i], T2_CHAR_HEX))
      return false;
  }
  return colons >= 2 && s.n <= 45;
}

static bool is_port(t2_str s) {
  uint64_t port;
  return s.n == 0 || t2_str_u64(s, UINT16_MAX, &port) == 0;
}

bool t2_is_authority(t2_str s) {
  t2_str host = s, port = T2_STR_NULL;
  bool literal = s.n && s.p[0] == '[';
  ptrdiff_t split = literal ? t2_str_find(s, ']') : t2_str_find(s, ':');
  if (literal && split < 0) return false;
  if (split >= 0) {
    host.n = (size_t)split;
    port = t2_str_of(s.p + split + literal, s.n - host.n - literal);
    if (port.n) {
      if (port.p[0] != ':') return false;
      port = t2_str_of(port.p + 1, port.n - 1);
    }
  }
  if (!is_port(port)) return false;
  return literal ? is_ip_literal(t2_str_of(host.p + 1, host.n - 1)) : is_reg_name(host);
}

bool t2_is_origin_form(t2_str s) {
  return s.n > 0 && s.p[0] == '/' && t2_chars_all(s, T2_CHAR_TARGET);
}

/* ---- Heads ---- */

void t2_head_init(t2_head *head, const t2_allocator *mem) {
  *head = (t2_head){.content_length = -1, .version_minor = 1};
  t2_fields_init(&head->fields, mem);
}

void t2_head_fini(t2_head *head) {
  t2_fields_fini(&head->fields);
  t2_head_init(head, head->fields.mem);
}

void t2_head_reset(t2_head *head) {
  t2_fields fields = head->fields;
  *head = (t2_head){.content_length = -1, .version_minor = 1, .fields = fields};
  t2_fields_reset(&head->fields);
}

/* The head, its array and all text in one block. */
typedef struct head_copy {
  t2_head head;
  t2_field list[];
} head_copy;

size_t t2_head_text_size(const t2_head *head) {
  size_t n = head->method.n + head->scheme.n + head->authority.n + head->path.n + head->protocol.n;
  for (size_t i = 0; i < head->fields.n; i++)
    n += head->fields.list[i].name.n + head->fields.list[i].value.n;
  return n;
}

static t2_str put(char **at, t2_str s) {
  t2_str copy = t2_str_of(*at, s.n);
  if (s.n) memcpy(*at, s.p, s.n);
  *at += s.n;
  return copy;
}

t2_head *t2_head_copy(const t2_head *head, const t2_allocator *mem) {
  size_t n = head->fields.n;
  head_copy *copy = t2_alloc(mem, sizeof(*copy) + n * sizeof(copy->list[0]) + t2_head_text_size(head));
  if (!copy) return NULL;
  char *at = (char *)&copy->list[n];
  copy->head = *head;
  copy->head.method = put(&at, head->method);
  copy->head.scheme = put(&at, head->scheme);
  copy->head.authority = put(&at, head->authority);
  copy->head.path = put(&at, head->path);
  copy->head.protocol = put(&at, head->protocol);
  copy->head.fields = (t2_fields){.mem = mem, .list = copy->list, .n = n, .cap = n};
  for (size_t i = 0; i < n; i++) {
    copy->list[i] = head->fields.list[i];
    copy->list[i].name = put(&at, copy->list[i].name);
    copy->list[i].value = put(&at, copy->list[i].value);
  }
  return &copy->head;
}

void t2_head_free_copy(t2_head *head, const t2_allocator *mem) {
  if (head) t2_free(mem, T2_CONTAINER_OF(head, head_copy, head));
}

/* ---- Methods and status codes ---- */

bool t2_method_is_safe(t2_str method) {
  return t2_str_eq(method, T2_STR("GET")) || t2_str_eq(method, T2_STR("HEAD")) ||
         t2_str_eq(method, T2_STR("OPTIONS")) || t2_str_eq(method, T2_STR("TRACE"));
}

bool t2_method_is_idempotent(t2_str method) {
  return t2_method_is_safe(method) || t2_str_eq(method, T2_STR("PUT")) || t2_str_eq(method, T2_STR("DELETE"));
}

/* The IANA registry's, by class. */
static const char *const phrases_1xx[] = {"Continue", "Switching Protocols", "Processing", "Early Hints"};
static const char *const phrases_2xx[] = {"OK",
                                          "Created",
                                          "Accepted",
                                          "Non-Authoritative Information",
                                          "No Content",
                                          "Reset Content",
                                          "Partial Content",
                                          "Multi-Status",
                                          "Already Reported",
                                          [26] = "IM Used"};
static const char *const phrases_3xx[] = {
    "Multiple Choices",   "Moved Permanently", "Found", "See Other", "Not Modified", "Use Proxy", NULL,
    "Temporary Redirect", "Permanent Redirect"};
static const char *const phrases_4xx[] = {"Bad Request",
                                          "Unauthorized",
                                          "Payment Required",
                                          "Forbidden",
                                          "Not Found",
                                          "Method Not Allowed",
                                          "Not Acceptable",
                                          "Proxy Authentication Required",
                                          "Request Timeout",
                                          "Conflict",
                                          "Gone",
                                          "Length Required",
                                          "Precondition Failed",
                                          "Content Too Large",
                                          "URI Too Long",
                                          "Unsupported Media Type",
                                          "Range Not Satisfiable",
                                          "Expectation Failed",
                                          [21] = "Misdirected Request",
                                          "Unprocessable Content",
                                          "Locked",
                                          "Failed Dependency",
                                          "Too Early",
                                          "Upgrade Required",
                                          [28] = "Precondition Required",
                                          "Too Many Requests",
                                          [31] = "Request Header Fields Too Large",
                                          [51] = "Unavailable For Legal Reasons"};
static const char *const phrases_5xx[] = {"Internal Server Error",
                                          "Not Implemented",
                                          "Bad Gateway",
                                          "Service Unavailable",
                                          "Gateway Timeout",
                                          "HTTP Version Not Supported",
                                          "Variant Also Negotiates",
                                          "Insufficient Storage",
                                          "Loop Detected",
                                          [11] = "Network Authentication Required"};

static const struct {
  const char *const *list;
  size_t n;
} phrases[] = {
    {phrases_1xx, T2_COUNT_OF(phrases_1xx)}, {phrases_2xx, T2_COUNT_OF(phrases_2xx)},
    {phrases_3xx, T2_COUNT_OF(phrases_3xx)}, {phrases_4xx, T2_COUNT_OF(phrases_4xx)},
    {phrases_5xx, T2_COUNT_OF(phrases_5xx)},
};

const char *t2_status_phrase(int status) {
  if (status < 100 || status > 599) return "";
  size_t class = (size_t)status / 100 - 1, at = (size_t)status % 100;
  const char *phrase = at < phrases[class].n ? phrases[class].list[at] : NULL;
  return phrase ? phrase : "";
}

/* All fields but those of the name, which may be empty. */
static int view_without(const t2_head *head, t2_str name, const t2_allocator *mem, t2_head *out) {
  int err = 0;
  *out = *head;
  t2_fields_init(&out->fields, mem);
  for (size_t i = 0; i < head->fields.n && err == 0; i++) {
    const t2_field *f = &head->fields.list[i];
    if (t2_str_eq(f->name, name)) continue;
    err = t2_fields_put(&out->fields, *f);
  }
  return err;
}

int t2_head_with(const t2_head *head, t2_str name, t2_str value, const t2_allocator *mem, t2_head *out) {
  int err = view_without(head, T2_STR_NULL, mem, out);
  if (err == 0) err = t2_fields_add(&out->fields, name, value);
  if (err) t2_fields_fini(&out->fields);
  return err;
}

int t2_head_without(const t2_head *head, t2_str name, const t2_allocator *mem, t2_head *out) {
  int err = view_without(head, name, mem, out);
  if (err) t2_fields_fini(&out->fields);
  return err;
}
