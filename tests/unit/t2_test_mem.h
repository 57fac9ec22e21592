/* An allocator for unit tests: counts what lives, and fails when it is told to.
 *
 *   static void build_and_free(t2_test_mem *mem, void *user) {
 *     t2_thing *thing = t2_thing_new(&mem->hook);
 *     if (!thing) return;              // a clean error: fine, if nothing is left behind
 *     assert_int_equal(t2_thing_work(thing), mem->failed ? T2_ERR_NOMEM : 0);
 *     t2_thing_free(thing);
 *   }
 *   static void test_each_failure(void **state) {
 *     t2_test_mem_fail_each(build_and_free, NULL);
 *   }
 *
 * One thread at a time; an object that calls the hook on its own thread gets a t2_test_mem of its own. */
#ifndef T2_TEST_MEM_H
#define T2_TEST_MEM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tunnel2/allocator.h>

/* In front of every block; keeps the alignment of malloc. */
typedef struct t2_test_block {
  _Alignas(max_align_t) struct t2_test_block *next;
  struct t2_test_block *prev;
  size_t size;
  size_t number; /* it was the number-th allocation */
} t2_test_block;

typedef struct t2_test_mem {
  t2_allocator hook;    /* &mem->hook is what the code under test is given */
  t2_test_block blocks; /* ring of live blocks */
  size_t live;          /* blocks */
  size_t live_bytes;
  size_t count;   /* allocations and resizes asked for so far */
  size_t fail_at; /* the fail_at-th of them fails; 0: none */
  bool fail_on;   /* and so do all after it */
  bool failed;    /* the failure was reached */
} t2_test_mem;

typedef void (*t2_test_scenario)(t2_test_mem *mem, void *user);

static inline bool t2_test_mem_fails(t2_test_mem *mem) {
  mem->count++;
  if (mem->fail_at == 0 || mem->count < mem->fail_at) return false;
  if (mem->count > mem->fail_at && !mem->fail_on) return false;
  mem->failed = true;
  return true;
}

static inline void *t2_test_mem_take(t2_test_mem *mem, size_t size) {
  t2_test_block *block = malloc(sizeof(*block) + size);

  assert_non_null(block);
  block->size = size;
  block->number = mem->count;
  block->next = &mem->blocks;
  block->prev = mem->blocks.prev;
  block->prev->next = mem->blocks.prev = block;
  mem->live++;
  mem->live_bytes += size;
  memset(block + 1, 0xa5, size); /* so that what is read before it is written is seen */
  return block + 1;
}

static inline void *t2_test_mem_alloc(size_t size, void *user) {
  assert_int_not_equal(size, 0);
  return t2_test_mem_fails(user) ? NULL : t2_test_mem_take(user, size);
}

static inline void t2_test_mem_release(void *ptr, void *user) {
  t2_test_mem *mem = user;

  if (!ptr) return;
  t2_test_block *block = (t2_test_block *)ptr - 1;
  assert_true(mem->live > 0);
  block->prev->next = block->next;
  block->next->prev = block->prev;
  mem->live--;
  mem->live_bytes -= block->size;
  free(block);
}

/* Always moves, so that pointers kept across a resize are found out. */
static inline void *t2_test_mem_resize(void *ptr, size_t size, void *user) {
  assert_int_not_equal(size, 0);
  if (t2_test_mem_fails(user)) return NULL;
  void *moved = t2_test_mem_take(user, size);
  if (ptr) {
    size_t old = ((t2_test_block *)ptr - 1)->size;
    memcpy(moved, ptr, old < size ? old : size);
    t2_test_mem_release(ptr, user);
  }
  return moved;
}

/* Nothing fails until fail_at is set. mem must stay where it is. */
static inline void t2_test_mem_init(t2_test_mem *mem) {
  memset(mem, 0, sizeof(*mem));
  mem->hook = (t2_allocator){t2_test_mem_alloc, t2_test_mem_resize, t2_test_mem_release, mem};
  mem->blocks.next = mem->blocks.prev = &mem->blocks;
}

/* The nth allocation from now on fails (n >= 1; 0: none), and with all_after those that follow it. */
static inline void t2_test_mem_fail(t2_test_mem *mem, size_t n, bool all_after) {
  mem->fail_at = n ? mem->count + n : 0;
  mem->fail_on = all_after;
  mem->failed = false;
}

/* Fails the test, naming the blocks, when any is still alive. */
static inline void t2_test_mem_check(const t2_test_mem *mem) {
  for (const t2_test_block *block = mem->blocks.next; block != &mem->blocks; block = block->next)
    print_error("leaked: allocation %zu (%zu bytes), with the failure at %zu\n", block->number, block->size,
                mem->fail_at);
  assert_int_equal(mem->live, 0);
}

/* Runs the scenario with its 1st, 2nd, ... allocation failing until a run passes without reaching the
 * failure, and checks after each run that nothing is left. Returns how many allocations the whole scenario
 * makes. */
static inline size_t t2_test_mem_fail_each_(t2_test_scenario scenario, void *user, bool all_after) {
  for (size_t n = 1;; n++) {
    t2_test_mem mem;
    t2_test_mem_init(&mem);
    t2_test_mem_fail(&mem, n, all_after);
    scenario(&mem, user);
    t2_test_mem_check(&mem);
    if (!mem.failed) return n - 1;
  }
}

/* Both ways: each allocation failing alone, then with all that follow it. */
static inline size_t t2_test_mem_fail_each(t2_test_scenario scenario, void *user) {
  t2_test_mem_fail_each_(scenario, user, true);
  return t2_test_mem_fail_each_(scenario, user, false);
}

#endif
