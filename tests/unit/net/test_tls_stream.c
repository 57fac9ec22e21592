#include "fixture.h"

#include <net/tls_internal.h>
#include <net/tls_stream.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* Two streams joined in memory, without a socket: what one puts out is lent to the other. */

static const char *const http[] = {"h2", "http/1.1", NULL};

typedef struct ends {
  test_loop tl;
  t2_tls *server_tls, *client_tls;
  t2_tls_stream *server, *client;
  int server_err, client_err; /* of the handshakes */
} ends;

static t2_tls *server_tls_of(t2_loop *loop, const char *cert, const char *key, const char *const *alpn) {
  t2_tls *tls;
  assert_int_equal(t2_tls_server_new(&tls, loop, test_file(cert), test_file(key), alpn, NULL, 0), 0);
  return tls;
}

static void open_ends(ends *e) {
  memset(e, 0, sizeof(*e));
  assert_true(test_loop_open(&e->tl, NULL, NULL));
  e->server_tls = test_server_tls(e->tl.loop, http);
  e->client_tls = test_client_tls(e->tl.loop, http);
}

static void close_streams(ends *e) {
  t2_tls_stream_free(e->server);
  t2_tls_stream_free(e->client);
  e->server = e->client = NULL;
}

static void close_ends(ends *e) {
  close_streams(e);
  if (e->server_tls) t2_tls_unref(e->server_tls);
  if (e->client_tls) t2_tls_unref(e->client_tls);
  test_loop_close(&e->tl);
}

/* Lends all that `from` has put out to `to`, and lets it go on with the handshake. */
static int step(t2_tls_stream *from, t2_tls_stream *to) {
  t2_buf *out = t2_tls_stream_output(from);
  t2_tls_stream_input(to, t2_buf_head(out), t2_buf_len(out));
  int err = t2_tls_stream_handshake(to);
  assert_int_equal(t2_tls_stream_keep(to), 0);
  t2_buf_consume(out, t2_buf_len(out));
  return err;
}

static void handshake(ends *e, const char *name) {
  assert_int_equal(t2_tls_stream_new(&e->server, e->server_tls, T2_STR_NULL), 0);
  assert_int_equal(t2_tls_stream_new(&e->client, e->client_tls, t2_str_c(name)), 0);
  e->server_err = t2_tls_stream_handshake(e->server);
  e->client_err = t2_tls_stream_handshake(e->client);
  for (int i = 0; i < 10; i++) {
    if (e->server_err == T2_ERR_AGAIN && t2_buf_len(t2_tls_stream_output(e->client)))
      e->server_err = step(e->client, e->server);
    if (e->client_err == T2_ERR_AGAIN && t2_buf_len(t2_tls_stream_output(e->server)))
      e->client_err = step(e->server, e->client);
  }
}

static void connect_ends(ends *e, const char *name) {
  handshake(e, name);
  if (e->client_err) fail_msg("client: %s", t2_tls_stream_detail(e->client));
  if (e->server_err) fail_msg("server: %s", t2_tls_stream_detail(e->server));
}

/* All of what `from` has put out, read by `to`: how much, or an error. */
static int pass(t2_tls_stream *from, t2_tls_stream *to, uint8_t *got, size_t cap, size_t *n) {
  t2_buf *out = t2_tls_stream_output(from);
  t2_tls_stream_input(to, t2_buf_head(out), t2_buf_len(out));
  int err = t2_tls_stream_read(to, got, cap, n);
  assert_int_equal(t2_tls_stream_keep(to), 0);
  t2_buf_consume(out, t2_buf_len(out));
  return err;
}

static void assert_passes(t2_tls_stream *from, t2_tls_stream *to, const char *text) {
  uint8_t got[64];
  size_t n;
  assert_int_equal(t2_tls_stream_write(from, (const uint8_t *)text, strlen(text)), 0);
  assert_int_equal(pass(from, to, got, sizeof(got), &n), 0);
  assert_int_equal(n, strlen(text));
  assert_memory_equal(got, text, n);
}

/* ---- What works ---- */

static void test_handshake_chooses_the_servers_first_protocol_and_data_flows(void **state) {
  static const char *const clients[] = {"http/1.1", "h2", NULL};
  ends e;
  open_ends(&e);
  t2_tls_unref(e.client_tls);
  e.client_tls = test_client_tls(e.tl.loop, clients);
  connect_ends(&e, NAME);
  assert_true(t2_str_eq(t2_tls_stream_alpn(e.server), T2_STR("h2")));
  assert_true(t2_str_eq(t2_tls_stream_alpn(e.client), T2_STR("h2")));
  assert_false(t2_tls_stream_resumed(e.client));
  assert_passes(e.client, e.server, "ping");
  assert_passes(e.server, e.client, "pong");
  assert_string_equal(t2_tls_stream_detail(e.client), "");
  close_ends(&e);
}

static void test_client_without_alpn_is_accepted(void **state) {
  ends e;
  open_ends(&e);
  t2_tls_unref(e.client_tls);
  e.client_tls = test_client_tls(e.tl.loop, NULL);
  connect_ends(&e, NAME);
  assert_int_equal(t2_tls_stream_alpn(e.client).n, 0);
  assert_int_equal(t2_tls_stream_alpn(e.server).n, 0);
  close_ends(&e);
}

static void test_names_addresses_and_wildcards_are_accepted(void **state) {
  const char *const names[] = {NAME, NAME ".", "SERVER.test", "a.wild.test", "127.0.0.1", "::1"};
  ends e;
  open_ends(&e);
  for (size_t i = 0; i < T2_COUNT_OF(names); i++) {
    connect_ends(&e, names[i]);
    close_streams(&e);
  }
  close_ends(&e);
}

/* A ticket of TLS 1.3 comes behind the handshake, so something has to be read. */
static void connect_and_read(ends *e, const char *name) {
  connect_ends(e, name);
  assert_passes(e->server, e->client, "hello");
}

static void test_second_connection_resumes(void **state) {
  ends e;
  open_ends(&e);
  connect_and_read(&e, NAME);
  assert_false(t2_tls_stream_resumed(e.client));
  for (int i = 0; i < 3; i++) {
    close_streams(&e);
    connect_and_read(&e, NAME);
    assert_true(t2_tls_stream_resumed(e.client));
    assert_passes(e.client, e.server, "ping");
    assert_true(t2_str_eq(t2_tls_stream_alpn(e.client), T2_STR("h2")));
  }
  assert_int_equal(t2_tls_handshakes(e.server_tls), 4);
  assert_int_equal(t2_tls_resumed(e.server_tls), 3);
  close_ends(&e);
}

static void test_a_stream_that_rests_goes_on_as_before(void **state) {
  ends e;
  open_ends(&e);
  t2_tls_stream *early;
  assert_int_equal(t2_tls_stream_new(&early, e.server_tls, T2_STR_NULL), 0);
  t2_tls_stream_rest(early); /* before the handshake: nothing */
  t2_tls_stream_free(early);
  connect_and_read(&e, NAME);
  for (int i = 0; i < 3; i++) {
    t2_tls_stream_rest(e.client);
    t2_tls_stream_rest(e.server);
    assert_passes(e.client, e.server, "ping");
    assert_passes(e.server, e.client, "pong");
    t2_tls_stream_rest(e.server);
    assert_passes(e.client, e.server, "more");
  }
  close_ends(&e);
}

static void test_session_of_one_name_is_not_used_for_another(void **state) {
  ends e;
  open_ends(&e);
  connect_and_read(&e, NAME);
  close_streams(&e);
  connect_and_read(&e, "a.wild.test");
  assert_false(t2_tls_stream_resumed(e.client));
  close_streams(&e);
  handshake(&e, "unknown.test");
  assert_int_equal(e.client_err, T2_ERR_CERTIFICATE);
  close_ends(&e);
}

static void test_server_that_does_not_know_the_session_gets_a_full_handshake(void **state) {
  ends e;
  open_ends(&e);
  connect_and_read(&e, NAME);
  close_streams(&e);
  t2_tls_unref(e.server_tls);
  e.server_tls = test_server_tls(e.tl.loop, http);
  connect_and_read(&e, NAME);
  assert_false(t2_tls_stream_resumed(e.client));
  close_streams(&e);
  connect_and_read(&e, NAME);
  assert_true(t2_tls_stream_resumed(e.client));
  close_ends(&e);
}

static void test_64_sessions_are_kept_the_latest_used(void **state) {
  char name[32];
  ends e;
  open_ends(&e);
  for (int i = 0; i < T2_TLS_SESSIONS_MAX + 1; i++) {
    snprintf(name, sizeof(name), "n%d.wild.test", i);
    connect_and_read(&e, name);
    close_streams(&e);
    if (i == 10) { /* used again: n1 goes in its place */
      connect_and_read(&e, "n0.wild.test");
      assert_true(t2_tls_stream_resumed(e.client));
      close_streams(&e);
    }
  }
  assert_int_equal(e.client_tls->session_count, T2_TLS_SESSIONS_MAX);
  assert_non_null(t2_tls_cache_get(e.client_tls, T2_STR("n0.wild.test")));
  assert_null(t2_tls_cache_get(e.client_tls, T2_STR("n1.wild.test")));
  assert_non_null(t2_tls_cache_get(e.client_tls, T2_STR("n2.wild.test")));
  close_ends(&e);
}

/* ---- Records ---- */

static void test_records_are_as_full_as_can_be(void **state) {
  enum { N = 10 * 16384 + 100 };
  uint8_t *bytes = malloc(N), *got = malloc(N + 1);
  size_t n, records = 0;
  ends e;
  open_ends(&e);
  connect_ends(&e, NAME);
  assert_passes(e.server, e.client, "tickets are out of the way");
  for (size_t i = 0; i < N; i++)
    bytes[i] = test_pattern(i);
  assert_int_equal(t2_tls_stream_write(e.client, bytes, N), 0);
  t2_buf *out = t2_tls_stream_output(e.client);
  for (size_t at = out->off; at < out->end; records++)
    at += 5 + (size_t)(out->data[at + 3] << 8) + out->data[at + 4];
  assert_int_equal(records, 11);
  assert_int_equal(pass(e.client, e.server, got, N + 1, &n), 0);
  assert_int_equal(n, N);
  assert_memory_equal(got, bytes, N);
  free(bytes);
  free(got);
  close_ends(&e);
}

static void test_input_may_come_byte_by_byte(void **state) {
  uint8_t got[64];
  size_t n = 0, all = 0;
  ends e;
  open_ends(&e);
  connect_ends(&e, NAME);
  assert_passes(e.server, e.client, "x");
  assert_int_equal(t2_tls_stream_write(e.client, (const uint8_t *)"hello", 5), 0);
  t2_buf *out = t2_tls_stream_output(e.client);
  while (t2_buf_len(out)) {
    uint8_t byte = *t2_buf_head(out);
    t2_tls_stream_input(e.server, &byte, 1);
    assert_int_equal(t2_tls_stream_read(e.server, got + all, sizeof(got) - all, &n), 0);
    all += n;
    assert_false(t2_tls_stream_pending(e.server));
    assert_int_equal(t2_tls_stream_keep(e.server), 0);
    t2_buf_consume(out, 1);
  }
  assert_int_equal(all, 5);
  assert_memory_equal(got, "hello", 5);
  close_ends(&e);
}

static void test_what_is_kept_is_read_later_in_order(void **state) {
  uint8_t lent[512], got[16];
  size_t n;
  ends e;
  open_ends(&e);
  connect_ends(&e, NAME);
  for (int i = 0; i < 3; i++)
    assert_int_equal(t2_tls_stream_write(e.client, (const uint8_t *)&"abcdef"[2 * i], 2), 0);
  t2_buf *out = t2_tls_stream_output(e.client);
  size_t all = t2_buf_len(out), half = all / 2;
  memcpy(lent, t2_buf_head(out), half);
  t2_tls_stream_input(e.server, lent, half);
  assert_int_equal(t2_tls_stream_read(e.server, got, 1, &n), 0);
  assert_int_equal(got[0], 'a');
  assert_int_equal(t2_tls_stream_keep(e.server), 0);
  memset(lent, 0, sizeof(lent));
  assert_true(t2_tls_stream_pending(e.server));

  /* More comes while something is kept: it stands behind it. */
  memcpy(lent, t2_buf_head(out) + half, all - half);
  t2_tls_stream_input(e.server, lent, all - half);
  assert_int_equal(t2_tls_stream_keep(e.server), 0);
  memset(lent, 0, sizeof(lent));
  t2_tls_stream_resume(e.server);
  assert_int_equal(t2_tls_stream_read(e.server, got, sizeof(got), &n), 0);
  assert_int_equal(n, 5);
  assert_memory_equal(got, "bcdef", 5);
  assert_false(t2_tls_stream_pending(e.server));
  close_ends(&e);
}

static void test_close_notify_ends_the_input_behind_the_data(void **state) {
  uint8_t got[16];
  size_t n;
  ends e;
  open_ends(&e);
  connect_ends(&e, NAME);
  assert_int_equal(t2_tls_stream_write(e.client, (const uint8_t *)"bye", 3), 0);
  assert_int_equal(t2_tls_stream_end(e.client), 0);
  assert_int_equal(pass(e.client, e.server, got, sizeof(got), &n), T2_ERR_CLOSED);
  assert_int_equal(n, 3);
  assert_passes(e.server, e.client, "still");
  close_ends(&e);
}

static void test_a_changed_record_is_an_error(void **state) {
  uint8_t got[16];
  size_t n;
  ends e;
  open_ends(&e);
  connect_ends(&e, NAME);
  assert_int_equal(t2_tls_stream_write(e.client, (const uint8_t *)"good", 4), 0);
  assert_int_equal(t2_tls_stream_write(e.client, (const uint8_t *)"evil", 4), 0);
  t2_buf *out = t2_tls_stream_output(e.client);
  out->data[out->end - 1] ^= 1;
  assert_int_equal(pass(e.client, e.server, got, sizeof(got), &n), T2_ERR_TLS);
  assert_int_equal(n, 4);
  assert_true(strlen(t2_tls_stream_detail(e.server)) > 0);
  close_ends(&e);
}

/* ---- What is refused ---- */

static void assert_detail(const t2_tls_stream *stream, const char *words) {
  if (!strstr(t2_tls_stream_detail(stream), words))
    fail_msg("\"%s\" is not in \"%s\"", words, t2_tls_stream_detail(stream));
}

static void test_certificate_for_another_name_is_refused(void **state) {
  const char *const names[] = {"other.test", "wild.test", "a.b.wild.test", "127.0.0.2", "::2", "server"};
  char words[64];
  ends e;
  open_ends(&e);
  for (size_t i = 0; i < T2_COUNT_OF(names); i++) {
    handshake(&e, names[i]);
    assert_int_equal(e.client_err, T2_ERR_CERTIFICATE);
    snprintf(words, sizeof(words), "certificate is not for the name %s", names[i]);
    assert_string_equal(t2_tls_stream_detail(e.client), words);
    assert_int_equal(e.client_tls->session_count, 0);
    close_streams(&e);
  }
  close_ends(&e);
}

static void test_certificate_of_an_unknown_authority_is_refused(void **state) {
  ends e;
  open_ends(&e);
  t2_tls_unref(e.client_tls);
  assert_int_equal(t2_tls_client_new(&e.client_tls, e.tl.loop, test_file("other-ca.pem"), http, NULL, 0), 0);
  handshake(&e, NAME);
  assert_int_equal(e.client_err, T2_ERR_CERTIFICATE);
  assert_detail(e.client, "certificate is not signed by a trusted authority (CA file /tmp/");
  assert_detail(e.client, "other-ca.pem)");
  close_ends(&e);
}

static void test_server_is_told_why_the_client_left(void **state) {
  uint8_t got[16];
  size_t n;
  ends e;
  open_ends(&e);
  t2_tls_unref(e.client_tls);
  assert_int_equal(t2_tls_client_new(&e.client_tls, e.tl.loop, test_file("other-ca.pem"), http, NULL, 0), 0);
  handshake(&e, NAME);
  if (e.server_err == 0) e.server_err = pass(e.client, e.server, got, sizeof(got), &n);
  assert_int_equal(e.server_err, T2_ERR_TLS);
  assert_detail(e.server, "the peer refused: certificate authority not known");
  close_ends(&e);
}

static void test_expired_certificate_is_refused(void **state) {
  ends e;
  open_ends(&e);
  t2_tls_unref(e.server_tls);
  e.server_tls = server_tls_of(e.tl.loop, "expired.pem", "expired-key.pem", http);
  handshake(&e, NAME);
  assert_int_equal(e.client_err, T2_ERR_CERTIFICATE);
  assert_string_equal(t2_tls_stream_detail(e.client),
                      "certificate has expired (or the clock of this host is fast)");
  close_ends(&e);
}

static void test_protocols_without_one_in_common_are_refused(void **state) {
  static const char *const others[] = {"h3", NULL};
  ends e;
  open_ends(&e);
  t2_tls_unref(e.client_tls);
  e.client_tls = test_client_tls(e.tl.loop, others);
  handshake(&e, NAME);
  assert_int_equal(e.server_err, T2_ERR_TLS);
  assert_detail(e.server, "no application protocol (ALPN) in common");
  assert_int_equal(e.client_err, T2_ERR_TLS);
  assert_detail(e.client, "no application protocol (ALPN) in common");
  close_ends(&e);
}

static void test_what_is_no_tls_is_refused_with_a_sentence(void **state) {
  const char *const texts[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                               "SSH-2.0-OpenSSH_9.2p1 and more to read\r\n"};
  ends e;
  open_ends(&e);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(t2_tls_stream_new(&e.server, e.server_tls, T2_STR_NULL), 0);
    assert_int_equal(t2_tls_stream_new(&e.client, e.client_tls, T2_STR(NAME)), 0);
    assert_int_equal(t2_tls_stream_handshake(e.client), T2_ERR_AGAIN);
    t2_tls_stream_input(e.server, (const uint8_t *)texts[i], strlen(texts[i]));
    t2_tls_stream_input(e.client, (const uint8_t *)texts[i], strlen(texts[i]));
    assert_int_equal(t2_tls_stream_handshake(e.server), T2_ERR_TLS);
    assert_int_equal(t2_tls_stream_handshake(e.client), T2_ERR_TLS);
    assert_string_equal(t2_tls_stream_detail(e.server), "the peer does not speak TLS");
    assert_string_equal(t2_tls_stream_detail(e.client), "the peer does not speak TLS");
    close_streams(&e);
  }
  close_ends(&e);
}

static void test_noise_after_a_good_start_is_refused(void **state) {
  uint8_t noise[600];
  ends e;
  open_ends(&e);
  for (unsigned seed = 0; seed < 64; seed++) {
    assert_int_equal(t2_tls_stream_new(&e.server, e.server_tls, T2_STR_NULL), 0);
    assert_int_equal(t2_tls_stream_new(&e.client, e.client_tls, T2_STR(NAME)), 0);
    assert_int_equal(t2_tls_stream_handshake(e.client), T2_ERR_AGAIN);
    t2_buf *out = t2_tls_stream_output(e.client);
    size_t n = t2_buf_len(out);
    assert_true(n < sizeof(noise));
    memcpy(noise, t2_buf_head(out), n);
    noise[5 + seed * (n - 5) / 64] ^= (uint8_t)(1 + seed * 37); /* any outcome, but no crash or hang */
    t2_tls_stream_input(e.server, noise, n);
    int err = t2_tls_stream_handshake(e.server);
    assert_true(err == T2_ERR_AGAIN || err == T2_ERR_TLS);
    close_streams(&e);
  }
  close_ends(&e);
}

static void test_names_that_are_none_are_refused(void **state) {
  char longest[T2_TLS_NAME_MAX + 2];
  ends e;
  open_ends(&e);
  const char *const names[] = {"", ".", "a..b", "-a.test", "a b", "a/b", "*.wild.test", "a:b"};
  for (size_t i = 0; i < T2_COUNT_OF(names); i++)
    assert_int_equal(t2_tls_stream_new(&e.client, e.client_tls, t2_str_c(names[i])), T2_ERR_INVALID);
  assert_int_equal(t2_tls_stream_new(&e.client, e.client_tls, t2_str_of("a\0b", 3)), T2_ERR_INVALID);
  memset(longest, 'a', sizeof(longest));
  for (size_t i = 63; i < sizeof(longest); i += 64)
    longest[i] = '.';
  assert_int_equal(t2_tls_stream_new(&e.client, e.client_tls, t2_str_of(longest, T2_TLS_NAME_MAX + 1)),
                   T2_ERR_INVALID);
  assert_int_equal(t2_tls_stream_new(&e.client, e.client_tls, t2_str_of(longest, T2_TLS_NAME_MAX)), 0);
  close_ends(&e);
}

/* ---- Memory ---- */

static bool fine(int err, const t2_test_mem *mem) {
  assert_true(err == 0 || err == T2_ERR_AGAIN || (err == T2_ERR_NOMEM && mem->failed));
  return err != T2_ERR_NOMEM;
}

static bool exchange(ends *e, const t2_test_mem *mem) {
  int client = t2_tls_stream_handshake(e->client), server = T2_ERR_AGAIN;
  uint8_t got[64];
  size_t n;
  for (int i = 0; i < 10 && (client || server); i++) {
    t2_buf *from_client = t2_tls_stream_output(e->client), *from_server = t2_tls_stream_output(e->server);
    t2_tls_stream_input(e->server, t2_buf_head(from_client), t2_buf_len(from_client));
    if (server) server = t2_tls_stream_handshake(e->server);
    if (!fine(server, mem) || !fine(t2_tls_stream_keep(e->server), mem)) return false;
    t2_buf_consume(from_client, t2_buf_len(from_client));
    t2_tls_stream_input(e->client, t2_buf_head(from_server), t2_buf_len(from_server));
    if (client) client = t2_tls_stream_handshake(e->client);
    if (!fine(client, mem) || !fine(t2_tls_stream_keep(e->client), mem)) return false;
    t2_buf_consume(from_server, t2_buf_len(from_server));
  }
  if (!fine(t2_tls_stream_write(e->server, (const uint8_t *)"data", 4), mem)) return false;
  if (!fine(t2_tls_stream_end(e->server), mem)) return false;
  t2_buf *out = t2_tls_stream_output(e->server);
  t2_tls_stream_input(e->client, t2_buf_head(out), t2_buf_len(out));
  int err = t2_tls_stream_read(e->client, got, 2, &n);
  if (!fine(err, mem) || !fine(t2_tls_stream_keep(e->client), mem)) return false;
  t2_tls_stream_resume(e->client);
  err = t2_tls_stream_read(e->client, got, sizeof(got), &n);
  return err == T2_ERR_CLOSED || fine(err, mem);
}

static void one_life(t2_test_mem *mem, ends *e) {
  bool made = t2_tls_stream_new(&e->server, e->server_tls, T2_STR_NULL) == 0 &&
              t2_tls_stream_new(&e->client, e->client_tls, T2_STR(NAME)) == 0;
  assert_true(made || mem->failed);
  bool passed = made && exchange(e, mem);
  assert_true(passed || mem->failed);
  close_streams(e);
}

static void two_lives(t2_test_mem *mem, void *user) {
  ends e = {0};
  if (!test_loop_open(&e.tl, &mem->hook, NULL)) return;
  bool made = t2_tls_server_new(&e.server_tls, e.tl.loop, test_file("server.pem"),
                                test_file("server-key.pem"), http, NULL, 0) == 0 &&
              t2_tls_client_new(&e.client_tls, e.tl.loop, test_file("ca.pem"), http, NULL, 0) == 0;
  assert_true(made || mem->failed);
  if (made) one_life(mem, &e);
  if (made) one_life(mem, &e); /* resumes */
  close_ends(&e);
}

static void test_each_missing_allocation_is_told_and_leaks_nothing(void **state) {
  t2_test_mem_fail_each(two_lives, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_handshake_chooses_the_servers_first_protocol_and_data_flows),
      cmocka_unit_test(test_client_without_alpn_is_accepted),
      cmocka_unit_test(test_names_addresses_and_wildcards_are_accepted),
      cmocka_unit_test(test_second_connection_resumes),
      cmocka_unit_test(test_a_stream_that_rests_goes_on_as_before),
      cmocka_unit_test(test_session_of_one_name_is_not_used_for_another),
      cmocka_unit_test(test_server_that_does_not_know_the_session_gets_a_full_handshake),
      cmocka_unit_test(test_64_sessions_are_kept_the_latest_used),
      cmocka_unit_test(test_records_are_as_full_as_can_be),
      cmocka_unit_test(test_input_may_come_byte_by_byte),
      cmocka_unit_test(test_what_is_kept_is_read_later_in_order),
      cmocka_unit_test(test_close_notify_ends_the_input_behind_the_data),
      cmocka_unit_test(test_a_changed_record_is_an_error),
      cmocka_unit_test(test_certificate_for_another_name_is_refused),
      cmocka_unit_test(test_certificate_of_an_unknown_authority_is_refused),
      cmocka_unit_test(test_server_is_told_why_the_client_left),
      cmocka_unit_test(test_expired_certificate_is_refused),
      cmocka_unit_test(test_protocols_without_one_in_common_are_refused),
      cmocka_unit_test(test_what_is_no_tls_is_refused_with_a_sentence),
      cmocka_unit_test(test_noise_after_a_good_start_is_refused),
      cmocka_unit_test(test_names_that_are_none_are_refused),
      cmocka_unit_test(test_each_missing_allocation_is_told_and_leaks_nothing),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
