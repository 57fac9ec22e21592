#include <proxy/trickle.h>

void t2_trickle_await(t2_trickle *trickle, bool awaited, uint64_t now_ms) {
  if (trickle->awaited) trickle->spent_ms += now_ms - trickle->since_ms;
  trickle->awaited = awaited;
  trickle->since_ms = now_ms;
}

uint64_t t2_trickle_left(const t2_trickle *trickle, uint64_t grace_ms, uint32_t rate, uint64_t now_ms) {
  if (rate == 0) return UINT64_MAX;
  uint64_t spent = trickle->spent_ms + (trickle->awaited ? now_ms - trickle->since_ms : 0);
  uint64_t most = UINT64_MAX / 1000, bytes = trickle->bytes < most ? trickle->bytes : most;
  uint64_t earned = bytes * 1000 / rate;
  uint64_t allowed = earned < UINT64_MAX - grace_ms ? grace_ms + earned : UINT64_MAX;
  return allowed > spent ? allowed - spent : 0;
}
