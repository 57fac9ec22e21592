/* The options of tunnelc. */
#ifndef T2_COMMON_CLIENT_OPTIONS_H
#define T2_COMMON_CLIENT_OPTIONS_H

#include <common/dev.h>
#include <tunnel2/client.h>

#define T2_APP_CLIENT_ROWS 40 /* of the table, at most */

typedef struct t2_app_client {
  t2_client_options options;
  const char *token_file, *password_file;
  t2_cli_list routes, added, removed, allowed, hostnames;
  unsigned remote_port, weight, failures, passes, connect_failures;
  const char *uplinks; /* "N" or "auto" */
  const char *workers; /* likewise */
  bool token_is_files; /* options.token is of the file, which may have another one later */
} t2_app_client;

/* Sets the defaults and writes the rows to table: how many. What `client` holds outlives the table. */
size_t t2_app_client_table(t2_app_client *client, t2_cli_option table[T2_APP_CLIENT_ROWS]);
/* After the command line was read, as the calls of dev.h: completes the options. What is wrong is noted. */
void t2_app_client_complete(t2_app *app, t2_app_client *client);
/* SIGHUP: the files of the token, of user and password, and of --ca. As t2_client_reload; otherwise detail
 * says what was read. */
int t2_app_client_reload(const t2_app_client *given, t2_client *client, char *detail, size_t detail_size);

#endif
