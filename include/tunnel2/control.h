/* The control plane: an HTTPS API at which clients register sessions and entries announce themselves, and the
 * channels by which it tells them what changes. It keeps sessions and leases, signs tickets, and publishes
 * the keys that entries check them by. No request of the public ever passes through it.
 *
 *   t2_control_new ──▶ t2_control_start ──▶ READY;   t2_control_drain ──▶ DRAINING ──▶ ENDED
 *   t2_control_close frees it, whenever
 *
 * Bound to one uv_loop_t: every call and every callback is on that loop's thread. A call of this header may
 * be made from inside of a callback. */
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

/* A control plane. Opaque; made by t2_control_new. */
typedef struct t2_control t2_control;

/* What has happened. */
typedef enum t2_control_event_type {
  T2_CONTROL_READY = 1,              /* the listener is open: address */
  T2_CONTROL_DRAINING = 2,           /* no new connections are taken */
  T2_CONTROL_SESSION_REGISTERED = 4, /* one that was not known: id, owner */
  T2_CONTROL_SESSION_ENDED = 5,      /* id, owner, reason */
  T2_CONTROL_ENTRY_REGISTERED = 6,   /* one that was not known: id, owner */
  T2_CONTROL_ENTRY_ENDED = 7,        /* id, owner, reason */
  T2_CONTROL_ENDED = 3               /* the last event */
} t2_control_event_type;

/* Pointers are valid during the callback; those that an event does not have are NULL. */
typedef struct t2_control_event {
  t2_control_event_type type; /* which of the others there are */
  const char *address;        /* "127.0.0.1:12002", with the real port */
  const char *id;             /* of the session or entry */
  const char *owner;          /* whose token it was registered with */
  const char *reason;         /* a few words for a person */
} t2_control_event;

/* Called for each event, on the loop's thread: READY from inside of t2_control_start, DRAINING of
 * t2_control_drain. user is that of the options. */
typedef void (*t2_control_event_cb)(t2_control *control, const t2_control_event *event, void *user);
/* Called once, on the loop's thread, when it has been freed. user is that of t2_control_close. */
typedef void (*t2_control_close_cb)(void *user);

/* Where it listens, what it knows and what it allows. Texts are copied by t2_control_new; NULL means the
 * default, which stands behind each. */
typedef struct t2_control_options {
  size_t size;                     /* set by t2_control_options_init; lets the struct grow */
  const t2_allocator *allocator;   /* outlives the control plane; NULL: malloc and free */
  t2_log_cb log;                   /* NULL: nothing is logged */
  void *log_user;                  /* given to log */
  t2_log_level log_level;          /* T2_LOG_INFO */
  const char *address;             /* IP address and port, 0: any; "127.0.0.1:12002". "fd:N": a TCP socket
                                      that listens already, the control plane's if t2_control_new succeeds */
  const char *cert_file;           /* required: PEM chain */
  const char *key_file;            /* required: PEM */
  const char *tokens_file;         /* required: lines "OWNER ROLE[,ROLE] sha256:HEX" (docs/OPERATIONS.md) */
  const char *state_dir;           /* required: keys.pem and sessions.json are kept here */
  unsigned lease_seconds;          /* a session or entry without a sign of life ends after; 30 */
  unsigned ticket_seconds;         /* a ticket is good for; 3,600 */
  unsigned key_rotation_seconds;   /* 0: only when asked (POST /v1/keys) */
  uint32_t sessions_max;           /* at once; 100,000 */
  uint32_t sessions_per_owner_max; /* of one token's owner; 10,000 */
  uint32_t connections_max;        /* at once; 20,000 */
  t2_control_event_cb on_event;    /* may be NULL */
  void *user;                      /* given to on_event */
  const char *tls_min; /* the oldest version of TLS that is taken, as t2_entry_options has it; "1.2" */
  uint32_t park_above; /* sessions' control channels above it that are quiet are closed for a while, of
                          clients that know of it (docs/PROTOCOL.md, 6.4); 128. 0: none ever */
} t2_control_options;

/* Sets every option to its default. */
T2_API void t2_control_options_init(t2_control_options *options);
/* Checks the options, loads the state and opens the listener: the port is then known, and requests are served
 * from t2_control_start on. The caller owns *control, and ends it with t2_control_close before the loop is
 * closed. 0; or with *control NULL and a sentence in detail[detail_size] (NULL with 0: not wanted):
 * T2_ERR_INVALID (an option), T2_ERR_NOT_FOUND or T2_ERR_CERTIFICATE (a file), T2_ERR_CONFLICT (the address
 * is in use), T2_ERR_IO (what is in a file, or the state directory, is of no use), T2_ERR_NOMEM. */
T2_API int t2_control_new(t2_control **control, uv_loop_t *loop, const t2_control_options *options,
                          char *detail, size_t detail_size);
/* Begins: leases and tickets go by their times from now on. 0; T2_ERR_STATE: it was started before. */
T2_API int t2_control_start(t2_control *control);
/* Reads certificate, key and tokens file again: handshakes and requests from now on go by them, connections
 * and channels that are there go on. 0; or as t2_control_new, with a detail, for the first that is not good:
 * that one stays as it was. */
T2_API int t2_control_reload(t2_control *control, char *detail, size_t detail_size);
/* Tells the channels, answers what is under way for at most timeout_ms, writes the state, then ENDED.
 * Sessions and leases live on in the state. Once; later calls do nothing. */
T2_API void t2_control_drain(t2_control *control, uint64_t timeout_ms);
/* Closes everything at once, writes the state, and frees it, later; cb (may be NULL) is the last call. Once,
 * from wherever. */
T2_API void t2_control_close(t2_control *control, t2_control_close_cb cb, void *user);
/* "127.0.0.1:12002", with the real port. Valid as long as the control plane. */
T2_API const char *t2_control_address(const t2_control *control);
/* The descriptor it listens on, for another process to go on with; it stays the control plane's. -1 once it
 * drains. */
T2_API int t2_control_socket(const t2_control *control);
/* True when started and not draining. */
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
  uint64_t parked;           /* sessions' clients that are parked now: without a channel, but registered */
  uint64_t parkings;         /* times that one was; since the start */
} t2_control_stats;

/* Fills as much of *stats as stats->size says there is. */
T2_API void t2_control_get_stats(const t2_control *control, t2_control_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
