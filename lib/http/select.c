#include <http/http_date.h>
#include <http/select.h>

/* ---- Conditions ---- */

/* Is the tag in the list, "*" or of entity tags? weak: W/ does not count (RFC 9110, 8.8.3.2). */
static bool has_tag(t2_str list, t2_str etag, bool weak) {
  t2_str element;
  while (t2_str_next(&list, ',', &element)) {
    if (t2_str_eq(element, T2_STR("*"))) return true;
    if (weak && t2_str_starts(element, T2_STR("W/"))) element = t2_str_of(element.p + 2, element.n - 2);
    if (t2_str_eq(element, etag)) return true;
  }
  return false;
}

static bool any_has_tag(const t2_fields *fields, t2_str name, t2_str etag, bool weak) {
  for (size_t i = 0; i < fields->n; i++)
    if (t2_str_eq(fields->list[i].name, name) && has_tag(fields->list[i].value, etag, weak)) return true;
  return false;
}

/* A date that is there and can be read. */
static bool get_date(const t2_fields *fields, t2_str name, int64_t *seconds) {
  const t2_field *field = t2_fields_get(fields, name);
  return field && t2_http_date_parse(field->value, seconds) == 0;
}

/* 412 or 304 or, when all conditions hold, 0. */
static int check_conditions(const t2_fields *fields, const t2_representation *what) {
  int64_t date;
  if (t2_fields_get(fields, T2_STR("if-match"))) {
    if (!any_has_tag(fields, T2_STR("if-match"), what->etag, false)) return 412;
  } else if (get_date(fields, T2_STR("if-unmodified-since"), &date) && what->modified > date) {
    return 412;
  }
  if (t2_fields_get(fields, T2_STR("if-none-match")))
    return any_has_tag(fields, T2_STR("if-none-match"), what->etag, true) ? 304 : 0;
  return get_date(fields, T2_STR("if-modified-since"), &date) && what->modified <= date ? 304 : 0;
}

/* Without If-Range, or when it says what there is (RFC 9110, 13.1.5). */
static bool range_applies(const t2_fields *fields, const t2_representation *what) {
  const t2_field *field = t2_fields_get(fields, T2_STR("if-range"));
  int64_t date;
  if (!field) return true;
  if (t2_str_starts(field->value, T2_STR("\""))) return t2_str_eq(field->value, what->etag);
  return t2_http_date_parse(field->value, &date) == 0 && date == what->modified;
}

/* ---- Ranges ---- */

static bool read_number(t2_str digits, uint64_t *value) {
  return digits.n && digits.n <= 18 && t2_str_u64(digits, INT64_MAX, value) == 0;
}

/* "bytes=first-last", "bytes=first-", "bytes=-suffix". False: it is no such thing. *status is 206 or 416
 * else. */
static bool read_range(t2_str value, uint64_t size, t2_selection *selection) {
  uint64_t first, last;
  if (value.n < 6 || !t2_str_eq_nocase(t2_str_of(value.p, 6), T2_STR("bytes="))) return false;
  t2_str range = t2_str_trim(t2_str_of(value.p + 6, value.n - 6));
  ptrdiff_t dash = t2_str_find(range, '-');
  if (dash < 0) return false;
  t2_str before = t2_str_of(range.p, (size_t)dash),
         after = t2_str_of(range.p + dash + 1, range.n - before.n - 1);
  if (before.n == 0) {
    if (!read_number(after, &last)) return false;
    first = last < size ? size - last : 0;
    if (last == 0) first = size;
    last = size;
  } else {
    if (!read_number(before, &first)) return false;
    if (after.n == 0)
      last = size;
    else if (!read_number(after, &last) || last < first)
      return false;
    if (last >= size)
      last = size;
    else
      last++;
  }
  *selection = first < size ? (t2_selection){206, first, last - first} : (t2_selection){.status = 416};
  return true;
}

t2_selection t2_select(const t2_head *request, const t2_representation *what) {
  t2_selection selection = {.status = check_conditions(&request->fields, what)};
  if (selection.status) return selection;
  selection = (t2_selection){200, 0, what->size};
  const t2_field *range = t2_fields_get(&request->fields, T2_STR("range"));
  bool asked = range && t2_fields_count(&request->fields, T2_STR("range")) == 1 &&
               t2_str_eq(request->method, T2_STR("GET")) && range_applies(&request->fields, what);
  if (asked) (void)read_range(range->value, what->size, &selection);
  return selection;
}
