/* What the listeners of one object share about whom they accept: bounds per remote address, and counters. An
 * address of IPv6 stands for its /64, which is one customer's. */
#ifndef T2_NET_ACCEPTS_H
#define T2_NET_ACCEPTS_H

#include <base/limit.h>
#include <base/list.h>
#include <base/map.h>

#define T2_ACCEPTS_IDLE_MS  1000  /* an address without a connection is remembered so long, for its rate */
#define T2_ACCEPTS_IDLE_MAX 65536 /* past it the one that is idle longest is forgotten */

typedef struct t2_accepts_address t2_accepts_address;

/* Embedded. Bounds and `exempt` are set after t2_accepts_init; bounds may be changed later. */
typedef struct t2_accepts {
  uint32_t connections_max;                /* at once, of one address; 0: no bound */
  uint32_t handshakes_per_second;          /* of TLS, of one address, a second's worth at once; 0: no bound */
  bool (*exempt)(t2_str host, void *user); /* has this address no bound? May be NULL */
  void *user;
  /* Since the start. */
  uint64_t accepted;
  uint64_t paused;             /* accepting was: as many as there may be were open */
  uint64_t starved;            /* accepting was: no descriptor, or no memory, was left */
  uint64_t refused_address;    /* closed at once: over connections_max */
  uint64_t refused_handshakes; /* likewise: over handshakes_per_second */
  uint64_t handshakes;         /* of TLS that were completed */
  uint64_t handshakes_failed;  /* and that were not */
  /* Its own. */
  const t2_allocator *mem;
  t2_map addresses;
  t2_list idle;
  size_t idle_count;
} t2_accepts;

void t2_accepts_init(t2_accepts *accepts, const t2_allocator *mem);
/* Everybody has left. */
void t2_accepts_fini(t2_accepts *accepts);
/* A connection from host has come, for a TLS handshake or not. 0: it may stay, and *out, which may be NULL,
 * is given to t2_accepts_leave when it is gone. T2_ERR_LIMIT: it is one too many, and counted; T2_ERR_NOMEM.
 */
int t2_accepts_enter(t2_accepts *accepts, t2_str host, bool tls, uint64_t now_ms, t2_accepts_address **out);
void t2_accepts_leave(t2_accepts_address *address, uint64_t now_ms);

#endif
