#include <wire/json.h>

#include <tunnel2/error.h>

json_t *t2_json_object(t2_str text) {
  json_t *value = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, NULL);

  if (json_is_object(value)) return value;
  json_decref(value);
  return NULL;
}

int t2_json_text(const json_t *object, const char *name, t2_str *value) {
  const json_t *member = json_object_get(object, name);

  if (!member) return 0;
  if (!json_is_string(member)) return T2_ERR_INVALID;
  *value = t2_str_of(json_string_value(member), json_string_length(member));
  return 1;
}

int t2_json_integer(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *value) {
  const json_t *member = json_object_get(object, name);

  if (!member) return 0;
  if (!json_is_integer(member)) return T2_ERR_INVALID;
  json_int_t number = json_integer_value(member);
  if (number < min || number > max) return T2_ERR_INVALID;
  *value = number;
  return 1;
}
