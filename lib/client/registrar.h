/* A session at a control plane: registers it, keeps its lease by the link's heartbeats, and renews its ticket
 * before that runs out. What is done with tickets and entries is the owner's business (t2_client opens
 * uplinks; t2_registration tells its user). Embedded; everything on the loop's thread. */
#ifndef T2_CLIENT_REGISTRAR_H
#define T2_CLIENT_REGISTRAR_H

#include <base/random.h>
#include <client/register_message.h>
#include <proxy/link.h>

typedef struct t2_registrar t2_registrar;

/* What one that is parked comes back for. */
typedef enum t2_registrar_errand {
  T2_REGISTRAR_NO_ERRAND,
  T2_REGISTRAR_RENEW,
  T2_REGISTRAR_LEAVE,
  T2_REGISTRAR_DELETE
} t2_registrar_errand;

/* What is pointed to outlives the registrar. */
typedef struct t2_registrar_options {
  t2_proxy *proxy;    /* of its own requests */
  t2_tls *tls;        /* ALPN h2 */
  const char *server; /* a URL that t2_target_parse_https has seen */
  const char *token;
  const char *session; /* NULL: the control plane makes an id */
  t2_kind kind;
  uint16_t port; /* TCP, UDP: the public port asked for; 0: any */
  const t2_terms *terms;
  uint64_t retry_min_ms, retry_max_ms;
  bool parks; /* the control plane may have it come back later, when there are many (docs/PROTOCOL.md 6.4) */
} t2_registrar_options;

/* t2_registrar_close may be called from each. */
typedef struct t2_registrar_ops {
  /* The answer to a registration, whose session and ticket the registrar has by now. first: on this link;
   * else the ticket was renewed. 0, or an error that ends the link, which then comes back. */
  int (*on_registered)(t2_registrar *registrar, const t2_register_answer *answer, bool first, void *user);
  /* The control plane sent another ticket. */
  void (*on_ticket)(t2_registrar *registrar, void *user);
  /* It sent the whole list of the entries that the session is to have uplinks to. */
  void (*on_entries)(t2_registrar *registrar, const t2_message_entry *entries, size_t n, void *user);
  /* whole: it ended the session, and the owner is to close. Else a ticket is void, and a new one has been
   * asked for. */
  void (*on_revoked)(t2_registrar *registrar, bool whole, t2_str reason, void *user);
  /* final: the first registration was refused in a way that no retry mends. It is retried all the same, until
   * t2_registrar_close. */
  void (*on_lost)(t2_registrar *registrar, const t2_link_loss *loss, bool final, void *user);
  /* Fills the reports of a heartbeat. */
  void (*on_report)(t2_registrar *registrar, t2_message *heartbeat, void *user);
  /* What t2_registrar_delete asked for was done, or could not be. */
  void (*on_deleted)(t2_registrar *registrar, void *user);
  /* The last call, after t2_registrar_close. */
  void (*on_gone)(t2_registrar *registrar, void *user);
} t2_registrar_ops;

/* Fields that the owner may read; written by registrar.c alone. */
struct t2_registrar {
  t2_registrar_options options;
  const t2_registrar_ops *ops;
  void *user;
  t2_loop *loop;
  t2_link *link;    /* NULL: gone, or never opened */
  t2_timer renewal; /* of the ticket */
  t2_buf ticket;
  bool registered; /* ever */
  bool linked;     /* on_registered has come on this link */
  bool addressed;  /* the answer to a registration knew of entries: its URLs are good */
  bool resting;
  t2_registrar_errand errand;
  uint64_t delete_ms;                  /* of T2_REGISTRAR_DELETE */
  char session[T2_SESSION_ID_MAX + 1]; /* "" before one was made */
  char instance[T2_UUID_LEN + 1];
};

/* Could they be registered with? 0; T2_ERR_INVALID or T2_ERR_UNSUPPORTED with a sentence in detail. */
int t2_registrar_check(const char *server, const char *token, const char *session, char *detail,
                       size_t detail_size);

/* Before all else; can't fail. */
void t2_registrar_init(t2_registrar *registrar, t2_loop *loop, const t2_registrar_ops *ops, void *user);
/* options are copied. 0, T2_ERR_NOMEM, or as t2_target_parse_https. */
int t2_registrar_open(t2_registrar *registrar, const t2_registrar_options *options);
/* on_gone has come, or it was never opened. */
void t2_registrar_fini(t2_registrar *registrar);

void t2_registrar_start(t2_registrar *registrar);
/* The newest, NUL-terminated; empty before there is one. */
t2_str t2_registrar_ticket(const t2_registrar *registrar);
/* Registered, and the channel open or opening. */
bool t2_registrar_is_up(const t2_registrar *registrar);
/* It is registered, but parked, or just coming back from that: its owner hears later of what changes. */
bool t2_registrar_is_away(const t2_registrar *registrar);
/* One that is away hurries: an uplink is down, and whether that is so or no more. */
void t2_registrar_miss(t2_registrar *registrar, bool missing);
/* Asks for a new ticket; nothing happens when it is lost, since it will register by itself. */
void t2_registrar_renew(t2_registrar *registrar);
/* Other credentials from now on; as t2_link_set_credentials. */
void t2_registrar_set_credentials(t2_registrar *registrar, const char *token, t2_tls *tls);
/* Tickets are not renewed any more: the end is near. */
void t2_registrar_rest(t2_registrar *registrar);
/* Deletes the session, and with it its tickets: on_deleted comes within timeout_ms of being asked, or
 * on_lost; or false when there is no way to ask, and neither comes. One that is away has to come back first,
 * for which its owner sets the time. */
bool t2_registrar_delete(t2_registrar *registrar, uint64_t timeout_ms);
/* For one that is away: on_deleted comes when it is back, so that t2_registrar_close takes leave of its
 * channel; or on_lost. False: it is not away, and nothing is to be waited for. */
bool t2_registrar_leave(t2_registrar *registrar);
void t2_registrar_close(t2_registrar *registrar);
/* One that was never opened has what another one has: 0 or T2_ERR_NOMEM. */
int t2_registrar_follow(t2_registrar *registrar, const char *session, const char *instance, t2_str ticket);

#endif
