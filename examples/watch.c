/* Registers a session and watches what becomes of it: an event a line, until it is ended.
 *
 *   ./watch PORT [SERVER [TOKEN-FILE [CA-FILE]]]
 *
 * Stop and start the server meanwhile: the client comes back by itself. */
#include <signal.h>
#include <stdio.h>
#include <tunnel2/tunnel2.h>

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  const char *with = event->entry ? event->entry : "the control plane";
  (void)client;
  (void)user;
  switch (event->type) {
  case T2_CLIENT_REGISTERED:
    printf("REGISTERED %s for %u s\n", event->session, event->lease_seconds);
    break;
  case T2_CLIENT_CONNECTED:
    printf("CONNECTED %s\n", with);
    break;
  case T2_CLIENT_READY:
    for (size_t i = 0; i < event->url_count; i++)
      printf("READY %s\n", event->urls[i]);
    break;
  case T2_CLIENT_LOST:
    printf("LOST %s: %s\n", with, event->reason);
    break;
  case T2_CLIENT_RETRYING:
    printf("RETRYING %s in %u ms: %s\n", with, (unsigned)event->delay_ms, event->reason);
    break;
  case T2_CLIENT_DRAINING:
    printf("DRAINING: %s\n", event->reason);
    break;
  case T2_CLIENT_ENDED:
    printf("ENDED: %s\n", event->reason);
    t2_client_close(client, NULL, NULL);
    break;
  case T2_CLIENT_UNHEALTHY:
    printf("UNHEALTHY: %s\n", event->reason);
    break;
  case T2_CLIENT_HEALTHY:
    printf("HEALTHY: %s\n", event->reason);
    break;
  }
  fflush(stdout);
}

/* Requests under way may finish; then ENDED. */
static void on_signal(uv_signal_t *signal, int number) {
  (void)number;
  t2_client_drain(signal->data, 10000);
  uv_close((uv_handle_t *)signal, NULL);
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_signal_t term;
  char detail[256];
  t2_client *client;
  t2_client_options options;
  if (argc < 2 || argc > 5) {
    fprintf(stderr, "usage: watch PORT [SERVER [TOKEN-FILE [CA-FILE]]]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  t2_client_options_init(&options);
  options.origin = argv[1];
  options.server = argc > 2 ? argv[2] : NULL;
  options.token_file = argc > 3 ? argv[3] : NULL;
  options.ca_file = argc > 4 ? argv[4] : NULL;
  options.dev_state_dir = "";
  options.on_event = on_event;
  if (t2_client_new(&client, loop, &options, detail, sizeof(detail))) {
    fprintf(stderr, "watch: %s\n", detail);
    return 1;
  }
  uv_signal_init(loop, &term);
  uv_unref((uv_handle_t *)&term); /* it alone keeps nothing running */
  uv_signal_start(&term, on_signal, SIGTERM);
  term.data = client;
  t2_client_start(client);
  return uv_run(loop, UV_RUN_DEFAULT);
}
