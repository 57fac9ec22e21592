#include <http/file_path.h>
#include <tunnel2/error.h>

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* One byte of what was encoded, and how many characters it took; -1 when that is broken. */
static int decode(t2_str text, size_t *took) {
  *took = 1;
  if (text.p[0] != '%') return (unsigned char)text.p[0];
  if (text.n < 3 || hex(text.p[1]) < 0 || hex(text.p[2]) < 0) return -1;
  *took = 3;
  return hex(text.p[1]) * 16 + hex(text.p[2]);
}

/* Appends the segment to out[n]: the new length, or 0 when it can be none. */
static size_t put_segment(t2_str segment, char *out, size_t n) {
  size_t start = n;
  for (size_t at = 0, took; at < segment.n; at += took) {
    int c = decode(t2_str_of(segment.p + at, segment.n - at), &took);
    bool first_dot = n == start && c == '.';
    if (c <= 0 || c == '/' || first_dot || n + 2 >= T2_FILE_PATH_MAX) return 0;
    out[n++] = (char)c;
  }
  return n;
}

int t2_file_path(t2_str path, char out[T2_FILE_PATH_MAX]) {
  t2_str rest = path;
  size_t n = 0;
  while (rest.n) {
    ptrdiff_t slash = t2_str_find(rest, '/');
    t2_str segment = t2_str_of(rest.p, slash < 0 ? rest.n : (size_t)slash);
    rest = t2_str_of(rest.p + segment.n, rest.n - segment.n);
    if (rest.n) rest = t2_str_of(rest.p + 1, rest.n - 1);
    if (segment.n == 0) continue;
    if (n) out[n++] = '/';
    n = put_segment(segment, out, n);
    if (n == 0) return T2_ERR_NOT_FOUND;
  }
  if (n == 0) out[n++] = '.';
  out[n] = '\0';
  return 0;
}
