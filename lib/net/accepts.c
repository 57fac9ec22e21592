#include <net/accepts.h>

#include <net/address.h>
#include <tunnel2/error.h>

#define PREFIX_BYTES 8 /* of an IPv6 address */

struct t2_accepts_address {
  t2_list node; /* idle */
  t2_accepts *owner;
  uint32_t connections;
  t2_limit handshakes;
  uint64_t idle_ms; /* since when */
  size_t n;
  char key[sizeof(struct in6_addr)];
};

void t2_accepts_init(t2_accepts *accepts, const t2_allocator *mem) {
  *accepts = (t2_accepts){.mem = mem};
  t2_map_init(&accepts->addresses, mem);
  t2_list_init(&accepts->idle);
}

static void forget(t2_accepts_address *address) {
  t2_accepts *accepts = address->owner;
  t2_list_remove(&address->node);
  accepts->idle_count--;
  t2_map_del(&accepts->addresses, t2_str_of(address->key, address->n));
  t2_free(accepts->mem, address);
}

void t2_accepts_fini(t2_accepts *accepts) {
  T2_LIST_FOREACH(node, next, &accepts->idle) {
    forget(T2_LIST_ENTRY(node, t2_accepts_address, node));
  }
  t2_map_fini(&accepts->addresses);
}

static void sweep(t2_accepts *accepts, uint64_t now_ms) {
  T2_LIST_FOREACH(node, next, &accepts->idle) {
    t2_accepts_address *address = T2_LIST_ENTRY(node, t2_accepts_address, node);
    if (now_ms - address->idle_ms < T2_ACCEPTS_IDLE_MS && accepts->idle_count <= T2_ACCEPTS_IDLE_MAX) return;
    forget(address);
  }
}

/* The bytes that stand for it, or none: it is no address (a unix socket). */
static t2_str key_of(t2_str host, t2_address *address) {
  if (t2_address_parse(address, host, 0)) return T2_STR_NULL;
  if (address->any.sa_family == AF_INET)
    return t2_str_of((const char *)&address->in.sin_addr, sizeof(address->in.sin_addr));
  return t2_str_of((const char *)&address->in6.sin6_addr, PREFIX_BYTES);
}

static t2_accepts_address *take(t2_accepts *accepts, t2_str key, uint64_t now_ms) {
  t2_accepts_address *address = t2_map_get(&accepts->addresses, key);
  if (address) return address;
  address = t2_calloc(accepts->mem, 1, sizeof(*address));
  if (!address) return NULL;
  address->owner = accepts;
  address->n = key.n;
  memcpy(address->key, key.p, key.n);
  t2_limit_init(&address->handshakes, accepts->handshakes_per_second, now_ms);
  t2_list_init(&address->node);
  if (t2_map_set(&accepts->addresses, key, address) == 0) return address;
  t2_free(accepts->mem, address);
  return NULL;
}

static void rest(t2_accepts_address *address, uint64_t now_ms) {
  t2_accepts *accepts = address->owner;
  if (address->connections || t2_list_linked(&address->node)) return;
  address->idle_ms = now_ms;
  t2_list_push_back(&accepts->idle, &address->node);
  accepts->idle_count++;
}

static void use(t2_accepts_address *address) {
  address->connections++;
  if (!t2_list_linked(&address->node)) return;
  t2_list_remove(&address->node);
  address->owner->idle_count--;
}

static bool admits(t2_accepts *accepts, t2_accepts_address *address, bool tls, uint64_t now_ms) {
  if (accepts->connections_max && address->connections >= accepts->connections_max) {
    accepts->refused_address++;
    return false;
  }
  if (tls && !t2_limit_take(&address->handshakes, 1, now_ms)) {
    accepts->refused_handshakes++;
    return false;
  }
  return true;
}

int t2_accepts_enter(t2_accepts *accepts, t2_str host, bool tls, uint64_t now_ms, t2_accepts_address **out) {
  t2_address parsed;
  *out = NULL;
  if (!accepts->connections_max && !(tls && accepts->handshakes_per_second)) return 0;
  t2_str key = key_of(host, &parsed);
  if (key.n == 0 || (accepts->exempt && accepts->exempt(host, accepts->user))) return 0;
  sweep(accepts, now_ms);
  t2_accepts_address *address = take(accepts, key, now_ms);
  if (!address) return T2_ERR_NOMEM;
  if (address->handshakes.rate != accepts->handshakes_per_second)
    t2_limit_set_rate(&address->handshakes, accepts->handshakes_per_second, now_ms);
  if (!admits(accepts, address, tls, now_ms)) {
    rest(address, now_ms);
    return T2_ERR_LIMIT;
  }
  use(address);
  *out = address;
  return 0;
}

void t2_accepts_leave(t2_accepts_address *address, uint64_t now_ms) {
  address->connections--;
  rest(address, now_ms);
}
