/* Like t2_test_mem.h, for objects of several threads: counts what lives, and fails one allocation. Leaks by
 * place are AddressSanitizer's to find. */
#ifndef T2_TEST_SHARED_MEM_H
#define T2_TEST_SHARED_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <tunnel2/allocator.h>

typedef struct t2_shared_mem {
  t2_allocator hook;
  atomic_size_t live, count;
  size_t fail_at; /* the fail_at-th allocation fails; 0: none */
  atomic_bool failed;
} t2_shared_mem;

static inline bool t2_shared_mem_fails(t2_shared_mem *mem) {
  bool fails = atomic_fetch_add(&mem->count, 1) + 1 == mem->fail_at;
  if (fails) atomic_store(&mem->failed, true);
  return fails;
}

static inline void *t2_shared_mem_alloc(size_t size, void *user) {
  t2_shared_mem *mem = user;
  void *p = t2_shared_mem_fails(mem) ? NULL : malloc(size);
  if (p) atomic_fetch_add(&mem->live, 1);
  return p;
}

static inline void *t2_shared_mem_resize(void *old, size_t size, void *user) {
  t2_shared_mem *mem = user;
  void *p = t2_shared_mem_fails(mem) ? NULL : realloc(old, size);
  if (p && !old) atomic_fetch_add(&mem->live, 1);
  return p;
}

static inline void t2_shared_mem_release(void *p, void *user) {
  t2_shared_mem *mem = user;
  if (p) atomic_fetch_sub(&mem->live, 1);
  free(p);
}

static inline void t2_shared_mem_init(t2_shared_mem *mem, size_t fail_at) {
  atomic_init(&mem->live, 0);
  atomic_init(&mem->count, 0);
  atomic_init(&mem->failed, false);
  mem->fail_at = fail_at;
  mem->hook = (t2_allocator){.alloc = t2_shared_mem_alloc,
                             .resize = t2_shared_mem_resize,
                             .release = t2_shared_mem_release,
                             .user = mem};
}

#endif
