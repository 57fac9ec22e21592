#include <client/file_open.h>
#include <client/listing.h>
#include <dirent.h>
#include <http/file_path.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tunnel2/error.h>
#include <unistd.h>

/* Names one behind the other, each with a NUL; of directories with a slash before that. */
typedef struct names {
  t2_buf text;
  size_t at[T2_LISTING_MAX];
  size_t n;
  bool more;
} names;

/* The directory's own place, from which its links are followed. */
typedef struct place {
  int root;
  const char *below;
} place;

/* ---- What is there ---- */

/* Where a symbolic link leads is known when it is opened, as it would be for who asks. */
static unsigned char kind_of(const place *at, const struct dirent *entry) {
  char path[T2_FILE_PATH_MAX + NAME_MAX + 2];
  struct stat st = {0};
  if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) return entry->d_type;
  snprintf(path, sizeof(path), "%s/%s", at->below, entry->d_name);
  int fd = t2_file_open_beneath(at->root, path);
  if (fd < 0) return DT_UNKNOWN;
  if (fstat(fd, &st)) st.st_mode = 0;
  close(fd);
  return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_UNKNOWN;
}

static int add(names *list, const struct dirent *entry, unsigned char kind) {
  if (list->n == T2_LISTING_MAX) {
    list->more = true;
    return 0;
  }
  list->at[list->n++] = t2_buf_len(&list->text);
  t2_buf_append_c(&list->text, entry->d_name);
  if (kind == DT_DIR) t2_buf_append_byte(&list->text, '/');
  return t2_buf_append_byte(&list->text, 0);
}

static int compare(const void *a, const void *b, void *text) {
  return strcmp((const char *)text + *(const size_t *)a, (const char *)text + *(const size_t *)b);
}

/* What cannot be had is not named. */
static int add_entry(names *list, const place *at, const struct dirent *entry) {
  unsigned char kind = entry->d_name[0] == '.' ? DT_UNKNOWN : kind_of(at, entry);
  return kind == DT_REG || kind == DT_DIR ? add(list, entry, kind) : 0;
}

static int read_names(const place *at, int directory, names *list) {
  DIR *dir = fdopendir(directory);
  int err = 0;
  if (!dir) {
    close(directory);
    return T2_ERR_IO;
  }
  /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own (readdir(3)) */
  for (const struct dirent *entry; err == 0 && !list->more && (entry = readdir(dir));)
    err = add_entry(list, at, entry);
  closedir(dir);
  if (err == 0) qsort_r(list->at, list->n, sizeof(list->at[0]), compare, t2_buf_head(&list->text));
  return err;
}

/* ---- The page ---- */

static void put_escaped(t2_buf *page, t2_str text) {
  for (size_t i = 0; i < text.n; i++) {
    char c = text.p[i];
    if (strchr("&<>\"'", c) && c)
      t2_buf_printf(page, "&#%d;", c);
    else
      t2_buf_append_byte(page, (uint8_t)c);
  }
}

/* RFC 3986, 2.1: all but unreserved characters. The slash at the end of a directory stays. */
static void put_reference(t2_buf *page, const char *name) {
  t2_buf_append_c(page, "./"); /* "a:b" would be one with a scheme (RFC 3986, 4.2) */
  for (const char *p = name; *p; p++) {
    bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
    if (letter || (*p >= '0' && *p <= '9') || strchr("-._~/", *p))
      t2_buf_append_byte(page, (uint8_t)*p);
    else
      t2_buf_printf(page, "%%%02X", (unsigned char)*p);
  }
}

static int write_page(const names *list, t2_str path, t2_buf *page) {
  bool root = path.n == 0 || t2_str_eq(path, T2_STR("/"));
  t2_buf_append_c(page, "<!doctype html>\n<meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Index of ");
  put_escaped(page, path);
  t2_buf_append_c(page, "</title>\n<h1>Index of ");
  put_escaped(page, path);
  t2_buf_append_c(page, "</h1>\n<ul>\n");
  if (!root) t2_buf_append_c(page, "<li><a href=\"../\">../</a>\n");
  for (size_t i = 0; i < list->n; i++) {
    const char *name = (const char *)t2_buf_head(&list->text) + list->at[i];
    t2_buf_append_c(page, "<li><a href=\"");
    put_reference(page, name);
    t2_buf_append_c(page, "\">");
    put_escaped(page, t2_str_c(name));
    t2_buf_append_c(page, "</a>\n");
  }
  return t2_buf_append_c(page, list->more ? "</ul>\n<p>There is more in it.\n" : "</ul>\n");
}

int t2_listing_write(int root, const char *below, int directory, t2_str path, t2_buf *page) {
  place at = {root, below};
  names *list = t2_calloc(page->mem, 1, sizeof(*list));
  if (!list) {
    close(directory);
    return T2_ERR_NOMEM;
  }
  t2_buf_init(&list->text, page->mem);
  int err = read_names(&at, directory, list);
  if (err == 0) err = write_page(list, path, page);
  t2_buf_fini(&list->text);
  t2_free(page->mem, list);
  return err;
}
