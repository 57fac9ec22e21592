/* Frames of the control channel, and tickets with their signature. */
#include "bench.h"

#include <time.h>
#include <tunnel2/frame.h>
#include <wire/ticket.h>

#define FIELDS 6
#define NOW    1700000000

typedef struct frames {
  uint8_t text[256], room[512];
  size_t n, fields;
} frames;

static size_t encode_one(uint8_t *out, size_t cap) {
  t2_frame_writer writer;
  t2_frame_writer_init(&writer, out, cap);
  t2_frame_begin(&writer, 0x7432);
  for (uint64_t key = 1; key < FIELDS; key++)
    t2_frame_put_u64(&writer, key, key * 1000);
  t2_frame_put_bytes(&writer, FIELDS, "sixteen bytes it", 16);
  T2_BENCH_NEED(t2_frame_end(&writer) == 0);
  return writer.finished;
}

static void *new_frames(void) {
  frames *s = t2_bench_new(sizeof(*s));
  s->n = encode_one(s->text, sizeof(s->text));
  return s;
}

static void encode(void *state, size_t n) {
  frames *s = state;
  for (size_t i = 0; i < n; i++)
    T2_BENCH_NEED(encode_one(s->room, sizeof(s->room)) == s->n);
}

static int on_frame(uint64_t type, const uint8_t *value, size_t n, void *user) {
  frames *s = user;
  const uint8_t *bytes;
  size_t at = 0, size;
  uint64_t key;
  (void)type;
  while (t2_frame_next_field(value, n, &at, &key, &bytes, &size) == 1)
    s->fields++;
  return 0;
}

static void decode(void *state, size_t n) {
  frames *s = state;
  t2_frame_decoder decoder;
  s->fields = 0;
  t2_frame_decoder_init(&decoder, s->room, sizeof(s->room), on_frame, s);
  for (size_t i = 0; i < n; i++)
    T2_BENCH_NEED(t2_frame_decoder_feed(&decoder, s->text, s->n) == 0);
  T2_BENCH_NEED(s->fields == n * FIELDS);
}

typedef struct tickets {
  t2_keys keys;
  t2_ticket ticket, read;
  t2_buf jwt;
} tickets;

/* A key that is the same in every run, so that counts can be compared: that of RFC 6979, A.2.5. */
static const char pem[] = "-----BEGIN EC PRIVATE KEY-----\n"
                          "MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"
                          "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8\n"
                          "maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
                          "-----END EC PRIVATE KEY-----\n";

static void *new_tickets(void) {
  tickets *s = t2_bench_new(sizeof(*s));
  t2_es256_key *key;
  t2_keys_init(&s->keys, NULL);
  t2_buf_init(&s->jwt, NULL);
  T2_BENCH_NEED(t2_es256_from_pem(NULL, pem, sizeof(pem) - 1, &key) == 0 && t2_keys_add(&s->keys, key) == 0);
  s->ticket = (t2_ticket){.session = "bench",
                          .audience = {"entry-1"},
                          .audience_count = 1,
                          .id = "00000000-0000-4000-8000-000000000000",
                          .issued_at = NOW,
                          .not_before = NOW,
                          .expires_at = NOW + 600};
  T2_BENCH_NEED(t2_ticket_sign(&s->ticket, &s->keys, &s->jwt) == 0);
  return s;
}

static void verify(void *state, size_t n) {
  tickets *s = state;
  char detail[160];
  for (size_t i = 0; i < n; i++)
    T2_BENCH_NEED(t2_ticket_verify(t2_str_of((char *)t2_buf_head(&s->jwt), t2_buf_len(&s->jwt)), &s->keys,
                                   T2_STR("entry-1"), NOW, &s->read, detail, sizeof(detail)) == 0);
}

static void sign(void *state, size_t n) {
  tickets *s = state;
  for (size_t i = 0; i < n; i++) {
    t2_buf_reset(&s->jwt);
    T2_BENCH_NEED(t2_ticket_sign(&s->ticket, &s->keys, &s->jwt) == 0);
  }
}

static void end_tickets(void *state) {
  tickets *s = state;
  t2_keys_fini(&s->keys);
  t2_buf_fini(&s->jwt);
  free(s);
}

const t2_bench t2_bench_wire[] = {
    {"frame_encode", new_frames, encode, free},
    {"frame_decode", new_frames, decode, free},
    {"ticket_verify", new_tickets, verify, end_tickets},
    {"ticket_sign", new_tickets, sign, end_tickets},
    {0},
};
