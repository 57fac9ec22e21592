#include <base/base64.h>
#include <base/file.h>
#include <base/options.h>
#include <base/random.h>
#include <entry/remotes.h>
#include <entry/state.h>
#include <net/address.h>
#include <net/credentials.h>
#include <net/listener_socket.h>
#include <stdio.h>
#include <wire/detail.h>
#include <wire/token.h>

#define PARTING_MS        1000 /* for uplinks to close once nothing is under way */
#define ID_FILE           "entry-id"
#define LINK_RETRY_MS     200
#define LINK_RETRY_MAX_MS 5000

/* ---- Options ---- */

void t2_entry_options_init(t2_entry_options *options) {
  *options = (t2_entry_options){
      .size = sizeof(*options),
      .log_level = T2_LOG_INFO,
      .public_address = "127.0.0.1:12000",
      .uplink_address = "127.0.0.1:12001",
      .control = "https://127.0.0.1:12002",
      .domain = "localhost",
      .connections_max = 10000,
      .uplinks_max = 10000,
      .header_timeout_ms = 30000,
      .keep_alive_timeout_ms = 120000,
      .body_timeout_ms = 60000,
      .response_timeout_ms = 60000,
      .udp_idle_timeout_ms = 60000,
      .udp_flows_max = 10000,
      .udp_session_flows_max = 1000,
      .h2_streams_max = 128,
      .h2_window = 128 * 1024,
      .h2_head_max = T2_ENTRY_H2_HEAD_MAX,
      .h2_flood_factor = 1,
      .tls_min = "1.2",
      .queue_max = 100,
      .queue_timeout_ms = 5000,
      .start_grace_ms = 10000,
      .uplink_ping_ms = 2000,
      .body_rate_min = 240,
      .upgrades_max = 1000,
      .workers = 1,
  };
}

/* NULL is the default too. */
static int read_options(t2_entry_options *out, const t2_entry_options *given) {
  t2_entry_options defaults;
  t2_entry_options_init(&defaults);
  *out = defaults;
  if (t2_options_read(out, sizeof(*out), given)) return T2_ERR_INVALID;
  if (!out->public_address) out->public_address = defaults.public_address;
  if (!out->uplink_address) out->uplink_address = defaults.uplink_address;
  if (!out->control) out->control = defaults.control;
  if (!out->domain) out->domain = defaults.domain;
  if (!out->tls_min) out->tls_min = defaults.tls_min;
  return 0;
}

static int check_h2(const t2_entry_options *o, char *detail, size_t size) {
  const struct {
    const char *what;
    uint32_t value, min, max;
  } bounds[] = {{"streams at once", o->h2_streams_max, 1, 1000},
                {"window", o->h2_window, 16 * 1024, 16 * 1024 * 1024},
                {"head", o->h2_head_max, 4096, T2_ENTRY_H2_HEAD_MAX},
                {"factor for floods", o->h2_flood_factor, 1, 1000}};
  for (size_t i = 0; i < T2_COUNT_OF(bounds); i++)
    if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max)
      return t2_detail(detail, size, T2_ERR_INVALID, "public HTTP/2: %s %u: %u to %u is taken",
                       bounds[i].what, bounds[i].value, bounds[i].min, bounds[i].max);
  return 0;
}

int t2_entry_check_waits(const t2_entry_options *o, char *detail, size_t size) {
  if (o->queue_max > T2_WAITING_TOTAL_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "waiting requests of a session: at most %d are taken",
                     T2_WAITING_TOTAL_MAX);
  if (o->queue_timeout_ms == 0)
    return t2_detail(detail, size, T2_ERR_INVALID, "a time to wait is needed, of 1 ms or more");
  if (o->uplink_ping_ms < 100)
    return t2_detail(detail, size, T2_ERR_INVALID, "silence of an uplink: at least 100 ms is taken");
  return 0;
}

static int check_ports(const t2_entry_options *o, char *detail, size_t size) {
  if (o->tcp_port_first > o->tcp_port_last || (o->tcp_port_last && !o->tcp_port_first))
    return t2_detail(detail, size, T2_ERR_INVALID, "TCP ports %u to %u: that is no range",
                     (unsigned)o->tcp_port_first, (unsigned)o->tcp_port_last);
  if (o->udp_port_first > o->udp_port_last || (o->udp_port_last && !o->udp_port_first))
    return t2_detail(detail, size, T2_ERR_INVALID, "UDP ports %u to %u: that is no range",
                     (unsigned)o->udp_port_first, (unsigned)o->udp_port_last);
  if (o->tcp_address && !t2_address_is_literal(t2_str_c(o->tcp_address)))
    return t2_detail(detail, size, T2_ERR_INVALID, "TCP address \"%.80s\": an IP address is taken",
                     o->tcp_address);
  return 0;
}

/* An address that stands for all of this machine's means nothing to others. */
static int check_told(const char *address, const char *advertised, const char *name, char *detail,
                      size_t size) {
  char bound[T2_ADDRESS_TEXT];
  t2_str host;
  uint16_t port;
  if (t2_listener_inherited_address(address, bound)) address = bound;
  if (advertised || t2_str_hostport(t2_str_c(address), &host, &port)) return 0;
  bool all = host.n == 0 || t2_str_eq(host, T2_STR("0.0.0.0")) || t2_str_eq(host, T2_STR("::"));
  if (!all) return 0;
  return t2_detail(detail, size, T2_ERR_INVALID,
                   "%s address %s can't be told to others: advertise-%s is needed", name, address, name);
}

static int check_options(const t2_entry_options *o, char *detail, size_t size) {
  t2_target target;
  if (!o->cert_file || !o->key_file)
    return t2_detail(detail, size, T2_ERR_INVALID, "a certificate and its key are required");
  if (!o->token) return t2_detail(detail, size, T2_ERR_INVALID, "a token is required");
  if (!t2_token_valid(t2_str_c(o->token)))
    return t2_detail(detail, size, T2_ERR_INVALID,
                     "the token is none: %d to %d of A-Z a-z 0-9 - . _ ~ + / =", T2_TOKEN_MIN, T2_TOKEN_MAX);
  if (o->id && !t2_entry_id_valid(t2_str_c(o->id)))
    return t2_detail(detail, size, T2_ERR_INVALID, "entry id \"%s\": 3 to 63 of a-z 0-9 and - are taken",
                     o->id);
  for (size_t i = 0; i < o->certificate_count; i++)
    if (!o->certificates[i].cert_file)
      return t2_detail(detail, size, T2_ERR_INVALID, "a public certificate has no file");
  if (o->certificate_count && !o->public_tls_address)
    return t2_detail(detail, size, T2_ERR_INVALID, "public certificates need a public address for TLS");
  int err = check_ports(o, detail, size);
  if (err == 0) err = check_h2(o, detail, size);
  if (err == 0) err = t2_entry_check_waits(o, detail, size);
  if (err == 0) err = check_told(o->public_address, o->advertise_public, "public", detail, size);
  if (err == 0) err = t2_entry_check_plaintext(o, detail, size);
  if (err == 0) err = check_told(o->uplink_address, o->advertise_uplink, "uplink", detail, size);
  if (err) return err;
  if (strlen(o->domain) > 253)
    return t2_detail(detail, size, T2_ERR_INVALID, "domain \"%.80s...\": that is too long", o->domain);
  return t2_target_parse_https(t2_str_c(o->control), &target, detail, size);
}

/* ---- The id: given, or kept, or made ---- */

static int keep_id(t2_entry *entry, const char *file, char *detail, size_t size) {
  t2_buf text;
  t2_buf_init(&text, entry->options.allocator);
  int err = t2_file_create(file, entry->id, strlen(entry->id), 0600);
  if (err == T2_ERR_CONFLICT) err = t2_file_read(file, T2_ENTRY_ID_MAX + 1, &text);
  t2_str kept = t2_str_trim(t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)));
  if (kept.n && kept.p[kept.n - 1] == '\n') kept.n--;
  if (err == 0 && kept.n && !t2_entry_id_valid(kept))
    err = t2_detail(detail, size, T2_ERR_INVALID, "%s: what is in it is no entry id", file);
  else if (err)
    t2_detail(detail, size, err, "%s: %s", file, t2_strerror(err));
  if (err == 0 && kept.n) snprintf(entry->id, sizeof(entry->id), "%.*s", T2_STR_ARG(kept));
  t2_buf_fini(&text);
  return err;
}

static int settle_id(t2_entry *entry, char *detail, size_t size) {
  const t2_entry_options *o = &entry->options;
  uint8_t random[4];
  char hex[2 * sizeof(random) + 1];
  if (o->id) {
    snprintf(entry->id, sizeof(entry->id), "%s", o->id);
    return 0;
  }
  t2_random_bytes(random, sizeof(random));
  t2_hex_encode(random, sizeof(random), hex);
  snprintf(entry->id, sizeof(entry->id), "entry-%s", hex);
  if (!o->state_dir) return 0;
  char *file = t2_path_join(o->allocator, o->state_dir, ID_FILE);
  int err = file ? keep_id(entry, file, detail, size) : T2_ERR_NOMEM;
  t2_free(o->allocator, file);
  return err;
}

/* ---- Making ---- */

static void free_strings(t2_entry *entry) {
  const t2_allocator *mem = entry->options.allocator;
  t2_entry_strings *s = &entry->strings;
  char *all[] = {s->control,        s->token,          s->domain,      s->public_url,         s->uplink_url,
                 s->public_address, s->uplink_address, s->keys_file,   s->public_tls_address, s->public_host,
                 s->ports_host,     s->tcp_address,    s->tls_address, s->public_tls_url};
  if (s->token) t2_memzero(s->token, strlen(s->token));
  t2_free(mem, entry->trusted);
  for (size_t i = 0; i < T2_COUNT_OF(all); i++)
    t2_free(mem, all[i]);
}

static char *lower_copy(const t2_allocator *mem, const char *text) {
  char *copy = t2_strdup(mem, text);
  for (char *c = copy; c && *c; c++)
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + ('a' - 'A'));
  return copy;
}

static int copy_options(t2_entry *entry, const t2_entry_options *given, char *detail, size_t size) {
  const t2_allocator *mem = given->allocator;
  t2_entry_strings *s = &entry->strings;
  entry->options = *given;
  int err = given->state_dir ? t2_mkdir(given->state_dir, 0700) : 0;
  if (err) return t2_detail(detail, size, err, "state directory %s: %s", given->state_dir, t2_strerror(err));
  err = settle_id(entry, detail, size);
  if (err) return err;
  char name[sizeof("-keys.json") + T2_ENTRY_ID_MAX];
  snprintf(name, sizeof(name), "%s-keys.json", entry->id);
  entry->options.control = s->control = t2_strdup(mem, given->control);
  entry->options.token = s->token = t2_strdup(mem, given->token);
  entry->options.domain = s->domain = lower_copy(mem, given->domain);
  if (given->state_dir) s->keys_file = t2_path_join(mem, given->state_dir, name);
  bool whole = s->control && s->token && s->domain && (s->keys_file || !given->state_dir);
  return whole ? 0 : T2_ERR_NOMEM;
}

/* As text they are the caller's. */
static int read_trusted(t2_entry *entry, char *detail, size_t size) {
  t2_entry_options *o = &entry->options;
  if (o->trusted_proxy_count == 0) return 0;
  if (o->trusted_proxy_count > T2_ENTRY_PROXIES_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "trusted proxies: at most %d are taken",
                     T2_ENTRY_PROXIES_MAX);
  entry->trusted = t2_calloc(o->allocator, o->trusted_proxy_count, sizeof(*entry->trusted));
  if (!entry->trusted) return T2_ERR_NOMEM;
  for (size_t i = 0; i < o->trusted_proxy_count; i++)
    if (t2_prefix_parse(&entry->trusted[i], t2_str_c(o->trusted_proxies[i])))
      return t2_detail(detail, size, T2_ERR_INVALID,
                       "trusted proxy \"%.80s\": an address or a prefix is taken, such as 10.0.0.0/8",
                       o->trusted_proxies[i] ? o->trusted_proxies[i] : "");
  entry->trusted_count = o->trusted_proxy_count;
  o->trusted_proxies = NULL;
  return 0;
}

static int make_link(t2_entry *entry, char *detail, size_t size) {
  static const char *const alpn[] = {"h2", NULL};
  t2_link_options options = {.proxy = &entry->control,
                             .token = entry->options.token,
                             .path = "/v1/entries",
                             .what = "entry",
                             .retry_min_ms = LINK_RETRY_MS,
                             .retry_max_ms = LINK_RETRY_MAX_MS};
  int err = t2_tls_client_new(&entry->link_tls, entry->loop, entry->options.ca_file, alpn, detail, size);
  if (err == 0) err = t2_target_parse_https(t2_str_c(entry->options.control), &options.server, detail, size);
  options.tls = entry->link_tls;
  return err ? err : t2_link_new(&entry->link, &options, &t2_entry_link_ops, entry);
}

static void on_uplink_gone(void *user) {
  t2_entry_settled(user);
}

static void on_drain_timer(t2_timer *timer);

static bool is_trusted(t2_str host, void *user) {
  const t2_entry *entry = user;
  return t2_prefixes_have(entry->trusted, entry->trusted_count, host);
}

static void init_accepts(t2_entry *entry) {
  t2_accepts_init(&entry->accepts, entry->loop->mem);
  entry->accepts.exempt = is_trusted;
  entry->accepts.user = entry;
}

static void init_members(t2_entry *entry) {
  t2_proxy_init(&entry->public_proxy, entry->loop, entry->id);
  t2_proxy_init(&entry->uplink_proxy, entry->loop, entry->id);
  t2_proxy_init(&entry->control, entry->loop, entry->id);
  t2_proxy_init(&entry->carried, entry->loop, entry->id);
  entry->public_proxy.via = true;
  t2_keys_init(&entry->keys, entry->loop->mem);
  t2_uplinks_init(&entry->uplinks, &entry->public_proxy, entry->id, &entry->keys,
                  t2_entry_share(entry, entry->options.uplinks_max));
  entry->uplinks.ping_interval_ms = entry->options.uplink_ping_ms;
  entry->uplinks.on_gone = on_uplink_gone;
  entry->uplinks.user = entry;
  init_accepts(entry);
  t2_entry_init_limits(entry);
  t2_entry_init_connections(entry);
  t2_entry_init_anteroom(entry);
  t2_timer_init(&entry->drain, on_drain_timer);
  t2_entry_open_crossing(entry);
  t2_buf_init(&entry->route_text, entry->loop->mem);
}

/* From options that are whole. member: NULL, or the one whose part it is. */
static int make_entry(t2_entry **out, uv_loop_t *uv, const t2_entry_options *options, t2_entry_member *member,
                      char *detail, size_t size) {
  int err = check_options(options, detail, size);
  if (err) return err;
  t2_entry *entry = t2_calloc(options->allocator, 1, sizeof(*entry));
  if (!entry) return T2_ERR_NOMEM;
  t2_log log = {options->log, options->log_user, options->log_level};
  if (member) {
    log = t2_crew_log(member->worker);
    entry->member = member;
    entry->members = member->all;
  }
  err = copy_options(entry, options, detail, size);
  if (err == 0) err = read_trusted(entry, detail, size);
  if (err == 0) err = t2_loop_new(&entry->loop, uv, options->allocator, &log);
  if (err) {
    free_strings(entry);
    t2_free(options->allocator, entry);
    return err;
  }
  if (!member) err = t2_entry_open_workers(entry, options, detail, size);
  init_members(entry);
  t2_entry_load_keys(entry);
  if (err == 0) err = t2_entry_listen(entry, detail, size);
  entry->options.port_sockets = NULL; /* the caller's */
  if (err == 0 && !member) err = make_link(entry, detail, size);
  if (err == 0 && !member) err = t2_entry_hire(entry, options, detail, size);
  entry->options.ca_file = entry->options.token_file = NULL; /* read once */
  if (err) {
    t2_entry_close(entry, NULL, NULL);
    return err;
  }
  *out = entry;
  return 0;
}

int t2_entry_make_member(t2_entry_member *member, uv_loop_t *uv, const t2_entry_options *options,
                         char *detail, size_t size) {
  return make_entry(&member->entry, uv, options, member, detail, size);
}

int t2_entry_new(t2_entry **out, uv_loop_t *uv, const t2_entry_options *given, char *detail, size_t size) {
  t2_entry_options options;
  t2_credentials credentials;
  *out = NULL;
  if (size) *detail = '\0';
  if (read_options(&options, given))
    return t2_detail(detail, size, T2_ERR_INVALID, "the options were not set up by t2_entry_options_init");
  t2_credential_options from = {options.token, options.token_file, options.ca_file, NULL};
  int err = t2_credentials_read(&credentials, options.allocator, &from, detail, size);
  if (err) return err;
  options.token = credentials.token;
  options.ca_file = credentials.ca_file;
  err = make_entry(out, uv, &options, NULL, detail, size);
  t2_credentials_fini(&credentials);
  return err;
}

int t2_entry_start(t2_entry *entry) {
  if (entry->state != T2_ENTRY_STATE_NEW || entry->closing) return T2_ERR_STATE;
  entry->state = T2_ENTRY_STATE_RUNNING;
  t2_entry_open_anteroom(entry);
  t2_entry_members_start(entry);
  const char *secure = entry->options.public_tls_address;
  t2_log_at(&entry->loop->log, INFO, "entry", "entry %s: public on %s%s%s, uplinks on %s", entry->id,
            entry->options.public_address, secure ? " and, by TLS, on " : "", secure ? secure : "",
            entry->options.uplink_address);
  if (entry->options.uplink_plaintext) t2_entry_warn_plaintext(entry);
  t2_entry_emit(entry, &(t2_entry_event){.type = T2_ENTRY_READY,
                                         .entry = entry->id,
                                         .public_address = entry->options.public_address,
                                         .uplink_address = entry->options.uplink_address,
                                         .public_tls_address = secure,
                                         .tls_address = entry->options.tls_address});
  if (entry->state == T2_ENTRY_STATE_RUNNING) t2_link_start(entry->link);
  return 0;
}

/* ---- Ending ---- */

void t2_entry_close_all(t2_entry *entry) {
  t2_loop_timer_stop(entry->loop, &entry->drain);
  if (entry->link) t2_link_close(entry->link);
  t2_entry_close_listeners(entry);
  t2_uplinks_close(&entry->uplinks);
}

/* Everything on the loop has closed. */
static void on_loop_close(t2_loop *loop, void *user) {
  t2_entry *entry = user;
  const t2_allocator *mem = entry->options.allocator;
  t2_entry_close_cb cb = entry->on_close;
  void *close_user = entry->close_user;
  (void)loop;
  t2_accepts_fini(&entry->accepts); /* connections have left it now */
  free_strings(entry);
  t2_free(mem, entry);
  if (cb) cb(close_user);
}

static void dispose(t2_entry *entry) {
  entry->disposing = false;
  t2_queue_fini(&entry->anteroom.queue);
  t2_remotes_clear(&entry->uplinks.sessions);
  t2_uplinks_fini(&entry->uplinks);
  t2_entry_ports_fini(&entry->ports);
  t2_entry_flows_fini(entry);
  t2_keys_fini(&entry->keys);
  t2_buf_fini(&entry->route_text);
  if (entry->uplink_tls) t2_tls_unref(entry->uplink_tls);
  if (entry->public_tls) t2_tls_unref(entry->public_tls);
  if (entry->link_tls) t2_tls_unref(entry->link_tls);
  t2_proxy_fini(&entry->public_proxy);
  t2_proxy_fini(&entry->uplink_proxy);
  t2_proxy_fini(&entry->control);
  t2_proxy_fini(&entry->carried);
  t2_loop_close(entry->loop, on_loop_close, entry);
}

/* The first worker outlives the others. */
static bool is_alone(const t2_entry *entry) {
  return !entry->member || (t2_entry_is_second(entry) && entry->member->bridges.count == 0);
}

void t2_entry_settled(t2_entry *entry) {
  if (entry->disposing && !entry->link && entry->servers_open == 0 && entry->uplinks.count == 0 &&
      is_alone(entry))
    dispose(entry);
  else if (entry->state == T2_ENTRY_STATE_PARTING && entry->uplinks.count == 0 &&
           (t2_entry_is_second(entry) || t2_entry_members_ended(entry)))
    t2_entry_end(entry, 0, NULL);
}

void t2_entry_close(t2_entry *entry, t2_entry_close_cb cb, void *user) {
  if (entry->closing) return;
  entry->closing = true;
  entry->state = T2_ENTRY_STATE_ENDED;
  entry->on_close = cb;
  entry->close_user = user;
  t2_entry_close_all(entry);
  if (!t2_entry_is_second(entry)) t2_entry_members_close(entry);
  entry->disposing = true;
  t2_entry_settled(entry);
}

void t2_entry_end(t2_entry *entry, int err, const char *reason) {
  char kept[256];
  if (entry->state == T2_ENTRY_STATE_ENDED) return;
  entry->state = T2_ENTRY_STATE_ENDED;
  snprintf(kept, sizeof(kept), "%s", reason ? reason : ""); /* it may be part of what is closed now */
  t2_entry_close_all(entry);
  if (!t2_entry_is_second(entry)) t2_entry_members_end(entry);
  t2_log_at(&entry->loop->log, INFO, "entry", "ended%s%s", *kept ? ": " : "", kept);
  t2_entry_emit(entry,
                &(t2_entry_event){
                    .type = T2_ENTRY_ENDED, .entry = entry->id, .error = err, .reason = *kept ? kept : NULL});
}

/* ---- Drain ---- */

void t2_entry_part(t2_entry *entry) {
  if (entry->state != T2_ENTRY_STATE_DRAINING) return;
  if (!t2_entry_is_second(entry)) t2_entry_members_part(entry);
  entry->state = T2_ENTRY_STATE_PARTING;
  t2_loop_timer_start(entry->loop, &entry->drain, PARTING_MS);
  t2_uplinks_drain(&entry->uplinks);
  t2_entry_settled(entry);
}

static void on_drain_timer(t2_timer *timer) {
  t2_entry *entry = T2_CONTAINER_OF(timer, t2_entry, drain);
  if (entry->state == T2_ENTRY_STATE_DRAINING && t2_entry_public_connections(entry) == 0) {
    if (t2_entry_is_second(entry))
      t2_entry_member_drained(entry);
    else
      t2_entry_part(entry);
    return;
  }
  if (entry->public_proxy.active)
    t2_log_at(&entry->loop->log, WARN, "entry", "%zu exchanges are cut: the time for draining is over",
              entry->public_proxy.active);
  t2_entry_end(entry, 0, NULL);
}

void t2_entry_drain(t2_entry *entry, uint64_t timeout_ms) {
  if (entry->state != T2_ENTRY_STATE_NEW && entry->state != T2_ENTRY_STATE_RUNNING) return;
  entry->state = T2_ENTRY_STATE_DRAINING;
  entry->uplinks.closed = true;
  t2_log_at(&entry->loop->log, INFO, "entry", "draining: %zu exchanges under way",
            entry->public_proxy.active);
  t2_loop_timer_start(entry->loop, &entry->drain, timeout_ms);
  t2_entry_emit(entry, &(t2_entry_event){.type = T2_ENTRY_DRAINING, .entry = entry->id});
  if (entry->state != T2_ENTRY_STATE_DRAINING) return;
  t2_entry_drain_public(entry); /* what still waits there is dealt before members hear of it */
  if (!t2_entry_is_second(entry)) t2_entry_members_drain(entry, timeout_ms);
}

/* ---- What is known ---- */

void t2_entry_emit(t2_entry *entry, const t2_entry_event *event) {
  if (t2_entry_is_second(entry))
    t2_entry_member_emit(entry, event);
  else if (!entry->closing && entry->options.on_event)
    entry->options.on_event(entry, event, entry->options.user);
}

const char *t2_entry_id(const t2_entry *entry) {
  return entry->id;
}

const char *t2_entry_public_address(const t2_entry *entry) {
  return entry->options.public_address;
}

const char *t2_entry_uplink_address(const t2_entry *entry) {
  return entry->options.uplink_address;
}

const char *t2_entry_public_tls_address(const t2_entry *entry) {
  return entry->options.public_tls_address;
}

const char *t2_entry_tls_address(const t2_entry *entry) {
  return entry->options.tls_address;
}

int t2_entry_is_ready(const t2_entry *entry) {
  return entry->state == T2_ENTRY_STATE_RUNNING && entry->keys.n > 0 && !entry->options.hold_public;
}

void t2_entry_get_stats(const t2_entry *entry, t2_entry_stats *stats) {
  t2_entry_stats all = {.size = sizeof(all)};
  t2_entry_count(entry, &all);
  t2_entry_members_count(entry, &all);
  all.size = stats->size < sizeof(all) ? stats->size : sizeof(all);
  memcpy(stats, &all, all.size);
}

void t2_entry_count(const t2_entry *entry, t2_entry_stats *stats) {
  const t2_proxy *proxy = &entry->public_proxy;
  const t2_entry_sessions *sessions = &entry->uplinks.sessions;
  const t2_accepts *accepts = &entry->accepts;
  const t2_entry_bounds *bounds = &entry->bounds;
  t2_entry_stats now = {
      .size = stats->size < sizeof(now) ? stats->size : sizeof(now),
      .connections = t2_entry_public_connections(entry),
      .tcp_connections = entry->tcp.count,
      .uplinks = entry->uplinks.count,
      .uplinks_total = entry->uplinks.total,
      .sessions = sessions->map.count - sessions->idle_count,
      .exchanges = proxy->total,
      .exchanges_active = proxy->active,
      .exchanges_failed = proxy->failed,
      .exchanges_refused = proxy->refused,
      .bytes_to_clients = proxy->bytes_up,
      .bytes_from_clients = proxy->bytes_down,
      .udp_flows = entry->flows.map.count,
      .udp_datagrams_dropped = entry->flows.dropped + entry->flows.legs.dropped,
      .exchanges_waiting = entry->uplinks.waiting,
      .exchanges_waited = entry->uplinks.waited,
      .exchanges_retried = entry->uplinks.retried,
      .http2_given_up = proxy->given_up + entry->uplink_proxy.given_up + entry->control.given_up,
      .upgrades = entry->upgrades,
      .connections_accepted = accepts->accepted,
      .handshakes = accepts->handshakes,
      .handshakes_failed = accepts->handshakes_failed,
      .accept_paused = accepts->paused,
      .accept_starved = accepts->starved,
      .over_address_connections = accepts->refused_address,
      .over_address_handshakes = accepts->refused_handshakes,
      .over_upgrades = entry->over_upgrades,
      .over_session_exchanges = bounds->over_exchanges,
      .over_session_requests = bounds->over_requests,
      .over_session_bytes = bounds->over_bytes,
      .paced = bounds->paced,
      .timeouts_header = proxy->late_heads,
      .timeouts_body = proxy->late_content,
      .timeouts_idle = proxy->late_idle,
      .timeouts_response = proxy->late_answers,
      .uplink_handshakes = entry->uplink_tls ? t2_tls_handshakes(entry->uplink_tls) : 0,
      .uplink_handshakes_resumed = entry->uplink_tls ? t2_tls_resumed(entry->uplink_tls) : 0,
  };
  memcpy(stats, &now, now.size);
}
