/* What the parts of t2_entry share: entry.c (the object), anteroom.c (who comes too early), listeners.c,
 * handover.c (another process takes its place), limits_anew.c (other limits while it runs), public.c (public
 * requests), connections.c (on the ports of TCP sessions), passthrough.c (TLS connections by their server
 * name), flows.c (on those of UDP ones), registration.c (the control plane). Included by these alone.
 */
#ifndef T2_ENTRY_STATE_H
#define T2_ENTRY_STATE_H

#include <entry/route.h>
#include <entry/uplinks.h>
#include <entry/workers.h>
#include <net/address.h>
#include <proxy/link.h>
#include <proxy/server.h>
#include <proxy/tcp_leg.h>
#include <proxy/udp_leg.h>
#include <tunnel2/entry.h>
#include <wire/prefix.h>

#define T2_ENTRY_H2_HEAD_MAX (64 * 1024) /* bytes: what HTTP/1.1 takes, and an uplink has room for */

/*   NEW ──start──▶ RUNNING ──drain──▶ DRAINING ──no public connection──▶ PARTING ──no uplink──▶ ENDED
 *                     └──────────────refused by the control plane for good────────────────────▶ ENDED */
typedef enum t2_entry_state {
  T2_ENTRY_STATE_NEW,
  T2_ENTRY_STATE_RUNNING,
  T2_ENTRY_STATE_DRAINING,
  T2_ENTRY_STATE_PARTING,
  T2_ENTRY_STATE_ENDED
} t2_entry_state;

/* What the options' strings point to. */
typedef struct t2_entry_strings {
  char *control, *token, *domain, *public_url, *uplink_url, *public_address, *uplink_address, *keys_file,
      *public_tls_address, *public_tls_url, *public_host, *ports_host, *tcp_address, *tls_address;
} t2_entry_strings;

/* What comes to the ports of UDP sessions. Embedded. */
typedef struct t2_entry_flows {
  t2_entry_ports ports;
  t2_map map;   /* by port and remote address */
  t2_list list; /* idle longest first */
  t2_udp_legs legs;
  uint64_t dropped, told; /* datagrams; as the log says */
} t2_entry_flows;

/* Requests for sessions that are not known yet, shortly after the start. Embedded; anteroom.c's. */
typedef struct t2_entry_anteroom {
  t2_queue queue;
  t2_leg door;
  t2_place *last; /* that was put in; NULL: none could be */
  uint64_t until_ms;
} t2_entry_anteroom;

struct t2_entry {
  t2_entry_options options;
  t2_entry_strings strings;
  t2_entry_state state;
  bool closing, disposing;
  t2_loop *loop;
  t2_proxy public_proxy; /* of the exchanges that are the entry's purpose */
  t2_proxy uplink_proxy; /* of what is asked of the uplink listener */
  t2_proxy control;      /* of its own requests */
  t2_proxy carried;      /* of what other workers' public asks */
  t2_tls *uplink_tls, *public_tls, *link_tls;
  /* NULL once closing, and where there is none: uplinks and the public may share one. */
  t2_server *public_server, *public_tls_server, *uplink_server;
  bool shared;              /* uplink_server is the public's too */
  bool advertised;          /* options.advertise_public was given */
  t2_listener *passthrough; /* NULL: closed, or there is none, or it is one with public TLS */
  bool passthrough_opening; /* it has been stopped, and hellos are still awaited */
  unsigned servers_open;
  t2_uplinks uplinks;
  t2_entry_ports ports;
  t2_tcp_legs tcp; /* connections on them, and those passed on by their server name */
  t2_entry_flows flows;
  t2_entry_anteroom anteroom;
  t2_accepts accepts;     /* of the public's listeners */
  t2_entry_bounds bounds; /* of each session */
  uint64_t upgrades, over_upgrades;
  t2_link *link;
  t2_keys keys;
  t2_timer drain;
  t2_route_site site;
  t2_buf route_text;
  t2_prefix *trusted; /* proxies; trusted_count of them */
  size_t trusted_count;
  bool registered; /* ever */
  bool linked;     /* the REGISTERED event of this link has been given */
  bool lost;       /* the LOST event of this outage has been given */
  char id[T2_ENTRY_ID_MAX + 1];
  t2_entry_close_cb on_close;
  void *close_user;
  t2_entry_members *members; /* all workers; NULL: there is one, or they have ended */
  t2_entry_member *member;   /* this one's, likewise */
  t2_entry_dealer dealers[T2_ENTRY_LANES];
};

/* Is it the part of a worker that is not the first? */
static inline bool t2_entry_is_second(const t2_entry *entry) {
  return entry->member && entry->member->worker->number > 0;
}

/* ---- entry.c ---- */

/* The part of one of several workers, on its loop. Errors as t2_entry_new. */
int t2_entry_make_member(t2_entry_member *member, uv_loop_t *uv, const t2_entry_options *options,
                         char *detail, size_t detail_size);
/* Of this worker's own, as t2_entry_get_stats. */
void t2_entry_count(const t2_entry *entry, t2_entry_stats *stats);
/* The public has had its answers: the clients are let go. */
void t2_entry_part(t2_entry *entry);
/* Closes what there is, but no member: t2_entry_settled comes. */
void t2_entry_close_all(t2_entry *entry);
/* Clients are asked to dial another process, or not any more. */
void t2_entry_move(t2_entry *entry, bool moved);

void t2_entry_emit(t2_entry *entry, const t2_entry_event *event);
/* Of options, in numbers: those of requests that wait. Errors as t2_entry_new. */
int t2_entry_check_waits(const t2_entry_options *options, char *detail, size_t size);

/* ---- plaintext.c: uplinks in the clear ---- */

/* Where they may be: 0, or T2_ERR_INVALID with a detail. */
int t2_entry_check_plaintext(const t2_entry_options *options, char *detail, size_t size);
/* Says what is lost by them. */
void t2_entry_warn_plaintext(const t2_entry *entry);
/* Ends for good: closes everything, then the ENDED event. */
void t2_entry_end(t2_entry *entry, int err, const char *reason);
/* Something is gone: goes on with a drain or a close. */
void t2_entry_settled(t2_entry *entry);

/* ---- listeners.c ---- */

/* Opens what the options say, and notes the addresses in them. Errors as t2_entry_new. */
int t2_entry_listen(t2_entry *entry, char *detail, size_t size);
/* Public connections on all listeners. */
size_t t2_entry_public_connections(const t2_entry *entry);
/* No new public connections; those that are there end after what is under way. */
void t2_entry_drain_public(t2_entry *entry);
/* Closes them, as close_server does one: t2_entry_settled comes for each. */
void t2_entry_close_listeners(t2_entry *entry);

/* One public connection is gone: goes on with a drain. user is the entry. */
void t2_entry_public_gone(void *user);

/* The options' limits and times have changed. */
void t2_entry_limit_listeners(t2_entry *entry);

/* ---- limits_anew.c ---- */

/* From the options to where they are looked at; sessions and listeners are another matter. */
void t2_entry_init_limits(t2_entry *entry);

/* ---- handover.c ---- */

/* The sockets of session ports that the options have. */
void t2_entry_adopt_ports(t2_entry *entry);

/* ---- connections.c ---- */

void t2_entry_init_connections(t2_entry *entry);
/* After the listeners: from then on TCP sessions have ports, if the options give any. 0 or T2_ERR_NOMEM. */
int t2_entry_open_ports(t2_entry *entry);
/* At once: ports and connections. */
void t2_entry_close_connections(t2_entry *entry);

/* Passes an accepted connection on to the session, as a CONNECT for that authority: 0. T2_ERR_FORBIDDEN: its
 * peer may not ask; T2_ERR_UNAVAILABLE: nobody serves it, or all are full; then the connection is the
 * caller's still, and *why a sentence. */
int t2_entry_connect(t2_entry *entry, t2_entry_session *session, t2_conn *conn, const char *authority,
                     const char **why);
/* The host of the URL given, without brackets; empty when it has none. */
t2_str t2_entry_url_host(const char *given);

/* Adds what a request that is no HTTP request tells the client of its origin: who sent it (host and port, as
 * t2_conn_peer), and the exchange's id. text is kept as long as the head. 0 or T2_ERR_NOMEM. */
int t2_entry_add_origin(t2_head *head, const t2_exchange *exchange, t2_str peer,
                        char text[T2_ADDRESS_TEXT + 16]);

/* ---- passthrough.c ---- */

/* Is one listener for both, by the options? */
bool t2_entry_passthrough_shares(const t2_entry_options *options);
/* For the public's TLS listener: names of TLS sessions are passed on there, if the options say so. */
void t2_entry_share_passthrough(t2_entry *entry, t2_listener_options *options);
/* Opens a listener of its own, if the options say so. Errors as t2_entry_new. */
int t2_entry_open_passthrough(t2_entry *entry, char *detail, size_t size);
/* No new connections; those whose hello is under way are still passed on. */
void t2_entry_drain_passthrough(t2_entry *entry);
/* Connections that were passed on live on. t2_entry_settled comes, if there is one. */
void t2_entry_close_passthrough(t2_entry *entry);

/* ---- flows.c ---- */

/* As t2_entry_init_connections, t2_entry_open_ports and t2_entry_close_connections, which call these. */
void t2_entry_init_flows(t2_entry *entry);
void t2_entry_open_flows(t2_entry *entry);
void t2_entry_close_flows(t2_entry *entry);
void t2_entry_flows_fini(t2_entry *entry);

/* ---- public.c ---- */

/* May one more of the public's exchanges with the session begin, by its ticket and the options? 0, or as
 * t2_entry_limits_admit. */
int t2_entry_admit(t2_entry *entry, t2_entry_session *session, uint64_t *wait_ms);
/* An exchange of the public's with the session begins. */
void t2_entry_begin(t2_entry *entry, t2_entry_session *session, t2_exchange *exchange);

/* Who asks may: by the session's guard, if it has one. False: the request has been refused. */
bool t2_entry_admits(const t2_entry *entry, t2_entry_session *session, t2_exchange *exchange,
                     t2_fields *fields, t2_str asker);

/* Answers with a problem, and leaves a line about it in the log. */
void t2_entry_refuse(t2_exchange *exchange, int err, t2_problem_at at, const char *detail);

/* A request on the public listener. */
void t2_entry_on_public_request(const t2_server_request *request, void *user);

/* ---- anteroom.c ---- */

void t2_entry_init_anteroom(t2_entry *entry);
/* The start: from now on, for a while, unknown sessions are waited for. */
void t2_entry_open_anteroom(t2_entry *entry);
/* May a request wait whose session is not known? named: its address says which that is; else its Host may be
 * one's own name. */
bool t2_entry_anteroom_takes(const t2_entry *entry, t2_str authority, bool named);
/* The leg for it; and, behind t2_exchange_connect, whose it is. */
t2_leg *t2_entry_anteroom_door(t2_entry *entry);
void t2_entry_anteroom_note(t2_entry *entry, const t2_route *route, t2_str asker);

/* ---- registration.c ---- */

extern const t2_link_ops t2_entry_link_ops;
/* Reads the key set that was kept, if there is one: a file that can't be used is said in the log. */
void t2_entry_load_keys(t2_entry *entry);

#endif
