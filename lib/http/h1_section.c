#include <http/h1_section.h>

typedef const t2_h1_fault fault;

void t2_h1_section_init(t2_h1_section *section, const t2_allocator *mem, bool responses,
                        const t2_h1_limits *limits) {
  *section = (t2_h1_section){.limits = *limits, .responses = responses};
  t2_head_init(&section->message.head, mem);
  section->message.options_max = limits->field_max;
  t2_buf_init(&section->kept, mem);
}

void t2_h1_section_fini(t2_h1_section *section) {
  t2_head_fini(&section->message.head);
  t2_buf_fini(&section->kept);
}

void t2_h1_section_begin(t2_h1_section *section, t2_h1_section_at at) {
  section->at = at;
  section->bytes = section->lines = 0;
  if (at == T2_H1_AT_TRAILERS)
    t2_fields_reset(&section->message.head.fields);
  else
    t2_h1_message_reset(&section->message);
}

/* ---- Lines of a section ---- */

static fault target_too_long = {414, "the request target is too long"};
static fault request_line_too_long = {400, "the request line is too long"};
static fault status_line_too_long = {400, "the status line is too long"};
static fault fields_too_long = {431, "the field section is too long"};
static fault trailers_too_long = {431, "the trailer section is too long"};
static fault too_many_fields = {431, "too many fields in the field section"};
static fault too_many_trailers = {431, "too many fields in the trailer section"};

/* Bytes that the line under way may have, without its CRLF. */
static size_t line_allowed(const t2_h1_section *section) {
  if (section->at == T2_H1_AT_START_LINE) return section->limits.line_max;
  size_t used = section->bytes + 2;
  return used < section->limits.section_max ? section->limits.section_max - used : 0;
}

/* Bytes of a line, whole or not, without its line end. */
static size_t content_length(const uint8_t *line, size_t n) {
  if (n && line[n - 1] == '\n') n--;
  if (n && line[n - 1] == '\r') n--;
  return n;
}

/* Which limit was passed; decided by bytes within the limit, so that it does not matter how much more came.
 */
static fault *too_long(const t2_h1_section *section, const uint8_t *line) {
  if (section->at == T2_H1_AT_FIELDS) return &fields_too_long;
  if (section->at == T2_H1_AT_TRAILERS) return &trailers_too_long;
  if (section->responses) return &status_line_too_long;
  /* The target is it, unless the method or what stands in the version's place is longer than they come. */
  t2_str begin = t2_str_of((const char *)line, section->limits.line_max);
  ptrdiff_t first = t2_str_find(begin, ' '), last = t2_str_rfind(begin, ' ');
  bool version = last > first && begin.n - (size_t)last - 1 <= sizeof("HTTP/1.1") - 1;
  bool short_method = first > 0 && (size_t)first <= begin.n / 2;
  return short_method && (first == last || version) ? &target_too_long : &request_line_too_long;
}

/* A fault, or the end of the input, was met in the line that begins at `line`. Faults wait for the line to be
 * whole, and its length counts before them: so what is found does not depend on how the input was cut. */
static fault *judge(const t2_h1_section *section, fault *found, const uint8_t *line, const uint8_t *end) {
  size_t allowed = line_allowed(section), n = (size_t)(end - line);
  if (n > allowed + 2) n = allowed + 2;
  const uint8_t *lf = n ? memchr(line, '\n', n) : NULL;
  if (lf) n = (size_t)(lf - line) + 1;
  if (content_length(line, n) > allowed) return too_long(section, line);
  return lf ? found : &t2_h1_partial;
}

static fault *take_start_line(t2_h1_section *section, uint8_t **at, const uint8_t *end) {
  t2_head *head = &section->message.head;
  uint8_t *line = *at;
  fault *found = section->responses ? t2_h1_status_line(at, end, head) : t2_h1_request_line(at, end, head);
  if (found) return judge(section, found, line, end);
  if ((size_t)(*at - line) - 2 > section->limits.line_max) return too_long(section, line);
  if (!section->responses && (found = t2_h1_target(head)) != NULL) return found;
  section->at = T2_H1_AT_FIELDS;
  return NULL;
}

static fault *add_trailer(t2_h1_section *section, t2_str name, t2_str value) {
  if (!t2_h1_may_trail(name)) return NULL;
  return t2_fields_add_sound(&section->message.head.fields, name, value) ? &t2_h1_no_memory : NULL;
}

static fault *take_field_line(t2_h1_section *section, uint8_t **at, const uint8_t *end) {
  bool trailers = section->at == T2_H1_AT_TRAILERS;
  t2_h1_part part = trailers ? T2_H1_PART_TRAILERS : T2_H1_PART_FIELDS;
  uint8_t *line = *at;
  t2_str name, value;
  fault *found = t2_h1_field_line(at, end, part, &name, &value);
  if (found) return judge(section, found, line, end);
  size_t n = (size_t)(*at - line);
  if (n - 2 > line_allowed(section)) return too_long(section, line);
  section->bytes += n;
  if (++section->lines > section->limits.field_max) return trailers ? &too_many_trailers : &too_many_fields;
  return trailers ? add_trailer(section, name, value) : t2_h1_message_add(&section->message, name, value);
}

/* Takes whole lines: NULL at the section's end, t2_h1_partial at the input's. */
static fault *take_lines(t2_h1_section *section, uint8_t **at, const uint8_t *end) {
  fault *found = NULL;
  if (section->at == T2_H1_AT_START_LINE) found = take_start_line(section, at, end);
  while (!found && *at < end) {
    if (**at != '\r') {
      found = take_field_line(section, at, end);
      continue;
    }
    t2_h1_part part = section->at == T2_H1_AT_TRAILERS ? T2_H1_PART_TRAILERS : T2_H1_PART_FIELDS;
    uint8_t *line = *at;
    found = t2_h1_empty_line(at, end, part);
    return found ? judge(section, found, line, end) : NULL;
  }
  return found ? found : &t2_h1_partial;
}

/* ---- Sections that come in pieces ---- */

/* Moves a view of the n bytes that were at `from` to where they are now; views of other text stay. */
static void rebase(t2_str *view, uintptr_t from, size_t n, const uint8_t *to) {
  uintptr_t offset = (uintptr_t)view->p - from;
  if (view->p && offset < n) view->p = (const char *)to + offset;
}

static void rebase_all(t2_h1_section *section, uintptr_t from, size_t n) {
  const uint8_t *to = t2_buf_head(&section->kept);
  t2_h1_message *message = &section->message;
  t2_head *head = &message->head;
  if ((uintptr_t)to == from) return;
  rebase(&head->method, from, n, to);
  rebase(&head->authority, from, n, to);
  rebase(&head->path, from, n, to);
  rebase(&message->host, from, n, to);
  rebase(&message->upgrade, from, n, to);
  for (size_t i = 0; i < head->fields.n; i++) {
    rebase(&head->fields.list[i].name, from, n, to);
    rebase(&head->fields.list[i].value, from, n, to);
  }
}

static fault *keep(t2_h1_section *section, const uint8_t *bytes, size_t n) {
  uintptr_t from = (uintptr_t)t2_buf_head(&section->kept);
  size_t before = t2_buf_len(&section->kept);
  if (t2_buf_append(&section->kept, bytes, n)) return &t2_h1_no_memory;
  rebase_all(section, from, before);
  return NULL;
}

/* The section has begun in this input: whole, it is never copied. */
static fault *section_in_place(t2_h1_section *section, uint8_t *bytes, size_t n, size_t *taken) {
  uint8_t *at = bytes;
  fault *found = take_lines(section, &at, bytes + n);
  *taken = (size_t)(at - bytes);
  if (found != &t2_h1_partial) return found;
  section->line = *taken;
  *taken = n;
  if (t2_buf_append(&section->kept, bytes, n)) return &t2_h1_no_memory;
  rebase_all(section, (uintptr_t)bytes, n);
  return &t2_h1_partial;
}

/* The section goes on: line by line, so that no more than the section is copied, and no byte is looked at
 * again for each piece that comes. */
static fault *section_kept(t2_h1_section *section, const uint8_t *bytes, size_t n, size_t *taken) {
  while (*taken < n) {
    const uint8_t *from = bytes + *taken, *lf = memchr(from, '\n', n - *taken);
    size_t piece = lf ? (size_t)(lf - from) + 1 : n - *taken;
    size_t most = line_allowed(section) + 3 - (t2_buf_len(&section->kept) - section->line);
    if (piece > most) piece = most;
    fault *found = keep(section, from, piece);
    if (found) return found;
    *taken += piece;
    uint8_t *kept = t2_buf_head(&section->kept), *at = kept + section->line;
    const uint8_t *end = kept + t2_buf_len(&section->kept);
    if (!lf && content_length(at, (size_t)(end - at)) <= line_allowed(section)) continue;
    found = take_lines(section, &at, end);
    section->line = (size_t)(at - kept);
    if (found != &t2_h1_partial) return found;
  }
  return &t2_h1_partial;
}

fault *t2_h1_section_take(t2_h1_section *section, uint8_t *bytes, size_t n, size_t *taken) {
  *taken = 0;
  return t2_buf_len(&section->kept) ? section_kept(section, bytes, n, taken)
                                    : section_in_place(section, bytes, n, taken);
}
