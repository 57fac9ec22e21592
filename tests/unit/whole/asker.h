/* A public connection of a site, a step at a time. */
#ifndef T2_TEST_ASKER_H
#define T2_TEST_ASKER_H

#include "site.h"
#include <base/buf.h>

typedef struct asker {
  site *s;
  uv_tcp_t tcp;
  uv_connect_t connect;
  t2_buf in; /* all that has come */
  unsigned writing;
  bool connected, reads, eof, failed, closed;
} asker;

/* To the public port, or that of the TCP session. Reads from the start. */
asker *asker_open(site *s);
void asker_send_bytes(asker *a, const void *bytes, size_t n);
void asker_send(asker *a, const char *text);
void asker_read(asker *a, bool on);
/* Ends its own side. */
void asker_end(asker *a);
/* What has come, as text. */
const char *asker_text(asker *a);
/* Runs the loop until that has come, or the connection has ended: has it come? */
bool asker_gets(asker *a, const char *part);
/* Runs the loop until the other side has ended: false when by a reset. */
bool asker_ends(asker *a);
/* Hangs up and frees it. */
void asker_close(asker *a);

/* Runs the loop until the condition holds; the site's deadline aborts. */
#define SITE_UNTIL(s, condition)                                                                             \
  do {                                                                                                       \
    while (!(condition))                                                                                     \
      uv_run(&(s)->loop, UV_RUN_ONCE);                                                                       \
  } while (0)

#endif
