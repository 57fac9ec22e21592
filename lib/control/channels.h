/* The open control channels of sessions and entries: what comes up them (heartbeats), and what the control
 * plane has to tell down them.
 *
 * What is to be told is only marked on a channel, and sent from a queue a few milliseconds' work at a time:
 * so changes that come together are told once, and a change that concerns every channel (a new key: a ticket
 * for each session) does not hold up the loop.
 */
#ifndef T2_CONTROL_CHANNELS_H
#define T2_CONTROL_CHANNELS_H

#include <control/parking.h>
#include <control/store.h>
#include <proxy/channel.h>

#define T2_CHANNELS_OF_SESSION_MAX 64
#define T2_CHANNELS_WATCHERS_MAX   256

/* Embedded. */
typedef struct t2_channels {
  t2_loop *loop;
  t2_store *store;
  const t2_keys *keys;
  void (*on_dirty)(void *user); /* the store has changed while channels were worked on */
  /* A session, or an entry, has taken leave by its channel, and is gone; may be NULL. */
  void (*on_left)(bool session, const char *id, const char *owner, void *user);
  void *user;
  t2_list of_sessions, of_entries; /* all there are; watchers are among those of entries */
  size_t session_count, entry_count, watcher_count;
  t2_list queue;  /* those with something to be told */
  uint64_t round; /* of work on the queue */
  t2_timer work;
  t2_parking parking; /* of sessions' */
  unsigned return_seconds;
} t2_channels;

/* store and keys outlive the channels. park_above: so many of sessions' are open before any is parked; 0:
 * none ever is. */
void t2_channels_init(t2_channels *channels, t2_loop *loop, t2_store *store, const t2_keys *keys,
                      uint32_t park_above, void (*on_dirty)(void *user), void *user);
/* Nothing is sent any more; channels that are open are closed. */
void t2_channels_fini(t2_channels *channels);

/* Answers the request with an open channel, or with a problem: 503 when the session has
 * T2_CHANNELS_OF_SESSION_MAX. */
void t2_channels_open_session(t2_channels *channels, const t2_server_request *request, t2_session *session);
/* The same for a session that is gone, to a client that was parked meanwhile: it is told that the tickets are
 * void, and no more. */
void t2_channels_tell_removed(t2_channels *channels, const t2_server_request *request,
                              const t2_session *session);
/* The same; the channel an entry had before is closed. */
void t2_channels_open_entry(t2_channels *channels, const t2_server_request *request, t2_store_entry *entry);

/* For a process that has no entry any more but still has uplinks: it is told of keys and revocations, and its
 * leave ends nothing. 503 when there are T2_CHANNELS_WATCHERS_MAX. */
void t2_channels_open_watcher(t2_channels *channels, const t2_server_request *request);

/* Closes all of a session's channels; with a reason they are told before that its tickets are void. */
void t2_channels_release_session(t2_channels *channels, t2_session *session, const char *revoked_reason);
void t2_channels_release_entry(t2_channels *channels, t2_store_entry *entry);

/* There is something new to tell: entries came, went or moved (to sessions); there is a new key (to entries;
 * and sessions get tickets by it), or an old one less (to entries); revocations (to entries). */
void t2_channels_entries_changed(t2_channels *channels);
void t2_channels_keys_changed(t2_channels *channels);
void t2_channels_keys_gone(t2_channels *channels);
void t2_channels_revoked(t2_channels *channels);
/* Tells all that this control plane is about to end, and closes them. */
void t2_channels_drain(t2_channels *channels, const char *reason);

/* Now, on both clocks. */
t2_moment t2_channels_now(const t2_channels *channels);

#endif
