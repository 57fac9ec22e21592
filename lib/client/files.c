#include <client/file_open.h>
#include <client/files.h>
#include <client/listing.h>
#include <client/media_type.h>
#include <errno.h>
#include <fcntl.h>
#include <http/file_path.h>
#include <http/http_date.h>
#include <http/select.h>
#include <proxy/answer.h>
#include <stdio.h>
#include <sys/stat.h>
#include <tunnel2/error.h>
#include <unistd.h>
#include <wire/detail.h>

#define CHUNK (64 * 1024) /* bytes of one read */

struct t2_files {
  t2_loop *loop;
  int directory;
};

/* One answer. Its file is read by libuv's threads, a chunk at a time, while the other side has room. */
typedef struct answer {
  t2_leg leg;
  t2_loop *loop;
  int fd;      /* -1: the content is `page`, or there is none */
  t2_buf page; /* a listing; of a 301 the Location */
  t2_selection selection;
  t2_representation what;
  const char *type;
  char etag[64];
  uint64_t given;   /* bytes of the selection given to the exchange */
  uint64_t unacked; /* of these those not yet consumed */
  t2_flushable flushable;
  uv_fs_t request;
  uint8_t *chunk; /* during a read */
  bool over;      /* the exchange is */
  t2_reapable reapable;
} answer;

/* ---- Life ---- */

static void free_answer(t2_reapable *reapable) {
  answer *a = T2_CONTAINER_OF(reapable, answer, reapable);
  const t2_allocator *mem = a->loop->mem;
  if (a->fd >= 0) close(a->fd);
  t2_buf_fini(&a->page);
  t2_free(mem, a->chunk);
  t2_free(mem, a);
}

/* A read that is under way has its memory until it is done. */
static void end_answer(answer *a) {
  a->over = true;
  t2_loop_calm(&a->flushable);
  if (a->chunk)
    uv_cancel((uv_req_t *)&a->request);
  else
    t2_loop_reap(a->loop, &a->reapable, free_answer);
}

static void fail(answer *a, int err) {
  t2_exchange_fail(&a->leg, err, T2_AT_LOCAL, NULL);
  end_answer(a);
}

/* ---- Content ---- */

static uint64_t left(const answer *a) {
  return a->selection.length - a->given;
}

static void give(answer *a, const uint8_t *bytes, size_t n) {
  a->given += n;
  a->unacked += n;
  t2_exchange_data(&a->leg, bytes, n);
  if (!a->over && left(a) == 0)
    t2_exchange_end(&a->leg, NULL);
  else if (!a->over)
    t2_loop_wake(a->loop, &a->flushable);
}

/* A file that has become shorter is cut, visibly. */
static void on_read(uv_fs_t *request) {
  answer *a = T2_CONTAINER_OF(request, answer, request);
  t2_loop *loop = a->loop;
  ssize_t n = request->result;
  uint8_t *chunk = a->chunk;
  a->chunk = NULL;
  uv_fs_req_cleanup(request);
  if (a->over)
    t2_loop_reap(loop, &a->reapable, free_answer);
  else if (n <= 0)
    fail(a, T2_ERR_IO);
  else
    give(a, chunk, (size_t)n);
  t2_free(loop->mem, chunk);
  t2_loop_release(loop);
}

static void read_some(answer *a, size_t n) {
  a->chunk = t2_alloc(a->loop->mem, n);
  if (!a->chunk) {
    fail(a, T2_ERR_NOMEM);
    return;
  }
  uv_buf_t buf = uv_buf_init((char *)a->chunk, (unsigned)n);
  t2_loop_hold(a->loop);
  if (uv_fs_read(a->loop->uv, &a->request, a->fd, &buf, 1, (int64_t)(a->selection.offset + a->given),
                 on_read) == 0)
    return;
  t2_free(a->loop->mem, a->chunk);
  a->chunk = NULL;
  t2_loop_release(a->loop);
  fail(a, T2_ERR_IO);
}

static void on_flush(t2_flushable *flushable) {
  answer *a = T2_CONTAINER_OF(flushable, answer, flushable);
  size_t most = a->loop->pressure.read_max < CHUNK ? a->loop->pressure.read_max : CHUNK;
  size_t n = left(a) < most ? (size_t)left(a) : most;
  if (a->chunk || n == 0 || a->unacked + n > t2_leg_window(a->loop)) return;
  if (a->fd >= 0)
    read_some(a, n);
  else
    give(a, t2_buf_head(&a->page) + a->given, n);
}

/* ---- The leg ---- */

static answer *answer_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, answer, leg);
}

static int add_validators(const answer *a, t2_head *head, char date[T2_HTTP_DATE_LEN + 1]) {
  t2_http_date_write(a->what.modified, date);
  int err = t2_fields_add(&head->fields, T2_STR("etag"), a->what.etag);
  if (err == 0) err = t2_fields_add(&head->fields, T2_STR("last-modified"), t2_str_c(date));
  if (err == 0) err = t2_fields_add(&head->fields, T2_STR("accept-ranges"), T2_STR("bytes"));
  return err;
}

static int add_type(const answer *a, t2_head *head) {
  if (a->selection.status == 301)
    return t2_fields_add(&head->fields, T2_STR("location"),
                         t2_str_of((const char *)t2_buf_head(&a->page), t2_buf_len(&a->page)));
  int err = t2_fields_add(&head->fields, T2_STR("content-type"), t2_str_c(a->type));
  if (err == 0) err = t2_fields_add(&head->fields, T2_STR("x-content-type-options"), T2_STR("nosniff"));
  if (err == 0 && a->fd < 0) err = t2_fields_add(&head->fields, T2_STR("cache-control"), T2_STR("no-store"));
  return err;
}

static int add_range(const answer *a, t2_head *head, char range[96]) {
  const t2_selection *s = &a->selection;
  snprintf(range, 96, "bytes %llu-%llu/%llu", (unsigned long long)s->offset,
           (unsigned long long)(s->offset + s->length - 1), (unsigned long long)a->what.size);
  return t2_fields_add(&head->fields, T2_STR("content-range"), t2_str_c(range));
}

static int answer_head(t2_leg *leg, const t2_head *request, bool end) {
  answer *a = answer_of(leg);
  char date[T2_HTTP_DATE_LEN + 1], range[96];
  t2_head head;
  (void)request;
  (void)end;
  bool content = a->selection.status != 304;
  t2_head_init(&head, a->loop->mem);
  head.status = a->selection.status;
  head.content_length = content ? (int64_t)a->selection.length : -1;
  int err = content ? add_type(a, &head) : 0;
  if (err == 0) err = t2_answer_date(leg->exchange->proxy, &head.fields);
  if (err == 0 && a->fd >= 0) err = add_validators(a, &head, date);
  if (err == 0 && a->selection.status == 206) err = add_range(a, &head, range);
  bool empty = !content || a->selection.length == 0 || leg->exchange->head_request;
  if (err == 0) {
    if (!empty) t2_loop_wake(a->loop, &a->flushable);
    t2_exchange_head(leg, &head, empty);
  }
  t2_head_fini(&head);
  return err;
}

/* A request's content has no meaning here (RFC 9110, 9.3.1). */
static int answer_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  (void)bytes;
  t2_exchange_consumed(leg, n);
  return 0;
}

static int answer_end(t2_leg *leg, const t2_fields *trailers) {
  (void)leg;
  (void)trailers;
  return 0;
}

static void answer_consumed(t2_leg *leg, size_t n) {
  answer *a = answer_of(leg);
  a->unacked -= n < a->unacked ? n : a->unacked;
  t2_loop_wake(a->loop, &a->flushable);
}

static void answer_closed(t2_leg *leg, int err) {
  (void)err;
  end_answer(answer_of(leg));
}

static const t2_leg_ops answer_ops = {
    .name = "files",
    .at = T2_AT_LOCAL,
    .head = answer_head,
    .data = answer_data,
    .end = answer_end,
    .consumed = answer_consumed,
    .closed = answer_closed,
};

/* ---- What is answered ---- */

static void refuse(t2_exchange *exchange, int status, t2_str name, t2_str value) {
  t2_exchange_refuse_with(exchange, t2_problem_of_status(status), NULL, name, value);
}

/* Takes fd, which may be -1, over. NULL: there was no memory, and the exchange has been refused for it. */
static answer *answer_new(t2_files *files, t2_exchange *exchange, int fd, const char *type) {
  answer *a = t2_calloc(files->loop->mem, 1, sizeof(*a));
  if (!a) {
    if (fd >= 0) close(fd);
    t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_LOCAL), NULL);
    return NULL;
  }
  a->leg.ops = &answer_ops;
  a->loop = files->loop;
  a->fd = fd;
  a->type = type;
  t2_buf_init(&a->page, files->loop->mem);
  t2_flushable_init(&a->flushable, on_flush);
  return a;
}

static void drop_answer(answer *a) {
  free_answer(&a->reapable);
}

static void serve_file(t2_files *files, t2_exchange *exchange, const t2_head *head, bool end, int fd,
                       const struct stat *st, const char *path) {
  answer *a = answer_new(files, exchange, fd, t2_media_type(t2_str_c(path)));
  char range[48];
  if (!a) return;
  snprintf(a->etag, sizeof(a->etag), "\"%llx.%lx-%llx\"", (unsigned long long)st->st_mtim.tv_sec,
           (unsigned long)st->st_mtim.tv_nsec, (unsigned long long)st->st_size);
  a->what = (t2_representation){t2_str_c(a->etag), st->st_mtim.tv_sec, (uint64_t)st->st_size};
  a->selection = t2_select(head, &a->what);
  int status = a->selection.status;
  if (status < 400) {
    t2_exchange_connect(exchange, &a->leg, head, end, NULL, 0);
    return;
  }
  snprintf(range, sizeof(range), "bytes */%llu", (unsigned long long)a->what.size);
  drop_answer(a);
  if (status == 416)
    refuse(exchange, 416, T2_STR("content-range"), t2_str_c(range));
  else
    refuse(exchange, status, T2_STR_NULL, T2_STR_NULL);
}

static void serve_listing(t2_files *files, t2_exchange *exchange, const t2_head *head, bool end,
                          int directory, const char *path, t2_str title) {
  answer *a = answer_new(files, exchange, -1, "text/html; charset=utf-8");
  if (!a) {
    close(directory);
    return;
  }
  int err = t2_listing_write(files->directory, path, directory, title, &a->page);
  if (err) {
    drop_answer(a);
    t2_exchange_refuse(exchange, t2_problem_of(err, T2_AT_LOCAL), NULL);
    return;
  }
  a->selection = (t2_selection){200, 0, t2_buf_len(&a->page)};
  t2_exchange_connect(exchange, &a->leg, head, end, NULL, 0);
}

/* 301 to the same with a slash behind, said relatively: nobody here knows what stands before the path in
 * public. */
static void redirect(t2_files *files, t2_exchange *exchange, const t2_head *head, bool end) {
  t2_str path = head->path;
  ptrdiff_t question = t2_str_find(path, '?');
  t2_str query = question < 0 ? T2_STR_NULL : t2_str_of(path.p + question, path.n - (size_t)question);
  answer *a = answer_new(files, exchange, -1, NULL);
  if (!a) return;
  path.n -= query.n;
  size_t last = (size_t)(t2_str_rfind(path, '/') + 1);
  if (t2_buf_printf(&a->page, "./%.*s/%.*s", (int)(path.n - last), path.p + last, T2_STR_ARG(query))) {
    drop_answer(a);
    t2_exchange_refuse(exchange, t2_problem_of(T2_ERR_NOMEM, T2_AT_LOCAL), NULL);
    return;
  }
  a->selection.status = 301;
  t2_exchange_connect(exchange, &a->leg, head, end, NULL, 0);
}

static int status_of_errno(int err) {
  switch (err) {
  case EACCES:
    return 403;
  case EMFILE:
  case ENFILE:
  case ENOMEM:
    return 503;
  default:
    return 404;
  }
}

/* The index of a directory, if it is a file: a descriptor, or a negative errno. */
static int open_index(const t2_files *files, const char *path, struct stat *st) {
  char index[T2_FILE_PATH_MAX + 16];
  snprintf(index, sizeof(index), "%s/index.html", path);
  int fd = t2_file_open_beneath(files->directory, index);
  if (fd < 0) return fd;
  if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) return fd;
  close(fd);
  return -ENOENT;
}

static void serve_directory(t2_files *files, t2_exchange *exchange, const t2_head *head, bool end,
                            int directory, const char *path) {
  struct stat st;
  ptrdiff_t question = t2_str_find(head->path, '?');
  t2_str title = question < 0 ? head->path : t2_str_of(head->path.p, (size_t)question);
  if (!t2_str_ends(title, T2_STR("/"))) {
    close(directory);
    redirect(files, exchange, head, end);
    return;
  }
  int index = open_index(files, path, &st);
  if (index < 0) {
    serve_listing(files, exchange, head, end, directory, path, title);
    return;
  }
  close(directory);
  serve_file(files, exchange, head, end, index, &st, "index.html");
}

/* ---- Calls ---- */

void t2_files_serve(t2_files *files, t2_exchange *exchange, const t2_head *head, bool end, t2_str prefix) {
  char path[T2_FILE_PATH_MAX];
  struct stat st = {0};
  bool known = t2_str_eq(head->method, T2_STR("GET")) || t2_str_eq(head->method, T2_STR("HEAD"));
  if (!known) {
    refuse(exchange, 405, T2_STR("allow"), T2_STR("GET, HEAD"));
    return;
  }
  ptrdiff_t question = t2_str_find(head->path, '?');
  t2_str raw = t2_str_of(head->path.p, question < 0 ? head->path.n : (size_t)question);
  bool is_path = t2_file_path(t2_str_of(raw.p + prefix.n, raw.n - prefix.n), path) == 0;
  int fd = is_path ? t2_file_open_beneath(files->directory, path) : -ENOENT;
  if (fd < 0) {
    refuse(exchange, status_of_errno(-fd), T2_STR_NULL, T2_STR_NULL);
  } else if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
    serve_directory(files, exchange, head, end, fd, path);
  } else if (S_ISREG(st.st_mode) && !t2_str_ends(raw, T2_STR("/"))) {
    serve_file(files, exchange, head, end, fd, &st, path);
  } else {
    close(fd);
    refuse(exchange, 404, T2_STR_NULL, T2_STR_NULL);
  }
}

int t2_files_new(t2_files **out, t2_loop *loop, t2_str directory, char *detail, size_t detail_size) {
  *out = NULL;
  t2_files *files = t2_calloc(loop->mem, 1, sizeof(*files));
  char *path = t2_strndup(loop->mem, directory.p, directory.n);
  if (!files || !path) {
    t2_free(loop->mem, files);
    t2_free(loop->mem, path);
    return T2_ERR_NOMEM;
  }
  files->loop = loop;
  files->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int err = files->directory >= 0 ? 0 : errno;
  t2_free(loop->mem, path);
  if (err == 0) {
    *out = files;
    return 0;
  }
  t2_free(loop->mem, files);
  return t2_detail(detail, detail_size, t2_error_of_uv(-err), "the directory %.*s cannot be served: %s",
                   T2_STR_ARG(directory), uv_strerror(-err));
}

void t2_files_free(t2_files *files) {
  if (!files) return;
  close(files->directory);
  t2_free(files->loop->mem, files);
}
