#include <proxy/origin.h>
#include <tunnel2/error.h>

struct t2_origin {
  t2_loop *loop;
  t2_h1_pool *h1;    /* NULL for h2c */
  t2_h2_pool *h2;    /* NULL for what speaks HTTP/1.1 only; until it is gone */
  bool speaks_http1; /* https: ALPN has chosen it */
  t2_origin_gone_cb on_gone;
  void *user;
  t2_reapable reapable;
};

/* ---- TLS ---- */

static int make_tls(t2_tls **tls, t2_loop *loop, const char *ca_file, bool insecure, const char *const *alpn,
                    char *detail, size_t size) {
  return insecure ? t2_tls_client_new_insecure(tls, loop, alpn, detail, size)
                  : t2_tls_client_new(tls, loop, ca_file, alpn, detail, size);
}

int t2_origin_tls_init(t2_origin_tls *tls, t2_loop *loop, const char *ca_file, bool insecure, char *detail,
                       size_t detail_size) {
  static const char *const any[] = {"h2", "http/1.1", NULL};
  static const char *const http1[] = {"http/1.1", NULL};
  *tls = (t2_origin_tls){0};
  int err = make_tls(&tls->any, loop, ca_file, insecure, any, detail, detail_size);
  if (err == 0) err = make_tls(&tls->http1, loop, ca_file, insecure, http1, detail, detail_size);
  if (err) t2_origin_tls_fini(tls);
  return err;
}

void t2_origin_tls_fini(t2_origin_tls *tls) {
  if (tls->any) t2_tls_unref(tls->any);
  if (tls->http1) t2_tls_unref(tls->http1);
  *tls = (t2_origin_tls){0};
}

/* ---- What it speaks ---- */

static void on_http1(t2_h2_pool *pool, t2_conn *conn, void *user) {
  t2_origin *origin = user;
  (void)pool;
  origin->speaks_http1 = true;
  t2_h1_pool_adopt(origin->h1, conn);
}

static t2_leg *http1_leg(t2_h2_pool *pool, void *user) {
  t2_origin *origin = user;
  (void)pool;
  return t2_h1_pool_leg(origin->h1);
}

t2_leg *t2_origin_leg(t2_origin *origin) {
  if (!origin->h2) return t2_h1_pool_leg(origin->h1);
  if (!origin->h1) return t2_h2_pool_leg(origin->h2);
  size_t connections = t2_h1_pool_idle(origin->h1) + t2_h1_pool_active(origin->h1);
  return origin->speaks_http1 && connections ? t2_h1_pool_leg(origin->h1) : t2_h2_pool_leg(origin->h2);
}

/* ---- Life ---- */

static void free_origin(t2_reapable *reapable) {
  t2_origin *origin = T2_CONTAINER_OF(reapable, t2_origin, reapable);
  t2_free(origin->loop->mem, origin);
}

static void gone(t2_origin *origin) {
  origin->on_gone(origin, origin->user);
  t2_loop_reap(origin->loop, &origin->reapable, free_origin);
}

static void on_pool_gone(t2_h2_pool *pool, void *user) {
  t2_origin *origin = user;
  (void)pool;
  origin->h2 = NULL;
  gone(origin);
}

static int make_h1(t2_origin *origin, const t2_origin_options *o, const char *path) {
  t2_h1_pool_options options;
  if (o->target.kind == T2_TARGET_H2C) return 0;
  t2_h1_pool_options_init(&options);
  options.host = o->target.host;
  options.port = o->target.port;
  options.unix_path = path;
  options.tls = o->target.kind == T2_TARGET_HTTPS ? o->tls->http1 : NULL;
  options.host_header = o->host_header;
  options.connect_timeout_ms = o->connect_timeout_ms;
  return t2_h1_pool_new(&origin->h1, origin->loop, &options);
}

static int make_h2(t2_origin *origin, t2_proxy *proxy, const t2_origin_options *o) {
  const t2_h2_pool_ops https_ops = {.on_http1 = on_http1, .http1_leg = http1_leg, .on_gone = on_pool_gone};
  const t2_h2_pool_ops h2c_ops = {.on_gone = on_pool_gone};
  bool https = o->target.kind == T2_TARGET_HTTPS;
  t2_h2_pool_options options;
  if (!https && o->target.kind != T2_TARGET_H2C) return 0;
  t2_h2_pool_options_init(&options);
  options.host = o->target.host;
  options.port = o->target.port;
  options.tls = https ? o->tls->any : NULL;
  options.host_header = o->host_header;
  options.connect_timeout_ms = o->connect_timeout_ms;
  return t2_h2_pool_new(&origin->h2, proxy, &options, https ? &https_ops : &h2c_ops, origin);
}

int t2_origin_new(t2_origin **out, t2_proxy *proxy, const t2_origin_options *options,
                  t2_origin_gone_cb on_gone, void *user) {
  const t2_allocator *mem = proxy->loop->mem;
  char *path = NULL;
  *out = NULL;
  if (options->target.kind == T2_TARGET_FILES) return T2_ERR_INVALID;
  t2_origin *origin = t2_calloc(mem, 1, sizeof(*origin));
  if (!origin) return T2_ERR_NOMEM;
  origin->loop = proxy->loop;
  origin->on_gone = on_gone;
  origin->user = user;
  int err = 0;
  if (options->target.kind == T2_TARGET_UNIX) {
    path = t2_strndup(mem, options->target.path.p, options->target.path.n);
    if (!path) err = T2_ERR_NOMEM;
  }
  if (err == 0) err = make_h1(origin, options, path);
  if (err == 0) err = make_h2(origin, proxy, options);
  t2_free(mem, path);
  if (err) {
    if (origin->h1) t2_h1_pool_close(origin->h1);
    t2_free(mem, origin);
    return err;
  }
  *out = origin;
  return 0;
}

void t2_origin_on_dialled(t2_origin *origin, void (*told)(int err, void *user), void *user) {
  if (origin->h1) t2_h1_pool_on_dialled(origin->h1, told, user);
  if (origin->h2) t2_h2_pool_on_dialled(origin->h2, told, user);
}

void t2_origin_close(t2_origin *origin) {
  if (origin->h1) t2_h1_pool_close(origin->h1);
  if (origin->h2)
    t2_h2_pool_close(origin->h2);
  else
    gone(origin);
}
