/* Random bytes from the system, and what is made of them. */
#ifndef T2_BASE_RANDOM_H
#define T2_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#define T2_UUID_LEN 36

/* Fills n bytes; aborts the program if the system gives none, since nothing safe can be done then. */
void t2_random_bytes(void *out, size_t n);
/* Uniform in [0, bound); bound > 0. */
uint64_t t2_random_below(uint64_t bound);
/* A random UUID (RFC 9562, version 4) in lower case, NUL-terminated. */
void t2_uuid(char out[T2_UUID_LEN + 1]);

#endif
