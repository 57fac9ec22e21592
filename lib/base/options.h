/* Structs of options that a caller gives: they begin with their own size, a size_t, and grow at their end. */
#ifndef T2_BASE_OPTIONS_H
#define T2_BASE_OPTIONS_H

#include <string.h>
#include <tunnel2/error.h>

/* Copies what is given over the defaults in out[size]: of a caller that was built against an older header,
 * whose struct is shorter, the rest keeps its default. 0, or T2_ERR_INVALID: no _init function has set it up.
 */
static inline int t2_options_read(void *out, size_t size, const void *given) {
  size_t n;
  memcpy(&n, given, sizeof(n));
  if (n < sizeof(n)) return T2_ERR_INVALID;
  memcpy(out, given, n < size ? n : size);
  memcpy(out, &size, sizeof(size));
  return 0;
}

#endif
