#include <proxy/queue.h>
#include <tunnel2/error.h>

/* ---- Coming and leaving ---- */

static void free_place(t2_reapable *reapable) {
  t2_place *place = T2_CONTAINER_OF(reapable, t2_place, reapable);
  t2_held_fini(&place->request);
  t2_free(place->loop->mem, place);
}

/* Times are the same for all, so that who came first is also due first. */
static void start_timer(t2_queue *queue) {
  const t2_place *first = t2_queue_first(queue);
  uint64_t now = t2_loop_now(queue->loop);
  if (!queue->options.timeout_ms) return;
  if (!first)
    t2_loop_timer_stop(queue->loop, &queue->timer);
  else
    t2_loop_timer_start(queue->loop, &queue->timer, first->until_ms > now ? first->until_ms - now : 0);
}

static void leave(t2_place *place) {
  t2_queue *queue = place->queue;
  bool first = t2_queue_first(queue) == place;
  t2_list_remove(&place->node);
  queue->count--;
  if (queue->options.total) --*queue->options.total;
  t2_loop_reap(place->loop, &place->reapable, free_place);
  if (first) start_timer(queue);
}

static void on_timer(t2_timer *timer) {
  t2_queue *queue = T2_CONTAINER_OF(timer, t2_queue, timer);
  t2_place *first = t2_queue_first(queue);
  uint64_t now = t2_loop_now(queue->loop);
  for (size_t n = queue->count; n && first && first->until_ms <= now; n--) {
    queue->options.on_timeout(queue, first);
    first = t2_queue_first(queue);
  }
  start_timer(queue);
}

/* ---- The leg ---- */

static t2_place *place_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, t2_place, leg);
}

static int place_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  return t2_held_data(&place_of(leg)->request, bytes, n);
}

static int place_end(t2_leg *leg, const t2_fields *trailers) {
  return t2_held_end(&place_of(leg)->request, trailers);
}

static void place_consumed(t2_leg *leg, size_t n) {
  (void)leg;
  (void)n;
}

static void place_closed(t2_leg *leg, int err) {
  (void)err;
  leave(place_of(leg));
}

#define PLACE_OPS(where)                                                                                     \
  {                                                                                                          \
    .name = "waiting", .at = (where), .data = place_data, .end = place_end, .consumed = place_consumed,      \
    .closed = place_closed                                                                                   \
  }

/* One table for each place a failure can be named after. */
static const t2_leg_ops place_ops[] = {
    [T2_AT_ROUTE] = PLACE_OPS(T2_AT_ROUTE),
    [T2_AT_UPLINK] = PLACE_OPS(T2_AT_UPLINK),
    [T2_AT_ORIGIN] = PLACE_OPS(T2_AT_ORIGIN),
    [T2_AT_LOCAL] = PLACE_OPS(T2_AT_LOCAL),
};

/* ---- Calls ---- */

void t2_queue_init(t2_queue *queue, t2_loop *loop, const t2_queue_options *options) {
  *queue = (t2_queue){.loop = loop, .options = *options};
  if (queue->options.place_size < sizeof(t2_place)) queue->options.place_size = sizeof(t2_place);
  t2_list_init(&queue->places);
  t2_timer_init(&queue->timer, on_timer);
}

void t2_queue_fini(t2_queue *queue) {
  t2_loop_timer_stop(queue->loop, &queue->timer);
}

static bool is_full(const t2_queue *queue) {
  const t2_queue_options *o = &queue->options;
  return queue->count >= o->max || (o->total && *o->total >= o->total_max);
}

int t2_queue_put(t2_queue *queue, t2_leg *from, const t2_head *head, bool end, t2_place **out) {
  const t2_allocator *mem = queue->loop->mem;
  if (is_full(queue)) return T2_ERR_LIMIT;
  t2_place *place = t2_calloc(mem, 1, queue->options.place_size);
  if (!place) return T2_ERR_NOMEM;
  if (t2_held_init(&place->request, mem, head, end)) {
    t2_free(mem, place);
    return T2_ERR_NOMEM;
  }
  t2_held_account(&place->request, &queue->loop->pressure);
  place->queue = queue;
  place->loop = queue->loop;
  place->until_ms = t2_loop_now(queue->loop) + queue->options.timeout_ms;
  place->leg.ops = &place_ops[queue->options.at];
  place->leg.upstream = true;
  place->leg.exchange = from->exchange;
  place->leg.exchange->up = &place->leg;
  from->exchange = NULL;
  t2_list_push_back(&queue->places, &place->node);
  if (queue->options.total) ++*queue->options.total;
  if (++queue->count == 1) start_timer(queue);
  if (out) *out = place;
  return 0;
}

t2_place *t2_queue_first(const t2_queue *queue) {
  return t2_list_empty(&queue->places) ? NULL : T2_LIST_ENTRY(queue->places.next, t2_place, node);
}

void t2_queue_hand_over(t2_place *place, t2_leg *to) {
  leave(place);
  t2_exchange_hand_over(&place->leg, to, &place->request, false);
}

void t2_queue_drop(t2_place *place, int err, t2_problem_at at, const char *detail) {
  leave(place);
  t2_exchange_fail(&place->leg, err, at, detail);
}

void t2_queue_fail(t2_queue *queue, int err, t2_problem_at at, const char *detail) {
  for (size_t n = queue->count; n && t2_queue_first(queue); n--)
    t2_queue_drop(t2_queue_first(queue), err, at, detail);
}
