/* The allocator hook: where libtunnel2 takes its memory from. */
#ifndef TUNNEL2_ALLOCATOR_H
#define TUNNEL2_ALLOCATOR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions an object calls on its own loop's thread (a t2_runtime: on any thread that posts) for every
 * allocation it makes itself; mbedTLS, libuv and jansson keep their own. The caller owns the struct, which
 * outlives the object that was given it. NULL where one is asked for means malloc, realloc and free. A
 * failure is an error of the call, or of the request, that needed the memory: nothing is ended for it but
 * that. */
typedef struct t2_allocator {
  /* size bytes, aligned as malloc does, and not cleared; NULL on failure. size is never 0. */
  void *(*alloc)(size_t size, void *user);
  /* As realloc; ptr may be NULL, size is never 0. On failure NULL, and ptr stays valid. */
  void *(*resize)(void *ptr, size_t size, void *user);
  /* As free; ptr may be NULL. */
  void (*release)(void *ptr, void *user);
  void *user; /* given to each */
} t2_allocator;

#ifdef __cplusplus
}
#endif
#endif
