/* Control plane, entry and client in one process on one loop, with an origin (or a handler) and a public
 * client made of plain libuv: for tests of the whole library. Each may have an allocator of its own. */
#ifndef T2_TEST_SITE_H
#define T2_TEST_SITE_H

#include <base/str.h>
#include <tunnel2/tunnel2.h>
#include <uv.h>

#define SITE_DEADLINE_MS 30000

/* All zero: HTTP, and an origin that answers by itself. */
typedef struct site_options {
  const t2_handler *handler; /* in the place of the origin */
  void *handler_user;
  t2_client_kind kind;
  uint64_t response_timeout_ms;           /* 0: the default */
  unsigned client_workers, entry_workers; /* 0: one */
} site_options;

typedef struct site {
  uv_loop_t loop;
  const t2_allocator *mem; /* of entry and client; NULL: libc's */
  char dir[64];
  t2_control *control;
  t2_entry *entry;
  t2_client *client;
  unsigned closing; /* objects whose close callback is still to come */
  unsigned ups;     /* uplinks that came up, ever */
  unsigned control_events[T2_CONTROL_ENTRY_ENDED + 1], entry_events[T2_ENTRY_RETRYING + 1]; /* of each type */
  char event_id[64], event_reason[64]; /* of the last of the control plane's that had one */
  uint64_t entry_delay_ms;             /* of the last RETRYING */
  t2_control_event_type close_at;      /* closes the control plane from inside this event; 0: none */
  bool ready;
  bool client_ended;
  bool client_closed; /* by the test */
  uint16_t tcp_port;  /* of a TCP session */
  uv_tcp_t origin;
  unsigned requests; /* that the origin has seen */
  uv_timer_t deadline;
} site;

/* What came back for a request on a connection of its own. */
typedef struct answer {
  int status;  /* 0: the connection ended without one */
  bool whole;  /* by its Content-Length */
  size_t size; /* bytes of content */
} answer;

/* Everything started and an uplink up; fails the test after SITE_DEADLINE_MS. Files are in a folder of its
 * own. */
void site_start(site *s, const t2_allocator *mem);
void site_start_with(site *s, const t2_allocator *mem, const site_options *options);
/* Closes the client before the rest: from inside of a callback too. */
void site_close_client(site *s);
uint16_t site_public_port(const site *s);
/* GET path of session "main" over a new connection. content is sent by POST when it is not NULL. */
answer site_ask(site *s, const char *path, const char *content);
/* Asks for / until the answer is 200. */
void site_heal(site *s);
void site_stop(site *s);

/* Path of one of the development files (T2_DEV_CA_FILE, ...); the caller frees it. */
char *site_file(const site *s, const char *name);
/* The development token: it may do everything. */
void site_token(const site *s, char token[256]);

#endif
