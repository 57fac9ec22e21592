#include <wire/terms.h>

#include <base/base64.h>
#include <base/random.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/crypto.h>
#include <wire/json.h>

/* ---- The password ---- */

static bool credentials_valid(t2_str s) {
  if (s.n > T2_CREDENTIALS_MAX || t2_str_find(s, ':') <= 0) return false;
  for (size_t i = 0; i < s.n; i++)
    if ((uint8_t)s.p[i] < ' ' || s.p[i] == 0x7f) return false;
  return true;
}

static int derive(const t2_password *password, t2_str credentials, uint8_t hash[T2_PASSWORD_HASH]) {
  return t2_pbkdf2_sha256(credentials.p, credentials.n, password->salt, sizeof(password->salt),
                          password->rounds, hash);
}

int t2_password_make(t2_password *password, t2_str credentials) {
  if (!credentials_valid(credentials)) return T2_ERR_INVALID;
  password->rounds = T2_PASSWORD_ROUNDS;
  t2_random_bytes(password->salt, sizeof(password->salt));
  return derive(password, credentials, password->hash);
}

int t2_password_check(const t2_password *password, t2_str credentials) {
  uint8_t hash[T2_PASSWORD_HASH];

  if (!credentials_valid(credentials)) return T2_ERR_AUTH;
  int err = derive(password, credentials, hash);
  if (err) return err;
  return t2_secret_eq(hash, password->hash, sizeof(hash)) ? 0 : T2_ERR_AUTH;
}

/* "ROUNDS.SALT.HASH", the latter two in hex. */
static void write_password(const t2_password *password, t2_buf *out) {
  char salt[2 * T2_PASSWORD_SALT + 1], hash[2 * T2_PASSWORD_HASH + 1];

  t2_hex_encode(password->salt, sizeof(password->salt), salt);
  t2_hex_encode(password->hash, sizeof(password->hash), hash);
  t2_buf_printf(out, "%u.%s.%s", (unsigned)password->rounds, salt, hash);
}

static bool read_password(t2_str text, t2_password *password) {
  ptrdiff_t first = t2_str_find(text, '.'), last = t2_str_rfind(text, '.');
  uint64_t rounds;

  if (!text.p || first <= 0 || first == last || text.p[0] == '0') return false;
  t2_str salt = t2_str_of(text.p + first + 1, (size_t)(last - first - 1));
  t2_str hash = t2_str_of(text.p + last + 1, text.n - (size_t)last - 1);
  if (t2_str_u64(t2_str_of(text.p, (size_t)first), T2_PASSWORD_ROUNDS_MAX, &rounds)) return false;
  password->rounds = (uint32_t)rounds;
  return rounds >= T2_PASSWORD_ROUNDS_MIN && t2_hex_decode(salt, password->salt, T2_PASSWORD_SALT) == 0 &&
         t2_hex_decode(hash, password->hash, T2_PASSWORD_HASH) == 0;
}

/* ---- Names ---- */

static bool is_letter(char c) {
  return c >= 'a' && c <= 'z';
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool t2_hostname_valid(t2_str s) {
  size_t label = 0, dots = 0;
  bool named = false; /* the label has a letter: it is no IPv4 address's */

  if (s.n == 0 || s.n > T2_HOSTNAME_MAX || s.p[s.n - 1] == '-') return false;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (c == '.') {
      if (label == 0 || s.p[i - 1] == '-') return false;
      label = 0;
      named = false;
      dots++;
    } else if ((!is_letter(c) && !is_digit(c) && (c != '-' || label == 0)) || ++label > 63) {
      return false;
    } else {
      named = named || is_letter(c);
    }
  }
  return label > 0 && dots > 0 && named;
}

/* ---- What requests are told by ---- */

bool t2_terms_set_sticky(t2_terms *terms, t2_sticky by, t2_str name) {
  if (name.n == 0 || name.n > T2_STICKY_NAME_MAX) return false;
  for (size_t i = 0; i < name.n; i++) {
    char c = name.p[i];
    bool capital = c >= 'A' && c <= 'Z';
    if (!is_letter(c) && !is_digit(c) && !capital && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
      return false;
    terms->sticky_name[i] = capital && by == T2_STICKY_HEADER ? (char)(c + ('a' - 'A')) : c;
  }
  terms->sticky_name[name.n] = '\0';
  terms->sticky = by;
  return true;
}

static bool read_sticky(t2_str text, t2_terms *terms) {
  static const t2_str kinds[] = {[T2_STICKY_COOKIE] = {"cookie:", 7}, [T2_STICKY_HEADER] = {"header:", 7}};
  for (t2_sticky by = T2_STICKY_COOKIE; by <= T2_STICKY_HEADER; by++)
    if (text.p && t2_str_starts(text, kinds[by]))
      return t2_terms_set_sticky(terms, by, t2_str_of(text.p + kinds[by].n, text.n - kinds[by].n));
  return false;
}

/* ---- All of them ---- */

bool t2_terms_empty(const t2_terms *terms) {
  return terms->allow_count == 0 && terms->password.rounds == 0 && terms->hostname_count == 0 &&
         terms->sticky == T2_STICKY_NONE;
}

static bool prefixes_equal(const t2_terms *a, const t2_terms *b) {
  if (a->allow_count != b->allow_count) return false;
  for (size_t i = 0; i < a->allow_count; i++)
    if (a->allow[i].bits != b->allow[i].bits ||
        memcmp(a->allow[i].bytes, b->allow[i].bytes, sizeof(a->allow[i].bytes)) != 0)
      return false;
  return true;
}

static bool hostnames_equal(const t2_terms *a, const t2_terms *b) {
  if (a->hostname_count != b->hostname_count) return false;
  for (size_t i = 0; i < a->hostname_count; i++)
    if (strcmp(a->hostnames[i], b->hostnames[i]) != 0) return false;
  return true;
}

bool t2_terms_equal(const t2_terms *a, const t2_terms *b) {
  if (!prefixes_equal(a, b) || !hostnames_equal(a, b) || a->password.rounds != b->password.rounds)
    return false;
  if (a->sticky != b->sticky || strcmp(a->sticky_name, b->sticky_name) != 0) return false;
  return a->password.rounds == 0 || (memcmp(a->password.salt, b->password.salt, T2_PASSWORD_SALT) == 0 &&
                                     memcmp(a->password.hash, b->password.hash, T2_PASSWORD_HASH) == 0);
}

void t2_terms_write(const t2_terms *terms, const char *before, t2_buf *out) {
  char text[T2_PREFIX_TEXT];

  for (size_t i = 0; i < terms->allow_count; i++) {
    t2_prefix_format(&terms->allow[i], text);
    if (i == 0) t2_buf_printf(out, ",\"%sallow\":[", before);
    t2_buf_printf(out, "%s\"%s\"", i ? "," : "", text);
  }
  if (terms->allow_count) t2_buf_append_c(out, "]");
  for (size_t i = 0; i < terms->hostname_count; i++) {
    if (i == 0) t2_buf_printf(out, ",\"%shostnames\":[", before);
    t2_buf_printf(out, "%s\"%s\"", i ? "," : "", terms->hostnames[i]);
  }
  if (terms->hostname_count) t2_buf_append_c(out, "]");
  if (terms->sticky)
    t2_buf_printf(out, ",\"%ssticky\":\"%s:%s\"", before,
                  terms->sticky == T2_STICKY_COOKIE ? "cookie" : "header", terms->sticky_name);
  if (terms->password.rounds == 0) return;
  t2_buf_printf(out, ",\"%sbasic_auth\":\"", before);
  write_password(&terms->password, out);
  t2_buf_append_c(out, "\"");
}

static const json_t *member(const json_t *object, const char *before, const char *name) {
  char whole[64];

  snprintf(whole, sizeof(whole), "%s%s", before, name);
  return json_object_get(object, whole);
}

static t2_str text_of(const json_t *value) {
  return json_is_string(value) ? t2_str_of(json_string_value(value), json_string_length(value)) : T2_STR_NULL;
}

static bool read_allow(const json_t *list, t2_terms *terms) {
  const json_t *value;
  size_t i;

  if (!list) return true;
  if (json_array_size(list) == 0 || json_array_size(list) > T2_TERMS_PREFIXES_MAX) return false;
  json_array_foreach(list, i, value) {
    if (t2_prefix_parse(&terms->allow[i], text_of(value))) return false;
  }
  terms->allow_count = json_array_size(list);
  return true;
}

static bool read_hostnames(const json_t *list, t2_terms *terms) {
  const json_t *value;
  size_t i;

  if (!list) return true;
  if (json_array_size(list) == 0 || json_array_size(list) > T2_TERMS_HOSTNAMES_MAX) return false;
  json_array_foreach(list, i, value) {
    t2_str name = text_of(value);
    if (!name.p || !t2_hostname_valid(name)) return false;
    memcpy(terms->hostnames[i], name.p, name.n);
  }
  terms->hostname_count = json_array_size(list);
  return true;
}

const char *t2_terms_read(const json_t *object, const char *before, t2_terms *terms) {
  const json_t *password = member(object, before, "basic_auth"), *sticky = member(object, before, "sticky");

  memset(terms, 0, sizeof(*terms));
  if (!read_allow(member(object, before, "allow"), terms)) return "allow";
  if (!read_hostnames(member(object, before, "hostnames"), terms)) return "hostnames";
  if (password && !read_password(text_of(password), &terms->password)) return "basic_auth";
  if (sticky && !read_sticky(text_of(sticky), terms)) return "sticky";
  return NULL;
}
