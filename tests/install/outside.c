/* The smallest use of each of the three roles, in C and in C++: what has to be there is called, and ends.
 * Prints the version of the library that runs. */
#include <stdio.h>
#include <string.h>
#include <tunnel2/tunnel2.h>

static int ended;

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  (void)user;
  if (event->type == T2_CLIENT_RETRYING && !ended++) t2_client_close(client, NULL, NULL);
}

/* A client that finds nobody at the control plane's address, and is closed then. */
static int use_client(uv_loop_t *loop, const char *ca_file) {
  char detail[256];
  t2_client *client;
  t2_client_options options;
  t2_client_options_init(&options);
  options.server = "https://127.0.0.1:1";
  options.token = "0123456789abcdef";
  options.ca_file = ca_file;
  options.origin = "8000";
  options.log_level = T2_LOG_OFF;
  options.on_event = on_event;
  if (t2_client_new(&client, loop, &options, detail, sizeof(detail))) {
    fprintf(stderr, "%s\n", detail);
    return 1;
  }
  return t2_client_start(client) || uv_run(loop, UV_RUN_DEFAULT) || !ended;
}

int main(int argc, char **argv) {
  uv_loop_t loop;
  t2_control_options control;
  t2_entry_options entry;
  t2_control_options_init(&control);
  t2_entry_options_init(&entry);
  if (strcmp(t2_version(), T2_VERSION) != 0 || !control.size || !entry.size) return 1;
  if (uv_loop_init(&loop) || use_client(&loop, argc > 1 ? argv[1] : NULL)) return 1;
  printf("%s\n", t2_version());
  return uv_loop_close(&loop);
}
