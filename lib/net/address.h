/* Socket addresses: from text and to text. */
#ifndef T2_NET_ADDRESS_H
#define T2_NET_ADDRESS_H

#include <base/str.h>
#include <netinet/in.h>
#include <sys/socket.h>

typedef union t2_address {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
} t2_address;

#define T2_ADDRESS_TEXT 64 /* "[v6]:port" with its NUL, and some */

/* From a literal IPv4 or IPv6 address, without brackets, perhaps with a zone ("fe80::1%eth0"). 0 or
 * T2_ERR_INVALID. */
int t2_address_parse(t2_address *address, t2_str host, uint16_t port);
/* From a system's structure: false when it is of another family. */
bool t2_address_from(t2_address *address, const struct sockaddr *from);
/* Is the text a literal address? */
bool t2_address_is_literal(t2_str host);
/* Of a network of one's own: loopback, private (RFC 1918), link-local, unique local (RFC 4193), or shared
 * (RFC 6598: carriers', and that of overlays such as Tailscale's). The address that stands for all is none.
 */
bool t2_address_is_private(const t2_address *address);
uint16_t t2_address_port(const t2_address *address);
socklen_t t2_address_size(const t2_address *address);
/* Writes "192.0.2.1:80" or "[2001:db8::1]:80", NUL-terminated; IPv4 within IPv6 (RFC 4291, 2.5.5.2) as IPv4.
 * Returns the slice of it that is the host alone, without brackets. */
t2_str t2_address_format(const t2_address *address, char text[T2_ADDRESS_TEXT]);

#endif
