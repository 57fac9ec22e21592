/* Mail to one loop, from any thread: opened on the loop's thread, each sender's in the order it was sent.
 * Without a lock: mail is pushed onto a stack by one compare-and-swap, and the loop takes the whole stack at
 * once. One wake-up for all that waits: whoever finds the box empty wakes the loop. */
#ifndef T2_NET_MAILBOX_H
#define T2_NET_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

/* Embedded in what is sent, which is the box's until it is opened. */
typedef struct t2_mail {
  struct t2_mail *next; /* mailbox.c's */
  /* On the loop's thread; the mail is the callee's from then on. user: the box's. */
  void (*open)(struct t2_mail *mail, void *user);
} t2_mail;

/* Embedded. */
typedef struct t2_mailbox {
  _Atomic(t2_mail *) newest;
  uv_async_t wake; /* does not keep uv_run going */
  void *user;
  void (*on_closed)(void *user);
} t2_mailbox;

/* 0 or T2_ERR_IO. On the loop's thread, or before that runs. */
int t2_mailbox_open(t2_mailbox *box, uv_loop_t *loop, void *user);
/* Any thread. */
void t2_mailbox_send(t2_mailbox *box, t2_mail *mail);
/* On the loop's thread, when nobody sends any more: opens what waits, then closes; on_closed (may be NULL)
 * comes later, with the box's user, which may free the box. */
void t2_mailbox_close(t2_mailbox *box, void (*on_closed)(void *user));

#endif
