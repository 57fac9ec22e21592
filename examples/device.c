/* A client for a device: the library's memory is an arena of a fixed size, so that nothing grows, whatever
 * comes. A request is answered with what has been used of it, and the process's memory.
 *
 *   ./device [SERVER [TOKEN-FILE [CA-FILE]]] */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tunnel2/tunnel2.h>

#define ARENA ((size_t)1024 * 1024)
#define HEAD  16 /* in front of a block: its size, a power of two; what follows stays aligned */

static _Alignas(16) unsigned char arena[ARENA];
static size_t used;     /* the high-water mark */
static void *spare[24]; /* released blocks by log2 of their size, each with the next one in it */

static unsigned *log2_of(void *ptr) {
  return (unsigned *)(void *)((unsigned char *)ptr - HEAD);
}

static void *take(size_t size, void *user) {
  unsigned log2 = 5;
  (void)user;
  while (log2 < 23 && ((size_t)1 << log2) - HEAD < size)
    log2++;
  void *ptr = spare[log2];
  if (ptr) {
    spare[log2] = *(void **)ptr;
    return ptr;
  }
  if (((size_t)1 << log2) > ARENA - used) return NULL; /* the library says so, and goes on */
  ptr = arena + used + HEAD;
  used += (size_t)1 << log2;
  *log2_of(ptr) = log2;
  return ptr;
}

static void give_back(void *ptr, void *user) {
  (void)user;
  if (!ptr) return;
  *(void **)ptr = spare[*log2_of(ptr)];
  spare[*log2_of(ptr)] = ptr;
}

static void *resize(void *ptr, size_t size, void *user) {
  size_t room = ptr ? ((size_t)1 << *log2_of(ptr)) - HEAD : 0;
  void *moved = size <= room ? ptr : take(size, user);
  if (!moved || moved == ptr) return moved;
  if (ptr) memcpy(moved, ptr, room);
  give_back(ptr, user);
  return moved;
}

static void on_request(t2_request *request, void *user) {
  size_t rss = 0;
  char text[100];
  (void)user;
  uv_resident_set_memory(&rss);
  int n = snprintf(text, sizeof(text), "arena %zu of %zu KiB, rss %zu KiB\n", used / 1024, ARENA / 1024,
                   rss / 1024);
  t2_response_send(request, 200, "text/plain", NULL, 0, text, (size_t)n);
}

static void on_event(t2_client *client, const t2_client_event *event, void *user) {
  (void)client;
  (void)user;
  if (event->type == T2_CLIENT_READY) printf("%s\n", event->urls[0]);
  fflush(stdout);
}

int main(int argc, char **argv) {
  t2_allocator hook = {take, resize, give_back, NULL};
  char detail[256];
  t2_client *client;
  t2_handler handler;
  t2_client_options options;

  signal(SIGPIPE, SIG_IGN);
  t2_handler_init(&handler);
  handler.on_request = on_request;
  t2_client_options_init(&options);
  options.allocator = &hook;
  options.server = argc > 1 ? argv[1] : NULL;
  options.token_file = argc > 2 ? argv[2] : NULL;
  options.ca_file = argc > 3 ? argv[3] : NULL;
  options.dev_state_dir = "";
  options.concurrent_max = 8; /* at once; the entry answers 503 to more */
  options.handler = &handler;
  options.on_event = on_event;
  if (t2_client_new(&client, uv_default_loop(), &options, detail, sizeof(detail))) {
    fprintf(stderr, "device: %s\n", detail);
    return 1;
  }
  t2_client_start(client);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
