/* tunnelc: publishes an origin next to it under a session. */
#include <common/dev.h>
#include <jansson.h>
#include <string.h>
#include <tunnel2/client.h>

typedef struct program {
  t2_app app;
  t2_client_options options;
  t2_client *client;
} program;

/* ---- Events ---- */

static void say_ready(t2_app *app, const t2_client_event *event) {
  json_t *urls = app->json ? json_array() : NULL;
  for (size_t i = 0; i < event->url_count; i++) {
    if (urls) (void)json_array_append_new(urls, json_string(event->urls[i]));
  }
  t2_app_event(app, "ready", "{s:s, s:o, s:s?}", "session", event->session, "urls", urls, "admin",
               app->admin_address);
  t2_app_say(app, "session %s is published:", event->session);
  for (size_t i = 0; i < event->url_count; i++)
    t2_app_say(app, "  %s", event->urls[i]);
}

static void say_retrying(t2_app *app, const t2_client_event *event) {
  t2_app_event(app, "retrying", "{s:s?, s:s, s:s, s:I}", "entry", event->entry, "error",
               t2_error_name(event->error), "reason", event->reason, "delay_ms", (json_int_t)event->delay_ms);
}

static void say_lost(t2_app *app, const t2_client_event *event) {
  t2_app_event(app, "lost", "{s:s?, s:s, s:s}", "entry", event->entry, "error", t2_error_name(event->error),
               "reason", event->reason);
}

static void on_ended(t2_app *app, const t2_client_event *event) {
  t2_app_event(app, "ended", "{s:s, s:s}", "error", t2_error_name(event->error), "reason", event->reason);
  t2_app_end(app, event->error ? t2_app_fail(app, "%s", event->reason) : T2_APP_OK);
}

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  t2_app *app = &((program *)user)->app;
  (void)client;
  switch (event->type) {
  case T2_CLIENT_REGISTERED:
    t2_app_event(app, "registered", "{s:s, s:i}", "session", event->session, "lease_seconds",
                 (int)event->lease_seconds);
    break;
  case T2_CLIENT_CONNECTED:
    t2_app_event(app, "connected", "{s:s}", "entry", event->entry);
    break;
  case T2_CLIENT_READY:
    say_ready(app, event);
    break;
  case T2_CLIENT_LOST:
    say_lost(app, event);
    break;
  case T2_CLIENT_RETRYING:
    say_retrying(app, event);
    break;
  case T2_CLIENT_DRAINING:
    t2_app_event(app, "draining", "{s:s}", "reason", event->reason);
    break;
  case T2_CLIENT_ENDED:
    on_ended(app, event);
    break;
  }
}

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
  return stats.uplinks > 0;
}

static const t2_app_ops ops = {.drain = on_drain, .close = on_close, .ready = on_ready};

/* ---- Subcommands ---- */

/* http TARGET: an origin that speaks HTTP/1.1. */
static int run_http(program *p) {
  char detail[512];
  p->options.log = p->app.log;
  p->options.log_user = p->app.log_user;
  p->options.log_level = p->app.log_level;
  p->options.on_event = on_event;
  p->options.user = p;
  int err = t2_client_new(&p->client, &p->app.loop, &p->options, detail, sizeof(detail));
  const char *reason = *detail ? detail : t2_strerror(err);
  if (err == T2_ERR_INVALID || err == T2_ERR_UNSUPPORTED) return t2_app_usage(&p->app, "%s", reason);
  if (err == 0) err = t2_client_start(p->client);
  return err ? t2_app_fail(&p->app, "%s", reason) : T2_APP_OK;
}

typedef struct subcommand {
  const char *name;
  int (*run)(program *p);
} subcommand;

static const subcommand subcommands[] = {{"http", run_http}};

static const subcommand *find_subcommand(const char *name) {
  for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
    if (name && strcmp(subcommands[i].name, name) == 0) return &subcommands[i];
  return NULL;
}

int main(int argc, char **argv) {
  program p = {0};
  const char *operands[2] = {NULL, NULL}, *token_file = NULL;
  t2_client_options *o = &p.options;
  t2_client_options_init(o);
  const t2_cli_option table[] = {
      {"server", T2_CLI_TEXT, &o->server, "URL", "the control plane (https://127.0.0.1:12002)", 0, 0},
      {"token", T2_CLI_TEXT, &o->token, "TOKEN", "for the control plane; other users of this machine see it",
       0, 0},
      {"token-file", T2_CLI_TEXT, &token_file, "FILE", "the token is the first line of it", 0, 0},
      {"session", T2_CLI_TEXT, &o->session, "ID", "a UUID, or a name of a-z 0-9 and - (one is made)", 0, 0},
      {"ca", T2_CLI_TEXT, &o->ca_file, "FILE", "trusted for control plane and entries (the system's)", 0, 0},
      {"host-header", T2_CLI_TEXT, &o->host_header, "HOST", "Host to the origin (as the public sent it)", 0,
       0},
      {"connect-timeout", T2_CLI_SECONDS, &o->connect_timeout_ms, "SECONDS", "to the origin (5)", 1, 3600},
      {"response-timeout", T2_CLI_SECONDS, &o->response_timeout_ms, "SECONDS",
       "from the end of a request to the origin's answer (30)", 1, 86400},
  };
  t2_cli cli = {
      .program = "tunnelc",
      .usage = "http TARGET [OPTION]...",
      .about = "Publishes an HTTP/1.1 server under a session. TARGET is PORT, HOST:PORT or http://HOST:PORT.",
      .options = table,
      .option_count = sizeof(table) / sizeof(table[0]),
      .operands = operands,
      .operand_max = 2,
  };
  int status = t2_app_init(&p.app, &cli, argc, argv);
  if (status >= 0) return status;
  const subcommand *command = find_subcommand(operands[0]);
  if (operands[0] && !command)
    return t2_app_run(&p.app, t2_app_usage(&p.app, "\"%s\" is no subcommand: http TARGET", operands[0]));
  if (!operands[1]) return t2_app_run(&p.app, t2_app_usage(&p.app, "needs http TARGET"));
  o->origin = operands[1];
  t2_app_dev_state(&p.app);
  t2_app_file_or_none(&p.app, &o->ca_file, T2_APP_CA);
  t2_app_token(&p.app, &o->token, token_file);
  status = t2_app_start(&p.app, &ops, &p);
  if (status == 0) status = command->run(&p);
  return t2_app_run(&p.app, status);
}
