#include <net/mailbox.h>

#include <stddef.h>
#include <tunnel2/error.h>

/* What came while mail was opened comes with a wake-up of its own: who sends does not starve the loop. */
static void empty(t2_mailbox *box) {
  t2_mail *newest = atomic_exchange_explicit(&box->newest, NULL, memory_order_acquire), *oldest = NULL;

  while (newest) {
    t2_mail *next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest) {
    t2_mail *next = oldest->next;
    oldest->open(oldest, box->user);
    oldest = next;
  }
}

static void on_wake(uv_async_t *wake) {
  empty(wake->data);
}

int t2_mailbox_open(t2_mailbox *box, uv_loop_t *loop, void *user) {
  atomic_init(&box->newest, NULL);
  box->user = user;
  box->on_closed = NULL;
  if (uv_async_init(loop, &box->wake, on_wake)) return T2_ERR_IO;
  box->wake.data = box;
  uv_unref((uv_handle_t *)&box->wake);
  return 0;
}

void t2_mailbox_send(t2_mailbox *box, t2_mail *mail) {
  t2_mail *newest = atomic_load_explicit(&box->newest, memory_order_relaxed);

  do
    mail->next = newest;
  while (!atomic_compare_exchange_weak_explicit(&box->newest, &newest, mail, memory_order_release,
                                                memory_order_relaxed));
  if (!newest) uv_async_send(&box->wake);
}

static void on_close(uv_handle_t *handle) {
  t2_mailbox *box = handle->data;

  if (box->on_closed) box->on_closed(box->user);
}

void t2_mailbox_close(t2_mailbox *box, void (*on_closed)(void *user)) {
  if (uv_is_closing((uv_handle_t *)&box->wake)) return;
  box->on_closed = on_closed;
  while (atomic_load_explicit(&box->newest, memory_order_relaxed))
    empty(box);
  uv_close((uv_handle_t *)&box->wake, on_close);
}
