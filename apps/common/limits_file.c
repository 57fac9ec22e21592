#include <base/buf.h>
#include <base/file.h>
#include <base/str.h>
#include <common/limits_file.h>
#include <stdio.h>
#include <string.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

#define VALUE_MAX 15 /* digits are taken, and no number has more */

/* Those that t2_entry_set_limits takes over. */
static const char *const names[] = {
    "connections-max",
    "upgrades-max",
    "uplinks-max",
    "session-exchanges-max",
    "session-requests-rate",
    "session-bytes-to-clients",
    "session-bytes-from-clients",
    "address-connections-max",
    "address-handshakes-rate",
    "header-timeout",
    "body-timeout",
    "body-rate-min",
    "response-timeout",
    "keep-alive-timeout",
    "queue-max",
    "queue-timeout",
    "udp-idle-timeout",
    "udp-flows",
};

/* The command line's rows, into options of its own. */
typedef struct reading {
  t2_app_entry entry;
  t2_cli_option table[T2_APP_ENTRY_ROWS];
  size_t rows;
} reading;

static bool is_limit(t2_str name) {
  for (size_t i = 0; i < T2_COUNT_OF(names); i++)
    if (t2_str_eq(t2_str_c(names[i]), name)) return true;
  return false;
}

static const t2_cli_option *find(const reading *r, t2_str name) {
  for (size_t i = 0; i < r->rows; i++)
    if (t2_str_eq(t2_str_c(r->table[i].name), name)) return &r->table[i];
  return NULL;
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; empty at its end, and at a comment. */
static t2_str next_word(t2_str *line) {
  size_t n = 0;

  if (!line->p) line->n = 0;
  while (line->n && is_space(*line->p))
    *line = t2_str_of(line->p + 1, line->n - 1);
  if (line->n && *line->p == '#') line->n = 0;
  while (n < line->n && !is_space(line->p[n]))
    n++;
  t2_str word = t2_str_of(line->p, n);
  *line = t2_str_of(line->p + n, line->n - n);
  return word;
}

static int read_line(const reading *r, t2_str line, char *detail, size_t size) {
  t2_str name = next_word(&line), value = next_word(&line);
  char text[VALUE_MAX + 1];

  if (name.n == 0) return 0;
  const t2_cli_option *option = find(r, name);
  if (!option)
    return t2_detail(detail, size, T2_ERR_INVALID, "there is no option %.*s", name.n < 40 ? (int)name.n : 40,
                     name.p);
  if (!is_limit(name))
    return t2_detail(detail, size, T2_ERR_INVALID, "%s is none of the limits that can be changed",
                     option->name);
  if (next_word(&line).n || value.n == 0 || value.n > VALUE_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "%s: one number is taken", option->name);
  snprintf(text, sizeof(text), "%.*s", T2_STR_ARG(value));
  return t2_cli_set(option, text, detail, size);
}

static int read_lines(const reading *r, const char *file, t2_str text, char *detail, size_t size) {
  char why[160];

  for (unsigned number = 1; text.n; number++) {
    ptrdiff_t end = t2_str_find(text, '\n');
    size_t n = end < 0 ? text.n : (size_t)end, used = end < 0 ? n : n + 1;
    if (read_line(r, t2_str_of(text.p, n), why, sizeof(why)))
      return t2_detail(detail, size, T2_ERR_INVALID, "%s, line %u: %s", file, number, why);
    text = t2_str_of(text.p + used, text.n - used);
  }
  return 0;
}

int t2_app_limits_read(const char *file, t2_entry_options *options, char *detail, size_t size) {
  reading r;
  t2_buf text;

  t2_buf_init(&text, NULL);
  r.entry = (t2_app_entry){0};
  r.rows = t2_app_entry_table(&r.entry, r.table);
  t2_app_entry_seed(&r.entry, options);
  int err = t2_file_read(file, T2_APP_LIMITS_FILE_MAX, &text);
  if (err)
    t2_detail(detail, size, err, "%s: %s", file, t2_strerror(err));
  else
    err = read_lines(&r, file, t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)), detail, size);
  t2_buf_fini(&text);
  if (err == 0) t2_app_entry_numbers(options, &r.entry);
  return err;
}

int t2_app_limits_reload(const t2_app_entry *given, t2_entry *entry, char *detail, size_t size) {
  t2_entry_options options = given->base;

  int err = t2_entry_reload(entry, detail, size);
  if (err == 0 && given->limits_file) err = t2_app_limits_read(given->limits_file, &options, detail, size);
  if (err == 0 && given->limits_file) err = t2_entry_set_limits(entry, &options, detail, size);
  if (err) return err;
  snprintf(detail, size, "the certificates%s were read again; other options stay until a restart",
           given->limits_file ? " and the limits" : "");
  return 0;
}
