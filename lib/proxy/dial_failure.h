/* What is said to the public of an origin that could not be reached. */
#ifndef T2_PROXY_DIAL_FAILURE_H
#define T2_PROXY_DIAL_FAILURE_H

/* A sentence for an error of a dial, without an address in it. A static string, never NULL. */
const char *t2_dial_failure(int err);

#endif
