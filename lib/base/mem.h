/* Memory through the allocator hook; a NULL allocator is libc's. */
#ifndef T2_BASE_MEM_H
#define T2_BASE_MEM_H

#include <stddef.h>
#include <tunnel2/allocator.h>

#define T2_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define T2_COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))

/* size bytes, not cleared; NULL when there is no memory. size 0 is treated as 1. */
void *t2_alloc(const t2_allocator *mem, size_t size);
/* count * size bytes, cleared; NULL when there is no memory or the product overflows. */
void *t2_calloc(const t2_allocator *mem, size_t count, size_t size);
/* Like realloc; on failure NULL and ptr stays valid. */
void *t2_realloc(const t2_allocator *mem, void *ptr, size_t size);
/* ptr may be NULL. */
void t2_free(const t2_allocator *mem, void *ptr);
/* NUL-terminated copies, freed with t2_free; NULL when there is no memory (or s is NULL, for t2_strdup). */
char *t2_strdup(const t2_allocator *mem, const char *s);
char *t2_strndup(const t2_allocator *mem, const char *s, size_t n);
/* Overwrites n bytes in a way the compiler keeps; for keys and tokens. */
void t2_memzero(void *ptr, size_t n);
/* 0 when equal; takes the same time wherever the bytes differ. */
int t2_memcmp_ct(const void *a, const void *b, size_t n);

#endif
