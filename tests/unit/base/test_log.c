#include <t2_test_mem.h>

#include <base/log.h>
#include <base/mem.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>

typedef struct record {
  unsigned count;
  t2_log_level level;
  char component[32], message[1024], value[64];
  size_t pair_count;
} record;

static void keep(t2_log_level level, const char *component, const char *message, const t2_log_pair *pairs,
                 size_t pair_count, void *user) {
  record *r = user;

  r->count++;
  r->level = level;
  snprintf(r->component, sizeof(r->component), "%s", component);
  snprintf(r->message, sizeof(r->message), "%s", message);
  r->pair_count = pair_count;
  if (pair_count) snprintf(r->value, sizeof(r->value), "%s", pairs[0].value);
}

static int count_up(int *n) {
  return ++*n;
}

static void test_below_the_threshold_nothing_is_evaluated(void **state) {
  record r = {0};
  t2_log log = {keep, &r, T2_LOG_WARN};
  int n = 0;

  t2_log_at(&log, INFO, "net", "%d", count_up(&n));
  assert_int_equal(n, 0);
  t2_log_at(&log, WARN, "net", "%d", count_up(&n));
  assert_int_equal(r.count, 1);
  assert_string_equal(r.message, "1");
  log.level = T2_LOG_OFF;
  t2_log_at(&log, ERROR, "net", "%d", count_up(&n));
  log = (t2_log){NULL, NULL, T2_LOG_DEBUG};
  t2_log_at(&log, ERROR, "net", "%d", count_up(&n));
  assert_int_equal(n, 1);
}

static void test_a_record_reaches_the_callback_whole(void **state) {
  const t2_log_pair pairs[] = {{"session", "s1"}, {"entry", "e1"}};
  record r = {0};
  t2_log log = {keep, &r, T2_LOG_DEBUG};

  t2_log_write(&log, T2_LOG_INFO, "entry", pairs, 2, "uplink %s of %d", "up", 3);
  assert_int_equal(r.level, T2_LOG_INFO);
  assert_string_equal(r.component, "entry");
  assert_string_equal(r.message, "uplink up of 3");
  assert_int_equal(r.pair_count, 2);
  assert_string_equal(r.value, "s1");
  t2_log_write(&log, T2_LOG_DEBUG, "entry", NULL, 7, "no pairs");
  assert_int_equal(r.pair_count, 0);
}

static void test_a_message_is_cut_at_512_bytes_and_between_characters(void **state) {
  char text[600];
  record r = {0};
  t2_log log = {keep, &r, T2_LOG_DEBUG};

  memset(text, 'm', sizeof(text));
  text[512] = '\0';
  t2_log_write(&log, T2_LOG_INFO, "net", NULL, 0, "%s", text);
  assert_int_equal(strlen(r.message), 512);
  text[512] = 'm';
  text[599] = '\0';
  t2_log_write(&log, T2_LOG_INFO, "net", NULL, 0, "%s", text);
  assert_int_equal(strlen(r.message), 512);
  memcpy(text + 511, "\xc3\xa9", 2);
  t2_log_write(&log, T2_LOG_INFO, "net", NULL, 0, "%s", text);
  assert_int_equal(strlen(r.message), 511);
}

static void test_levels_have_their_five_names(void **state) {
  const char *bad[] = {"", "ERROR", "warning", "trace", "info ", "0"};
  t2_log_level level = T2_LOG_DEBUG;

  assert_int_equal(t2_log_level_parse("error", &level), 0);
  assert_int_equal(level, T2_LOG_ERROR);
  assert_int_equal(t2_log_level_parse("warn", &level), 0);
  assert_int_equal(level, T2_LOG_WARN);
  assert_int_equal(t2_log_level_parse("info", &level), 0);
  assert_int_equal(level, T2_LOG_INFO);
  assert_int_equal(t2_log_level_parse("debug", &level), 0);
  assert_int_equal(level, T2_LOG_DEBUG);
  assert_int_equal(t2_log_level_parse("off", &level), 0);
  assert_int_equal(level, T2_LOG_OFF);
  for (size_t i = 0; i < T2_COUNT_OF(bad); i++)
    assert_int_equal(t2_log_level_parse(bad[i], &level), T2_ERR_INVALID);
  assert_int_equal(t2_log_level_parse(NULL, &level), T2_ERR_INVALID);
}

#define PRINTED_MAX 16384

/* What the printer makes of one record, without the 24 bytes of time in text, or after "time" in JSON. */
static char *print(bool json, const char *message, const t2_log_pair *pairs, size_t pair_count) {
  static const char json_head[] = "{\"time\":\"";
  size_t skip = json ? sizeof(json_head) - 1 + 24 : 24;
  char *line = malloc(PRINTED_MAX);
  FILE *file = tmpfile();

  assert_non_null(line);
  assert_non_null(file);
  t2_log_printer printer = {fileno(file), json};
  t2_log_print(T2_LOG_WARN, "entry", message, pairs, pair_count, &printer);
  ssize_t n = pread(fileno(file), line, PRINTED_MAX - 1, 0);
  fclose(file);
  assert_true(n > (ssize_t)skip);
  line[n] = '\0';
  assert_ptr_equal(strchr(line, '\n'), line + n - 1);
  if (json) assert_memory_equal(line, json_head, sizeof(json_head) - 1);
  assert_int_equal(line[skip - 1], 'Z');
  memmove(line, line + skip, (size_t)n - skip + 1);
  return line;
}

static void expect(bool json, const char *message, const t2_log_pair *pairs, size_t pair_count,
                   const char *line) {
  char *printed = print(json, message, pairs, pair_count);

  assert_string_equal(printed, line);
  free(printed);
}

static void test_text_is_one_line_with_pairs(void **state) {
  const t2_log_pair pairs[] = {
      {"session", "s1"}, {"path", "/a b"}, {"empty", ""}, {"none", NULL}, {"q", "a\"b\\c"}};

  expect(false, "uplink lost", NULL, 0, " WARN entry: uplink lost\n");
  expect(false, "uplink lost", pairs, 5,
         " WARN entry: uplink lost session=s1 path=\"/a b\" empty=\"\" none=\"\" q=\"a\\\"b\\\\c\"\n");
}

static void test_json_is_one_object_with_pairs(void **state) {
  const t2_log_pair pairs[] = {{"session", "s1"}, {"none", NULL}, {"q", "a\"b\\c"}};

  expect(true, "uplink \"lost\"", NULL, 0,
         "\",\"level\":\"warn\",\"component\":\"entry\",\"message\":\"uplink \\\"lost\\\"\"}\n");
  expect(true, "m", pairs, 3,
         "\",\"level\":\"warn\",\"component\":\"entry\",\"message\":\"m\",\"session\":\"s1\",\"none\":\"\","
         "\"q\":\"a\\\"b\\\\c\"}\n");
}

static void test_control_bytes_cannot_forge_a_line(void **state) {
  const t2_log_pair pairs[] = {{"v", "a\nb\r\tc\x1b[0m\x7f\xc2\x9b!"}};

  expect(false, "x\ny", pairs, 1, " WARN entry: x\\ny v=a\\nb\\r\\tc\\x1b[0m\\x7f\\xc2\\x9b!\n");
  expect(true, "x\ny", pairs, 1,
         "\",\"level\":\"warn\",\"component\":\"entry\",\"message\":\"x\\ny\",\"v\":\"a\\nb\\r\\tc\\u001b["
         "0m\\u007f"
         "\\u009b!\"}\n");
}

static void test_what_is_no_utf8_is_escaped(void **state) {
  /* Passed on: two, three and four bytes. Not: a stray byte, an overlong form, a surrogate, past the end, cut
   * off. */
  expect(false, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", NULL, 0,
         " WARN entry: \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n");
  expect(false, "\x80 \xc0\xaf \xed\xa0\x80", NULL, 0, " WARN entry: \\x80 \\xc0\\xaf \\xed\\xa0\\x80\n");
  expect(false, "\xf4\x90\x80\x80 \xe2\x82", NULL, 0, " WARN entry: \\xf4\\x90\\x80\\x80 \\xe2\\x82\n");
  expect(true, "\xff!", NULL, 0, "\",\"level\":\"warn\",\"component\":\"entry\",\"message\":\"\\ufffd!\"}\n");
}

static void test_long_values_are_cut_and_the_line_stays_whole(void **state) {
  t2_log_pair pairs[20];
  char value[2001];

  memset(value, 'v', sizeof(value) - 1);
  value[2000] = '\0';
  for (size_t i = 0; i < T2_COUNT_OF(pairs); i++)
    pairs[i] = (t2_log_pair){"k", value};
  char *text = print(false, "m", pairs, 1);
  assert_int_equal(strlen(text), strlen(" WARN entry: m k=") + 1024 + strlen("...\n"));
  free(text);
  text = print(true, "m", pairs, T2_COUNT_OF(pairs));
  size_t n = strlen(text);
  assert_in_range(n, 7000, 8192);
  assert_string_equal(text + n - 6, "...\"}\n");
  free(text);
  memset(value, '\x01', sizeof(value) - 1);
  text = print(true, value, pairs, T2_COUNT_OF(pairs));
  assert_string_equal(text + strlen(text) - 6, "...\"}\n");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_below_the_threshold_nothing_is_evaluated),
      cmocka_unit_test(test_a_record_reaches_the_callback_whole),
      cmocka_unit_test(test_a_message_is_cut_at_512_bytes_and_between_characters),
      cmocka_unit_test(test_levels_have_their_five_names),
      cmocka_unit_test(test_text_is_one_line_with_pairs),
      cmocka_unit_test(test_json_is_one_object_with_pairs),
      cmocka_unit_test(test_control_bytes_cannot_forge_a_line),
      cmocka_unit_test(test_what_is_no_utf8_is_escaped),
      cmocka_unit_test(test_long_values_are_cut_and_the_line_stays_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
