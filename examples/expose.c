/* Exposes a local HTTP server: expose PORT SERVER TOKEN-FILE CA-FILE. Prints its addresses and runs until it
 * is ended. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

static int read_line(const char *path, char *line, int size) {
  FILE *file = fopen(path, "r");
  int found = file && fgets(line, size, file);
  if (file) fclose(file);
  line[found ? strcspn(line, "\n") : 0] = '\0';
  return found;
}

int main(int argc, char **argv) {
  char token[256], detail[256];
  t2_client *client;
  t2_client_options options;
  if (argc != 5 || !read_line(argv[3], token, sizeof(token))) {
    fprintf(stderr, "usage: expose PORT SERVER TOKEN-FILE CA-FILE\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN); /* libuv writes to sockets that may be closed */
  t2_client_options_init(&options);
  options.origin = argv[1];
  options.server = argv[2];
  options.token = token;
  options.ca_file = argv[4];
  options.on_event = on_event;
  int err = t2_client_new(&client, uv_default_loop(), &options, detail, sizeof(detail));
  if (err) {
    fprintf(stderr, "expose: %s\n", *detail ? detail : t2_strerror(err));
    return 1;
  }
  t2_client_start(client);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
