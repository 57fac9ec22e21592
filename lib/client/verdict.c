#include <client/verdict.h>

void t2_verdict_init(t2_verdict *verdict, unsigned fails_max, unsigned passes_min, unsigned connects_max) {
  *verdict = (t2_verdict){.fails_max = fails_max, .passes_min = passes_min, .connects_max = connects_max};
}

/* Whoever is out, or in again, begins to count anew. */
static bool change(t2_verdict *verdict, bool out) {
  verdict->out = out;
  verdict->fails = verdict->passes = verdict->connects = 0;
  return true;
}

bool t2_verdict_checked(t2_verdict *verdict, bool good) {
  verdict->passes = good ? verdict->passes + 1 : 0;
  verdict->fails = good ? 0 : verdict->fails + 1;
  if (verdict->out) return verdict->passes >= verdict->passes_min && change(verdict, false);
  return verdict->fails >= verdict->fails_max && change(verdict, true);
}

bool t2_verdict_connected(t2_verdict *verdict, bool good) {
  if (verdict->out || verdict->connects_max == 0) return false;
  verdict->connects = good ? 0 : verdict->connects + 1;
  return verdict->connects >= verdict->connects_max && change(verdict, true);
}
