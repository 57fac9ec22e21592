#include <common/control_part.h>
#include <stdio.h>

#define RELEASE_MS 5000 /* for API requests under way, before another process has the state */

/* Its state is written, and its directory is free. */
static void on_released(void *user) {
  t2_app_control *part = user;

  t2_app_handover_released(&part->handover);
}

static void on_event(t2_control *control, const t2_control_event *event, void *user) {
  t2_app_control *part = user;

  if (!part->released || !part->handover.state) {
    part->on_event(control, event, part->user);
  } else if (event->type == T2_CONTROL_ENDED) {
    part->control = NULL;
    t2_control_close(control, on_released, part);
  }
}

int t2_app_control_make(t2_app_control *part) {
  char detail[512] = "";
  t2_control_options *o = &part->options;

  o->log = part->app->log;
  o->log_user = part->app->log_user;
  o->log_level = part->app->log_level;
  o->state_dir = part->app->state_dir;
  o->on_event = on_event;
  o->user = part;
  int err = t2_control_new(&part->control, &part->app->loop, o, detail, sizeof(detail));
  const char *reason = *detail ? detail : t2_strerror(err);
  if (err == T2_ERR_INVALID || err == T2_ERR_UNSUPPORTED) return t2_app_usage(part->app, "%s", reason);
  return err ? t2_app_fail(part->app, "%s", reason) : T2_APP_OK;
}

static bool release(void *user) {
  t2_app_control *part = user;

  part->released = true;
  t2_control_drain(part->control, RELEASE_MS);
  return false;
}

static int get_socket(void *user) {
  const t2_app_control *part = user;

  return t2_control_socket(part->control);
}

/* One that is still ending can't be had back: whoever watches over the program starts another. */
static void restore(int fd, void *user) {
  t2_app_control *part = user;
  char address[24];

  if (part->control) {
    t2_app_end(part->app, t2_app_fail(part->app, "the handover failed while the control plane was ending"));
    return;
  }
  snprintf(address, sizeof(address), "fd:%d", fd);
  part->options.address = address;
  part->released = false;
  int status = t2_app_control_make(part);
  part->options.address = NULL;
  if (status == T2_APP_OK)
    (void)t2_control_start(part->control);
  else
    t2_app_end(part->app, status);
}

const t2_app_handover_role t2_app_control_role = {
    .release = release, .get_socket = get_socket, .restore = restore};
