#include <t2_test_mem.h>

#include "directory.h"

#include <client/listing.h>
#include <tunnel2/error.h>

/* A descriptor of its own, which the listing closes. */
static int reopen(const directory *d) {
  return openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_names_are_escaped_and_sorted(void **state) {
  directory d;
  t2_buf page;
  int before = descriptors();
  directory_make(&d);
  directory_file(&d, "b", "");
  directory_file(&d, "a<b>&\"'", "");
  directory_file(&d, "c d%:?#", "");
  directory_file(&d, ".hidden", "");
  directory_folder(&d, "folder");
  t2_buf_init(&page, NULL);
  assert_int_equal(t2_listing_write(d.fd, ".", reopen(&d), T2_STR("/x<y/"), &page), 0);
  const char *text = t2_buf_cstr(&page);
  assert_non_null(strstr(text, "<title>Index of /x&#60;y/</title>"));
  const char *first = strstr(text, "<li><a href=\"./a%3Cb%3E%26%22%27\">a&#60;b&#62;&#38;&#34;&#39;</a>");
  const char *second = strstr(text, "<li><a href=\"./b\">b</a>");
  const char *third = strstr(text, "<li><a href=\"./c%20d%25%3A%3F%23\">c d%:?#</a>");
  assert_true(first && second && third && first < second && second < third);
  assert_non_null(strstr(text, "<a href=\"./folder/\">folder/</a>"));
  assert_non_null(strstr(text, "<a href=\"../\">"));
  assert_null(strstr(text, "hidden"));
  t2_buf_fini(&page);
  directory_remove(&d);
  assert_int_equal(descriptors(), before);
}

static void test_links_are_named_that_lead_to_something_below_the_root(void **state) {
  directory d;
  t2_buf page;
  int before = descriptors();
  directory_make(&d);
  directory_file(&d, "file", "");
  directory_folder(&d, "folder");
  directory_link(&d, "folder/up", "../file");
  directory_link(&d, "folder/over", "../folder");
  directory_link(&d, "folder/out", "../../");
  directory_link(&d, "folder/absolute", "/etc/passwd");
  directory_link(&d, "folder/broken", "nothing");
  directory_link(&d, "folder/loop", "loop");
  t2_buf_init(&page, NULL);
  int folder = openat(d.fd, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_int_equal(t2_listing_write(d.fd, "folder", folder, T2_STR("/folder/"), &page), 0);
  const char *text = t2_buf_cstr(&page);
  assert_non_null(strstr(text, "<a href=\"../\">../</a>\n<li><a href=\"./over/\">over/</a>\n"
                               "<li><a href=\"./up\">up</a>\n</ul>"));
  t2_buf_fini(&page);
  directory_remove(&d);
  assert_int_equal(descriptors(), before);
}

static void test_entries_are_bounded(void **state) {
  directory d;
  t2_buf page;
  size_t entries = 0;
  directory_make(&d);
  for (size_t i = 0; i <= T2_LISTING_MAX; i++) {
    char name[32];
    snprintf(name, sizeof(name), "file-%zu", i);
    directory_file(&d, name, "");
    if (i + 1 < T2_LISTING_MAX) continue;
    t2_buf_init(&page, NULL);
    assert_int_equal(t2_listing_write(d.fd, ".", reopen(&d), T2_STR("/"), &page), 0);
    entries = 0;
    for (const char *at = t2_buf_cstr(&page); (at = strstr(at, "<li>")); at++)
      entries++;
    assert_int_equal(entries, T2_LISTING_MAX);
    assert_int_equal(strstr(t2_buf_cstr(&page), "more") != NULL, i == T2_LISTING_MAX);
    t2_buf_fini(&page);
  }
  directory_remove(&d);
}

static void list(t2_test_mem *mem, void *user) {
  t2_buf page;
  t2_buf_init(&page, &mem->hook);
  const directory *d = user;
  int err = t2_listing_write(d->fd, ".", reopen(d), T2_STR("/"), &page);
  assert_true(err == 0 || (err == T2_ERR_NOMEM && mem->failed));
  t2_buf_fini(&page);
}

static void test_missing_memory_is_told(void **state) {
  directory d;
  directory_make(&d);
  directory_file(&d, "file", "");
  int before = descriptors();
  t2_test_mem_fail_each(list, &d);
  assert_int_equal(descriptors(), before);
  directory_remove(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_are_escaped_and_sorted),
      cmocka_unit_test(test_links_are_named_that_lead_to_something_below_the_root),
      cmocka_unit_test(test_entries_are_bounded),
      cmocka_unit_test(test_missing_memory_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
