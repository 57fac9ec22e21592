#include <http/mend.h>
#include <tunnel2/error.h>

/* Text being put together in scratch, whose whole size was reserved: views of it stay good. */
typedef struct mended {
  t2_buf *buf;
  size_t start;
} mended;

static mended begin(t2_buf *scratch) {
  return (mended){scratch, t2_buf_len(scratch)};
}

static void put(const mended *m, t2_str s) {
  (void)t2_buf_append_str(m->buf, s);
}

static t2_str end(const mended *m) {
  return t2_str_of((const char *)t2_buf_head(m->buf) + m->start, t2_buf_len(m->buf) - m->start);
}

static t2_str rest_of(t2_str s, size_t at) {
  return t2_str_of(s.p + at, s.n - at);
}

/* ---- The prefix ---- */

t2_str t2_mend_prefix(const t2_head *request) {
  t2_str prefix = T2_STR_NULL, element;
  for (size_t i = 0; i < request->fields.n; i++) {
    t2_str rest = request->fields.list[i].value;
    if (!t2_str_eq(request->fields.list[i].name, T2_STR("x-forwarded-prefix"))) continue;
    while (t2_str_next(&rest, ',', &element))
      prefix = element;
  }
  while (prefix.n && prefix.p[prefix.n - 1] == '/')
    prefix.n--;
  /* A semicolon would end it within a cookie. */
  bool good = prefix.n <= T2_MEND_PREFIX_MAX && t2_is_origin_form(prefix) && t2_str_find(prefix, '?') < 0 &&
              t2_str_find(prefix, ';') < 0;
  return good ? prefix : T2_STR_NULL;
}

static bool is_below(t2_str path, t2_str prefix) {
  return t2_str_starts(path, prefix) && (path.n == prefix.n || strchr("/?#", path.p[prefix.n]));
}

/* ---- Location ---- */

/* "http://authority" of an absolute URL: its length, or 0. */
static size_t split_url(t2_str url, t2_str *authority) {
  size_t scheme = t2_str_eq_nocase(t2_str_of(url.p, url.n < 7 ? url.n : 7), T2_STR("http://"))    ? 7
                  : t2_str_eq_nocase(t2_str_of(url.p, url.n < 8 ? url.n : 8), T2_STR("https://")) ? 8
                                                                                                  : 0;
  size_t n = scheme;
  if (scheme == 0) return 0;
  while (n < url.n && !strchr("/?#", url.p[n]))
    n++;
  *authority = t2_str_of(url.p + scheme, n - scheme);
  return n;
}

static bool is_own(const t2_mend *how, t2_str authority) {
  for (size_t i = 0; i < T2_MEND_OWN_MAX; i++)
    if (how->own[i].n && t2_str_eq_nocase(authority, how->own[i])) return true;
  return false;
}

static void put_path(const mended *m, const t2_mend *how, t2_str path) {
  if (!is_below(path, how->prefix)) put(m, how->prefix);
  if (path.n == 0 || path.p[0] != '/') put(m, T2_STR("/"));
  put(m, path);
}

static t2_str mend_location(t2_str value, const t2_mend *how, t2_buf *scratch) {
  mended m = begin(scratch);
  t2_str authority;
  size_t n = split_url(value, &authority);
  if (n == 0) {
    bool absolute = t2_str_starts(value, T2_STR("/")) && !t2_str_starts(value, T2_STR("//"));
    if (!absolute || is_below(value, how->prefix)) return value;
  } else if (how->authority.n && t2_str_eq_nocase(authority, how->authority)) {
    put(&m, t2_str_of(value.p, n));
  } else if (!is_own(how, authority)) {
    return value;
  }
  put_path(&m, how, rest_of(value, n));
  return end(&m);
}

/* ---- Set-Cookie ---- */

/* A Path attribute (RFC 6265, 5.2.4) that has to be changed: its value. A cookie of "/" is one of the prefix
 * itself, and so of all below it (RFC 6265, 5.1.4). */
static bool is_foreign_path(t2_str attribute, t2_str prefix, t2_str *value) {
  ptrdiff_t equals = t2_str_find(attribute, '=');
  if (equals < 0 || !t2_str_eq_nocase(t2_str_trim(t2_str_of(attribute.p, (size_t)equals)), T2_STR("path")))
    return false;
  *value = t2_str_trim(rest_of(attribute, (size_t)equals + 1));
  return t2_str_starts(*value, T2_STR("/")) && !is_below(*value, prefix);
}

static t2_str mend_cookie(t2_str cookie, const t2_mend *how, t2_buf *scratch) {
  mended m = begin(scratch);
  size_t at = 0;
  for (bool first = true; at <= cookie.n; first = false) {
    t2_str rest = rest_of(cookie, at), value;
    ptrdiff_t semicolon = t2_str_find(rest, ';');
    t2_str part = t2_str_of(rest.p, semicolon < 0 ? rest.n : (size_t)semicolon);
    if (!first) put(&m, T2_STR(";"));
    if (!first && is_foreign_path(part, how->prefix, &value)) {
      put(&m, T2_STR(" Path="));
      put(&m, how->prefix);
      if (value.n > 1) put(&m, value);
    } else {
      put(&m, part);
    }
    at += part.n + 1;
  }
  return end(&m);
}

/* ---- Calls ---- */

static bool is_mended(t2_str name) {
  return t2_str_eq(name, T2_STR("location")) || t2_str_eq(name, T2_STR("set-cookie"));
}

/* At most what is written to scratch: every attribute may be a path. */
static size_t text_size(const t2_head *in, const t2_mend *how) {
  size_t n = 1;
  for (size_t i = 0; i < in->fields.n; i++) {
    t2_str value = in->fields.list[i].value;
    if (!is_mended(in->fields.list[i].name)) continue;
    n += value.n + how->prefix.n + 8;
    for (size_t c = 0; c < value.n; c++)
      if (value.p[c] == ';') n += how->prefix.n + 8;
  }
  return n;
}

int t2_mend_response(const t2_head *in, const t2_mend *how, t2_head *out, t2_buf *scratch) {
  t2_fields fields = out->fields;
  *out = *in;
  out->fields = fields;
  t2_fields_reset(&out->fields);
  t2_buf_reset(scratch);
  if (!t2_buf_reserve(scratch, text_size(in, how))) return T2_ERR_NOMEM;
  for (size_t i = 0; i < in->fields.n; i++) {
    t2_field f = in->fields.list[i];
    t2_str value = f.value;
    if (t2_str_eq(f.name, T2_STR("location")))
      f.value = mend_location(value, how, scratch);
    else if (t2_str_eq(f.name, T2_STR("set-cookie")))
      f.value = mend_cookie(value, how, scratch);
    f.sound_value = f.sound_value && f.value.p == value.p && f.value.n == value.n;
    if (t2_fields_put(&out->fields, f)) return T2_ERR_NOMEM;
  }
  return 0;
}
