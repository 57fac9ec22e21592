/* Requests that wait until somebody can answer them, in the order they came: a place in the queue is an
 * upstream leg that keeps its request, and gives it to another one later.
 *
 *   t2_queue_put ──▶ WAITING ──t2_queue_hand_over──▶ (another leg)
 *                       ├─t2_queue_drop, t2_queue_fail──▶ failed
 *                       ├─timeout_ms──▶ on_timeout, which drops it
 *                       └─the other leg gives up──▶ (nobody waits any more)
 *
 * Bounded in number; in bytes by what a leg may give and not see consumed (t2_leg_window). */
#ifndef T2_PROXY_QUEUE_H
#define T2_PROXY_QUEUE_H

#include <proxy/exchange.h>

typedef struct t2_queue t2_queue;

/* May be the first member of the user's own (options.place_size). */
typedef struct t2_place {
  t2_list node;
  t2_leg leg;
  t2_queue *queue;
  t2_loop *loop;
  t2_held request;
  uint64_t until_ms;
  t2_reapable reapable;
} t2_place;

typedef struct t2_queue_options {
  t2_problem_at at; /* where its failures are */
  size_t max;       /* places */
  size_t *total;    /* counts the places of several queues; NULL: nobody asks */
  size_t total_max; /* of all of these */
  size_t place_size;
  uint64_t timeout_ms; /* 0: for ever */
  /* It has waited for so long: t2_queue_drop, t2_queue_hand_over, or t2_exchange_refuse of its exchange. May
   * be NULL without timeout_ms. */
  void (*on_timeout)(t2_queue *queue, t2_place *place);
} t2_queue_options;

/* Embedded. */
struct t2_queue {
  t2_loop *loop;
  t2_queue_options options;
  t2_list places;
  size_t count;
  t2_timer timer; /* of the first place's end */
};

/* Options are copied. */
void t2_queue_init(t2_queue *queue, t2_loop *loop, const t2_queue_options *options);
/* Nobody waits in it. */
void t2_queue_fini(t2_queue *queue);

/* For a leg's `head`: a new place stands in the exchange in the place of `from`. 0, T2_ERR_LIMIT (it is full)
 * or T2_ERR_NOMEM. What is past t2_place in the user's struct is zero. out may be NULL. */
int t2_queue_put(t2_queue *queue, t2_leg *from, const t2_head *head, bool end, t2_place **out);
/* The one that has waited longest; NULL: none waits. */
t2_place *t2_queue_first(const t2_queue *queue);
/* `to` has the request from its beginning; the place is gone. */
void t2_queue_hand_over(t2_place *place, t2_leg *to);
/* Its exchange fails; the place is gone. detail may be NULL. */
void t2_queue_drop(t2_place *place, int err, t2_problem_at at, const char *detail);
/* Likewise all that wait now: not what comes to wait because of that. */
void t2_queue_fail(t2_queue *queue, int err, t2_problem_at at, const char *detail);

#endif
