/* A request that is kept, to be given to an upstream leg later, or once more to another: its head, and what
 * has come behind it. How much of that may come is the keeper's business. */
#ifndef T2_PROXY_HELD_H
#define T2_PROXY_HELD_H

#include <base/pressure.h>
#include <http/fields.h>

/* Embedded. */
typedef struct t2_held {
  const t2_allocator *mem;
  t2_head *head;     /* a copy */
  t2_buf content;    /* all of it, from its beginning */
  t2_head *trailers; /* a copy, its fields only; NULL: none */
  bool ended;
  t2_pressure *pressure; /* NULL: not told */
  size_t waiting;        /* what it has been told */
} t2_held;

/* 0 or T2_ERR_NOMEM. end: no content follows. */
int t2_held_init(t2_held *held, const t2_allocator *mem, const t2_head *head, bool end);
/* The content, what is kept already and what comes, waits in this process. */
void t2_held_account(t2_held *held, t2_pressure *pressure);
int t2_held_data(t2_held *held, const uint8_t *bytes, size_t n);
/* trailers may be NULL. */
int t2_held_end(t2_held *held, const t2_fields *trailers);
void t2_held_fini(t2_held *held);

#endif
