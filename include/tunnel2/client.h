/* A tunnel client: publishes an origin under a session. It registers the session at a control plane, opens an
 * uplink to each entry that this names, and answers the public's requests that come down them: from a server
 * (HTTP/1.1, HTTP/2, a port, a unix socket), from a folder, or from a handler of this program (request.h).
 *
 *   t2_client_new ──▶ t2_client_start ──▶ REGISTERED ──▶ CONNECTED ──▶ READY
 *                          ▲                                │
 *                          └───── RETRYING ◀──── LOST ──────┘
 *   t2_client_drain ──▶ DRAINING ──▶ ENDED;   t2_client_close frees it, whenever
 *
 * Bound to one uv_loop_t: every call and every callback is on that loop's thread. A call of this header may
 * be made from inside of a callback. */
#ifndef TUNNEL2_CLIENT_H
#define TUNNEL2_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/allocator.h>
#include <tunnel2/error.h>
#include <tunnel2/log.h>
#include <tunnel2/request.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Routes of one client, at most. */
#define T2_CLIENT_ROUTES_MAX 64
/* Fields added, and fields removed, at most. */
#define T2_CLIENT_HEADERS_MAX 64

/* Uplinks to one entry, at most. */
#define T2_CLIENT_UPLINKS_MAX 16
/* The largest weight. */
#define T2_CLIENT_WEIGHT_MAX 1000

/* A client. Opaque; made by t2_client_new. */
typedef struct t2_client t2_client;

/* What has happened. */
typedef enum t2_client_event_type {
  T2_CLIENT_REGISTERED = 1, /* the control plane knows the session: session, lease_seconds */
  T2_CLIENT_CONNECTED = 2,  /* an uplink is up: entry; of a session not of HTTP its urls there */
  T2_CLIENT_READY = 3,      /* the first uplink since the start is up: session, urls (not of HTTP: so far) */
  T2_CLIENT_LOST = 4,     /* an uplink (entry set) or the control plane (entry NULL) is gone: error, reason */
  T2_CLIENT_RETRYING = 5, /* the next attempt comes in delay_ms: entry as above, error, reason */
  T2_CLIENT_DRAINING = 6, /* no new requests are taken: reason */
  T2_CLIENT_ENDED = 7,    /* for good: error (0 after t2_client_drain), reason. The last event */
  T2_CLIENT_UNHEALTHY = 8, /* the origin fails: no requests are taken until HEALTHY: session, reason */
  T2_CLIENT_HEALTHY = 9    /* it does not any more: session, reason */
} t2_client_event_type;

/* Pointers are valid during the callback; those that an event does not have are NULL, and numbers 0. */
typedef struct t2_client_event {
  t2_client_event_type type; /* which of the others there are */
  const char *session;       /* its id or name */
  const char *const *urls;   /* url_count addresses of the public's */
  size_t url_count;          /* of urls */
  const char *entry;         /* id of the entry it is about */
  unsigned lease_seconds;    /* how long the session lives without a sign of life, which the client gives */
  int error;                 /* a t2_error */
  const char *reason;        /* a sentence for a person */
  uint64_t delay_ms;         /* milliseconds to the next attempt */
} t2_client_event;

/* What is published. */
typedef enum t2_client_kind {
  T2_CLIENT_HTTP = 0, /* requests to an address that the session shares with others */
  T2_CLIENT_TCP = 1,  /* connections to a port of its own at each entry */
  T2_CLIENT_UDP = 2,  /* datagrams to one: origin is "53" or "host:53", and nothing of HTTP or TCP is given */
  T2_CLIENT_TLS = 3 /* TLS connections for one of `hostnames`, undecrypted; origin and the rest as for TCP */
} t2_client_kind;

/* Called for each event, on the loop's thread; from inside of t2_client_start and t2_client_drain too. user
 * is that of the options. */
typedef void (*t2_client_event_cb)(t2_client *client, const t2_client_event *event, void *user);
/* Called once, on the loop's thread, when the client has been freed. user is that of t2_client_close. */
typedef void (*t2_client_close_cb)(void *user);

/* What is published, and how. Texts and lists are copied by t2_client_new; NULL means the default, which
 * stands behind each. */
typedef struct t2_client_options {
  size_t size;                   /* set by t2_client_options_init; lets the struct grow */
  const t2_allocator *allocator; /* outlives the client; NULL: malloc and free */
  t2_log_cb log;                 /* NULL: nothing is logged */
  void *log_user;                /* given to log */
  t2_log_level log_level;        /* T2_LOG_INFO */
  const char *server;            /* the control plane; "https://127.0.0.1:12002" */
  const char *token;             /* required, here or by token_file or dev_state_dir; 16 to 256 characters */
  const char *session;           /* UUID or name [a-z0-9-]{3,63}; NULL: one is made */
  const char *ca_file;           /* PEM; NULL: the system's */
  /* "8080", "host:8080", "http://host:8080", "https://host" (HTTP/2 or HTTP/1.1 by ALPN), "h2c://host:50051"
   * (HTTP/2 by prior knowledge), "unix:/path" or "files:DIR". Required where there are no routes. */
  const char *origin;
  const char *host_header;      /* NULL: Host is kept as the public sent it */
  uint64_t connect_timeout_ms;  /* to the origin; 5,000 */
  uint64_t response_timeout_ms; /* to the origin's response head; 30,000 */
  uint32_t concurrent_max;      /* requests at once on one uplink; the entry answers 503 to more; 1,000 */
  uint64_t retry_min_ms;        /* reconnecting: the first delay's upper bound; 200 */
  uint64_t retry_max_ms;        /* and the last's; 5,000 */
  t2_client_event_cb on_event;  /* may be NULL */
  void *user;                   /* given to on_event */
  /* More origins, by the path of a request: "PREFIX=ORIGIN", such as "/api=3000" or "/=files:public". The
   * longest prefix counts that ends at a segment's end ("/api" is for /api, /api/x and /api?q, not for
   * /apix), byte by byte; `origin` is that of "/", and may be NULL when there are others. HTTP origins get
   * the path whole, files are looked up by what follows the prefix. */
  const char *const *routes;
  size_t route_count;         /* at most T2_CLIENT_ROUTES_MAX */
  const char *origin_ca_file; /* PEM; trusted for https origins; NULL: the system's */
  bool origin_insecure;       /* https origins are not verified at all; said in the log */
  /* "Name: value" of fields that requests to the origins have in the place of the public's of that name.
   * Framing and hop-by-hop fields, and Host, are refused. */
  const char *const *add_headers;
  size_t add_header_count;           /* at most T2_CLIENT_HEADERS_MAX */
  const char *const *remove_headers; /* names of fields that requests to the origins don't have */
  size_t remove_header_count;        /* at most T2_CLIENT_HEADERS_MAX */
  bool rewrite_prefix; /* mend Location and cookie Path of answers to requests below a prefix (/session/ID) */
  t2_client_kind kind; /* TCP: origin is "5432", "host:5432" or "unix:/path", and nothing of HTTP is given */
  uint16_t remote_port; /* TCP, UDP: the port asked for at each entry; 0: any */
  bool proxy_protocol; /* TCP, TLS: each connection to the origin begins with a PROXY protocol header (version
                          2) */
  /* Who of the public may ask, looked at by the entries: addresses and prefixes ("192.0.2.0/24"; none: all),
   * and "USER:PASSWORD" of Basic authentication, which is nowhere sent but as a salted hash. */
  const char *const *allow_ips;
  size_t allow_ip_count;  /* at most 16 */
  const char *basic_auth; /* "USER:PASSWORD"; NULL: everybody may ask */
  /* Names of its own that the session is to be found under: "www.example.com". They point to the entries.
   * TLS: at least one. */
  const char *const *hostnames;
  size_t hostname_count; /* at most 8 */
  /* Requests, or the connections of a TCP session, are answered in this process; the struct is copied. In the
   * place of `origin`: of "/" where there are routes. */
  const t2_handler *handler;
  void *handler_user;     /* given to the handler's callbacks */
  const char *token_file; /* the token is its first line, read by t2_client_new; where there is no token */
  /* A development directory (tunnel2/dev.h; "": the default): its token and CA, where none are given. */
  const char *dev_state_dir;
  /* Uplinks to each entry: with uplinks_max above uplinks_min one more when those that there are have been
   * busy for 2 s (64 streams each, or 70 % of concurrent_max), and one fewer when one fewer has been enough
   * for 15 s. Fewer where the session's ticket allows no more. */
  uint32_t uplinks_min; /* 1 to T2_CLIENT_UPLINKS_MAX; 1 */
  uint32_t uplinks_max; /* uplinks_min to T2_CLIENT_UPLINKS_MAX; 1 */
  uint32_t
      weight; /* what part of the session's requests each uplink is to have; 1 to T2_CLIENT_WEIGHT_MAX; 100 */
  /* HTTP: "/path", asked of its origin every health_interval_ms, is to be answered with 2xx or 3xx within
   * health_timeout_ms; "connect" (TCP and TLS too): a connection is good enough. While it is UNHEALTHY, which
   * is said after health_failures in a row, no requests are taken, and it is asked every second. It is
   * HEALTHY again after health_passes in a row. NULL: not asked. */
  const char *health;
  uint64_t health_interval_ms; /* 10,000 */
  uint64_t health_timeout_ms;  /* 5,000 */
  uint32_t health_failures;    /* 3 */
  uint32_t health_passes;      /* 2 */
  /* UNHEALTHY as well when so many connections for requests fail in a row, to the origin that health names,
   * or else to the only one; without health one connection that is made each second ends it. 0: never; 5. */
  uint32_t connect_failures_max;
  /* Requests that have the same value of this cookie, or of this field, go to the same client of the session
   * as long as it is there and has room: one of the two, HTTP alone; NULL: they go to whichever. */
  const char *sticky_cookie;
  const char *sticky_header; /* likewise */
  /* Threads that serve, the loop's own among them: each has uplinks of its own to every entry, and answers
   * what comes down them by itself. Uplinks are then as many as said above, but one each at least. The
   * allocator is used on all of them, callbacks come on the loop's thread as ever. 0: as many as there are
   * processors. 1 where a handler answers; 1. */
  uint32_t workers; /* at most 64 */
  /* Uplinks in the clear, to entries that are announced as http://, where the network encrypts already: who
   * is on the way sees and may change tickets and content. Only to addresses (after DNS) that are loopback,
   * private, link-local, unique local or shared (100.64.0.0/10), unless uplink_plaintext_anywhere is set too.
   * Not set: such an entry is not dialled, which is said. Set: said in the log at start. */
  bool uplink_plaintext;
  bool uplink_plaintext_anywhere; /* with uplink_plaintext */
} t2_client_options;

/* Sets every option to its default. */
T2_API void t2_client_options_init(t2_client_options *options);

/* Checks the options and makes a client that does nothing yet. The caller owns *client, and ends it with
 * t2_client_close before the loop is closed. 0; or with *client NULL and a sentence in detail[detail_size]
 * (NULL with 0: not wanted): T2_ERR_INVALID (an option); T2_ERR_UNSUPPORTED (a scheme of origin or server
 * that this version does not speak); T2_ERR_NOT_FOUND or T2_ERR_CERTIFICATE (a CA file, or a directory);
 * T2_ERR_NOMEM. */
T2_API int t2_client_new(t2_client **client, uv_loop_t *loop, const t2_client_options *options, char *detail,
                         size_t detail_size);
/* Begins: registers, opens uplinks, and goes on doing so until t2_client_drain or t2_client_close. 0;
 * T2_ERR_STATE: it was started, or drained, before. Failures come as events: what may pass is retried without
 * end with exponential backoff and full jitter; what can't (token refused, session owned by another) is
 * ENDED. */
T2_API int t2_client_start(t2_client *client);
/* Takes over the credentials and terms of these options, and nothing else of them: token or token_file,
 * ca_file, dev_state_dir, and allow_ips, basic_auth, hostnames, sticky_cookie and sticky_header. The session
 * is registered once more with them; if the terms are others, uplinks are dialled anew, and those of before
 * finish what is under way. 0; T2_ERR_STATE: it does not run; or as t2_client_new, with a detail: nothing has
 * changed. */
T2_API int t2_client_reload(t2_client *client, const t2_client_options *options, char *detail,
                            size_t detail_size);
/* Takes no new requests, finishes those under way for at most timeout_ms, then ENDED. A session whose id was
 * made for this client is deleted at the control plane, and its tickets with it. One that was given
 * (options.session) ends there when no other client of its owner serves it; its tickets stay good. Once;
 * later calls do nothing. */
T2_API void t2_client_drain(t2_client *client, uint64_t timeout_ms);
/* Closes everything at once and frees the client, later; cb (may be NULL) is the last call. May be called
 * from a callback, once. */
T2_API void t2_client_close(t2_client *client, t2_client_close_cb cb, void *user);

/* The session id ("" before REGISTERED when none was given). Valid as long as the client. */
T2_API const char *t2_client_session(const t2_client *client);

/* A snapshot: counters since the start, and what there is now. A connection of a TCP session counts as a
 * request, and so does a flow of a UDP one. */
typedef struct t2_client_stats {
  size_t size;                /* set by the caller to sizeof(t2_client_stats); lets the struct grow */
  uint64_t requests;          /* that came down the uplinks; refused ones included */
  uint64_t requests_failed;   /* given up by either side before the answer was whole */
  uint64_t active;            /* under way now */
  uint64_t uplinks;           /* up now */
  uint64_t bytes_to_origin;   /* content */
  uint64_t bytes_from_origin; /* content */
  uint64_t datagrams_dropped; /* of UDP sessions, here */
  uint64_t http2_given_up;    /* HTTP/2 connections that were ended for what the peer did too much of */
  uint64_t unhealthy;         /* 1 from UNHEALTHY to HEALTHY, else 0 */
} t2_client_stats;

/* Fills as much of *stats as stats->size says there is. */
T2_API void t2_client_get_stats(const t2_client *client, t2_client_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
