/* A sentence for a person beside an error number. */
#ifndef T2_WIRE_DETAIL_H
#define T2_WIRE_DETAIL_H

#include <stddef.h>
#include <tunnel2/export.h>

/* Writes the sentence to detail[size], cut to fit and NUL-terminated; detail may be NULL when size is 0.
 * Returns err, so that a check reads `return t2_detail(detail, size, T2_ERR_AUTH, "...")`. */
int t2_detail(char *detail, size_t size, int err, const char *format, ...) T2_PRINTF(4, 5);

#endif
