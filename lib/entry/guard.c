#include <entry/guard.h>

#include <base/base64.h>
#include <tunnel2/error.h>
#include <wire/crypto.h>

void t2_guard_set(t2_guard *guard, const t2_terms *terms, int64_t issued_at) {
  const t2_password *was = &guard->terms.password, *is = &terms->password;
  bool same = was->rounds == is->rounds && memcmp(was->salt, is->salt, sizeof(was->salt)) == 0 &&
              memcmp(was->hash, is->hash, sizeof(was->hash)) == 0;

  if (issued_at < guard->issued_at) return;
  guard->known = guard->known && same;
  guard->terms = *terms;
  guard->issued_at = issued_at;
}

bool t2_guard_admits(const t2_guard *guard, t2_str host) {
  return guard->terms.allow_count == 0 ||
         t2_prefixes_have(guard->terms.allow, guard->terms.allow_count, host);
}

/* ---- Basic authentication (RFC 7617) ---- */

/* base64 (RFC 4648, 4) by way of base64url: strict, with or without padding. */
static bool decode(t2_str text, uint8_t *out, size_t cap, size_t *n) {
  char url[(T2_CREDENTIALS_MAX + 2) / 3 * 4];

  for (int pad = 0; pad < 2 && text.n && text.p[text.n - 1] == '='; pad++)
    text.n--;
  if (text.n > sizeof(url)) return false;
  for (size_t i = 0; i < text.n; i++) {
    char c = text.p[i];
    if (c == '-' || c == '_') return false;
    url[i] = c;
    if (c == '+') url[i] = '-';
    if (c == '/') url[i] = '_';
  }
  return t2_base64url_decode(t2_str_of(url, text.n), out, cap, n) == 0;
}

static bool read_credentials(t2_str value, uint8_t *out, size_t cap, size_t *n) {
  static const char scheme[] = "basic ";
  const size_t length = sizeof(scheme) - 1;

  if (value.n < length || !t2_str_eq_nocase(t2_str_of(value.p, length), T2_STR("basic "))) return false;
  return decode(t2_str_trim(t2_str_of(value.p + length, value.n - length)), out, cap, n);
}

/* There is one right pair: once it was seen a digest tells any other from it. Until then wrong ones cost
 * work, which is bounded. */
static int check_credentials(t2_guard *guard, t2_str credentials, uint64_t now_ms) {
  uint8_t digest[T2_SHA256_LEN], salted[T2_PASSWORD_SALT + T2_CREDENTIALS_MAX];

  memcpy(salted, guard->terms.password.salt, T2_PASSWORD_SALT);
  if (credentials.n) memcpy(salted + T2_PASSWORD_SALT, credentials.p, credentials.n);
  t2_sha256(salted, T2_PASSWORD_SALT + credentials.n, digest);
  t2_memzero(salted, sizeof(salted));
  if (guard->known) return t2_secret_eq(digest, guard->right, sizeof(digest)) ? 0 : T2_ERR_AUTH;
  if (now_ms < guard->next_ms) return T2_ERR_LIMIT;
  guard->next_ms = now_ms + T2_GUARD_PAUSE_MS;
  int err = t2_password_check(&guard->terms.password, credentials);
  if (err) return err;
  guard->known = true;
  memcpy(guard->right, digest, sizeof(digest));
  return 0;
}

int t2_guard_check(t2_guard *guard, t2_str host, const t2_fields *fields, uint64_t now_ms) {
  uint8_t credentials[T2_CREDENTIALS_MAX];
  size_t n = 0;

  if (!t2_guard_admits(guard, host)) return T2_ERR_FORBIDDEN;
  if (guard->terms.password.rounds == 0) return 0;
  const t2_field *field = t2_fields_get(fields, T2_STR("authorization"));
  if (!field || t2_fields_count(fields, T2_STR("authorization")) != 1) return T2_ERR_AUTH;
  int err = T2_ERR_AUTH;
  if (read_credentials(field->value, credentials, sizeof(credentials), &n))
    err = check_credentials(guard, t2_str_of((const char *)credentials, n), now_ms);
  t2_memzero(credentials, sizeof(credentials));
  return err;
}

/* ---- Who asks ---- */

/* The last element of the list, taken off it; empty at the end. */
static t2_str take_last(t2_str *list) {
  while (list->n) {
    ptrdiff_t comma = t2_str_rfind(*list, ',');
    size_t begin = comma < 0 ? 0 : (size_t)comma + 1;
    t2_str element = t2_str_trim(t2_str_of(list->p + begin, list->n - begin));
    list->n = comma < 0 ? 0 : (size_t)comma;
    if (element.n) return element;
  }
  return T2_STR_NULL;
}

t2_str t2_guard_asker(const t2_prefix *trusted, size_t n, t2_str peer, const t2_fields *fields) {
  t2_str asker = peer;

  if (!t2_prefixes_have(trusted, n, peer)) return peer;
  for (size_t i = fields->n; i-- > 0;) {
    t2_str rest = fields->list[i].value, element;
    if (!t2_str_eq(fields->list[i].name, T2_STR("x-forwarded-for"))) continue;
    while ((element = take_last(&rest)).n) {
      asker = element;
      if (!t2_prefixes_have(trusted, n, element)) return asker;
    }
  }
  return asker;
}
