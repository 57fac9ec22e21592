/* What the two sides of a handover (handover.h) share: handover.c, the one that runs, handover_take.c,
 * the next one, and handover_packet.c, what that reads. */
#ifndef T2_NET_HANDOVER_INTERNAL_H
#define T2_NET_HANDOVER_INTERNAL_H

#include <base/str.h>
#include <net/handover.h>
#include <sys/socket.h>
#include <sys/un.h>

#define T2_HANDOVER_TAKE    "take 1"
#define T2_HANDOVER_BATCH   64   /* descriptors in a packet; the system takes 253 */
#define T2_HANDOVER_PACKET  4096 /* bytes, of 64 names and what is around them */
#define T2_HANDOVER_END     "end "
#define T2_HANDOVER_CONTROL CMSG_SPACE(T2_HANDOVER_BATCH * sizeof(int))

/* 0, or T2_ERR_LIMIT with a sentence. */
int t2_handover_address(struct sockaddr_un *address, const char *path, char *detail, size_t detail_size);
/* A packet of the one that runs: names with their descriptors, which are the set's then or closed, whatever
 * comes back; or the end, with *ended and *sessions. 0; T2_ERR_PROTOCOL, or as t2_handover_set_add. */
int t2_handover_packet_read(t2_handover_set *set, t2_str text, const int *fds, size_t n, size_t *sessions,
                            bool *ended);
/* The user at the other end, or -1. */
long t2_handover_peer(int fd);

#endif
