/* What the parts of t2_entry share: entry.c (the object), public.c (public requests), registration.c (the
 * control plane). Included by these alone. */
#ifndef T2_ENTRY_STATE_H
#define T2_ENTRY_STATE_H

#include <entry/route.h>
#include <entry/uplinks.h>
#include <proxy/link.h>
#include <proxy/server.h>
#include <tunnel2/entry.h>

/*   NEW ──start──▶ RUNNING ──drain──▶ DRAINING ──no public connection──▶ PARTING ──no uplink──▶ ENDED
 *                     └──────────────refused by the control plane for good────────────────────▶ ENDED */
typedef enum t2_entry_state {
  T2_ENTRY_STATE_NEW,
  T2_ENTRY_STATE_RUNNING,
  T2_ENTRY_STATE_DRAINING,
  T2_ENTRY_STATE_PARTING,
  T2_ENTRY_STATE_ENDED
} t2_entry_state;

/* What the options' strings point to. */
typedef struct t2_entry_strings {
  char *control, *token, *domain, *public_url, *uplink_url, *public_address, *uplink_address, *keys_file;
} t2_entry_strings;

struct t2_entry {
  t2_entry_options options;
  t2_entry_strings strings;
  t2_entry_state state;
  bool closing, disposing;
  t2_loop *loop;
  t2_proxy public_proxy; /* of the exchanges that are the entry's purpose */
  t2_proxy uplink_proxy; /* of what is asked of the uplink listener */
  t2_proxy control;      /* of its own requests */
  t2_tls *uplink_tls, *link_tls;
  t2_server *public_server, *uplink_server; /* NULL once closing */
  unsigned servers_open;
  t2_uplinks uplinks;
  t2_link *link;
  t2_keys keys;
  t2_timer drain;
  t2_buf route_text;
  bool registered; /* ever */
  bool linked;     /* the REGISTERED event of this link has been given */
  bool lost;       /* the LOST event of this outage has been given */
  char id[T2_ENTRY_ID_MAX + 1];
  t2_entry_close_cb on_close;
  void *close_user;
};

/* ---- entry.c ---- */

void t2_entry_emit(t2_entry *entry, const t2_entry_event *event);
/* Ends for good: closes everything, then the ENDED event. */
void t2_entry_end(t2_entry *entry, int err, const char *reason);
/* Something is gone: goes on with a drain or a close. */
void t2_entry_settled(t2_entry *entry);

/* ---- public.c ---- */

/* A request on the public listener. */
void t2_entry_on_public_request(const t2_request *request, void *user);

/* ---- registration.c ---- */

extern const t2_link_ops t2_entry_link_ops;
/* Reads the key set that was kept, if there is one: a file that can't be used is said in the log. */
void t2_entry_load_keys(t2_entry *entry);

#endif
