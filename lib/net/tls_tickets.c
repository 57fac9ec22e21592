#include <net/tls_tickets.h>

#include <base/file.h>
#include <base/random.h>
#include <mbedtls/gcm.h>
#include <string.h>
#include <tunnel2/error.h>

#define LIFETIME_MS (INT64_C(1000) * T2_TLS_TICKET_SECONDS)
#define SKEW_MS     (60 * 1000) /* of a clock that was set back, or of another machine's with these keys */

/* A ticket: the key's name, when it was sealed, a nonce; the session, sealed; the tag. */
#define TIME_AT  T2_TLS_TICKET_NAME
#define NONCE_AT (TIME_AT + 8)
#define NONCE    12
#define BODY_AT  (NONCE_AT + NONCE)
#define TAG      16
#define OVERHEAD (BODY_AT + TAG)

/* The file: what it is, and the keys. */
static const char magic[8] = "t2tkt01";
#define KEY_BYTES  (T2_TLS_TICKET_NAME + T2_TLS_TICKET_SECRET + 8)
#define FILE_BYTES (sizeof(magic) + 2 * KEY_BYTES)

static void put_time(uint8_t *out, int64_t ms) {
  for (int i = 0; i < 8; i++)
    out[i] = (uint8_t)((uint64_t)ms >> (56 - 8 * i));
}

static int64_t get_time(const uint8_t *in) {
  uint64_t ms = 0;
  for (int i = 0; i < 8; i++)
    ms = ms << 8 | in[i];
  return (int64_t)ms;
}

/* ---- Keys ---- */

static void make_key(t2_tls_ticket_key *key, int64_t now_ms) {
  t2_random_bytes(key->name, sizeof(key->name));
  t2_random_bytes(key->secret, sizeof(key->secret));
  key->made_ms = now_ms;
}

void t2_tls_tickets_init(t2_tls_tickets *tickets, const t2_allocator *mem) {
  *tickets = (t2_tls_tickets){.mem = mem};
  make_key(&tickets->keys[0], t2_clock_wall_ms());
  make_key(&tickets->keys[1], 0); /* nobody has a ticket of it */
}

void t2_tls_tickets_fini(t2_tls_tickets *tickets) {
  t2_free(tickets->mem, tickets->file);
  t2_memzero(tickets, sizeof(*tickets));
}

static int save(const t2_tls_tickets *tickets) {
  uint8_t bytes[FILE_BYTES], *at = bytes + sizeof(magic);
  memcpy(bytes, magic, sizeof(magic));
  for (int i = 0; i < 2; i++, at += KEY_BYTES) {
    memcpy(at, tickets->keys[i].name, T2_TLS_TICKET_NAME);
    memcpy(at + T2_TLS_TICKET_NAME, tickets->keys[i].secret, T2_TLS_TICKET_SECRET);
    put_time(at + T2_TLS_TICKET_NAME + T2_TLS_TICKET_SECRET, tickets->keys[i].made_ms);
  }
  int err = t2_file_write(tickets->file, bytes, sizeof(bytes), 0600);
  t2_memzero(bytes, sizeof(bytes));
  return err;
}

static bool load(t2_tls_tickets *tickets, const t2_buf *text) {
  const uint8_t *at = t2_buf_head(text);
  if (t2_buf_len(text) != FILE_BYTES || memcmp(at, magic, sizeof(magic)) != 0) return false;
  at += sizeof(magic);
  for (int i = 0; i < 2; i++, at += KEY_BYTES) {
    memcpy(tickets->keys[i].name, at, T2_TLS_TICKET_NAME);
    memcpy(tickets->keys[i].secret, at + T2_TLS_TICKET_NAME, T2_TLS_TICKET_SECRET);
    tickets->keys[i].made_ms = get_time(at + T2_TLS_TICKET_NAME + T2_TLS_TICKET_SECRET);
  }
  return true;
}

int t2_tls_tickets_keep(t2_tls_tickets *tickets, const char *file) {
  t2_buf text;
  t2_free(tickets->mem, tickets->file);
  tickets->file = t2_strdup(tickets->mem, file);
  if (!tickets->file) return T2_ERR_NOMEM;
  t2_buf_init(&text, tickets->mem);
  int err = t2_file_read(file, FILE_BYTES, &text);
  bool loaded = err == 0 && load(tickets, &text);
  if (t2_buf_len(&text)) t2_memzero(t2_buf_head(&text), t2_buf_len(&text));
  t2_buf_fini(&text);
  if (err == T2_ERR_NOMEM) return err;
  return loaded ? 0 : save(tickets);
}

/* Keys that could not be kept are good until the process ends: that costs full handshakes, and nothing else.
 */
static void rotate(t2_tls_tickets *tickets, int64_t now_ms) {
  int64_t age = now_ms - tickets->keys[0].made_ms;
  if (age >= -LIFETIME_MS && age < LIFETIME_MS) return;
  tickets->keys[1] = tickets->keys[0];
  make_key(&tickets->keys[0], now_ms);
  if (tickets->file) (void)save(tickets);
}

/* ---- Sealing ---- */

static int set_key(mbedtls_gcm_context *gcm, const t2_tls_ticket_key *key) {
  mbedtls_gcm_init(gcm);
  return mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, key->secret, 8 * T2_TLS_TICKET_SECRET);
}

int t2_tls_tickets_write_at(t2_tls_tickets *tickets, const mbedtls_ssl_session *session, unsigned char *start,
                            const unsigned char *end, size_t *n, int64_t now_ms) {
  mbedtls_gcm_context gcm;
  size_t room = (size_t)(end - start), length;
  *n = 0;
  if (room < OVERHEAD) return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
  rotate(tickets, now_ms);
  int err = mbedtls_ssl_session_save(session, start + BODY_AT, room - OVERHEAD, &length);
  if (err) return err;
  memcpy(start, tickets->keys[0].name, T2_TLS_TICKET_NAME);
  put_time(start + TIME_AT, now_ms);
  t2_random_bytes(start + NONCE_AT, NONCE);
  err = set_key(&gcm, &tickets->keys[0]);
  if (err == 0)
    err =
        mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, length, start + NONCE_AT, NONCE, start, NONCE_AT,
                                  start + BODY_AT, start + BODY_AT, TAG, start + BODY_AT + length);
  mbedtls_gcm_free(&gcm);
  if (err == 0) *n = OVERHEAD + length;
  return err;
}

static int open_with(const t2_tls_ticket_key *key, mbedtls_ssl_session *session, unsigned char *ticket,
                     size_t n) {
  mbedtls_gcm_context gcm;
  size_t length = n - OVERHEAD;
  int err = set_key(&gcm, key);
  if (err == 0)
    err = mbedtls_gcm_auth_decrypt(&gcm, length, ticket + NONCE_AT, NONCE, ticket, NONCE_AT, ticket + n - TAG,
                                   TAG, ticket + BODY_AT, ticket + BODY_AT);
  mbedtls_gcm_free(&gcm);
  if (err) return MBEDTLS_ERR_SSL_INVALID_MAC;
  err = mbedtls_ssl_session_load(session, ticket + BODY_AT, length);
  t2_memzero(ticket + BODY_AT, length);
  return err;
}

int t2_tls_tickets_parse_at(t2_tls_tickets *tickets, mbedtls_ssl_session *session, unsigned char *ticket,
                            size_t n, int64_t now_ms) {
  if (n < OVERHEAD) return MBEDTLS_ERR_SSL_BAD_INPUT_DATA;
  for (int i = 0; i < 2; i++) {
    if (memcmp(ticket, tickets->keys[i].name, T2_TLS_TICKET_NAME) != 0) continue;
    int64_t sealed_ms = get_time(ticket + TIME_AT);
    int err = open_with(&tickets->keys[i], session, ticket, n);
    if (err) return err;
    bool good = sealed_ms <= now_ms + SKEW_MS && sealed_ms > now_ms - LIFETIME_MS;
    if (good) tickets->taken++;
    return good ? 0 : MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
  }
  return MBEDTLS_ERR_SSL_INVALID_MAC; /* of a key that nobody has any more */
}

int t2_tls_tickets_write(void *tickets, const mbedtls_ssl_session *session, unsigned char *start,
                         const unsigned char *end, size_t *n, uint32_t *lifetime) {
  *lifetime = T2_TLS_TICKET_SECONDS;
  return t2_tls_tickets_write_at(tickets, session, start, end, n, t2_clock_wall_ms());
}

int t2_tls_tickets_parse(void *tickets, mbedtls_ssl_session *session, unsigned char *ticket, size_t n) {
  return t2_tls_tickets_parse_at(tickets, session, ticket, n, t2_clock_wall_ms());
}
