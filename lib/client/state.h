/* What client.c (the object), session.c (what it publishes) and serve.c, tcp.c and udp.c (what answers)
 * share. Included by these alone. */
#ifndef T2_CLIENT_STATE_H
#define T2_CLIENT_STATE_H

#include <client/addresses.h>
#include <client/bundle.h>
#include <client/edits.h>
#include <client/health.h>
#include <client/registrar.h>
#include <client/routes.h>
#include <client/workers.h>
#include <proxy/handler.h>
#include <proxy/tcp_leg.h>
#include <proxy/udp_leg.h>
#include <tunnel2/client.h>

#define T2_CLIENT_ENTRIES_MAX                                                                                \
  (2 * T2_MESSAGE_ENTRIES_MAX) /* those named last, and as many that were named before */

/*   NEW ──start──▶ RUNNING ──drain──▶ DRAINING ──uplinks gone──▶ DELETING ──▶ ENDED
 *                     └──────────refused for good, or revoked────────────────▶ ENDED */
typedef enum t2_client_state {
  T2_CLIENT_STATE_NEW,
  T2_CLIENT_STATE_RUNNING,
  T2_CLIENT_STATE_DRAINING,
  T2_CLIENT_STATE_DELETING,
  T2_CLIENT_STATE_ENDED
} t2_client_state;

/* One entry, and the uplinks to it. */
typedef struct t2_client_slot {
  t2_bundle *bundle; /* NULL: free */
  bool listed;       /* the control plane named the entry last time */
  uint64_t unlisted_ms;
  uint64_t refused; /* a number for why it has no place for this session; 0: it has, for all that is known */
} t2_client_slot;

/* What the options' strings point to. */
typedef struct t2_client_strings {
  char *server, *token, *session, *host_header, *tcp_origin, *udp_origin, *health;
} t2_client_strings;

struct t2_client {
  t2_client_options options;
  t2_client_strings strings;
  t2_client_state state;
  bool closing;
  bool disposing; /* t2_client_close has closed all; the rest follows when all have gone */
  t2_loop *loop;
  t2_proxy proxy;   /* of the exchanges that are the client's purpose */
  t2_proxy control; /* of its own requests */
  t2_tls *link_tls, *uplink_tls;
  t2_client_routes routes;
  t2_edits edits;
  t2_handlers handlers; /* when options.handler is given */
  t2_terms terms;
  t2_tcp_legs tcp; /* connections to the origin of a TCP or TLS session */
  t2_tcp_leg_options tcp_options;
  t2_udp_legs udp; /* flows to the origin of a UDP session */
  t2_udp_leg_options udp_options;
  t2_registrar registrar;
  t2_client_slot slots[T2_CLIENT_ENTRIES_MAX];
  t2_client_health health;
  t2_timer drain;
  char *urls[T2_REGISTER_URLS_MAX];
  size_t url_count;
  bool redial;                /* with the next ticket, for its terms */
  bool ready;                 /* the READY event has been given */
  bool repeats;               /* the event that is given says what the last one of its entry said */
  t2_client_members *members; /* workers.c's; NULL: there are none */
  t2_client_member *member;   /* of which this is one; NULL: it is the program's client */
  t2_client_close_cb on_close;
  void *close_user;
};

/* ---- client.c ---- */

/* The part of one of several workers, on its loop. Errors as t2_client_new. */
int t2_client_make_member(t2_client_member *member, uv_loop_t *uv, const t2_client_options *options,
                          char *detail, size_t detail_size);
/* Of this client's own. */
void t2_client_count(const t2_client *client, t2_client_figures *figures);
void t2_client_emit(t2_client *client, const t2_client_event *event);
/* Ends for good: closes link and uplinks, then the ENDED event. */
void t2_client_end(t2_client *client, int err, const char *reason);
/* The uplinks are gone, or the session is deleted, as far as may be: goes on with a drain. */
void t2_client_drained(t2_client *client);
/* The link or an uplink is gone: goes on with a drain, or a close. */
void t2_client_settled(t2_client *client);

/* ---- serve.c ---- */

/* A request that came by an uplink: its exchange is connected with the origin it is for, or refused. */
void t2_client_serve(t2_client *client, t2_exchange *exchange, t2_head *head, bool end);

/* ---- tcp.c ---- */

/* Options that only requests have a use for, given for a session of another kind: T2_ERR_INVALID; else 0. */
int t2_client_no_http_check(const t2_client_options *options, char *detail, size_t detail_size);
/* Checks what the options say of TCP, or of TLS that is passed through like it, and that nothing else is said
 * where they do: 0, or T2_ERR_INVALID. */
int t2_client_tcp_check(const t2_client_options *options, char *detail, size_t detail_size);
/* The origin of options that have been checked: 0 or T2_ERR_NOMEM. */
int t2_client_tcp_open(t2_client *client, const t2_client_options *options);
/* As t2_client_serve, for a TCP or TLS session: the request is a CONNECT, or refused. */
void t2_client_tcp_serve(t2_client *client, t2_exchange *exchange, t2_head *head, bool end);

/* ---- udp.c ---- */

/* Like those of tcp.c, for a UDP session, whose requests are extended CONNECTs by connect-udp. */
int t2_client_udp_check(const t2_client_options *options, char *detail, size_t detail_size);
int t2_client_udp_open(t2_client *client, const t2_client_options *options);
void t2_client_udp_serve(t2_client *client, t2_exchange *exchange, t2_head *head, bool end);

/* ---- client.c ---- */

/* Of a caller's options, which may be shorter: 0 or T2_ERR_INVALID. */
int t2_client_read_options(t2_client_options *out, const t2_client_options *given);
/* Settings for the control plane and for entries. Errors as t2_client_new; then *link may be there. */
int t2_client_make_tls(const t2_client *client, const char *ca_file, t2_tls **link, t2_tls **uplink,
                       char *detail, size_t size);

/* ---- session.c ---- */

/* What the options say of who may ask: 0, T2_ERR_INVALID or T2_ERR_NOMEM. */
int t2_client_read_terms(t2_terms *terms, const t2_client_options *options, char *detail, size_t detail_size);
/* Token and TLS settings are others from now on: nothing uses the old ones any more. */
void t2_client_use_tls(t2_client *client);
/* All uplinks anew, while what is under way on the old ones finishes. */
void t2_client_redial(t2_client *client);
void t2_client_init_session(t2_client *client);
/* 0 or T2_ERR_NOMEM. */
int t2_client_open_session(t2_client *client);
/* Frees the ticket and the urls. */
void t2_client_fini_session(t2_client *client);
size_t t2_client_uplinks_up(const t2_client *client);
/* These are the entries from now on. */
void t2_client_take_entries(t2_client *client, const t2_message_entry *entries, size_t n);
/* The ticket has come just now. */
void t2_client_renewed(t2_client *client);
/* Where an entry that has told this has the session. */
void t2_client_read_addresses(const t2_client *client, t2_str told, t2_client_addresses *out);

/* ---- watch.c ---- */

/* Checks what the options say of health: 0, or T2_ERR_INVALID. */
int t2_client_watch_check(const t2_client_options *options, char *detail, size_t detail_size);
/* Sets client->health up, when origins are there: 0, or T2_ERR_INVALID with a sentence in detail. */
int t2_client_watch_open(t2_client *client, char *detail, size_t detail_size);

#endif
