#include <client/edits.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

/* Whose meaning is of one connection (RFC 9110, 7.6.1) or of the message's framing, which are not passed on
 * as fields; Host has an option of its own. */
static bool is_reserved(t2_str name) {
  static const char *const names[] = {
      "connection",
      "content-length",
      "expect",
      "host",
      "http2-settings",
      "keep-alive",
      "proxy-authenticate",
      "proxy-authorization",
      "proxy-authentication-info",
      "proxy-connection",
      "te",
      "trailer",
      "transfer-encoding",
      "upgrade",
  };
  for (size_t i = 0; i < T2_COUNT_OF(names); i++)
    if (t2_str_eq_nocase(name, t2_str_c(names[i]))) return true;
  return false;
}

/* "Name: value". False when there is no colon. */
static bool split(const char *line, t2_str *name, t2_str *value) {
  t2_str text = t2_str_c(line);
  ptrdiff_t colon = t2_str_find(text, ':');
  if (colon < 0) return false;
  *name = t2_str_of(text.p, (size_t)colon);
  *value = t2_str_trim(t2_str_of(text.p + colon + 1, text.n - (size_t)colon - 1));
  return true;
}

/* ---- Checks ---- */

static int check_name(t2_str name, char *detail, size_t size) {
  if (!t2_is_token(name))
    return t2_detail(detail, size, T2_ERR_INVALID, "\"%.*s\" is no name of a field", T2_STR_ARG(name));
  if (is_reserved(name))
    return t2_detail(detail, size, T2_ERR_INVALID, "the field %.*s cannot be added or removed",
                     T2_STR_ARG(name));
  return 0;
}

static int check_line(const char *line, char *detail, size_t size) {
  t2_str name, value;
  if (!line || !split(line, &name, &value))
    return t2_detail(detail, size, T2_ERR_INVALID, "\"%s\" is no field: \"Name: value\" is taken",
                     line ? line : "");
  if (value.n && !t2_is_field_value(value))
    return t2_detail(detail, size, T2_ERR_INVALID, "the value of the field %.*s cannot be one",
                     T2_STR_ARG(name));
  return check_name(name, detail, size);
}

int t2_edits_check(const t2_client_options *options, char *detail, size_t detail_size) {
  int err = 0;
  if (options->add_header_count > T2_CLIENT_HEADERS_MAX ||
      options->remove_header_count > T2_CLIENT_HEADERS_MAX)
    return t2_detail(detail, detail_size, T2_ERR_INVALID, "more than %d fields to add or to remove",
                     T2_CLIENT_HEADERS_MAX);
  for (size_t i = 0; err == 0 && i < options->add_header_count; i++)
    err = check_line(options->add_headers[i], detail, detail_size);
  for (size_t i = 0; err == 0 && i < options->remove_header_count; i++)
    err = check_name(t2_str_c(options->remove_headers[i]), detail, detail_size);
  return err;
}

/* ---- Life ---- */

static size_t text_size(const t2_client_options *options) {
  size_t n = 1;
  for (size_t i = 0; i < options->add_header_count; i++)
    n += strlen(options->add_headers[i]);
  for (size_t i = 0; i < options->remove_header_count; i++)
    n += strlen(options->remove_headers[i]);
  return n;
}

static t2_str keep(char **at, t2_str s, bool lower) {
  char *begin = *at;
  if (s.p) memcpy(begin, s.p, s.n);
  for (size_t i = 0; lower && i < s.n; i++)
    if (begin[i] >= 'A' && begin[i] <= 'Z') begin[i] = (char)(begin[i] - 'A' + 'a');
  *at += s.n;
  return t2_str_of(begin, s.n);
}

int t2_edits_init(t2_edits *edits, const t2_allocator *mem, const t2_client_options *options) {
  int err = 0;
  *edits = (t2_edits){.mem = mem, .text_size = text_size(options)};
  edits->text = t2_alloc(mem, edits->text_size);
  t2_fields_init(&edits->added, mem);
  t2_fields_init(&edits->removed, mem);
  if (!edits->text) return T2_ERR_NOMEM;
  char *at = edits->text;
  for (size_t i = 0; err == 0 && i < options->add_header_count; i++) {
    t2_str name, value;
    if (!split(options->add_headers[i], &name, &value)) continue;
    t2_str kept = keep(&at, name, true);
    err = t2_fields_add(&edits->added, kept, keep(&at, value, false));
  }
  for (size_t i = 0; err == 0 && i < options->remove_header_count; i++)
    err = t2_fields_add(&edits->removed, keep(&at, t2_str_c(options->remove_headers[i]), true), T2_STR_NULL);
  return err;
}

void t2_edits_fini(t2_edits *edits) {
  if (edits->text) t2_memzero(edits->text, edits->text_size); /* it may hold credentials */
  t2_fields_fini(&edits->added);
  t2_fields_fini(&edits->removed);
  t2_free(edits->mem, edits->text);
  edits->text = NULL;
}

/* ---- Use ---- */

int t2_edits_apply(const t2_edits *edits, t2_head *request) {
  t2_fields *fields = &request->fields;
  size_t kept = 0;
  int err = 0;
  if (edits->added.n + edits->removed.n == 0) return 0;
  for (size_t i = 0; i < fields->n; i++) {
    t2_str name = fields->list[i].name;
    bool goes = t2_fields_get(&edits->added, name) || t2_fields_get(&edits->removed, name);
    if (!goes) fields->list[kept++] = fields->list[i];
  }
  fields->n = kept;
  for (size_t i = 0; err == 0 && i < edits->added.n; i++)
    err = t2_fields_add(fields, edits->added.list[i].name, edits->added.list[i].value);
  return err;
}
