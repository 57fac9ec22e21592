#include <base/file.h>
#include <control/keyring.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tunnel2/error.h>

#define FILE_HEAD                                                                                            \
  "# Keys that tickets are signed with, newest first. Secret: whoever has them can open uplinks for any "    \
  "session.\n"

void t2_keyring_init(t2_keyring *keyring, const t2_allocator *mem) {
  *keyring = (t2_keyring){0};
  t2_keys_init(&keyring->keys, mem);
}

void t2_keyring_fini(t2_keyring *keyring) {
  t2_keys_fini(&keyring->keys);
}

/* Takes key over, on failure too; it becomes the newest. There is room. */
static int add_newest(t2_keyring *keyring, t2_es256_key *key, int64_t created) {
  int rc = t2_keys_add(&keyring->keys, key);

  if (rc) {
    t2_es256_free(key);
    return rc;
  }
  memmove(keyring->created + 1, keyring->created, (T2_KEYS_MAX - 1) * sizeof(keyring->created[0]));
  memmove(keyring->until + 1, keyring->until, (T2_KEYS_MAX - 1) * sizeof(keyring->until[0]));
  keyring->created[0] = created;
  keyring->until[0] = 0;
  return 0;
}

int t2_keyring_rotate(t2_keyring *keyring, int64_t now, int64_t life) {
  t2_es256_key *key;

  t2_keyring_trim(keyring, now);
  if (keyring->keys.n == T2_KEYS_MAX) return T2_ERR_LIMIT;
  int rc = t2_es256_generate(keyring->keys.mem, &key);
  if (rc) return rc;
  rc = add_newest(keyring, key, now);
  if (rc == 0) keyring->until[1] = now + life;
  return rc;
}

bool t2_keyring_trim(t2_keyring *keyring, int64_t now) {
  size_t n = keyring->keys.n;

  /* Older keys are needed no longer than newer ones. */
  while (n > 1 && now > keyring->until[n - 1])
    n--;
  if (n == keyring->keys.n) return false;
  t2_keys_trim(&keyring->keys, n);
  return true;
}

/* ---- The file ---- */

/* What stands between two lines of the file, and where it was. */
typedef struct reader {
  t2_str rest;
  unsigned line; /* number of the line last taken */
} reader;

static bool next_line(reader *in, t2_str *line) {
  if (in->rest.n == 0) return false;
  ptrdiff_t end = t2_str_find(in->rest, '\n');
  size_t n = end < 0 ? in->rest.n : (size_t)end;
  size_t taken = end < 0 ? n : n + 1;

  *line = t2_str_trim(t2_str_of(in->rest.p, n && in->rest.p[n - 1] == '\r' ? n - 1 : n));
  in->rest = t2_str_of(in->rest.p + taken, in->rest.n - taken);
  in->line++;
  return true;
}

/* One block and the line before it. */
typedef struct kept_key {
  int64_t created, until; /* -1: not said */
  t2_es256_key *key;
} kept_key;

/* "created N" or "created N until N". */
static int parse_times(t2_str line, kept_key *kept) {
  t2_str word, number;
  uint64_t value;

  while (t2_str_next(&line, ' ', &word)) {
    bool created = t2_str_eq(word, T2_STR("created"));
    if (!created && !t2_str_eq(word, T2_STR("until"))) return T2_ERR_INVALID;
    if (!t2_str_next(&line, ' ', &number) || t2_str_u64(number, INT64_MAX / 2, &value)) return T2_ERR_INVALID;
    *(created ? &kept->created : &kept->until) = (int64_t)value;
  }
  return 0;
}

/* From the BEGIN line at `begin` to its END line. */
static int parse_block(const t2_allocator *mem, reader *in, const char *begin, kept_key *kept) {
  t2_str line;

  while (next_line(in, &line)) {
    if (!t2_str_starts(line, T2_STR("-----END "))) continue;
    return t2_es256_from_pem(mem, begin, (size_t)(in->rest.p - begin), &kept->key);
  }
  return T2_ERR_INVALID;
}

static int invalid(char *detail, size_t detail_size, unsigned line, const char *what) {
  snprintf(detail, detail_size, "line %u: %s", line, what);
  return T2_ERR_INVALID;
}

/* Reads one key with its times: 1, 0 at the end of the file, or an error. */
static int parse_key(const t2_allocator *mem, reader *in, kept_key *kept, char *detail, size_t detail_size) {
  t2_str line;

  *kept = (kept_key){.created = -1, .until = -1};
  while (next_line(in, &line)) {
    unsigned at = in->line;
    if (line.n == 0 || line.p[0] == '#') continue;
    if (t2_str_starts(line, T2_STR("-----BEGIN "))) {
      int rc = parse_block(mem, in, line.p, kept);
      if (rc == T2_ERR_NOMEM) return rc;
      return rc ? invalid(detail, detail_size, at, "no private key on P-256 in PEM begins here") : 1;
    }
    if (parse_times(line, kept))
      return invalid(detail, detail_size, at, "neither a PEM block nor \"created SECONDS [until SECONDS]\"");
  }
  return 0;
}

static int build(t2_keyring *keyring, kept_key *kept, size_t n, int64_t now, int64_t life) {
  t2_keyring built;

  t2_keyring_init(&built, keyring->keys.mem);
  for (size_t i = n; i-- > 0;) {
    t2_es256_key *key = kept[i].key;
    kept[i].key = NULL;
    int rc = add_newest(&built, key, kept[i].created < 0 ? now : kept[i].created);
    if (rc) {
      t2_keyring_fini(&built);
      return rc;
    }
    built.until[0] = kept[i].until < 0 ? now + life : kept[i].until;
  }
  t2_keyring_fini(keyring);
  *keyring = built;
  return 0;
}

int t2_keyring_parse(t2_keyring *keyring, t2_str text, int64_t now, int64_t life, char *detail,
                     size_t detail_size) {
  reader in = {.rest = text};
  kept_key kept[T2_KEYS_MAX] = {0}, more;
  size_t n = 0;
  int rc;

  while ((rc = parse_key(keyring->keys.mem, &in, &more, detail, detail_size)) == 1) {
    if (n < T2_KEYS_MAX) {
      kept[n++] = more;
      continue;
    }
    t2_es256_free(more.key);
    rc = invalid(detail, detail_size, in.line, "more than 4 keys");
    break;
  }
  if (rc == 0 && n == 0) rc = invalid(detail, detail_size, in.line, "there is no key in it");
  if (rc == 0) rc = build(keyring, kept, n, now, life);
  if (rc == T2_ERR_CONFLICT) rc = invalid(detail, detail_size, in.line, "a key is there twice");
  for (size_t i = 0; i < n; i++)
    t2_es256_free(kept[i].key);
  return rc;
}

int t2_keyring_format(const t2_keyring *keyring, t2_buf *out) {
  t2_buf_append_c(out, FILE_HEAD);
  for (size_t i = 0; i < keyring->keys.n; i++) {
    t2_buf_printf(out, "created %lld", (long long)keyring->created[i]);
    if (i) t2_buf_printf(out, " until %lld", (long long)keyring->until[i]);
    t2_buf_append_byte(out, '\n');
    int rc = t2_es256_to_pem(keyring->keys.list[i].key, out);
    if (rc) return rc;
  }
  return out->failed ? T2_ERR_NOMEM : 0;
}

static void wipe(t2_buf *buf) {
  if (buf->data) t2_memzero(buf->data, buf->cap);
  t2_buf_fini(buf);
}

static int write_file(const t2_keyring *keyring, const char *path,
                      int (*write)(const char *path, const void *bytes, size_t n, mode_t mode)) {
  t2_buf text;

  t2_buf_init(&text, keyring->keys.mem);
  int rc = t2_keyring_format(keyring, &text);
  if (rc == 0) rc = write(path, t2_buf_head(&text), t2_buf_len(&text), 0600);
  wipe(&text);
  return rc;
}

int t2_keyring_save(const t2_keyring *keyring, const char *path) {
  return write_file(keyring, path, t2_file_write);
}

static bool others_may_read(const char *path) {
  struct stat st;

  return stat(path, &st) == 0 && (st.st_mode & 077);
}

static int load_text(t2_keyring *keyring, const char *path, t2_str text, int64_t now, int64_t life,
                     char *detail, size_t detail_size) {
  char where[128] = "";
  int rc = t2_keyring_parse(keyring, text, now, life, where, sizeof(where));

  if (rc) snprintf(detail, detail_size, "%s: %s", path, where[0] ? where : t2_strerror(rc));
  return rc;
}

/* T2_ERR_CONFLICT: another process was faster. */
static int first_key(t2_keyring *keyring, const char *path, int64_t now, int64_t life, char *detail,
                     size_t detail_size) {
  int rc = t2_keyring_rotate(keyring, now, life);

  if (rc == 0) rc = write_file(keyring, path, t2_file_create);
  if (rc) snprintf(detail, detail_size, "%s can't be made: %s", path, t2_strerror(rc));
  return rc;
}

static int read_file(t2_keyring *keyring, const char *path, int64_t now, int64_t life, char *detail,
                     size_t detail_size) {
  t2_buf text;

  t2_buf_init(&text, keyring->keys.mem);
  int rc = t2_file_read(path, T2_KEYRING_FILE_MAX, &text);
  if (rc) {
    snprintf(detail, detail_size, "%s can't be read: %s", path, t2_strerror(rc));
  } else if (others_may_read(path)) {
    snprintf(detail, detail_size, "%s may be read by others: chmod 600 it", path);
    rc = T2_ERR_FORBIDDEN;
  } else {
    rc = load_text(keyring, path, t2_str_of((const char *)t2_buf_head(&text), t2_buf_len(&text)), now, life,
                   detail, detail_size);
  }
  wipe(&text);
  return rc;
}

int t2_keyring_load(t2_keyring *keyring, const char *path, int64_t now, int64_t life, char *detail,
                    size_t detail_size) {
  int rc = read_file(keyring, path, now, life, detail, detail_size);

  if (rc == T2_ERR_NOT_FOUND) rc = first_key(keyring, path, now, life, detail, detail_size);
  return rc == T2_ERR_CONFLICT ? read_file(keyring, path, now, life, detail, detail_size) : rc;
}
