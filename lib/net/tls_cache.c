#include <net/tls_internal.h>

/* In order of use, the latest first. There are so few that they are looked through. */
typedef struct cached {
  t2_list node;
  mbedtls_ssl_session session;
  size_t name_n;
  char name[];
} cached;

static cached *find(t2_tls *tls, t2_str name) {
  T2_LIST_FOREACH(node, next, &tls->sessions) {
    cached *entry = T2_LIST_ENTRY(node, cached, node);
    if (t2_str_eq(t2_str_of(entry->name, entry->name_n), name)) return entry;
  }
  return NULL;
}

static void forget(t2_tls *tls, cached *entry) {
  t2_list_remove(&entry->node);
  tls->session_count--;
  mbedtls_ssl_session_free(&entry->session);
  t2_free(tls->mem, entry);
}

static cached *make(t2_tls *tls, t2_str name) {
  cached *entry = t2_calloc(tls->mem, 1, sizeof(*entry) + name.n);

  if (!entry) return NULL;
  t2_list_init(&entry->node);
  mbedtls_ssl_session_init(&entry->session);
  entry->name_n = name.n;
  if (name.n) memcpy(entry->name, name.p, name.n);
  return entry;
}

const mbedtls_ssl_session *t2_tls_cache_get(t2_tls *tls, t2_str name) {
  cached *entry = find(tls, name);

  if (!entry) return NULL;
  t2_list_remove(&entry->node);
  t2_list_push_front(&tls->sessions, &entry->node);
  return &entry->session;
}

void t2_tls_cache_put(t2_tls *tls, t2_str name, const mbedtls_ssl_context *ssl) {
  cached *entry = make(tls, name);

  if (!entry) return;
  t2_tls_cache_drop(tls, name);
  if (mbedtls_ssl_get_session(ssl, &entry->session)) {
    mbedtls_ssl_session_free(&entry->session);
    t2_free(tls->mem, entry);
    return;
  }
  if (tls->session_count == T2_TLS_SESSIONS_MAX) forget(tls, T2_LIST_ENTRY(tls->sessions.prev, cached, node));
  t2_list_push_front(&tls->sessions, &entry->node);
  tls->session_count++;
}

void t2_tls_cache_drop(t2_tls *tls, t2_str name) {
  cached *entry = find(tls, name);

  if (entry) forget(tls, entry);
}

void t2_tls_cache_clear(t2_tls *tls) {
  while (!t2_list_empty(&tls->sessions))
    forget(tls, T2_LIST_ENTRY(tls->sessions.next, cached, node));
}
