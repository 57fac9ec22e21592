/* Where to connect to: what a person gives as TARGET, and the https URLs of the control plane and of entries.
 */
#ifndef T2_PROXY_TARGET_H
#define T2_PROXY_TARGET_H

#include <base/str.h>

#define T2_TARGET_MAX      320  /* characters of a target or URL with a host */
#define T2_TARGET_PATH_MAX 4095 /* of one that is a path */

typedef enum t2_target_kind {
  T2_TARGET_HTTP,  /* HTTP/1.1 in the clear */
  T2_TARGET_HTTPS, /* HTTP/2 or HTTP/1.1 over TLS, as ALPN says */
  T2_TARGET_H2C,   /* HTTP/2 in the clear, by prior knowledge (RFC 9113, 3.3) */
  T2_TARGET_UNIX,  /* HTTP/1.1 over a unix socket */
  T2_TARGET_FILES  /* a directory */
} t2_target_kind;

/* Slices point into the text that was parsed. */
typedef struct t2_target {
  t2_target_kind kind;
  t2_str host;      /* name or literal address, without brackets; empty for UNIX and FILES */
  t2_str authority; /* "host:port" as a Host field has it; empty when the text had only a port */
  uint16_t port;
  t2_str path; /* UNIX: of the socket; FILES: of the directory */
} t2_target;

/* An origin: "8080", ":8080", "host:8080", "[::1]:8080", "http://host:8080/", "https://host",
 * "h2c://host:50051", "unix:/path", "files:DIR". A port alone is one of "localhost". 0, or T2_ERR_INVALID
 * (T2_ERR_UNSUPPORTED for another scheme) with a sentence in detail that says what is taken. */
int t2_target_parse(t2_str text, t2_target *target, char *detail, size_t detail_size);
/* A server: "https://host", "https://host:8443/". As above. */
int t2_target_parse_https(t2_str text, t2_target *target, char *detail, size_t detail_size);
/* Where uplinks go: that, or "http://host:port" for one in the clear (T2_TARGET_HTTP). As above. */
int t2_target_parse_uplink(t2_str text, t2_target *target, char *detail, size_t detail_size);

#endif
