#include <proxy/h1_pool.h>
#include <tunnel2/error.h>

struct t2_h1_pool {
  t2_loop *loop;
  t2_leg opener; /* stands in for the connection that its `head` picks */
  t2_h1_client_options shared;
  char *host, *unix_path, *host_header;
  t2_list idle; /* the one used last comes first */
  t2_list active;
  size_t idle_count, active_count, idle_max;
  uint64_t dials;
  bool failing; /* the last dial failed, and that was logged */
  bool closing;
  void (*on_dialled)(int err, void *user); /* the owner's; NULL: none */
  void *user;
  t2_reapable reapable;
};

void t2_h1_pool_options_init(t2_h1_pool_options *options) {
  *options = (t2_h1_pool_options){.connect_timeout_ms = 5000, .idle_timeout_ms = 60000, .idle_max = 256};
  t2_h1_limits_init(&options->limits);
}

/* ---- Events of the connections ---- */

static void on_dialled(t2_h1_client *client, int err, const char *detail, void *user) {
  t2_h1_pool *pool = user;
  pool->dials++;
  if (err && !pool->failing)
    t2_log_at(&pool->loop->log, WARN, "proxy", "origin: %s", detail && *detail ? detail : t2_strerror(err));
  else if (!err && pool->failing)
    t2_log_at(&pool->loop->log, INFO, "proxy", "origin: connected again");
  pool->failing = err != 0;
  if (pool->on_dialled) pool->on_dialled(err, pool->user);
}

static void on_idle(t2_h1_client *client, void *user) {
  t2_h1_pool *pool = user;
  t2_list_remove(&client->node);
  t2_list_push_front(&pool->idle, &client->node);
  pool->active_count--;
  pool->idle_count++;
  if (pool->idle_count > pool->idle_max)
    t2_h1_client_close(T2_LIST_ENTRY(pool->idle.prev, t2_h1_client, node), T2_OK);
}

static void on_gone(t2_h1_client *client, void *user) {
  t2_h1_pool *pool = user;
  t2_list_remove(&client->node);
  if (client->state == T2_H1_CLIENT_IDLE)
    pool->idle_count--;
  else
    pool->active_count--;
}

static const t2_h1_client_ops client_ops = {.on_dialled = on_dialled, .on_idle = on_idle, .on_gone = on_gone};

/* ---- The opener ---- */

static t2_h1_client *activate(t2_h1_pool *pool, t2_h1_client *client) {
  t2_list_push_front(&pool->active, &client->node);
  pool->active_count++;
  return client;
}

static t2_h1_client *pick(t2_h1_pool *pool) {
  t2_h1_client *client;
  if (t2_list_empty(&pool->idle)) {
    client = t2_h1_client_new(pool->loop, &pool->shared, &client_ops, pool);
    if (!client) return NULL;
  } else {
    client = T2_LIST_ENTRY(pool->idle.next, t2_h1_client, node);
    t2_list_remove(&client->node);
    pool->idle_count--;
  }
  return activate(pool, client);
}

/* Puts the connection's own leg in the opener's place. An error of its head is then its own to clean up
 * after, in `closed`. */
static int opener_head(t2_leg *opener, const t2_head *head, bool end) {
  t2_h1_pool *pool = T2_CONTAINER_OF(opener, t2_h1_pool, opener);
  t2_h1_client *client = pool->closing ? NULL : pick(pool);
  if (!client) return pool->closing ? T2_ERR_CANCELLED : T2_ERR_NOMEM;
  t2_leg *leg = &client->leg;
  leg->upstream = true;
  leg->exchange = opener->exchange;
  leg->exchange->up = leg;
  opener->exchange = NULL;
  return leg->ops->head(leg, head, end);
}

static void opener_closed(t2_leg *opener, int err) {
}

static const t2_leg_ops opener_ops = {
    .name = "h1 opener", .at = T2_AT_ORIGIN, .head = opener_head, .closed = opener_closed};

/* ---- Calls ---- */

static void free_pool(t2_reapable *reapable) {
  t2_h1_pool *pool = T2_CONTAINER_OF(reapable, t2_h1_pool, reapable);
  const t2_allocator *mem = pool->loop->mem;
  if (pool->shared.dial.tls) t2_tls_unref(pool->shared.dial.tls);
  t2_free(mem, pool->host);
  t2_free(mem, pool->unix_path);
  t2_free(mem, pool->host_header);
  t2_free(mem, pool);
}

static bool copy_names(t2_h1_pool *pool, const t2_h1_pool_options *options) {
  const t2_allocator *mem = pool->loop->mem;
  pool->host = t2_strndup(mem, options->host.p ? options->host.p : "", options->host.n);
  pool->host_header =
      t2_strndup(mem, options->host_header.p ? options->host_header.p : "", options->host_header.n);
  pool->unix_path = options->unix_path ? t2_strdup(mem, options->unix_path) : NULL;
  return pool->host && pool->host_header && (pool->unix_path || !options->unix_path);
}

int t2_h1_pool_new(t2_h1_pool **out, t2_loop *loop, const t2_h1_pool_options *options) {
  *out = NULL;
  if (options->host.n == 0 && !options->unix_path) return T2_ERR_INVALID;
  t2_h1_pool *pool = t2_calloc(loop->mem, 1, sizeof(*pool));
  if (!pool) return T2_ERR_NOMEM;
  pool->loop = loop;
  pool->opener.ops = &opener_ops;
  pool->idle_max = options->idle_max;
  t2_list_init(&pool->idle);
  t2_list_init(&pool->active);
  if (!copy_names(pool, options)) {
    free_pool(&pool->reapable);
    return T2_ERR_NOMEM;
  }
  pool->shared = (t2_h1_client_options){
      .dial = {.host = t2_str_c(pool->host),
               .port = options->port,
               .unix_path = pool->unix_path,
               .tls = options->tls ? t2_tls_ref(options->tls) : NULL,
               .timeout_ms = options->connect_timeout_ms},
      .host_header = t2_str_c(pool->host_header),
      .idle_timeout_ms = options->idle_timeout_ms,
      .limits = options->limits,
  };
  *out = pool;
  return 0;
}

t2_leg *t2_h1_pool_leg(t2_h1_pool *pool) {
  return &pool->opener;
}

void t2_h1_pool_on_dialled(t2_h1_pool *pool, void (*told)(int err, void *user), void *user) {
  pool->on_dialled = told;
  pool->user = user;
}

void t2_h1_pool_adopt(t2_h1_pool *pool, t2_conn *conn) {
  t2_h1_client *client =
      pool->closing ? NULL : t2_h1_client_new(pool->loop, &pool->shared, &client_ops, pool);
  if (client)
    t2_h1_client_adopt(activate(pool, client), conn);
  else
    t2_conn_close(conn, T2_ERR_NOMEM);
}

size_t t2_h1_pool_idle(const t2_h1_pool *pool) {
  return pool->idle_count;
}

size_t t2_h1_pool_active(const t2_h1_pool *pool) {
  return pool->active_count;
}

uint64_t t2_h1_pool_dials(const t2_h1_pool *pool) {
  return pool->dials;
}

static void close_all(t2_list *list) {
  while (!t2_list_empty(list))
    t2_h1_client_close(T2_LIST_ENTRY(list->next, t2_h1_client, node), T2_ERR_CANCELLED);
}

void t2_h1_pool_close(t2_h1_pool *pool) {
  if (pool->closing) return;
  pool->closing = true;
  close_all(&pool->active);
  close_all(&pool->idle);
  t2_loop_reap(pool->loop, &pool->reapable, free_pool);
}
