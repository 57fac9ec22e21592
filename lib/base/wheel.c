#include <base/wheel.h>

/* A timer that is due at tick e stands in level L when e - tick < SLOTS^(L+1), in slot (e / SLOTS^L) mod
 * SLOTS. When the tick comes to the first tick of a slot above level 0, that slot's timers are placed again,
 * further down. */

#define SLOT_MASK (T2_WHEEL_SLOTS - 1)
#define REACH     (((uint64_t)1 << (T2_WHEEL_BITS * T2_WHEEL_LEVELS)) - 1)
#define NEVER     UINT64_MAX

_Static_assert(T2_WHEEL_SLOTS == 64, "occupied has a bit for each slot");

void t2_wheel_init(t2_wheel *wheel, uint64_t now_ms) {
  wheel->tick = now_ms / T2_WHEEL_TICK_MS;
  wheel->count = 0;
  for (unsigned level = 0; level < T2_WHEEL_LEVELS; level++) {
    wheel->occupied[level] = 0;
    for (unsigned slot = 0; slot < T2_WHEEL_SLOTS; slot++)
      t2_list_init(&wheel->slots[level][slot]);
  }
}

void t2_timer_init(t2_timer *timer, t2_timer_cb cb) {
  t2_list_init(&timer->node);
  timer->deadline = 0;
  timer->cb = cb;
  timer->level = timer->slot = 0;
}

static uint64_t due_tick(const t2_timer *timer) {
  return timer->deadline / T2_WHEEL_TICK_MS + (timer->deadline % T2_WHEEL_TICK_MS != 0);
}

/* due >= wheel->tick, and within reach. */
static void wheel_place(t2_wheel *wheel, t2_timer *timer, uint64_t due) {
  unsigned level = 0;

  while ((due - wheel->tick) >> (T2_WHEEL_BITS * (level + 1)))
    level++;
  timer->level = (uint8_t)level;
  timer->slot = (uint8_t)(due >> (T2_WHEEL_BITS * level) & SLOT_MASK);
  t2_list_push_back(&wheel->slots[level][timer->slot], &timer->node);
  wheel->occupied[level] |= (uint64_t)1 << timer->slot;
}

void t2_wheel_start(t2_wheel *wheel, t2_timer *timer, uint64_t now_ms, uint64_t delay_ms) {
  t2_wheel_stop(wheel, timer);
  if (wheel->count == 0 && now_ms / T2_WHEEL_TICK_MS > wheel->tick) wheel->tick = now_ms / T2_WHEEL_TICK_MS;

  uint64_t last = (wheel->tick + REACH) * T2_WHEEL_TICK_MS;
  timer->deadline = delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms;
  if (timer->deadline > last) timer->deadline = last;
  uint64_t due = due_tick(timer);
  wheel_place(wheel, timer, due > wheel->tick ? due : wheel->tick + 1);
  wheel->count++;
}

void t2_wheel_stop(t2_wheel *wheel, t2_timer *timer) {
  if (!t2_timer_running(timer)) return;
  t2_list_remove(&timer->node);
  if (t2_list_empty(&wheel->slots[timer->level][timer->slot]))
    wheel->occupied[timer->level] &= ~((uint64_t)1 << timer->slot);
  wheel->count--;
}

/* The next tick at which a slot has to be looked at, or NEVER. */
static uint64_t wheel_next_tick(const t2_wheel *wheel) {
  uint64_t next = NEVER;

  for (unsigned level = 0; level < T2_WHEEL_LEVELS; level++) {
    uint64_t occupied = wheel->occupied[level];
    if (!occupied) continue;
    uint64_t after = (wheel->tick >> (T2_WHEEL_BITS * level)) + 1;
    unsigned turn = after & SLOT_MASK;
    if (turn) occupied = occupied >> turn | occupied << (T2_WHEEL_SLOTS - turn);
    uint64_t at = (after + (unsigned)__builtin_ctzll(occupied)) << (T2_WHEEL_BITS * level);
    if (at < next) next = at;
  }
  return next;
}

static void wheel_take(t2_wheel *wheel, unsigned level, t2_list *taken) {
  unsigned slot = wheel->tick >> (T2_WHEEL_BITS * level) & SLOT_MASK;

  t2_list_move(taken, &wheel->slots[level][slot]);
  wheel->occupied[level] &= ~((uint64_t)1 << slot);
}

/* Places again what stands in the slots that begin at this tick. */
static void wheel_cascade(t2_wheel *wheel) {
  for (unsigned level = 1; level < T2_WHEEL_LEVELS; level++) {
    t2_list taken;
    if (wheel->tick & (((uint64_t)1 << (T2_WHEEL_BITS * level)) - 1)) return;
    wheel_take(wheel, level, &taken);
    T2_LIST_FOREACH(node, next, &taken) {
      t2_timer *timer = T2_LIST_ENTRY(node, t2_timer, node);
      t2_list_remove(node);
      wheel_place(wheel, timer, due_tick(timer));
    }
  }
}

static size_t wheel_fire(t2_wheel *wheel) {
  size_t fired = 0;
  t2_list due;

  /* Taken off first: a callback may stop any of them, or start new ones. */
  wheel_take(wheel, 0, &due);
  while (!t2_list_empty(&due)) {
    t2_timer *timer = T2_LIST_ENTRY(due.next, t2_timer, node);
    t2_wheel_stop(wheel, timer);
    fired++;
    timer->cb(timer);
  }
  return fired;
}

size_t t2_wheel_advance(t2_wheel *wheel, uint64_t now_ms) {
  uint64_t target = now_ms / T2_WHEEL_TICK_MS;
  size_t fired = 0;

  while (wheel->tick < target) {
    uint64_t next = wheel_next_tick(wheel);
    if (next > target) {
      wheel->tick = target;
      break;
    }
    wheel->tick = next;
    wheel_cascade(wheel);
    fired += wheel_fire(wheel);
  }
  return fired;
}

int64_t t2_wheel_next(const t2_wheel *wheel, uint64_t now_ms) {
  if (wheel->count == 0) return -1;
  uint64_t tick = wheel_next_tick(wheel);
  /* Asked from a callback while others are still due. */
  if (tick == NEVER || tick * T2_WHEEL_TICK_MS <= now_ms) return 0;
  return (int64_t)(tick * T2_WHEEL_TICK_MS - now_ms);
}
