#include <base/str.h>
#include <common/client_options.h>
#include <common/state.h>
#include <common/workers.h>
#include <net/credentials.h>
#include <stdio.h>
#include <string.h>

/* In two parts, for length alone. */
static size_t session_rows(t2_app_client *client, t2_cli_option *table) {
  t2_client_options *o = &client->options;
  const t2_cli_option rows[] = {
      {"server", T2_CLI_TEXT, &o->server, "URL", "the control plane (https://127.0.0.1:12002)", 0, 0},
      {"token", T2_CLI_TEXT, &o->token, "TOKEN", "for the control plane; other users of this machine see it",
       0, 0},
      {"token-file", T2_CLI_TEXT, &client->token_file, "FILE", "the token is the first line of it", 0, 0},
      {"session", T2_CLI_TEXT, &o->session, "ID", "a UUID, or a name of a-z 0-9 and - (one is made)", 0, 0},
      {"ca", T2_CLI_TEXT, &o->ca_file, "FILE", "trusted for control plane and entries (the system's)", 0, 0},
      {"hostname", T2_CLI_LIST, &client->hostnames, "HOST",
       "http, tls: a name of one's own that points to the entry; repeated", 0, 0},
      {"allow-ip", T2_CLI_LIST, &client->allowed, "CIDR", "who of the public may ask; repeated (all)", 0, 0},
      {"basic-auth", T2_CLI_TEXT, &o->basic_auth, "USER:PASSWORD",
       "asked of the public by the entry; other users of this machine see it", 0, 0},
      {"basic-auth-file", T2_CLI_TEXT, &client->password_file, "FILE", "the same from the first line of it",
       0, 0},
      {"sticky-cookie", T2_CLI_TEXT, &o->sticky_cookie, "NAME",
       "http: requests with the same value go to the same client, if it is there", 0, 0},
      {"sticky-header", T2_CLI_TEXT, &o->sticky_header, "NAME", "the same by a header field", 0, 0},
      {"remote-port", T2_CLI_NUMBER, &client->remote_port, "PORT",
       "tcp, udp: the public port asked for (any)", 1, 65535},
      {"uplinks", T2_CLI_TEXT, &client->uplinks, "N|auto",
       "to each entry, 1 to 16; auto: one, and more while they are busy (1)", 0, 0},
      {"workers", T2_CLI_TEXT, &client->workers, "N|auto",
       "threads that serve, each with uplinks of its own; auto: one a processor (1)", 0, 0},
      {"weight", T2_CLI_NUMBER, &client->weight, "N",
       "of each uplink, beside others of the session: 1 to 1000 (100)", 1, T2_CLIENT_WEIGHT_MAX},
      {"uplink-plaintext", T2_CLI_FLAG, &o->uplink_plaintext, NULL,
       "in the clear to entries at http://, where the network encrypts already", 0, 0},
      {"uplink-plaintext-anywhere", T2_CLI_FLAG, &o->uplink_plaintext_anywhere, NULL,
       "the same at addresses that are not of a private network", 0, 0},
  };
  memcpy(table, rows, sizeof(rows));
  return T2_COUNT_OF(rows);
}

static size_t origin_rows(t2_app_client *client, t2_cli_option *table) {
  t2_client_options *o = &client->options;
  const t2_cli_option rows[] = {
      {"route", T2_CLI_LIST, &client->routes, "PREFIX=TARGET",
       "another target for paths below PREFIX; repeated", 0, 0},
      {"origin-ca", T2_CLI_TEXT, &o->origin_ca_file, "FILE", "trusted for https targets (the system's)", 0,
       0},
      {"origin-insecure", T2_CLI_FLAG, &o->origin_insecure, NULL, "https targets are not verified", 0, 0},
      {"host-header", T2_CLI_TEXT, &o->host_header, "HOST", "Host to the origin (as the public sent it)", 0,
       0},
      {"add-header", T2_CLI_LIST, &client->added, "'NAME: VALUE'",
       "to each request, for the public's own; repeated", 0, 0},
      {"remove-header", T2_CLI_LIST, &client->removed, "NAME", "from each request; repeated", 0, 0},
      {"rewrite-prefix", T2_CLI_FLAG, &o->rewrite_prefix, NULL,
       "mend Location and cookie paths below /session/ID", 0, 0},
      {"proxy-protocol", T2_CLI_FLAG, &o->proxy_protocol, NULL,
       "tcp, tls: tell TARGET who connected, by a PROXY protocol v2 header", 0, 0},
      {"connect-timeout", T2_CLI_SECONDS, &o->connect_timeout_ms, "SECONDS", "to the origin (5)", 1, 3600},
      {"response-timeout", T2_CLI_SECONDS, &o->response_timeout_ms, "SECONDS",
       "from the end of a request to the origin's answer (30)", 1, 86400},
      {"health", T2_CLI_TEXT, &o->health, "/PATH|connect",
       "asked of the origin: while that fails, no requests are taken (not asked)", 0, 0},
      {"health-interval", T2_CLI_SECONDS, &o->health_interval_ms, "SECONDS",
       "from one time to the next; 1 while it fails (10)", 1, 3600},
      {"health-timeout", T2_CLI_SECONDS, &o->health_timeout_ms, "SECONDS", "for the answer (5)", 1, 3600},
      {"health-failures", T2_CLI_NUMBER, &client->failures, "N", "in a row, until it is out (3)", 1, 1000},
      {"health-passes", T2_CLI_NUMBER, &client->passes, "N", "in a row, until it is back (2)", 1, 1000},
      {"connect-failures", T2_CLI_NUMBER, &client->connect_failures, "N",
       "connections to the origin that fail in a row, until it is out; 0: never (5)", 0, 1000000},
  };
  memcpy(table, rows, sizeof(rows));
  return T2_COUNT_OF(rows);
}

size_t t2_app_client_table(t2_app_client *client, t2_cli_option table[T2_APP_CLIENT_ROWS]) {
  t2_client_options *o = &client->options;
  t2_client_options_init(o);
  client->weight = o->weight;
  client->failures = o->health_failures;
  client->passes = o->health_passes;
  client->connect_failures = o->connect_failures_max;
  size_t n = session_rows(client, table);
  return n + origin_rows(client, table + n);
}

static void read_uplinks(t2_app *app, t2_app_client *client) {
  uint64_t n = 0;
  t2_client_options *o = &client->options;
  if (strcmp(client->uplinks, "auto") == 0) {
    o->uplinks_max = T2_CLIENT_UPLINKS_MAX;
    return;
  }
  if (t2_str_u64(t2_str_c(client->uplinks), T2_CLIENT_UPLINKS_MAX, &n) || n == 0)
    t2_app_note(app, T2_APP_USAGE, "--uplinks %s: 1 to %d, or auto, is taken", client->uplinks,
                T2_CLIENT_UPLINKS_MAX);
  else
    o->uplinks_min = o->uplinks_max = (uint32_t)n;
}

void t2_app_client_complete(t2_app *app, t2_app_client *client) {
  t2_client_options *o = &client->options;
  o->remote_port = (uint16_t)client->remote_port;
  o->routes = client->routes.items;
  o->route_count = client->routes.n;
  o->add_headers = client->added.items;
  o->add_header_count = client->added.n;
  o->remove_headers = client->removed.items;
  o->remove_header_count = client->removed.n;
  o->allow_ips = client->allowed.items;
  o->allow_ip_count = client->allowed.n;
  o->hostnames = client->hostnames.items;
  o->hostname_count = client->hostnames.n;
  o->weight = client->weight;
  o->health_failures = client->failures;
  o->health_passes = client->passes;
  o->connect_failures_max = client->connect_failures;
  if (client->uplinks) read_uplinks(app, client);
  if (client->workers) o->workers = t2_app_workers(app, client->workers);
  t2_app_file_or_none(app, &o->ca_file, T2_DEV_CA_FILE);
  client->token_is_files = !o->token;
  if (!o->token) t2_app_file_or_none(app, &client->token_file, T2_DEV_TOKEN_FILE);
  t2_app_token(app, &o->token, client->token_file, T2_APP_TOKEN_OPTIONS);
  t2_app_password(app, &o->basic_auth, client->password_file);
}

int t2_app_client_reload(const t2_app_client *given, t2_client *client, char *detail, size_t size) {
  t2_client_options o = given->options;
  char *password = NULL;
  int err = 0;
  if (given->token_is_files) {
    o.token = NULL;
    o.token_file = given->token_file;
  }
  if (given->password_file) {
    err = t2_secret_file_read(NULL, "password", given->password_file, &password, detail, size);
    o.basic_auth = password;
  }
  if (err == 0) err = t2_client_reload(client, &o, detail, size);
  if (password) t2_memzero(password, strlen(password));
  t2_free(NULL, password);
  if (err == 0)
    snprintf(
        detail, size,
        "the files of --token-file, --ca and --basic-auth-file were read again; other options stay until "
        "a restart");
  return err;
}
