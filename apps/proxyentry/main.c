/* proxyentry: the data plane's public listener and uplink listener. */
#include <common/dev.h>
#include <tunnel2/entry.h>

typedef struct program {
  t2_app app;
  t2_entry_options options;
  t2_entry *entry;
} program;

/* ---- Events ---- */

static void on_ended(t2_app *app, const t2_entry_event *event) {
  t2_app_event(app, "ended", "{s:s, s:s?}", "error", t2_error_name(event->error), "reason", event->reason);
  const char *reason = event->reason ? event->reason : t2_strerror(event->error);
  t2_app_end(app, event->error ? t2_app_fail(app, "%s", reason) : T2_APP_OK);
}

static void on_event(t2_entry *entry, const t2_entry_event *event, void *user) {
  t2_app *app = &((program *)user)->app;
  switch (event->type) {
  case T2_ENTRY_READY:
    t2_app_event(app, "ready", "{s:s, s:s, s:s, s:s?}", "entry", t2_entry_id(entry), "public",
                 event->public_address, "uplink", event->uplink_address, "admin", app->admin_address);
    t2_app_say(app, "entry %s: public http://%s/, uplinks %s", t2_entry_id(entry), event->public_address,
               event->uplink_address);
    break;
  case T2_ENTRY_REGISTERED:
    t2_app_event(app, "registered", "{s:s}", "entry", t2_entry_id(entry));
    break;
  case T2_ENTRY_LOST:
    t2_app_event(app, "lost", "{s:s, s:s?}", "error", t2_error_name(event->error), "reason", event->reason);
    break;
  case T2_ENTRY_DRAINING:
    t2_app_event(app, "draining", NULL);
    break;
  case T2_ENTRY_ENDED:
    on_ended(app, event);
    break;
  }
}

/* ---- What the app asks ---- */

static void on_drain(void *user, uint64_t timeout_ms) {
  program *p = user;
  if (p->entry)
    t2_entry_drain(p->entry, timeout_ms);
  else
    t2_app_end(&p->app, T2_APP_OK);
}

static void on_close(void *user) {
  program *p = user;
  if (p->entry) t2_entry_close(p->entry, NULL, NULL);
  p->entry = NULL;
}

static bool on_ready(void *user) {
  const program *p = user;
  return p->entry && t2_entry_is_ready(p->entry);
}

static const t2_app_ops ops = {.drain = on_drain, .close = on_close, .ready = on_ready};

static int start(program *p) {
  char detail[512] = "";
  p->options.log = p->app.log;
  p->options.log_user = p->app.log_user;
  p->options.log_level = p->app.log_level;
  p->options.state_dir = p->app.state_dir;
  p->options.on_event = on_event;
  p->options.user = p;
  int err = t2_entry_new(&p->entry, &p->app.loop, &p->options, detail, sizeof(detail));
  const char *reason = *detail ? detail : t2_strerror(err);
  if (err == T2_ERR_INVALID || err == T2_ERR_UNSUPPORTED) return t2_app_usage(&p->app, "%s", reason);
  if (err == 0) err = t2_entry_start(p->entry);
  return err ? t2_app_fail(&p->app, "%s", reason) : T2_APP_OK;
}

int main(int argc, char **argv) {
  program p = {0};
  const char *token_file = NULL;
  t2_entry_options *o = &p.options;
  t2_entry_options_init(o);
  const t2_cli_option table[] = {
      {"control", T2_CLI_TEXT, &o->control, "URL", "the control plane (https://127.0.0.1:12002)", 0, 0},
      {"entry-id", T2_CLI_TEXT, &o->id, "ID",
       "a name of a-z 0-9 and - (one is made, and kept in --state-dir)", 0, 0},
      {"public", T2_CLI_TEXT, &o->public_address, "HOST:PORT", "for public requests (127.0.0.1:12000)", 0, 0},
      {"uplink", T2_CLI_TEXT, &o->uplink_address, "HOST:PORT", "for tunnel clients (127.0.0.1:12001)", 0, 0},
      {"cert", T2_CLI_TEXT, &o->cert_file, "FILE", "certificate chain of --uplink, PEM", 0, 0},
      {"key", T2_CLI_TEXT, &o->key_file, "FILE", "its key, PEM", 0, 0},
      {"ca", T2_CLI_TEXT, &o->ca_file, "FILE", "trusted for the control plane (the system's)", 0, 0},
      {"token", T2_CLI_TEXT, &o->token, "TOKEN", "for the control plane; other users of this machine see it",
       0, 0},
      {"token-file", T2_CLI_TEXT, &token_file, "FILE", "the token is the first line of it", 0, 0},
      {"domain", T2_CLI_TEXT, &o->domain, "DOMAIN", "sessions are names in it (localhost)", 0, 0},
      {"advertise-uplink", T2_CLI_TEXT, &o->advertise_uplink, "URL",
       "what clients dial (https:// and --uplink)", 0, 0},
      {"advertise-public", T2_CLI_TEXT, &o->advertise_public, "URL",
       "what people are told (http:// and --public)", 0, 0},
  };
  t2_cli cli = {
      .program = "proxyentry",
      .usage = "[OPTION]...",
      .about = "Takes public requests, and passes each on to the tunnel client that serves its session.",
      .options = table,
      .option_count = sizeof(table) / sizeof(table[0]),
  };
  int status = t2_app_init(&p.app, &cli, argc, argv);
  if (status >= 0) return status;
  t2_app_dev_state(&p.app);
  t2_app_file(&p.app, &o->cert_file, "cert", T2_APP_CERT);
  t2_app_file(&p.app, &o->key_file, "key", T2_APP_KEY);
  t2_app_file_or_none(&p.app, &o->ca_file, T2_APP_CA);
  t2_app_token(&p.app, &o->token, token_file);
  t2_app_loopback(&p.app, "public", o->public_address);
  t2_app_loopback(&p.app, "uplink", o->uplink_address);
  status = t2_app_start(&p.app, &ops, &p);
  if (status == 0) status = start(&p);
  return t2_app_run(&p.app, status);
}
