/* The value that requests are told by. The first line is the terms' "cookie:NAME" or "header:NAME", the
 * others are values of Cookie fields. */
#include <entry/sticky.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  t2_str rest = t2_str_of((const char *)data, size), line, value;
  t2_terms terms = {0};
  t2_fields fields;
  if (!t2_str_next(&rest, '\n', &line) || line.n < 7) return 0;
  t2_sticky by = line.p[0] == 'h' ? T2_STICKY_HEADER : T2_STICKY_COOKIE;
  if (!t2_terms_set_sticky(&terms, by, t2_str_of(line.p + 7, line.n - 7))) return 0;
  t2_fields_init(&fields, NULL);
  while (fields.n < 128 && t2_str_next(&rest, '\n', &line))
    require(t2_fields_add(&fields, by == T2_STICKY_HEADER ? t2_str_c(terms.sticky_name) : T2_STR("cookie"),
                          line) == 0);
  value = t2_sticky_value(&terms, &fields);
  require(value.n == 0 || (value.p >= (const char *)data && value.p + value.n <= (const char *)data + size));
  (void)t2_sticky_fit(t2_sticky_hash(value), 1);
  t2_fields_fini(&fields);
  return 0;
}
