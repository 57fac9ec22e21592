/* Log levels and the log callback. */
#ifndef TUNNEL2_LOG_H
#define TUNNEL2_LOG_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum t2_log_level {
  T2_LOG_ERROR = 0,
  T2_LOG_WARN = 1,
  T2_LOG_INFO = 2,
  T2_LOG_DEBUG = 3,
  T2_LOG_OFF = -1 /* as a threshold: nothing */
} t2_log_level;

/* One key with its value beside a message. Both are valid during the callback only. */
typedef struct t2_log_pair {
  const char *key;
  const char *value;
} t2_log_pair;

/* Called on the loop's thread for each record at or above the threshold. `component` names the part that
 * speaks
 * ("entry", "client", "control", "net"); `message` is a plain sentence without a line end. No secret is ever
 * in it. */
typedef void (*t2_log_cb)(t2_log_level level, const char *component, const char *message,
                          const t2_log_pair *pairs, size_t pair_count, void *user);

#ifdef __cplusplus
}
#endif
#endif
