/* What a proxy in front of us says first of a connection: the PROXY protocol, versions 1 and 2 (haproxy.org,
 * proxy-protocol.txt, 2.1 and 2.2). Sans-I/O. */
#ifndef T2_WIRE_PROXY_HEADER_H
#define T2_WIRE_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#define T2_PROXY_HEADER_V1_MAX 107  /* bytes, CR LF included */
#define T2_PROXY_HEADER_MAX    4096 /* of version 2, with what else the proxy says of it */

typedef enum t2_proxy_family {
  T2_PROXY_NONE, /* LOCAL, UNKNOWN or a unix socket: it is the connection's own peer */
  T2_PROXY_V4,
  T2_PROXY_V6
} t2_proxy_family;

/* Who connected to the proxy. */
typedef struct t2_proxy_header {
  t2_proxy_family family;
  uint8_t address[16]; /* in network order: 4 bytes, or 16 */
  uint16_t port;
} t2_proxy_header;

/* Reads the header at the beginning of n bytes: its length; 0 when more bytes are needed; T2_ERR_PROTOCOL
 * when it is none, as soon as that is seen; T2_ERR_LIMIT when it is longer than T2_PROXY_HEADER_MAX. What is
 * said behind the addresses of version 2 must have its form, and is not looked at. */
ptrdiff_t t2_proxy_header_read(t2_proxy_header *header, const uint8_t *bytes, size_t n);

#endif
