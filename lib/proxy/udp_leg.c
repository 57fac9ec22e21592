#include <proxy/datagram_queue.h>
#include <proxy/dial_failure.h>
#include <proxy/udp_leg.h>
#include <stdio.h>
#include <tunnel2/error.h>
#include <wire/datagram.h>

#define RESOLVED_MS 10000 /* a name's address is good for so long */
#define FAILED_MS   1000  /* and that it has none */
#define HOST_MAX    253

typedef enum udp_state { UDP_NEW, UDP_WAITING, UDP_OPEN, UDP_ENDING, UDP_GONE } udp_state;

typedef struct resolving resolving;

typedef struct udp_leg {
  t2_leg leg;
  t2_list node;
  t2_udp_legs *owner; /* it outlives the leg's being in `list` or `ending` */
  t2_loop *loop;
  udp_state state;
  bool refused; /* downstream: the answer was no acceptance */
  bool opened;
  t2_datagram_reader reader;
  t2_datagram_queue queue; /* towards the exchange */
  size_t given;            /* to the exchange, and not yet consumed */
  size_t partial;          /* of the reader's, as the owner counts it */
  t2_flushable pump;
  t2_timer timer; /* idle; ENDING: how long that may take */
  uint64_t last_ms;
  const t2_udp_leg_ops *ops; /* downstream; NULL: nobody is to be told */
  void *user;
  const t2_udp_leg_options *options; /* upstream */
  t2_udp *udp;                       /* OPEN upstream */
  unsigned tried;                    /* addresses, with what is in: */
  t2_datagram_queue unanswered;      /* upstream, of several addresses: the last, until something was heard */
  bool heard;
  resolving *resolving; /* WAITING upstream */
  t2_reapable reapable;
} udp_leg;

/* It can't be freed before libuv has called back. */
struct resolving {
  uv_getaddrinfo_t req;
  t2_loop *loop;
  udp_leg *leg; /* NULL: nobody waits */
};

static udp_leg *udp_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, udp_leg, leg);
}

/* ---- The end ---- */

static void free_leg(t2_reapable *reapable) {
  udp_leg *u = T2_CONTAINER_OF(reapable, udp_leg, reapable);
  t2_datagram_reader_fini(&u->reader);
  t2_free(u->loop->mem, u);
}

static void stop_resolving(udp_leg *u) {
  if (!u->resolving) return;
  u->resolving->leg = NULL;
  uv_cancel((uv_req_t *)&u->resolving->req);
  u->resolving = NULL;
}

/* Nothing more goes in or out; what waits is lost. */
static void close_ends(udp_leg *u) {
  stop_resolving(u);
  if (u->udp) t2_udp_close(u->udp);
  u->udp = NULL;
  u->owner->dropped += t2_datagram_queue_clear(&u->queue);
  (void)t2_datagram_queue_clear(&u->unanswered);
}

static void count_partial(udp_leg *u, size_t n) {
  u->owner->partial += n - u->partial;
  u->partial = n;
}

static void leave_list(udp_leg *u) {
  if (u->state != UDP_ENDING) u->owner->count--;
  t2_list_remove(&u->node);
}

static void gone(udp_leg *u) {
  const t2_udp_leg_ops *ops = u->ops;
  if (u->state == UDP_GONE) return;
  close_ends(u);
  leave_list(u);
  u->state = UDP_GONE;
  u->ops = NULL;
  u->owner->held -= u->given;
  u->given = 0;
  count_partial(u, 0);
  t2_loop_timer_stop(u->loop, &u->timer);
  t2_loop_calm(&u->pump);
  t2_loop_reap(u->loop, &u->reapable, free_leg);
  if (ops) ops->on_gone(u->opened, u->user);
}

/* detail goes to the public: it names no address. */
static void fail(udp_leg *u, int err, t2_problem_at at, const char *detail) {
  gone(u);
  t2_exchange_fail(&u->leg, err, at, detail);
}

void t2_udp_leg_end(t2_leg *leg) {
  udp_leg *u = udp_of(leg);
  u->ops = NULL;
  if (u->state == UDP_ENDING || u->state == UDP_GONE) return;
  if (u->state != UDP_OPEN) {
    fail(u, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
    return;
  }
  close_ends(u);
  leave_list(u);
  u->state = UDP_ENDING;
  t2_list_push_back(&u->owner->ending, &u->node);
  t2_loop_timer_start(u->loop, &u->timer, T2_UDP_ENDING_MS);
  t2_exchange_end(leg, NULL);
}

static void on_timer(t2_timer *timer) {
  udp_leg *u = T2_CONTAINER_OF(timer, udp_leg, timer);
  uint64_t idle = t2_loop_now(u->loop) - u->last_ms;
  if (u->state == UDP_ENDING) {
    fail(u, T2_ERR_TIMEOUT, T2_AT_LOCAL, NULL);
  } else if (idle < u->owner->idle_ms) {
    t2_loop_timer_start(u->loop, timer, u->owner->idle_ms - idle);
  } else {
    const t2_udp_leg_ops *ops = u->ops;
    if (ops) ops->on_gone(true, u->user);
    t2_udp_leg_end(&u->leg);
  }
}

/* ---- To the exchange ---- */

static bool has_window(const udp_leg *u, size_t n) {
  return u->state == UDP_OPEN && u->given + n + T2_DATAGRAM_HEADER_MAX <= T2_LEG_WINDOW;
}

static bool fits(const udp_leg *u, size_t n) {
  return has_window(u, n) && u->owner->held + n + T2_DATAGRAM_HEADER_MAX <= T2_UDP_HELD_MAX;
}

static void give(udp_leg *u, const uint8_t *bytes, size_t n) {
  uint8_t header[T2_DATAGRAM_HEADER_MAX];
  size_t size = t2_datagram_header(header, n);
  u->given += size + n;
  u->owner->held += size + n;
  t2_exchange_data(&u->leg, header, size);
  t2_exchange_data(&u->leg, bytes, n);
}

static void take(udp_leg *u, const uint8_t *bytes, size_t n) {
  u->last_ms = t2_loop_now(u->loop);
  if (u->state == UDP_ENDING || u->state == UDP_GONE || u->refused || n > T2_DATAGRAM_MAX)
    u->owner->dropped++;
  else if (!t2_datagram_queue_first(&u->queue) && fits(u, n))
    give(u, bytes, n);
  else
    u->owner->dropped += t2_datagram_queue_push(&u->queue, bytes, n);
}

/* What is in the queue is held already. */
static void on_pump(t2_flushable *flushable) {
  udp_leg *u = T2_CONTAINER_OF(flushable, udp_leg, pump);
  const t2_datagram *first;
  while ((first = t2_datagram_queue_first(&u->queue)) && has_window(u, first->n)) {
    t2_datagram *datagram = t2_datagram_queue_pop(&u->queue);
    give(u, datagram->bytes, datagram->n);
    t2_free(u->loop->mem, datagram);
  }
}

void t2_udp_leg_datagram(t2_leg *leg, const uint8_t *bytes, size_t n) {
  take(udp_of(leg), bytes, n);
}

static void leg_consumed(t2_leg *leg, size_t n) {
  udp_leg *u = udp_of(leg);
  if (n > u->given) n = u->given;
  u->given -= n;
  u->owner->held -= n;
  if (t2_datagram_queue_first(&u->queue)) t2_loop_wake(u->loop, &u->pump);
}

/* ---- From the exchange ---- */

static void note_reachable(udp_leg *u, int err) {
  const t2_log *log = &u->loop->log;
  if (err && !u->owner->failing)
    t2_log_at(log, WARN, "proxy", "origin: datagrams do not arrive: %s", t2_strerror(err));
  else if (!err && u->owner->failing)
    t2_log_at(log, INFO, "proxy", "origin: it answers again");
  u->owner->failing = err != 0;
}

/* Without memory it is not sent again, which is no error. */
static void keep_unanswered(udp_leg *u, const uint8_t *bytes, size_t n) {
  if (u->heard || u->owner->address_count < 2) return;
  (void)t2_datagram_queue_clear(&u->unanswered);
  (void)t2_datagram_queue_push(&u->unanswered, bytes, n);
  u->tried = 1;
}

static int on_datagram(const uint8_t *bytes, size_t n, void *user) {
  udp_leg *u = user;
  u->last_ms = t2_loop_now(u->loop);
  if (u->udp) {
    keep_unanswered(u, bytes, n);
    if (t2_udp_send(u->udp, NULL, bytes, n)) u->owner->dropped++;
  } else if (u->state == UDP_OPEN && u->ops) {
    u->ops->on_datagram(bytes, n, u->user);
  } else {
    u->owner->dropped++;
  }
  return 0;
}

static int leg_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  udp_leg *u = udp_of(leg);
  int err = u->refused || u->state == UDP_ENDING ? 0 : t2_datagram_reader_feed(&u->reader, bytes, n);
  if (u->state == UDP_GONE) return err;
  count_partial(u, t2_buf_len(&u->reader.partial));
  if (u->owner->partial > T2_UDP_HELD_MAX) err = T2_ERR_LIMIT;
  if (err == 0) t2_exchange_consumed(leg, n);
  return err;
}

/* There is no half of a flow: one side's end is that of both. */
static int leg_end(t2_leg *leg, const t2_fields *trailers) {
  udp_leg *u = udp_of(leg);
  (void)trailers;
  if (u->state == UDP_OPEN)
    t2_exchange_end(leg, NULL);
  else if (u->state == UDP_WAITING && leg->upstream)
    return T2_ERR_CANCELLED;
  return 0;
}

static void leg_closed(t2_leg *leg, int err) {
  (void)err;
  gone(udp_of(leg));
}

/* ---- Downstream ---- */

static void opened(udp_leg *u) {
  u->state = UDP_OPEN;
  u->opened = true;
  u->last_ms = t2_loop_now(u->loop);
  if (u->owner->idle_ms) t2_loop_timer_start(u->loop, &u->timer, u->owner->idle_ms);
  t2_loop_wake(u->loop, &u->pump);
}

static int accepted_head(t2_leg *leg, const t2_head *head, bool end) {
  udp_leg *u = udp_of(leg);
  if (head->status < 200 && head->status != 101) return 0;
  u->refused = !leg->exchange->tunnel;
  if (u->refused) return 0;
  opened(u);
  return end ? leg_end(leg, NULL) : 0;
}

static const t2_leg_ops accepted_ops = {
    .name = "udp server",
    .at = T2_AT_LOCAL,
    .head = accepted_head,
    .data = leg_data,
    .end = leg_end,
    .consumed = leg_consumed,
    .closed = leg_closed,
};

static udp_leg *leg_new(t2_udp_legs *legs, const t2_leg_ops *ops, udp_state state) {
  udp_leg *u = t2_calloc(legs->loop->mem, 1, sizeof(*u));
  if (!u) return NULL;
  u->leg.ops = ops;
  u->owner = legs;
  u->loop = legs->loop;
  u->state = state;
  t2_datagram_reader_init(&u->reader, legs->loop->mem, on_datagram, u);
  t2_datagram_queue_init(&u->queue, legs->loop->mem, &legs->held, T2_UDP_HELD_MAX);
  t2_datagram_queue_init(&u->unanswered, legs->loop->mem, &legs->held, T2_UDP_HELD_MAX);
  t2_flushable_init(&u->pump, on_pump);
  t2_timer_init(&u->timer, on_timer);
  t2_list_init(&u->node);
  t2_list_push_back(&legs->list, &u->node);
  legs->count++;
  return u;
}

t2_leg *t2_udp_leg_accepted(t2_udp_legs *legs, const t2_udp_leg_ops *ops, void *user) {
  udp_leg *u = leg_new(legs, &accepted_ops, UDP_WAITING);
  if (!u) return NULL;
  u->ops = ops;
  u->user = user;
  return &u->leg;
}

/* ---- Upstream ---- */

static void on_socket(t2_udp *udp, int err, const t2_address *from, const uint8_t *bytes, size_t n,
                      void *user);

/* The next address there is a way to, with the datagram that nobody took; false: all were tried. */
static bool try_next(udp_leg *u) {
  t2_udp_legs *owner = u->owner;
  const t2_datagram *last = t2_datagram_queue_first(&u->unanswered);
  while (last && u->tried++ < owner->address_count) {
    t2_udp *next;
    owner->address_at = (owner->address_at + 1) % owner->address_count; /* for new flows as well */
    if (t2_udp_connect(&next, u->loop, &owner->addresses[owner->address_at], on_socket, u)) continue;
    t2_udp_close(u->udp);
    u->udp = next;
    if (t2_udp_send(next, NULL, last->bytes, last->n) == 0) return true;
  }
  (void)t2_datagram_queue_clear(&u->unanswered);
  return false;
}

static void on_socket(t2_udp *udp, int err, const t2_address *from, const uint8_t *bytes, size_t n,
                      void *user) {
  udp_leg *u = user;
  (void)udp;
  (void)from;
  if (err && try_next(u)) return;
  note_reachable(u, err);
  if (err) return;
  u->heard = true;
  (void)t2_datagram_queue_clear(&u->unanswered);
  take(u, bytes, n);
}

static int answer(udp_leg *u) {
  t2_head head;
  t2_head_init(&head, u->loop->mem);
  head.status = 101;
  head.protocol = T2_UDP_PROTOCOL;
  head.content_length = -1;
  head.version_minor = 1;
  int err = t2_fields_add(&head.fields, T2_STR("capsule-protocol"), T2_STR("?1"));
  if (err == 0) {
    opened(u);
    t2_exchange_head(&u->leg, &head, false);
  }
  t2_head_fini(&head);
  return err;
}

static int open_flow(udp_leg *u, const t2_address *address) {
  int err = t2_udp_connect(&u->udp, u->loop, address, on_socket, u);
  return err ? err : answer(u);
}

static void keep_addresses(t2_udp_legs *owner, const struct addrinfo *list) {
  owner->address_count = owner->address_at = 0;
  for (; list && owner->address_count < T2_UDP_ADDRESSES_MAX; list = list->ai_next)
    if (t2_address_from(&owner->addresses[owner->address_count], list->ai_addr)) owner->address_count++;
}

/* From the one that served last: the first address that there is a way to. */
static int try_addresses(udp_leg *u) {
  t2_udp_legs *owner = u->owner;
  int err = T2_ERR_RESOLVE;
  for (unsigned i = 0; i < owner->address_count; i++) {
    err = open_flow(u, &owner->addresses[owner->address_at]);
    if (err == 0 || err == T2_ERR_NOMEM || u->udp) return err;
    owner->address_at = (owner->address_at + 1) % owner->address_count;
  }
  return err;
}

static int try_resolved(udp_leg *u, const struct addrinfo *list) {
  keep_addresses(u->owner, list);
  int err = try_addresses(u);
  u->owner->resolved_ms = err ? 0 : t2_loop_now(u->loop);
  u->owner->failed_ms = err ? t2_loop_now(u->loop) : 0;
  return err;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
  resolving *r = req->data;
  t2_loop *loop = r->loop;
  udp_leg *u = r->leg;
  if (u) {
    u->resolving = NULL;
    int err = status ? t2_error_of_uv(status) : try_resolved(u, list);
    if (status) u->owner->failed_ms = t2_loop_now(loop);
    if (err) {
      note_reachable(u, err);
      fail(u, err, T2_AT_DIAL, t2_dial_failure(err));
    }
  }
  uv_freeaddrinfo(list);
  t2_free(loop->mem, r);
  t2_loop_release(loop);
}

static int resolve(udp_leg *u) {
  const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_protocol = IPPROTO_UDP};
  char host[HOST_MAX + 1], port[8];
  if (u->options->host.n > HOST_MAX) return T2_ERR_RESOLVE;
  resolving *r = t2_calloc(u->loop->mem, 1, sizeof(*r));
  if (!r) return T2_ERR_NOMEM;
  *r = (resolving){.loop = u->loop, .leg = u};
  r->req.data = r;
  snprintf(host, sizeof(host), "%.*s", T2_STR_ARG(u->options->host));
  snprintf(port, sizeof(port), "%u", (unsigned)u->options->port);
  int status = uv_getaddrinfo(u->loop->uv, &r->req, on_resolved, host, port, &hints);
  if (status) {
    t2_free(u->loop->mem, r);
    return t2_error_of_uv(status);
  }
  t2_loop_hold(u->loop);
  u->resolving = r;
  return 0;
}

static bool is_recent(const udp_leg *u, uint64_t at_ms, uint64_t span_ms) {
  return at_ms && t2_loop_now(u->loop) - at_ms < span_ms;
}

static int dialling_head(t2_leg *leg, const t2_head *head, bool end) {
  udp_leg *u = udp_of(leg);
  t2_address address;
  (void)head;
  if (end) return T2_ERR_PROTOCOL;
  u->state = UDP_WAITING;
  if (t2_address_parse(&address, u->options->host, u->options->port) == 0) return open_flow(u, &address);
  if (is_recent(u, u->owner->resolved_ms, RESOLVED_MS)) return try_addresses(u);
  if (is_recent(u, u->owner->failed_ms, FAILED_MS)) return T2_ERR_RESOLVE;
  return resolve(u);
}

static const t2_leg_ops dialling_ops = {
    .name = "udp client",
    .at = T2_AT_ORIGIN,
    .head = dialling_head,
    .data = leg_data,
    .end = leg_end,
    .consumed = leg_consumed,
    .closed = leg_closed,
};

t2_leg *t2_udp_leg_dialling(t2_udp_legs *legs, const t2_udp_leg_options *options) {
  udp_leg *u = leg_new(legs, &dialling_ops, UDP_NEW);
  if (!u) return NULL;
  u->options = options;
  return &u->leg;
}

/* ---- All of them ---- */

void t2_udp_legs_init(t2_udp_legs *legs, t2_loop *loop) {
  *legs = (t2_udp_legs){.loop = loop};
  t2_list_init(&legs->list);
  t2_list_init(&legs->ending);
}

void t2_udp_legs_end(t2_udp_legs *legs) {
  while (!t2_list_empty(&legs->list))
    t2_udp_leg_end(&T2_LIST_ENTRY(legs->list.next, udp_leg, node)->leg);
}

void t2_udp_legs_close(t2_udp_legs *legs) {
  t2_list *lists[] = {&legs->list, &legs->ending};
  for (size_t i = 0; i < T2_COUNT_OF(lists); i++)
    while (!t2_list_empty(lists[i])) {
      udp_leg *u = T2_LIST_ENTRY(lists[i]->next, udp_leg, node);
      u->ops = NULL;
      fail(u, T2_ERR_CANCELLED, T2_AT_LOCAL, NULL);
    }
}
