#include <net/fixture.h>

#include <client/routes.h>
#include <stdio.h>
#include <tunnel2/error.h>

static void assert_check(const char *origin, const char *const *routes, size_t n, int want,
                         const char *words) {
  t2_client_options options = {.origin = origin, .routes = routes, .route_count = n};
  char detail[512] = "";
  int err = t2_client_routes_check(&options, detail, sizeof(detail));
  if (err != want || !strstr(detail, words)) fail_msg("%d: %s (\"%s\" awaited)", err, detail, words);
}

#define CHECK(origin, want, words, ...)                                                                      \
  assert_check(origin, (const char *const[]){__VA_ARGS__},                                                   \
               sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), want, words)

static void test_options_are_checked(void **state) {
  assert_check("8080", NULL, 0, 0, "");
  assert_check(NULL, NULL, 0, T2_ERR_INVALID, "an origin is required");
  CHECK(NULL, 0, "", "/=8080");
  CHECK("8080", 0, "", "/a=3000", "/a/b=h2c://x:1", "/c=files:.");
  CHECK("8080", T2_ERR_INVALID, "PREFIX=ORIGIN", "3000");
  CHECK("8080", T2_ERR_INVALID, "begins with /", "a=3000");
  CHECK("8080", T2_ERR_INVALID, "begins with /", "=3000");
  CHECK("8080", T2_ERR_INVALID, "begins with /", "/a?b=3000");
  CHECK("8080", T2_ERR_INVALID, "begins with /", "/a b=3000");
  CHECK("8080", T2_ERR_INVALID, "empty", "/a=");
  CHECK("8080", T2_ERR_UNSUPPORTED, "scheme", "/a=ftp://x");
  CHECK("8080", T2_ERR_INVALID, "two origins for /", "/=3000");
  CHECK(NULL, T2_ERR_INVALID, "two origins for /a/", "/a=1", "/b=2", "/a/=3");
}

static void test_number_and_length_are_bounded(void **state) {
  static char texts[T2_CLIENT_ROUTES_MAX + 1][16];
  const char *routes[T2_CLIENT_ROUTES_MAX + 1];
  for (int i = 0; i <= T2_CLIENT_ROUTES_MAX; i++) {
    snprintf(texts[i], sizeof(texts[i]), "/%d=80", i);
    routes[i] = texts[i];
  }
  assert_check("80", routes, T2_CLIENT_ROUTES_MAX, 0, "");
  assert_check("80", routes, T2_CLIENT_ROUTES_MAX + 1, T2_ERR_INVALID, "more than");
  char text[1200];
  memset(text, 'a', sizeof(text));
  text[0] = '/';
  memcpy(text + 1024, "=80", 4);
  CHECK("80", 0, "", text);
  text[1024] = 'a';
  memcpy(text + 1025, "=80", 4);
  CHECK("80", T2_ERR_INVALID, "prefix", text);
}

/* ---- Open ---- */

static bool gone;

static void on_gone(void *user) {
  assert_false(gone);
  gone = true;
}

static void assert_route(const t2_client_routes *routes, const char *path, const char *prefix) {
  const t2_client_route *route = t2_client_routes_find(routes, t2_str_c(path));
  if (!route != !prefix || (route && !t2_str_eq(route->prefix, t2_str_c(prefix)))) fail_msg("%s", path);
}

static void test_longest_prefix_at_the_end_of_a_segment_counts(void **state) {
  static const char *const texts[] = {"/api=3000", "/api/v2/=h2c://localhost:1", "/apis=unix:/x",
                                      "/files=files:."};
  t2_client_options options = {.origin = "8080", .routes = texts, .route_count = 4, .connect_timeout_ms = 1};
  t2_client_routes routes = {.on_gone = on_gone};
  test_loop tl;
  t2_proxy proxy;
  assert_true(test_loop_open(&tl, NULL, NULL));
  t2_proxy_init(&proxy, tl.loop, "test");
  assert_int_equal(t2_client_routes_open(&routes, &proxy, &options, NULL, 0), 0);
  const char *const cases[][2] = {
      {"/", ""},
      {"*", ""},
      {"", ""},
      {"/ap", ""},
      {"/api", "/api"},
      {"/api/", "/api"},
      {"/api?x", "/api"},
      {"/api/v2", "/api/v2"},
      {"/api/v2/x", "/api/v2"},
      {"/api/v22", "/api"},
      {"/apis", "/apis"},
      {"/apix", ""},
      {"/api#", ""},
      {"/x/api", ""},
      {"/files/a", "/files"},
  };
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++)
    assert_route(&routes, cases[i][0], cases[i][1]);
  assert_non_null(t2_client_routes_find(&routes, T2_STR("/files"))->files);
  assert_non_null(t2_client_routes_find(&routes, T2_STR("/api"))->origin);
  gone = false;
  t2_client_routes_close(&routes);
  RUN_UNTIL(&tl, gone);
  t2_client_routes_fini(&routes);
  t2_proxy_fini(&proxy);
  test_loop_close(&tl);
}

static void open_all(t2_test_mem *mem, void *user) {
  static const char *const texts[] = {"/a=3000", "/b=h2c://localhost:1", "/c=files:."};
  t2_client_options options = {.routes = texts, .route_count = 3, .connect_timeout_ms = 1};
  t2_client_routes routes = {.on_gone = on_gone};
  test_loop tl;
  t2_proxy proxy;
  (void)user;
  if (!test_loop_open(&tl, &mem->hook, NULL)) return;
  t2_proxy_init(&proxy, tl.loop, "test");
  int err = t2_client_routes_open(&routes, &proxy, &options, NULL, 0);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err == 0) assert_route(&routes, "/d", NULL);
  gone = routes.open == 0;
  t2_client_routes_close(&routes);
  RUN_UNTIL(&tl, gone);
  t2_client_routes_fini(&routes);
  t2_proxy_fini(&proxy);
  test_loop_close(&tl);
}

static void test_missing_memory_is_told(void **state) {
  t2_test_mem_fail_each(open_all, NULL);
}

static void test_directory_that_is_not_there_is_told(void **state) {
  t2_client_options options = {.origin = "files:/no/such/directory"};
  t2_client_routes routes = {.on_gone = on_gone};
  char detail[256] = "";
  test_loop tl;
  t2_proxy proxy;
  assert_true(test_loop_open(&tl, NULL, NULL));
  t2_proxy_init(&proxy, tl.loop, "test");
  assert_true(t2_client_routes_open(&routes, &proxy, &options, detail, sizeof(detail)) < 0);
  assert_non_null(strstr(detail, "/no/such/directory"));
  t2_client_routes_close(&routes);
  t2_client_routes_fini(&routes);
  t2_proxy_fini(&proxy);
  test_loop_close(&tl);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_options_are_checked),
      cmocka_unit_test(test_number_and_length_are_bounded),
      cmocka_unit_test(test_longest_prefix_at_the_end_of_a_segment_counts),
      cmocka_unit_test(test_missing_memory_is_told),
      cmocka_unit_test(test_directory_that_is_not_there_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
