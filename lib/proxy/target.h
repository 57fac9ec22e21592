/* Where to connect to: what a person gives as TARGET, and the https URLs of the control plane and of entries.
 */
#ifndef T2_PROXY_TARGET_H
#define T2_PROXY_TARGET_H

#include <base/str.h>

#define T2_TARGET_MAX 320 /* characters of a target or URL */

/* Slices point into the text that was parsed. */
typedef struct t2_target {
  t2_str host;      /* name or literal address, without brackets */
  t2_str authority; /* "host:port" as a Host field has it; empty when the text had only a port */
  uint16_t port;
} t2_target;

/* An origin: "8080", ":8080", "host:8080", "[::1]:8080", "http://host", "http://host:8080/". A port alone is
 * one of "localhost". 0, or T2_ERR_INVALID (T2_ERR_UNSUPPORTED for another scheme) with a sentence in detail
 * that says what is taken. */
int t2_target_parse(t2_str text, t2_target *target, char *detail, size_t detail_size);
/* A server: "https://host", "https://host:8443/". As above. */
int t2_target_parse_https(t2_str text, t2_target *target, char *detail, size_t detail_size);

#endif
