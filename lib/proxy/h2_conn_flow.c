#include <proxy/h2_conn_internal.h>
#include <tunnel2/error.h>

#define CALM_MS 2000 /* windows become larger no sooner than so long after they last changed */

void t2_h2_conn_note_waiting(t2_h2_conn *h2_conn) {
  size_t waiting = h2_conn->h2 ? t2_h2_waiting(h2_conn->h2) : 0;
  t2_pressure_note(&h2_conn->proxy->loop->pressure, &h2_conn->waiting, waiting);
}

void t2_h2_conn_set_concurrent_max(t2_h2_conn *h2_conn, uint32_t n) {
  if (h2_conn->closing || h2_conn->drain || h2_conn->options.h2.concurrent_max == n) return;
  h2_conn->options.h2.concurrent_max = n;
  if (t2_h2_set_concurrent_max(h2_conn->h2, n)) t2_h2_conn_close(h2_conn, T2_ERR_NOMEM);
}

uint32_t t2_h2_conn_wanted_window(const t2_h2_conn *h2_conn) {
  uint32_t most = h2_conn->proxy->loop->pressure.stream_window, own = h2_conn->options.h2.stream_window;
  return own < most ? own : most;
}

/* Smaller ones at once, whatever the peer knows of already. */
void t2_h2_conn_fit_window(t2_h2_conn *h2_conn) {
  uint64_t now = t2_loop_now(h2_conn->proxy->loop);
  uint32_t window = t2_h2_conn_wanted_window(h2_conn);
  if (h2_conn->told_ms && now - h2_conn->told_ms >= h2_conn->options.settle_timeout_ms) {
    t2_h2_terminate(h2_conn->h2, T2_H2_SETTINGS_TIMEOUT); /* RFC 9113, 6.5.3 */
    return;
  }
  bool early = h2_conn->told_ms || now - h2_conn->changed_ms < CALM_MS;
  if (window == h2_conn->window || (window > h2_conn->window && early)) return;
  if (t2_h2_set_stream_window(h2_conn->h2, window)) return; /* without memory, at another time */
  h2_conn->window = window;
  h2_conn->changed_ms = now;
  if (!h2_conn->told_ms) h2_conn->told_ms = now;
}
