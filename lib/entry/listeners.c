#include <base/file.h>
#include <entry/state.h>
#include <http/ptth.h>
#include <stdio.h>
#include <wire/detail.h>

#define WINDOWS 8 /* of a stream, that one connection over HTTP/2 has */

static const char *const public_alpn[] = {"h2", "http/1.1", NULL};

/* ---- Requests ---- */

static void on_uplink_request(const t2_server_request *request, void *user) {
  t2_entry *entry = user;
  t2_uplinks_on_request(&entry->uplinks, request);
}

/* Where both come in: who asks for the uplink's protocol at its place is a client, all others are the public.
 */
static void on_shared_request(const t2_server_request *request, void *user) {
  const char *why;
  bool uplink =
      request->h1 && t2_ptth_is_path(request->head) && t2_ptth_check_request(request->head, &why) == 0;
  if (uplink)
    on_uplink_request(request, user);
  else if (!t2_conn_is_tls(request->transport))
    t2_exchange_refuse(request->exchange, t2_problem_of_status(400), "this port takes HTTPS");
  else
    t2_entry_on_public_request(request, user);
}

/* ---- Ending ---- */

size_t t2_entry_public_connections(const t2_entry *entry) {
  size_t n = 0;
  if (entry->public_server) n += t2_server_connections(entry->public_server);
  if (entry->public_tls_server) n += t2_server_connections(entry->public_tls_server);
  if (entry->shared && entry->uplink_server) n += t2_server_connections(entry->uplink_server);
  return n + entry->tcp.count + entry->passthrough_opening;
}

/* It may come from inside the drain, or from a connection's end: what follows does not. */
void t2_entry_public_gone(void *user) {
  t2_entry *entry = user;
  if (entry->state == T2_ENTRY_STATE_DRAINING && t2_entry_public_connections(entry) == 0 &&
      (t2_entry_is_second(entry) || t2_entry_members_drained(entry)))
    t2_loop_timer_start(entry->loop, &entry->drain, 0);
}

void t2_entry_drain_public(t2_entry *entry) {
  t2_entry_ports_close_all(&entry->ports);
  t2_entry_ports_close_all(&entry->flows.ports);
  if (entry->public_server) t2_server_drain(entry->public_server);
  if (entry->public_tls_server) t2_server_drain(entry->public_tls_server);
  if (entry->shared && entry->uplink_server) t2_server_drain(entry->uplink_server);
  t2_entry_drain_passthrough(entry);
}

static void on_server_close(void *user) {
  t2_entry *entry = user;
  entry->servers_open--;
  t2_entry_settled(entry);
}

static void close_server(t2_entry *entry, t2_server **server) {
  t2_server *closing = *server;
  if (!closing) return;
  *server = NULL;
  t2_server_close(closing, on_server_close, entry);
}

void t2_entry_close_listeners(t2_entry *entry) {
  close_server(entry, &entry->public_server);
  close_server(entry, &entry->public_tls_server);
  close_server(entry, &entry->uplink_server);
  t2_entry_close_passthrough(entry);
  t2_entry_close_connections(entry);
}

/* ---- Opening ---- */

/* Those that may change later. */
static void limit_options(const t2_entry_options *o, t2_server_options *options) {
  options->listener.connections_max = o->connections_max;
  options->h1.header_timeout_ms = o->header_timeout_ms;
  options->h1.keep_alive_timeout_ms = o->keep_alive_timeout_ms;
  options->h1.body_timeout_ms = o->body_timeout_ms;
  options->h1.body_rate_min = o->body_rate_min;
  options->h2.idle_timeout_ms = o->keep_alive_timeout_ms;
  options->h2.stuck_timeout_ms = o->body_timeout_ms;
}

static void public_options(t2_entry *entry, t2_server_options *options) {
  const t2_entry_options *o = &entry->options;
  t2_server_options_init(options);
  limit_options(o, options);
  options->listener.accepts = &entry->accepts;
  options->listener.proxy_header_ms = o->accept_proxy_protocol ? o->header_timeout_ms : 0;
  options->h2.h2.priorities = true;
  options->h2.h2.extended_connect = true;
  options->h2.h2.concurrent_max = o->h2_streams_max;
  options->h2.h2.stream_window = o->h2_window;
  options->h2.h2.connection_window = WINDOWS * o->h2_window;
  options->h2.h2.field_section_max = o->h2_head_max;
  options->h2.h2.patience = o->h2_flood_factor;
  options->on_drained = t2_entry_public_gone;
}

static int open_server(t2_entry *entry, t2_server **server, t2_proxy *proxy, const t2_server_options *options,
                       t2_server_request_cb on_request, char *detail, size_t size) {
  int err = t2_server_new(server, proxy, options, on_request, entry, detail, size);
  if (err == 0) entry->servers_open++;
  return err;
}

static int open_public(t2_entry *entry, char *detail, size_t size) {
  t2_server_options options;
  public_options(entry, &options);
  options.listener.held = entry->options.hold_public;
  options.listener.address = entry->options.public_address;
  t2_entry_set_lane(entry, &options.listener, T2_ENTRY_LANE_PUBLIC);
  return open_server(entry, &entry->public_server, &entry->public_proxy, &options, t2_entry_on_public_request,
                     detail, size);
}

/* The public's certificates, behind the entry's own when that is to be the first or the only one. */
static int make_tls(t2_entry *entry, t2_tls **tls, bool own_first, const char *const *alpn, char *detail,
                    size_t size) {
  const t2_entry_options *o = &entry->options;
  t2_tls_files *files = t2_calloc(o->allocator, o->certificate_count + 1, sizeof(*files));
  size_t n = 0;
  if (!files) return T2_ERR_NOMEM;
  if (own_first || o->certificate_count == 0) files[n++] = (t2_tls_files){o->cert_file, o->key_file};
  for (size_t i = 0; i < o->certificate_count; i++)
    files[n++] = (t2_tls_files){o->certificates[i].cert_file, o->certificates[i].key_file};
  int err = t2_tls_server_new_many(tls, entry->loop, files, n, alpn, detail, size);
  t2_free(o->allocator, files);
  if (err == 0) err = t2_tls_server_set_oldest(*tls, o->tls_min, detail, size);
  return err;
}

/* Those who come back after a restart, all at once, resume. */
static int keep_tickets(t2_entry *entry, t2_tls *tls, const char *of, char *detail, size_t size) {
  const t2_entry_options *o = &entry->options;
  char name[T2_ENTRY_ID_MAX + 24];
  if (t2_entry_is_second(entry)) {
    const t2_entry *first = entry->members->first; /* which waits for this */
    t2_tls_server_share_tickets(tls, tls == entry->public_tls ? first->public_tls : first->uplink_tls);
    return 0;
  }
  if (!o->state_dir) return 0;
  snprintf(name, sizeof(name), "%s-%s-tickets", entry->id, of);
  char *file = t2_path_join(o->allocator, o->state_dir, name);
  int err = file ? t2_tls_server_keep_tickets(tls, file, detail, size) : T2_ERR_NOMEM;
  t2_free(o->allocator, file);
  return err;
}

static int open_public_tls(t2_entry *entry, char *detail, size_t size) {
  t2_server_options options;
  int err = make_tls(entry, &entry->public_tls, false, public_alpn, detail, size);
  if (err == 0) err = keep_tickets(entry, entry->public_tls, "public", detail, size);
  if (err) return err;
  public_options(entry, &options);
  options.listener.held = entry->options.hold_public;
  options.listener.address = entry->options.public_tls_address;
  options.listener.tls = entry->public_tls;
  t2_entry_share_passthrough(entry, &options.listener);
  t2_entry_set_lane(entry, &options.listener, T2_ENTRY_LANE_PUBLIC_TLS);
  return open_server(entry, &entry->public_tls_server, &entry->public_proxy, &options,
                     t2_entry_on_public_request, detail, size);
}

static int open_uplink(t2_entry *entry, char *detail, size_t size) {
  static const char *const alpn[] = {"http/1.1", NULL};
  const t2_entry_options *o = &entry->options;
  t2_server_options options;
  int err = t2_tls_server_new(&entry->uplink_tls, entry->loop, o->cert_file, o->key_file, alpn, detail, size);
  if (err == 0) err = t2_tls_server_set_oldest(entry->uplink_tls, o->tls_min, detail, size);
  if (err == 0) err = keep_tickets(entry, entry->uplink_tls, "uplink", detail, size);
  if (err) return err;
  t2_server_options_init(&options);
  options.listener.address = o->uplink_address;
  options.listener.connections_max = o->uplinks_max;
  options.listener.tls = entry->uplink_tls;
  options.listener.clear_too = o->uplink_plaintext;
  options.h1.header_timeout_ms = o->header_timeout_ms;
  t2_entry_set_lane(entry, &options.listener, T2_ENTRY_LANE_UPLINK);
  return open_server(entry, &entry->uplink_server, &entry->uplink_proxy, &options, on_uplink_request, detail,
                     size);
}

/* Clients that dial an address send no server name: the entry's own certificate is the first. */
static int open_shared(t2_entry *entry, char *detail, size_t size) {
  t2_server_options options;
  int err = make_tls(entry, &entry->uplink_tls, true, public_alpn, detail, size);
  if (err == 0) err = keep_tickets(entry, entry->uplink_tls, "uplink", detail, size);
  if (err) return err;
  entry->shared = true;
  public_options(entry, &options);
  options.listener.address = entry->options.uplink_address;
  options.listener.connections_max += entry->options.uplinks_max;
  options.listener.tls = entry->uplink_tls;
  options.listener.clear_too = entry->options.uplink_plaintext;
  t2_entry_share_passthrough(entry, &options.listener);
  t2_entry_set_lane(entry, &options.listener, T2_ENTRY_LANE_UPLINK);
  return open_server(entry, &entry->uplink_server, &entry->public_proxy, &options, on_shared_request, detail,
                     size);
}

/* "http://127.0.0.1:12000", unless something else was given. */
static char *advertised(const t2_allocator *mem, const char *given, const char *scheme, const char *address) {
  char url[128];
  if (given) return t2_strdup(mem, given);
  snprintf(url, sizeof(url), "%s://%s", scheme, address);
  return t2_strdup(mem, url);
}

static int note_address(t2_entry *entry, const char *address, char **kept, const char **option) {
  *option = *kept = t2_strdup(entry->options.allocator, address);
  return *kept ? 0 : T2_ERR_NOMEM;
}

/* Of an address that is bound. */
static uint16_t port_of(const char *address) {
  t2_str host;
  uint16_t port = 0;
  (void)t2_str_hostport(t2_str_c(address), &host, &port);
  return port;
}

/* What people are told is the public's host, with the port of TLS. */
static char *secure_url(const t2_entry *entry) {
  char url[320]; /* a domain name has 253 characters at most */
  t2_str host = t2_entry_url_host(entry->options.advertise_public);
  bool v6 = t2_str_find(host, ':') >= 0;
  snprintf(url, sizeof(url), v6 ? "https://[%.*s]:%u" : "https://%.*s:%u", T2_STR_ARG(host),
           (unsigned)port_of(entry->options.public_tls_address));
  return t2_strdup(entry->options.allocator, url);
}

static int note_addresses(t2_entry *entry) {
  const t2_allocator *mem = entry->options.allocator;
  t2_entry_options *o = &entry->options;
  t2_entry_strings *s = &entry->strings;
  const t2_server *secure = entry->shared ? entry->uplink_server : entry->public_tls_server;
  const char *at = t2_server_address(entry->public_server);
  bool both = t2_entry_passthrough_shares(o);
  int err = note_address(entry, at, &s->public_address, &o->public_address);
  at = t2_server_address(entry->uplink_server);
  if (err == 0) err = note_address(entry, at, &s->uplink_address, &o->uplink_address);
  at = secure ? t2_server_address(secure) : NULL;
  if (err == 0 && at) err = note_address(entry, at, &s->public_tls_address, &o->public_tls_address);
  if (!both) at = entry->passthrough ? t2_listener_address(entry->passthrough) : NULL;
  if (err == 0 && at) err = note_address(entry, at, &s->tls_address, &o->tls_address);
  if (err) return err;
  if (at) entry->uplinks.tls_port = port_of(at);
  entry->advertised = o->advertise_public != NULL;
  o->advertise_public = s->public_url = advertised(mem, o->advertise_public, "http", s->public_address);
  o->advertise_uplink = s->uplink_url =
      advertised(mem, o->advertise_uplink, o->uplink_plaintext ? "http" : "https", s->uplink_address);
  if (secure && s->public_url) s->public_tls_url = secure_url(entry);
  return s->public_url && s->uplink_url && (s->public_tls_url || !secure) ? 0 : T2_ERR_NOMEM;
}

/* A member has what the first worker has bound. */
static int note_same(t2_entry *entry) {
  const t2_allocator *mem = entry->options.allocator;
  const t2_entry *first = entry->members->first; /* which waits for this */
  t2_entry_options *o = &entry->options;
  t2_entry_strings *s = &entry->strings;
  int err = note_address(entry, o->public_address, &s->public_address, &o->public_address);
  if (err == 0) err = note_address(entry, o->uplink_address, &s->uplink_address, &o->uplink_address);
  if (err == 0 && o->public_tls_address)
    err = note_address(entry, o->public_tls_address, &s->public_tls_address, &o->public_tls_address);
  if (err == 0 && o->tls_address) err = note_address(entry, o->tls_address, &s->tls_address, &o->tls_address);
  if (err) return err;
  entry->uplinks.tls_port = first->uplinks.tls_port;
  entry->advertised = first->advertised;
  o->advertise_public = s->public_url = t2_strdup(mem, o->advertise_public);
  o->advertise_uplink = s->uplink_url = t2_strdup(mem, o->advertise_uplink);
  return s->public_url && s->uplink_url ? 0 : T2_ERR_NOMEM;
}

int t2_entry_listen(t2_entry *entry, char *detail, size_t size) {
  bool second = t2_entry_is_second(entry);
  const t2_entry_options *o = &entry->options;
  bool shared = o->public_tls_address && strcmp(o->public_tls_address, o->uplink_address) == 0;
  int err = open_public(entry, detail, size);
  if (err == 0 && o->public_tls_address && !shared) err = open_public_tls(entry, detail, size);
  if (err == 0) err = shared ? open_shared(entry, detail, size) : open_uplink(entry, detail, size);
  if (err == 0 && !second) err = t2_entry_open_passthrough(entry, detail, size);
  if (err == 0) err = second ? note_same(entry) : note_addresses(entry);
  if (err == 0) err = t2_entry_open_ports(entry);
  if (err == 0) t2_entry_adopt_ports(entry);
  entry->site =
      (t2_route_site){t2_str_c(o->domain),
                      t2_str_c(entry->id),
                      {t2_entry_url_host(o->advertise_public), t2_entry_url_host(o->advertise_uplink)}};
  /* The caller's files are named in the TLS settings now. */
  entry->options.certificates = NULL;
  entry->options.certificate_count = 0;
  entry->options.tls_min = NULL;
  return err;
}

/* ---- Limits and certificates anew ---- */

/* Where connections are dealt, their number is the dealer's to bound. */
static void set_limits(t2_entry *entry, t2_server *server, t2_server_options *options, t2_entry_lane lane) {
  if (!server) return;
  if (entry->members) {
    if (!t2_entry_is_second(entry)) entry->members->connections_max[lane] = options->listener.connections_max;
    options->listener.connections_max = 0;
  }
  t2_server_set_limits(server, options);
}

/* Of the uplinks' own listener: as many connections, and a time for the head; the rest is the protocol's. */
static void limit_uplinks(t2_entry *entry) {
  t2_server_options options;
  t2_server_options_init(&options);
  if (entry->shared) limit_options(&entry->options, &options);
  options.listener.connections_max = entry->options.uplinks_max;
  if (entry->shared) options.listener.connections_max += entry->options.connections_max;
  options.h1.header_timeout_ms = entry->options.header_timeout_ms;
  set_limits(entry, entry->uplink_server, &options, T2_ENTRY_LANE_UPLINK);
}

void t2_entry_limit_listeners(t2_entry *entry) {
  t2_server_options options;
  t2_server_options_init(&options);
  limit_options(&entry->options, &options);
  set_limits(entry, entry->public_server, &options, T2_ENTRY_LANE_PUBLIC);
  limit_options(&entry->options, &options);
  set_limits(entry, entry->public_tls_server, &options, T2_ENTRY_LANE_PUBLIC_TLS);
  if (entry->uplink_server) limit_uplinks(entry);
  if (entry->passthrough) t2_listener_set_max(entry->passthrough, entry->options.connections_max);
}

int t2_entry_reload(t2_entry *entry, char *detail, size_t size) {
  char more[512];
  int err = entry->uplink_tls ? t2_tls_server_reload(entry->uplink_tls, detail, size) : 0;
  if (!t2_entry_is_second(entry)) t2_entry_members_reload(entry);
  if (!entry->public_tls) return err;
  int public_err = t2_tls_server_reload(entry->public_tls, err ? more : detail, err ? sizeof(more) : size);
  return err ? err : public_err;
}
