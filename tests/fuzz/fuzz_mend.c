/* Location, cookies and the prefix they are mended by. The first line is X-Forwarded-Prefix, the second the
 * authority, the others are fields, "name: value". */
#include <http/mend.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

/* Mended twice is mended once. */
static void mend(const t2_head *in, const t2_mend *how) {
  t2_head once, twice;
  t2_buf first, second;
  t2_head_init(&once, NULL);
  t2_head_init(&twice, NULL);
  t2_buf_init(&first, NULL);
  t2_buf_init(&second, NULL);
  require(t2_mend_response(in, how, &once, &first) == 0);
  require(t2_mend_response(&once, how, &twice, &second) == 0);
  require(once.fields.n == in->fields.n && twice.fields.n == in->fields.n);
  for (size_t i = 0; i < in->fields.n; i++) {
    require(t2_str_eq(once.fields.list[i].name, in->fields.list[i].name));
    require(t2_str_eq(once.fields.list[i].value, twice.fields.list[i].value));
  }
  t2_head_fini(&once);
  t2_head_fini(&twice);
  t2_buf_fini(&first);
  t2_buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  t2_str rest = t2_str_of((const char *)data, size), line;
  t2_head request, response;
  t2_mend how = {.own = {T2_STR("localhost:3000")}};
  if (memchr(data, 0, size)) return 0; /* fields have none */
  t2_head_init(&request, NULL);
  t2_head_init(&response, NULL);
  if (t2_str_next(&rest, '\n', &line))
    require(t2_fields_add(&request.fields, T2_STR("x-forwarded-prefix"), line) == 0);
  if (t2_str_next(&rest, '\n', &line)) how.authority = line;
  for (size_t n = 0; t2_str_next(&rest, '\n', &line) && n < 32; n++) {
    ptrdiff_t colon = t2_str_find(line, ':');
    if (colon <= 0) continue;
    t2_str value = t2_str_trim(t2_str_of(line.p + colon + 1, line.n - (size_t)colon - 1));
    require(t2_fields_add(&response.fields, t2_str_of(line.p, (size_t)colon), value) == 0);
  }
  how.prefix = t2_mend_prefix(&request);
  require(how.prefix.n <= T2_MEND_PREFIX_MAX);
  if (how.prefix.n) mend(&response, &how);
  t2_head_fini(&request);
  t2_head_fini(&response);
  return 0;
}
