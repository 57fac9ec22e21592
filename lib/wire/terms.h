/* What a client sets for the public side of its session: who may ask, and under which names of its own. It is
 * given at registration, kept by the control plane, and brought to the entries by tickets. Sans-I/O. */
#ifndef T2_WIRE_TERMS_H
#define T2_WIRE_TERMS_H

#include <base/buf.h>
#include <jansson.h>
#include <wire/prefix.h>

#define T2_TERMS_PREFIXES_MAX  16
#define T2_TERMS_HOSTNAMES_MAX 8
#define T2_HOSTNAME_MAX        127
#define T2_STICKY_NAME_MAX     63
#define T2_PASSWORD_SALT       16
#define T2_PASSWORD_HASH       32
#define T2_PASSWORD_ROUNDS     10000 /* of a new one */
#define T2_PASSWORD_ROUNDS_MAX 20000
#define T2_PASSWORD_ROUNDS_MIN 1000
#define T2_CREDENTIALS_MAX     256 /* bytes of "user:password" */

/* PBKDF2-HMAC-SHA256 (RFC 8018, 5.2) of "user:password" as in Basic authentication (RFC 7617): the text
 * itself is nowhere but with those who type it. */
typedef struct t2_password {
  uint32_t rounds; /* 0: none is needed */
  uint8_t salt[T2_PASSWORD_SALT];
  uint8_t hash[T2_PASSWORD_HASH];
} t2_password;

/* By what requests are told that are to go to the same client. */
typedef enum t2_sticky { T2_STICKY_NONE, T2_STICKY_COOKIE, T2_STICKY_HEADER } t2_sticky;

typedef struct t2_terms {
  t2_prefix allow[T2_TERMS_PREFIXES_MAX]; /* addresses that may ask; none: all */
  size_t allow_count;
  t2_password password;
  char hostnames[T2_TERMS_HOSTNAMES_MAX][T2_HOSTNAME_MAX + 1];
  size_t hostname_count;
  t2_sticky sticky;
  char sticky_name[T2_STICKY_NAME_MAX + 1]; /* of the cookie; of the field, in lower case */
} t2_terms;

/* Of new credentials, with a salt of their own: 0; T2_ERR_INVALID: no colon, no user in front of it, longer
 * than T2_CREDENTIALS_MAX or with control bytes; T2_ERR_NOMEM. */
int t2_password_make(t2_password *password, t2_str credentials);
/* Are they the ones? Takes some milliseconds. 0, T2_ERR_AUTH or T2_ERR_NOMEM. */
int t2_password_check(const t2_password *password, t2_str credentials);

/* Two labels or more of a-z, 0-9 and -, the last one with a letter, T2_HOSTNAME_MAX bytes at most. */
bool t2_hostname_valid(t2_str s);

/* A token (RFC 9110, 5.6.2) of T2_STICKY_NAME_MAX bytes at most: set as the terms' name, that of a field in
 * lower case. False: it is none. */
bool t2_terms_set_sticky(t2_terms *terms, t2_sticky by, t2_str name);

bool t2_terms_empty(const t2_terms *terms);
bool t2_terms_equal(const t2_terms *a, const t2_terms *b);
/* Appends `,"<before>allow":[...],"<before>hostnames":[...],"<before>basic_auth":"...",
 * "<before>sticky":"cookie:NAME"` (or "header:NAME"), each where there is
 * any: members of a JSON object that has one already. */
void t2_terms_write(const t2_terms *terms, const char *before, t2_buf *out);
/* Reads them: the name (without `before`) of the one that is malformed, or NULL. */
const char *t2_terms_read(const json_t *object, const char *before, t2_terms *terms);

#endif
