/* UTF-8 (RFC 3629) checked as it comes, in pieces cut anywhere. */
#ifndef T2_HTTP_UTF8_H
#define T2_HTTP_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: at the start of a character. */
typedef struct t2_utf8 {
  uint8_t missing;   /* bytes of the character under way that are still to come */
  uint8_t low, high; /* what the next of them may be */
} t2_utf8;

/* False: these bytes can't follow those before. */
bool t2_utf8_check(t2_utf8 *state, const uint8_t *bytes, size_t n);
/* No character is under way. */
static inline bool t2_utf8_is_whole(const t2_utf8 *state) {
  return state->missing == 0;
}

#endif
