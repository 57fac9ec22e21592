#include "fixture.h"

#include <base/file.h>
#include <net/certificate.h>
#include <tunnel2/error.h>

static void assert_openssl(const char *const *argv) {
  char out[4096];
  int status = test_run(argv, out, sizeof(out));

  if (status) fail_msg("%s", out);
}

static void test_openssl_accepts_the_chain_strictly(void **state) {
  const char *const argv[] = {"openssl",
                              "verify",
                              "-x509_strict",
                              "-purpose",
                              "sslserver",
                              "-verify_hostname",
                              NAME,
                              "-CAfile",
                              test_file("ca.pem"),
                              test_file("server.pem"),
                              NULL};
  assert_openssl(argv);
}

static void test_openssl_accepts_addresses_and_wildcards(void **state) {
  const char *const checks[][2] = {
      {"-verify_ip", "127.0.0.1"}, {"-verify_ip", "::1"}, {"-verify_hostname", "x.wild.test"}};
  for (size_t i = 0; i < 3; i++) {
    const char *const argv[] = {"openssl",
                                "verify",
                                checks[i][0],
                                checks[i][1],
                                "-CAfile",
                                test_file("ca.pem"),
                                test_file("server.pem"),
                                NULL};
    assert_openssl(argv);
  }
}

static void assert_text(const char *name, const char *const *words, size_t n) {
  const char *const argv[] = {"openssl", "x509", "-noout", "-text", "-in", test_file(name), NULL};
  char out[8192];
  assert_int_equal(test_run(argv, out, sizeof(out)), 0);
  for (size_t i = 0; i < n; i++)
    if (!strstr(out, words[i])) fail_msg("there is no \"%s\" in %s", words[i], out);
}

static void test_extensions_of_the_authority(void **state) {
  const char *const words[] = {"X509v3 Basic Constraints: critical",
                               "CA:TRUE",
                               "X509v3 Key Usage: critical",
                               "Certificate Sign, CRL Sign",
                               "X509v3 Subject Key Identifier",
                               "X509v3 Authority Key Identifier",
                               "Version: 3",
                               "Test CA",
                               "ecdsa-with-SHA256",
                               "NIST CURVE: P-256"};
  assert_text("ca.pem", words, T2_COUNT_OF(words));
}

static void test_extensions_of_the_server(void **state) {
  const char *const words[] = {
      "CA:FALSE",
      "X509v3 Key Usage: critical",
      "Digital Signature",
      "TLS Web Server Authentication",
      "X509v3 Subject Key Identifier",
      "X509v3 Authority Key Identifier",
      "DNS:server.test, DNS:*.wild.test, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"};
  assert_text("server.pem", words, T2_COUNT_OF(words));
}

static void test_days_are_counted_from_an_hour_ago(void **state) {
  const char *const argv[] = {"openssl", "x509", "-noout", "-checkend", "0", "-in", test_file("expired.pem"),
                              NULL};
  const char *const good[] = {
      "openssl", "x509", "-noout", "-checkend", "2588000", "-in", test_file("server.pem"), NULL};
  const char *const early[] = {
      "openssl", "x509", "-noout", "-checkend", "2592000", "-in", test_file("server.pem"), NULL};
  char out[256];
  assert_int_equal(test_run(argv, out, sizeof(out)), 1);
  assert_int_equal(test_run(good, out, sizeof(out)), 0);
  assert_int_equal(test_run(early, out, sizeof(out)), 1);
}

typedef struct pair {
  t2_buf cert, key;
} pair;

static void pair_init(pair *p, const t2_allocator *mem) {
  t2_buf_init(&p->cert, mem);
  t2_buf_init(&p->key, mem);
}

static void pair_fini(pair *p) {
  t2_buf_fini(&p->cert);
  t2_buf_fini(&p->key);
}

static void test_names_that_would_need_quoting_are_refused(void **state) {
  const char *const names[] = {
      "",     " a",   "a,O=b",
      "a+b",  "a\\b", "a\"b",
      "a\nb", "a=b",  "0123456789012345678901234567890123456789012345678901234567890123456789"};
  pair p;
  pair_init(&p, NULL);
  for (size_t i = 0; i < T2_COUNT_OF(names); i++)
    assert_int_equal(t2_certificate_make_ca(NULL, names[i], 1, &p.cert, &p.key), T2_ERR_INVALID);
  assert_int_equal(t2_buf_len(&p.cert) + t2_buf_len(&p.key), 0);
  pair_fini(&p);
}

static void test_a_key_that_is_not_the_authoritys_is_refused(void **state) {
  const char *const names[] = {"a.test"};
  pair one, two, server;
  pair_init(&one, NULL);
  pair_init(&two, NULL);
  pair_init(&server, NULL);
  assert_int_equal(t2_certificate_make_ca(NULL, "one", 1, &one.cert, &one.key), 0);
  assert_int_equal(t2_certificate_make_ca(NULL, "two", 1, &two.cert, &two.key), 0);
  assert_int_equal(t2_certificate_issue(NULL, t2_buf_cstr(&one.cert), t2_buf_cstr(&two.key), names, 1, 1,
                                        &server.cert, &server.key),
                   T2_ERR_INVALID);
  assert_int_equal(
      t2_certificate_issue(NULL, "nonsense", t2_buf_cstr(&two.key), names, 1, 1, &server.cert, &server.key),
      T2_ERR_INVALID);
  assert_int_equal(t2_certificate_issue(NULL, t2_buf_cstr(&one.cert), t2_buf_cstr(&one.key), names, 0, 1,
                                        &server.cert, &server.key),
                   T2_ERR_INVALID);
  pair_fini(&one);
  pair_fini(&two);
  pair_fini(&server);
}

static void test_more_names_than_there_is_room_for_are_refused(void **state) {
  enum { MANY = 100 };
  const char *names[MANY];
  pair ca, server;
  pair_init(&ca, NULL);
  pair_init(&server, NULL);
  for (size_t i = 0; i < MANY; i++)
    names[i] = "a-rather-long-name-of-a-server.test";
  assert_int_equal(t2_certificate_make_ca(NULL, "ca", 1, &ca.cert, &ca.key), 0);
  assert_int_equal(t2_certificate_issue(NULL, t2_buf_cstr(&ca.cert), t2_buf_cstr(&ca.key), names, MANY, 1,
                                        &server.cert, &server.key),
                   T2_ERR_INVALID);
  assert_int_equal(t2_certificate_issue(NULL, t2_buf_cstr(&ca.cert), t2_buf_cstr(&ca.key), names, MANY / 2, 1,
                                        &server.cert, &server.key),
                   0);
  pair_fini(&ca);
  pair_fini(&server);
}

static void make_both(t2_test_mem *mem, void *user) {
  const char *const names[] = {"a.test"};
  pair ca, server;
  (void)user;
  pair_init(&ca, &mem->hook);
  pair_init(&server, &mem->hook);
  int err = t2_certificate_make_ca(&mem->hook, "ca", 1, &ca.cert, &ca.key);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0 && t2_buf_cstr(&ca.cert) && t2_buf_cstr(&ca.key)) {
    err = t2_certificate_issue(&mem->hook, t2_buf_cstr(&ca.cert), t2_buf_cstr(&ca.key), names, 1, 1,
                               &server.cert, &server.key);
    assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  }
  pair_fini(&ca);
  pair_fini(&server);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(make_both, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_openssl_accepts_the_chain_strictly),
      cmocka_unit_test(test_openssl_accepts_addresses_and_wildcards),
      cmocka_unit_test(test_extensions_of_the_authority),
      cmocka_unit_test(test_extensions_of_the_server),
      cmocka_unit_test(test_days_are_counted_from_an_hour_ago),
      cmocka_unit_test(test_names_that_would_need_quoting_are_refused),
      cmocka_unit_test(test_a_key_that_is_not_the_authoritys_is_refused),
      cmocka_unit_test(test_more_names_than_there_is_room_for_are_refused),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, test_files_make, test_files_remove);
}
