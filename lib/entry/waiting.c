#include <entry/uplinks.h>
#include <entry/waiting.h>
#include <tunnel2/error.h>

/* Of one session, from the first request that waits until the session is forgotten. */
struct t2_entry_waiting {
  t2_uplinks *uplinks;
  t2_entry_session *session;
  t2_queue queue;
  t2_flushable dispatcher;
  t2_reapable reapable;
};

const char *t2_waiting_why(const t2_entry_session *session) {
  return session->uplink_count || session->remote_count ? "the session's clients take no more requests now"
                                                        : "nobody serves the session now";
}

/* ---- Out of the queue ---- */

static void on_timeout(t2_queue *queue, t2_place *place) {
  const t2_entry_waiting *waiting = T2_CONTAINER_OF(queue, t2_entry_waiting, queue);
  t2_exchange_refuse(place->leg.exchange, t2_problem_of(T2_ERR_UNAVAILABLE, T2_AT_UPLINK),
                     t2_waiting_why(waiting->session));
}

/* An upgrade was promised nothing, but its request has become a CONNECT by now. */
static void give(t2_place *place, t2_leg *leg) {
  if (place->leg.exchange->upgrade && !t2_uplinks_leg_upgrades(leg))
    t2_queue_drop(place, T2_ERR_UNSUPPORTED, T2_AT_ORIGIN, "the session's client takes no upgrades");
  else
    t2_queue_hand_over(place, leg);
}

/* What is handed over may fail at once and be the last that kept the session. */
static void dispatch(t2_flushable *flushable) {
  t2_entry_waiting *waiting = T2_CONTAINER_OF(flushable, t2_entry_waiting, dispatcher);
  t2_entry_session *session = waiting->session;
  t2_entry_sessions *sessions = &waiting->uplinks->sessions;
  t2_leg *leg;
  t2_entry_session_begin(sessions, session);
  for (size_t n = waiting->queue.count; n && waiting->queue.count; n--) {
    t2_place *place = t2_queue_first(&waiting->queue);
    leg = t2_uplinks_pick(waiting->uplinks, session, &place->request.head->fields);
    if (!leg) break;
    give(place, leg);
  }
  t2_entry_session_end(sessions, session);
}

/* ---- Into it ---- */

static void free_waiting(t2_reapable *reapable) {
  t2_entry_waiting *waiting = T2_CONTAINER_OF(reapable, t2_entry_waiting, reapable);
  t2_free(waiting->queue.loop->mem, waiting);
}

static void on_forget(t2_entry_session *session) {
  t2_entry_waiting *waiting = session->waiting;
  session->waiting = NULL;
  t2_queue_fini(&waiting->queue);
  t2_loop_calm(&waiting->dispatcher);
  t2_loop_reap(waiting->queue.loop, &waiting->reapable, free_waiting);
}

static t2_entry_waiting *waiting_of(t2_uplinks *uplinks, t2_entry_session *session) {
  t2_loop *loop = uplinks->proxy->loop;
  if (session->waiting) return session->waiting;
  t2_entry_waiting *waiting = t2_calloc(loop->mem, 1, sizeof(*waiting));
  if (!waiting) return NULL;
  waiting->uplinks = uplinks;
  waiting->session = session;
  t2_flushable_init(&waiting->dispatcher, dispatch);
  /* What is asked again comes besides: it is bounded by the budget. */
  t2_queue_init(&waiting->queue, loop,
                &(t2_queue_options){.at = T2_AT_UPLINK,
                                    .max = uplinks->queue_max + T2_BUDGET_MAX,
                                    .total = &uplinks->waiting,
                                    .total_max = 2 * T2_WAITING_TOTAL_MAX,
                                    .timeout_ms = uplinks->queue_timeout_ms,
                                    .on_timeout = on_timeout});
  session->waiting = waiting;
  return waiting;
}

static int waiter_head(t2_leg *leg, const t2_head *head, bool end) {
  t2_uplinks *uplinks = T2_CONTAINER_OF(leg, t2_uplinks, waiter);
  t2_entry_waiting *waiting = waiting_of(uplinks, leg->exchange->user);
  int err = waiting ? t2_queue_put(&waiting->queue, leg, head, end, NULL) : T2_ERR_NOMEM;
  if (err) return err;
  uplinks->waited++;
  t2_loop_wake(uplinks->proxy->loop, &waiting->dispatcher);
  return 0;
}

static void waiter_closed(t2_leg *leg, int err) {
  (void)leg;
  (void)err;
}

static const t2_leg_ops waiter_ops = {
    .name = "waiter", .at = T2_AT_UPLINK, .head = waiter_head, .closed = waiter_closed};

/* ---- Calls ---- */

void t2_waiting_init(t2_uplinks *uplinks) {
  uplinks->waiter.ops = &waiter_ops;
  uplinks->sessions.on_forget = on_forget;
}

t2_leg *t2_waiting_leg(t2_uplinks *uplinks) {
  return &uplinks->waiter;
}

size_t t2_waiting_count(const t2_entry_session *session) {
  return session->waiting ? session->waiting->queue.count : 0;
}

bool t2_waiting_may(const t2_uplinks *uplinks, const t2_entry_session *session) {
  uint64_t now = t2_loop_now(uplinks->proxy->loop);
  if (session->uplink_count + session->remote_count == 0 && now - session->left_ms >= T2_WAITING_MOMENT_MS)
    return false;
  return t2_waiting_count(session) < uplinks->queue_max && uplinks->waiting < T2_WAITING_TOTAL_MAX;
}

void t2_waiting_follow(const t2_uplinks *uplinks, const t2_entry_session *session) {
  session->waiting->queue.options.max = uplinks->queue_max + T2_BUDGET_MAX;
  session->waiting->queue.options.timeout_ms = uplinks->queue_timeout_ms;
}

void t2_waiting_wake(t2_uplinks *uplinks, const t2_entry_session *session) {
  if (t2_waiting_count(session)) t2_loop_wake(uplinks->proxy->loop, &session->waiting->dispatcher);
}

static void log_again(const t2_uplinks *uplinks, const t2_entry_session *session, const t2_exchange *exchange,
                      bool allowed) {
  const t2_log *log = &uplinks->proxy->loop->log;
  const t2_log_pair pairs[] = {
      {"session", session->id}, {"method", exchange->method}, {"request_id", exchange->request_id}};
  if (t2_log_enabled(log, T2_LOG_DEBUG))
    t2_log_write(log, T2_LOG_DEBUG, "entry", pairs, T2_COUNT_OF(pairs), "%s",
                 allowed ? "request is asked again: its uplink did not take it, or is gone"
                         : "request is not asked again: too many are");
}

void t2_waiting_again(t2_uplinks *uplinks, t2_entry_session *session, t2_leg *leg, const t2_held *request) {
  bool allowed = t2_budget_take(&session->budget, t2_loop_now(uplinks->proxy->loop));
  log_again(uplinks, session, leg->exchange, allowed);
  if (!allowed) return;
  uplinks->retried++;
  t2_exchange_hand_over(leg, &uplinks->waiter, request, true);
}
