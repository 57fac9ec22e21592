#include "fixture.h"

#include <base/file.h>
#include <net/tls_internal.h>
#include <net/tls_stream.h>
#include <stdio.h>
#include <tunnel2/error.h>

static test_loop tl;

static int open_all(void **state) {
  if (test_files_make(state)) return -1;
  return test_loop_open(&tl, NULL, NULL) ? 0 : -1;
}

static int close_all(void **state) {
  test_loop_close(&tl);
  return test_files_remove(state);
}

static void assert_server(const char *cert, const char *key, int want, const char *words) {
  char detail[512] = "";
  t2_tls *tls = NULL;
  int err = t2_tls_server_new(&tls, tl.loop, test_file(cert), test_file(key), NULL, detail, sizeof(detail));
  if (err != want || !strstr(detail, words)) fail_msg("%s (\"%s\" awaited)", detail, words);
  assert_true((tls == NULL) == (want != 0));
  if (tls) t2_tls_unref(tls);
}

static void assert_client(const char *ca, int want, const char *words) {
  char detail[512] = "";
  t2_tls *tls = NULL;
  int err = t2_tls_client_new(&tls, tl.loop, test_file(ca), NULL, detail, sizeof(detail));
  if (err != want || !strstr(detail, words)) fail_msg("%s (\"%s\" awaited)", detail, words);
  assert_true((tls == NULL) == (want != 0));
  if (tls) t2_tls_unref(tls);
}

static void test_files_that_are_missing_are_named(void **state) {
  assert_server("none.pem", "server-key.pem", T2_ERR_NOT_FOUND, "none.pem cannot be read: not found");
  assert_server("server.pem", "none.pem", T2_ERR_NOT_FOUND, "none.pem cannot be read: not found");
  assert_client("none.pem", T2_ERR_NOT_FOUND, "none.pem cannot be read: not found");
}

static void test_files_that_hold_something_else_are_named(void **state) {
  test_file_write("text", "this is no PEM");
  test_file_write("empty", "");
  assert_server("text", "server-key.pem", T2_ERR_CERTIFICATE, "text holds no certificate");
  assert_server("empty", "server-key.pem", T2_ERR_CERTIFICATE, "empty holds no certificate");
  assert_server("server-key.pem", "server-key.pem", T2_ERR_CERTIFICATE, "holds no certificate");
  assert_server("server.pem", "text", T2_ERR_INVALID, "text holds no private key");
  assert_server("server.pem", "server.pem", T2_ERR_INVALID, "server.pem holds no private key");
  assert_client("empty", T2_ERR_CERTIFICATE, "empty holds no certificate");
}

static void test_key_of_another_certificate_is_refused(void **state) {
  assert_server("server.pem", "expired-key.pem", T2_ERR_INVALID, "is not the key of the certificate in");
  assert_server("server.pem", "server-key.pem", 0, "");
}

static void test_chain_with_a_broken_certificate_is_refused(void **state) {
  t2_buf text;
  t2_buf_init(&text, NULL);
  assert_int_equal(t2_file_read(test_file("server.pem"), 65536, &text), 0);
  t2_buf_append_c(&text, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  test_file_write("chain.pem", t2_buf_cstr(&text));
  assert_server("chain.pem", "server-key.pem", T2_ERR_CERTIFICATE, "a certificate cannot be read");
  assert_client("chain.pem", 0, ""); /* of what is trusted, what can be read counts */
  t2_buf_fini(&text);
}

static void test_clients_trust_the_system_by_default(void **state) {
  char detail[512] = "";
  t2_tls *tls;
  int err = t2_tls_client_new(&tls, tl.loop, NULL, NULL, detail, sizeof(detail));
  if (err == T2_ERR_NOT_FOUND) skip();
  if (err) fail_msg("%s", detail);
  t2_tls_unref(tls);
}

static void test_last_reference_frees(void **state) {
  t2_tls *tls = test_client_tls(tl.loop, NULL);
  assert_ptr_equal(t2_tls_ref(tls), tls);
  t2_tls_unref(tls);
  assert_int_equal(tls->refs, 1);
  t2_tls_unref(tls);
}

static void test_more_protocols_than_the_bound_are_refused(void **state) {
  const char *const most[] = {"1", "2", "3", "4", "5", "6", "7", "8", NULL};
  const char *const more[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", NULL};
  t2_tls *tls;
  assert_int_equal(t2_tls_client_new(&tls, tl.loop, test_file("ca.pem"), more, NULL, 0), T2_ERR_INVALID);
  assert_int_equal(t2_tls_client_new(&tls, tl.loop, test_file("ca.pem"), most, NULL, 0), 0);
  t2_tls_unref(tls);
}

static void settings(t2_test_mem *mem, void *user) {
  test_loop other;
  t2_tls *tls;
  (void)user;
  if (!test_loop_open(&other, &mem->hook, NULL)) return;
  int err = t2_tls_server_new(&tls, other.loop, test_file("server.pem"), test_file("server-key.pem"), NULL,
                              NULL, 0);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) {
    err = t2_tls_server_reload(tls, NULL, 0);
    assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
    t2_tls_unref(tls);
  }
  err = t2_tls_client_new(&tls, other.loop, test_file("ca.pem"), NULL, NULL, 0);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) t2_tls_unref(tls);
  test_loop_close(&other);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(settings, NULL);
}

/* ---- Against OpenSSL ---- */

static void on_accept(t2_listener *listener, t2_conn *conn, void *user) {
  test_peer *peer = user;
  (void)listener;
  peer->conn = conn;
  peer->closed = false;
  t2_conn_set_ops(conn, &test_peer_ops_no_eof, peer);
}

static int s_client(const char *const *more, char *out, size_t size) {
  static const char *const alpn[] = {"h2", "http/1.1", NULL};
  t2_tls *tls = test_server_tls(tl.loop, alpn);
  t2_listener_options options = {.address = "127.0.0.1:0", .tls = tls};
  const char *argv[32] = {"openssl", "s_client", "-CAfile", test_file("ca.pem"), "-verify_return_error",
                          "-connect"};
  test_peer peer = {.closed = true};
  t2_listener *listener;
  size_t n = 6;
  t2_buf_init(&peer.in, NULL);
  assert_int_equal(t2_listener_new(&listener, tl.loop, &options, on_accept, &peer, NULL, 0), 0);
  argv[n++] = t2_listener_address(listener);
  while (*more)
    argv[n++] = *more++;
  int status = test_run_beside(&tl, argv, out, size);
  t2_listener_close(listener, NULL, NULL);
  if (peer.conn) t2_conn_close(peer.conn, 0);
  RUN_UNTIL(&tl, !peer.conn);
  t2_tls_unref(tls);
  t2_buf_fini(&peer.in);
  return status;
}

static void assert_words(const char *out, const char *words) {
  if (!strstr(out, words)) fail_msg("there is no \"%s\" in %s", words, out);
}

static void test_openssl_connects_with_chacha20_and_alpn(void **state) {
  const char *const more[] = {"-tls1_2", "-verify_hostname", NAME, "-alpn", "http/1.1,h2", NULL};
  char out[16384];
  if (s_client(more, out, sizeof(out))) fail_msg("%s", out);
  assert_words(out, "CHACHA20");
  assert_words(out, "ALPN protocol: h2");
  assert_words(out, "Verification: OK");
  assert_words(out, "X25519");
}

static void test_openssl_is_refused_without_a_suite_in_common(void **state) {
  const char *const cbc[] = {"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0", NULL};
  const char *const rsa[] = {"-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0", NULL};
  const char *const old[] = {"-tls1_1", "-cipher", "ALL:@SECLEVEL=0", NULL};
  char out[16384];
  assert_int_equal(s_client(cbc, out, sizeof(out)), 1);
  assert_words(out, "alert handshake failure");
  assert_int_equal(s_client(rsa, out, sizeof(out)), 1);
  assert_words(out, "alert handshake failure");
  assert_int_equal(s_client(old, out, sizeof(out)), 1);
  assert_words(out, "alert protocol version");
}

static void test_openssl_is_refused_without_a_protocol_in_common(void **state) {
  const char *const more[] = {"-alpn", "h3", NULL};
  char out[16384];
  assert_int_equal(s_client(more, out, sizeof(out)), 1);
  assert_words(out, "alert no application protocol");
}

/* ---- Several certificates, and new ones ---- */

/* FILE.pem and FILE-key.pem for the name, by a key of their own. */
static void self_signed(const char *file, const char *alternative) {
  char cert[64], key[64], san[128], out[4096];
  snprintf(cert, sizeof(cert), "%s.pem", file);
  snprintf(key, sizeof(key), "%s-key.pem", file);
  snprintf(san, sizeof(san), "subjectAltName=%s", alternative);
  const char *const argv[] = {"openssl",
                              "req",
                              "-x509",
                              "-newkey",
                              "ec",
                              "-pkeyopt",
                              "ec_paramgen_curve:P-256",
                              "-nodes",
                              "-keyout",
                              test_file(key),
                              "-out",
                              test_file(cert),
                              "-subj",
                              "/CN=test",
                              "-addext",
                              san,
                              NULL};
  if (test_run(argv, out, sizeof(out))) fail_msg("%s", out);
}

/* A server of three certificates, of which the first is none of those asked for. */
static t2_tls *several(void) {
  static const char *const names[] = {"server.pem",   "server-key.pem", "wild.pem",
                                      "wild-key.pem", "exact.pem",      "exact-key.pem"};
  char paths[6][192], detail[512] = "";
  for (size_t i = 0; i < 6; i++)
    snprintf(paths[i], sizeof(paths[i]), "%s", test_file(names[i]));
  const t2_tls_files files[] = {{paths[0], paths[1]}, {paths[2], paths[3]}, {paths[4], paths[5]}};
  t2_tls *tls;
  if (t2_tls_server_new_many(&tls, tl.loop, files, 3, NULL, detail, sizeof(detail))) fail_msg("%s", detail);
  return tls;
}

/* What openssl sees of the server when it asks for the name (NULL: for none). */
static void assert_shows(t2_tls *tls, const char *name, const char *words) {
  t2_listener_options options = {.address = "127.0.0.1:0", .tls = tls};
  test_peer peer = {.closed = true};
  t2_listener *listener;
  char out[16384], script[256];
  t2_buf_init(&peer.in, NULL);
  assert_int_equal(t2_listener_new(&listener, tl.loop, &options, on_accept, &peer, NULL, 0), 0);
  snprintf(
      script, sizeof(script),
      "openssl s_client -connect %s %s %s </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName",
      t2_listener_address(listener), name ? "-servername" : "-noservername", name ? name : "");
  const char *const argv[] = {"sh", "-c", script, NULL};
  (void)test_run_beside(&tl, argv, out, sizeof(out));
  t2_listener_close(listener, NULL, NULL);
  if (peer.conn) t2_conn_close(peer.conn, 0);
  RUN_UNTIL(&tl, !peer.conn);
  t2_buf_fini(&peer.in);
  assert_words(out, words);
}

static void make_several(void) {
  self_signed("wild", "DNS:*.many.test");
  self_signed("exact", "DNS:exact.many.test");
}

static void test_names_choose_the_certificate(void **state) {
  make_several();
  t2_tls *tls = several();
  assert_shows(tls, "exact.many.test", "DNS:exact.many.test");
  assert_shows(tls, "EXACT.many.TEST", "DNS:exact.many.test");
  assert_shows(tls, "other.many.test", "DNS:*.many.test");
  assert_shows(tls, "a.b.many.test", "DNS:" NAME);
  assert_shows(tls, "many.test", "DNS:" NAME);
  assert_shows(tls, NULL, "DNS:" NAME);
  t2_tls_unref(tls);
}

static void test_reload_takes_what_the_files_hold_now(void **state) {
  make_several();
  t2_tls *tls = several();
  self_signed("exact", "DNS:exact.many.test,DNS:new.many.test");
  assert_shows(tls, "new.many.test", "DNS:*.many.test");
  assert_int_equal(t2_tls_server_reload(tls, NULL, 0), 0);
  assert_shows(tls, "new.many.test", "DNS:new.many.test");
  t2_tls_unref(tls);
}

static void test_reload_that_fails_changes_nothing(void **state) {
  char detail[512];
  make_several();
  t2_tls *tls = several();
  test_file_write("wild-key.pem", "this is no key");
  assert_int_equal(t2_tls_server_reload(tls, detail, sizeof(detail)), T2_ERR_INVALID);
  assert_words(detail, "wild-key.pem holds no private key");
  assert_shows(tls, "other.many.test", "DNS:*.many.test");
  t2_tls_unref(tls);
}

/* A handshake under way goes on with the certificate it began with. */
static void test_streams_keep_what_they_began_with(void **state) {
  t2_tls *tls = test_server_tls(tl.loop, NULL);
  t2_tls_stream *stream;
  assert_int_equal(t2_tls_stream_new(&stream, tls, T2_STR_NULL), 0);
  const t2_tls_identity *before = tls->identity;
  assert_int_equal(t2_tls_server_reload(tls, NULL, 0), 0);
  assert_ptr_not_equal(tls->identity, before);
  assert_int_equal(t2_tls_stream_handshake(stream), T2_ERR_AGAIN);
  t2_tls_unref(tls);
  t2_tls_stream_free(stream);
}

static void test_number_of_certificates_is_bounded(void **state) {
  t2_tls *tls;
  char detail[128];
  assert_int_equal(t2_tls_server_new_many(&tls, tl.loop, NULL, 0, NULL, detail, sizeof(detail)),
                   T2_ERR_INVALID);
  assert_int_equal(
      t2_tls_server_new_many(&tls, tl.loop, NULL, T2_TLS_CERTIFICATES_MAX + 1, NULL, detail, sizeof(detail)),
      T2_ERR_INVALID);
  assert_words(detail, "1 to 1024");
}

/* Where mbedTLS has no TLS 1.3 that is said, and everything stays as it was. */
static void test_oldest_version_is_1_2_or_1_3(void **state) {
  char detail[128] = "";
  t2_tls *tls;
  assert_int_equal(t2_tls_server_new(&tls, tl.loop, test_file("server.pem"), test_file("server-key.pem"),
                                     NULL, detail, sizeof(detail)),
                   0);
  assert_int_equal(t2_tls_server_set_oldest(tls, "1.1", detail, sizeof(detail)), T2_ERR_INVALID);
  assert_words(detail, "1.2 or 1.3 is taken");
  int err = t2_tls_server_set_oldest(tls, "1.3", detail, sizeof(detail));
  if (t2_mbedtls_has_tls13()) {
    assert_int_equal(err, 0);
    assert_true(tls->tls13_only);
  } else {
    assert_int_equal(err, T2_ERR_UNSUPPORTED);
    assert_string_equal(detail, "this build's mbedTLS has no TLS 1.3");
    assert_false(tls->tls13_only);
  }
  assert_int_equal(t2_tls_server_set_oldest(tls, "1.2", detail, sizeof(detail)), 0);
  assert_false(tls->tls13_only);
  t2_tls_unref(tls);
}

/* ---- Names ---- */

static void parse(mbedtls_x509_crt *cert, const char *file) {
  t2_buf pem;
  t2_buf_init(&pem, NULL);
  mbedtls_x509_crt_init(cert);
  assert_int_equal(t2_file_read(test_file(file), 65536, &pem), 0);
  assert_non_null(t2_buf_cstr(&pem));
  assert_int_equal(mbedtls_x509_crt_parse(cert, t2_buf_head(&pem), t2_buf_len(&pem) + 1), 0);
  t2_buf_fini(&pem);
}

static void test_names_are_compared_as_the_rfc_says(void **state) {
  const struct {
    const char *name;
    bool matches;
  } cases[] = {
      {NAME, true},
      {"SERVER.TEST", true},
      {"server.test.", false},
      {"xserver.test", false},
      {"a.wild.test", true},
      {"A.WILD.test", true},
      {"wild.test", false},
      {".wild.test", false},
      {"a.b.wild.test", false},
      {"127.0.0.1", true},
      {"127.0.0.2", false},
      {"::1", true},
      {"0:0::1", true},
      {"::ffff:127.0.0.1", false},
      {"*.wild.test", true},
  };
  mbedtls_x509_crt cert;
  parse(&cert, "server.pem");
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    if (t2_tls_name_matches(&cert, t2_str_c(cases[i].name)) != cases[i].matches)
      fail_msg("%s", cases[i].name);
  mbedtls_x509_crt_free(&cert);
}

static void test_common_name_alone_is_no_name(void **state) {
  const char *const argv[] = {"openssl",
                              "req",
                              "-x509",
                              "-newkey",
                              "ec",
                              "-pkeyopt",
                              "ec_paramgen_curve:P-256",
                              "-nodes",
                              "-keyout",
                              test_file("cn-key.pem"),
                              "-out",
                              test_file("cn.pem"),
                              "-subj",
                              "/CN=server.test",
                              NULL};
  char out[4096];
  mbedtls_x509_crt cert;
  if (test_run(argv, out, sizeof(out))) fail_msg("%s", out);
  parse(&cert, "cn.pem");
  assert_false(t2_tls_name_matches(&cert, T2_STR(NAME)));
  assert_false(t2_tls_name_matches(&cert, T2_STR("127.0.0.1")));
  mbedtls_x509_crt_free(&cert);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files_that_are_missing_are_named),
      cmocka_unit_test(test_files_that_hold_something_else_are_named),
      cmocka_unit_test(test_key_of_another_certificate_is_refused),
      cmocka_unit_test(test_chain_with_a_broken_certificate_is_refused),
      cmocka_unit_test(test_clients_trust_the_system_by_default),
      cmocka_unit_test(test_last_reference_frees),
      cmocka_unit_test(test_more_protocols_than_the_bound_are_refused),
      cmocka_unit_test(test_missing_memory_is_told),
      cmocka_unit_test(test_openssl_connects_with_chacha20_and_alpn),
      cmocka_unit_test(test_openssl_is_refused_without_a_suite_in_common),
      cmocka_unit_test(test_openssl_is_refused_without_a_protocol_in_common),
      cmocka_unit_test(test_names_choose_the_certificate),
      cmocka_unit_test(test_reload_takes_what_the_files_hold_now),
      cmocka_unit_test(test_reload_that_fails_changes_nothing),
      cmocka_unit_test(test_streams_keep_what_they_began_with),
      cmocka_unit_test(test_number_of_certificates_is_bounded),
      cmocka_unit_test(test_oldest_version_is_1_2_or_1_3),
      cmocka_unit_test(test_names_are_compared_as_the_rfc_says),
      cmocka_unit_test(test_common_name_alone_is_no_name),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
