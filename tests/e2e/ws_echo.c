/* A WebSocket server in process for tests: ws_echo SERVER TOKEN CA. Echoes messages with back-pressure both
 * ways; "close CODE REASON" closes, "big N" sends N bytes, "flood" sends 64 KiB at a time until T2_ERR_AGAIN
 * and then says how many it were, "ping" pings and says when the pong came, "cut" cuts. An event a line, as
 * JSON. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tunnel2/tunnel2.h>

#define FLOOD 65536

/* What the peer does not read now. */
typedef struct held {
  bool text;
  size_t n;
  char bytes[];
} held;

static held *hold(bool text, const void *bytes, size_t n) {
  held *h = malloc(sizeof(*h) + n);
  h->text = text;
  h->n = n;
  memcpy(h->bytes, bytes, n);
  return h;
}

static void echo(t2_websocket *ws, bool text, const void *bytes, size_t n) {
  if (t2_websocket_send(ws, text, bytes, n) != T2_ERR_AGAIN) return;
  t2_request_set_user(t2_websocket_request(ws), hold(text, bytes, n));
  t2_websocket_pause(ws, true);
  printf("{\"event\":\"again\",\"waiting\":%zu}\n", t2_websocket_waiting(ws));
}

static void on_writable(t2_websocket *ws, void *user) {
  t2_request *request = t2_websocket_request(ws);
  held *h = t2_request_user(request);
  (void)user;
  printf("{\"event\":\"writable\"}\n");
  if (!h) return;
  t2_request_set_user(request, NULL);
  t2_websocket_pause(ws, false);
  echo(ws, h->text, h->bytes, h->n);
  free(h);
}

static void send_big(t2_websocket *ws, size_t n) {
  char *bytes = malloc(n);
  memset(bytes, 'b', n);
  t2_websocket_send(ws, false, bytes, n);
  free(bytes);
}

static void flood(t2_websocket *ws) {
  static const char bytes[FLOOD];
  unsigned count = 0;
  while (t2_websocket_send(ws, false, bytes, sizeof(bytes)) == 0)
    count++;
  printf("{\"event\":\"flooded\",\"count\":%u,\"waiting\":%zu}\n", count, t2_websocket_waiting(ws));
}

/* "CODE REASON" */
static void close_as_told(t2_websocket *ws, const char *command) {
  char *reason;
  unsigned code = (unsigned)strtoul(command, &reason, 10);
  int err = t2_websocket_close(ws, code, reason + (*reason == ' '));
  printf("{\"event\":\"closing\",\"result\":%d}\n", err);
}

static void on_message(t2_websocket *ws, bool text, const uint8_t *bytes, size_t n, void *user) {
  char command[200];
  (void)user;
  snprintf(command, sizeof(command), "%.*s", n < 150 ? (int)n : 0, (const char *)bytes);
  if (!text)
    echo(ws, text, bytes, n);
  else if (strncmp(command, "close ", 6) == 0)
    close_as_told(ws, command + 6);
  else if (strncmp(command, "big ", 4) == 0)
    send_big(ws, strtoul(command + 4, NULL, 10));
  else if (strcmp(command, "flood") == 0)
    flood(ws);
  else if (strcmp(command, "ping") == 0)
    t2_websocket_ping(ws, "from the origin", 15);
  else if (strcmp(command, "cut") == 0)
    t2_response_abort(t2_websocket_request(ws), T2_ERR_CANCELLED);
  else
    echo(ws, text, bytes, n);
}

static void on_pong(t2_websocket *ws, const uint8_t *bytes, size_t n, void *user) {
  char text[200];
  int length = snprintf(text, sizeof(text), "pong %.*s", (int)n, (const char *)bytes);
  (void)user;
  t2_websocket_send(ws, true, text, (size_t)length);
}

static void on_close(t2_websocket *ws, unsigned code, const char *reason, void *user) {
  (void)user;
  free(t2_request_user(t2_websocket_request(ws)));
  printf("{\"event\":\"closed\",\"path\":\"%s\",\"code\":%u,\"reason\":\"%s\"}\n",
         t2_request_path(t2_websocket_request(ws)), code, reason);
}

static void on_request(t2_request *request, void *user) {
  static const char *const protocols[] = {"chat.v2", "chat"};
  static const t2_http_field fields[] = {{"X-Mine", "yes"}};
  t2_websocket_options options;
  t2_websocket *ws;
  (void)user;
  t2_websocket_options_init(&options);
  options.on_message = on_message;
  options.on_pong = on_pong;
  options.on_writable = on_writable;
  options.on_close = on_close;
  options.message_max = 2 * 1024 * 1024;
  options.queue_max = 256 * 1024;
  options.close_timeout_ms = 1000;
  options.protocols = protocols;
  options.protocol_count = 2;
  options.fields = fields;
  options.field_count = 1;
  if (t2_websocket_accept(&ws, request, &options, NULL))
    t2_response_send(request, 426, "text/plain", NULL, 0, "a WebSocket is served here\n", 27);
}

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  (void)client;
  (void)user;
  if (event->type == T2_CLIENT_READY) printf("{\"event\":\"ready\",\"session\":\"%s\"}\n", event->session);
}

static void on_signal(uv_signal_t *signal, int number) {
  (void)number;
  t2_client_close(signal->data, NULL, NULL);
  uv_close((uv_handle_t *)signal, NULL);
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_signal_t term;
  t2_client *client;
  t2_handler handler;
  t2_client_options options;
  char detail[256];
  if (argc != 4) return 2;
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
  t2_handler_init(&handler);
  handler.on_request = on_request;
  t2_client_options_init(&options);
  options.server = argv[1];
  options.token = argv[2];
  options.ca_file = argv[3];
  options.session = "sockets";
  options.handler = &handler;
  options.on_event = on_event;
  if (t2_client_new(&client, loop, &options, detail, sizeof(detail))) {
    fprintf(stderr, "%s\n", detail);
    return 1;
  }
  uv_signal_init(loop, &term);
  term.data = client;
  uv_signal_start(&term, on_signal, SIGTERM);
  t2_client_start(client);
  uv_run(loop, UV_RUN_DEFAULT);
  return uv_loop_close(loop) ? 1 : 0;
}
