#include "fixture.h"

#include <base/file.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/certificate.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/token.h>

static char dir[64];
static char detail[512];

static const char *const files[] = {T2_DEV_CA_FILE,  T2_DEV_CA_KEY_FILE, T2_DEV_CERT_FILE,
                                    T2_DEV_KEY_FILE, T2_DEV_TOKEN_FILE,  T2_DEV_TOKENS_FILE};

static const char *path_of(const char *name) {
  static char paths[4][128];
  static unsigned next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
  return path;
}

static int make_dir(void **state) {
  snprintf(dir, sizeof(dir), "/tmp/t2-dev-XXXXXX");
  detail[0] = '\0';
  return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
  DIR *d = opendir(dir);
  if (!d) return -1;
  for (struct dirent *entry; (entry = readdir(d));)
    if (entry->d_name[0] != '.') unlink(path_of(entry->d_name));
  closedir(d);
  return rmdir(dir);
}

static int ensure(void) {
  return t2_dev_state_ensure(NULL, dir, detail, sizeof(detail));
}

static void read_all(const char *name, t2_buf *out) {
  t2_buf_init(out, NULL);
  assert_int_equal(t2_file_read(path_of(name), 65536, out), 0);
  assert_non_null(t2_buf_cstr(out));
}

static void read_each(t2_buf out[T2_COUNT_OF(files)]) {
  for (size_t i = 0; i < T2_COUNT_OF(files); i++)
    read_all(files[i], &out[i]);
}

static bool same(const t2_buf *a, const t2_buf *b) {
  return t2_buf_len(a) == t2_buf_len(b) && memcmp(t2_buf_head(a), t2_buf_head(b), t2_buf_len(a)) == 0;
}

static void free_each(t2_buf bufs[T2_COUNT_OF(files)]) {
  for (size_t i = 0; i < T2_COUNT_OF(files); i++)
    t2_buf_fini(&bufs[i]);
}

static void test_everything_is_made_for_its_owner_alone(void **state) {
  struct stat st;
  umask(0);
  assert_int_equal(ensure(), 0);
  assert_string_equal(detail, "");
  for (size_t i = 0; i < T2_COUNT_OF(files); i++) {
    assert_int_equal(stat(path_of(files[i]), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(st.st_size > 0);
  }
}

static void test_missing_directory_is_made_with_mode_0700(void **state) {
  char parent[64];
  struct stat st;
  memcpy(parent, dir, sizeof(parent));
  strcat(dir, "/below");
  assert_int_equal(ensure(), 0);
  assert_int_equal(stat(dir, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0700);
  assert_int_equal(remove_dir(state), 0);
  memcpy(dir, parent, sizeof(dir));
}

static void test_second_call_changes_nothing(void **state) {
  t2_buf before[T2_COUNT_OF(files)], after[T2_COUNT_OF(files)];
  assert_int_equal(ensure(), 0);
  read_each(before);
  assert_int_equal(ensure(), 0);
  read_each(after);
  for (size_t i = 0; i < T2_COUNT_OF(files); i++)
    assert_true(same(&before[i], &after[i]));
  free_each(before);
  free_each(after);
}

static void test_certificates_are_good_for_a_browser(void **state) {
  const char *const checks[][2] = {
      {"-verify_hostname", "localhost"}, {"-verify_ip", "127.0.0.1"}, {"-verify_ip", "::1"}};
  char out[4096];
  assert_int_equal(ensure(), 0);
  for (size_t i = 0; i < T2_COUNT_OF(checks); i++) {
    const char *const argv[] = {"openssl",
                                "verify",
                                "-x509_strict",
                                "-purpose",
                                "sslserver",
                                checks[i][0],
                                checks[i][1],
                                "-CAfile",
                                path_of(T2_DEV_CA_FILE),
                                path_of(T2_DEV_CERT_FILE),
                                NULL};
    if (test_run(argv, out, sizeof(out))) fail_msg("%s", out);
  }
}

static void test_token_opens_the_tokens_file_with_all_roles(void **state) {
  t2_buf token, file;
  t2_tokens tokens;
  assert_int_equal(ensure(), 0);
  read_all(T2_DEV_TOKEN_FILE, &token);
  read_all(T2_DEV_TOKENS_FILE, &file);
  assert_int_equal(t2_buf_len(&token), 44); /* 32 bytes, and a newline */
  t2_str text = t2_str_of((char *)t2_buf_head(&token), 43);
  t2_tokens_init(&tokens, NULL);
  assert_int_equal(t2_tokens_parse(&tokens, t2_str_of((char *)t2_buf_head(&file), t2_buf_len(&file)), detail,
                                   sizeof(detail)),
                   0);
  const t2_token *found = t2_tokens_check(&tokens, text);
  assert_non_null(found);
  assert_string_equal(found->owner, "dev");
  assert_int_equal(found->roles, T2_ROLE_CLIENT | T2_ROLE_ENTRY | T2_ROLE_ADMIN);
  assert_null(memmem(t2_buf_head(&file), t2_buf_len(&file), text.p, text.n));
  assert_int_equal(strncmp((char *)t2_buf_head(&file), "dev client,entry,admin sha256:", 30), 0);
  t2_tokens_fini(&tokens);
  t2_buf_fini(&token);
  t2_buf_fini(&file);
}

/* After the file is gone, which of the others are made anew? */
static void assert_made_anew(const char *gone, const bool anew[T2_COUNT_OF(files)]) {
  t2_buf before[T2_COUNT_OF(files)], after[T2_COUNT_OF(files)];
  assert_int_equal(ensure(), 0);
  read_each(before);
  assert_int_equal(unlink(path_of(gone)), 0);
  assert_int_equal(ensure(), 0);
  read_each(after);
  for (size_t i = 0; i < T2_COUNT_OF(files); i++)
    if (same(&before[i], &after[i]) == anew[i]) fail_msg("%s, after %s had gone", files[i], gone);
  free_each(before);
  free_each(after);
}

static void test_what_is_missing_is_made_with_what_hangs_on_it(void **state) {
  assert_made_anew(T2_DEV_CA_FILE, (const bool[]){true, true, true, true, false, false});
  assert_made_anew(T2_DEV_CA_KEY_FILE, (const bool[]){true, true, true, true, false, false});
  assert_made_anew(T2_DEV_CERT_FILE, (const bool[]){false, false, true, true, false, false});
  assert_made_anew(T2_DEV_KEY_FILE, (const bool[]){false, false, true, true, false, false});
  assert_made_anew(T2_DEV_TOKENS_FILE, (const bool[]){false, false, false, false, false, false});
  assert_made_anew(T2_DEV_TOKEN_FILE, (const bool[]){false, false, false, false, true, true});
}

static void test_certificate_that_runs_out_within_a_day_is_renewed_by_the_same_authority(void **state) {
  static const char *const names[] = {"localhost"};
  t2_buf ca, ca_key, cert, key, after;
  for (unsigned days = 0; days < 4; days++) {
    assert_int_equal(ensure(), 0);
    read_all(T2_DEV_CA_FILE, &ca);
    read_all(T2_DEV_CA_KEY_FILE, &ca_key);
    t2_buf_init(&cert, NULL);
    t2_buf_init(&key, NULL);
    assert_int_equal(t2_certificate_issue(NULL, (char *)t2_buf_head(&ca), (char *)t2_buf_head(&ca_key), names,
                                          1, days, &cert, &key),
                     0);
    assert_int_equal(t2_file_write(path_of(T2_DEV_CERT_FILE), t2_buf_head(&cert), t2_buf_len(&cert), 0600),
                     0);
    assert_int_equal(t2_file_write(path_of(T2_DEV_KEY_FILE), t2_buf_head(&key), t2_buf_len(&key), 0600), 0);
    assert_int_equal(ensure(), 0);
    read_all(T2_DEV_CERT_FILE, &after);
    assert_int_equal(same(&cert, &after), days >= 2); /* counted from an hour ago */
    t2_buf_fini(&after);
    read_all(T2_DEV_CA_FILE, &after);
    assert_true(same(&ca, &after));
    t2_buf_fini(&after);
    t2_buf_fini(&ca);
    t2_buf_fini(&ca_key);
    t2_buf_fini(&cert);
    t2_buf_fini(&key);
  }
}

static void test_tokens_of_others_stay(void **state) {
  t2_buf file;
  assert_int_equal(t2_file_write(path_of(T2_DEV_TOKENS_FILE), "ann client 0123456789abcdef\n", 28, 0600), 0);
  assert_int_equal(ensure(), 0);
  read_all(T2_DEV_TOKENS_FILE, &file);
  assert_non_null(strstr((char *)t2_buf_head(&file), "ann client sha256:"));
  assert_non_null(strstr((char *)t2_buf_head(&file), "dev client,entry,admin sha256:"));
  t2_buf_fini(&file);
}

/* ---- What is refused ---- */

static void assert_refused(int want, const char *words) {
  int err = ensure();
  if (err != want || !strstr(detail, words)) fail_msg("%d: %s (\"%s\" awaited)", err, detail, words);
}

static void test_directory_that_others_can_enter_is_refused(void **state) {
  const mode_t modes[] = {0755, 0770, 0701, 0710, 0707};
  for (size_t i = 0; i < T2_COUNT_OF(modes); i++) {
    assert_int_equal(chmod(dir, modes[i]), 0);
    assert_refused(T2_ERR_FORBIDDEN, "others can enter it");
    assert_int_equal(access(path_of(T2_DEV_CA_KEY_FILE), F_OK), -1);
  }
  assert_int_equal(chmod(dir, 0700), 0);
}

static void test_directory_of_another_user_is_refused(void **state) {
  if (chown(dir, 12345, (gid_t)-1)) skip();
  assert_refused(T2_ERR_FORBIDDEN, "it belongs to another user");
  assert_int_equal(chown(dir, geteuid(), (gid_t)-1), 0);
}

static void test_what_is_no_directory_is_refused(void **state) {
  char parent[64];
  memcpy(parent, dir, sizeof(parent));
  assert_int_equal(t2_file_write(path_of("file"), "", 0, 0600), 0);
  strcat(dir, "/file");
  assert_refused(T2_ERR_IO, "it cannot be made");
  memcpy(dir, parent, sizeof(dir));
}

static void test_tokens_file_that_is_wrong_is_named(void **state) {
  assert_int_equal(t2_file_write(path_of(T2_DEV_TOKENS_FILE), "nonsense\n", 9, 0600), 0);
  assert_refused(T2_ERR_INVALID, "tokens cannot be read: line 1");
}

static void test_token_that_is_none_is_named(void **state) {
  assert_int_equal(t2_file_write(path_of(T2_DEV_TOKEN_FILE), "short\n", 6, 0600), 0);
  assert_refused(T2_ERR_INVALID, "token holds no usable token");
}

static void test_lock_that_is_a_link_is_refused(void **state) {
  assert_int_equal(symlink("/tmp/t2-dev-nowhere", path_of("lock")), 0);
  assert_refused(T2_ERR_IO, "lock cannot be made");
  assert_int_equal(access("/tmp/t2-dev-nowhere", F_OK), -1);
}

/* ---- Several at once ---- */

static void test_processes_that_come_at_once_agree(void **state) {
  enum { N = 4 };
  pid_t pids[N];
  t2_buf cert, key;
  for (int i = 0; i < N; i++) {
    pids[i] = fork();
    assert_true(pids[i] >= 0);
    if (pids[i] == 0) _exit(ensure() ? 1 : 0);
  }
  for (int i = 0; i < N; i++) {
    int status;
    assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_int_equal(status, 0);
  }
  read_all(T2_DEV_CERT_FILE, &cert);
  read_all(T2_DEV_KEY_FILE, &key);
  assert_int_equal(ensure(), 0);
  t2_buf again;
  read_all(T2_DEV_CERT_FILE, &again);
  assert_true(same(&cert, &again)); /* so it fits the key and the authority */
  t2_buf_fini(&again);
  t2_buf_fini(&cert);
  t2_buf_fini(&key);
}

static void ensure_in_new_dir(t2_test_mem *mem, void *user) {
  char old[64];
  (void)user;
  memcpy(old, dir, sizeof(old));
  assert_int_equal(make_dir(NULL), 0);
  int err = t2_dev_state_ensure(&mem->hook, dir, detail, sizeof(detail));
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  if (err) assert_true(strlen(detail) > 0);
  assert_int_equal(ensure(), 0); /* whatever was left half done */
  assert_int_equal(remove_dir(NULL), 0);
  memcpy(dir, old, sizeof(dir));
}

static void test_missing_memory_is_told_and_what_is_left_is_mended(void **state) {
  t2_test_mem_fail_each_(ensure_in_new_dir, NULL, true);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_DIR(test_everything_is_made_for_its_owner_alone),
      IN_DIR(test_missing_directory_is_made_with_mode_0700),
      IN_DIR(test_second_call_changes_nothing),
      IN_DIR(test_certificates_are_good_for_a_browser),
      IN_DIR(test_token_opens_the_tokens_file_with_all_roles),
      IN_DIR(test_what_is_missing_is_made_with_what_hangs_on_it),
      IN_DIR(test_certificate_that_runs_out_within_a_day_is_renewed_by_the_same_authority),
      IN_DIR(test_tokens_of_others_stay),
      IN_DIR(test_directory_that_others_can_enter_is_refused),
      IN_DIR(test_directory_of_another_user_is_refused),
      IN_DIR(test_what_is_no_directory_is_refused),
      IN_DIR(test_tokens_file_that_is_wrong_is_named),
      IN_DIR(test_token_that_is_none_is_named),
      IN_DIR(test_lock_that_is_a_link_is_refused),
      IN_DIR(test_processes_that_come_at_once_agree),
      IN_DIR(test_missing_memory_is_told_and_what_is_left_is_mended),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
