#include <client/health.h>
#include <stdio.h>
#include <tunnel2/error.h>

/* ---- What has come of it ---- */

static void ask_again(t2_client_health *health) {
  uint64_t ms = health->options.interval_ms;
  bool out = health->verdict.out;
  if (!out && !health->options.active) return;
  if (out && (ms > T2_HEALTH_OUT_MS || !health->options.active)) ms = T2_HEALTH_OUT_MS;
  t2_loop_timer_start(health->loop, &health->timer, ms);
}

static void checked(t2_client_health *health, bool good, const char *why) {
  bool changed = t2_verdict_checked(&health->verdict, good);
  if (!good) t2_log_at(&health->loop->log, DEBUG, "client", "health: %s", why);
  ask_again(health);
  if (changed) health->on_change(health, why, health->user);
}

/* It says nothing of the origin: what was wanting is this process's own, such as a descriptor. */
static bool is_own(int err) {
  return err == T2_ERR_CANCELLED || err == T2_ERR_NOMEM || err == T2_ERR_LIMIT;
}

void t2_client_health_on_dialled(int err, void *user) {
  t2_client_health *health = user;
  char why[160];
  if (is_own(err) || !health->loop) return;
  if (!t2_verdict_connected(&health->verdict, err == 0)) return;
  snprintf(why, sizeof(why), "%u connections in a row failed: %s", health->verdict.connects_max,
           t2_strerror(err));
  if (!health->fetch && !health->dial) ask_again(health);
  health->on_change(health, why, health->user);
}

/* ---- Asking ---- */

static void on_answer(t2_fetch *fetch, int err, int status, const t2_head *head, t2_str body, void *user) {
  t2_client_health *health = user;
  char why[256];
  (void)fetch, (void)head, (void)body;
  health->fetch = NULL;
  bool good = err == 0 && status >= 200 && status < 400;
  if (err)
    snprintf(why, sizeof(why), "GET %.120s: %s", health->options.path, t2_strerror(err));
  else
    snprintf(why, sizeof(why), "GET %.120s was answered with %d", health->options.path, status);
  checked(health, good, why);
}

static int get(t2_client_health *health) {
  const t2_client_health_options *o = &health->options;
  t2_head head;
  t2_head_init(&head, health->loop->mem);
  head.method = T2_STR("GET");
  head.scheme = o->dial.tls ? T2_STR("https") : T2_STR("http");
  head.authority = o->authority.n ? o->authority : T2_STR("localhost");
  head.path = t2_str_c(o->path);
  head.content_length = -1;
  head.version_minor = 1;
  int err = t2_fields_add(&head.fields, T2_STR("user-agent"), T2_STR("tunnel2-health"));
  if (err == 0) err = t2_edits_apply(o->edits, &head);
  if (err == 0)
    err = t2_fetch_start_on(&health->fetch, o->proxy, t2_origin_leg(o->origin), &head, T2_STR_NULL,
                            T2_HEALTH_BODY_MAX, o->timeout_ms, on_answer, health);
  t2_head_fini(&head);
  return err;
}

static void on_dialled(t2_dial *dial, int err, t2_conn *conn, const char *detail, void *user) {
  t2_client_health *health = user;
  char why[256];
  (void)dial;
  health->dial = NULL;
  if (conn) t2_conn_close(conn, T2_OK);
  if (is_own(err)) {
    ask_again(health);
    return;
  }
  snprintf(why, sizeof(why), "%s",
           err == 0            ? "a connection to the origin was made"
           : detail && *detail ? detail
                               : t2_strerror(err));
  checked(health, err == 0, why);
}

/* Without memory to ask nothing is known. */
static void on_timer(t2_timer *timer) {
  t2_client_health *health = T2_CONTAINER_OF(timer, t2_client_health, timer);
  int err = health->options.path
                ? get(health)
                : t2_dial_start(&health->dial, health->loop, &health->options.dial, on_dialled, health);
  if (err) ask_again(health);
}

/* ---- Calls ---- */

void t2_client_health_init(t2_client_health *health, const t2_client_health_options *options,
                           t2_client_health_cb on_change, void *user) {
  *health = (t2_client_health){
      .options = *options, .loop = options->proxy->loop, .on_change = on_change, .user = user};
  health->options.dial.timeout_ms = options->timeout_ms;
  t2_verdict_init(&health->verdict, options->fails_max, options->active ? options->passes_min : 1,
                  options->connects_max);
  t2_timer_init(&health->timer, on_timer);
}

void t2_client_health_start(t2_client_health *health) {
  if (health->loop && health->options.active) t2_loop_timer_start(health->loop, &health->timer, 0);
}

void t2_client_health_stop(t2_client_health *health) {
  if (!health->loop) return;
  t2_loop_timer_stop(health->loop, &health->timer);
  if (health->fetch) t2_fetch_cancel(health->fetch);
  if (health->dial) t2_dial_cancel(health->dial);
  health->fetch = NULL;
  health->dial = NULL;
  health->loop = NULL;
}
