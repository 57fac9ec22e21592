#include <client/addresses.h>
#include <client/state.h>
#include <stdio.h>
#include <wire/detail.h>

#define AGAIN_MS 1000 /* after which the members are told what there was no memory for */

struct t2_client_members {
  t2_client *client;
  t2_crew *crew;
  unsigned n;
  bool ending, closing;
  bool renewed; /* there was no memory for the news of it */
  bool redial;  /* is to be told */
  t2_timer again;
  t2_client_member list[];
};

/* ---- Options ---- */

int t2_client_workers_check(const t2_client_options *o, char *detail, size_t size) {
  if (o->workers > T2_WORKERS_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "workers: at most %d are taken", T2_WORKERS_MAX);
  if (o->workers > 1 && o->handler)
    return t2_detail(detail, size, T2_ERR_INVALID, "a handler answers on one loop: it can't have %u workers",
                     o->workers);
  return 0;
}

uint32_t t2_client_share(uint32_t n, unsigned workers, unsigned number) {
  uint32_t share = n / workers + (number < n % workers);
  return share ? share : 1;
}

/* ---- News ---- */

static size_t listed(const t2_client *client, t2_message_entry entries[T2_CLIENT_ENTRIES_MAX]) {
  size_t n = 0;
  for (size_t i = 0; i < T2_CLIENT_ENTRIES_MAX; i++) {
    const t2_bundle *bundle = client->slots[i].bundle;
    if (bundle)
      entries[n++] = (t2_message_entry){t2_str_c(t2_bundle_entry(bundle)), t2_str_c(t2_bundle_url(bundle))};
  }
  return n;
}

static t2_str put(char **at, t2_str text) {
  t2_str put = t2_str_of(*at, text.n);
  if (text.n) memcpy(*at, text.p, text.n);
  *at += text.n;
  return put;
}

static t2_client_news *write_news(const t2_client *client, bool renewed) {
  t2_message_entry entries[T2_CLIENT_ENTRIES_MAX];
  size_t n = listed(client, entries);
  t2_str ticket = t2_registrar_ticket(&client->registrar);
  size_t size = sizeof(t2_client_news) + n * sizeof(entries[0]) + ticket.n;
  for (size_t i = 0; i < n; i++)
    size += entries[i].id.n + entries[i].uplink.n;
  t2_client_news *news = t2_calloc(client->loop->mem, 1, size);
  if (!news) return NULL;
  char *at = (char *)&news->entries[n];
  news->mail.open = t2_client_on_news;
  news->renewed = renewed;
  news->redial = client->members->redial;
  news->concurrent_max = client->health.verdict.out ? 0 : client->options.concurrent_max;
  memcpy(news->session, client->registrar.session, sizeof(news->session));
  memcpy(news->instance, client->registrar.instance, sizeof(news->instance));
  news->ticket = put(&at, ticket);
  news->entry_count = n;
  for (size_t i = 0; i < n; i++)
    news->entries[i] = (t2_message_entry){put(&at, entries[i].id), put(&at, entries[i].uplink)};
  return news;
}

void t2_client_tell(t2_client *client, bool renewed) {
  t2_client_members *members = client->members;
  if (!members || members->ending || client->state != T2_CLIENT_STATE_RUNNING) return;
  renewed = renewed || members->renewed;
  bool short_of_memory = false;
  members->renewed = false;
  for (unsigned i = 0; i < members->n; i++) {
    t2_client_news *news = write_news(client, renewed);
    if (news) {
      t2_crew_send(members->list[i].worker, &news->mail);
    } else {
      short_of_memory = true;
      members->renewed = renewed;
      t2_loop_timer_start(client->loop, &members->again, AGAIN_MS);
    }
  }
  members->redial = members->redial && short_of_memory;
}

void t2_client_members_redial(t2_client *client) {
  if (client->members) client->members->redial = true;
}

/* Without memory they go on as they do. */
void t2_client_members_trust(t2_client *client, const char *ca_file) {
  t2_client_members *members = client->members;
  size_t n = ca_file ? strlen(ca_file) : 0;
  if (!members || members->ending) return;
  for (unsigned i = 0; i < members->n; i++) {
    t2_client_trust *trust = t2_calloc(client->loop->mem, 1, sizeof(*trust) + n + 1);
    if (!trust) return;
    trust->mail.open = t2_client_on_trust;
    memcpy(trust->ca_file, ca_file ? ca_file : "", n + 1);
    t2_crew_send(members->list[i].worker, &trust->mail);
  }
}

static void on_again(t2_timer *timer) {
  t2_client_tell(T2_CONTAINER_OF(timer, t2_client_members, again)->client, false);
}

/* ---- Reports ---- */

/* An uplink is up at a member, or is not. */
static void pass_on(t2_client *client, const t2_client_report *report) {
  t2_client_addresses found;
  t2_client_event event = {.type = report->type,
                           .entry = report->entry,
                           .error = report->error,
                           .reason = *report->reason ? report->reason : NULL,
                           .delay_ms = report->delay_ms};
  if (report->type == T2_CLIENT_CONNECTED) {
    t2_client_read_addresses(client, t2_str_c(report->address), &found);
    event.urls = found.n ? found.urls : NULL;
    event.url_count = found.n;
  }
  t2_client_emit(client, &event);
}

void t2_client_on_report(t2_mail *mail, void *worker) {
  t2_client_report *report = T2_CONTAINER_OF(mail, t2_client_report, mail);
  t2_client *client = ((const t2_worker *)worker)->part;
  const t2_allocator *mem = client->loop->mem;
  if (!report->type)
    t2_client_health_on_dialled(report->error, &client->health);
  else if (client->state == T2_CLIENT_STATE_RUNNING)
    pass_on(client, report);
  t2_free(mem, report);
}

void t2_client_on_member_ended(t2_mail *mail, void *worker) {
  t2_client_member *member = T2_CONTAINER_OF(mail, t2_client_member, ended);
  (void)worker;
  member->over = true;
  t2_client_settled(member->first);
}

void t2_client_on_member_renew(t2_mail *mail, void *worker) {
  t2_client_member *member = T2_CONTAINER_OF(mail, t2_client_member, renew);
  (void)worker;
  atomic_store(&member->renewing, false);
  if (member->first->state == T2_CLIENT_STATE_RUNNING) t2_registrar_renew(&member->first->registrar);
}

/* ---- Making ---- */

typedef struct hiring {
  t2_client_member *member;
  const t2_client_options *options;
  char *detail;
  size_t size;
} hiring;

static int open_member(void *user) {
  const hiring *h = user;
  return t2_client_member_open(h->member, h->options, h->detail, h->size);
}

static int hire_one(t2_client_members *members, const t2_client_options *options, char *detail, size_t size) {
  t2_client_member *member = &members->list[members->n];
  unsigned number = members->n + 1;
  member->worker = t2_crew_worker(members->crew, number);
  member->first = members->client;
  member->drain.open = t2_client_on_member_drain;
  member->end.open = t2_client_on_member_end;
  member->close.open = t2_client_on_member_close;
  member->ended.open = t2_client_on_member_ended;
  member->renew.open = t2_client_on_member_renew;
  int err = t2_crew_call(member->worker, open_member, &(hiring){member, options, detail, size});
  if (err) return err;
  t2_crew_engage(members->crew);
  members->n++;
  return 0;
}

/* The uplinks that were asked for are those of all. */
static void share(t2_client_options *options, const t2_client_options *given, unsigned workers,
                  unsigned number) {
  options->uplinks_min = t2_client_share(given->uplinks_min, workers, number);
  options->uplinks_max = t2_client_share(given->uplinks_max, workers, number);
}

int t2_client_hire(t2_client *client, const t2_client_options *given, char *detail, size_t size) {
  unsigned workers = given->handler ? 1 : t2_crew_workers(given->workers);
  t2_client_options options = *given;
  if (workers == 1) return 0;
  t2_client_members *members =
      t2_calloc(client->loop->mem, 1, sizeof(*members) + (workers - 1) * sizeof(members->list[0]));
  if (!members) return T2_ERR_NOMEM;
  members->client = client;
  t2_timer_init(&members->again, on_again);
  int err = t2_crew_new(&members->crew, client->loop, workers, "tunnelc");
  if (err) {
    t2_free(client->loop->mem, members);
    return t2_detail(detail, size, err, "no threads for %u workers", workers);
  }
  client->members = members;
  t2_crew_worker(members->crew, 0)->part = client;
  share(&client->options, given, workers, 0);
  while (err == 0 && members->n < workers - 1) {
    share(&options, given, workers, members->n + 1);
    err = hire_one(members, &options, detail, size);
  }
  return err;
}

/* ---- Ending ---- */

void t2_client_members_drain(t2_client *client, uint64_t timeout_ms) {
  t2_client_members *members = client->members;
  for (unsigned i = 0; members && i < members->n; i++) {
    members->list[i].drain_ms = timeout_ms;
    t2_crew_send(members->list[i].worker, &members->list[i].drain);
  }
}

void t2_client_members_end(t2_client *client) {
  t2_client_members *members = client->members;
  if (!members || members->ending) return;
  members->ending = true;
  t2_loop_timer_stop(client->loop, &members->again);
  for (unsigned i = 0; i < members->n; i++)
    t2_crew_send(members->list[i].worker, &members->list[i].end);
}

static void on_crew_close(void *user) {
  t2_client *client = user;
  t2_free(client->loop->mem, client->members);
  client->members = NULL;
  t2_client_settled(client);
}

void t2_client_members_close(t2_client *client) {
  t2_client_members *members = client->members;
  if (!members || members->closing) return;
  members->ending = members->closing = true;
  t2_loop_timer_stop(client->loop, &members->again);
  for (unsigned i = 0; i < members->n; i++)
    t2_crew_send(members->list[i].worker, &members->list[i].close);
  t2_crew_close(members->crew, on_crew_close, client);
}

bool t2_client_members_any(const t2_client *client) {
  const t2_client_members *members = client->members;
  for (unsigned i = 0; members && i < members->n; i++)
    if (!members->list[i].over) return true;
  return false;
}

/* ---- What is known ---- */

void t2_client_members_count(const t2_client *client, t2_client_figures *figures) {
  const t2_client_members *members = client->members;
  uint64_t sum[T2_CLIENT_FIGURES];
  if (!members) return;
  memcpy(sum, figures, sizeof(sum));
  for (unsigned i = 0; i < members->n; i++)
    for (size_t j = 0; j < T2_CLIENT_FIGURES; j++)
      sum[j] += atomic_load_explicit(&members->list[i].figures[j], memory_order_relaxed);
  memcpy(figures, sum, sizeof(sum));
}
