#include <http/chars.h>
#include <http/h1_line.h>

typedef const t2_h1_fault fault;

fault t2_h1_partial = {0, "the line is not whole"};

static t2_str text(const uint8_t *from, const uint8_t *to) {
  return t2_str_of((const char *)from, (size_t)(to - from));
}

/* The faults that any line may have; what else is wrong with it, its own grammar says. */
typedef struct line_faults {
  t2_h1_fault bare_lf, bare_cr, control;
} line_faults;

/* Names what stands at p, where the grammar allows something else. */
static fault *wrong(const uint8_t *p, const uint8_t *end, const line_faults *faults, fault *otherwise) {
  if (p == end) return &t2_h1_partial;
  if (*p == '\n') return &faults->bare_lf;
  if (*p == '\r') {
    if (p + 1 == end) return &t2_h1_partial;
    return p[1] == '\n' ? otherwise : &faults->bare_cr;
  }
  return *p == '\t' || t2_char_is(*p, T2_CHAR_VALUE) ? otherwise : &faults->control;
}

/* CRLF at p: moves *at behind it. */
static fault *line_end(uint8_t **at, uint8_t *p, const uint8_t *end, const line_faults *faults,
                       fault *otherwise) {
  if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
    *at = p + 2;
    return NULL;
  }
  return wrong(p, end, faults, otherwise);
}

/* ---- Start lines ---- */

static const line_faults request_faults = {{400, "bare LF in the request line"},
                                           {400, "bare CR in the request line"},
                                           {400, "control byte in the request line"}};
static const line_faults status_faults = {{400, "bare LF in the status line"},
                                          {400, "bare CR in the status line"},
                                          {400, "control byte in the status line"}};
static fault bad_method = {400, "the request line does not begin with a method and a space"};
static fault bad_target = {400, "the request target is empty or has a character that no target has"};
static fault bad_version = {400, "the HTTP version in the request line is malformed"};
static fault bad_status_version = {400, "the HTTP version in the status line is malformed"};
static fault other_version = {505, "the HTTP version is not 1.0 or 1.1"};
static fault bad_status = {400, "the status code is not three digits"};

/* "HTTP/1.x" at *p; the major version is told apart, minor versions past 1 are spoken to as 1 (RFC
 * 9110, 2.5). */
static fault *version(uint8_t **p, const uint8_t *end, const line_faults *faults, fault *malformed,
                      uint8_t *minor) {
  static const char name[] = "HTTP/";
  uint8_t *at = *p;
  for (size_t i = 0; i < sizeof(name) - 1; i++, at++)
    if (at == end || *at != (uint8_t)name[i]) return wrong(at, end, faults, malformed);
  for (size_t i = 0; i < 3; i++)
    if (at + i == end || (i == 1 ? at[i] != '.' : !t2_char_is(at[i], T2_CHAR_DIGIT)))
      return wrong(at + i, end, faults, malformed);
  if (at[0] != '1') return &other_version;
  *minor = at[2] != '0';
  *p = at + 3;
  return NULL;
}

fault *t2_h1_request_line(uint8_t **at, const uint8_t *end, t2_head *head) {
  uint8_t *p = *at, *start = p;
  while (p < end && t2_char_is(*p, T2_CHAR_TOKEN))
    p++;
  if (p == end || *p != ' ' || p == start) return wrong(p, end, &request_faults, &bad_method);
  head->method = text(start, p);
  start = ++p;
  while (p < end && t2_char_is(*p, T2_CHAR_TARGET))
    p++;
  if (p == end || *p != ' ' || p == start) return wrong(p, end, &request_faults, &bad_target);
  head->path = text(start, p);
  p++;
  fault *found = version(&p, end, &request_faults, &bad_version, &head->version_minor);
  return found ? found : line_end(at, p, end, &request_faults, &bad_version);
}

fault *t2_h1_status_line(uint8_t **at, const uint8_t *end, t2_head *head) {
  uint8_t *p = *at;
  int status = 0;
  fault *found = version(&p, end, &status_faults, &bad_status_version, &head->version_minor);
  if (found) return found;
  if (p == end || *p != ' ') return wrong(p, end, &status_faults, &bad_status_version);
  p++;
  for (size_t i = 0; i < 3; i++, p++) {
    if (p == end || !t2_char_is(*p, T2_CHAR_DIGIT)) return wrong(p, end, &status_faults, &bad_status);
    status = status * 10 + (*p - '0');
  }
  if (status < 100) return &bad_status;
  if (p < end && *p == ' ') p += t2_chars_skip_value(p, end) - p;
  head->status = status;
  return line_end(at, p, end, &status_faults, &bad_status);
}

/* ---- Field lines ---- */

typedef struct field_faults {
  line_faults line;
  t2_h1_fault fold, no_name, no_colon, space, name;
} field_faults;

#define FIELD_FAULTS(where)                                                                                  \
  {                                                                                                          \
    {{400, "bare LF in the " where}, {400, "bare CR in the " where}, {400, "control byte in the " where}},   \
        {400, "a line of the " where " begins with white space (line folding)"},                             \
        {400, "a field without a name in the " where}, {400, "a line without a colon in the " where},        \
        {400, "white space before the colon of a field in the " where}, {                                    \
      400, "a field name in the " where " has a character that no name has"                                  \
    }                                                                                                        \
  }

static const field_faults part_faults[] = {
    [T2_H1_PART_FIELDS] = FIELD_FAULTS("field section"),
    [T2_H1_PART_TRAILERS] = FIELD_FAULTS("trailer section"),
};

/* p is where the name of a field line that began at `start` ended without a colon, or without a character. */
static fault *bad_name(const uint8_t *start, const uint8_t *p, const uint8_t *end,
                       const field_faults *faults) {
  if (p == end) return &t2_h1_partial;
  bool blank = *p == ' ' || *p == '\t';
  if (p == start && blank) return &faults->fold;
  if (p == start && *p == ':') return &faults->no_name;
  if (blank) return &faults->space;
  return wrong(p, end, &faults->line, *p == '\r' ? &faults->no_colon : &faults->name);
}

fault *t2_h1_field_line(uint8_t **at, const uint8_t *end, t2_h1_part part, t2_str *name, t2_str *value) {
  const field_faults *faults = &part_faults[part];
  uint8_t *p = *at, *start = p, lower;
  while (p < end && (lower = t2_token_lower[*p]) != 0)
    *p++ = lower;
  if (p == end || *p != ':' || p == start) return bad_name(start, p, end, faults);
  *name = text(start, p);
  for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
    ;
  start = p;
  p += t2_chars_skip_value(p, end) - p;
  uint8_t *last = p;
  while (last > start && (last[-1] == ' ' || last[-1] == '\t'))
    last--;
  *value = text(start, last);
  return line_end(at, p, end, &faults->line, &faults->line.control);
}

fault *t2_h1_empty_line(uint8_t **at, const uint8_t *end, t2_h1_part part) {
  const line_faults *faults = &part_faults[part].line;
  return line_end(at, *at, end, faults, &faults->bare_cr);
}

/* ---- The request target ---- */

static fault no_form = {400, "the request target is in none of the four forms"};
static fault bad_asterisk = {400, "the request target \"*\" is for OPTIONS alone"};
static fault bad_authority = {400, "the authority in the request target is malformed"};
static fault bad_connect = {400, "the request target of CONNECT is not host:port"};
static fault other_scheme = {400, "the scheme of the request target is not http or https"};

/* CONNECT host:port (RFC 9112, 3.2.3): the port is always there. */
static fault *authority_form(t2_head *head) {
  t2_str target = head->path;
  ptrdiff_t colon = t2_str_rfind(target, ':');
  if (!t2_is_authority(target) || colon < 0 || (size_t)colon + 1 == target.n || target.p[target.n - 1] == ']')
    return &bad_connect;
  head->authority = target;
  head->path = T2_STR_NULL;
  return NULL;
}

/* The query of "http://host?query" has no path to stand on: the authority moves one to the left, over the
 * last slash before it, which makes the room for one. */
static void put_slash(t2_head *head) {
  char *authority = (char *)(uintptr_t)head->authority.p;
  memmove(authority - 1, authority, head->authority.n);
  head->authority.p--;
  head->path.p--;
  head->path.n++;
  authority[head->authority.n - 1] = '/';
}

/* http://authority/path?query (RFC 9112, 3.2.2). The scheme is not taken over: the connection's own is true,
 * whatever the target claims. */
static fault *absolute_form(t2_head *head, size_t scheme) {
  t2_str target = head->path, name = t2_str_of(target.p, scheme);
  if (!t2_str_eq_nocase(name, T2_STR("http")) && !t2_str_eq_nocase(name, T2_STR("https")))
    return &other_scheme;
  const char *from = target.p + scheme + 3, *end = target.p + target.n, *at = from;
  while (at < end && *at != '/' && *at != '?')
    at++;
  head->authority = t2_str_of(from, (size_t)(at - from));
  head->path = t2_str_of(at, (size_t)(end - at));
  if (!t2_is_authority(head->authority)) return &bad_authority;
  if (at == end)
    head->path = t2_str_eq(head->method, T2_STR("OPTIONS")) ? T2_STR("*") : T2_STR("/");
  else if (*at == '?')
    put_slash(head);
  return NULL;
}

fault *t2_h1_target(t2_head *head) {
  t2_str target = head->path;
  if (t2_str_eq(head->method, T2_STR("CONNECT"))) return authority_form(head);
  if (target.p[0] == '/') return NULL;
  if (t2_str_eq(target, T2_STR("*")))
    return t2_str_eq(head->method, T2_STR("OPTIONS")) ? NULL : &bad_asterisk;
  ptrdiff_t colon = t2_str_find(target, ':');
  if (colon <= 0 || !t2_str_starts(t2_str_of(target.p + colon, target.n - (size_t)colon), T2_STR("://")))
    return &no_form;
  return absolute_form(head, (size_t)colon);
}
