#include <t2_test_mem.h>

#include <control/address.h>
#include <tunnel2/error.h>

static int check(const char *id, const char *uplink, const char *public_url, const char *domain,
                 const char **detail) {
  t2_announcement announcement = {t2_str_c(id), t2_str_c(uplink), t2_str_c(public_url), t2_str_c(domain),
                                  T2_STR_NULL};
  *detail = NULL;
  return t2_announcement_check(&announcement, detail);
}

static void test_announcements_that_are_fine(void **state) {
  const char *uplinks[] = {"https://h",
                           "https://entry.example.com:443",
                           "https://127.0.0.1:12001",
                           "https://[::1]:12001",
                           "https://[2001:db8::1]",
                           "https://h:65535/",
                           "http://10.0.0.1:12001"};
  const char *publics[] = {"http://h:80", "https://tunnels.example", "http://[::1]:80/"};
  const char *why;
  for (size_t i = 0; i < T2_COUNT_OF(uplinks); i++)
    assert_int_equal(check("e-1", uplinks[i], "http://h", "", &why), 0);
  for (size_t i = 0; i < T2_COUNT_OF(publics); i++)
    assert_int_equal(check("e-1", "https://h", publics[i], "a.b-c.example", &why), 0);
}

static void test_a_slash_at_the_end_is_taken_off(void **state) {
  t2_announcement announcement = {T2_STR("e-1"), T2_STR("https://h/"), T2_STR("http://h:1/"), T2_STR_NULL,
                                  T2_STR("https://h:2/")};
  const char *why;
  assert_int_equal(t2_announcement_check(&announcement, &why), 0);
  assert_true(t2_str_eq(announcement.uplink, T2_STR("https://h")));
  assert_true(t2_str_eq(announcement.public_url, T2_STR("http://h:1")));
  assert_true(t2_str_eq(announcement.public_tls, T2_STR("https://h:2")));
}

static void test_hosts_that_are_none_are_refused(void **state) {
  const char *bad[] = {"",
                       "h",
                       "https://",
                       "https://h:",
                       "https://h:0",
                       "https://h:65536",
                       "https://h:x",
                       "https://h/p",
                       "https://h//",
                       "https://h?q",
                       "https://u@h",
                       "https://.h",
                       "https://h.",
                       "https://a..b",
                       "https://-h",
                       "https://h-",
                       "https://a_b",
                       "https://h\"",
                       "https://[::1",
                       "https://[]",
                       "https://[1]",
                       "https://[::1]x",
                       "https://[::1]:",
                       "https://[fe80::1%eth0]",
                       "https://h:1:2",
                       "HTTPS://h",
                       "https://h\n"};
  const char *why;
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    assert_int_equal(check("e-1", bad[i], "http://h", "", &why), T2_ERR_INVALID);
    assert_non_null(strstr(why, "\"uplink\""));
  }
}

static void test_a_nul_in_a_host_is_no_part_of_it(void **state) {
  t2_announcement announcement = {T2_STR("e-1"), T2_STR("https://[::1\0]"), T2_STR("http://h"), T2_STR_NULL,
                                  T2_STR_NULL};
  const char *why;
  assert_int_equal(t2_announcement_check(&announcement, &why), T2_ERR_INVALID);
}

static void test_the_member_that_is_wrong_is_named(void **state) {
  const char *why;
  assert_int_equal(check("e", "https://h", "http://h", "", &why), T2_ERR_INVALID);
  assert_non_null(strstr(why, "\"id\""));
  assert_int_equal(check("e-1", "https://h", "", "", &why), T2_ERR_INVALID);
  assert_non_null(strstr(why, "\"public\""));
  assert_int_equal(check("e-1", "https://h", "ftp://h", "", &why), T2_ERR_INVALID);
  assert_non_null(strstr(why, "\"public\""));
  assert_int_equal(check("e-1", "https://h", "http://h", "a b", &why), T2_ERR_INVALID);
  assert_non_null(strstr(why, "\"domain\""));
}

/* "https://" and a name of so many characters. */
static t2_str long_url(char *text, size_t n) {
  memcpy(text, "https://", 8);
  for (size_t i = 8; i < n; i++)
    text[i] = i % 64 == 63 ? '.' : 'a';
  text[n] = '\0';
  return t2_str_of(text, n);
}

static void test_lengths_are_bounded(void **state) {
  char text[1024];
  const char *why;
  t2_announcement announcement = {T2_STR("e-1"), T2_STR("https://h"), T2_STR("http://h"), T2_STR_NULL,
                                  T2_STR_NULL};
  announcement.uplink = long_url(text, 8 + T2_STORE_DOMAIN_MAX);
  assert_int_equal(t2_announcement_check(&announcement, &why), 0);
  announcement.uplink = long_url(text, 9 + T2_STORE_DOMAIN_MAX);
  assert_int_equal(t2_announcement_check(&announcement, &why), T2_ERR_INVALID);
  announcement.uplink = T2_STR("https://h");
  memset(text, 'a', 64);
  announcement.domain = t2_str_of(text, 63);
  assert_int_equal(t2_announcement_check(&announcement, &why), 0);
  announcement.domain = t2_str_of(text, 64); /* one label */
  assert_int_equal(t2_announcement_check(&announcement, &why), T2_ERR_INVALID);
}

static void test_a_session_has_an_address_by_path_and_one_by_name(void **state) {
  char urls[T2_SESSION_URLS_MAX][T2_SESSION_URL_MAX];
  t2_store_entry entry = {.public_url = "http://127.0.0.1:12000", .domain = "localhost"};
  assert_int_equal(t2_session_urls(&entry, "web", urls), 2);
  assert_string_equal(urls[0], "http://127.0.0.1:12000/session/web/");
  assert_string_equal(urls[1], "http://web.localhost:12000/");
}

static void test_scheme_and_port_are_those_of_the_public_address(void **state) {
  char urls[T2_SESSION_URLS_MAX][T2_SESSION_URL_MAX];
  t2_store_entry entry = {.public_url = "https://[::1]:8443", .domain = "t.example"};
  assert_int_equal(t2_session_urls(&entry, "web", urls), 2);
  assert_string_equal(urls[1], "https://web.t.example:8443/");
  strcpy(entry.public_url, "https://t.example");
  assert_int_equal(t2_session_urls(&entry, "web", urls), 2);
  assert_string_equal(urls[1], "https://web.t.example/");
}

static void test_without_a_domain_there_is_no_address_by_name(void **state) {
  char urls[T2_SESSION_URLS_MAX][T2_SESSION_URL_MAX];
  t2_store_entry entry = {.public_url = "http://h"};
  assert_int_equal(t2_session_urls(&entry, "web", urls), 1);
}

static void test_names_of_ones_own_have_the_ports_of_both(void **state) {
  t2_name_site sites[T2_NAME_SITES_MAX];
  t2_store_entry entry = {.public_url = "http://[::1]:12000", .public_tls = "https://h:65535"};
  assert_int_equal(t2_name_sites(&entry, sites), 2);
  assert_false(sites[0].secure);
  assert_string_equal(sites[0].port, ":12000");
  assert_true(sites[1].secure);
  assert_string_equal(sites[1].port, ":65535");
  entry = (t2_store_entry){.public_url = "https://h"};
  assert_int_equal(t2_name_sites(&entry, sites), 1);
  assert_true(sites[0].secure);
  assert_string_equal(sites[0].port, "");
}

static void test_the_address_for_tls_is_one(void **state) {
  const char *const bad[] = {"http://h", "https://h/p", "h", "https://h:0"};
  t2_announcement announcement = {T2_STR("e-1"), T2_STR("https://h"), T2_STR("http://h"), T2_STR_NULL,
                                  T2_STR_NULL};
  const char *why;
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    announcement.public_tls = t2_str_c(bad[i]);
    assert_int_equal(t2_announcement_check(&announcement, &why), T2_ERR_INVALID);
    assert_non_null(strstr(why, "public_tls"));
  }
}

static void test_the_longest_addresses_fit(void **state) {
  char urls[T2_SESSION_URLS_MAX][T2_SESSION_URL_MAX], session[T2_SESSION_ID_MAX + 1];
  t2_store_entry entry = {0};
  memset(session, 's', T2_SESSION_ID_MAX);
  session[T2_SESSION_ID_MAX] = '\0';
  memset(entry.domain, 'd', T2_STORE_DOMAIN_MAX);
  memset(entry.public_url, 'h', T2_STORE_URL_MAX);
  memcpy(entry.public_url, "https://", 8);
  strcpy(entry.public_url + T2_STORE_URL_MAX - 6, ":65535");
  assert_int_equal(t2_session_urls(&entry, session, urls), 2);
  assert_int_equal(strlen(urls[0]), T2_STORE_URL_MAX + strlen("/session/") + T2_SESSION_ID_MAX + 1);
  assert_int_equal(strlen(urls[1]), 8 + T2_SESSION_ID_MAX + 1 + T2_STORE_DOMAIN_MAX + strlen(":65535") + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_announcements_that_are_fine),
      cmocka_unit_test(test_a_slash_at_the_end_is_taken_off),
      cmocka_unit_test(test_hosts_that_are_none_are_refused),
      cmocka_unit_test(test_a_nul_in_a_host_is_no_part_of_it),
      cmocka_unit_test(test_the_member_that_is_wrong_is_named),
      cmocka_unit_test(test_lengths_are_bounded),
      cmocka_unit_test(test_a_session_has_an_address_by_path_and_one_by_name),
      cmocka_unit_test(test_scheme_and_port_are_those_of_the_public_address),
      cmocka_unit_test(test_without_a_domain_there_is_no_address_by_name),
      cmocka_unit_test(test_names_of_ones_own_have_the_ports_of_both),
      cmocka_unit_test(test_the_address_for_tls_is_one),
      cmocka_unit_test(test_the_longest_addresses_fit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
