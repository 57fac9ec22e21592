/* Log levels and the log callback. The library writes nothing by itself: an object that was given no callback
 * is silent. */
#ifndef TUNNEL2_LOG_H
#define TUNNEL2_LOG_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much a record matters; as an option, the least that is given to the callback. */
typedef enum t2_log_level {
  T2_LOG_ERROR = 0, /* something does not work, and will not by itself */
  T2_LOG_WARN = 1,  /* something does not work now */
  T2_LOG_INFO = 2,  /* the life of sessions, uplinks and entries */
  T2_LOG_DEBUG = 3, /* each request too */
  T2_LOG_OFF = -1   /* as a threshold: nothing */
} t2_log_level;

/* One key with its value beside a message. Both are valid during the callback only. */
typedef struct t2_log_pair {
  const char *key;   /* "session", "request_id", ... */
  const char *value; /* never NULL */
} t2_log_pair;

/* Called on the object's loop's thread for each record at or above the threshold, from inside of its calls
 * too: it calls nothing of the library. `component` names the part that speaks ("entry", "client", "control",
 * "net"); `message` is a plain sentence without a line end; pairs[pair_count] stand beside it. All are valid
 * during the call. No secret is ever in them. */
typedef void (*t2_log_cb)(t2_log_level level, const char *component, const char *message,
                          const t2_log_pair *pairs, size_t pair_count, void *user);

#ifdef __cplusplus
}
#endif
#endif
