#include <base/file.h>
#include <common/dev.h>
#include <common/state.h>
#include <limits.h>
#include <net/certificate.h>
#include <net/credentials.h>
#include <stdio.h>
#include <tunnel2/error.h>

const char *t2_app_path(t2_app *app, const char *dir, const char *name) {
  return t2_app_own(app, t2_path_join(NULL, dir, name));
}

static void add_missing(t2_app *app, const char *options) {
  t2_app_state *state = app->state;
  size_t n = strlen(state->missing);

  snprintf(state->missing + n, sizeof(state->missing) - n, "%s--%s", n ? ", " : "", options);
}

static const char *default_state_dir(t2_app *app) {
  char dir[PATH_MAX];

  if (t2_dev_state_path(NULL, NULL, dir, sizeof(dir)) == 0) return t2_app_own(app, t2_strdup(NULL, dir));
  t2_app_note(app, T2_APP_USAGE, "there is no home directory: --state-dir must be given");
  return NULL;
}

void t2_app_dev_state(t2_app *app) {
  char detail[512] = "";

  if (!app->dev) return;
  t2_app_loopback(app, "admin", app->state->admin);
  if (!app->state_dir) app->state_dir = default_state_dir(app);
  if (!app->state_dir) return;
  int rc = t2_dev_state_ensure(NULL, app->state_dir, detail, sizeof(detail));
  if (rc)
    t2_app_note(app, T2_APP_FAILED, "state directory %s: %s", app->state_dir,
                detail[0] ? detail : t2_strerror(rc));
}

void t2_app_file_or_none(t2_app *app, const char **value, const char *name) {
  if (!*value && app->dev && app->state_dir) *value = t2_app_path(app, app->state_dir, name);
}

void t2_app_file(t2_app *app, const char **value, const char *option, const char *name) {
  t2_app_file_or_none(app, value, name);
  t2_app_require(app, option, *value);
}

void t2_app_require(t2_app *app, const char *option, const char *value) {
  if (!value && !app->dev) add_missing(app, option);
}

/* The first line of the file, owned by the app. */
static const char *read_secret(t2_app *app, const char *what, const char *file) {
  char *secret, detail[PATH_MAX + 64] = "";

  int rc = t2_secret_file_read(NULL, what, file, &secret, detail, sizeof(detail));
  if (rc) t2_app_note(app, T2_APP_FAILED, "%s", detail[0] ? detail : t2_strerror(rc));
  return rc ? NULL : t2_app_own(app, secret);
}

void t2_app_token(t2_app *app, const char **token, const char *token_file, const char *options) {
  if (*token) return;
  t2_app_file_or_none(app, &token_file, T2_DEV_TOKEN_FILE);
  if (token_file)
    *token = read_secret(app, "token", token_file);
  else
    t2_app_require(app, options, NULL);
}

void t2_app_password(t2_app *app, const char **password, const char *file) {
  if (!file) return;
  if (*password)
    t2_app_note(app, T2_APP_USAGE, "--basic-auth and --basic-auth-file: one of them is taken");
  else
    *password = read_secret(app, "password", file);
}

static bool is_loopback(const char *host) {
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;

  if (strcmp(host, "localhost") == 0) return true;
  if (uv_ip4_addr(host, 0, &v4) == 0) return ((const uint8_t *)&v4.sin_addr)[0] == 127;
  return uv_ip6_addr(host, 0, &v6) == 0 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

void t2_app_loopback(t2_app *app, const char *option, const char *value) {
  char text[64] = "";
  t2_str host;
  uint16_t port;

  if (!app->dev || !value) return;
  if (t2_str_hostport(t2_str_c(value), &host, &port) == 0 && host.n < sizeof(text)) {
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
  }
  if (!is_loopback(text))
    t2_app_note(app, T2_APP_USAGE, "--%s %s: with --dev only a loopback HOST:PORT is bound", option, value);
}
