#include <http/ptth.h>
#include <tunnel2/error.h>

/* The application protocol spoken after the turn, named by the ALPN field (RFC 7639). */
#define SPOKEN "h2"

int t2_ptth_request(t2_head *head, t2_str authority, t2_str authorization) {
  t2_head_reset(head);
  head->method = T2_STR("GET");
  head->scheme = T2_STR("https");
  head->authority = authority;
  head->path = T2_STR(T2_PTTH_PATH);
  head->protocol = T2_STR(T2_PTTH_PROTOCOL);
  head->content_length = -1;
  head->version_minor = 1;
  int err = t2_fields_add(&head->fields, T2_STR("alpn"), T2_STR(SPOKEN));
  if (err == 0) err = t2_fields_add(&head->fields, T2_STR("authorization"), authorization);
  if (err == 0) head->fields.list[head->fields.n - 1].sensitive = true;
  return err;
}

bool t2_ptth_is_path(const t2_head *request) {
  ptrdiff_t query = t2_str_find(request->path, '?');
  t2_str path = t2_str_of(request->path.p, query < 0 ? request->path.n : (size_t)query);
  return t2_str_eq(path, T2_STR(T2_PTTH_PATH));
}

int t2_ptth_check_request(const t2_head *request, const char **detail) {
  t2_str asked = request->protocol, protocol;
  *detail = "an uplink is opened by GET";
  if (!t2_str_eq(request->method, T2_STR("GET"))) return T2_ERR_INVALID;
  *detail = "an uplink needs HTTP/1.1 with \"Connection: upgrade\" and \"Upgrade: " T2_PTTH_PROTOCOL "\"";
  if (request->version_minor == 0) return T2_ERR_INVALID;
  do {
    if (!t2_str_next(&asked, ',', &protocol)) return T2_ERR_INVALID;
  } while (!t2_str_eq_nocase(protocol, T2_STR(T2_PTTH_PROTOCOL)));
  *detail = "an uplink needs \"ALPN: " SPOKEN "\": no other protocol is spoken on it here";
  if (!t2_fields_has_token(&request->fields, T2_STR("alpn"), T2_STR(SPOKEN))) return T2_ERR_INVALID;
  *detail = NULL;
  return 0;
}

int t2_ptth_accept(t2_head *head) {
  t2_head_reset(head);
  head->status = 101;
  head->protocol = T2_STR(T2_PTTH_PROTOCOL);
  head->content_length = -1;
  head->version_minor = 1;
  return t2_fields_add(&head->fields, T2_STR("alpn"), T2_STR(SPOKEN));
}

static int check_switched(const t2_head *response) {
  if (!t2_str_eq_nocase(response->protocol, T2_STR(T2_PTTH_PROTOCOL))) return T2_ERR_PROTOCOL;
  /* An answer that names no application protocol speaks the one that was offered. */
  const t2_field *alpn = t2_fields_get(&response->fields, T2_STR("alpn"));
  return !alpn || t2_str_eq_nocase(alpn->value, T2_STR(SPOKEN)) ? 0 : T2_ERR_PROTOCOL;
}

int t2_ptth_check_response(const t2_head *response) {
  switch (response->status) {
  case 101:
    return check_switched(response);
  case 401:
    return T2_ERR_AUTH;
  case 403:
    return T2_ERR_FORBIDDEN;
  case 404:
    return T2_ERR_NOT_FOUND;
  case 409:
    return T2_ERR_CONFLICT;
  case 429:
  case 503:
    return T2_ERR_UNAVAILABLE;
  default:
    return T2_ERR_PROTOCOL;
  }
}
