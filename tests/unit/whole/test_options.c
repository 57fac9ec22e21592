#include <t2_test_mem.h>

#include <stdio.h>
#include <tunnel2/tunnel2.h>
#include <unistd.h>

/* Options of client and entry that name files: what t2_dev_state_make has made. */

static char dir[64];
static char detail[512];

static const char *path_of(const char *name) {
  static char paths[4][128];
  static unsigned next;
  char *path = paths[next++ % 4];
  assert_int_equal(t2_dev_state_path(dir, name, path, sizeof(paths[0])), 0);
  return path;
}

static int make_dir(void **state) {
  (void)state;
  snprintf(dir, sizeof(dir), "/tmp/t2-options-XXXXXX");
  return mkdtemp(dir) && t2_dev_state_make(dir, detail, sizeof(detail)) == 0 ? 0 : -1;
}

static int remove_dir(void **state) {
  static const char *const names[] = {T2_DEV_CA_FILE,  T2_DEV_CA_KEY_FILE, T2_DEV_CERT_FILE,
                                      T2_DEV_KEY_FILE, T2_DEV_TOKEN_FILE,  T2_DEV_TOKENS_FILE,
                                      "lock"};
  (void)state;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    unlink(path_of(names[i]));
  return rmdir(dir);
}

/* Makes a client by these options and closes it again: what t2_client_new said. */
static int try_client(const t2_client_options *options) {
  uv_loop_t loop;
  t2_client *client;
  assert_int_equal(uv_loop_init(&loop), 0);
  int err = t2_client_new(&client, &loop, options, detail, sizeof(detail));
  if (err) assert_null(client);
  if (err == 0) t2_client_close(client, NULL, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  return err;
}

static int try_entry(const t2_entry_options *options) {
  uv_loop_t loop;
  t2_entry *entry;
  assert_int_equal(uv_loop_init(&loop), 0);
  int err = t2_entry_new(&entry, &loop, options, detail, sizeof(detail));
  if (err) assert_null(entry);
  if (err == 0) t2_entry_close(entry, NULL, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  return err;
}

static t2_client_options client_options(void) {
  t2_client_options options;
  t2_client_options_init(&options);
  options.origin = "8000";
  return options;
}

static t2_entry_options entry_options(void) {
  t2_entry_options options;
  t2_entry_options_init(&options);
  options.public_address = options.uplink_address = "127.0.0.1:0";
  options.cert_file = path_of(T2_DEV_CERT_FILE);
  options.key_file = path_of(T2_DEV_KEY_FILE);
  options.ca_file = path_of(T2_DEV_CA_FILE);
  return options;
}

static void test_uplinks_weight_and_health_have_bounds(void **state) {
  t2_client_options good = client_options(), options;
  (void)state;
  good.dev_state_dir = dir;
  good.uplinks_min = good.uplinks_max = T2_CLIENT_UPLINKS_MAX;
  good.weight = T2_CLIENT_WEIGHT_MAX;
  good.health = "/health?deep";
  good.health_interval_ms = good.health_timeout_ms = 1;
  good.health_failures = good.health_passes = 1;
  good.connect_failures_max = 0;
  assert_int_equal(try_client(&good), 0);
  const struct {
    uint32_t min, max, weight, failures, passes;
    uint64_t interval, timeout;
    const char *health;
  } bad[] = {
      {0, 1, 1, 1, 1, 1, 1, "/"},    {2, 1, 1, 1, 1, 1, 1, "/"},       {1, 17, 1, 1, 1, 1, 1, "/"},
      {1, 1, 0, 1, 1, 1, 1, "/"},    {1, 1, 1001, 1, 1, 1, 1, "/"},    {1, 1, 1, 0, 1, 1, 1, "/"},
      {1, 1, 1, 1, 0, 1, 1, "/"},    {1, 1, 1, 1, 1, 0, 1, "/"},       {1, 1, 1, 1, 1, 1, 0, "/"},
      {1, 1, 1, 1, 1, 1, 1, "path"}, {1, 1, 1, 1, 1, 1, 1, "/a\r\nb"}, {1, 1, 1, 1, 1, 1, 1, ""},
  };
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    options = good;
    options.uplinks_min = bad[i].min;
    options.uplinks_max = bad[i].max;
    options.weight = bad[i].weight;
    options.health_failures = bad[i].failures;
    options.health_passes = bad[i].passes;
    options.health_interval_ms = bad[i].interval;
    options.health_timeout_ms = bad[i].timeout;
    options.health = bad[i].health;
    assert_int_equal(try_client(&options), T2_ERR_INVALID);
  }
  options = good;
  options.origin = "files:/tmp";
  assert_int_equal(try_client(&options), T2_ERR_INVALID);
  assert_string_equal(detail, "health: there is no origin to ask at this path");
}

static void test_client_finds_token_and_ca(void **state) {
  t2_client_options options = client_options();
  assert_int_equal(try_client(&options), T2_ERR_INVALID);
  assert_string_equal(detail, "a token is required");
  options.dev_state_dir = dir;
  assert_int_equal(try_client(&options), 0);
  options.ca_file = "/none/ca.pem";
  assert_int_equal(try_client(&options), T2_ERR_NOT_FOUND);
  assert_non_null(strstr(detail, "/none/ca.pem"));
  options.ca_file = NULL;
  options.token_file = "/none/token";
  assert_int_equal(try_client(&options), T2_ERR_NOT_FOUND);
  assert_non_null(strstr(detail, "/none/token"));
  options.token = "0123456789abcdef";
  assert_int_equal(try_client(&options), 0);
  options.token = NULL;
  options.token_file = path_of(T2_DEV_CA_FILE); /* whose first line is no token */
  assert_int_equal(try_client(&options), T2_ERR_INVALID);
}

static void count_end(t2_client *client, const t2_client_event *event, void *user) {
  if (event->type != T2_CLIENT_ENDED) return;
  assert_int_equal(event->error, 0);
  ++*(int *)user;
  t2_client_close(client, NULL, NULL);
}

/* Before it was started: it ends, once, and can't be started any more. */
static void test_client_is_drained_once_and_not_started_after(void **state) {
  t2_client_options options = client_options();
  uv_loop_t loop;
  t2_client *client;
  int ended = 0;
  options.dev_state_dir = dir;
  options.on_event = count_end;
  options.user = &ended;
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(t2_client_new(&client, &loop, &options, detail, sizeof(detail)), 0);
  t2_client_drain(client, 1000);
  t2_client_drain(client, 1000);
  assert_int_equal(t2_client_start(client), T2_ERR_STATE);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(ended, 1);
  assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_entry_finds_its_token(void **state) {
  t2_entry_options options = entry_options();
  assert_int_equal(try_entry(&options), T2_ERR_INVALID);
  options.token_file = path_of(T2_DEV_TOKEN_FILE);
  assert_int_equal(try_entry(&options), 0);
  options.token_file = "/none/token";
  assert_int_equal(try_entry(&options), T2_ERR_NOT_FOUND);
  assert_non_null(strstr(detail, "/none/token"));
}

/* A program that was built before there were these options. */
static void test_shorter_struct_has_none_of_them(void **state) {
  t2_client_options options = client_options();
  options.size = offsetof(t2_client_options, token_file);
  options.token = "0123456789abcdef";
  options.token_file = options.dev_state_dir = "/none";
  assert_int_equal(try_client(&options), 0);
}

static void new_client(t2_test_mem *mem, void *user) {
  t2_client_options options = client_options();
  options.allocator = &mem->hook;
  options.dev_state_dir = dir;
  int err = try_client(&options);
  if (err) assert_int_equal(err, T2_ERR_NOMEM);
  if (!mem->failed) assert_int_equal(err, 0);
}

static void new_entry(t2_test_mem *mem, void *user) {
  t2_entry_options options = entry_options();
  options.allocator = &mem->hook;
  options.token_file = path_of(T2_DEV_TOKEN_FILE);
  int err = try_entry(&options);
  if (err) assert_int_equal(err, T2_ERR_NOMEM);
  if (!mem->failed) assert_int_equal(err, 0);
}

static void test_each_allocation_may_fail(void **state) {
  t2_test_mem_fail_each(new_client, NULL);
  t2_test_mem_fail_each(new_entry, NULL);
}

#define in_dir(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      in_dir(test_uplinks_weight_and_health_have_bounds),
      in_dir(test_client_finds_token_and_ca),
      in_dir(test_client_is_drained_once_and_not_started_after),
      in_dir(test_entry_finds_its_token),
      in_dir(test_shorter_struct_has_none_of_them),
      in_dir(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
