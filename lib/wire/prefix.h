/* Address prefixes (CIDR, RFC 4632 and RFC 4291, 2.3): which addresses something is for. Sans-I/O. */
#ifndef T2_WIRE_PREFIX_H
#define T2_WIRE_PREFIX_H

#include <base/str.h>

#define T2_PREFIX_TEXT 50 /* "ffff:ffff:...:ffff/128" with its NUL, and some */

/* IPv4 stands within IPv6 (RFC 4291, 2.5.5.2), so that "192.0.2.1" and "::ffff:192.0.2.1" are one address. */
typedef struct t2_prefix {
  uint8_t bytes[16]; /* those past `bits` are 0 */
  uint8_t bits;      /* 0 to 128 */
} t2_prefix;

/* A literal address, without zone and brackets: 0 or T2_ERR_INVALID. */
int t2_prefix_address(t2_str host, uint8_t bytes[16]);
/* "192.0.2.0/24", "2001:db8::/32", or an address, which stands for itself alone. 0, or T2_ERR_INVALID; that
 * too when bits are set behind the prefix: it is not known what was meant. */
int t2_prefix_parse(t2_prefix *prefix, t2_str text);
bool t2_prefix_has(const t2_prefix *prefix, const uint8_t bytes[16]);
/* Is the host a literal address within one of the prefixes? */
bool t2_prefixes_have(const t2_prefix *list, size_t n, t2_str host);
/* As t2_prefix_parse takes it; a prefix of IPv4 in its own form. */
void t2_prefix_format(const t2_prefix *prefix, char text[T2_PREFIX_TEXT]);

#endif
