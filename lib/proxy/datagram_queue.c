#include <proxy/datagram_queue.h>
#include <string.h>

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written through later. */
void t2_datagram_queue_init(t2_datagram_queue *queue, const t2_allocator *mem, size_t *held,
                            size_t held_max) {
  *queue = (t2_datagram_queue){.mem = mem, .held = held, .held_max = held_max};
  t2_list_init(&queue->list);
}

t2_datagram *t2_datagram_queue_pop(t2_datagram_queue *queue) {
  t2_datagram *datagram = t2_datagram_queue_first(queue);
  t2_list_remove(&datagram->node);
  queue->bytes -= datagram->n + T2_DATAGRAM_COST;
  *queue->held -= datagram->n + T2_DATAGRAM_COST;
  return datagram;
}

size_t t2_datagram_queue_push(t2_datagram_queue *queue, const uint8_t *bytes, size_t n) {
  size_t cost = n + T2_DATAGRAM_COST, lost = 0;
  if (cost > T2_DATAGRAM_QUEUE_MAX || *queue->held - queue->bytes + cost > queue->held_max) return 1;
  t2_datagram *datagram = t2_alloc(queue->mem, sizeof(*datagram) + n);
  if (!datagram) return 1;
  datagram->n = n;
  if (n) memcpy(datagram->bytes, bytes, n);
  for (; queue->bytes + cost > T2_DATAGRAM_QUEUE_MAX || *queue->held + cost > queue->held_max; lost++)
    t2_free(queue->mem, t2_datagram_queue_pop(queue));
  t2_list_push_back(&queue->list, &datagram->node);
  queue->bytes += cost;
  *queue->held += cost;
  return lost;
}

size_t t2_datagram_queue_clear(t2_datagram_queue *queue) {
  size_t n = 0;
  for (; t2_datagram_queue_first(queue); n++)
    t2_free(queue->mem, t2_datagram_queue_pop(queue));
  return n;
}
