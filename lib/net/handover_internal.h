/* What the two sides of a handover (handover.h) share: handover.c, the one that runs, and handover_take.c,
 * the next one. */
#ifndef T2_NET_HANDOVER_INTERNAL_H
#define T2_NET_HANDOVER_INTERNAL_H

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
/* The user at the other end, or -1. */
long t2_handover_peer(int fd);

#endif
