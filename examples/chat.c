/* A chat: a page, and a WebSocket that passes what one says on to all. All of it is in this process.
 *
 *   ./chat [SERVER [TOKEN-FILE [CA-FILE]]]     and open the address that it prints in a browser or two */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tunnel2/tunnel2.h>

#define PEOPLE 100

static const char page[] =
    "<!doctype html><meta charset=utf-8><title>Chat</title><h1>Chat</h1><ul id=said></ul>"
    "<form><input id=line autofocus placeholder='say something'></form><script>"
    "const ws = new WebSocket(location.href.replace(/^http/, 'ws'));"
    "ws.onmessage = e => { const li = document.createElement('li'); li.textContent = e.data; "
    "said.append(li); };"
    "document.forms[0].onsubmit = e => { e.preventDefault(); ws.send(line.value); line.value = ''; };"
    "</script>";

typedef struct room {
  t2_websocket *people[PEOPLE];
  size_t count;
} room;

/* Who reads so slowly that a megabyte waits misses a line. */
static void on_message(t2_websocket *ws, bool text, const uint8_t *bytes, size_t n, void *user) {
  room *r = user;
  (void)ws;
  for (size_t i = 0; text && i < r->count; i++)
    t2_websocket_send(r->people[i], true, bytes, n);
}

static void on_close(t2_websocket *ws, unsigned code, const char *reason, void *user) {
  room *r = user;
  (void)reason;
  for (size_t i = 0; i < r->count; i++)
    if (r->people[i] == ws) r->people[i] = r->people[--r->count];
  fprintf(stderr, "one left (%u), %zu stay\n", code, r->count);
}

static void on_request(t2_request *request, void *user) {
  room *r = user;
  t2_websocket_options options;
  t2_websocket_options_init(&options);
  options.on_message = on_message;
  options.on_close = on_close;
  options.message_max = 4096;
  if (!t2_websocket_asked(request))
    t2_response_send(request, 200, "text/html", NULL, 0, page, sizeof(page) - 1);
  else if (r->count == PEOPLE)
    t2_response_send(request, 503, "text/plain", NULL, 0, "full\n", 5);
  else if (t2_websocket_accept(&r->people[r->count], request, &options, r) == 0)
    r->count++;
  else
    t2_response_abort(request, T2_ERR_UNAVAILABLE);
}

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  (void)client;
  (void)user;
  if (event->type == T2_CLIENT_READY) printf("%s\n", event->urls[0]);
  if (event->type == T2_CLIENT_ENDED && event->error) fprintf(stderr, "ended: %s\n", event->reason);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static room everybody;
  char detail[256];
  t2_client *client;
  t2_handler handler;
  t2_client_options options;

  signal(SIGPIPE, SIG_IGN);
  t2_handler_init(&handler);
  handler.on_request = on_request;
  t2_client_options_init(&options);
  options.server = argc > 1 ? argv[1] : NULL;
  options.token_file = argc > 2 ? argv[2] : NULL;
  options.ca_file = argc > 3 ? argv[3] : NULL;
  options.dev_state_dir = "";
  options.handler = &handler;
  options.handler_user = &everybody;
  options.on_event = on_event;
  if (t2_client_new(&client, uv_default_loop(), &options, detail, sizeof(detail))) {
    fprintf(stderr, "chat: %s\n", detail);
    return 1;
  }
  t2_client_start(client);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
