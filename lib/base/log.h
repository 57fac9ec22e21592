/* Records from the library's parts to the program's callback. */
#ifndef T2_BASE_LOG_H
#define T2_BASE_LOG_H

#include <stdbool.h>
#include <tunnel2/export.h>
#include <tunnel2/log.h>

/* Embedded in a loop's state; copied by value. cb NULL: silent. */
typedef struct t2_log {
  t2_log_cb cb;
  void *user;
  t2_log_level level;
} t2_log;

static inline bool t2_log_enabled(const t2_log *log, t2_log_level level) {
  return log->cb && level <= log->level;
}

/* One record; pairs may be NULL. The message is cut at 512 bytes. */
void t2_log_write(const t2_log *log, t2_log_level level, const char *component, const t2_log_pair *pairs,
                  size_t pair_count, const char *format, ...) T2_PRINTF(6, 7);

/* t2_log_at(log, WARN, "entry", "uplink of %s lost", id): nothing is evaluated below the threshold. */
#define t2_log_at(log, level, component, ...)                                                                \
  do {                                                                                                       \
    if (t2_log_enabled((log), T2_LOG_##level))                                                               \
      t2_log_write((log), T2_LOG_##level, (component), NULL, 0, __VA_ARGS__);                                \
  } while (0)

/* A ready-made t2_log_cb that prints to stderr: user points to a t2_log_printer. Text is
 * "2026-01-02T03:04:05.678Z INFO entry: message key=value"; JSON is one object a line with time, level,
 * component, message and the pairs as members. Control bytes in values are escaped in both. */
typedef struct t2_log_printer {
  int fd;
  bool json;
} t2_log_printer;
void t2_log_print(t2_log_level level, const char *component, const char *message, const t2_log_pair *pairs,
                  size_t pair_count, void *user);

/* "error", "warn", "info", "debug", "off" to a level: 0 or T2_ERR_INVALID. */
int t2_log_level_parse(const char *name, t2_log_level *level);

#endif
