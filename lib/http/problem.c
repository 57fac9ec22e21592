#include <http/chars.h>
#include <http/problem.h>
#include <tunnel2/error.h>

#define TYPE_PREFIX "urn:tunnel2:problem:"

/* ---- Which problem ---- */

typedef struct known {
  int error;
  t2_problem problem;
} known;

static const t2_problem internal = {500, "internal-error", "Internal error", "proxy_internal_error", 0};

static const known at_route[] = {
    {T2_ERR_NOT_FOUND, {404, "session-unknown", "There is no such session", "destination_not_found", 0}},
    {T2_ERR_UNAVAILABLE,
     {503, "session-unavailable", "The session has no client now", "destination_unavailable", 1}},
    {T2_ERR_LIMIT, {503, "session-busy", "The session is at its limit", "connection_limit_reached", 1}},
    {T2_ERR_EXPIRED, {404, "session-unknown", "There is no such session", "destination_not_found", 0}},
    {T2_ERR_FORBIDDEN, {403, "forbidden", "Not allowed", "http_request_denied", 0}},
    {T2_ERR_AUTH, {401, "unauthorized", "Not authorized", "http_request_denied", 0}},
    {T2_ERR_UNSUPPORTED, {501, "not-implemented", "Not offered here", "http_request_denied", 0}},
    {T2_ERR_INVALID, {400, "bad-request", "Bad request", "http_request_error", 0}},
};

static const known at_uplink[] = {
    {T2_ERR_UNAVAILABLE,
     {503, "session-unavailable", "The session has no client now", "destination_unavailable", 1}},
    {T2_ERR_LIMIT, {503, "session-busy", "The session is at its limit", "connection_limit_reached", 1}},
    {T2_ERR_CLOSED, {502, "uplink-lost", "The client was lost", "connection_terminated", 0}},
    {T2_ERR_CANCELLED, {502, "answer-lost", "The client gave no whole answer", "connection_terminated", 0}},
    {T2_ERR_IO, {502, "uplink-lost", "The client was lost", "connection_terminated", 0}},
    {T2_ERR_TIMEOUT,
     {504, "uplink-timeout", "The client did not answer in time", "http_response_timeout", 0}},
    {T2_ERR_PROTOCOL, {502, "uplink-protocol", "The client broke the protocol", "http_protocol_error", 0}},
    {T2_ERR_INVALID, {400, "bad-request", "Bad request", "http_request_error", 0}},
};

static const known at_origin[] = {
    {T2_ERR_REFUSED, {502, "origin-refused", "The origin refused the connection", "connection_refused", 0}},
    {T2_ERR_TIMEOUT,
     {504, "origin-timeout", "The origin did not answer in time", "http_response_timeout", 0}},
    {T2_ERR_RESOLVE, {502, "origin-unresolved", "The origin's name did not resolve", "dns_error", 0}},
    {T2_ERR_UNREACHABLE,
     {502, "origin-unreachable", "There is no route to the origin", "destination_ip_unroutable", 0}},
    {T2_ERR_CLOSED, {502, "origin-closed", "The origin closed the connection", "connection_terminated", 0}},
    {T2_ERR_IO, {502, "origin-closed", "The connection to the origin broke", "connection_terminated", 0}},
    {T2_ERR_CANCELLED, {502, "origin-closed", "The request was given up", "connection_terminated", 0}},
    {T2_ERR_TLS, {502, "origin-tls", "TLS with the origin failed", "tls_protocol_error", 0}},
    {T2_ERR_CERTIFICATE,
     {502, "origin-certificate", "The origin's certificate was not accepted", "tls_certificate_error", 0}},
    {T2_ERR_PROTOCOL,
     {502, "origin-protocol", "The origin's answer was malformed", "http_protocol_error", 0}},
    {T2_ERR_LIMIT, {503, "origin-busy", "The origin is at its limit", "connection_limit_reached", 1}},
    {T2_ERR_UNAVAILABLE,
     {503, "origin-unavailable", "The origin is not available", "destination_unavailable", 1}},
    {T2_ERR_INVALID,
     {400, "bad-request", "The request cannot be said to the origin", "http_request_error", 0}},
    {T2_ERR_UNSUPPORTED,
     {501, "not-implemented", "The origin does not offer this", "http_request_denied", 0}},
};

/* To the origin, where it differs from a connection that is there. */
static const known at_dial[] = {
    {T2_ERR_TIMEOUT,
     {504, "origin-timeout", "Connecting to the origin took too long", "connection_timeout", 0}},
    {T2_ERR_FORBIDDEN,
     {502, "origin-refused", "The origin may not be connected to", "connection_refused", 0}},
};

static const known at_local[] = {
    {T2_ERR_NOT_FOUND, {404, "not-found", "Not found", NULL, 0}},
    {T2_ERR_INVALID, {400, "bad-request", "Bad request", NULL, 0}},
    {T2_ERR_PROTOCOL, {400, "bad-request", "Bad request", NULL, 0}},
    {T2_ERR_AUTH, {401, "unauthorized", "Not authorized", NULL, 0}},
    {T2_ERR_FORBIDDEN, {403, "forbidden", "Not allowed", NULL, 0}},
    {T2_ERR_CONFLICT, {409, "conflict", "Conflict", NULL, 0}},
    {T2_ERR_LIMIT, {429, "limit", "A limit was reached", NULL, 1}},
    {T2_ERR_TIMEOUT, {408, "request-timeout", "The request did not come in time", NULL, 0}},
    {T2_ERR_UNAVAILABLE, {503, "unavailable", "Not available now", NULL, 1}},
    {T2_ERR_UNSUPPORTED, {501, "not-implemented", "Not offered here", NULL, 0}},
};

/* A server short of memory says the same wherever it was met. */
static const t2_problem no_memory = {503, "overloaded", "The server is short of memory",
                                     "proxy_internal_error", 1};
static const struct {
  const known *list;
  size_t n;
} places[] = {
    [T2_AT_ROUTE] = {at_route, T2_COUNT_OF(at_route)},
    [T2_AT_UPLINK] = {at_uplink, T2_COUNT_OF(at_uplink)},
    [T2_AT_ORIGIN] = {at_origin, T2_COUNT_OF(at_origin)},
    [T2_AT_LOCAL] = {at_local, T2_COUNT_OF(at_local)},
    [T2_AT_DIAL] = {at_dial, T2_COUNT_OF(at_dial)},
};

const t2_problem *t2_problem_of(int error, t2_problem_at at) {
  if (error == T2_ERR_NOMEM) return &no_memory;
  for (size_t i = 0; i < places[at].n; i++)
    if (places[at].list[i].error == error) return &places[at].list[i].problem;
  return at == T2_AT_DIAL ? t2_problem_of(error, T2_AT_ORIGIN) : &internal;
}

static const t2_problem of_status[] = {
    {400, "bad-request", "Bad Request", NULL, 0},
    {401, "unauthorized", "Unauthorized", NULL, 0},
    {403, "forbidden", "Forbidden", NULL, 0},
    {404, "not-found", "Not Found", NULL, 0},
    {405, "method-not-allowed", "Method Not Allowed", NULL, 0},
    {406, "not-acceptable", "Not Acceptable", NULL, 0},
    {408, "request-timeout", "Request Timeout", NULL, 0},
    {409, "conflict", "Conflict", NULL, 0},
    {410, "gone", "Gone", NULL, 0},
    {411, "length-required", "Length Required", NULL, 0},
    {412, "precondition-failed", "Precondition Failed", NULL, 0},
    {413, "content-too-large", "Content Too Large", NULL, 0},
    {414, "uri-too-long", "URI Too Long", NULL, 0},
    {415, "unsupported-media-type", "Unsupported Media Type", NULL, 0},
    {416, "range-not-satisfiable", "Range Not Satisfiable", NULL, 0},
    {417, "expectation-failed", "Expectation Failed", NULL, 0},
    {421, "misdirected-request", "Misdirected Request", NULL, 0},
    {422, "unprocessable-content", "Unprocessable Content", NULL, 0},
    {426, "upgrade-required", "Upgrade Required", NULL, 0},
    {428, "precondition-required", "Precondition Required", NULL, 0},
    {429, "too-many-requests", "Too Many Requests", NULL, 0},
    {431, "header-fields-too-large", "Request Header Fields Too Large", NULL, 0},
    {500, "internal-error", "Internal Server Error", NULL, 0},
    {501, "not-implemented", "Not Implemented", NULL, 0},
    {502, "bad-gateway", "Bad Gateway", NULL, 0},
    {503, "unavailable", "Service Unavailable", NULL, 0},
    {504, "gateway-timeout", "Gateway Timeout", NULL, 0},
    {505, "version-not-supported", "HTTP Version Not Supported", NULL, 0},
};

const t2_problem *t2_problem_of_status(int status) {
  const t2_problem *otherwise = NULL;
  int class = status / 100 == 4 ? 400 : 500;
  for (size_t i = 0; i < T2_COUNT_OF(of_status); i++) {
    if (of_status[i].status == status) return &of_status[i];
    if (of_status[i].status == class) otherwise = &of_status[i];
  }
  return otherwise;
}

/* ---- JSON ---- */

/* Length of the UTF-8 sequence at p (RFC 3629), or 0 when it is none. */
static size_t utf8_length(const uint8_t *p, size_t n) {
  static const struct {
    uint8_t first, last, low, high; /* of the first byte; of the second */
    size_t length;
  } forms[] = {
      {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
      {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
      {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
  };
  for (size_t i = 0; i < T2_COUNT_OF(forms); i++) {
    if (*p < forms[i].first || *p > forms[i].last) continue;
    if (n < forms[i].length || p[1] < forms[i].low || p[1] > forms[i].high) return 0;
    for (size_t k = 2; k < forms[i].length; k++)
      if ((p[k] & 0xc0) != 0x80) return 0;
    return forms[i].length;
  }
  return 0;
}

static void json_character(t2_buf *body, uint8_t c) {
  if (c == '"' || c == '\\') {
    t2_buf_append_byte(body, '\\');
    t2_buf_append_byte(body, c);
  } else if (c < 0x20 || c == 0x7f) {
    t2_buf_printf(body, "\\u%04x", c);
  } else {
    t2_buf_append_byte(body, c);
  }
}

/* What is no UTF-8 becomes U+FFFD. */
static void json_text(t2_buf *body, t2_str s) {
  const uint8_t *p = (const uint8_t *)s.p;
  for (size_t i = 0; i < s.n;) {
    size_t length = p[i] < 0x80 ? 1 : utf8_length(p + i, s.n - i);
    if (length == 1)
      json_character(body, p[i]);
    else if (length)
      t2_buf_append(body, p + i, length);
    else
      t2_buf_append_c(body, "\xef\xbf\xbd");
    i += length ? length : 1;
  }
}

static void write_body(const t2_problem *problem, const char *detail, t2_str request_id, t2_buf *body) {
  t2_buf_append_c(body, "{\"type\":\"" TYPE_PREFIX);
  t2_buf_append_c(body, problem->type);
  t2_buf_append_c(body, "\",\"title\":\"");
  json_text(body, t2_str_c(problem->title));
  t2_buf_append_c(body, "\",\"status\":");
  t2_buf_append_u64(body, (uint64_t)problem->status);
  if (detail) {
    t2_buf_append_c(body, ",\"detail\":\"");
    json_text(body, t2_str_c(detail));
    t2_buf_append_c(body, "\"");
  }
  if (request_id.n) {
    t2_buf_append_c(body, ",\"instance\":\"urn:request:");
    json_text(body, request_id);
    t2_buf_append_c(body, "\"");
  }
  t2_buf_append_c(body, "}\n");
}

/* ---- Fields ---- */

/* A String (RFC 9651, 3.3.3), whose characters are visible ASCII and the space. */
static void put_string(t2_buf *scratch, t2_str s) {
  t2_buf_append_byte(scratch, '"');
  for (size_t i = 0; i < s.n; i++) {
    uint8_t c = (uint8_t)s.p[i];
    if (c == '"' || c == '\\') t2_buf_append_byte(scratch, '\\');
    t2_buf_append_byte(scratch, c >= ' ' && c <= '~' ? c : '?');
  }
  t2_buf_append_byte(scratch, '"');
}

/* Is it a Token (RFC 9651, 3.3.4)? */
static bool is_sf_token(t2_str s) {
  if (s.n == 0 || !((s.p[0] >= 'a' && s.p[0] <= 'z') || (s.p[0] >= 'A' && s.p[0] <= 'Z') || s.p[0] == '*'))
    return false;
  for (size_t i = 0; i < s.n; i++)
    if (s.p[i] != ':' && s.p[i] != '/' && !t2_char_is((uint8_t)s.p[i], T2_CHAR_TOKEN)) return false;
  return true;
}

/* "entry-1; error=connection_refused; details=..." (RFC 9209, 2). */
static void put_proxy_status(t2_buf *scratch, const t2_problem *problem, const char *detail, t2_str by) {
  if (is_sf_token(by))
    t2_buf_append_str(scratch, by);
  else
    put_string(scratch, by);
  t2_buf_append_c(scratch, "; error=");
  t2_buf_append_c(scratch, problem->proxy_error);
  if (!detail) return;
  t2_buf_append_c(scratch, "; details=");
  put_string(scratch, t2_str_c(detail));
}

static int write_fields(const t2_problem *problem, const char *detail, t2_str by, t2_str request_id,
                        t2_head *head, t2_buf *scratch) {
  t2_fields *fields = &head->fields;
  if (!t2_buf_reserve(scratch, 128 + 2 * by.n + (detail ? 2 * strlen(detail) : 0))) return T2_ERR_NOMEM;
  const char *text = (const char *)t2_buf_head(scratch);
  int err = t2_fields_add(fields, T2_STR("content-type"), T2_STR("application/problem+json"));
  if (err == 0) err = t2_fields_add(fields, T2_STR("cache-control"), T2_STR("no-store"));
  if (err == 0 && request_id.n) err = t2_fields_add(fields, T2_STR("x-request-id"), request_id);
  if (err == 0 && problem->retry_after > 0) {
    t2_buf_append_u64(scratch, (uint64_t)problem->retry_after);
    err = t2_fields_add(fields, T2_STR("retry-after"), t2_str_of(text, t2_buf_len(scratch)));
  }
  if (err == 0 && problem->proxy_error) {
    size_t start = t2_buf_len(scratch);
    put_proxy_status(scratch, problem, detail, by);
    err = t2_fields_add(fields, T2_STR("proxy-status"), t2_str_of(text + start, t2_buf_len(scratch) - start));
  }
  return err;
}

int t2_problem_write(const t2_problem *problem, const char *detail, t2_str by, t2_str request_id,
                     t2_head *head, t2_buf *scratch, t2_buf *body) {
  size_t before = t2_buf_len(body);
  t2_buf_reset(scratch);
  t2_head_reset(head);
  write_body(problem, detail, request_id, body);
  if (body->failed) return T2_ERR_NOMEM;
  head->status = problem->status;
  head->content_length = (int64_t)(t2_buf_len(body) - before);
  return write_fields(problem, detail, by, request_id, head, scratch);
}
