/* What run.c and dev.c keep for a t2_app. Included by these two alone. */
#ifndef T2_COMMON_STATE_H
#define T2_COMMON_STATE_H

#include <base/log.h>
#include <base/mem.h>
#include <common/run.h>
#include <proxy/health.h>

#define T2_APP_OWNED_MAX 32

typedef struct t2_app_state {
  t2_log_printer printer;
  /* What dev.c found wrong before the start. */
  char missing[256]; /* "--cert, --key" */
  char problem[512]; /* the first one's sentence */
  int problem_status;
  char *owned[T2_APP_OWNED_MAX]; /* texts that live as long as the app */
  size_t owned_count;
  /* Running. */
  const t2_app_ops *ops;
  void *user;
  const char *admin; /* --admin */
  t2_health *health;
  uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP */
  uv_timer_t guard;
  bool opened, draining, ended;
  int status;
} t2_app_state;

/* Takes text (made with t2_alloc and a NULL allocator) over for the app's life: text, or NULL when it was
 * NULL or there is no room. */
const char *t2_app_own(t2_app *app, char *text);
/* Notes the first problem for t2_app_start. */
void t2_app_note(t2_app *app, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
