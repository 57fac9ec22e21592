/* Kept connections, each with one request at a time. One more is opened when all of a target's are busy, up
 * to a most. */
#ifndef LOAD_POOL_H
#define LOAD_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "tally.h"
#include "target.h"

#define POOL_CONNECTIONS_MAX 16384

/* A request: what is sent, and when it was to be sent. Times are of CLOCK_MONOTONIC in ns. */
typedef struct pool_request {
  size_t target, step;
  uint64_t planned, deadline;
} pool_request;

typedef struct connection connection;

typedef struct pool {
  int epoll;
  const target *targets;
  size_t target_count;
  const plan *plan;
  const char *body; /* as many bytes as the largest of the plan */
  connection *all;
  connection *unused;
  connection *idle_first[TARGETS_MAX], *idle_last[TARGETS_MAX]; /* the one used last is the first */
  size_t max, open, busy;
  uint64_t connected; /* connections ever opened */
  char *buffer;
  /* What became of a request that pool_send took: exactly one of these two is called. */
  void (*on_answer)(const pool_request *r, int status, uint64_t now, void *user);
  void (*on_error)(const pool_request *r, error_kind kind, void *user);
  void *user;
} pool;

/* The caller has set targets, target_count, plan, body, max and the callbacks. false: no memory or no
 * descriptor. */
bool pool_init(pool *p);
void pool_fini(pool *p);

/* Sends, or begins to; false when all connections are busy. on_error may be called before it returns. */
bool pool_send(pool *p, const pool_request *r);

/* Waits for at most so many ns, and handles what came. */
void pool_poll(pool *p, uint64_t wait);

/* Gives up requests whose deadline has passed, and closes connections that were idle for long. */
void pool_sweep(pool *p, uint64_t now);

uint64_t pool_now(void);

#endif
