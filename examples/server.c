/* A server of one's own: control plane and entry in this process, on this loop, beside whatever else it does.
 *
 *   ./server [PUBLIC [UPLINK [CONTROL]]]     addresses; 127.0.0.1:12000, :12001 and :12002
 *
 * It is for development: certificates and the token are those of a directory that is made for it. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <tunnel2/tunnel2.h>

typedef struct server {
  uv_loop_t *loop;
  uv_signal_t term;
  t2_control *control;
  t2_entry *entry;
} server;

/* The certificates and the token. */
typedef struct files {
  char cert[PATH_MAX], key[PATH_MAX], ca[PATH_MAX], token[PATH_MAX], tokens[PATH_MAX], dir[PATH_MAX];
} files;

static int find_files(files *f, char *detail, size_t size) {
  int err = t2_dev_state_make("", detail, size);
  if (err) return err;
  t2_dev_state_path("", T2_DEV_CERT_FILE, f->cert, sizeof(f->cert));
  t2_dev_state_path("", T2_DEV_KEY_FILE, f->key, sizeof(f->key));
  t2_dev_state_path("", T2_DEV_CA_FILE, f->ca, sizeof(f->ca));
  t2_dev_state_path("", T2_DEV_TOKEN_FILE, f->token, sizeof(f->token));
  t2_dev_state_path("", T2_DEV_TOKENS_FILE, f->tokens, sizeof(f->tokens));
  return t2_dev_state_path("", NULL, f->dir, sizeof(f->dir));
}

static int open_control(server *s, const files *f, const char *address, char *detail, size_t size) {
  t2_control_options options;
  t2_control_options_init(&options);
  if (address) options.address = address;
  options.cert_file = f->cert;
  options.key_file = f->key;
  options.tokens_file = f->tokens;
  options.state_dir = f->dir;
  int err = t2_control_new(&s->control, s->loop, &options, detail, size);
  return err ? err : t2_control_start(s->control);
}

static int open_entry(server *s, const files *f, char **argv, int argc, char *detail, size_t size) {
  char control[128];
  t2_entry_options options;
  t2_entry_options_init(&options);
  snprintf(control, sizeof(control), "https://%s", t2_control_address(s->control));
  if (argc > 1) options.public_address = argv[1];
  if (argc > 2) options.uplink_address = argv[2];
  options.cert_file = f->cert;
  options.key_file = f->key;
  options.ca_file = f->ca;
  options.token_file = f->token;
  options.control = control;
  options.state_dir = f->dir;
  int err = t2_entry_new(&s->entry, s->loop, &options, detail, size);
  return err ? err : t2_entry_start(s->entry);
}

static void on_signal(uv_signal_t *signal, int number) {
  server *s = signal->data;
  (void)number;
  t2_entry_close(s->entry, NULL, NULL); /* t2_entry_drain would let requests finish first */
  t2_control_close(s->control, NULL, NULL);
  uv_close((uv_handle_t *)signal, NULL);
}

int main(int argc, char **argv) {
  static files f;
  server s = {.loop = uv_default_loop()};
  char detail[256] = "";

  signal(SIGPIPE, SIG_IGN);
  int err = find_files(&f, detail, sizeof(detail));
  if (err == 0) err = open_control(&s, &f, argc > 3 ? argv[3] : NULL, detail, sizeof(detail));
  if (err == 0) err = open_entry(&s, &f, argv, argc, detail, sizeof(detail));
  if (err) {
    fprintf(stderr, "server: %s\n", *detail ? detail : t2_strerror(err));
    return 1;
  }
  printf("control https://%s\npublic http://%s\n", t2_control_address(s.control),
         t2_entry_public_address(s.entry));
  fflush(stdout);
  uv_signal_init(s.loop, &s.term);
  uv_signal_start(&s.term, on_signal, SIGTERM);
  s.term.data = &s;
  return uv_run(s.loop, UV_RUN_DEFAULT);
}
