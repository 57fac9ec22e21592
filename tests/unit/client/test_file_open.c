#include <t2_test_mem.h>

#include "directory.h"

#include <client/file_open.h>
#include <errno.h>

static void assert_open(const directory *d, const char *path, bool opens) {
  int fd = t2_file_open_beneath(d->fd, path);
  if ((fd >= 0) != opens) fail_msg("%s: %d", path, fd);
  if (fd >= 0) close(fd);
}

static void test_nothing_outside_is_opened(void **state) {
  directory d;
  int before = descriptors();
  directory_make(&d);
  directory_file(&d, "file", "x");
  directory_folder(&d, "sub");
  directory_file(&d, "sub/file", "x");
  directory_link(&d, "in", "sub/file");
  directory_link(&d, "out", "../../etc/passwd");
  directory_link(&d, "absolute", "/etc/passwd");
  directory_link(&d, "sub/up", "..");
  directory_link(&d, "sub/upup", "../..");
  directory_link(&d, "loop", "loop");
  assert_open(&d, ".", true);
  assert_open(&d, "file", true);
  assert_open(&d, "sub", true);
  assert_open(&d, "sub/file", true);
  assert_open(&d, "in", true);
  assert_open(&d, "sub/up/file", true);
  assert_open(&d, "out", false);
  assert_open(&d, "absolute", false);
  assert_open(&d, "sub/upup", false);
  assert_open(&d, "sub/upup/etc", false);
  assert_open(&d, "loop", false);
  assert_open(&d, "..", false);
  assert_open(&d, "../etc", false);
  assert_open(&d, "/etc/passwd", false);
  assert_open(&d, "file/x", false);
  assert_int_equal(t2_file_open_beneath(d.fd, "none"), -ENOENT);
  directory_remove(&d);
  assert_int_equal(descriptors(), before);
}

static void test_pipes_do_not_block(void **state) {
  directory d;
  directory_make(&d);
  assert_int_equal(mkfifoat(d.fd, "pipe", 0600), 0);
  assert_open(&d, "pipe", true);
  directory_remove(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_outside_is_opened),
      cmocka_unit_test(test_pipes_do_not_block),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
