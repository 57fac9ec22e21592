/* Mends what an origin says of its own paths, when the public reaches it below a prefix that it does not know
 * of: Location, and the Path of cookies. */
#ifndef T2_HTTP_MEND_H
#define T2_HTTP_MEND_H

#include <http/fields.h>

#define T2_MEND_PREFIX_MAX 200 /* characters */
#define T2_MEND_OWN_MAX    2

/* Slices outlive the call. */
typedef struct t2_mend {
  t2_str prefix;               /* "/session/id", without a "/" at its end */
  t2_str authority;            /* that the public asked */
  t2_str own[T2_MEND_OWN_MAX]; /* what the origin may call itself; empty ones are none */
} t2_mend;

/* The prefix that the nearest proxy has stripped, by the X-Forwarded-Prefix of a request; empty when there is
 * none that can be used. A view. */
t2_str t2_mend_prefix(const t2_head *request);
/* Builds `out` from the response `in`: its fields point into `in`, and into scratch, which is reset before.
 *   Location: /a             /session/id/a
 *   Location: http://authority/a, https://...   the same with the prefix before the path
 *   Location: http://own/a   /session/id/a
 *   Set-Cookie: a=b; Path=/  Path=/session/id
 * What is below the prefix already, elsewhere, or relative is left as it is. 0 or T2_ERR_NOMEM. */
int t2_mend_response(const t2_head *in, const t2_mend *how, t2_head *out, t2_buf *scratch);

#endif
