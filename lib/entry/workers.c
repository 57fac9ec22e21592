#include <entry/state.h>
#include <stdio.h>
#include <unistd.h>
#include <wire/detail.h>

uint32_t t2_entry_share(const t2_entry *entry, uint32_t bound) {
  uint32_t size = entry->members ? entry->members->size : 1;
  return bound ? (bound - 1) / size + 1 : 0;
}

/* ---- Dealing ---- */

static unsigned load(const t2_entry_member *member, t2_entry_lane lane) {
  return atomic_load_explicit(&member->load[lane], memory_order_relaxed);
}

static bool has_room(void *user) {
  const t2_entry_dealer *dealer = user;
  const t2_entry_members *members = dealer->entry->members;
  unsigned sum = 0;
  if (!members) return true;
  for (unsigned i = 0; i < members->size; i++)
    sum += load(&members->list[i], dealer->lane);
  return members->connections_max[dealer->lane] == 0 || sum < members->connections_max[dealer->lane];
}

/* A connection on its way; mail. */
typedef struct dealt {
  t2_mail mail;
  t2_entry_lane lane;
  int fd;
  t2_address peer;
} dealt;

static t2_server *server_of(const t2_entry *entry, t2_entry_lane lane) {
  t2_server *const servers[] = {entry->public_server, entry->public_tls_server, entry->uplink_server};
  return servers[lane];
}

static void on_dealt(t2_mail *mail, void *user) {
  dealt *d = T2_CONTAINER_OF(mail, dealt, mail);
  t2_entry_member *member = ((const t2_worker *)user)->part;
  t2_server *server = member->entry ? server_of(member->entry, d->lane) : NULL;
  if (server) {
    t2_server_feed(server, d->fd, &d->peer);
  } else {
    close(d->fd);
    atomic_fetch_sub_explicit(&member->load[d->lane], 1, memory_order_relaxed);
  }
  t2_free(member->all->mem, d);
}

static t2_entry_member *idlest(t2_entry_members *members, t2_entry_lane lane) {
  t2_entry_member *best = &members->list[0];
  for (unsigned i = 1; i < members->size; i++)
    if (load(&members->list[i], lane) < load(best, lane)) best = &members->list[i];
  return best;
}

/* To the worker that has the fewest, so that few connections are spread as evenly as many, and a client's
 * uplinks over all of them. */
static bool deal(int fd, const t2_address *peer, void *user) {
  const t2_entry_dealer *dealer = user;
  t2_entry *entry = dealer->entry;
  if (!entry->members) return false;
  t2_entry_member *to = idlest(entry->members, dealer->lane);
  dealt *d = to->worker->number ? t2_alloc(entry->loop->mem, sizeof(*d)) : NULL;
  if (!d) to = &entry->members->list[0];
  atomic_fetch_add_explicit(&to->load[dealer->lane], 1, memory_order_relaxed);
  if (!d) return false;
  *d = (dealt){.mail.open = on_dealt, .lane = dealer->lane, .fd = fd, .peer = *peer};
  t2_crew_send(to->worker, &d->mail);
  return true;
}

static const t2_deal_ops deal_ops = {has_room, deal};

void t2_entry_set_lane(t2_entry *entry, t2_listener_options *options, t2_entry_lane lane) {
  if (!entry->members) return;
  options->load = &entry->member->load[lane];
  if (t2_entry_is_second(entry)) {
    options->fed = true;
  } else {
    entry->dealers[lane] = (t2_entry_dealer){entry, lane};
    entry->members->connections_max[lane] = options->connections_max;
    options->deal = &deal_ops;
    options->deal_user = &entry->dealers[lane];
  }
  options->connections_max = 0;
}

/* ---- What members say ---- */

static t2_entry *first_of(const t2_entry_member *member) {
  return member->all->first;
}

static void on_drained(t2_mail *mail, void *worker) {
  t2_entry_member *member = T2_CONTAINER_OF(mail, t2_entry_member, say_drained);
  (void)worker;
  member->drained = true;
  t2_entry_public_gone(first_of(member));
}

static void on_ended(t2_mail *mail, void *worker) {
  t2_entry_member *member = T2_CONTAINER_OF(mail, t2_entry_member, say_ended);
  (void)worker;
  member->drained = member->ended = true;
  t2_entry_public_gone(first_of(member));
  t2_entry_settled(first_of(member));
}

static void on_crew_close(void *user) {
  t2_entry *entry = user;
  t2_free(entry->loop->mem, entry->members);
  entry->members = NULL;
  entry->member = NULL;
  t2_entry_settled(entry);
}

/* Nobody opens a bridge any more, and what was on its way has arrived before this. */
static void on_halted(t2_mail *mail, void *worker) {
  t2_entry_member *said = T2_CONTAINER_OF(mail, t2_entry_member, say_halted);
  t2_entry_members *members = said->all;
  (void)worker;
  said->halted = true;
  for (unsigned i = 1; i <= members->parts; i++)
    if (!members->list[i].halted) return;
  members->closing = true;
  for (unsigned i = 1; i <= members->parts; i++)
    t2_crew_send(members->list[i].worker, &members->list[i].close);
  t2_crew_close(members->crew, on_crew_close, members->first);
}

/* ---- Making ---- */

int t2_entry_open_workers(t2_entry *entry, const t2_entry_options *options, char *detail, size_t size) {
  unsigned workers = t2_crew_workers(options->workers);
  if (options->workers > T2_WORKERS_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "workers: at most %d are taken", T2_WORKERS_MAX);
  if (workers == 1) return 0;
  t2_entry_members *members =
      t2_calloc(entry->loop->mem, 1, sizeof(*members) + workers * sizeof(members->list[0]));
  if (!members) return T2_ERR_NOMEM;
  members->first = entry;
  members->mem = entry->loop->mem;
  members->size = workers;
  int err = t2_crew_new(&members->crew, entry->loop, workers, "entry");
  if (err) {
    t2_free(entry->loop->mem, members);
    return t2_detail(detail, size, err, "no threads for %u workers", workers);
  }
  for (unsigned i = 0; i < workers; i++) {
    t2_entry_member *member = &members->list[i];
    member->worker = t2_crew_worker(members->crew, i);
    member->all = members;
    member->say_drained.open = on_drained;
    member->say_ended.open = on_ended;
    member->say_halted.open = on_halted;
    t2_entry_member_mails(member);
  }
  entry->members = members;
  entry->member = &members->list[0];
  entry->member->entry = entry;
  entry->member->worker->part = entry->member;
  return 0;
}

typedef struct hiring {
  t2_entry_member *member;
  const t2_entry_options *options;
  char *detail;
  size_t size;
} hiring;

static int open_member(void *user) {
  const hiring *h = user;
  return t2_entry_member_open(h->member, h->options, h->detail, h->size);
}

/* What members have is what the first one has bound; ports are its own. */
static t2_entry_options member_options(const t2_entry *entry, const t2_entry_options *given) {
  const t2_entry_options *o = &entry->options;
  t2_entry_options options = *given;
  options.id = entry->id;
  options.public_address = o->public_address;
  options.uplink_address = o->uplink_address;
  options.public_tls_address = o->public_tls_address;
  options.tls_address = o->tls_address;
  options.advertise_public = o->advertise_public;
  options.advertise_uplink = o->advertise_uplink;
  options.tcp_port_first = options.tcp_port_last = 0;
  options.udp_port_first = options.udp_port_last = 0;
  options.port_sockets = NULL;
  options.port_socket_count = 0;
  options.hold_public = false;
  return options;
}

int t2_entry_hire(t2_entry *entry, const t2_entry_options *given, char *detail, size_t size) {
  t2_entry_members *members = entry->members;
  if (!members) return 0;
  t2_entry_options options = member_options(entry, given);
  for (unsigned i = 1; i < members->size; i++) {
    t2_entry_member *member = &members->list[i];
    int err = t2_crew_call(member->worker, open_member, &(hiring){member, &options, detail, size});
    if (err) return err;
    t2_crew_engage(members->crew);
    members->parts++;
  }
  return 0;
}

/* ---- What they are told ---- */

/* The next one behind `last`, NULL: the first of them; or NULL. */
static t2_entry_member *next(t2_entry_members *members, const t2_entry_member *last) {
  unsigned number = last ? last->worker->number + 1 : 1;
  return members && number <= members->parts ? &members->list[number] : NULL;
}

void t2_entry_members_start(t2_entry *entry) {
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member))
    t2_crew_send(member->worker, &member->start);
}

void t2_entry_members_drain(t2_entry *entry, uint64_t timeout_ms) {
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member)) {
    member->drain_ms = timeout_ms;
    t2_crew_send(member->worker, &member->drain);
  }
}

void t2_entry_members_part(t2_entry *entry) {
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member))
    t2_crew_send(member->worker, &member->part);
}

void t2_entry_members_end(t2_entry *entry) {
  if (!entry->members || entry->members->ending) return;
  entry->members->ending = true;
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member))
    t2_crew_send(member->worker, &member->end);
}

void t2_entry_members_close(t2_entry *entry) {
  t2_entry_members *members = entry->members;
  if (!members || members->halting) return;
  members->ending = members->halting = true;
  t2_bridges_close(&entry->member->bridges);
  t2_crew_await(members->crew);
  for (t2_entry_member *member = next(members, NULL); member; member = next(members, member))
    t2_crew_send(member->worker, &member->halt);
  if (members->parts) return;
  members->closing = true;
  t2_crew_close(members->crew, on_crew_close, entry);
}

void t2_entry_members_reload(t2_entry *entry) {
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member))
    if (!atomic_exchange(&member->reloading, true)) t2_crew_send(member->worker, &member->reload);
}

bool t2_entry_members_drained(const t2_entry *entry) {
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member))
    if (!member->drained) return false;
  return true;
}

bool t2_entry_members_ended(const t2_entry *entry) {
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member))
    if (!member->ended) return false;
  return true;
}

/* ---- What they count ---- */

#define FIGURES_AT offsetof(t2_entry_stats, connections)

void t2_entry_figures_of(uint64_t figures[T2_ENTRY_FIGURES], const t2_entry_stats *stats) {
  memcpy(figures, (const char *)stats + FIGURES_AT, T2_ENTRY_FIGURES * sizeof(figures[0]));
}

/* Sessions are known to all, and counted once. */
void t2_entry_members_count(const t2_entry *entry, t2_entry_stats *stats) {
  uint64_t sum[T2_ENTRY_FIGURES], sessions = stats->sessions;
  t2_entry_figures_of(sum, stats);
  for (t2_entry_member *member = next(entry->members, NULL); member; member = next(entry->members, member))
    for (size_t i = 0; i < T2_ENTRY_FIGURES; i++)
      sum[i] += atomic_load_explicit(&member->figures[i], memory_order_relaxed);
  memcpy((char *)stats + FIGURES_AT, sum, sizeof(sum));
  stats->sessions = sessions;
}
