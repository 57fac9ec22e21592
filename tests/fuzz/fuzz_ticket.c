/* Tickets. "J..." is a JWT as it stands; anything else is HEADER "\n" CLAIMS (HEADER may be empty: a good
 * one), which are signed with a key that the verifier knows, so that what stands behind the signature is
 * reached. */
#include <base/base64.h>
#include <stdlib.h>
#include <tunnel2/error.h>
#include <wire/ticket.h>

#define NOW 1700000000
#define KEY                                                                                                  \
  "-----BEGIN EC PRIVATE KEY-----\n"                                                                         \
  "MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"                                       \
  "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8\n"                                       \
  "maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"                                                                   \
  "-----END EC PRIVATE KEY-----\n"
#define KID         "DOvxvJiAdIqVWIkFt5hDtCunXLF0BV4-JGv4f-ALSm0"
#define GOOD_HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"" KID "\"}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

/* Made once: the numbers that a signature needs are kept in the key. */
static t2_keys *the_keys(void) {
  static t2_keys keys;
  t2_es256_key *key;

  if (keys.n) return &keys;
  t2_keys_init(&keys, NULL);
  require(t2_es256_from_pem(NULL, KEY, sizeof(KEY) - 1, &key) == 0);
  require(t2_keys_add(&keys, key) == 0);
  return &keys;
}

/* What is handed out can be signed again, and says the same to a verifier. */
static void sign_again(const t2_ticket *ticket, int result) {
  char detail[160];
  t2_ticket back;
  t2_buf jwt;

  require(t2_session_id_valid(t2_str_c(ticket->session)));
  t2_buf_init(&jwt, NULL);
  require(t2_ticket_sign(ticket, the_keys(), &jwt) == 0);
  t2_str text = t2_str_of((char *)t2_buf_head(&jwt), t2_buf_len(&jwt));
  require(t2_ticket_verify(text, the_keys(), T2_STR("entry-1"), NOW, &back, detail, sizeof(detail)) ==
          result);
  require(memcmp(ticket, &back, sizeof(back)) == 0);
  t2_buf_fini(&jwt);
}

static void verify(t2_str jwt) {
  static const t2_ticket zero;
  char detail[160] = "";
  t2_ticket ticket;
  int r = t2_ticket_verify(jwt, the_keys(), T2_STR("entry-1"), NOW, &ticket, detail, sizeof(detail));

  require(r <= 0 && (r == 0) == (detail[0] == '\0'));
  if (r == 0 || r == T2_ERR_EXPIRED || r == T2_ERR_FORBIDDEN)
    sign_again(&ticket, r);
  else
    require(memcmp(&ticket, &zero, sizeof(zero)) == 0);
}

static void sign(t2_str header, t2_str claims) {
  uint8_t sig[T2_ES256_SIG_LEN];
  t2_buf jwt;

  t2_buf_init(&jwt, NULL);
  t2_base64url_encode(&jwt, header.p, header.n);
  t2_buf_append_byte(&jwt, '.');
  t2_base64url_encode(&jwt, claims.p, claims.n);
  require(t2_es256_sign(the_keys()->list[0].key, t2_buf_head(&jwt), t2_buf_len(&jwt), sig) == 0);
  t2_buf_append_byte(&jwt, '.');
  t2_base64url_encode(&jwt, sig, sizeof(sig));
  verify(t2_str_of((char *)t2_buf_head(&jwt), t2_buf_len(&jwt)));
  t2_buf_fini(&jwt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  t2_str text = t2_str_of((const char *)data, size);

  if (size && data[0] == 'J') {
    verify(t2_str_of(text.p + 1, size - 1));
    return 0;
  }
  ptrdiff_t end = t2_str_find(text, '\n');
  if (end < 0) return 0;
  t2_str claims = t2_str_of(text.p + end + 1, size - (size_t)end - 1);
  sign(end ? t2_str_of(text.p, (size_t)end) : T2_STR(GOOD_HEADER), claims);
  return 0;
}
