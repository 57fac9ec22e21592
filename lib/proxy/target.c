#include <base/mem.h>
#include <proxy/target.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

#define ORIGIN_FORMS                                                                                         \
  "PORT, HOST:PORT, http://HOST:PORT, https://HOST:PORT, h2c://HOST:PORT, unix:/PATH or files:DIR"
#define SOCKET_PATH_MAX 107 /* characters that a unix socket's address has room for */

typedef struct problem {
  char *detail;
  size_t size;
  const char *forms; /* what would have been right */
  t2_str text;
} problem;

static int wrong(const problem *p, int err, const char *why) {
  t2_str shown = p->text;
  if (shown.n > 80) shown.n = 80;
  return t2_detail(p->detail, p->size, err, "\"%.*s\": %s; %s is taken", T2_STR_ARG(shown), why, p->forms);
}

static bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* A registered name as the DNS knows them, or an address; the resolver has the last word. */
static bool is_host(t2_str host) {
  bool v6 = t2_str_find(host, ':') >= 0;
  if (host.n == 0 || host.n > 253) return false;
  for (size_t i = 0; i < host.n; i++) {
    char c = host.p[i];
    if (!is_alnum(c) && (c == 0 || !strchr(v6 ? ":.%-_" : ".-_", c))) return false;
  }
  return true;
}

/* "host:port", or "host" with default_port when there is one. */
static int parse_authority(t2_str authority, uint16_t default_port, t2_target *target, const problem *p) {
  ptrdiff_t colon = t2_str_rfind(authority, ':'), bracket = t2_str_rfind(authority, ']');
  target->authority = authority;
  if (t2_str_find(authority, '@') >= 0) return wrong(p, T2_ERR_INVALID, "a user name has no place in it");
  if (default_port && (colon < 0 || colon < bracket)) {
    bool literal = authority.n > 2 && authority.p[0] == '[' && bracket == (ptrdiff_t)authority.n - 1;
    target->host = literal ? t2_str_of(authority.p + 1, authority.n - 2) : authority;
    target->port = default_port;
    if (!literal && bracket >= 0) return wrong(p, T2_ERR_INVALID, "that is no host");
  } else {
    int err = t2_str_hostport(authority, &target->host, &target->port);
    if (err) return wrong(p, T2_ERR_INVALID, colon < 0 ? "the port is missing" : "that is no host and port");
    if (target->port == 0) return wrong(p, T2_ERR_INVALID, "a port is a number from 1 to 65535");
  }
  return is_host(target->host) ? 0 : wrong(p, T2_ERR_INVALID, "that is no host");
}

/* What stands behind "scheme://". */
static int parse_rest(t2_str rest, uint16_t default_port, t2_target *target, const problem *p) {
  size_t n = 0;
  while (n < rest.n && !strchr("/?#", rest.p[n]))
    n++;
  if (rest.n - n > 1 || (rest.n - n == 1 && rest.p[n] != '/'))
    return wrong(p, T2_ERR_INVALID, "a path has no place in it");
  return parse_authority(t2_str_of(rest.p, n), default_port, target, p);
}

/* The part before "://" in *scheme; false when there is none. */
static bool split_scheme(t2_str text, t2_str *scheme, t2_str *rest) {
  ptrdiff_t colon = t2_str_find(text, ':');
  if (colon <= 0 || text.n < (size_t)colon + 3 || memcmp(text.p + colon, "://", 3) != 0) return false;
  *scheme = t2_str_of(text.p, (size_t)colon);
  *rest = t2_str_of(text.p + colon + 3, text.n - (size_t)colon - 3);
  return true;
}

static bool all_digits(t2_str text) {
  for (size_t i = 0; i < text.n; i++)
    if (text.p[i] < '0' || text.p[i] > '9') return false;
  return text.n > 0;
}

static int parse_port(t2_str digits, t2_target *target, const problem *p) {
  uint64_t port;
  if (t2_str_u64(digits, UINT16_MAX, &port) || port == 0)
    return wrong(p, T2_ERR_INVALID, "a port is a number from 1 to 65535");
  *target = (t2_target){.kind = T2_TARGET_HTTP, .host = T2_STR("localhost"), .port = (uint16_t)port};
  return 0;
}

/* "unix:/path", "unix:///path", "files:dir": what stands behind the colon. */
static int parse_path(t2_str path, t2_target_kind kind, t2_target *target, const problem *p) {
  size_t max = kind == T2_TARGET_UNIX ? SOCKET_PATH_MAX : T2_TARGET_PATH_MAX;
  if (t2_str_starts(path, T2_STR("///"))) path = t2_str_of(path.p + 2, path.n - 2);
  if (kind == T2_TARGET_UNIX && t2_str_starts(path, T2_STR("//")))
    return wrong(p, T2_ERR_INVALID, "a path of this machine is meant");
  if (path.n == 0) return wrong(p, T2_ERR_INVALID, "the path is missing");
  if (path.n > max) return wrong(p, T2_ERR_INVALID, "the path is too long");
  if (t2_str_find(path, '\0') >= 0) return wrong(p, T2_ERR_INVALID, "that is no path");
  *target = (t2_target){.kind = kind, .path = path};
  return 0;
}

static int parse_url(t2_str scheme, t2_str rest, t2_target *target, const problem *p) {
  static const struct {
    const char *scheme;
    t2_target_kind kind;
    uint16_t port;
  } known[] = {{"http", T2_TARGET_HTTP, 80}, {"https", T2_TARGET_HTTPS, 443}, {"h2c", T2_TARGET_H2C, 80}};
  for (size_t i = 0; i < T2_COUNT_OF(known); i++) {
    if (!t2_str_eq_nocase(scheme, t2_str_c(known[i].scheme))) continue;
    target->kind = known[i].kind;
    return parse_rest(rest, known[i].port, target, p);
  }
  return wrong(p, T2_ERR_UNSUPPORTED, "origins of this scheme are not spoken to");
}

int t2_target_parse(t2_str text, t2_target *target, char *detail, size_t detail_size) {
  problem p = {.size = detail_size, .forms = ORIGIN_FORMS, .text = text};
  t2_str scheme, rest;
  p.detail = detail;
  *target = (t2_target){0};
  if (text.n == 0) return wrong(&p, T2_ERR_INVALID, "the target is empty");
  if (t2_str_starts(text, T2_STR("unix:")))
    return parse_path(t2_str_of(text.p + 5, text.n - 5), T2_TARGET_UNIX, target, &p);
  if (t2_str_starts(text, T2_STR("files:")))
    return parse_path(t2_str_of(text.p + 6, text.n - 6), T2_TARGET_FILES, target, &p);
  if (text.n > T2_TARGET_MAX) return wrong(&p, T2_ERR_INVALID, "the target is too long");
  if (split_scheme(text, &scheme, &rest)) return parse_url(scheme, rest, target, &p);
  t2_str digits = text.p[0] == ':' ? t2_str_of(text.p + 1, text.n - 1) : text;
  if (all_digits(digits)) return parse_port(digits, target, &p);
  return parse_rest(text, 0, target, &p);
}

static int parse_server(t2_str text, bool clear, t2_target *target, const problem *p) {
  t2_str scheme, rest;
  *target = (t2_target){0};
  if (text.n > T2_TARGET_MAX) return wrong(p, T2_ERR_INVALID, "the URL is too long");
  if (!split_scheme(text, &scheme, &rest)) return wrong(p, T2_ERR_INVALID, "that is no URL");
  clear = clear && t2_str_eq_nocase(scheme, T2_STR("http"));
  if (!clear && !t2_str_eq_nocase(scheme, T2_STR("https")))
    return wrong(p, T2_ERR_UNSUPPORTED, "only https is spoken");
  target->kind = clear ? T2_TARGET_HTTP : T2_TARGET_HTTPS;
  return parse_rest(rest, clear ? 80 : 443, target, p);
}

int t2_target_parse_https(t2_str text, t2_target *target, char *detail, size_t detail_size) {
  problem p = {.size = detail_size, .forms = "https://HOST:PORT", .text = text};
  p.detail = detail;
  return parse_server(text, false, target, &p);
}

int t2_target_parse_uplink(t2_str text, t2_target *target, char *detail, size_t detail_size) {
  problem p = {.size = detail_size, .forms = "https://HOST:PORT or http://HOST:PORT", .text = text};
  p.detail = detail;
  return parse_server(text, true, target, &p);
}
