#include <base/file.h>
#include <base/options.h>
#include <control/api.h>
#include <control/persist.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/detail.h>

#define TLS_TICKETS_FILE "tls-tickets"
#define BY               "tunneld" /* in Proxy-Status */
#define KEYS_FILE        "keys.pem"
#define SESSIONS_FILE    "sessions.json"
#define LOCK_FILE        "tunneld.lock"
#define TOKENS_FILE_MAX  (4 * 1024 * 1024)
#define LEASE_MAX        86400 /* seconds */
#define TICKET_MAX       2592000
#define STREAMS_MAX      100 /* of one connection at once: a channel and a few requests are usual */
#define DRAIN_POLL_MS    10
#define DRAIN_IDLE_MS    1000 /* for connections to close once nothing is under way */

/* ---- Options ---- */

void t2_control_options_init(t2_control_options *options) {
  *options = (t2_control_options){
      .size = sizeof(*options),
      .log_level = T2_LOG_INFO,
      .address = "127.0.0.1:12002",
      .lease_seconds = 30,
      .ticket_seconds = 3600,
      .sessions_max = 100000,
      .sessions_per_owner_max = 10000,
      .connections_max = 20000,
      .tls_min = "1.2",
      .park_above = 128,
  };
}

/* NULL is the default too. */
static int read_options(t2_control_options *out, const t2_control_options *given) {
  t2_control_options_init(out);
  const char *address = out->address, *tls_min = out->tls_min;
  if (t2_options_read(out, sizeof(*out), given)) return T2_ERR_INVALID;
  if (!out->address) out->address = address;
  if (!out->tls_min) out->tls_min = tls_min;
  return 0;
}

static int check_options(const t2_control_options *o, char *detail, size_t size) {
  const char *wrong = NULL;
  if (!o->cert_file || !o->key_file) wrong = "a certificate and its key are required";
  if (!o->tokens_file) wrong = "a tokens file is required";
  if (!o->state_dir) wrong = "a state directory is required";
  if (o->lease_seconds == 0 || o->lease_seconds > LEASE_MAX) wrong = "a lease is 1 to 86400 seconds";
  if (o->ticket_seconds == 0 || o->ticket_seconds > TICKET_MAX)
    wrong = "a ticket is good for 1 to 2592000 seconds";
  if (o->sessions_max == 0 || o->sessions_per_owner_max == 0 || o->connections_max == 0)
    wrong = "at least one session and one connection have to be allowed";
  return wrong ? t2_detail(detail, size, T2_ERR_INVALID, "%s", wrong) : 0;
}

/* ---- What is loaded ---- */

/* What is wrong with a file's content is not wrong with the options: T2_ERR_INVALID is for these. */
static int error_of_file(int err) {
  return err == T2_ERR_INVALID || err == T2_ERR_CONFLICT ? T2_ERR_IO : err;
}

static int load_tokens(t2_control *control, const char *path, char *detail, size_t size) {
  char where[256] = "";
  t2_buf text;
  t2_buf_init(&text, control->loop->mem);
  int err = t2_file_read(path, TOKENS_FILE_MAX, &text);
  if (err) {
    (void)t2_detail(detail, size, err, "tokens file %s can't be read: %s", path, t2_strerror(err));
  } else {
    err = t2_tokens_parse(&control->tokens, t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)),
                          where, sizeof(where));
    if (err)
      (void)t2_detail(detail, size, err, "tokens file %s, %s", path, *where ? where : t2_strerror(err));
  }
  if (text.data) t2_memzero(text.data, text.cap);
  t2_buf_fini(&text);
  return error_of_file(err);
}

/* Two on one directory would write over each other's sessions. */
static int lock_state(t2_control *control, char *detail, size_t size) {
  const t2_allocator *mem = control->options.allocator;
  char *path = t2_path_join(mem, control->options.state_dir, LOCK_FILE);
  int err = path ? t2_file_lock(path, &control->lock) : T2_ERR_NOMEM;
  t2_free(mem, path);
  if (err == 0 || err == T2_ERR_NOMEM) return err;
  return t2_detail(detail, size, err, "state directory %s %s", control->options.state_dir,
                   err == T2_ERR_CONFLICT ? "is in use by another tunneld" : "can't be locked");
}

static int load_state(t2_control *control, char *detail, size_t size) {
  const char *dir = control->options.state_dir;
  char why[512] = "";
  t2_moment now = t2_channels_now(&control->channels);
  if (t2_mkdir(dir, 0700)) return t2_detail(detail, size, T2_ERR_IO, "state directory %s can't be made", dir);
  int err = lock_state(control, detail, size);
  if (err) return err;
  err = t2_keyring_load(&control->keyring, control->keys_file, now.wall, t2_control_key_life(control), why,
                        sizeof(why));
  if (err == 0) err = t2_persist_load(&control->store, control->sessions_file, now, why, sizeof(why));
  if (err) return t2_detail(detail, size, error_of_file(err), "%s", *why ? why : t2_strerror(err));
  /* Most of so many were parked: they come when they were told to. */
  if (control->options.park_above && control->store.live_count > control->options.park_above)
    t2_store_expect_parked(&control->store, now);
  return 0;
}

/* Clients and entries that come back after a restart, all at once, resume. */
static int keep_tls_tickets(t2_control *control, char *detail, size_t size) {
  char *file = t2_path_join(control->loop->mem, control->options.state_dir, TLS_TICKETS_FILE);
  int err = file ? t2_tls_server_keep_tickets(control->tls, file, detail, size) : T2_ERR_NOMEM;
  t2_free(control->loop->mem, file);
  return err;
}

static int open_server(t2_control *control, char *detail, size_t size) {
  static const char *const alpn[] = {"h2", "http/1.1", NULL};
  const t2_control_options *o = &control->options;
  t2_server_options options;
  int err = t2_tls_server_new(&control->tls, control->loop, o->cert_file, o->key_file, alpn, detail, size);
  if (err) return error_of_file(err);
  err = t2_tls_server_set_oldest(control->tls, o->tls_min, detail, size);
  if (err == 0) err = keep_tls_tickets(control, detail, size);
  if (err) return err;
  t2_server_options_init(&options);
  options.listener.address = o->address;
  options.listener.tls = control->tls;
  options.listener.connections_max = o->connections_max;
  options.h2.h2.concurrent_max = STREAMS_MAX;
  err = t2_server_new(&control->server, &control->proxy, &options, t2_api_on_request, control, detail, size);
  if (err) return err;
  control->address = t2_strdup(control->loop->mem, t2_server_address(control->server));
  return control->address ? 0 : T2_ERR_NOMEM;
}

/* ---- Life ---- */

static void free_strings(t2_control *control) {
  const t2_allocator *mem = control->options.allocator;
  t2_free(mem, control->keys_file);
  t2_free(mem, control->sessions_file);
  t2_free(mem, control->tokens_file);
  t2_free(mem, control->address);
}

/* The options' strings are used up by t2_control_new, but for where the state and the tokens are. */
static int copy_strings(t2_control *control) {
  const t2_allocator *mem = control->options.allocator;
  control->keys_file = t2_path_join(mem, control->options.state_dir, KEYS_FILE);
  control->sessions_file = t2_path_join(mem, control->options.state_dir, SESSIONS_FILE);
  control->tokens_file = t2_strdup(mem, control->options.tokens_file);
  return control->keys_file && control->sessions_file && control->tokens_file ? 0 : T2_ERR_NOMEM;
}

static void on_dirty(void *user) {
  t2_control_touched(user);
}

static void on_left(bool session, const char *id, const char *owner, void *user) {
  t2_control_tell(user, session ? T2_CONTROL_SESSION_ENDED : T2_CONTROL_ENTRY_ENDED, id, owner,
                  "it has taken leave");
}

static void on_drain_timer(t2_timer *timer);

static uint64_t parked_ms_of(const t2_control_options *o) {
  uint64_t parked = t2_parking_return_seconds(o->ticket_seconds) * T2_PARKING_LEASES;
  return (parked > o->lease_seconds ? parked : o->lease_seconds) * 1000;
}

static void init_members(t2_control *control) {
  const t2_control_options *o = &control->options;
  const t2_allocator *mem = control->loop->mem;
  t2_store_limits limits = {
      .sessions_max = o->sessions_max,
      .sessions_per_owner_max = o->sessions_per_owner_max,
      .entries_max = T2_STORE_ENTRIES_MAX,
      .lease_ms = o->lease_seconds * 1000ull,
      .parked_ms = parked_ms_of(o),
      .ticket_seconds = o->ticket_seconds,
  };
  control->lock = -1;
  t2_proxy_init(&control->proxy, control->loop, BY);
  t2_tokens_init(&control->tokens, mem);
  t2_keyring_init(&control->keyring, mem);
  t2_store_init(&control->store, mem, &limits);
  t2_channels_init(&control->channels, control->loop, &control->store, &control->keyring.keys, o->park_above,
                   on_dirty, control);
  control->channels.on_left = on_left;
  t2_control_init_schedule(control);
  t2_timer_init(&control->drain, on_drain_timer);
}

/* The pointers into the caller's memory are not kept. */
static void forget_strings(t2_control_options *o) {
  o->address = o->cert_file = o->key_file = o->tokens_file = o->state_dir = NULL;
}

int t2_control_new(t2_control **out, uv_loop_t *uv, const t2_control_options *given, char *detail,
                   size_t size) {
  t2_control_options options;
  *out = NULL;
  if (size) *detail = '\0';
  if (read_options(&options, given))
    return t2_detail(detail, size, T2_ERR_INVALID, "the options were not set up by t2_control_options_init");
  int err = check_options(&options, detail, size);
  if (err) return err;
  t2_control *control = t2_calloc(options.allocator, 1, sizeof(*control));
  if (!control) return T2_ERR_NOMEM;
  t2_log log = {options.log, options.log_user, options.log_level};
  control->options = options;
  err = copy_strings(control);
  if (err == 0) err = t2_loop_new(&control->loop, uv, options.allocator, &log);
  if (err) {
    free_strings(control);
    t2_free(options.allocator, control);
    return err;
  }
  init_members(control);
  err = load_tokens(control, options.tokens_file, detail, size);
  if (err == 0) err = load_state(control, detail, size);
  if (err == 0) err = open_server(control, detail, size);
  forget_strings(&control->options);
  if (err) {
    t2_control_close(control, NULL, NULL);
    return err;
  }
  *out = control;
  return 0;
}

static void emit(t2_control *control, t2_control_event event) {
  event.address = control->address;
  if (!control->closing && control->options.on_event)
    control->options.on_event(control, &event, control->options.user);
}

/* Nothing comes after ENDED. */
void t2_control_tell(t2_control *control, t2_control_event_type type, const char *id, const char *owner,
                     const char *reason) {
  if (control->state != T2_CONTROL_STATE_ENDED)
    emit(control, (t2_control_event){.type = type, .id = id, .owner = owner, .reason = reason});
}

int t2_control_start(t2_control *control) {
  if (control->state != T2_CONTROL_STATE_NEW || control->closing) return T2_ERR_STATE;
  control->state = T2_CONTROL_STATE_RUNNING;
  t2_control_start_schedule(control);
  t2_log_at(&control->loop->log, INFO, "control", "listening on %s: %zu sessions and %zu entries are known",
            control->address, control->store.live_count, control->store.entries.count);
  emit(control, (t2_control_event){.type = T2_CONTROL_READY});
  return 0;
}

int t2_control_reload(t2_control *control, char *detail, size_t size) {
  char more[512] = "";
  if (size) *detail = '\0';
  if (control->closing) return T2_ERR_STATE;
  int tls_err = error_of_file(t2_tls_server_reload(control->tls, detail, size));
  int tokens_err =
      load_tokens(control, control->tokens_file, tls_err ? more : detail, tls_err ? sizeof(more) : size);
  return tls_err ? tls_err : tokens_err;
}

/* ---- Drain ---- */

static void end(t2_control *control) {
  control->state = T2_CONTROL_STATE_ENDED;
  t2_loop_timer_stop(control->loop, &control->drain);
  t2_control_save(control);
  t2_control_stop_schedule(control);
  t2_log_at(&control->loop->log, INFO, "control", "ended");
  emit(control, (t2_control_event){.type = T2_CONTROL_ENDED});
}

static void on_drain_timer(t2_timer *timer) {
  t2_control *control = T2_CONTAINER_OF(timer, t2_control, drain);
  uint64_t now = t2_loop_now(control->loop);
  if (control->proxy.active || control->drain_idle_ms == 0) control->drain_idle_ms = now;
  bool idle = now - control->drain_idle_ms >= DRAIN_IDLE_MS;
  if (t2_server_connections(control->server) == 0 || idle || now >= control->drain_deadline_ms)
    end(control);
  else
    t2_loop_timer_start(control->loop, &control->drain, DRAIN_POLL_MS);
}

void t2_control_drain(t2_control *control, uint64_t timeout_ms) {
  if (control->closing || control->state > T2_CONTROL_STATE_RUNNING) return;
  control->state = T2_CONTROL_STATE_DRAINING;
  t2_log_at(&control->loop->log, INFO, "control", "draining");
  control->drain_deadline_ms = t2_loop_now(control->loop) + timeout_ms;
  t2_loop_timer_start(control->loop, &control->drain, DRAIN_POLL_MS);
  t2_channels_drain(&control->channels, "the control plane is ending");
  t2_server_drain(control->server);
  emit(control, (t2_control_event){.type = T2_CONTROL_DRAINING});
}

/* ---- The end ---- */

/* Everything on the loop has closed. */
static void on_loop_close(t2_loop *loop, void *user) {
  t2_control *control = user;
  const t2_allocator *mem = control->options.allocator;
  t2_control_close_cb cb = control->on_close;
  void *close_user = control->close_user;
  (void)loop;
  free_strings(control);
  t2_free(mem, control);
  if (cb) cb(close_user);
}

/* The connections have closed. */
static void dispose(void *user) {
  t2_control *control = user;
  if (control->lock >= 0) close(control->lock);
  t2_store_fini(&control->store);
  t2_keyring_fini(&control->keyring);
  t2_tokens_fini(&control->tokens);
  t2_proxy_fini(&control->proxy);
  if (control->tls) t2_tls_unref(control->tls);
  t2_loop_close(control->loop, on_loop_close, control);
}

void t2_control_close(t2_control *control, t2_control_close_cb cb, void *user) {
  if (control->closing) return;
  control->closing = true;
  control->on_close = cb;
  control->close_user = user;
  /* What was begun to load but not to serve has nothing that is worth more than what is on disk. */
  if (control->state != T2_CONTROL_STATE_NEW) t2_control_save(control);
  t2_channels_fini(&control->channels);
  t2_control_stop_schedule(control);
  t2_loop_timer_stop(control->loop, &control->drain);
  if (control->server)
    t2_server_close(control->server, dispose, control);
  else
    dispose(control);
}

/* ---- What is known ---- */

const char *t2_control_address(const t2_control *control) {
  return control->address;
}

int t2_control_socket(const t2_control *control) {
  return control->server ? t2_server_socket(control->server) : -1;
}

int t2_control_is_ready(const t2_control *control) {
  return control->state == T2_CONTROL_STATE_RUNNING;
}

void t2_control_get_stats(const t2_control *control, t2_control_stats *stats) {
  t2_control_stats now = {
      .size = stats->size < sizeof(now) ? stats->size : sizeof(now),
      .sessions = control->store.live_count,
      .entries = control->store.entries.count,
      .session_channels = control->channels.session_count,
      .entry_channels = control->channels.entry_count,
      .connections = control->server ? t2_server_connections(control->server) : 0,
      .requests = control->proxy.total,
      .requests_active = control->proxy.active,
      .requests_failed = control->proxy.failed,
      .keys = control->keyring.keys.n,
      .parked = control->store.parked_count,
      .parkings = control->channels.parking.parkings,
  };
  memcpy(stats, &now, now.size);
}
