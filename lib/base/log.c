#include <base/file.h>
#include <base/log.h>
#include <errno.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define MESSAGE_MAX 512
#define VALUE_MAX   1024
#define LINE_CAP    8192

static const struct level_name {
  const char *lower, *upper;
} level_names[] = {{"error", "ERROR"}, {"warn", "WARN"}, {"info", "INFO"}, {"debug", "DEBUG"}};

static const struct level_name *level_name(t2_log_level level) {
  if (level < T2_LOG_ERROR) level = T2_LOG_ERROR;
  if (level > T2_LOG_DEBUG) level = T2_LOG_DEBUG;
  return &level_names[level];
}

int t2_log_level_parse(const char *name, t2_log_level *level) {
  if (!name) return T2_ERR_INVALID;
  if (strcmp(name, "off") == 0) {
    *level = T2_LOG_OFF;
    return 0;
  }
  for (size_t i = 0; i < T2_COUNT_OF(level_names); i++) {
    if (strcmp(name, level_names[i].lower) != 0) continue;
    *level = (t2_log_level)i;
    return 0;
  }
  return T2_ERR_INVALID;
}

/* Takes back the UTF-8 sequence that a cut at the end may have split. */
static void trim_split_sequence(char *text) {
  size_t n = strlen(text);

  while (n && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
    n--;
  if (n && (unsigned char)text[n - 1] >= 0xc0) n--;
  text[n] = '\0';
}

void t2_log_write(const t2_log *log, t2_log_level level, const char *component, const t2_log_pair *pairs,
                  size_t pair_count, const char *format, ...) {
  char message[MESSAGE_MAX + 1];
  va_list args;

  if (!t2_log_enabled(log, level)) return;
  va_start(args, format);
  int n = vsnprintf(message, sizeof(message), format, args);
  va_end(args);
  if (n < 0) message[0] = '\0';
  if (n > MESSAGE_MAX) trim_split_sequence(message);
  log->cb(level, component, message, pairs, pairs ? pair_count : 0, log->user);
}

/* One record as it is put together. What does not fit sets `full`, and the caller takes the member back. */
typedef struct log_line {
  size_t n;
  bool json, full;
  char text[LINE_CAP];
} log_line;

static void line_put(log_line *line, const char *p, size_t n) {
  /* Room for the closing brace and the line end is kept. */
  if (line->full || n > sizeof(line->text) - 2 - line->n) {
    line->full = true;
    return;
  }
  memcpy(line->text + line->n, p, n);
  line->n += n;
}

static void line_put_c(log_line *line, const char *s) {
  line_put(line, s, strlen(s));
}

/* Length of the UTF-8 sequence at s (RFC 3629, 4), or 0 where there is none. */
static size_t utf8_len(const unsigned char *s) {
  if (s[0] < 0x80) return 1;
  size_t n = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
             : s[0] >= 0xe0 && s[0] <= 0xef ? 3
             : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                            : 0;
  for (size_t i = 1; i < n; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  /* Overlong forms, surrogates, and what is past U+10FFFF. */
  if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
  if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
  return n;
}

/* Terminals obey the C1 controls (U+0080 to U+009F) as well. */
static bool is_control(const unsigned char *s) {
  return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

static void line_put_escape(log_line *line, const unsigned char *s, size_t n) {
  char escape[8];

  if (s[0] == '\n' || s[0] == '\r' || s[0] == '\t') {
    line_put_c(line, s[0] == '\n' ? "\\n" : s[0] == '\r' ? "\\r" : "\\t");
  } else if (line->json) {
    snprintf(escape, sizeof(escape), "\\u%04x", n ? s[n - 1] : 0xfffdu);
    line_put_c(line, escape);
  } else {
    for (size_t i = 0; i < (n ? n : 1); i++) {
      snprintf(escape, sizeof(escape), "\\x%02x", s[i]);
      line_put_c(line, escape);
    }
  }
}

static void line_put_escaped(log_line *line, const char *value, bool quoted) {
  const unsigned char *s = (const unsigned char *)value, *end = s + strnlen(value, VALUE_MAX);

  while (s < end) {
    size_t n = utf8_len(s);
    if (n == 0 || is_control(s)) {
      line_put_escape(line, s, n);
    } else {
      if (*s == '\\' || (quoted && *s == '"')) line_put(line, "\\", 1);
      line_put(line, (const char *)s, n);
    }
    s += n ? n : 1;
  }
  if (*s) line_put_c(line, "...");
}

static void line_put_quoted(log_line *line, const char *value) {
  line_put(line, "\"", 1);
  line_put_escaped(line, value, true);
  line_put(line, "\"", 1);
}

static void line_put_member(log_line *line, const char *key, const char *value) {
  if (line->n > 1) line_put(line, ",", 1);
  line_put_quoted(line, key);
  line_put(line, ":", 1);
  line_put_quoted(line, value);
}

static void line_put_pair(log_line *line, const t2_log_pair *pair) {
  const char *value = pair->value ? pair->value : "";
  size_t before = line->n;

  if (line->json) {
    line_put_member(line, pair->key, value);
  } else {
    line_put(line, " ", 1);
    line_put_escaped(line, pair->key, false);
    line_put(line, "=", 1);
    if (*value == '\0' || strpbrk(value, " \"="))
      line_put_quoted(line, value);
    else
      line_put_escaped(line, value, false);
  }
  if (!line->full) return;
  line->n = before;
  line->full = false;
}

static void line_put_head(log_line *line, const struct level_name *level, const char *component,
                          const char *message) {
  char time[T2_TIMESTAMP_LEN + 1];

  t2_timestamp(t2_clock_wall_ms(), time);
  if (line->json) {
    line_put(line, "{", 1);
    line_put_member(line, "time", time);
    line_put_member(line, "level", level->lower);
    line_put_member(line, "component", component);
    line_put_member(line, "message", message);
    return;
  }
  line_put_c(line, time);
  line_put(line, " ", 1);
  line_put_c(line, level->upper);
  line_put(line, " ", 1);
  line_put_escaped(line, component, false);
  line_put(line, ": ", 2);
  line_put_escaped(line, message, false);
}

/* A log that cannot be written has nobody to tell. */
static void line_write(const log_line *line, int fd) {
  for (size_t done = 0; done < line->n;) {
    ssize_t put = write(fd, line->text + done, line->n - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;
    done += (size_t)put;
  }
}

void t2_log_print(t2_log_level level, const char *component, const char *message, const t2_log_pair *pairs,
                  size_t pair_count, void *user) {
  const t2_log_printer *printer = user;
  log_line line;

  line.n = 0;
  line.json = printer->json;
  line.full = false;
  line_put_head(&line, level_name(level), component, message);
  for (size_t i = 0; i < pair_count; i++)
    line_put_pair(&line, &pairs[i]);
  if (line.json) line.text[line.n++] = '}';
  line.text[line.n++] = '\n';
  line_write(&line, printer->fd);
}
