/* An entry: the public side of the tunnel. It listens for the public (HTTP/1.1 and HTTP/2, in the clear and
 * over TLS, and ports of TCP and UDP sessions), listens for the uplinks of clients, whose tickets it checks
 * by itself, and passes each request of the public to an uplink of the session that it is for.
 *
 *   t2_entry_new ──▶ t2_entry_start ──▶ READY ──▶ REGISTERED
 *                                          ▲           │
 *                                          └ RETRYING ◀── LOST (requests are served all the while)
 *   t2_entry_drain ──▶ DRAINING ──▶ ENDED;   t2_entry_close frees it, whenever
 *
 * Bound to one uv_loop_t: every call and every callback is on that loop's thread. A call of this header may
 * be made from inside of a callback. */
#ifndef TUNNEL2_ENTRY_H
#define TUNNEL2_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/allocator.h>
#include <tunnel2/error.h>
#include <tunnel2/log.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Trusted proxies of one entry, at most. */
#define T2_ENTRY_PROXIES_MAX 64

/* An entry. Opaque; made by t2_entry_new. */
typedef struct t2_entry t2_entry;

/* What has happened. */
typedef enum t2_entry_event_type {
  T2_ENTRY_READY = 1,      /* the listeners are open: their addresses */
  T2_ENTRY_REGISTERED = 2, /* the control plane knows this entry */
  T2_ENTRY_LOST = 3,       /* the control plane is out of reach: error, reason. Serving goes on */
  T2_ENTRY_DRAINING = 4,   /* no new connections are taken */
  T2_ENTRY_RETRYING = 6,   /* the control plane: the next attempt comes in delay_ms: error, reason */
  T2_ENTRY_ENDED = 5 /* drained; or refused by the control plane for good: error, reason. The last event */
} t2_entry_event_type;

/* Pointers are valid during the callback; those that an event does not have are NULL, and numbers 0. */
typedef struct t2_entry_event {
  t2_entry_event_type type;       /* which of the others there are */
  const char *entry;              /* its id */
  const char *public_address;     /* "127.0.0.1:12000", with the real port */
  const char *uplink_address;     /* likewise */
  int error;                      /* a t2_error */
  const char *reason;             /* a sentence for a person */
  const char *public_tls_address; /* NULL: there is none */
  const char *tls_address;        /* likewise */
  uint64_t delay_ms;              /* RETRYING: milliseconds to the next attempt */
} t2_entry_event;

/* Called for each event, on the loop's thread: READY from inside of t2_entry_start, DRAINING of
 * t2_entry_drain. user is that of the options. */
typedef void (*t2_entry_event_cb)(t2_entry *entry, const t2_entry_event *event, void *user);
/* Called once, on the loop's thread, when the entry has been freed. user is that of t2_entry_close. */
typedef void (*t2_entry_close_cb)(void *user);

/* A certificate chain and its key, in PEM. key_file NULL: the key is in cert_file too. */
typedef struct t2_entry_certificate {
  const char *cert_file; /* the chain, its own certificate first */
  const char *key_file;  /* of that one */
} t2_entry_certificate;

/* A socket that is open. */
typedef struct t2_entry_socket {
  char name[24]; /* "public", "public-tls", "uplink", "tls"; "tcp-20000" or "udp-20000": a session's port */
  int fd;        /* its descriptor */
} t2_entry_socket;

/* How far another process has come that takes this entry's place: it has its sockets, its id and its state
 * directory. */
typedef enum t2_entry_handover {
  T2_ENTRY_KEEP = 0, /* it has given up: all is as it was */
  T2_ENTRY_LEND = 1, /* it has got the sockets: the control plane hears of it alone from now on */
  T2_ENTRY_MOVE = 2  /* it takes uplinks: no more are taken here, and clients are asked to dial it as well */
} t2_entry_handover;

/* Where it listens, and what it allows. Texts and lists are copied by t2_entry_new; NULL means the default,
 * which stands behind each. */
typedef struct t2_entry_options {
  size_t size;                   /* set by t2_entry_options_init; lets the struct grow */
  const t2_allocator *allocator; /* outlives the entry; NULL: malloc and free */
  t2_log_cb log;                 /* NULL: nothing is logged */
  void *log_user;                /* given to log */
  t2_log_level log_level;        /* T2_LOG_INFO */
  const char *id; /* entry id, as a session's name; NULL: "entry-" and 8 hex digits, kept in state_dir */
  const char *public_address; /* IP address and port, 0: any; "127.0.0.1:12000" */
  const char *uplink_address; /* likewise; "127.0.0.1:12001" */
  const char *cert_file;      /* required: PEM chain and key of the uplink listener */
  const char *key_file;       /* required: PEM */
  const char *control;        /* control plane, "https://127.0.0.1:12002" */
  const char *token;          /* required, here or by token_file: for the control plane */
  const char *ca_file;        /* trust for the control plane; NULL: the system's */
  const char
      *state_dir;     /* the last key set is kept here; NULL: nowhere (no static stability over a restart) */
  const char *domain; /* "localhost": sessions are <id>.<domain> */
  const char *advertise_uplink;   /* URL clients are told; NULL: https:// and the uplink listener's address */
  const char *advertise_public;   /* URL people are told; NULL: http:// and the public listener's address */
  uint32_t connections_max;       /* public connections at once, and as many on TCP ports; 10,000 */
  uint32_t uplinks_max;           /* at once; 10,000 */
  uint64_t header_timeout_ms;     /* until the head of a request is whole; 30,000 */
  uint64_t keep_alive_timeout_ms; /* without a request on a connection; 120,000 */
  uint64_t body_timeout_ms;       /* without a byte of content that is due; 60,000 */
  uint64_t response_timeout_ms;   /* until the first byte of an answer; 60,000 */
  t2_entry_event_cb on_event;     /* may be NULL */
  void *user;                     /* given to on_event */
  /* Public requests over TLS, HTTP/2 or HTTP/1.1 by ALPN; NULL: nowhere. Where it is uplink_address, letter
   * by letter, one listener takes both: who asks to open an uplink there gets one, all others are the public.
   */
  const char *public_tls_address;
  /* For public_tls_address: the server name that the client asks for (SNI) chooses, an exact name before a
   * wildcard; else it is the first. None: cert_file's, which is also the first where uplinks come in. */
  const t2_entry_certificate *certificates;
  size_t certificate_count; /* of certificates */
  /* TCP sessions have a port of their own each, from this one on; 0: there are none. */
  uint16_t tcp_port_first;
  uint16_t tcp_port_last;  /* the last of them */
  const char *tcp_address; /* IP address they are bound to; NULL: public_address's. Without advertise_public
                              it is what people are told of them */
  /* UDP sessions likewise, bound to the same address. A flow is what goes between a remote address and a
   * session; when there are as many as may be, the one that is idle longest makes room. */
  uint16_t udp_port_first;
  uint16_t udp_port_last;         /* the last of them */
  uint64_t udp_idle_timeout_ms;   /* a flow without a datagram for so long is ended; 60,000 */
  uint32_t udp_flows_max;         /* of all sessions; 10,000 */
  uint32_t udp_session_flows_max; /* of one; 1,000 */
  /* Proxies in front of this entry: "192.0.2.1", "10.0.0.0/8", "2001:db8::/32". Of a public request that one
   * of them sends, Forwarded and X-Forwarded-* are kept and appended to, and the address of who asks is what
   * they say. None: those fields of all others are dropped. */
  const char *const *trusted_proxies;
  size_t trusted_proxy_count; /* at most T2_ENTRY_PROXIES_MAX */
  /* Public connections begin with a PROXY protocol header (version 1 or 2), before TLS: they are from whom it
   * says; those without it are closed. On uplink_address too where that is public_tls_address; not on the
   * ports of TCP sessions. */
  bool accept_proxy_protocol;
  /* What one public connection over HTTP/2 may do. */
  uint32_t h2_streams_max;  /* requests at once (SETTINGS_MAX_CONCURRENT_STREAMS), 1 to 1,000; 128 */
  uint32_t h2_window;       /* bytes of a request's content that may wait for its origin
                               (SETTINGS_INITIAL_WINDOW_SIZE), 16,384 to 16 MiB; 131,072 */
  uint32_t h2_head_max;     /* bytes of a head (SETTINGS_MAX_HEADER_LIST_SIZE), 4,096 to 65,536; 65,536 */
  uint32_t h2_flood_factor; /* multiplies the bounds on floods (docs/PROTOCOL.md, 10), 1 to 1,000; 1 */
  /* The oldest version of TLS that is taken, "1.2" or "1.3", of the public and of clients; "1.2". 1.3 is
   * T2_ERR_UNSUPPORTED where mbedTLS has none. */
  const char *tls_min;
  /* TLS sessions share this port: a connection goes to the session that has the server name its client asks
   * for (SNI), undecrypted; one for a name that no session has is turned away. NULL: there are none. Where it
   * is public_tls_address, letter by letter, one listener takes both: what is for no TLS session is the
   * public's. */
  const char *tls_address;
  const char *token_file; /* the token is its first line, read by t2_entry_new; where there is no token */
  /* Requests wait while no uplink of their session has room, or none is there for the moment. */
  uint32_t queue_max;        /* of one session at once; 0: none waits; 100 (1,000 of all sessions) */
  uint64_t queue_timeout_ms; /* then they are answered with 503; at least 1; 5,000 */
  uint64_t
      start_grace_ms; /* so long after the start sessions that are not known yet are waited for; 10,000 */
  uint64_t uplink_ping_ms; /* an uplink that is silent for so long is asked whether its client is there, and
                              given up after as long again; at least 100; 2,000 */
  /* Of those public connections, or streams of HTTP/2, that are upgraded or ask for it (WebSocket): at once;
   * 1,000. One more gets 503. */
  uint32_t upgrades_max;
  /* What each session may have here, whatever its ticket says; 0: no bound. A request (or connection, or
   * flow) beyond the first is refused with 503, beyond the rate with 429 and Retry-After; content beyond its
   * rate is read more slowly, and when that is not enough requests are refused as beyond theirs. A second's
   * worth of each may come at once. */
  uint32_t session_exchanges_max;      /* requests at once */
  uint32_t session_requests_rate;      /* a second */
  uint64_t session_bytes_to_clients;   /* of content, towards the origin, a second */
  uint64_t session_bytes_from_clients; /* of content, towards the public, a second */
  /* What each remote address may have of the public's listeners and TLS sessions', a /64 of IPv6 being one;
   * 0: no bound, as there is none for trusted_proxies. What is too much is closed before a word. */
  uint32_t address_connections_max; /* at once */
  uint32_t address_handshakes_rate; /* of TLS, a second; a second's worth may come at once */
  /* Each address to listen on may be "fd:N": a TCP socket that listens already, of another process
   * (t2_entry_get_sockets) or of systemd. They are the entry's, and of no more use to the caller if
   * t2_entry_new fails. So are these, of session ports by their names: each waits a minute for a session that
   * has its port. */
  const t2_entry_socket *port_sockets;
  size_t port_socket_count; /* of port_sockets */
  /* Public connections wait in the system's queue until t2_entry_open_public: clients come first. Not where
   * uplinks come in too. */
  bool hold_public;
  /* Content of an HTTP/1.1 request that trickles: until its answer begins it has body_timeout_ms in all, and
   * as much more as what has come takes at this rate, not counting the time in which its origin takes none;
   * then it is answered 408. Bytes a second; 0: any; 240. */
  uint32_t body_rate_min;
  /* Threads that serve, the loop's own among them, which accepts for all: each has public connections and
   * uplinks of its own. What an option bounds is bounded for all together, each having an equal share of
   * what one session or address may have. The allocator is used on all of them, callbacks come on the loop's
   * thread as ever. 0: as many as there are processors; 1. */
  uint32_t workers; /* at most 64 */
  /* Uplinks are taken in the clear too, and announced as http://, where the network encrypts already: who is
   * on the way sees and may change tickets and content. uplink_address, and an address in advertise_uplink,
   * are loopback, private, link-local, unique local or shared (100.64.0.0/10) then, unless
   * uplink_plaintext_anywhere is set too. Said in the log at start. */
  bool uplink_plaintext;
  bool uplink_plaintext_anywhere; /* with uplink_plaintext */
} t2_entry_options;

/* Sets every option to its default. */
T2_API void t2_entry_options_init(t2_entry_options *options);
/* Checks the options and opens the listeners: the ports are then known, and requests are served from
 * t2_entry_start on. The caller owns *entry, and ends it with t2_entry_close before the loop is closed. 0; or
 * with *entry NULL and a sentence in detail[detail_size] (NULL with 0: not wanted): T2_ERR_INVALID (an
 * option, or what a file has in it), T2_ERR_NOT_FOUND or T2_ERR_CERTIFICATE (a file), T2_ERR_UNSUPPORTED (a
 * control plane that is not https), T2_ERR_CONFLICT (an address is in use), T2_ERR_IO, T2_ERR_NOMEM. */
T2_API int t2_entry_new(t2_entry **entry, uv_loop_t *loop, const t2_entry_options *options, char *detail,
                        size_t detail_size);
/* Begins: serves, and registers at the control plane until that works. 0; T2_ERR_STATE: it was started
 * before. */
T2_API int t2_entry_start(t2_entry *entry);
/* With options.hold_public: public connections are accepted from now on. */
T2_API void t2_entry_open_public(t2_entry *entry);
/* Writes the sockets it listens on to sockets[max], and returns how many there are. The descriptors stay the
 * entry's: who hands them over does so before the entry drains. */
T2_API size_t t2_entry_get_sockets(const t2_entry *entry, t2_entry_socket *sockets, size_t max);
/* For the entry that is to be replaced; t2_entry_drain is the last step. Requests are served here as before
 * until then. Does nothing unless it runs. */
T2_API void t2_entry_hand_over(t2_entry *entry, t2_entry_handover step);
/* Takes no new connections, lets exchanges under way finish for at most timeout_ms, then ENDED. Connections
 * over HTTP/1.1 end with the answer that tells them so, or when they have been idle for five seconds. Once;
 * later calls do nothing. */
T2_API void t2_entry_drain(t2_entry *entry, uint64_t timeout_ms);
/* Closes everything at once and frees the entry, later; cb (may be NULL) is the last call. Once, from
 * wherever. */
T2_API void t2_entry_close(t2_entry *entry, t2_entry_close_cb cb, void *user);
/* Its id: given, kept in state_dir, or made. Valid as long as the entry, as are the next three. */
T2_API const char *t2_entry_id(const t2_entry *entry);
/* "127.0.0.1:12000", with the real port. */
T2_API const char *t2_entry_public_address(const t2_entry *entry);
/* Likewise. */
T2_API const char *t2_entry_uplink_address(const t2_entry *entry);
/* Likewise; NULL: there is none. */
T2_API const char *t2_entry_public_tls_address(const t2_entry *entry);
/* NULL: there is none. */
T2_API const char *t2_entry_tls_address(const t2_entry *entry);
/* Reads all certificate files again: handshakes from now on use them, connections that are there go on. 0; or
 * as t2_entry_new, with a detail, for the first file that is not good: the certificates of that listener stay
 * as they were. */
T2_API int t2_entry_reload(t2_entry *entry, char *detail, size_t detail_size);
/* Takes over the limits and times of these options, and nothing else of them: each *_max, *_rate and
 * *_rate_min, session_bytes_*, and the timeouts of headers, keep-alive, bodies, responses, UDP flows and
 * queues. They hold from now on, for sessions and connections that are there as well; but what is beyond a
 * new bound stays until it ends, and a public connection over HTTP/2 keeps its times. 0; T2_ERR_INVALID with
 * a detail: nothing has changed. */
T2_API int t2_entry_set_limits(t2_entry *entry, const t2_entry_options *options, char *detail,
                               size_t detail_size);
/* True when started, not draining, public connections are accepted, and tickets can be checked (a key set is
 * known). */
T2_API int t2_entry_is_ready(const t2_entry *entry);

/* A snapshot: what there is now, and counters since the start. An exchange is a request with its answer, a
 * connection to a TCP session's port, or a flow of a UDP session's. */
typedef struct t2_entry_stats {
  size_t size;                    /* set by the caller to sizeof(t2_entry_stats); lets the struct grow */
  uint64_t connections;           /* of the public, open now; those to TCP ports included */
  uint64_t tcp_connections;       /* to TCP ports, open now */
  uint64_t uplinks;               /* open now */
  uint64_t uplinks_total;         /* opened since the start */
  uint64_t sessions;              /* with an uplink, or an exchange under way, now */
  uint64_t exchanges;             /* since the start; refused ones included */
  uint64_t exchanges_active;      /* under way now */
  uint64_t exchanges_failed;      /* given up by either side before the answer was whole */
  uint64_t exchanges_refused;     /* answered by the entry itself: no such session, nobody serves it, ... */
  uint64_t bytes_to_clients;      /* content, towards the origins */
  uint64_t bytes_from_clients;    /* content, towards the public */
  uint64_t udp_flows;             /* now */
  uint64_t udp_datagrams_dropped; /* either way: no flow was to be had, or there was no room */
  uint64_t http2_given_up;        /* HTTP/2 connections that were ended for what the peer did too much of */
  uint64_t exchanges_waiting;     /* now, for an uplink with room */
  uint64_t exchanges_waited;      /* since the start: that had to */
  uint64_t exchanges_retried;    /* that were given to another uplink, after one that did not take them or was
                                    lost */
  uint64_t upgrades;             /* under way now, those asked for included */
  uint64_t connections_accepted; /* of the public, since the start */
  uint64_t handshakes;           /* of TLS with the public, completed */
  uint64_t handshakes_failed;    /* and not */
  uint64_t accept_paused;        /* times that as many connections were open as may be */
  uint64_t accept_starved;       /* times that no descriptor, or no memory, was left for one */
  uint64_t over_address_connections; /* connections closed for what the options of these names say */
  uint64_t over_address_handshakes;  /* likewise */
  uint64_t over_upgrades;            /* requests refused likewise */
  uint64_t over_session_exchanges;   /* likewise; and for what its ticket says */
  uint64_t over_session_requests;    /* likewise */
  uint64_t over_session_bytes;       /* likewise */
  uint64_t paced;                    /* times that content waited for its session's rate */
  uint64_t timeouts_header;          /* heads of the public's that did not come in time */
  uint64_t timeouts_body;            /* content that stopped coming, or being taken */
  uint64_t timeouts_idle;            /* connections that were idle for too long */
  uint64_t timeouts_response;        /* answers that did not begin in time */
  uint64_t uplink_handshakes; /* of TLS, completed where uplinks are dialled (the public's too, where it
                                 comes in there) */
  uint64_t uplink_handshakes_resumed; /* those that went on from an earlier one, by a session ticket */
} t2_entry_stats;

/* Fills as much of *stats as stats->size says there is. */
T2_API void t2_entry_get_stats(const t2_entry *entry, t2_entry_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
