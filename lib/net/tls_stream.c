#include <net/tls_internal.h>
#include <net/tls_stream.h>

#include <net/address.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define RECORD_OVERHEAD 64 /* bytes a record adds at most: header, explicit nonce, tag, TLS 1.3's padding */
#define DETAIL_MAX      512
#define REST_FRONT      64 /* bytes of mbedTLS's buffers that are state: counter, header */

/* The first byte of a record (RFC 8446, 5.1). */
#define RECORD_FIRST 20
#define RECORD_LAST  24
#define RECORD_ALERT 21

/* An alert in the clear: type, version, length, level, description. */
#define ALERT_RECORD_LEN 7

struct t2_tls_stream {
  t2_tls *tls;
  t2_tls_identity *identity; /* a server's, as it was when the stream began */
  mbedtls_ssl_context ssl;
  const uint8_t *in; /* what is left of the ciphertext lent */
  size_t in_n;
  bool in_kept;  /* it is what `kept` holds */
  bool heard;    /* something came */
  bool not_tls;  /* and it was no TLS record */
  bool verified; /* a certificate was looked at: it is no resumption */
  bool offered;  /* a session to resume was */
  bool resumed;
  uint8_t alert_sent, alert_heard; /* of those in the clear the latest */
  t2_buf kept;
  t2_buf out;
  char *detail;
  size_t name_n;
  char name[]; /* NUL-terminated */
};

/* The alert that stands in these bytes in the clear, or 0. */
static uint8_t clear_alert(const uint8_t *bytes, size_t n) {
  bool is_alert = n >= ALERT_RECORD_LEN && bytes[0] == RECORD_ALERT && bytes[3] == 0 && bytes[4] == 2;

  return is_alert ? bytes[ALERT_RECORD_LEN - 1] : 0;
}

static t2_str stream_name(const t2_tls_stream *s) {
  return t2_str_of(s->name, s->name_n);
}

/* ---- What mbedTLS calls ---- */

static int on_send(void *ctx, const unsigned char *bytes, size_t n) {
  t2_tls_stream *s = ctx;

  if (n == ALERT_RECORD_LEN) s->alert_sent = clear_alert(bytes, n);
  return t2_buf_append(&s->out, bytes, n) ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)n;
}

static int on_recv(void *ctx, unsigned char *bytes, size_t n) {
  t2_tls_stream *s = ctx;

  if (s->kept.failed) return MBEDTLS_ERR_SSL_ALLOC_FAILED;
  if (s->in_n == 0) return MBEDTLS_ERR_SSL_WANT_READ;
  if (n > s->in_n) n = s->in_n;
  memcpy(bytes, s->in, n);
  s->in += n;
  s->in_n -= n;
  return (int)n;
}

/* mbedTLS 2.28 knows no addresses in certificates, and falls back to the common name where there are no
 * names: so the name is checked here, whatever it did. */
static int on_verify(void *ctx, mbedtls_x509_crt *cert, int depth, uint32_t *flags) {
  t2_tls_stream *s = ctx;

  s->verified = true;
  if (depth == 0 && !t2_tls_name_matches(cert, stream_name(s))) *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
  return 0;
}

/* ---- Errors ---- */

static char *format(const t2_allocator *mem, const char *pattern, ...) T2_PRINTF(2, 3);
static char *format(const t2_allocator *mem, const char *pattern, ...) {
  char text[DETAIL_MAX];
  va_list args;

  va_start(args, pattern);
  vsnprintf(text, sizeof(text), pattern, args);
  va_end(args);
  return t2_strdup(mem, text);
}

static int fail_certificate(t2_tls_stream *s) {
  char text[DETAIL_MAX];

  t2_tls_verify_sentence(s->tls, stream_name(s), mbedtls_ssl_get_verify_result(&s->ssl), text, sizeof(text));
  s->detail = t2_strdup(s->tls->mem, text);
  return T2_ERR_CERTIFICATE;
}

static int fail(t2_tls_stream *s, int err) {
  const t2_allocator *mem = s->tls->mem;

  t2_free(mem, s->detail);
  s->detail = NULL;
  if (err == MBEDTLS_ERR_SSL_ALLOC_FAILED || err == MBEDTLS_ERR_X509_ALLOC_FAILED) return T2_ERR_NOMEM;
  if (err == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || t2_mbedtls_is_bad_certificate(err))
    return fail_certificate(s);
  if (s->not_tls)
    s->detail = format(mem, "the peer does not speak TLS");
  else if (err == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
    s->detail = format(mem, "the peer refused: %s", t2_tls_alert_phrase(t2_mbedtls_alert(&s->ssl)));
  else if (s->alert_heard) /* mbedTLS 3.6 sends some in the clear that should not be, and cannot read them */
    s->detail = format(mem, "the peer refused: %s", t2_tls_alert_phrase(s->alert_heard));
  else if (err == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
    s->detail = format(mem, "the peer ended TLS within the handshake");
  else if (err == MBEDTLS_ERR_SSL_INVALID_MAC)
    s->detail = format(mem, "a TLS record was changed on its way");
  else if (s->alert_sent)
    s->detail = format(mem, "TLS failed: %s", t2_tls_alert_phrase(s->alert_sent));
  else
    s->detail = format(mem, "TLS failed (mbedTLS -0x%04x)", (unsigned)-err);
  return T2_ERR_TLS;
}

const char *t2_tls_stream_detail(const t2_tls_stream *s) {
  return s->detail ? s->detail : "";
}

/* ---- Life ---- */

/* The name as it is sent and compared: without the root's dot (RFC 6066, 3). */
static t2_str without_dot(t2_str name) {
  if (name.n > 1 && name.p[name.n - 1] == '.') name.n--;
  return name;
}

static t2_tls_stream *stream_new(t2_tls *tls, t2_str name) {
  t2_tls_stream *s = t2_calloc(tls->mem, 1, sizeof(*s) + name.n + 1);

  if (!s) return NULL;
  s->tls = t2_tls_ref(tls);
  mbedtls_ssl_init(&s->ssl);
  t2_buf_init(&s->kept, tls->mem);
  t2_buf_init(&s->out, tls->mem);
  s->name_n = name.n;
  if (name.n) memcpy(s->name, name.p, name.n);
  return s;
}

/* SNI is for names alone (RFC 6066, 3). */
static int setup_client(t2_tls_stream *s) {
  const mbedtls_ssl_session *session = t2_tls_cache_get(s->tls, stream_name(s));
  int err = mbedtls_ssl_set_hostname(&s->ssl, t2_address_is_literal(stream_name(s)) ? NULL : s->name);

  if (err) return err;
  mbedtls_ssl_set_verify(&s->ssl, on_verify, s);
  if (!session) return 0;
  s->offered = mbedtls_ssl_set_session(&s->ssl, session) == 0;
  if (!s->offered) t2_tls_cache_drop(s->tls, stream_name(s));
  return 0;
}

int t2_tls_stream_new(t2_tls_stream **stream, t2_tls *tls, t2_str server_name) {
  t2_str name = tls->is_server ? T2_STR_NULL : without_dot(server_name);

  *stream = NULL;
  if (!tls->is_server && !t2_address_is_literal(name) && !t2_tls_name_valid(name)) return T2_ERR_INVALID;
  t2_tls_stream *s = stream_new(tls, name);
  if (!s) return T2_ERR_NOMEM;
  if (tls->is_server) s->identity = t2_tls_identity_ref(tls->identity);
  int err = mbedtls_ssl_setup(&s->ssl, s->identity ? t2_tls_identity_conf(s->identity) : &tls->conf);
  if (err == 0 && !tls->is_server) err = setup_client(s);
  if (err) {
    t2_tls_stream_free(s);
    return T2_ERR_NOMEM;
  }
  mbedtls_ssl_set_bio(&s->ssl, s, on_send, on_recv, NULL);
  *stream = s;
  return 0;
}

void t2_tls_stream_free(t2_tls_stream *s) {
  if (!s) return;
  const t2_allocator *mem = s->tls->mem;
  mbedtls_ssl_free(&s->ssl);
  if (s->identity) t2_tls_identity_unref(s->identity);
  t2_tls_unref(s->tls);
  t2_buf_fini(&s->kept);
  t2_buf_fini(&s->out);
  t2_free(mem, s->detail);
  t2_free(mem, s);
}

/* ---- Input ---- */

static void lend(t2_tls_stream *s, const uint8_t *bytes, size_t n, bool kept) {
  s->in = bytes;
  s->in_n = n;
  s->in_kept = kept;
}

void t2_tls_stream_input(t2_tls_stream *s, const uint8_t *bytes, size_t n) {
  s->alert_heard = clear_alert(bytes, n);
  if (n && !s->heard) {
    s->heard = true;
    s->not_tls = bytes[0] < RECORD_FIRST || bytes[0] > RECORD_LAST;
  }
  if (s->in_kept || n == 0) t2_buf_fini(&s->kept);
  lend(s, bytes, n, false);
  if (t2_buf_len(&s->kept) == 0) return;
  /* What was kept comes first. A failure shows in the next read. */
  t2_buf_append(&s->kept, bytes, n);
  t2_tls_stream_resume(s);
}

int t2_tls_stream_keep(t2_tls_stream *s) {
  if (s->in_kept)
    t2_buf_consume(&s->kept, t2_buf_len(&s->kept) - s->in_n);
  else if (s->in_n)
    t2_buf_append(&s->kept, s->in, s->in_n);
  lend(s, NULL, 0, false);
  if (s->kept.failed) return T2_ERR_NOMEM;
  if (t2_buf_len(&s->kept) == 0) t2_buf_fini(&s->kept);
  return 0;
}

void t2_tls_stream_resume(t2_tls_stream *s) {
  if (t2_buf_len(&s->kept)) lend(s, t2_buf_head(&s->kept), t2_buf_len(&s->kept), true);
}

bool t2_tls_stream_pending(const t2_tls_stream *s) {
  return s->in_n || (!s->in_kept && t2_buf_len(&s->kept)) || mbedtls_ssl_get_bytes_avail(&s->ssl);
}

/* mbedTLS wants more, it says: but it says so too after an alert it ignores, with input left, and before the
 * ticket of TLS 1.3 that it has read already. */
static bool goes_on(const t2_tls_stream *s, size_t in_before, bool *asked_twice) {
  if (s->in_n < in_before) {
    *asked_twice = false;
    if (s->in_n) return true;
  }
  if (*asked_twice || !mbedtls_ssl_check_pending(&s->ssl)) return false;
  *asked_twice = true;
  return true;
}

int t2_tls_stream_read(t2_tls_stream *s, uint8_t *out, size_t cap, size_t *n) {
  bool asked_twice = false;

  *n = 0;
  while (*n < cap) {
    size_t before = s->in_n;
    int got = mbedtls_ssl_read(&s->ssl, out + *n, cap - *n);
    if (got > 0)
      *n += (size_t)got;
    else if (got == 0 || got == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
      return T2_ERR_CLOSED;
    else if (t2_mbedtls_is_ticket(got))
      t2_tls_cache_put(s->tls, stream_name(s), &s->ssl);
    else if (got != MBEDTLS_ERR_SSL_WANT_READ)
      return fail(s, got);
    else if (!goes_on(s, before, &asked_twice))
      break;
  }
  return 0;
}

/* ---- The handshake ---- */

/* A session that was resumed keeps its ticket: servers give no new one with TLS 1.2, or need not be asked. */
static void handshake_over(t2_tls_stream *s) {
  s->tls->handshakes += s->tls->is_server;
  if (s->tls->is_server) return;
  s->resumed = !s->verified;
  if (!s->resumed && !t2_mbedtls_session_comes_later(&s->ssl))
    t2_tls_cache_put(s->tls, stream_name(s), &s->ssl);
}

int t2_tls_stream_handshake(t2_tls_stream *s) {
  bool asked_twice = false;
  size_t before;
  int err;

  do {
    before = s->in_n;
    err = mbedtls_ssl_handshake(&s->ssl);
  } while (err == MBEDTLS_ERR_SSL_WANT_READ && goes_on(s, before, &asked_twice));
  if (err == MBEDTLS_ERR_SSL_WANT_READ) return T2_ERR_AGAIN;
  if (err == 0) {
    handshake_over(s);
    return 0;
  }
  if (s->offered) t2_tls_cache_drop(s->tls, stream_name(s));
  return fail(s, err);
}

/* ---- Output ---- */

int t2_tls_stream_write(t2_tls_stream *s, const uint8_t *bytes, size_t n) {
  int record = mbedtls_ssl_get_max_out_record_payload(&s->ssl);

  if (record <= 0) return fail(s, record);
  /* Room for all of it at once, so that the output is not moved while it grows. */
  if (!t2_buf_reserve(&s->out, n + (n / (size_t)record + 1) * RECORD_OVERHEAD)) return T2_ERR_NOMEM;
  while (n) {
    int took = mbedtls_ssl_write(&s->ssl, bytes, n);
    if (took <= 0) return fail(s, took);
    bytes += took;
    n -= (size_t)took;
  }
  return 0;
}

int t2_tls_stream_end(t2_tls_stream *s) {
  int err = mbedtls_ssl_close_notify(&s->ssl);

  return err ? fail(s, err) : 0;
}

t2_buf *t2_tls_stream_output(t2_tls_stream *s) {
  return &s->out;
}

/* ---- Rest ---- */

/* The pages that lie within; they read as zeros from then on. */
static void give_back(const unsigned char *buf, size_t from, size_t to) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = ((uintptr_t)buf + from + page - 1) / page * page;
  uintptr_t end = ((uintptr_t)buf + to) / page * page;

  if (first < end) (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

/* mbedTLS can't do without its buffers, but between two records nothing is in them but a sequence number at
 * the front of the first. */
void t2_tls_stream_rest(t2_tls_stream *s) {
  mbedtls_ssl_context *ssl = &s->ssl;

#ifndef MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH /* where they are as small as they can be */
  if (ssl->handshake || !ssl->in_buf || !ssl->out_buf) return;
  if (ssl->in_left || ssl->in_offt || ssl->out_left || t2_tls_stream_pending(s)) return;
  give_back(ssl->in_buf, REST_FRONT, MBEDTLS_SSL_IN_CONTENT_LEN);
  give_back(ssl->out_buf, REST_FRONT, MBEDTLS_SSL_OUT_CONTENT_LEN);
#else
  (void)ssl;
#endif
}

/* ---- What was agreed on ---- */

t2_str t2_tls_stream_alpn(const t2_tls_stream *s) {
  return t2_str_c(mbedtls_ssl_get_alpn_protocol(&s->ssl));
}

bool t2_tls_stream_resumed(const t2_tls_stream *s) {
  return s->resumed;
}
