/* Slices of text that belong to somebody else, and strict parsing of what they hold. */
#ifndef T2_BASE_STR_H
#define T2_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* n bytes at p, not NUL-terminated, not owned. {NULL, 0} is the empty one. */
typedef struct t2_str {
  const char *p;
  size_t n;
} t2_str;

#define T2_STR(literal) ((t2_str){"" literal, sizeof(literal) - 1})
#define T2_STR_NULL     ((t2_str){NULL, 0})
/* For printf's "%.*s". */
#define T2_STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline t2_str t2_str_of(const char *p, size_t n) {
  return (t2_str){p, n};
}

static inline t2_str t2_str_c(const char *c) {
  return (t2_str){c, c ? strlen(c) : 0};
}

static inline bool t2_str_eq(t2_str a, t2_str b) {
  return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case is folded; no locale. */
bool t2_str_eq_nocase(t2_str a, t2_str b);
bool t2_str_starts(t2_str s, t2_str prefix);
bool t2_str_ends(t2_str s, t2_str suffix);
/* Index of the first c, or -1. */
ptrdiff_t t2_str_find(t2_str s, char c);
/* Index of the last c, or -1. */
ptrdiff_t t2_str_rfind(t2_str s, char c);
/* Without spaces and tabs at both ends. */
t2_str t2_str_trim(t2_str s);
/* Takes the next element of a list separated by `sep` off *rest, trimmed; false at the end. Empty elements
 * are skipped (RFC 9110, 5.6.1). */
bool t2_str_next(t2_str *rest, char sep, t2_str *element);
/* Decimal digits only, whole of s, no sign, no overflow past max: 0, or T2_ERR_INVALID. */
int t2_str_u64(t2_str s, uint64_t max, uint64_t *value);
#define T2_U64_DIGITS 20
/* Its decimal digits, at the end of the memory given; no NUL follows. */
t2_str t2_str_of_u64(char digits[T2_U64_DIGITS], uint64_t value);
/* Splits "host:port", "[v6]:port" or ":port" (empty host). Host without brackets. port 0..65535.
 * 0 or T2_ERR_INVALID. */
int t2_str_hostport(t2_str s, t2_str *host, uint16_t *port);

#endif
