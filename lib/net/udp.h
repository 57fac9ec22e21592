/* A UDP socket: bound, for datagrams of anybody, or connected to one address. Nothing waits in it for being
 * sent: what the system does not take is lost, as a datagram may be. */
#ifndef T2_NET_UDP_H
#define T2_NET_UDP_H

#include <net/address.h>
#include <net/loop.h>

typedef struct t2_udp t2_udp;

/* A datagram; from and bytes are valid during the call. Or err is set, n is 0: the system says of a connected
 * socket that what was sent did not arrive (T2_ERR_REFUSED mostly), and it goes on. */
typedef void (*t2_udp_cb)(t2_udp *udp, int err, const t2_address *from, const uint8_t *bytes, size_t n,
                          void *user);

/* T2_ERR_CONFLICT: the address is in use; or another error of the system's; T2_ERR_NOMEM. */
int t2_udp_bind(t2_udp **out, t2_loop *loop, const t2_address *address, t2_udp_cb cb, void *user);
/* As t2_udp_bind of a socket that is bound already, which is this one's then, also when it fails; nothing is
 * read from it before t2_udp_start. T2_ERR_INVALID: it is no such socket. */
int t2_udp_adopt(t2_udp **out, t2_loop *loop, int fd, t2_udp_cb cb, void *user);
int t2_udp_start(t2_udp *udp);
/* Its descriptor. */
int t2_udp_socket(const t2_udp *udp);
int t2_udp_connect(t2_udp **out, t2_loop *loop, const t2_address *peer, t2_udp_cb cb, void *user);
/* to is NULL on a connected socket. 0, or why it is lost. */
int t2_udp_send(t2_udp *udp, const t2_address *to, const uint8_t *bytes, size_t n);
/* cb does not come any more. May be called from it. */
void t2_udp_close(t2_udp *udp);

#endif
