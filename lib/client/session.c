#include <client/addresses.h>
#include <client/state.h>
#include <stdio.h>

#define UNLISTED_MS      60000 /* how long an entry that the control plane does not name is still dialled */
#define LIFE_UNKNOWN_S   3600
#define CLIENT_ERROR(st) ((st) == 400 || (st) == 401 || (st) == 403 || (st) == 409 || (st) == 422)

/* ---- Addresses and readiness ---- */

size_t t2_client_uplinks_up(const t2_client *client) {
  size_t up = 0;
  for (size_t i = 0; i < T2_CLIENT_UPLINKS_MAX; i++)
    if (client->slots[i].uplink && t2_uplink_is_up(client->slots[i].uplink)) up++;
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

static t2_kind kind_of(const t2_client *client) {
  static const t2_kind kinds[] = {[T2_CLIENT_HTTP] = T2_KIND_HTTP,
                                  [T2_CLIENT_TCP] = T2_KIND_TCP,
                                  [T2_CLIENT_UDP] = T2_KIND_UDP,
                                  [T2_CLIENT_TLS] = T2_KIND_TLS};
  return kinds[client->options.kind];
}

static void read_addresses(const t2_client *client, const t2_uplink *uplink, t2_client_addresses *out) {
  t2_client_addresses_read(out, kind_of(client), &client->terms, t2_str_c(t2_uplink_address(uplink)));
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
  for (size_t i = 0; i < T2_CLIENT_UPLINKS_MAX; i++) {
    const t2_uplink *uplink = client->slots[i].uplink;
    if (!uplink || !t2_uplink_is_up(uplink)) continue;
    read_addresses(client, uplink, &found);
    for (size_t j = 0; j < found.n; j++)
      add_url(client, found.urls[j]);
  }
}

/* Ready is who can be reached, and can say where. */
static void say_ready(t2_client *client) {
  bool by_entries = client->options.kind != T2_CLIENT_HTTP;
  if (client->ready || (!client->addressed && !by_entries) || client->state != T2_CLIENT_STATE_RUNNING)
    return;
  if (t2_client_uplinks_up(client) == 0) return;
  if (by_entries) collect_addresses(client);
  client->ready = true;
  t2_client_emit(client, &(t2_client_event){
                             .type = T2_CLIENT_READY,
                             .session = client->session,
                             .urls = (const char *const *)client->urls,
                             .url_count = client->url_count,
                         });
}

/* ---- The ticket ---- */

static void on_renewal(t2_timer *timer) {
  t2_client *client = T2_CONTAINER_OF(timer, t2_client, renewal);
  if (client->link) t2_link_register(client->link);
}

/* Its life is counted on this side's clock from its arrival: the clocks of the two ends need not agree. */
static void take_ticket(t2_client *client, t2_str ticket) {
  t2_buf_reset(&client->ticket);
  (void)t2_buf_append_str(&client->ticket, ticket);
  uint64_t life = t2_ticket_life(ticket);
  t2_loop_timer_start(client->loop, &client->renewal, (life ? life : LIFE_UNKNOWN_S) * 1000 / 4 * 3);
  for (size_t i = 0; i < T2_CLIENT_UPLINKS_MAX; i++)
    if (client->slots[i].uplink) t2_uplink_renewed(client->slots[i].uplink);
}

/* ---- Uplinks ---- */

static t2_client_slot *slot_of(t2_client *client, const t2_uplink *uplink) {
  for (size_t i = 0; i < T2_CLIENT_UPLINKS_MAX; i++)
    if (client->slots[i].uplink == uplink) return &client->slots[i];
  return NULL;
}

static t2_str on_uplink_dial(t2_uplink *uplink, void *user) {
  t2_client *client = user;
  return t2_str_of((const char *)t2_buf_head(&client->ticket), t2_buf_len(&client->ticket));
}

static void on_uplink_up(t2_uplink *uplink, void *user) {
  t2_client *client = user;
  t2_client_addresses found;
  read_addresses(client, uplink, &found);
  t2_client_emit(client, &(t2_client_event){.type = T2_CLIENT_CONNECTED,
                                            .entry = t2_uplink_entry(uplink),
                                            .urls = found.n ? found.urls : NULL,
                                            .url_count = found.n});
  say_ready(client);
}

/* Gives up on an entry that is both out of reach and out of the control plane's mind. */
static bool give_up(t2_client *client, t2_uplink *uplink) {
  const t2_client_slot *slot = slot_of(client, uplink);
  bool told = client->link && t2_link_is_up(client->link);
  if (slot->listed || !told || t2_loop_now(client->loop) - slot->unlisted_ms < UNLISTED_MS) return false;
  t2_uplink_close(uplink);
  return true;
}

static void on_uplink_lost(t2_uplink *uplink, const t2_uplink_loss *loss, void *user) {
  t2_client *client = user;
  t2_client_event event = {
      .type = T2_CLIENT_LOST, .entry = t2_uplink_entry(uplink), .error = loss->err, .reason = loss->reason};
  if (client->state != T2_CLIENT_STATE_RUNNING) return;
  if (loss->was_up) t2_client_emit(client, &event);
  if (client->state != T2_CLIENT_STATE_RUNNING || give_up(client, uplink)) return;
  bool ticket = loss->err == T2_ERR_AUTH || loss->err == T2_ERR_FORBIDDEN;
  if (ticket && client->link) t2_link_register(client->link);
  event.type = T2_CLIENT_RETRYING;
  event.delay_ms = loss->delay_ms;
  t2_client_emit(client, &event);
}

static void on_request(t2_uplink *uplink, t2_exchange *exchange, t2_head *head, bool end, void *user) {
  (void)uplink;
  t2_client_serve(user, exchange, head, end);
}

static void on_uplink_gone(t2_uplink *uplink, void *user) {
  t2_client *client = user;
  *slot_of(client, uplink) = (t2_client_slot){0};
  t2_client_settled(client);
}

static const t2_uplink_ops uplink_ops = {
    .on_dial = on_uplink_dial,
    .on_up = on_uplink_up,
    .on_lost = on_uplink_lost,
    .on_request = on_request,
    .on_gone = on_uplink_gone,
};

/* ---- Entries ---- */

static t2_client_slot *find_entry(t2_client *client, t2_str id) {
  for (size_t i = 0; i < T2_CLIENT_UPLINKS_MAX; i++) {
    t2_client_slot *slot = &client->slots[i];
    if (slot->uplink && t2_str_eq(t2_str_c(t2_uplink_entry(slot->uplink)), id)) return slot;
  }
  return slot_of(client, NULL);
}

static int open_uplink(t2_client *client, t2_client_slot *slot, const t2_message_entry *entry, char *detail,
                       size_t size) {
  t2_uplink_options options = {
      .proxy = &client->proxy,
      .entry = entry->id,
      .url = entry->uplink,
      .tls = client->uplink_tls,
      .concurrent_max = client->options.concurrent_max,
      .retry_min_ms = client->options.retry_min_ms,
      .retry_max_ms = client->options.retry_max_ms,
  };
  return t2_uplink_new(&slot->uplink, &options, &uplink_ops, client, detail, size);
}

static void take_entry(t2_client *client, const t2_message_entry *entry) {
  char detail[256] = "";
  t2_client_slot *slot = find_entry(client, entry->id);
  if (!slot) return;
  int err = slot->uplink ? t2_uplink_set_url(slot->uplink, entry->uplink)
                         : open_uplink(client, slot, entry, detail, sizeof(detail));
  if (err)
    t2_log_at(&client->loop->log, WARN, "client", "entry %.*s: %s", T2_STR_ARG(entry->id),
              *detail ? detail : t2_strerror(err));
  if (!slot->uplink) return;
  slot->listed = true;
  t2_uplink_start(slot->uplink);
}

/* An entry that is not named any more may come back, or the control plane may just have begun to learn of its
 * entries: an uplink that works stays. */
static void take_entries(t2_client *client, const t2_message_entry *entries, size_t n) {
  bool was[T2_CLIENT_UPLINKS_MAX];
  for (size_t i = 0; i < T2_CLIENT_UPLINKS_MAX; i++) {
    was[i] = client->slots[i].listed;
    client->slots[i].listed = false;
  }
  for (size_t i = 0; i < n && client->state == T2_CLIENT_STATE_RUNNING; i++)
    take_entry(client, &entries[i]);
  for (size_t i = 0; i < T2_CLIENT_UPLINKS_MAX; i++)
    if (was[i] && !client->slots[i].listed) client->slots[i].unlisted_ms = t2_loop_now(client->loop);
}

/* ---- The control plane ---- */

static int on_register(t2_link *link, t2_buf *body, void *user) {
  const t2_client *client = user;
  return t2_register_request(body, t2_str_c(client->session), client->instance, kind_of(client),
                             client->options.remote_port, &client->terms);
}

static void take_registration(t2_client *client, const t2_register_answer *registration) {
  memcpy(client->session, registration->session.p, registration->session.n);
  client->session[registration->session.n] = '\0';
  client->registered = true;
  client->addressed = client->addressed || registration->entry_count > 0;
  copy_urls(client, registration);
  take_ticket(client, registration->ticket);
  if (!client->linked) {
    client->linked = true;
    t2_client_emit(client, &(t2_client_event){.type = T2_CLIENT_REGISTERED,
                                              .session = client->session,
                                              .lease_seconds = registration->lease_seconds});
  }
  take_entries(client, registration->entries, registration->entry_count);
  say_ready(client);
}

static int on_registered(t2_link *link, t2_str answer, t2_link_grant *grant, char *detail, size_t detail_size,
                         void *user) {
  t2_client *client = user;
  t2_register_answer registration;
  int err = t2_register_answer_parse(&registration, answer, detail, detail_size);
  if (err) return err;
  grant->lease_seconds = registration.lease_seconds;
  snprintf(grant->channel, sizeof(grant->channel), "/v1/sessions/%.*s/channel",
           T2_STR_ARG(registration.session));
  take_registration(client, &registration);
  t2_register_answer_fini(&registration);
  return 0;
}

static void on_revoked(t2_client *client, const t2_message *message) {
  char reason[256];
  if (!t2_str_eq(message->session, t2_str_c(client->session))) return;
  if (message->ticket_id.n) {
    t2_link_register(client->link);
    return;
  }
  snprintf(reason, sizeof(reason), "the control plane ended the session%s%.*s", message->reason.n ? ": " : "",
           T2_STR_ARG(message->reason));
  t2_client_end(client, T2_ERR_CANCELLED, reason);
}

static void on_message(t2_link *link, const t2_message *message, void *user) {
  t2_client *client = user;
  if (message->type == T2_MSG_TICKET) {
    take_ticket(client, message->ticket);
  } else if (message->type == T2_MSG_ENTRIES) {
    take_entries(client, message->entries, message->entry_count);
    if (!client->addressed && message->entry_count && client->link == link) t2_link_register(link);
  } else if (message->type == T2_MSG_REVOKE && client->state == T2_CLIENT_STATE_RUNNING) {
    on_revoked(client, message);
  }
}

static void on_link_lost(t2_link *link, const t2_link_loss *loss, void *user) {
  t2_client *client = user;
  t2_client_event event = {.type = T2_CLIENT_LOST, .error = loss->err, .reason = loss->reason};
  client->linked = false;
  if (client->state == T2_CLIENT_STATE_DELETING) {
    t2_client_drained(client);
    return;
  }
  if (client->state != T2_CLIENT_STATE_RUNNING) return;
  if (!client->registered && CLIENT_ERROR(loss->status)) {
    t2_client_end(client, loss->err, loss->reason);
    return;
  }
  if (loss->was_up) t2_client_emit(client, &event);
  if (client->state != T2_CLIENT_STATE_RUNNING) return;
  event.type = T2_CLIENT_RETRYING;
  event.delay_ms = loss->delay_ms;
  t2_client_emit(client, &event);
}

static void on_report(t2_link *link, t2_message *heartbeat, void *user) {
  t2_client *client = user;
  heartbeat->active = client->proxy.active;
  heartbeat->requests = client->proxy.total;
  heartbeat->bytes_in = client->proxy.bytes_up;
  heartbeat->bytes_out = client->proxy.bytes_down;
}

static void on_deleted(t2_link *link, void *user) {
  t2_client_drained(user);
}

static void on_link_gone(t2_link *link, void *user) {
  t2_client *client = user;
  client->link = NULL;
  t2_client_settled(client);
}

const t2_link_ops t2_client_link_ops = {
    .on_register = on_register,
    .on_registered = on_registered,
    .on_message = on_message,
    .on_lost = on_link_lost,
    .on_report = on_report,
    .on_deleted = on_deleted,
    .on_gone = on_link_gone,
};

void t2_client_init_session(t2_client *client) {
  t2_timer_init(&client->renewal, on_renewal);
  t2_buf_init(&client->ticket, client->loop->mem);
}

void t2_client_fini_session(t2_client *client) {
  free_urls(client);
  if (client->ticket.data) t2_memzero(client->ticket.data, client->ticket.cap);
  t2_buf_fini(&client->ticket);
}
