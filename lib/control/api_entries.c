#include <control/address.h>
#include <control/api.h>
#include <tunnel2/error.h>

/* As in api_sessions.c: what is written has been checked to need no escape. */

/* ---- Announcement ---- */

static bool read_member(const json_t *content, const char *name, t2_str *text) {
  *text = T2_STR_NULL;
  return t2_json_text(content, name, text) >= 0;
}

static int read_announcement(const json_t *content, t2_announcement *announcement, const char **wrong) {
  *wrong = "\"id\", \"uplink\", \"public\", \"public_tls\" and \"domain\" are strings";
  if (!read_member(content, "id", &announcement->id) ||
      !read_member(content, "uplink", &announcement->uplink) ||
      !read_member(content, "public", &announcement->public_url) ||
      !read_member(content, "public_tls", &announcement->public_tls) ||
      !read_member(content, "domain", &announcement->domain))
    return T2_ERR_INVALID;
  return t2_announcement_check(announcement, wrong);
}

static void grant(const t2_api_call *api, const t2_store_entry *entry) {
  t2_control *control = api->control;
  t2_buf out;

  t2_buf_init(&out, control->loop->mem);
  t2_buf_printf(&out, "{\"entry\":\"%s\",\"lease_seconds\":%u,\"keys\":", entry->id,
                control->options.lease_seconds);
  (void)t2_keys_to_jwks(&control->keyring.keys, &out);
  t2_buf_append_c(&out, "}\n");
  t2_api_reply(api, 201, &out);
  t2_buf_fini(&out);
}

static void announce(const t2_api_call *api, const t2_announcement *announcement) {
  t2_control *control = api->control;
  bool known = t2_store_entry_find(&control->store, announcement->id) != NULL, changed;
  t2_store_entry *entry;

  int err = t2_store_announce(&control->store, announcement, api->who->owner,
                              t2_channels_now(&control->channels), &entry, &changed);
  if (err) {
    t2_api_fail(api, err, "the entry belongs to another owner");
    return;
  }
  if (changed) t2_channels_entries_changed(&control->channels);
  t2_control_touched(control);
  t2_log_at(&control->loop->log, INFO, "control", "entry %s is announced by %s: uplinks %s, public %s",
            entry->id, api->who->owner, entry->uplink, entry->public_url);
  grant(api, entry);
  if (!known) t2_control_tell(control, T2_CONTROL_ENTRY_REGISTERED, entry->id, entry->owner, NULL);
}

void t2_api_announce(const t2_api_call *api) {
  t2_announcement announcement;
  const char *wrong;
  json_t *content = t2_api_content(api);

  if (!content) return;
  if (read_announcement(content, &announcement, &wrong))
    t2_api_problem(api, 400, wrong);
  else
    announce(api, &announcement);
  json_decref(content);
}

/* ---- The list ---- */

static void put_entry(t2_buf *out, const t2_store_entry *entry) {
  t2_buf_printf(out,
                "{\"id\":\"%s\",\"owner\":\"%s\",\"uplink\":\"%s\",\"public\":\"%s\",\"domain\":\"%s\","
                "\"created_at\":%lld,\"connected\":%s,\"active\":%llu,\"requests\":%llu,\"bytes_in\":%llu,"
                "\"bytes_out\":%llu}",
                entry->id, entry->owner, entry->uplink, entry->public_url, entry->domain,
                (long long)entry->created_at, entry->channel ? "true" : "false",
                (unsigned long long)entry->active, (unsigned long long)entry->requests,
                (unsigned long long)entry->bytes_in, (unsigned long long)entry->bytes_out);
}

void t2_api_list_entries(const t2_api_call *api) {
  const t2_store *store = &api->control->store;
  const char *owner = t2_api_listed_owner(api);
  t2_api_page page;
  t2_buf out;

  if (!t2_api_read_page(api, &page)) return;
  t2_buf_init(&out, store->mem);
  t2_buf_append_c(&out, "{\"entries\":[");
  const t2_store_entry *entry = t2_store_next_entry(store, page.after, owner);
  for (uint64_t n = 0; entry && n < page.limit; n++) {
    t2_buf_append_c(&out, n ? ",\n" : "\n");
    put_entry(&out, entry);
    page.after = entry->sequence;
    entry = t2_store_next_entry(store, page.after, owner);
  }
  t2_buf_append_c(&out, "]");
  if (entry) t2_buf_printf(&out, ",\"next\":\"%llu\"", (unsigned long long)page.after);
  t2_buf_append_c(&out, "}\n");
  t2_api_reply(api, 200, &out);
  t2_buf_fini(&out);
}

/* ---- The channel ---- */

void t2_api_open_entry(t2_control *control, const t2_server_request *request, const t2_token *who,
                       t2_str id) {
  t2_store_entry *entry = t2_store_entry_find(&control->store, id);

  if (control->state != T2_CONTROL_STATE_RUNNING)
    t2_api_refuse(request, 503, "the control plane is draining");
  else if (!entry)
    t2_api_refuse(request, 404, "there is no such entry: it has to be announced again");
  else if (strcmp(entry->owner, who->owner) != 0)
    t2_api_refuse(request, 403, "the entry belongs to another owner");
  else
    t2_channels_open_entry(&control->channels, request, entry);
}

void t2_api_open_watcher(t2_control *control, const t2_server_request *request, const t2_token *who,
                         t2_str id) {
  (void)who, (void)id;
  if (control->state != T2_CONTROL_STATE_RUNNING)
    t2_api_refuse(request, 503, "the control plane is draining");
  else
    t2_channels_open_watcher(&control->channels, request);
}

/* ---- Keys ---- */

static void reply_keys(const t2_api_call *api, int status) {
  t2_buf out;

  t2_buf_init(&out, api->control->loop->mem);
  (void)t2_keys_to_jwks(&api->control->keyring.keys, &out);
  t2_buf_append_c(&out, "\n");
  t2_api_reply(api, status, &out);
  t2_buf_fini(&out);
}

void t2_api_show_keys(const t2_api_call *api) {
  reply_keys(api, 200);
}

void t2_api_rotate_keys(const t2_api_call *api) {
  json_t *content = t2_api_content(api);

  if (!content) return;
  json_decref(content);
  int err = t2_control_rotate(api->control);
  if (err == T2_ERR_LIMIT)
    t2_api_problem(api, 409, "as many keys as there can be are still needed by tickets");
  else if (err)
    t2_api_fail(api, err, NULL);
  else
    reply_keys(api, 201);
}
