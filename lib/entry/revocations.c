#include <entry/revocations.h>
#include <stdio.h>
#include <tunnel2/error.h>

#define KEY_MAX (2 + 63)

/* A revocation of a ticket has no time: it is void whenever it was issued. */
typedef struct revocation {
  t2_list order;
  int64_t before;
  size_t key_len;
  char key[KEY_MAX + 1];
} revocation;

void t2_revocations_init(t2_revocations *revocations, const t2_allocator *mem) {
  *revocations = (t2_revocations){.mem = mem, .max = T2_REVOCATIONS_MAX};
  t2_map_init(&revocations->map, mem);
  t2_list_init(&revocations->order);
}

static void drop(t2_revocations *revocations, revocation *gone) {
  t2_map_del(&revocations->map, t2_str_of(gone->key, gone->key_len));
  t2_list_remove(&gone->order);
  t2_free(revocations->mem, gone);
  revocations->count--;
}

void t2_revocations_fini(t2_revocations *revocations) {
  T2_LIST_FOREACH(node, next, &revocations->order)
  drop(revocations, T2_LIST_ENTRY(node, revocation, order));
  t2_map_fini(&revocations->map);
}

/* A key of at most KEY_MAX bytes; false when the id is too long, or none. */
static bool make_key(char kind, t2_str id, char key[KEY_MAX + 1], t2_str *out) {
  if (id.n == 0 || id.n > KEY_MAX - 2) return false;
  key[0] = kind;
  key[1] = ':';
  memcpy(key + 2, id.p, id.n);
  *out = t2_str_of(key, id.n + 2);
  return true;
}

static revocation *find(const t2_revocations *revocations, char kind, t2_str id) {
  char text[KEY_MAX + 1];
  t2_str key;
  return make_key(kind, id, text, &key) ? t2_map_get(&revocations->map, key) : NULL;
}

static revocation *add(t2_revocations *revocations, t2_str key) {
  revocation *added = t2_calloc(revocations->mem, 1, sizeof(*added));
  if (!added) return NULL;
  memcpy(added->key, key.p, key.n);
  added->key_len = key.n;
  if (t2_map_set(&revocations->map, key, added)) {
    t2_free(revocations->mem, added);
    return NULL;
  }
  t2_list_init(&added->order);
  revocations->count++;
  if (revocations->count > revocations->max)
    drop(revocations, T2_LIST_ENTRY(revocations->order.next, revocation, order));
  return added;
}

int t2_revocations_add(t2_revocations *revocations, const t2_message *message, int64_t now) {
  char text[KEY_MAX + 1];
  t2_str key;
  bool single = message->ticket_id.n > 0;
  if (!make_key(single ? 't' : 's', single ? message->ticket_id : message->session, text, &key))
    return T2_ERR_INVALID;
  int64_t value = single ? INT64_MAX : now + 1;
  if (!single && message->issued_before) value = (int64_t)message->issued_before; /* a varint: it fits */
  revocation *found = t2_map_get(&revocations->map, key);
  if (!found) found = add(revocations, key);
  if (!found) return T2_ERR_NOMEM;
  if (value > found->before) found->before = value;
  t2_list_remove(&found->order);
  t2_list_push_back(&revocations->order, &found->order);
  return 0;
}

bool t2_revocations_covers(const t2_revocations *revocations, t2_str session, t2_str ticket_id,
                           int64_t issued_at) {
  const revocation *of_session = find(revocations, 's', session);
  if (of_session && issued_at < of_session->before) return true;
  return find(revocations, 't', ticket_id) != NULL;
}
