/* Bearer tokens as a server keeps them: hashed, each with an owner and a role. */
#ifndef T2_WIRE_TOKEN_H
#define T2_WIRE_TOKEN_H

#include <wire/crypto.h>

#define T2_TOKEN_MIN  16 /* characters a token must have at least */
#define T2_TOKEN_MAX  256
#define T2_TOKENS_MAX 10000 /* tokens in a file */
#define T2_OWNER_MAX  63    /* characters of [A-Za-z0-9._@-] */

typedef enum t2_role {
  T2_ROLE_CLIENT = 1, /* may register sessions */
  T2_ROLE_ENTRY = 2,  /* may announce itself as an entry */
  T2_ROLE_ADMIN = 4   /* may read and end everything */
} t2_role;

typedef struct t2_token {
  uint8_t hash[T2_SHA256_LEN];
  char owner[T2_OWNER_MAX + 1];
  unsigned roles; /* of t2_role */
} t2_token;

/* Tokens are the characters of RFC 6750, 2.1 (b64token), T2_TOKEN_MIN to T2_TOKEN_MAX of them. They need no
 * slow hash: they are random, not chosen by people. */
typedef struct t2_tokens {
  const t2_allocator *mem;
  t2_token *list;
  size_t n, cap;
} t2_tokens;

/* Could s be a token? */
bool t2_token_valid(t2_str s);

void t2_tokens_init(t2_tokens *tokens, const t2_allocator *mem);
void t2_tokens_fini(t2_tokens *tokens);
/* Replaces the set by a text file's lines "OWNER ROLE[,ROLE] sha256:HEX" or "OWNER ROLE[,ROLE] TOKEN" (a
 * token in the clear is hashed as it is read); roles are client, entry, admin; '#' starts a comment.
 * T2_ERR_INVALID names the line and what is wrong with it in detail (never the token), as do T2_ERR_LIMIT
 * past T2_TOKENS_MAX, T2_ERR_CONFLICT for a token that stood on a line before, and T2_ERR_NOMEM; the set is
 * then unchanged. */
int t2_tokens_parse(t2_tokens *tokens, t2_str text, char *detail, size_t detail_size);
/* Appends the file's form, with hashes only: 0 or T2_ERR_NOMEM. */
int t2_tokens_format(const t2_tokens *tokens, t2_buf *out);
/* 0; T2_ERR_INVALID (owner, roles or token), T2_ERR_CONFLICT when the token is there already, T2_ERR_LIMIT,
 * T2_ERR_NOMEM. */
int t2_tokens_add(t2_tokens *tokens, const char *owner, unsigned roles, t2_str token);
/* The token's entry (it belongs to the set), or NULL. Every entry's hash is compared, in constant time. */
const t2_token *t2_tokens_check(const t2_tokens *tokens, t2_str token);
/* Takes the token out of an Authorization field's value "Bearer TOKEN" (RFC 6750; the scheme in any case): 0,
 * or T2_ERR_AUTH for anything else. A token is not bounded by T2_TOKEN_MIN and _MAX here: tickets come this
 * way too. */
int t2_bearer_parse(t2_str authorization, t2_str *token);

#endif
