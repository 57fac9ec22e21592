/* The control plane: sessions, leases, tickets, entries. Bound to one uv_loop_t; every call and callback on
 * that loop's thread. */
#ifndef TUNNEL2_CONTROL_H
#define TUNNEL2_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <tunnel2/allocator.h>
#include <tunnel2/error.h>
#include <tunnel2/log.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct t2_control t2_control;

typedef enum t2_control_event_type {
  T2_CONTROL_READY = 1, /* the listener is open: address */
  T2_CONTROL_DRAINING = 2,
  T2_CONTROL_ENDED = 3 /* the last event */
} t2_control_event_type;

typedef struct t2_control_event {
  t2_control_event_type type;
  const char *address;
} t2_control_event;

typedef void (*t2_control_event_cb)(t2_control *control, const t2_control_event *event, void *user);
typedef void (*t2_control_close_cb)(void *user);

/* Strings are copied by t2_control_new; NULL means the default. */
typedef struct t2_control_options {
  size_t size;
  const t2_allocator *allocator;
  t2_log_cb log;
  void *log_user;
  t2_log_level log_level;
  const char *address;             /* "127.0.0.1:12002" */
  const char *cert_file;           /* required */
  const char *key_file;            /* required */
  const char *tokens_file;         /* required: lines "OWNER ROLE[,ROLE] sha256:HEX" (docs/OPERATIONS.md) */
  const char *state_dir;           /* required: keys.pem and sessions.json are kept here */
  unsigned lease_seconds;          /* 30 */
  unsigned ticket_seconds;         /* 3,600 */
  unsigned key_rotation_seconds;   /* 0: only when asked (POST /v1/keys) */
  uint32_t sessions_max;           /* 100,000 */
  uint32_t sessions_per_owner_max; /* 10,000 */
  uint32_t connections_max;        /* 20,000 */
  t2_control_event_cb on_event;
  void *user;
  const char *tls_min; /* the oldest version of TLS that is taken, as t2_entry_options has it; "1.2" */
} t2_control_options;

T2_API void t2_control_options_init(t2_control_options *options);
/* Checks the options, loads the state and opens the listener. As t2_entry_new. */
T2_API int t2_control_new(t2_control **control, uv_loop_t *loop, const t2_control_options *options,
                          char *detail, size_t detail_size);
T2_API int t2_control_start(t2_control *control);
/* Reads certificate, key and tokens file again: handshakes and requests from now on go by them, connections
 * and channels that are there go on. 0; or as t2_control_new, with a detail, for the first that is not good:
 * that one stays as it was. */
T2_API int t2_control_reload(t2_control *control, char *detail, size_t detail_size);
/* Tells the channels, answers what is under way for at most timeout_ms, writes the state, then ENDED.
 * Sessions and leases live on in the state. */
T2_API void t2_control_drain(t2_control *control, uint64_t timeout_ms);
T2_API void t2_control_close(t2_control *control, t2_control_close_cb cb, void *user);
T2_API const char *t2_control_address(const t2_control *control);
T2_API int t2_control_is_ready(const t2_control *control);

/* A snapshot: what there is now, and counters since the start. */
typedef struct t2_control_stats {
  size_t size;               /* set by the caller to sizeof(t2_control_stats); lets the struct grow */
  uint64_t sessions;         /* whose lease runs */
  uint64_t entries;          /* likewise */
  uint64_t session_channels; /* control channels of sessions' clients that are open now */
  uint64_t entry_channels;   /* and of entries */
  uint64_t connections;      /* open now */
  uint64_t requests;         /* to the API, channels included; since the start */
  uint64_t requests_active;  /* being answered now; an open channel is one */
  uint64_t requests_failed;  /* that ended before their answer had */
  uint64_t keys;             /* public keys that tickets are good by; the newest signs */
} t2_control_stats;

/* Fills as much of *stats as stats->size says there is. */
T2_API void t2_control_get_stats(const t2_control *control, t2_control_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
