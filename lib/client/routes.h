/* The origins of a client, by the path of a request. */
#ifndef T2_CLIENT_ROUTES_H
#define T2_CLIENT_ROUTES_H

#include <client/files.h>
#include <proxy/origin.h>
#include <tunnel2/client.h>

/* One of origin and files is set. */
typedef struct t2_client_route {
  t2_str prefix; /* without a slash at its end: "" is "/" */
  t2_origin *origin;
  t2_files *files;
  t2_target target;
  t2_str authority; /* the origin's own, "" when there is none */
  char *text;       /* what prefix, target and authority point into */
} t2_client_route;

typedef struct t2_client_routes {
  const t2_allocator *mem;
  t2_client_route list[T2_CLIENT_ROUTES_MAX + 1]; /* the longest prefix first */
  size_t n;
  size_t open; /* origins that are not gone */
  t2_origin_tls tls;
  void (*on_gone)(void *user); /* after t2_client_routes_close, when no origin is left; perhaps from inside */
  void *user;
} t2_client_routes;

/* Checks the options' origin and routes: 0, T2_ERR_INVALID or T2_ERR_UNSUPPORTED with a sentence in detail.
 */
int t2_client_routes_check(const t2_client_options *options, char *detail, size_t detail_size);
/* Makes the origins of options that have been checked. 0; T2_ERR_NOT_FOUND, T2_ERR_CERTIFICATE, ... with a
 * sentence in detail; T2_ERR_NOMEM. To be closed in any case. */
int t2_client_routes_open(t2_client_routes *routes, t2_proxy *proxy, const t2_client_options *options,
                          char *detail, size_t detail_size);
/* The route for a request's path ("*" and none are "/"), or NULL. */
const t2_client_route *t2_client_routes_find(const t2_client_routes *routes, t2_str path);
void t2_client_routes_close(t2_client_routes *routes);
/* After on_gone. */
void t2_client_routes_fini(t2_client_routes *routes);

#endif
