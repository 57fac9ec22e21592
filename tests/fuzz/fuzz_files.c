/* What a server of files reads of a request: its path, conditions, ranges and dates. The first line is the
 * path, the others are fields, "name: value". */
#include <http/file_path.h>
#include <http/http_date.h>
#include <http/select.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

static bool has_dot_segment(const char *path) {
  return strcmp(path, ".") != 0 && (path[0] == '.' || strstr(path, "/."));
}

/* Below the directory, whatever it says. */
static void check_path(t2_str path) {
  char out[T2_FILE_PATH_MAX];
  if (t2_file_path(path, out)) return;
  require(strlen(out) > 0 && strlen(out) < sizeof(out));
  require(out[0] != '/' && !strstr(out, "//") && !has_dot_segment(out));
}

/* Written again it is the same, but for the name of the day, which is not looked at, and leap seconds. */
static void check_date(t2_str text) {
  char out[T2_HTTP_DATE_LEN + 1];
  int64_t seconds, again;
  if (t2_http_date_parse(text, &seconds)) return;
  t2_http_date_write(seconds, out);
  require(t2_http_date_parse(t2_str_c(out), &again) == 0 && again == seconds);
}

static void check_selection(const t2_head *head, uint64_t size) {
  const t2_representation what = {T2_STR("\"tag\""), 784111777, size};
  t2_selection s = t2_select(head, &what);
  require(s.status == 200 || s.status == 206 || s.status == 304 || s.status == 412 || s.status == 416);
  if (s.status == 200) require(s.offset == 0 && s.length == size);
  if (s.status == 206) require(s.length > 0 && s.offset < size && s.length <= size - s.offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  t2_str rest = t2_str_of((const char *)data, size), line;
  t2_head head;
  t2_head_init(&head, NULL);
  head.method = T2_STR("GET");
  for (size_t n = 0; t2_str_next(&rest, '\n', &line) && n < 32; n++) {
    ptrdiff_t colon = t2_str_find(line, ':');
    if (n == 0) check_path(line);
    if (colon <= 0) continue;
    t2_str value = t2_str_trim(t2_str_of(line.p + colon + 1, line.n - (size_t)colon - 1));
    check_date(value);
    require(t2_fields_add(&head.fields, t2_str_of(line.p, (size_t)colon), value) == 0);
  }
  check_selection(&head, 0);
  check_selection(&head, 1000);
  t2_head_fini(&head);
  return 0;
}
