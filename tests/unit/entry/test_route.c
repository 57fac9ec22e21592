#include <t2_test_mem.h>

#include <entry/route.h>
#include <stdio.h>
#include <tunnel2/error.h>

typedef struct address {
  const char *authority, *path;
  const char *session; /* NULL: of none */
  const char *origin_path, *prefix;
} address;

/* At an entry that knows no session. */
static int find(const t2_head *head, t2_str domain, t2_route *route, t2_buf *text) {
  const t2_route_site here = {domain, T2_STR("east"), {T2_STR_NULL}};
  t2_entry_sessions none;
  t2_entry_session *session;
  t2_entry_sessions_init(&none, NULL);
  int err = t2_route_find(head, &here, &none, 0, route, text, &session);
  assert_null(session);
  t2_entry_sessions_fini(&none);
  return err;
}

static void check(const address *a, t2_str domain) {
  t2_head head = {.authority = t2_str_c(a->authority), .path = t2_str_c(a->path)};
  t2_route route;
  t2_buf text;
  t2_buf_init(&text, NULL);
  int err = find(&head, domain, &route, &text);
  if (!a->session) {
    if (err != T2_ERR_NOT_FOUND) print_error("found: %s %s\n", a->authority, a->path);
    assert_int_equal(err, T2_ERR_NOT_FOUND);
  } else {
    assert_int_equal(err, 0);
    assert_string_equal(route.session, a->session);
    assert_true(t2_str_eq(route.path, t2_str_c(a->origin_path)));
    assert_true(t2_str_eq(route.prefix, t2_str_c(a->prefix)));
  }
  t2_buf_fini(&text);
}

static void test_addresses_by_path(void **state) {
  const address cases[] = {
      {"h", "/session/main/", "main", "/", "/session/main"},
      {"h", "/session/main", "main", "/", "/session/main"},
      {"h", "/session/main?q=1", "main", "/?q=1", "/session/main"},
      {"h", "/session/main/a/b?c", "main", "/a/b?c", "/session/main"},
      {"h", "/session/main//x", "main", "//x", "/session/main"},
      {"h", "/session/main/session/other/", "main", "/session/other/", "/session/main"},
      {"h", "/session/00000000-0000-4000-8000-000000000000/", "00000000-0000-4000-8000-000000000000", "/",
       "/session/00000000-0000-4000-8000-000000000000"},
      {"h", "/", NULL, NULL, NULL},
      {"h", "", NULL, NULL, NULL},
      {"h", "*", NULL, NULL, NULL},
      {"h", "/session", NULL, NULL, NULL},
      {"h", "/session/", NULL, NULL, NULL},
      {"h", "/session/ab/", NULL, NULL, NULL},
      {"h", "/session//main/", NULL, NULL, NULL},
      {"h", "/session/NOT!valid/", NULL, NULL, NULL},
      {"h", "/session/main%2f", NULL, NULL, NULL},
      {"h", "/session/../session/main/", NULL, NULL, NULL},
      {"h", "/Session/main/", NULL, NULL, NULL},
      {"h", "/sessions/main/", NULL, NULL, NULL},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    check(&cases[i], T2_STR("localhost"));
}

static void test_addresses_by_name(void **state) {
  const address cases[] = {
      {"main.localhost", "/", "main", "/", ""},
      {"main.localhost:12000", "/p?q", "main", "/p?q", ""},
      {"MAIN.LocalHost", "/", "main", "/", ""},
      {"main.localhost.", "/", "main", "/", ""},
      {"main.localhost", "*", "main", "*", ""},
      /* A name is the application's whole address: also what looks like another's address by path. */
      {"main.localhost", "/session/other/", "main", "/session/other/", ""},
      {"other.example", "/session/main/", "main", "/", "/session/main"},
      {"localhost", "/", NULL, NULL, NULL},
      {".localhost", "/", NULL, NULL, NULL},
      {"ab.localhost", "/", NULL, NULL, NULL},
      {"a.b.localhost", "/", NULL, NULL, NULL},
      {"mainlocalhost", "/", NULL, NULL, NULL},
      {"main.localhos", "/", NULL, NULL, NULL},
      {"main.localhost.example", "/", NULL, NULL, NULL},
      {"-main.localhost", "/", NULL, NULL, NULL},
      {"[::1]:80", "/", NULL, NULL, NULL},
      {"", "/", NULL, NULL, NULL},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    check(&cases[i], T2_STR("localhost"));
}

static void test_names_are_bounded_exactly(void **state) {
  char label[80], host[100], path[100];
  for (size_t n = T2_SESSION_ID_MAX; n <= T2_SESSION_ID_MAX + 1; n++) {
    memset(label, 'x', n);
    label[n] = '\0';
    snprintf(host, sizeof(host), "%s.localhost", label);
    snprintf(path, sizeof(path), "/session/%s/", label);
    t2_head by_name = {.authority = t2_str_c(host), .path = T2_STR("/")};
    t2_head by_path = {.authority = T2_STR("h"), .path = t2_str_c(path)};
    t2_route route;
    int expected = n > T2_SESSION_ID_MAX ? T2_ERR_NOT_FOUND : 0;
    assert_int_equal(find(&by_name, T2_STR("localhost"), &route, NULL), expected);
    assert_int_equal(find(&by_path, T2_STR("localhost"), &route, NULL), expected);
  }
}

static void test_without_a_domain_there_are_no_names(void **state) {
  check(&(address){"main.localhost", "/", NULL, NULL, NULL}, T2_STR_NULL);
  check(&(address){"main.", "/", NULL, NULL, NULL}, T2_STR_NULL);
  check(&(address){"main.localhost", "/session/main/", "main", "/", "/session/main"}, T2_STR_NULL);
}

/* ---- The order ---- */

static t2_entry_uplink *some_uplink(void) {
  static const char place[1];
  return (t2_entry_uplink *)(uintptr_t)place;
}

static void add(t2_entry_sessions *sessions, const char *id, const char *hostname, int64_t issued_at) {
  t2_ticket ticket = {.issued_at = issued_at, .terms = {.hostname_count = hostname ? 1 : 0}};
  t2_entry_session *session;
  snprintf(ticket.session, sizeof(ticket.session), "%s", id);
  if (hostname) snprintf(ticket.terms.hostnames[0], sizeof(ticket.terms.hostnames[0]), "%s", hostname);
  assert_int_equal(t2_entry_sessions_attach(sessions, &ticket, 1000, some_uplink(), &session), 0);
  t2_entry_sessions_detach(sessions, session, some_uplink());
}

static const t2_route_site site = {
    T2_STR("tun.example"), T2_STR("east"), {T2_STR("Gate.example"), T2_STR("up.example")}};

static const char *found(t2_entry_sessions *sessions, const char *authority, const char *path,
                         const char *prefix) {
  t2_head head = {.authority = t2_str_c(authority), .path = t2_str_c(path)};
  t2_entry_session *session;
  t2_route route;
  t2_buf text;
  t2_buf_init(&text, NULL);
  int err = t2_route_find(&head, &site, sessions, 0, &route, &text, &session);
  assert_true(err == 0 || err == T2_ERR_NOT_FOUND);
  if (err == 0) assert_true(t2_str_eq(route.prefix, t2_str_c(prefix)));
  t2_buf_fini(&text);
  return err ? "(no address)" : session ? session->id : "(unknown)";
}

static void test_order_of_the_addresses(void **state) {
  const struct {
    const char *authority, *path, *session, *prefix;
  } cases[] = {
      {"shop.tun.example", "/", "shop", ""},
      /* The entry's name behind the session's. */
      {"shop-east.tun.example", "/", "shop", ""},
      {"SHOP-East.tun.example:80", "/", "shop", ""},
      {"shop-west.tun.example", "/", "(unknown)", ""},
      {"shopeast.tun.example", "/", "(unknown)", ""},
      {"shop--east.tun.example", "/", "(unknown)", ""},
      {"east.tun.example", "/", "(unknown)", ""},
      {"ab-east.tun.example", "/", "(unknown)", ""},
      {"shop-east-east.tun.example", "/", "(unknown)", ""},
      /* A session of that whole name comes first. */
      {"news-east.tun.example", "/", "news-east", ""},
      {"news-east-east.tun.example", "/", "news-east", ""},
      {"news.tun.example", "/", "news", ""},
      /* Names of their own. */
      {"www.example.com", "/session/news/", "shop", ""},
      {"WWW.Example.com.:8080", "/", "shop", ""},
      {"www.example.com.evil.test", "/", "(no address)", ""},
      {"example.com", "/", "(no address)", ""},
      {"sub.www.example.com", "/", "(no address)", ""},
      {"xtun.example", "/", "other", ""},
      /* Below the domain there are none, whoever asked for it. */
      {"thief.tun.example", "/", "(unknown)", ""},
      {"a.thief.tun.example", "/", "(no address)", ""},
      {"tun.example", "/", "(no address)", ""},
      /* The path, last: on a name it is the application's. */
      {"elsewhere.test", "/session/news/x", "news", "/session/news"},
      {"elsewhere.test", "/session/news-east/x", "news-east", "/session/news-east"},
      {"elsewhere.test", "/session/shop-east/x", "(unknown)", "/session/shop-east"},
      {"tun.example", "/session/shop", "shop", "/session/shop"},
      {"nobody.tun.example", "/session/shop/", "(unknown)", ""},
  };
  t2_entry_sessions sessions;
  t2_entry_sessions_init(&sessions, NULL);
  add(&sessions, "shop", "www.example.com", 1);
  add(&sessions, "news", NULL, 1);
  add(&sessions, "news-east", "a.thief.tun.example", 1);
  add(&sessions, "other", "xtun.example", 1);
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    const char *id = found(&sessions, cases[i].authority, cases[i].path, cases[i].prefix);
    if (strcmp(id, cases[i].session) != 0) print_error("%s %s: %s\n", cases[i].authority, cases[i].path, id);
    assert_string_equal(id, cases[i].session);
  }
  t2_entry_sessions_fini(&sessions);
}

static void test_a_name_is_the_newest_tickets(void **state) {
  t2_entry_sessions sessions;
  t2_entry_sessions_init(&sessions, NULL);
  add(&sessions, "one", "www.example.com", 10);
  add(&sessions, "two", "www.example.com", 9);
  assert_string_equal(found(&sessions, "www.example.com", "/", ""), "one");
  add(&sessions, "two", "www.example.com", 11);
  assert_string_equal(found(&sessions, "www.example.com", "/", ""), "two");
  add(&sessions, "one", NULL, 12); /* which takes nothing from the other */
  assert_string_equal(found(&sessions, "www.example.com", "/", ""), "two");
  add(&sessions, "two", "new.example.com", 13);
  assert_string_equal(found(&sessions, "www.example.com", "/", ""), "(no address)");
  assert_string_equal(found(&sessions, "new.example.com", "/", ""), "two");
  t2_entry_sessions_sweep(&sessions, 2000);
  assert_string_equal(found(&sessions, "new.example.com", "/", ""), "(no address)");
  assert_int_equal(sessions.hosts.count, 0);
  t2_entry_sessions_fini(&sessions);
}

static void test_the_entrys_own_names_are_nobodys(void **state) {
  t2_entry_sessions sessions;
  t2_entry_sessions_init(&sessions, NULL);
  add(&sessions, "thief", "gate.example", 1);
  assert_string_equal(found(&sessions, "gate.example", "/", ""), "(no address)");
  assert_string_equal(found(&sessions, "GATE.example:80", "/session/thief/", "/session/thief"), "thief");
  add(&sessions, "thief", "up.example", 2);
  assert_string_equal(found(&sessions, "up.example.", "/", ""), "(no address)");
  add(&sessions, "thief", "x.gate.example", 3);
  assert_string_equal(found(&sessions, "x.gate.example", "/", ""), "thief");
  t2_entry_sessions_fini(&sessions);
}

static void test_a_name_alone_is_found_as_a_host_is(void **state) {
  const char *const cases[][2] = {{"www.example.com", "shop"},
                                  {"WWW.Example.com", "shop"},
                                  {"shop.tun.example", "shop"},
                                  {"shop-east.tun.example", "shop"},
                                  {"shop-west.tun.example", NULL},
                                  {"thief.tun.example", NULL},
                                  {"tun.example", NULL},
                                  {"example.com", NULL},
                                  {"x.www.example.com", NULL},
                                  {"gate.example", NULL},
                                  {"", NULL}};
  t2_entry_sessions sessions;
  t2_entry_sessions_init(&sessions, NULL);
  assert_null(t2_route_find_name(T2_STR("www.example.com"), &site, &sessions, 0));
  add(&sessions, "shop", "www.example.com", 1);
  add(&sessions, "other", "gate.example", 1);
  add(&sessions, "third", "thief.tun.example", 1);
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    const t2_entry_session *session = t2_route_find_name(t2_str_c(cases[i][0]), &site, &sessions, 0);
    if (cases[i][1])
      assert_string_equal(session->id, cases[i][1]);
    else
      assert_null(session);
  }
  assert_null(t2_route_find_name(T2_STR("www.example.com"), &site, &sessions, 2000)); /* forgotten */
  t2_entry_sessions_fini(&sessions);
}

static void find_with_query(t2_test_mem *mem, void *user) {
  t2_head head = {.authority = T2_STR("h"), .path = T2_STR("/session/main?q")};
  t2_route route;
  t2_buf text;
  t2_buf_init(&text, &mem->hook);
  int err = find(&head, T2_STR("localhost"), &route, &text);
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  t2_buf_fini(&text);
}

static void test_each_failure(void **state) {
  assert_int_equal(t2_test_mem_fail_each(find_with_query, NULL), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_addresses_by_path),
      cmocka_unit_test(test_addresses_by_name),
      cmocka_unit_test(test_names_are_bounded_exactly),
      cmocka_unit_test(test_without_a_domain_there_are_no_names),
      cmocka_unit_test(test_order_of_the_addresses),
      cmocka_unit_test(test_a_name_is_the_newest_tickets),
      cmocka_unit_test(test_the_entrys_own_names_are_nobodys),
      cmocka_unit_test(test_a_name_alone_is_found_as_a_host_is),
      cmocka_unit_test(test_each_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
