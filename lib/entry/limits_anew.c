#include <base/options.h>
#include <entry/state.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* What an entry that runs can change; the rest of its options stays. */
static void copy_limits(t2_entry_options *to, const t2_entry_options *from) {
  to->connections_max = from->connections_max;
  to->uplinks_max = from->uplinks_max;
  to->upgrades_max = from->upgrades_max;
  to->header_timeout_ms = from->header_timeout_ms;
  to->keep_alive_timeout_ms = from->keep_alive_timeout_ms;
  to->body_timeout_ms = from->body_timeout_ms;
  to->body_rate_min = from->body_rate_min;
  to->response_timeout_ms = from->response_timeout_ms;
  to->udp_idle_timeout_ms = from->udp_idle_timeout_ms;
  to->udp_flows_max = from->udp_flows_max;
  to->udp_session_flows_max = from->udp_session_flows_max;
  to->queue_max = from->queue_max;
  to->queue_timeout_ms = from->queue_timeout_ms;
  to->session_exchanges_max = from->session_exchanges_max;
  to->session_requests_rate = from->session_requests_rate;
  to->session_bytes_to_clients = from->session_bytes_to_clients;
  to->session_bytes_from_clients = from->session_bytes_from_clients;
  to->address_connections_max = from->address_connections_max;
  to->address_handshakes_rate = from->address_handshakes_rate;
}

static void limit_sessions(t2_entry *entry) {
  const t2_map *map = &entry->uplinks.sessions.map;
  size_t at = 0;
  t2_str id;
  void *value;
  while (t2_map_each(map, &at, &id, &value)) {
    const t2_entry_session *session = value;
    if (session->limits) t2_entry_limits_follow(session->limits, &entry->bounds, entry->loop);
    if (session->waiting) t2_waiting_follow(&entry->uplinks, session);
  }
}

void t2_entry_init_limits(t2_entry *entry) {
  t2_entry_options *o = &entry->options;
  unsigned size = entry->members ? entry->members->size : 1;
  o->upgrades_max = t2_entry_share(entry, o->upgrades_max);
  entry->accepts.connections_max = t2_entry_share(entry, o->address_connections_max);
  entry->accepts.handshakes_per_second = t2_entry_share(entry, o->address_handshakes_rate);
  entry->bounds.exchanges = t2_entry_share(entry, o->session_exchanges_max);
  entry->bounds.requests_per_second = t2_entry_share(entry, o->session_requests_rate);
  entry->bounds.bytes_to_clients = (o->session_bytes_to_clients + size - 1) / size;
  entry->bounds.bytes_from_clients = (o->session_bytes_from_clients + size - 1) / size;
  entry->uplinks.max = t2_entry_share(entry, o->uplinks_max);
  entry->uplinks.queue_max = t2_entry_share(entry, (uint32_t)o->queue_max);
  entry->uplinks.queue_timeout_ms = o->queue_timeout_ms;
}

static void take(t2_entry *entry, const t2_entry_options *options) {
  copy_limits(&entry->options, options);
  t2_entry_init_limits(entry);
  entry->ports.options.connections_max = options->connections_max;
  entry->flows.legs.idle_ms = options->udp_idle_timeout_ms;
  entry->anteroom.queue.options.timeout_ms = options->queue_timeout_ms;
  t2_entry_limit_listeners(entry);
  limit_sessions(entry);
}

/* To another worker; mail. Of the options the limits alone are looked at. */
typedef struct anew {
  t2_mail mail;
  t2_entry_options options;
} anew;

static void on_anew(t2_mail *mail, void *worker) {
  anew *a = T2_CONTAINER_OF(mail, anew, mail);
  const t2_entry_member *member = ((const t2_worker *)worker)->part;
  if (member->entry) take(member->entry, &a->options);
  t2_free(member->all->mem, a);
}

static void tell_others(t2_entry *entry, const t2_entry_options *options) {
  t2_entry_members *members = entry->members;
  if (!members || members->ending) return;
  for (unsigned i = 1; i <= members->parts; i++) {
    anew *a = t2_alloc(members->mem, sizeof(*a));
    if (!a) {
      t2_log_at(&entry->loop->log, WARN, "entry", "a worker keeps its limits: %s", t2_strerror(T2_ERR_NOMEM));
      continue;
    }
    *a = (anew){.mail.open = on_anew, .options = *options};
    t2_crew_send(members->list[i].worker, &a->mail);
  }
}

int t2_entry_set_limits(t2_entry *entry, const t2_entry_options *given, char *detail, size_t size) {
  t2_entry_options options;
  t2_entry_options_init(&options);
  if (size) *detail = '\0';
  if (entry->closing || t2_options_read(&options, sizeof(options), given)) return T2_ERR_INVALID;
  int err = t2_entry_check_waits(&options, detail, size);
  if (err) return err;
  take(entry, &options);
  tell_others(entry, &options);
  return 0;
}
