/* What the tests of tickets share: a key, a set with it, and a JWT made and verified. */
#ifndef T2_TEST_TICKET_FIXTURE_H
#define T2_TEST_TICKET_FIXTURE_H

#include "jwt.h"

#include <tunnel2/error.h>
#include <wire/ticket.h>

#define NOW    1700000000
#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"" JWT_KID "\"}"
#define CLAIMS                                                                                               \
  "\"iss\":\"tunnel2\",\"sub\":\"shop\",\"aud\":[\"entry-1\"],\"jti\":\"t-1\",\"exp\":1700000600,"           \
  "\"nbf\":1700000000,\"iat\":1700000000"

/* The key, a set with it, and the JWT at hand. */
typedef struct fixture {
  t2_keys keys;
  t2_es256_key *key, *stranger;
  t2_buf jwt;
  t2_ticket ticket;
  char detail[160];
} fixture;

static inline int setup(void **state) {
  fixture *f = calloc(1, sizeof(*f));

  jwt_keys(&f->keys, JWT_KEY);
  f->key = f->keys.list[0].key;
  f->stranger = jwt_key(NULL, JWT_OTHER_KEY);
  t2_buf_init(&f->jwt, NULL);
  *state = f;
  return 0;
}

static inline int teardown(void **state) {
  fixture *f = *state;

  t2_keys_fini(&f->keys);
  t2_es256_free(f->stranger);
  t2_buf_fini(&f->jwt);
  free(f);
  return 0;
}

/* Verifies a copy that ends where the text ends. */
static inline int verify_at(fixture *f, t2_str jwt, const char *entry, int64_t now) {
  char *copy = malloc(jwt.n ? jwt.n : 1);

  if (jwt.n) memcpy(copy, jwt.p, jwt.n);
  memset(&f->ticket, 0xee, sizeof(f->ticket));
  f->detail[0] = '\0';
  int r = t2_ticket_verify(t2_str_of(copy, jwt.n), &f->keys, t2_str_c(entry), now, &f->ticket, f->detail,
                           sizeof(f->detail));
  free(copy);
  return r;
}

static inline int verify(fixture *f, t2_str jwt) {
  return verify_at(f, jwt, "entry-1", NOW);
}

/* Signs the claims and verifies them. */
static inline int verify_claims(fixture *f, const char *claims, const char *entry, int64_t now) {
  jwt_make(&f->jwt, f->key, T2_STR(HEADER), t2_str_c(claims));
  return verify_at(f, jwt_text(&f->jwt), entry, now);
}

static inline void assert_zeroed(const t2_ticket *ticket) {
  static const t2_ticket zero;

  assert_memory_equal(ticket, &zero, sizeof(zero));
}

/* Refused for this reason, with nothing of it handed out. */
static inline void assert_refused(fixture *f, t2_str jwt, const char *detail) {
  assert_int_equal(verify(f, jwt), T2_ERR_AUTH);
  assert_string_equal(f->detail, detail);
  assert_zeroed(&f->ticket);
}

#endif
