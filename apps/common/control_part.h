/* The control plane of a program that has one, which can be handed over to its follower: ended there, before
 * that has it. */
#ifndef T2_COMMON_CONTROL_PART_H
#define T2_COMMON_CONTROL_PART_H

#include <common/handover.h>
#include <tunnel2/control.h>

typedef struct t2_app_control {
  t2_app *app;
  t2_app_handover handover;
  t2_control_options options; /* on_event and user are this one's */
  t2_control *control;        /* NULL: before the start, and once another process has it */
  bool released;
  t2_control_event_cb on_event; /* of what is not part of a handover */
  void *user;
} t2_app_control;

/* Makes it: 0, or the status to exit with, when it has been said why. */
int t2_app_control_make(t2_app_control *part);
/* The role of it in a handover; user is the t2_app_control. */
extern const t2_app_handover_role t2_app_control_role;

#endif
