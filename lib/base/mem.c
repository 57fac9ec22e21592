#include <base/mem.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *t2_alloc(const t2_allocator *mem, size_t size) {
  if (size == 0) size = 1;
  return mem ? mem->alloc(size, mem->user) : malloc(size);
}

void *t2_calloc(const t2_allocator *mem, size_t count, size_t size) {
  size_t total;

  if (__builtin_mul_overflow(count, size, &total)) return NULL;
  if (total == 0) total = 1;
  if (!mem) return calloc(1, total);
  void *ptr = mem->alloc(total, mem->user);
  if (ptr) memset(ptr, 0, total);
  return ptr;
}

void *t2_realloc(const t2_allocator *mem, void *ptr, size_t size) {
  if (size == 0) size = 1;
  return mem ? mem->resize(ptr, size, mem->user) : realloc(ptr, size);
}

void t2_free(const t2_allocator *mem, void *ptr) {
  if (mem)
    mem->release(ptr, mem->user);
  else
    free(ptr);
}

char *t2_strdup(const t2_allocator *mem, const char *s) {
  return s ? t2_strndup(mem, s, strlen(s)) : NULL;
}

char *t2_strndup(const t2_allocator *mem, const char *s, size_t n) {
  size_t len = s ? strnlen(s, n) : 0;
  char *copy = t2_alloc(mem, len + 1);

  if (!copy) return NULL;
  if (len) memcpy(copy, s, len);
  copy[len] = '\0';
  return copy;
}

void t2_memzero(void *ptr, size_t n) {
  if (n) explicit_bzero(ptr, n);
}

int t2_memcmp_ct(const void *a, const void *b, size_t n) {
  const volatile uint8_t *x = a, *y = b;
  uint8_t differs = 0;

  for (size_t i = 0; i < n; i++)
    differs |= (uint8_t)(x[i] ^ y[i]);
  return differs;
}
