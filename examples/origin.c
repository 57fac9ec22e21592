/* Being the origin: requests from the public are answered by a function of this program; no port is opened.
 *
 *   cc origin.c $(pkg-config --cflags --libs tunnel2) -o origin
 *   ./origin https://127.0.0.1:12002 TOKEN [CA_FILE] */
#include <signal.h>
#include <stdio.h>
#include <tunnel2/tunnel2.h>

static void on_request(t2_request *request, void *user) {
  unsigned *count = user;
  char text[512];
  int n = snprintf(text, sizeof(text), "%s %s from %s: request %u\n", t2_request_method(request),
                   t2_request_path(request), t2_request_remote(request), ++*count);
  if (n >= (int)sizeof(text)) n = sizeof(text) - 1;
  t2_response_send(request, 200, "text/plain", NULL, 0, text, (size_t)n);
}

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  (void)client;
  (void)user;
  if (event->type == T2_CLIENT_READY) printf("%s\n", event->urls[0]);
  if (event->type == T2_CLIENT_ENDED && event->error) fprintf(stderr, "ended: %s\n", event->reason);
  fflush(stdout);
}

static void on_signal(uv_signal_t *signal, int number) {
  (void)number;
  t2_client_close(signal->data, NULL, NULL);
  uv_close((uv_handle_t *)signal, NULL);
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_signal_t interrupt;
  unsigned count = 0;
  char detail[256];
  t2_client *client;
  t2_handler handler;
  t2_client_options options;

  signal(SIGPIPE, SIG_IGN);
  t2_handler_init(&handler);
  handler.on_request = on_request;
  t2_client_options_init(&options);
  options.server = argc > 1 ? argv[1] : options.server;
  options.token = argc > 2 ? argv[2] : NULL;
  options.ca_file = argc > 3 ? argv[3] : NULL;
  options.handler = &handler;
  options.handler_user = &count;
  options.on_event = on_event;
  if (t2_client_new(&client, loop, &options, detail, sizeof(detail))) {
    fprintf(stderr, "origin: %s\n", detail);
    return 1;
  }
  uv_signal_init(loop, &interrupt);
  uv_signal_start(&interrupt, on_signal, SIGINT);
  interrupt.data = client;
  t2_client_start(client);
  return uv_run(loop, UV_RUN_DEFAULT);
}
