/* tunneld: the control plane; with --entry also an entry, in the same process. */
#include <common/control_part.h>
#include <common/entry_options.h>
#include <common/limits_file.h>
#include <common/metrics.h>
#include <common/notify.h>
#include <stdio.h>
#include <string.h>

typedef struct program {
  t2_app app;
  bool with_entry;
  t2_app_control control;
  bool control_ended;
  t2_app_entry given;
  t2_entry *entry; /* NULL without --entry */
  bool entry_ended, ready;
} program;

/* ---- Events ---- */

/* With an entry once that is registered: then a client finds all it needs. */
static void say_ready(program *p) {
  const char *id = NULL, *public_address = NULL, *secure = NULL, *tls = NULL, *uplink = NULL;
  const char *address = t2_control_address(p->control.control);
  if (p->ready) return;
  p->ready = true;
  if (p->entry) {
    id = t2_entry_id(p->entry);
    public_address = t2_entry_public_address(p->entry);
    secure = t2_entry_public_tls_address(p->entry);
    tls = t2_entry_tls_address(p->entry);
    uplink = t2_entry_uplink_address(p->entry);
  }
  t2_app_event(&p->app, "ready", "{s:s, s:s?, s:s*, s:s*, s:s*, s:s*, s:s*}", "control", address, "admin",
               p->app.admin_address, "entry", id, "public", public_address, "public_tls", secure, "tls", tls,
               "uplink", uplink);
  t2_app_say(&p->app, "control plane: https://%s", address);
  if (p->entry) t2_app_entry_say(&p->app, p->entry);
  if (!t2_app_handover_pending(&p->control.handover)) t2_app_notify_ready(&p->app, "serving");
}

static void end_if_done(program *p) {
  if (p->control_ended && (!p->entry || p->entry_ended)) t2_app_end(&p->app, T2_APP_OK);
}

static void on_control_event(t2_control *control, const t2_control_event *event, void *user) {
  program *p = user;
  (void)control;
  if (event->type == T2_CONTROL_READY && !p->with_entry) say_ready(p);
  if (event->type == T2_CONTROL_DRAINING) t2_app_event(&p->app, "draining", NULL);
  if (event->type != T2_CONTROL_ENDED) return;
  p->control_ended = true;
  end_if_done(p);
}

static void on_entry_event(t2_entry *entry, const t2_entry_event *event, void *user) {
  program *p = user;
  if (event->type == T2_ENTRY_REGISTERED) say_ready(p);
  if (event->type != T2_ENTRY_ENDED) return;
  p->entry_ended = true;
  if (event->error)
    t2_app_end(&p->app, t2_app_fail(&p->app, "the entry: %s",
                                    event->reason ? event->reason : t2_strerror(event->error)));
  else
    end_if_done(p);
}

/* ---- What the app asks ---- */

static void on_drain(void *user, uint64_t timeout_ms) {
  program *p = user;
  t2_app_handover_close(&p->control.handover);
  p->control_ended = !p->control.control; /* another process has it */
  if (p->control_ended) t2_app_event(&p->app, "draining", NULL);
  if (p->entry) t2_entry_drain(p->entry, timeout_ms);
  if (p->control.control) t2_control_drain(p->control.control, timeout_ms);
  end_if_done(p);
}

static void on_close(void *user) {
  program *p = user;
  t2_app_handover_close(&p->control.handover);
  if (p->entry) t2_entry_close(p->entry, NULL, NULL);
  if (p->control.control) t2_control_close(p->control.control, NULL, NULL);
  p->entry = NULL;
  p->control.control = NULL;
}

static bool on_ready(void *user) {
  const program *p = user;
  if (!p->control.control || !t2_control_is_ready(p->control.control)) return false;
  return !p->with_entry || (p->entry && t2_entry_is_ready(p->entry));
}

static int on_reload(void *user, char *detail, size_t size) {
  const program *p = user;
  int err = p->control.control ? t2_control_reload(p->control.control, detail, size) : T2_ERR_STATE;
  if (err == 0 && p->entry) err = t2_app_limits_reload(&p->given, p->entry, detail, size);
  if (err == 0)
    snprintf(detail, size, "certificates%s and tokens were read again; other options stay until a restart",
             p->entry && p->given.limits_file ? ", limits" : "");
  return err;
}

static void on_metrics(struct t2_buf *out, void *user) {
  t2_app_control_metrics(out, ((const program *)user)->control.control);
  t2_app_entry_metrics(out, ((const program *)user)->entry);
}

static const t2_app_ops ops = {
    .drain = on_drain, .close = on_close, .ready = on_ready, .reload = on_reload, .metrics = on_metrics};

/* ---- The start ---- */

/* It talks to the control plane like any other: over TLS, at its address. */
static int start_entry(program *p) {
  char url[128];
  t2_entry_options *o = &p->given.options;
  snprintf(url, sizeof(url), "https://%s", t2_control_address(p->control.control));
  if (!o->control) o->control = url;
  o->cert_file = p->control.options.cert_file;
  o->key_file = p->control.options.key_file;
  o->tls_min = p->control.options.tls_min;
  return t2_app_entry_start(&p->app, &p->given, on_entry_event, p, &p->entry);
}

static int start(program *p) {
  int status = t2_app_control_make(&p->control);
  if (status == T2_APP_OK && p->with_entry) status = start_entry(p);
  if (status != T2_APP_OK) return status;
  (void)t2_control_start(p->control.control);
  t2_app_handover_start(&p->control.handover, p->entry, &t2_app_control_role, &p->control);
  return status;
}

/* What is missing, or there in vain, is said by t2_app_start. */
static void complete(program *p) {
  t2_app *app = &p->app;
  t2_entry_options *e = &p->given.options;
  t2_app_dev_state(app);
  t2_app_require(app, "state-dir", app->state_dir);
  t2_app_file(app, &p->control.options.cert_file, "cert", T2_DEV_CERT_FILE);
  t2_app_file(app, &p->control.options.key_file, "key", T2_DEV_KEY_FILE);
  t2_app_file(app, &p->control.options.tokens_file, "tokens", T2_DEV_TOKENS_FILE);
  t2_app_loopback(app, "listen", p->control.options.address);
  if (!p->with_entry) return;
  t2_app_token(app, &e->token, p->given.token_file, "token-file");
  t2_app_entry_complete(app, &p->given);
}

int main(int argc, char **argv) {
  program p = {0};
  t2_control_options *o = &p.control.options;
  t2_control_options_init(o);
  const t2_cli_option own[] = {
      {"listen", T2_CLI_TEXT, &o->address, "HOST:PORT", "the control API (127.0.0.1:12002)", 0, 0},
      {"cert", T2_CLI_TEXT, &o->cert_file, "FILE", "certificate chain, PEM", 0, 0},
      {"key", T2_CLI_TEXT, &o->key_file, "FILE", "its key, PEM", 0, 0},
      {"tls-min", T2_CLI_CHOICE, &o->tls_min, "1.2|1.3", "the oldest TLS that is taken, of all (1.2)", 0, 0},
      {"tokens", T2_CLI_TEXT, &o->tokens_file, "FILE", "lines of OWNER ROLE[,ROLE] sha256:HEX", 0, 0},
      {"lease-seconds", T2_CLI_NUMBER, &o->lease_seconds, "SECONDS", "unheard of for so long (30)", 1, 86400},
      {"ticket-seconds", T2_CLI_NUMBER, &o->ticket_seconds, "SECONDS", "good for so long (3600)", 1, 2592000},
      {"key-rotation", T2_CLI_NUMBER, &o->key_rotation_seconds, "SECONDS", "period (0: when asked)", 0, 0},
      {"park-above", T2_CLI_NUMBER, &o->park_above, "N", "channels before quiet ones are parked (128)", 0, 0},
      {"entry", T2_CLI_FLAG, &p.with_entry, NULL, "run an entry as well; what follows is for it", 0, 0},
  };
  const size_t n = sizeof(own) / sizeof(own[0]) + T2_APP_HANDOVER_ROWS;
  t2_cli_option table[sizeof(own) / sizeof(own[0]) + T2_APP_HANDOVER_ROWS + T2_APP_ENTRY_ROWS];
  bool given[sizeof(table) / sizeof(table[0])] = {0};
  t2_app_handover_table(&p.control.handover, table);
  memcpy(table + T2_APP_HANDOVER_ROWS, own, sizeof(own));
  p.control.app = &p.app;
  p.control.on_event = on_control_event;
  p.control.user = &p;
  t2_cli cli = {
      .program = "tunneld",
      .usage = "[OPTION]...",
      .about = "Registers sessions and entries, and signs the tickets that open uplinks.",
      .options = table,
      .option_count = n + t2_app_entry_table(&p.given, table + n),
      .given = given,
  };
  int status = t2_app_init(&p.app, &cli, argc, argv);
  if (status >= 0) return status;
  complete(&p);
  if (!p.with_entry) t2_app_entry_unused(&p.app, &cli, n);
  t2_app_handover_take(&p.app, &p.control.handover, "tunneld", NULL);
  t2_app_handover_address(&p.control.handover, "control", &o->address);
  if (p.with_entry) t2_app_handover_entry(&p.control.handover, &p.given.options);
  status = t2_app_start(&p.app, &ops, &p);
  if (status == 0) status = start(&p);
  status = t2_app_run(&p.app, status);
  t2_app_handover_close(&p.control.handover);
  return status;
}
