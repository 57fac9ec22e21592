/* base64url without padding (RFC 4648, 5), and lower-case hex. Decoding is strict: one spelling per value. */
#ifndef T2_BASE_BASE64_H
#define T2_BASE_BASE64_H

#include <base/buf.h>

/* Appends the text: 0 or T2_ERR_NOMEM. */
int t2_base64url_encode(t2_buf *out, const void *bytes, size_t n);
/* Decodes all of s into out[cap]; its length in *n. T2_ERR_INVALID for a foreign character, padding, or bits
 * that should be zero; T2_ERR_LIMIT when cap is too small. */
int t2_base64url_decode(t2_str s, uint8_t *out, size_t cap, size_t *n);
/* out has room for 2 * n + 1 bytes and is NUL-terminated. */
void t2_hex_encode(const void *bytes, size_t n, char *out);
/* s is exactly 2 * n lower-case hex digits: 0 or T2_ERR_INVALID. */
int t2_hex_decode(t2_str s, uint8_t *out, size_t n);

#endif
