#include <common/metrics.h>
#include <common/notify.h>
#include <common/state.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <tunnel2/error.h>
#include <tunnel2/version.h>
#include <unistd.h>

#define DETAIL_MAX       512
#define DRAIN_MAX        86400 /* seconds */
#define CLOSE_TIMEOUT_MS 5000

/* ---- What is said ---- */

static void complain(const t2_app *app, const char *hint, const char *format, va_list args) {
  char text[DETAIL_MAX];

  vsnprintf(text, sizeof(text), format, args);
  fprintf(stderr, "%s: %s%s\n", app->program, text, hint);
}

int t2_app_fail(const t2_app *app, const char *format, ...) {
  va_list args;

  va_start(args, format);
  complain(app, "", format, args);
  va_end(args);
  return T2_APP_FAILED;
}

int t2_app_usage(const t2_app *app, const char *format, ...) {
  va_list args;

  va_start(args, format);
  complain(app, " (see --help)", format, args);
  va_end(args);
  return T2_APP_USAGE;
}

void t2_app_say(t2_app *app, const char *format, ...) {
  va_list args;

  if (app->json) return;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n");
  fflush(stdout);
}

void t2_app_event(t2_app *app, const char *event, const char *format, ...) {
  va_list args;

  if (!app->json) return;
  json_t *line = json_pack("{s:s}", "event", event);
  if (format && line) {
    va_start(args, format);
    json_t *members = json_vpack_ex(NULL, 0, format, args);
    va_end(args);
    if (!members || json_object_update(line, members))
      fprintf(stderr, "%s: event %s lacks members\n", app->program, event);
    json_decref(members);
  }
  char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
  if (text) printf("%s\n", text);
  fflush(stdout);
  free(text);
  json_decref(line);
}

/* ---- Options ---- */

typedef struct common_options {
  bool help, version;
  const char *log_level, *log_format;
} common_options;

static int read_options(t2_app *app, t2_cli *cli, int argc, char **argv, common_options *given) {
  const t2_cli_option table[] = {
      {"dev", T2_CLI_FLAG, &app->dev, NULL,
       "development: loopback only, keys and token from the state directory", 0, 0},
      {"state-dir", T2_CLI_TEXT, &app->state_dir, "DIR", "what is kept ($XDG_STATE_HOME/tunnel2 with --dev)",
       0, 0},
      {"admin", T2_CLI_TEXT, &app->state->admin, "HOST:PORT",
       "serve /health/live, /health/ready and /metrics there, in the clear", 0, 0},
      {"drain-timeout", T2_CLI_SECONDS, &app->drain_timeout_ms, "SECONDS",
       "for what is under way at SIGTERM (30)", 0, DRAIN_MAX},
      {"json", T2_CLI_FLAG, &app->json, NULL, "events on stdout, one JSON object a line", 0, 0},
      {"log-level", T2_CLI_CHOICE, &given->log_level, "error|warn|info|debug|off",
       "what is logged on stderr (info)", 0, 0},
      {"log-format", T2_CLI_CHOICE, &given->log_format, "text|json", "how (text)", 0, 0},
      {"version", T2_CLI_FLAG, &given->version, NULL, "print the version", 0, 0},
      {"help", T2_CLI_FLAG, &given->help, NULL, "print this", 0, 0},
  };
  char detail[DETAIL_MAX];

  cli->common = table;
  cli->common_count = T2_COUNT_OF(table);
  int rc = t2_cli_parse(cli, argc, argv, detail, sizeof(detail));
  if (given->help) t2_cli_help(cli, stdout);
  cli->common = NULL;
  cli->common_count = 0;
  if (given->help) return T2_APP_OK;
  if (rc) return t2_app_usage(app, "%s", detail);
  if (!given->version) return -1;
  printf("%s %s\n", app->program, t2_version());
  return T2_APP_OK;
}

int t2_app_init(t2_app *app, t2_cli *cli, int argc, char **argv) {
  common_options given = {.log_level = "info", .log_format = "text"};

  *app = (t2_app){.program = cli->program, .drain_timeout_ms = 30000};
  signal(SIGPIPE, SIG_IGN);
  app->state = t2_calloc(NULL, 1, sizeof(*app->state));
  if (!app->state) return t2_app_fail(app, "%s", t2_strerror(T2_ERR_NOMEM));
  int status = read_options(app, cli, argc, argv, &given);
  if (status >= 0) {
    t2_free(NULL, app->state);
    return status;
  }
  (void)t2_log_level_parse(given.log_level, &app->log_level);
  app->state->printer = (t2_log_printer){STDERR_FILENO, strcmp(given.log_format, "json") == 0};
  app->log = t2_log_print;
  app->log_user = &app->state->printer;
  return -1;
}

const char *t2_app_own(t2_app *app, char *text) {
  t2_app_state *state = app->state;

  if (text && state->owned_count < T2_APP_OWNED_MAX) return state->owned[state->owned_count++] = text;
  t2_free(NULL, text);
  t2_app_note(app, T2_APP_FAILED, "%s", t2_strerror(T2_ERR_NOMEM));
  return NULL;
}

void t2_app_note(t2_app *app, int status, const char *format, ...) {
  t2_app_state *state = app->state;
  va_list args;

  if (state->problem[0]) return;
  state->problem_status = status;
  va_start(args, format);
  vsnprintf(state->problem, sizeof(state->problem), format, args);
  va_end(args);
}

/* ---- The start ---- */

static int say_problems(const t2_app *app) {
  const t2_app_state *state = app->state;

  if (state->missing[0]) return t2_app_usage(app, "needs %s; or --dev, which makes its own", state->missing);
  if (!state->problem[0]) return 0;
  return state->problem_status == T2_APP_USAGE ? t2_app_usage(app, "%s", state->problem)
                                               : t2_app_fail(app, "%s", state->problem);
}

/* A connection is a descriptor: as many as the system gives. */
static void raise_descriptor_limit(void) {
  struct rlimit limit;

  if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The first signal drains; the second ends at once. */
static void on_signal(uv_signal_t *handle, int number) {
  t2_app *app = handle->data;
  t2_app_state *state = app->state;

  if (state->draining) {
    t2_app_end(app, T2_APP_OK);
    return;
  }
  state->draining = true;
  t2_app_notify_stopping();
  state->ops->drain(state->user, app->drain_timeout_ms);
}

void t2_app_drain(t2_app *app) {
  t2_app_state *state = app->state;

  if (state->draining || state->ended) return;
  if (state->health) t2_health_close(state->health);
  state->health = NULL;
  state->draining = true;
  state->ops->drain(state->user, app->drain_timeout_ms);
}

static void on_hangup(uv_signal_t *handle, int number) {
  t2_app *app = handle->data;
  t2_app_state *state = app->state;
  t2_log log = {app->log, app->log_user, app->log_level};
  char detail[DETAIL_MAX] = "";

  (void)number;
  if (state->draining || state->ended) return;
  t2_app_notify_reloading();
  int rc = state->ops->reload(state->user, detail, sizeof(detail));
  t2_app_notify_reloaded();
  if (rc == 0)
    t2_log_at(&log, INFO, app->program, "SIGHUP: %s", detail[0] ? detail : "there was nothing to reload");
  else
    t2_log_at(&log, ERROR, app->program, "SIGHUP: what was there before stays: %s",
              detail[0] ? detail : t2_strerror(rc));
  t2_app_event(app, "reloaded", "{s:b, s:s}", "ok", rc == 0, "detail", detail);
}

static int open_signals(t2_app *app) {
  const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
  size_t n = app->state->ops->reload ? 3 : 2;

  for (size_t i = 0; i < n; i++) {
    uv_signal_t *handle = &app->state->signals[i];
    handle->data = app;
    if (uv_signal_init(&app->loop, handle) ||
        uv_signal_start(handle, numbers[i] == SIGHUP ? on_hangup : on_signal, numbers[i]))
      return t2_app_fail(app, "signals can't be caught");
  }
  return 0;
}

static bool on_ready(void *user) {
  const t2_app_state *state = ((t2_app *)user)->state;

  return !state->draining && !state->ended && (!state->ops->ready || state->ops->ready(state->user));
}

static void on_metrics(t2_buf *out, void *user) {
  const t2_app_state *state = ((t2_app *)user)->state;

  t2_app_process_metrics(out);
  if (!state->ended && state->ops->metrics) state->ops->metrics(out, state->user);
}

static int open_admin(t2_app *app) {
  t2_app_state *state = app->state;
  t2_log log = {app->log, app->log_user, app->log_level};
  char detail[DETAIL_MAX] = "";

  if (!state->admin) return 0;
  int rc = t2_health_new(&state->health, &app->loop, NULL, &log, app->program, state->admin, on_ready,
                         on_metrics, app, detail, sizeof(detail));
  if (rc) return t2_app_fail(app, "--admin: %s", detail[0] ? detail : t2_strerror(rc));
  app->admin_address = t2_health_address(state->health);
  return 0;
}

int t2_app_start(t2_app *app, const t2_app_ops *ops, void *user) {
  t2_app_state *state = app->state;
  int status = say_problems(app);

  state->ops = ops;
  state->user = user;
  if (status) return status;
  raise_descriptor_limit();
  if (uv_loop_init(&app->loop)) return t2_app_fail(app, "the event loop can't be made");
  state->opened = true;
  uv_timer_init(&app->loop, &state->guard);
  status = open_signals(app);
  return status ? status : open_admin(app);
}

/* ---- The end ---- */

void t2_app_end(t2_app *app, int status) {
  t2_app_state *state = app->state;

  if (state->ended) return;
  if (!state->draining) t2_app_notify_stopping();
  state->ended = true;
  state->status = status;
  uv_stop(&app->loop);
}

/* What has not closed by now never will: the exit status counts more than tidiness. */
static void on_guard(uv_timer_t *guard) {
  t2_app *app = guard->data;

  fflush(NULL);
  _exit(app->state->status);
}

static void close_signal(uv_signal_t *handle) {
  if (handle->loop) uv_close((uv_handle_t *)handle, NULL);
}

/* Runs the loop on until everything on it has closed. */
static void close_loop(t2_app *app) {
  t2_app_state *state = app->state;

  state->ops->close(state->user);
  if (state->health) t2_health_close(state->health);
  /* They are caught to the end: another one is no reason to end otherwise. */
  for (size_t i = 0; i < T2_COUNT_OF(state->signals); i++)
    if (state->signals[i].loop) uv_unref((uv_handle_t *)&state->signals[i]);
  state->guard.data = app;
  uv_timer_start(&state->guard, on_guard, CLOSE_TIMEOUT_MS, 0);
  uv_unref((uv_handle_t *)&state->guard);
  uv_run(&app->loop, UV_RUN_DEFAULT);
  for (size_t i = 0; i < T2_COUNT_OF(state->signals); i++)
    close_signal(&state->signals[i]);
  uv_close((uv_handle_t *)&state->guard, NULL);
  uv_run(&app->loop, UV_RUN_DEFAULT);
  uv_loop_close(&app->loop);
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
}

int t2_app_run(t2_app *app, int status) {
  t2_app_state *state = app->state;

  if (status == 0) {
    while (!state->ended)
      uv_run(&app->loop, UV_RUN_DEFAULT);
    status = state->status;
  }
  state->ended = true;
  state->status = status;
  if (state->opened) close_loop(app);
  for (size_t i = 0; i < state->owned_count; i++) {
    t2_memzero(state->owned[i], strlen(state->owned[i]));
    t2_free(NULL, state->owned[i]);
  }
  t2_free(NULL, state);
  app->state = NULL;
  return status;
}
