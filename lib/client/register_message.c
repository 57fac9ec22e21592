#include <base/base64.h>
#include <client/register_message.h>
#include <tunnel2/error.h>
#include <wire/detail.h>
#include <wire/json.h>

#define PAYLOAD_MAX T2_TICKET_MAX

int t2_register_request(t2_buf *out, t2_str session, const char *instance, t2_kind kind, uint16_t port,
                        const t2_terms *terms) {
  json_t *body = json_pack("{s:s}", "instance", instance);
  int err = body ? 0 : T2_ERR_NOMEM;
  if (err == 0 && session.n && json_object_set_new(body, "session", json_stringn(session.p, session.n)))
    err = T2_ERR_NOMEM;
  if (err == 0 && kind && json_object_set_new(body, "kind", json_string(t2_kind_name(kind))))
    err = T2_ERR_NOMEM;
  if (err == 0 && port && json_object_set_new(body, "remote_port", json_integer(port))) err = T2_ERR_NOMEM;
  char *text = err ? NULL : json_dumps(body, JSON_COMPACT);
  json_decref(body);
  if (!text) return T2_ERR_NOMEM;
  t2_buf_append_c(out, text);
  free(text);
  if (!out->failed) out->end--; /* the brace */
  t2_terms_write(terms, "", out);
  return t2_buf_append_c(out, "}");
}

static void read_urls(t2_register_answer *answer) {
  const json_t *urls = json_object_get(answer->json, "urls");
  size_t n = json_array_size(urls);
  for (size_t i = 0; i < n && answer->url_count < T2_REGISTER_URLS_MAX; i++) {
    const char *url = json_string_value(json_array_get(urls, i));
    if (url) answer->urls[answer->url_count++] = url;
  }
}

static void read_entries(t2_register_answer *answer) {
  const json_t *entries = json_object_get(answer->json, "entries");
  size_t n = json_array_size(entries);
  for (size_t i = 0; i < n && answer->entry_count < T2_MESSAGE_ENTRIES_MAX; i++) {
    const json_t *item = json_array_get(entries, i);
    t2_message_entry *entry = &answer->entries[answer->entry_count];
    if (json_is_object(item) && t2_json_text(item, "id", &entry->id) == 1 &&
        t2_json_text(item, "uplink", &entry->uplink) == 1 && t2_entry_id_valid(entry->id))
      answer->entry_count++;
  }
}

/* A ticket becomes part of a field's value: it has to be in the alphabet of a compact JWT. */
static bool is_compact(t2_str ticket) {
  for (size_t i = 0; i < ticket.n; i++) {
    char c = ticket.p[i];
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word && c != '-' && c != '_' && c != '.') return false;
  }
  return ticket.n > 0 && ticket.n <= T2_TICKET_MAX;
}

static const char *read_required(t2_register_answer *answer) {
  int64_t lease;
  if (t2_json_text(answer->json, "session", &answer->session) != 1 || !t2_session_id_valid(answer->session))
    return "has no session id";
  if (t2_json_text(answer->json, "ticket", &answer->ticket) != 1 || !is_compact(answer->ticket))
    return "has no ticket";
  if (t2_json_integer(answer->json, "lease_seconds", 1, 86400, &lease) != 1) return "has no lease";
  answer->lease_seconds = (unsigned)lease;
  return NULL;
}

int t2_register_answer_parse(t2_register_answer *answer, t2_str body, char *detail, size_t detail_size) {
  *answer = (t2_register_answer){.json = body.n <= T2_REGISTER_MAX ? t2_json_object(body) : NULL};
  const char *wrong = answer->json ? read_required(answer) : "is no JSON object";
  if (wrong) {
    t2_register_answer_fini(answer);
    return t2_detail(detail, detail_size, T2_ERR_PROTOCOL, "the control plane's answer %s", wrong);
  }
  read_urls(answer);
  read_entries(answer);
  return 0;
}

void t2_register_answer_fini(t2_register_answer *answer) {
  json_decref(answer->json);
  *answer = (t2_register_answer){0};
}

static uint64_t life_of_claims(t2_str claims) {
  int64_t begins, expires;
  json_t *json = t2_json_object(claims);
  bool known = json && t2_json_integer(json, "nbf", 0, T2_TICKET_TIME_MAX, &begins) == 1 &&
               t2_json_integer(json, "exp", 0, T2_TICKET_TIME_MAX, &expires) == 1 && expires > begins;
  json_decref(json);
  return known ? (uint64_t)(expires - begins) : 0;
}

uint64_t t2_ticket_life(t2_str ticket) {
  uint8_t claims[PAYLOAD_MAX];
  size_t n;
  ptrdiff_t first = t2_str_find(ticket, '.'), last = t2_str_rfind(ticket, '.');
  if (first < 0 || last <= first + 1) return 0;
  t2_str payload = t2_str_of(ticket.p + first + 1, (size_t)(last - first - 1));
  if (t2_base64url_decode(payload, claims, sizeof(claims), &n)) return 0;
  return life_of_claims(t2_str_of((const char *)claims, n));
}
