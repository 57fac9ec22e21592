#include <t2_test_mem.h>

#include <base/file.h>
#include <control/keyring.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define NOW  1760000000
#define LIFE 3660

typedef struct folder {
  char dir[64];
  char path[96];
} folder;

static folder make_folder(void) {
  folder f = {.dir = "/tmp/t2-keyring-XXXXXX"};
  assert_non_null(mkdtemp(f.dir));
  snprintf(f.path, sizeof(f.path), "%s/keys.pem", f.dir);
  return f;
}

static void remove_folder(const folder *f) {
  unlink(f->path);
  assert_int_equal(rmdir(f->dir), 0);
}

static void write_text(const folder *f, const char *text, mode_t mode) {
  assert_int_equal(t2_file_write(f->path, text, strlen(text), mode), 0);
}

static char *text_of(const t2_keyring *keyring, t2_buf *out) {
  t2_buf_init(out, NULL);
  assert_int_equal(t2_keyring_format(keyring, out), 0);
  return t2_buf_cstr(out);
}

static int parse(t2_keyring *keyring, const char *text, char *detail, size_t size) {
  return t2_keyring_parse(keyring, t2_str_c(text), NOW, LIFE, detail, size);
}

/* ---- Rotation ---- */

static void test_a_new_key_signs_and_the_one_before_stays_for_its_tickets(void **state) {
  char first[T2_KID_LEN + 1];
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  assert_int_equal(t2_keyring_rotate(&keyring, NOW, LIFE), 0);
  memcpy(first, keyring.keys.list[0].kid, sizeof(first));
  assert_int_equal(t2_keyring_rotate(&keyring, NOW + 10, LIFE), 0);
  assert_int_equal(keyring.keys.n, 2);
  assert_string_not_equal(keyring.keys.list[0].kid, first);
  assert_string_equal(keyring.keys.list[1].kid, first);
  assert_int_equal(keyring.created[0], NOW + 10);
  assert_int_equal(keyring.until[1], NOW + 10 + LIFE);
  t2_keyring_fini(&keyring);
}

static void test_a_key_goes_when_no_ticket_can_need_it(void **state) {
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  t2_keyring_rotate(&keyring, NOW, LIFE);
  t2_keyring_rotate(&keyring, NOW, LIFE);
  assert_false(t2_keyring_trim(&keyring, NOW + LIFE));
  assert_true(t2_keyring_trim(&keyring, NOW + LIFE + 1));
  assert_int_equal(keyring.keys.n, 1);
  assert_false(t2_keyring_trim(&keyring, INT64_MAX)); /* the one that signs stays */
  assert_int_equal(keyring.keys.n, 1);
  t2_keyring_fini(&keyring);
}

static void test_a_key_that_is_needed_is_not_pushed_out(void **state) {
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  for (int i = 0; i < T2_KEYS_MAX; i++)
    assert_int_equal(t2_keyring_rotate(&keyring, NOW, LIFE), 0);
  assert_int_equal(t2_keyring_rotate(&keyring, NOW, LIFE), T2_ERR_LIMIT);
  assert_int_equal(keyring.keys.n, T2_KEYS_MAX);
  assert_int_equal(t2_keyring_rotate(&keyring, NOW + LIFE + 1, LIFE), 0);
  assert_int_equal(keyring.keys.n, 2);
  t2_keyring_fini(&keyring);
}

/* ---- The text ---- */

static void test_the_text_is_read_back_as_it_was(void **state) {
  char detail[128];
  t2_buf first, second;
  t2_keyring keyring, copy;
  t2_keyring_init(&keyring, NULL);
  t2_keyring_init(&copy, NULL);
  t2_keyring_rotate(&keyring, NOW, LIFE);
  t2_keyring_rotate(&keyring, NOW + 5, LIFE);
  const char *text = text_of(&keyring, &first);
  assert_int_equal(parse(&copy, text, detail, sizeof(detail)), 0);
  assert_string_equal(text_of(&copy, &second), text);
  assert_int_equal(copy.until[1], NOW + 5 + LIFE);
  assert_int_equal(copy.created[1], NOW);
  assert_string_equal(copy.keys.list[0].kid, keyring.keys.list[0].kid);
  t2_buf_fini(&first);
  t2_buf_fini(&second);
  t2_keyring_fini(&keyring);
  t2_keyring_fini(&copy);
}

/* A key put there by hand, by openssl. */
static void test_keys_without_a_line_of_their_own_count_from_now(void **state) {
  char detail[128], plain[8192] = "";
  t2_buf text;
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  t2_keyring_rotate(&keyring, 1, 1);
  t2_keyring_rotate(&keyring, 1, 1);
  text_of(&keyring, &text);
  t2_str rest = t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)), line;
  while (t2_str_next(&rest, '\n', &line))
    if (line.p[0] != '#' && line.p[0] != 'c')
      snprintf(plain + strlen(plain), sizeof(plain) - strlen(plain), "%.*s\r\n", T2_STR_ARG(line));
  assert_int_equal(parse(&keyring, plain, detail, sizeof(detail)), 0);
  assert_int_equal(keyring.keys.n, 2);
  assert_int_equal(keyring.created[0], NOW);
  assert_int_equal(keyring.until[1], NOW + LIFE);
  t2_buf_fini(&text);
  t2_keyring_fini(&keyring);
}

static void test_what_is_wrong_is_named_by_its_line_and_changes_nothing(void **state) {
  const char *bad[][2] = {
      {"", "line 0: there is no key in it"},
      {"# nothing\n\n", "line 2: there is no key in it"},
      {"hello\n", "line 1: neither"},
      {"# x\ncreated\n", "line 2: neither"},
      {"created -1\n", "line 1: neither"},
      {"created 99999999999999999999\n", "line 1: neither"},
      {"\n-----BEGIN EC PRIVATE KEY-----\n", "line 2: no private key"},
      {"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "line 1: no private key"},
  };
  char kid[T2_KID_LEN + 1];
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  t2_keyring_rotate(&keyring, NOW, LIFE);
  memcpy(kid, keyring.keys.list[0].kid, sizeof(kid));
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    char detail[128] = "";
    assert_int_equal(parse(&keyring, bad[i][0], detail, sizeof(detail)), T2_ERR_INVALID);
    assert_memory_equal(detail, bad[i][1], strlen(bad[i][1]));
    assert_string_equal(keyring.keys.list[0].kid, kid);
  }
  t2_keyring_fini(&keyring);
}

static void test_a_key_that_is_there_twice_or_one_too_many_is_refused(void **state) {
  char detail[128];
  t2_buf text, twice;
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  t2_buf_init(&twice, NULL);
  t2_keyring_rotate(&keyring, NOW, LIFE);
  for (int i = 0; i < 2; i++) {
    t2_buf_append_c(&twice, text_of(&keyring, &text));
    t2_buf_fini(&text);
  }
  assert_int_equal(parse(&keyring, t2_buf_cstr(&twice), detail, sizeof(detail)), T2_ERR_INVALID);
  assert_non_null(strstr(detail, "twice"));
  for (int i = 1; i < T2_KEYS_MAX; i++)
    t2_keyring_rotate(&keyring, NOW, LIFE);
  t2_buf_append_c(&twice, text_of(&keyring, &text));
  t2_buf_fini(&text);
  assert_int_equal(parse(&keyring, t2_buf_cstr(&twice), detail, sizeof(detail)), T2_ERR_INVALID);
  assert_non_null(strstr(detail, "more than 4"));
  t2_buf_fini(&twice);
  t2_keyring_fini(&keyring);
}

/* ---- The file ---- */

static void test_the_first_load_makes_a_private_file_that_the_next_finds(void **state) {
  folder f = make_folder();
  char detail[256] = "";
  struct stat st;
  t2_keyring first, second;
  t2_keyring_init(&first, NULL);
  t2_keyring_init(&second, NULL);
  assert_int_equal(t2_keyring_load(&first, f.path, NOW, LIFE, detail, sizeof(detail)), 0);
  assert_int_equal(stat(f.path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_int_equal(t2_keyring_load(&second, f.path, NOW + 5, LIFE, detail, sizeof(detail)), 0);
  assert_string_equal(first.keys.list[0].kid, second.keys.list[0].kid);
  assert_int_equal(second.created[0], NOW);
  t2_keyring_fini(&first);
  t2_keyring_fini(&second);
  remove_folder(&f);
}

static void test_a_saved_rotation_is_loaded(void **state) {
  folder f = make_folder();
  char detail[256] = "";
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  t2_keyring_load(&keyring, f.path, NOW, LIFE, detail, sizeof(detail));
  t2_keyring_rotate(&keyring, NOW, LIFE);
  assert_int_equal(t2_keyring_save(&keyring, f.path), 0);
  t2_keyring_fini(&keyring);
  assert_int_equal(t2_keyring_load(&keyring, f.path, NOW, LIFE, detail, sizeof(detail)), 0);
  assert_int_equal(keyring.keys.n, 2);
  t2_keyring_fini(&keyring);
  remove_folder(&f);
}

static void test_a_file_that_others_may_read_is_refused(void **state) {
  folder f = make_folder();
  char detail[256] = "";
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  write_text(&f, "anything", 0640);
  assert_int_equal(t2_keyring_load(&keyring, f.path, NOW, LIFE, detail, sizeof(detail)), T2_ERR_FORBIDDEN);
  assert_non_null(strstr(detail, f.path));
  remove_folder(&f);
}

static void test_a_broken_file_is_named_and_left_as_it_is(void **state) {
  folder f = make_folder();
  char detail[256] = "";
  t2_buf kept;
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  t2_buf_init(&kept, NULL);
  write_text(&f, "nonsense\n", 0600);
  assert_int_equal(t2_keyring_load(&keyring, f.path, NOW, LIFE, detail, sizeof(detail)), T2_ERR_INVALID);
  assert_non_null(strstr(detail, f.path));
  assert_non_null(strstr(detail, "line 1"));
  assert_int_equal(t2_file_read(f.path, 100, &kept), 0);
  assert_string_equal(t2_buf_cstr(&kept), "nonsense\n");
  t2_buf_fini(&kept);
  remove_folder(&f);
}

static void test_a_place_that_can_not_be_written_is_named(void **state) {
  char detail[256] = "";
  t2_keyring keyring;
  t2_keyring_init(&keyring, NULL);
  assert_true(t2_keyring_load(&keyring, "/tmp/no/such/place/keys.pem", NOW, LIFE, detail, sizeof(detail)) <
              0);
  assert_non_null(strstr(detail, "/tmp/no/such/place/keys.pem"));
  t2_keyring_fini(&keyring);
}

/* ---- Memory ---- */

static void rotate_and_copy(t2_test_mem *mem, void *user) {
  char detail[128];
  t2_buf text;
  t2_keyring keyring, copy;
  t2_keyring_init(&keyring, &mem->hook);
  t2_keyring_init(&copy, &mem->hook);
  t2_buf_init(&text, &mem->hook);
  int rc = t2_keyring_rotate(&keyring, NOW, LIFE);
  if (rc == 0) rc = t2_keyring_rotate(&keyring, NOW, LIFE);
  if (rc == 0) rc = t2_keyring_format(&keyring, &text);
  if (rc == 0)
    rc = t2_keyring_parse(&copy, t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)), NOW, LIFE,
                          detail, sizeof(detail));
  assert_true(rc == 0 || rc == T2_ERR_NOMEM);
  assert_int_equal(copy.keys.n, rc == 0 ? 2 : 0);
  t2_buf_fini(&text);
  t2_keyring_fini(&keyring);
  t2_keyring_fini(&copy);
}

static void test_each_allocation_may_fail(void **state) {
  assert_true(t2_test_mem_fail_each(rotate_and_copy, NULL) > 6);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_new_key_signs_and_the_one_before_stays_for_its_tickets),
      cmocka_unit_test(test_a_key_goes_when_no_ticket_can_need_it),
      cmocka_unit_test(test_a_key_that_is_needed_is_not_pushed_out),
      cmocka_unit_test(test_the_text_is_read_back_as_it_was),
      cmocka_unit_test(test_keys_without_a_line_of_their_own_count_from_now),
      cmocka_unit_test(test_what_is_wrong_is_named_by_its_line_and_changes_nothing),
      cmocka_unit_test(test_a_key_that_is_there_twice_or_one_too_many_is_refused),
      cmocka_unit_test(test_the_first_load_makes_a_private_file_that_the_next_finds),
      cmocka_unit_test(test_a_saved_rotation_is_loaded),
      cmocka_unit_test(test_a_file_that_others_may_read_is_refused),
      cmocka_unit_test(test_a_broken_file_is_named_and_left_as_it_is),
      cmocka_unit_test(test_a_place_that_can_not_be_written_is_named),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
