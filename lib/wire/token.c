#include <wire/token.h>

#include <base/base64.h>
#include <wire/detail.h>

#include <stdlib.h>
#include <tunnel2/error.h>

#define HASH_PREFIX "sha256:"

static const struct {
  const char *name;
  t2_role role;
} roles_by_name[] = {{"client", T2_ROLE_CLIENT}, {"entry", T2_ROLE_ENTRY}, {"admin", T2_ROLE_ADMIN}};

#define ALL_ROLES ((unsigned)(T2_ROLE_CLIENT | T2_ROLE_ENTRY | T2_ROLE_ADMIN))

void t2_tokens_init(t2_tokens *tokens, const t2_allocator *mem) {
  *tokens = (t2_tokens){.mem = mem};
}

void t2_tokens_fini(t2_tokens *tokens) {
  t2_free(tokens->mem, tokens->list);
  t2_tokens_init(tokens, tokens->mem);
}

static bool alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Is it one or more of letters, digits and `others`? */
static bool made_of(t2_str s, const char *others) {
  for (size_t i = 0; i < s.n; i++)
    if (!alphanumeric(s.p[i]) && (s.p[i] == '\0' || !strchr(others, s.p[i]))) return false;
  return s.n > 0;
}

static bool owner_valid(t2_str owner) {
  return owner.n <= T2_OWNER_MAX && made_of(owner, "._@-");
}

/* b64token of RFC 6750, 2.1: '=' stands at the end only. */
static bool b64token(t2_str token) {
  while (token.n && token.p[token.n - 1] == '=')
    token.n--;
  return made_of(token, "-._~+/");
}

bool t2_token_valid(t2_str token) {
  return token.n >= T2_TOKEN_MIN && token.n <= T2_TOKEN_MAX && b64token(token);
}

/* ---- The set ---- */

/* Does not look for one that is already there. */
static int append(t2_tokens *tokens, t2_str owner, unsigned roles, const uint8_t hash[T2_SHA256_LEN]) {
  if (tokens->n == T2_TOKENS_MAX) return T2_ERR_LIMIT;
  if (tokens->n == tokens->cap) {
    size_t cap = tokens->cap ? tokens->cap * 2 : 4;
    t2_token *list = t2_realloc(tokens->mem, tokens->list, cap * sizeof(*list));
    if (!list) return T2_ERR_NOMEM;
    tokens->list = list;
    tokens->cap = cap;
  }
  t2_token *token = &tokens->list[tokens->n++];
  memset(token, 0, sizeof(*token));
  memcpy(token->hash, hash, T2_SHA256_LEN);
  memcpy(token->owner, owner.p, owner.n);
  token->roles = roles;
  return 0;
}

/* All entries are looked at, so that the time says nothing about which one it was or how much of it was
 * right. */
static const t2_token *find(const t2_tokens *tokens, const uint8_t hash[T2_SHA256_LEN]) {
  const t2_token *found = NULL;

  for (size_t i = 0; i < tokens->n; i++)
    if (t2_memcmp_ct(tokens->list[i].hash, hash, T2_SHA256_LEN) == 0) found = &tokens->list[i];
  return found;
}

int t2_tokens_add(t2_tokens *tokens, const char *owner, unsigned roles, t2_str token) {
  uint8_t hash[T2_SHA256_LEN];
  t2_str name = t2_str_c(owner);

  if (!owner_valid(name) || roles == 0 || roles & ~ALL_ROLES || !t2_token_valid(token)) return T2_ERR_INVALID;
  t2_sha256(token.p, token.n, hash);
  return find(tokens, hash) ? T2_ERR_CONFLICT : append(tokens, name, roles, hash);
}

const t2_token *t2_tokens_check(const t2_tokens *tokens, t2_str token) {
  uint8_t hash[T2_SHA256_LEN];

  if (!t2_token_valid(token)) return NULL;
  t2_sha256(token.p, token.n, hash);
  return find(tokens, hash);
}

/* ---- The file ---- */

static int parse_roles(t2_str text, unsigned *roles) {
  t2_str name;

  *roles = 0;
  while (t2_str_next(&text, ',', &name)) {
    unsigned role = 0;
    for (size_t i = 0; i < T2_COUNT_OF(roles_by_name); i++)
      if (t2_str_eq(name, t2_str_c(roles_by_name[i].name))) role = roles_by_name[i].role;
    if (role == 0) return T2_ERR_INVALID;
    *roles |= role;
  }
  return *roles ? 0 : T2_ERR_INVALID;
}

static int parse_secret(t2_str text, uint8_t hash[T2_SHA256_LEN]) {
  t2_str prefix = T2_STR(HASH_PREFIX);

  if (t2_str_starts(text, prefix))
    return t2_hex_decode(t2_str_of(text.p + prefix.n, text.n - prefix.n), hash, T2_SHA256_LEN);
  if (!t2_token_valid(text)) return T2_ERR_INVALID;
  t2_sha256(text.p, text.n, hash);
  return 0;
}

/* Takes the next word off *rest: empty at the end. */
static t2_str next_word(t2_str *rest) {
  t2_str trimmed = t2_str_trim(*rest);
  size_t n = 0;

  while (n < trimmed.n && trimmed.p[n] != ' ' && trimmed.p[n] != '\t')
    n++;
  *rest = t2_str_of(trimmed.p + n, trimmed.n - n);
  return t2_str_of(trimmed.p, n);
}

/* One line without its end and comment; *wrong is set when it returns T2_ERR_INVALID. */
static int parse_line(t2_tokens *tokens, t2_str line, const char **wrong) {
  uint8_t hash[T2_SHA256_LEN];
  unsigned roles;
  t2_str owner = next_word(&line), role_names = next_word(&line), secret = next_word(&line);

  if (owner.n == 0) return 0;
  *wrong = "an owner is 1 to 63 letters, digits, '.', '_', '@' and '-'";
  if (!owner_valid(owner)) return T2_ERR_INVALID;
  *wrong = "the roles are client, entry and admin, with commas between them";
  if (parse_roles(role_names, &roles)) return T2_ERR_INVALID;
  *wrong = "a token is 16 to 256 letters, digits and -._~+/, or sha256: and 64 hex digits in lower case";
  if (parse_secret(secret, hash)) return T2_ERR_INVALID;
  *wrong = "there is something behind the token";
  if (next_word(&line).n) return T2_ERR_INVALID;
  return append(tokens, owner, roles, hash);
}

/* Takes the next line off *rest, without its end (LF or CRLF) and comment. */
static t2_str next_line(t2_str *rest) {
  ptrdiff_t end = t2_str_find(*rest, '\n');
  size_t n = end < 0 ? rest->n : (size_t)end, taken = end < 0 ? n : n + 1;
  t2_str line = t2_str_of(rest->p, n);

  *rest = t2_str_of(rest->p + taken, rest->n - taken);
  if (t2_str_ends(line, T2_STR("\r"))) line.n--;
  ptrdiff_t comment = t2_str_find(line, '#');
  if (comment >= 0) line.n = (size_t)comment;
  return line;
}

/* numbers[i] becomes the line of token i. */
static int parse_lines(t2_tokens *tokens, t2_str text, uint32_t *numbers, char *detail, size_t detail_size) {
  const char *wrong = "";
  uint32_t number = 0;

  while (text.n) {
    size_t before = tokens->n;
    t2_str line = next_line(&text);
    int r = parse_line(tokens, line, &wrong);
    number++;
    if (r == T2_ERR_INVALID) return t2_detail(detail, detail_size, r, "line %u: %s", number, wrong);
    if (r) return t2_detail(detail, detail_size, r, "line %u: %s", number, t2_strerror(r));
    if (tokens->n > before) numbers[before] = number;
  }
  return 0;
}

typedef struct hash_line {
  uint8_t hash[T2_SHA256_LEN];
  uint32_t line;
} hash_line;

static int by_hash_then_line(const void *a, const void *b) {
  const hash_line *x = a, *y = b;
  int order = memcmp(x->hash, y->hash, T2_SHA256_LEN);

  return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* The first line, in the file's order, whose token stood on a line before: sorted, not compared pairwise,
 * since a file may have T2_TOKENS_MAX of them. */
static int check_unique(const t2_tokens *tokens, const uint32_t *numbers, char *detail, size_t detail_size) {
  uint32_t again = 0;
  hash_line *lines = t2_alloc(tokens->mem, tokens->n * sizeof(*lines));

  if (!lines) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "%s", t2_strerror(T2_ERR_NOMEM));
  for (size_t i = 0; i < tokens->n; i++) {
    memcpy(lines[i].hash, tokens->list[i].hash, T2_SHA256_LEN);
    lines[i].line = numbers[i];
  }
  qsort(lines, tokens->n, sizeof(*lines), by_hash_then_line);
  for (size_t i = 1; i < tokens->n; i++)
    if (memcmp(lines[i - 1].hash, lines[i].hash, T2_SHA256_LEN) == 0 && (!again || lines[i].line < again))
      again = lines[i].line;
  t2_free(tokens->mem, lines);
  if (!again) return 0;
  return t2_detail(detail, detail_size, T2_ERR_CONFLICT, "line %u: the token stands on a line before", again);
}

static int parse_all(t2_tokens *tokens, t2_str text, char *detail, size_t detail_size) {
  uint32_t *numbers = t2_alloc(tokens->mem, T2_TOKENS_MAX * sizeof(*numbers));

  if (!numbers) return t2_detail(detail, detail_size, T2_ERR_NOMEM, "%s", t2_strerror(T2_ERR_NOMEM));
  int r = parse_lines(tokens, text, numbers, detail, detail_size);
  if (r == 0) r = check_unique(tokens, numbers, detail, detail_size);
  t2_free(tokens->mem, numbers);
  return r;
}

int t2_tokens_parse(t2_tokens *tokens, t2_str text, char *detail, size_t detail_size) {
  t2_tokens read;

  t2_tokens_init(&read, tokens->mem);
  int r = parse_all(&read, text, detail, detail_size);
  if (r) {
    t2_tokens_fini(&read);
    return r;
  }
  t2_tokens_fini(tokens);
  *tokens = read;
  return 0;
}

int t2_tokens_format(const t2_tokens *tokens, t2_buf *out) {
  char hex[2 * T2_SHA256_LEN + 1];

  for (size_t i = 0; i < tokens->n; i++) {
    const t2_token *token = &tokens->list[i];
    const char *separator = " ";
    t2_buf_append_c(out, token->owner);
    for (size_t j = 0; j < T2_COUNT_OF(roles_by_name); j++) {
      if (!(token->roles & (unsigned)roles_by_name[j].role)) continue;
      t2_buf_printf(out, "%s%s", separator, roles_by_name[j].name);
      separator = ",";
    }
    t2_hex_encode(token->hash, T2_SHA256_LEN, hex);
    t2_buf_printf(out, " " HASH_PREFIX "%s\n", hex);
  }
  return out->failed ? T2_ERR_NOMEM : 0;
}

/* ---- Authorization ---- */

int t2_bearer_parse(t2_str authorization, t2_str *token) {
  t2_str scheme = T2_STR("Bearer");
  t2_str rest = t2_str_trim(authorization);

  if (rest.n <= scheme.n || !t2_str_eq_nocase(t2_str_of(rest.p, scheme.n), scheme)) return T2_ERR_AUTH;
  rest = t2_str_of(rest.p + scheme.n, rest.n - scheme.n);
  if (rest.p[0] != ' ') return T2_ERR_AUTH;
  /* 1*SP between the two (RFC 9110, 11.4). */
  while (rest.n && rest.p[0] == ' ')
    rest = t2_str_of(rest.p + 1, rest.n - 1);
  if (!b64token(rest)) return T2_ERR_AUTH;
  *token = rest;
  return 0;
}
