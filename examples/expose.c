/* Exposes a local HTTP server: its public addresses are printed, and it runs until it is ended.
 *
 *   cc expose.c $(pkg-config --cflags --libs tunnel2) -o expose
 *   ./expose PORT [SERVER [TOKEN-FILE [CA-FILE]]]
 *
 * What is not given is that of a tunneld --dev on this machine. */
#include <signal.h>
#include <stdio.h>
#include <tunnel2/tunnel2.h>

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  (void)client;
  (void)user;
  for (size_t i = 0; event->type == T2_CLIENT_READY && i < event->url_count; i++)
    printf("%s\n", event->urls[i]);
  if (event->type == T2_CLIENT_RETRYING || event->type == T2_CLIENT_ENDED)
    fprintf(stderr, "%s\n", event->reason);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char detail[256];
  t2_client *client;
  t2_client_options options;
  if (argc < 2 || argc > 5) {
    fprintf(stderr, "usage: expose PORT [SERVER [TOKEN-FILE [CA-FILE]]]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN); /* libuv writes to sockets that may be closed */
  t2_client_options_init(&options);
  options.origin = argv[1];
  options.server = argc > 2 ? argv[2] : NULL;
  options.token_file = argc > 3 ? argv[3] : NULL;
  options.ca_file = argc > 4 ? argv[4] : NULL;
  options.dev_state_dir = "";
  options.on_event = on_event;
  int err = t2_client_new(&client, uv_default_loop(), &options, detail, sizeof(detail));
  if (err) {
    fprintf(stderr, "expose: %s\n", *detail ? detail : t2_strerror(err));
    return 1;
  }
  t2_client_start(client);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
