#include <proxy/pace.h>

#define TURN (16 * 1024) /* bytes one is given before the next has its turn */

static void on_timer(t2_timer *timer);

void t2_pace_init(t2_pace *pace, t2_loop *loop, uint64_t rate, uint64_t *delays) {
  pace->loop = loop;
  pace->delays = delays;
  t2_limit_init(&pace->limit, rate, t2_loop_now(loop));
  t2_list_init(&pace->waiting);
  t2_timer_init(&pace->timer, on_timer);
}

/* A turn's worth at a time, if the rate is not less: fewer timers, and smoother than once a second. */
static void wait_on(t2_pace *pace) {
  uint64_t rate = pace->limit.rate, now = t2_loop_now(pace->loop);
  uint64_t turn_ms = rate ? UINT64_C(1000) * TURN / rate : 0, most_ms = 100;
  uint64_t wait_ms = t2_limit_wait_ms(&pace->limit, now) + (turn_ms < most_ms ? turn_ms : most_ms);
  if (t2_list_empty(&pace->waiting))
    t2_loop_timer_stop(pace->loop, &pace->timer);
  else if (!t2_timer_running(&pace->timer))
    t2_loop_timer_start(pace->loop, &pace->timer, wait_ms);
}

static void charge(t2_paced *paced, uint64_t n) {
  paced->charged += n;
  t2_limit_charge(&paced->pace->limit, n, t2_loop_now(paced->pace->loop));
}

/* One turn of who has waited longest. */
static void give_one(t2_pace *pace, uint64_t left) {
  t2_paced *paced = T2_LIST_ENTRY(pace->waiting.next, t2_paced, node);
  size_t n = paced->held < TURN ? paced->held : TURN;
  if (n > left) n = (size_t)left;
  charge(paced, n);
  paced->held -= n;
  t2_list_remove(&paced->node);
  if (paced->held) t2_list_push_back(&pace->waiting, &paced->node);
  paced->give(paced, n);
}

static void on_timer(t2_timer *timer) {
  t2_pace *pace = T2_CONTAINER_OF(timer, t2_pace, timer);
  uint64_t left;
  while (!t2_list_empty(&pace->waiting) && (left = t2_limit_left(&pace->limit, t2_loop_now(pace->loop))))
    give_one(pace, left);
  wait_on(pace);
}

void t2_pace_set_rate(t2_pace *pace, uint64_t rate) {
  t2_limit_set_rate(&pace->limit, rate, t2_loop_now(pace->loop));
  t2_loop_timer_stop(pace->loop, &pace->timer);
  wait_on(pace);
}

void t2_pace_join(t2_pace *pace, t2_paced *paced, void (*give)(t2_paced *self, size_t n)) {
  t2_list_init(&paced->node);
  paced->pace = pace;
  paced->held = 0;
  paced->charged = 0;
  paced->give = give;
}

void t2_pace_taken(t2_paced *paced, size_t n) {
  t2_pace *pace = paced->pace;
  uint64_t left = t2_limit_left(&pace->limit, t2_loop_now(pace->loop));
  if (paced->held == 0 && t2_list_empty(&pace->waiting) && n <= left) {
    charge(paced, n);
    paced->give(paced, n);
    return;
  }
  if (paced->held == 0) {
    t2_list_push_back(&pace->waiting, &paced->node);
    if (pace->delays) ++*pace->delays;
  }
  paced->held += n;
  wait_on(pace);
}

void t2_pace_leave(t2_paced *paced, uint64_t total) {
  t2_pace *pace = paced->pace;
  if (!pace) return;
  if (total > paced->charged) charge(paced, total - paced->charged);
  paced->pace = NULL;
  paced->held = 0;
  t2_list_remove(&paced->node);
  if (t2_list_empty(&pace->waiting)) t2_loop_timer_stop(pace->loop, &pace->timer);
}
