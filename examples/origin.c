/* Being the origin: requests of the public are answered by functions of this program; no port is opened.
 *
 *   ./origin [SERVER [TOKEN-FILE [CA-FILE]]]
 *
 * What is not given is that of a tunneld --dev on this machine. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <tunnel2/tunnel2.h>

static void on_request(t2_request *request, void *user) {
  size_t *bytes = calloc(1, sizeof(*bytes));
  (void)user;
  if (!bytes) t2_response_abort(request, T2_ERR_NOMEM);
  t2_request_set_user(request, bytes);
}

/* The content, as it comes. */
static void on_data(t2_request *request, const uint8_t *bytes, size_t n, void *user) {
  size_t *count = t2_request_user(request);
  (void)bytes;
  (void)user;
  *count += n;
}

/* The answer could as well be given later, or piece by piece. */
static void on_end(t2_request *request, void *user) {
  char text[512];
  size_t *count = t2_request_user(request);
  (void)user;
  int n = snprintf(text, sizeof(text), "%s %.300s with %zu bytes from %s\n", t2_request_method(request),
                   t2_request_path(request), *count, t2_request_remote(request));
  t2_response_send(request, 200, "text/plain", NULL, 0, text, (size_t)n);
}

/* Whatever happened, this is the last of a request. */
static void on_close(t2_request *request, int err, void *user) {
  (void)user;
  if (err) fprintf(stderr, "%s: %s\n", t2_request_path(request), t2_strerror(err));
  free(t2_request_user(request));
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
  uv_signal_t term;
  char detail[256];
  t2_client *client;
  t2_handler handler;
  t2_client_options options;

  signal(SIGPIPE, SIG_IGN); /* libuv writes to sockets that may be closed */
  t2_handler_init(&handler);
  handler.on_request = on_request;
  handler.on_data = on_data;
  handler.on_end = on_end;
  handler.on_close = on_close;
  t2_client_options_init(&options);
  options.server = argc > 1 ? argv[1] : NULL;
  options.token_file = argc > 2 ? argv[2] : NULL;
  options.ca_file = argc > 3 ? argv[3] : NULL;
  options.dev_state_dir = "";
  options.handler = &handler;
  options.on_event = on_event;
  if (t2_client_new(&client, loop, &options, detail, sizeof(detail))) {
    fprintf(stderr, "origin: %s\n", detail);
    return 1;
  }
  uv_signal_init(loop, &term);
  uv_signal_start(&term, on_signal, SIGTERM);
  term.data = client;
  t2_client_start(client);
  return uv_run(loop, UV_RUN_DEFAULT);
}
