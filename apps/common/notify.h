/* What a service manager is told (sd_notify(3)): one datagram to the unix socket that NOTIFY_SOCKET names.
 * Without that nothing is sent; what can't be sent is lost, for nothing may wait for it. */
#ifndef T2_COMMON_NOTIFY_H
#define T2_COMMON_NOTIFY_H

#include <common/run.h>

#define T2_APP_STATUS_MAX 256 /* bytes of a status; more is cut */

/* What there is to say to the person that looks; READY=1 with it, which the first one makes true. Not once it
 * ends. Control characters become spaces: the text may come from elsewhere. */
void t2_app_notify_ready(const t2_app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Around a SIGHUP: now, and when it is done. */
void t2_app_notify_reloading(void);
void t2_app_notify_reloaded(void);
/* The first SIGTERM, or an end without one. Not in a handover, behind which the service goes on. */
void t2_app_notify_stopping(void);

#endif
