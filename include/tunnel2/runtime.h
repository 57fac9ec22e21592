/* A thread with an event loop, for programs that have no uv_loop_t of their own. Objects are made, used and
 * closed on that thread: t2_runtime_call takes a function there and waits for it, t2_runtime_post does not
 * wait. On a thread that the library starts no signal handlers of the program run, and SIGPIPE is held: only
 * who runs the loop on a thread of its own has to ignore it. */
#ifndef TUNNEL2_RUNTIME_H
#define TUNNEL2_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tunnel2/allocator.h>
#include <tunnel2/error.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The thread and its loop. Opaque; made by t2_runtime_new. */
typedef struct t2_runtime t2_runtime;

/* How it is made. */
typedef struct t2_runtime_options {
  size_t size;                   /* set by t2_runtime_options_init; lets the struct grow */
  const t2_allocator *allocator; /* used on any thread that posts; outlives the runtime */
  const char *name;              /* of the thread, as top shows it; at most 15 characters; "tunnel2" */
  /* False: the library starts a thread. True: none is started, and the caller's own thread calls
   * t2_runtime_run. */
  bool own_thread;
} t2_runtime_options;

/* Sets every option to its default. Any thread. */
T2_API void t2_runtime_options_init(t2_runtime_options *options);
/* Makes a loop, and starts the thread that runs it unless own_thread is set. The caller owns *runtime and
 * frees it with t2_runtime_free. options may be NULL. 0; or with *runtime NULL T2_ERR_INVALID (options),
 * T2_ERR_NOMEM or T2_ERR_IO (no thread or no descriptors). Any thread. */
T2_API int t2_runtime_new(t2_runtime **runtime, const t2_runtime_options *options);
/* With own_thread: runs the loop on the calling thread, which is the runtime's from then on, until
 * t2_runtime_stop was called from another and nothing is open any more. 0; T2_ERR_STATE: it runs already, or
 * has run. */
T2_API int t2_runtime_run(t2_runtime *runtime);

/* The loop, for what is made on it. It belongs to the runtime; it is asked for on any thread, and used on the
 * runtime's alone. Never NULL. */
T2_API uv_loop_t *t2_runtime_loop(const t2_runtime *runtime);
/* Is the caller on the runtime's thread? Any thread. */
T2_API bool t2_runtime_is_current(const t2_runtime *runtime);

/* Calls call(user) on the runtime's thread, soon, in the order of posting. 0; T2_ERR_STATE after
 * t2_runtime_stop, T2_ERR_NOMEM: then it is not called. Any thread, and the runtime's own. */
T2_API int t2_runtime_post(t2_runtime *runtime, void (*call)(void *user), void *user);
/* The same, and waits until it has been called: what it returned, or as t2_runtime_post (also T2_ERR_STATE
 * where it was stopped without ever having run). From the runtime's thread it is called at once. Do not hold
 * a lock that a callback takes. */
T2_API int t2_runtime_call(t2_runtime *runtime, int (*call)(void *user), void *user);

/* No more is posted; what was is called, if it ran; the loop ends when everything on it is closed, and this
 * waits for that for at most timeout_ms. 0; T2_ERR_TIMEOUT: something has not been closed, and the thread
 * goes on (it may be asked again); T2_ERR_STATE: from the runtime's own thread, where waiting would never
 * end. Any other thread. */
T2_API int t2_runtime_stop(t2_runtime *runtime, uint64_t timeout_ms);
/* Frees it: after t2_runtime_stop has returned 0, or where it never ran. runtime may be NULL. Any thread but
 * the runtime's own. */
T2_API void t2_runtime_free(t2_runtime *runtime);

#ifdef __cplusplus
}
#endif
#endif
