#include <proxy/fixture.h>

#include "directory.h"

#include <client/files.h>

typedef struct setting {
  test_loop tl;
  t2_proxy proxy;
  t2_files *files;
  stub down;
} setting;

static directory served;

static int make_directory(void **state) {
  static char big[300000];
  directory_make(&served);
  directory_file(&served, "small.txt", "small");
  directory_file(&served, "empty", "");
  directory_folder(&served, "folder");
  directory_folder(&served, "indexed");
  directory_file(&served, "indexed/index.html", "index");
  memset(big, 'b', sizeof(big) - 1);
  directory_file(&served, "big", big);
  return 0;
}

static int remove_directory(void **state) {
  directory_remove(&served);
  return 0;
}

static bool open_setting(setting *s, const t2_allocator *mem) {
  if (!test_loop_open(&s->tl, mem, NULL)) return false;
  t2_proxy_init(&s->proxy, s->tl.loop, "test");
  stub_init(&s->down);
  return t2_files_new(&s->files, s->tl.loop, t2_str_c(served.path), NULL, 0) == 0;
}

static void close_setting(setting *s) {
  assert_int_equal(s->proxy.active, 0);
  t2_files_free(s->files);
  stub_fini(&s->down);
  t2_proxy_fini(&s->proxy);
  test_loop_close(&s->tl);
}

static bool ask(setting *s, const char *method, const char *path) {
  t2_head head = test_request(method, path);
  stub_reset(&s->down);
  t2_exchange *exchange = t2_exchange_new(&s->proxy, &s->down.leg, &head);
  if (exchange) t2_files_serve(s->files, exchange, &head, true, T2_STR_NULL);
  return exchange != NULL;
}

static void assert_answer(setting *s, const char *path, int status, size_t size) {
  assert_true(ask(s, "GET", path));
  RUN_UNTIL(&s->tl, s->down.closed);
  assert_int_equal(s->down.err, 0);
  assert_int_equal(s->down.status, status);
  if (status == 200) assert_int_equal(t2_buf_len(&s->down.body), size);
}

static void test_files_are_given_whole(void **state) {
  setting s = {0};
  assert_true(open_setting(&s, NULL));
  int before = descriptors();
  assert_answer(&s, "/small.txt", 200, 5);
  assert_string_equal(t2_buf_cstr(&s.down.body), "small");
  assert_answer(&s, "/big", 200, 299999);
  assert_answer(&s, "/empty", 200, 0);
  assert_answer(&s, "/indexed/", 200, 5);
  assert_answer(&s, "/indexed", 301, 0);
  assert_true(stub_has_field(&s.down, "location: ./indexed/\n"));
  assert_answer(&s, "/none", 404, 0);
  assert_answer(&s, "/../etc/passwd", 404, 0);
  assert_int_equal(descriptors(), before);
  close_setting(&s);
}

static void test_reader_that_is_slow_is_given_no_more_than_the_window(void **state) {
  setting s = {0};
  assert_true(open_setting(&s, NULL));
  s.down.hold = true;
  assert_true(ask(&s, "GET", "/big"));
  for (size_t got = 0; !s.down.closed;) {
    uint64_t begun = uv_now(&s.tl.uv);
    RUN_UNTIL(&s.tl, s.down.closed || t2_buf_len(&s.down.body) > got || uv_now(&s.tl.uv) > begun + 20);
    assert_true(s.down.held <= T2_LEG_WINDOW);
    got = t2_buf_len(&s.down.body);
    if (!s.down.closed && s.down.held) stub_consume(&s.down, s.down.held / 2 + 1);
  }
  assert_int_equal(t2_buf_len(&s.down.body), 299999);
  close_setting(&s);
}

static void test_reader_that_leaves_within_a_read(void **state) {
  setting s = {0};
  assert_true(open_setting(&s, NULL));
  int before = descriptors();
  for (int turns = 0; turns < 4; turns++) {
    assert_true(ask(&s, "GET", "/big"));
    for (int i = 0; i < turns; i++)
      test_loop_turn(&s.tl, test_deadline());
    if (!s.down.closed) stub_fail(&s.down, T2_ERR_CANCELLED, T2_AT_LOCAL);
  }
  RUN_UNTIL(&s.tl, descriptors() == before);
  close_setting(&s);
}

static void test_loop_may_close_within_a_read(void **state) {
  setting s = {0};
  assert_true(open_setting(&s, NULL));
  assert_true(ask(&s, "GET", "/big"));
  test_loop_turn(&s.tl, test_deadline());
  stub_fail(&s.down, T2_ERR_CANCELLED, T2_AT_LOCAL);
  close_setting(&s);
}

static void ask_all(t2_test_mem *mem, void *user) {
  const char *const paths[] = {"/small.txt", "/folder/", "/indexed", "/none"};
  setting s = {0};
  (void)user;
  if (open_setting(&s, &mem->hook)) {
    for (size_t i = 0; i < T2_COUNT_OF(paths); i++) {
      if (!ask(&s, "GET", paths[i])) continue;
      RUN_UNTIL(&s.tl, s.down.closed);
      assert_true(mem->failed || (s.down.err == 0 && s.down.status < 500));
    }
  }
  if (s.tl.loop) close_setting(&s);
}

static void test_each_missing_allocation_is_a_clean_error(void **state) {
  int before = descriptors();
  assert_true(t2_test_mem_fail_each(ask_all, NULL) > 0);
  assert_int_equal(descriptors(), before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files_are_given_whole),
      cmocka_unit_test(test_reader_that_is_slow_is_given_no_more_than_the_window),
      cmocka_unit_test(test_reader_that_leaves_within_a_read),
      cmocka_unit_test(test_loop_may_close_within_a_read),
      cmocka_unit_test(test_each_missing_allocation_is_a_clean_error),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
