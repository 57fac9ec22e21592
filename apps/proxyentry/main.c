/* proxyentry: the data plane's public listener and uplink listener. */
#include <common/entry_options.h>
#include <common/handover.h>
#include <common/limits_file.h>
#include <common/metrics.h>
#include <common/notify.h>
#include <string.h>

typedef struct program {
  t2_app app;
  t2_app_entry given;
  t2_entry *entry;
  t2_app_handover handover;
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
    t2_app_event(app, "ready", "{s:s, s:s, s:s?, s:s?, s:s, s:s?}", "entry", t2_entry_id(entry), "public",
                 event->public_address, "public_tls", event->public_tls_address, "tls", event->tls_address,
                 "uplink", event->uplink_address, "admin", app->admin_address);
    t2_app_entry_say(app, entry);
    if (!t2_app_handover_pending(&((program *)user)->handover))
      t2_app_notify_ready(app, "listening; the control plane is not known yet");
    break;
  case T2_ENTRY_REGISTERED:
    t2_app_event(app, "registered", "{s:s}", "entry", t2_entry_id(entry));
    if (!t2_app_handover_pending(&((program *)user)->handover))
      t2_app_notify_ready(app, "serving; registered as %s", t2_entry_id(entry));
    break;
  case T2_ENTRY_LOST:
    t2_app_event(app, "lost", "{s:s, s:s?}", "error", t2_error_name(event->error), "reason", event->reason);
    t2_app_notify_ready(app, "serving without the control plane: %s",
                        event->reason ? event->reason : "it is gone");
    break;
  case T2_ENTRY_RETRYING:
    t2_app_event(app, "retrying", "{s:s, s:s?, s:I}", "error", t2_error_name(event->error), "reason",
                 event->reason, "delay_ms", (long long)event->delay_ms);
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
  t2_app_handover_close(&p->handover);
  if (p->entry)
    t2_entry_drain(p->entry, timeout_ms);
  else
    t2_app_end(&p->app, T2_APP_OK);
}

static void on_close(void *user) {
  program *p = user;
  t2_app_handover_close(&p->handover);
  if (p->entry) t2_entry_close(p->entry, NULL, NULL);
  p->entry = NULL;
}

static bool on_ready(void *user) {
  const program *p = user;
  return p->entry && t2_entry_is_ready(p->entry);
}

static int on_reload(void *user, char *detail, size_t size) {
  const program *p = user;
  return p->entry ? t2_app_limits_reload(&p->given, p->entry, detail, size) : T2_ERR_STATE;
}

static void on_metrics(struct t2_buf *out, void *user) {
  t2_app_entry_metrics(out, ((const program *)user)->entry);
}

static const t2_app_ops ops = {
    .drain = on_drain, .close = on_close, .ready = on_ready, .reload = on_reload, .metrics = on_metrics};

int main(int argc, char **argv) {
  program p = {0};
  t2_entry_options *o = &p.given.options;
  const t2_cli_option own[] = {
      {"cert", T2_CLI_TEXT, &o->cert_file, "FILE", "certificate chain of --uplink, PEM", 0, 0},
      {"key", T2_CLI_TEXT, &o->key_file, "FILE", "its key, PEM", 0, 0},
      {"tls-min", T2_CLI_CHOICE, &o->tls_min, "1.2|1.3", "the oldest TLS of the public and of clients (1.2)",
       0, 0},
      {"token", T2_CLI_TEXT, &o->token, "TOKEN", "for the control plane; other users of this machine see it",
       0, 0},
  };
  t2_cli_option table[T2_APP_ENTRY_ROWS + sizeof(own) / sizeof(own[0]) + T2_APP_HANDOVER_ROWS];
  size_t rows = t2_app_entry_table(&p.given, table);
  memcpy(table + rows, own, sizeof(own));
  rows += sizeof(own) / sizeof(own[0]);
  t2_app_handover_table(&p.handover, table + rows);
  t2_cli cli = {
      .program = "proxyentry",
      .usage = "[OPTION]...",
      .about = "Takes public requests, and passes each on to the tunnel client that serves its session.",
      .options = table,
      .option_count = rows + T2_APP_HANDOVER_ROWS,
  };
  int status = t2_app_init(&p.app, &cli, argc, argv);
  if (status >= 0) return status;
  t2_app_dev_state(&p.app);
  t2_app_file(&p.app, &o->cert_file, "cert", T2_DEV_CERT_FILE);
  t2_app_file(&p.app, &o->key_file, "key", T2_DEV_KEY_FILE);
  t2_app_token(&p.app, &o->token, p.given.token_file, T2_APP_TOKEN_OPTIONS);
  t2_app_entry_complete(&p.app, &p.given);
  t2_app_handover_take(&p.app, &p.handover, "proxyentry", o->id);
  t2_app_handover_entry(&p.handover, o);
  status = t2_app_start(&p.app, &ops, &p);
  if (status == 0) status = t2_app_entry_start(&p.app, &p.given, on_event, &p, &p.entry);
  if (status == 0) t2_app_handover_start(&p.handover, p.entry, NULL, NULL);
  status = t2_app_run(&p.app, status);
  t2_app_handover_close(&p.handover);
  return status;
}
