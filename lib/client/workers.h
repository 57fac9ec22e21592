/* A client that is spread over several threads (net/crew.h). The first worker is the client that the program
 * has, with all there is where there is one: the control plane, health, events. Each other one has a
 * t2_client of its own, a member: origins, connections to them, and uplinks to every entry, so that a request
 * is served by one thread from its uplink to its origin. A member is told what the control plane says (news),
 * and tells what has become of its uplinks (reports); statistics are read where each has put its own.
 *
 * workers.c is the first worker's side, member.c the others'. Included by these and by the parts of
 * t2_client. */
#ifndef T2_CLIENT_WORKERS_H
#define T2_CLIENT_WORKERS_H

#include <base/random.h>
#include <net/crew.h>
#include <stdatomic.h>
#include <tunnel2/client.h>
#include <wire/message.h>
#include <wire/ticket.h>

/* Of t2_client_stats, without what is the first worker's alone; all are uint64_t. */
typedef struct t2_client_figures {
  uint64_t requests, requests_failed, active, uplinks, bytes_to_origin, bytes_from_origin, datagrams_dropped,
      http2_given_up;
} t2_client_figures;
#define T2_CLIENT_FIGURES (sizeof(t2_client_figures) / sizeof(uint64_t))

typedef struct t2_client_members t2_client_members;

/* One of the others. Made and freed by the first worker; `client` and what stands behind it belong to the
 * member's thread. */
typedef struct t2_client_member {
  t2_worker *worker;
  t2_client *first; /* not for the member's thread */
  bool over;        /* the first worker's: it has ended, or never was */
  t2_mail drain, end, close;
  uint64_t drain_ms;
  _Atomic uint64_t figures[T2_CLIENT_FIGURES]; /* as they were at the end of its loop's last turn */
  t2_mail ended, renew;
  atomic_bool renewing; /* `renew` is under way */
  t2_client *client;
  uv_prepare_t turn;
  bool dial_failed; /* the last that was reported */
} t2_client_member;

/* What a member is told, which is all it needs to know; mail. Texts and entries stand behind it. */
typedef struct t2_client_news {
  t2_mail mail;
  bool renewed;            /* the ticket is another one */
  bool redial;             /* and says what entries are to know: uplinks are dialled anew */
  uint32_t concurrent_max; /* of an uplink; 0: the origin fails */
  char session[T2_SESSION_ID_MAX + 1], instance[T2_UUID_LEN + 1];
  t2_str ticket;
  size_t entry_count;
  t2_message_entry entries[];
} t2_client_news;

/* What a member tells of an uplink, or of a connection to its origin; mail. Texts stand behind it. */
typedef struct t2_client_report {
  t2_mail mail;
  t2_client_event_type type; /* 0: of a connection */
  int error;
  uint64_t delay_ms;
  const char *entry, *reason, *address;
} t2_client_report;

/* Whom a member is to trust from now on, in its own TLS; mail. */
typedef struct t2_client_trust {
  t2_mail mail;
  char ca_file[]; /* empty: the system's */
} t2_client_trust;

/* ---- workers.c ---- */

/* Checks what the options say of workers: 0, or T2_ERR_INVALID. */
int t2_client_workers_check(const t2_client_options *options, char *detail, size_t detail_size);
/* Makes the other workers of a client that is whole, if the options that were given want some. Errors as
 * t2_client_new. */
int t2_client_hire(t2_client *client, const t2_client_options *given, char *detail, size_t detail_size);
/* The share of a number that a worker has, of at least one for each. */
uint32_t t2_client_share(uint32_t n, unsigned workers, unsigned number);
/* Tells the members what is known now. renewed: the ticket has come just now. Does nothing without members.
 */
void t2_client_tell(t2_client *client, bool renewed);
/* With what is told next, members dial their uplinks anew. */
void t2_client_members_redial(t2_client *client);
/* The members read the file again too; NULL: the system's. */
void t2_client_members_trust(t2_client *client, const char *ca_file);
void t2_client_members_drain(t2_client *client, uint64_t timeout_ms);
/* Their connections are cut, and they end. */
void t2_client_members_end(t2_client *client);
void t2_client_members_close(t2_client *client);
/* Has one not ended yet? */
bool t2_client_members_any(const t2_client *client);
/* Adds theirs. */
void t2_client_members_count(const t2_client *client, t2_client_figures *figures);
/* These mails are opened there. */
void t2_client_on_report(t2_mail *mail, void *worker);
void t2_client_on_member_ended(t2_mail *mail, void *worker);
void t2_client_on_member_renew(t2_mail *mail, void *worker);

/* ---- member.c ---- */

/* Makes the member's part, on its thread. Errors as t2_client_new. */
int t2_client_member_open(t2_client_member *member, const t2_client_options *options, char *detail,
                          size_t detail_size);
/* These mails are opened there. */
void t2_client_on_news(t2_mail *mail, void *worker);
void t2_client_on_trust(t2_mail *mail, void *worker);
void t2_client_on_member_drain(t2_mail *mail, void *worker);
void t2_client_on_member_end(t2_mail *mail, void *worker);
void t2_client_on_member_close(t2_mail *mail, void *worker);
/* In the place of t2_client_emit. */
void t2_client_member_emit(t2_client *client, const t2_client_event *event);
/* In the place of t2_registrar_renew. */
void t2_client_member_renew(t2_client *client);
/* In the place of t2_client_health_on_dialled; user is the client. */
void t2_client_member_on_dialled(int err, void *user);

#endif
