#include <entry/state.h>
#include <stdio.h>

#define LINGER_MS      2000 /* for a client to read why it is turned away */
#define HELLO_GRACE_MS 5000 /* for hellos that are under way when the entry drains */

enum { ACCESS_DENIED = 49, INTERNAL_ERROR = 80, UNRECOGNIZED_NAME = 112 }; /* RFC 8446, 6.2 */

/* ---- Turning away ---- */

/* A fatal alert, before anything is agreed on, and the end. */
static void alert(t2_conn *conn, uint8_t description) {
  const uint8_t record[] = {21, 3, 3, 0, 2, 2, description};
  (void)t2_buf_append(t2_conn_out(conn), record, sizeof(record));
  t2_conn_finish(conn, LINGER_MS); /* which sees an append that failed */
}

/* What strangers try is no news. */
static void log_refusal(const t2_entry *entry, const t2_conn *conn, t2_str server_name, const char *why) {
  t2_log_at(&entry->loop->log, DEBUG, "entry", "a TLS connection from %.*s for \"%.*s\" is refused: %s",
            T2_STR_ARG(t2_conn_peer(conn)), T2_STR_ARG(server_name), why);
}

static uint8_t alert_of(int err) {
  return err == T2_ERR_FORBIDDEN ? ACCESS_DENIED : INTERNAL_ERROR;
}

/* ---- Passing on ---- */

static t2_entry_session *session_of(t2_entry *entry, t2_str server_name) {
  t2_entry_session *session =
      t2_route_find_name(server_name, &entry->site, &entry->uplinks.sessions, t2_loop_now(entry->loop));
  return session && session->kind == T2_KIND_TLS ? session : NULL;
}

static void pass_on(t2_entry *entry, t2_entry_session *session, t2_conn *conn, t2_str server_name) {
  char authority[T2_HOSTNAME_MAX + 8];
  snprintf(authority, sizeof(authority), "%.*s:%u", T2_STR_ARG(server_name),
           (unsigned)entry->uplinks.tls_port);
  const char *why;
  int err = t2_entry_connect(entry, session, conn, authority, &why);
  if (err == 0) return;
  log_refusal(entry, conn, server_name, why);
  alert(conn, alert_of(err));
}

static void on_passed(t2_conn *conn, int err, t2_str server_name, void *user) {
  t2_entry *entry = user;
  t2_entry_session *session = err ? NULL : session_of(entry, server_name);
  if (session) {
    pass_on(entry, session, conn, server_name);
    return;
  }
  log_refusal(entry, conn, server_name,
              err ? "it does not begin with a TLS client's hello" : "no session has this name");
  if (err)
    t2_conn_finish(conn, LINGER_MS);
  else
    alert(conn, UNRECOGNIZED_NAME);
}

/* ---- Where ---- */

static bool wants_all(int err, t2_str server_name, void *user) {
  (void)err, (void)server_name, (void)user;
  return true;
}

static bool wants_names(int err, t2_str server_name, void *user) {
  return err == 0 && session_of(user, server_name) != NULL;
}

static const t2_pass_ops own_port = {wants_all, on_passed}, shared_port = {wants_names, on_passed};

static void no_other(t2_listener *listener, t2_conn *conn, void *user) {
  (void)listener, (void)user;
  t2_conn_close(conn, T2_ERR_STATE);
}

bool t2_entry_passthrough_shares(const t2_entry_options *o) {
  return o->tls_address && o->public_tls_address && strcmp(o->tls_address, o->public_tls_address) == 0;
}

void t2_entry_share_passthrough(t2_entry *entry, t2_listener_options *options) {
  if (!t2_entry_passthrough_shares(&entry->options)) return;
  options->pass = &shared_port;
  options->pass_user = entry;
  options->hello_ms = entry->options.header_timeout_ms;
}

int t2_entry_open_passthrough(t2_entry *entry, char *detail, size_t size) {
  const t2_entry_options *o = &entry->options;
  const t2_listener_options options = {.address = o->tls_address,
                                       .connections_max = o->connections_max,
                                       .proxy_header_ms = o->accept_proxy_protocol ? o->header_timeout_ms : 0,
                                       .pass = &own_port,
                                       .pass_user = entry,
                                       .hello_ms = o->header_timeout_ms,
                                       .accepts = &entry->accepts,
                                       .held = o->hold_public};
  if (!o->tls_address || t2_entry_passthrough_shares(o)) return 0;
  int err = t2_listener_new(&entry->passthrough, entry->loop, &options, no_other, entry, detail, size);
  if (err == 0) entry->servers_open++;
  return err;
}

static void on_listener_close(void *user) {
  t2_entry *entry = user;
  entry->servers_open--;
  t2_entry_settled(entry);
}

static void on_opened(void *user) {
  t2_entry *entry = user;
  entry->passthrough_opening = false;
  t2_entry_public_gone(entry);
}

void t2_entry_drain_passthrough(t2_entry *entry) {
  if (!entry->passthrough) return;
  entry->passthrough_opening = true;
  t2_listener_stop(entry->passthrough, HELLO_GRACE_MS, on_opened, entry);
}

void t2_entry_close_passthrough(t2_entry *entry) {
  t2_listener *listener = entry->passthrough;
  entry->passthrough = NULL;
  entry->passthrough_opening = false;
  if (listener) t2_listener_close(listener, on_listener_close, entry);
}
