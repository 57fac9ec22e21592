#include <t2_test_mem.h>

#include <base/file.h>
#include <control/persist.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tunnel2/error.h>
#include <unistd.h>

#define WALL 1760000000

static const t2_store_limits limits = {.sessions_max = 100,
                                       .sessions_per_owner_max = 100,
                                       .entries_max = 10,
                                       .lease_ms = 30000,
                                       .ticket_seconds = 3600};
static const t2_moment now = {.mono_ms = 5000, .wall = WALL};

/* One session of each kind, and an entry. */
static int fill(t2_store *store) {
  t2_announcement announcement = {T2_STR("e-1"), T2_STR("https://h:1"), T2_STR("http://h:2"),
                                  T2_STR("h.example"), T2_STR("https://h:3")};
  const char *ids[3] = {"live", "gone", "lapsed"};
  t2_session *sessions[3];
  t2_store_entry *entry;
  bool flag;
  int rc = t2_store_announce(store, &announcement, "gate", now, &entry, &flag);
  for (size_t i = 0; i < 3 && rc == 0; i++) {
    rc = t2_store_register(store, t2_str_c(ids[i]), "alice", now, &sessions[i], &flag);
    if (rc == 0) t2_store_issue(store, sessions[i], now);
  }
  if (rc) return rc;
  t2_terms terms = {.allow_count = 1, .password = {.rounds = 1000, .salt = "salt", .hash = "hash"}};
  assert_int_equal(t2_prefix_parse(&terms.allow[0], T2_STR("10.0.0.0/8")), 0);
  rc = t2_store_describe(store, sessions[0], T2_KIND_TCP, 2222, &terms);
  if (rc) return rc;
  t2_store_remove(store, sessions[1]);
  t2_store_lapse(store, sessions[2]);
  return 0;
}

static void check_filled(const t2_store *store) {
  const t2_session *session = t2_store_session(store, T2_STR("live"));
  assert_non_null(session);
  assert_string_equal(session->owner->name, "alice");
  assert_int_equal(session->last_issued, WALL);
  assert_true(session->kind == T2_KIND_TCP && session->port == 2222);
  assert_non_null(session->terms);
  assert_int_equal(session->terms->allow_count, 1);
  assert_int_equal(session->terms->password.rounds, 1000);
  assert_string_equal((const char *)session->terms->password.hash, "hash");
  assert_int_equal(store->live_count, 1);
  assert_int_equal(store->past_count, 2);
  assert_string_equal(t2_store_next_revocation(store, 0)->id, "gone");
  assert_int_equal(t2_store_next_revocation(store, 0)->void_before, WALL + 1);
  const t2_store_entry *entry = t2_store_entry_find(store, T2_STR("e-1"));
  assert_string_equal(entry->uplink, "https://h:1");
  assert_string_equal(entry->public_url, "http://h:2");
  assert_string_equal(entry->domain, "h.example");
  assert_string_equal(entry->public_tls, "https://h:3");
  assert_string_equal(entry->owner, "gate");
  assert_int_equal(entry->created_at, WALL);
}

static int parse(t2_store *store, const char *text, char *detail, size_t size) {
  t2_store_init(store, NULL, &limits);
  return t2_persist_parse(store, t2_str_c(text), now, detail, size);
}

static void test_what_was_written_is_read_back(void **state) {
  char detail[256];
  t2_store store, copy;
  t2_buf first, second;
  t2_store_init(&store, NULL, &limits);
  t2_buf_init(&first, NULL);
  t2_buf_init(&second, NULL);
  assert_int_equal(fill(&store), 0);
  assert_int_equal(t2_persist_format(&store, &first), 0);
  assert_int_equal(parse(&copy, t2_buf_cstr(&first), detail, sizeof(detail)), 0);
  check_filled(&copy);
  assert_false(copy.dirty);
  assert_int_equal(t2_persist_format(&copy, &second), 0);
  assert_string_equal(t2_buf_cstr(&first), t2_buf_cstr(&second));
  t2_buf_fini(&first);
  t2_buf_fini(&second);
  t2_store_fini(&store);
  t2_store_fini(&copy);
}

static void test_leases_begin_anew_with_the_restart(void **state) {
  char detail[256];
  t2_store store, copy;
  t2_buf text;
  t2_store_init(&store, NULL, &limits);
  t2_buf_init(&text, NULL);
  fill(&store);
  t2_persist_format(&store, &text);
  parse(&copy, t2_buf_cstr(&text), detail, sizeof(detail));
  assert_null(t2_store_lapsed(&copy, (t2_moment){.mono_ms = 34999}));
  assert_non_null(t2_store_lapsed(&copy, (t2_moment){.mono_ms = 35000}));
  assert_null(t2_store_entry_lapsed(&copy, (t2_moment){.mono_ms = 34999}));
  t2_buf_fini(&text);
  t2_store_fini(&store);
  t2_store_fini(&copy);
}

static void test_an_empty_store_is_a_file_too(void **state) {
  char detail[256];
  t2_store store, copy;
  t2_buf text;
  t2_store_init(&store, NULL, &limits);
  t2_buf_init(&text, NULL);
  assert_int_equal(t2_persist_format(&store, &text), 0);
  assert_int_equal(parse(&copy, t2_buf_cstr(&text), detail, sizeof(detail)), 0);
  assert_int_equal(copy.sessions.count + copy.entries.count, 0);
  t2_buf_fini(&text);
  t2_store_fini(&store);
  t2_store_fini(&copy);
}

#define SESSION(id, owner, rest)                                                                             \
  "{\"version\":1,\"entries\":[],\"sessions\":[{\"id\":\"" id "\",\"owner\":\"" owner                        \
  "\",\"live\":true,\"created_at\":1,\"last_issued\":0,\"last_expires\":0,\"void_before\":0" rest "}]}"
#define ENTRY(id, owner, uplink)                                                                             \
  "{\"version\":1,\"sessions\":[],\"entries\":[{\"id\":\"" id "\",\"owner\":\"" owner                        \
  "\",\"uplink\":\"" uplink "\",\"public\":\"http://h\",\"domain\":\"\",\"created_at\":1}]}"

static void test_unknown_members_are_passed_over(void **state) {
  char detail[256];
  t2_store store;
  assert_int_equal(
      parse(&store, SESSION("web", "alice", ",\"void_until\":0,\"future\":{}"), detail, sizeof(detail)), 0);
  assert_non_null(t2_store_session(&store, T2_STR("web")));
  t2_store_fini(&store);
}

static void test_what_is_wrong_is_said_with_its_place(void **state) {
  const char *bad[][2] = {
      {"", "line 1"},
      {"{", "line 1"},
      {"{\"version\":1,\n\"entries\":[,]}", "line 2"},
      {"[]", "\"version\""},
      {"{\"version\":2,\"entries\":[],\"sessions\":[]}", "\"version\""},
      {"{\"version\":1,\"sessions\":[]}", "\"entries\""},
      {"{\"version\":1,\"entries\":[],\"sessions\":{}}", "\"sessions\""},
      {"{\"version\":1,\"entries\":[],\"sessions\":[7]}", "sessions[0]: \"id\""},
      {"{\"version\":1,\"entries\":[{}],\"sessions\":[]}", "entries[0]: \"id\""},
      {SESSION("web", "alice", ""), "sessions[0]: \"void_until\""},
      {SESSION("web", "alice", ",\"void_until\":-1"), "sessions[0]: \"void_until\""},
      {SESSION("web", "alice", ",\"void_until\":1.5"), "sessions[0]: \"void_until\""},
      {SESSION("No", "alice", ",\"void_until\":0"), "sessions[0]: a value"},
      {SESSION("web", "", ",\"void_until\":0"), "sessions[0]: a value"},
      {SESSION("web", "a\\\"b", ",\"void_until\":0"), "sessions[0]: a value"},
      {ENTRY("e-1", "a b", "https://h"), "entries[0]: a value"},
      {ENTRY("e-1", "gate", "ftp://h"), "entries[0]: a value"},
      {ENTRY("E", "gate", "https://h"), "entries[0]: a value"},
  };
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    char detail[256] = "";
    t2_store store;
    assert_int_equal(parse(&store, bad[i][0], detail, sizeof(detail)), T2_ERR_INVALID);
    if (!strstr(detail, bad[i][1])) fail_msg("%s: %s", bad[i][0], detail);
    t2_store_fini(&store);
  }
}

static void test_a_record_that_is_there_twice_is_refused(void **state) {
  char text[1024], detail[256];
  t2_store store;
  const char *record =
      "{\"id\":\"web\",\"owner\":\"alice\",\"live\":false,\"created_at\":1,\"last_issued\":9,"
      "\"last_expires\":9,\"void_before\":0,\"void_until\":0}";
  snprintf(text, sizeof(text), "{\"version\":1,\"entries\":[],\"sessions\":[%s,%s]}", record, record);
  assert_int_equal(parse(&store, text, detail, sizeof(detail)), T2_ERR_INVALID);
  assert_non_null(strstr(detail, "sessions[1]: its id is there twice"));
  t2_store_fini(&store);
}

/* ---- The file ---- */

typedef struct folder {
  char dir[64];
  char path[96];
} folder;

static folder make_folder(void) {
  folder f = {.dir = "/tmp/t2-persist-XXXXXX"};
  assert_non_null(mkdtemp(f.dir));
  snprintf(f.path, sizeof(f.path), "%s/sessions.json", f.dir);
  return f;
}

static void remove_folder(const folder *f) {
  unlink(f->path);
  assert_int_equal(rmdir(f->dir), 0);
}

static void test_a_file_is_saved_privately_and_loaded(void **state) {
  folder f = make_folder();
  char detail[256] = "";
  struct stat st;
  t2_store store, copy;
  t2_store_init(&store, NULL, &limits);
  t2_store_init(&copy, NULL, &limits);
  assert_int_equal(fill(&store), 0);
  assert_true(store.dirty);
  assert_int_equal(t2_persist_save(&store, f.path), 0);
  assert_false(store.dirty);
  assert_int_equal(stat(f.path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_int_equal(t2_persist_load(&copy, f.path, now, detail, sizeof(detail)), 0);
  check_filled(&copy);
  t2_store_fini(&store);
  t2_store_fini(&copy);
  remove_folder(&f);
}

static void test_no_file_is_an_empty_store(void **state) {
  char detail[256] = "";
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  assert_int_equal(t2_persist_load(&store, "/tmp/t2-there-is-no-such-file", now, detail, sizeof(detail)), 0);
  assert_int_equal(store.sessions.count, 0);
  t2_store_fini(&store);
}

static void test_a_broken_file_is_named(void **state) {
  folder f = make_folder();
  char detail[256] = "";
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  assert_int_equal(t2_file_write(f.path, "{", 1, 0600), 0);
  assert_int_equal(t2_persist_load(&store, f.path, now, detail, sizeof(detail)), T2_ERR_INVALID);
  assert_non_null(strstr(detail, f.path));
  t2_store_fini(&store);
  remove_folder(&f);
}

static void test_a_store_that_could_not_be_saved_stays_dirty(void **state) {
  t2_store store;
  t2_store_init(&store, NULL, &limits);
  assert_int_equal(fill(&store), 0);
  assert_int_equal(t2_persist_save(&store, "/tmp/no/such/place/sessions.json"), T2_ERR_IO);
  assert_true(store.dirty);
  t2_store_fini(&store);
}

static int parse_session(const char *members, char *detail, size_t size) {
  char text[512];
  t2_store store;
  snprintf(text, sizeof(text),
           "{\"version\":1,\"entries\":[],\"sessions\":[{\"id\":\"web\",\"owner\":\"alice\",\"live\":true,"
           "\"created_at\":1,\"last_issued\":1,\"last_expires\":1,\"void_before\":0,\"void_until\":0%s}]}",
           members);
  int rc = parse(&store, text, detail, size);
  if (rc == 0) assert_int_equal(t2_store_session(&store, T2_STR("web"))->kind, *members ? 1 : 0);
  t2_store_fini(&store);
  return rc;
}

static void test_a_session_of_before_there_were_kinds_is_of_http(void **state) {
  assert_int_equal(parse_session("", NULL, 0), 0);
  assert_int_equal(parse_session(",\"kind\":\"tcp\"", NULL, 0), 0);
  assert_int_equal(parse_session(",\"kind\":\"tcp\",\"remote_port\":65535", NULL, 0), 0);
}

static void test_a_kind_or_port_that_is_none_is_refused(void **state) {
  const char *kinds[] = {",\"kind\":\"sctp\"", ",\"kind\":1", ",\"kind\":null"};
  const char *ports[] = {",\"remote_port\":22", ",\"kind\":\"tcp\",\"remote_port\":65536",
                         ",\"kind\":\"tcp\",\"remote_port\":-1", ",\"kind\":\"tcp\",\"remote_port\":\"22\""};
  char detail[256];
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(parse_session(kinds[i], detail, sizeof(detail)), T2_ERR_INVALID);
    assert_non_null(strstr(detail, "\"kind\""));
  }
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(parse_session(ports[i], detail, sizeof(detail)), T2_ERR_INVALID);
    assert_non_null(strstr(detail, "\"remote_port\""));
  }
}

/* ---- Memory ---- */

static void write_and_read(t2_test_mem *mem, void *user) {
  char detail[256];
  t2_store store, copy;
  t2_buf text;
  t2_store_init(&store, &mem->hook, &limits);
  t2_store_init(&copy, &mem->hook, &limits);
  t2_buf_init(&text, &mem->hook);
  int rc = fill(&store);
  if (rc == 0) rc = t2_persist_format(&store, &text);
  if (rc == 0)
    rc = t2_persist_parse(&copy, t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)), now, detail,
                          sizeof(detail));
  assert_true(rc == 0 || rc == T2_ERR_NOMEM);
  if (rc == 0) check_filled(&copy);
  t2_buf_fini(&text);
  t2_store_fini(&store);
  t2_store_fini(&copy);
}

static void test_each_allocation_may_fail(void **state) {
  assert_true(t2_test_mem_fail_each(write_and_read, NULL) > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_was_written_is_read_back),
      cmocka_unit_test(test_leases_begin_anew_with_the_restart),
      cmocka_unit_test(test_an_empty_store_is_a_file_too),
      cmocka_unit_test(test_unknown_members_are_passed_over),
      cmocka_unit_test(test_what_is_wrong_is_said_with_its_place),
      cmocka_unit_test(test_a_record_that_is_there_twice_is_refused),
      cmocka_unit_test(test_a_file_is_saved_privately_and_loaded),
      cmocka_unit_test(test_no_file_is_an_empty_store),
      cmocka_unit_test(test_a_broken_file_is_named),
      cmocka_unit_test(test_a_store_that_could_not_be_saved_stays_dirty),
      cmocka_unit_test(test_a_session_of_before_there_were_kinds_is_of_http),
      cmocka_unit_test(test_a_kind_or_port_that_is_none_is_refused),
      cmocka_unit_test(test_each_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
