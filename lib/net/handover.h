/* Sockets that listen, handed by a running process to the one that takes its place, over a unix socket: no
 * connection is refused or reset in between, for what waits in a socket's queue stays there.
 *
 *   the next one                    the one that runs
 *   take            ───────────▶    on_take: it gives up what two can't have at once, and calls
 * t2_handover_give ◀───────────    names and descriptors attached        ───────────▶    on_attached: the
 * next one accepts tunnel clients; they may be sent there serving         ───────────▶    on_serving: it
 * accepts all: time to drain its end before that, or silence: on_abandoned: all is as before
 *
 * The socket is 0600, and either side looks at the other's user (SO_PEERCRED). Messages are packets of text,
 * the descriptors with them (SCM_RIGHTS); all of it is bounded. */
#ifndef T2_NET_HANDOVER_H
#define T2_NET_HANDOVER_H

#include <base/log.h>
#include <base/mem.h>
#include <uv.h>

#define T2_HANDOVER_SOCKETS_MAX 2048
#define T2_HANDOVER_NAME_MAX    31    /* of a-z 0-9 - */
#define T2_HANDOVER_TIMEOUT_MS  30000 /* for the next one's next word */

typedef struct t2_handover_socket {
  char name[T2_HANDOVER_NAME_MAX + 1];
  int fd; /* -1: it was taken out */
} t2_handover_socket;

/* Embedded. */
typedef struct t2_handover_set {
  const t2_allocator *mem;
  t2_handover_socket *list;
  size_t n, cap;
} t2_handover_set;

void t2_handover_set_init(t2_handover_set *set, const t2_allocator *mem);
/* Closes the descriptors that are left. */
void t2_handover_set_fini(t2_handover_set *set);
/* Closes those beyond the first n, and forgets them. */
void t2_handover_set_cut(t2_handover_set *set, size_t n);
/* The set owns fd from then on. 0; T2_ERR_INVALID (a name that is none), T2_ERR_LIMIT, T2_ERR_NOMEM: fd is
 * closed. */
int t2_handover_set_add(t2_handover_set *set, const char *name, int fd);
/* The same of a duplicate: fd stays the caller's. */
int t2_handover_set_add_copy(t2_handover_set *set, const char *name, int fd);
/* The first of that name, the caller's then; or -1. */
int t2_handover_set_take(t2_handover_set *set, const char *name);
/* What systemd has handed over (sd_listen_fds(3)): LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, which are taken
 * out of the environment. Those without a name that is one are "unknown". 0, as well when there is nothing;
 * or as t2_handover_set_add. */
int t2_handover_set_from_environment(t2_handover_set *set);

/* ---- The one that runs ---- */

typedef struct t2_handover t2_handover;

typedef struct t2_handover_ops {
  void (*on_take)(t2_handover *handover, void *user);
  void (*on_attached)(t2_handover *handover, void *user);
  void (*on_serving)(t2_handover *handover, void *user);
  void (*on_abandoned)(t2_handover *handover, void *user);
} t2_handover_ops;

/* Makes the socket, in the place of one that is there. log and user outlive it. 0; T2_ERR_LIMIT (the path is
 * too long), T2_ERR_IO, T2_ERR_NOMEM with a sentence in detail. */
int t2_handover_listen(t2_handover **out, uv_loop_t *uv, const t2_allocator *mem, const t2_log *log,
                       const char *path, const t2_handover_ops *ops, void *user, char *detail,
                       size_t detail_size);
/* Answers on_take. sessions: how many clients' sessions there are to be waited for. 0; or an error, and
 * on_abandoned has come. Without somebody who waits for it: T2_ERR_STATE. */
int t2_handover_give(t2_handover *handover, const t2_handover_set *set, size_t sessions);
/* Removes the socket, and ends what is under way without another callback; freed later. */
void t2_handover_close(t2_handover *handover);

/* ---- The next one ---- */

/* Asks at path, and waits for the answer, at most timeout_ms. 0: *conn is the connection, to say more on and
 * to be closed. T2_ERR_NOT_FOUND: there is nobody; T2_ERR_FORBIDDEN: it is another user's; T2_ERR_LIMIT,
 * T2_ERR_TIMEOUT, T2_ERR_CLOSED, T2_ERR_PROTOCOL, T2_ERR_IO, T2_ERR_NOMEM: with a sentence in detail, and
 * nothing is added. */
int t2_handover_take(t2_handover_set *set, const char *path, uint64_t timeout_ms, int *conn, size_t *sessions,
                     char *detail, size_t detail_size);
#define T2_HANDOVER_ATTACHED "attached"
#define T2_HANDOVER_SERVING  "serving"
/* 0, or T2_ERR_CLOSED: the other one has gone. */
int t2_handover_say(int conn, const char *word);

#endif
