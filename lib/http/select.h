/* What of a representation a request wants: conditions (RFC 9110, 13) and a range of bytes (RFC 9110, 14). */
#ifndef T2_HTTP_SELECT_H
#define T2_HTTP_SELECT_H

#include <http/fields.h>

/* What there is. */
typedef struct t2_representation {
  t2_str etag;      /* strong, with its quotes */
  int64_t modified; /* seconds since 1970 */
  uint64_t size;    /* bytes */
} t2_representation;

typedef struct t2_selection {
  int status;      /* 200; 206; 304; 412: a condition does not hold; 416: there is nothing of the range */
  uint64_t offset; /* 200 and 206: of the content */
  uint64_t length;
} t2_selection;

/* Evaluates If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, If-Range and Range of a GET or
 * HEAD, in the order of RFC 9110, 13.2.2. A range is one of bytes: what asks for several, or is malformed,
 * gets the whole. */
t2_selection t2_select(const t2_head *request, const t2_representation *what);

#endif
