/* Tickets: JWTs (RFC 7519) signed ES256 that let a client open an uplink for a session at some entries. */
#ifndef T2_WIRE_TICKET_H
#define T2_WIRE_TICKET_H

#include <wire/keys.h>
#include <wire/terms.h>

#define T2_TICKET_MAX            6144 /* bytes of a compact JWT accepted */
#define T2_TICKET_AUDIENCES_MAX  16
#define T2_SESSION_ID_MAX        63
#define T2_ENTRY_ID_MAX          63
#define T2_TICKET_ISSUER         "tunnel2"
#define T2_TICKET_ANY_ENTRY      "*"          /* as an audience */
#define T2_TICKET_LEEWAY_SECONDS 60           /* clock skew forgiven in exp, nbf and iat */
#define T2_TICKET_TIME_MAX       253402300799 /* the last second of the year 9999 */

/* What a session is of. */
typedef enum t2_kind {
  T2_KIND_HTTP, /* requests */
  T2_KIND_TCP,  /* connections to a port of its own */
  T2_KIND_UDP,  /* datagrams to one */
  T2_KIND_TLS   /* TLS connections for its host names, at a port that all share */
} t2_kind;

/* All claims that begin with "t2_" may be absent. */
typedef struct t2_ticket {
  char issuer[64];                     /* visible ASCII; "" is signed as T2_TICKET_ISSUER */
  char session[T2_SESSION_ID_MAX + 1]; /* sub */
  char audience[T2_TICKET_AUDIENCES_MAX][T2_ENTRY_ID_MAX + 1]; /* aud: entry ids, or "*" */
  size_t audience_count;
  char id[37];                               /* jti: visible ASCII */
  int64_t issued_at, not_before, expires_at; /* seconds since 1970, up to T2_TICKET_TIME_MAX */
  uint32_t max_uplinks;                      /* claim "t2_max_uplinks"; 0: no limit of its own */
  uint32_t max_streams;                      /* claim "t2_max_streams": exchanges at once; 0: likewise */
  t2_kind kind;                              /* claim "t2_kind"; absent: "http" */
  uint16_t port;  /* claim "t2_port", of TCP and UDP sessions alone: the public port asked for; 0: any */
  t2_terms terms; /* claims "t2_allow", "t2_basic_auth", "t2_hostnames", "t2_sticky" */
} t2_ticket;

/* Signs with the newest key and appends the compact JWT: 0, T2_ERR_STATE without a private key,
 * T2_ERR_INVALID for what t2_ticket_verify would not read back (a foreign issuer aside), T2_ERR_NOMEM. On
 * failure out is as before. */
int t2_ticket_sign(const t2_ticket *ticket, const t2_keys *keys, t2_buf *out);

/* Checks form, header (alg is ES256 and nothing else, typ JWT or absent, no crit), kid, signature, iss, exp,
 * nbf, iat and that entry is in aud (or aud has "*"). The signature is checked before any claim is believed.
 * A ticket is good from nbf - leeway until just before exp + leeway. Failures, with a sentence for a person
 * in detail: T2_ERR_AUTH (form, signature, alg, kid, claims, not yet valid), T2_ERR_EXPIRED, T2_ERR_FORBIDDEN
 * (aud), T2_ERR_NOMEM. *ticket holds the claims on success, and on EXPIRED and FORBIDDEN too, so that a log
 * can say whose it was; on any other failure it is all zero. The sentence quotes nothing from the ticket. */
int t2_ticket_verify(t2_str jwt, const t2_keys *keys, t2_str entry, int64_t now_seconds, t2_ticket *ticket,
                     char *detail, size_t detail_size);

/* "http", "tcp", "udp", "tls". */
const char *t2_kind_name(t2_kind kind);
/* False: it is none. */
bool t2_kind_parse(t2_str name, t2_kind *kind);
/* Has a session of it a public port of its own? */
bool t2_kind_has_port(t2_kind kind);

/* Is s a session id: a UUID in lower case or a name [a-z0-9-]{3,63} that neither starts nor ends with '-'? */
bool t2_session_id_valid(t2_str s);
bool t2_entry_id_valid(t2_str s); /* the same rule */

#endif
