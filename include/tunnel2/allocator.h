/* The allocator hook: where libtunnel2 takes its memory from. */
#ifndef TUNNEL2_ALLOCATOR_H
#define TUNNEL2_ALLOCATOR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions an object calls on its own loop's thread for every allocation it makes itself (mbedTLS, libuv and
 * jansson keep their own). The struct must outlive the object that was given it. NULL where one is asked for
 * means malloc, realloc and free. */
typedef struct t2_allocator {
  void *(*alloc)(size_t size, void *user); /* NULL on failure; size is never 0 */
  void *(*resize)(void *ptr, size_t size,
                  void *user);            /* ptr may be NULL; on failure NULL and ptr stays valid */
  void (*release)(void *ptr, void *user); /* ptr may be NULL */
  void *user;
} t2_allocator;

#ifdef __cplusplus
}
#endif
#endif
