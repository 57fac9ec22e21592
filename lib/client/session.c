#include <client/addresses.h>
#include <client/state.h>
#include <client/terms.h>
#include <stdio.h>

_Static_assert(T2_CLIENT_UPLINKS_MAX == T2_SCALE_MAX, "the header says how many there may be");

#define UNLISTED_MS 60000 /* how long an entry that the control plane does not name is still dialled */

/* ---- Addresses and readiness ---- */

size_t t2_client_uplinks_up(const t2_client *client) {
  size_t up = 0;
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) up += t2_bundle_up(client->slots[i].bundle);
  return up;
}

static void free_urls(t2_client *client) {
  for (size_t i = 0; i < client->url_count; i++)
    t2_free(client->loop->mem, client->urls[i]);
  client->url_count = 0;
}

static void copy_urls(t2_client *client, const t2_register_answer *registration) {
  free_urls(client);
  for (size_t i = 0; i < registration->url_count; i++) {
    char *url = t2_strdup(client->loop->mem, registration->urls[i]);
    if (url) client->urls[client->url_count++] = url;
  }
}

static bool has_url(const t2_client *client, const char *url) {
  for (size_t i = 0; i < client->url_count; i++)
    if (strcmp(client->urls[i], url) == 0) return true;
  return false;
}

static t2_kind kind_of(const t2_client_options *options) {
  static const t2_kind kinds[] = {[T2_CLIENT_HTTP] = T2_KIND_HTTP,
                                  [T2_CLIENT_TCP] = T2_KIND_TCP,
                                  [T2_CLIENT_UDP] = T2_KIND_UDP,
                                  [T2_CLIENT_TLS] = T2_KIND_TLS};
  return kinds[options->kind];
}

void t2_client_read_addresses(const t2_client *client, t2_str told, t2_client_addresses *out) {
  t2_client_addresses_read(out, kind_of(&client->options), &client->terms, told);
}

static void read_addresses(const t2_client *client, const t2_bundle *bundle, t2_client_addresses *out) {
  t2_client_read_addresses(client, t2_str_c(t2_bundle_address(bundle)), out);
}

static void add_url(t2_client *client, const char *text) {
  if (client->url_count == T2_REGISTER_URLS_MAX || has_url(client, text)) return;
  char *url = t2_strdup(client->loop->mem, text);
  if (url) client->urls[client->url_count++] = url;
}

/* Where a session that is not of HTTP can be reached is what its entries have said. */
static void collect_addresses(t2_client *client) {
  t2_client_addresses found;
  free_urls(client);
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++) {
    const t2_bundle *bundle = client->slots[i].bundle;
    if (!bundle || t2_bundle_up(bundle) == 0) continue;
    read_addresses(client, bundle, &found);
    for (size_t j = 0; j < found.n; j++)
      add_url(client, found.urls[j]);
  }
}

/* Ready is who can be reached, and can say where. */
static void say_ready(t2_client *client) {
  bool by_entries = client->options.kind != T2_CLIENT_HTTP;
  if (client->ready || client->member || (!client->registrar.addressed && !by_entries) ||
      client->state != T2_CLIENT_STATE_RUNNING)
    return;
  if (t2_client_uplinks_up(client) == 0) return;
  if (by_entries) collect_addresses(client);
  client->ready = true;
  t2_client_emit(client, &(t2_client_event){
                             .type = T2_CLIENT_READY,
                             .session = client->registrar.session,
                             .urls = (const char *const *)client->urls,
                             .url_count = client->url_count,
                         });
}

/* ---- Uplinks ---- */

static t2_client_slot *slot_of(t2_client *client, const t2_bundle *bundle) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle == bundle) return &client->slots[i];
  return NULL;
}

/* An entry that has no ports, say, has none the next time either. */
static bool says_it_again(t2_client_slot *slot, const t2_uplink_loss *loss) {
  static const uint64_t key[2] = {0, 0};
  uint64_t why = loss->status == 409 ? t2_siphash(key, loss->reason, strlen(loss->reason)) | 1 : 0;
  bool again = why != 0 && why == slot->refused;
  slot->refused = why;
  return again;
}

static t2_str on_uplink_dial(t2_bundle *bundle, void *user) {
  const t2_client *client = user;
  (void)bundle;
  return t2_registrar_ticket(&client->registrar);
}

static bool misses_uplink(const t2_client *client) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle && t2_bundle_up(client->slots[i].bundle) == 0) return true;
  return false;
}

static void on_uplink_up(t2_bundle *bundle, void *user) {
  t2_client *client = user;
  t2_client_addresses found;
  slot_of(client, bundle)->refused = 0;
  read_addresses(client, bundle, &found);
  t2_client_emit(client, &(t2_client_event){.type = T2_CLIENT_CONNECTED,
                                            .entry = t2_bundle_entry(bundle),
                                            .urls = found.n ? found.urls : NULL,
                                            .url_count = found.n});
  if (!misses_uplink(client)) t2_registrar_miss(&client->registrar, false);
  say_ready(client);
}

/* Gives up on an entry that is both out of reach and out of the control plane's mind. */
static bool give_up(t2_client *client, t2_bundle *bundle) {
  const t2_client_slot *slot = slot_of(client, bundle);
  bool told = t2_registrar_is_up(&client->registrar);
  if (t2_bundle_up(bundle) || slot->listed || !told ||
      t2_loop_now(client->loop) - slot->unlisted_ms < UNLISTED_MS)
    return false;
  t2_bundle_close(bundle);
  t2_client_tell(client, false);
  return true;
}

static void on_uplink_lost(t2_bundle *bundle, const t2_uplink_loss *loss, void *user) {
  t2_client *client = user;
  t2_client_event event = {
      .type = T2_CLIENT_LOST, .entry = t2_bundle_entry(bundle), .error = loss->err, .reason = loss->reason};
  if (client->state != T2_CLIENT_STATE_RUNNING) return;
  if (loss->was_up) t2_client_emit(client, &event);
  if (client->state != T2_CLIENT_STATE_RUNNING || give_up(client, bundle)) return;
  bool ticket = loss->err == T2_ERR_AUTH || loss->err == T2_ERR_FORBIDDEN;
  if (ticket && client->member)
    t2_client_member_renew(client);
  else if (ticket)
    t2_registrar_renew(&client->registrar);
  else if (!loss->was_up && !client->member) /* else it may well be back at once */
    t2_registrar_miss(&client->registrar, true);
  if (loss->going && loss->delay_ms == 0) return; /* another is dialled by now */
  event.type = T2_CLIENT_RETRYING;
  event.delay_ms = loss->delay_ms;
  client->repeats = says_it_again(slot_of(client, bundle), loss);
  t2_client_emit(client, &event);
  client->repeats = false;
}

static void on_request(t2_bundle *bundle, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  (void)bundle;
  t2_client_serve(user, exchange, head, end);
}

static void on_uplinks_gone(t2_bundle *bundle, void *user) {
  t2_client *client = user;
  *slot_of(client, bundle) = (t2_client_slot){0};
  t2_client_settled(client);
}

static const t2_bundle_ops bundle_ops = {
    .on_dial = on_uplink_dial,
    .on_up = on_uplink_up,
    .on_lost = on_uplink_lost,
    .on_request = on_request,
    .on_gone = on_uplinks_gone,
};

/* ---- Entries ---- */

static t2_client_slot *find_entry(t2_client *client, t2_str id) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++) {
    t2_client_slot *slot = &client->slots[i];
    if (slot->bundle && t2_str_eq(t2_str_c(t2_bundle_entry(slot->bundle)), id)) return slot;
  }
  return slot_of(client, NULL);
}

static int open_uplinks(t2_client *client, t2_client_slot *slot, const t2_message_entry *entry, char *detail,
                        size_t size) {
  const t2_client_options *o = &client->options;
  t2_bundle_options options = {
      .uplink = {.proxy = &client->proxy,
                 .entry = entry->id,
                 .url = entry->uplink,
                 .tls = client->uplink_tls,
                 .concurrent_max = o->concurrent_max,
                 .retry_min_ms = o->retry_min_ms,
                 .retry_max_ms = o->retry_max_ms,
                 .instance = client->registrar.instance,
                 .weight = o->weight,
                 .clear = o->uplink_plaintext,
                 .clear_anywhere = o->uplink_plaintext_anywhere},
      .min = o->uplinks_min,
      .max = o->uplinks_max,
  };
  int err = t2_bundle_new(&slot->bundle, &options, &bundle_ops, client, detail, size);
  if (err == 0 && client->health.verdict.out) t2_bundle_set_concurrent_max(slot->bundle, 0);
  return err;
}

static void take_entry(t2_client *client, const t2_message_entry *entry) {
  char detail[256] = "";
  t2_client_slot *slot = find_entry(client, entry->id);
  if (!slot) return;
  int err = slot->bundle ? t2_bundle_set_url(slot->bundle, entry->uplink)
                         : open_uplinks(client, slot, entry, detail, sizeof(detail));
  if (err)
    t2_log_at(&client->loop->log, WARN, "client", "entry %.*s: %s", T2_STR_ARG(entry->id),
              *detail ? detail : t2_strerror(err));
  if (!slot->bundle) return;
  slot->listed = true;
  t2_bundle_start(slot->bundle);
}

/* An entry that is not named any more may come back, or the control plane may just have begun to learn of its
 * entries: an uplink that works stays. */
void t2_client_take_entries(t2_client *client, const t2_message_entry *entries, size_t n) {
  bool was[T2_CLIENT_ENTRIES_MAX];
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++) {
    was[i] = client->slots[i].listed;
    client->slots[i].listed = false;
  }
  for (size_t i = 0; i < n && client->state == T2_CLIENT_STATE_RUNNING; i++)
    take_entry(client, &entries[i]);
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (was[i] && !client->slots[i].listed) client->slots[i].unlisted_ms = t2_loop_now(client->loop);
}

/* ---- The control plane ---- */

void t2_client_renewed(t2_client *client) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) t2_bundle_renewed(client->slots[i].bundle);
}

/* Entries know the terms of a session from the tickets that uplinks show. */
static void redial(t2_client *client) {
  client->redial = false;
  t2_client_redial(client);
  t2_client_members_redial(client);
}

void t2_client_redial(t2_client *client) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) t2_bundle_redial(client->slots[i].bundle);
}

void t2_client_use_tls(t2_client *client) {
  if (!client->member)
    t2_registrar_set_credentials(&client->registrar, client->options.token, client->link_tls);
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) t2_bundle_set_tls(client->slots[i].bundle, client->uplink_tls);
}

static int on_registered(t2_registrar *registrar, const t2_register_answer *answer, bool first, void *user) {
  t2_client *client = user;
  copy_urls(client, answer);
  t2_client_renewed(client);
  if (first)
    t2_client_emit(client, &(t2_client_event){.type = T2_CLIENT_REGISTERED,
                                              .session = registrar->session,
                                              .lease_seconds = answer->lease_seconds});
  if (client->redial) redial(client);
  t2_client_take_entries(client, answer->entries, answer->entry_count);
  t2_client_tell(client, true);
  say_ready(client);
  return 0;
}

static void on_ticket(t2_registrar *registrar, void *user) {
  (void)registrar;
  t2_client_renewed(user);
  t2_client_tell(user, true);
}

static void on_entries(t2_registrar *registrar, const t2_message_entry *entries, size_t n, void *user) {
  (void)registrar;
  t2_client_take_entries(user, entries, n);
  t2_client_tell(user, false);
}

static void on_revoked(t2_registrar *registrar, bool whole, t2_str why, void *user) {
  t2_client *client = user;
  char reason[256];
  (void)registrar;
  if (!whole || client->state != T2_CLIENT_STATE_RUNNING) return;
  snprintf(reason, sizeof(reason), "the control plane ended the session%s%.*s", why.n ? ": " : "",
           T2_STR_ARG(why));
  t2_client_end(client, T2_ERR_CANCELLED, reason);
}

static void on_lost(t2_registrar *registrar, const t2_link_loss *loss, bool final, void *user) {
  t2_client *client = user;
  t2_client_event event = {.type = T2_CLIENT_LOST, .error = loss->err, .reason = loss->reason};
  (void)registrar;
  if (client->state == T2_CLIENT_STATE_DELETING) {
    t2_client_drained(client);
    return;
  }
  if (client->state != T2_CLIENT_STATE_RUNNING) return;
  if (final) {
    t2_client_end(client, loss->err, loss->reason);
    return;
  }
  if (loss->was_up) t2_client_emit(client, &event);
  if (client->state != T2_CLIENT_STATE_RUNNING) return;
  event.type = T2_CLIENT_RETRYING;
  event.delay_ms = loss->delay_ms;
  t2_client_emit(client, &event);
}

static void on_report(t2_registrar *registrar, t2_message *heartbeat, void *user) {
  const t2_client *client = user;
  t2_client_figures all;
  (void)registrar;
  t2_client_count(client, &all);
  t2_client_members_count(client, &all);
  heartbeat->active = all.active;
  heartbeat->requests = all.requests;
  heartbeat->bytes_in = all.bytes_to_origin;
  heartbeat->bytes_out = all.bytes_from_origin;
}

static void on_deleted(t2_registrar *registrar, void *user) {
  (void)registrar;
  t2_client_drained(user);
}

static void on_registrar_gone(t2_registrar *registrar, void *user) {
  (void)registrar;
  t2_client_settled(user);
}

static const t2_registrar_ops registrar_ops = {
    .on_registered = on_registered,
    .on_ticket = on_ticket,
    .on_entries = on_entries,
    .on_revoked = on_revoked,
    .on_lost = on_lost,
    .on_report = on_report,
    .on_deleted = on_deleted,
    .on_gone = on_registrar_gone,
};

void t2_client_init_session(t2_client *client) {
  t2_registrar_init(&client->registrar, client->loop, &registrar_ops, client);
}

int t2_client_read_terms(t2_terms *terms, const t2_client_options *options, char *detail, size_t size) {
  const t2_terms_texts texts = {
      .kind = kind_of(options),
      .allow_ips = options->allow_ips,
      .allow_ip_count = options->allow_ip_count,
      .basic_auth = options->basic_auth,
      .hostnames = options->hostnames,
      .hostname_count = options->hostname_count,
      .sticky_cookie = options->sticky_cookie,
      .sticky_header = options->sticky_header,
  };
  return t2_terms_make(terms, &texts, detail, size);
}

int t2_client_open_session(t2_client *client) {
  const t2_client_options *o = &client->options;
  return t2_registrar_open(&client->registrar, &(t2_registrar_options){.proxy = &client->control,
                                                                       .tls = client->link_tls,
                                                                       .server = o->server,
                                                                       .token = o->token,
                                                                       .session = o->session,
                                                                       .kind = kind_of(o),
                                                                       .port = o->remote_port,
                                                                       .terms = &client->terms,
                                                                       .retry_min_ms = o->retry_min_ms,
                                                                       .retry_max_ms = o->retry_max_ms,
                                                                       .parks = true});
}

void t2_client_fini_session(t2_client *client) {
  free_urls(client);
  t2_registrar_fini(&client->registrar);
}
