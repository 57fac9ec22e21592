/* Datagrams that wait: a queue with a bound, at which the oldest go. */
#ifndef T2_PROXY_DATAGRAM_QUEUE_H
#define T2_PROXY_DATAGRAM_QUEUE_H

#include <base/list.h>
#include <base/mem.h>
#include <stdint.h>

#define T2_DATAGRAM_QUEUE_MAX (128 * 1024) /* bytes of one queue, with: */
#define T2_DATAGRAM_COST      64           /* bytes each one counts for beside its own */

typedef struct t2_datagram {
  t2_list node;
  size_t n;
  uint8_t bytes[];
} t2_datagram;

/* Embedded. */
typedef struct t2_datagram_queue {
  const t2_allocator *mem;
  t2_list list;
  size_t bytes;
  size_t *held;    /* bytes that this and others hold; */
  size_t held_max; /* no more are put in past that */
} t2_datagram_queue;

void t2_datagram_queue_init(t2_datagram_queue *queue, const t2_allocator *mem, size_t *held, size_t held_max);
/* Puts a copy in, in the place of as many of the oldest as need be. How many are lost by it, itself
 * included. */
size_t t2_datagram_queue_push(t2_datagram_queue *queue, const uint8_t *bytes, size_t n);
/* The oldest, or NULL. */
static inline t2_datagram *t2_datagram_queue_first(const t2_datagram_queue *queue) {
  return t2_list_empty(&queue->list) ? NULL : T2_LIST_ENTRY(queue->list.next, t2_datagram, node);
}
/* Takes the oldest out: the caller's, to be freed. There is one. */
t2_datagram *t2_datagram_queue_pop(t2_datagram_queue *queue);
/* Frees what is in it: how many there were. */
size_t t2_datagram_queue_clear(t2_datagram_queue *queue);

#endif
