#include <base/file.h>
#include <control/channels.h>
#include <control/issue.h>
#include <proxy/call.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define ROUND_MS    4     /* of work on the queue, then a pause for everything else */
#define PAUSE_MS    4     /* at least */
#define STALL_MS    10000 /* how long an entry may take nothing of its revocations */
#define REVOKES_MAX 256   /* for one entry in a row */
#define REPORT_MAX  ((uint64_t)1 << 53)

/* What a channel is still to be told. */
enum { DUE_KEYS = 1, DUE_REVOCATIONS = 2, DUE_TICKET = 4, DUE_ENTRIES = 8 };

/* One channel, with what it belongs to: a session, an entry, or neither (a watcher). */
typedef struct member {
  t2_list node;  /* in the session's channels */
  t2_list all;   /* in t2_channels.of_sessions or .of_entries */
  t2_list queue; /* in t2_channels.queue */
  t2_channels *channels;
  t2_channel *channel; /* NULL: closed, to be freed */
  t2_session *session;
  t2_store_entry *entry;
  unsigned due;
  uint64_t round;      /* the last one it was served in */
  bool told;           /* of entries, at all */
  bool beaten;         /* a heartbeat has come */
  bool parks;          /* it has said that it can be parked */
  uint64_t told_mark;  /* of the list it was told last */
  uint64_t revocation; /* the last it was told of */
  uint64_t stalled_ms; /* since when it takes nothing; 0: it does */
  t2_report last;      /* the last heartbeat's */
  t2_parkable parkable;
  t2_timer renewal; /* of the session's ticket */
  t2_reapable reapable;
} member;

t2_moment t2_channels_now(const t2_channels *channels) {
  return (t2_moment){.mono_ms = t2_loop_now(channels->loop), .wall = t2_clock_wall_ms() / 1000};
}

/* ---- Coming and going ---- */

static void free_member(t2_reapable *reapable) {
  member *m = T2_CONTAINER_OF(reapable, member, reapable);

  t2_free(m->channels->loop->mem, m);
}

static const char *name_of(const member *m) {
  return m->session ? m->session->id : m->entry ? m->entry->id : "an entry that drains";
}

/* A session's reports are the sums over its channels. */
static void take_session_report(member *m, const t2_report *now) {
  t2_report *sum = &m->session->now;

  sum->active += now->active - m->last.active;
  sum->requests += now->requests - m->last.requests;
  sum->bytes_in += now->bytes_in - m->last.bytes_in;
  sum->bytes_out += now->bytes_out - m->last.bytes_out;
  m->last = *now;
}

static void take_entry_report(member *m, const t2_report *now) {
  t2_store_entry *entry = m->entry;

  entry->active = now->active;
  entry->requests = now->requests;
  entry->bytes_in = now->bytes_in;
  entry->bytes_out = now->bytes_out;
}

/* Takes it out of everything; it is freed later, since this may be deep inside of sending to it. */
static void detach(member *m) {
  const t2_report none = {0};

  if (m->session) {
    t2_parking_closed(&m->channels->parking, &m->parkable);
    take_session_report(m, &none);
    m->session->channel_count--;
    m->channels->session_count--;
  } else if (m->entry) {
    take_entry_report(m, &none);
    m->entry->channel = NULL;
    m->channels->entry_count--;
  } else {
    m->channels->watcher_count--;
  }
  m->session = NULL;
  m->entry = NULL;
  m->channel = NULL;
  m->due = 0;
  t2_list_remove(&m->node);
  t2_list_remove(&m->all);
  t2_list_remove(&m->queue);
  t2_loop_timer_stop(m->channels->loop, &m->renewal);
  t2_loop_reap(m->channels->loop, &m->reapable, free_member);
}

static void close_member(member *m) {
  t2_channel *channel = m->channel;

  if (!channel) return;
  detach(m);
  t2_channel_close(channel);
}

static void start_work(t2_channels *channels, uint64_t delay_ms) {
  if (!t2_timer_running(&channels->work)) t2_loop_timer_start(channels->loop, &channels->work, delay_ms);
}

static void set_due(member *m, unsigned due) {
  m->due |= due;
  if (!t2_list_linked(&m->queue)) t2_list_push_back(&m->channels->queue, &m->queue);
  start_work(m->channels, 0);
}

/* ---- Sending ---- */

/* An error that is for good has closed the channel; T2_ERR_LIMIT is left to the caller. */
static int send_message(member *m, const t2_message *message) {
  if (!m->channel) return T2_ERR_CLOSED;
  int err = t2_channel_send(m->channel, message);
  if (err && err != T2_ERR_LIMIT) close_member(m);
  return err;
}

/* A peer that does not take even this little is not worth keeping: it comes back and is told all anew. */
static int send_or_close(member *m, const t2_message *message) {
  int err = send_message(m, message);

  if (err == T2_ERR_LIMIT) {
    t2_log_at(&m->channels->loop->log, WARN, "control", "the channel of %s is closed: it does not read",
              name_of(m));
    close_member(m);
  }
  return err;
}

static int send_keys(member *m) {
  t2_buf jwks;

  t2_buf_init(&jwks, m->channels->loop->mem);
  int err = t2_keys_to_jwks(m->channels->keys, &jwks);
  t2_message message = {.type = T2_MSG_KEYS,
                        .jwks = t2_str_of((const char *)t2_buf_head(&jwks), t2_buf_len(&jwks))};
  if (err == 0)
    err = send_or_close(m, &message);
  else
    close_member(m);
  t2_buf_fini(&jwks);
  return err;
}

/* As many as it takes, up to REVOKES_MAX. */
static int send_revocations(member *m) {
  const t2_store *store = m->channels->store;
  const t2_session *session = t2_store_next_revocation(store, m->revocation);

  for (size_t i = 0; session && i < REVOKES_MAX; i++) {
    t2_message message = {.type = T2_MSG_REVOKE,
                          .session = t2_str_c(session->id),
                          .issued_before = (uint64_t)session->void_before};
    int err = send_message(m, &message);
    if (err) return err;
    m->stalled_ms = 0;
    m->revocation = session->revocation;
    session = t2_store_following_revocation(store, session);
  }
  if (!session) m->due &= ~(unsigned)DUE_REVOCATIONS;
  return 0;
}

static void wait_or_close(member *m) {
  uint64_t now = t2_loop_now(m->channels->loop);

  if (m->stalled_ms == 0) m->stalled_ms = now;
  if (now - m->stalled_ms < STALL_MS) return;
  t2_log_at(&m->channels->loop->log, WARN, "control", "the channel of %s is closed: it does not read",
            name_of(m));
  close_member(m);
}

static void serve_entry(member *m) {
  if (m->due & DUE_KEYS) {
    m->due &= ~(unsigned)DUE_KEYS;
    if (send_keys(m)) return;
  }
  if (m->due & DUE_REVOCATIONS && send_revocations(m) == T2_ERR_LIMIT) wait_or_close(m);
}

/* At half the life of the session's newest ticket. */
static void start_renewal(member *m) {
  const t2_channels *channels = m->channels;
  int64_t half_ms = (int64_t)channels->store->limits.ticket_seconds * 500;
  int64_t age_ms = (t2_channels_now(channels).wall - m->session->last_issued) * 1000;
  int64_t left_ms = age_ms < 0 ? half_ms : age_ms > half_ms ? 0 : half_ms - age_ms;

  t2_loop_timer_start(channels->loop, &m->renewal, (uint64_t)left_ms);
}

static int send_ticket(member *m, const t2_entry_list *list) {
  t2_channels *channels = m->channels;
  int64_t expires_at;
  t2_buf ticket;

  t2_buf_init(&ticket, channels->loop->mem);
  int err = t2_issue_ticket(channels->store, channels->keys, m->session, list, t2_channels_now(channels),
                            &ticket, &expires_at);
  if (err == 0) {
    t2_message message = {.type = T2_MSG_TICKET,
                          .ticket = t2_str_of((const char *)t2_buf_head(&ticket), t2_buf_len(&ticket)),
                          .expires_at = (uint64_t)expires_at};
    err = send_or_close(m, &message);
  } else {
    close_member(m);
  }
  t2_buf_fini(&ticket);
  if (err == 0) start_renewal(m);
  return err;
}

static void send_entries(member *m, const t2_entry_list *list) {
  t2_message message = {.type = T2_MSG_ENTRIES, .entry_count = list->n};

  for (size_t i = 0; i < list->n; i++)
    message.entries[i] =
        (t2_message_entry){t2_str_c(list->entries[i]->id), t2_str_c(list->entries[i]->uplink)};
  m->told = true;
  m->told_mark = list->mark;
  (void)send_or_close(m, &message);
}

/* The ticket comes before the entries that it is good for. */
static void serve_session(member *m) {
  unsigned due = m->due;
  t2_entry_list list;

  m->due = 0;
  t2_entry_list_of(m->channels->store, t2_str_c(m->session->id), &list);
  if (due & DUE_ENTRIES && m->told && m->told_mark == list.mark) due &= ~(unsigned)DUE_ENTRIES;
  /* They may have changed while it was parked. */
  uint64_t known = m->told ? m->told_mark : m->session->told_mark;
  if (due & DUE_ENTRIES && list.n && known != list.mark) due |= DUE_TICKET;
  if (due & DUE_TICKET && send_ticket(m, &list)) return;
  if (due & DUE_ENTRIES) send_entries(m, &list);
  if (m->channel && m->parks) t2_parking_quiet(&m->channels->parking, &m->parkable);
}

/* ---- The queue ---- */

static void serve(member *m) {
  t2_list_remove(&m->queue);
  if (m->session)
    serve_session(m);
  else
    serve_entry(m);
  if (m->channel && m->due) t2_list_push_back(&m->channels->queue, &m->queue);
}

static void on_work(t2_timer *timer) {
  t2_channels *channels = T2_CONTAINER_OF(timer, t2_channels, work);
  uint64_t begun = t2_clock_mono_ms();

  channels->round++;
  while (!t2_list_empty(&channels->queue) && t2_clock_mono_ms() - begun < ROUND_MS) {
    member *m = T2_LIST_ENTRY(channels->queue.next, member, queue);
    if (m->round == channels->round) break;
    m->round = channels->round;
    serve(m);
  }
  if (!t2_list_empty(&channels->queue)) start_work(channels, PAUSE_MS);
  if (channels->store->dirty) channels->on_dirty(channels->user);
}

static void on_renewal(t2_timer *timer) {
  set_due(T2_CONTAINER_OF(timer, member, renewal), DUE_TICKET);
}

/* ---- What comes ---- */

static uint64_t bounded(uint64_t reported) {
  return reported < REPORT_MAX ? reported : REPORT_MAX;
}

/* The first heartbeat says whether it was parked, and any whether it can be. One that was told to go has its
 * longer lease, and is not asked any more. */
static void take_session_heartbeat(member *m, const t2_message *message, const t2_report *reported) {
  t2_channels *channels = m->channels;
  t2_moment now = t2_channels_now(channels);

  if (m->parkable.told) return;
  if (!m->beaten && message->park == T2_PARK_WAS)
    m->last = t2_store_unpark(channels->store, m->session, reported, now);
  else
    t2_store_renew(channels->store, m->session, now);
  m->beaten = true;
  take_session_report(m, reported);
  if (m->parks || message->park == T2_PARK_NEVER || channels->return_seconds == 0) return;
  m->parks = true;
  m->parkable.again = message->park == T2_PARK_WAS;
  t2_parking_quiet(&channels->parking, &m->parkable);
}

static void on_message(t2_channel *channel, const t2_message *message, void *user) {
  member *m = user;
  t2_store *store = m->channels->store;
  t2_report reported = {bounded(message->active), bounded(message->requests), bounded(message->bytes_in),
                        bounded(message->bytes_out)};
  t2_message lease = {
      .type = T2_MSG_LEASE, .seq = message->seq, .lease_seconds = store->limits.lease_ms / 1000};

  (void)channel;
  if (message->type != T2_MSG_HEARTBEAT) return;
  if (m->session) {
    take_session_heartbeat(m, message, &reported);
  } else if (m->entry) {
    t2_store_entry_renew(store, m->entry, t2_channels_now(m->channels));
    take_entry_report(m, &reported);
  }
  (void)send_or_close(m, &lease);
}

/* ---- Parking ---- */

/* From here on its numbers are those of a parked client. */
static void park(t2_parkable *parkable, void *user) {
  member *m = T2_CONTAINER_OF(parkable, member, parkable);
  const t2_channels *channels = user;
  const t2_store *store = channels->store;
  const t2_report none = {0}, last = m->last;
  t2_message message = {.type = T2_MSG_PARK,
                        .return_seconds = channels->return_seconds,
                        .lease_seconds = store->limits.parked_ms / 1000};

  take_session_report(m, &none);
  t2_store_park(channels->store, m->session, &last, t2_channels_now(channels));
  (void)send_or_close(m, &message);
}

/* It has gone for good, or has not gone at all: either way it does not come back as one that was parked. */
static void unpark(member *m) {
  const t2_report none = {0};

  (void)t2_store_unpark(m->channels->store, m->session, &none, t2_channels_now(m->channels));
}

static void cut(t2_parkable *parkable, void *user) {
  member *m = T2_CONTAINER_OF(parkable, member, parkable);
  const t2_channels *channels = user;

  t2_log_at(&channels->loop->log, WARN, "control", "the channel of %s is closed: it does not park",
            m->session->id);
  unpark(m);
  close_member(m);
}

static const t2_parking_ops parking_ops = {.park = park, .cut = cut};

/* ---- Who takes leave, and comes ---- */

static void tell_left(t2_channels *channels, bool session, const char *id, const char *owner) {
  t2_log_at(&channels->loop->log, INFO, "control", "%s %s has taken leave", session ? "session" : "entry",
            id);
  if (channels->store->dirty) channels->on_dirty(channels->user);
  if (channels->on_left) channels->on_left(session, id, owner, channels->user);
}

static void session_leaves(t2_channels *channels, t2_session *session) {
  char id[T2_SESSION_ID_MAX + 1], owner[T2_OWNER_MAX + 1];
  snprintf(id, sizeof(id), "%s", session->id);
  snprintf(owner, sizeof(owner), "%s", session->owner->name);
  t2_store_lapse(channels->store, session);
  tell_left(channels, true, id, owner);
}

static void entry_leaves(t2_channels *channels, t2_store_entry *entry) {
  char id[T2_ENTRY_ID_MAX + 1], owner[T2_OWNER_MAX + 1];
  snprintf(id, sizeof(id), "%s", entry->id);
  snprintf(owner, sizeof(owner), "%s", entry->owner);
  t2_store_entry_remove(channels->store, entry);
  t2_channels_entries_changed(channels);
  tell_left(channels, false, id, owner);
}

static void on_close(t2_channel *channel, int err, int status, void *user) {
  member *m = user;
  t2_session *session = m->session;
  t2_store_entry *entry = m->entry;

  (void)channel;
  (void)status;
  t2_log_at(&m->channels->loop->log, DEBUG, "control", "the channel of %s was closed: %s", name_of(m),
            t2_strerror(err));
  if (m->parkable.told && err == T2_ERR_CANCELLED) unpark(m);
  detach(m);
  /* Whose last channel was reset with CANCEL has taken leave: its lease is not waited for. A connection that
   * was lost says nothing of the kind. */
  if (err != T2_ERR_CANCELLED) return;
  if (session && session->channel_count == 0 && session->parked == 0)
    session_leaves(m->channels, session);
  else if (entry)
    entry_leaves(m->channels, entry);
}

static const t2_channel_ops channel_ops = {.on_message = on_message, .on_close = on_close};

static member *member_new(t2_channels *channels, const t2_server_request *request) {
  member *m = t2_calloc(channels->loop->mem, 1, sizeof(*m));

  if (!m) {
    t2_exchange_refuse(request->exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_LOCAL), NULL);
    return NULL;
  }
  m->channels = channels;
  t2_list_init(&m->node);
  t2_list_init(&m->all);
  t2_list_init(&m->queue);
  t2_timer_init(&m->renewal, on_renewal);
  return m;
}

/* It belongs to something already: on_close may come before this returns. */
static void accept_member(member *m, const t2_server_request *request, unsigned due) {
  if (t2_channel_accept(&m->channel, request, &channel_ops, m)) {
    detach(m);
    return;
  }
  if (m->channel) set_due(m, due);
}

void t2_channels_open_session(t2_channels *channels, const t2_server_request *request, t2_session *session) {
  static const t2_problem many = {503, "too-many-channels", "Too Many Channels", NULL, 5};

  if (session->channel_count >= T2_CHANNELS_OF_SESSION_MAX) {
    t2_exchange_refuse(request->exchange, &many, "the session has as many channels as it may");
    return;
  }
  member *m = member_new(channels, request);
  if (!m) return;
  m->session = session;
  session->channel_count++;
  t2_parking_opened(&channels->parking, &m->parkable);
  t2_list_push_back(&session->channels, &m->node);
  t2_list_push_back(&channels->of_sessions, &m->all);
  channels->session_count++;
  start_renewal(m);
  accept_member(m, request, DUE_ENTRIES);
}

static void ignore_message(t2_channel *channel, const t2_message *message, void *user) {
  (void)channel, (void)message, (void)user;
}

static void ignore_close(t2_channel *channel, int err, int status, void *user) {
  (void)channel, (void)err, (void)status, (void)user;
}

void t2_channels_tell_removed(t2_channels *channels, const t2_server_request *request,
                              const t2_session *session) {
  static const t2_channel_ops deaf = {.on_message = ignore_message, .on_close = ignore_close};
  t2_message message = {
      .type = T2_MSG_REVOKE, .session = t2_str_c(session->id), .reason = T2_STR("it was deleted")};
  t2_channel *channel;

  (void)channels;
  if (t2_channel_accept(&channel, request, &deaf, NULL)) return;
  (void)t2_channel_send(channel, &message);
  t2_channel_close(channel);
}

void t2_channels_open_entry(t2_channels *channels, const t2_server_request *request, t2_store_entry *entry) {
  member *m = member_new(channels, request);

  if (!m) return;
  t2_channels_release_entry(channels, entry);
  m->entry = entry;
  entry->channel = m;
  t2_list_push_back(&channels->of_entries, &m->all);
  channels->entry_count++;
  accept_member(m, request, DUE_KEYS | DUE_REVOCATIONS);
}

void t2_channels_open_watcher(t2_channels *channels, const t2_server_request *request) {
  static const t2_problem many = {503, "too-many-channels", "Too Many Channels", NULL, 5};

  if (channels->watcher_count >= T2_CHANNELS_WATCHERS_MAX) {
    t2_exchange_refuse(request->exchange, &many, "there are as many watchers as there may be");
    return;
  }
  member *m = member_new(channels, request);
  if (!m) return;
  t2_list_push_back(&channels->of_entries, &m->all);
  channels->watcher_count++;
  accept_member(m, request, DUE_KEYS | DUE_REVOCATIONS);
}

void t2_channels_release_session(t2_channels *channels, t2_session *session, const char *revoked_reason) {
  t2_message message = {
      .type = T2_MSG_REVOKE, .session = t2_str_c(session->id), .reason = t2_str_c(revoked_reason)};

  (void)channels;
  while (!t2_list_empty(&session->channels)) {
    member *m = T2_LIST_ENTRY(session->channels.next, member, node);
    if (revoked_reason) (void)send_message(m, &message);
    close_member(m);
  }
}

void t2_channels_release_entry(t2_channels *channels, t2_store_entry *entry) {
  (void)channels;
  if (entry->channel) close_member(entry->channel);
}

static void set_all_due(const t2_list *all, unsigned due) {
  for (const t2_list *node = all->next; node != all; node = node->next)
    set_due(T2_LIST_ENTRY(node, member, all), due);
}

void t2_channels_entries_changed(t2_channels *channels) {
  set_all_due(&channels->of_sessions, DUE_ENTRIES);
}

void t2_channels_keys_changed(t2_channels *channels) {
  set_all_due(&channels->of_entries, DUE_KEYS);
  set_all_due(&channels->of_sessions, DUE_TICKET);
}

void t2_channels_keys_gone(t2_channels *channels) {
  set_all_due(&channels->of_entries, DUE_KEYS);
}

void t2_channels_revoked(t2_channels *channels) {
  set_all_due(&channels->of_entries, DUE_REVOCATIONS);
}

static void close_all(t2_list *all, const t2_message *last) {
  while (!t2_list_empty(all)) {
    member *m = T2_LIST_ENTRY(all->next, member, all);
    if (last) (void)send_message(m, last);
    close_member(m);
  }
}

void t2_channels_drain(t2_channels *channels, const char *reason) {
  t2_message message = {.type = T2_MSG_DRAIN, .reason = t2_str_c(reason)};

  close_all(&channels->of_sessions, &message);
  close_all(&channels->of_entries, &message);
}

void t2_channels_init(t2_channels *channels, t2_loop *loop, t2_store *store, const t2_keys *keys,
                      uint32_t park_above, void (*on_dirty)(void *user), void *user) {
  *channels = (t2_channels){.loop = loop, .store = store, .keys = keys, .on_dirty = on_dirty, .user = user};
  channels->return_seconds = t2_parking_return_seconds(store->limits.ticket_seconds);
  t2_parking_init(&channels->parking, loop, park_above, &parking_ops, channels);
  t2_list_init(&channels->of_sessions);
  t2_list_init(&channels->of_entries);
  t2_list_init(&channels->queue);
  t2_timer_init(&channels->work, on_work);
}

void t2_channels_fini(t2_channels *channels) {
  close_all(&channels->of_sessions, NULL);
  close_all(&channels->of_entries, NULL);
  t2_loop_timer_stop(channels->loop, &channels->work);
  t2_parking_fini(&channels->parking);
}
