#include <net/certificate.h>

#include <net/mbedtls_compat.h>

#include <base/base64.h>
#include <base/file.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <uv.h>
#include <wire/detail.h>
#include <wire/token.h>

#define LOCK_FILE   "lock"
#define FILE_MAX    (1024 * 1024)
#define CA_NAME     "tunnel2 development CA"
#define CA_DAYS     3650
#define SERVER_DAYS 365
#define RENEW_AHEAD (24 * 60 * 60) /* seconds of validity that are too few */
#define TOKEN_BYTES 32             /* random bytes of a token; base64url makes 43 characters of them */
#define OWNER       "dev"

static const char *const server_names[] = {"localhost", "*.localhost", "127.0.0.1", "::1"};

/* The directory while it is looked at and filled. */
typedef struct dev_state {
  const t2_allocator *mem;
  const char *dir;
  char *detail;
  size_t detail_size;
  t2_buf ca, ca_key, cert, key, token, tokens; /* the files' bytes, as C strings */
} dev_state;

/* ---- The directory ---- */

static int say_errno(const dev_state *state, const char *what, int number) {
  return t2_detail(state->detail, state->detail_size, T2_ERR_IO, "%s: %s", what, uv_strerror(-number));
}

static int check_dir(const dev_state *state) {
  struct stat st;

  if (stat(state->dir, &st)) return say_errno(state, "it cannot be looked at", errno);
  if (st.st_uid != geteuid())
    return t2_detail(state->detail, state->detail_size, T2_ERR_FORBIDDEN, "it belongs to another user");
  if (st.st_mode & (S_IRWXG | S_IRWXO))
    return t2_detail(state->detail, state->detail_size, T2_ERR_FORBIDDEN,
                     "others can enter it (mode %04o); keys need a directory of mode 0700",
                     (unsigned)(st.st_mode & 07777));
  return 0;
}

/* Waits for whoever else is filling the directory. The lock's descriptor, or an error. */
static int lock_dir(const dev_state *state, int *fd) {
  char *path = t2_path_join(state->mem, state->dir, LOCK_FILE);
  int locked;

  *fd = -1;
  if (!path) return T2_ERR_NOMEM;
  int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
  t2_free(state->mem, path);
  if (lock < 0) return say_errno(state, LOCK_FILE " cannot be made", errno);
  do
    locked = flock(lock, LOCK_EX);
  while (locked && errno == EINTR);
  if (locked) {
    int number = errno;
    close(lock);
    return say_errno(state, LOCK_FILE " cannot be locked", number);
  }
  *fd = lock;
  return 0;
}

/* ---- Files ---- */

static void wipe(t2_buf *buf) {
  if (buf->data) t2_memzero(buf->data, buf->cap);
  t2_buf_fini(buf);
}

/* A file that is missing reads as empty. */
static int read_file(const dev_state *state, const char *name, t2_buf *out) {
  char *path = t2_path_join(state->mem, state->dir, name);

  if (!path) return T2_ERR_NOMEM;
  t2_buf_reset(out);
  int err = t2_file_read(path, FILE_MAX, out);
  t2_free(state->mem, path);
  if (err == T2_ERR_NOT_FOUND) err = 0;
  if (err == 0 && !t2_buf_cstr(out)) err = T2_ERR_NOMEM;
  if (err == 0 || err == T2_ERR_NOMEM) return err;
  return t2_detail(state->detail, state->detail_size, err, "%s cannot be read: %s", name, t2_strerror(err));
}

static int write_file(const dev_state *state, const char *name, t2_buf *bytes) {
  char *path = t2_path_join(state->mem, state->dir, name);

  if (!path || !t2_buf_cstr(bytes)) {
    t2_free(state->mem, path);
    return T2_ERR_NOMEM;
  }
  int err = t2_file_write(path, t2_buf_head(bytes), t2_buf_len(bytes), S_IRUSR | S_IWUSR);
  t2_free(state->mem, path);
  if (err == 0 || err == T2_ERR_NOMEM) return err;
  return t2_detail(state->detail, state->detail_size, err, "%s cannot be written: %s", name,
                   t2_strerror(err));
}

/* ---- Certificates ---- */

static bool parse_certificate(mbedtls_x509_crt *cert, const t2_buf *pem) {
  return t2_buf_len(pem) && mbedtls_x509_crt_parse(cert, t2_buf_head(pem), t2_buf_len(pem) + 1) == 0;
}

static bool lasts(const mbedtls_x509_crt *cert) {
  const mbedtls_x509_time *to = &cert->valid_to;
  struct tm tm = {.tm_year = to->year - 1900,
                  .tm_mon = to->mon - 1,
                  .tm_mday = to->day,
                  .tm_hour = to->hour,
                  .tm_min = to->min,
                  .tm_sec = to->sec};

  return (int64_t)timegm(&tm) > t2_clock_wall_ms() / 1000 + RENEW_AHEAD;
}

static bool key_fits(const mbedtls_x509_crt *cert, const t2_buf *pem) {
  mbedtls_pk_context key;

  if (t2_buf_len(pem) == 0) return false;
  mbedtls_pk_init(&key);
  int err = t2_mbedtls_pk_parse_key(&key, t2_buf_head(pem), t2_buf_len(pem) + 1);
  if (err == 0) err = t2_mbedtls_pk_check_pair(&cert->pk, &key);
  mbedtls_pk_free(&key);
  return err == 0;
}

static bool ca_good(const dev_state *state) {
  mbedtls_x509_crt ca;

  mbedtls_x509_crt_init(&ca);
  bool good = parse_certificate(&ca, &state->ca) && lasts(&ca) && key_fits(&ca, &state->ca_key);
  mbedtls_x509_crt_free(&ca);
  return good;
}

/* Whoever made the server's certificate may have been stopped before it wrote the rest. */
static bool server_good(const dev_state *state) {
  mbedtls_x509_crt ca, cert;
  uint32_t flags;

  mbedtls_x509_crt_init(&ca);
  mbedtls_x509_crt_init(&cert);
  bool good = parse_certificate(&ca, &state->ca) && parse_certificate(&cert, &state->cert) && lasts(&cert) &&
              key_fits(&cert, &state->key) &&
              mbedtls_x509_crt_verify(&cert, &ca, NULL, NULL, &flags, NULL, NULL) == 0;
  mbedtls_x509_crt_free(&ca);
  mbedtls_x509_crt_free(&cert);
  return good;
}

static int ensure_ca(dev_state *state) {
  int err = read_file(state, T2_DEV_CA_FILE, &state->ca);

  if (err == 0) err = read_file(state, T2_DEV_CA_KEY_FILE, &state->ca_key);
  if (err || ca_good(state)) return err;
  t2_buf_reset(&state->ca);
  wipe(&state->ca_key);
  err = t2_certificate_make_ca(state->mem, CA_NAME, CA_DAYS, &state->ca, &state->ca_key);
  if (err == 0) err = write_file(state, T2_DEV_CA_KEY_FILE, &state->ca_key);
  return err ? err : write_file(state, T2_DEV_CA_FILE, &state->ca);
}

static int ensure_server(dev_state *state) {
  int err = read_file(state, T2_DEV_CERT_FILE, &state->cert);

  if (err == 0) err = read_file(state, T2_DEV_KEY_FILE, &state->key);
  if (err || server_good(state)) return err;
  t2_buf_reset(&state->cert);
  wipe(&state->key);
  err = t2_certificate_issue(state->mem, (const char *)t2_buf_head(&state->ca),
                             (const char *)t2_buf_head(&state->ca_key), server_names,
                             T2_COUNT_OF(server_names), SERVER_DAYS, &state->cert, &state->key);
  if (err == 0) err = write_file(state, T2_DEV_KEY_FILE, &state->key);
  return err ? err : write_file(state, T2_DEV_CERT_FILE, &state->cert);
}

/* ---- The token ---- */

static t2_str token_of(const dev_state *state) {
  t2_str all = t2_str_of((const char *)t2_buf_head(&state->token), t2_buf_len(&state->token));
  t2_str line = T2_STR_NULL;

  (void)t2_str_next(&all, '\n', &line);
  return t2_str_trim(line);
}

static int ensure_token(dev_state *state) {
  uint8_t bytes[TOKEN_BYTES];
  int err = read_file(state, T2_DEV_TOKEN_FILE, &state->token);

  if (err || token_of(state).n) return err;
  t2_random_bytes(bytes, sizeof(bytes));
  t2_base64url_encode(&state->token, bytes, sizeof(bytes));
  err = t2_buf_append_byte(&state->token, '\n');
  t2_memzero(bytes, sizeof(bytes));
  return err ? err : write_file(state, T2_DEV_TOKEN_FILE, &state->token);
}

/* Others' lines stay; a file that lacks the token gets it. */
static int add_token(dev_state *state, t2_tokens *tokens) {
  t2_str text = t2_str_of((const char *)t2_buf_head(&state->tokens), t2_buf_len(&state->tokens));
  char why[160];

  int err = t2_tokens_parse(tokens, text, why, sizeof(why));
  if (err)
    return t2_detail(state->detail, state->detail_size, err, "%s cannot be read: %s", T2_DEV_TOKENS_FILE,
                     why);
  if (t2_tokens_check(tokens, token_of(state))) return 0;
  err = t2_tokens_add(tokens, OWNER, T2_ROLE_CLIENT | T2_ROLE_ENTRY | T2_ROLE_ADMIN, token_of(state));
  if (err)
    return t2_detail(state->detail, state->detail_size, err, "%s holds no usable token: %s",
                     T2_DEV_TOKEN_FILE, t2_strerror(err));
  t2_buf_reset(&state->tokens);
  err = t2_tokens_format(tokens, &state->tokens);
  return err ? err : write_file(state, T2_DEV_TOKENS_FILE, &state->tokens);
}

static int ensure_tokens(dev_state *state) {
  t2_tokens tokens;
  int err = read_file(state, T2_DEV_TOKENS_FILE, &state->tokens);

  if (err) return err;
  t2_tokens_init(&tokens, state->mem);
  err = add_token(state, &tokens);
  t2_tokens_fini(&tokens);
  return err;
}

/* ---- All of it ---- */

static int fill(dev_state *state) {
  int err = ensure_ca(state);

  if (err == 0) err = ensure_server(state);
  if (err == 0) err = ensure_token(state);
  return err ? err : ensure_tokens(state);
}

static int prepare_dir(const dev_state *state, int *lock) {
  if (t2_mkdir(state->dir, S_IRWXU))
    return t2_detail(state->detail, state->detail_size, T2_ERR_IO, "it cannot be made");
  int err = check_dir(state);
  return err ? err : lock_dir(state, lock);
}

static void init_state(dev_state *state, const t2_allocator *mem, const char *dir) {
  state->mem = mem;
  state->dir = dir;
  t2_buf_init(&state->ca, mem);
  t2_buf_init(&state->ca_key, mem);
  t2_buf_init(&state->cert, mem);
  t2_buf_init(&state->key, mem);
  t2_buf_init(&state->token, mem);
  t2_buf_init(&state->tokens, mem);
}

static void fini_state(dev_state *state) {
  t2_buf_fini(&state->ca);
  wipe(&state->ca_key);
  t2_buf_fini(&state->cert);
  wipe(&state->key);
  wipe(&state->token);
  t2_buf_fini(&state->tokens);
}

int t2_dev_state_ensure(const t2_allocator *mem, const char *dir, char *detail, size_t detail_size) {
  dev_state state = {.detail = detail, .detail_size = detail_size};
  int lock = -1;

  if (detail_size) detail[0] = '\0';
  init_state(&state, mem, dir);
  int err = prepare_dir(&state, &lock);
  if (err == 0) err = t2_mbedtls_start() ? T2_ERR_NOMEM : 0;
  if (err == 0) err = fill(&state);
  if (lock >= 0) close(lock); /* which unlocks it */
  fini_state(&state);
  if (err && detail_size && detail[0] == '\0') t2_detail(detail, detail_size, err, "%s", t2_strerror(err));
  return err;
}

/* ---- Where it is ---- */

/* $XDG_STATE_HOME/tunnel2, or ~/.local/state/tunnel2 (the XDG base directory specification). */
static int default_dir(char dir[PATH_MAX]) {
  char base[PATH_MAX];
  size_t n = sizeof(base);
  const char *below = "tunnel2";

  if (uv_os_getenv("XDG_STATE_HOME", base, &n) || base[0] != '/') {
    below = ".local/state/tunnel2";
    n = sizeof(base);
    if (uv_os_homedir(base, &n)) return T2_ERR_NOT_FOUND;
  }
  return snprintf(dir, PATH_MAX, "%s/%s", base, below) < PATH_MAX ? 0 : T2_ERR_LIMIT;
}

int t2_dev_state_path(const char *dir, const char *name, char *path, size_t size) {
  char own[PATH_MAX];

  if (size) path[0] = '\0';
  if (!dir || !*dir) {
    int err = default_dir(own);
    if (err) return err;
    dir = own;
  }
  int n = snprintf(path, size, name ? "%s/%s" : "%s", dir, name);
  if (n >= 0 && (size_t)n < size) return 0;
  if (size) path[0] = '\0';
  return T2_ERR_LIMIT;
}

int t2_dev_state_make(const char *dir, char *detail, size_t detail_size) {
  char path[PATH_MAX];

  if (detail_size) detail[0] = '\0';
  int err = t2_dev_state_path(dir, NULL, path, sizeof(path));
  if (err == T2_ERR_NOT_FOUND) return t2_detail(detail, detail_size, err, "there is no home directory");
  return err ? t2_detail(detail, detail_size, err, "%s", t2_strerror(err))
             : t2_dev_state_ensure(NULL, path, detail, detail_size);
}
