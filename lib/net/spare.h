/* Output memory that connections lend each other: one that has something to write borrows it, and gives it
 * back when it is written. So writing allocates nothing once a loop is warm, and a connection that is silent
 * holds nothing. */
#ifndef T2_NET_SPARE_H
#define T2_NET_SPARE_H

#include <base/buf.h>

#define T2_SPARE_SMALL     (16 * 1024)
#define T2_SPARE_LARGE     (256 * 1024) /* for a connection whose last write did not fit a small one */
#define T2_SPARE_SMALL_MAX 64           /* kept at most */
#define T2_SPARE_LARGE_MAX 4

/* Embedded. */
typedef struct t2_spares {
  const t2_allocator *mem;
  void *small[T2_SPARE_SMALL_MAX];
  void *large[T2_SPARE_LARGE_MAX];
  unsigned small_count, large_count;
} t2_spares;

void t2_spares_init(t2_spares *spares, const t2_allocator *mem);
void t2_spares_fini(t2_spares *spares);
/* Gives a buffer without memory some. When there is none the buffer stays as it is, and its next append says
 * so. */
void t2_spares_take(t2_spares *spares, t2_buf *buf, bool large);
/* Takes the memory of an empty buffer back, to keep or to free it; leaves one alone that is not empty. */
void t2_spares_give(t2_spares *spares, t2_buf *buf);

#endif
