/* Many sessions of one process, each with a client of its own on one loop: what idle ones cost, and how they
 * come back. `sessions N SERVER STATE_DIR [NAME]`: prints "lost" when the first of all loses its uplink,
 * "first NAME-I" for the first that has it again, and "up COUNT Q1 Q2 Q3" each time that all have one: when a
 * quarter, half and three quarters had, in milliseconds behind the first. Ends at SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tunnel2/client.h>
#include <tunnel2/request.h>

#define AT_ONCE 50 /* that register at the start */

typedef struct many {
  t2_client **clients;
  bool *up;
  size_t n, begun, up_count;
  const char *name;
  uint64_t first_ms, quarters[3];
  t2_client_options options;
  uv_loop_t loop;
} many;

static many all;

static void begin_one(void) {
  char detail[256], name[64];
  if (all.begun == all.n) return;
  size_t i = all.begun++;
  snprintf(name, sizeof(name), "%s-%zu", all.name, i);
  all.options.session = name;
  all.options.user = (void *)i;
  if (t2_client_new(&all.clients[i], &all.loop, &all.options, detail, sizeof(detail)) ||
      t2_client_start(all.clients[i])) {
    fprintf(stderr, "%s: %s\n", name, detail);
    exit(1);
  }
}

static void note_up(size_t i) {
  uint64_t now = uv_now(&all.loop);
  if (all.up_count == 0) {
    all.first_ms = now;
    printf("first %s-%zu\n", all.name, i);
  }
  all.up[i] = true;
  all.up_count++;
  for (size_t q = 0; q < 3; q++)
    if (all.up_count == (q + 1) * all.n / 4) all.quarters[q] = now - all.first_ms;
  if (all.up_count == all.n)
    printf("up %zu %lu %lu %lu\n", all.n, (unsigned long)all.quarters[0], (unsigned long)all.quarters[1],
           (unsigned long)all.quarters[2]);
  fflush(stdout);
}

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  size_t i = (size_t)user;
  (void)client;
  if (event->type == T2_CLIENT_CONNECTED && !all.up[i]) {
    note_up(i);
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

static void raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  t2_handler handler;
  if (argc < 4 || argc > 5) return 2;
  raise_descriptors();
  all.name = argc == 5 ? argv[4] : "idle";
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
