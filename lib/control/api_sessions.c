#include <base/random.h>
#include <control/address.h>
#include <control/api.h>
#include <control/issue.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define URLS_MAX (T2_MESSAGE_ENTRIES_MAX * T2_SESSION_URLS_MAX)

/* What is written here goes into JSON as it is: ids, owners and URLs have been checked to be of characters
 * that need no escape, and a ticket is base64url. */

/* ---- Registration ---- */

static bool is_uuid(t2_str s) {
  if (s.n != T2_UUID_LEN) return false;
  for (size_t i = 0; i < s.n; i++) {
    bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? s.p[i] != '-' : s.p[i] == '\0' || !strchr("0123456789abcdefABCDEF", s.p[i])) return false;
  }
  return true;
}

/* A registration. */
typedef struct asked {
  t2_str id;
  char uuid[T2_UUID_LEN + 1]; /* `id`, when none was given */
  t2_kind kind;
  uint16_t port;
  t2_terms terms;
} asked;

static const char *read_kind(const json_t *content, asked *a) {
  t2_str name;
  int64_t port;
  int given = t2_json_text(content, "kind", &name);

  if (given < 0 || (given && !t2_kind_parse(name, &a->kind)))
    return "\"kind\" is \"http\", \"tcp\", \"udp\" or \"tls\"";
  given = t2_json_integer(content, "remote_port", 1, UINT16_MAX, &port);
  if (given < 0) return "\"remote_port\" is a number from 1 to 65535";
  if (given && !t2_kind_has_port(a->kind)) return "\"remote_port\" is for \"kind\" \"tcp\" and \"udp\" alone";
  if (given) a->port = (uint16_t)port;
  return NULL;
}

static const char *read_terms(const json_t *content, asked *a) {
  const char *wrong = t2_terms_read(content, "", &a->terms);

  if (wrong && strcmp(wrong, "allow") == 0)
    return "\"allow\" is 1 to 16 addresses or prefixes, such as \"192.0.2.0/24\"";
  if (wrong && strcmp(wrong, "hostnames") == 0)
    return "\"hostnames\" is 1 to 8 host names in lower case, such as \"www.example.com\"";
  if (wrong && strcmp(wrong, "sticky") == 0)
    return "\"sticky\" is \"cookie:NAME\" or \"header:NAME\", with a name of 63 bytes at most";
  if (wrong) return "\"basic_auth\" is ROUNDS.SALT.HASH of PBKDF2-HMAC-SHA256";
  if (a->kind != T2_KIND_HTTP && a->terms.password.rounds)
    return "\"basic_auth\" is for \"kind\" \"http\" alone";
  if (a->kind != T2_KIND_HTTP && a->terms.sticky) return "\"sticky\" is for \"kind\" \"http\" alone";
  if (t2_kind_has_port(a->kind) && a->terms.hostname_count)
    return "\"hostnames\" is for \"kind\" \"http\" and \"tls\" alone";
  if (a->kind == T2_KIND_TLS && a->terms.hostname_count == 0)
    return "\"hostnames\" is needed for \"kind\" \"tls\"";
  return NULL;
}

/* What is asked for, or what is wrong with it. */
static const char *read_request(const json_t *content, asked *a) {
  t2_str instance;
  int given = t2_json_text(content, "session", &a->id);

  if (given < 0 || (given && !t2_session_id_valid(a->id)))
    return "\"session\" is a UUID in lower case, or a name: 3 to 63 of a-z, 0-9 and -, without - at either "
           "end";
  given = t2_json_text(content, "instance", &instance);
  if (given < 0 || (given && !is_uuid(instance))) return "\"instance\" is a UUID";
  const char *wrong = read_kind(content, a);
  if (!wrong) wrong = read_terms(content, a);
  if (wrong || a->id.n) return wrong;
  t2_uuid(a->uuid);
  a->id = t2_str_c(a->uuid);
  return NULL;
}

static bool is_among(char urls[][T2_SESSION_URL_MAX], size_t n, const char *url) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(urls[i], url) == 0) return true;
  return false;
}

/* Entries may share a public address: each is said once. */
static void put_urls(t2_buf *out, const t2_entry_list *list, const char *session) {
  char said[URLS_MAX][T2_SESSION_URL_MAX], urls[T2_SESSION_URLS_MAX][T2_SESSION_URL_MAX];
  size_t n = 0;

  for (size_t i = 0; i < list->n; i++) {
    size_t count = t2_session_urls(list->entries[i], session, urls);
    for (size_t j = 0; j < count; j++) {
      if (is_among(said, n, urls[j])) continue;
      memcpy(said[n], urls[j], sizeof(urls[j]));
      t2_buf_printf(out, "%s\"%s\"", n++ ? "," : "", urls[j]);
    }
  }
}

static bool has_site(const t2_name_site *sites, size_t n, const t2_name_site *site) {
  for (size_t i = 0; i < n; i++)
    if (sites[i].secure == site->secure && strcmp(sites[i].port, site->port) == 0) return true;
  return false;
}

/* Behind others: its names of its own, with the ports of all entries, each once. */
static void put_named_urls(t2_buf *out, const t2_entry_list *list, const t2_terms *terms) {
  t2_name_site sites[T2_MESSAGE_ENTRIES_MAX * T2_NAME_SITES_MAX], some[T2_NAME_SITES_MAX];
  size_t n = 0;

  for (size_t i = 0; i < list->n; i++) {
    size_t count = t2_name_sites(list->entries[i], some);
    for (size_t j = 0; j < count; j++)
      if (!has_site(sites, n, &some[j])) sites[n++] = some[j];
  }
  for (size_t i = 0; i < terms->hostname_count; i++)
    for (size_t j = 0; j < n; j++)
      t2_buf_printf(out, ",\"%s://%s%s/\"", sites[j].secure ? "https" : "http", terms->hostnames[i],
                    sites[j].port);
}

static void put_entries(t2_buf *out, const t2_entry_list *list) {
  for (size_t i = 0; i < list->n; i++)
    t2_buf_printf(out, "%s{\"id\":\"%s\",\"uplink\":\"%s\"}", i ? "," : "", list->entries[i]->id,
                  list->entries[i]->uplink);
}

/* The answer: 0 or an error. */
static int grant(t2_control *control, t2_session *session, t2_buf *out) {
  int64_t expires_at;
  t2_entry_list list;

  t2_entry_list_of(&control->store, t2_str_c(session->id), &list);
  t2_buf_printf(out, "{\"session\":\"%s\",\"lease_seconds\":%u,\"ticket\":\"", session->id,
                control->options.lease_seconds);
  int err = t2_issue_ticket(&control->store, &control->keyring.keys, session, &list,
                            t2_channels_now(&control->channels), out, &expires_at);
  t2_buf_append_c(out, "\",\"urls\":[");
  /* Which port is another session's, each entry tells the client. */
  if (session->kind == T2_KIND_HTTP) {
    put_urls(out, &list, session->id);
    if (session->terms) put_named_urls(out, &list, session->terms);
  }
  t2_buf_append_c(out, "],\"entries\":[");
  put_entries(out, &list);
  t2_buf_append_c(out, "]}\n");
  return err ? err : out->failed ? T2_ERR_NOMEM : 0;
}

/* Clients of one session are of one kind. */
static bool is_of_another_kind(const t2_api_call *api, const asked *a) {
  const t2_session *session = t2_store_session(&api->control->store, a->id);

  return session && session->kind != a->kind && strcmp(session->owner->name, api->who->owner) == 0;
}

static void register_session(const t2_api_call *api, const asked *a) {
  t2_control *control = api->control;
  bool known = t2_store_session(&control->store, a->id) != NULL, revoked;
  char id[T2_SESSION_ID_MAX + 1];
  t2_session *session;
  t2_buf out;

  if (is_of_another_kind(api, a)) {
    t2_api_fail(api, T2_ERR_CONFLICT, "the session is of another kind");
    return;
  }
  if (!t2_store_hostnames_free(&control->store, &a->terms, api->who->owner)) {
    t2_api_fail(api, T2_ERR_CONFLICT, "a host name belongs to another owner's session");
    return;
  }
  int err = t2_store_register(&control->store, a->id, api->who->owner, t2_channels_now(&control->channels),
                              &session, &revoked);
  if (err) {
    t2_api_fail(api, err, "the session belongs to another owner");
    return;
  }
  if (revoked) t2_channels_revoked(&control->channels);
  err = t2_store_describe(&control->store, session, a->kind, a->port, &a->terms);
  t2_buf_init(&out, control->loop->mem);
  if (err == 0) err = grant(control, session, &out);
  t2_control_touched(control); /* before the answer: a session that was promised is not lost */
  t2_log_at(&control->loop->log, INFO, "control", "session %s is registered by %s", session->id,
            api->who->owner);
  snprintf(id, sizeof(id), "%s", session->id);
  if (err)
    t2_api_fail(api, err, NULL);
  else
    t2_api_reply(api, 201, &out);
  t2_buf_fini(&out);
  if (!known) t2_control_tell(control, T2_CONTROL_SESSION_REGISTERED, id, api->who->owner, NULL);
}

void t2_api_register(const t2_api_call *api) {
  asked a = {.id = T2_STR_NULL};
  json_t *content = t2_api_content(api);

  if (!content) return;
  const char *wrong = read_request(content, &a);
  if (wrong)
    t2_api_problem(api, 400, wrong);
  else
    register_session(api, &a);
  json_decref(content);
}

/* ---- The end of one ---- */

void t2_api_end_session(const t2_api_call *api) {
  t2_control *control = api->control;
  t2_session *session = t2_store_session(&control->store, api->id);

  if (!session) {
    t2_api_problem(api, 404, "there is no such session");
    return;
  }
  if (!t2_api_is_admin(api) && strcmp(session->owner->name, api->who->owner) != 0) {
    t2_api_problem(api, 403, "the session belongs to another owner");
    return;
  }
  char id[T2_SESSION_ID_MAX + 1], owner[T2_OWNER_MAX + 1];
  snprintf(id, sizeof(id), "%s", session->id);
  snprintf(owner, sizeof(owner), "%s", session->owner->name);
  t2_log_at(&control->loop->log, INFO, "control", "session %s is ended by %s", session->id, api->who->owner);
  t2_channels_release_session(&control->channels, session, "it was deleted");
  t2_store_remove(&control->store, session);
  t2_channels_revoked(&control->channels);
  t2_control_touched(control);
  t2_api_reply(api, 204, NULL);
  t2_control_tell(control, T2_CONTROL_SESSION_ENDED, id, owner, "it was deleted");
}

/* ---- The list ---- */

static void put_session(t2_buf *out, const t2_session *session) {
  t2_buf_printf(out,
                "{\"session\":\"%s\",\"owner\":\"%s\",\"kind\":\"%s\",\"created_at\":%lld,\"channels\":%u,"
                "\"parked\":%u,\"active\":%llu,\"requests\":%llu,\"bytes_in\":%llu,\"bytes_out\":%llu}",
                session->id, session->owner->name, t2_kind_name(session->kind),
                (long long)session->created_at, session->channel_count, session->parked,
                (unsigned long long)session->now.active, (unsigned long long)session->now.requests,
                (unsigned long long)session->now.bytes_in, (unsigned long long)session->now.bytes_out);
}

void t2_api_list_sessions(const t2_api_call *api) {
  const t2_store *store = &api->control->store;
  const char *owner = t2_api_listed_owner(api);
  t2_api_page page;
  t2_buf out;

  if (!t2_api_read_page(api, &page)) return;
  t2_buf_init(&out, store->mem);
  t2_buf_append_c(&out, "{\"sessions\":[");
  const t2_session *session = t2_store_next_session(store, page.after, owner);
  for (uint64_t n = 0; session && n < page.limit; n++) {
    t2_buf_append_c(&out, n ? ",\n" : "\n");
    put_session(&out, session);
    page.after = session->sequence;
    session = t2_store_following_session(store, session, owner);
  }
  t2_buf_append_c(&out, "]");
  if (session) t2_buf_printf(&out, ",\"next\":\"%llu\"", (unsigned long long)page.after);
  t2_buf_append_c(&out, "}\n");
  t2_api_reply(api, 200, &out);
  t2_buf_fini(&out);
}

/* ---- The channel ---- */

void t2_api_open_session(t2_control *control, const t2_server_request *request, const t2_token *who,
                         t2_str id) {
  t2_session *session = t2_store_session(&control->store, id);
  const t2_session *removed = session ? NULL : t2_store_removed(&control->store, id);

  if (control->state != T2_CONTROL_STATE_RUNNING)
    t2_api_refuse(request, 503, "the control plane is draining");
  else if (removed && strcmp(removed->owner->name, who->owner) == 0)
    t2_channels_tell_removed(&control->channels, request, removed);
  else if (!session)
    t2_api_refuse(request, 404, "there is no such session: it has to be registered again");
  else if (strcmp(session->owner->name, who->owner) != 0)
    t2_api_refuse(request, 403, "the session belongs to another owner");
  else
    t2_channels_open_session(&control->channels, request, session);
}
