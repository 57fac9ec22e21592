/* Intrusive doubly linked ring. A node that is in no list points to itself. */
#ifndef T2_BASE_LIST_H
#define T2_BASE_LIST_H

#include <base/mem.h>
#include <stdbool.h>

typedef struct t2_list {
  struct t2_list *next, *prev;
} t2_list;

static inline void t2_list_init(t2_list *l) {
  l->next = l->prev = l;
}
static inline bool t2_list_empty(const t2_list *l) {
  return l->next == l;
}
/* Is this node in a list? */
static inline bool t2_list_linked(const t2_list *node) {
  return node->next != node;
}
static inline void t2_list_insert_before(t2_list *at, t2_list *node) {
  node->next = at;
  node->prev = at->prev;
  at->prev->next = node;
  at->prev = node;
}
static inline void t2_list_push_back(t2_list *head, t2_list *node) {
  t2_list_insert_before(head, node);
}
static inline void t2_list_push_front(t2_list *head, t2_list *node) {
  t2_list_insert_before(head->next, node);
}
/* Safe on a node that is in no list. */
static inline void t2_list_remove(t2_list *node) {
  node->next->prev = node->prev;
  node->prev->next = node->next;
  t2_list_init(node);
}
/* Moves all of `from` to the empty list `to`. */
static inline void t2_list_move(t2_list *to, t2_list *from) {
  if (t2_list_empty(from)) {
    t2_list_init(to);
    return;
  }
  *to = *from;
  to->next->prev = to;
  to->prev->next = to;
  t2_list_init(from);
}
#define T2_LIST_ENTRY(node, type, member) T2_CONTAINER_OF(node, type, member)
/* `node` may be removed by the body. */
#define T2_LIST_FOREACH(node, next_, head)                                                                   \
  for (t2_list *node = (head)->next, *next_ = node->next; node != (head); node = next_, next_ = node->next)

#endif
