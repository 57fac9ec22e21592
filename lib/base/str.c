#include <base/str.h>
#include <tunnel2/error.h>

static char fold(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool t2_str_eq_nocase(t2_str a, t2_str b) {
  if (a.n != b.n) return false;
  for (size_t i = 0; i < a.n; i++)
    if (fold(a.p[i]) != fold(b.p[i])) return false;
  return true;
}

bool t2_str_starts(t2_str s, t2_str prefix) {
  return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool t2_str_ends(t2_str s, t2_str suffix) {
  return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

ptrdiff_t t2_str_find(t2_str s, char c) {
  const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

  return at ? at - s.p : -1;
}

ptrdiff_t t2_str_rfind(t2_str s, char c) {
  const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;

  return at ? at - s.p : -1;
}

t2_str t2_str_trim(t2_str s) {
  while (s.n && is_blank(s.p[0])) {
    s.p++;
    s.n--;
  }
  while (s.n && is_blank(s.p[s.n - 1]))
    s.n--;
  return s;
}

bool t2_str_next(t2_str *rest, char sep, t2_str *element) {
  while (rest->n) {
    ptrdiff_t at = t2_str_find(*rest, sep);
    size_t len = at < 0 ? rest->n : (size_t)at;
    size_t taken = at < 0 ? len : len + 1;
    t2_str found = t2_str_trim(t2_str_of(rest->p, len));

    *rest = t2_str_of(rest->p + taken, rest->n - taken);
    if (found.n) {
      *element = found;
      return true;
    }
  }
  return false;
}

t2_str t2_str_of_u64(char digits[T2_U64_DIGITS], uint64_t value) {
  size_t at = T2_U64_DIGITS;
  do {
    digits[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  return t2_str_of(digits + at, T2_U64_DIGITS - at);
}

int t2_str_u64(t2_str s, uint64_t max, uint64_t *value) {
  uint64_t sum = 0;

  if (s.n == 0) return T2_ERR_INVALID;
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return T2_ERR_INVALID;
    if (__builtin_mul_overflow(sum, 10, &sum)) return T2_ERR_INVALID;
    if (__builtin_add_overflow(sum, (uint64_t)(s.p[i] - '0'), &sum)) return T2_ERR_INVALID;
    if (sum > max) return T2_ERR_INVALID;
  }
  *value = sum;
  return 0;
}

/* What can stand in a host, so that no path, user or second port hides in one. */
static bool host_is_plain(t2_str host, bool bracketed) {
  for (size_t i = 0; i < host.n; i++) {
    unsigned char c = (unsigned char)host.p[i];
    if (c <= ' ' || c == 0x7f || strchr("[]/\\@?#", c)) return false;
    if (c == ':' && !bracketed) return false;
  }
  return true;
}

int t2_str_hostport(t2_str s, t2_str *host, uint16_t *port) {
  bool bracketed = s.n && s.p[0] == '[';
  ptrdiff_t colon = t2_str_rfind(s, ':');
  t2_str name;
  uint64_t number;

  if (colon < 0) return T2_ERR_INVALID;
  name = t2_str_of(s.p, (size_t)colon);
  if (bracketed) {
    if (name.n < 3 || name.p[name.n - 1] != ']') return T2_ERR_INVALID;
    name = t2_str_of(name.p + 1, name.n - 2);
  }
  if (!host_is_plain(name, bracketed)) return T2_ERR_INVALID;
  if (t2_str_u64(t2_str_of(s.p + colon + 1, s.n - (size_t)colon - 1), UINT16_MAX, &number))
    return T2_ERR_INVALID;
  *host = name;
  *port = (uint16_t)number;
  return 0;
}
