/* Watches an origin: asks it from time to time, and is told of connections to it. What it means is
 * client/verdict.h's. While it is out it is asked every T2_HEALTH_OUT_MS, if not more often. */
#ifndef T2_CLIENT_HEALTH_H
#define T2_CLIENT_HEALTH_H

#include <client/edits.h>
#include <client/verdict.h>
#include <net/dialer.h>
#include <proxy/fetch.h>
#include <proxy/origin.h>

#define T2_HEALTH_OUT_MS   1000
#define T2_HEALTH_BODY_MAX (256 * 1024) /* bytes of an answer */
#define T2_HEALTH_CONNECT  "connect"    /* what says that a connection is all that is asked for */

typedef struct t2_client_health t2_client_health;

/* What is pointed to outlives it. */
typedef struct t2_client_health_options {
  t2_proxy *proxy;  /* of its own requests */
  bool active;      /* it is asked when all is well too; else only while it is out */
  const char *path; /* of a GET, which is to be answered with 2xx or 3xx; NULL: a connection is good enough */
  t2_origin *origin;
  t2_str authority;      /* of that request; empty: localhost */
  const t2_edits *edits; /* to it, as to any */
  t2_dial_options dial;  /* without a path */
  uint64_t interval_ms, timeout_ms;
  unsigned fails_max, passes_min, connects_max; /* as t2_verdict_init */
} t2_client_health_options;

/* The verdict has changed; why is a sentence. */
typedef void (*t2_client_health_cb)(t2_client_health *health, const char *why, void *user);

/* Embedded; fields that others may read. All zero it watches nothing, and its verdict is good. */
struct t2_client_health {
  t2_client_health_options options;
  t2_verdict verdict;
  t2_loop *loop; /* NULL: watches nothing */
  t2_timer timer;
  t2_fetch *fetch;
  t2_dial *dial;
  t2_client_health_cb on_change;
  void *user;
};

/* options are copied. */
void t2_client_health_init(t2_client_health *health, const t2_client_health_options *options,
                           t2_client_health_cb on_change, void *user);
/* Begins to ask. */
void t2_client_health_start(t2_client_health *health);
/* A connection for a request has come about (0), or not: the error. user is the t2_client_health. */
void t2_client_health_on_dialled(int err, void *user);
/* Nothing is asked, and on_change does not come, from here on. */
void t2_client_health_stop(t2_client_health *health);

#endif
