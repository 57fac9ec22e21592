/* tunnelc: publishes an origin next to it under a session. */
#include <common/client_events.h>
#include <common/client_options.h>
#include <common/metrics.h>
#include <stdio.h>
#include <string.h>
#include <tunnel2/client.h>

typedef struct program {
  t2_app app;
  t2_app_client given;
  char files[4096 + 8];
  t2_client *client;
} program;

/* ---- What the app asks ---- */

static void on_drain(void *user, uint64_t timeout_ms) {
  program *p = user;
  if (p->client)
    t2_client_drain(p->client, timeout_ms);
  else
    t2_app_end(&p->app, T2_APP_OK);
}

static void on_close(void *user) {
  program *p = user;
  if (p->client) t2_client_close(p->client, NULL, NULL);
  p->client = NULL;
}

static bool on_ready(void *user) {
  t2_client_stats stats = {.size = sizeof(stats)};
  const program *p = user;
  if (!p->client) return false;
  t2_client_get_stats(p->client, &stats);
  return stats.uplinks > 0 && !stats.unhealthy;
}

static int on_reload(void *user, char *detail, size_t size) {
  const program *p = user;
  return p->client ? t2_app_client_reload(&p->given, p->client, detail, size) : T2_ERR_STATE;
}

static void on_metrics(struct t2_buf *out, void *user) {
  t2_app_client_metrics(out, ((const program *)user)->client);
}

static const t2_app_ops ops = {
    .drain = on_drain, .close = on_close, .ready = on_ready, .reload = on_reload, .metrics = on_metrics};

/* ---- Subcommands ---- */

#define FILES "files:"

/* http [TARGET]: an origin that speaks HTTP; with --route there may be none for "/". */
static int use_http(program *p, const char *target) {
  p->given.options.origin = target;
  if (target || p->given.routes.n) return 0;
  return t2_app_usage(&p->app, "needs http TARGET, or --route PREFIX=TARGET");
}

/* files DIR: a directory. */
static int use_files(program *p, const char *directory) {
  if (!directory) return t2_app_usage(&p->app, "needs files DIR");
  snprintf(p->files, sizeof(p->files), FILES "%s", directory);
  p->given.options.origin = p->files;
  return 0;
}

/* tcp TARGET: whatever is spoken there. */
static int use_tcp(program *p, const char *target) {
  p->given.options.kind = T2_CLIENT_TCP;
  p->given.options.origin = target;
  return target ? 0 : t2_app_usage(&p->app, "needs tcp TARGET");
}

/* udp TARGET: one flow for each remote address. */
static int use_udp(program *p, const char *target) {
  p->given.options.kind = T2_CLIENT_UDP;
  p->given.options.origin = target;
  return target ? 0 : t2_app_usage(&p->app, "needs udp TARGET");
}

/* tls TARGET: TLS connections by the server name that is asked for, as they are. */
static int use_tls(program *p, const char *target) {
  p->given.options.kind = T2_CLIENT_TLS;
  p->given.options.origin = target;
  return target ? 0 : t2_app_usage(&p->app, "needs tls TARGET");
}

typedef struct subcommand {
  const char *name;
  int (*use)(program *p, const char *operand); /* into the options: 0, or an exit status */
} subcommand;

static const subcommand subcommands[] = {
    {"http", use_http}, {"files", use_files}, {"tcp", use_tcp}, {"udp", use_udp}, {"tls", use_tls}};

#define SUBCOMMANDS "http TARGET, files DIR, tcp TARGET, udp TARGET or tls TARGET"

static int find_subcommand(program *p, const char *name, const subcommand **found) {
  for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
    if (name && strcmp(subcommands[i].name, name) == 0) *found = &subcommands[i];
  if (*found) return 0;
  if (!name) return t2_app_usage(&p->app, "needs " SUBCOMMANDS);
  return t2_app_usage(&p->app, "\"%s\" is no subcommand: " SUBCOMMANDS, name);
}

static int run(program *p) {
  char detail[512];
  t2_client_options *o = &p->given.options;
  o->log = p->app.log;
  o->log_user = p->app.log_user;
  o->log_level = p->app.log_level;
  o->on_event = t2_app_client_event;
  o->user = &p->app;
  int err = t2_client_new(&p->client, &p->app.loop, o, detail, sizeof(detail));
  const char *reason = *detail ? detail : t2_strerror(err);
  if (err == T2_ERR_INVALID || err == T2_ERR_UNSUPPORTED) return t2_app_usage(&p->app, "%s", reason);
  if (err == 0) err = t2_client_start(p->client);
  return err ? t2_app_fail(&p->app, "%s", reason) : T2_APP_OK;
}

int main(int argc, char **argv) {
  program p = {0};
  const char *operands[2] = {NULL, NULL};
  const subcommand *command = NULL;
  t2_cli_option table[T2_APP_CLIENT_ROWS];
  size_t rows = t2_app_client_table(&p.given, table);
  t2_cli cli = {
      .program = "tunnelc",
      .usage = "http TARGET | files DIR | tcp TARGET | udp TARGET | tls TARGET  [OPTION]...",
      .about =
          "Publishes a service, or a directory, under a session. TARGET is PORT, HOST:PORT, "
          "http://HOST:PORT,\n"
          "https://HOST:PORT, h2c://HOST:PORT (gRPC without TLS), unix:/PATH or files:DIR; of tcp and tls\n"
          "it is PORT, HOST:PORT or unix:/PATH, of udp PORT or HOST:PORT.",
      .options = table,
      .option_count = rows,
      .operands = operands,
      .operand_max = 2,
  };
  int status = t2_app_init(&p.app, &cli, argc, argv);
  if (status >= 0) return status;
  status = find_subcommand(&p, operands[0], &command);
  if (status == 0 && command) status = command->use(&p, operands[1]);
  if (status) return t2_app_run(&p.app, status);
  t2_app_dev_state(&p.app);
  t2_app_client_complete(&p.app, &p.given);
  status = t2_app_start(&p.app, &ops, &p);
  if (status == 0) status = run(&p);
  return t2_app_run(&p.app, status);
}
