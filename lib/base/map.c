#include <base/map.h>
#include <base/random.h>
#include <tunnel2/error.h>

#define MAP_MIN 16

/* Open addressing with linear probing. A slot without a key is empty, or dead: once used, so a probe goes on
 * past it. `count` slots live, `used` are live or dead; at least a quarter of them stays empty. */
struct t2_map_slot {
  char *key;
  size_t n;
  uint64_t hash;
  void *value;
  bool dead;
};

void t2_map_init(t2_map *map, const t2_allocator *mem) {
  *map = (t2_map){.mem = mem};
  t2_random_bytes(map->seed, sizeof(map->seed));
}

void t2_map_fini(t2_map *map) {
  for (size_t i = 0; i < map->cap; i++)
    t2_free(map->mem, map->slots[i].key);
  t2_free(map->mem, map->slots);
  map->slots = NULL;
  map->count = map->used = map->cap = 0;
}

static t2_map_slot *map_find(const t2_map *map, t2_str key, uint64_t hash) {
  if (!map->cap) return NULL;
  for (size_t at = hash & (map->cap - 1);; at = (at + 1) & (map->cap - 1)) {
    t2_map_slot *slot = &map->slots[at];
    if (!slot->key && !slot->dead) return NULL;
    if (slot->key && slot->hash == hash && t2_str_eq(t2_str_of(slot->key, slot->n), key)) return slot;
  }
}

/* Where a key that is not in the map goes. */
static t2_map_slot *map_vacancy(t2_map_slot *slots, size_t cap, uint64_t hash) {
  size_t at = hash & (cap - 1);

  while (slots[at].key)
    at = (at + 1) & (cap - 1);
  return &slots[at];
}

/* A new table without dead slots, at most half full: larger or smaller than the old one. */
static int map_rebuild(t2_map *map) {
  size_t cap = MAP_MIN;

  while (cap / 2 < map->count + 1)
    cap *= 2;
  t2_map_slot *slots = t2_calloc(map->mem, cap, sizeof(*slots));
  if (!slots) return T2_ERR_NOMEM;
  for (size_t i = 0; i < map->cap; i++)
    if (map->slots[i].key) *map_vacancy(slots, cap, map->slots[i].hash) = map->slots[i];
  t2_free(map->mem, map->slots);
  map->slots = slots;
  map->cap = cap;
  map->used = map->count;
  return 0;
}

void *t2_map_get(const t2_map *map, t2_str key) {
  t2_map_slot *slot = map->count ? map_find(map, key, t2_siphash(map->seed, key.p, key.n)) : NULL;

  return slot ? slot->value : NULL;
}

int t2_map_set(t2_map *map, t2_str key, void *value) {
  uint64_t hash = t2_siphash(map->seed, key.p, key.n);
  t2_map_slot *slot = map_find(map, key, hash);

  if (slot) {
    slot->value = value;
    return 0;
  }
  if (map->used + 1 > map->cap / 4 * 3 && map_rebuild(map)) return T2_ERR_NOMEM;
  char *copy = t2_alloc(map->mem, key.n);
  if (!copy) return T2_ERR_NOMEM;
  if (key.n) memcpy(copy, key.p, key.n);
  slot = map_vacancy(map->slots, map->cap, hash);
  if (!slot->dead) map->used++;
  *slot = (t2_map_slot){.key = copy, .n = key.n, .hash = hash, .value = value};
  map->count++;
  return 0;
}

/* Dead slots just before an empty one hold no probe up: they are empty again. */
static void map_bury(t2_map *map, t2_map_slot *slot) {
  size_t at = (size_t)(slot - map->slots);
  const t2_map_slot *next = &map->slots[(at + 1) & (map->cap - 1)];

  *slot = (t2_map_slot){.dead = true};
  if (next->key || next->dead) return;
  while (map->slots[at].dead) {
    map->slots[at].dead = false;
    map->used--;
    at = (at - 1) & (map->cap - 1);
  }
}

void *t2_map_del(t2_map *map, t2_str key) {
  t2_map_slot *slot = map->count ? map_find(map, key, t2_siphash(map->seed, key.p, key.n)) : NULL;

  if (!slot) return NULL;
  void *value = slot->value;
  t2_free(map->mem, slot->key);
  map_bury(map, slot);
  map->count--;
  return value;
}

bool t2_map_each(const t2_map *map, size_t *at, t2_str *key, void **value) {
  while (*at < map->cap) {
    const t2_map_slot *slot = &map->slots[(*at)++];
    if (!slot->key) continue;
    if (key) *key = t2_str_of(slot->key, slot->n);
    if (value) *value = slot->value;
    return true;
  }
  return false;
}

static uint64_t rotate(uint64_t x, unsigned bits) {
  return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], unsigned rounds) {
  while (rounds--) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
  }
}

static void sip_word(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  sip_rounds(v, 2);
  v[0] ^= word;
}

static uint64_t load_le(const uint8_t *p, size_t n) {
  uint64_t word = 0;

  for (size_t i = 0; i < n; i++)
    word |= (uint64_t)p[i] << (8 * i);
  return word;
}

uint64_t t2_siphash(const uint64_t key[2], const void *bytes, size_t n) {
  const uint8_t *p = bytes;
  uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                   key[1] ^ 0x7465646279746573u};
  size_t whole = n & ~(size_t)7;

  for (size_t i = 0; i < whole; i += 8)
    sip_word(v, load_le(p + i, 8));
  sip_word(v, (uint64_t)n << 56 | (n > whole ? load_le(p + whole, n - whole) : 0));
  v[2] ^= 0xff;
  sip_rounds(v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
