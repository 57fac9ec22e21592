#include <base/str.h>
#include <common/state.h>
#include <common/workers.h>
#include <string.h>

#define WORKERS_MAX 64

unsigned t2_app_workers(t2_app *app, const char *text) {
  uint64_t n = 0;

  if (strcmp(text, "auto") == 0) return 0;
  if (t2_str_u64(t2_str_c(text), WORKERS_MAX, &n) == 0 && n > 0) return (unsigned)n;
  t2_app_note(app, T2_APP_USAGE, "--workers %s: 1 to %d, or auto, is taken", text, WORKERS_MAX);
  return 1;
}
