/* The socket of a listener: made and bound, or one that was open already. For listener.c, and for who has to
 * know where such a one listens. */
#ifndef T2_NET_LISTENER_SOCKET_H
#define T2_NET_LISTENER_SOCKET_H

#include <net/address.h>
#include <net/listener.h>

typedef struct t2_listener_socket_state {
  int fd;
  bool inherited;
  t2_address address; /* bound */
} t2_listener_socket_state;

/* By options->address. Errors as t2_listener_new; what is inherited is the listener's once it is open. */
int t2_listener_socket_open(t2_listener_socket_state *opened, const t2_listener_options *options,
                            char *detail, size_t detail_size);
/* It is not needed after all: closed, unless it is inherited. */
void t2_listener_socket_drop(const t2_listener_socket_state *opened);

/* N of "fd:N", or -1. */
int t2_listener_inherited(const char *address);
/* Where such a socket is bound. False: it is no such socket, or none at all. */
bool t2_listener_inherited_address(const char *address, char text[T2_ADDRESS_TEXT]);

#endif
