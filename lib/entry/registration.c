#include <base/file.h>
#include <entry/state.h>
#include <stdio.h>
#include <stdlib.h>
#include <wire/detail.h>
#include <wire/json.h>

#define REFUSED_FOR_GOOD(status) ((status) == 400 || (status) == 401 || (status) == 403 || (status) == 409)

/* ---- Keys ---- */

void t2_entry_load_keys(t2_entry *entry) {
  char detail[128] = "";
  t2_buf text;
  if (!entry->strings.keys_file) return;
  t2_buf_init(&text, entry->loop->mem);
  int err = t2_file_read(entry->strings.keys_file, T2_JWKS_MAX, &text);
  if (err == 0)
    err = t2_keys_from_jwks(&entry->keys, (const char *)t2_buf_head(&text), t2_buf_len(&text), detail,
                            sizeof(detail));
  if (err && err != T2_ERR_NOT_FOUND)
    t2_log_at(&entry->loop->log, WARN, "entry", "%s is of no use: %s", entry->strings.keys_file,
              *detail ? detail : t2_strerror(err));
  t2_buf_fini(&text);
}

/* Takes over a set from the control plane, and keeps it for the next start. */
static int take_keys(t2_entry *entry, t2_str jwks, char *detail, size_t size) {
  int err = t2_keys_from_jwks(&entry->keys, jwks.p, jwks.n, detail, size);
  if (err) return err;
  t2_entry_tell_keys(entry, jwks);
  if (!entry->strings.keys_file) return 0;
  err = t2_file_write(entry->strings.keys_file, jwks.p, jwks.n, 0600);
  if (err)
    t2_log_at(&entry->loop->log, WARN, "entry", "%s can't be written: %s", entry->strings.keys_file,
              t2_strerror(err));
  return 0;
}

/* ---- Registration ---- */

static int on_register(t2_link *link, t2_buf *body, void *user) {
  const t2_entry *entry = user;
  (void)link;
  const t2_entry_options *o = &entry->options;
  json_t *json =
      json_pack("{s:s, s:s, s:s, s:s, s:s*}", "id", entry->id, "uplink", o->advertise_uplink, "public",
                o->advertise_public, "domain", o->domain, "public_tls", entry->strings.public_tls_url);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  json_decref(json);
  if (!text) return T2_ERR_NOMEM;
  int err = t2_buf_append_c(body, text);
  free(text);
  return err;
}

static int read_keys(t2_entry *entry, const json_t *answer, char *detail, size_t size) {
  const json_t *keys = json_object_get(answer, "keys");
  if (!keys) return 0;
  char *text = json_dumps(keys, JSON_COMPACT);
  if (!text) return T2_ERR_PROTOCOL;
  int err = take_keys(entry, t2_str_c(text), detail, size);
  free(text);
  return err;
}

static int read_answer(t2_entry *entry, const json_t *answer, t2_link_grant *grant, char *detail,
                       size_t size) {
  int64_t lease;
  if (!answer)
    return t2_detail(detail, size, T2_ERR_PROTOCOL, "the control plane's answer is no JSON object");
  if (t2_json_integer(answer, "lease_seconds", 1, 86400, &lease) != 1)
    return t2_detail(detail, size, T2_ERR_PROTOCOL, "the control plane's answer has no lease");
  grant->lease_seconds = (unsigned)lease;
  snprintf(grant->channel, sizeof(grant->channel), "/v1/entries/%s/channel", entry->id);
  return read_keys(entry, answer, detail, size);
}

static int on_registered(t2_link *link, t2_str text, t2_link_grant *grant, char *detail, size_t size,
                         void *user) {
  t2_entry *entry = user;
  (void)link;
  json_t *answer = t2_json_object(text);
  int err = read_answer(entry, answer, grant, detail, size);
  json_decref(answer);
  if (err) return err;
  bool again = entry->linked;
  entry->registered = entry->linked = true;
  entry->lost = false;
  if (again) return 0;
  t2_log_at(&entry->loop->log, INFO, "entry", "entry %s is registered", entry->id);
  t2_entry_emit(entry, &(t2_entry_event){.type = T2_ENTRY_REGISTERED, .entry = entry->id});
  return 0;
}

/* ---- The channel ---- */

static void on_message(t2_link *link, const t2_message *message, void *user) {
  t2_entry *entry = user;
  char detail[128] = "";
  (void)link;
  if (message->type == T2_MSG_REVOKE) {
    t2_uplinks_revoke(&entry->uplinks, message);
    t2_entry_tell_revoked(entry, message);
  } else if (message->type == T2_MSG_KEYS) {
    int err = take_keys(entry, message->jwks, detail, sizeof(detail));
    if (err)
      t2_log_at(&entry->loop->log, WARN, "entry", "the control plane sent keys that are of no use: %s",
                *detail ? detail : t2_strerror(err));
  }
}

static void on_report(t2_link *link, t2_message *heartbeat, void *user) {
  t2_entry_stats all = {.size = sizeof(all)};
  (void)link;
  t2_entry_get_stats(user, &all);
  heartbeat->active = all.exchanges_active;
  heartbeat->requests = all.exchanges;
  heartbeat->bytes_in = all.bytes_to_clients;
  heartbeat->bytes_out = all.bytes_from_clients;
}

/* Serving goes on without the control plane; only an entry that could never serve gives up. */
static void on_lost(t2_link *link, const t2_link_loss *loss, void *user) {
  t2_entry *entry = user;
  (void)link;
  if (entry->state != T2_ENTRY_STATE_RUNNING) return;
  if (!entry->registered && entry->keys.n == 0 && REFUSED_FOR_GOOD(loss->status)) {
    t2_entry_end(entry, loss->err, loss->reason);
    return;
  }
  t2_log_at(&entry->loop->log, WARN, "entry", "no control plane (%s): again in %u ms", loss->reason,
            (unsigned)loss->delay_ms);
  entry->linked = false;
  t2_entry_event event = {
      .type = T2_ENTRY_LOST, .entry = entry->id, .error = loss->err, .reason = loss->reason};
  if (!entry->lost) {
    entry->lost = true;
    t2_entry_emit(entry, &event);
  }
  if (entry->state != T2_ENTRY_STATE_RUNNING) return;
  event.type = T2_ENTRY_RETRYING;
  event.delay_ms = loss->delay_ms;
  t2_entry_emit(entry, &event);
}

static void on_gone(t2_link *link, void *user) {
  t2_entry *entry = user;
  (void)link;
  entry->link = NULL;
  t2_entry_settled(entry);
}

const t2_link_ops t2_entry_link_ops = {
    .on_register = on_register,
    .on_registered = on_registered,
    .on_message = on_message,
    .on_lost = on_lost,
    .on_report = on_report,
    .on_gone = on_gone,
};
