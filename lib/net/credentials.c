#include <base/file.h>
#include <limits.h>
#include <net/credentials.h>
#include <tunnel2/dev.h>
#include <wire/detail.h>

#define SECRET_FILE_MAX 4096

static t2_str first_line(const t2_buf *text) {
  t2_str all = t2_str_of((const char *)t2_buf_head(text), t2_buf_len(text)), line = T2_STR_NULL;
  (void)t2_str_next(&all, '\n', &line);
  if (line.n && line.p[line.n - 1] == '\r') line.n--;
  return line;
}

int t2_secret_file_read(const t2_allocator *mem, const char *what, const char *file, char **secret,
                        char *detail, size_t size) {
  t2_buf text;
  *secret = NULL;
  t2_buf_init(&text, mem);
  int err = t2_file_read(file, SECRET_FILE_MAX, &text);
  t2_str line = first_line(&text);
  if (err) {
    t2_detail(detail, size, err, "%s file %s: %s", what, file, t2_strerror(err));
  } else if (line.n == 0) {
    err = t2_detail(detail, size, T2_ERR_INVALID, "%s file %s: there is no %s in it", what, file, what);
  } else {
    *secret = t2_strndup(mem, line.p, line.n);
    err = *secret ? 0 : T2_ERR_NOMEM;
  }
  if (text.data) t2_memzero(text.data, text.cap);
  t2_buf_fini(&text);
  return err;
}

static int dev_path(const char *dir, const char *name, char path[PATH_MAX], char *detail, size_t size) {
  int err = t2_dev_state_path(dir, name, path, PATH_MAX);
  if (err == T2_ERR_NOT_FOUND) return t2_detail(detail, size, err, "there is no home directory");
  return err ? t2_detail(detail, size, err, "development directory: %s", t2_strerror(err)) : 0;
}

static int read_token(t2_credentials *c, const t2_credential_options *o, char *detail, size_t size) {
  char path[PATH_MAX];
  const char *file = o->token_file;
  if (o->token) {
    c->token = t2_strdup(c->mem, o->token);
    return c->token ? 0 : T2_ERR_NOMEM;
  }
  if (!file && o->dev_state_dir) {
    int err = dev_path(o->dev_state_dir, T2_DEV_TOKEN_FILE, path, detail, size);
    if (err) return err;
    file = path;
  }
  return file ? t2_secret_file_read(c->mem, "token", file, &c->token, detail, size) : 0;
}

static int find_ca(t2_credentials *c, const t2_credential_options *o, char *detail, size_t size) {
  char path[PATH_MAX];
  const char *file = o->ca_file;
  if (!file && o->dev_state_dir) {
    int err = dev_path(o->dev_state_dir, T2_DEV_CA_FILE, path, detail, size);
    if (err) return err;
    file = path;
  }
  c->ca_file = t2_strdup(c->mem, file);
  return file && !c->ca_file ? T2_ERR_NOMEM : 0;
}

int t2_credentials_read(t2_credentials *credentials, const t2_allocator *mem,
                        const t2_credential_options *options, char *detail, size_t size) {
  *credentials = (t2_credentials){.mem = mem};
  int err = read_token(credentials, options, detail, size);
  if (err == 0) err = find_ca(credentials, options, detail, size);
  if (err) t2_credentials_fini(credentials);
  return err;
}

void t2_credentials_fini(t2_credentials *credentials) {
  if (credentials->token) t2_memzero(credentials->token, strlen(credentials->token));
  t2_free(credentials->mem, credentials->token);
  t2_free(credentials->mem, credentials->ca_file);
  credentials->token = credentials->ca_file = NULL;
}
