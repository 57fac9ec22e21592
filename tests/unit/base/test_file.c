#include <t2_test_mem.h>

#include <base/file.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tunnel2/error.h>
#include <unistd.h>

/* Each test has a directory of its own under the system's temporary one; *state is its path. */
static int make_dir(void **state) {
  char *dir = strdup("/tmp/t2-test-file.XXXXXX");

  *state = dir;
  return dir && mkdtemp(dir) ? 0 : -1;
}

static void remove_tree(const char *path) {
  DIR *dir = opendir(path);

  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char *name = t2_path_join(NULL, path, entry->d_name);
    if (entry->d_type == DT_DIR)
      remove_tree(name);
    else
      unlink(name);
    t2_free(NULL, name);
  }
  if (dir) closedir(dir);
  rmdir(path);
}

static int drop_dir(void **state) {
  remove_tree(*state);
  free(*state);
  return 0;
}

static size_t count_files(const char *path) {
  DIR *dir = opendir(path);
  size_t n = 0;

  assert_non_null(dir);
  while (readdir(dir))
    n++;
  closedir(dir);
  return n - 2;
}

static mode_t mode_of(const char *path) {
  struct stat st;

  assert_int_equal(stat(path, &st), 0);
  return st.st_mode & 07777;
}

static void test_what_is_written_is_read(void **state) {
  char *path = t2_path_join(NULL, *state, "f");
  uint8_t bytes[10000];
  t2_buf buf;

  for (size_t i = 0; i < sizeof(bytes); i++)
    bytes[i] = (uint8_t)(i * 31);
  t2_buf_init(&buf, NULL);
  t2_buf_append_c(&buf, "before");
  assert_int_equal(t2_file_write(path, bytes, sizeof(bytes), 0640), 0);
  assert_int_equal(mode_of(path), 0640);
  assert_int_equal(t2_file_read(path, sizeof(bytes), &buf), 0);
  assert_int_equal(t2_buf_len(&buf), 6 + sizeof(bytes));
  assert_memory_equal(t2_buf_head(&buf) + 6, bytes, sizeof(bytes));
  assert_int_equal(t2_file_write(path, NULL, 0, 0600), 0);
  assert_int_equal(mode_of(path), 0600);
  t2_buf_reset(&buf);
  assert_int_equal(t2_file_read(path, 0, &buf), 0);
  assert_int_equal(t2_buf_len(&buf), 0);
  assert_int_equal(count_files(*state), 1);
  t2_buf_fini(&buf);
  t2_free(NULL, path);
}

static void test_the_limit_passes_and_one_more_does_not(void **state) {
  char *path = t2_path_join(NULL, *state, "f"), bytes[9000] = {0};
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  t2_buf_append_c(&buf, "before");
  for (size_t n = 1; n < sizeof(bytes); n += 4095) {
    assert_int_equal(t2_file_write(path, bytes, n, 0600), 0);
    assert_int_equal(t2_file_read(path, n - 1, &buf), T2_ERR_LIMIT);
    assert_string_equal(t2_buf_cstr(&buf), "before");
    assert_int_equal(t2_file_read(path, n, &buf), 0);
    buf.end -= n;
  }
  t2_buf_fini(&buf);
  t2_free(NULL, path);
}

static void test_what_cannot_be_read_says_why(void **state) {
  char *missing = t2_path_join(NULL, *state, "missing");
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  assert_int_equal(t2_file_read(missing, 100, &buf), T2_ERR_NOT_FOUND);
  assert_int_equal(t2_file_read(*state, 100, &buf), T2_ERR_IO);
  assert_false(buf.failed);
  t2_buf_fini(&buf);
  t2_free(NULL, missing);
}

static void read_file(t2_test_mem *mem, void *user) {
  t2_buf buf;

  t2_buf_init(&buf, &mem->hook);
  int rc = t2_file_read(user, 100000, &buf);
  assert_int_equal(rc, mem->failed ? T2_ERR_NOMEM : 0);
  t2_buf_fini(&buf);
}

static void test_reading_without_memory_says_so(void **state) {
  char *path = t2_path_join(NULL, *state, "f"), bytes[20000] = {0};

  assert_int_equal(t2_file_write(path, bytes, sizeof(bytes), 0600), 0);
  assert_true(t2_test_mem_fail_each(read_file, path) >= 2);
  t2_free(NULL, path);
}

static void test_create_never_replaces(void **state) {
  char *path = t2_path_join(NULL, *state, "token");
  t2_buf buf;

  t2_buf_init(&buf, NULL);
  assert_int_equal(t2_file_create(path, "first", 5, 0600), 0);
  assert_int_equal(t2_file_create(path, "second", 6, 0600), T2_ERR_CONFLICT);
  assert_int_equal(t2_file_read(path, 100, &buf), 0);
  assert_string_equal(t2_buf_cstr(&buf), "first");
  assert_int_equal(mode_of(path), 0600);
  assert_int_equal(count_files(*state), 1);
  t2_buf_fini(&buf);
  t2_free(NULL, path);
}

static void test_a_failed_write_leaves_no_trace(void **state) {
  char *dir = t2_path_join(NULL, *state, "dir"), *inside = t2_path_join(NULL, dir, "f");

  assert_int_equal(t2_file_write(inside, "x", 1, 0600), T2_ERR_IO);
  assert_int_equal(t2_file_create(inside, "x", 1, 0600), T2_ERR_IO);
  assert_int_equal(t2_mkdir(dir, 0700), 0);
  assert_int_equal(t2_file_write(dir, "x", 1, 0600), T2_ERR_IO);
  assert_int_equal(t2_file_create(dir, "x", 1, 0600), T2_ERR_CONFLICT);
  assert_int_equal(count_files(*state), 1);
  t2_free(NULL, inside);
  t2_free(NULL, dir);
}

static void test_mkdir_makes_the_parents_and_is_content_with_what_is_there(void **state) {
  char *a = t2_path_join(NULL, *state, "a"), *b = t2_path_join(NULL, a, "b//c/"),
       *f = t2_path_join(NULL, a, "f");
  char *under = t2_path_join(NULL, f, "x");

  assert_int_equal(t2_mkdir(b, 0700), 0);
  assert_int_equal(mode_of(b), 0700);
  assert_int_equal(t2_mkdir(b, 0755), 0);
  assert_int_equal(mode_of(b), 0700);
  assert_int_equal(t2_mkdir("/", 0755), 0);
  assert_int_equal(t2_mkdir("", 0755), T2_ERR_IO);
  assert_int_equal(t2_file_write(f, "x", 1, 0600), 0);
  assert_int_equal(t2_mkdir(f, 0755), T2_ERR_IO);
  assert_int_equal(t2_mkdir(under, 0755), T2_ERR_IO);
  t2_free(NULL, under);
  t2_free(NULL, f);
  t2_free(NULL, b);
  t2_free(NULL, a);
}

static void test_paths_are_joined_by_one_slash(void **state) {
  static const char *const cases[][3] = {{"dir", "name", "dir/name"},
                                         {"dir/", "name", "dir/name"},
                                         {"/", "name", "/name"},
                                         {"", "name", "name"}};

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    char *path = t2_path_join(NULL, cases[i][0], cases[i][1]);
    assert_string_equal(path, cases[i][2]);
    t2_free(NULL, path);
  }
}

static void test_timestamps_are_utc_with_milliseconds(void **state) {
  static const struct {
    int64_t ms;
    const char *text;
  } cases[] = {{0, "1970-01-01T00:00:00.000Z"},
               {-1, "1969-12-31T23:59:59.999Z"},
               {1767323045678, "2026-01-02T03:04:05.678Z"},
               {951782400000, "2000-02-29T00:00:00.000Z"},
               {253402300799999, "9999-12-31T23:59:59.999Z"},
               {253402300800000, "9999-12-31T23:59:59.999Z"},
               {INT64_MAX, "9999-12-31T23:59:59.999Z"},
               {INT64_MIN, "0000-01-01T00:00:00.000Z"}};
  char text[T2_TIMESTAMP_LEN + 1];

  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    t2_timestamp(cases[i].ms, text);
    assert_string_equal(text, cases[i].text);
  }
}

static void test_clocks_go_forward(void **state) {
  uint64_t before = t2_clock_mono_ms();

  assert_true(t2_clock_mono_ms() >= before);
  assert_true(t2_clock_wall_ms() > 1700000000000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_what_is_written_is_read, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_the_limit_passes_and_one_more_does_not, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_what_cannot_be_read_says_why, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_reading_without_memory_says_so, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_create_never_replaces, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_a_failed_write_leaves_no_trace, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_mkdir_makes_the_parents_and_is_content_with_what_is_there,
                                      make_dir, drop_dir),
      cmocka_unit_test(test_paths_are_joined_by_one_slash),
      cmocka_unit_test(test_timestamps_are_utc_with_milliseconds),
      cmocka_unit_test(test_clocks_go_forward),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
