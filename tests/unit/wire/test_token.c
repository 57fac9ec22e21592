#include <t2_test_mem.h>

#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/token.h>

#define TOKEN "0123456789abcdef" /* as short as one may be */
/* sha256sum of TOKEN */
#define TOKEN_HASH "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"
#define OTHER      "fedcba9876543210"

static int parse(t2_tokens *tokens, const char *text) {
  return t2_tokens_parse(tokens, t2_str_c(text), NULL, 0);
}

/* ---- Adding and checking ---- */

static void test_a_token_is_found_with_its_owner_and_roles(void **state) {
  t2_tokens tokens;

  t2_tokens_init(&tokens, NULL);
  assert_null(t2_tokens_check(&tokens, T2_STR(TOKEN)));
  assert_int_equal(t2_tokens_add(&tokens, "ann", T2_ROLE_CLIENT, T2_STR(TOKEN)), 0);
  assert_int_equal(t2_tokens_add(&tokens, "bob", T2_ROLE_ENTRY | T2_ROLE_ADMIN, T2_STR(OTHER)), 0);
  const t2_token *found = t2_tokens_check(&tokens, T2_STR(OTHER));
  assert_string_equal(found->owner, "bob");
  assert_int_equal(found->roles, T2_ROLE_ENTRY | T2_ROLE_ADMIN);
  assert_string_equal(t2_tokens_check(&tokens, T2_STR(TOKEN))->owner, "ann");
  t2_tokens_fini(&tokens);
  assert_null(t2_tokens_check(&tokens, T2_STR(TOKEN)));
}

static void test_anything_but_the_whole_token_is_not_it(void **state) {
  const t2_str wrong[] = {T2_STR("0123456789abcde"),
                          T2_STR("0123456789abcdef0"),
                          T2_STR("0123456789abcdeF"),
                          T2_STR("0123456789abcdef\0"),
                          T2_STR(" 0123456789abcdef"),
                          T2_STR(""),
                          T2_STR_NULL,
                          T2_STR(TOKEN_HASH),
                          T2_STR("sha256:" TOKEN_HASH)};
  t2_tokens tokens;

  t2_tokens_init(&tokens, NULL);
  assert_int_equal(t2_tokens_add(&tokens, "ann", T2_ROLE_CLIENT, T2_STR(TOKEN)), 0);
  for (size_t i = 0; i < T2_COUNT_OF(wrong); i++)
    assert_null(t2_tokens_check(&tokens, wrong[i]));
  t2_tokens_fini(&tokens);
}

static void test_lengths_of_token_and_owner_at_their_bounds(void **state) {
  char token[T2_TOKEN_MAX + 1], owner[T2_OWNER_MAX + 2];
  t2_tokens tokens;

  memset(token, 'x', sizeof(token));
  memset(owner, 'o', sizeof(owner));
  owner[T2_OWNER_MAX + 1] = '\0';
  t2_tokens_init(&tokens, NULL);
  assert_int_equal(t2_tokens_add(&tokens, "a", 1, t2_str_of(token, T2_TOKEN_MIN - 1)), T2_ERR_INVALID);
  assert_int_equal(t2_tokens_add(&tokens, "a", 1, t2_str_of(token, T2_TOKEN_MAX + 1)), T2_ERR_INVALID);
  assert_int_equal(t2_tokens_add(&tokens, owner, 1, t2_str_of(token, T2_TOKEN_MIN)), T2_ERR_INVALID);
  owner[T2_OWNER_MAX] = '\0';
  assert_int_equal(t2_tokens_add(&tokens, owner, 1, t2_str_of(token, T2_TOKEN_MIN)), 0);
  assert_int_equal(t2_tokens_add(&tokens, "a", 1, t2_str_of(token, T2_TOKEN_MAX)), 0);
  assert_string_equal(t2_tokens_check(&tokens, t2_str_of(token, T2_TOKEN_MIN))->owner, owner);
  assert_non_null(t2_tokens_check(&tokens, t2_str_of(token, T2_TOKEN_MAX)));
  assert_null(t2_tokens_check(&tokens, t2_str_of(token, T2_TOKEN_MAX + 1)));
  t2_tokens_fini(&tokens);
}

static void test_wrong_owners_roles_and_characters_are_refused(void **state) {
  const char *owners[] = {NULL, "", "a b", "a,b", "a#b", "\xc3\xa4", "a\n", "a:b"};
  const char *bad[] = {"0123456789abcde ", "0123456789abcde#", "0123=456789abcdef", "0123456789abcde\xff",
                       "================", "0123456789abcde,", "0123456789abcde:"};
  const char *good[] = {"-._~+/0123456789==", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"};
  t2_tokens tokens;

  t2_tokens_init(&tokens, NULL);
  for (size_t i = 0; i < T2_COUNT_OF(owners); i++)
    assert_int_equal(t2_tokens_add(&tokens, owners[i], T2_ROLE_CLIENT, T2_STR(TOKEN)), T2_ERR_INVALID);
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_tokens_add(&tokens, "ann", T2_ROLE_CLIENT, t2_str_c(bad[i])), T2_ERR_INVALID);
  assert_int_equal(t2_tokens_add(&tokens, "ann", 0, T2_STR(TOKEN)), T2_ERR_INVALID);
  assert_int_equal(t2_tokens_add(&tokens, "ann", 8, T2_STR(TOKEN)), T2_ERR_INVALID);
  assert_int_equal(tokens.n, 0);
  for (size_t i = 0; i < T2_COUNT_OF(good); i++)
    assert_int_equal(t2_tokens_add(&tokens, "Ann.B_c@d-9", 7, t2_str_c(good[i])), 0);
  t2_tokens_fini(&tokens);
}

static void test_the_same_token_twice_is_a_conflict(void **state) {
  t2_tokens tokens;

  t2_tokens_init(&tokens, NULL);
  assert_int_equal(t2_tokens_add(&tokens, "ann", T2_ROLE_CLIENT, T2_STR(TOKEN)), 0);
  assert_int_equal(t2_tokens_add(&tokens, "bob", T2_ROLE_ADMIN, T2_STR(TOKEN)), T2_ERR_CONFLICT);
  assert_string_equal(t2_tokens_check(&tokens, T2_STR(TOKEN))->owner, "ann");
  t2_tokens_fini(&tokens);
}

/* ---- The file ---- */

static void test_a_file_of_every_form_is_read(void **state) {
  static const char file[] = "# comment\n"
                             "\n"
                             " \t \r\n"
                             "ann client " TOKEN "  # hers\r\n"
                             "\tbob\tentry,admin\tsha256:"
                             "0000000000000000000000000000000000000000000000000000000000000000\n"
                             "eve admin,,client,admin, " OTHER;
  t2_tokens tokens;

  t2_tokens_init(&tokens, NULL);
  assert_int_equal(parse(&tokens, file), 0);
  assert_int_equal(tokens.n, 3);
  assert_int_equal(t2_tokens_check(&tokens, T2_STR(TOKEN))->roles, T2_ROLE_CLIENT);
  assert_int_equal(t2_tokens_check(&tokens, T2_STR(OTHER))->roles, T2_ROLE_CLIENT | T2_ROLE_ADMIN);
  assert_string_equal(tokens.list[1].owner, "bob");
  assert_int_equal(parse(&tokens, ""), 0);
  assert_int_equal(tokens.n, 0);
  t2_tokens_fini(&tokens);
}

static void test_what_is_written_has_hashes_only_and_comes_back(void **state) {
  t2_tokens tokens, back;
  t2_buf out;

  t2_tokens_init(&tokens, NULL);
  t2_tokens_init(&back, NULL);
  t2_buf_init(&out, NULL);
  assert_int_equal(t2_tokens_add(&tokens, "ann", 7, T2_STR(TOKEN)), 0);
  assert_int_equal(t2_tokens_add(&tokens, "bob", T2_ROLE_ENTRY, T2_STR(OTHER)), 0);
  assert_int_equal(t2_tokens_format(&tokens, &out), 0);
  assert_memory_equal(t2_buf_head(&out),
                      "ann client,entry,admin sha256:" TOKEN_HASH "\nbob entry sha256:", 30 + 64 + 1 + 17);
  assert_int_equal(parse(&back, t2_buf_cstr(&out)), 0);
  assert_int_equal(back.n, 2);
  assert_memory_equal(back.list, tokens.list, 2 * sizeof(back.list[0]));
  t2_buf_fini(&out);
  t2_tokens_fini(&tokens);
  t2_tokens_fini(&back);
}

#define WRONG_OWNER "an owner is 1 to 63 letters, digits, '.', '_', '@' and '-'"
#define WRONG_ROLES "the roles are client, entry and admin, with commas between them"
#define WRONG_TOKEN                                                                                          \
  "a token is 16 to 256 letters, digits and -._~+/, or sha256: and 64 hex digits in lower case"
#define WRONG_BEHIND "there is something behind the token"

static void test_a_broken_file_changes_nothing_and_names_the_line(void **state) {
  const struct {
    const char *text, *detail;
    int err;
  } cases[] = {
      {"a,b client " TOKEN, "line 1: " WRONG_OWNER, T2_ERR_INVALID},
      {"\n\nann", "line 3: " WRONG_ROLES, T2_ERR_INVALID},
      {"ann root " TOKEN, "line 1: " WRONG_ROLES, T2_ERR_INVALID},
      {"ann Client " TOKEN, "line 1: " WRONG_ROLES, T2_ERR_INVALID},
      {"ann client,root " TOKEN, "line 1: " WRONG_ROLES, T2_ERR_INVALID},
      {"ann , " TOKEN, "line 1: " WRONG_ROLES, T2_ERR_INVALID},
      {"ann client", "line 1: " WRONG_TOKEN, T2_ERR_INVALID},
      {"ann client short", "line 1: " WRONG_TOKEN, T2_ERR_INVALID},
      {"ann client 0123456789abcde#", "line 1: " WRONG_TOKEN, T2_ERR_INVALID},
      {"ann client sha256:" TOKEN, "line 1: " WRONG_TOKEN, T2_ERR_INVALID},
      {"ann client sha256:" TOKEN_HASH "0", "line 1: " WRONG_TOKEN, T2_ERR_INVALID},
      {"ann client sha256:9F9F5111F7B27A781F1F1DDDE5EBC2DD2B796BFC7365C9C28B548E564176929F",
       "line 1: " WRONG_TOKEN, T2_ERR_INVALID},
      {"ann client " TOKEN " more", "line 1: " WRONG_BEHIND, T2_ERR_INVALID},
      {"ann client " TOKEN "\rbob client " OTHER, "line 1: " WRONG_TOKEN, T2_ERR_INVALID},
      {"ann client " TOKEN "\n#\nbob client " OTHER "\neve admin sha256:" TOKEN_HASH "\nfay admin " OTHER,
       "line 4: the token stands on a line before", T2_ERR_CONFLICT},
  };
  t2_tokens tokens;

  t2_tokens_init(&tokens, NULL);
  assert_int_equal(t2_tokens_add(&tokens, "zoe", T2_ROLE_CLIENT, T2_STR("zoe-zoe-zoe-zoe-zoe")), 0);
  for (size_t i = 0; i < T2_COUNT_OF(cases); i++) {
    char detail[160] = "";
    assert_int_equal(t2_tokens_parse(&tokens, t2_str_c(cases[i].text), detail, sizeof(detail)), cases[i].err);
    assert_string_equal(detail, cases[i].detail);
    assert_int_equal(tokens.n, 1);
    assert_string_equal(tokens.list[0].owner, "zoe");
  }
  assert_int_equal(t2_tokens_parse(&tokens, T2_STR("ann\0 client " TOKEN), NULL, 0), T2_ERR_INVALID);
  t2_tokens_fini(&tokens);
}

static void test_as_many_tokens_as_may_be_and_one_more(void **state) {
  char detail[100] = "";
  t2_tokens tokens;
  t2_buf file;

  t2_tokens_init(&tokens, NULL);
  t2_buf_init(&file, NULL);
  for (size_t i = 0; i < T2_TOKENS_MAX; i++)
    t2_buf_printf(&file, "ann client token-number-%06zu\n", i);
  t2_str text = t2_str_c(t2_buf_cstr(&file));
  assert_int_equal(t2_tokens_parse(&tokens, text, NULL, 0), 0);
  assert_int_equal(tokens.n, T2_TOKENS_MAX);
  assert_int_equal(t2_tokens_add(&tokens, "ann", T2_ROLE_CLIENT, T2_STR(TOKEN)), T2_ERR_LIMIT);
  assert_non_null(t2_tokens_check(&tokens, T2_STR("token-number-009999")));
  t2_buf_append_c(&file, "ann client " TOKEN);
  text = t2_str_c(t2_buf_cstr(&file));
  assert_int_equal(t2_tokens_parse(&tokens, text, detail, sizeof(detail)), T2_ERR_LIMIT);
  assert_memory_equal(detail, "line 10001: ", 12);
  assert_int_equal(tokens.n, T2_TOKENS_MAX);
  t2_buf_fini(&file);
  t2_tokens_fini(&tokens);
}

/* ---- Authorization ---- */

static void test_the_token_is_taken_from_an_authorization_field(void **state) {
  const char *fields[] = {"Bearer " TOKEN, "bearer " TOKEN, "BEARER " TOKEN, "Bearer   " TOKEN,
                          " Bearer " TOKEN " "};
  t2_str token;

  for (size_t i = 0; i < T2_COUNT_OF(fields); i++) {
    assert_int_equal(t2_bearer_parse(t2_str_c(fields[i]), &token), 0);
    assert_true(t2_str_eq(token, T2_STR(TOKEN)));
  }
  assert_int_equal(t2_bearer_parse(T2_STR("Bearer a.b-c_d~e+f/g=="), &token), 0);
  assert_true(t2_str_eq(token, T2_STR("a.b-c_d~e+f/g==")));
}

static void test_any_other_authorization_is_refused(void **state) {
  const t2_str fields[] = {
      T2_STR_NULL,           T2_STR(""),           T2_STR("Bearer"),         T2_STR("Bearer "),
      T2_STR("Bearer\tabc"), T2_STR("Bearerabc"),  T2_STR("Basic YTpi"),     T2_STR("abc"),
      T2_STR("Bearer a b"),  T2_STR("Bearer a,b"), T2_STR("Bearer =="),      T2_STR("Bearer a=b"),
      T2_STR("Bearer a\0b"), T2_STR("Bearer a\r"), T2_STR("Bearer \"abc\""), T2_STR("Bearer \xe4")};
  t2_str token = T2_STR("before");

  for (size_t i = 0; i < T2_COUNT_OF(fields); i++)
    assert_int_equal(t2_bearer_parse(fields[i], &token), T2_ERR_AUTH);
  assert_true(t2_str_eq(token, T2_STR("before")));
}

/* ---- Without memory ---- */

static void read_add_and_write(t2_test_mem *mem, void *user) {
  char detail[100] = "";
  t2_tokens tokens;
  t2_buf out;

  t2_tokens_init(&tokens, &mem->hook);
  t2_buf_init(&out, &mem->hook);
  int r = t2_tokens_parse(&tokens,
                          T2_STR("a client 0123456789abcdef0\nb client 0123456789abcdef1\n"
                                 "c client 0123456789abcdef2\nd client 0123456789abcdef3\n"),
                          detail, sizeof(detail));
  assert_int_equal(tokens.n, r ? 0 : 4);
  if (r) assert_non_null(strstr(detail, t2_strerror(T2_ERR_NOMEM)));
  if (r == 0) r = t2_tokens_add(&tokens, "e", T2_ROLE_ENTRY, T2_STR(TOKEN)); /* the list has to grow */
  if (r == 0) r = t2_tokens_format(&tokens, &out);
  assert_int_equal(r, mem->failed ? T2_ERR_NOMEM : 0);
  t2_tokens_fini(&tokens);
  t2_buf_fini(&out);
}

static void test_without_memory_the_set_is_unchanged_and_nothing_leaks(void **state) {
  assert_true(t2_test_mem_fail_each(read_add_and_write, NULL) >= 4);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_token_is_found_with_its_owner_and_roles),
      cmocka_unit_test(test_anything_but_the_whole_token_is_not_it),
      cmocka_unit_test(test_lengths_of_token_and_owner_at_their_bounds),
      cmocka_unit_test(test_wrong_owners_roles_and_characters_are_refused),
      cmocka_unit_test(test_the_same_token_twice_is_a_conflict),
      cmocka_unit_test(test_a_file_of_every_form_is_read),
      cmocka_unit_test(test_what_is_written_has_hashes_only_and_comes_back),
      cmocka_unit_test(test_a_broken_file_changes_nothing_and_names_the_line),
      cmocka_unit_test(test_as_many_tokens_as_may_be_and_one_more),
      cmocka_unit_test(test_the_token_is_taken_from_an_authorization_field),
      cmocka_unit_test(test_any_other_authorization_is_refused),
      cmocka_unit_test(test_without_memory_the_set_is_unchanged_and_nothing_leaks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
