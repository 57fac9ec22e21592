#include <proxy/bridge.h>

#include <stdio.h>
#include <string.h>
#include <tunnel2/error.h>

#define LETTER_FIRST 512  /* bytes */
#define LETTER_KEPT  4096 /* a larger one is not used again */

typedef struct bridge bridge;

typedef struct half {
  t2_leg leg;
  bridge *bridge;
  t2_bridges *home, *there; /* this thread's, the other one's */
  t2_list node;             /* in home->list */
  t2_flushable flushable;
  t2_buf draft;          /* the next letter; room for its envelope first */
  size_t taken;          /* bytes consumed here, that the other half is still to be told of */
  bool left, other_left; /* a goodbye was sent; came */
  t2_mail goodbye;
  int error; /* of it */
} half;

/* Each half belongs to its thread. Whoever is done last frees it. */
struct bridge {
  const t2_allocator *mem;
  atomic_uint halves;
  unsigned hops;
  bool arrived; /* far's: its exchange has begun */
  half near, far;
  char session[T2_SESSION_ID_MAX + 1];
};

/* ---- Letters ---- */

typedef enum record_kind { RECORD_HEAD, RECORD_DATA, RECORD_END, RECORD_TAKEN, RECORD_FAILURE } record_kind;

/* In front of what it says: n bytes. */
typedef struct record {
  uint32_t kind, n;
} record;

/* RECORD_HEAD, and RECORD_END, whose head has the trailers; a copy, which is the reader's. */
typedef struct head_record {
  t2_head *head;
  bool end;
} head_record;

typedef struct failure_record {
  int error;
  const t2_problem *problem; /* of a table that all threads have */
  char detail[160];
} failure_record;

typedef struct letter {
  t2_mail mail;
  half *to;
  size_t n; /* bytes, this struct included */
  size_t cap;
} letter;

static void open_letter(t2_mail *mail, void *user);

/* The other half's. */
static half *other(half *h) {
  return h == &h->bridge->near ? &h->bridge->far : &h->bridge->near;
}

/* Room for a record of n bytes, which is the draft's; or NULL. */
static void *write_record(half *h, record_kind kind, size_t n) {
  t2_buf *draft = &h->draft;
  bool first = t2_buf_len(draft) == 0;
  size_t envelope = first ? sizeof(letter) : 0;
  const record r = {kind, (uint32_t)n};
  size_t least = envelope + sizeof(r) + n;
  uint8_t *at = t2_buf_reserve(draft, first && least < LETTER_FIRST ? LETTER_FIRST : least);
  if (!at) return NULL;
  memcpy(at + envelope, &r, sizeof(r));
  t2_buf_commit(draft, least);
  if (first) t2_loop_wake(h->home->proxy->loop, &h->flushable);
  return at + envelope + sizeof(r);
}

static int write_head(half *h, record_kind kind, const t2_head *head, bool end) {
  head_record r = {.head = t2_head_copy(head, h->bridge->mem), .end = end};
  void *at = r.head ? write_record(h, kind, sizeof(r)) : NULL;
  if (!at) {
    t2_head_free_copy(r.head, h->bridge->mem);
    return T2_ERR_NOMEM;
  }
  memcpy(at, &r, sizeof(r));
  return 0;
}

static int write_failure(half *h, int err, const t2_problem *problem, const char *detail) {
  failure_record r = {.error = err, .problem = problem};
  snprintf(r.detail, sizeof(r.detail), "%s", detail ? detail : "");
  void *at = write_record(h, RECORD_FAILURE, sizeof(r));
  if (at) memcpy(at, &r, sizeof(r));
  return at ? 0 : T2_ERR_NOMEM;
}

static int write_taken(half *h) {
  if (h->taken == 0 || h->left) return 0;
  void *at = write_record(h, RECORD_TAKEN, sizeof(h->taken));
  if (!at) return T2_ERR_NOMEM;
  memcpy(at, &h->taken, sizeof(h->taken));
  h->taken = 0;
  return 0;
}

/* The draft's memory goes with it. */
static void post(half *h) {
  t2_buf *draft = &h->draft;
  if (t2_buf_len(draft) == 0) return;
  letter *l = (letter *)(void *)draft->data;
  *l = (letter){.mail.open = open_letter, .to = other(h), .n = draft->end, .cap = draft->cap};
  t2_buf_init(draft, h->bridge->mem);
  t2_crew_send(h->there->worker, &l->mail);
}

/* ---- The end ---- */

static void free_bridge(bridge *b) {
  if (atomic_fetch_sub_explicit(&b->halves, 1, memory_order_acq_rel) == 1) t2_free(b->mem, b);
}

/* Both have said goodbye. */
static void finish(half *h) {
  t2_bridges *home = h->home;
  t2_loop_calm(&h->flushable);
  t2_buf_fini(&h->draft);
  t2_list_remove(&h->node);
  free_bridge(h->bridge);
  if (--home->count == 0 && home->on_idle) home->on_idle(home->user);
}

/* What is written still goes out: it holds copies that are the reader's. */
static void leave(half *h, int err) {
  if (h->left) return;
  post(h);
  h->left = true;
  h->error = err;
  t2_crew_send(h->there->worker, &h->goodbye);
  if (h->other_left) finish(h);
}

static void on_goodbye(t2_mail *mail, void *user) {
  half *h = other(T2_CONTAINER_OF(mail, half, goodbye));
  int err = T2_CONTAINER_OF(mail, half, goodbye)->error;
  (void)user;
  t2_exchange_fail(&h->leg, err ? err : T2_ERR_CLOSED, T2_AT_UPLINK, NULL);
  h->other_left = true;
  if (h->left)
    finish(h);
  else
    leave(h, 0);
}

/* This side can't go on. */
static void give_up(half *h, int err) {
  t2_exchange_fail(&h->leg, err, T2_AT_UPLINK, NULL);
  leave(h, err);
}

static void flush(t2_flushable *flushable) {
  half *h = T2_CONTAINER_OF(flushable, half, flushable);
  int err = write_taken(h);
  post(h);
  if (err) give_up(h, err);
}

/* ---- Legs ---- */

static half *half_of(t2_leg *leg) {
  return T2_CONTAINER_OF(leg, half, leg);
}

/* A problem that was found here is answered where the asker is. */
static int leg_head(t2_leg *leg, const t2_head *head, bool end) {
  half *h = half_of(leg);
  const t2_exchange *exchange = leg->exchange;
  if (!exchange->own) return write_head(h, RECORD_HEAD, head, end);
  int err = write_failure(h, exchange->error, exchange->own, exchange->own_detail);
  return err ? err : T2_ERR_CANCELLED;
}

static int leg_data(t2_leg *leg, const uint8_t *bytes, size_t n) {
  void *at = write_record(half_of(leg), RECORD_DATA, n);
  if (at) memcpy(at, bytes, n);
  return at ? 0 : T2_ERR_NOMEM;
}

static int leg_end(t2_leg *leg, const t2_fields *trailers) {
  t2_head head;
  t2_head_init(&head, NULL);
  if (trailers) head.fields = *trailers;
  return write_head(half_of(leg), RECORD_END, &head, true);
}

static void leg_consumed(t2_leg *leg, size_t n) {
  half *h = half_of(leg);
  h->taken += n;
  t2_loop_wake(h->home->proxy->loop, &h->flushable);
}

static void leg_closed(t2_leg *leg, int err) {
  leave(half_of(leg), err);
}

static const t2_leg_ops near_ops = {.name = "bridge, near",
                                    .at = T2_AT_UPLINK,
                                    .head = leg_head,
                                    .data = leg_data,
                                    .end = leg_end,
                                    .consumed = leg_consumed,
                                    .closed = leg_closed};
static const t2_leg_ops far_ops = {.name = "bridge, far",
                                   .at = T2_AT_UPLINK,
                                   .head = leg_head,
                                   .data = leg_data,
                                   .end = leg_end,
                                   .consumed = leg_consumed,
                                   .closed = leg_closed};

/* ---- Reading ---- */

static void init_half(half *h, bridge *b, t2_bridges *home, t2_bridges *there, const t2_leg_ops *ops) {
  h->leg.ops = ops;
  h->bridge = b;
  h->home = home;
  h->there = there;
  t2_flushable_init(&h->flushable, flush);
  t2_buf_init(&h->draft, b->mem);
  h->goodbye.open = on_goodbye;
}

static void enter(half *h) {
  t2_list_push_back(&h->home->list, &h->node);
  h->home->count++;
  h->home->total++;
}

/* The first letter to far. */
static void arrive(half *far, t2_head *head, bool end) {
  t2_bridges *home = far->home;
  bridge *b = far->bridge;
  b->arrived = true;
  enter(far);
  t2_exchange *exchange = home->closed ? NULL : t2_exchange_new(home->proxy, &far->leg, head);
  if (!exchange) {
    leave(far, home->closed ? T2_ERR_UNAVAILABLE : T2_ERR_NOMEM);
    return;
  }
  home->on_request(&(t2_bridge_request){.bridges = home,
                                        .exchange = exchange,
                                        .head = head,
                                        .end = end,
                                        .session = b->session,
                                        .hops = b->hops},
                   home->user);
}

static void read_head(half *h, const uint8_t *bytes, record_kind kind) {
  head_record r;
  memcpy(&r, bytes, sizeof(r));
  if (h == &h->bridge->far && !h->bridge->arrived)
    arrive(h, r.head, r.end);
  else if (kind == RECORD_END)
    t2_exchange_end(&h->leg, r.head->fields.n ? &r.head->fields : NULL);
  else
    t2_exchange_head(&h->leg, r.head, r.end);
  t2_head_free_copy(r.head, h->bridge->mem);
}

static void read_failure(half *h, const uint8_t *bytes) {
  failure_record r;
  memcpy(&r, bytes, sizeof(r));
  if (h->leg.exchange && r.error == 0)
    t2_exchange_refuse(h->leg.exchange, r.problem, *r.detail ? r.detail : NULL);
  else
    t2_exchange_fail_as(&h->leg, r.error, r.problem, *r.detail ? r.detail : NULL);
  leave(h, 0);
}

static void read_record(half *h, const record *r, const uint8_t *bytes) {
  size_t taken;
  switch ((record_kind)r->kind) {
  case RECORD_HEAD:
  case RECORD_END:
    read_head(h, bytes, (record_kind)r->kind);
    break;
  case RECORD_DATA:
    t2_exchange_data(&h->leg, bytes, r->n);
    break;
  case RECORD_TAKEN:
    memcpy(&taken, bytes, sizeof(taken));
    t2_exchange_consumed(&h->leg, taken);
    break;
  case RECORD_FAILURE:
    read_failure(h, bytes);
    break;
  }
}

/* The memory serves for the way back, if nothing is written yet. */
static void keep_or_free(half *h, letter *l) {
  t2_buf *draft = &h->draft;
  if (h->left || draft->data || l->cap > LETTER_KEPT) {
    t2_free(h->bridge->mem, l);
    return;
  }
  draft->cap = l->cap;
  draft->data = (uint8_t *)l;
}

/* The half outlives it: the other one's goodbye comes behind. */
static void open_letter(t2_mail *mail, void *user) {
  letter *l = T2_CONTAINER_OF(mail, letter, mail);
  half *h = l->to;
  const uint8_t *at = (const uint8_t *)(l + 1), *end = (const uint8_t *)l + l->n;
  (void)user;
  while (at < end) {
    record r;
    memcpy(&r, at, sizeof(r));
    read_record(h, &r, at + sizeof(r));
    at += sizeof(r) + r.n;
  }
  keep_or_free(h, l);
}

/* ---- Calls ---- */

void t2_bridges_init(t2_bridges *bridges, t2_worker *worker, t2_proxy *proxy, t2_bridge_request_cb on_request,
                     void *user) {
  *bridges = (t2_bridges){.worker = worker, .proxy = proxy, .on_request = on_request, .user = user};
  t2_list_init(&bridges->list);
}

void t2_bridges_close(t2_bridges *bridges) {
  bridges->closed = true;
  T2_LIST_FOREACH(node, next, &bridges->list)
  give_up(T2_LIST_ENTRY(node, half, node), T2_ERR_CANCELLED);
}

unsigned t2_bridge_hops(const t2_leg *down) {
  if (!down || down->ops != &far_ops) return 0;
  return half_of((t2_leg *)(uintptr_t)down)->bridge->hops;
}

int t2_bridge_open(t2_bridges *from, t2_bridges *to, const char *session, t2_leg *leg, const t2_head *head,
                   bool end) {
  t2_exchange *exchange = leg->exchange;
  unsigned hops = t2_bridge_hops(exchange->down) + 1;
  const t2_allocator *mem = from->proxy->loop->mem;
  if (from->closed || hops > T2_BRIDGE_HOPS_MAX) return T2_ERR_UNAVAILABLE;
  bridge *b = t2_calloc(mem, 1, sizeof(*b));
  if (!b) return T2_ERR_NOMEM;
  b->mem = mem;
  b->hops = hops;
  atomic_init(&b->halves, 2);
  snprintf(b->session, sizeof(b->session), "%s", session);
  init_half(&b->near, b, from, to, &near_ops);
  init_half(&b->far, b, to, from, &far_ops);
  int err = write_head(&b->near, RECORD_HEAD, head, end);
  if (err) {
    t2_buf_fini(&b->near.draft);
    t2_free(mem, b);
    return err;
  }
  enter(&b->near);
  b->near.leg.upstream = true;
  b->near.leg.exchange = exchange;
  exchange->up = &b->near.leg;
  leg->exchange = NULL;
  return 0;
}
