/* A tunnel client: publishes an origin under a session. Bound to one uv_loop_t; every call and callback on
 * that loop's thread. */
#ifndef TUNNEL2_CLIENT_H
#define TUNNEL2_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <tunnel2/allocator.h>
#include <tunnel2/error.h>
#include <tunnel2/log.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct t2_client t2_client;

typedef enum t2_client_event_type {
  T2_CLIENT_REGISTERED = 1, /* the control plane knows the session: session, lease_seconds */
  T2_CLIENT_CONNECTED = 2,  /* an uplink is up: entry */
  T2_CLIENT_READY = 3,      /* the first uplink since the start is up: session, urls */
  T2_CLIENT_LOST = 4,     /* an uplink (entry set) or the control plane (entry NULL) is gone: error, reason */
  T2_CLIENT_RETRYING = 5, /* the next attempt comes in delay_ms: entry as above, error, reason */
  T2_CLIENT_DRAINING = 6, /* no new requests are taken: reason */
  T2_CLIENT_ENDED = 7     /* for good: error (0 after t2_client_drain), reason. The last event */
} t2_client_event_type;

/* Pointers are valid during the callback; those that an event does not have are NULL. */
typedef struct t2_client_event {
  t2_client_event_type type;
  const char *session;
  const char *const *urls; /* url_count of them */
  size_t url_count;
  const char *entry;
  unsigned lease_seconds;
  int error;
  const char *reason;
  uint64_t delay_ms;
} t2_client_event;

typedef void (*t2_client_event_cb)(t2_client *client, const t2_client_event *event, void *user);
typedef void (*t2_client_close_cb)(void *user);

/* Strings are copied by t2_client_new; NULL means the default. */
typedef struct t2_client_options {
  size_t size; /* set by t2_client_options_init; lets the struct grow */
  const t2_allocator *allocator;
  t2_log_cb log;
  void *log_user;
  t2_log_level log_level;       /* T2_LOG_INFO */
  const char *server;           /* "https://127.0.0.1:12002" */
  const char *token;            /* required; 16 to 256 characters */
  const char *session;          /* UUID or name [a-z0-9-]{3,63}; NULL: one is made */
  const char *ca_file;          /* PEM; NULL: the system's */
  const char *origin;           /* required: "8080", "host:8080" or "http://host:8080" */
  const char *host_header;      /* NULL: Host is kept as the public sent it */
  uint64_t connect_timeout_ms;  /* to the origin; 5,000 */
  uint64_t response_timeout_ms; /* to the origin's response head; 30,000 */
  uint32_t concurrent_max;      /* exchanges at once on one uplink; 1,000 */
  uint64_t retry_min_ms;        /* reconnecting: the first delay's upper bound; 200 */
  uint64_t retry_max_ms;        /* and the last's; 5,000 */
  t2_client_event_cb on_event;  /* may be NULL */
  void *user;
} t2_client_options;

T2_API void t2_client_options_init(t2_client_options *options);

/* Checks the options and makes a client that does nothing yet. On failure *client is NULL and detail (may be
 * NULL) says what was wrong: T2_ERR_INVALID; T2_ERR_UNSUPPORTED (a scheme of origin or server that this
 * version does not speak); T2_ERR_NOT_FOUND or T2_ERR_CERTIFICATE (ca_file); T2_ERR_NOMEM. */
T2_API int t2_client_new(t2_client **client, uv_loop_t *loop, const t2_client_options *options, char *detail,
                         size_t detail_size);
/* Begins: registers, opens uplinks, and goes on doing so until t2_client_drain or t2_client_close. 0 or
 * T2_ERR_STATE. Failures come as events: what may pass is retried without end with exponential backoff and
 * full jitter; what can't (token refused, session owned by another) is ENDED. */
T2_API int t2_client_start(t2_client *client);
/* Takes no new requests, finishes those under way for at most timeout_ms, then ENDED. A session whose id was
 * made for this client is deleted at the control plane, and its tickets with it. One that was given
 * (options.session) ends there when no other client of its owner serves it; its tickets stay good. */
T2_API void t2_client_drain(t2_client *client, uint64_t timeout_ms);
/* Closes everything at once and frees the client, later; cb (may be NULL) is the last call. May be called
 * from a callback, once. */
T2_API void t2_client_close(t2_client *client, t2_client_close_cb cb, void *user);

/* The session id ("" before REGISTERED when none was given). Valid as long as the client. */
T2_API const char *t2_client_session(const t2_client *client);

/* A snapshot of counters since the start. */
typedef struct t2_client_stats {
  size_t size; /* set by the caller to sizeof(t2_client_stats) */
  uint64_t requests, requests_failed;
  uint64_t active;                             /* exchanges under way */
  uint64_t uplinks;                            /* up now */
  uint64_t bytes_to_origin, bytes_from_origin; /* content */
} t2_client_stats;
T2_API void t2_client_get_stats(const t2_client *client, t2_client_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
