/* One process after another on the same sockets: those that systemd hands over, and those of the process that
 * runs, by
 * --handover (net/handover.h has the steps).
 *
 *   t2_app_handover_take(&p.app, &p.handover, "proxyentry", p.given.options.id);     // before t2_app_start
 *   t2_app_handover_address(&p.handover, "control", &options.address);               // "fd:N" where there is
 * a socket t2_app_handover_entry(&p.handover, &entry_options);                              // ... of an
 * entry
 *   ...                                                                              // everything has been
 * started t2_app_handover_start(&p.handover, entry, &role, &p);                            // goes on, and is
 * ready for the next
 */
#ifndef T2_COMMON_HANDOVER_H
#define T2_COMMON_HANDOVER_H

#include <common/run.h>
#include <tunnel2/entry.h>

#define T2_APP_HANDOVER_ROWS 3 /* of a table of options */

/* What else there is to hand over than an entry: a listener whose name is "control". Any may be NULL. */
typedef struct t2_app_handover_role {
  /* Ends what two processes can't have at once: true when it is done, else t2_app_handover_released is called
   * then. */
  bool (*release)(void *user);
  /* The listener's descriptor, before that; it is duplicated. */
  int (*get_socket)(void *user);
  /* The other process has given up: takes up again what was released, on this socket. */
  void (*restore)(int fd, void *user);
} t2_app_handover_role;

typedef struct t2_app_handover {
  bool wanted;
  const char *socket;
  uint64_t wait_ms;
  struct t2_app_handover_state *state; /* NULL: before t2_app_handover_take, and closed */
} t2_app_handover;

/* Sets the defaults, and writes the rows to table. */
void t2_app_handover_table(t2_app_handover *handover, t2_cli_option table[T2_APP_HANDOVER_ROWS]);
/* Takes sockets over, unless something is noted already. name: of the socket in the state directory, or the
 * entry's id if that is given. What goes wrong is noted. */
void t2_app_handover_take(t2_app *app, t2_app_handover *handover, const char *name, const char *id);
/* The socket of that name, or one at that address: *address becomes "fd:N". */
void t2_app_handover_address(t2_app_handover *handover, const char *name, const char **address);
/* Has another process handed over what it has, and not been told yet that this one serves? Then "serving"
 * comes, and this one is ready. */
bool t2_app_handover_pending(const t2_app_handover *handover);
void t2_app_handover_entry(t2_app_handover *handover, t2_entry_options *options);
/* Tells the one that runs how far this one has come, and waits for its own follower. */
void t2_app_handover_start(t2_app_handover *handover, t2_entry *entry, const t2_app_handover_role *role,
                           void *user);
/* What release began has been done. */
void t2_app_handover_released(t2_app_handover *handover);
/* From the drain on nothing is handed over; at the latest when the program closes what it has on the loop. */
void t2_app_handover_close(t2_app_handover *handover);

#endif
