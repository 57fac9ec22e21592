/* The threads over which one object is spread. Worker 0 is the loop of who made it; each other one has a
 * thread and a loop of its own. They share nothing but this: what one wants of another it sends as mail.
 *
 *   worker 0:  t2_crew_new ─▶ t2_crew_call (makes the part on each) ─▶ t2_crew_engage ─▶ … ─▶ t2_crew_close
 *   others:                                       the part lives … its last word: t2_crew_leave
 *
 * Nobody's box is closed before everybody has left, so that mail always arrives. */
#ifndef T2_NET_CREW_H
#define T2_NET_CREW_H

#include <net/loop.h>
#include <net/mailbox.h>
#include <tunnel2/runtime.h>

#define T2_WORKERS_MAX 64

typedef struct t2_crew t2_crew;

/* Fields that others may read. */
typedef struct t2_worker {
  t2_crew *crew;
  unsigned number;
  void *part; /* the object's on this thread; set and read there alone */
  t2_mailbox box;
  t2_runtime *runtime; /* NULL: worker 0 */
  t2_mail last;
} t2_worker;

/* workers: 2 to T2_WORKERS_MAX, `loop`'s thread among them; name: of the threads, with a number behind it.
 * The allocator of loop is used on all threads. 0, T2_ERR_NOMEM or T2_ERR_IO. */
int t2_crew_new(t2_crew **out, t2_loop *loop, unsigned workers, const char *name);
unsigned t2_crew_size(const t2_crew *crew);
t2_worker *t2_crew_worker(t2_crew *crew, unsigned number);
uv_loop_t *t2_worker_loop(const t2_worker *worker);

/* Does that on a worker's thread, and waits for it: for making parts, not later. Its result, or T2_ERR_NOMEM.
 */
int t2_crew_call(t2_worker *worker, int (*call)(void *user), void *user);
/* The worker has a part, which will leave. On worker 0. */
void t2_crew_engage(t2_crew *crew);
/* The part is gone: the worker's last word, to nobody but the crew. On its thread. */
void t2_crew_leave(t2_worker *worker);
/* Opened with the worker that gets it as user. On any worker's thread. */
static inline void t2_crew_send(t2_worker *to, t2_mail *mail) {
  t2_mailbox_send(&to->box, mail);
}
/* How many have parts. On worker 0. */
unsigned t2_crew_engaged(const t2_crew *crew);

/* A log for what is on that worker's thread: its records come out of the log of worker 0's loop, on that
 * thread; they are dropped while too many wait. */
t2_log t2_crew_log(t2_worker *worker);

/* On worker 0: from here on what others say is waited for, whatever else keeps its loop going. */
void t2_crew_await(t2_crew *crew);
/* On worker 0, once: ends the threads when all have left, then cb; freed with it. */
void t2_crew_close(t2_crew *crew, void (*cb)(void *user), void *user);

/* The number for an option: 0 is as many as there are processors to run on. */
unsigned t2_crew_workers(uint32_t wanted);

#endif
