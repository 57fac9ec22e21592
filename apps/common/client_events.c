#include <common/client_events.h>
#include <common/notify.h>
#include <jansson.h>

/* NULL without --json. */
static json_t *urls_of(const t2_app *app, const t2_client_event *event) {
  json_t *urls = app->json ? json_array() : NULL;
  for (size_t i = 0; i < event->url_count; i++) {
    if (urls) (void)json_array_append_new(urls, json_string(event->urls[i]));
  }
  return urls;
}

static void say_ready(t2_app *app, const t2_client_event *event) {
  t2_app_event(app, "ready", "{s:s, s:o, s:s?}", "session", event->session, "urls", urls_of(app, event),
               "admin", app->admin_address);
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

void t2_app_client_event(t2_client *client, const t2_client_event *event, void *user) {
  t2_app *app = user;
  (void)client;
  switch (event->type) {
  case T2_CLIENT_REGISTERED:
    t2_app_event(app, "registered", "{s:s, s:i}", "session", event->session, "lease_seconds",
                 (int)event->lease_seconds);
    break;
  case T2_CLIENT_CONNECTED:
    t2_app_notify_ready(app, "connected to %s", event->entry);
    t2_app_event(app, "connected", "{s:s, s:s*, s:o*}", "entry", event->entry, "url",
                 event->url_count ? event->urls[0] : NULL, "urls",
                 event->url_count > 1 ? urls_of(app, event) : NULL);
    break;
  case T2_CLIENT_READY:
    say_ready(app, event);
    t2_app_notify_ready(app, "session %s is published", event->session);
    break;
  case T2_CLIENT_LOST:
    say_lost(app, event);
    break;
  case T2_CLIENT_RETRYING:
    say_retrying(app, event);
    t2_app_notify_ready(app, "no connection to %s: %s", event->entry ? event->entry : "the control plane",
                        event->reason);
    break;
  case T2_CLIENT_DRAINING:
    t2_app_event(app, "draining", "{s:s}", "reason", event->reason);
    break;
  case T2_CLIENT_ENDED:
    on_ended(app, event);
    break;
  case T2_CLIENT_UNHEALTHY:
    t2_app_event(app, "unhealthy", "{s:s}", "reason", event->reason);
    t2_app_notify_ready(app, "the origin fails: %s", event->reason);
    break;
  case T2_CLIENT_HEALTHY:
    t2_app_event(app, "healthy", "{s:s}", "reason", event->reason);
    t2_app_notify_ready(app, "session %s is published", event->session);
    break;
  }
}
