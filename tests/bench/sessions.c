/* Many sessions of one process, each with a client of its own on one loop: what idle ones cost, and how they
 * come back. `sessions N SERVER STATE_DIR`: prints "up COUNT" each time that all have an uplink, and ends at
 * SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tunnel2/client.h>
#include <tunnel2/request.h>

#define AT_ONCE 50 /* that register at the start */

typedef struct many {
  t2_client **clients;
  bool *up;
  size_t n, begun, up_count;
  t2_client_options options;
  uv_loop_t loop;
} many;

static many all;

static void begin_one(void) {
  char detail[256], name[32];
  if (all.begun == all.n) return;
  size_t i = all.begun++;
  snprintf(name, sizeof(name), "idle-%zu", i);
  all.options.session = name;
  all.options.user = (void *)i;
  if (t2_client_new(&all.clients[i], &all.loop, &all.options, detail, sizeof(detail)) ||
      t2_client_start(all.clients[i])) {
    fprintf(stderr, "%s: %s\n", name, detail);
    exit(1);
  }
}

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  size_t i = (size_t)user;
  (void)client;
  if (event->type == T2_CLIENT_CONNECTED && !all.up[i]) {
    all.up[i] = true;
    if (++all.up_count == all.n) printf("up %zu\n", all.n), fflush(stdout);
    begin_one();
  } else if (event->type == T2_CLIENT_LOST && event->entry && all.up[i]) {
    all.up[i] = false;
    if (all.up_count-- == all.n) printf("lost\n"), fflush(stdout);
  } else if (event->type == T2_CLIENT_ENDED) {
    fprintf(stderr, "ended: %s\n", event->reason ? event->reason : "");
    exit(1);
  }
}

static void on_request(t2_request *request, void *user) {
  (void)user;
  (void)t2_response_send(request, 200, "text/plain", NULL, 0, "ok", 2);
}

int main(int argc, char **argv) {
  t2_handler handler;
  if (argc != 4) return 2;
  signal(SIGPIPE, SIG_IGN);
  all.n = strtoul(argv[1], NULL, 10);
  all.clients = calloc(all.n, sizeof(*all.clients));
  all.up = calloc(all.n, sizeof(*all.up));
  uv_loop_init(&all.loop);
  t2_handler_init(&handler);
  handler.on_request = on_request;
  t2_client_options_init(&all.options);
  all.options.server = argv[2];
  all.options.dev_state_dir = argv[3];
  all.options.handler = &handler;
  all.options.on_event = on_event;
  for (size_t i = 0; i < AT_ONCE; i++)
    begin_one();
  return uv_run(&all.loop, UV_RUN_DEFAULT);
}
