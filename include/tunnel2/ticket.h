/* Tickets on their own, for those who build an entry, or something else that tunnel clients show a ticket to.
 *
 * A ticket is a JWT (RFC 7519) signed ES256 by the control plane. It lets a client open uplinks for one
 * session at some entries, until it expires. A verifier holds the public keys, as GET /v1/keys of the control
 * plane gives them (a JWKS, RFC 7517), and says of a ticket whether it is good; docs/PROTOCOL.md has the
 * claims.
 *
 *   t2_ticket_verifier_new(&verifier, NULL, jwks, strlen(jwks), detail, sizeof(detail));
 *   claims.size = sizeof(claims);
 *   int err = t2_ticket_verifier_check(verifier, jwt, strlen(jwt), "east-1", time(NULL), &claims, ...);
 *
 * Nothing here does I/O or looks at a clock. Any thread; one verifier is used by one thread at a time. That a
 * good ticket was revoked meanwhile is not in it: an entry learns that from its control channel. */
#ifndef TUNNEL2_TICKET_H
#define TUNNEL2_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/allocator.h>
#include <tunnel2/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The public keys of a control plane. Opaque; made by t2_ticket_verifier_new. */
typedef struct t2_ticket_verifier t2_ticket_verifier;

/* What a session is of: the same values as t2_client_kind has. */
typedef enum t2_session_kind {
  T2_SESSION_HTTP = 0, /* requests */
  T2_SESSION_TCP = 1,  /* connections to a port of its own at each entry */
  T2_SESSION_UDP = 2,  /* datagrams to one */
  T2_SESSION_TLS = 3   /* TLS connections by server name, undecrypted */
} t2_session_kind;

/* What a ticket says. Pointers belong to the verifier, and are valid until its next call. */
typedef struct t2_ticket_claims {
  size_t size;                 /* set by the caller to sizeof(t2_ticket_claims); lets the struct grow */
  const char *issuer;          /* iss: "tunnel2" */
  const char *session;         /* sub: the id or name of the session */
  const char *id;              /* jti: what a revocation of this ticket alone names */
  const char *const *audience; /* aud: audience_count entry ids; "*" is any */
  size_t audience_count;       /* of audience */
  int64_t issued_at;           /* iat, in seconds since 1970, as are: */
  int64_t not_before;          /* nbf */
  int64_t expires_at;          /* exp */
  uint32_t uplinks_max;        /* t2_max_uplinks: at once, at one entry; 0: no limit of its own */
  uint32_t exchanges_max;      /* t2_max_streams: requests or connections at once; 0: likewise */
  t2_session_kind kind;        /* t2_kind */
  uint16_t remote_port;        /* t2_port: of TCP and UDP sessions, the port asked for; 0: any */
  bool basic_auth;             /* t2_basic_auth is there: the public has to know user and password */
  const char *const
      *allow_ips;        /* t2_allow: allow_ip_count prefixes that may ask, "192.0.2.0/24"; none: all */
  size_t allow_ip_count; /* of allow_ips */
  const char *const *hostnames; /* t2_hostnames: hostname_count names of its own, "www.example.com" */
  size_t hostname_count;        /* of hostnames */
} t2_ticket_claims;

/* Makes a verifier from the jwks_size bytes of a JWKS text, which are read and not kept. The caller owns
 * *verifier, and ends it with t2_ticket_verifier_free; allocator may be NULL, else it outlives the verifier.
 *
 * 0; T2_ERR_INVALID: no JSON, over 8,192 bytes, a malformed key, none that is ES256, or more than four;
 * T2_ERR_NOMEM. Then *verifier is NULL, and detail[detail_size] (NULL with 0: not wanted) has a sentence that
 * says what is wrong. */
T2_API int t2_ticket_verifier_new(t2_ticket_verifier **verifier, const t2_allocator *allocator,
                                  const char *jwks, size_t jwks_size, char *detail, size_t detail_size);

/* Puts the keys of another JWKS in the place of those there are: when the control plane has a new key. Errors
 * as t2_ticket_verifier_new; then the keys are as they were. */
T2_API int t2_ticket_verifier_set_keys(t2_ticket_verifier *verifier, const char *jwks, size_t jwks_size,
                                       char *detail, size_t detail_size);

/* Checks the ticket of token_size bytes: form, algorithm (ES256 alone), key, signature, issuer, times, and
 * that it is for `audience`, the id of the entry that it is shown to. now_seconds is the time in seconds
 * since 1970; 60 seconds are forgiven to clocks that differ.
 *
 * 0, and *claims (may be NULL) has what it says. Else, with a sentence for a person in detail, which quotes
 * nothing of the ticket:
 *   T2_ERR_AUTH       it is none, is signed by somebody else, is not valid yet, or a claim is malformed
 *   T2_ERR_EXPIRED    it was good once; *claims says whose it was
 *   T2_ERR_FORBIDDEN  it is good, and for other entries; *claims likewise
 *   T2_ERR_INVALID    audience is NULL or empty, or claims->size is not set
 *   T2_ERR_NOMEM
 * After T2_ERR_AUTH, T2_ERR_INVALID and T2_ERR_NOMEM nothing is written to *claims. */
T2_API int t2_ticket_verifier_check(t2_ticket_verifier *verifier, const char *token, size_t token_size,
                                    const char *audience, int64_t now_seconds, t2_ticket_claims *claims,
                                    char *detail, size_t detail_size);

/* Frees it. verifier may be NULL. */
T2_API void t2_ticket_verifier_free(t2_ticket_verifier *verifier);

#ifdef __cplusplus
}
#endif
#endif
