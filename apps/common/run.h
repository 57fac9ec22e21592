/* What the three programs have in common: options, the loop, signals, events, health, and the end.
 *
 *   int main(int argc, char **argv) {
 *     program p = {0};                                      // holds a t2_app, and the role's object
 *     t2_control_options_init(&p.options);
 *     const t2_cli_option table[] = {{"listen", T2_CLI_TEXT, &p.options.address, "HOST:PORT", "..."}, ...};
 *     t2_cli cli = {.program = "tunneld", .usage = "[OPTION]...", .about = "...", .options = table,
 *                   .option_count = T2_COUNT_OF(table)};
 *     int status = t2_app_init(&p.app, &cli, argc, argv);
 *     if (status >= 0) return status;                       // --help, --version, bad usage
 *     ... t2_app_dev_state, t2_app_file, t2_app_require, ... // defaults (dev.h); they note what is wrong
 *     status = t2_app_start(&p.app, &ops, &p);              // says it; else the loop, signals, --admin
 *     if (status == 0) status = start(&p);                  // t2_control_new, t2_control_start
 *     return t2_app_run(&p.app, status);                    // runs when status is 0; frees everything
 *   }
 */
#ifndef T2_COMMON_RUN_H
#define T2_COMMON_RUN_H

#include <common/cli.h>
#include <stdbool.h>
#include <tunnel2/log.h>
#include <uv.h>

#define T2_APP_OK     0
#define T2_APP_FAILED 1
#define T2_APP_USAGE  2

struct t2_buf;

/* What the program does when it is asked to; `user` is t2_app_start's. May be called before its objects
 * exist. */
typedef struct t2_app_ops {
  /* The first SIGTERM or SIGINT. The program calls t2_app_end when it is done (at once, when there is nothing
   * to drain). */
  void (*drain)(void *user, uint64_t timeout_ms);
  /* Close all objects on the loop, now (t2_control_close and the like). Called once, by the end of t2_app_run
   * at the latest. */
  void (*close)(void *user);
  /* Is it ready, as /health/ready shall say? NULL: always. */
  bool (*ready)(void *user);
  /* SIGHUP: reads the files again that may have changed. 0; or an error, with a sentence in detail, when
   * something could not be used and what was there before stays. NULL: SIGHUP is not caught. */
  int (*reload)(void *user, char *detail, size_t detail_size);
  /* Appends what /metrics has beside the process's own (common/metrics.h). NULL: nothing. */
  void (*metrics)(struct t2_buf *out, void *user);
} t2_app_ops;

typedef struct t2_app {
  const char *program;
  /* The common options. */
  bool dev, json;
  const char *state_dir; /* NULL: not given, and not --dev */
  t2_log_level log_level;
  uint64_t drain_timeout_ms;
  /* From t2_app_start on. */
  uv_loop_t loop;
  const char *admin_address; /* "127.0.0.1:40123", or NULL */
  /* For a library object's options: .log, .log_user. */
  t2_log_cb log;
  void *log_user;
  /* run.c's and dev.c's own. */
  struct t2_app_state *state;
} t2_app;

/* Reads the command line, the common options among it. -1 to go on, else the status to exit with: 0 after
 * --help and --version, 2 when something was wrong (it has been said). Nothing has to be freed then;
 * otherwise t2_app_run must come. */
int t2_app_init(t2_app *app, t2_cli *cli, int argc, char **argv);
/* Opens the loop, the signals and the --admin listener. 0, or the status to hand on to t2_app_run: 2 when one
 * of the calls of dev.h noted something. ops and user outlive t2_app_run. */
int t2_app_start(t2_app *app, const t2_app_ops *ops, void *user);
/* With status 0 runs the loop until t2_app_end; then, or at once, ops->close, and the loop until it is empty.
 * Frees what the app holds and returns the exit status. */
int t2_app_run(t2_app *app, int status);
/* Ends t2_app_run with that exit status (the first call's counts), from a callback on the loop. */
void t2_app_end(t2_app *app, int status);

/* Drains, as at the first SIGTERM; the admin listener is closed, for another process has it. */
void t2_app_drain(t2_app *app);

/* One JSON object a line on stdout with --json, else nothing: "event" and then the members of a jansson
 * json_pack format, as in t2_app_event(app, "ready", "{s:s, s:s?}", "control", address, "admin",
 * app->admin_address). NULL format: no members. */
void t2_app_event(t2_app *app, const char *event, const char *format, ...);
/* A line on stdout for a person, without --json. */
void t2_app_say(t2_app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "tunneld: ..." on stderr. Both return the exit status that fits: T2_APP_FAILED; and T2_APP_USAGE, with a
 * hint at --help. */
int t2_app_fail(const t2_app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));
int t2_app_usage(const t2_app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
