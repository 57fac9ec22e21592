/* A hash map from byte strings to pointers. The hash is keyed (SipHash) because outsiders choose the keys. */
#ifndef T2_BASE_MAP_H
#define T2_BASE_MAP_H

#include <base/mem.h>
#include <base/str.h>

typedef struct t2_map_slot t2_map_slot;

/* Embedded. Keys are copied in; values belong to the caller. */
typedef struct t2_map {
  const t2_allocator *mem;
  t2_map_slot *slots;
  size_t count, used, cap;
  uint64_t seed[2];
} t2_map;

/* Seeds itself from the system's random source. */
void t2_map_init(t2_map *map, const t2_allocator *mem);
/* Frees the keys and the table, not the values. */
void t2_map_fini(t2_map *map);
/* The value, or NULL. */
void *t2_map_get(const t2_map *map, t2_str key);
/* Adds or replaces; value is not NULL. 0 or T2_ERR_NOMEM (map unchanged). */
int t2_map_set(t2_map *map, t2_str key, void *value);
/* Removes and returns the value, or NULL. */
void *t2_map_del(t2_map *map, t2_str key);
/* Walks in no order: start with *at = 0; false at the end. The map may lose the entry just returned
 * meanwhile, and must not gain any. */
bool t2_map_each(const t2_map *map, size_t *at, t2_str *key, void **value);
/* SipHash-2-4 of n bytes under a 128-bit key. */
uint64_t t2_siphash(const uint64_t key[2], const void *bytes, size_t n);

#endif
