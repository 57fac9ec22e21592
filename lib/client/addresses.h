/* Where the public reaches a session, by what an entry says of itself when an uplink to it is opened.
 * Sans-I/O. */
#ifndef T2_CLIENT_ADDRESSES_H
#define T2_CLIENT_ADDRESSES_H

#include <wire/ticket.h>

#define T2_CLIENT_ADDRESS_MAX 384 /* with its NUL */

typedef struct t2_client_addresses {
  char text[T2_TERMS_HOSTNAMES_MAX][T2_CLIENT_ADDRESS_MAX];
  const char *urls[T2_TERMS_HOSTNAMES_MAX];
  size_t n;
} t2_client_addresses;

/* "tcp://HOST:PORT" and "udp://HOST:PORT" are taken as they are; of "tls://HOST:PORT" the port, for each of
 * the session's names. None, when it is of another kind, or no address. */
void t2_client_addresses_read(t2_client_addresses *addresses, t2_kind kind, const t2_terms *terms,
                              t2_str told);

#endif
