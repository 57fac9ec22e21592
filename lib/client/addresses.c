#include <client/addresses.h>

#include <http/fields.h>
#include <stdio.h>

/* Behind the scheme; empty: it is of another kind, or none. */
static t2_str authority_of(t2_str told, t2_kind kind) {
  t2_str name = t2_str_c(t2_kind_name(kind));
  size_t scheme = name.n + sizeof("://") - 1;
  if (kind == T2_KIND_HTTP || told.n <= scheme || told.n >= T2_CLIENT_ADDRESS_MAX) return T2_STR_NULL;
  if (!t2_str_starts(told, name) || memcmp(told.p + name.n, "://", 3) != 0) return T2_STR_NULL;
  t2_str authority = t2_str_of(told.p + scheme, told.n - scheme);
  return t2_is_authority(authority) ? authority : T2_STR_NULL;
}

void t2_client_addresses_read(t2_client_addresses *addresses, t2_kind kind, const t2_terms *terms,
                              t2_str told) {
  t2_str authority = authority_of(told, kind), host;
  uint16_t port = 0;
  addresses->n = 0;
  if (authority.n == 0) return;
  if (kind != T2_KIND_TLS) {
    snprintf(addresses->text[0], T2_CLIENT_ADDRESS_MAX, "%.*s", T2_STR_ARG(told));
    addresses->urls[addresses->n++] = addresses->text[0];
    return;
  }
  if (t2_str_hostport(authority, &host, &port)) return;
  for (size_t i = 0; i < terms->hostname_count; i++) {
    snprintf(addresses->text[i], T2_CLIENT_ADDRESS_MAX, "tls://%s:%u", terms->hostnames[i], (unsigned)port);
    addresses->urls[addresses->n++] = addresses->text[i];
  }
}
