#include <entry/state.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* A request whose session is not known yet: shortly after the entry's start its clients may just not have
 * come back. */
typedef struct guest {
  t2_place place;
  char id[T2_SESSION_ID_MAX + 1]; /* of the session; "": the one that has the name in the Host */
  char asker[T2_ADDRESS_TEXT];    /* whom the session's guard will be asked about */
} guest;

/* ---- Waiting ---- */

static void on_timeout(t2_queue *queue, t2_place *place) {
  (void)queue;
  t2_entry_refuse(place->leg.exchange, T2_ERR_NOT_FOUND, T2_AT_ROUTE,
                  "there is no session of this name here");
}

static int door_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_entry_anteroom *room = T2_CONTAINER_OF(leg, t2_entry_anteroom, door);
  return t2_queue_put(&room->queue, leg, head, end, &room->last);
}

static void door_closed(t2_leg *leg, int err) {
  (void)leg;
  (void)err;
}

static const t2_leg_ops door_ops = {
    .name = "anteroom", .at = T2_AT_UPLINK, .head = door_head, .closed = door_closed};

bool t2_entry_anteroom_takes(const t2_entry *entry, t2_str authority, bool named) {
  const t2_entry_anteroom *room = &entry->anteroom;
  if (t2_loop_now(entry->loop) >= room->until_ms || entry->uplinks.waiting >= room->queue.options.total_max)
    return false;
  return named || t2_route_is_own_name(authority, &entry->site);
}

t2_leg *t2_entry_anteroom_door(t2_entry *entry) {
  entry->anteroom.last = NULL;
  return &entry->anteroom.door;
}

void t2_entry_anteroom_note(t2_entry *entry, const t2_route *route, t2_str asker) {
  t2_place *place = entry->anteroom.last;
  if (!place) return;
  guest *g = T2_CONTAINER_OF(place, guest, place);
  if (route->prefix.n) memcpy(g->id, route->session, sizeof(g->id));
  snprintf(g->asker, sizeof(g->asker), "%.*s", T2_STR_ARG(asker));
  entry->uplinks.waited++;
}

/* ---- Its session is there ---- */

static bool is_for(t2_entry *entry, const guest *g, const t2_entry_session *session) {
  if (*g->id) return strcmp(g->id, session->id) == 0;
  return t2_route_find_name(g->place.request.head->authority, &entry->site, &entry->uplinks.sessions,
                            t2_loop_now(entry->loop)) == session;
}

static void admit(t2_entry *entry, guest *g, t2_entry_session *session) {
  t2_exchange *exchange = g->place.leg.exchange;
  if (session->kind != T2_KIND_HTTP) {
    on_timeout(&entry->anteroom.queue, &g->place);
    return;
  }
  uint64_t wait_ms;
  bool full = (exchange->upgrade && entry->upgrades >= entry->options.upgrades_max) ||
              t2_entry_admit(entry, session, &wait_ms) || !t2_waiting_may(&entry->uplinks, session);
  t2_entry_begin(entry, session, exchange);
  if (!t2_entry_admits(entry, session, exchange, &g->place.request.head->fields, t2_str_c(g->asker))) return;
  if (full)
    t2_entry_refuse(exchange, T2_ERR_UNAVAILABLE, T2_AT_UPLINK, t2_waiting_why(session));
  else
    t2_queue_hand_over(&g->place, t2_waiting_leg(&entry->uplinks));
}

static void on_up(t2_entry_session *session, void *user) {
  t2_entry *entry = user;
  T2_LIST_FOREACH(node, next, &entry->anteroom.queue.places) {
    guest *g = T2_CONTAINER_OF(T2_LIST_ENTRY(node, t2_place, node), guest, place);
    if (is_for(entry, g, session)) admit(entry, g, session);
  }
}

/* ---- Life ---- */

void t2_entry_init_anteroom(t2_entry *entry) {
  entry->anteroom.door.ops = &door_ops;
  entry->uplinks.on_up = on_up;
  t2_queue_init(&entry->anteroom.queue, entry->loop,
                &(t2_queue_options){.at = T2_AT_UPLINK,
                                    .max = T2_WAITING_TOTAL_MAX,
                                    .total = &entry->uplinks.waiting,
                                    .total_max = T2_WAITING_TOTAL_MAX,
                                    .place_size = sizeof(guest),
                                    .timeout_ms = entry->options.queue_timeout_ms,
                                    .on_timeout = on_timeout});
}

void t2_entry_open_anteroom(t2_entry *entry) {
  if (entry->options.queue_max)
    entry->anteroom.until_ms = t2_loop_now(entry->loop) + entry->options.start_grace_ms;
}
