/* The PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt, 2.2): a few bytes in front of a connection
 * that tell who is at its other end. Sans-I/O. */
#ifndef T2_PROXY_PROXY_PROTOCOL_H
#define T2_PROXY_PROXY_PROTOCOL_H

#include <http/fields.h>
#include <net/address.h>

#define T2_PROXY_PROTOCOL_MAX 52 /* bytes of a header as written here */

/* Writes the header of a TCP connection from one address to another, of one family; NULL: it is not known
 * (AF_UNSPEC). Returns its length. */
size_t t2_proxy_protocol_write(uint8_t out[T2_PROXY_PROTOCOL_MAX], const t2_address *from,
                               const t2_address *to);
/* The same for a CONNECT request: from whom its Forwarded field (RFC 7239) says, "for" with a port; to its
 * authority, where that is an address of the same family, else to the unspecified address and its port. */
size_t t2_proxy_protocol_of_request(uint8_t out[T2_PROXY_PROTOCOL_MAX], const t2_head *request);

#endif
