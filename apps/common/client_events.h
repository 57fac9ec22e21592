/* What a client's events are for a person, and with --json for a program. */
#ifndef T2_COMMON_CLIENT_EVENTS_H
#define T2_COMMON_CLIENT_EVENTS_H

#include <common/run.h>
#include <tunnel2/client.h>

/* As options.on_event, with the t2_app as user. Ends the app with the client. */
void t2_app_client_event(t2_client *client, const t2_client_event *event, void *user);

#endif
