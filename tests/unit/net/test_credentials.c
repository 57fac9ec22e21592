#include <t2_test_mem.h>

#include <base/file.h>
#include <limits.h>
#include <net/credentials.h>
#include <stdio.h>
#include <tunnel2/dev.h>
#include <unistd.h>

#define TOKEN "0123456789abcdef"

static char dir[64];
static char detail[512];

static const char *path_of(const char *name) {
  static char paths[2][128];
  static unsigned next;
  char *path = paths[next++ % 2];
  snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
  return path;
}

static int make_dir(void **state) {
  snprintf(dir, sizeof(dir), "/tmp/t2-cred-XXXXXX");
  return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
  unlink(path_of(T2_DEV_TOKEN_FILE));
  unlink(path_of("other"));
  return rmdir(dir);
}

static void write_file(const char *name, const char *text) {
  assert_int_equal(t2_file_write(path_of(name), text, strlen(text), 0600), 0);
}

static void expect(const t2_credential_options *options, const char *token, const char *ca_file) {
  t2_credentials c;
  assert_int_equal(t2_credentials_read(&c, NULL, options, detail, sizeof(detail)), 0);
  if (token) assert_string_equal(c.token, token);
  if (!token) assert_null(c.token);
  if (ca_file) assert_string_equal(c.ca_file, ca_file);
  if (!ca_file) assert_null(c.ca_file);
  t2_credentials_fini(&c);
}

static void expect_refused(const t2_credential_options *options, int err, const char *said) {
  t2_credentials c;
  assert_int_equal(t2_credentials_read(&c, NULL, options, detail, sizeof(detail)), err);
  assert_non_null(strstr(detail, said));
  assert_null(c.token);
  assert_null(c.ca_file);
}

static void test_what_is_given_wins(void **state) {
  write_file(T2_DEV_TOKEN_FILE, "the one of the directory\n");
  write_file("other", TOKEN "\r\nmore\n");
  expect(&(t2_credential_options){0}, NULL, NULL);
  expect(&(t2_credential_options){.token = TOKEN, .token_file = "/none", .ca_file = "ca"}, TOKEN, "ca");
  expect(&(t2_credential_options){.token_file = path_of("other"), .dev_state_dir = dir}, TOKEN,
         path_of(T2_DEV_CA_FILE));
  expect(&(t2_credential_options){.dev_state_dir = dir, .ca_file = "ca"}, "the one of the directory", "ca");
  expect(&(t2_credential_options){.dev_state_dir = dir}, "the one of the directory", path_of(T2_DEV_CA_FILE));
}

static void test_file_that_is_not_good_is_named(void **state) {
  char *large = calloc(1, 5000);
  memset(large, 'x', 4999);
  expect_refused(&(t2_credential_options){.token_file = "/none/token"}, T2_ERR_NOT_FOUND,
                 "token file /none/token: ");
  expect_refused(&(t2_credential_options){.dev_state_dir = dir}, T2_ERR_NOT_FOUND,
                 path_of(T2_DEV_TOKEN_FILE));
  write_file("other", "");
  expect_refused(&(t2_credential_options){.token_file = path_of("other")}, T2_ERR_INVALID, path_of("other"));
  write_file("other", "\r\n" TOKEN "\n");
  expect_refused(&(t2_credential_options){.token_file = path_of("other")}, T2_ERR_INVALID, "no token");
  write_file("other", large);
  expect_refused(&(t2_credential_options){.token_file = path_of("other")}, T2_ERR_LIMIT, path_of("other"));
  free(large);
}

static void test_default_directory(void **state) {
  char path[PATH_MAX], expected[PATH_MAX];
  setenv("XDG_STATE_HOME", dir, 1);
  snprintf(expected, sizeof(expected), "%s/tunnel2/token", dir);
  assert_int_equal(t2_dev_state_path("", T2_DEV_TOKEN_FILE, path, sizeof(path)), 0);
  assert_string_equal(path, expected);
  expect_refused(&(t2_credential_options){.dev_state_dir = ""}, T2_ERR_NOT_FOUND, expected);
  setenv("XDG_STATE_HOME", "not/absolute", 1);
  setenv("HOME", "/home/somebody", 1);
  assert_int_equal(t2_dev_state_path(NULL, NULL, path, sizeof(path)), 0);
  assert_string_equal(path, "/home/somebody/.local/state/tunnel2");
  assert_int_equal(t2_dev_state_path(NULL, NULL, path, strlen(path) + 1), 0);
  assert_int_equal(t2_dev_state_path(NULL, NULL, path, strlen(path)), T2_ERR_LIMIT);
  assert_string_equal(path, "");
}

static void read_all(t2_test_mem *mem, void *user) {
  t2_credential_options options = {.dev_state_dir = dir};
  t2_credentials c;
  int err = t2_credentials_read(&c, &mem->hook, &options, detail, sizeof(detail));
  assert_int_equal(err, mem->failed ? T2_ERR_NOMEM : 0);
  t2_credentials_fini(&c);
}

static void test_each_allocation_may_fail(void **state) {
  write_file(T2_DEV_TOKEN_FILE, TOKEN "\n");
  t2_test_mem_fail_each(read_all, NULL);
}

#define in_dir(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      in_dir(test_what_is_given_wins),
      in_dir(test_file_that_is_not_good_is_named),
      in_dir(test_default_directory),
      in_dir(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
