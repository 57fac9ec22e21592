#include <client/state.h>
#include <string.h>

/* Reports are the first worker's to free. */
static char *put(char **at, const char *text) {
  char *here = *at;
  size_t n = strlen(text) + 1;
  memcpy(here, text, n);
  *at += n;
  return here;
}

static void send_to_first(const t2_client_member *member, t2_mail *mail) {
  t2_crew_send(t2_crew_worker(member->worker->crew, 0), mail);
}

/* Without memory nobody hears of it. */
static void report(const t2_client *client, const t2_client_event *event, const char *address) {
  const char *entry = event->entry ? event->entry : "", *reason = event->reason ? event->reason : "";
  t2_client_report *r =
      t2_calloc(client->loop->mem, 1, sizeof(*r) + strlen(entry) + strlen(reason) + strlen(address) + 3);
  if (!r) return;
  char *at = (char *)(r + 1);
  r->mail.open = t2_client_on_report;
  r->type = event->type;
  r->error = event->error;
  r->delay_ms = event->delay_ms;
  r->entry = put(&at, entry);
  r->reason = put(&at, reason);
  r->address = put(&at, address);
  send_to_first(client->member, &r->mail);
}

/* ---- What the client tells ---- */

static const char *address_at(const t2_client *client, const char *entry) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle && strcmp(t2_bundle_entry(client->slots[i].bundle), entry) == 0)
      return t2_bundle_address(client->slots[i].bundle);
  return "";
}

void t2_client_member_emit(t2_client *client, const t2_client_event *event) {
  switch (event->type) {
  case T2_CLIENT_CONNECTED:
    report(client, event, address_at(client, event->entry));
    break;
  case T2_CLIENT_LOST:
  case T2_CLIENT_RETRYING:
    report(client, event, "");
    break;
  case T2_CLIENT_ENDED:
    send_to_first(client->member, &client->member->ended);
    break;
  default: /* the first worker's own */
    break;
  }
}

void t2_client_member_renew(t2_client *client) {
  t2_client_member *member = client->member;
  if (!atomic_exchange(&member->renewing, true)) send_to_first(member, &member->renew);
}

/* What succeeds is told when it ends a failure. */
void t2_client_member_on_dialled(int err, void *user) {
  const t2_client *client = user;
  t2_client_member *member = client->member;
  if (err == 0 && !member->dial_failed) return;
  member->dial_failed = err != 0;
  report(client, &(t2_client_event){.error = err}, "");
}

/* ---- What it is told ---- */

static t2_client *client_of(void *worker) {
  return ((t2_client_member *)((const t2_worker *)worker)->part)->client;
}

static void set_concurrent_max(t2_client *client, uint32_t n) {
  bool out = n == 0;
  if (client->health.verdict.out == out) return;
  client->health.verdict.out = out;
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle) t2_bundle_set_concurrent_max(client->slots[i].bundle, n);
}

static void close_others(t2_client *client) {
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++)
    if (client->slots[i].bundle && !client->slots[i].listed) t2_bundle_close(client->slots[i].bundle);
}

static void take(t2_client *client, const t2_client_news *news) {
  if (t2_registrar_follow(&client->registrar, news->session, news->instance, news->ticket))
    t2_log_at(&client->loop->log, WARN, "client", "no memory for the ticket");
  set_concurrent_max(client, news->concurrent_max);
  if (news->renewed) t2_client_renewed(client);
  if (news->redial) t2_client_redial(client);
  t2_client_take_entries(client, news->entries, news->entry_count);
  close_others(client);
}

void t2_client_on_news(t2_mail *mail, void *worker) {
  t2_client_news *news = T2_CONTAINER_OF(mail, t2_client_news, mail);
  t2_client *client = client_of(worker);
  if (client->state == T2_CLIENT_STATE_RUNNING) take(client, news);
  t2_free(client->loop->mem, news);
}

/* The first worker has read the file just before: that it can't be read now is as if nothing had been said.
 */
static void trust_anew(t2_client *client, const char *ca_file) {
  char detail[256] = "";
  t2_tls *link = NULL, *uplink = NULL;
  if (t2_client_make_tls(client, *ca_file ? ca_file : NULL, &link, &uplink, detail, sizeof(detail))) {
    t2_log_at(&client->loop->log, WARN, "client", "a worker goes on with the trust it had: %s", detail);
    return;
  }
  t2_tls *old = client->uplink_tls;
  client->uplink_tls = uplink;
  t2_client_use_tls(client);
  t2_tls_unref(old);
}

void t2_client_on_trust(t2_mail *mail, void *worker) {
  t2_client_trust *trust = T2_CONTAINER_OF(mail, t2_client_trust, mail);
  t2_client *client = client_of(worker);
  if (client->state == T2_CLIENT_STATE_RUNNING) trust_anew(client, trust->ca_file);
  t2_free(client->loop->mem, trust);
}

void t2_client_on_member_drain(t2_mail *mail, void *worker) {
  t2_client_drain(client_of(worker), T2_CONTAINER_OF(mail, t2_client_member, drain)->drain_ms);
}

void t2_client_on_member_end(t2_mail *mail, void *worker) {
  (void)mail;
  t2_client_end(client_of(worker), 0, "");
}

/* ---- Life ---- */

static void on_turn(uv_prepare_t *turn) {
  t2_client_member *member = turn->data;
  uint64_t now[T2_CLIENT_FIGURES];
  t2_client_figures figures;
  t2_client_count(member->client, &figures);
  memcpy(now, &figures, sizeof(now));
  for (size_t i = 0; i < T2_CLIENT_FIGURES; i++)
    atomic_store_explicit(&member->figures[i], now[i], memory_order_relaxed);
}

static void on_turn_closed(uv_handle_t *handle) {
  t2_crew_leave(((t2_client_member *)handle->data)->worker);
}

static void on_closed(void *user) {
  t2_client_member *member = user;
  member->client = NULL;
  uv_close((uv_handle_t *)&member->turn, on_turn_closed);
}

/* The figures stay as they are from here on. */
void t2_client_on_member_close(t2_mail *mail, void *worker) {
  t2_client_member *member = T2_CONTAINER_OF(mail, t2_client_member, close);
  (void)worker;
  uv_prepare_stop(&member->turn);
  t2_client_close(member->client, on_closed, member);
}

/* The prepare handle comes before the loop's, so that it is called behind it (libuv calls the newest first):
 * when all is written. */
int t2_client_member_open(t2_client_member *member, const t2_client_options *options, char *detail,
                          size_t size) {
  uv_loop_t *uv = t2_worker_loop(member->worker);
  member->worker->part = member;
  uv_prepare_init(uv, &member->turn);
  member->turn.data = member;
  uv_prepare_start(&member->turn, on_turn);
  uv_unref((uv_handle_t *)&member->turn);
  int err = t2_client_make_member(member, uv, options, detail, size);
  if (err) uv_close((uv_handle_t *)&member->turn, NULL);
  return err;
}
