#include "tally.h"

#include <inttypes.h>
#include <string.h>

static const char *const kind_names[ERROR_KINDS] = {"connect",    "reset",      "closed",    "timeout",
                                                    "status_4xx", "status_5xx", "malformed", "unsent"};

void tally_clear(tally *t) {
  t->planned = t->sent = t->late = t->starved = t->answered = t->good = 0;
  memset(t->errors, 0, sizeof(t->errors));
  histogram_clear(&t->latency);
}

void tally_error(tally *t, error_kind kind) {
  t->errors[kind]++;
}

bool tally_any(const tally *t) {
  uint64_t any = t->planned | t->sent | t->answered;
  for (int i = 0; i < ERROR_KINDS; i++)
    any |= t->errors[i];
  return any != 0;
}

static void write_latency(const histogram *h, FILE *out) {
  static const struct {
    const char *name;
    double share;
  } wanted[] = {{"p50", .5}, {"p75", .75}, {"p90", .9}, {"p95", .95}, {"p99", .99}, {"p99_9", .999}};
  for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
    fprintf(out, ",\"%s_us\":%.1f", wanted[i].name, (double)histogram_at(h, wanted[i].share) / 1e3);
  fprintf(out, ",\"max_us\":%.1f,\"mean_us\":%.1f", (double)h->max / 1e3,
          h->count > 0 ? h->sum / (double)h->count / 1e3 : 0.0);
}

void tally_write(const tally *t, FILE *out) {
  const char *comma = "";
  uint64_t failed = 0;
  fprintf(out,
          "\"planned\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"late\":%" PRIu64 ",\"starved\":%" PRIu64
          ",\"answered\":%" PRIu64 ",\"good\":%" PRIu64 ",\"errors\":{",
          t->planned, t->sent, t->late, t->starved, t->answered, t->good);
  for (int i = 0; i < ERROR_KINDS; i++) {
    failed += t->errors[i];
    if (t->errors[i] == 0) continue;
    fprintf(out, "%s\"%s\":%" PRIu64, comma, kind_names[i], t->errors[i]);
    comma = ",";
  }
  fprintf(out, "},\"failed\":%" PRIu64, failed);
  write_latency(&t->latency, out);
}
