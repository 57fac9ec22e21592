#include <base/str.h>
#include <common/entry_options.h>
#include <common/limits_file.h>
#include <common/state.h>
#include <common/workers.h>
#include <stdio.h>
#include <string.h>

void t2_app_entry_seed(t2_app_entry *entry, const t2_entry_options *from) {
  entry->options = *from;
  entry->udp_flows = from->udp_flows_max;
  entry->h2_streams = from->h2_streams_max;
  entry->h2_window = from->h2_window;
  entry->h2_head = from->h2_head_max;
  entry->h2_factor = from->h2_flood_factor;
  entry->queue = from->queue_max;
  entry->limits = (t2_app_entry_limits){.connections = from->connections_max,
                                        .upgrades = from->upgrades_max,
                                        .uplinks = from->uplinks_max,
                                        .exchanges = from->session_exchanges_max,
                                        .requests = from->session_requests_rate,
                                        .bytes_up = (unsigned)from->session_bytes_to_clients,
                                        .bytes_down = (unsigned)from->session_bytes_from_clients,
                                        .address = from->address_connections_max,
                                        .handshakes = from->address_handshakes_rate,
                                        .body_rate = from->body_rate_min};
}

/* Times are the options' own already. */
static void copy_times(t2_entry_options *to, const t2_entry_options *from) {
  to->header_timeout_ms = from->header_timeout_ms;
  to->body_timeout_ms = from->body_timeout_ms;
  to->response_timeout_ms = from->response_timeout_ms;
  to->keep_alive_timeout_ms = from->keep_alive_timeout_ms;
  to->queue_timeout_ms = from->queue_timeout_ms;
  to->udp_idle_timeout_ms = from->udp_idle_timeout_ms;
}

void t2_app_entry_numbers(t2_entry_options *to, const t2_app_entry *entry) {
  const t2_app_entry_limits *limits = &entry->limits;

  copy_times(to, &entry->options);
  to->udp_flows_max = entry->udp_flows;
  to->h2_streams_max = entry->h2_streams;
  to->h2_window = entry->h2_window;
  to->h2_head_max = entry->h2_head;
  to->h2_flood_factor = entry->h2_factor;
  to->queue_max = entry->queue;
  to->connections_max = limits->connections;
  to->upgrades_max = limits->upgrades;
  to->uplinks_max = limits->uplinks;
  to->session_exchanges_max = limits->exchanges;
  to->session_requests_rate = limits->requests;
  to->session_bytes_to_clients = limits->bytes_up;
  to->session_bytes_from_clients = limits->bytes_down;
  to->address_connections_max = limits->address;
  to->address_handshakes_rate = limits->handshakes;
  to->body_rate_min = (uint32_t)limits->body_rate;
}

size_t t2_app_entry_table(t2_app_entry *entry, t2_cli_option table[T2_APP_ENTRY_ROWS]) {
  t2_entry_options *o = &entry->options;
  t2_app_entry_limits *limits = &entry->limits;
  const t2_cli_option rows[] = {
      {"entry-id", T2_CLI_TEXT, &o->id, "ID",
       "a name of a-z 0-9 and - (one is made, and kept in --state-dir)", 0, 0},
      {"control", T2_CLI_TEXT, &o->control, "URL", "the control plane (https://127.0.0.1:12002)", 0, 0},
      {"public", T2_CLI_TEXT, &o->public_address, "HOST:PORT", "public requests (127.0.0.1:12000)", 0, 0},
      {"public-tls", T2_CLI_TEXT, &o->public_tls_address, "HOST:PORT",
       "public requests over TLS; may be that of --uplink (none)", 0, 0},
      {"public-cert", T2_CLI_LIST, &entry->public_certs, "CERT[,KEY]",
       "PEM files for --public-tls, chosen by name; may be repeated (--cert)", 0, 0},
      {"uplink", T2_CLI_TEXT, &o->uplink_address, "HOST:PORT", "tunnel clients (127.0.0.1:12001)", 0, 0},
      {"tls", T2_CLI_TEXT, &o->tls_address, "HOST:PORT",
       "TLS sessions, passed on by server name; may be that of --public-tls (none)", 0, 0},
      {"tcp-ports", T2_CLI_TEXT, &entry->tcp_ports, "A-B", "public ports of TCP sessions, one each (none)", 0,
       0},
      {"tcp-address", T2_CLI_TEXT, &o->tcp_address, "IP",
       "where they are bound, and UDP's (that of --public)", 0, 0},
      {"udp-ports", T2_CLI_TEXT, &entry->udp_ports, "A-B", "public ports of UDP sessions, one each (none)", 0,
       0},
      {"udp-idle-timeout", T2_CLI_SECONDS, &o->udp_idle_timeout_ms, "SECONDS",
       "without a datagram of a remote address (60)", 1, 86400},
      {"udp-flows", T2_CLI_NUMBER, &entry->udp_flows, "N",
       "remote addresses at once, of all UDP sessions (10000)", 1, 1000000},
      {"h2-max-streams", T2_CLI_NUMBER, &entry->h2_streams, "N",
       "requests at once on a public HTTP/2 connection (128)", 1, 1000},
      {"h2-window", T2_CLI_NUMBER, &entry->h2_window, "BYTES",
       "of each one's content that wait for its origin (131072)", 16384, 16777216},
      {"h2-max-header-list", T2_CLI_NUMBER, &entry->h2_head, "BYTES",
       "of a head, by public HTTP/2 (65536, which is the most)", 4096, 65536},
      {"h2-flood-factor", T2_CLI_NUMBER, &entry->h2_factor, "N",
       "so many times the resets, PINGs, SETTINGS and the like (1)", 1, 1000},
      {"connections-max", T2_CLI_NUMBER, &limits->connections, "N",
       "public connections at once, and as many on TCP ports (10000)", 1, 1000000},
      {"upgrades-max", T2_CLI_NUMBER, &limits->upgrades, "N",
       "of them, or streams on them, that are upgraded: WebSockets (1000)", 1, 1000000},
      {"uplinks-max", T2_CLI_NUMBER, &limits->uplinks, "N", "uplinks at once (10000)", 1, 1000000},
      {"session-exchanges-max", T2_CLI_NUMBER, &limits->exchanges, "N",
       "requests of one session at once (as its ticket says)", 1, 1000000},
      {"session-requests-rate", T2_CLI_NUMBER, &limits->requests, "N",
       "requests of one session a second; past it 429 (any)", 1, 1000000},
      {"session-bytes-to-clients", T2_CLI_NUMBER, &limits->bytes_up, "N",
       "bytes of content a second to one session's clients (any)", 1024, 0},
      {"session-bytes-from-clients", T2_CLI_NUMBER, &limits->bytes_down, "N",
       "likewise from them to the public (any)", 1024, 0},
      {"address-connections-max", T2_CLI_NUMBER, &limits->address, "N",
       "public connections of one address at once (any)", 1, 1000000},
      {"address-handshakes-rate", T2_CLI_NUMBER, &limits->handshakes, "N",
       "TLS handshakes of one address a second (any)", 1, 1000000},
      {"header-timeout", T2_CLI_SECONDS, &o->header_timeout_ms, "SECONDS",
       "for the head of a public request (30)", 1, 86400},
      {"body-timeout", T2_CLI_SECONDS, &o->body_timeout_ms, "SECONDS",
       "without a byte of content coming, or being read (60)", 1, 86400},
      {"body-rate-min", T2_CLI_NUMBER, &limits->body_rate, "N",
       "bytes of content a second, past --body-timeout in all (240; 0: any)", 0, 1000000000},
      {"response-timeout", T2_CLI_SECONDS, &o->response_timeout_ms, "SECONDS",
       "until an answer begins, for all sessions (60)", 1, 86400},
      {"queue-max", T2_CLI_NUMBER, &entry->queue, "N",
       "requests of a session that wait for a client with room (100)", 0, 1000},
      {"queue-timeout", T2_CLI_SECONDS, &o->queue_timeout_ms, "SECONDS",
       "that they wait; then they are answered with 503 (5)", 1, 3600},
      {"start-grace", T2_CLI_SECONDS, &o->start_grace_ms, "SECONDS",
       "after the start in which unknown sessions are waited for (10)", 0, 3600},
      {"uplink-ping", T2_CLI_SECONDS, &o->uplink_ping_ms, "SECONDS",
       "of a client's silence; after as many more it is given up (2)", 1, 3600},
      {"keep-alive-timeout", T2_CLI_SECONDS, &o->keep_alive_timeout_ms, "SECONDS",
       "of a public connection without a request (120)", 1, 86400},
      {"workers", T2_CLI_TEXT, &entry->workers, "N|auto",
       "threads that serve, each with connections of its own; auto: one a processor (1)", 0, 0},
      {"trusted-proxy", T2_CLI_LIST, &entry->proxies, "CIDR",
       "whose Forwarded and X-Forwarded-* are believed; repeated (nobody's)", 0, 0},
      {"accept-proxy-protocol", T2_CLI_FLAG, &o->accept_proxy_protocol, NULL,
       "public connections begin with a PROXY protocol header; others are closed", 0, 0},
      {"ca", T2_CLI_TEXT, &o->ca_file, "FILE", "trusted for the control plane (the system's)", 0, 0},
      {"token-file", T2_CLI_TEXT, &entry->token_file, "FILE",
       "the token for the control plane is the first line of it", 0, 0},
      {"domain", T2_CLI_TEXT, &o->domain, "DOMAIN", "sessions are names in it (localhost)", 0, 0},
      {"advertise-uplink", T2_CLI_TEXT, &o->advertise_uplink, "URL",
       "what clients dial (https:// and --uplink)", 0, 0},
      {"advertise-public", T2_CLI_TEXT, &o->advertise_public, "URL",
       "what people are told (http:// and --public)", 0, 0},
      {"uplink-plaintext", T2_CLI_FLAG, &o->uplink_plaintext, NULL,
       "clients in the clear too, where the network encrypts already; announced as http://", 0, 0},
      {"uplink-plaintext-anywhere", T2_CLI_FLAG, &o->uplink_plaintext_anywhere, NULL,
       "the same at addresses that are not of a private network", 0, 0},
      {"limits-file", T2_CLI_TEXT, &entry->limits_file, "FILE",
       "lines of a limit's option and its value, before these here; read again at SIGHUP", 0, 0},
  };

  t2_entry_options_init(o);
  t2_app_entry_seed(entry, o);
  o->control = NULL;
  memcpy(table, rows, sizeof(rows));
  return T2_COUNT_OF(rows);
}

/* "CERT,KEY" or "CERT". */
static void add_certificate(t2_app *app, t2_app_entry *entry, const char *text) {
  ptrdiff_t comma = t2_str_find(t2_str_c(text), ',');
  t2_entry_certificate *c = &entry->certificates[entry->options.certificate_count++];

  c->cert_file = comma < 0 ? text : t2_app_own(app, t2_strndup(NULL, text, (size_t)comma));
  c->key_file = comma < 0 ? NULL : text + comma + 1;
  if (comma == 0 || (c->key_file && !*c->key_file))
    t2_app_note(app, T2_APP_USAGE, "--public-cert %s: a file is missing before or behind the comma", text);
}

/* "A-B", or one port. */
static void read_ports(t2_app *app, const char *name, const char *text, uint16_t *from, uint16_t *to) {
  t2_str rest = t2_str_c(text), first, last;
  uint64_t a = 0, b = 0;

  bool good = t2_str_next(&rest, '-', &first) && t2_str_u64(first, UINT16_MAX, &a) == 0;
  b = a;
  if (good && t2_str_next(&rest, '-', &last)) good = t2_str_u64(last, UINT16_MAX, &b) == 0;
  if (!good || rest.n || a == 0 || b < a)
    t2_app_note(app, T2_APP_USAGE, "--%s %s: A-B is taken, such as 20000-20999", name, text);
  *from = (uint16_t)a;
  *to = (uint16_t)b;
}

static void check_tcp_address(t2_app *app, const char *host) {
  char text[80];

  snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:0" : "%s:0", host);
  t2_app_loopback(app, "tcp-address", text);
}

void t2_app_entry_complete(t2_app *app, t2_app_entry *entry) {
  t2_entry_options *o = &entry->options;
  char detail[256];

  o->certificates = entry->certificates;
  for (size_t i = 0; i < entry->public_certs.n; i++)
    add_certificate(app, entry, entry->public_certs.items[i]);
  if (o->certificate_count && !o->public_tls_address)
    t2_app_note(app, T2_APP_USAGE, "--public-cert needs --public-tls");
  if (entry->workers) o->workers = t2_app_workers(app, entry->workers);
  if (entry->tcp_ports) read_ports(app, "tcp-ports", entry->tcp_ports, &o->tcp_port_first, &o->tcp_port_last);
  if (entry->udp_ports) read_ports(app, "udp-ports", entry->udp_ports, &o->udp_port_first, &o->udp_port_last);
  t2_app_entry_numbers(o, entry);
  entry->base = *o;
  if (entry->limits_file && t2_app_limits_read(entry->limits_file, o, detail, sizeof(detail)))
    t2_app_note(app, T2_APP_FAILED, "%s", detail);
  o->trusted_proxies = entry->proxies.items;
  o->trusted_proxy_count = entry->proxies.n;
  if (o->tcp_address) check_tcp_address(app, o->tcp_address);
  t2_app_file_or_none(app, &o->ca_file, T2_DEV_CA_FILE);
  t2_app_loopback(app, "public", o->public_address);
  t2_app_loopback(app, "public-tls", o->public_tls_address);
  t2_app_loopback(app, "tls", o->tls_address);
  t2_app_loopback(app, "uplink", o->uplink_address);
}

void t2_app_entry_unused(t2_app *app, const t2_cli *cli, size_t from) {
  for (size_t i = from; i < cli->option_count; i++)
    if (cli->given[i]) t2_app_note(app, T2_APP_USAGE, "--%s needs --entry", cli->options[i].name);
}

int t2_app_entry_start(t2_app *app, t2_app_entry *given, t2_entry_event_cb on_event, void *user,
                       t2_entry **entry) {
  char detail[512] = "";
  t2_entry_options *o = &given->options;

  o->log = app->log;
  o->log_user = app->log_user;
  o->log_level = app->log_level;
  o->state_dir = app->state_dir;
  o->on_event = on_event;
  o->user = user;
  int err = t2_entry_new(entry, &app->loop, o, detail, sizeof(detail));
  if (err == 0) err = t2_entry_start(*entry);
  const char *reason = *detail ? detail : t2_strerror(err);
  if (err == T2_ERR_INVALID || err == T2_ERR_UNSUPPORTED) return t2_app_usage(app, "%s", reason);
  return err ? t2_app_fail(app, "%s", reason) : T2_APP_OK;
}

void t2_app_entry_say(t2_app *app, const t2_entry *entry) {
  const char *public_tls = t2_entry_public_tls_address(entry), *tls = t2_entry_tls_address(entry);

  t2_app_say(app, "entry %s: public http://%s/, uplinks %s", t2_entry_id(entry),
             t2_entry_public_address(entry), t2_entry_uplink_address(entry));
  if (public_tls) t2_app_say(app, "  and https://%s/", public_tls);
  if (tls) t2_app_say(app, "  TLS sessions by name on %s", tls);
}
