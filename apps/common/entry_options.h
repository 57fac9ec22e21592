/* The options of an entry, which proxyentry and tunneld --entry have in common. */
#ifndef T2_COMMON_ENTRY_OPTIONS_H
#define T2_COMMON_ENTRY_OPTIONS_H

#include <common/dev.h>
#include <tunnel2/entry.h>

#define T2_APP_ENTRY_ROWS 56 /* of the table, at most */

typedef struct t2_app_entry_limits {
  unsigned connections, upgrades, uplinks, exchanges, requests, bytes_up, bytes_down, address, handshakes,
      body_rate;
} t2_app_entry_limits;

typedef struct t2_app_entry {
  t2_entry_options options;
  const char *token_file;
  unsigned udp_flows, h2_streams, h2_window, h2_head, h2_factor, queue;
  t2_app_entry_limits limits;
  const char *tcp_ports, *udp_ports; /* "A-B" */
  const char *workers;               /* "N" or "auto" */
  t2_cli_list public_certs;          /* "CERT[,KEY]" */
  t2_cli_list proxies;               /* trusted: "10.0.0.0/8" */
  t2_entry_certificate certificates[T2_CLI_LIST_MAX];
  const char *limits_file; /* limits_file.h; NULL: there is none */
  t2_entry_options base;   /* options without that file's: numbers alone are of use */
} t2_app_entry;

/* Sets the defaults and writes the rows to table: how many. What `entry` holds outlives the table. */
size_t t2_app_entry_table(t2_app_entry *entry, t2_cli_option table[T2_APP_ENTRY_ROWS]);
/* The numbers of the table's rows, from the options they are for, and to them. */
void t2_app_entry_seed(t2_app_entry *entry, const t2_entry_options *from);
void t2_app_entry_numbers(t2_entry_options *to, const t2_app_entry *entry);
/* After the command line was read, as the calls of dev.h: completes the options, but for cert_file, key_file
 * and the token. What is wrong is noted. */
void t2_app_entry_complete(t2_app *app, t2_app_entry *entry);
/* The command line of a program without an entry: the first of its rows from `from` on, which are those of
 * t2_app_entry_table, that was given is noted as an error. */
void t2_app_entry_unused(t2_app *app, const t2_cli *cli, size_t from);
/* Makes the entry and starts it, with the app's log and state directory. 0, or the status to exit with, when
 * it has been said why. */
int t2_app_entry_start(t2_app *app, t2_app_entry *given, t2_entry_event_cb on_event, void *user,
                       t2_entry **entry);
/* For a person: where it listens. */
void t2_app_entry_say(t2_app *app, const t2_entry *entry);

#endif
