#include <net/spare.h>

void t2_spares_init(t2_spares *spares, const t2_allocator *mem) {
  spares->mem = mem;
  spares->small_count = spares->large_count = 0;
}

void t2_spares_fini(t2_spares *spares) {
  while (spares->small_count)
    t2_free(spares->mem, spares->small[--spares->small_count]);
  while (spares->large_count)
    t2_free(spares->mem, spares->large[--spares->large_count]);
}

void t2_spares_take(t2_spares *spares, t2_buf *buf, bool large) {
  size_t size = large ? T2_SPARE_LARGE : T2_SPARE_SMALL;

  if (buf->data || buf->failed) return;
  if (large)
    buf->data = spares->large_count ? spares->large[--spares->large_count] : t2_alloc(spares->mem, size);
  else
    buf->data = spares->small_count ? spares->small[--spares->small_count] : t2_alloc(spares->mem, size);
  buf->cap = buf->data ? size : 0;
  buf->off = buf->end = 0;
}

void t2_spares_give(t2_spares *spares, t2_buf *buf) {
  if (!buf->data || t2_buf_len(buf)) return;
  if (buf->cap == T2_SPARE_SMALL && spares->small_count < T2_SPARE_SMALL_MAX)
    spares->small[spares->small_count++] = buf->data;
  else if (buf->cap == T2_SPARE_LARGE && spares->large_count < T2_SPARE_LARGE_MAX)
    spares->large[spares->large_count++] = buf->data;
  else
    t2_free(spares->mem, buf->data);
  buf->data = NULL;
  buf->off = buf->end = buf->cap = 0;
}
