/* Classes of characters, by table: what may stand where in a message (RFC 9110, RFC 3986). */
#ifndef T2_HTTP_CHARS_H
#define T2_HTTP_CHARS_H

#include <base/str.h>

#define T2_CHAR_TOKEN 0x01 /* tchar (RFC 9110, 5.6.2) */
#define T2_CHAR_VALUE 0x02 /* of field values: HTAB, SP, VCHAR, obs-text (RFC 9110, 5.5) */
#define T2_CHAR_TARGET                                                                                       \
  0x04 /* of request targets: VCHAR but "#". Wider than RFC 3986: browsers send |, {, } as they are */
#define T2_CHAR_HOST  0x08 /* of reg-name: unreserved and sub-delims (RFC 3986, 3.2.2), "%" apart */
#define T2_CHAR_DIGIT 0x10
#define T2_CHAR_HEX   0x20

extern const uint8_t t2_chars[256];
/* A token's character in lower case; 0 for what is in no token. */
extern const uint8_t t2_token_lower[256];

static inline bool t2_char_is(uint8_t c, uint8_t classes) {
  return (t2_chars[c] & classes) != 0;
}
/* Is every character in one of the classes? True of the empty string. */
bool t2_chars_all(t2_str s, uint8_t classes);
/* The first byte of [p, end) that may not stand in a field value, or end. */
const uint8_t *t2_chars_skip_value(const uint8_t *p, const uint8_t *end);
/* 0..15; c is of T2_CHAR_HEX. */
static inline uint8_t t2_char_hex(uint8_t c) {
  return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

#endif
