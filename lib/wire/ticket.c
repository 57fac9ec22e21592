#include <wire/ticket.h>

#include <base/base64.h>
#include <inttypes.h>
#include <tunnel2/error.h>
#include <wire/detail.h>
#include <wire/json.h>

#define ID_MIN 3
#define TERMS  "t2_" /* before their names */
/* Decoded, a part is shorter than it was in base64url. */
#define PART_MAX (T2_TICKET_MAX / 4 * 3)

/* A lower-case UUID is such a name too. */
static bool id_valid(t2_str s, size_t max) {
  if (s.n < ID_MIN || s.n > max || s.p[0] == '-' || s.p[s.n - 1] == '-') return false;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

bool t2_session_id_valid(t2_str s) {
  return id_valid(s, T2_SESSION_ID_MAX);
}

bool t2_entry_id_valid(t2_str s) {
  return id_valid(s, T2_ENTRY_ID_MAX);
}

static const char *const kind_names[] = {
    [T2_KIND_HTTP] = "http", [T2_KIND_TCP] = "tcp", [T2_KIND_UDP] = "udp", [T2_KIND_TLS] = "tls"};

const char *t2_kind_name(t2_kind kind) {
  return kind_names[kind];
}

bool t2_kind_parse(t2_str name, t2_kind *kind) {
  for (size_t i = 0; i < T2_COUNT_OF(kind_names); i++) {
    if (!t2_str_eq(name, t2_str_c(kind_names[i]))) continue;
    *kind = (t2_kind)i;
    return true;
  }
  return false;
}

bool t2_kind_has_port(t2_kind kind) {
  return kind == T2_KIND_TCP || kind == T2_KIND_UDP;
}

static bool audience_valid(t2_str s) {
  return t2_str_eq(s, T2_STR(T2_TICKET_ANY_ENTRY)) || t2_entry_id_valid(s);
}

/* 1 to max characters that are safe to print, and in JSON to leave as they are. */
static bool visible(t2_str s, size_t max) {
  if (s.n == 0 || s.n > max) return false;
  for (size_t i = 0; i < s.n; i++)
    if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\') return false;
  return true;
}

static bool time_valid(int64_t seconds) {
  return seconds >= 0 && seconds <= T2_TICKET_TIME_MAX;
}

/* ---- Signing ---- */

/* A member that ends with its NUL. */
#define MEMBER(array) t2_str_of((array), strnlen((array), sizeof(array)))

static bool ticket_valid(const t2_ticket *ticket) {
  if (ticket->issuer[0] && !visible(MEMBER(ticket->issuer), sizeof(ticket->issuer) - 1)) return false;
  if (!t2_session_id_valid(MEMBER(ticket->session))) return false;
  if (!visible(MEMBER(ticket->id), sizeof(ticket->id) - 1)) return false;
  if (ticket->audience_count == 0 || ticket->audience_count > T2_TICKET_AUDIENCES_MAX) return false;
  for (size_t i = 0; i < ticket->audience_count; i++)
    if (!audience_valid(MEMBER(ticket->audience[i]))) return false;
  if ((size_t)ticket->kind >= T2_COUNT_OF(kind_names)) return false;
  if (ticket->port && !t2_kind_has_port(ticket->kind)) return false;
  if (ticket->kind == T2_KIND_TLS && ticket->terms.hostname_count == 0) return false;
  return time_valid(ticket->issued_at) && time_valid(ticket->not_before) && time_valid(ticket->expires_at);
}

/* Written by hand: what goes in between quotes has been found free of anything JSON would escape. */
static void write_claims(const t2_ticket *ticket, t2_buf *out) {
  t2_buf_printf(out, "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":[",
                ticket->issuer[0] ? ticket->issuer : T2_TICKET_ISSUER, ticket->session);
  for (size_t i = 0; i < ticket->audience_count; i++)
    t2_buf_printf(out, "%s\"%s\"", i ? "," : "", ticket->audience[i]);
  t2_buf_printf(out, "],\"exp\":%" PRId64 ",\"nbf\":%" PRId64 ",\"iat\":%" PRId64 ",\"jti\":\"%s\"",
                ticket->expires_at, ticket->not_before, ticket->issued_at, ticket->id);
  if (ticket->max_uplinks) t2_buf_printf(out, ",\"t2_max_uplinks\":%" PRIu32, ticket->max_uplinks);
  if (ticket->max_streams) t2_buf_printf(out, ",\"t2_max_streams\":%" PRIu32, ticket->max_streams);
  if (ticket->kind) t2_buf_printf(out, ",\"t2_kind\":\"%s\"", t2_kind_name(ticket->kind));
  if (ticket->port) t2_buf_printf(out, ",\"t2_port\":%u", (unsigned)ticket->port);
  t2_terms_write(&ticket->terms, TERMS, out);
  t2_buf_append_byte(out, '}');
}

/* Moves what is in `part` to the end of jwt, in base64url. */
static void append_part(t2_buf *jwt, t2_buf *part) {
  t2_base64url_encode(jwt, t2_buf_head(part), t2_buf_len(part));
  jwt->failed |= part->failed;
  t2_buf_reset(part);
}

/* header "." claims: what is signed (RFC 7515, 5.1). */
static void write_signed_part(const t2_ticket *ticket, const char *kid, t2_buf *jwt, t2_buf *part) {
  t2_buf_printf(part, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
  append_part(jwt, part);
  t2_buf_append_byte(jwt, '.');
  write_claims(ticket, part);
  append_part(jwt, part);
}

int t2_ticket_sign(const t2_ticket *ticket, const t2_keys *keys, t2_buf *out) {
  uint8_t sig[T2_ES256_SIG_LEN];
  t2_buf jwt, part;

  if (keys->n == 0 || !t2_es256_is_private(keys->list[0].key)) return T2_ERR_STATE;
  if (!ticket_valid(ticket)) return T2_ERR_INVALID;
  t2_buf_init(&jwt, keys->mem);
  t2_buf_init(&part, keys->mem);
  write_signed_part(ticket, keys->list[0].kid, &jwt, &part);
  int r =
      jwt.failed ? T2_ERR_NOMEM : t2_es256_sign(keys->list[0].key, t2_buf_head(&jwt), t2_buf_len(&jwt), sig);
  if (r == 0) {
    t2_buf_append_byte(&jwt, '.');
    t2_base64url_encode(&jwt, sig, sizeof(sig));
    r = jwt.failed ? T2_ERR_NOMEM : t2_buf_append(out, t2_buf_head(&jwt), t2_buf_len(&jwt));
  }
  t2_buf_fini(&part);
  t2_buf_fini(&jwt);
  return r;
}

/* ---- Verifying ---- */

/* The three parts of a compact JWS, still encoded, and what is signed of it. */
typedef struct compact {
  t2_str header, payload, signature, input;
} compact;

static bool split(t2_str jwt, compact *parts) {
  ptrdiff_t first = t2_str_find(jwt, '.'), last = t2_str_rfind(jwt, '.');

  if (first < 0 || first == last) return false;
  parts->input = t2_str_of(jwt.p, (size_t)last);
  parts->header = t2_str_of(jwt.p, (size_t)first);
  parts->payload = t2_str_of(jwt.p + first + 1, (size_t)(last - first - 1));
  parts->signature = t2_str_of(jwt.p + last + 1, jwt.n - (size_t)last - 1);
  return t2_str_find(parts->payload, '.') < 0;
}

/* A part's JSON object, or NULL. */
static json_t *decode_object(t2_str part) {
  uint8_t text[PART_MAX];
  size_t n;

  if (t2_base64url_decode(part, text, sizeof(text), &n)) return NULL;
  return t2_json_object(t2_str_of((char *)text, n));
}

/* Checks the header and finds the key it names; a sentence when there is something wrong with it. What else
 * is in it (jwk, jku, x5c, ...) is never looked at: keys come from the set alone (RFC 8725, 3.10). */
static const char *check_header(const json_t *header, const t2_keys *keys, t2_es256_key **key) {
  t2_str alg, typ, kid;

  if (t2_json_text(header, "alg", &alg) != 1 || !t2_str_eq(alg, T2_STR("ES256")))
    return "the ticket is not signed with ES256";
  int r = t2_json_text(header, "typ", &typ);
  if (r < 0 || (r == 1 && !t2_str_eq(typ, T2_STR("JWT")))) return "the ticket's typ is not JWT";
  if (json_object_get(header, "crit")) return "the ticket has critical extensions";
  if (t2_json_text(header, "kid", &kid) != 1) return "the ticket names no key";
  *key = t2_keys_find(keys, kid);
  return *key ? NULL : "the ticket's key is unknown";
}

static int check_signature(const compact *parts, t2_es256_key *key, char *detail, size_t detail_size) {
  uint8_t sig[T2_ES256_SIG_LEN];
  size_t n;

  if (t2_base64url_decode(parts->signature, sig, sizeof(sig), &n) || n != sizeof(sig))
    return t2_detail(detail, detail_size, T2_ERR_AUTH, "the ticket's signature is malformed");
  int r = t2_es256_verify(key, parts->input.p, parts->input.n, sig);
  if (r == T2_ERR_AUTH) return t2_detail(detail, detail_size, r, "the ticket's signature is not valid");
  return r ? t2_detail(detail, detail_size, r, "out of memory") : 0;
}

/* Copies a required text of at most size - 1 bytes. */
static bool read_text(const json_t *claims, const char *name, char *out, size_t size) {
  t2_str text;

  if (t2_json_text(claims, name, &text) != 1 || !visible(text, size - 1)) return false;
  memcpy(out, text.p, text.n);
  out[text.n] = '\0';
  return true;
}

static bool read_limit(const json_t *claims, const char *name, uint32_t *limit) {
  int64_t number = 0;

  if (t2_json_integer(claims, name, 0, UINT32_MAX, &number) < 0) return false;
  *limit = (uint32_t)number;
  return true;
}

static bool read_kind(const json_t *claims, t2_kind *kind) {
  t2_str name;
  int given = t2_json_text(claims, "t2_kind", &name);

  return given == 0 || (given == 1 && t2_kind_parse(name, kind));
}

static bool read_port(const json_t *claims, t2_kind kind, uint16_t *port) {
  int64_t number = 0;

  if (t2_json_integer(claims, "t2_port", 0, UINT16_MAX, &number) < 0) return false;
  *port = (uint16_t)number;
  return number == 0 || t2_kind_has_port(kind);
}

static bool read_time(const json_t *claims, const char *name, int64_t *seconds) {
  return t2_json_integer(claims, name, 0, T2_TICKET_TIME_MAX, seconds) == 1;
}

static bool add_audience(const json_t *value, t2_ticket *ticket) {
  t2_str text = t2_str_of(json_string_value(value), json_string_length(value));

  if (!json_is_string(value) || !audience_valid(text)) return false;
  if (ticket->audience_count == T2_TICKET_AUDIENCES_MAX) return false;
  memcpy(ticket->audience[ticket->audience_count], text.p, text.n);
  ticket->audience[ticket->audience_count++][text.n] = '\0';
  return true;
}

/* One text or an array of them (RFC 7519, 4.1.3). */
static bool read_audience(const json_t *claims, t2_ticket *ticket) {
  const json_t *aud = json_object_get(claims, "aud"), *value;
  size_t i;

  if (!json_is_array(aud)) return add_audience(aud, ticket);
  json_array_foreach(aud, i, value) if (!add_audience(value, ticket)) return false;
  return ticket->audience_count > 0;
}

/* Fills the ticket; the name of the claim that is missing or malformed, or NULL. */
static const char *read_claims(const json_t *claims, t2_ticket *ticket) {
  const char *wrong;

  if (!read_text(claims, "iss", ticket->issuer, sizeof(ticket->issuer))) return "iss";
  if (!read_text(claims, "sub", ticket->session, sizeof(ticket->session))) return "sub";
  if (!t2_session_id_valid(t2_str_c(ticket->session))) return "sub";
  if (!read_audience(claims, ticket)) return "aud";
  if (!read_text(claims, "jti", ticket->id, sizeof(ticket->id))) return "jti";
  if (!read_time(claims, "exp", &ticket->expires_at)) return "exp";
  if (!read_time(claims, "nbf", &ticket->not_before)) return "nbf";
  if (!read_time(claims, "iat", &ticket->issued_at)) return "iat";
  if (!read_limit(claims, "t2_max_uplinks", &ticket->max_uplinks)) return "t2_max_uplinks";
  if (!read_limit(claims, "t2_max_streams", &ticket->max_streams)) return "t2_max_streams";
  if (!read_kind(claims, &ticket->kind)) return "t2_kind";
  if (!read_port(claims, ticket->kind, &ticket->port)) return "t2_port";
  if ((wrong = t2_terms_read(claims, TERMS, &ticket->terms)))
    return strcmp(wrong, "allow") == 0       ? "t2_allow"
           : strcmp(wrong, "hostnames") == 0 ? "t2_hostnames"
           : strcmp(wrong, "sticky") == 0    ? "t2_sticky"
                                             : "t2_basic_auth";
  if (ticket->kind == T2_KIND_TLS && ticket->terms.hostname_count == 0) return "t2_hostnames";
  return NULL;
}

static bool for_entry(const t2_ticket *ticket, t2_str entry) {
  for (size_t i = 0; i < ticket->audience_count; i++) {
    t2_str audience = t2_str_c(ticket->audience[i]);
    if (t2_str_eq(audience, T2_STR(T2_TICKET_ANY_ENTRY)) || t2_str_eq(audience, entry)) return true;
  }
  return false;
}

/* How much later the first is; no more than can be said in few digits, whatever a caller's clock says. */
static int64_t apart(int64_t later, int64_t earlier) {
  int64_t most = T2_TICKET_TIME_MAX;
  if (later > most || earlier < 0) return most;
  return later - earlier;
}

/* Times are bounded, so that no sum here overflows. iat orders the tickets of a session, and does no more: it
 * never goes back, where tunneld's clock may. */
static int check_claims(const t2_ticket *ticket, t2_str entry, int64_t now, char *detail,
                        size_t detail_size) {
  if (!t2_str_eq(t2_str_c(ticket->issuer), T2_STR(T2_TICKET_ISSUER)))
    return t2_detail(detail, detail_size, T2_ERR_AUTH, "the ticket is from another issuer");
  if (now < ticket->not_before - T2_TICKET_LEEWAY_SECONDS)
    return t2_detail(detail, detail_size, T2_ERR_AUTH,
                     "the ticket is not valid yet: by the clock here it begins in %" PRId64
                     " s, so one of the clocks is wrong",
                     apart(ticket->not_before, now));
  if (now >= ticket->expires_at + T2_TICKET_LEEWAY_SECONDS)
    return t2_detail(detail, detail_size, T2_ERR_EXPIRED,
                     "the ticket has expired, by the clock here %" PRId64 " s ago",
                     apart(now, ticket->expires_at));
  if (!for_entry(ticket, entry))
    return t2_detail(detail, detail_size, T2_ERR_FORBIDDEN, "the ticket is for other entries");
  return 0;
}

/* Form, header and signature: after it the payload is tunneld's. */
static int authenticate(t2_str jwt, const t2_keys *keys, compact *parts, char *detail, size_t detail_size) {
  t2_es256_key *key;

  if (jwt.n > T2_TICKET_MAX)
    return t2_detail(detail, detail_size, T2_ERR_AUTH, "the ticket is longer than %d bytes", T2_TICKET_MAX);
  if (!split(jwt, parts))
    return t2_detail(detail, detail_size, T2_ERR_AUTH,
                     "the ticket is not three parts with dots between them");
  json_t *header = decode_object(parts->header);
  if (!header) return t2_detail(detail, detail_size, T2_ERR_AUTH, "the ticket's header is not a JSON object");
  const char *wrong = check_header(header, keys, &key);
  json_decref(header);
  if (wrong) return t2_detail(detail, detail_size, T2_ERR_AUTH, "%s", wrong);
  return check_signature(parts, key, detail, detail_size);
}

int t2_ticket_verify(t2_str jwt, const t2_keys *keys, t2_str entry, int64_t now_seconds, t2_ticket *ticket,
                     char *detail, size_t detail_size) {
  compact parts = {0};

  memset(ticket, 0, sizeof(*ticket));
  int r = authenticate(jwt, keys, &parts, detail, detail_size);
  if (r) return r;
  json_t *claims = decode_object(parts.payload);
  if (!claims)
    return t2_detail(detail, detail_size, T2_ERR_AUTH, "the ticket's claims are not a JSON object");
  const char *wrong = read_claims(claims, ticket);
  json_decref(claims);
  r = wrong ? t2_detail(detail, detail_size, T2_ERR_AUTH, "the ticket's claim %s is missing or malformed",
                        wrong)
            : check_claims(ticket, entry, now_seconds, detail, detail_size);
  if (r && r != T2_ERR_EXPIRED && r != T2_ERR_FORBIDDEN) memset(ticket, 0, sizeof(*ticket));
  return r;
}
