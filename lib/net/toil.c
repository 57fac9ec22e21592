#include <net/toil.h>

#include <uv.h>

void t2_toils_init(t2_toils *toils) {
  *toils = (t2_toils){.budget_ns = T2_TOIL_TURN_NS, .clock = uv_hrtime};
  t2_list_init(&toils->begun);
  t2_list_init(&toils->fresh);
}

bool t2_toils_waiting(const t2_toils *toils) {
  return !t2_list_empty(&toils->begun) || !t2_list_empty(&toils->fresh);
}

static void work_on(t2_toils *toils, t2_list *first) {
  t2_toil *toil = T2_LIST_ENTRY(first, t2_toil, node);

  t2_list_remove(&toil->node);
  toils->began_ns = toils->clock();
  toil->work(toil);
  t2_toils_end(toils);
}

void t2_toils_turn(t2_toils *toils) {
  toils->spent_ns = 0;
  while (toils->spent_ns < toils->budget_ns && t2_toils_waiting(toils))
    work_on(toils, t2_list_empty(&toils->begun) ? toils->fresh.next : toils->begun.next);
}

bool t2_toils_begin(t2_toils *toils) {
  if (toils->spent_ns >= toils->budget_ns || t2_toils_waiting(toils)) return false;
  toils->began_ns = toils->clock();
  return true;
}

void t2_toils_end(t2_toils *toils) {
  toils->spent_ns += toils->clock() - toils->began_ns;
}

void t2_toil_init(t2_toil *toil, void (*work)(t2_toil *self)) {
  t2_list_init(&toil->node);
  toil->work = work;
}

void t2_toils_wait(t2_toils *toils, t2_toil *toil, bool begun) {
  t2_list_push_back(begun ? &toils->begun : &toils->fresh, &toil->node);
}

bool t2_toil_waits(const t2_toil *toil) {
  return t2_list_linked(&toil->node);
}

void t2_toil_drop(t2_toil *toil) {
  t2_list_remove(&toil->node);
}
