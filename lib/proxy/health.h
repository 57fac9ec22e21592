/* The admin listener of a program: clear HTTP with GET /health/live and /health/ready, for probes on the same
 * machine or network, and /metrics. */
#ifndef T2_PROXY_HEALTH_H
#define T2_PROXY_HEALTH_H

#include <base/buf.h>
#include <base/log.h>
#include <base/mem.h>
#include <stdbool.h>
#include <uv.h>

typedef struct t2_health t2_health;

/* Asked for each request: true is 200, false is 503 with Retry-After. */
typedef bool (*t2_health_ready_cb)(void *user);
/* Asked for /metrics: appends them as proxy/metrics.h writes them. */
typedef void (*t2_health_metrics_cb)(t2_buf *out, void *user);

/* Listens on address at once, with a loop state of its own on uv. name is who answers ("tunneld"), copied, as
 * address is. Errors as t2_listener_new, with a sentence in detail. ready NULL: always ready; metrics NULL:
 * there are none. */
int t2_health_new(t2_health **out, uv_loop_t *uv, const t2_allocator *mem, const t2_log *log,
                  const char *name, const char *address, t2_health_ready_cb ready,
                  t2_health_metrics_cb metrics, void *user, char *detail, size_t detail_size);
/* "127.0.0.1:40123". Valid as long as health. */
const char *t2_health_address(const t2_health *health);
/* Its listening descriptor. */
int t2_health_socket(const t2_health *health);
/* Closes the listener and its connections; freed later, on the loop. */
void t2_health_close(t2_health *health);

#endif
