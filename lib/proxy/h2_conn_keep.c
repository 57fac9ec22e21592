#include <proxy/h2_conn_internal.h>
#include <tunnel2/error.h>

void t2_h2_leg_drop_kept(h2_leg *leg) {
  if (!leg->keeps) return;
  leg->keeps = false;
  t2_held_fini(&leg->kept);
}

void t2_h2_leg_keep(h2_leg *leg, const t2_head *head, bool end) {
  t2_loop *loop = leg->owner->proxy->loop;
  if (t2_held_init(&leg->kept, loop->mem, head, end)) return;
  leg->keeps = true;
  t2_held_account(&leg->kept, &loop->pressure);
}

void t2_h2_leg_keep_data(h2_leg *leg, const uint8_t *bytes, size_t n) {
  bool fits = n <= leg->owner->options.keep_max - t2_buf_len(&leg->kept.content);
  bool easy = leg->owner->proxy->loop->pressure.level == T2_PRESSURE_EASY;
  if (!easy || !fits || t2_held_data(&leg->kept, bytes, n)) t2_h2_leg_drop_kept(leg);
}

/* The connection is lost, but not by what this side did. An origin's may have been gone for long before that
 * was noticed, and is not blamed on the request if it had served; a tunnel client is gone when it is. */
static bool may_ask_again(const t2_h2_conn *h2_conn, const h2_leg *leg) {
  t2_str method = t2_str_c(leg->leg.exchange->method);
  if (!h2_conn->closing || h2_conn->error == T2_ERR_CANCELLED || h2_conn->error == T2_ERR_NOMEM) return false;
  if (t2_conn_bytes_offered(h2_conn->conn) == leg->opened_at) return true; /* it is still here */
  if (h2_conn->options.uplink) return t2_method_is_idempotent(method);
  return h2_conn->error == T2_ERR_CLOSED && h2_conn->answered && t2_method_is_safe(method);
}

/* What the peer says it has not acted on, always (RFC 9113, 8.7). */
bool t2_h2_leg_can_be_repeated(const h2_leg *leg, bool unprocessed) {
  const t2_h2_conn *h2_conn = leg->owner;
  const t2_exchange *exchange = leg->leg.exchange;
  if (!exchange || !leg->keeps || exchange->repeated >= h2_conn->options.repeats_max) return false;
  return h2_conn->ops.on_unprocessed && (unprocessed || may_ask_again(h2_conn, leg));
}
