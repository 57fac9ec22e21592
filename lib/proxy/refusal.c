#include <proxy/refusal.h>
#include <tunnel2/error.h>
#include <wire/json.h>

int t2_refusal_error(int status) {
  switch (status) {
  case 401:
    return T2_ERR_AUTH;
  case 403:
    return T2_ERR_FORBIDDEN;
  case 404:
    return T2_ERR_NOT_FOUND;
  case 409:
    return T2_ERR_CONFLICT;
  case 400:
  case 422:
    return T2_ERR_INVALID;
  case 429:
  case 503:
    return T2_ERR_UNAVAILABLE;
  default:
    return T2_ERR_PROTOCOL;
  }
}

void t2_refusal_detail(t2_str body, char *out, size_t size) {
  t2_str text = T2_STR_NULL;
  size_t n = 0;
  json_t *json = t2_json_object(body);
  if (json && t2_json_text(json, "detail", &text) != 1 && t2_json_text(json, "title", &text) != 1)
    text = T2_STR_NULL;
  for (size_t i = 0; i < text.n && n + 1 < size; i++)
    if ((unsigned char)text.p[i] >= ' ' && text.p[i] != 0x7f) out[n++] = text.p[i];
  out[n] = '\0';
  json_decref(json);
}

uint64_t t2_refusal_retry_after_ms(const t2_head *head) {
  const t2_field *after = t2_fields_get(&head->fields, T2_STR("retry-after"));
  uint64_t seconds;
  if (!after || t2_str_u64(after->value, UINT32_MAX, &seconds)) return 0;
  return (seconds < T2_RETRY_AFTER_MAX ? seconds : T2_RETRY_AFTER_MAX) * 1000;
}
