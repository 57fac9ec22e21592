#include <common/metrics.h>
#include <proxy/metrics.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <tunnel2/version.h>
#include <unistd.h>
#include <uv.h>

#define GAUGE(name, type, member, help)                                                                      \
  { name, NULL, help, T2_METRIC_GAUGE, offsetof(type, member) }
#define COUNTER(name, type, member, help)                                                                    \
  { name, NULL, help, T2_METRIC_COUNTER, offsetof(type, member) }
#define ONE_OF(name, labels, type, member, help)                                                             \
  { name, labels, help, T2_METRIC_COUNTER, offsetof(type, member) }

/* ---- An entry ---- */

#define E(kind, name, member, help) kind("tunnel2_entry_" name, t2_entry_stats, member, help)
#define LIMITED(limit, member)                                                                               \
  ONE_OF("tunnel2_entry_limited_total", "limit=\"" limit "\"", t2_entry_stats, member,                       \
         "What was refused for a limit.")
#define TIMEOUT(timeout, member)                                                                             \
  ONE_OF("tunnel2_entry_timeouts_total", "timeout=\"" timeout "\"", t2_entry_stats, member,                  \
         "What did not come within its time.")
#define BYTES(direction, member)                                                                             \
  ONE_OF("tunnel2_entry_bytes_total", "direction=\"" direction "\"", t2_entry_stats, member,                 \
         "Content passed on to clients of the tunnel, and from them to the public.")

static const t2_metric entry_table[] = {
    E(GAUGE, "connections", connections, "Public connections that are open."),
    E(GAUGE, "tcp_connections", tcp_connections, "Those of TCP and TLS sessions among them."),
    E(GAUGE, "upgrades", upgrades, "Upgraded connections, and those that ask for it."),
    E(GAUGE, "uplinks", uplinks, "Uplinks that are open."),
    E(GAUGE, "sessions", sessions, "Sessions with an uplink or a request."),
    E(GAUGE, "requests_active", exchanges_active, "Requests, connections and flows under way."),
    E(GAUGE, "udp_flows", udp_flows, "Flows of UDP sessions."),
    E(COUNTER, "connections_accepted_total", connections_accepted, "Public connections accepted."),
    E(COUNTER, "tls_handshakes_total", handshakes, "TLS handshakes with the public that were completed."),
    E(COUNTER, "tls_handshakes_failed_total", handshakes_failed, "TLS handshakes that were not."),
    E(COUNTER, "uplink_handshakes_total", uplink_handshakes,
      "TLS handshakes of uplinks that were completed."),
    E(COUNTER, "uplink_handshakes_resumed_total", uplink_handshakes_resumed, "Those that resumed a session."),
    E(COUNTER, "accept_paused_total", accept_paused,
      "Times that accepting waited for a connection to close."),
    E(COUNTER, "accept_starved_total", accept_starved, "Times that a descriptor or memory was lacking."),
    E(COUNTER, "uplinks_opened_total", uplinks_total, "Uplinks opened."),
    E(COUNTER, "requests_total", exchanges, "Requests of the public, connections and flows."),
    E(COUNTER, "requests_failed_total", exchanges_failed, "Those given up before the answer was whole."),
    E(COUNTER, "requests_refused_total", exchanges_refused, "Those that the entry answered itself."),
    BYTES("to_clients", bytes_to_clients),
    BYTES("from_clients", bytes_from_clients),
    LIMITED("address_connections", over_address_connections),
    LIMITED("address_handshakes", over_address_handshakes),
    LIMITED("upgrades", over_upgrades),
    LIMITED("session_exchanges", over_session_exchanges),
    LIMITED("session_requests", over_session_requests),
    LIMITED("session_bytes", over_session_bytes),
    E(COUNTER, "paced_total", paced, "Times that content waited for the rate of its session."),
    TIMEOUT("header", timeouts_header),
    TIMEOUT("body", timeouts_body),
    TIMEOUT("idle", timeouts_idle),
    TIMEOUT("response", timeouts_response),
    E(COUNTER, "udp_datagrams_dropped_total", udp_datagrams_dropped, "Datagrams dropped."),
    E(GAUGE, "requests_waiting", exchanges_waiting, "Requests that wait for an uplink with room."),
    E(COUNTER, "requests_waited_total", exchanges_waited, "Those that had to."),
    E(COUNTER, "requests_retried_total", exchanges_retried, "Those that were given to another uplink."),
    E(COUNTER, "http2_given_up_total", http2_given_up, "HTTP/2 connections ended for floods."),
};

void t2_app_entry_metrics(t2_buf *out, const t2_entry *entry) {
  t2_entry_stats stats = {.size = sizeof(stats)};
  if (!entry) return;
  t2_entry_get_stats(entry, &stats);
  t2_metrics_table(out, entry_table, sizeof(entry_table) / sizeof(entry_table[0]), &stats);
}

/* ---- A control plane ---- */

#define C(kind, name, member, help) kind("tunnel2_control_" name, t2_control_stats, member, help)
#define CHANNELS(of, member)                                                                                 \
  {                                                                                                          \
    "tunnel2_control_channels", "of=\"" of "\"", "Control channels that are open.", T2_METRIC_GAUGE,         \
        offsetof(t2_control_stats, member)                                                                   \
  }

static const t2_metric control_table[] = {
    C(GAUGE, "sessions", sessions, "Sessions whose lease runs."),
    C(GAUGE, "entries", entries, "Entries whose lease runs."),
    CHANNELS("sessions", session_channels),
    CHANNELS("entries", entry_channels),
    C(GAUGE, "connections", connections, "Connections that are open."),
    C(GAUGE, "requests_active", requests_active, "Requests to the API under way; a channel is one."),
    C(GAUGE, "keys", keys, "Public keys that tickets are good by."),
    C(GAUGE, "parked", parked, "Clients of sessions that are parked."),
    C(COUNTER, "parkings_total", parkings, "Times that one was parked."),
    C(COUNTER, "requests_total", requests, "Requests to the API."),
    C(COUNTER, "requests_failed_total", requests_failed, "Those that ended before their answer."),
};

void t2_app_control_metrics(t2_buf *out, const t2_control *control) {
  t2_control_stats stats = {.size = sizeof(stats)};
  if (!control) return;
  t2_control_get_stats(control, &stats);
  t2_metrics_table(out, control_table, sizeof(control_table) / sizeof(control_table[0]), &stats);
}

/* ---- A client ---- */

#define T(kind, name, member, help) kind("tunnel2_client_" name, t2_client_stats, member, help)
#define ORIGIN_BYTES(direction, member)                                                                      \
  ONE_OF("tunnel2_client_bytes_total", "direction=\"" direction "\"", t2_client_stats, member,               \
         "Content passed on to the origin, and from it.")

static const t2_metric client_table[] = {
    T(GAUGE, "uplinks", uplinks, "Uplinks that are up."),
    T(GAUGE, "requests_active", active, "Requests, connections and flows under way."),
    T(COUNTER, "requests_total", requests, "Requests that came down the uplinks."),
    T(COUNTER, "requests_failed_total", requests_failed, "Those given up before the answer was whole."),
    ORIGIN_BYTES("to_origin", bytes_to_origin),
    ORIGIN_BYTES("from_origin", bytes_from_origin),
    T(COUNTER, "udp_datagrams_dropped_total", datagrams_dropped, "Datagrams dropped."),
    T(COUNTER, "http2_given_up_total", http2_given_up, "HTTP/2 connections ended for floods."),
};

void t2_app_client_metrics(t2_buf *out, const t2_client *client) {
  t2_client_stats stats = {.size = sizeof(stats)};
  if (!client) return;
  t2_client_get_stats(client, &stats);
  t2_metrics_table(out, client_table, sizeof(client_table) / sizeof(client_table[0]), &stats);
}

/* ---- The process ---- */

static void gauge(t2_buf *out, const char *name, const char *help, uint64_t value) {
  t2_metrics_value(out, &(t2_metric){name, NULL, help, T2_METRIC_GAUGE, 0}, value);
}

/* /proc/self/statm: pages of the whole, and those in memory. */
static void memory(t2_buf *out) {
  char line[128], *end = NULL;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return;
  bool read = fgets(line, sizeof(line), file) != NULL;
  fclose(file);
  if (!read) return;
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  gauge(out, "process_virtual_memory_bytes", "Virtual memory.", strtoull(line, &end, 10) * page);
  gauge(out, "process_resident_memory_bytes", "Resident memory.", strtoull(end, NULL, 10) * page);
}

static void descriptors(t2_buf *out) {
  struct rlimit limit;
  uv_fs_t listing;
  int n = uv_fs_scandir(NULL, &listing, "/proc/self/fd", 0, NULL);
  uv_fs_req_cleanup(&listing);
  if (n > 0)
    gauge(out, "process_open_fds", "Open descriptors.", (uint64_t)n - 1); /* without the directory's */
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    gauge(out, "process_max_fds", "The most there may be.", (uint64_t)limit.rlim_cur);
}

static uint64_t ms_of(const struct timeval *time) {
  return (uint64_t)time->tv_sec * 1000 + (uint64_t)time->tv_usec / 1000;
}

static void processor(t2_buf *out) {
  struct rusage usage;
  const t2_metric metric = {"process_cpu_seconds_total", NULL, "Processor time.", T2_METRIC_COUNTER, 0};
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    t2_metrics_thousandths(out, &metric, ms_of(&usage.ru_utime) + ms_of(&usage.ru_stime));
}

void t2_app_process_metrics(t2_buf *out) {
  char labels[64];
  snprintf(labels, sizeof(labels), "version=\"%s\"", t2_version());
  t2_metrics_value(out, &(t2_metric){"tunnel2_build_info", labels, "The version.", T2_METRIC_GAUGE, 0}, 1);
  processor(out);
  memory(out);
  descriptors(out);
}
