#include <client/routes.h>
#include <stdlib.h>
#include <tunnel2/error.h>
#include <wire/detail.h>

#define PREFIX_MAX 1024 /* characters */

/* ---- Options ---- */

/* "PREFIX=ORIGIN", its prefix without the slash at the end. */
static int parse(const char *text, t2_str *prefix, t2_str *origin, char *detail, size_t size) {
  t2_str whole = t2_str_c(text);
  ptrdiff_t equals = t2_str_find(whole, '=');
  if (!text || equals < 0)
    return t2_detail(detail, size, T2_ERR_INVALID,
                     "route \"%.80s\": PREFIX=ORIGIN is taken, such as /api=3000", text ? text : "");
  *prefix = t2_str_of(whole.p, (size_t)equals);
  *origin = t2_str_of(whole.p + equals + 1, whole.n - (size_t)equals - 1);
  if (!t2_is_origin_form(*prefix) || t2_str_find(*prefix, '?') >= 0 || prefix->n > PREFIX_MAX)
    return t2_detail(detail, size, T2_ERR_INVALID, "route \"%.80s\": a prefix is a path that begins with /",
                     text);
  while (prefix->n && prefix->p[prefix->n - 1] == '/')
    prefix->n--;
  return 0;
}

/* The i-th of all: the origin of "/" comes behind the others, when it is given. */
static int get(const t2_client_options *o, size_t i, t2_str *prefix, t2_str *origin, char *detail,
               size_t size) {
  if (i < o->route_count) return parse(o->routes[i], prefix, origin, detail, size);
  *prefix = T2_STR_NULL;
  *origin = t2_str_c(o->origin);
  return 0;
}

static size_t count(const t2_client_options *o) {
  return o->route_count + (o->origin ? 1 : 0);
}

static int check_one(const t2_client_options *o, size_t i, char *detail, size_t size) {
  t2_str prefix, text, other, ignored;
  t2_target target;
  int err = get(o, i, &prefix, &text, detail, size);
  for (size_t k = 0; err == 0 && k < i; k++)
    if (get(o, k, &other, &ignored, NULL, 0) == 0 && t2_str_eq(prefix, other))
      err = t2_detail(detail, size, T2_ERR_INVALID, "there are two origins for %.*s/", T2_STR_ARG(prefix));
  return err ? err : t2_target_parse(text, &target, detail, size);
}

int t2_client_routes_check(const t2_client_options *options, char *detail, size_t detail_size) {
  int err = 0;
  if (count(options) == 0 && !options->handler)
    return t2_detail(detail, detail_size, T2_ERR_INVALID, "an origin is required");
  if (options->route_count > T2_CLIENT_ROUTES_MAX)
    return t2_detail(detail, detail_size, T2_ERR_INVALID, "more than %d routes", T2_CLIENT_ROUTES_MAX);
  for (size_t i = 0; err == 0 && i < count(options); i++)
    err = check_one(options, i, detail, detail_size);
  return err;
}

/* ---- Opening ---- */

static void on_origin_gone(t2_origin *origin, void *user) {
  t2_client_routes *routes = user;
  (void)origin;
  if (--routes->open == 0) routes->on_gone(routes->user);
}

static int need_tls(t2_client_routes *routes, t2_loop *loop, const t2_client_options *o, char *detail,
                    size_t size) {
  if (routes->tls.any) return 0;
  if (o->origin_insecure)
    t2_log_at(&loop->log, WARN, "client", "https origins are not verified: whoever answers there is trusted");
  return t2_origin_tls_init(&routes->tls, loop, o->origin_ca_file, o->origin_insecure, detail, size);
}

static int open_origin(t2_client_routes *routes, t2_client_route *route, const t2_target *target,
                       t2_proxy *proxy, const t2_client_options *o, char *detail, size_t size) {
  t2_origin_options options = {
      .target = *target,
      .tls = &routes->tls,
      .host_header = t2_str_c(o->host_header),
      .connect_timeout_ms = o->connect_timeout_ms,
  };
  int err = target->kind == T2_TARGET_HTTPS ? need_tls(routes, proxy->loop, o, detail, size) : 0;
  if (err == 0) err = t2_origin_new(&route->origin, proxy, &options, on_origin_gone, routes);
  if (err == 0) routes->open++;
  return err;
}

/* Route and target are copied: their slices point into the options, which need not last. */
static int open_one(t2_client_routes *routes, t2_str prefix, t2_str origin, t2_proxy *proxy,
                    const t2_client_options *o, char *detail, size_t size) {
  t2_client_route *route = &routes->list[routes->n];
  t2_target target;
  *route = (t2_client_route){.text = t2_alloc(routes->mem, prefix.n + origin.n + 1)};
  if (!route->text) return T2_ERR_NOMEM;
  routes->n++;
  if (prefix.n) memcpy(route->text, prefix.p, prefix.n);
  if (origin.n) memcpy(route->text + prefix.n, origin.p, origin.n);
  route->text[prefix.n + origin.n] = '\0';
  route->prefix = t2_str_of(route->text, prefix.n);
  int err = t2_target_parse(t2_str_of(route->text + prefix.n, origin.n), &target, detail, size);
  if (err) return err;
  route->target = target;
  route->authority = target.authority;
  if (target.kind == T2_TARGET_FILES)
    return t2_files_new(&route->files, proxy->loop, target.path, detail, size);
  return open_origin(routes, route, &target, proxy, o, detail, size);
}

static int longer_first(const void *a, const void *b) {
  const t2_client_route *x = a, *y = b;
  return (x->prefix.n < y->prefix.n) - (x->prefix.n > y->prefix.n);
}

int t2_client_routes_open(t2_client_routes *routes, t2_proxy *proxy, const t2_client_options *options,
                          char *detail, size_t detail_size) {
  int err = 0;
  routes->mem = proxy->loop->mem;
  for (size_t i = 0; err == 0 && i < count(options); i++) {
    t2_str prefix = T2_STR_NULL, origin = T2_STR_NULL;
    err = get(options, i, &prefix, &origin, detail, detail_size);
    if (err == 0) err = open_one(routes, prefix, origin, proxy, options, detail, detail_size);
  }
  qsort(routes->list, routes->n, sizeof(routes->list[0]), longer_first);
  return err;
}

/* ---- Use ---- */

static bool covers(t2_str prefix, t2_str path) {
  if (prefix.n == 0) return true;
  return t2_str_starts(path, prefix) &&
         (path.n == prefix.n || path.p[prefix.n] == '/' || path.p[prefix.n] == '?');
}

const t2_client_route *t2_client_routes_find(const t2_client_routes *routes, t2_str path) {
  for (size_t i = 0; i < routes->n; i++)
    if (covers(routes->list[i].prefix, path)) return &routes->list[i];
  return NULL;
}

/* ---- The end ---- */

void t2_client_routes_close(t2_client_routes *routes) {
  for (size_t i = 0; i < routes->n; i++) {
    t2_client_route *route = &routes->list[i];
    t2_files_free(route->files);
    if (route->origin) t2_origin_close(route->origin);
    route->files = NULL;
    route->origin = NULL;
  }
  t2_origin_tls_fini(&routes->tls);
}

void t2_client_routes_fini(t2_client_routes *routes) {
  for (size_t i = 0; i < routes->n; i++)
    t2_free(routes->mem, routes->list[i].text);
  routes->n = 0;
}
