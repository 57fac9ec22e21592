/* Is the origin good? By checks that were made of it, and by connections to it for requests. Sans-I/O.
 *
 *   in ──fails_max checks in a row fail, or connects_max connections in a row──▶ out
 *   out ──passes_min checks in a row are good──▶ in */
#ifndef T2_CLIENT_VERDICT_H
#define T2_CLIENT_VERDICT_H

#include <stdbool.h>

typedef struct t2_verdict {
  unsigned fails_max, passes_min;   /* at least 1 */
  unsigned connects_max;            /* 0: connections don't count */
  unsigned fails, passes, connects; /* in a row */
  bool out;
} t2_verdict;

void t2_verdict_init(t2_verdict *verdict, unsigned fails_max, unsigned passes_min, unsigned connects_max);
/* True: the verdict has changed. */
bool t2_verdict_checked(t2_verdict *verdict, bool good);
bool t2_verdict_connected(t2_verdict *verdict, bool good);

#endif
