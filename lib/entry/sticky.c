#include <base/map.h>
#include <entry/sticky.h>

/* Of a Cookie field's pairs (RFC 6265, 5.4), the value of the first that has the name; HTTP/2 may split the
 * field (RFC 9113, 8.2.3). */
static t2_str find_cookie(t2_str pairs, t2_str name) {
  t2_str pair;
  while (t2_str_next(&pairs, ';', &pair)) {
    pair = t2_str_trim(pair);
    if (pair.n > name.n && pair.p[name.n] == '=' && t2_str_eq(t2_str_of(pair.p, name.n), name))
      return t2_str_of(pair.p + name.n + 1, pair.n - name.n - 1);
  }
  return T2_STR_NULL;
}

t2_str t2_sticky_value(const t2_terms *terms, const t2_fields *fields) {
  t2_str name = t2_str_c(terms->sticky_name), value = T2_STR_NULL;
  if (terms->sticky == T2_STICKY_HEADER) {
    const t2_field *field = t2_fields_get(fields, name);
    return field ? field->value : T2_STR_NULL;
  }
  if (terms->sticky != T2_STICKY_COOKIE) return T2_STR_NULL;
  for (size_t i = 0; i < fields->n && value.n == 0; i++)
    if (t2_str_eq(fields->list[i].name, T2_STR("cookie"))) value = find_cookie(fields->list[i].value, name);
  return value;
}

/* The key is no secret: who chooses values chooses clients, which is what they are for. */
uint64_t t2_sticky_hash(t2_str text) {
  static const uint64_t key[2] = {0x74756e6e656c3231, 0x737469636b793031};
  return t2_siphash(key, text.p, text.n);
}

uint64_t t2_sticky_fit(uint64_t value, uint64_t instance) {
  const uint64_t key[2] = {value, instance};
  return t2_siphash(key, "fit", 3);
}
